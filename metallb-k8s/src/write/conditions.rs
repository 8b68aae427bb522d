//! Conditions that tell what was made of a configuration object.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use metallb_core::config::{ConfigError, InForce};

use crate::crd::{Condition, ConditionStatus};

/// The condition on configuration objects: whether the object is in force as written.
pub const ACCEPTED: &str = "Accepted";

/// Longest message that the schema takes, in characters.
const MESSAGE_LIMIT: usize = 32_768;

/// A condition without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Type of the condition.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// A single CamelCase word.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Verdict {
    /// A verdict of another type than [`ACCEPTED`].
    pub fn new(kind: &'static str, status: ConditionStatus, reason: &str, message: &str) -> Self {
        Self { kind, status, reason: reason.to_owned(), message: limited(message) }
    }

    /// Whether an object is accepted, from everything that was found wrong with it.
    ///
    /// Warnings ([`InForce::Fully`]) are told in the message of an accepted object.
    pub fn accepted<'a>(errors: impl IntoIterator<Item = &'a ConfigError>) -> Self {
        let mut errors: Vec<_> = errors.into_iter().collect();
        errors.sort_by_key(|error| error.in_force);
        let message = errors.iter().map(|error| sentence(error)).collect::<Vec<_>>().join(" | ");
        match errors.first().filter(|error| error.in_force != InForce::Fully) {
            Some(worst) => Self::new(ACCEPTED, ConditionStatus::False, &camel_case(worst.reason()), &message),
            None => Self::new(ACCEPTED, ConditionStatus::True, "Accepted", &message),
        }
    }
}

/// The conditions to write, or `None` when `current` says it all already.
///
/// Conditions of other types are kept as they are. The time of a condition changes with its status
/// only, as Kubernetes demands.
pub fn merged(
    current: &[Condition],
    verdicts: &[Verdict],
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let mut conditions = current.to_vec();
    for verdict in verdicts {
        let position = conditions.iter().position(|condition| condition.kind == verdict.kind);
        let before = position.and_then(|position| conditions.get(position));
        let since = before.filter(|before| before.status == verdict.status);
        let condition = Condition {
            kind: verdict.kind.to_owned(),
            status: verdict.status,
            reason: verdict.reason.clone(),
            message: verdict.message.clone(),
            last_transition_time: since
                .map_or_else(|| Time(now), |before| before.last_transition_time.clone()),
            observed_generation: generation,
        };
        match position.and_then(|position| conditions.get_mut(position)) {
            Some(place) => *place = condition,
            None => conditions.push(condition),
        }
    }
    (conditions != current).then_some(conditions)
}

/// The error without the object's name, which stands next to it anyway.
fn sentence(error: &ConfigError) -> String {
    let kept = match error.in_force {
        InForce::Previous => " (the last good version stays in force)",
        _ => "",
    };
    if error.field.is_empty() {
        format!("{}{kept}", error.problem)
    } else {
        format!("{}: {}{kept}", error.field, error.problem)
    }
}

fn limited(message: &str) -> String {
    if message.chars().count() <= MESSAGE_LIMIT {
        return message.to_owned();
    }
    let shortened: String = message.chars().take(MESSAGE_LIMIT - 3).collect();
    format!("{shortened}...")
}

/// `unknown_pool` as `UnknownPool`, the form that reasons of conditions have.
fn camel_case(reason: &str) -> String {
    let words = reason.split(['_', '-']);
    words
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        })
        .collect()
}

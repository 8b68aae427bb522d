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

#[cfg(test)]
mod tests {
    use metallb_core::config::{Kind, ObjectId, Problem};

    use super::*;

    fn error(in_force: InForce) -> ConfigError {
        let problem = Problem::Unreadable { message: "a text".into() };
        let mut error = ConfigError::new(ObjectId::new(Kind::Pool, "p"), "spec.addresses[1]", problem);
        error.in_force = in_force;
        error
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_message_names_the_field_and_what_is_in_force() {
        let verdict = Verdict::accepted(&[error(InForce::Previous)]);
        assert_eq!(verdict.status, ConditionStatus::False);
        assert!(verdict.message.starts_with("spec.addresses[1]: "), "{}", verdict.message);
        assert!(verdict.message.ends_with("(the last good version stays in force)"), "{}", verdict.message);
    }

    #[test]
    fn a_warning_does_not_reject_and_an_error_beside_it_does() {
        assert_eq!(Verdict::accepted(&[error(InForce::Fully)]).status, ConditionStatus::True);
        let both = Verdict::accepted(&[error(InForce::Fully), error(InForce::Nothing)]);
        assert_eq!(both.status, ConditionStatus::False);
    }

    #[test]
    fn a_reason_has_the_form_that_the_schema_demands() {
        assert_eq!(camel_case("address_in_use"), "AddressInUse");
        let verdict = Verdict::accepted(&[error(InForce::Nothing)]);
        assert!(verdict.reason.chars().all(char::is_alphanumeric) && !verdict.reason.is_empty());
    }

    #[test]
    fn nothing_is_written_twice_and_the_time_changes_with_the_status_only() {
        let rejected = [Verdict::accepted(&[error(InForce::Nothing)])];
        let first = merged(&[], &rejected, Some(1), at(10)).unwrap();
        assert_eq!(merged(&first, &rejected, Some(1), at(20)), None);
        let second = merged(&first, &rejected, Some(2), at(30)).unwrap();
        assert_eq!((second[0].observed_generation, second[0].last_transition_time.0), (Some(2), at(10)));
        let third = merged(&second, &[Verdict::accepted(&[])], Some(3), at(40)).unwrap();
        assert_eq!((third[0].status, third[0].last_transition_time.0), (ConditionStatus::True, at(40)));
    }

    #[test]
    fn conditions_of_others_are_kept() {
        let foreign = Condition {
            kind: "Pretty".to_owned(),
            ..merged(&[], &[Verdict::accepted(&[])], None, at(1)).unwrap()[0].clone()
        };
        let conditions =
            merged(std::slice::from_ref(&foreign), &[Verdict::accepted(&[])], None, at(2)).unwrap();
        assert_eq!((conditions.len(), &conditions[0]), (2, &foreign));
    }

    #[test]
    fn a_message_is_cut_to_what_the_schema_takes() {
        let verdict = Verdict::new("X", ConditionStatus::True, "R", &"ä".repeat(40_000));
        assert_eq!(verdict.message.chars().count(), MESSAGE_LIMIT);
    }
}

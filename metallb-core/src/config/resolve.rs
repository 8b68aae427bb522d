//! Which version of an object is in force: the one that is written, its last good one, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::Check;
use super::error::{ConfigError, InForce, Kind, ObjectId, Problem};
use super::input::{Meta, UnreadableInput};

/// One object on its way to a decision.
#[derive(Debug)]
pub(super) struct Candidate<'a, I, T> {
    pub(super) object: ObjectId,
    /// As written; `None` when it could not be read.
    pub(super) input: Option<&'a I>,
    /// What was read, valid only when `check` found no problem.
    pub(super) current: Option<T>,
    pub(super) check: Check,
    /// The version that was in force before.
    pub(super) previous: Option<Arc<T>>,
}

/// What was decided about one object.
#[derive(Debug)]
pub(super) struct Outcome {
    object: ObjectId,
    check: Check,
    in_force: InForce,
}

impl Outcome {
    pub(super) const fn accepted(object: ObjectId, check: Check) -> Self {
        Self { object, check, in_force: InForce::Fully }
    }

    pub(super) const fn rejected(object: ObjectId, check: Check, kept_previous: bool) -> Self {
        let in_force = if kept_previous { InForce::Previous } else { InForce::Nothing };
        Self { object, check, in_force }
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<ConfigError>,
}

impl Findings {
    pub(super) fn add(&mut self, outcome: Outcome) {
        let Outcome { object, check, in_force } = outcome;
        let make =
            |(field, problem), in_force| ConfigError { object: object.clone(), field, problem, in_force };
        self.errors.extend(check.problems.into_iter().map(|found| make(found, in_force)));
        if in_force == InForce::Fully {
            self.warnings.extend(check.notes.into_iter().map(|found| make(found, in_force)));
        }
    }

    pub(super) fn error(&mut self, object: ObjectId, found: (String, Problem), in_force: InForce) {
        self.errors.push(ConfigError { object, field: found.0, problem: found.1, in_force });
    }

    pub(super) fn warn(&mut self, object: ObjectId, found: (String, Problem)) {
        self.warnings.push(ConfigError {
            object,
            field: found.0,
            problem: found.1,
            in_force: InForce::Fully,
        });
    }
}

/// The objects of one kind, as written and as they were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objects<'a, I, N, T> {
    pub(super) kind: Kind,
    pub(super) inputs: &'a [I],
    pub(super) meta: fn(&I) -> &Meta,
    pub(super) unreadable: &'a [UnreadableInput],
    pub(super) previous: &'a BTreeMap<N, Arc<T>>,
}

impl<'a, I, N: Ord + for<'x> From<&'x str>, T> Objects<'a, I, N, T> {
    /// Reads every object; the result is in the order of age, names breaking ties.
    pub(super) fn read(
        &self,
        findings: &mut Findings,
        read: impl Fn(&I, &mut Check) -> Option<T>,
    ) -> Vec<Candidate<'a, I, T>> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut candidates = Vec::with_capacity(self.inputs.len());
        for (meta, source) in self.in_order() {
            let object = ObjectId::new(self.kind, meta.name.as_str());
            if !seen.insert(&meta.name) {
                let problem = Problem::DuplicateName { kind: self.kind };
                findings.error(object, ("metadata.name".into(), problem), InForce::Nothing);
                continue;
            }
            let mut check = Check::default();
            let (input, current) = match source {
                Ok(input) => {
                    if meta.name.is_empty() {
                        check.error("metadata.name", Problem::Missing { remedy: "give the object a name" });
                    }
                    (Some(input), read(input, &mut check))
                }
                Err(unreadable) => {
                    let message = unreadable.message.as_str().into();
                    check.error(unreadable.field.as_str(), Problem::Unreadable { message });
                    (None, None)
                }
            };
            let previous = self.previous.get(&N::from(meta.name.as_str())).cloned();
            candidates.push(Candidate { object, input, current, check, previous });
        }
        candidates
    }

    fn in_order(&self) -> Vec<(&'a Meta, Result<&'a I, &'a UnreadableInput>)> {
        let readable = self.inputs.iter().map(|input| ((self.meta)(input), Ok(input)));
        let unreadable = self.unreadable.iter().filter(|unreadable| unreadable.kind == self.kind);
        let mut all: Vec<_> =
            readable.chain(unreadable.map(|unreadable| (&unreadable.meta, Err(unreadable)))).collect();
        all.sort_by(|(a, _), (b, _)| (a.created, &a.name).cmp(&(b.created, &b.name)));
        all
    }
}

/// Decides about objects that may conflict with older ones of their kind. `conflicts` gets what is in force so far and
/// adds to the check what speaks against (or only about) a version.
pub(super) fn settle<I, N, T>(
    candidates: Vec<Candidate<'_, I, T>>,
    findings: &mut Findings,
    conflicts: impl Fn(&[Arc<T>], &T, &mut Check),
) -> BTreeMap<N, Arc<T>>
where
    N: Ord + for<'x> From<&'x str>,
    T: PartialEq,
{
    let mut order: Vec<Arc<T>> = Vec::with_capacity(candidates.len());
    let mut accepted = BTreeMap::new();
    for Candidate { object, current, mut check, previous, .. } in candidates {
        if let Some(current) = &current {
            conflicts(&order, current, &mut check);
        }
        let name = N::from(&*object.name);
        let current = current.filter(|_| check.problems.is_empty());
        let (chosen, outcome) = if let Some(current) = current {
            let reused = previous.filter(|previous| **previous == current);
            (Some(reused.unwrap_or_else(|| Arc::new(current))), Outcome::accepted(object, check))
        } else {
            let kept = previous.filter(|previous| {
                let mut against = Check::default();
                conflicts(&order, previous, &mut against);
                against.problems.is_empty()
            });
            let outcome = Outcome::rejected(object, check, kept.is_some());
            (kept, outcome)
        };
        findings.add(outcome);
        if let Some(chosen) = chosen {
            order.push(Arc::clone(&chosen));
            accepted.insert(name, chosen);
        }
    }
    accepted
}

//! Which errors a change introduces.

use std::collections::{BTreeMap, BTreeSet};

use metallb_core::config::{ConfigError, ObjectId, Problem};

/// The errors of `with` that `without` does not have, for a change of `object`.
///
/// Two errors are the same when they say the same about the same object, wherever in a list. What is
/// found wrong in addition with another object counts only if that object was in force; references to
/// objects that do not exist yet never count.
pub(super) fn introduced<'a>(
    object: &ObjectId,
    without: &[ConfigError],
    with: &'a [ConfigError],
) -> Vec<&'a ConfigError> {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut rejected: BTreeSet<&ObjectId> = BTreeSet::new();
    for error in without {
        *known.entry(essence(error)).or_insert(0) += 1;
        if !concerns_one_pool(&error.problem) {
            rejected.insert(&error.object);
        }
    }
    let is_new = |error: &&ConfigError| {
        let was_known = known.get_mut(&essence(error)).is_some_and(|left| {
            let found = *left > 0;
            *left = left.saturating_sub(1);
            found
        });
        !was_known
            && !error.problem.is_missing_reference()
            && (error.object == *object || !rejected.contains(&error.object))
    };
    with.iter().filter(is_new).collect()
}

/// Errors that leave the object in force for all other pools.
const fn concerns_one_pool(problem: &Problem) -> bool {
    matches!(problem, Problem::AggregationTooShort { .. } | Problem::LocalPrefConflict { .. })
}

/// What stays the same when elements of a list move, or when the other side of a conflict changes in
/// its details.
fn essence(error: &ConfigError) -> String {
    let problem = match &error.problem {
        Problem::OverlapInside { other_text, .. } => other_text.to_string(),
        Problem::OverlapWithPool { pool, .. } | Problem::AggregationTooShort { pool, .. } => pool.to_string(),
        Problem::DuplicatePeer { .. } => String::new(),
        Problem::DuplicateAlias { alias, .. } => alias.to_string(),
        Problem::LocalPrefConflict { pool, family, .. } => format!("{pool} {family}"),
        other => format!("{other:?}"),
    };
    format!("{}\n{}\n{}\n{problem}", error.object, without_indices(&error.field), error.reason())
}

fn without_indices(field: &str) -> String {
    let mut inside = false;
    field
        .chars()
        .filter(|c| {
            inside = (inside || *c == '[') && *c != ']';
            !inside
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use metallb_core::config::Kind;

    use super::*;

    fn mk_error(name: &str, field: &str, problem: Problem) -> ConfigError {
        ConfigError::new(ObjectId::new(Kind::Pool, name), field, problem)
    }

    fn missing(name: &str, field: &str) -> ConfigError {
        mk_error(name, field, Problem::Missing { remedy: "add it" })
    }

    fn overlap(name: &str, field: &str, with: &str) -> ConfigError {
        mk_error(name, field, Problem::OverlapWithPool { pool: with.into(), other_text: "10.0.0.0/8".into() })
    }

    fn found(without: &[ConfigError], with: &[ConfigError]) -> usize {
        introduced(&ObjectId::new(Kind::Pool, "own"), without, with).len()
    }

    #[test]
    fn an_error_that_moves_in_its_list_is_not_new() {
        assert_eq!(found(&[missing("own", "spec.a[1].b")], &[missing("own", "spec.a[2].b")]), 0);
        assert_eq!(found(&[missing("own", "spec.a[1].b")], &[missing("own", "spec.a[1].c")]), 1);
    }

    #[test]
    fn a_second_error_of_the_same_kind_is_new() {
        let once = [overlap("own", "spec.addresses[0]", "other")];
        let twice = [once[0].clone(), overlap("own", "spec.addresses[1]", "other")];
        assert_eq!(found(&once, &twice), 1);
        assert_eq!(found(&twice, &once), 0);
    }

    #[test]
    fn more_that_is_wrong_with_a_rejected_object_harms_nobody() {
        let overlapping = [overlap("other", "spec.addresses[0]", "own")];
        assert_eq!(found(&[], &overlapping), 1);
        assert_eq!(found(&[missing("other", "spec.addresses")], &overlapping), 0);
        assert_eq!(
            found(&[missing("own", "spec.addresses")], &[overlap("own", "spec.addresses[0]", "a")]),
            1
        );
    }

    #[test]
    fn a_reference_to_what_does_not_exist_yet_never_counts() {
        let unknown = mk_error("own", "spec.communities[0]", Problem::UnknownCommunity { text: "x".into() });
        assert_eq!(found(&[], &[unknown]), 0);
    }
}

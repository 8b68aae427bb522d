//! Collects what is wrong with one object while it is being read.

use std::collections::BTreeSet;

use super::error::Problem;
use crate::select::{Selector, SelectorInput};

/// What was found in one object so far.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// Field and problem, each of which keeps the object out.
    pub(super) problems: Vec<(String, Problem)>,
    /// Field and problem, none of which keeps the object out.
    pub(super) notes: Vec<(String, Problem)>,
}

impl Check {
    pub(super) fn error(&mut self, field: impl Into<String>, problem: Problem) {
        self.problems.push((field.into(), problem));
    }

    pub(super) fn warn(&mut self, field: impl Into<String>, problem: Problem) {
        self.notes.push((field.into(), problem));
    }

    /// A list of selectors; none may stand there twice.
    pub(super) fn selectors(&mut self, field: &str, inputs: &[SelectorInput]) -> Vec<Selector> {
        let mut selectors: Vec<Selector> = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            match Selector::new(input) {
                Ok(selector) if selectors.contains(&selector) => {
                    let text = selector.to_string().into();
                    self.error(format!("{field}[{index}]"), Problem::Duplicate { text });
                }
                Ok(selector) => selectors.push(selector),
                Err(error) => self.error(format!("{field}[{index}]"), Problem::Selector(error)),
            }
        }
        selectors
    }

    /// A list of names; none may be empty or stand there twice.
    pub(super) fn names<T: for<'a> From<&'a str> + Ord>(
        &mut self,
        field: &str,
        names: &[String],
    ) -> BTreeSet<T> {
        let mut set = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let at = || format!("{field}[{index}]");
            if name.is_empty() {
                self.error(at(), Problem::Missing { remedy: "write a name or remove the element" });
            } else if !set.insert(T::from(name.as_str())) {
                self.error(at(), Problem::Duplicate { text: name.as_str().into() });
            }
        }
        set
    }

    /// A number within limits; `default` when it is absent or wrong.
    pub(super) fn number<T>(&mut self, field: &str, value: Option<i32>, limits: Limits<T>) -> T
    where
        T: TryFrom<i32> + Into<i64> + Copy + PartialOrd,
    {
        let Some(value) = value else { return limits.default };
        match T::try_from(value) {
            Ok(number) if limits.min <= number && number <= limits.max => number,
            _ => {
                self.error(field, out_of_range(i64::from(value), limits.min, limits.max));
                limits.default
            }
        }
    }
}

/// What a number may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<T> {
    pub(super) min: T,
    pub(super) max: T,
    pub(super) default: T,
}

pub(super) fn out_of_range<T: Into<i64>>(value: i64, min: T, max: T) -> Problem {
    Problem::OutOfRange { value, min: min.into(), max: max.into() }
}

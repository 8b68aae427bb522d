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

    /// A list of selectors; none may stand there twice. One that says the same as another in other words is only
    /// remarked upon, since MetalLB takes it.
    pub(super) fn selectors(&mut self, field: &str, inputs: &[SelectorInput]) -> Vec<Selector> {
        let mut selectors: Vec<Selector> = Vec::with_capacity(inputs.len());
        let mut written: Vec<SelectorInput> = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            let at = || format!("{field}[{index}]");
            let selector = match Selector::new(input) {
                Ok(selector) => selector,
                Err(error) => {
                    self.error(at(), Problem::Selector(error));
                    continue;
                }
            };
            let as_written = comparable(input);
            let duplicate = || Problem::Duplicate { text: selector.to_string().into() };
            if written.contains(&as_written) {
                self.error(at(), duplicate());
            } else if selectors.contains(&selector) {
                self.warn(at(), duplicate());
                written.push(as_written);
            } else {
                selectors.push(selector);
                written.push(as_written);
            }
        }
        selectors
    }

    /// A selector in which something that stands there twice is only remarked upon.
    pub(super) fn selector_even_repeating(
        &mut self,
        field: impl Into<String>,
        input: &SelectorInput,
    ) -> Option<Selector> {
        let as_written = Selector::new(input);
        let remark = as_written.as_ref().err().filter(|error| error.is_repetition()).cloned();
        let read = if remark.is_some() { Selector::new(&input.without_repetitions()) } else { as_written };
        match (read, remark) {
            (Ok(selector), None) => Some(selector),
            (Ok(selector), Some(remark)) => {
                self.warn(field, Problem::Selector(remark));
                Some(selector)
            }
            (Err(error), _) => {
                self.error(field, Problem::Selector(error));
                None
            }
        }
    }

    /// A list of names; none may stand there twice. Empty ones, as templates leave them behind, are left out with a
    /// warning; a list of nothing else names nothing, which is not the same as no list.
    pub(super) fn names<T: for<'a> From<&'a str> + Ord>(
        &mut self,
        field: &str,
        names: &[String],
    ) -> BTreeSet<T> {
        let (set, repeated) = self.distinct(field, names);
        self.problems.extend(repeated);
        set
    }

    /// As [`Check::names`], but a name that stands there twice is only remarked upon.
    pub(super) fn names_even_twice<T: for<'a> From<&'a str> + Ord>(
        &mut self,
        field: &str,
        names: &[String],
    ) -> BTreeSet<T> {
        let (set, repeated) = self.distinct(field, names);
        self.notes.extend(repeated);
        set
    }

    fn distinct<T: for<'a> From<&'a str> + Ord>(
        &mut self,
        field: &str,
        names: &[String],
    ) -> (BTreeSet<T>, Vec<(String, Problem)>) {
        let mut set = BTreeSet::new();
        let mut repeated = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let at = || format!("{field}[{index}]");
            if name.is_empty() {
                self.warn(at(), Problem::EmptyName);
                if names.iter().all(String::is_empty) {
                    set.insert(T::from(""));
                }
            } else if !set.insert(T::from(name.as_str())) {
                repeated.push((at(), Problem::Duplicate { text: name.as_str().into() }));
            }
        }
        (set, repeated)
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

/// The selector as written, except for the order of labels and of values, which nobody means anything by.
fn comparable(input: &SelectorInput) -> SelectorInput {
    let mut input = input.clone();
    input.match_labels.sort();
    for expression in &mut input.match_expressions {
        expression.values.sort();
    }
    input
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

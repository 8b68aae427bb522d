//! Labels and label selectors with the semantics of Kubernetes' `LabelSelector`, without Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::quote::quoted;

/// Labels of an object: a map from key to value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// No labels.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The value of `key`, if the label is there.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All labels in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        Self(labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// A label selector as a person writes it; nothing is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct SelectorInput {
    /// Labels that must be there with exactly these values (`matchLabels`).
    pub match_labels: Vec<(String, String)>,
    /// Further requirements (`matchExpressions`).
    pub match_expressions: Vec<ExpressionInput>,
}

impl SelectorInput {
    /// The same with every expression, and every value of an expression, only once.
    #[must_use]
    pub fn without_repetitions(&self) -> Self {
        let mut match_expressions: Vec<ExpressionInput> = Vec::with_capacity(self.match_expressions.len());
        for expression in &self.match_expressions {
            let mut expression = expression.clone();
            expression.values.sort();
            expression.values.dedup();
            if !match_expressions.contains(&expression) {
                match_expressions.push(expression);
            }
        }
        Self { match_labels: self.match_labels.clone(), match_expressions }
    }
}

/// One requirement of a selector as a person writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct ExpressionInput {
    /// Label key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values for `In` and `NotIn`, empty otherwise.
    pub values: Vec<String>,
}

/// A valid label selector: all requirements must hold. One without requirements matches everything.
///
/// `NotIn` holds when the label is missing, as in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    requirements: BTreeSet<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Checks and takes a selector.
    ///
    /// # Errors
    /// The first thing that is wrong with it, see [`SelectorError`].
    pub fn new(input: &SelectorInput) -> Result<Self, SelectorError> {
        let mut requirements = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for (key, value) in &input.match_labels {
            check_key(key)?;
            check_value(value)?;
            if !seen.insert(key) {
                return Err(SelectorError::DuplicateKey { key: key.as_str().into() });
            }
            let test = Test::In([value.clone()].into());
            requirements.insert(Requirement { key: key.clone(), test });
        }
        let mut expressions = BTreeSet::new();
        for expression in &input.match_expressions {
            let requirement = requirement(expression)?;
            if !expressions.insert(requirement.clone()) {
                return Err(SelectorError::DuplicateExpression { text: requirement.to_string().into() });
            }
            requirements.insert(requirement);
        }
        Ok(Self { requirements })
    }

    /// True when the labels meet every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }

    /// True for the empty selector.
    pub fn matches_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// True when no set of labels whatsoever can match both selectors.
    pub fn is_disjoint_from(&self, other: &Self) -> bool {
        let mut keys: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
        for requirement in self.requirements.iter().chain(&other.requirements) {
            keys.entry(&requirement.key).or_default().push(&requirement.test);
        }
        keys.values().any(|tests| !satisfiable(tests))
    }

    /// True when some set of labels matches it.
    pub fn is_satisfiable(&self) -> bool {
        !self.is_disjoint_from(&Self::default())
    }
}

/// True when the list is empty or any selector of it matches: the rule of node, service and namespace selectors,
/// where no selector means no restriction.
pub fn none_or_any_matches(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.is_empty() || any_matches(selectors, labels)
}

/// True when any selector of the list matches; an empty list matches nothing. See [`none_or_any_matches`].
pub fn any_matches(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.iter().any(|selector| selector.matches(labels))
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.requirements.is_empty() {
            return f.write_str("everything");
        }
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
        match &self.test {
            Test::In(values) if values.len() == 1 => write!(f, "{}={}", self.key, list(values)),
            Test::In(values) => write!(f, "{} in ({})", self.key, list(values)),
            Test::NotIn(values) => write!(f, "{} notin ({})", self.key, list(values)),
            Test::Exists => f.write_str(&self.key),
            Test::DoesNotExist => write!(f, "!{}", self.key),
        }
    }
}

/// What is wrong with a label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// The key is not a label key: `[prefix/]name`, name of at most 63 letters, digits, `-`, `_`, `.`.
    #[error("{} is not a label key; write [prefix/]name with letters, digits, '-', '_' and '.'", quoted(.key))]
    InvalidKey {
        /// As written.
        key: Box<str>,
    },
    /// The value cannot be the value of a label.
    #[error("{} cannot be a label value; use at most 63 letters, digits, '-', '_' and '.'", quoted(.value))]
    InvalidValue {
        /// As written.
        value: Box<str>,
    },
    /// One key stands twice in `matchLabels`.
    #[error("label {} is listed twice; remove one", quoted(.key))]
    DuplicateKey {
        /// The key.
        key: Box<str>,
    },
    /// The operator is none of the four.
    #[error("{} is not an operator; use In, NotIn, Exists or DoesNotExist", quoted(.operator))]
    UnknownOperator {
        /// As written.
        operator: Box<str>,
    },
    /// `In` or `NotIn` without values.
    #[error("operator {operator} on {} needs values; list at least one or use Exists or DoesNotExist", quoted(.key))]
    MissingValues {
        /// Label key.
        key: Box<str>,
        /// `In` or `NotIn`.
        operator: Box<str>,
    },
    /// `Exists` or `DoesNotExist` with values.
    #[error("operator {operator} on {} takes no values; remove them or use In or NotIn", quoted(.key))]
    UnexpectedValues {
        /// Label key.
        key: Box<str>,
        /// `Exists` or `DoesNotExist`.
        operator: Box<str>,
    },
    /// One expression stands twice, perhaps with its values in another order.
    #[error("expression {} is listed twice; remove one", quoted(.text))]
    DuplicateExpression {
        /// The expression, as it would be written for `kubectl`.
        text: Box<str>,
    },
    /// One value stands twice.
    #[error("value {} of {} is listed twice; remove one", quoted(.value), quoted(.key))]
    DuplicateValue {
        /// Label key.
        key: Box<str>,
        /// The value.
        value: Box<str>,
    },
}

impl SelectorError {
    /// True when all that is wrong is that something stands there twice.
    pub const fn is_repetition(&self) -> bool {
        matches!(self, Self::DuplicateExpression { .. } | Self::DuplicateValue { .. })
    }
}

fn requirement(input: &ExpressionInput) -> Result<Requirement, SelectorError> {
    check_key(&input.key)?;
    let key = || input.key.as_str().into();
    let operator = || input.operator.as_str().into();
    let test = match input.operator.as_str() {
        "In" => Test::In(values(input)?),
        "NotIn" => Test::NotIn(values(input)?),
        "Exists" | "DoesNotExist" if !input.values.is_empty() => {
            return Err(SelectorError::UnexpectedValues { key: key(), operator: operator() });
        }
        "Exists" => Test::Exists,
        "DoesNotExist" => Test::DoesNotExist,
        _ => return Err(SelectorError::UnknownOperator { operator: operator() }),
    };
    Ok(Requirement { key: input.key.clone(), test })
}

fn values(input: &ExpressionInput) -> Result<BTreeSet<String>, SelectorError> {
    let key = || Box::from(input.key.as_str());
    if input.values.is_empty() {
        return Err(SelectorError::MissingValues { key: key(), operator: input.operator.as_str().into() });
    }
    let mut values = BTreeSet::new();
    for value in &input.values {
        check_value(value)?;
        if !values.insert(value.clone()) {
            return Err(SelectorError::DuplicateValue { key: key(), value: value.as_str().into() });
        }
    }
    Ok(values)
}

/// Can some state of one label meet all the tests?
fn satisfiable(tests: &[&Test]) -> bool {
    let required: Vec<&BTreeSet<String>> = tests
        .iter()
        .filter_map(|test| if let Test::In(values) = test { Some(values) } else { None })
        .collect();
    let refused =
        |value: &String| tests.iter().any(|test| matches!(test, Test::NotIn(v) if v.contains(value)));
    let absent = tests.iter().any(|test| matches!(test, Test::DoesNotExist));
    let present = tests.iter().any(|test| matches!(test, Test::Exists | Test::In(_)));
    if absent {
        return !present;
    }
    match required.split_first() {
        None => true,
        Some((first, rest)) => {
            first.iter().any(|value| !refused(value) && rest.iter().all(|other| other.contains(value)))
        }
    }
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fits = prefix.is_none_or(|prefix| {
        !prefix.is_empty()
            && prefix.len() <= LONGEST_PREFIX
            && prefix.split('.').all(|part| {
                part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                    && starts_and_ends_alphanumeric(part)
            })
    });
    if prefix_fits && is_qualified_name(name) {
        Ok(())
    } else {
        Err(SelectorError::InvalidKey { key: key.into() })
    }
}

fn check_value(value: &str) -> Result<(), SelectorError> {
    if value.is_empty() || is_qualified_name(value) {
        Ok(())
    } else {
        Err(SelectorError::InvalidValue { value: value.into() })
    }
}

fn is_qualified_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && starts_and_ends_alphanumeric(name)
}

fn starts_and_ends_alphanumeric(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// Longest name part of a label key, and longest label value.
const LONGEST_NAME: usize = 63;
/// Longest prefix of a label key (a DNS subdomain).
const LONGEST_PREFIX: usize = 253;

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;

//! How answers are printed.

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::{self, Trouble};

/// For answers that are about objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people, as wide as the terminal
    Table,
    /// For people, with everything, as wide as it takes
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
    /// The objects that have problems, one a line, as kubectl takes them
    Name,
}

impl Output {
    /// How many characters a line may have.
    pub(crate) fn width(self) -> usize {
        if self == Self::Wide { usize::MAX } else { exit::width() }
    }
}

/// For answers without objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people, as wide as the terminal
    Table,
    /// For people, as wide as it takes
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
}

impl Form {
    /// How many characters a line may have.
    pub(crate) fn width(self) -> usize {
        if self == Self::Wide { usize::MAX } else { exit::width() }
    }
}

/// An answer for programs.
pub(crate) fn json(answer: &impl Serialize) -> Result<String, Trouble> {
    Ok(serde_json::to_string_pretty(answer).map_err(Trouble::read)? + "\n")
}

/// The same as YAML.
pub(crate) fn yaml(answer: &impl Serialize) -> Result<String, Trouble> {
    serde_saphyr::to_string(answer).map_err(Trouble::read)
}

/// A service as kubectl takes it.
pub(crate) fn service_name(namespace: &str, name: &str) -> String {
    format!("service/{name} -n {namespace}")
}

//! What a lab is asked to be.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Most nodes a lab can have: their addresses end below the pool's.
pub const MAX_NODES: usize = 64;

/// The name of a lab: lower-case letters, digits and dashes, at most 24 of them.
///
/// It names the lab's directory and tells two labs on one machine apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

impl LabName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LabName {
    fn default() -> Self {
        Self("lab".to_owned())
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LabName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 24 || text.starts_with('-') || !text.chars().all(plain) {
            return Err(Error::Name { given: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for LabName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

/// Which BGP router the lab has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterKind {
    /// Built from `metallb-bgp` as a passive collector; needs nothing installed.
    BuiltIn,
    /// BIRD 2 (`bird` and `birdc` installed).
    Bird,
    /// FRR (`zebra` and `bgpd` installed); needs root, because zebra changes its user.
    Frr,
}

impl fmt::Display for RouterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built-in router",
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
        })
    }
}

/// How to bring a lab up.
#[expect(clippy::struct_excessive_bools, reason = "the switches of a command line, each by itself")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Name of the lab.
    pub name: LabName,
    /// Number of nodes, 1 to [`MAX_NODES`]. With one node no takeover can be shown.
    pub nodes: usize,
    /// The BGP router.
    pub router: RouterKind,
    /// YAML files to use instead of the built-in configuration; empty: built-in.
    pub files: Vec<PathBuf>,
    /// The router answers BFD, and the built-in configuration has its peers watched by it.
    pub bfd: bool,
    /// End when the tour has ended, instead of staying up.
    pub tour_only: bool,
    /// Leave the lab's directory (logs, kubeconfigs) behind at the end.
    pub keep: bool,
    /// Write colours.
    pub color: bool,
    /// Log level of the daemons, as their `--log-level`.
    pub log_level: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: LabName::default(),
            nodes: 3,
            router: RouterKind::BuiltIn,
            files: Vec::new(),
            bfd: false,
            tour_only: false,
            keep: false,
            color: false,
            log_level: "info".to_owned(),
        }
    }
}

impl Options {
    /// Checks what can be checked without touching the machine.
    ///
    /// # Errors
    /// [`Error::Nodes`] when the number of nodes is out of range.
    pub fn check(&self) -> Result<(), Error> {
        if self.nodes == 0 || self.nodes > MAX_NODES {
            return Err(Error::Nodes { given: self.nodes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_directory_is_refused() {
        for bad in ["", "..", "a/b", "UPPER", "-x", "a b", &"x".repeat(25)] {
            assert!(bad.parse::<LabName>().is_err(), "{bad:?}");
        }
        assert!("team-1".parse::<LabName>().is_ok());
    }

    #[test]
    fn the_number_of_nodes_has_bounds() {
        for (nodes, good) in [(0, false), (1, true), (MAX_NODES, true), (MAX_NODES + 1, false)] {
            assert_eq!(Options { nodes, ..Options::default() }.check().is_ok(), good, "{nodes}");
        }
    }
}

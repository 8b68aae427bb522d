//! Interfaces that never announce, by name: the patterns of `excludel2.yaml`.

use std::path::{Path, PathBuf};

use regex::RegexSet;
use serde::Deserialize;

/// Interfaces excluded from Layer 2.
#[derive(Clone, Debug)]
pub(crate) struct Exclusions(RegexSet);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    announced_interfaces_to_exclude: Vec<String>,
}

/// An exclusion file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExcludeError {
    /// It is there but cannot be read.
    #[error("cannot read {path:?} (--l2-exclude-file)")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not YAML of the right shape.
    #[error("{path:?} (--l2-exclude-file) must hold a list announcedInterfacesToExclude: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// A pattern is not a regular expression.
    #[error("{path:?} (--l2-exclude-file): announcedInterfacesToExclude holds a bad pattern")]
    Pattern {
        /// The file.
        path: PathBuf,
        /// Which and why.
        source: regex::Error,
    },
}

impl Exclusions {
    /// The patterns in `path`; without that file [`DEFAULT_PATTERNS`].
    ///
    /// # Errors
    /// When the file is there but unreadable, malformed, or holds a bad pattern.
    pub(crate) fn from_file(path: &Path) -> Result<Self, ExcludeError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self::default_patterns(path);
            }
            Err(source) => return Err(ExcludeError::Unreadable { path: path.to_owned(), source }),
        };
        let file = if text.trim().is_empty() {
            File { announced_interfaces_to_exclude: Vec::new() }
        } else {
            serde_saphyr::from_str(&text).map_err(|error| ExcludeError::Malformed {
                path: path.to_owned(),
                reason: error.to_string(),
            })?
        };
        RegexSet::new(file.announced_interfaces_to_exclude)
            .map(Self)
            .map_err(|source| ExcludeError::Pattern { path: path.to_owned(), source })
    }

    fn default_patterns(path: &Path) -> Result<Self, ExcludeError> {
        tracing::info!(
            protocol = "layer2",
            path = %path.display(),
            "no list of excluded interfaces: those of pods and containers are excluded"
        );
        RegexSet::new(DEFAULT_PATTERNS)
            .map(Self)
            .map_err(|source| ExcludeError::Pattern { path: path.to_owned(), source })
    }

    /// Whether the interface is excluded; patterns match anywhere unless they anchor themselves.
    #[must_use]
    pub(crate) fn contains(&self, interface: &str) -> bool {
        self.0.is_match(interface)
    }
}

/// Interfaces of pods, containers and virtual machines, and loopback: the list in the manifests of MetalLB 0.13 to 0.16.
const DEFAULT_PATTERNS: [&str; 13] = [
    "^docker.*",
    "^cbr.*",
    "^dummy.*",
    "^virbr.*",
    "^lxcbr.*",
    "^veth.*",
    "^lo$",
    "^cali.*",
    "^tunl.*",
    "^flannel.*",
    "^kube-ipvs.*",
    "^cni.*",
    "^nodelocaldns.*",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_exclusions(text: &str) -> Result<Exclusions, ExcludeError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("excludel2.yaml");
        std::fs::write(&path, text).unwrap();
        Exclusions::from_file(&path)
    }

    #[test]
    fn patterns_match_anywhere_unless_anchored() {
        let exclusions = mk_exclusions("announcedInterfacesToExclude: [\"^docker.*\", \"cali\"]\n").unwrap();
        assert!(exclusions.contains("docker0"));
        assert!(!exclusions.contains("mydocker0"));
        assert!(exclusions.contains("xcali1"));
    }

    #[test]
    fn without_a_file_interfaces_of_pods_are_excluded_and_with_an_empty_list_none() {
        let exclusions = Exclusions::from_file(Path::new("/nonexistent/excludel2.yaml")).unwrap();
        for interface in ["lo", "cni0", "docker0", "flannel.1", "cali0123", "veth12", "kube-ipvs0"] {
            assert!(exclusions.contains(interface), "{interface}");
        }
        for interface in ["eth0", "eno1", "bond0", "br0", "wlan0", "lo0", "vlan.10"] {
            assert!(!exclusions.contains(interface), "{interface}");
        }
        for text in ["announcedInterfacesToExclude: []\n", "announcedInterfacesToExclude:\n", "{}", ""] {
            assert!(!mk_exclusions(text).unwrap().contains("cni0"), "{text:?}");
        }
    }

    #[test]
    fn a_bad_pattern_and_a_wrong_shape_are_errors_that_name_the_file() {
        let error = mk_exclusions("announcedInterfacesToExclude: [\"(\"]\n").unwrap_err();
        assert!(matches!(error, ExcludeError::Pattern { .. }));
        let error = mk_exclusions("announcedInterfacesToExclude: 7\n").unwrap_err();
        assert!(error.to_string().contains("excludel2.yaml"), "{error}");
    }
}

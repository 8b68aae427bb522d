//! The form of `/debug/state`, compared with its documentation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Members whose keys are words of their own.
const MAPS: [&str; 3] = ["weighed", "rejected", "dropped"];

/// What was found in states: the type at each path, and paths where there was nothing.
#[derive(Debug, Default)]
pub(crate) struct Form {
    types: BTreeMap<String, &'static str>,
    empty: BTreeSet<String>,
}

impl Form {
    /// Adds what is in a state.
    pub(crate) fn add(&mut self, state: &Value) {
        self.walk("", state);
    }

    fn walk(&mut self, path: &str, value: &Value) {
        let kind = match value {
            Value::Object(members) => {
                let is_map = path.rsplit('.').next().is_some_and(|last| MAPS.contains(&last));
                for (key, member) in members {
                    let key = if is_map { "*" } else { key };
                    let dot = if path.is_empty() { "" } else { "." };
                    self.walk(&format!("{path}{dot}{key}"), member);
                }
                if members.is_empty() {
                    self.empty.insert(path.to_owned());
                }
                return;
            }
            Value::Array(items) => {
                for item in items {
                    self.walk(&format!("{path}[]"), item);
                }
                if items.is_empty() {
                    self.empty.insert(format!("{path}[]"));
                }
                return;
            }
            Value::Null => {
                self.empty.insert(path.to_owned());
                return;
            }
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "boolean",
        };
        self.types.insert(path.to_owned(), kind);
    }

    /// Panics where the form is not what `docs/debug-state.md` says of a daemon. What begins with one of `rare` need not have
    /// been found.
    pub(crate) fn is_documented(&self, daemon: &str, rare: &[&str]) {
        let documented = documented(daemon);
        for (path, kind) in &self.types {
            let said = documented.get(path).unwrap_or_else(|| panic!("{path} is not documented"));
            assert_eq!(said, kind, "{path}");
        }
        for path in &self.empty {
            assert!(documented.keys().any(|said| said.starts_with(path)), "{path} is not documented");
        }
        let is_rare = |path: &&String| rare.iter().any(|rare| path.starts_with(rare));
        let missing: Vec<&String> = documented
            .keys()
            .filter(|path| !self.types.contains_key(*path))
            .filter(|path| !is_rare(path))
            .collect();
        assert!(missing.is_empty(), "documented and never there: {missing:?}");
    }
}

/// The types that the page names for a daemon, by path.
fn documented(daemon: &str) -> BTreeMap<String, String> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(here.join("../../docs/debug-state.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {daemon}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let row = |row: &str| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let path = cells.next().unwrap().trim_matches('`').to_owned();
        (path, cells.next().unwrap().to_owned())
    };
    rows.map(row).collect()
}

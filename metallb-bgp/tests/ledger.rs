//! The compliance ledgers name exactly the tests there are.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Requirement id to the tests that prove it.
type Proofs = BTreeMap<String, BTreeSet<String>>;

fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

fn is_id(word: &str) -> bool {
    let Some(number) = word.strip_prefix(|c: char| c.is_ascii_uppercase()) else { return false };
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// What `// req:` comments above test functions say.
fn tests() -> Proofs {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    files(&root.join("src"), &mut sources);
    files(&root.join("tests"), &mut sources);
    let mut proofs = Proofs::new();
    for path in sources.iter().filter(|path| path.extension().is_some_and(|ext| ext == "rs")) {
        let mut ids: Vec<String> = Vec::new();
        for line in std::fs::read_to_string(path).unwrap().lines() {
            if let Some(list) = line.trim().strip_prefix("// req: ") {
                let words = list.split([' ', ',']).filter(|word| is_id(word));
                ids = words.map(str::to_owned).collect();
            } else if let Some((_, rest)) = line.split_once("fn ") {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                for id in ids.drain(..) {
                    proofs.entry(id).or_default().insert(name.clone());
                }
            }
        }
    }
    proofs
}

/// What the rows `| id | … | tests |` of the ledgers say.
fn ledgers() -> Proofs {
    let mut pages = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compliance"), &mut pages);
    let mut proofs = Proofs::new();
    let ours =
        |page: &PathBuf| page.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"bgp-"));
    for page in pages.into_iter().filter(ours) {
        for line in std::fs::read_to_string(page).unwrap().lines() {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let (Some(id), Some(last)) = (cells.first().filter(|id| is_id(id)), cells.last()) else {
                continue;
            };
            let names = last.split('`').skip(1).step_by(2).map(str::to_owned);
            proofs.entry((*id).to_owned()).or_default().extend(names);
        }
    }
    proofs
}

#[test]
fn ledgers_and_tests_agree() {
    let (tests, ledgers) = (tests(), ledgers());
    if ledgers.is_empty() {
        // The published crate comes without the repository's documentation.
        return;
    }
    let none = BTreeSet::new();
    for (id, named) in &ledgers {
        let there = tests.get(id).unwrap_or(&none);
        assert_eq!(named, there, "{id}: left is what docs/compliance says, right are the tests");
    }
    for id in tests.keys().filter(|id| id.starts_with(['F', 'G', 'K', 'L', 'T'])) {
        assert!(ledgers.contains_key(id), "{id} has tests but no row in docs/compliance");
    }
}

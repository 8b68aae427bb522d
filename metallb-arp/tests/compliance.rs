//! The pages about RFCs and the tests they name belong together.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// All sources of the crate in one text.
fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    rust_files(&root.join("tests"), &mut files);
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn pages_and_tests_name_each_other() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compliance");
    if !docs.is_dir() {
        // The published package has no pages.
        return;
    }
    let sources = sources();
    let mut on_pages = BTreeSet::new();
    for page in ["rfc826", "rfc5227", "rfc4861"] {
        let text = fs::read_to_string(docs.join(page).with_extension("md")).unwrap();
        for row in text.lines().filter(|line| line.starts_with("| R")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            let [id, _, _, tests] = cells[..] else { panic!("{row}") };
            on_pages.insert(id.trim_start_matches("| ").to_owned());
            let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "{id} has no test");
            for name in names {
                assert!(sources.contains(&format!("fn {name}(")), "{page}: no test {name}");
            }
        }
    }
    let marks = sources.lines().filter_map(|line| line.trim().strip_prefix("/// req: "));
    for id in marks.flat_map(|ids| ids.split(", ")) {
        assert!(on_pages.contains(id), "{id} is on no page");
    }
}

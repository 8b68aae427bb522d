//! The compliance ledgers name exactly the tests there are, and what must be has tests of both kinds.
//!
//! A test says what it proves in a comment, `// req: H1, !H2`: that the first is done, and what happens where the
//! second is broken. `UPDATE_GOLDEN=1` writes the columns that follow from these comments.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names of the tests for a requirement, and of those against it.
type Proofs = BTreeMap<String, [BTreeSet<String>; 2]>;

/// One row of a ledger: the cells of `| id | level | RFC | requirement | status | tests | tests against |`.
struct Row {
    page: &'static str,
    cells: Vec<String>,
}

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn is_id(word: &str) -> bool {
    let Some(number) = word.strip_prefix(|c: char| c.is_ascii_uppercase()) else { return false };
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// What the comments above test functions say.
fn proofs() -> Proofs {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests"), &mut files);
    let mut proofs = Proofs::new();
    for path in files {
        let mut marks: Vec<String> = Vec::new();
        let mut is_test = false;
        for line in std::fs::read_to_string(&path).unwrap().lines().map(str::trim) {
            if let Some(list) = line.strip_prefix("// req: ") {
                marks = list.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
                is_test = false;
            } else if matches!(line, "#[test]" | "#[tokio::test]") {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ") {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                for mark in marks.drain(..) {
                    let (id, against) = mark.strip_prefix('!').map_or((mark.as_str(), 0), |id| (id, 1));
                    assert!(is_id(id), "{}: {mark} above {name} is no requirement", path.display());
                    assert!(is_test, "{}: {name} proves {id} but is no test", path.display());
                    proofs.entry(id.to_owned()).or_default()[against].insert(name.clone());
                }
            }
        }
    }
    proofs
}

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compliance").join(name)
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn rows() -> Vec<Row> {
    let of = |page_name: &'static str| {
        let text = std::fs::read_to_string(page(page_name)).unwrap();
        let rows = text.lines().map(cells).filter(|cells| is_id(&cells[0]));
        rows.map(|cells| Row { page: page_name, cells }).collect::<Vec<_>>()
    };
    let rows: Vec<Row> = PAGES.into_iter().flat_map(of).collect();
    for row in &rows {
        assert_eq!(row.cells.len(), COLUMNS, "{}: {:?}", row.page, row.cells);
    }
    rows
}

/// Writes the cells from `from` on of every row of a table, found by its first cell.
fn rewrite(page_name: &str, from: usize, wanted: impl Fn(&str) -> Option<Vec<String>>) {
    let text = std::fs::read_to_string(page(page_name)).unwrap();
    let line = |line: &str| {
        let mut cells = cells(line);
        let Some(wanted) = line.starts_with('|').then(|| wanted(&cells[0])).flatten() else {
            return format!("{line}\n");
        };
        cells.splice(from..from + wanted.len(), wanted);
        format!("| {} |\n", cells.join(" | "))
    };
    let text: String = text.lines().map(line).collect();
    std::fs::write(page(page_name), text).unwrap();
}

fn listed(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(" ") }
}

/// The published crate comes without the repository's documentation.
fn is_published() -> bool {
    !page("").is_dir()
}

fn updates() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn ledgers_and_tests_name_each_other() {
    if is_published() {
        return;
    }
    let proofs = proofs();
    let wanted = |id: &str| -> Option<Vec<String>> {
        is_id(id).then(|| proofs.get(id).cloned().unwrap_or_default().iter().map(listed).collect())
    };
    if updates() {
        for page in PAGES {
            rewrite(page, COLUMNS - 2, wanted);
        }
    }
    let rows = rows();
    for Row { page, cells } in &rows {
        let there = wanted(&cells[0]).unwrap();
        assert_eq!(
            cells[COLUMNS - 2..],
            there,
            "{page}, {}: left is the page, right are the tests; UPDATE_GOLDEN=1 writes the page",
            cells[0]
        );
    }
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.cells[0].as_str()).collect();
    assert_eq!(ids.len(), rows.len(), "a requirement has one row");
    for (id, tests) in &proofs {
        assert!(ids.contains(id.as_str()), "{id} stands on no page, but above {tests:?}");
    }
}

#[test]
fn what_must_be_has_tests_for_and_against() {
    if is_published() {
        return;
    }
    let proofs = proofs();
    let musts: BTreeSet<String> =
        rows().into_iter().filter(|row| row.cells[1] == "must").map(|row| row.cells[0].clone()).collect();
    let expected: BTreeSet<String> = MUST.into_iter().map(str::to_owned).collect();
    assert_eq!(musts, expected, "left is what the pages call a must");
    let lacking = |id: &&String| proofs.get(*id).is_none_or(|tests| tests.iter().any(BTreeSet::is_empty));
    let lacking: Vec<&String> = musts.iter().filter(lacking).collect();
    assert!(lacking.is_empty(), "without a test of either kind: {lacking:?}");
}

/// The cells that follow from the rows of each RFC: its requirements, what their statuses are, and their pages.
fn by_rfc() -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, [Vec<String>; 3]>::new();
    let mut rows = rows();
    let number = |id: &str| id[1..].parse::<u8>().unwrap();
    rows.sort_by_key(|row| (row.cells[0].as_bytes()[0], number(&row.cells[0])));
    for Row { page, cells } in rows {
        for rfc in cells[2].split([' ', ',']).filter(|word| word.parse::<u16>().is_ok()) {
            let new = [cells[0].clone(), cells[4].clone(), format!("[{page}]({page})")];
            for (list, cell) in all.entry(format!("RFC {rfc}")).or_default().iter_mut().zip(new) {
                if !list.contains(&cell) {
                    list.push(cell);
                }
            }
        }
    }
    let joined =
        |[ids, statuses, pages]: [Vec<String>; 3]| vec![ids.join(" "), statuses.join("; "), pages.join(" ")];
    all.into_iter().map(|(rfc, lists)| (rfc, joined(lists))).collect()
}

#[test]
fn the_index_lists_every_rfc_with_its_requirements() {
    if is_published() {
        return;
    }
    let by_rfc = by_rfc();
    if updates() {
        rewrite(INDEX, 2, |rfc| by_rfc.get(rfc).cloned());
    }
    let text = std::fs::read_to_string(page(INDEX)).unwrap();
    let rows = text.lines().map(cells).filter(|cells| cells[0].starts_with("RFC "));
    let there: BTreeMap<String, Vec<String>> =
        rows.map(|cells| (cells[0].clone(), cells[2..].to_vec())).collect();
    assert_eq!(there, by_rfc, "left is the index");
}

const PAGES: [&str; 4] = ["bgp-wire.md", "bgp-session.md", "bfd.md", "unnumbered.md"];
const INDEX: &str = "bgp.md";
const COLUMNS: usize = 7;

/// What a speaker must do; all else is a should or a may.
const MUST: [&str; 81] = [
    "H1", "H2", "H3", "H4", "H5", "O1", "O2", "O3", "O4", "O5", "O6", "O7", "N1", "N2", "U1", "K1", "F1",
    "F2", "F3", "F4", "F5", "F6", "F7", "F9", "A1", "A2", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11",
    "I1", "L1", "C1", "C2", "C3", "C4", "C5", "C6", "C10", "R5", "E1", "E2", "E3", "E4", "G1", "G2", "G3",
    "G4", "G5", "G6", "G7", "G8", "T1", "T4", "T5", "T6", "T7", "T8", "X1", "X2", "X4", "B1", "B2", "B3",
    "B4", "B5", "B6", "B7", "B8", "B11", "B12", "B14", "J1", "J2", "J4", "J6", "J7",
];

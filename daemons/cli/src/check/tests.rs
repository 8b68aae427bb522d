use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Checked, Finding, Scope, Severity, check, json, render};
use crate::document::documents;
use crate::input::Source;

fn scope() -> Scope {
    Scope { namespace: None, lb_class: String::new() }
}

fn check_text(name: &str, text: &str) -> Checked {
    let sources = vec![Source { name: name.to_owned(), text: text.to_owned() }];
    let (found, findings) = documents(&sources);
    check(sources, &found, findings, &scope(), false)
}

fn line(finding: &Finding) -> String {
    let place = finding.span.map_or_else(|| "-".to_owned(), |span| format!("{}:{}", span.line, span.column));
    let mut line = format!("{place} {}[{}] ", finding.severity.word(), finding.rule);
    for part in [&finding.object, &finding.field].into_iter().filter(|part| !part.is_empty()) {
        line.push_str(part);
        line.push_str(": ");
    }
    line.push_str(&finding.message);
    if let Some(help) = &finding.help {
        let _ = write!(line, " => {help}");
    }
    line
}

fn files(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

/// Compares with the file kept beside the test, or writes it with `UPDATE_GOLDEN=1`.
fn assert_golden(file: &Path, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, found).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(found, expected, "{}", file.display());
}

#[test]
fn every_wrong_file_is_answered_with_line_column_and_remedy() {
    let files = files("tests/testdata/wrong");
    assert!(files.len() >= 50, "{}", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let checked = check_text("wrong.yaml", &text);
        assert!(!checked.findings.is_empty(), "nothing found in {}", file.display());
        for finding in &checked.findings {
            assert!(finding.span.is_some(), "no place in {}: {}", file.display(), line(finding));
        }
        let lines: String = checked.findings.iter().map(|finding| line(finding) + "\n").collect();
        assert_golden(&file.with_extension("expected"), &lines);
    }
}

#[test]
fn what_is_shipped_as_samples_is_clean() {
    let files = files("../../deploy/samples");
    assert!(files.len() > 10);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let checked = check_text("sample", &text);
        let lines: Vec<_> = checked.findings.iter().map(line).collect();
        assert!(lines.is_empty(), "{}: {lines:#?}", file.display());
    }
}

#[test]
fn the_report_for_people_points_at_the_words() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/wrong/many-at-once.yaml"),
    );
    let checked = check_text("pools.yaml", &text.unwrap());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/report");
    for width in [80, 200] {
        assert_golden(&golden.join(format!("text-{width}.txt")), &render::text(&checked, false, width));
    }
    assert_golden(&golden.join("report.json"), &json::json(&checked).unwrap());
    assert_golden(&golden.join("report.sarif"), &render::sarif(&checked));
}

#[test]
fn a_password_is_never_shown() {
    for name in ["peer-password-number", "peer-password-twice", "peer-secret-type"] {
        let file = format!("tests/testdata/wrong/{name}.yaml");
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let checked = check_text("peers.yaml", &text);
        for report in
            [render::text(&checked, false, 100), json::json(&checked).unwrap(), render::sarif(&checked)]
        {
            assert!(!report.contains("hush") && !report.contains("12345"), "{report}");
        }
    }
}

#[test]
fn a_name_that_leads_nowhere_is_an_error_only_where_everything_is_known() {
    let text = "apiVersion: metallb.io/v1beta1\nkind: BGPAdvertisement\nmetadata: {name: wan}\nspec: {communities: [quiet]}\n";
    let sources = vec![Source { name: "a".to_owned(), text: text.to_owned() }];
    let (found, _) = documents(&sources);
    for (complete, severity) in [(false, Severity::Warning), (true, Severity::Error)] {
        let checked = check(sources.clone(), &found, Vec::new(), &scope(), complete);
        assert_eq!(checked.findings.iter().map(|one| one.severity).collect::<Vec<_>>(), [severity]);
    }
}

#[test]
fn objects_of_other_kinds_are_counted() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: ClusterIP}\n";
    let checked = check_text("a", text);
    assert_eq!(checked.skipped, [("Deployment".to_owned(), 1)].into());
    assert!(checked.findings.is_empty());
}

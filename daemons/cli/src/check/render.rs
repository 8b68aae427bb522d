//! Reports: for people as a compiler writes them, JSON, and SARIF.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::{Checked, Finding, Severity};
use crate::input::Source;

/// For people.
pub(super) fn text(checked: &Checked, is_styled: bool, width: usize) -> String {
    let renderer = if is_styled { Renderer::styled() } else { Renderer::plain() }.term_width(width);
    let mut out = String::new();
    for finding in &checked.findings {
        out.push_str(&renderer.render(&[group(finding, &checked.sources)]));
        out.push_str("\n\n");
    }
    out.push_str(&summary(checked));
    out.push('\n');
    out
}

fn group<'a>(finding: &'a Finding, sources: &'a [Source]) -> annotate_snippets::Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(title(finding)).id(finding.rule);
    let source = finding.source.and_then(|index| sources.get(index));
    let group = match (source, finding.span) {
        (Some(source), Some(span)) if !finding.is_secret() => {
            let (start, end) = (span.start, one_line(&source.text, span.start, span.end));
            let annotation = AnnotationKind::Primary.span(start..end);
            title.element(
                Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(annotation),
            )
        }
        (Some(source), Some(span)) => title.element(
            annotate_snippets::Origin::path(source.name.as_str()).line(span.line).char_column(span.column),
        ),
        (Some(source), None) => title.element(annotate_snippets::Origin::path(source.name.as_str())),
        (None, _) => annotate_snippets::Group::with_title(title),
    };
    match &finding.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

fn title(finding: &Finding) -> String {
    let mut title = String::new();
    for part in [&finding.object, &finding.field] {
        if !part.is_empty() {
            title.push_str(part);
            title.push_str(": ");
        }
    }
    title + &finding.message
}

/// The end of a span, cut at the end of its first line.
fn one_line(text: &str, start: usize, end: usize) -> usize {
    let part = text.get(start..end).unwrap_or_default();
    let length = part.find('\n').unwrap_or(part.len());
    start.saturating_add(part.get(..length).unwrap_or_default().trim_end().len())
}

fn count(checked: &Checked, severity: Severity) -> usize {
    checked.findings.iter().filter(|finding| finding.severity == severity).count()
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// The last line.
fn summary(checked: &Checked) -> String {
    let (errors, warnings) = (count(checked, Severity::Error), count(checked, Severity::Warning));
    let mut line = format!("{} checked: ", plural(checked.objects, "object"));
    match (errors, warnings) {
        (0, 0) => line.push_str("nothing is wrong"),
        (0, _) => line.push_str(&plural(warnings, "warning")),
        (_, 0) => line.push_str(&plural(errors, "error")),
        _ => line.push_str(&[plural(errors, "error"), plural(warnings, "warning")].join(", ")),
    }
    if !checked.skipped.is_empty() {
        let others: usize = checked.skipped.values().sum();
        let kinds: Vec<_> = checked.skipped.keys().map(String::as_str).collect();
        // Writing to a String does not fail.
        let _ = write!(
            line,
            " ({} of other kinds not looked at: {})",
            plural(others, "object"),
            kinds.join(", ")
        );
    }
    line
}

/// The format that code hosts show beside the lines of a change.
pub(super) fn sarif(checked: &Checked) -> String {
    let rules: BTreeMap<&str, Value> =
        checked.findings.iter().map(|finding| (finding.rule, json!({"id": finding.rule}))).collect();
    let results: Vec<_> = checked.findings.iter().map(|finding| result(finding, &checked.sources)).collect();
    let report = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "metallb check", "version": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://metallb.io", "rules": rules.into_values().collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints", "results": results,
        }],
    });
    format!("{report:#}\n")
}

fn result(finding: &Finding, sources: &[Source]) -> Value {
    let mut message = title(finding);
    if let Some(help) = &finding.help {
        message.push_str("; ");
        message.push_str(help);
    }
    let mut result =
        json!({"ruleId": finding.rule, "level": finding.severity.word(), "message": {"text": message}});
    let source = finding.source.and_then(|index| sources.get(index));
    if let (Some(source), Value::Object(map)) = (source, &mut result) {
        let mut location = json!({"artifactLocation": {"uri": source.name.replace('\\', "/")}});
        if let (Some(span), Value::Object(location)) = (finding.span, &mut location) {
            let region = json!({"startLine": span.line, "startColumn": span.column});
            location.insert("region".to_owned(), region);
        }
        map.insert("locations".to_owned(), json!([{"physicalLocation": location}]));
    }
    result
}

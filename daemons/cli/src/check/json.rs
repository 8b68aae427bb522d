//! The report for programs: `docs/schema/check.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Checked, Finding, Severity};
use crate::exit::Trouble;
use crate::input::Source;

/// What a check found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Check"))]
pub(crate) struct Printed<'a> {
    /// How many findings are errors.
    errors: usize,
    findings: Vec<PrintedFinding<'a>>,
    /// How many objects of MetalLB's kinds and services were checked.
    objects: usize,
    /// How many objects of other kinds there were, by kind; they were not checked.
    skipped: &'a BTreeMap<String, usize>,
    /// How many findings are warnings.
    warnings: usize,
}

/// One thing that is wrong, or that deserves attention.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Finding"))]
struct PrintedFinding<'a> {
    /// In characters, from 1.
    column: Option<usize>,
    /// Path of the field; empty when it is the object as a whole.
    field: &'a str,
    /// `null` for what is in the cluster.
    file: Option<&'a str>,
    /// What to do about it.
    help: Option<&'a str>,
    /// From 1.
    line: Option<usize>,
    message: &'a str,
    /// As in `IPAddressPool "web"`; empty when it is none.
    object: &'a str,
    /// A stable word for what is wrong.
    rule: &'a str,
    /// `error` or `warning`.
    severity: &'a str,
}

/// The report as JSON.
pub(super) fn json(checked: &Checked) -> Result<String, Trouble> {
    let count = |severity| checked.findings.iter().filter(|finding| finding.severity == severity).count();
    let report = Printed {
        errors: count(Severity::Error),
        findings: checked.findings.iter().map(|finding| printed(finding, &checked.sources)).collect(),
        objects: checked.objects,
        skipped: &checked.skipped,
        warnings: count(Severity::Warning),
    };
    Ok(serde_json::to_string_pretty(&report).map_err(Trouble::read)? + "\n")
}

fn printed<'a>(finding: &'a Finding, sources: &'a [Source]) -> PrintedFinding<'a> {
    let source = finding.source.and_then(|index| sources.get(index));
    PrintedFinding {
        column: finding.span.map(|span| span.column),
        field: &finding.field,
        file: source.map(|source| source.name.as_str()),
        help: finding.help.as_deref(),
        line: finding.span.map(|span| span.line),
        message: &finding.message,
        object: &finding.object,
        rule: finding.rule,
        severity: finding.severity.word(),
    }
}

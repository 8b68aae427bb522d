//! `metallb check`: what the daemons and the API server would say about a configuration.

mod diff;
mod finding;
mod json;
mod judge;
mod render;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use metallb_k8s::facts::ClassFilter;

pub(crate) use finding::{Finding, Severity, nearest, split_remedy};
#[cfg(test)]
pub(crate) use json::Printed;
pub(crate) use judge::check;

use crate::connect::Way;
use crate::document::{Document, documents};
use crate::exit::{self, Trouble};
use crate::input::{Source, read};

/// Checks a configuration as the API server and the daemons do, before they do.
///
/// Exit status 0: nothing is wrong; 1: there are errors; 2: wrong usage; 3: it could not be found out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// YAML or JSON files, directories of such files, or - for standard input.
    #[arg(required_unless_present = "cluster", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Check what is in the cluster instead of files.
    #[arg(long, conflicts_with = "files")]
    cluster: bool,

    /// Say which services would change address, owner or routes if FILE were applied on top; may be repeated.
    #[arg(long, value_name = "FILE")]
    diff: Vec<PathBuf>,

    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,

    /// How to print what was found.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,

    #[command(flatten)]
    scope: Scope,

    #[command(flatten)]
    way: Way,
}

/// Where MetalLB is, and which services are its.
#[derive(Args, Clone, Debug)]
pub struct Scope {
    /// Namespace of MetalLB; without it the one that the objects name, or metallb-system.
    #[arg(short, long, env = "METALLB_NAMESPACE", value_name = "NAME")]
    pub(crate) namespace: Option<String>,

    /// Only services of this class, as the daemons' flag of the same name.
    #[arg(long, default_value = "", value_name = "CLASS")]
    pub(crate) lb_class: String,
}

/// Forms of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For code review in CI: SARIF 2.1.0.
    Sarif,
}

const EXAMPLES: &str = "\
Examples:
  metallb check pools.yaml peers.yaml            the files together, as if they were all there is
  kustomize build . | metallb check -            what kustomize makes
  helm template my-chart | metallb check -       what Helm makes
  metallb check --cluster                        what is in the cluster
  metallb check --cluster --diff new.yaml        what would change if new.yaml were applied
  metallb check -o sarif deploy/ > check.sarif   for code review in CI";

/// What a check was made of and what it found.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) sources: Vec<Source>,
    pub(crate) findings: Vec<Finding>,
    /// Objects of the group that were checked.
    pub(crate) objects: usize,
    /// Objects of other kinds, which were not.
    pub(crate) skipped: BTreeMap<String, usize>,
}

/// Runs the command.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    exit::report(answer(args))
}

fn answer(args: &CheckArgs) -> Result<ExitCode, Trouble> {
    let sources = read(&args.files).map_err(Trouble::read)?;
    let (documents, findings) = gather(args.cluster.then_some(&args.way), &sources, &args.scope)?;
    if !args.cluster && documents.is_empty() && findings.is_empty() {
        let message = "there is nothing to check: what was given has no object in it; see whether the program before the pipe failed";
        return Err(Trouble::unknown(message));
    }
    if !args.diff.is_empty() {
        return diff::run(&documents, &args.diff, &args.scope);
    }
    let mut checked = check(sources, &documents, findings, &args.scope, args.cluster);
    if args.strict {
        checked.findings.iter_mut().for_each(|finding| finding.severity = Severity::Error);
    }
    let text = match args.output {
        Output::Text => render::text(&checked, exit::is_terminal(), exit::width()),
        Output::Json => json::json(&checked)?,
        Output::Sarif => render::sarif(&checked),
    };
    exit::print(&text)?;
    let is_wrong = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if is_wrong { exit::NO } else { ExitCode::SUCCESS })
}

/// The objects of files, or of the cluster to which a way leads.
pub(crate) fn gather(
    way: Option<&Way>,
    sources: &[Source],
    scope: &Scope,
) -> Result<(Vec<Document>, Vec<Finding>), Trouble> {
    match way {
        Some(way) => Ok((crate::cluster::documents(way, &scope.in_cluster())?, Vec::new())),
        None => Ok(documents(sources)),
    }
}

impl Scope {
    /// Where MetalLB is in a cluster.
    pub(crate) fn in_cluster(&self) -> String {
        self.namespace.clone().unwrap_or_else(|| NAMESPACE.to_owned())
    }

    /// Where MetalLB is, by these objects if nobody says.
    pub(crate) fn namespace(&self, documents: &[Document]) -> String {
        if let Some(namespace) = &self.namespace {
            return namespace.clone();
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for document in documents.iter().filter(|document| document.version().is_some()) {
            if let Some(namespace) = &document.namespace {
                let count = counts.entry(namespace).or_default();
                *count = count.saturating_add(1);
            }
        }
        // Of equally common ones the usual one, or else the first by name.
        let best = counts
            .iter()
            .max_by_key(|(name, count)| (**count, **name == NAMESPACE, std::cmp::Reverse(**name)));
        best.map_or_else(|| NAMESPACE.to_owned(), |(name, _)| (*name).to_owned())
    }

    pub(crate) fn class(&self) -> ClassFilter {
        ClassFilter::new(self.lb_class.clone())
    }
}

/// The report for people, in the form that standard error has.
pub(crate) fn render_text(checked: &Checked) -> String {
    render::text(checked, exit::is_error_terminal(), exit::width())
}

/// Where MetalLB usually is.
const NAMESPACE: &str = "metallb-system";

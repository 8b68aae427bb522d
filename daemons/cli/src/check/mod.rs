//! `metallb check`: what the daemons and the API server would say about a configuration.

mod diff;
mod finding;
mod render;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use metallb_core::config::{Config, ConfigError, Kind, Problem};
use metallb_core::facts::AddressOwner;
use metallb_core::ipam::owned_addresses;
use metallb_k8s::convert::{configure, warnings};
use metallb_k8s::facts::ClassFilter;
use metallb_k8s::legacy::is_old_format;

pub(crate) use finding::{Finding, Severity, nearest, split_remedy};
use schema::Definitions;

use crate::document::{Document, documents, skipped};
use crate::exit::{self, Trouble};
use crate::input::{Source, Value, read};
use crate::world::World;

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
    let (documents, findings) = gather(args.cluster, &sources, &args.scope)?;
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
        Output::Json => render::json(&checked),
        Output::Sarif => render::sarif(&checked),
    };
    exit::print(&text)?;
    let is_wrong = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if is_wrong { exit::NO } else { ExitCode::SUCCESS })
}

/// The objects of files, or of the cluster.
pub(crate) fn gather(
    cluster: bool,
    sources: &[Source],
    scope: &Scope,
) -> Result<(Vec<Document>, Vec<Finding>), Trouble> {
    if cluster {
        Ok((crate::cluster::documents(&scope.in_cluster())?, Vec::new()))
    } else {
        Ok(documents(sources))
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

/// Checks objects. `complete` says that there are no others, so that a name that leads nowhere is an error.
pub(crate) fn check(
    sources: Vec<Source>,
    documents: &[Document],
    mut findings: Vec<Finding>,
    scope: &Scope,
    complete: bool,
) -> Checked {
    let definitions = Definitions::load();
    let objects = documents.iter().filter(|document| document.version().is_some()).count();
    let mut readable = Vec::with_capacity(documents.len());
    for document in documents {
        let Some(version) = document.version() else {
            findings.extend(old_format(document));
            readable.push(document.clone());
            continue;
        };
        let found = definitions.check(&document.kind, version, &document.node.to_json());
        // A value of the wrong type has been named; the rest of the object can be judged without it.
        let wrong: Vec<_> =
            found.iter().filter(|one| one.rule == "type").map(|one| one.field.as_str()).collect();
        readable.push(document.without(&wrong));
        findings.extend(found.into_iter().chain(named(document)).map(|finding| document.place(finding)));
    }
    let world = World::new(&readable, &scope.namespace(documents), &scope.class());
    findings.extend(world.findings.iter().cloned());
    configured(&world, documents, complete, &mut findings);
    for peer in world.resources.peers.iter().filter_map(|peer| peer.object.as_ref().ok()) {
        let name = peer.metadata.name.clone().unwrap_or_default();
        for (field, remark) in warnings(peer) {
            let (message, help) = split_remedy(remark);
            let finding = Finding { help, ..Finding::warning("no_effect", field, message) };
            findings.push(place(&world, documents, Kind::Peer, &name, finding));
        }
    }
    findings.sort_by_key(|finding| (finding.source, finding.span, finding.severity));
    Checked { findings, objects, skipped: skipped(documents), sources }
}

/// Whether the object has a name that Kubernetes takes.
fn named(document: &Document) -> Option<Finding> {
    let is_part = |part: &str| {
        let is_inner = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        !part.is_empty() && part.bytes().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    let name = document.name.as_str();
    let help = "write small letters, digits and dashes, as in my-pool";
    if !name.is_empty() {
        let is_good = name.len() <= LONGEST_NAME && name.split('.').all(is_part);
        let message = format!("{name:?} is not a name of an object");
        return (!is_good).then(|| Finding::error("name", "metadata.name", message).help(help));
    }
    if document.node.find("metadata.generateName").node.is_some() {
        return None;
    }
    match document.node.find("metadata.name").node.map(|node| &node.value) {
        None | Some(Value::Null | Value::Text(_)) => {
            Some(Finding::error("name", "metadata.name", "is missing").help(help))
        }
        // The definition says that it must be a text.
        Some(_) => None,
    }
}

/// A ConfigMap that MetalLB before 0.13 would have read.
fn old_format(document: &Document) -> Option<Finding> {
    if (document.api_version.as_str(), document.kind.as_str()) != ("v1", "ConfigMap") {
        return None;
    }
    let text = document.node.get("data").and_then(|data| data.text("config"))?;
    let data = BTreeMap::from([("config".to_owned(), text.to_owned())]);
    let message = "a configuration in the format of MetalLB before 0.13 is not read";
    let finding = Finding::error("old_format", "data.config", message);
    is_old_format(&data).then(|| document.place(finding.help("`metallb convert` turns it into resources")))
}

/// What the daemons say.
fn configured(world: &World, documents: &[Document], complete: bool, findings: &mut Vec<Finding>) {
    let built = configure(&world.resources, &Config::default());
    let errors = built.errors.iter().map(|error| (error, Severity::Error));
    let nodes = world.nodes.iter().map(|node| (AddressOwner::Node(node.name.clone()), node.own_addresses()));
    let owned = owned_addresses(&built.config, nodes);
    let warnings = built.warnings.iter().chain(&owned).map(|error| (error, Severity::Warning));
    let all: Vec<_> = errors.chain(warnings).collect();
    for (error, severity) in all {
        let (message, help) = split_remedy(&error.problem.to_string());
        let help = similar(world, &error.problem).or(help);
        let finding =
            Finding { severity, help, ..Finding::error(error.reason(), error.field.clone(), message) };
        let finding = place(world, documents, error.object.kind, &error.object.name, finding);
        replace_rule(&finding, findings);
        if is_said(&finding, error, findings) {
            continue;
        }
        findings.push(if error.problem.is_missing_reference() && !complete {
            Finding { severity: Severity::Warning, ..finding }
        } else {
            finding
        });
    }
}

/// An object of nearly the name that leads nowhere.
fn similar(world: &World, problem: &Problem) -> Option<String> {
    let (kind, name) = match problem {
        Problem::UnknownPool { pool } => (Kind::Pool, pool.as_str()),
        Problem::UnknownPeer { peer } => (Kind::Peer, peer.as_str()),
        Problem::UnknownProfile { profile } => (Kind::BfdProfile, profile.as_str()),
        _ => return None,
    };
    let known = world.places.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str());
    finding::nearest(name, known).map(|near| format!("did you mean {near:?}?"))
}

/// What a rule of the definition says about an object, the daemons say about a field and with a remedy.
fn replace_rule(finding: &Finding, findings: &mut Vec<Finding>) {
    let same = |earlier: &Finding| {
        earlier.rule == "rule"
            && earlier.object == finding.object
            && earlier.source == finding.source
            && is_below(&finding.field, &earlier.field)
    };
    if let Some(index) = findings.iter().position(same) {
        findings.remove(index);
    }
}

/// Whether a field is another one, or inside it.
fn is_below(field: &str, other: &str) -> bool {
    field.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Whether the definition said it before: about the same field, or that the object cannot be read.
fn is_said(finding: &Finding, error: &ConfigError, findings: &[Finding]) -> bool {
    let same = |earlier: &&Finding| earlier.object == finding.object && earlier.source == finding.source;
    let mut earlier = findings.iter().filter(same).filter(|earlier| earlier.severity == Severity::Error);
    if error.reason() == "unreadable" {
        return earlier.next().is_some();
    }
    earlier
        .any(|earlier| is_below(&earlier.field, &finding.field) || is_below(&finding.field, &earlier.field))
}

fn place(world: &World, documents: &[Document], kind: Kind, name: &str, finding: Finding) -> Finding {
    let document = world.places.get(&(kind, name.to_owned())).and_then(|index| documents.get(*index));
    let document =
        if finding.rule == "duplicate_name" { last(documents, kind, name).or(document) } else { document };
    match document {
        Some(document) => document.place(finding),
        None => Finding { object: format!("{kind} {name:?}"), ..finding },
    }
}

/// The last object of a kind and name: where a name is there twice, that is the one too many.
fn last<'a>(documents: &'a [Document], kind: Kind, name: &str) -> Option<&'a Document> {
    let kind = kind.to_string();
    documents
        .iter()
        .rfind(|document| document.version().is_some() && document.kind == kind && document.name == name)
}

/// The report for people, in the form that standard error has.
pub(crate) fn render_text(checked: &Checked) -> String {
    render::text(checked, exit::is_error_terminal(), exit::width())
}

/// Where MetalLB usually is.
const NAMESPACE: &str = "metallb-system";
const LONGEST_NAME: usize = 253;

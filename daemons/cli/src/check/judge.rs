//! What is held against objects: by the definitions, and by the daemons' own code.

use std::collections::BTreeMap;

use metallb_core::config::{Config, ConfigError, Kind, Problem};
use metallb_core::ipam::owned_addresses;
use metallb_k8s::convert::{configure, warnings};
use metallb_k8s::legacy::is_old_format;

use super::finding::{Finding, Severity, nearest, split_remedy};
use super::schema::Definitions;
use super::{Checked, Scope};
use crate::document::{Document, skipped};
use crate::input::{Source, Value};
use crate::world::World;

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
    let owned = owned_addresses(&built.config, world.owners());
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
    nearest(name, known).map(|near| format!("did you mean {near:?}?"))
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

/// As Kubernetes has it.
const LONGEST_NAME: usize = 253;

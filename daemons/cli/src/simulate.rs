//! `metallb simulate`: who gets which address, and who announces it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use metallb_core::config::Config;
use metallb_core::facts::{Node, Service};
use metallb_core::ipam::{Report, Usage};
use metallb_core::keys::NodeName;
use metallb_core::select::Labels;
use metallb_core::simulate::{Difference, Outcome, ServiceOutcome, Situation, diff, simulate};
use metallb_k8s::convert::configure;
use serde_json::{Value, json};

use crate::check::{Checked, Scope, Severity, check, gather, render_text};
use crate::document::{Document, documents};
use crate::exit::{self, Trouble};
use crate::input::read;
use crate::world::World;

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;

/// Shows which service would get which address, and which node would announce it.
///
/// Services keep the addresses that they have. Without nodes in the files there are three, without endpoints every
/// service is ready on every node, and every session is up. Exit status 0: every service gets what it asks for and is
/// announced; 1: not every one; 2: wrong usage; 3: it could not be found out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// YAML or JSON files with pools, advertisements, services, nodes; directories of such; - for standard input.
    #[arg(required_unless_present = "cluster", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Take everything from the cluster instead.
    #[arg(long, conflicts_with = "files")]
    cluster: bool,

    /// Then let these nodes fail, and show what changes; may be repeated.
    #[arg(long, value_name = "NODE")]
    kill: Vec<String>,

    /// Then take these nodes out of load balancing, as a cordoned node is; may be repeated.
    #[arg(long, value_name = "NODE")]
    drain: Vec<String>,

    /// Then add a pool of these addresses that every service may use; may be repeated.
    #[arg(long, value_name = "ADDRESSES")]
    add_pool: Vec<String>,

    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

const EXAMPLES: &str = "\
Examples:
  metallb simulate pools.yaml services.yaml           who gets what, from files
  metallb simulate --cluster --kill worker-1          who takes over
  metallb simulate --cluster --add-pool 192.0.2.0/28  who gets an address then
  kustomize build . | metallb simulate -              what kustomize makes";

/// Runs the command.
pub(crate) fn run(args: &SimulateArgs) -> ExitCode {
    exit::report(answer(args))
}

fn answer(args: &SimulateArgs) -> Result<ExitCode, Trouble> {
    let sources = read(&args.files).map_err(Trouble::read)?;
    let (mut objects, findings) = gather(args.cluster, &sources, &args.scope)?;
    let checked = check(sources, &objects, findings, &args.scope, args.cluster);
    warn(&checked);
    let before = situation(&objects, &args.scope);
    let now = Instant::now();
    let outcome = simulate(now, &before);
    let changed = change(args, &mut objects, &before, &outcome)?;
    let after = changed.as_ref().map(|situation| simulate(now, situation));
    let last = after.as_ref().unwrap_or(&outcome);
    let differences = after.as_ref().map(|after| diff(&outcome, after));
    let text = match args.output {
        Output::Table => table(last, differences.as_deref()),
        Output::Json => format!("{:#}\n", to_json(last, differences.as_deref())),
    };
    exit::print(&text)?;
    let is_good = |entry: &ServiceOutcome| problems(entry).is_empty();
    Ok(if last.services.values().all(is_good) { ExitCode::SUCCESS } else { exit::NO })
}

/// Errors of the configuration, on standard error: what has them is not in force.
pub(crate) fn warn(checked: &Checked) {
    if checked.findings.iter().any(|finding| finding.severity == Severity::Error) {
        eprint!("{}", render_text(checked));
    }
}

/// The situation that objects describe.
pub(crate) fn situation(objects: &[Document], scope: &Scope) -> Situation {
    let world = World::new(objects, &scope.namespace(objects), &scope.class());
    let config = configure(&world.resources, &Config::default()).config;
    let mut situation = Situation::new(Arc::new(config));
    situation.endpoints = world.endpoints();
    situation.nodes = if world.nodes.is_empty() { three_nodes() } else { world.nodes };
    situation.namespaces = world.namespaces;
    situation.services = world.services;
    situation
}

fn three_nodes() -> Vec<Node> {
    ["node-1", "node-2", "node-3"].map(|name| Node::new(NodeName::new(name), Labels::new())).to_vec()
}

/// What shall happen then; `None` when nothing.
fn change(
    args: &SimulateArgs,
    objects: &mut Vec<Document>,
    before: &Situation,
    outcome: &Outcome,
) -> Result<Option<Situation>, Trouble> {
    if args.kill.is_empty() && args.drain.is_empty() && args.add_pool.is_empty() {
        return Ok(None);
    }
    let mut after = before.clone();
    after.services = outcome.adopted(&before.services);
    for name in args.kill.iter().chain(&args.drain) {
        if before.nodes.iter().all(|node| node.name.as_str() != name) {
            let known: Vec<_> = before.nodes.iter().map(|node| node.name.as_str()).collect();
            return Err(Trouble::usage(format!(
                "there is no node {name:?}; the nodes are {}",
                known.join(", ")
            )));
        }
    }
    let is_killed = |node: &NodeName| args.kill.iter().any(|name| name == node.as_str());
    after.nodes.retain(|node| !is_killed(&node.name));
    for node in &mut after.nodes {
        node.excluded |= args.drain.iter().any(|name| name == node.name.as_str());
    }
    for endpoints in &mut after.endpoints {
        for family in [metallb_core::keys::Family::V4, metallb_core::keys::Family::V6] {
            let family = endpoints.of_mut(family);
            family.ready.nodes.retain(|node| !is_killed(node));
            family.terminating.nodes.retain(|node| !is_killed(node));
        }
    }
    if !args.add_pool.is_empty() {
        add_pools(args, objects)?;
        after.config = situation(objects, &args.scope).config;
    }
    Ok(Some(after))
}

fn add_pools(args: &SimulateArgs, objects: &mut Vec<Document>) -> Result<(), Trouble> {
    for (index, addresses) in args.add_pool.iter().enumerate() {
        if let Err(error) = metallb_core::addr::AddressRange::parse(addresses) {
            return Err(Trouble::usage(format!("--add-pool {addresses}: {error}")));
        }
        objects.push(Document::of_cluster(json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": format!("added-{}", index.saturating_add(1))},
            "spec": {"addresses": [addresses]},
        })));
    }
    let world = World::new(objects, &args.scope.namespace(objects), &args.scope.class());
    let built = configure(&world.resources, &Config::default());
    let added = built.errors.iter().find(|error| error.object.name.starts_with("added-"));
    added.map_or(Ok(()), |error| {
        Err(Trouble::usage(format!("--add-pool: {}: {}", error.field, error.problem)))
    })
}

/// `metallb check --diff`: what would change if the new objects were applied over the old ones.
pub(crate) fn differences(
    old: &[Document],
    new: &[PathBuf],
    scope: &Scope,
) -> Result<(Checked, Vec<Difference>), Trouble> {
    let sources = read(new).map_err(Trouble::read)?;
    let (fresh, findings) = documents(&sources);
    let mut all = old.to_vec();
    let namespace = scope.namespace(&all);
    let id = |document: &Document| {
        let place = document.namespace.clone();
        let place = if document.version().is_some() {
            place.unwrap_or_else(|| namespace.clone())
        } else {
            place.unwrap_or_else(|| "default".to_owned())
        };
        let group = document.api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        (group, document.kind.clone(), place, document.name.clone())
    };
    let mut known: BTreeMap<_, usize> =
        all.iter().enumerate().map(|(index, object)| (id(object), index)).collect();
    for document in fresh {
        let index = *known.entry(id(&document)).or_insert(all.len());
        match all.get_mut(index) {
            Some(earlier) => *earlier = over(earlier, document),
            None => all.push(document),
        }
    }
    let checked = check(sources, &all, findings, scope, false);
    let now = Instant::now();
    let mut before = situation(old, scope);
    let outcome = simulate(now, &before);
    let mut after = situation(&all, scope);
    before.services = outcome.adopted(&before.services);
    let changed: Vec<Service> = after.services.drain(..).collect();
    after.services = outcome.adopted(&changed);
    if before.nodes.len() != after.nodes.len()
        && before.nodes.iter().all(|node| node.name.as_str().starts_with("node-"))
    {
        before.nodes.clone_from(&after.nodes);
    }
    let outcome = simulate(now, &before);
    Ok((checked, diff(&outcome, &simulate(now, &after))))
}

/// The new object with the age and the status of the one that it replaces.
fn over(old: &Document, mut new: Document) -> Document {
    use crate::input::{Entry, Value};
    let kept = |name: &str, from: Option<&crate::input::Node>| from?.get(name).cloned();
    let created = kept("creationTimestamp", old.node.get("metadata"));
    let status = old.node.get("status").cloned();
    let entry = |key: &str, node| Entry { key: key.to_owned(), key_span: None, node, merged: true };
    if let Value::Map(fields) = &mut new.node.value {
        let meta = fields.iter_mut().find(|field| field.key == "metadata").map(|field| &mut field.node.value);
        if let (Some(Value::Map(meta)), Some(created)) = (meta, created) {
            meta.retain(|field| field.key != "creationTimestamp");
            meta.push(entry("creationTimestamp", created));
        }
        if let Some(status) = status {
            fields.retain(|field| field.key != "status");
            fields.push(entry("status", status));
        }
    }
    new
}

/// Why a service did not get what it asks for.
fn failures(entry: &ServiceOutcome) -> impl Iterator<Item = String> {
    entry.reports.iter().filter_map(|report| match report {
        Report::Failed(error) | Report::AdditionalFailed(error) => Some(error.to_string()),
        Report::InvalidRequest(error) => Some(error.to_string()),
        Report::Released { reason, .. } => Some(reason.to_string()),
        Report::Held { pool, .. } => {
            Some(format!("keeps its address although pool {pool:?} is not in force"))
        }
        _ => None,
    })
}

/// Everything that is wrong with a service.
fn problems(entry: &ServiceOutcome) -> Vec<String> {
    let mut all: Vec<_> = failures(entry).chain(entry.problems.iter().map(ToString::to_string)).collect();
    if all.is_empty() && !entry.addresses.is_empty() && announcers(entry).is_empty() {
        all.push("no node is left to announce it; heal or add one".to_owned());
    }
    all
}

fn announcers(entry: &ServiceOutcome) -> Vec<String> {
    let layer2: BTreeSet<&NodeName> = entry.owners.values().collect();
    let bgp: Vec<&str> = entry
        .prefixes
        .iter()
        .filter(|(_, routes)| !routes.is_empty())
        .map(|(node, _)| node.as_str())
        .collect();
    let mut parts: Vec<String> = layer2.iter().map(|node| format!("layer2 {node}")).collect();
    if !bgp.is_empty() {
        parts.push(format!("bgp {}", bgp.join(",")));
    }
    parts
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

fn table(outcome: &Outcome, differences: Option<&[Difference]>) -> String {
    let mut out = String::new();
    let rows = outcome.services.iter().map(|(key, entry)| {
        let by = announcers(entry);
        let by = if by.is_empty() { "-".to_owned() } else { by.join("; ") };
        vec![key.to_string(), joined(&entry.addresses), joined(&entry.pools), by]
    });
    lines(&mut out, &["SERVICE", "ADDRESSES", "POOLS", "ANNOUNCED BY"], rows.collect());
    let rows = outcome.pools.iter().map(|(pool, usage)| {
        vec![
            pool.to_string(),
            capacity(usage.assigned_v4, usage.available_v4),
            capacity(usage.assigned_v6, usage.available_v6),
        ]
    });
    out.push('\n');
    lines(&mut out, &["POOL", "IPV4 USED", "IPV6 USED"], rows.collect());
    let mut said = String::new();
    for (key, entry) in &outcome.services {
        for problem in problems(entry) {
            line(&mut said, &format!("{key}: {problem}"));
        }
    }
    if !said.is_empty() {
        out.push_str("\nPROBLEMS\n");
        out.push_str(&said);
    }
    if let Some(differences) = differences {
        out.push_str("\nWHAT CHANGED\n");
        out.push_str(&changes(differences));
    }
    out
}

/// One line for each difference.
pub(crate) fn changes(differences: &[Difference]) -> String {
    let mut out = String::new();
    for difference in differences {
        line(&mut out, &difference.to_string());
    }
    if differences.is_empty() { "nothing\n".to_owned() } else { out }
}

fn line(out: &mut String, text: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{text}");
}

fn capacity(used: u128, free: u128) -> String {
    let all = used.saturating_add(free);
    if all == 0 { "-".to_owned() } else { format!("{used} of {all}") }
}

fn lines(out: &mut String, head: &[&str], mut rows: Vec<Vec<String>>) {
    rows.insert(0, head.iter().map(|cell| (*cell).to_owned()).collect());
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        line(out, cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn to_json(outcome: &Outcome, differences: Option<&[Difference]>) -> Value {
    let services = outcome.services.iter().map(|(key, entry)| {
        let owners = entry.owners.iter().map(|(address, node)| (address.to_string(), Value::from(node.as_str())));
        let prefixes = entry.prefixes.iter().map(|(node, prefixes)| {
            (node.to_string(), prefixes.iter().map(ToString::to_string).collect::<Value>())
        });
        json!({
            "namespace": key.namespace(), "name": key.name(),
            "addresses": entry.addresses, "pools": entry.pools.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "layer2": owners.collect::<serde_json::Map<_, _>>(), "bgp": prefixes.collect::<serde_json::Map<_, _>>(),
            "problems": problems(entry),
        })
    });
    let usage = |usage: &Usage| {
        // Larger numbers than JSON readers keep are written as texts.
        json!({
            "assignedIPv4": usage.assigned_v4.to_string(), "availableIPv4": usage.available_v4.to_string(),
            "assignedIPv6": usage.assigned_v6.to_string(), "availableIPv6": usage.available_v6.to_string(),
        })
    };
    let pools = outcome.pools.iter().map(|(pool, of)| (pool.to_string(), usage(of)));
    json!({
        "services": services.collect::<Vec<_>>(), "pools": pools.collect::<serde_json::Map<_, _>>(),
        "changes": differences.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>()),
    })
}

//! `metallb simulate`: who gets which address, and who announces it.

mod change;
mod json;
mod render;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use metallb_core::config::Config;
use metallb_core::facts::Node;
use metallb_core::keys::NodeName;
use metallb_core::select::Labels;
use metallb_core::simulate::{Outcome, ServiceOutcome, Situation, diff, simulate};
use metallb_k8s::convert::configure;
use serde_json::json;

pub(crate) use change::differences;
#[cfg(test)]
pub(crate) use json::Printed;
pub(crate) use render::changes;

use crate::check::{Checked, Scope, Severity, check, gather, render_text};
use crate::connect::Way;
use crate::document::Document;
use crate::exit::{self, Trouble};
use crate::input::read;
use crate::output::Output;
use crate::world::World;

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

    #[command(flatten)]
    way: Way,
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
    let (mut objects, findings) = gather(args.cluster.then_some(&args.way), &sources, &args.scope)?;
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
        Output::Table | Output::Wide => render::table(last, differences.as_deref(), args.output.width()),
        Output::Json => json::json(last, differences.as_deref())?,
        Output::Yaml => json::yaml(last, differences.as_deref())?,
        Output::Name => render::names(last),
    };
    exit::print(&text)?;
    let is_good = |entry: &ServiceOutcome| render::problems(entry).is_empty();
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

//! `metallb explain`: why a service is reachable or not.

mod allocation;
mod announcement;
mod chain;
mod remedy;
mod render;
mod service;
mod sessions;
mod statuses;
#[cfg(test)]
mod tests;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use metallb_core::config::Config;
use metallb_k8s::convert::configure;

use crate::connect::{ConnectArgs, connect, runtime};
use crate::exit::{self, Trouble};
use crate::output::{self, Output};
use crate::snapshot::Snapshot;
pub(crate) use chain::Chain;
use remedy::Subject;

/// Explains why a service is reachable or not, and what helps.
///
/// Shows the whole chain of decisions in order: type, class, request, pools, address, speakers, endpoints, advertisements,
/// election, prefixes. They are made here by the daemons' own code on what the cluster says; what is not allowed to be
/// seen is named. Exit status 0: reachable as configured; 1: not; 2: wrong usage; 3: it could not be found out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// Name of the service, or NAMESPACE/NAME.
    service: String,

    /// Namespace of the service; without it the one of the kubeconfig's context.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,

    /// Ask the network, too: is there a route to the address, and who answers ARP or neighbor discovery for it? On a node,
    /// or on a machine in the same segment; needs CAP_NET_RAW.
    #[arg(long)]
    wire: bool,

    /// The interface of the segment for --wire; without it the one to which the route leads.
    #[arg(long, requires = "wire", value_name = "NAME")]
    interface: Option<String>,

    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    connection: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  metallb explain web                     why is its EXTERNAL-IP pending?
  metallb explain web -n shop             a service of another namespace
  metallb explain shop/web -o json        for programs
  sudo -E metallb explain web --wire      and who answers for it on this segment?
  kubectl metallb explain web             the same as a plugin of kubectl";

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> ExitCode {
    exit::report(answer(args))
}

fn answer(args: &ExplainArgs) -> Result<ExitCode, Trouble> {
    let (stated, name) = match args.service.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, args.service.as_str()),
    };
    if stated.is_some() && args.namespace.is_some() && stated != args.namespace {
        return Err(Trouble::usage("the service names a namespace, and -n another; keep one of them"));
    }
    let (snapshot, default) = runtime()?.block_on(async {
        let connected = connect(&args.connection.way).await?;
        Ok((Snapshot::gather(&connected.client, &args.connection).await?, connected.namespace))
    })?;
    let namespace = stated.or_else(|| args.namespace.clone()).unwrap_or(default);
    let mut chain = explain(Instant::now(), &snapshot, &namespace, name);
    if args.wire {
        let asked = wire::wire(&mut chain, &snapshot, (&namespace, name), args.interface.as_deref());
        runtime()?.block_on(asked);
    }
    let text = match args.output {
        Output::Table | Output::Wide => {
            render::table(&chain, &snapshot, args.output.width(), exit::is_terminal())
        }
        Output::Json => output::json(&chain)?,
        Output::Yaml => output::yaml(&chain)?,
        // Nothing where nothing is wrong with it.
        Output::Name if chain.answer().is_some() => output::service_name(&namespace, name) + "\n",
        Output::Name => String::new(),
    };
    exit::print(&text)?;
    Ok(status(&chain))
}

/// The explanation for people, without colours.
pub(crate) fn page(now: Instant, snapshot: &Snapshot, namespace: &str, name: &str, width: usize) -> String {
    render::table(&explain(now, snapshot, namespace, name), snapshot, width, false)
}

fn status(chain: &Chain) -> ExitCode {
    match chain.first_break() {
        Some(_) => exit::NO,
        None if chain.is_uncertain() => exit::cannot_say(),
        None => ExitCode::SUCCESS,
    }
}

/// The whole chain for one service. Pure: what was seen goes in, and any time.
pub(crate) fn explain(now: Instant, snapshot: &Snapshot, namespace: &str, name: &str) -> Chain {
    let mut chain = Chain::new(format!("{namespace}/{name}"));
    let Some(object) = snapshot.find("Service", namespace, name) else {
        chain.push(service::missing(snapshot, namespace, name));
        return chain;
    };
    let subject = Subject { snapshot, object };
    if !service::installation(&mut chain, snapshot) || !service::kind(&mut chain, subject) {
        return chain;
    }
    let world = snapshot.world();
    let key = metallb_core::keys::ServiceKey::new(namespace, name);
    let Some(fact) = world.services.iter().find(|fact| fact.key == key) else {
        chain.push(chain::Step::unknown("service", "it cannot be read"));
        return chain;
    };
    service::annotations(&mut chain, subject);
    if !service::request(&mut chain, subject, fact) {
        return chain;
    }
    let built = configure(&world.resources, &Config::default());
    allocation::configuration(&mut chain, subject, &built);
    allocation::controller(&mut chain, subject, fact);
    let config = Arc::new(built.config);
    if let Some(explanation) = allocation::decide(now, snapshot, &world, &config, fact) {
        allocation::pools(&mut chain, subject, fact, &explanation);
    }
    if !fact.assigned.is_empty() {
        announcement::announcement(&mut chain, subject, &world, &config, fact);
    }
    chain
}

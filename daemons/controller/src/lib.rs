//! The controller: gives services their addresses.
//!
//! Only wiring: the watches of `metallb-k8s` feed the assigner of `metallb-core`, whose actions become writes. One task
//! owns the assigner; it exists only while this controller leads.
#![forbid(unsafe_code)]

mod args;
mod inputs;
mod leader;
mod metrics;
mod reports;
mod secret;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metallb_core::ipam;
use metallb_core::keys::ServiceKey;
use metallb_k8s::facts::ClassFilter;
use metallb_k8s::lease;
use metallb_k8s::watch::ObjectKey;
use metallb_k8s::write::{self, Stats, Writer};
use metallb_runtime::http::{DebugState, Readiness, serve_debug, serve_metrics, serve_probes};
use metallb_runtime::metrics::Scrape;
use metallb_runtime::{client, daemon};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use args::Args;
use inputs::{Inputs, Key};
use leader::Leader;

/// Runs the controller with these arguments (the first is the program's name) until it is told to stop.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    daemon::run(args, |args: &Args| &args.common, main)
}

async fn main(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let namespace = args.common.namespace();
    let timing = args.lease_timing()?;
    let stats = Arc::new(Stats::new());
    let client = client::connect(&args.common, Arc::clone(&stats)).await?;
    let (scrapes, debug_states, readiness) = endpoints(&args).await?;
    let class = ClassFilter::new(args.common.lb_class.as_str());
    let inputs = Inputs::start(&client, &namespace, class.clone(), &stats);
    let owner = match args.deployment() {
        Some(deployment) => secret::owner(&client, &namespace, deployment).await?,
        None => None,
    };
    if let Some(name) = args.secret_name() {
        secret::ensure(&client, &namespace, name, owner.clone()).await?;
    }
    let queue = inputs.queue.clone();
    let options = write::Options::new(&namespace, "metallb-controller", Arc::clone(&stats))
        .class(class)
        .owner(owner)
        .outdated(move |service| queue.push(Key::Service(object_key(&service))));
    let mut election = lease::Options::new(&namespace, args.identity(), Arc::clone(&stats));
    election.timing = timing;
    let controller = Controller {
        inputs,
        writer: Writer::new_forbidden(client.clone(), options),
        options: ipam::Options {
            dual_stack_two_pools: args.dual_stack_two_pools,
            quarantine: args.address_quarantine,
        },
        leader: None,
        stats,
        readiness,
    };
    let candidacy = lease::spawn(client, election);
    controller.run(candidacy, scrapes, debug_states, stop).await;
    Ok(())
}

/// Opens the HTTP endpoints and returns what they ask.
async fn endpoints(
    args: &Args,
) -> anyhow::Result<(mpsc::Receiver<Scrape>, mpsc::Receiver<DebugState>, Readiness)> {
    let readiness = Readiness::default();
    let (ask_metrics, scrapes) = mpsc::channel(4);
    let (ask_state, states) = mpsc::channel(1);
    serve_metrics(args.common.host()?, args.common.port, ask_metrics).await?;
    let probes = (std::net::Ipv6Addr::UNSPECIFIED, args.common.health_probe_port);
    serve_probes(probes.into(), readiness.clone()).await?;
    serve_debug(args.common.debug_address()?, ask_state).await?;
    Ok((scrapes, states, readiness))
}

/// The owner of everything the controller knows.
struct Controller {
    inputs: Inputs,
    writer: Writer,
    options: ipam::Options,
    leader: Option<Leader>,
    stats: Arc<Stats>,
    readiness: Readiness,
}

impl Controller {
    async fn run(
        mut self,
        candidacy: lease::Candidacy,
        mut scrapes: mpsc::Receiver<Scrape>,
        mut states: mpsc::Receiver<DebugState>,
        stop: CancellationToken,
    ) {
        let mut leading = candidacy.leading();
        let mut synced = false;
        loop {
            let timeout = self.leader.as_ref().and_then(Leader::next_timeout);
            let timeout = timeout.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.inputs.synced(), if !synced => {
                    synced = true;
                    tracing::info!("caches are synced");
                    self.readiness.set(true);
                    self.lead(*leading.borrow_and_update());
                }
                changed = leading.changed() => {
                    let leads = changed.is_ok() && *leading.borrow_and_update();
                    self.lead(leads && synced);
                }
                key = self.inputs.queue.pop(), if synced => self.look(&key),
                () = tokio::time::sleep_until(timeout.into()) => {
                    if let Some(leader) = &mut self.leader {
                        leader.tick(Instant::now());
                    }
                }
                Some(scrape) = scrapes.recv() => self.answer(scrape),
                Some(state) = states.recv() => self.show(state),
            }
        }
        self.stop(candidacy, &leading).await;
    }

    /// Finishes what is being written, then gives the lease back.
    async fn stop(self, candidacy: lease::Candidacy, leading: &watch::Receiver<bool>) {
        if *leading.borrow() && tokio::time::timeout(FLUSH_LIMIT, self.writer.idle()).await.is_err() {
            tracing::warn!(waiting = self.writer.busy(), "not everything was written before the stop");
        }
        self.writer.forbid();
        candidacy.release().await;
    }

    fn lead(&mut self, leads: bool) {
        match (leads, self.leader.is_some()) {
            (true, false) => {
                self.writer.allow();
                let writer = self.writer.clone();
                let mut leader = Leader::start(&self.inputs, writer, self.options, Instant::now());
                leader.flush(&self.inputs);
                self.leader = Some(leader);
            }
            (false, true) => {
                self.writer.forbid();
                self.leader = None;
            }
            _ => {}
        }
    }

    /// Looks at everything that waits, then writes what is coalesced.
    fn look(&mut self, key: &Key) {
        let Some(leader) = &mut self.leader else { return };
        leader.look(&self.inputs, key, Instant::now());
        if self.inputs.queue.depth() == 0 {
            leader.flush(&self.inputs);
        }
    }

    fn answer(&self, scrape: Scrape) {
        let families = metrics::families(self.leader.as_ref(), &self.inputs.queue, &self.stats);
        if scrape.send(families).is_err() {
            tracing::debug!("the scraper went away");
        }
    }

    fn show(&self, state: DebugState) {
        if state.send(metrics::debug_state(self.leader.as_ref())).is_err() {
            tracing::debug!("the reader of the state went away");
        }
    }
}

fn object_key(service: &ServiceKey) -> ObjectKey {
    ObjectKey::namespaced(service.namespace(), service.name())
}

/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// How long a stop may wait for writes under way.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

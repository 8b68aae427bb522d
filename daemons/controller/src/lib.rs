//! The controller: gives services their addresses.
//!
//! Only wiring: the watches of `metallb-k8s` feed the assigner of `metallb-core`, whose actions become writes. One task
//! owns the assigner; it exists only while this controller leads.
#![forbid(unsafe_code)]

mod args;
mod certificates;
mod configured;
mod debug;
mod inputs;
mod leader;
mod memory;
mod metrics;
mod reports;
mod secret;
mod waits;
mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use metallb_core::ipam;
use metallb_core::keys::ServiceKey;
use metallb_k8s::facts::ClassFilter;
use metallb_k8s::lease;
use metallb_k8s::leftovers::{Sources, sweep};
use metallb_k8s::legacy::warn_about_old_config_maps;
use metallb_k8s::retry::{Retries, Seed};
use metallb_k8s::watch::ObjectKey;
use metallb_k8s::webhook::bundle::Service;
use metallb_k8s::write::{self, Stats, Target, Writer};
use metallb_runtime::http::{DebugState, Piece, Readiness, serve_debug, serve_metrics, serve_probes};
use metallb_runtime::metrics::Scrape;
use metallb_runtime::tls::{Certificates, follow_directory};
use metallb_runtime::{client, daemon};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use args::{Args, WebhookMode};
use certificates::Certification;
use configured::Configured;
use debug::Explained;
use inputs::{Inputs, Key};
use leader::Leader;
use memory::Memory;
use secret::Belongings;
use webhook::{Port, Webhooks};

/// Runs the controller with these arguments (the first is the program's name) until it is told to stop.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    daemon::run(args, main)
}

async fn main(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    for notice in args.common.check()? {
        notice.log();
    }
    let namespace = args.common.namespace();
    let timing = args.lease_timing()?;
    let stats = Arc::new(Stats::new());
    let retries = Retries::new(Seed::new(metallb_runtime::seed()));
    let (client, server) = client::connect_knowing(&args.common, Arc::clone(&stats), retries.clone()).await?;
    let (scrapes, states, readiness) = endpoints(&args, &client, &retries).await?;
    let class = ClassFilter::new(args.common.lb_class.as_str());
    let inputs = Inputs::start((&client, server), &namespace, class.clone(), &stats, &retries);
    let mut election = lease::Options::new(&namespace, args.identity(), Arc::clone(&stats), retries.clone());
    election.timing = timing;
    tokio::spawn(warn_about_old_config_maps(client.clone(), namespace.clone(), retries.clone()));
    let (own, owner) = oneshot::channel();
    let secrets = (namespace.as_str(), &inputs.configuration.passwords);
    let belongings = Belongings::new(&client, &retries, secrets, args.deployment(), args.secret_name());
    let secrets_changed = belongings.changed();
    tokio::spawn(belongings.keep(own));
    let candidacy =
        (args.webhook.mode != WebhookMode::OnlyWebhook).then(|| lease::spawn(client.clone(), election));
    let leading = candidacy.as_ref().map(lease::Candidacy::leading);
    let options = metallb_k8s::watch::Options::new(Arc::clone(&stats), retries.clone());
    let certificates = start_webhooks(&args, &client, &inputs, leading, options).await?;
    let controller = Controller {
        inputs,
        client,
        class,
        options: ipam::Options {
            dual_stack_two_pools: args.dual_stack_two_pools,
            quarantine: args.address_quarantine,
            sharing_order: args.sharing_order.into(),
            sharing_scope: args.sharing_scope.into(),
            deletion_grace: args.pool_deletion_grace,
            startup_hold: args.startup_hold,
            report_delay: REPORT_DELAY,
        },
        configured: Configured::nothing(),
        secrets_changed,
        synced: false,
        state_settled: false,
        certificates,
        writer: None,
        leader: None,
        memory: None,
        sweep: None,
        stats,
        metrics_per_service: args.metrics_per_service,
        retries,
        readiness,
    };
    controller
        .run(Questions { owner, scrapes, states, explanations: mpsc::channel(1) }, candidacy, stop)
        .await?;
    Ok(())
}

/// Opens the webhooks' port and sees to its certificates, unless that is switched off. `leading` says whether this
/// controller writes them; without it, it always does.
async fn start_webhooks(
    args: &Args,
    client: &Client,
    inputs: &Inputs,
    leading: Option<watch::Receiver<bool>>,
    options: metallb_k8s::watch::Options,
) -> anyhow::Result<Option<Certificates>> {
    let flags = &args.webhook;
    if flags.mode == WebhookMode::Disabled {
        return Ok(None);
    }
    let certificates = Certificates::new();
    let webhooks = Webhooks::new(inputs);
    let tls = args.common.tls()?;
    let port = Port { number: flags.port, tls, certificates: certificates.clone(), http2: flags.http2 };
    webhooks.serve(port).await?;
    if flags.disable_cert_rotation {
        tokio::spawn(follow_directory(flags.cert_dir.clone(), certificates.clone()));
    } else {
        let service = Service { namespace: inputs.namespace.clone(), name: flags.service.clone() };
        let certification =
            Certification::new(client, service, &flags.secret, certificates.clone(), &options);
        let active = leading.unwrap_or_else(|| watch::channel(true).1);
        tokio::spawn(certification.run(active));
    }
    Ok(Some(certificates))
}

/// Until there is a certificate to show.
async fn certified(certificates: Option<&Certificates>) {
    while certificates.is_some_and(|certificates| !certificates.is_present()) {
        tokio::time::sleep(CERTIFICATE_PERIOD).await;
    }
}

/// What others send while the controller runs.
struct Questions {
    /// Who owns what the controller makes; comes once.
    owner: oneshot::Receiver<Option<OwnerReference>>,
    /// `/metrics`.
    scrapes: mpsc::Receiver<Scrape>,
    /// `/debug/state`.
    states: mpsc::Receiver<DebugState>,
    /// What is asked in parts so that it can be answered: see [`Controller::show`].
    explanations: (mpsc::Sender<Piece<Explained>>, mpsc::Receiver<Piece<Explained>>),
}

/// Opens the HTTP endpoints and returns what they ask.
async fn endpoints(
    args: &Args,
    client: &Client,
    retries: &Retries,
) -> anyhow::Result<(mpsc::Receiver<Scrape>, mpsc::Receiver<DebugState>, Readiness)> {
    let readiness = Readiness::new(retries.clone());
    let (ask_metrics, scrapes) = mpsc::channel(4);
    let (ask_state, states) = mpsc::channel(1);
    serve_metrics(&args.common, client, ask_metrics).await?;
    let probes = (std::net::Ipv6Addr::UNSPECIFIED, args.common.health_probe_port);
    serve_probes(probes.into(), readiness.clone()).await?;
    serve_debug(args.common.debug_address()?, ask_state).await?;
    Ok((scrapes, states, readiness))
}

/// The owner of everything the controller knows.
struct Controller {
    inputs: Inputs,
    client: Client,
    class: ClassFilter,
    options: ipam::Options,
    configured: Configured,
    /// To be notified when Secrets may have changed.
    secrets_changed: Arc<Notify>,
    /// Whether everything has been listed once.
    synced: bool,
    /// Whether it is known what its `ConfigurationState` says, or that this may not be known.
    state_settled: bool,
    /// What the webhooks show; `None` without webhooks, and once there is something to show.
    certificates: Option<Certificates>,
    /// There once it is known who owns what is written.
    writer: Option<Writer>,
    leader: Option<Leader>,
    /// What is left of the time when it led before.
    memory: Option<Memory>,
    /// Removes what nodes leave behind, while this controller leads.
    sweep: Option<AbortOnDropHandle<()>>,
    stats: Arc<Stats>,
    /// Whether there is a series for each service.
    metrics_per_service: bool,
    retries: Retries,
    readiness: Readiness,
}

impl Controller {
    /// Runs until `stop`, then finishes what is being written.
    ///
    /// # Errors
    /// When the election ends before that.
    async fn run(
        mut self,
        mut questions: Questions,
        candidacy: Option<lease::Candidacy>,
        stop: CancellationToken,
    ) -> Result<(), ElectionEnded> {
        // Without candidacy it never leads.
        let (_never, idle) = watch::channel(false);
        let mut leading = candidacy.as_ref().map_or(idle, lease::Candidacy::leading);
        let end = loop {
            let timeout = self.leader.as_ref().and_then(Leader::next_timeout);
            let timeout = timeout.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                () = self.inputs.synced(), if !self.synced => {
                    tracing::info!("caches are synced");
                    self.synced = true;
                    self.configured.update(&self.inputs);
                    self.readiness.set(self.certificates.is_none());
                    self.lead(*leading.borrow());
                }
                () = certified(self.certificates.as_ref()), if self.certificates.is_some() => {
                    self.certificates = None;
                    self.readiness.set(self.synced);
                }
                owner = &mut questions.owner, if self.writer.is_none() => {
                    self.writer = Some(self.mk_writer(owner.ok().flatten()));
                    self.lead(*leading.borrow());
                }
                () = self.inputs.state.settled(), if !self.state_settled => {
                    self.state_settled = true;
                    self.inputs.queue.push(Key::State);
                }
                leads = changed(&mut leading) => match leads {
                    Ok(leads) => self.lead(leads),
                    Err(ended) => break Err(ended),
                },
                key = self.inputs.queue.pop(), if self.synced => self.look(&key),
                () = tokio::time::sleep_until(timeout.into()) => {
                    if let Some(leader) = &mut self.leader {
                        leader.tick(&self.inputs);
                    }
                }
                // Without the endpoint there is nobody who asks.
                Some(scrape) = questions.scrapes.recv() => self.answer(scrape),
                Some(state) = questions.states.recv() => self.show(state, questions.explanations.0.clone()),
                Some(piece) = questions.explanations.1.recv() => self.explain(piece),
            }
        };
        if end.is_err() {
            self.readiness.set(false);
            self.lead(false);
        }
        self.stop(candidacy).await;
        end
    }

    /// Finishes what is being written, then gives the lease back.
    async fn stop(mut self, candidacy: Option<lease::Candidacy>) {
        if let Some(leader) = &mut self.leader {
            // What the pools' statuses say while nobody leads is what was the case.
            leader.flush(&self.inputs);
        }
        if let Some(writer) = self.writer {
            if tokio::time::timeout(FLUSH_LIMIT, writer.idle()).await.is_err() {
                tracing::warn!(
                    waiting = writer.busy(),
                    error = "the API server is too slow",
                    "not everything was written before the stop"
                );
            }
            writer.forbid();
        }
        if let Some(candidacy) = candidacy {
            candidacy.release().await;
        }
    }

    /// Starts to lead, if everything is there for it, or stops.
    fn lead(&mut self, leads: bool) {
        let Some(writer) = &self.writer else { return };
        match (leads && self.synced, self.leader.is_some()) {
            (true, false) => {
                writer.allow();
                let configured = self.configured.clone();
                let memory = self.memory.take().unwrap_or_else(Memory::new);
                let leader = Leader::start(&self.inputs, configured, writer.clone(), self.options, memory);
                self.leader = Some(leader);
                let sources =
                    Sources { nodes: self.inputs.nodes.clone(), speakers: self.inputs.speakers.clone() };
                let (client, namespace) = (self.client.clone(), self.inputs.namespace.clone());
                let sweep = sweep(client, namespace, sources, writer.clone(), self.retries.clone());
                self.sweep = Some(AbortOnDropHandle::new(tokio::spawn(sweep)));
            }
            (false, true) => {
                // Before that is forbidden, which drops what is not written yet.
                self.memory = self.leader.take().map(Leader::end);
                writer.forbid();
                self.sweep = None;
            }
            _ => {}
        }
    }

    /// A writer that may not write before this controller leads.
    fn mk_writer(&self, owner: Option<OwnerReference>) -> Writer {
        let (queue, contests) = (self.inputs.queue.clone(), self.inputs.queue.clone());
        let namespace = self.inputs.namespace.as_str();
        let system = namespace.to_owned();
        let (stats, retries) = (Arc::clone(&self.stats), self.retries.clone());
        let options = write::Options::new(namespace, "metallb-controller", stats, retries)
            .class(self.class.clone())
            .owner(owner)
            .contested(move |contest| contests.push(Key::Contest(contest)))
            .outdated(move |outdated| match outdated {
                Target::Service(service) => queue.push(Key::Outdated(object_key(&service))),
                Target::Object(kind, name) => {
                    queue.push(Key::Status(kind, ObjectKey::namespaced(system.as_str(), name)));
                }
                Target::Own(..) => queue.push(Key::State),
            });
        Writer::new_forbidden(self.client.clone(), options)
    }

    /// Looks at something that changed; what is coalesced is written when nothing else waits.
    fn look(&mut self, key: &Key) {
        if *key == Key::Configuration {
            self.secrets_changed.notify_one();
            self.configured.update(&self.inputs);
        }
        let Some(leader) = &mut self.leader else { return };
        leader.look(&self.inputs, &self.configured, key);
        if self.inputs.queue.depth() == 0 || leader.is_overdue() {
            leader.flush(&self.inputs);
        }
    }

    fn answer(&self, scrape: Scrape) {
        let began = Instant::now();
        let configured = self.synced.then_some(&self.configured);
        let mut families = metrics::families(self.leader.as_ref(), configured, &self.inputs, &self.stats);
        let held = self.leader.as_ref().map(|leader| (metrics::pool_names(leader), metrics::held(leader)));
        let per_service = self.metrics_per_service;
        tracing::debug!(micros = micros(began), "the owner's part of a scrape");
        // What is long is put into words elsewhere.
        tokio::spawn(async move {
            if let Some((pools, held)) = held {
                families.push(metrics::services(pools, &held));
                families.extend(per_service.then(|| metrics::per_service(&held)));
            }
            if scrape.send(families).is_err() {
                tracing::debug!("the scraper went away");
            }
        });
    }

    /// Has the state put into words elsewhere, with explanations that are asked for in pieces.
    fn show(&self, asked: DebugState, owner: mpsc::Sender<Piece<Explained>>) {
        let began = Instant::now();
        match debug::Own::new(self.leader.as_ref(), &self.configured, asked.service.as_ref()) {
            Some(own) => drop(tokio::spawn(debug::answer(asked, own, owner))),
            None => asked.answer(None::<&()>),
        }
        tracing::debug!(micros = micros(began), "the owner's part of a state");
    }

    fn explain(&self, piece: Piece<Explained>) {
        let began = Instant::now();
        let explained = debug::explained(self.leader.as_ref(), piece.services);
        tracing::debug!(micros = micros(began), services = explained.len(), "the owner's part of a state");
        if piece.answer.send(explained).is_err() {
            tracing::debug!("the reader of the state went away");
        }
    }
}

/// How long something took.
fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Leader election has ended while the controller runs: it could never lead again, or would lead without the lease. The
/// process ends, too, and is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leader election has ended: this controller could never lead again")]
struct ElectionEnded;

/// Whether we lead, when that has changed.
async fn changed(leading: &mut watch::Receiver<bool>) -> Result<bool, ElectionEnded> {
    leading.changed().await.map_err(|_| ElectionEnded)?;
    Ok(*leading.borrow_and_update())
}

fn object_key(service: &ServiceKey) -> ObjectKey {
    ObjectKey::namespaced(service.namespace(), service.name())
}

/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Pause between two looks whether there is a certificate.
const CERTIFICATE_PERIOD: Duration = Duration::from_millis(100);

/// How long a failure that may only be the order of the watches must last before it is told.
const REPORT_DELAY: Duration = Duration::from_secs(1);

/// How long a stop may wait for writes under way.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_the_election_is_noticed() {
        let (leads, mut leading) = watch::channel(false);
        leads.send_replace(true);
        assert_eq!(changed(&mut leading).await, Ok(true));
        drop(leads);
        assert_eq!(changed(&mut leading).await, Err(ElectionEnded));
    }
}

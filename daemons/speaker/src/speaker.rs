//! The one loop that owns the announcements: everything else sends it facts.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use kube::Client;
use metallb_arp::io::linux;
use metallb_bgp::fsm::State;
use metallb_bgp::session;
use metallb_bgp::wire::update::Action;
use metallb_core::announce::Explanation;
use metallb_k8s::write::Stats;
use metallb_k8s::write::events::Severity;
use metallb_runtime::http::{DebugState, Piece, Readiness};
use metallb_runtime::metrics::Scrape;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::announcer::Announcer;
use crate::args::PeerLabel;
use crate::inputs::Key;
use crate::membership::{self, Heard};
use crate::sources::{DriverEnded, DriverEvent, Sources};
use crate::{debug, metrics, translate};

/// Who asks about the state.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// What `/readyz` says.
    pub readiness: Readiness,
    /// `/metrics`.
    pub scrapes: mpsc::Receiver<Scrape>,
    /// `/debug/state`.
    pub states: mpsc::Receiver<DebugState>,
    /// How metrics name peers.
    pub peer_label: PeerLabel,
}

impl Endpoints {
    /// Answers while something is waited for; `None` when `stop` comes first.
    pub(crate) async fn waiting_for<T>(
        &mut self,
        what: impl Future<Output = T>,
        stats: &Stats,
        stop: &CancellationToken,
    ) -> Option<T> {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                found = &mut what => return Some(found),
                () = stop.cancelled() => return None,
                Some(scrape) = self.scrapes.recv() => {
                    if scrape.send(metrics::starting(stats)).is_err() {
                        tracing::debug!("the scraper went away");
                    }
                }
                Some(state) = self.states.recv() => state.answer(Some(&json!({ "starting": true }))),
            }
        }
    }
}

/// A speaker.
pub(crate) struct Speaker {
    pub(crate) node: String,
    pub(crate) client: Client,
    pub(crate) announcer: Announcer,
    pub(crate) sources: Sources,
    endpoints: Endpoints,
    stats: Arc<Stats>,
    membership: Option<(membership::Handle, SocketAddr)>,
    /// Whether it is known on which interfaces this node can answer.
    has_interfaces: bool,
    /// What was last known of the speakers.
    heard: Heard,
    /// What is asked in parts so that it can be answered: see [`Speaker::show`].
    explanations: (mpsc::Sender<Piece<Explanation>>, mpsc::Receiver<Piece<Explanation>>),
}

impl Speaker {
    /// A speaker on `node` that counts every node as alive.
    pub(crate) fn new(
        node: String,
        client: Client,
        announcer: Announcer,
        sources: Sources,
        endpoints: Endpoints,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            node,
            client,
            announcer,
            sources,
            endpoints,
            stats,
            membership: None,
            has_interfaces: false,
            heard: Heard::default(),
            explanations: mpsc::channel(1),
        }
    }

    /// With membership: nothing is claimed until its cautious start is over.
    pub(crate) fn with_membership(self, membership: Option<(membership::Handle, SocketAddr)>) -> Self {
        Self { membership, ..self }
    }

    /// Runs until `stop`, then drains.
    ///
    /// # Errors
    /// When a driver ends before that; what still works is drained, too.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), DriverEnded> {
        let (mut synced, mut state_settled) = (false, false);
        let end = loop {
            let timeout = self.announcer.next_timeout();
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                () = sleep_until(timeout) => self.announcer.handle_timeout(&self.sources.inputs),
                () = self.sources.inputs.synced(), if !synced => {
                    synced = true;
                    tracing::info!("caches are synced");
                    self.send_speakers();
                    self.start_if_ready(synced);
                }
                kind = self.sources.inputs.status_listed(|kind| self.announcer.knows_statuses(kind)) => {
                    self.announcer.statuses_listed(&self.sources.inputs, kind);
                }
                () = self.sources.inputs.state.settled(), if !state_settled => {
                    state_settled = true;
                    self.sources.inputs.queue.push(Key::State);
                }
                event = self.sources.drivers.next() => match event {
                    Ok(event) => {
                        self.take(event);
                        self.start_if_ready(synced);
                    }
                    Err(ended) => break Err(ended),
                },
                // The other end is held by the announcer.
                Some(page) = self.sources.swept.recv() => self.announcer.swept(page),
                key = self.sources.inputs.queue.pop(), if self.announcer.is_started() => self.look(key),
                // Without the endpoint there is nobody who asks.
                Some(scrape) = self.endpoints.scrapes.recv() => self.answer(scrape),
                Some(state) = self.endpoints.states.recv() => self.show(state),
                Some(piece) = self.explanations.1.recv() => self.explain(piece),
            }
        };
        if let Err(ended) = end {
            self.endpoints.readiness.set(false);
            tracing::error!(error = %ended, "leaving");
        }
        Box::pin(self.drain()).await;
        end
    }

    fn take(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Layer2(event) => self.layer2(event),
            DriverEvent::Bgp(event) => self.bgp(&event),
            DriverEvent::Speakers(heard) => self.hear(heard),
        }
    }

    /// Decides for the first time once the caches are synced and the interfaces are known.
    fn start_if_ready(&mut self, synced: bool) {
        if synced && self.has_interfaces && !self.announcer.is_started() {
            self.announcer.start(&self.sources.inputs);
            self.endpoints.readiness.set(true);
            tracing::info!(node = self.node, "announcing");
        }
    }

    /// Looks at everything that waits, then decides once.
    fn look(&mut self, first: Key) {
        let mut next = Some(first);
        let mut speakers = false;
        let mut taken = 0;
        while let Some(key) = next {
            speakers |= key == Key::Speakers;
            self.announcer.look(&self.sources.inputs, &key);
            taken += 1;
            next = if taken < BATCH { self.sources.inputs.queue.try_pop() } else { None };
        }
        self.announcer.evaluate(&self.sources.inputs);
        if speakers {
            self.send_speakers();
        }
    }

    pub(crate) fn layer2(&mut self, event: linux::Event) {
        match event {
            linux::Event::Interfaces(interfaces) => {
                let names: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
                tracing::info!(protocol = "layer2", interfaces = ?names, "usable interfaces");
                self.announcer.interfaces(&interfaces);
                self.announcer.evaluate(&self.sources.inputs);
                self.has_interfaces = true;
            }
            linux::Event::Conflict { address, interface, mac, .. } => {
                let claim = translate::claim(address, &interface, mac);
                self.announcer.conflict(&self.sources.inputs, &claim);
            }
            linux::Event::Claimed { address, interface, mac, .. } => {
                let claim = translate::claim(address, &interface, mac);
                self.announcer.claimed(&self.sources.inputs, &claim);
            }
            linux::Event::Error { interface, error, .. } => {
                tracing::error!(protocol = "layer2", interface, %error, "interface");
            }
            other => tracing::debug!(protocol = "layer2", ?other, "event"),
        }
    }

    fn hear(&mut self, heard: Heard) {
        let before = std::mem::replace(&mut self.heard, heard);
        self.announcer.hear(self.heard.speakers.clone());
        for complaint in self.heard.new_complaints(&before) {
            self.announcer.tell_node(Severity::Warning, "MembershipDropped", complaint.to_owned());
        }
        self.announcer.evaluate(&self.sources.inputs);
    }

    fn bgp(&mut self, event: &session::Event) {
        match event {
            session::Event::Negotiated { peer, session } => self.announcer.established(peer, session),
            session::Event::StateChanged { peer, state, reason: Some(reason), .. } => {
                self.announcer.ended(peer);
                let reason = self.announcer.explain(peer, reason);
                tracing::warn!(protocol = "bgp", %peer, ?state, error = reason, "session ended");
                let message = format!("BGP session {peer} is down: {reason}");
                self.announcer.tell_node(Severity::Warning, "BGPPeerDown", message);
            }
            session::Event::AttemptFailed { peer, reason, next } => {
                let reason = self.announcer.explain(peer, reason);
                let wait = next.map(|at| at.saturating_duration_since(Instant::now()).as_secs_f64());
                let next_attempt =
                    wait.map_or_else(|| "not planned".to_owned(), |wait| format!("in {wait:.1} s"));
                tracing::warn!(protocol = "bgp", %peer, error = reason, next_attempt, "session does not come up");
                let message = format!("BGP session {peer} does not come up: {reason}");
                self.announcer.tell_node(Severity::Warning, "BGPPeerDown", message);
            }
            session::Event::StateChanged { peer, state, .. } => {
                if *state != State::Established {
                    self.announcer.ended(peer);
                }
                tracing::debug!(protocol = "bgp", %peer, ?state, "session");
            }
            session::Event::Malformed { peer, action: Action::ResetSession, fault, message } => {
                tracing::warn!(protocol = "bgp", %peer, error = %fault, message, "malformed UPDATE");
            }
            // No routes are imported here: that some cannot be used concerns nobody while the session goes on.
            session::Event::Malformed { peer, action, fault, message } => {
                let action = action.name();
                tracing::debug!(protocol = "bgp", %peer, action, %fault, message, "malformed UPDATE");
            }
            session::Event::RoutesWithheld { peer, family, reason } => {
                self.announcer.withheld(&self.sources.inputs, peer, *family, *reason);
            }
            session::Event::Advertised { peer } => self.announcer.advertised(&self.sources.inputs, peer),
            session::Event::Unacknowledged { peer, segments } => {
                let message = segments.explain(&translate::SETTINGS);
                tracing::warn!(protocol = "bgp", %peer, error = message, "the path may lose big packets");
                let message = format!("BGP session {peer} is down: {message}");
                self.announcer.tell_node(Severity::Warning, "BGPPathMTU", message);
            }
            session::Event::CapabilitiesGivenUp { peer, capabilities } => {
                let given_up: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
                let given_up = given_up.join(", ");
                tracing::warn!(protocol = "bgp", %peer, given_up, "the peer refuses capabilities: going on without");
            }
            session::Event::NotificationCrossed { peer, notification } => {
                tracing::warn!(protocol = "bgp", %peer, error = %notification, "the peer ended the connection, too");
            }
            other => tracing::debug!(protocol = "bgp", ?other, "event"),
        }
    }

    /// Tells the membership task where the other speakers are.
    fn send_speakers(&self) {
        let (Some((membership, bind)), Some(pods)) = (&self.membership, &self.sources.inputs.speakers) else {
            return;
        };
        let pods = pods.all().into_iter().map(|(_, pod)| pod);
        let engine = self.announcer.engine();
        membership
            .set_peers(translate::speakers(pods, *bind, |address| engine.layer2_owner(address).is_some()));
    }

    fn answer(&mut self, scrape: Scrape) {
        let began = Instant::now();
        let mut families = metrics::own(&self.announcer, &self.sources.inputs, &self.stats);
        let mut announced: Vec<_> = self.announcer.engine().announced().collect();
        let changes = self.announcer.ownership_changes();
        let (layer2, bgp) = (self.announcer.drivers().layer2.clone(), self.announcer.drivers().bgp.clone());
        let membership = self.membership.as_ref().map(|(handle, _)| handle.clone());
        let labels = metrics::Labels::new(&self.node, self.announcer.config(), self.endpoints.peer_label);
        tracing::debug!(micros = micros(began), "the owner's part of a scrape");
        tokio::spawn(async move {
            announced.sort_unstable();
            families.push(metrics::ownership_changes(&changes));
            families.push(metrics::announced(labels.node(), &announced));
            families.extend(metrics::drivers(&labels, &layer2, &bgp, membership.as_ref()).await);
            if scrape.send(families).is_err() {
                tracing::debug!("the scraper went away");
            }
        });
    }

    /// Has the state put into words elsewhere, with explanations that are asked for in pieces.
    fn show(&self, asked: DebugState) {
        let began = Instant::now();
        let membership = self.membership.as_ref();
        let membership = membership.map(|(handle, _)| (handle.clone(), self.heard.speakers.clone()));
        let nodes = self.sources.inputs.nodes.all().len();
        match debug::Own::new((&self.node, nodes), &self.announcer, membership, asked.service.as_ref()) {
            Some(own) => drop(tokio::spawn(debug::answer(asked, own, self.explanations.0.clone()))),
            None => asked.answer(None::<&()>),
        }
        tracing::debug!(micros = micros(began), "the owner's part of a state");
    }

    fn explain(&self, piece: Piece<Explanation>) {
        let began = Instant::now();
        let explained = debug::explained(&self.announcer, &piece.services);
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

pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Changes looked at before deciding, so that a burst is decided on once but nobody starves.
const BATCH: usize = 1024;

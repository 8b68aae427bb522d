//! The one loop that owns the announcements: everything else sends it facts.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::{Api, Client};
use metallb_arp::io::linux;
use metallb_arp::responder::Interface;
use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::Shutdown;
use metallb_bgp::session;
use metallb_bgp::wire::update::Action;
use metallb_k8s::facts::{is_leaving, objects};
use metallb_k8s::write::Stats;
use metallb_k8s::write::events::Severity;
use metallb_runtime::http::{DebugState, Readiness};
use metallb_runtime::metrics::Scrape;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::announcer::Announcer;
use crate::args::PeerLabel;
use crate::inputs::Key;
use crate::membership::{self, View};
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
            let asker_gone = tokio::select! {
                found = &mut what => return Some(found),
                () = stop.cancelled() => return None,
                Some(scrape) = self.scrapes.recv() => scrape.send(metrics::starting(stats)).is_err(),
                Some(state) = self.states.recv() => state.send(serde_json::json!({ "starting": true })).is_err(),
            };
            if asker_gone {
                tracing::debug!("the asker went away");
            }
        }
    }
}

/// A speaker.
pub(crate) struct Speaker {
    node: String,
    client: Client,
    announcer: Announcer,
    sources: Sources,
    endpoints: Endpoints,
    stats: Arc<Stats>,
    membership: Option<(membership::Handle, SocketAddr)>,
    interfaces: Option<Vec<Interface>>,
    /// What was last known of the speakers.
    view: View,
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
        let (membership, interfaces) = (None, None);
        Self {
            node,
            client,
            announcer,
            sources,
            endpoints,
            stats,
            membership,
            interfaces,
            view: View::default(),
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
        let mut synced = false;
        let end = loop {
            let timeout = self.announcer.next_timeout();
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                () = sleep_until(timeout) => {
                    self.announcer.handle_timeout(&self.sources.inputs, Instant::now());
                    self.conclude();
                }
                () = self.sources.inputs.synced(), if !synced => {
                    synced = true;
                    tracing::info!("caches are synced");
                    self.send_speakers();
                    self.start_if_ready(synced);
                }
                kind = self.sources.inputs.status_listed(|kind| self.announcer.knows_statuses(kind)) => {
                    self.announcer.statuses_listed(&self.sources.inputs, kind);
                }
                event = self.sources.drivers.next() => match event {
                    Ok(event) => {
                        self.take(event);
                        self.start_if_ready(synced);
                    }
                    Err(ended) => break Err(ended),
                },
                key = self.sources.inputs.queue.pop(), if self.announcer.is_started() => self.look(key),
                // Without the endpoint there is nobody who asks.
                Some(scrape) = self.endpoints.scrapes.recv() => self.answer(scrape),
                Some(state) = self.endpoints.states.recv() => self.show(state),
            }
        };
        if let Err(ended) = end {
            self.endpoints.readiness.set(false);
            tracing::error!(error = %ended, "leaving");
        }
        self.drain().await;
        end
    }

    fn take(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Layer2(event) => self.layer2(event),
            DriverEvent::Bgp(event) => {
                self.bgp(&event);
                self.conclude();
            }
            DriverEvent::Speakers(view) => self.hear(view),
        }
    }

    /// Decides for the first time once the caches are synced and the interfaces are known.
    fn start_if_ready(&mut self, synced: bool) {
        if synced && self.interfaces.is_some() && !self.announcer.is_started() {
            self.announcer.start(&self.sources.inputs);
            self.conclude();
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
        self.evaluate();
        if speakers {
            self.send_speakers();
        }
    }

    fn evaluate(&mut self) {
        self.announcer.evaluate(&self.sources.inputs);
        self.conclude();
        self.send_metadata();
    }

    /// Before membership has settled nobody counts as alive, and what is not announced means nothing.
    fn conclude(&mut self) {
        if self.membership.is_none() || self.view.settled {
            self.announcer.decided(&self.sources.inputs);
        }
    }

    fn layer2(&mut self, event: linux::Event) {
        match event {
            linux::Event::Interfaces(interfaces) => {
                let names: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
                tracing::info!(protocol = "layer2", interfaces = ?names, "usable interfaces");
                self.announcer.interfaces(&interfaces);
                self.interfaces = Some(interfaces);
                self.evaluate();
            }
            linux::Event::Conflict { address, interface, mac, .. } => {
                self.announcer.conflict(address, &interface, mac);
            }
            linux::Event::Error { interface, error, .. } => {
                tracing::error!(protocol = "layer2", interface, %error, "interface");
            }
            other => tracing::debug!(protocol = "layer2", ?other, "event"),
        }
    }

    /// Until the start is over nobody counts as alive, so that nothing is claimed; then those who live.
    fn hear(&mut self, view: View) {
        let before = std::mem::replace(&mut self.view, view);
        if self.view.settled && !before.settled {
            tracing::info!("membership has settled");
        }
        if self.view.members != before.members {
            tracing::info!(members = ?self.view.members, "members");
        }
        for (node, metadata) in self.view.changed_metadata(&before) {
            self.announcer.hear(node, metadata);
        }
        for complaint in self.view.new_complaints(&before) {
            self.announcer.tell_node(Severity::Warning, "MembershipDropped", complaint.to_owned());
        }
        if self.view.settled {
            self.announcer.set_members(self.view.members.clone());
        }
        self.evaluate();
        if self.view.reunions != before.reunions {
            tracing::info!("reunited with speakers that lived apart");
            // What is still announced from here may be remembered as the other's.
            self.announcer.drivers().layer2.reannounce();
        }
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
                let message = format!("BGP session {peer}: {message}");
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

    /// Tells the other speakers what this node can do and what it has.
    fn send_metadata(&self) {
        if let (Some((membership, _)), Some(interfaces)) = (&self.membership, &self.interfaces) {
            let claims = self.announcer.engine().claims();
            membership.set_metadata(translate::metadata(interfaces, claims));
        }
    }

    fn answer(&mut self, scrape: Scrape) {
        let mut families = metrics::own(&mut self.announcer, &self.sources.inputs, &self.stats);
        let announced: Vec<_> = self.announcer.engine().announced().collect();
        let (layer2, bgp) = (self.announcer.drivers().layer2.clone(), self.announcer.drivers().bgp.clone());
        let membership = self.membership.as_ref().map(|(handle, _)| handle.clone());
        let labels = metrics::Labels::new(&self.node, self.announcer.config(), self.endpoints.peer_label);
        tokio::spawn(async move {
            families.push(metrics::announced(labels.node(), &announced));
            families.extend(metrics::drivers(&labels, &layer2, &bgp, membership.as_ref()).await);
            if scrape.send(families).is_err() {
                tracing::debug!("the scraper went away");
            }
        });
    }

    fn show(&self, state: DebugState) {
        let bgp = self.announcer.drivers().bgp.clone();
        let own = debug::announcements(&self.node, &self.announcer);
        tokio::spawn(async move {
            let sessions = debug::sessions(Instant::now(), &bgp.snapshot().await);
            let bfd = debug::bfd(Instant::now(), &bgp.bfd_snapshot().await);
            let whole = serde_json::json!({ "announcements": own, "sessions": sessions, "bfd": bfd });
            if state.send(whole).is_err() {
                tracing::debug!("the reader of the state went away");
            }
        });
    }

    /// Leaves without a gap: others are told first and take over while we still answer.
    async fn drain(self) {
        if let Some((membership, _)) = &self.membership {
            let claims = self.claims_of_others().await;
            membership.leave().await;
            self.wait_for_successors(claims).await;
        }
        let drivers = self.announcer.drivers();
        drivers.layer2.shutdown();
        let text = format!("speaker on {} stops", self.node);
        // Of the peers that do graceful restart; the others lose the routes either way.
        let how =
            if self.keeps_routes().await { Shutdown::Graceful { text } } else { Shutdown::Cease { text } };
        let close = tokio::time::timeout(CLOSE_LIMIT, drivers.bgp.shutdown(how));
        let flush = tokio::time::timeout(FLUSH_LIMIT, drivers.writer.idle());
        let (closed, flushed) = tokio::join!(close, flush);
        if closed.is_err() {
            tracing::warn!(
                protocol = "bgp",
                error = "peers did not take the last message in time",
                "stopping"
            );
        }
        if flushed.is_err() {
            tracing::warn!(
                waiting = drivers.writer.busy(),
                error = "the API server is too slow",
                "not everything was written before the stop"
            );
        }
    }

    /// How often other speakers have claimed each address so far: what a stranger says does not end a hand-over.
    async fn claims_of_others(&self) -> BTreeMap<IpAddr, u64> {
        match self.announcer.drivers().layer2.snapshot().await {
            Ok(snapshot) => {
                snapshot.addresses.into_iter().map(|(ip, counters)| (ip, counters.handovers)).collect()
            }
            Err(error) => {
                tracing::debug!(protocol = "layer2", %error, "nothing to hand over");
                BTreeMap::new()
            }
        }
    }

    /// Answers on until every address was claimed by its successor, or a second has passed. The successor's word is
    /// final: the address is withdrawn before the responder would defend it.
    async fn wait_for_successors(&self, before: BTreeMap<IpAddr, u64>) {
        let mut left = self.announcer.engine().claims();
        let mut look = tokio::time::interval(HANDOVER_LOOK);
        let taken_over = async {
            while !left.is_empty() {
                look.tick().await;
                let claims = self.claims_of_others().await;
                left.retain(|address| {
                    let mine = claims.get(address) <= before.get(address);
                    if !mine {
                        self.announcer.drivers().layer2.withdraw(*address);
                    }
                    mine && claims.contains_key(address)
                });
            }
        };
        if tokio::time::timeout(HANDOVER_LIMIT, taken_over).await.is_err() {
            tracing::info!(
                protocol = "layer2",
                addresses = left.len(),
                "nobody took these addresses over yet"
            );
        }
    }

    /// Whether this is a restart that peers should bridge: graceful restart is configured and the node stays.
    async fn keeps_routes(&self) -> bool {
        if !self.announcer.config().peers().values().any(|peer| peer.graceful_restart) {
            return false;
        }
        let nodes: Api<objects::Node> = Api::all(self.client.clone());
        if let Ok(Ok(node)) = tokio::time::timeout(NODE_LIMIT, nodes.get(&self.node)).await {
            return !is_leaving(&node);
        }
        tracing::warn!(
            node = self.node,
            error = "the API server does not answer",
            "cannot see whether the node stays: keeping the routes"
        );
        true
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Changes looked at before deciding, so that a burst is decided on once but nobody starves.
const BATCH: usize = 1024;

/// How often to look whether a successor has claimed an address; well below the responder's patience before a defence.
const HANDOVER_LOOK: Duration = Duration::from_millis(20);

/// How long answers go on for the successors to take over.
const HANDOVER_LIMIT: Duration = Duration::from_secs(1);

/// How long peers may take to read the last message.
const CLOSE_LIMIT: Duration = Duration::from_millis(1500);

/// How long writes under way may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// How long the look at the own node may take.
const NODE_LIMIT: Duration = Duration::from_secs(1);

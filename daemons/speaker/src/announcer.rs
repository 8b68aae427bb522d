//! The owner of the announcements: feeds the engine and carries out its changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use metallb_arp::io::linux;
use metallb_arp::responder::Interface;
use metallb_arp::wire::MacAddr;
use metallb_bgp::io::tokio::Speaker as BgpSpeaker;
use metallb_bgp::session::{
    CloseReason, NegotiatedSnapshot, OfferedFamilies, PeerConfig, PeerKey, StopReason, WithheldReason,
};
use metallb_bgp::types::Family;
use metallb_core::announce::{Change, Deliveries, Engine, InterfaceScope, Receipts};
use metallb_core::config::{BfdProfile, Config, ConfigError, Peer};
use metallb_core::keys::{NodeName, PeerName, ServiceKey};
use metallb_core::membership::View;
use metallb_core::speaker::{Claim, Close, Departure, Output, Report, Speaker};
use metallb_k8s::convert::{Judgement, configure, held_back};
use metallb_k8s::facts::{ServiceRecord, SliceIndex};
use metallb_k8s::watch::ObjectKey;
use metallb_k8s::write::events::{Event, Events, Regarding, Severity};
use metallb_k8s::write::state::StateKeeper;
use metallb_k8s::write::status::{OwnKind, ServiceStatus, StatusKind};
use metallb_k8s::write::{CONTESTED, Contest, Target, Write, Writer};
use tokio::task::JoinHandle;

use crate::inputs::{Inputs, Key};
use crate::membership;
use crate::statuses::Statuses;
use crate::translate;

/// Everything that the announcements need to be carried out.
pub(crate) struct Drivers {
    /// ARP and NDP.
    pub layer2: linux::Handle,
    /// BGP.
    pub bgp: BgpSpeaker,
    /// Writes to the API server.
    pub writer: Writer,
    /// This node's status resources.
    pub statuses: Statuses,
    /// What all its BGP sessions have in common.
    pub sessions: translate::Common,
    /// The other speakers; `None` without membership.
    pub membership: Option<membership::Handle>,
}

/// The state of a speaker.
pub(crate) struct Announcer {
    node: NodeName,
    machine: Speaker,
    drivers: Drivers,
    events: Events,
    slices: SliceIndex,
    records: HashMap<ServiceKey, Arc<ServiceRecord>>,
    config: Arc<Config>,
    problems: Vec<ConfigError>,
    /// Peers of this node that BFD is to watch, with the profiles that were in force when they were told.
    watched: BTreeMap<PeerName, (Arc<Peer>, Option<Arc<BfdProfile>>)>,
    /// Peers of this node that do not get what is written about them, and why.
    shortfalls: BTreeMap<PeerName, String>,
    /// Peers whose sessions somebody else still holds, and why.
    held_back: BTreeMap<PeerName, String>,
    /// Peers that did not have every configured family when their sessions were established last.
    disagreements: BTreeMap<PeerName, Disagreement>,
    /// Which peers have what.
    deliveries: Deliveries,
    /// What is to stand in the statuses of services when it is known which peers have what.
    waiting: BTreeMap<ServiceKey, BTreeSet<PeerName>>,
    /// Services of which it was told that this node advertises them by BGP.
    advertised: BTreeSet<ServiceKey>,
    state: StateKeeper,
    /// What of the configuration is wrong and concerns this node.
    judged: Judgement,
    /// What this node says about it, with what became of it.
    judgement: Judgement,
    /// Whether it is known who lives.
    decided: bool,
    /// What the drain has come to.
    drain: Drain,
}

/// What the drain asks of the owner.
#[derive(Debug, Default)]
struct Drain {
    /// The goodbye to the other speakers.
    goodbye: Option<JoinHandle<()>>,
    /// Whether somebody should find out if the node stays.
    asks_departure: bool,
    /// How to close the sessions, at the end.
    close: Option<Close>,
}

/// A configured family that a peer does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Disagreement {
    /// What is wrong, with the remedy.
    message: String,
    /// What the session was configured with.
    remote: SocketAddr,
    families: OfferedFamilies,
}

impl Announcer {
    /// A speaker that knows nothing yet.
    pub(crate) fn new(node: NodeName, mut machine: Speaker, drivers: Drivers, state: StateKeeper) -> Self {
        machine.set_receipts(Some(Receipts::new()));
        Self {
            events: Events::new("metallb-speaker", node.as_str()),
            node,
            machine,
            drivers,
            slices: SliceIndex::default(),
            records: HashMap::new(),
            config: Arc::new(Config::default()),
            problems: Vec::new(),
            watched: BTreeMap::new(),
            shortfalls: BTreeMap::new(),
            held_back: BTreeMap::new(),
            disagreements: BTreeMap::new(),
            deliveries: Deliveries::default(),
            waiting: BTreeMap::new(),
            advertised: BTreeSet::new(),
            state,
            judged: Judgement::default(),
            judgement: Judgement::default(),
            decided: false,
            drain: Drain::default(),
        }
    }

    /// The caches are complete: takes everything they hold and decides for the first time.
    pub(crate) fn start(&mut self, inputs: &Inputs) {
        self.configure(inputs);
        for (key, _) in inputs.nodes.all() {
            self.look(inputs, &Key::Node(key));
        }
        for (key, _) in inputs.slices.all() {
            self.look(inputs, &Key::Slice(key));
        }
        for (key, _) in inputs.services.all() {
            self.look(inputs, &Key::Service(key));
        }
        self.machine.complete_facts();
        self.evaluate(inputs);
    }

    /// What is known of the sessions is more than that the program has just started, and who lives is known, too: BGP
    /// statuses that are not wanted now are not wanted indeed.
    fn conclude(&mut self, inputs: &Inputs) {
        if self.decided && self.deliveries.is_settled() {
            for (service, peers) in std::mem::take(&mut self.waiting) {
                self.bgp_peers(inputs, &service, peers);
            }
            self.drivers.statuses.decided(inputs, StatusKind::Bgp);
        }
    }

    /// This node's statuses of a kind have been read.
    pub(crate) fn statuses_listed(&mut self, inputs: &Inputs, kind: StatusKind) {
        for status in self.drivers.statuses.listed(inputs, kind) {
            if kind == StatusKind::Bgp {
                self.advertised.insert(status.service.clone());
            }
            self.began(&status.service, kind);
        }
    }

    /// Whether this node's statuses of a kind have been read.
    pub(crate) fn knows_statuses(&self, kind: StatusKind) -> bool {
        self.drivers.statuses.is_listed(kind)
    }

    /// Takes note of something that changed; [`Announcer::evaluate`] makes it count.
    pub(crate) fn look(&mut self, inputs: &Inputs, key: &Key) {
        match key {
            Key::Service(key) => self.service(inputs, key),
            Key::Slice(key) => {
                let slice = inputs.slices.get(key).map(|slice| (*slice).clone());
                for service in self.slices.apply(key, slice) {
                    match self.slices.endpoints(&service) {
                        Some(endpoints) => self.machine.apply_endpoints(endpoints),
                        None => self.machine.remove_endpoints(&service),
                    }
                }
            }
            Key::Node(key) => match inputs.nodes.get(key) {
                Some(node) => {
                    if node.name == self.node {
                        self.drivers.bgp.set_internal_addresses(translate::internal_addresses(&node));
                    }
                    let is_own = node.name == self.node;
                    self.machine.apply_node((*node).clone());
                    if is_own && self.is_started() {
                        // Its labels say which peers concern it.
                        self.judge(inputs);
                        self.report_configuration();
                    }
                }
                None => self.machine.remove_node(&NodeName::new(&*key.name)),
            },
            Key::Status(kind, key) => self.drivers.statuses.changed(inputs, *kind, &key.name),
            Key::OutdatedStatus(kind, key) => self.drivers.statuses.outdated(inputs, *kind, &key.name),
            Key::Configuration => {
                self.configure(inputs);
                self.evaluate(inputs);
                self.report_configuration();
            }
            Key::State => self.settle_state(),
            Key::Contest(contest) => self.contested(contest),
            // The list goes to the membership task, not to the engine.
            Key::Speakers => {}
        }
    }

    /// Takes what is known of the other speakers.
    pub(crate) fn hear(&mut self, speakers: View) {
        self.machine.set_view(Instant::now(), speakers);
    }

    /// Takes the interfaces on which this node can answer.
    pub(crate) fn interfaces(&mut self, interfaces: &[Interface]) {
        self.machine.set_interfaces(translate::interfaces(interfaces));
    }

    /// Another speaker claims an address.
    pub(crate) fn claimed(&mut self, inputs: &Inputs, claim: &Claim) {
        self.machine.handle_claim(Instant::now(), claim);
        self.carry_out(inputs);
    }

    /// A machine that is no speaker claims one of our addresses.
    pub(crate) fn conflict(&mut self, inputs: &Inputs, claim: &Claim) {
        self.machine.handle_conflict(Instant::now(), claim);
        self.carry_out(inputs);
    }

    /// Leaves; the drivers are not done before [`Announcer::close`] says so.
    pub(crate) fn stop(&mut self, inputs: &Inputs) {
        self.machine.stop(Instant::now());
        self.carry_out(inputs);
    }

    /// Whether somebody should find out if the node stays.
    pub(crate) const fn asks_departure(&self) -> bool {
        self.drain.asks_departure
    }

    /// Takes what becomes of the node.
    pub(crate) fn set_departure(&mut self, inputs: &Inputs, departure: Departure) {
        self.machine.set_departure(Instant::now(), departure);
        self.carry_out(inputs);
    }

    /// How to close the sessions, once everything else is over.
    pub(crate) const fn close(&self) -> Option<Close> {
        self.drain.close
    }

    /// The goodbye to the other speakers, which may still be under way.
    pub(crate) fn take_goodbye(&mut self) -> Option<JoinHandle<()>> {
        self.drain.goodbye.take()
    }

    /// Brings the decisions up to date and carries out what changed.
    pub(crate) fn evaluate(&mut self, inputs: &Inputs) {
        let before = (self.shortfalls.clone(), self.disagreements.clone());
        self.machine.evaluate(Instant::now());
        self.carry_out(inputs);
        self.follow_profiles();
        self.conclude(inputs);
        if self.is_started() && (&self.shortfalls, &self.disagreements) != (&before.0, &before.1) {
            self.report_configuration();
        }
    }

    /// The engine, for metrics and debugging.
    pub(crate) const fn engine(&self) -> &Engine {
        self.machine.engine()
    }

    /// How often each Layer 2 address came to this node or left it, as long as it is to be announced by anybody.
    pub(crate) fn ownership_changes(&mut self) -> Vec<(IpAddr, u64)> {
        self.machine.ownership_changes()
    }

    /// What the announcements are carried out with.
    pub(crate) const fn drivers(&self) -> &Drivers {
        &self.drivers
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The services that are known.
    pub(crate) fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.records.keys()
    }

    /// What is wrong with the configuration.
    pub(crate) fn problems(&self) -> &[ConfigError] {
        &self.problems
    }

    /// Whether decisions are being made.
    pub(crate) const fn is_started(&self) -> bool {
        self.machine.is_started()
    }

    fn service(&mut self, inputs: &Inputs, key: &ObjectKey) {
        if let Some(record) = inputs.services.get(key) {
            self.records.insert(record.fact.key.clone(), Arc::clone(&record));
            self.machine.apply_service((*record.fact).clone());
        } else {
            let key = ServiceKey::new(key.namespace.as_deref().unwrap_or_default(), &*key.name);
            self.machine.remove_service(&key);
            self.records.remove(&key);
            self.advertised.remove(&key);
        }
    }

    fn configure(&mut self, inputs: &Inputs) {
        let built = configure(&inputs.configuration.resources(), &self.config);
        let problems: Vec<ConfigError> = built.errors.into_iter().chain(built.warnings).collect();
        for problem in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!(error = %problem, "configuration");
        }
        self.problems = problems;
        self.config = Arc::new(built.config);
        self.judge(inputs);
        self.hold_back(inputs);
        let held: BTreeSet<PeerName> = self.held_back.keys().cloned().collect();
        let own = if held.is_empty() {
            Arc::clone(&self.config)
        } else {
            Arc::new(self.config.without_peers(&held))
        };
        self.machine.set_config(own);
    }

    /// Leaves peers alone whose sessions the FRR of an earlier installation may still hold.
    fn hold_back(&mut self, inputs: &Inputs) {
        let found = inputs.frr.all();
        let held = held_back(&self.config, found.iter().map(|(_, frr)| frr.as_ref()));
        let before = std::mem::replace(&mut self.held_back, held);
        for (peer, reason) in self.held_back.clone() {
            if !before.contains_key(&peer) {
                tracing::warn!(protocol = "bgp", %peer, error = reason, "peer held back");
                self.tell_node(Severity::Warning, "BGPPeerHeldBack", format!("BGPPeer \"{peer}\": {reason}"));
            }
        }
        for peer in before.keys().filter(|peer| !self.held_back.contains_key(*peer)) {
            tracing::info!(protocol = "bgp", %peer, "peer not held back any more");
        }
    }

    /// Judges what of the configuration concerns this node.
    fn judge(&mut self, inputs: &Inputs) {
        let own = inputs.nodes.get(&ObjectKey::cluster(self.node.as_str()));
        let labels = own.as_ref().map(|node| &node.labels);
        self.judged = Judgement::of_speaker(&self.problems, &inputs.configuration.resources(), labels);
    }

    fn report_configuration(&mut self) {
        let mut judgement = self.judged.clone();
        let sentence = |(peer, reason): (&PeerName, &String)| format!("BGPPeer \"{peer}\": {reason}");
        judgement.errors.extend(self.shortfalls.iter().map(sentence));
        judgement.warnings.extend(self.held_back.iter().map(sentence));
        let disagreements = self.disagreements.iter().map(|(peer, found)| (peer, &found.message));
        judgement.warnings.extend(disagreements.map(sentence));
        self.judgement = judgement;
        self.settle_state();
    }

    /// Has this node's `ConfigurationState` say what it should.
    fn settle_state(&mut self) {
        if self.is_started() {
            self.state.settle(&self.drivers.writer, &self.judgement, Timestamp::now());
        }
    }

    /// What this node says about the configuration; nothing before it has read it.
    pub(crate) fn judgement(&self) -> Option<&Judgement> {
        self.is_started().then_some(&self.judgement)
    }

    /// Carries out what the machine has decided.
    fn carry_out(&mut self, inputs: &Inputs) {
        while let Some(output) = self.machine.poll_output() {
            self.perform(inputs, output);
        }
    }

    fn perform(&mut self, inputs: &Inputs, output: Output) {
        match output {
            Output::Change(change) => self.change(inputs, change),
            Output::Started => {
                let peers = self.engine().peers().filter(|peer| !self.shortfalls.contains_key(*peer));
                let peers: Vec<PeerName> = peers.cloned().collect();
                self.deliveries.start(Instant::now(), peers);
                self.report_configuration();
            }
            Output::Decided => {
                self.decided = true;
                // Not before: which routes there are may depend on who lives, and routers that kept those of an earlier run
                // drop what is missing then.
                self.drivers.bgp.table_complete();
                self.drivers.statuses.decided(inputs, StatusKind::Layer2);
                if let Some(membership) = &self.drivers.membership {
                    membership.take_part();
                }
            }
            Output::Partners(macs) => {
                self.drivers.layer2.set_partners(macs.into_iter().map(MacAddr::new).collect());
            }
            Output::Metadata(metadata) => {
                if let Some(membership) = &self.drivers.membership {
                    membership.set_metadata(metadata);
                }
            }
            Output::Defend(address) => self.drivers.layer2.defend(address),
            Output::AnnounceAgain(address) => self.drivers.layer2.announce_again(address),
            Output::Reannounce => self.drivers.layer2.reannounce(),
            Output::Gone(node) => {
                for service in self.drivers.statuses.left_by(&node) {
                    let others = self.engine().other_claimants(&service);
                    self.drivers.statuses.sweep(&service, &others);
                }
            }
            Output::Report(report) => self.report(&report),
            Output::Leave => {
                let membership = self.drivers.membership.clone();
                let goodbye =
                    membership.map(|membership| tokio::spawn(async move { membership.leave().await }));
                self.drain.goodbye = goodbye;
            }
            Output::AskDeparture => self.drain.asks_departure = true,
            Output::Silence => self.drivers.layer2.shutdown(),
            Output::Close(close) => self.drain.close = Some(close),
        }
    }

    fn report(&mut self, report: &Report) {
        let reason = report.reason();
        match report {
            Report::AnnounceFailed { service, .. } => {
                self.tell(service, Severity::Warning, reason, report.to_string());
            }
            Report::AnnouncedAgain { service, .. } => {
                tracing::info!(%service, "announced as it should be again");
            }
            Report::AddressConflict { address, services, interface, mac, .. } => {
                for service in services {
                    self.tell(service, Severity::Warning, reason, report.to_string());
                }
                let mac = MacAddr::new(*mac);
                tracing::warn!(protocol = "layer2", ip = %address, %interface, %mac, error = "address conflict",
                    "another machine claims the address");
            }
            Report::ManyConflicts { untold, last: Claim { address, interface, mac }, .. } => {
                let mac = MacAddr::new(*mac);
                tracing::warn!(protocol = "layer2", untold, last = %address, %interface, %mac, error = "address conflict",
                    "other machines claim more addresses than are told one by one");
                self.tell_node(Severity::Warning, reason, report.to_string());
            }
            Report::SpeakersApart { speaker, address, .. } => {
                tracing::warn!(protocol = "layer2", ip = %address, node = %speaker, error = %report,
                    "speakers do not hear each other");
                self.tell_node(Severity::Warning, reason, report.to_string());
            }
            Report::ExclusionIgnored => {
                tracing::warn!(error = %report, "exclude label");
                self.tell_node(Severity::Warning, reason, report.to_string());
            }
            Report::ExclusionCounts => tracing::info!("the exclude label of nodes counts again"),
            Report::Settled => tracing::info!("membership has settled"),
            Report::Members { members, .. } => tracing::info!(?members, "members"),
            Report::Reunited => tracing::info!("reunited with speakers that lived apart"),
            Report::NoSuccessor { addresses, .. } => {
                tracing::info!(protocol = "layer2", addresses, "nobody took these addresses over yet");
            }
            other => tracing::debug!(?other, reason, "report"),
        }
    }

    fn change(&mut self, inputs: &Inputs, change: Change) {
        match change {
            Change::L2 { address, state: Some(scope) } => self.announce(address, &scope),
            Change::L2 { address, state: None } => {
                tracing::info!(protocol = "layer2", ip = %address, "withdrawing");
                self.drivers.layer2.withdraw(address);
            }
            Change::Bgp { prefix, routes } => {
                tracing::info!(protocol = "bgp", %prefix, routes = routes.len(), "routes changed");
                self.drivers.bgp.set_prefix(prefix, translate::announcements(&routes));
            }
            Change::Peer { name, peer } => self.peer(name, peer),
            Change::PeerConflict { name, with } => match with {
                Some(older) => {
                    self.refuse(name, format!("BGPPeer \"{older}\" is the same neighbour and older"));
                }
                None => drop(self.shortfalls.remove(&name)),
            },
            Change::Layer2Owner { service, interfaces } => {
                self.layer2_owner(inputs, &service, interfaces.as_ref());
            }
            Change::BgpPeers { service, peers } if self.deliveries.is_settled() => {
                // What was kept back before is older.
                self.waiting.remove(&service);
                self.bgp_peers(inputs, &service, peers);
            }
            Change::BgpPeers { service, peers } => drop(self.waiting.insert(service, peers)),
            // They come as reports.
            Change::ExclusionIgnored { .. } | Change::Problem { .. } => {}
        }
    }

    /// When [`Announcer::handle_timeout`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.machine.next_timeout().into_iter().chain(self.deliveries.next_timeout()).min()
    }

    /// Does what time asks for.
    pub(crate) fn handle_timeout(&mut self, inputs: &Inputs) {
        let now = Instant::now();
        if self.deliveries.next_timeout().is_some_and(|at| at <= now) {
            self.deliveries.handle_timeout(now);
            self.follow_deliveries(inputs);
        }
        self.machine.handle_timeout(now);
        self.carry_out(inputs);
    }

    fn announce(&self, address: IpAddr, scope: &InterfaceScope) {
        tracing::info!(protocol = "layer2", ip = %address, interfaces = ?translate::listed(scope), "announcing");
        if let Err(error) = self.drivers.layer2.announce(address, translate::scope(scope)) {
            tracing::error!(protocol = "layer2", ip = %address, %error, "cannot announce");
        }
    }

    fn peer(&mut self, name: PeerName, peer: Option<Arc<Peer>>) {
        self.watched.remove(&name);
        let key = translate::peer_key(&name);
        let Some(peer) = peer else {
            tracing::info!(protocol = "bgp", peer = %name, "session removed");
            self.shortfalls.remove(&name);
            self.disagreements.remove(&name);
            self.deliveries.remove(&name);
            self.drivers.bgp.remove_peer(&key, StopReason::Deconfigured);
            return;
        };
        let profile = self.profile(&peer);
        match translate::session(&peer, profile.as_deref(), self.drivers.sessions) {
            Ok(session) => {
                tracing::info!(protocol = "bgp", peer = %name, address = %session.remote_name(), "session configured");
                // Of other families, or of another router, is known only what the next session shows.
                let is_other = |found: &Disagreement| {
                    (found.remote, found.families) != (session.remote, session.families)
                };
                if self.disagreements.get(&name).is_some_and(is_other) {
                    self.disagreements.remove(&name);
                }
                self.drivers.bgp.set_peer(key, session);
                self.shortfalls.remove(&name);
                if peer.bfd.is_some() {
                    self.watched.insert(name, (peer, profile));
                }
            }
            Err(error) => {
                self.refuse(name, error.to_string());
                self.drivers.bgp.remove_peer(&key, StopReason::Deconfigured);
            }
        }
    }

    /// A session is established, with what both sides agreed on.
    pub(crate) fn established(&mut self, key: &PeerKey, session: &NegotiatedSnapshot) {
        let families = translate::words(&session.families);
        let capabilities = translate::words(&session.peer_capabilities);
        tracing::info!(protocol = "bgp", peer = %key, families, capabilities, "session established");
        self.tell_node(Severity::Normal, "BGPPeerUp", format!("BGP session {key} is up: {families}"));
        let name = PeerName::new(key.as_str());
        let agreed = session.families.iter().copied().map(translate::family).collect();
        self.deliveries.handle_established(&name, agreed);
        let Some(message) = session.explain_missing(&translate::SETTINGS) else {
            if self.disagreements.remove(&name).is_some() {
                tracing::info!(protocol = "bgp", peer = %key, "every family is agreed on again");
                self.report_configuration();
            }
            return;
        };
        let Some(settings) = self.settings(&name) else { return };
        let found = Disagreement { message, remote: settings.remote, families: settings.families };
        if self.disagreements.get(&name) != Some(&found) {
            let message = found.message.as_str();
            tracing::warn!(protocol = "bgp", peer = %key, error = message, "a family is not agreed on");
            let message = format!("BGP session {key}: {message}");
            self.disagreements.insert(name, found);
            self.tell_node(Severity::Warning, "BGPFamilyNotAgreed", message);
            self.report_configuration();
        }
    }

    /// A session has ended.
    pub(crate) fn ended(&mut self, key: &PeerKey) {
        self.deliveries.handle_ended(Instant::now(), &PeerName::new(key.as_str()));
    }

    /// Routes of a family are withheld from a peer, or are not any more.
    pub(crate) fn withheld(
        &mut self,
        inputs: &Inputs,
        key: &PeerKey,
        family: Family,
        reason: Option<WithheldReason>,
    ) {
        let name = PeerName::new(key.as_str());
        self.deliveries.handle_withheld(&name, translate::family(family), reason.is_some());
        if let Some(reason) = reason {
            tracing::warn!(protocol = "bgp", peer = %key, %family, error = %reason, "no next hop, routes withheld");
            let message = format!("BGP session {key}: {family} routes are not sent: {reason}");
            self.tell_node(Severity::Warning, "BGPRoutesWithheld", message);
        } else {
            tracing::info!(protocol = "bgp", peer = %key, %family, "there is a next hop again, routes are sent");
        }
        self.follow_deliveries(inputs);
    }

    /// A peer has been sent everything there is for it.
    pub(crate) fn advertised(&mut self, inputs: &Inputs, key: &PeerKey) {
        self.deliveries.handle_complete(&PeerName::new(key.as_str()));
        self.follow_deliveries(inputs);
    }

    /// Has the statuses name the peers that have the routes.
    fn follow_deliveries(&mut self, inputs: &Inputs) {
        self.machine.set_receipts(Some(self.deliveries.receipts()));
        self.evaluate(inputs);
    }

    fn refuse(&mut self, peer: PeerName, reason: String) {
        self.deliveries.remove(&peer);
        tracing::error!(protocol = "bgp", %peer, error = reason, "no session with the peer");
        self.shortfalls.insert(peer, reason);
    }

    /// The BFD profile of a peer; one that does not exist (yet) is none.
    fn profile(&self, peer: &Peer) -> Option<Arc<BfdProfile>> {
        self.config.bfd_profiles().get(peer.bfd.as_ref()?).map(Arc::clone)
    }

    /// Has BFD follow the profiles that appeared, changed or went. The sessions go on.
    fn follow_profiles(&mut self) {
        let changed = self.watched.iter().filter(|(_, (peer, profile))| self.profile(peer) != *profile);
        let changed: Vec<(PeerName, Arc<Peer>)> =
            changed.map(|(name, (peer, _))| (name.clone(), Arc::clone(peer))).collect();
        for (name, peer) in changed {
            tracing::info!(protocol = "bgp", peer = %name, profile = ?peer.bfd, "BFD profile changed");
            self.peer(name, Some(peer));
        }
    }

    fn layer2_owner(&mut self, inputs: &Inputs, service: &ServiceKey, interfaces: Option<&InterfaceScope>) {
        let listed = interfaces.map(translate::listed);
        let status =
            ServiceStatus::layer2(service.clone(), self.node.clone(), listed.clone().unwrap_or_default());
        if listed.is_none() {
            self.drivers.statuses.unwant(inputs, &status);
            return;
        }
        if self.drivers.statuses.want(inputs, &status) {
            self.began(service, StatusKind::Layer2);
        }
    }

    fn bgp_peers(&mut self, inputs: &Inputs, service: &ServiceKey, peers: BTreeSet<PeerName>) {
        let none = peers.is_empty();
        let status = ServiceStatus::bgp(service.clone(), self.node.clone(), peers);
        if none {
            self.drivers.statuses.unwant(inputs, &status);
            // Where it is only that no peer has it for now, that was told and will not be again.
            if !self.engine().is_advertised(service) {
                self.advertised.remove(service);
            }
            return;
        }
        let is_new = self.drivers.statuses.want(inputs, &status);
        if self.drivers.statuses.is_listed(StatusKind::Bgp)
            && self.advertised.insert(service.clone())
            && is_new
        {
            self.began(service, StatusKind::Bgp);
        }
    }

    /// This node announces a service that it did not announce before, nor in an earlier run.
    fn began(&mut self, service: &ServiceKey, kind: StatusKind) {
        let protocol = match kind {
            StatusKind::Layer2 => {
                let others = self.engine().other_claimants(service);
                self.drivers.statuses.sweep(service, &others);
                "layer2"
            }
            StatusKind::Bgp => "bgp",
        };
        let message = format!("announcing from node \"{}\" with protocol \"{protocol}\"", self.node);
        self.tell(service, Severity::Normal, "nodeAssigned", message);
    }

    fn tell(&mut self, service: &ServiceKey, severity: Severity, reason: &str, message: String) {
        match severity {
            Severity::Normal => tracing::info!(%service, reason, message),
            Severity::Warning => tracing::warn!(%service, reason, error = message, "service"),
        }
        let Some(record) = self.records.get(service) else { return };
        let regarding = Regarding::service(service.namespace(), service.name(), record.uid.as_str());
        let event = Event { regarding, severity, reason: reason.to_owned(), message };
        self.write_event(event);
    }

    /// Somebody else undoes what this node writes: told where the status is looked for, on the service if there is one.
    fn contested(&mut self, contest: &Contest) {
        let service = match &contest.object {
            Target::Own(OwnKind::Service(kind), name) => self.drivers.statuses.service(*kind, name),
            _ => None,
        };
        if let Some(service) = service {
            self.tell(&service, Severity::Warning, CONTESTED, contest.to_string());
        } else {
            tracing::warn!(error = %contest, "contested");
            self.tell_node(Severity::Warning, CONTESTED, contest.to_string());
        }
    }

    /// Why a session ended or does not come up, in a sentence.
    pub(crate) fn explain(&self, key: &PeerKey, reason: &CloseReason) -> String {
        match self.settings(&PeerName::new(key.as_str())) {
            Some(session) => reason.explain(&session, &translate::SETTINGS).to_string(),
            // The peer is gone from the configuration.
            None => reason.to_string(),
        }
    }

    /// The settings of a peer's session, as far as it is configured.
    fn settings(&self, name: &PeerName) -> Option<PeerConfig> {
        translate::session(self.config.peers().get(name)?, None, self.drivers.sessions).ok()
    }

    /// Tells about a session on this node's object.
    pub(crate) fn tell_node(&mut self, severity: Severity, reason: &str, message: String) {
        let regarding = Regarding::node(self.node.as_str());
        self.write_event(Event { regarding, severity, reason: reason.to_owned(), message });
    }

    fn write_event(&mut self, event: Event) {
        if let Some(write) = self.events.record(Instant::now(), Timestamp::now(), event) {
            self.drivers.writer.submit(Write::Event(write));
        }
    }
}

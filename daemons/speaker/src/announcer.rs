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
use metallb_core::announce::{
    Change, ConflictReport, ConflictReports, Deliveries, Engine, InterfaceScope, Partners, ProblemReports,
    Receipts,
};
use metallb_core::config::{BfdProfile, Config, ConfigError, InForce, Peer};
use metallb_core::keys::{InterfaceName, NodeName, PeerName, ServiceKey};
use metallb_core::membership::Metadata;
use metallb_k8s::convert::{configure, held_back};
use metallb_k8s::crd::ConfigurationStateStatus;
use metallb_k8s::facts::{ServiceRecord, SliceIndex};
use metallb_k8s::watch::ObjectKey;
use metallb_k8s::write::events::{Event, Events, Regarding, Severity};
use metallb_k8s::write::status::{Component, ServiceStatus, StatusKind, configuration_state};
use metallb_k8s::write::{Write, Writer};

use crate::inputs::{Inputs, Key};
use crate::ownership::Ownership;
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
}

/// The state of a speaker.
pub(crate) struct Announcer {
    node: NodeName,
    engine: Engine,
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
    state: Option<ConfigurationStateStatus>,
    /// Hardware addresses of the other speakers' interfaces.
    partners: Partners,
    /// How often it is told that other machines claim addresses.
    conflicts: ConflictReports,
    /// What is wrong with services, until it has lasted.
    problem_reports: ProblemReports,
    /// Who lives.
    members: BTreeSet<NodeName>,
    /// Who died since the last evaluation.
    gone: BTreeSet<NodeName>,
    /// How often this node took each Layer 2 address or let go of it.
    ownership: Ownership,
    /// Whether the caches are complete, so that decisions may be made.
    started: bool,
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
    pub(crate) fn new(node: NodeName, mut engine: Engine, drivers: Drivers) -> Self {
        engine.set_receipts(Some(Receipts::new()));
        Self {
            events: Events::new("metallb-speaker", node.as_str()),
            node,
            engine,
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
            state: None,
            partners: Partners::default(),
            conflicts: ConflictReports::default(),
            problem_reports: ProblemReports::default(),
            members: BTreeSet::new(),
            gone: BTreeSet::new(),
            ownership: Ownership::default(),
            started: false,
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
        self.started = true;
        self.evaluate(inputs);
        let peers = self.engine.peers().filter(|peer| !self.shortfalls.contains_key(*peer)).cloned();
        self.deliveries.start(Instant::now(), peers);
        self.drivers.bgp.table_complete();
        self.report_configuration();
    }

    /// It is known who lives: what this node does not announce now is not its any more.
    pub(crate) fn decided(&mut self, inputs: &Inputs) {
        if self.started {
            self.drivers.statuses.decided(inputs, StatusKind::Layer2);
        }
        if self.started && self.deliveries.is_settled() {
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
                        Some(endpoints) => self.engine.apply_endpoints(endpoints),
                        None => self.engine.remove_endpoints(&service),
                    }
                }
            }
            Key::Node(key) => match inputs.nodes.get(key) {
                Some(node) => {
                    if node.name == self.node {
                        self.drivers.bgp.set_internal_addresses(translate::internal_addresses(&node));
                    }
                    self.engine.apply_node((*node).clone());
                }
                None => self.engine.remove_node(&NodeName::new(&*key.name)),
            },
            Key::Status(kind, key) => self.drivers.statuses.changed(inputs, *kind, &key.name),
            Key::Configuration => {
                self.configure(inputs);
                self.evaluate(inputs);
                self.report_configuration();
            }
            // The list goes to the membership task, not to the engine.
            Key::Speakers => {}
        }
    }

    /// Takes who lives.
    pub(crate) fn set_members(&mut self, members: BTreeSet<NodeName>) {
        self.gone.extend(self.members.difference(&members).cloned());
        self.members.clone_from(&members);
        self.engine.set_members(members);
    }

    /// Takes what a speaker says about itself; `None` when it is not known any more.
    pub(crate) fn hear(&mut self, node: &NodeName, metadata: Option<&Metadata>) {
        if *node == self.node {
            return;
        }
        let interfaces = metadata.into_iter().flat_map(|metadata| metadata.interfaces.values());
        let macs = interfaces.filter_map(|interface| interface.mac).collect();
        let now = Instant::now();
        self.partners.set(now, node, macs);
        self.drivers
            .layer2
            .set_partners(self.partners.addresses(now).into_iter().map(MacAddr::new).collect());
        let Some(metadata) = metadata else {
            self.engine.set_claims(node.clone(), BTreeSet::new());
            self.engine.remove_interfaces(node);
            return;
        };
        self.engine.set_claims(node.clone(), metadata.claims.clone());
        self.engine.set_interfaces(node.clone(), metadata.interfaces());
    }

    /// Takes the interfaces on which this node can answer.
    pub(crate) fn interfaces(&mut self, interfaces: &[Interface]) {
        let facts = |interface: &Interface| {
            (InterfaceName::new(interface.name.as_str()), translate::interface_facts(interface))
        };
        self.engine.set_interfaces(self.node.clone(), interfaces.iter().map(facts).collect());
    }

    /// Another machine claims one of our addresses; not another speaker that takes it over (the driver knows those).
    pub(crate) fn conflict(&mut self, address: IpAddr, interface: &str, mac: MacAddr) {
        let holders: Vec<ServiceKey> = self
            .engine
            .announced()
            .filter(|announced| announced.address == address)
            .map(|announced| announced.service)
            .collect();
        let mut told = false;
        for service in holders {
            match self.conflicts.handle_conflict(Instant::now()) {
                ConflictReport::One => {
                    // Always the same words, so that it is counted on one event; whose claim it is, the log says.
                    let node = &self.node;
                    let message = format!(
                        "{address} is also claimed by another machine on interface {interface} of node {node}; \
                         the speaker's log there names its hardware address"
                    );
                    told = true;
                    self.tell(&service, Severity::Warning, REASON_CONFLICT, message);
                }
                ConflictReport::Many(untold) => {
                    tracing::warn!(protocol = "layer2", untold, last = %address, interface, %mac, error = "address conflict",
                        "other machines claim more addresses than are told one by one");
                    self.tell_node(Severity::Warning, REASON_CONFLICT, MANY_CONFLICTS.to_owned());
                }
                _ => {}
            }
        }
        if told {
            tracing::warn!(protocol = "layer2", ip = %address, interface, %mac, error = "address conflict",
                "another machine claims the address");
        }
    }

    /// Brings the decisions up to date and carries out what changed.
    pub(crate) fn evaluate(&mut self, inputs: &Inputs) {
        if !self.started {
            return;
        }
        let before = (self.shortfalls.clone(), self.disagreements.clone());
        for change in self.engine.evaluate() {
            self.perform(inputs, change);
        }
        self.follow_profiles();
        for node in std::mem::take(&mut self.gone) {
            for service in self.drivers.statuses.left_by(&node) {
                self.drivers.statuses.sweep(&service, &self.engine.other_claimants(&service));
            }
        }
        if (&self.shortfalls, &self.disagreements) != (&before.0, &before.1) {
            self.report_configuration();
        }
    }

    /// The engine, for metrics and debugging.
    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How often each Layer 2 address came to this node or left it, as long as it is to be announced by anybody.
    pub(crate) fn ownership_changes(&mut self) -> Vec<(IpAddr, u64)> {
        self.ownership.retain(|address| self.engine.is_layer2(address));
        self.ownership.changes().collect()
    }

    /// What the announcements are carried out with.
    pub(crate) const fn drivers(&self) -> &Drivers {
        &self.drivers
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// What is wrong with the configuration.
    pub(crate) fn problems(&self) -> &[ConfigError] {
        &self.problems
    }

    /// Whether decisions are being made.
    pub(crate) const fn is_started(&self) -> bool {
        self.started
    }

    fn service(&mut self, inputs: &Inputs, key: &ObjectKey) {
        if let Some(record) = inputs.services.get(key) {
            self.records.insert(record.fact.key.clone(), Arc::clone(&record));
            self.engine.apply_service((*record.fact).clone());
        } else {
            let key = ServiceKey::new(key.namespace.as_deref().unwrap_or_default(), &*key.name);
            self.engine.remove_service(&key);
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
        self.hold_back(inputs);
        let held: BTreeSet<PeerName> = self.held_back.keys().cloned().collect();
        let own = if held.is_empty() {
            Arc::clone(&self.config)
        } else {
            Arc::new(self.config.without_peers(&held))
        };
        self.engine.set_config(own);
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

    fn report_configuration(&mut self) {
        let errors = self
            .problems
            .iter()
            .filter(|problem| problem.in_force != InForce::Fully)
            .map(ToString::to_string);
        let shortfalls = self.shortfalls.iter().map(|(peer, reason)| format!("BGPPeer \"{peer}\": {reason}"));
        let errors: Vec<String> = errors.chain(shortfalls).collect();
        let held = self.held_back.iter().map(|(peer, reason)| format!("BGPPeer \"{peer}\": {reason}"));
        let disagreements = self.disagreements.iter();
        let disagreements =
            disagreements.map(|(peer, found)| format!("BGPPeer \"{peer}\": {}", found.message));
        let warnings: Vec<String> = held.chain(disagreements).collect();
        let component = Component::Speaker(self.node.clone());
        let state =
            configuration_state(&component, &errors, &warnings, self.state.as_ref(), Timestamp::now());
        if self.state.as_ref() != Some(&state) {
            self.drivers.writer.submit(Write::ConfigurationState { component, status: state.clone() });
            self.state = Some(state);
        }
    }

    fn perform(&mut self, inputs: &Inputs, change: Change) {
        if let Change::L2 { address, state } = &change {
            self.ownership.set(*address, state.is_some());
        }
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
                self.bgp_peers(inputs, &service, peers);
            }
            Change::BgpPeers { service, peers } => drop(self.waiting.insert(service, peers)),
            Change::ExclusionIgnored { ignored } => self.exclusion(ignored),
            Change::Problem { service, problem } => {
                if self.problem_reports.handle_problem(Instant::now(), &service, problem) {
                    tracing::info!(%service, "announced as it should be again");
                }
            }
        }
    }

    /// When [`Announcer::handle_timeout`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.problem_reports.next_timeout().into_iter().chain(self.deliveries.next_timeout()).min()
    }

    /// Tells what has lasted.
    pub(crate) fn handle_timeout(&mut self, inputs: &Inputs, now: Instant) {
        if self.deliveries.next_timeout().is_some_and(|at| at <= now) {
            self.deliveries.handle_timeout(now);
            self.follow_deliveries(inputs);
        }
        for (service, problem) in self.problem_reports.handle_timeout(now) {
            self.tell(&service, Severity::Warning, "announceFailed", problem.to_string());
        }
    }

    fn exclusion(&mut self, ignored: bool) {
        if !ignored {
            tracing::info!("the exclude label of nodes counts again");
            return;
        }
        let message = "every node with a live speaker is a control plane labelled \
            node.kubernetes.io/exclude-from-external-load-balancers: the label is ignored";
        tracing::warn!(error = message, "exclude label");
        self.tell_node(Severity::Warning, "excludeLabelIgnored", message.to_owned());
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
        self.engine.set_receipts(Some(self.deliveries.receipts()));
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
            if !self.engine.is_advertised(service) {
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
                self.drivers.statuses.sweep(service, &self.engine.other_claimants(service));
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

/// Reason of events about addresses that other machines claim.
const REASON_CONFLICT: &str = "addressConflict";

/// Told of the node when it is too often to tell it of each service.
const MANY_CONFLICTS: &str = "other machines claim addresses that this node announces by Layer 2, more often than five times a \
     second: somebody on the segment is misconfigured or hostile; metallb_layer2_conflicts_total says which addresses, the \
     speaker's log has the hardware address";

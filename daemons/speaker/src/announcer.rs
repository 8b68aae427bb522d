//! The owner of the announcements: feeds the machine and carries out what it decides.

mod facts;
mod perform;
mod reports;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use metallb_arp::io::linux;
use metallb_arp::responder::Interface;
use metallb_bgp::io::tokio::Speaker as BgpSpeaker;
use metallb_bgp::session::OfferedFamilies;
use metallb_core::announce::{Deliveries, Engine, Receipts};
use metallb_core::config::{BfdProfile, Config, ConfigError, Peer};
use metallb_core::keys::{NodeName, PeerName, ServiceKey};
use metallb_core::membership::View;
use metallb_core::speaker::{Claim, Close, Departure, Speaker};
use metallb_k8s::convert::Judgement;
use metallb_k8s::facts::ServiceRecord;
use metallb_k8s::write::Writer;
use metallb_k8s::write::events::Events;
use metallb_k8s::write::state::StateKeeper;
use metallb_k8s::write::status::StatusKind;
use tokio::task::JoinHandle;

use crate::inputs::{Inputs, Key};
use crate::membership;
use crate::shortfalls::Shortfalls;
use crate::slices::Slices;
use crate::statuses::Statuses;
use crate::sweep::Page;
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
    slices: Slices,
    records: HashMap<ServiceKey, Arc<ServiceRecord>>,
    config: Arc<Config>,
    problems: Vec<ConfigError>,
    /// Peers of this node that BFD is to watch, with the profiles that were in force when they were told.
    watched: BTreeMap<PeerName, (Arc<Peer>, Option<Arc<BfdProfile>>)>,
    /// Peers of this node that have no session, and why.
    shortfalls: Shortfalls,
    /// Peers whose sessions somebody else still holds, and why.
    held_back: BTreeMap<PeerName, String>,
    /// Peers that did not have every configured family when their sessions were established last.
    disagreements: BTreeMap<PeerName, Disagreement>,
    /// Which peers have what.
    deliveries: Deliveries,
    /// What is to stand in the statuses of services when it is known which peers have what.
    waiting: BTreeMap<ServiceKey, BTreeSet<PeerName>>,
    /// Announced services that were made anew, of which that is to be told again.
    renewed: BTreeSet<(StatusKind, ServiceKey)>,
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
            slices: Slices::default(),
            records: HashMap::new(),
            config: Arc::new(Config::default()),
            problems: Vec::new(),
            watched: BTreeMap::new(),
            shortfalls: Shortfalls::default(),
            held_back: BTreeMap::new(),
            disagreements: BTreeMap::new(),
            deliveries: Deliveries::default(),
            waiting: BTreeMap::new(),
            renewed: BTreeSet::new(),
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
        self.ready_speakers(inputs);
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
        self.drivers.statuses.begin_sweep();
    }

    /// What earlier owners said about services of this node was found.
    pub(crate) fn swept(&mut self, page: Page) {
        let Self { machine, drivers, .. } = self;
        drivers.statuses.swept(page, |service| machine.engine().other_claimants(service));
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
                let touched: Vec<ServiceKey> = self.slices.apply(key, inputs.slices.get(key)).collect();
                for service in touched {
                    self.endpoints(&service);
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
            // Where they are goes to the membership task.
            Key::Speakers => self.ready_speakers(inputs),
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
        self.tell_renewed();
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
}

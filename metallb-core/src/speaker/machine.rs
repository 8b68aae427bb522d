//! The state machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::announce::{self, Change, Engine, Liveness, Receipts};
use crate::config::Config;
use crate::facts::{Endpoints, Node, Service};
use crate::keys::{InterfaceName, NodeName, ServiceKey};
use crate::membership::{InterfaceFacts, Metadata, View};

use super::conflicts::{ConflictReport, ConflictReports};
use super::contests::Contests;
use super::drain::Drain;
use super::output::Output;
use super::ownership::Ownership;
use super::partners::Partners;
use super::problems::ProblemReports;
use super::report::Report;
use super::unheard::Unheard;

/// Settings of a [`Speaker`] that do not change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Those of the announcement engine. With [`Liveness::Members`] nothing is claimed before the [`View`] is settled.
    pub announce: announce::Options,
    /// The version of the program, which the other speakers are told.
    pub version: Arc<str>,
}

impl Options {
    /// Options with these of the engine, and the version of the program.
    #[must_use]
    pub fn new(announce: announce::Options, version: &str) -> Self {
        Self { announce, version: version.into() }
    }
}

/// What one speaker does. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct Speaker {
    pub(super) this: NodeName,
    liveness: Liveness,
    version: Arc<str>,
    /// The latest time seen.
    now: Option<Instant>,
    pub(super) engine: Engine,
    pub(super) config: Arc<Config>,
    pub(super) view: View,
    unheard: Unheard,
    /// This node's interfaces; `None` until they are known.
    interfaces: Option<BTreeMap<InterfaceName, InterfaceFacts>>,
    /// All facts have been read once.
    complete: bool,
    started: bool,
    decided: bool,
    pending: Pending,
    partners: Partners,
    contests: Contests,
    /// How often it is told that other machines claim addresses.
    conflicts: ConflictReports,
    /// Speakers that do not hear this one, by what they announce; each is reported once.
    apart: BTreeSet<NodeName>,
    problems: ProblemReports,
    ownership: Ownership,
    pub(super) drain: Option<Drain>,
    pub(super) outputs: VecDeque<Output>,
}

/// What the next evaluation yields besides its changes.
#[derive(Debug, Default)]
struct Pending {
    metadata: bool,
    reunited: bool,
    gone: BTreeSet<NodeName>,
    removed: BTreeSet<ServiceKey>,
}

/// A frame by which another machine says that an address is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain value")]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// Where it was received.
    pub interface: InterfaceName,
    /// The hardware address that claims it.
    pub mac: [u8; 6],
}

impl Speaker {
    /// A speaker for the node `this` that knows nothing yet.
    #[must_use]
    pub fn new(this: NodeName, options: Options) -> Self {
        let Options { announce, version } = options;
        Self {
            engine: Engine::new(this.clone(), announce),
            this,
            liveness: announce.liveness,
            version,
            now: None,
            config: Arc::default(),
            view: View::default(),
            unheard: Unheard::default(),
            interfaces: None,
            complete: false,
            started: false,
            decided: false,
            pending: Pending::default(),
            partners: Partners::default(),
            contests: Contests::default(),
            conflicts: ConflictReports::default(),
            apart: BTreeSet::new(),
            problems: ProblemReports::default(),
            ownership: Ownership::default(),
            drain: None,
            outputs: VecDeque::new(),
        }
    }

    /// Replaces the configuration.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.config = Arc::clone(&config);
        self.engine.set_config(config);
    }

    /// A service as it is now.
    pub fn apply_service(&mut self, service: Service) {
        self.engine.apply_service(service);
    }

    /// A service is gone. When [`Speaker::apply_service`] follows before the next evaluation, it was made anew under the same
    /// name: that is no change for what is announced, but what was reported is reported again.
    pub fn remove_service(&mut self, key: &ServiceKey) {
        self.engine.remove_service(key);
        self.pending.removed.insert(key.clone());
    }

    /// The endpoints of a service as they are now.
    pub fn apply_endpoints(&mut self, endpoints: Endpoints) {
        self.engine.apply_endpoints(endpoints);
    }

    /// A service has no endpoint any more.
    pub fn remove_endpoints(&mut self, key: &ServiceKey) {
        self.engine.remove_endpoints(key);
    }

    /// A node as it is now.
    pub fn apply_node(&mut self, node: Node) {
        self.engine.apply_node(node);
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &NodeName) {
        self.engine.remove_node(name);
    }

    /// Which peers have the routes of which families, for the statuses; see [`Engine::set_receipts`].
    pub fn set_receipts(&mut self, receipts: Option<Receipts>) {
        self.engine.set_receipts(receipts);
    }

    /// Everything that was applied so far is all there is: decisions may be made.
    pub fn complete_facts(&mut self) {
        self.complete = true;
    }

    /// The interfaces on which this node can answer for Layer 2 addresses. No decision is made before they are known.
    pub fn set_interfaces(&mut self, interfaces: BTreeMap<InterfaceName, InterfaceFacts>) {
        let facts = interfaces.iter().map(|(name, facts)| (name.clone(), facts.interface.clone())).collect();
        self.engine.set_interfaces(self.this.clone(), facts);
        self.pending.metadata |= self.interfaces.as_ref() != Some(&interfaces);
        self.interfaces = Some(interfaces);
    }

    /// The nodes on which a speaker is ready by what the API server says. Those that were never heard count when it is decided
    /// whether the exclude label is ignored: it is not known that they do not live.
    pub fn set_ready(&mut self, ready: BTreeSet<NodeName>) {
        self.unheard.set_ready(ready, &self.view.members);
        self.engine.set_unheard(self.unheard.nodes());
    }

    /// What is known of the other speakers. Until the view is settled nobody counts as alive, so that nothing is claimed.
    pub fn set_view(&mut self, now: Instant, view: View) {
        let now = self.advance(now);
        if !self.has_membership() {
            return;
        }
        let before = std::mem::replace(&mut self.view, view);
        let after = self.view.clone();
        if after.settled && !before.settled {
            self.report(Report::Settled);
        }
        if after.members != before.members {
            self.unheard.hear(&after.members);
            self.engine.set_unheard(self.unheard.nodes());
            self.report(Report::Members { members: after.members.clone() });
        }
        for (node, metadata) in after.changed_metadata(&before) {
            let claims = |view: &View, address| {
                view.metadata.get(node).is_some_and(|metadata| metadata.claims.contains(&address))
            };
            self.take_back(node, |address| claims(&before, address) && !claims(&after, address));
            self.take_metadata(now, node, metadata);
        }
        for gone in before.members.difference(&after.members) {
            self.take_back(gone, |_| true);
        }
        if let Some(addresses) = self.partners.take_changed(now) {
            self.outputs.push_back(Output::Partners(addresses));
        }
        if after.settled && self.drain.is_none() {
            self.pending.gone.extend(before.members.difference(&after.members).cloned());
            self.engine.set_members(after.members);
        }
        if after.reunions != before.reunions {
            self.pending.reunited = true;
            self.apart.clear();
            self.report(Report::Reunited);
        }
    }

    /// Brings the decisions up to date, once they may be made. Call it when facts, interfaces or the view have changed;
    /// several changes are best decided on together.
    pub fn evaluate(&mut self, now: Instant) {
        let now = self.advance(now);
        if !self.complete || self.interfaces.is_none() || self.drain.is_some() {
            return;
        }
        for service in std::mem::take(&mut self.pending.removed) {
            self.problems.forget(now, &service);
        }
        for change in self.engine.evaluate() {
            self.take_change(now, change);
        }
        if !std::mem::replace(&mut self.started, true) {
            self.outputs.push_back(Output::Started);
        }
        if (!self.has_membership() || self.view.settled) && !std::mem::replace(&mut self.decided, true) {
            self.outputs.push_back(Output::Decided);
        }
        let Pending { metadata, reunited, gone, removed: _ } = std::mem::take(&mut self.pending);
        self.outputs.extend(gone.into_iter().map(Output::Gone));
        if metadata && self.has_membership() {
            self.outputs.push_back(Output::Metadata(self.metadata()));
        }
        if reunited {
            // What is still announced from here may be remembered as another's.
            self.outputs.push_back(Output::Reannounce);
        }
    }

    /// Another speaker, by its hardware address, claims an address; nothing has been done about it.
    pub fn handle_claim(&mut self, now: Instant, claim: &Claim) {
        self.handle_timeout(now);
        let now = self.advance(now);
        if self.drain.is_some() {
            // What a stranger says does not end a hand-over.
            if self.partners.node_of(now, claim.mac).is_some() {
                self.hand_over(now, claim.address);
            }
        } else if self.engine.announced_on(claim.address).is_some() {
            match self.partners.node_of(now, claim.mac).cloned() {
                Some(speaker) => {
                    if self.contests.add(now, speaker.clone(), claim.clone())
                        && self.may_defend(claim.address)
                    {
                        self.outputs.push_back(Output::Defend(claim.address));
                        self.report_conflict(now, claim, Some(&speaker));
                    }
                }
                None => self.handle_conflict(now, claim),
            }
        }
    }

    /// A machine that was not among the partners claims an address of this node, which has been defended.
    pub fn handle_conflict(&mut self, now: Instant, claim: &Claim) {
        let now = self.advance(now);
        if self.partners.node_of(now, claim.mac).is_some() {
            // It is by now.
            self.handle_claim(now, claim);
        } else if self.drain.is_none() {
            self.report_conflict(now, claim, None);
        }
    }

    /// Does what time asks for.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        if self.drain.is_some() {
            self.step_drain(now);
            return;
        }
        for (service, problem) in self.problems.handle_timeout(now) {
            self.report(Report::AnnounceFailed { service, problem });
        }
        while let Some(address) = self.contests.pop_due(now) {
            if self.may_defend(address) {
                self.outputs.push_back(Output::Defend(address));
            }
        }
    }

    /// When to call [`Speaker::handle_timeout`] next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.drain {
            Some(drain) => drain.next_timeout(),
            None => self.problems.next_timeout().into_iter().chain(self.contests.next_timeout()).min(),
        }
    }

    /// The next thing to be carried out.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The announcement engine, for metrics and explanations.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether decisions have been made.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.started
    }

    /// How often each Layer 2 address came to this node or left it, as long as it is to be announced by anybody.
    pub fn ownership_changes(&mut self) -> Vec<(IpAddr, u64)> {
        self.ownership.retain(|address| self.engine.is_layer2(address));
        self.ownership.changes().collect()
    }
}

impl Speaker {
    pub(super) fn has_membership(&self) -> bool {
        self.liveness == Liveness::Members
    }

    /// Time never goes backwards.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |seen| seen.max(now));
        self.now = Some(now);
        now
    }

    fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }

    /// Takes what another speaker says about itself; `None` when nothing is known of it any more.
    fn take_metadata(&mut self, now: Instant, node: &NodeName, metadata: Option<&Metadata>) {
        if *node == self.this {
            return;
        }
        let interfaces = metadata.into_iter().flat_map(|metadata| metadata.interfaces.values());
        self.partners.set(now, node, interfaces.filter_map(|interface| interface.mac).collect());
        if let Some(metadata) = metadata {
            self.engine.set_claims(node.clone(), metadata.claims.clone());
            self.engine.set_interfaces(node.clone(), metadata.interfaces());
        } else {
            self.engine.set_claims(node.clone(), BTreeSet::new());
            self.engine.remove_interfaces(node);
        }
    }

    /// Another speaker no longer answers for these addresses. What it claimed beside this node, caches may look for there.
    fn take_back(&mut self, speaker: &NodeName, released: impl Fn(IpAddr) -> bool) {
        if self.drain.is_none() {
            for address in self.contests.release(speaker, released) {
                if self.may_defend(address) {
                    self.outputs.push_back(Output::AnnounceAgain(address));
                }
            }
        }
    }

    fn take_change(&mut self, now: Instant, change: Change) {
        match change {
            Change::Problem { service, problem } => {
                if self.problems.handle_problem(now, &service, problem) {
                    self.report(Report::AnnouncedAgain { service });
                }
            }
            Change::ExclusionIgnored { ignored: true } => self.report(Report::ExclusionIgnored),
            Change::ExclusionIgnored { ignored: false } => self.report(Report::ExclusionCounts),
            Change::L2 { address, ref state } => {
                self.ownership.set(address, state.is_some());
                self.contests.remove(address);
                self.pending.metadata = true;
                self.outputs.push_back(Output::Change(change));
            }
            Change::Bgp { .. }
            | Change::Peer { .. }
            | Change::PeerConflict { .. }
            | Change::Layer2Owner { .. }
            | Change::BgpPeers { .. } => self.outputs.push_back(Output::Change(change)),
        }
    }

    /// Other speakers claim an address of this node, and had time to learn better: whether it is not one of theirs. Of a
    /// speaker that would own it, were it heard, caches are not to be taken; it would take them back.
    fn may_defend(&mut self, address: IpAddr) -> bool {
        let owns = |speaker: &&NodeName| self.engine.would_own(speaker, address);
        let owner = self.contests.claimants(address).map(|(speaker, _)| speaker).find(owns).cloned();
        let Some(speaker) = owner else { return true };
        if self.apart.insert(speaker.clone()) {
            self.report(Report::SpeakersApart { speaker, address });
        }
        false
    }

    fn report_conflict(&mut self, now: Instant, claim: &Claim, speaker: Option<&NodeName>) {
        let mut services = self.engine.announced_at(claim.address);
        let mut untold = None;
        services.retain(|_| match self.conflicts.handle_conflict(now) {
            ConflictReport::One => true,
            ConflictReport::Many(count) => {
                untold = Some(count);
                false
            }
            ConflictReport::Nothing => false,
        });
        if !services.is_empty() {
            let Claim { address, interface, mac } = claim.clone();
            let (node, speaker) = (self.this.clone(), speaker.cloned());
            self.report(Report::AddressConflict { address, services, node, interface, mac, speaker });
        }
        if let Some(untold) = untold {
            self.report(Report::ManyConflicts { untold, last: claim.clone() });
        }
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            interfaces: self.interfaces.clone().unwrap_or_default(),
            claims: self.engine.claims(),
            version: Arc::clone(&self.version),
        }
    }
}

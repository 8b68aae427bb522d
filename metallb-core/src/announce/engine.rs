//! The engine: takes facts, keeps track of what they touch, yields differences.

mod follow;
mod tell;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::Config;
use crate::facts::{Endpoints, Interface, Node, Service};
use crate::keys::{InterfaceName, NodeName, PeerName, ServiceKey};

use super::bgp::Bgp;
use super::change::{AnnounceProtocol, Announced, Change, InterfaceScope};
use super::coverage::Coverage;
use super::delivery::Receipts;
use super::emit::Emitted;
use super::groups::GroupId;
use super::l2::{Layer2, Ownership};
use super::nodes::{Liveness, NodeTable};
use super::reasons::AnnounceProblem;
use super::world::World;

/// Settings of an [`Engine`] that do not change while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Announce also from nodes that are labelled
    /// `node.kubernetes.io/exclude-from-external-load-balancers` (MetalLB's `--ignore-exclude-lb`).
    pub ignore_exclude: bool,
    /// Whether owners stay.
    pub ownership: Ownership,
    /// Whether there is a membership.
    pub liveness: Liveness,
    /// Announce also what has no endpoint anywhere: traffic comes to a node that refuses it, instead of to none.
    pub without_endpoints: bool,
}

impl Options {
    /// These options with another [`Options::ignore_exclude`].
    #[must_use]
    pub const fn with_ignore_exclude(self, ignore_exclude: bool) -> Self {
        Self { ignore_exclude, ..self }
    }

    /// These options with another [`Options::ownership`].
    #[must_use]
    pub const fn with_ownership(self, ownership: Ownership) -> Self {
        Self { ownership, ..self }
    }

    /// These options with another [`Options::without_endpoints`].
    #[must_use]
    pub const fn with_without_endpoints(self, without_endpoints: bool) -> Self {
        Self { without_endpoints, ..self }
    }

    /// These options with another [`Options::liveness`].
    #[must_use]
    pub const fn with_liveness(self, liveness: Liveness) -> Self {
        Self { liveness, ..self }
    }
}

/// Decides what one node announces. See the [module](super).
///
/// Facts may come in any order, also before what they refer to; applying one twice changes nothing. Nothing
/// is decided before [`Engine::evaluate`], so call it first when the facts are complete.
#[derive(Debug)]
pub struct Engine {
    pub(super) this: NodeName,
    pub(super) config: Arc<Config>,
    pub(super) world: World,
    pub(super) layer2: Layer2,
    pub(super) bgp: Bgp,
    emitted: Emitted,
    claims: BTreeMap<NodeName, BTreeSet<IpAddr>>,
    /// Which peers have what; `None`: each has what it is told.
    receipts: Option<Receipts>,
    /// Services for an address of which there is no advertisement at all.
    unadvertised: BTreeSet<ServiceKey>,
    dirty: Dirty,
}

/// What has been touched since the last evaluation.
#[derive(Debug, Default)]
struct Dirty {
    config: bool,
    services: BTreeMap<ServiceKey, Option<Service>>,
    endpoints: BTreeSet<ServiceKey>,
    groups: BTreeSet<GroupId>,
    /// Peers that have other families than before.
    receivers: BTreeSet<PeerName>,
}

/// What may have to be told after an evaluation.
#[derive(Debug, Default)]
struct Touched {
    addresses: BTreeSet<IpAddr>,
    services: BTreeSet<ServiceKey>,
    prefixes: BTreeSet<IpNetwork>,
    /// Services whose BGP offers have to be looked at.
    offers: BTreeSet<ServiceKey>,
    /// Groups whose owner has to be elected again.
    elections: BTreeSet<GroupId>,
    sessions: bool,
    /// Some fact about nodes or speakers.
    nodes: bool,
}

impl Engine {
    /// An engine for the node `this` that knows nothing yet.
    #[must_use]
    pub fn new(this: NodeName, options: Options) -> Self {
        let Options { ignore_exclude, ownership, liveness, without_endpoints } = options;
        let world = World {
            coverage: Coverage::default(),
            nodes: NodeTable::new(liveness, ignore_exclude),
            services: HashMap::new(),
            endpoints: HashMap::new(),
            without_endpoints,
        };
        Self {
            this,
            config: Arc::default(),
            world,
            layer2: Layer2::new(ownership),
            bgp: Bgp::default(),
            emitted: Emitted::default(),
            claims: BTreeMap::new(),
            receipts: None,
            unadvertised: BTreeSet::new(),
            dirty: Dirty::default(),
        }
    }

    /// Replaces the configuration.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.dirty.config |= *config != *self.config;
        self.config = config;
    }

    /// A service as it is now. O(1), apart from comparing it with what was known.
    pub fn apply_service(&mut self, service: Service) {
        let key = service.key.clone();
        let known = self.world.service(&key).map(|entry| &entry.fact);
        if known == Some(&service) {
            self.dirty.services.remove(&key);
        } else {
            self.dirty.services.insert(key, Some(service));
        }
    }

    /// A service is gone.
    pub fn remove_service(&mut self, key: &ServiceKey) {
        if self.world.service(key).is_some() {
            self.dirty.services.insert(key.clone(), None);
        } else {
            self.dirty.services.remove(key);
        }
    }

    /// The ready endpoints of a service as they are now. O(1), apart from comparing them with what was known.
    pub fn apply_endpoints(&mut self, endpoints: Endpoints) {
        if self.world.endpoints.get(&endpoints.service) == Some(&endpoints) {
            return;
        }
        self.dirty.endpoints.insert(endpoints.service.clone());
        self.world.endpoints.insert(endpoints.service.clone(), endpoints);
    }

    /// A service has no ready endpoint any more.
    pub fn remove_endpoints(&mut self, key: &ServiceKey) {
        if self.world.endpoints.remove(key).is_some() {
            self.dirty.endpoints.insert(key.clone());
        }
    }

    /// A node as it is now.
    pub fn apply_node(&mut self, node: Node) {
        self.world.nodes.apply(node);
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &NodeName) {
        self.world.nodes.remove(name);
    }

    /// The nodes on which a speaker lives. Without effect with [`Liveness::Everyone`].
    pub fn set_members(&mut self, members: BTreeSet<NodeName>) {
        self.world.nodes.set_members(members);
    }

    /// The nodes on which a speaker is ready, by what the API server says, though it is not heard. They own nothing, but count
    /// when it is decided whether the exclude label is ignored ([`Engine::ignores_exclusion`]).
    pub fn set_unheard(&mut self, nodes: BTreeSet<NodeName>) {
        self.world.nodes.set_unheard(nodes);
    }

    /// The interfaces on which a node can answer for Layer 2 addresses, as it told the others; this node too.
    pub fn set_interfaces(&mut self, node: NodeName, interfaces: BTreeMap<InterfaceName, Interface>) {
        self.world.nodes.set_interfaces(node, Some(interfaces));
    }

    /// A node's interfaces are not known (any more); it is taken to have what is needed.
    pub fn remove_interfaces(&mut self, node: &NodeName) {
        self.world.nodes.set_interfaces(node.clone(), None);
    }

    /// The addresses that a node says it announces by Layer 2. They matter with [`Ownership::Sticky`]. What
    /// this node announces itself is known; say it only when it is known from before a restart. For a node
    /// that has told nothing yet, what a status object says may stand in until it has.
    pub fn set_claims(&mut self, node: NodeName, claims: BTreeSet<IpAddr>) {
        let before = self.claims.remove(&node).unwrap_or_default();
        let added: BTreeSet<IpAddr> = claims.difference(&before).copied().collect();
        let removed: BTreeSet<IpAddr> = before.difference(&claims).copied().collect();
        self.dirty.groups.extend(self.layer2.claim(&node, &added, &removed));
        if !claims.is_empty() {
            self.claims.insert(node, claims);
        }
    }

    /// Which peers of this node have the routes of which families, as [`Deliveries`](super::Deliveries) says: only those
    /// count in [`Change::BgpPeers`]. `None`, as in the beginning, is that each has what is advertised to it.
    pub fn set_receipts(&mut self, receipts: Option<Receipts>) {
        let before = std::mem::replace(&mut self.receipts, receipts);
        let (old, new) = (before.as_ref(), self.receipts.as_ref());
        if old.is_some() != new.is_some() {
            self.dirty.receivers.extend(self.bgp.peers.keys().cloned());
        }
        let (old, new) = (old.into_iter().flatten(), new.into_iter().flatten());
        let both: [BTreeSet<_>; 2] = [old.collect(), new.collect()];
        let [old, new] = &both;
        self.dirty.receivers.extend(old.symmetric_difference(new).map(|(peer, _)| (*peer).clone()));
    }

    /// Brings the decisions up to date and returns what is different, in the order in which it should be
    /// carried out.
    ///
    /// The work is that of what was touched, among `n` nodes:
    ///
    /// | touched | work |
    /// |---|---|
    /// | a service or its endpoints, so that its owner cannot be another one | independent of all others |
    /// | a service that gets another address, or is ready where it was not | one election: O(n), `n` hashes at most |
    /// | a service under an aggregated prefix | the different offers under that prefix |
    /// | a node that joins, or may announce again | one hash for each group that it may own |
    /// | a node that dies, or may announce no more | one election for each group that it owned |
    /// | the configuration, or what this node advertises | every service once |
    /// | the families that a peer has | the services that are advertised to it, found among all |
    pub fn evaluate(&mut self) -> Vec<Change> {
        let mut touched = Touched::default();
        let mut dirty = std::mem::take(&mut self.dirty);
        self.follow_config(dirty.config, &mut touched);
        let changed_nodes = self.follow_nodes(dirty.config, &mut touched);
        let services = std::mem::take(&mut dirty.services);
        let receivers = std::mem::take(&mut dirty.receivers);
        let regroup = self.follow_services(dirty.config, services, &mut touched);
        self.follow_elections(regroup, &changed_nodes, dirty, &mut touched);
        self.follow_offers(&mut touched);
        touched.services.extend(self.bgp.services_for(&receivers).cloned());
        self.tell(touched)
    }

    /// The full state that all changes so far add up to, as changes from nothing: for a driver that has just
    /// started.
    #[must_use]
    pub fn everything(&self) -> Vec<Change> {
        self.emitted.everything()
    }

    /// The addresses that this node announces by Layer 2: what it should tell the others that it claims.
    #[must_use]
    pub fn claims(&self) -> BTreeSet<IpAddr> {
        self.emitted.l2.keys().copied().collect()
    }

    /// The node that owns a Layer 2 address, by this node's knowledge.
    #[must_use]
    pub fn layer2_owner(&self, address: IpAddr) -> Option<&NodeName> {
        self.layer2.groups.of(address)?.outcome.owner()
    }

    /// Whether a node would own a Layer 2 address if a speaker lived there: what the election says of a speaker that is
    /// not heard. As of the last evaluation.
    #[must_use]
    pub fn would_own(&self, node: &NodeName, address: IpAddr) -> bool {
        let group = self.layer2.groups.of(address);
        group.is_some_and(|group| self.layer2.would_own(group, node, &self.world))
    }

    /// Whether an address of a service is to be announced by Layer 2, from whichever node.
    #[must_use]
    pub fn is_layer2(&self, address: IpAddr) -> bool {
        self.layer2.groups.of(address).is_some()
    }

    /// Live speakers on other nodes that say they announce an address of a service by Layer 2, as of the last
    /// evaluation: what they wrote about it is theirs to take away.
    #[must_use]
    pub fn other_claimants(&self, service: &ServiceKey) -> BTreeSet<NodeName> {
        let addresses = self.world.service(service).into_iter().flat_map(|entry| &entry.matched.l2);
        let claimants = addresses.flat_map(|(address, _)| self.layer2.claimants(*address));
        let live = |node: &&NodeName| self.world.nodes.states().get(*node).is_some_and(|state| state.live);
        claimants.filter(|node| **node != self.this).filter(live).cloned().collect()
    }

    /// Whether this node advertises a service by BGP, whether or not a peer has a route of it.
    #[must_use]
    pub fn is_advertised(&self, service: &ServiceKey) -> bool {
        self.bgp.is_advertised(service)
    }

    /// The peers with which this node is to have sessions.
    pub fn peers(&self) -> impl Iterator<Item = &PeerName> {
        self.bgp.peers.keys()
    }

    /// Whether the exclude label of nodes is ignored, by the option or because every node with a speaker that lives, or is ready
    /// and not heard, carries it together with the control-plane label (as kubeadm labels small clusters).
    #[must_use]
    pub const fn ignores_exclusion(&self) -> bool {
        self.world.nodes.exclusion_ignored()
    }

    /// What this node announces, for metrics, in no particular order. O(n) in the number of services.
    pub fn announced(&self) -> impl Iterator<Item = Announced> + '_ {
        self.world.services.iter().flat_map(move |(key, entry)| {
            let addresses = entry.matched.l2.iter().map(|(address, _)| *address);
            addresses.flat_map(move |address| {
                let layer2 = self.emitted.owns(key) && self.emitted.l2.contains_key(&address);
                let bgp = self.bgp.advertises(key, address);
                let protocols = [(AnnounceProtocol::Layer2, layer2), (AnnounceProtocol::Bgp, bgp)];
                protocols
                    .into_iter()
                    .filter(|(_, announced)| *announced)
                    .map(move |(protocol, _)| Announced { service: key.clone(), protocol, address })
            })
        })
    }

    /// The services of which this node announces an address by Layer 2.
    #[must_use]
    pub fn announced_at(&self, address: IpAddr) -> BTreeSet<ServiceKey> {
        let services = self.layer2.groups.services_on(address);
        services
            .filter(|key| self.emitted.owns(key) && self.emitted.l2.contains_key(&address))
            .cloned()
            .collect()
    }

    /// The interfaces on which this node announces an address by Layer 2; `None` when it does not.
    #[must_use]
    pub fn announced_on(&self, address: IpAddr) -> Option<&InterfaceScope> {
        self.emitted.l2.get(&address)
    }

    /// What is wrong with a service and told by this node.
    #[must_use]
    pub fn problem(&self, service: &ServiceKey) -> Option<&AnnounceProblem> {
        self.emitted.problem(service)
    }
}

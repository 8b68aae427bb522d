//! The engine: takes facts, keeps track of what they touch, yields differences.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::Config;
use crate::election::ElectionKey;
use crate::facts::{Endpoints, Node, Service};
use crate::keys::{InterfaceName, NodeName, ServiceKey};

use super::bgp::Bgp;
use super::change::{AnnounceProtocol, Announced, Change, InterfaceScope};
use super::coverage::{Coverage, Matched};
use super::emit::Emitted;
use super::groups::GroupId;
use super::l2::{Layer2, Ownership, first_live};
use super::nodes::{Liveness, NodeTable};
use super::reasons::AnnounceProblem;
use super::world::{Entry, World};

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
}

impl Engine {
    /// An engine for the node `this` that knows nothing yet.
    #[must_use]
    pub fn new(this: NodeName, options: Options) -> Self {
        let Options { ignore_exclude, ownership, liveness } = options;
        let world = World {
            coverage: Coverage::default(),
            nodes: NodeTable::new(liveness, ignore_exclude),
            services: BTreeMap::new(),
            endpoints: BTreeMap::new(),
        };
        Self {
            this,
            config: Arc::default(),
            world,
            layer2: Layer2::new(ownership),
            bgp: Bgp::default(),
            emitted: Emitted::default(),
            claims: BTreeMap::new(),
            unadvertised: BTreeSet::new(),
            dirty: Dirty::default(),
        }
    }

    /// Replaces the configuration.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.dirty.config |= *config != *self.config;
        self.config = config;
    }

    /// A service as it is now.
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

    /// The ready endpoints of a service as they are now.
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

    /// The interfaces on which a node can answer for Layer 2 addresses, as it told the others.
    pub fn set_interfaces(&mut self, node: NodeName, interfaces: BTreeSet<InterfaceName>) {
        self.world.nodes.set_interfaces(node, Some(interfaces));
    }

    /// A node's interfaces are not known (any more); it is taken to have what is needed.
    pub fn remove_interfaces(&mut self, node: &NodeName) {
        self.world.nodes.set_interfaces(node.clone(), None);
    }

    /// The addresses that a node says it announces by Layer 2. They matter with [`Ownership::Sticky`]. What
    /// this node announces itself is known; say it only when it is known from before a restart.
    pub fn set_claims(&mut self, node: NodeName, claims: BTreeSet<IpAddr>) {
        let before = self.claims.remove(&node).unwrap_or_default();
        let added: BTreeSet<IpAddr> = claims.difference(&before).copied().collect();
        let removed: BTreeSet<IpAddr> = before.difference(&claims).copied().collect();
        self.dirty.groups.extend(self.layer2.claim(&node, &added, &removed));
        if !claims.is_empty() {
            self.claims.insert(node, claims);
        }
    }

    /// Brings the decisions up to date and returns what is different, in the order in which it should be
    /// carried out.
    pub fn evaluate(&mut self) -> Vec<Change> {
        let mut touched = Touched::default();
        let mut dirty = std::mem::take(&mut self.dirty);
        self.follow_config(dirty.config, &mut touched);
        let changed_nodes = self.follow_nodes(dirty.config, &mut touched);
        let services = std::mem::take(&mut dirty.services);
        let regroup = self.follow_services(dirty.config, services, &mut touched);
        self.follow_elections(regroup, &changed_nodes, dirty, &mut touched);
        self.follow_offers(&mut touched);
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

    /// Whether the exclude label of nodes is ignored, by the option or because every node carries it
    /// together with the control-plane label (as kubeadm labels clusters of one node).
    #[must_use]
    pub const fn ignores_exclusion(&self) -> bool {
        self.world.nodes.exclusion_ignored()
    }

    /// What this node announces, by service, for metrics.
    pub fn announced(&self) -> impl Iterator<Item = Announced> + '_ {
        self.world.services.iter().flat_map(move |(key, entry)| {
            let addresses = entry.matched.l2.iter().map(|(address, _)| *address);
            addresses.flat_map(move |address| {
                let layer2 = self.emitted.owners.contains_key(key) && self.emitted.l2.contains_key(&address);
                let bgp = self.bgp.advertises(key, address);
                let protocols = [(AnnounceProtocol::Layer2, layer2), (AnnounceProtocol::Bgp, bgp)];
                protocols
                    .into_iter()
                    .filter(|(_, announced)| *announced)
                    .map(move |(protocol, _)| Announced { service: key.clone(), protocol, address })
            })
        })
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

impl Engine {
    fn follow_config(&mut self, changed: bool, touched: &mut Touched) {
        if changed {
            self.world.coverage.set_config(&self.config);
            self.world.nodes.all_dirty();
            touched.sessions = true;
        }
    }

    fn follow_nodes(&mut self, config: bool, touched: &mut Touched) -> BTreeSet<NodeName> {
        let refreshed = self.world.nodes.refresh(&self.world.coverage);
        if config || refreshed.touched.contains(&self.this) {
            touched.sessions = true;
            touched.addresses.extend(self.emitted.l2.keys());
            if self.bgp.set_node(&self.this, &self.config, &self.world) {
                touched.offers.extend(self.world.services.keys().cloned());
                touched.prefixes.extend(self.bgp.all_prefixes());
            }
        }
        if !refreshed.changed.is_empty() {
            touched.services.extend(self.unadvertised.iter().cloned());
        }
        refreshed.changed
    }

    /// Takes services; returns the addresses around which groups have to be formed anew.
    fn follow_services(
        &mut self,
        config: bool,
        services: BTreeMap<ServiceKey, Option<Service>>,
        touched: &mut Touched,
    ) -> BTreeSet<IpAddr> {
        let mut regroup = BTreeSet::new();
        if config {
            self.match_all(&mut regroup, touched);
        }
        for (key, service) in services {
            touched.services.insert(key.clone());
            touched.offers.insert(key.clone());
            match service {
                Some(service) => self.take_service(service, &mut regroup, touched),
                None => self.drop_service(&key, &mut regroup),
            }
        }
        regroup
    }

    /// After a change of the configuration: which advertisements are for which services.
    fn match_all(&mut self, regroup: &mut BTreeSet<IpAddr>, touched: &mut Touched) {
        let World { services, coverage, .. } = &mut self.world;
        for (key, entry) in services {
            let matched = coverage.matched(&entry.fact);
            if matched == entry.matched {
                continue;
            }
            touched.services.insert(key.clone());
            touched.offers.insert(key.clone());
            note_unadvertised(&mut self.unadvertised, key, &matched);
            let old = std::mem::replace(&mut entry.matched, matched);
            if old.l2 != entry.matched.l2 {
                let (old, new) = (old.addresses(), entry.matched.addresses());
                self.layer2.groups.index(key, &old, &new);
                regroup.extend(old.into_iter().chain(new));
            }
        }
    }

    fn take_service(&mut self, service: Service, regroup: &mut BTreeSet<IpAddr>, touched: &mut Touched) {
        let key = service.key.clone();
        let entry = Entry { matched: self.world.coverage.matched(&service), fact: service };
        note_unadvertised(&mut self.unadvertised, &key, &entry.matched);
        let new = entry.matched.addresses();
        let shape = |entry: &Entry| (entry.fact.created, entry.fact.assigned.first().copied());
        let new_shape = shape(&entry);
        let same_l2 = |old: &Entry| old.matched.l2 == entry.matched.l2 && shape(old) == new_shape;
        let same = self.world.services.get(&key).is_some_and(same_l2);
        let old = self.world.services.insert(key.clone(), entry);
        if same {
            touched.elections.extend(self.layer2.groups.id_of_service(&key, &self.world));
            return;
        }
        let old = old.map(|old| old.matched.addresses()).unwrap_or_default();
        self.layer2.groups.index(&key, &old, &new);
        regroup.extend(old.into_iter().chain(new));
    }

    fn drop_service(&mut self, key: &ServiceKey, regroup: &mut BTreeSet<IpAddr>) {
        self.unadvertised.remove(key);
        let Some(old) = self.world.services.remove(key) else { return };
        let old = old.matched.addresses();
        self.layer2.groups.index(key, &old, &[]);
        regroup.extend(old);
    }

    fn follow_elections(
        &mut self,
        regroup: BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
        dirty: Dirty,
        touched: &mut Touched,
    ) {
        let mut concerned = self.layer2.reconsider(nodes, &self.this, &self.world);
        touched.addresses.extend(self.layer2.regroup(regroup, &self.world));
        let mut elect = std::mem::take(&mut touched.elections);
        elect.extend(dirty.groups);
        for key in &dirty.endpoints {
            elect.extend(self.layer2.groups.id_of_service(key, &self.world));
        }
        for id in elect {
            self.layer2.elect(id, &self.world);
            concerned.insert(id);
        }
        for id in concerned {
            if let Some(group) = self.layer2.groups.get(id) {
                touched.addresses.extend(&group.addresses);
            }
        }
        touched.services.extend(dirty.endpoints.iter().cloned());
        touched.offers.extend(dirty.endpoints);
    }

    fn follow_offers(&mut self, touched: &mut Touched) {
        touched.prefixes.extend(self.bgp.offer(&touched.offers, &self.this, &self.world));
        touched.services.extend(self.bgp.merge(&touched.prefixes));
        touched.services.append(&mut touched.offers);
    }

    /// Compares what should be with what was told.
    fn tell(&mut self, mut touched: Touched) -> Vec<Change> {
        let mut out = Vec::new();
        for address in &touched.addresses {
            let state = self.layer2_state(*address);
            self.emitted.set_l2(*address, state, &mut out);
            touched.services.extend(self.layer2.groups.services_on(*address).cloned());
        }
        if touched.sessions {
            self.emitted.set_peers(&self.bgp.peers, &mut out);
            self.emitted.set_conflicts(&self.bgp.shadowed, &mut out);
        }
        for prefix in &touched.prefixes {
            self.emitted.set_prefix(*prefix, self.bgp.routes(prefix), &mut out);
        }
        for key in &touched.services {
            let interfaces = self.service_interfaces(key);
            let problem = self.find_problem(key);
            self.emitted.set_owner(key, interfaces, &mut out);
            self.emitted.set_bgp_peers(key, self.bgp.peers_of(key), &mut out);
            self.emitted.set_problem(key, problem, &mut out);
        }
        self.claim_own(&out);
        out.sort_by_key(Change::order);
        out
    }

    /// What this node announces it also claims.
    fn claim_own(&mut self, changes: &[Change]) {
        let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for change in changes {
            match change {
                Change::L2 { address, state: Some(_) } => added.insert(*address),
                Change::L2 { address, state: None } => removed.insert(*address),
                _ => false,
            };
        }
        self.layer2.claim(&self.this, &added, &removed);
        let own = self.claims.entry(self.this.clone()).or_default();
        own.extend(added);
        own.retain(|address| !removed.contains(address));
    }

    /// On which interfaces this node announces an address, if it does.
    fn layer2_state(&self, address: IpAddr) -> Option<InterfaceScope> {
        let group = self.layer2.groups.of(address)?;
        if group.outcome.owner() != Some(&self.this) {
            return None;
        }
        let mut services = self.layer2.groups.services_on(address);
        if !services.any(|key| self.world.is_ready_on(key, &self.this)) {
            return None;
        }
        self.layer2_scope(address)
    }

    /// The interfaces that the advertisements of an address allow on this node.
    fn layer2_scope(&self, address: IpAddr) -> Option<InterfaceScope> {
        let node = self.world.nodes.fact(&self.this)?;
        let mut scope = None;
        for key in self.layer2.groups.services_on(address) {
            let ads = self.world.service(key).map_or(&[][..], |entry| entry.matched.l2_ads(address));
            for ad in ads.iter().filter_map(|id| self.world.coverage.l2(*id)) {
                if ad.selects_node(&node.labels) {
                    InterfaceScope::add(&mut scope, &ad.interfaces);
                }
            }
        }
        scope
    }

    fn service_interfaces(&self, key: &ServiceKey) -> Option<InterfaceScope> {
        let entry = self.world.service(key).filter(|_| self.world.is_ready_on(key, &self.this))?;
        let mut scope = None;
        for (address, _) in &entry.matched.l2 {
            if let Some(told) = self.emitted.l2.get(address) {
                InterfaceScope::merge(&mut scope, told);
            }
        }
        scope
    }

    /// What is wrong with a service that this node should speak about.
    fn find_problem(&self, key: &ServiceKey) -> Option<AnnounceProblem> {
        let entry = self.world.service(key)?;
        if let Some(conflict) = self.bgp.conflict_of(key) {
            return Some(conflict.clone());
        }
        let layer2 = entry.matched.l2.iter().find_map(|(address, _)| self.layer2_problem(*address));
        if layer2.is_some() {
            return layer2;
        }
        let address = entry.matched.unadvertised()?;
        let election = ElectionKey::new(*entry.fact.assigned.first()?);
        let speaks_here = first_live(&election, &self.world).as_ref() == Some(&self.this);
        speaks_here.then_some(AnnounceProblem::NoAdvertisement { address })
    }

    fn layer2_problem(&self, address: IpAddr) -> Option<AnnounceProblem> {
        let group = self.layer2.groups.of(address)?;
        if group.outcome.spokesman() == Some(&self.this) {
            let (nodes, rule) = self.layer2.closest_rejection(group, &self.world)?;
            return Some(AnnounceProblem::NoCandidate { address, nodes, rule });
        }
        let scope = self.emitted.l2.get(&address)?;
        let usable = self.world.nodes.interfaces(&self.this)?;
        let none = !usable.iter().any(|interface| scope.contains(interface));
        none.then(|| AnnounceProblem::NoUsableInterface { node: self.this.clone(), address })
    }
}

fn note_unadvertised(unadvertised: &mut BTreeSet<ServiceKey>, key: &ServiceKey, matched: &Matched) {
    if matched.unadvertised().is_some() {
        unadvertised.insert(key.clone());
    } else {
        unadvertised.remove(key);
    }
}

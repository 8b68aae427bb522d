//! All facts in one place, so that the same ones can be told to engines in different ways and be looked at
//! by a naive model.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use metallb_core::announce::{Change, Engine, Liveness, Options, Ownership};
use metallb_core::config::Config;
use metallb_core::facts::{Endpoints, Interface, Node, Service};
use metallb_core::keys::{InterfaceName, NodeName, ServiceKey};

use crate::model::Routes;

/// Everything that an engine is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) config: Arc<Config>,
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    pub(crate) endpoints: BTreeMap<ServiceKey, Endpoints>,
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    pub(crate) members: BTreeSet<NodeName>,
    pub(crate) unheard: BTreeSet<NodeName>,
    pub(crate) interfaces: BTreeMap<NodeName, BTreeMap<InterfaceName, Interface>>,
}

/// One fact, to be told in any order.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Config(Arc<Config>),
    Service(ServiceKey, Option<Service>),
    Endpoints(ServiceKey, Option<Endpoints>),
    Node(NodeName, Option<Node>),
    Members(BTreeSet<NodeName>),
    Unheard(BTreeSet<NodeName>),
    Interfaces(NodeName, Option<BTreeMap<InterfaceName, Interface>>),
}

impl World {
    pub(crate) fn take(&mut self, fact: &Fact) {
        match fact.clone() {
            Fact::Config(config) => self.config = config,
            Fact::Service(key, service) => put(&mut self.services, key, service),
            Fact::Endpoints(key, endpoints) => put(&mut self.endpoints, key, endpoints),
            Fact::Node(name, node) => put(&mut self.nodes, name, node),
            Fact::Members(members) => self.members = members,
            Fact::Unheard(nodes) => self.unheard = nodes,
            Fact::Interfaces(name, interfaces) => put(&mut self.interfaces, name, interfaces),
        }
    }

    /// All facts, in the order of their kinds.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let mut facts = vec![Fact::Config(Arc::clone(&self.config)), Fact::Members(self.members.clone())];
        facts.push(Fact::Unheard(self.unheard.clone()));
        facts.extend(self.services.values().map(|s| Fact::Service(s.key.clone(), Some(s.clone()))));
        facts.extend(self.endpoints.values().map(|e| Fact::Endpoints(e.service.clone(), Some(e.clone()))));
        facts.extend(self.nodes.values().map(|n| Fact::Node(n.name.clone(), Some(n.clone()))));
        facts.extend(self.interfaces.iter().map(|(n, i)| Fact::Interfaces(n.clone(), Some(i.clone()))));
        facts
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

pub(crate) fn tell(engine: &mut Engine, fact: &Fact) {
    match fact.clone() {
        Fact::Config(config) => engine.set_config(config),
        Fact::Service(_, Some(service)) => engine.apply_service(service),
        Fact::Service(key, None) => engine.remove_service(&key),
        Fact::Endpoints(_, Some(endpoints)) => engine.apply_endpoints(endpoints),
        Fact::Endpoints(key, None) => engine.remove_endpoints(&key),
        Fact::Node(_, Some(node)) => engine.apply_node(node),
        Fact::Node(name, None) => engine.remove_node(&name),
        Fact::Members(members) => engine.set_members(members),
        Fact::Unheard(nodes) => engine.set_unheard(nodes),
        Fact::Interfaces(name, Some(interfaces)) => engine.set_interfaces(name, interfaces),
        Fact::Interfaces(name, None) => engine.remove_interfaces(&name),
    }
}

pub(crate) fn engine(this: &str, ownership: Ownership) -> Engine {
    let options = Options::default().with_liveness(Liveness::Members).with_ownership(ownership);
    Engine::new(NodeName::new(this), options)
}

/// What changes add up to: the last state of each thing, nothing for what has ended.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Folded(BTreeMap<String, Change>);

impl Folded {
    pub(crate) fn of(changes: Vec<Change>) -> Self {
        let mut folded = Self::default();
        folded.add(changes);
        folded
    }

    /// Takes changes; each must change something.
    pub(crate) fn add(&mut self, changes: Vec<Change>) {
        for change in changes {
            let (name, ended) = name_of(&change);
            let before = if ended { self.0.remove(&name) } else { self.0.insert(name, change.clone()) };
            assert_ne!(before.as_ref(), Some(&change), "told twice");
            assert!(!ended || before.is_some(), "ended without having begun: {change:?}");
        }
    }

    /// What is told to which peer.
    pub(crate) fn routes(&self) -> Routes {
        let mut all = Routes::new();
        for change in self.0.values() {
            let Change::Bgp { prefix, routes } = change else { continue };
            for (route, peer) in
                routes.iter().flat_map(|route| route.peers.iter().map(move |peer| (route, peer)))
            {
                let communities = route.attributes.communities.iter().copied().collect();
                let told = (route.attributes.local_pref.unwrap_or(100), communities);
                assert_eq!(all.insert((*prefix, peer.clone()), told), None, "a peer is told once");
            }
        }
        all
    }

    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        let addresses = self.0.values().filter_map(|change| match change {
            Change::L2 { address, .. } => Some(*address),
            _ => None,
        });
        addresses.collect()
    }
}

fn name_of(change: &Change) -> (String, bool) {
    match change {
        Change::L2 { address, state } => (format!("l2 {address}"), state.is_none()),
        Change::Bgp { prefix, routes } => (format!("bgp {prefix}"), routes.is_empty()),
        Change::Peer { name, peer } => (format!("peer {name}"), peer.is_none()),
        Change::PeerConflict { name, with } => (format!("conflict {name}"), with.is_none()),
        Change::Layer2Owner { service, interfaces } => (format!("owner {service}"), interfaces.is_none()),
        Change::BgpPeers { service, peers } => (format!("peers {service}"), peers.is_empty()),
        Change::ExclusionIgnored { ignored } => ("exclusion".to_owned(), !ignored),
        Change::Problem { service, problem } => (format!("problem {service}"), problem.is_none()),
    }
}

//! What was told to the outside, and the differences from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::Peer;
use crate::keys::{PeerName, ServiceKey};

use super::change::{Change, InterfaceScope, Route};
use super::reasons::AnnounceProblem;

/// The full state as told by the changes so far.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    pub(super) l2: BTreeMap<IpAddr, InterfaceScope>,
    bgp: BTreeMap<IpNetwork, Vec<Route>>,
    peers: BTreeMap<PeerName, Arc<Peer>>,
    conflicts: BTreeMap<PeerName, PeerName>,
    services: HashMap<ServiceKey, OfService>,
    /// Services of which something is told that counts nodes.
    counting: BTreeSet<ServiceKey>,
    exclusion_ignored: bool,
}

/// What was told about one service; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OfService {
    /// The interfaces on which this node announces it by Layer 2.
    pub(super) interfaces: Option<InterfaceScope>,
    pub(super) bgp_peers: BTreeSet<PeerName>,
    pub(super) problem: Option<AnnounceProblem>,
}

impl Emitted {
    pub(super) fn set_l2(&mut self, address: IpAddr, state: Option<InterfaceScope>, out: &mut Vec<Change>) {
        if replace(&mut self.l2, &address, state.as_ref()) {
            out.push(Change::L2 { address, state });
        }
    }

    pub(super) fn set_prefix(&mut self, prefix: IpNetwork, routes: &[Route], out: &mut Vec<Change>) {
        let wanted = (!routes.is_empty()).then(|| routes.to_vec());
        if replace(&mut self.bgp, &prefix, wanted.as_ref()) {
            out.push(Change::Bgp { prefix, routes: routes.to_vec() });
        }
    }

    pub(super) fn set_peers(&mut self, peers: &BTreeMap<PeerName, Arc<Peer>>, out: &mut Vec<Change>) {
        for name in names(&self.peers, peers) {
            let peer = peers.get(&name).cloned();
            if replace(&mut self.peers, &name, peer.as_ref()) {
                out.push(Change::Peer { name, peer });
            }
        }
    }

    pub(super) fn set_conflicts(&mut self, shadowed: &BTreeMap<PeerName, PeerName>, out: &mut Vec<Change>) {
        for name in names(&self.conflicts, shadowed) {
            let with = shadowed.get(&name).cloned();
            if replace(&mut self.conflicts, &name, with.as_ref()) {
                out.push(Change::PeerConflict { name, with });
            }
        }
    }

    pub(super) fn set_exclusion_ignored(&mut self, ignored: bool, out: &mut Vec<Change>) {
        if self.exclusion_ignored != ignored {
            self.exclusion_ignored = ignored;
            out.push(Change::ExclusionIgnored { ignored });
        }
    }

    pub(super) fn set_service(&mut self, service: &ServiceKey, wanted: OfService, out: &mut Vec<Change>) {
        let nothing = OfService::default();
        let told = self.services.get(service).unwrap_or(&nothing);
        if *told == wanted {
            return;
        }
        let key = || service.clone();
        if told.interfaces != wanted.interfaces {
            out.push(Change::Layer2Owner { service: key(), interfaces: wanted.interfaces.clone() });
        }
        if told.bgp_peers != wanted.bgp_peers {
            out.push(Change::BgpPeers { service: key(), peers: wanted.bgp_peers.clone() });
        }
        if told.problem != wanted.problem {
            out.push(Change::Problem { service: key(), problem: wanted.problem.clone() });
        }
        if matches!(wanted.problem, Some(AnnounceProblem::NoCandidate { .. })) {
            self.counting.insert(key());
        } else {
            self.counting.remove(service);
        }
        if wanted == nothing {
            self.services.remove(service);
        } else {
            self.services.insert(key(), wanted);
        }
    }

    /// The services of which something is told that is another sentence with other nodes.
    pub(super) fn counting_nodes(&self) -> impl Iterator<Item = &ServiceKey> {
        self.counting.iter()
    }

    /// Whether this node announces a service by Layer 2.
    pub(super) fn owns(&self, service: &ServiceKey) -> bool {
        self.services.get(service).is_some_and(|told| told.interfaces.is_some())
    }

    pub(super) fn problem(&self, service: &ServiceKey) -> Option<&AnnounceProblem> {
        self.services.get(service)?.problem.as_ref()
    }

    /// The full state as changes from nothing.
    pub(super) fn everything(&self) -> Vec<Change> {
        let mut out = Vec::new();
        let mut fresh = Self::default();
        for (address, scope) in &self.l2 {
            fresh.set_l2(*address, Some(scope.clone()), &mut out);
        }
        fresh.set_peers(&self.peers, &mut out);
        for (prefix, routes) in &self.bgp {
            fresh.set_prefix(*prefix, routes, &mut out);
        }
        fresh.set_conflicts(&self.conflicts, &mut out);
        fresh.set_exclusion_ignored(self.exclusion_ignored, &mut out);
        let services: BTreeMap<_, _> = self.services.iter().collect();
        for (service, told) in services {
            fresh.set_service(service, told.clone(), &mut out);
        }
        out.sort_by_key(Change::order);
        out
    }
}

/// Sets or removes an entry; `true` when that changed something.
fn replace<K: Ord + Clone, V: PartialEq + Clone>(
    map: &mut BTreeMap<K, V>,
    key: &K,
    value: Option<&V>,
) -> bool {
    if map.get(key) == value {
        return false;
    }
    match value {
        Some(value) => map.insert(key.clone(), value.clone()),
        None => map.remove(key),
    };
    true
}

fn names<V, W>(a: &BTreeMap<PeerName, V>, b: &BTreeMap<PeerName, W>) -> BTreeSet<PeerName> {
    a.keys().chain(b.keys()).cloned().collect()
}

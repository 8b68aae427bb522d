//! What was told to the outside, and the differences from it.

use std::collections::{BTreeMap, BTreeSet};
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
    pub(super) owners: BTreeMap<ServiceKey, InterfaceScope>,
    bgp_peers: BTreeMap<ServiceKey, BTreeSet<PeerName>>,
    problems: BTreeMap<ServiceKey, AnnounceProblem>,
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

    pub(super) fn set_owner(
        &mut self,
        service: &ServiceKey,
        interfaces: Option<InterfaceScope>,
        out: &mut Vec<Change>,
    ) {
        if replace(&mut self.owners, service, interfaces.as_ref()) {
            out.push(Change::Layer2Owner { service: service.clone(), interfaces });
        }
    }

    pub(super) fn set_bgp_peers(
        &mut self,
        service: &ServiceKey,
        peers: BTreeSet<PeerName>,
        out: &mut Vec<Change>,
    ) {
        if replace(&mut self.bgp_peers, service, Some(&peers).filter(|peers| !peers.is_empty())) {
            out.push(Change::BgpPeers { service: service.clone(), peers });
        }
    }

    pub(super) fn set_problem(
        &mut self,
        service: &ServiceKey,
        problem: Option<AnnounceProblem>,
        out: &mut Vec<Change>,
    ) {
        if replace(&mut self.problems, service, problem.as_ref()) {
            out.push(Change::Problem { service: service.clone(), problem });
        }
    }

    pub(super) fn problem(&self, service: &ServiceKey) -> Option<&AnnounceProblem> {
        self.problems.get(service)
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
        for (service, scope) in &self.owners {
            fresh.set_owner(service, Some(scope.clone()), &mut out);
        }
        for (service, peers) in &self.bgp_peers {
            fresh.set_bgp_peers(service, peers.clone(), &mut out);
        }
        for (service, problem) in &self.problems {
            fresh.set_problem(service, Some(problem.clone()), &mut out);
        }
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

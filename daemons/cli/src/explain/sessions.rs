//! The link of BGP sessions: who is told, with which attributes, and whether the sessions stand.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use metallb_core::announce::{Engine, Route};
use metallb_core::config::{Community, Config};
use metallb_core::keys::{NodeName, PeerName, ServiceKey};

use super::chain::{Chain, Step};
use super::remedy::Subject;
use crate::sessions::Witness;
use crate::world::World;

/// The routes of each prefix that one node advertises for a service.
pub(super) type Routes = BTreeMap<IpNetwork, Vec<Route>>;

/// What each node advertises for a service.
pub(super) fn advertised(engine: &Engine, world: &World, service: &ServiceKey) -> Vec<(NodeName, Routes)> {
    let of = |node: &NodeName| {
        let mut all = engine.advertised_from(node);
        let prefixes = all.services.remove(service)?;
        let routes =
            prefixes.into_iter().map(|prefix| (prefix, all.routes.remove(&prefix).unwrap_or_default()));
        Some((node.clone(), routes.collect()))
    };
    world.nodes.iter().filter_map(|node| of(&node.name)).collect()
}

/// For each prefix, who is told and what with it.
pub(super) fn details(routes: &Routes) -> Vec<String> {
    let line = |prefix: &IpNetwork, route: &Route| {
        let peers: Vec<&str> = route.peers.iter().map(PeerName::as_str).collect();
        let mut parts = vec![format!("{prefix} to {}", peers.join(", "))];
        parts.extend(route.attributes.local_pref.map(|preference| format!("local preference {preference}")));
        if !route.attributes.communities.is_empty() {
            let names: Vec<String> = route.attributes.communities.iter().map(Community::to_string).collect();
            parts.push(format!("communities {}", names.join(" ")));
        }
        parts.join(", ")
    };
    routes.iter().flat_map(|(prefix, routes)| routes.iter().map(move |route| line(prefix, route))).collect()
}

/// How the sessions stand over which the service is advertised. `owned` says that somebody announces it by Layer 2, too.
pub(super) fn sessions(
    chain: &mut Chain,
    subject: Subject<'_>,
    config: &Config,
    advertised: &[(NodeName, Routes)],
    owned: bool,
) {
    let witness = Witness::new(subject.snapshot);
    let mut standings = Vec::new();
    for (node, routes) in advertised {
        let peers: BTreeSet<&PeerName> = routes.values().flatten().flat_map(|route| &route.peers).collect();
        for peer in peers.into_iter().filter_map(|name| config.peers().get(name)) {
            standings.push((node, peer, witness.standing(node.as_str(), peer)));
        }
    }
    if standings.is_empty() {
        return;
    }
    let all = standings.len();
    let up = standings.iter().filter(|(.., standing)| standing.is_up()).count();
    let down: Vec<_> = standings.iter().filter(|(.., standing)| standing.is_down()).collect();
    let unknown = standings.iter().find(|(.., standing)| standing.state.is_none());
    let details: Vec<String> = standings
        .iter()
        .filter(|(.., standing)| !standing.is_up())
        .take(SHOWN)
        .map(|(node, peer, standing)| {
            let state = standing.state.as_deref().unwrap_or("not known");
            let why = standing.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{node} with {} ({}): {state}{why}", peer.name, peer.endpoint)
        })
        .collect();
    let step = match (down.first(), unknown) {
        (None, None) => Step::good("sessions", format!("{up} of {all} established")),
        (None, Some(_)) => Step::note(
            "sessions",
            format!("{up} of {all} established, as far as the speakers could be asked"),
        ),
        (Some((node, peer, standing)), None) if up == 0 && !owned => {
            let why = standing.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let text =
                format!("none of {all} is established; {node} with {} ({}){why}", peer.name, peer.endpoint);
            Step::broken("sessions", "no_session", text).remedy(subject.peer(peer.name.as_str()))
        }
        (Some((_, peer, _)), _) => Step::note("sessions", format!("{up} of {all} established"))
            .remedy(subject.peer(peer.name.as_str())),
    };
    chain.push(step.details(details));
}

/// How many sessions are shown.
const SHOWN: usize = 20;

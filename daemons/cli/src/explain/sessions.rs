//! The link of BGP sessions: who is told, with which attributes, and whether the sessions stand.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use metallb_core::announce::{Engine, Route};
use metallb_core::config::{Community, Config, Peer};
use metallb_core::keys::{NodeName, PeerName, ServiceKey};

use super::chain::{Chain, Step};
use super::remedy::Subject;
use super::statuses::Words;
use crate::sessions::{Standing, Witness};
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

/// A session over which the service is advertised.
struct Session<'a> {
    node: &'a NodeName,
    peer: &'a Peer,
    standing: Standing,
    /// How it stands is not known, but the speaker has written down that the peer has the routes.
    is_told: bool,
}

impl Session<'_> {
    fn is_known(&self) -> bool {
        self.standing.state.is_some() || self.is_told
    }

    /// `node with peer (address)`.
    fn named(&self) -> String {
        format!("{} with {} ({})", self.node, self.peer.name, self.peer.endpoint)
    }

    fn why(&self) -> String {
        self.standing.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
    }
}

/// How the sessions stand over which the service is advertised. `owned` says that somebody announces it by Layer 2, too.
pub(super) fn sessions(
    chain: &mut Chain,
    subject: Subject<'_>,
    config: &Config,
    (advertised, words): (&[(NodeName, Routes)], &Words<'_>),
    owned: bool,
) {
    let witness = Witness::new(subject.snapshot);
    let mut sessions = Vec::new();
    for (node, routes) in advertised {
        let peers: BTreeSet<&PeerName> = routes.values().flatten().flat_map(|route| &route.peers).collect();
        for peer in peers.into_iter().filter_map(|name| config.peers().get(name)) {
            let standing = witness.standing(node.as_str(), peer);
            let is_told = standing.state.is_none() && words.has_told(node.as_str(), peer.name.as_str());
            sessions.push(Session { node, peer, standing, is_told });
        }
    }
    if sessions.is_empty() {
        return;
    }
    let details = sessions.iter().filter(|session| !session.standing.is_up()).take(SHOWN).map(|session| {
        let state = session.standing.state.as_deref().unwrap_or("not known");
        format!("{}: {state}{}", session.named(), session.why())
    });
    let details: Vec<String> = details.collect();
    chain.push(verdict(subject, &sessions, owned).details(details));
}

/// What the sessions together mean: with one that stands, or about which its speaker says so, the service is reachable.
fn verdict(subject: Subject<'_>, sessions: &[Session<'_>], owned: bool) -> Step {
    let count = |is: fn(&Session<'_>) -> bool| sessions.iter().filter(|session| is(session)).count();
    let all = sessions.len();
    let up = count(|session| session.standing.is_up());
    let told = count(|session| session.is_told);
    let down = count(|session| session.standing.is_down());
    let is_known = sessions.iter().all(Session::is_known);
    let is_reached = up > 0 || told > 0 || owned;
    let text = match (told, is_known) {
        (0, true) => format!("{up} of {all} established"),
        (0, false) => format!("{up} of {all} established, as far as the speakers could be asked"),
        _ => format!(
            "{up} of {all} established; of {told} that could not be asked, the speakers' statuses say that the peer has the \
             routes"
        ),
    };
    match (sessions.iter().find(|session| session.standing.is_down()), is_known) {
        (None, true) if told == 0 => Step::good("sessions", text),
        (None, false) if !is_reached => {
            Step::unknown("sessions", format!("none of {all} is known to be established"))
        }
        (None, _) => Step::note("sessions", text),
        (Some(session), is_known) => {
            let (example, remedy) =
                (session.named() + &session.why(), subject.peer(session.peer.name.as_str()));
            let are = if down == 1 { "is" } else { "are" };
            let step = match (is_reached, is_known) {
                (true, _) => Step::note("sessions", text),
                (false, true) => {
                    Step::broken("sessions", "no_session", format!("none of {all} is established; {example}"))
                }
                (false, false) => Step::unknown(
                    "sessions",
                    format!("none of {all} is known to be established, {down} {are} down; {example}"),
                ),
            };
            step.remedy(remedy)
        }
    }
}

/// How many sessions are shown.
const SHOWN: usize = 20;

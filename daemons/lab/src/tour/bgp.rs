//! BGP: routes in the router's kernel, and requests over them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use metallb_core::config::{BgpAdvertisement, Peer, PeerEndpoint, PeerFamilies};
use metallb_core::keys::Family;
use metallb_core::select::Labels;

use super::start::word;
use super::{Step, Stop, Target, Tour, list};
use crate::client;
use crate::lab::Node;
use crate::net::routes;
use crate::router;
use crate::scenario::Place;

/// How long sessions and routes may take to come up: a first attempt may meet a router that is not
/// there yet, and then waits.
pub(super) const ROUTES_LIMIT: Duration = Duration::from_secs(30);
/// Most requests until every node has answered.
const MOST_REQUESTS: usize = 400;

/// Next hops, by the names of the nodes, per prefix.
pub(super) type Paths = BTreeMap<IpNetwork, BTreeSet<String>>;

impl Tour<'_> {
    /// Shows the routes of one family and asks over them.
    pub(super) async fn routes(&self, family: Family) -> Step {
        self.reporter.title(&format!("BGP over {}", word(family)));
        let target = self.bgp_target(family)?;
        let wanted = self.wanted(target);
        self.await_paths(&wanted).await?;
        for (prefix, nodes) in &wanted {
            let (count, names) = (nodes.len(), list(nodes));
            let hops = if count == 1 { "next hop" } else { "next hops" };
            self.reporter.saw(format!("router's kernel: {prefix} has {count} {hops}: {names}"));
        }
        self.saw_communities(&wanted).await?;
        let nodes: BTreeSet<String> = wanted.values().flatten().cloned().collect();
        let counts = self.ask_over_routes(target, &nodes).await?;
        Ok(format!("paths by {}, HTTP from {}", list(&nodes), Self::shares(&counts)))
    }

    /// The first address of the family that is announced by BGP to this lab's router.
    pub(super) fn bgp_target(&self, family: Family) -> Result<&Target, Stop> {
        let Some(target) = Self::first(&self.targets.bgp, family) else {
            let why = format!("no service has an {} address that a BGPAdvertisement announces", word(family));
            return Err(Stop::NotShown(why));
        };
        if self.wanted(target).is_empty() {
            let router = list(Place::router().addresses().map(|(address, _)| address));
            let why = format!(
                "no BGPPeer that carries {} leads to this lab's router ({router}) for {}",
                word(family),
                target.address
            );
            // With peers of the other family only, that is how it is meant.
            let peers = self.lab.loaded.config.peers();
            let any = peers.values().any(|peer| leads_to_router(peer));
            return Err(if any { Stop::NotShown(why) } else { Stop::Failed(why) });
        }
        Ok(target)
    }

    /// What the router's kernel should have for an address, by the configuration alone.
    pub(super) fn wanted(&self, target: &Target) -> Paths {
        let mut wanted = Paths::new();
        let config = &self.lab.loaded.config;
        let Some(pool) = config.pools().get(&target.pool) else { return wanted };
        let family = Family::of(target.address);
        for (name, node) in &self.lab.nodes {
            let labels = labels(node);
            let peers = config.peers_on(&labels).peers;
            let carry = |adv: &BgpAdvertisement| {
                adv.applies_to(pool)
                    && adv.selects_node(&labels)
                    && adv.selects_service(&target.service.labels)
                    && peers.values().any(|peer| {
                        adv.selects_peer(&peer.name) && leads_to_router(peer) && carries(peer, family)
                    })
            };
            for adv in config.bgp_advertisements().values().filter(|adv| carry(adv)) {
                if let Some(prefix) = masked(target.address, adv.prefix_length(family)) {
                    wanted.entry(prefix).or_default().insert(name.clone());
                }
            }
        }
        wanted
    }

    /// Waits until the router's kernel has exactly these paths for these prefixes.
    pub(super) async fn await_paths(&self, wanted: &Paths) -> Result<(), Stop> {
        let mut last = Paths::new();
        let there = super::within(ROUTES_LIMIT, async || {
            last = self.paths().await?;
            Ok(wanted.iter().all(|(prefix, nodes)| last.get(prefix) == Some(nodes)).then_some(()))
        })
        .await?;
        if there.is_some() {
            return Ok(());
        }
        let mut text = Vec::new();
        for (prefix, nodes) in wanted.iter().filter(|(prefix, nodes)| last.get(prefix) != Some(nodes)) {
            let has = last.get(prefix).map_or_else(|| "no route".to_owned(), list);
            text.push(format!("the router's kernel has {has} for {prefix} instead of {}", list(nodes)));
        }
        Err(Stop::Failed(format!("{}; {}", text.join("; "), self.session_troubles().await?)))
    }

    /// What the speakers say of sessions that are not up.
    async fn session_troubles(&self) -> Result<String, crate::error::Error> {
        let mut troubles = Vec::new();
        for (name, node) in &self.lab.nodes {
            let sessions = self.lab.speaker_sessions(node).await?;
            let down = sessions.iter().filter(|session| session.state != "Established");
            troubles.extend(down.map(|session| format!("{name} to {session}")));
        }
        Ok(if troubles.is_empty() {
            "every session of the speakers is up".to_owned()
        } else {
            troubles.join("; ")
        })
    }

    /// The router's kernel, with nodes by name.
    pub(super) async fn paths(&self) -> Result<Paths, crate::error::Error> {
        let table: routes::Table = router::kernel_routes(&self.lab.router_room).await?;
        Ok(table.into_iter().map(|(prefix, hops)| (prefix, self.names(&hops))).collect())
    }

    async fn saw_communities(&self, wanted: &Paths) -> Result<(), Stop> {
        for route in self.lab.router.received().await? {
            let ours = route.prefix.parse().is_ok_and(|prefix: IpNetwork| wanted.contains_key(&prefix));
            if ours && !route.communities.is_empty() {
                self.reporter.saw(format!(
                    "router: {} by {} came with AS path {} and communities {}",
                    route.prefix,
                    route.next_hop,
                    route.as_path,
                    route.communities.join(" ")
                ));
            }
        }
        Ok(())
    }

    /// Asks from the client until every node answered. An address that the client resolves on the
    /// segment is asked from the router instead.
    pub(super) async fn ask_over_routes(
        &self,
        target: &Target,
        nodes: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, usize>, Stop> {
        let direct = self.targets.layer2.iter().any(|other| other.address == target.address);
        let room = if direct || super::on_segment(target.address) {
            &self.lab.router_room
        } else {
            &self.lab.client
        };
        let (counts, errors) = client::spread(room, target.socket(), nodes, MOST_REQUESTS).await?;
        let (from, to) = (room.name(), target.socket());
        self.reporter.saw(format!("HTTP from the {from} to {to} over the routes: {}", Self::shares(&counts)));
        if let Some(error) = errors.first() {
            return Err(Stop::Failed(format!("{} of the requests to {to} failed: {error}", errors.len())));
        }
        let answered: BTreeSet<String> = counts.keys().cloned().collect();
        if answered != *nodes {
            return Err(Stop::Failed(format!("{} answered instead of {}", list(&answered), list(nodes))));
        }
        Ok(counts)
    }
}

/// The labels the node has in the API.
fn labels(node: &Node) -> Labels {
    let object = crate::scenario::objects::node(&node.host.place);
    let labels = object.pointer("/metadata/labels").and_then(serde_json::Value::as_object);
    labels
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

pub(super) fn leads_to_router(peer: &Peer) -> bool {
    let ours = |address: &IpAddr| Place::router().addresses().iter().any(|(own, _)| own == address);
    matches!(&peer.endpoint, PeerEndpoint::Address(address) if ours(address))
}

fn carries(peer: &Peer, family: Family) -> bool {
    let own = match &peer.endpoint {
        PeerEndpoint::Address(address) => Family::of(*address) == family,
        PeerEndpoint::Interface(_) => false,
    };
    own || peer.families == PeerFamilies::Both
}

fn masked(address: IpAddr, length: u8) -> Option<IpNetwork> {
    let net = IpNetwork::new(address, length).ok()?;
    IpNetwork::new(net.network(), length).ok()
}

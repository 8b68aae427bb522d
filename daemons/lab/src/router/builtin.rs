//! The router built from `metallb-bgp`: a passive collector of routes, and the kernel's table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use metallb_bgp::bfd::Profile;
use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::{EventReceiver, ListenRange, Speaker, SpeakerConfig};
use metallb_bgp::session::{Event, OfferedFamilies, PeerBfd, PeerConfig, PeerKey, ReceivedUpdate};
use metallb_bgp::types::{Asn, Attributes, RemoteAs, RouterId};
use tokio::sync::Mutex;

use super::{RouterRoute, RouterSession};
use crate::error::Error;
use crate::net::{Room, links, routes};
use crate::scenario::{BFD_INTERVAL, BFD_MULTIPLIER, Place, ROUTER_ASN, segment};

/// BGP's port (RFC 4271 §4).
const PORT: u16 = 179;
/// Most prefixes from one node; more is a mistake that must not fill the kernel's table.
const MAX_PREFIXES: u32 = 10_000;

/// The router, running in its namespace until this is dropped.
#[derive(Debug)]
pub(crate) struct BuiltIn {
    speaker: Speaker,
    table: Arc<Mutex<Table>>,
}

/// What the peers announced.
#[derive(Debug, Default)]
struct Table {
    paths: BTreeMap<IpNetwork, BTreeMap<PeerKey, Arc<Attributes>>>,
}

impl BuiltIn {
    pub(crate) async fn start(room: &Arc<Room>, bfd: bool) -> Result<Self, Error> {
        let here = Place::router();
        let identifier = RouterId::new(here.v4).map_err(|error| fail(&error))?;
        let mut config = SpeakerConfig::new(identifier);
        config.listen = vec![(Ipv4Addr::UNSPECIFIED, PORT).into(), SocketAddr::new(here.v6.into(), PORT)];
        let link = links::index(room, "eth0").await?;
        let started = room.run(async move { Speaker::start(config) }).await?;
        let (speaker, events) = started.map_err(|error| fail(&error))?;
        let watched = bfd.then(watched).transpose()?;
        for prefix in segment() {
            // The port is the peer's own; the address is that of whoever connects.
            let mut template = PeerConfig::new(
                SocketAddr::new(prefix.ip(), PORT),
                Asn::new(ROUTER_ASN),
                RemoteAs::External,
                0,
            );
            template.passive = true;
            template.import = true;
            template.families = OfferedFamilies::Both;
            template.router_id = Some(identifier);
            template.max_prefixes = Some(MAX_PREFIXES);
            template.bfd.clone_from(&watched);
            let name = if prefix.is_ipv4() { "segment-v4" } else { "segment-v6" };
            speaker.set_listen_range(PeerKey::new(name), ListenRange::new(prefix, template));
        }
        // Nothing is announced by this router, and that is all there is to say.
        speaker.table_complete();
        let table = Arc::new(Mutex::new(Table::default()));
        room.runtime().spawn(install(events, Arc::clone(room), link, Arc::clone(&table)));
        Ok(Self { speaker, table })
    }

    pub(crate) async fn sessions(&self) -> Vec<RouterSession> {
        let table = self.table.lock().await;
        let count = |peer: &PeerKey| table.paths.values().filter(|paths| paths.contains_key(peer)).count();
        let snapshot = self.speaker.snapshot().await;
        snapshot
            .into_iter()
            .map(|peer| RouterSession {
                peer: peer.remote.ip(),
                asn: peer.negotiated.as_ref().map(|agreed| agreed.remote_asn.value()),
                state: peer.state.to_string(),
                prefixes: count(&peer.peer).try_into().unwrap_or(u64::MAX),
            })
            .collect()
    }

    pub(crate) async fn received(&self) -> Vec<RouterRoute> {
        let table = self.table.lock().await;
        let route = |prefix: &IpNetwork, attributes: &Attributes| RouterRoute {
            prefix: prefix.to_string(),
            next_hop: attributes.next_hop.address(),
            as_path: join(attributes.as_path.asns()),
            communities: attributes
                .communities
                .iter()
                .map(ToString::to_string)
                .chain(attributes.large_communities.iter().map(ToString::to_string))
                .collect(),
        };
        table
            .paths
            .iter()
            .flat_map(|(prefix, paths)| paths.values().map(move |attributes| route(prefix, attributes)))
            .collect()
    }
}

impl Table {
    /// Takes an UPDATE in; returns the prefixes it touched.
    fn apply(&mut self, peer: &PeerKey, update: ReceivedUpdate) -> BTreeSet<IpNetwork> {
        let mut touched = BTreeSet::new();
        for prefix in update.withdrawn {
            self.remove(peer, prefix);
            touched.insert(prefix);
        }
        for (prefix, attributes) in update.announced {
            self.paths.entry(prefix).or_default().insert(peer.clone(), attributes);
            touched.insert(prefix);
        }
        touched
    }

    /// Forgets everything of a peer; returns the prefixes it had.
    fn forget(&mut self, peer: &PeerKey) -> BTreeSet<IpNetwork> {
        let had: BTreeSet<_> = self
            .paths
            .iter()
            .filter(|(_, paths)| paths.contains_key(peer))
            .map(|(prefix, _)| *prefix)
            .collect();
        for prefix in &had {
            self.remove(peer, *prefix);
        }
        had
    }

    fn remove(&mut self, peer: &PeerKey, prefix: IpNetwork) {
        if let Some(paths) = self.paths.get_mut(&prefix) {
            paths.remove(peer);
            if paths.is_empty() {
                self.paths.remove(&prefix);
            }
        }
    }

    fn next_hops(&self, prefix: IpNetwork) -> BTreeSet<IpAddr> {
        let paths = self.paths.get(&prefix).into_iter().flat_map(BTreeMap::values);
        paths.map(|attributes| attributes.next_hop.address()).collect()
    }
}

/// How the paths to the nodes are watched.
fn watched() -> Result<PeerBfd, Error> {
    Profile::new(BFD_INTERVAL, BFD_INTERVAL, BFD_MULTIPLIER).map(PeerBfd::new).map_err(|error| fail(&error))
}

/// Puts what arrives into the kernel's table.
async fn install(mut events: EventReceiver, room: Arc<Room>, link: u32, table: Arc<Mutex<Table>>) {
    while let Some(event) = events.recv().await {
        let mut table = table.lock().await;
        let touched = match event {
            Event::Received { peer, update, .. } => table.apply(&peer, update),
            Event::StateChanged { peer, state, reason } if state != State::Established => {
                if let Some(reason) = reason {
                    tracing::info!(protocol = "bgp", %peer, %reason, "router: session ended");
                }
                table.forget(&peer)
            }
            _ => BTreeSet::new(),
        };
        for prefix in touched {
            if let Err(error) = routes::set_paths(&room, link, prefix, &table.next_hops(prefix)).await {
                tracing::warn!(protocol = "bgp", error = %error.report(), "router");
            }
        }
    }
}

fn join(asns: impl Iterator<Item = Asn>) -> String {
    asns.map(|asn| asn.to_string()).collect::<Vec<_>>().join(" ")
}

fn fail(error: &dyn std::error::Error) -> Error {
    let mut reason = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        reason = format!("{reason}: {error}");
        next = error.source();
    }
    Error::Router { router: "the built-in router", reason }
}

#[cfg(test)]
mod tests {
    use metallb_bgp::types::NextHop;

    use super::*;

    fn mk_update(announced: &[(&str, &str)], withdrawn: &[&str]) -> ReceivedUpdate {
        let attributes =
            |next_hop: &str| Arc::new(Attributes::originate(NextHop::V4(next_hop.parse().unwrap())));
        ReceivedUpdate {
            announced: announced.iter().map(|(net, hop)| (net.parse().unwrap(), attributes(hop))).collect(),
            withdrawn: withdrawn.iter().map(|net| net.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_prefix_has_the_next_hops_of_all_its_peers() {
        let (one, two) = (PeerKey::new("one"), PeerKey::new("two"));
        let mut table = Table::default();
        table.apply(&one, mk_update(&[("198.51.100.1/32", "192.0.2.11")], &[]));
        table.apply(&two, mk_update(&[("198.51.100.1/32", "192.0.2.12")], &[]));
        let prefix: IpNetwork = "198.51.100.1/32".parse().unwrap();
        assert_eq!(table.next_hops(prefix).len(), 2);
        assert_eq!(table.apply(&one, mk_update(&[], &["198.51.100.1/32"])), BTreeSet::from([prefix]));
        assert_eq!(table.next_hops(prefix), BTreeSet::from(["192.0.2.12".parse().unwrap()]));
        assert_eq!(table.forget(&two), BTreeSet::from([prefix]));
        assert!(table.next_hops(prefix).is_empty());
    }
}

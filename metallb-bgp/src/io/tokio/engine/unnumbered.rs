//! Peers that are known by their interface.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::task::Context;

use super::super::demand::Owner;
use super::super::links::Links;
use super::super::peer::{Peer, candidates};
use super::super::peers::Member;
use super::{Engine, now};
use crate::session::{Authentication, PeerConfig, PeerKey};

impl Engine {
    /// Has the interfaces of all unnumbered peers followed. To be called when one may have come or gone.
    pub(super) fn follow_interfaces(&mut self) {
        let interfaces = self.peers.values().filter_map(|peer| peer.session.config().interface.as_deref());
        let wanted: BTreeSet<&str> = interfaces.collect();
        self.links.want(&wanted, &self.node.addresses);
    }

    /// Hears and speaks on those interfaces.
    pub(super) fn poll_links(&mut self, cx: &mut Context<'_>) -> bool {
        if self.links.is_empty() {
            return false;
        }
        // A link-local address belongs to its link: on other interfaces a router may have one that is ours elsewhere.
        let (addresses, spoken) = (&self.node.addresses, self.links.spoken());
        let is_own = |source: Ipv6Addr| spoken.iter().any(|index| addresses.is_on(*index, source.into()));
        let (progress, changes) = self.links.poll(cx, is_own);
        for change in changes {
            self.take_neighbors(Some(&change.interface), change.calls);
        }
        progress
    }

    /// Has sessions over an interface, or over any, take who is there now.
    pub(super) fn take_neighbors(&mut self, interface: Option<&str>, calls: bool) {
        let mut moved = Vec::new();
        for Member { peer, seat } in self.peers.members() {
            let Some(own) = peer.session.config().interface.as_deref() else { continue };
            if interface.is_some_and(|interface| interface != own) {
                continue;
            }
            peer.take_neighbors(&self.links);
            if calls {
                peer.call(now());
            }
            if peer.take_moved() {
                moved.push(peer.session.key().clone());
            }
            self.schedule.mark(seat);
        }
        for key in moved {
            self.moved(&key);
        }
    }

    /// A session has another neighbour: listeners and BFD follow.
    pub(super) fn moved(&mut self, key: &PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let config = peer.session.config();
        tracing::debug!(protocol = "bgp", peer = %key, remote = %config.remote_name(), "neighbor of the interface");
        let (remote, authentication) = (config.remote, config.authentication.clone());
        if self.demand_for(key, remote, &authentication) {
            self.accept_waiting();
        }
        self.watch(key);
    }

    /// Has the listeners demand the keys of a peer; returns whether they do. Nothing is demanded of one whose address is
    /// not known.
    pub(super) fn demand_for(
        &mut self,
        key: &PeerKey,
        remote: SocketAddr,
        authentication: &Authentication,
    ) -> bool {
        let owner = Owner::Peer(key.clone());
        if remote.ip().is_unspecified() {
            self.listeners.release(&owner);
            return false;
        }
        self.demand(&owner, remote.ip().into(), authentication)
    }

    /// The address at which a peer is looked for: that of an unnumbered one stays while its interface does.
    pub(super) fn remote_of(&self, key: &PeerKey, config: &PeerConfig) -> SocketAddr {
        let before = self.peers.get(key).map(|peer| peer.session.config());
        match before.filter(|before| config.interface.is_some() && before.interface == config.interface) {
            Some(before) => before.remote,
            None => config.remote,
        }
    }
}

/// Whether a connection from `remote` may be that of an unnumbered peer: its neighbours are known. With a key it is the
/// one alone that the listeners have the key of. `None` where the peer has an address.
pub(super) fn is_neighbor(peer: &Peer, remote: SocketAddr, links: &Links) -> Option<bool> {
    let config = peer.session.config();
    let candidates = candidates(config, links)?.unwrap_or_default();
    let ip = remote.ip().to_canonical();
    let here = match (ip, remote) {
        (IpAddr::V6(_), SocketAddr::V6(v6)) => {
            let index = config.interface.as_deref().and_then(|interface| links.index(interface));
            index.is_some_and(|index| index.0 == v6.scope_id())
        }
        _ => true,
    };
    let has_key = config.authentication != Authentication::None;
    Some(here && candidates.contains(&ip) && (!has_key || config.remote.ip() == ip))
}

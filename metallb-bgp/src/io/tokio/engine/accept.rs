//! Connections that peers open, and ranges of peers that are known by where they come from.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::super::ListenRange;
use super::super::demand::Owner;
use super::super::farewells::{Place, Rank};
use super::super::linger::Lingering;
use super::super::peer::{Closing, Peer};
use super::super::peers::Member;
use super::super::socket;
use super::unnumbered::is_neighbor;
use super::{Engine, now};
use crate::session::{PeerConfig, PeerKey, StopReason};
use crate::wire::header::MessageLimit;
use crate::wire::iana;
use crate::wire::notification::Notification;

impl Engine {
    pub(super) fn set_range(&mut self, name: PeerKey, range: ListenRange) {
        let owner = Owner::Range(name.clone());
        if self.demand(&owner, range.prefix, &range.template.authentication) {
            self.accept_waiting();
        }
        if self.listeners.refusal(&owner).is_some() {
            // Without the keys nobody is let in, and those inside came by other ones.
            self.remove_range(&name);
            return;
        }
        self.listeners.limit_segments(&owner, range.template.tcp_mss);
        let mut changed = Vec::new();
        let of_range = |member: &&mut Member| member.peer.range.as_ref() == Some(&name);
        for Member { peer, seat } in self.peers.members().filter(of_range) {
            self.schedule.mark(seat);
            let config = dynamic_config(&range, peer.session.config().remote);
            peer.apply_socket_options(&config);
            peer.reconfigure(now(), config, &mut self.table);
            changed.push(peer.session.key().clone());
        }
        for key in changed {
            self.watch(&key);
        }
        self.ranges.insert(name, range);
    }

    pub(super) fn remove_range(&mut self, name: &PeerKey) {
        self.ranges.remove(name);
        self.listeners.release(&Owner::Range(name.clone()));
        let of_range = self.peers.iter().filter(|(_, peer)| peer.range.as_ref() == Some(name));
        let keys: Vec<PeerKey> = of_range.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove_peer(&key, &StopReason::Deconfigured);
        }
    }

    /// Takes connections, but not so many that those who have one wait.
    pub(super) fn poll_listeners(&mut self, cx: &mut Context<'_>) -> bool {
        for taken in 0..ACCEPTS {
            let Poll::Ready((stream, remote)) = self.listeners.poll_accept(cx) else { return taken > 0 };
            self.accept(stream, remote);
        }
        true
    }

    /// Takes what waits to be accepted. After a change of keys, that came with other ones: it belongs to the session
    /// as it was, if to any.
    pub(super) fn accept_waiting(&mut self) {
        for (stream, remote) in self.listeners.waiting() {
            self.accept(stream, remote);
        }
    }

    /// Hands a connection to its peer, unless there is none or it cannot be authenticated.
    fn accept(&mut self, stream: TcpStream, remote: SocketAddr) {
        match self.peer_for(&stream, remote) {
            Ok(key) => {
                let Some(peer) = self.peers.get_mut(&key, &mut self.schedule) else { return };
                if let Some(error) = self.listeners.refusal(&Owner::Peer(key)) {
                    return peer.refuse(now(), error);
                }
                peer.came_from(remote, &self.links);
                peer.accept(stream, remote, (&self.node, &self.table));
            }
            Err(refusal) => self.refuse(stream, remote, &refusal),
        }
    }

    fn refuse(&mut self, stream: TcpStream, remote: SocketAddr, refusal: &Refusal) {
        if let Refusal::Full(key) = refusal {
            let mut last = Vec::new();
            Notification::cease(iana::CEASE_CONNECTION_REJECTED).encode(MessageLimit::Standard, &mut last);
            let place = Place { peer: key.clone(), rank: Rank::Opened, since: now() };
            self.closing.push(Closing { lingering: Lingering::new(stream, last), place });
        }
        if let Refusal::Stranger = refusal {
            tracing::debug!(%remote, "connection from an address without a peer refused");
            return;
        }
        let Some(untold) = self.refusals.tell(now()) else { return };
        match refusal {
            Refusal::Stranger => {}
            Refusal::Elsewhere => {
                tracing::warn!(%remote, untold, "connection through another device than that of its peer refused");
            }
            Refusal::Taken(peer) => {
                tracing::warn!(%remote, %peer, untold, "a peer of another address has this name, connection refused");
            }
            Refusal::Full(_) => {
                tracing::warn!(%remote, untold, "the range has as many peers as it may, connection refused");
            }
        }
    }

    /// The peer a connection from `remote` belongs to: a configured one, else one of a range. The same address behind
    /// another device is another host.
    fn peer_for(&mut self, stream: &TcpStream, remote: SocketAddr) -> Result<PeerKey, Refusal> {
        let mut refusal = Refusal::Stranger;
        let mut is_here = |config: &PeerConfig| {
            let is_here = socket::came_through_device(stream, remote, config);
            if !is_here {
                refusal = Refusal::Elsewhere;
            }
            is_here
        };
        let of_host = |peer: &&Peer| {
            is_neighbor(peer, remote, &self.links)
                .unwrap_or_else(|| same_host(peer.session.config().remote, remote))
        };
        let all = self.peers.values().filter(of_host).filter(|peer| is_here(peer.session.config()));
        if let Some(peer) = all.min_by_key(|peer| (peer.range.is_some(), peer.session.key())) {
            return Ok(peer.session.key().clone());
        }
        let ip = remote.ip().to_canonical();
        let ranges = self.ranges.iter().filter(|(_, range)| range.prefix.contains(ip));
        let ranges = ranges.filter(|(_, range)| is_here(&range.template));
        let (name, range) = ranges.max_by_key(|(_, range)| range.prefix.prefix()).ok_or(refusal)?;
        let members = self.peers.values().filter(|peer| peer.range.as_ref() == Some(name)).count();
        if members >= range.limit {
            return Err(Refusal::Full(dynamic_key(name, remote)));
        }
        let key = dynamic_key(name, remote);
        if self.peers.get(&key).is_some() {
            return Err(Refusal::Taken(key));
        }
        let (name, config) = (name.clone(), dynamic_config(range, remote));
        self.start_peer(&key, config, Some(name));
        Ok(key)
    }
}

/// Why a connection is not taken.
enum Refusal {
    /// Nobody expects it.
    Stranger,
    /// Whoever has its address is bound to another device.
    Elsewhere,
    /// Its range has as many peers as it may; this would have been the name of this one.
    Full(PeerKey),
    /// A peer that is configured at another address has the name this one would get.
    Taken(PeerKey),
}

/// The configuration of a peer that came from a range.
fn dynamic_config(range: &ListenRange, remote: SocketAddr) -> PeerConfig {
    let mut config = range.template.clone();
    (config.remote, config.interface) = (remote, None);
    config.passive = true;
    config
}

/// The name of a peer that came from a range: the same link-local address is another host on another interface.
fn dynamic_key(range: &PeerKey, remote: SocketAddr) -> PeerKey {
    let ip = remote.ip().to_canonical();
    match scope(remote) {
        0 => PeerKey::new(format!("{range}/{ip}")),
        scope => PeerKey::new(format!("{range}/{ip}%{scope}")),
    }
}

/// Whether both name the same host; interfaces of link-local addresses count if both are known.
fn same_host(configured: SocketAddr, remote: SocketAddr) -> bool {
    let (a, b) = (scope(configured), scope(remote));
    let same: fn(IpAddr, IpAddr) -> bool = |a, b| a.to_canonical() == b.to_canonical();
    same(configured.ip(), remote.ip()) && (a == b || a == 0 || b == 0)
}

/// The interface of an address, if it has one.
const fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}

/// Connections taken in one round.
const ACCEPTS: usize = 16;

//! Peers that are known by their interface: which address such a peer has for now.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Instant;

use super::drive::Detail;
use super::{CloseReason, ConnectionId, OfferedFamilies, PeerConfig, Session};
use crate::fsm;
use crate::types::{Asn, RemoteAs};
use crate::unnumbered::NoNeighbor;

impl PeerConfig {
    /// A peer behind this [`interface`](Self::interface), whatever its address, and otherwise as from
    /// [`new`](Self::new); both families are offered.
    pub fn unnumbered(
        interface: impl Into<String>,
        port: u16,
        local_asn: Asn,
        remote_asn: RemoteAs,
        seed: u64,
    ) -> Self {
        let unknown = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
        let mut config = Self::new(unknown.into(), local_asn, remote_asn, seed);
        config.interface = Some(interface.into());
        config.families = OfferedFamilies::Both;
        config
    }

    /// Whether the address of an unnumbered peer is not known (yet).
    pub fn is_remote_unknown(&self) -> bool {
        self.interface.is_some() && self.remote.ip().is_unspecified()
    }

    /// The peer for people: its address and port; of an unnumbered peer with the name of the interface, or that alone
    /// while the address is not known.
    pub const fn remote_name(&self) -> RemoteName<'_> {
        RemoteName { remote: self.remote, interface: self.interface.as_ref() }
    }

    /// The same configuration with the address that `before` has learned on the same interface.
    pub(super) fn with_neighbor_of(mut self, before: &Self) -> Self {
        if self.interface.is_some() && self.interface == before.interface {
            let port = self.remote.port();
            self.remote = before.remote;
            self.remote.set_port(port);
        }
        self
    }
}

/// Made by [`PeerConfig::remote_name`].
#[derive(Clone, Copy, Debug)]
pub struct RemoteName<'a> {
    remote: SocketAddr,
    interface: Option<&'a String>,
}

impl fmt::Display for RemoteName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.interface, self.remote) {
            (Some(interface), remote) if remote.ip().is_unspecified() => {
                write!(f, "the router on {interface}")
            }
            (Some(interface), SocketAddr::V6(v6)) => write!(f, "[{}%{interface}]:{}", v6.ip(), v6.port()),
            (_, remote) => remote.fmt(f),
        }
    }
}

impl Session {
    /// The address at which the next attempt looks for an unnumbered peer. A connection that is there goes on.
    pub fn set_neighbor(&mut self, remote: SocketAddr) {
        if self.config.interface.is_some() {
            self.config.remote = remote;
        }
    }

    /// There was nobody to connect to; the attempt is given up.
    pub fn handle_no_neighbor(&mut self, now: Instant, id: ConnectionId, reason: NoNeighbor) {
        let now = self.tick(now);
        let Some(direction) = self.direction_of(id) else { return };
        let detail = Detail::because(CloseReason::NoNeighbor(reason));
        self.fire(now, direction, fsm::Event::TcpFails, detail);
    }
}

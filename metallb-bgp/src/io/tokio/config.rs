//! What the driver is told.

use std::net::SocketAddr;

use ipnetwork::IpNetwork;

use crate::addresses::InternalAddresses;
use crate::session::PeerConfig;
use crate::types::RouterId;

/// Everything about a [`Speaker`](super::Speaker) that is not about one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpeakerConfig {
    /// Addresses to listen on; empty is active only, as MetalLB. Default empty.
    pub listen: Vec<SocketAddr>,
    /// BGP identifier for sessions that have neither one configured nor an IPv4 address. MetalLB
    /// takes a checksum of the node's name. Default 0.0.0.1.
    pub fallback_router_id: RouterId,
    /// The node's own addresses; see [`Speaker::set_internal_addresses`](super::Speaker::set_internal_addresses). Default
    /// none.
    pub internal_addresses: InternalAddresses,
    /// How many events may wait for their receiver. When they do, the routes of peers that
    /// [import](PeerConfig::import) are left in the sockets; sessions go on. That a peer ended
    /// one is seen a second after its last octets came, or, where there is no room for them, with the next KEEPALIVE.
    /// Of other events the last of each kind and peer waits besides. A session that ends takes its undelivered routes
    /// along, and a peer that goes, removed or one of a range, all that is undelivered but its last state; that, too,
    /// if nothing was told of it before. [`Speaker::dropped_events`](super::Speaker::dropped_events) counts them.
    /// Default 1024.
    pub event_capacity: usize,
    /// Where the discriminators and the jitter of BFD come from. Machines should have different ones, and each start
    /// another. Default 0.
    pub bfd_seed: u64,
}

impl SpeakerConfig {
    /// Active only, with this identifier as a last resort.
    pub const fn new(fallback_router_id: RouterId) -> Self {
        Self {
            listen: Vec::new(),
            fallback_router_id,
            internal_addresses: InternalAddresses { v4: None, v6: None },
            event_capacity: 1024,
            bfd_seed: 0,
        }
    }
}

/// Peers that are accepted by where they come from instead of by name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenRange {
    /// Source addresses that are accepted; peers that are configured come first.
    pub prefix: IpNetwork,
    /// What their sessions are like. The address of [`PeerConfig::remote`] is replaced by the
    /// peer's own, and the session is passive.
    pub template: PeerConfig,
    /// The most sessions of this range at the same time; others are refused with Cease 6/5.
    pub limit: usize,
}

impl ListenRange {
    /// Peers from `prefix` as `template` says, at most 256.
    pub const fn new(prefix: IpNetwork, template: PeerConfig) -> Self {
        Self { prefix, template, limit: 256 }
    }
}

/// How a speaker ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// For a restart of this program. Each peer as it was agreed with it: with graceful restart the TCP connection
    /// closes without a NOTIFICATION, and the peer keeps the routes until the session is back or the restart time is over
    /// (RFC 4724 §4.2); without, as for [`Cease`](Self::Cease).
    Graceful {
        /// Why, for the operators of peers without graceful restart; may be empty.
        text: String,
    },
    /// For good: everything is withdrawn, then Cease 6/2 with this text (RFC 9003; cut at 255
    /// octets), inside a Hard Reset where the peer would otherwise keep the routes (RFC 8538).
    Cease {
        /// Why, for the operator of the peer; may be empty.
        text: String,
    },
}

/// The driver could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listening address could not be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address of [`SpeakerConfig::listen`].
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A listening address needs a right that the process does not have.
    #[error(
        "cannot listen on {address}: a port below 1024 needs the capability NET_BIND_SERVICE; add it to the container's securityContext.capabilities"
    )]
    Privileged {
        /// The address of [`SpeakerConfig::listen`].
        address: SocketAddr,
    },
}

//! A session as it can be shown.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{CloseReason, PeerKey, Unacknowledged, Withheld};
use crate::addresses::Choice;
use crate::fsm::State;
use crate::types::{Asn, Family, RouterId};
use crate::wire::notification::Notification;

/// A session at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerSnapshot {
    /// The peer's name.
    pub peer: PeerKey,
    /// The configured or, for a listening range, actual address of the peer; of an unnumbered peer the one that was
    /// learned, unspecified while there is none.
    pub remote: SocketAddr,
    /// The interface that an unnumbered peer is behind.
    pub interface: Option<String>,
    /// Our address, while connected.
    pub local: Option<SocketAddr>,
    /// State of the connection that is furthest.
    pub state: State,
    /// Since when; `None` before the session was started.
    pub since: Option<Instant>,
    /// The ASN we present.
    pub local_asn: Asn,
    /// Our identifier in the OPEN that was sent last.
    pub router_id: Option<RouterId>,
    /// What the two sides agreed on, while established.
    pub negotiated: Option<NegotiatedSnapshot>,
    /// Why the session last ended or an attempt last failed.
    pub last_error: Option<CloseReason>,
    /// When that was.
    pub last_error_at: Option<Instant>,
    /// What TCP had sent in vain when the session last ended, where that and the short time it was up make the path
    /// suspect; goes with the next error.
    pub unacknowledged: Option<Unacknowledged>,
    /// What routes point to and why, while connected.
    pub next_hops: Option<Choice>,
    /// Routes for the peer that it does not get, while established: by family, each with one reason.
    pub withheld: Vec<Withheld>,
    /// The peer's NOTIFICATION that was read behind what we ended the last connection for.
    pub crossed: Option<Notification>,
    /// Capabilities that are left out because the peer refused them, in words.
    pub given_up: Vec<String>,
    /// Fields changed since the OPEN that apply at the next establishment, in words.
    pub pending: Vec<&'static str>,
    /// When the next attempt starts, while waiting for it.
    pub next_attempt: Option<Instant>,
    /// Numbers since the peer was added.
    pub counters: Counters,
    /// Prefixes the peer has been told and not untold, per family.
    pub advertised_v4: u64,
    /// As [`advertised_v4`](Self::advertised_v4), for IPv6.
    pub advertised_v6: u64,
    /// Prefixes of the session's families that are to be announced and cannot be: without a next hop, with no other
    /// than the peer's own address, or with attributes that leave no room in a message. Each counts from when its turn
    /// has come. Those of a family that is not among the [negotiated ones](NegotiatedSnapshot::families) are only among
    /// those [withheld](Self::withheld).
    pub unsendable: u64,
    /// Changes of the table this session has not written yet.
    pub queued_changes: u64,
    /// Octets written by the session and not yet taken by the socket.
    pub queued_octets: usize,
    /// Prefixes the peer has announced, with [`max_prefixes`](super::PeerConfig::max_prefixes).
    pub received_prefixes: u64,
}

/// What the OPENs of both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is one capability of its own")]
pub struct NegotiatedSnapshot {
    /// The peer's ASN.
    pub remote_asn: Asn,
    /// The peer's identifier.
    pub remote_router_id: RouterId,
    /// Hold time in use; zero is none.
    pub hold_time: Duration,
    /// Keepalive interval in use; zero is none.
    pub keepalive_time: Duration,
    /// Families both sides offered.
    pub families: Vec<Family>,
    /// Families that are wanted and that the peer does not have, or refused: it gets no routes of them.
    pub missing_families: Vec<Family>,
    /// Capabilities of the peer, in words.
    pub peer_capabilities: Vec<String>,
    /// Messages above 4096 octets may be sent.
    pub extended_messages: bool,
    /// Route refresh, and enhanced route refresh.
    pub route_refresh: bool,
    /// Enhanced route refresh (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// IPv4 prefixes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// The peer keeps our routes through a restart (RFC 4724).
    pub graceful_restart: bool,
    /// The peer keeps our routes as a last resort when a restart takes longer (RFC 9494).
    pub long_lived_graceful_restart: bool,
}

/// Numbers of one peer since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages written, all kinds.
    pub messages_sent: u64,
    /// Octets taken by the socket.
    pub octets_sent: u64,
    /// UPDATE messages written.
    pub updates_sent: u64,
    /// OPEN messages written.
    pub opens_sent: u64,
    /// KEEPALIVE messages written.
    pub keepalives_sent: u64,
    /// NOTIFICATION messages written.
    pub notifications_sent: u64,
    /// ROUTE-REFRESH messages written.
    pub refreshes_sent: u64,
    /// Messages read, all kinds.
    pub messages_received: u64,
    /// Octets read.
    pub octets_received: u64,
    /// UPDATE messages read.
    pub updates_received: u64,
    /// OPEN messages read.
    pub opens_received: u64,
    /// KEEPALIVE messages read.
    pub keepalives_received: u64,
    /// NOTIFICATION messages read.
    pub notifications_received: u64,
    /// ROUTE-REFRESH messages read.
    pub refreshes_received: u64,
    /// Times the session was established.
    pub established: u64,
    /// Attempts to connect.
    pub connect_attempts: u64,
    /// ConnectRetryCounter (RFC 4271 §8): failures since it last was started by hand.
    pub connect_retry_counter: u32,
    /// UPDATEs with an attribute that was discarded (RFC 7606).
    pub attributes_discarded: u64,
    /// UPDATEs whose routes were treated as withdrawn (RFC 7606).
    pub treated_as_withdraw: u64,
    /// UPDATEs for which a family was or stays disabled (RFC 7606).
    pub families_disabled: u64,
    /// UPDATEs that ended the session (RFC 7606).
    pub sessions_reset: u64,
}

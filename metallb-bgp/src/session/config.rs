//! What a session is told by its user.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Authentication;
use crate::types::{Asn, HoldTime, RemoteAs, RouterId};
use crate::wire::capability::Capability;
use crate::wire::open::RolePolicy;
use crate::wire::update::OnUnreadable;

/// The name a user gives to a peer; events, routes and snapshots carry it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(Arc<str>);

impl PeerKey {
    /// A key with this text.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for PeerKey {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl Borrow<str> for PeerKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The address families to offer in OPEN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OfferedFamilies {
    /// Only the family of the session's own address.
    #[default]
    Own,
    /// IPv4 unicast and IPv6 unicast.
    Both,
    /// IPv4 unicast only, whatever the transport.
    Ipv4,
    /// IPv6 unicast only, whatever the transport.
    Ipv6,
}

/// TTL or hop limit of the session's packets (RFC 4271 does not say; RFC 5082 does).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TtlPolicy {
    /// What the system uses by default (64 on Linux): what MetalLB's native speaker does.
    #[default]
    System,
    /// This value: 1 for a directly connected peer.
    Exact(u8),
    /// A peer several hops away: packets leave with this value, usually 255.
    Multihop(u8),
    /// RFC 5082: packets leave with 255 and must arrive with at least 256 − `hops`.
    Gtsm {
        /// How many hops away the peer may be; 1 is directly connected.
        hops: u8,
    },
}

/// Graceful restart as the restarting speaker (RFC 4724, RFC 8538).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// How long the peer keeps our routes while we are away; whole seconds, at most 4095. Default 120 s.
    pub restart_time: Duration,
    /// The F bit of every family: forwarding survived what ended the last process (RFC 4724 §3). For a speaker whose data
    /// plane is the kernel this is true unless the node itself has just booted. It is about the start alone: a peer that
    /// has had a session with this process is told in later ones that forwarding is there. Default true.
    pub forwarding_preserved: bool,
    /// The longest wait for [`AdvTable::complete`](crate::table::AdvTable::complete), from the first session with the peer
    /// on, before End-of-RIB is sent regardless (RFC 4724 §4.1, Selection_Deferral_Timer). Default 360 s.
    pub selection_deferral: Duration,
    /// Long-lived graceful restart (RFC 9494): for how long after the restart time a peer that does it, too, keeps
    /// our routes as a last resort, marked [`LLGR_STALE`](crate::types::Community::LLGR_STALE), whole seconds up to
    /// 16777215. A route with [`NO_LLGR`](crate::types::Community::NO_LLGR) is not kept. Default `None`: not offered.
    pub long_lived_stale_time: Option<Duration>,
}

impl Default for GracefulRestart {
    fn default() -> Self {
        Self {
            restart_time: Duration::from_secs(120),
            forwarding_preserved: true,
            selection_deferral: Duration::from_secs(360),
            long_lived_stale_time: None,
        }
    }
}

/// Next hops to send instead of the session's own addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextHops {
    /// For IPv4 prefixes.
    pub v4: Option<Ipv4Addr>,
    /// For IPv6 prefixes.
    pub v6: Option<Ipv6Addr>,
}

/// How BFD watches the path to a peer (RFC 5882).
#[cfg(feature = "bfd")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerBfd {
    /// Intervals, multiplier and so on.
    pub profile: crate::bfd::Profile,
    /// There is no session unless BFD is up, not even when it never was. Default false: whether the peer does BFD at all
    /// is not known before it has.
    pub strict: bool,
}

#[cfg(feature = "bfd")]
impl PeerBfd {
    /// With this profile, not strict.
    pub const fn new(profile: crate::bfd::Profile) -> Self {
        Self { profile, strict: false }
    }
}

/// Everything about one peer.
///
/// Built with [`PeerConfig::new`]; fields are then set as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent switch of a peer")]
pub struct PeerConfig {
    /// The peer's address and port. A link-local address carries its interface in the scope id. Of an unnumbered peer
    /// the port alone is said; its address is learned.
    pub remote: SocketAddr,
    /// The interface that an unnumbered peer is behind: its address is that of a router that advertises itself there, as
    /// we do, or the other host of an IPv4 prefix of 30 or 31 ([`unnumbered`](crate::unnumbered)). Where there are
    /// several they are tried in turn, by a session that waits for [strict](PeerBfd::strict) BFD the first alone. IPv4
    /// prefixes have IPv6 next hops where the peer takes them (RFC 8950). Default: the peer has the address `remote`.
    pub interface: Option<String>,
    /// Source address of the session. Default: what the system chooses.
    pub local_address: Option<IpAddr>,
    /// The ASN we present; with local-as this is the local one, and nothing else appears in
    /// AS_PATH.
    pub local_asn: Asn,
    /// Which ASN the peer must have.
    pub remote_asn: RemoteAs,
    /// BGP identifier. Default: the session's IPv4 address, else the first IPv4 address of its
    /// interface, else the speaker's fallback.
    pub router_id: Option<RouterId>,
    /// Hold time to propose. Default 90 s. Takes effect at the next OPEN.
    pub hold_time: HoldTime,
    /// The shortest hold time the peer may propose, other than none; it is refused with 2/6 (RFC 4271 §6.2). Default:
    /// any. Takes effect at the next OPEN.
    pub minimum_hold_time: Option<HoldTime>,
    /// Capabilities without which there is to be no session: a peer that does not announce one of them is refused with
    /// 2/7 (RFC 5492 §3). Default: none. Takes effect at the next OPEN.
    pub required_capabilities: Vec<Capability>,
    /// Keepalive interval; only ever lowers a third of the negotiated hold time.
    pub keepalive_time: Option<Duration>,
    /// Time between attempts, at least 10 ms; an attempt without any answer is given 3 s in any case. Default: 1 s,
    /// doubling up to 2 min, and 10 s for an attempt.
    pub connect_time: Option<Duration>,
    /// Address families to offer.
    pub families: OfferedFamilies,
    /// Never dial; wait for the peer (needs a listener).
    pub passive: bool,
    /// DelayOpenTime (RFC 4271 §8.1.1): wait this long for the peer's OPEN before sending ours.
    pub delay_open: Option<Duration>,
    /// How TCP connections are authenticated. Default: not at all.
    pub authentication: Authentication,
    /// TTL of packets.
    pub ttl: TtlPolicy,
    /// Interface or VRF to bind to (`SO_BINDTODEVICE`). The peer's own connections are taken only if they came in
    /// through it, and are bound to it, too; the same address behind another device is another host. Two limits are
    /// the kernel's: of a connection through an interface of a VRF it tells the VRF only, so that a peer bound to
    /// that interface can be dialled and not accepted; and listeners, which are bound to nothing, hear VRFs only
    /// where `net.ipv4.tcp_l3mdev_accept` is on. Default: none, whatever the routes say.
    pub bind_device: Option<String>,
    /// Graceful restart; `None` offers only the helper's side (End-of-RIB markers).
    pub graceful_restart: Option<GracefulRestart>,
    /// The node is drained: every route carries GRACEFUL_SHUTDOWN and, inside the AS, LOCAL_PREF 0, so that routers
    /// move traffic elsewhere before the routes go (RFC 8326). A change applies to the running session.
    pub graceful_shutdown: bool,
    /// Offer to read messages of up to 65535 octets (RFC 8654); without, one of more than 4096 ends the session. What we
    /// send depends on the peer's offer alone, whatever is said here. Default true.
    pub extended_messages: bool,
    /// Send-hold time (RFC 9687). Default: the larger of 8 min and twice the hold time. Zero
    /// switches it off.
    pub send_hold_time: Option<Duration>,
    /// Our role towards the peer on an external session, and whether it must say its own (RFC 9234). Default: none
    /// is said, and any is taken.
    pub role: Option<RolePolicy>,
    /// Next hops instead of the session's addresses.
    pub next_hops: NextHops,
    /// Maximum segment size of the TCP connection (`TCP_MAXSEG`), 88 to 32767, for paths that lose big packets. The
    /// kernel may choose a smaller one. A change applies to the next connection. Listeners do not know who will connect:
    /// connections that peers open have the smallest size that any peer is configured with. Default: the system's.
    pub tcp_mss: Option<u16>,
    /// Deliver received routes as events. They are counted and checked either way.
    pub import: bool,
    /// Close with Cease 6/1 when the peer has announced more prefixes than this. `None` counts no
    /// prefixes; with [`import`](Self::import) a limit should be set.
    pub max_prefixes: Option<u32>,
    /// Routes of an external peer must begin with its AS (RFC 4271 §6.3), else they are treated as withdrawn. Default
    /// true; a route server's peers switch it off.
    pub enforce_first_as: bool,
    /// Routes with an AS_SET or AS_CONFED_SET are treated as withdrawn (RFC 9774 §3). Default false.
    pub refuse_as_sets: bool,
    /// What multiprotocol routes that cannot be read lead to (RFC 7606 §7.11). Default: a reset.
    pub on_unreadable: OnUnreadable,
    /// Close a session that is collided with even when it is established
    /// (CollisionDetectEstablishedState, RFC 4271 §8.1.1).
    pub collision_detect_established: bool,
    /// Have the driver end the session with Cease 6/10 as soon as BFD sees that the path is down (RFC 9384). A change
    /// applies to the running session, which goes on. Default: no BFD.
    #[cfg(feature = "bfd")]
    pub bfd: Option<PeerBfd>,
    /// Seed of the jitter (RFC 4271 §10) of this peer's timers. Machines and peers should have different ones, or
    /// they act in step.
    pub seed: u64,
}

impl PeerConfig {
    /// A peer at this address in this ASN, with this [`seed`](Self::seed), everything else by default.
    pub const fn new(remote: SocketAddr, local_asn: Asn, remote_asn: RemoteAs, seed: u64) -> Self {
        Self {
            remote,
            interface: None,
            local_address: None,
            local_asn,
            remote_asn,
            router_id: None,
            hold_time: HoldTime::DEFAULT,
            minimum_hold_time: None,
            required_capabilities: Vec::new(),
            keepalive_time: None,
            connect_time: None,
            families: OfferedFamilies::Own,
            passive: false,
            delay_open: None,
            authentication: Authentication::None,
            ttl: TtlPolicy::System,
            bind_device: None,
            graceful_restart: None,
            graceful_shutdown: false,
            extended_messages: true,
            send_hold_time: None,
            role: None,
            next_hops: NextHops { v4: None, v6: None },
            tcp_mss: None,
            import: false,
            max_prefixes: None,
            enforce_first_as: true,
            refuse_as_sets: false,
            on_unreadable: OnUnreadable::ResetSession,
            collision_detect_established: false,
            #[cfg(feature = "bfd")]
            bfd: None,
            seed,
        }
    }

    /// Whether there can be a session with this configuration. A session that cannot be does not start: it says why in
    /// an [`AttemptFailed`](super::Event::AttemptFailed).
    ///
    /// # Errors
    /// [`ConfigError`], the first there is.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.local_asn.is_zero() || self.local_asn == Asn::TRANS {
            return Err(ConfigError::ReservedAsn(self.local_asn));
        }
        match self.connect_time {
            Some(time) if time < LEAST_CONNECT_TIME => return Err(ConfigError::ConnectTimeTooShort(time)),
            _ => {}
        }
        match self.tcp_mss {
            Some(size) if !SEGMENT_SIZES.contains(&size) => Err(ConfigError::SegmentSize(size)),
            _ => Ok(()),
        }
    }

    /// The send-hold time of a session with this hold time (RFC 9687 §4): always longer; `None` when it is
    /// switched off.
    pub(crate) fn send_hold(&self, hold: Duration) -> Option<Duration> {
        let time = self.send_hold_time.unwrap_or_else(|| SEND_HOLD.max(hold.saturating_mul(2)));
        (!time.is_zero()).then(|| time.max(hold.saturating_add(Duration::from_secs(1))))
    }
}

/// A configuration there can be no session with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The local AS number is 0 (RFC 7607) or AS_TRANS (RFC 6793 §9), which nobody has.
    #[error("the local AS number {0} is reserved")]
    ReservedAsn(Asn),
    /// The connect time is below 10 ms.
    #[error("a connect time of {0:?} is too short, 10 ms is the least")]
    ConnectTimeTooShort(Duration),
    /// The kernel takes no such maximum segment size.
    #[error("a TCP segment size of {0} is not possible, 88 to 32767 are")]
    SegmentSize(u16),
}

/// The shortest time between attempts.
pub(super) const LEAST_CONNECT_TIME: Duration = Duration::from_millis(10);
/// What Linux takes for `TCP_MAXSEG`.
const SEGMENT_SIZES: RangeInclusive<u16> = 88..=32_767;
/// The shortest send-hold time by default (RFC 9687 §4).
const SEND_HOLD: Duration = Duration::from_secs(480);

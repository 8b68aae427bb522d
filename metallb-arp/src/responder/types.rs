//! What goes into the responder and what comes out of it.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::BTreeSet;

use crate::wire::{self, MacAddr};

/// How the responder announces. [`Options::new`] is what MetalLB users expect.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often an address is announced again while it is owned. `None`: never after the first
    /// seconds, as in MetalLB. Default 60 s, spread evenly over the addresses.
    pub refresh: Option<Duration>,
    /// Announcements per second, over all addresses and interfaces. First announcements are never held
    /// back; repetitions and refreshes wait for their turn. Default 2000.
    pub max_pps: NonZeroU32,
    /// Whether to look for another user of an address before announcing it (RFC 5227 §2.1, RFC 4862
    /// §5.4). Costs up to seven seconds. Default `false`.
    pub probe: bool,
    /// Seed of the delays and nonces used while probing and of the phase of refreshes; machines on one
    /// segment should differ.
    pub seed: u64,
}

impl Options {
    /// The defaults, with a seed of this machine.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { refresh: Some(DEFAULT_REFRESH), max_pps: DEFAULT_MAX_PPS, probe: false, seed }
    }
}

/// An interface on which addresses may be announced: it is up and has a hardware address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface {
    /// The kernel's index; a re-created interface has another one.
    pub index: InterfaceIndex,
    /// The name that [`Scope::Only`] refers to.
    pub name: String,
    /// The hardware address that answers carry.
    pub mac: MacAddr,
    /// The link-local address that neighbor advertisements are sent from. Without it no IPv6 address is
    /// announced here.
    pub link_local: Option<Ipv6Addr>,
    /// The subnets of its addresses, for the user's information: the responder does not go by them.
    pub subnets: BTreeSet<Subnet>,
}

/// The subnet of an address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    /// The address in it that the interface has.
    pub address: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
}

/// The kernel's number of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceIndex(pub u32);

impl fmt::Display for InterfaceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The interfaces on which one address is announced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every interface the responder knows, also those that appear later.
    All,
    /// The interfaces with these names, also when they appear later.
    Only(BTreeSet<String>),
}

impl Scope {
    /// Whether the interface with this name is in the scope.
    pub fn contains(&self, interface: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(interface),
        }
    }
}

/// What became of a received frame.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It asked for this address, and an answer waits in `poll_transmit`.
    Answered(IpAddr),
    /// It claims an address that is announced or probed for here.
    Conflict(IpAddr),
    /// It is well-formed and needs no answer.
    Ignored(Ignored),
    /// Its bytes are not what they claim to be.
    Malformed(wire::Error),
}

/// Why a well-formed frame is not answered.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The interface is not one of the responder's.
    UnknownInterface,
    /// The frame carries the tag of a VLAN; the VLAN has an interface of its own.
    Vlan,
    /// The frame is addressed to another station.
    OtherStation,
    /// One of our own interfaces sent the frame.
    Own,
    /// The sender gives a group as its own hardware address; an answer would go to everybody.
    GroupSender,
    /// Neither ARP for IPv4 over Ethernet nor IPv6.
    OtherProtocol,
    /// IPv6, but not a neighbor solicitation or advertisement.
    NotNeighborDiscovery,
    /// An answer, or an operation other than request and reply, about an address that is not ours.
    NotARequest,
    /// It asks for an address that is not announced.
    NotAnnounced,
    /// It asks for an address that is announced, but not on this interface.
    OtherInterface,
    /// It asks for an address that is still being probed for, or that probing found in use.
    Probing,
    /// Answers to [`MAX_PENDING_REPLIES`] earlier frames have not been taken out yet.
    Busy,
}

/// Something the user of the responder should know.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another machine claims an address. At most one per address and interface in
    /// [`DEFEND_INTERVAL`], together with the defence: an address that is withdrawn before, because it
    /// has moved to the other machine, was never in conflict.
    #[non_exhaustive]
    Conflict {
        /// The address.
        address: IpAddr,
        /// Where the claim was received.
        interface: InterfaceIndex,
        /// The hardware address that claims it.
        mac: MacAddr,
        /// What the responder does about it.
        reaction: Reaction,
    },
    /// A partner ([`Responder::set_partners`](super::Responder::set_partners)) claims an address. Nothing is done about it:
    /// withdraw the address, [`defend`](super::Responder::defend) it, or leave things as they are. At most one per address,
    /// interface and partner in [`CLAIM_INTERVAL`].
    #[non_exhaustive]
    Claimed {
        /// The address.
        address: IpAddr,
        /// Where the claim was received.
        interface: InterfaceIndex,
        /// The hardware address that claims it.
        mac: MacAddr,
    },
}

/// What the responder does about a conflict.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It keeps the address and announces it once (RFC 5227 §2.4 (c)), unless the address is withdrawn
    /// within [`DEFENCE_DELAY`].
    Defend,
    /// It was still probing: it leaves the address to the other machine on this interface and probes
    /// again after [`PROBE_RETRY`].
    Yield,
}

/// Something the driver has to do besides sending frames.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Become a member of a multicast group on an interface.
    Join {
        /// Where.
        interface: InterfaceIndex,
        /// A solicited-node group (RFC 4291 §2.7.1).
        group: Ipv6Addr,
    },
    /// Leave a multicast group on an interface.
    Leave {
        /// Where.
        interface: InterfaceIndex,
        /// A group joined earlier.
        group: Ipv6Addr,
    },
}

/// What happened to one announced address so far, over all interfaces.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// ARP requests and neighbor solicitations for the address that were received where it may be
    /// announced.
    pub requests: u64,
    /// Answers handed to the driver.
    pub responses: u64,
    /// Unsolicited announcements handed to the driver, in frames (for IPv4 two make one announcement).
    pub gratuitous: u64,
    /// Claims of other machines to the address, those of a new owner included.
    pub conflicts: u64,
    /// Those of them that came from hardware addresses of partners
    /// ([`Responder::set_partners`](super::Responder::set_partners)).
    pub handovers: u64,
}

/// What happened to received frames so far, over all addresses.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that could not be read ([`Outcome::Malformed`]).
    pub malformed: u64,
    /// Well-formed frames that needed no answer ([`Outcome::Ignored`]).
    pub ignored: u64,
    /// Requests that were dropped because too many answers were waiting ([`Ignored::Busy`]).
    pub busy: u64,
}

/// Why an address cannot be announced.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// Only unicast addresses can belong to a machine: not the unspecified address, not multicast, not
    /// broadcast, not loopback.
    #[error("{address} is not a unicast address and cannot be announced")]
    NotUnicast {
        /// The address asked for.
        address: IpAddr,
    },
}

/// The default of [`Options::refresh`].
pub const DEFAULT_REFRESH: Duration = Duration::from_secs(60);
/// The default of [`Options::max_pps`].
pub const DEFAULT_MAX_PPS: NonZeroU32 = NonZeroU32::new(2000).unwrap();
/// Answers that may wait in `poll_transmit`; further requests are dropped and counted.
pub const MAX_PENDING_REPLIES: usize = 1024;
/// Events that may wait in `poll_event`; older ones are dropped.
pub const MAX_PENDING_EVENTS: usize = 1024;
/// Announcements one call of `handle_timeout` makes ready at most; it asks to be called again at once
/// when more are due.
pub const MAX_DUE_PER_TIMEOUT: usize = 256;
/// Least time between two defences of an address on an interface (RFC 5227 §1.1, DEFEND_INTERVAL).
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// Least time between two events about a partner that claims an address on an interface.
pub const CLAIM_INTERVAL: Duration = Duration::from_millis(100);
/// How long a defence waits. An address that has just moved to another machine is claimed by its new
/// owner a moment before the old one learns of it; a withdrawal within this time prevents a fight.
pub const DEFENCE_DELAY: Duration = Duration::from_millis(250);
/// How long to leave an address alone that probing found in use (RFC 5227 §1.1, RATE_LIMIT_INTERVAL).
pub const PROBE_RETRY: Duration = Duration::from_secs(60);

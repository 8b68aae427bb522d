//! One TCP connection of a peer, or the attempt at one.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::WithheldReason;
use crate::addresses::{AddressTable, Choice, InterfaceIndex, InternalAddresses, Query};
use crate::fsm::State;
use crate::table::PeerSlot;
use crate::types::{Families, Family, RouterId};
use crate::wire::header::Framer;
use crate::wire::negotiate::Negotiated;
use crate::wire::open::Open;

/// Names one TCP connection, or the attempt at one, of one session; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Outgoing,
    Incoming,
}

impl Direction {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Outgoing => Self::Incoming,
            Self::Incoming => Self::Outgoing,
        }
    }
}

/// The ends of an open connection, and the next hops that follow from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoints {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The interface that holds our address, or held it last, if that is known.
    pub interface: Option<InterfaceIndex>,
    /// What routes point to.
    pub next_hops: Choice,
    /// The address that is the BGP identifier where none is configured.
    pub identifier: Option<Ipv4Addr>,
}

impl Endpoints {
    /// A connection about whose machine nothing else is known.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        let next_hops = AddressTable::default().choose(&Query {
            local,
            remote,
            interface: None,
            internal: InternalAddresses::default(),
            current: InternalAddresses::default(),
            announced: &|_| false,
        });
        Self { local, remote, interface: None, next_hops, identifier: next_hops.addresses().v4 }
    }

    /// The BGP identifier that follows from the addresses.
    pub(super) fn router_id(&self) -> Option<RouterId> {
        RouterId::new(self.identifier?).ok()
    }
}

/// A connection with its state machine, buffers and timers.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) direction: Direction,
    pub(super) state: State,
    /// The TCP connection or the attempt; `None` when there is none.
    pub(super) id: Option<ConnectionId>,
    /// Set while TCP is open.
    pub(super) endpoints: Option<Endpoints>,
    /// The limit of its segments that was configured when it began.
    pub(super) tcp_mss: Option<u16>,
    /// When the peer opened it, if it did.
    pub(super) accepted: Option<Instant>,
    pub(super) framer: Framer,
    /// Messages besides UPDATEs, waiting for the socket.
    pub(super) out: Vec<u8>,
    pub(super) sent_open: Option<Open>,
    pub(super) received_open: Option<Open>,
    pub(super) negotiated: Option<Negotiated>,
    pub(super) timers: Timers,
    /// Lengths of the messages the socket has not taken as a whole.
    pub(super) in_flight: VecDeque<u32>,
    pub(super) in_flight_octets: usize,
    /// The place in the table, while established.
    pub(super) slot: Option<PeerSlot>,
    /// End-of-RIB need not wait for the table to be complete any more.
    pub(super) deferral_over: bool,
    /// Every prefix the peer has announced is among those received, or will be by a refresh we asked for.
    pub(super) counted: bool,
    /// Families whose routes cannot be read and are ignored.
    pub(super) disabled: Families,
    /// Families whose End-of-RIB has come.
    pub(super) ended: Families,
    /// Families of which routes are withheld because they have no next hop, and why.
    pub(super) withheld: Vec<(Family, WithheldReason)>,
    /// Everything in the table has been handed out once.
    pub(super) is_complete: bool,
    /// Families the peer asked for again since the last look at the table.
    pub(super) refresh: Families,
}

/// When each timer of a connection expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timers {
    pub(super) connect_retry: Option<Instant>,
    /// The attempt to connect is given up.
    pub(super) attempt: Option<Instant>,
    pub(super) delay_open: Option<Instant>,
    pub(super) hold: Option<Instant>,
    pub(super) keepalive: Option<Instant>,
    pub(super) send_hold: Option<Instant>,
    /// End-of-RIB is sent even if the table is not complete.
    pub(super) deferral: Option<Instant>,
}

impl Timers {
    pub(super) fn next(&self) -> Option<Instant> {
        [
            self.connect_retry,
            self.attempt,
            self.delay_open,
            self.hold,
            self.keepalive,
            self.send_hold,
            self.deferral,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl Connection {
    /// A connection that does not exist yet, in this state.
    pub(super) fn new(direction: Direction, state: State) -> Self {
        Self {
            direction,
            state,
            id: None,
            endpoints: None,
            tcp_mss: None,
            accepted: None,
            framer: Framer::new(),
            out: Vec::new(),
            sent_open: None,
            received_open: None,
            negotiated: None,
            timers: Timers::default(),
            in_flight: VecDeque::new(),
            in_flight_octets: 0,
            slot: None,
            deferral_over: false,
            counted: false,
            disabled: Families::EMPTY,
            ended: Families::EMPTY,
            withheld: Vec::new(),
            is_complete: false,
            refresh: Families::EMPTY,
        }
    }

    /// Takes note that `octets` more of what was handed out are in the socket; returns whether a message became
    /// whole.
    pub(super) fn written(&mut self, octets: usize) -> bool {
        self.in_flight_octets = self.in_flight_octets.saturating_sub(octets);
        let mut left = octets;
        let mut whole = false;
        while let Some(first) = self.in_flight.front_mut() {
            let length = *first as usize;
            if length > left {
                *first -= u32::try_from(left).unwrap_or(*first);
                break;
            }
            left -= length;
            self.in_flight.pop_front();
            whole = true;
        }
        whole
    }
}

//! Which session is which.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Who watches a path: the name of a BGP peer, for example.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(Arc<str>);

impl User {
    /// A user of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far away a neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hops {
    /// On the same link: port 3784, TTL 255 (RFC 5881).
    One,
    /// Routers may be in between: port 4784, a TTL of at least what the profile says (RFC 5883).
    Several,
}

/// What is watched: a neighbour, and how it is reached. There is one session for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The neighbour's address.
    pub remote: IpAddr,
    /// Our address. Default: what the system chooses.
    pub local: Option<IpAddr>,
    /// The index of the interface; a link-local neighbour has one.
    pub interface: Option<u32>,
    /// The interface or VRF whose packets these are (`SO_BINDTODEVICE`).
    pub device: Option<Arc<str>>,
    /// How far away the neighbour is.
    pub hops: Hops,
}

impl Path {
    /// A path to this neighbour, however the system reaches it.
    pub const fn new(remote: IpAddr, hops: Hops) -> Self {
        Self { remote, local: None, interface: None, device: None, hops }
    }

    /// Whether a packet that does not say whom it is for may be for this session.
    pub(super) fn fits(&self, arrival: &Arrival<'_>) -> bool {
        self.hops == arrival.hops
            && self.device.as_deref() == arrival.device
            && self.interface.is_none_or(|interface| interface == arrival.interface)
            && self.local.is_none_or(|local| local == arrival.local)
    }

    pub(super) const fn specificity(&self) -> u8 {
        self.interface.is_some() as u8 + self.local.is_some() as u8
    }
}

/// Where a datagram came from, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Who sent it.
    pub remote: IpAddr,
    /// To which of our addresses.
    pub local: IpAddr,
    /// The index of the interface it came in through.
    pub interface: u32,
    /// The device the socket is bound to.
    pub device: Option<&'a str>,
    /// Which of the two ports it came to. On the port of RFC 5881 the driver has dropped all but TTL 255.
    pub hops: Hops,
    /// Its TTL or hop limit.
    pub ttl: u8,
}

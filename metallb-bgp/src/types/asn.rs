//! AS numbers, BGP identifiers and how two speakers relate.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use thiserror::Error;

/// An autonomous system number of four octets (RFC 6793).
///
/// Every 32-bit value can be held, because reserved ones may arrive in an AS_PATH; [`Asn::is_zero`] and
/// [`Asn::TRANS`] name the two that no speaker may use as its own (RFC 7607, RFC 6793 §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(u32);

impl Asn {
    /// AS_TRANS, the two-octet stand-in for a number that needs four (RFC 6793 §9).
    pub const TRANS: Self = Self(23456);

    /// The AS number `value`.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number itself.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Whether this is AS 0, which nobody may use (RFC 7607).
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether the number fits into two octets (RFC 6793 §3 "mappable").
    pub const fn is_mappable(self) -> bool {
        self.0 <= 0xffff
    }

    /// The two-octet form: the number itself, or AS_TRANS when it does not fit (RFC 6793 §4.2.1).
    pub fn two_octet(self) -> u16 {
        u16::try_from(self.0).unwrap_or(AS_TRANS_16)
    }
}

impl From<u32> for Asn {
    fn from(value: u32) -> Self {
        Self(value)
    }
}

impl From<Asn> for u32 {
    fn from(asn: Asn) -> Self {
        asn.0
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Asn {
    type Err = ParseAsnError;

    /// Reads the plain decimal form (RFC 5396 "asplain").
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseAsnError);
        }
        text.parse().map(Self).map_err(|_| ParseAsnError)
    }
}

/// The text is not a decimal number from 0 to 4294967295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an AS number is a decimal number from 0 to 4294967295")]
pub struct ParseAsnError;

/// A BGP Identifier: any non-zero 32-bit number, written like an IPv4 address (RFC 6286 §2.1).
///
/// The order is that of the unsigned number, which is what collision detection compares (RFC 4271 §6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub(super) Ipv4Addr);

impl RouterId {
    /// The identifier written as `address`.
    ///
    /// # Errors
    /// [`ZeroRouterId`] for 0.0.0.0.
    pub fn new(address: Ipv4Addr) -> Result<Self, ZeroRouterId> {
        if address.is_unspecified() { Err(ZeroRouterId) } else { Ok(Self(address)) }
    }

    /// The identifier in the form of an address.
    pub const fn address(self) -> Ipv4Addr {
        self.0
    }
}

impl TryFrom<Ipv4Addr> for RouterId {
    type Error = ZeroRouterId;

    fn try_from(address: Ipv4Addr) -> Result<Self, Self::Error> {
        Self::new(address)
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 0.0.0.0 was given as a BGP identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a BGP identifier must not be 0.0.0.0")]
pub struct ZeroRouterId;

/// Which AS number the peer must show in its OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAs {
    /// Exactly this number.
    Asn(Asn),
    /// The same number as ours (`dynamicASN: internal`).
    Internal,
    /// Any number but ours (`dynamicASN: external`).
    External,
    /// Any number: what a collector that listens accepts.
    Any,
}

impl RemoteAs {
    /// Whether a peer that says `remote` is welcome to a speaker whose own number is `local`.
    pub fn accepts(self, local: Asn, remote: Asn) -> bool {
        match self {
            Self::Asn(expected) => expected == remote,
            Self::Internal => local == remote,
            Self::External => local != remote,
            Self::Any => true,
        }
    }

    /// Whether a peer that is welcome to a speaker with the number `local` can have another one.
    pub(crate) fn may_be_external(self, local: Asn) -> bool {
        match self {
            Self::Asn(expected) => expected != local,
            Self::Internal => false,
            Self::External | Self::Any => true,
        }
    }
}

/// Whether a session stays inside one AS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// Both ends have the same AS number (iBGP).
    Internal,
    /// The ends have different AS numbers (eBGP).
    External,
}

impl PeerKind {
    /// The relation of two AS numbers.
    pub fn between(local: Asn, remote: Asn) -> Self {
        if local == remote { Self::Internal } else { Self::External }
    }
}

/// How wide AS numbers are in AS_PATH and AGGREGATOR on one session (RFC 6793 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AsnWidth {
    /// Two octets: the peer is an OLD speaker.
    Two,
    /// Four octets: both ends announced the capability.
    Four,
}

const AS_TRANS_16: u16 = 23456;

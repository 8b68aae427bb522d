//! The three kinds of community and their text forms.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A standard community (RFC 1997), written `64512:100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    /// GRACEFUL_SHUTDOWN (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// LLGR_STALE (RFC 9494).
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// NO_LLGR (RFC 9494).
    pub const NO_LLGR: Self = Self(0xffff_0007);
    /// NO_EXPORT (RFC 1997).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// NO_ADVERTISE (RFC 1997).
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// NO_EXPORT_SUBCONFED (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);

    /// The community `high:low`.
    pub fn new(high: u16, low: u16) -> Self {
        Self((u32::from(high) << 16) | u32::from(low))
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl FromStr for Community {
    type Err = ParseCommunityError;

    /// Reads `high:low`, both decimal and at most 65535.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (high, low) = text.split_once(':').ok_or(ParseCommunityError)?;
        Ok(Self::new(decimal(high)?, decimal(low)?))
    }
}

/// A large community (RFC 8092), written `64512:1:2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    /// Global Administrator, normally the AS number that defines the rest.
    pub global: u32,
    /// Local Data Part 1.
    pub local1: u32,
    /// Local Data Part 2.
    pub local2: u32,
}

impl LargeCommunity {
    /// The community `global:local1:local2`.
    pub const fn new(global: u32, local1: u32, local2: u32) -> Self {
        Self { global, local1, local2 }
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for LargeCommunity {
    type Err = ParseCommunityError;

    /// Reads the canonical form of RFC 8092 §5: three decimal numbers without leading zeros.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let mut next = || decimal::<u32>(parts.next().ok_or(ParseCommunityError)?);
        let community = Self::new(next()?, next()?, next()?);
        if parts.next().is_some() { Err(ParseCommunityError) } else { Ok(community) }
    }
}

/// An extended community of eight octets, not interpreted (RFC 4360).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:016x}", u64::from_be_bytes(self.0))
    }
}

/// An IPv6 address specific extended community of twenty octets, not interpreted (RFC 5701).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv6ExtendedCommunity(pub [u8; 20]);

/// The text is not a community in its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a community is two numbers up to 65535 or three up to 4294967295, joined by colons, without leading zeros"
)]
pub struct ParseCommunityError;

fn decimal<T: FromStr>(text: &str) -> Result<T, ParseCommunityError> {
    let canonical = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if !canonical {
        return Err(ParseCommunityError);
    }
    text.parse().map_err(|_| ParseCommunityError)
}

//! A range of addresses: parsing, and the CIDRs that cover it.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::error::AddressError;
use super::{from_value, to_value};
use crate::keys::Family;
use crate::quote::is_unfilled;

/// One or more neighbouring addresses of one family: a CIDR, a range, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    family: Family,
    first: u128,
    last: u128,
}

impl AddressRange {
    /// Reads `192.0.2.0/24`, `192.0.2.1-192.0.2.9` (spaces around `-` allowed) or `192.0.2.7`; the same for IPv6.
    /// Host bits of a CIDR are masked.
    ///
    /// # Errors
    /// [`AddressError`] for anything else, among them leading zeros, netmask notation, signs, mixed families, and a
    /// range that ends before it starts.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.trim().is_empty() {
            return Err(AddressError::Empty);
        }
        if text.contains(',') && !is_unfilled(text) {
            return Err(AddressError::Comma { text: text.into() });
        }
        if let Some((address, length)) = text.split_once('/') {
            let address = parse_address(address)?;
            return Ok(Self::from_prefix(address, parse_length(length, Family::of(address))?));
        }
        match text.split_once('-') {
            Some((first, last)) => Self::new(parse_address(first.trim())?, parse_address(last.trim())?),
            None => parse_address(text).map(Self::single),
        }
    }

    /// From `first` to `last`, both included.
    ///
    /// # Errors
    /// [`AddressError::MixedFamilies`], [`AddressError::EndBeforeStart`].
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, AddressError> {
        let family = Family::of(first);
        if family != Family::of(last) {
            return Err(AddressError::MixedFamilies { first, last });
        }
        if last < first {
            return Err(AddressError::EndBeforeStart { first, last });
        }
        Ok(Self { family, first: to_value(first), last: to_value(last) })
    }

    /// Just this address.
    pub fn single(address: IpAddr) -> Self {
        let value = to_value(address);
        Self { family: Family::of(address), first: value, last: value }
    }

    /// All addresses of a network.
    pub fn of_network(network: IpNetwork) -> Self {
        Self::from_prefix(network.ip(), network.prefix())
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Its lowest address.
    pub fn first(&self) -> IpAddr {
        from_value(self.family, self.first)
    }

    /// Its highest address.
    pub fn last(&self) -> IpAddr {
        from_value(self.family, self.last)
    }

    /// True when the address is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && (self.first..=self.last).contains(&to_value(address))
    }

    /// True when the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }

    /// How many addresses it has; [`u128::MAX`] when there are 2^128.
    pub const fn size(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// How many IPv4 addresses of it end in .0 or .255.
    pub fn buggy_size(&self) -> u128 {
        if self.family == Family::V6 {
            return 0;
        }
        // Numbers below `end` that end in .0, and those that end in .255.
        let zeros = |end: u128| end.div_ceil(BLOCK);
        let full = |end: u128| end / BLOCK;
        let end = self.last + 1;
        zeros(end) - zeros(self.first) + full(end) - full(self.first)
    }

    /// The network when the range is exactly one.
    pub fn as_network(&self) -> Option<IpNetwork> {
        let mut cover = self.cover();
        let network = cover.next()?;
        cover.next().is_none().then_some(network)
    }

    /// The fewest networks that cover exactly the range, in order; at most twice as many as an address has bits.
    pub const fn cover(&self) -> Cover {
        Cover { family: self.family, rest: Some((self.first, self.last)) }
    }

    pub(crate) const fn bounds(&self) -> (u128, u128) {
        (self.first, self.last)
    }

    fn from_prefix(address: IpAddr, length: u8) -> Self {
        let family = Family::of(address);
        let host_bits = u32::from(family.bits().saturating_sub(length));
        let host_mask = low_bits(host_bits);
        let value = to_value(address);
        Self { family, first: value & !host_mask, last: value | host_mask }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first().fmt(f);
        }
        match self.as_network() {
            Some(network) => network.fmt(f),
            None => write!(f, "{}-{}", self.first(), self.last()),
        }
    }
}

/// The networks of [`AddressRange::cover`].
#[derive(Clone, Debug)]
pub struct Cover {
    family: Family,
    rest: Option<(u128, u128)>,
}

impl Iterator for Cover {
    type Item = IpNetwork;

    fn next(&mut self) -> Option<IpNetwork> {
        let (first, last) = self.rest?;
        let bits = u32::from(self.family.bits());
        // The largest block that begins at `first` (alignment) and does not reach beyond `last` (size).
        let aligned = if first == 0 { bits } else { first.trailing_zeros().min(bits) };
        let fitting = (last - first).checked_add(1).map_or(bits, u128::ilog2).min(bits);
        let host_bits = aligned.min(fitting);
        let end = first | low_bits(host_bits);
        self.rest = if end < last { Some((end + 1, last)) } else { None };
        let length = u8::try_from(bits - host_bits).ok()?;
        IpNetwork::new(from_value(self.family, first), length).ok()
    }
}

/// A number with its lowest `count` bits set.
const fn low_bits(count: u32) -> u128 {
    match 1_u128.checked_shl(count) {
        Some(bit) => bit - 1,
        None => u128::MAX,
    }
}

fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    let quoted = || Box::from(text);
    match text.parse() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(_) => Err(AddressError::MappedIpv4 { address: IpAddr::V6(address) }),
            None => Ok(IpAddr::V6(address)),
        },
        Ok(address) => Ok(address),
        Err(_) if text.is_empty() => Err(AddressError::Empty),
        Err(_) if text.contains('%') => Err(AddressError::Zone { text: quoted() }),
        Err(_) if has_leading_zero(text) => Err(AddressError::LeadingZero { text: quoted() }),
        Err(_) => Err(AddressError::InvalidAddress { text: quoted() }),
    }
}

fn has_leading_zero(text: &str) -> bool {
    let parts = || text.split('.');
    parts().count() == 4
        && parts().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        && parts().any(|part| part.len() > 1 && part.starts_with('0'))
}

fn parse_length(text: &str, family: Family) -> Result<u8, AddressError> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(AddressError::Netmask { text: text.into() });
    }
    let max = family.bits();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    match text.parse() {
        Ok(length) if digits && !leading_zero && length <= max => Ok(length),
        _ => Err(AddressError::InvalidLength { text: text.into(), max }),
    }
}

/// Addresses in a block that is one octet wide.
const BLOCK: u128 = 256;

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;

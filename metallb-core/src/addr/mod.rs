//! Addresses, ranges of them, and sets of ranges.
//!
//! Texts are parsed strictly ([`AddressRange::parse`]): what people mistype becomes an error with a remedy, not a
//! surprising address.

mod error;
mod range;
mod set;
mod spans;

pub use error::AddressError;
pub use range::{AddressRange, Cover};
pub use set::AddressSet;
pub(crate) use spans::Spans;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::keys::Family;

/// True for IPv4 addresses that end in .0 or .255, which some old equipment takes for network and broadcast addresses.
pub const fn is_buggy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets()[3], 0 | 255),
        IpAddr::V6(_) => false,
    }
}

/// An address as a number within its family.
pub(crate) fn to_value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with this number; numbers too large for the family are cut to its length.
pub(crate) fn from_value(family: Family, value: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(value & V4_MASK).unwrap_or(u32::MAX))),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(value)),
    }
}

const V4_MASK: u128 = 0xffff_ffff;

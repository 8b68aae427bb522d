//! What can be wrong with an address, a CIDR or a range.

use std::net::IpAddr;

use crate::quote::{quoted, remedy_for_address};

/// What is wrong with an entry of a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is empty.
    #[error("is empty; write a CIDR, a range first-last, or an address")]
    Empty,
    /// A comma: several entries in one, or one too many.
    #[error("{} has a comma; write each range as an entry of its own", quoted(.text))]
    Comma {
        /// As written.
        text: Box<str>,
    },
    /// An address cannot be read.
    #[error("{} is not an IP address; {}", quoted(.text), remedy_for_address(.text))]
    InvalidAddress {
        /// As written.
        text: Box<str>,
    },
    /// A number of an IPv4 address begins with a zero; some programs read that as octal.
    #[error("{} has a number with a leading zero; write it without, or the address is ambiguous", quoted(.text))]
    LeadingZero {
        /// As written.
        text: Box<str>,
    },
    /// An IPv6 address has a zone.
    #[error("{} has a zone; write the address without it", quoted(.text))]
    Zone {
        /// As written.
        text: Box<str>,
    },
    /// An IPv6 address that stands for an IPv4 address.
    #[error("{address} is an IPv4 address in IPv6 notation; write it as IPv4")]
    MappedIpv4 {
        /// The address.
        address: IpAddr,
    },
    /// Netmask notation.
    #[error("{} is netmask notation; write the prefix length, for example /24", quoted(.text))]
    Netmask {
        /// The part behind the slash.
        text: Box<str>,
    },
    /// The part behind the slash is not a number of the right size.
    #[error("{} is not a prefix length; use 0 to {max} without sign and leading zeros", quoted(.text))]
    InvalidLength {
        /// The part behind the slash.
        text: Box<str>,
        /// Longest allowed.
        max: u8,
    },
    /// The ends of a range are of different families.
    #[error("{first} and {last} are of different families; use one family per range")]
    MixedFamilies {
        /// First address.
        first: IpAddr,
        /// Last address.
        last: IpAddr,
    },
    /// A range ends before it starts.
    #[error("the range ends at {last}, before its start {first}; swap them")]
    EndBeforeStart {
        /// First address.
        first: IpAddr,
        /// Last address.
        last: IpAddr,
    },
}

//! The ICMPv6 header and checksum (RFC 4443).

use core::net::Ipv6Addr;

use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ipv6;

/// A borrowed ICMPv6 message whose checksum has been verified.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Type, code and checksum.
    pub header: &'a Header,
    /// Everything behind the checksum.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the message from the payload of `packet` and verifies its checksum.
    ///
    /// # Errors
    /// [`Error::NextHeader`] when something else follows the IPv6 header (extension headers included),
    /// [`Error::Truncated`], [`Error::Checksum`].
    #[inline]
    pub fn parse(packet: &ipv6::Packet<'a>) -> Result<Self, Error> {
        if packet.header.next_header() != ipv6::NextHeader::ICMPV6 {
            return Err(Error::NextHeader(packet.header.next_header()));
        }
        let (header, body) = Header::ref_from_prefix(packet.payload)
            .map_err(|_| Error::Truncated { octets: packet.payload.len() })?;
        if checksum(packet.header.source(), packet.header.destination(), packet.payload) != 0 {
            return Err(Error::Checksum);
        }
        Ok(Self { header, body })
    }
}

/// The four octets in front of every ICMPv6 message (RFC 4443 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    kind: u8,
    code: u8,
    checksum: U16,
}

impl Header {
    /// A header with code 0 and a checksum still to be filled in.
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind: kind.0, code: 0, checksum: U16::ZERO }
    }

    /// The type of the message.
    pub fn kind(&self) -> Kind {
        Kind(self.kind)
    }

    /// The code: 0 in neighbor discovery.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The checksum as sent.
    pub fn checksum(&self) -> u16 {
        self.checksum.get()
    }
}

/// The type of an ICMPv6 message ([registry](https://www.iana.org/assignments/icmpv6-parameters)).
/// Unknown values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// Router Solicitation (RFC 4861 §4.1).
    pub const ROUTER_SOLICITATION: Self = Self(133);
    /// Router Advertisement (RFC 4861 §4.2).
    pub const ROUTER_ADVERTISEMENT: Self = Self(134);
    /// Neighbor Solicitation (RFC 4861 §4.3).
    pub const NEIGHBOR_SOLICITATION: Self = Self(135);
    /// Neighbor Advertisement (RFC 4861 §4.4).
    pub const NEIGHBOR_ADVERTISEMENT: Self = Self(136);
}

/// The Internet checksum of an ICMPv6 message with its pseudo-header (RFC 4443 §2.3, RFC 8200 §8.1).
///
/// Over a message whose checksum field is zero this is the checksum to send; over a received message it
/// is zero when the checksum is right.
#[inline]
pub fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut sum = sum_of(&length.to_be_bytes()) + sum_of(&[0, ipv6::NextHeader::ICMPV6.0]);
    sum += sum_of(&source.octets()) + sum_of(&destination.octets()) + sum_of(message);
    while sum > u64::from(u16::MAX) {
        sum = (sum & u64::from(u16::MAX)) + (sum >> 16);
    }
    u16::from_be(!u16::try_from(sum).unwrap_or(u16::MAX))
}

/// Sum of the words, padded by zeroes, in the byte order of the machine: swapping the octets of all words
/// swaps those of the sum (RFC 1071 §2 (B)). Adding 32-bit words gives the same sum modulo 65535 and
/// halves the work; 2^32 words would be needed to overflow.
#[inline]
fn sum_of(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    sum + u64::from(u32::from_ne_bytes(last))
}

/// Why a packet does not hold an ICMPv6 message.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another protocol, or an extension header, follows the IPv6 header.
    #[error("next header {} instead of ICMPv6", .0.0)]
    NextHeader(ipv6::NextHeader),
    /// Fewer than four octets.
    #[error("{octets} octets are no ICMPv6 message")]
    Truncated {
        /// Octets there are.
        octets: usize,
    },
    /// The checksum is wrong.
    #[error("wrong checksum")]
    Checksum,
}

/// Length of the header, in octets.
pub const HEADER_LEN: usize = size_of::<Header>();

//! Router solicitations and advertisements (RFC 4861 §4.1, §4.2) behind the IPv6 header.
//!
//! The checksum is the kernel's part: it writes and checks those of ICMPv6 sockets.

use std::net::Ipv6Addr;
use std::time::Duration;

use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::wire::reader::Reader;

#[cfg(test)]
mod tests;

/// A message, without its options: nothing is taken from those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A host asks the routers to make themselves known.
    Solicitation,
    /// A router makes itself known.
    Advertisement(RouterAdvertisement),
}

/// What a router says of itself and of the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the format is fixed")]
pub struct RouterAdvertisement {
    /// The hop limit that hosts should use; 0 says nothing.
    pub hop_limit: u8,
    /// M, O and the others, as they are on the wire.
    pub flags: u8,
    /// For how many seconds it may be a default router; 0 is not at all.
    pub lifetime: u16,
    /// For how many milliseconds a neighbour counts as reachable; 0 says nothing.
    pub reachable_time: u32,
    /// How many milliseconds are between solicitations of a neighbour; 0 says nothing.
    pub retransmit_time: u32,
}

impl RouterAdvertisement {
    /// [`lifetime`](Self::lifetime) as a time.
    pub const fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime as u64)
    }
}

/// What the IPv6 header of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "all that the checks ask for")]
pub struct Envelope {
    /// Who sent it.
    pub source: Ipv6Addr,
    /// How many hops it had left: 255 on the link where it was sent.
    pub hop_limit: u8,
}

impl Message {
    /// Reads a message and checks it as RFC 4861 §6.1.1 and §6.1.2 say.
    ///
    /// # Errors
    /// [`MessageError`], the first thing that is wrong with it.
    pub fn parse(envelope: Envelope, octets: &[u8]) -> Result<Self, MessageError> {
        if envelope.hop_limit != HOP_LIMIT {
            return Err(MessageError::FromElsewhere { hop_limit: envelope.hop_limit });
        }
        let (head, rest) = Head::ref_from_prefix(octets).map_err(|_| MessageError::Short)?;
        if !matches!(head.kind, ROUTER_SOLICITATION | ROUTER_ADVERTISEMENT) {
            return Err(MessageError::OtherType(head.kind));
        }
        if head.code != 0 {
            return Err(MessageError::Code(head.code));
        }
        if head.kind == ROUTER_SOLICITATION {
            let (_, options) = U32::ref_from_prefix(rest).map_err(|_| MessageError::Short)?;
            let says_link_layer = options_of(options)?;
            if envelope.source.is_unspecified() && says_link_layer {
                return Err(MessageError::Source(envelope.source));
            }
            return Ok(Self::Solicitation);
        }
        if !envelope.source.is_unicast_link_local() {
            return Err(MessageError::Source(envelope.source));
        }
        let (body, options) = Body::ref_from_prefix(rest).map_err(|_| MessageError::Short)?;
        options_of(options)?;
        Ok(Self::Advertisement(RouterAdvertisement {
            hop_limit: body.hop_limit,
            flags: body.flags,
            lifetime: body.lifetime.get(),
            reachable_time: body.reachable_time.get(),
            retransmit_time: body.retransmit_time.get(),
        }))
    }

    /// The octets, with a checksum of 0.
    pub fn encode(&self) -> Vec<u8> {
        let head = |kind| Head { kind, code: 0, checksum: U16::ZERO };
        match self {
            Self::Solicitation => [head(ROUTER_SOLICITATION).as_bytes(), U32::ZERO.as_bytes()].concat(),
            Self::Advertisement(says) => {
                let body = Body {
                    hop_limit: says.hop_limit,
                    flags: says.flags,
                    lifetime: says.lifetime.into(),
                    reachable_time: says.reachable_time.into(),
                    retransmit_time: says.retransmit_time.into(),
                };
                [head(ROUTER_ADVERTISEMENT).as_bytes(), body.as_bytes()].concat()
            }
        }
    }

    /// Whom to send it to: all nodes or all routers of the link.
    pub const fn group(&self) -> Ipv6Addr {
        match self {
            Self::Solicitation => ALL_ROUTERS,
            Self::Advertisement(_) => ALL_NODES,
        }
    }
}

/// Why a message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A router has passed it on, so that it may come from anywhere.
    #[error("its hop limit is {hop_limit} and not 255")]
    FromElsewhere {
        /// What it has.
        hop_limit: u8,
    },
    /// It ends before what it must have.
    #[error("it is too short")]
    Short,
    /// It is another message of ICMPv6.
    #[error("type {0} is neither a router solicitation nor an advertisement")]
    OtherType(u8),
    /// Its code is not 0.
    #[error("its code is {0} and not 0")]
    Code(u8),
    /// An advertisement that comes from no link-local address; a solicitation from nowhere that names a hardware address.
    #[error("{0} cannot be its source")]
    Source(Ipv6Addr),
    /// An option has no length, or ends behind the message.
    #[error("the length of an option is wrong")]
    OptionLength,
    /// We sent it ourselves, through this or another interface of the link.
    #[error("it is our own")]
    Own,
}

/// Checks the lengths of options; says whether the hardware address of the source is among them.
fn options_of(octets: &[u8]) -> Result<bool, MessageError> {
    let mut reader = Reader::new(octets);
    let mut says_link_layer = false;
    while !reader.is_empty() {
        let wrong = |_| MessageError::OptionLength;
        let [kind, units] = reader.array().map_err(wrong)?;
        let behind = (usize::from(units) * OPTION_UNIT).checked_sub(OPTION_HEAD);
        reader.take(behind.ok_or(MessageError::OptionLength)?).map_err(wrong)?;
        says_link_layer |= kind == SOURCE_LINK_LAYER;
    }
    Ok(says_link_layer)
}

#[repr(C)]
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct Head {
    kind: u8,
    code: u8,
    checksum: U16,
}

#[repr(C)]
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct Body {
    hop_limit: u8,
    flags: u8,
    lifetime: U16,
    reachable_time: U32,
    retransmit_time: U32,
}

/// What every message of neighbour discovery is sent with (RFC 4861 §3.1).
pub const HOP_LIMIT: u8 = 255;
/// [Type](https://www.iana.org/assignments/icmpv6-parameters) of a router solicitation.
pub const ROUTER_SOLICITATION: u8 = 133;
/// Type of a router advertisement.
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// All nodes of the link (RFC 4291 §2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Option type of the hardware address of the source.
const SOURCE_LINK_LAYER: u8 = 1;
/// Options are as long as so many octets times their length.
const OPTION_UNIT: usize = 8;
/// Type and length of an option.
const OPTION_HEAD: usize = 2;

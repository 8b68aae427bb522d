//! Neighbor Discovery for IPv6 (RFC 4861, RFC 4862, RFC 7527): solicitations and advertisements of
//! neighbors and routers.

mod option;
mod owned;

use core::net::Ipv6Addr;

use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{icmpv6, ipv6};
pub use option::{NdpOption, Nonce, OptionError, OptionKind, Options, PrefixInformation};
pub use owned::{
    Envelope, MAX_PREFIXES, NeighborAdvertisement, NeighborSolicitation, RouterAdvertisement,
    RouterSolicitation,
};

/// A borrowed neighbor discovery message that passed the validity checks of RFC 4861.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Message<'a> {
    /// Who has this address? (RFC 4861 §4.3)
    NeighborSolicitation(NeighborSolicitationView<'a>),
    /// I have it. (RFC 4861 §4.4)
    NeighborAdvertisement(NeighborAdvertisementView<'a>),
    /// Is there a router? (RFC 4861 §4.1)
    RouterSolicitation(RouterSolicitationView<'a>),
    /// I am a router. (RFC 4861 §4.2)
    RouterAdvertisement(RouterAdvertisementView<'a>),
}

impl<'a> Message<'a> {
    /// Reads a message from the payload of an Ethernet frame and checks it as RFC 4861 §6.1 and §7.1
    /// demand: hop limit, checksum, code, length, options, addresses.
    ///
    /// `None` means a valid packet that is not neighbor discovery.
    ///
    /// # Errors
    /// What breaks the first rule that is broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, super::Error> {
        let packet = ipv6::Packet::parse(bytes)?;
        if packet.header.next_header() != ipv6::NextHeader::ICMPV6 {
            return Ok(None);
        }
        let message = icmpv6::Message::parse(&packet)?;
        match message.header.kind() {
            icmpv6::Kind::NEIGHBOR_SOLICITATION
            | icmpv6::Kind::NEIGHBOR_ADVERTISEMENT
            | icmpv6::Kind::ROUTER_SOLICITATION
            | icmpv6::Kind::ROUTER_ADVERTISEMENT => {}
            _ => return Ok(None),
        }
        Ok(Some(Self::read(packet.header, &message)?))
    }

    fn read(ip: &'a ipv6::Header, message: &icmpv6::Message<'a>) -> Result<Self, Error> {
        if ip.hop_limit() != ipv6::NDP_HOP_LIMIT {
            return Err(Error::HopLimit(ip.hop_limit()));
        }
        if message.header.code() != 0 {
            return Err(Error::Code(message.header.code()));
        }
        match message.header.kind() {
            icmpv6::Kind::NEIGHBOR_SOLICITATION => {
                NeighborSolicitationView::read(ip, message.body).map(Self::NeighborSolicitation)
            }
            icmpv6::Kind::NEIGHBOR_ADVERTISEMENT => {
                NeighborAdvertisementView::read(ip, message.body).map(Self::NeighborAdvertisement)
            }
            icmpv6::Kind::ROUTER_SOLICITATION => {
                RouterSolicitationView::read(ip, message.body).map(Self::RouterSolicitation)
            }
            _ => RouterAdvertisementView::read(ip, message.body).map(Self::RouterAdvertisement),
        }
    }
}

/// A borrowed Neighbor Solicitation (RFC 4861 §4.3).
#[derive(Clone, Copy, Debug)]
pub struct NeighborSolicitationView<'a> {
    /// The IPv6 header it came in.
    pub ip: &'a ipv6::Header,
    target: Ipv6Addr,
    /// The options, already checked.
    pub options: Options<'a>,
}

impl<'a> NeighborSolicitationView<'a> {
    fn read(ip: &'a ipv6::Header, body: &'a [u8]) -> Result<Self, Error> {
        let (raw, options) = split::<RawSolicitation>(body)?;
        let target = Ipv6Addr::from(raw.target);
        if target.is_multicast() {
            return Err(Error::MulticastTarget(target));
        }
        let view = Self { ip, target, options };
        if view.is_duplicate_address_detection() {
            if ip.destination() != ipv6::solicited_node_group(target) {
                return Err(Error::DetectionNotToGroup(ip.destination()));
            }
            if options.source_link_layer().is_some() {
                return Err(Error::LinkLayerFromUnspecified);
            }
        }
        Ok(view)
    }

    /// The address asked for; never multicast.
    pub fn target(&self) -> Ipv6Addr {
        self.target
    }

    /// Whether the sender asks in order to take the address itself: the source is `::` (RFC 4862
    /// §5.4.3).
    pub fn is_duplicate_address_detection(&self) -> bool {
        self.ip.source().is_unspecified()
    }
}

/// A borrowed Neighbor Advertisement (RFC 4861 §4.4).
#[derive(Clone, Copy, Debug)]
pub struct NeighborAdvertisementView<'a> {
    /// The IPv6 header it came in.
    pub ip: &'a ipv6::Header,
    raw: &'a RawAdvertisement,
    /// The options, already checked.
    pub options: Options<'a>,
}

impl<'a> NeighborAdvertisementView<'a> {
    fn read(ip: &'a ipv6::Header, body: &'a [u8]) -> Result<Self, Error> {
        let (raw, options) = split::<RawAdvertisement>(body)?;
        let view = Self { ip, raw, options };
        if view.target().is_multicast() {
            return Err(Error::MulticastTarget(view.target()));
        }
        if ip.destination().is_multicast() && view.solicited() {
            return Err(Error::SolicitedToMulticast);
        }
        Ok(view)
    }

    /// The address advertised; never multicast.
    pub fn target(&self) -> Ipv6Addr {
        Ipv6Addr::from(self.raw.target)
    }

    /// The R flag: the sender is a router.
    pub fn router(&self) -> bool {
        self.raw.flags & FLAG_ROUTER != 0
    }

    /// The S flag: this answers a solicitation.
    pub fn solicited(&self) -> bool {
        self.raw.flags & FLAG_SOLICITED != 0
    }

    /// The O flag: this replaces what the receiver has cached.
    pub fn overrides(&self) -> bool {
        self.raw.flags & FLAG_OVERRIDE != 0
    }
}

/// A borrowed Router Solicitation (RFC 4861 §4.1).
#[derive(Clone, Copy, Debug)]
pub struct RouterSolicitationView<'a> {
    /// The IPv6 header it came in.
    pub ip: &'a ipv6::Header,
    /// The options, already checked.
    pub options: Options<'a>,
}

impl<'a> RouterSolicitationView<'a> {
    fn read(ip: &'a ipv6::Header, body: &'a [u8]) -> Result<Self, Error> {
        let (_reserved, options) = split::<RawReserved>(body)?;
        if ip.source().is_unspecified() && options.source_link_layer().is_some() {
            return Err(Error::LinkLayerFromUnspecified);
        }
        Ok(Self { ip, options })
    }
}

/// A borrowed Router Advertisement (RFC 4861 §4.2).
#[derive(Clone, Copy, Debug)]
pub struct RouterAdvertisementView<'a> {
    /// The IPv6 header it came in; its source is a link-local address.
    pub ip: &'a ipv6::Header,
    raw: &'a RawRouterAdvertisement,
    /// The options, already checked.
    pub options: Options<'a>,
}

impl<'a> RouterAdvertisementView<'a> {
    fn read(ip: &'a ipv6::Header, body: &'a [u8]) -> Result<Self, Error> {
        if !ip.source().is_unicast_link_local() {
            return Err(Error::RouterNotLinkLocal(ip.source()));
        }
        let (raw, options) = split::<RawRouterAdvertisement>(body)?;
        Ok(Self { ip, raw, options })
    }

    /// The hop limit hosts should use; 0 leaves it to them.
    pub fn hop_limit(&self) -> u8 {
        self.raw.hop_limit
    }

    /// The M flag: addresses are available by DHCPv6.
    pub fn managed(&self) -> bool {
        self.raw.flags & FLAG_MANAGED != 0
    }

    /// The O flag: other configuration is available by DHCPv6.
    pub fn other_configuration(&self) -> bool {
        self.raw.flags & FLAG_OTHER != 0
    }

    /// How long, in seconds, the sender is a default router; 0: it is none.
    pub fn lifetime(&self) -> u16 {
        self.raw.lifetime.get()
    }

    /// How long, in milliseconds, a neighbor is reachable after a confirmation; 0 leaves it to hosts.
    pub fn reachable_time(&self) -> u32 {
        self.raw.reachable_time.get()
    }

    /// Time between solicitations in milliseconds; 0 leaves it to hosts.
    pub fn retransmit_timer(&self) -> u32 {
        self.raw.retransmit_timer.get()
    }
}

fn split<T: FromBytes + KnownLayout + Immutable + Unaligned>(
    body: &[u8],
) -> Result<(&T, Options<'_>), Error> {
    let (raw, rest) = T::ref_from_prefix(body).map_err(|_| Error::Truncated { octets: body.len() })?;
    Ok((raw, Options::parse(rest).map_err(Error::Options)?))
}

#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSolicitation {
    reserved: U32,
    target: [u8; 16],
}

#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawAdvertisement {
    flags: u8,
    reserved: [u8; 3],
    target: [u8; 16],
}

#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawReserved {
    reserved: U32,
}

#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawRouterAdvertisement {
    hop_limit: u8,
    flags: u8,
    lifetime: U16,
    reachable_time: U32,
    retransmit_timer: U32,
}

/// Which validity rule of RFC 4861 a message breaks.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The packet may have been forwarded (RFC 4861 §6.1, §7.1).
    #[error("hop limit {0} instead of 255")]
    HopLimit(u8),
    /// The ICMPv6 code is not 0.
    #[error("code {0} instead of 0")]
    Code(u8),
    /// The fixed part of the message is cut short.
    #[error("the message ends after {octets} octets behind its checksum")]
    Truncated {
        /// Octets there are behind the checksum.
        octets: usize,
    },
    /// An option is cut short, of no length, or too short for its type.
    #[error("broken option")]
    Options(#[source] OptionError),
    /// The target is a multicast address (RFC 4861 §7.1.1, §7.1.2).
    #[error("multicast target {0}")]
    MulticastTarget(Ipv6Addr),
    /// A solicitation from `::` is not sent to the solicited-node group of its target (RFC 4861 §7.1.1).
    #[error("duplicate address detection sent to {0} instead of the target's group")]
    DetectionNotToGroup(Ipv6Addr),
    /// A solicitation from `::` carries a source link-layer address (RFC 4861 §6.1.1, §7.1.1).
    #[error("source link-layer address in a solicitation from the unspecified address")]
    LinkLayerFromUnspecified,
    /// A multicast advertisement has the S flag (RFC 4861 §7.1.2).
    #[error("solicited advertisement sent to a group")]
    SolicitedToMulticast,
    /// A router advertisement does not come from a link-local address (RFC 4861 §6.1.2).
    #[error("router advertisement from {0}, which is not link-local")]
    RouterNotLinkLocal(Ipv6Addr),
}

const FLAG_ROUTER: u8 = 0x80;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;
const FLAG_MANAGED: u8 = 0x80;
const FLAG_OTHER: u8 = 0x40;

//! The IPv6 header (RFC 8200), as far as neighbor discovery needs it.

use core::net::Ipv6Addr;

use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A borrowed IPv6 packet: the fixed header and what follows it, cut to the payload length.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The fixed header.
    pub header: &'a Header,
    /// Extension headers and upper layer, without link-layer padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet from the payload of an Ethernet frame; link-layer padding is cut off.
    ///
    /// # Errors
    /// [`Error::Truncated`] when there are fewer octets than the header says, [`Error::Version`] when
    /// the version is not 6.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let truncated = Error::Truncated { octets: bytes.len() };
        let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| truncated)?;
        if header.version() != VERSION {
            return Err(Error::Version(header.version()));
        }
        let payload = rest.get(..usize::from(header.payload_len.get())).ok_or(truncated)?;
        Ok(Self { header, payload })
    }
}

/// The 40 octets of the fixed IPv6 header (RFC 8200 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    version_class_flow: U32,
    payload_len: U16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

impl Header {
    /// A header of a neighbor discovery packet: ICMPv6 follows, hop limit 255, traffic class and flow 0.
    pub fn for_ndp(source: Ipv6Addr, destination: Ipv6Addr, payload_len: u16) -> Self {
        Self {
            version_class_flow: U32::new(u32::from(VERSION) << VERSION_SHIFT),
            payload_len: U16::new(payload_len),
            next_header: NextHeader::ICMPV6.0,
            hop_limit: NDP_HOP_LIMIT,
            source: source.octets(),
            destination: destination.octets(),
        }
    }

    /// The version field: 6 in a valid packet.
    pub fn version(&self) -> u8 {
        let [first, ..] = self.version_class_flow.to_bytes();
        first >> 4
    }

    /// The traffic class.
    pub fn traffic_class(&self) -> u8 {
        let [class, ..] = (self.version_class_flow.get() << 4).to_be_bytes();
        class
    }

    /// The flow label, 20 bits.
    pub fn flow_label(&self) -> u32 {
        self.version_class_flow.get() & FLOW_LABEL_MASK
    }

    /// What follows the fixed header.
    pub fn next_header(&self) -> NextHeader {
        NextHeader(self.next_header)
    }

    /// The hop limit; 255 proves that the packet was not forwarded.
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// Length of what follows the fixed header, in octets.
    pub fn payload_len(&self) -> u16 {
        self.payload_len.get()
    }

    /// Source address.
    pub fn source(&self) -> Ipv6Addr {
        Ipv6Addr::from(self.source)
    }

    /// Destination address.
    pub fn destination(&self) -> Ipv6Addr {
        Ipv6Addr::from(self.destination)
    }

    /// Appends the header to `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

/// What follows an IPv6 header ([registry](https://www.iana.org/assignments/protocol-numbers)). Unknown
/// values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHeader(pub u8);

impl NextHeader {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);

    /// Whether this is an extension header of RFC 8200 §4 or RFC 4302, behind which more follows.
    pub const fn is_extension(self) -> bool {
        matches!(self.0, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140)
    }
}

/// The solicited-node multicast group of `address` (RFC 4291 §2.7.1).
pub fn solicited_node_group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., x, y, z] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z])
}

/// Why bytes are not an IPv6 packet.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer octets than the fixed header needs or announces.
    #[error("the packet ends after {octets} octets")]
    Truncated {
        /// Octets there are.
        octets: usize,
    },
    /// The version is not 6.
    #[error("version {0} instead of 6")]
    Version(u8),
}

/// Length of the fixed header, in octets.
pub const HEADER_LEN: usize = size_of::<Header>();
/// All nodes on the link (RFC 4291 §2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers on the link (RFC 4291 §2.7.1).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Hop limit of every neighbor discovery packet (RFC 4861 §7.1).
pub const NDP_HOP_LIMIT: u8 = 255;
const VERSION: u8 = 6;
const VERSION_SHIFT: u32 = 28;
const FLOW_LABEL_MASK: u32 = 0x000f_ffff;

//! Ethernet II framing (IEEE 802.3, RFC 894, RFC 2464), aware of VLAN tags.

use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::vlan::Tag;

/// A borrowed Ethernet frame: header, VLAN tags (if they are still in the frame) and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Destination and source, with the type field as it stands right after them.
    pub header: &'a Header,
    /// The outermost VLAN tag. `None` for an untagged frame, and for a frame whose tag the kernel or
    /// the network card has taken out.
    pub vlan: Option<Tag>,
    /// The type of the payload, behind all tags. Values below 1536 are IEEE 802.3 lengths.
    pub ethertype: EtherType,
    /// Everything behind the type field, including any padding up to the minimum frame size.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the header and skips up to [`MAX_VLAN_TAGS`] VLAN tags.
    ///
    /// # Errors
    /// [`Error::Truncated`] when the header or a tag is cut short, [`Error::TooManyTags`] when there are
    /// more tags than a network uses.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, mut payload) =
            Header::ref_from_prefix(bytes).map_err(|_| Error::Truncated { octets: bytes.len() })?;
        let mut ethertype = header.ethertype();
        let mut vlan = None;
        let mut tags = 0;
        while ethertype.is_vlan() {
            if tags == MAX_VLAN_TAGS {
                return Err(Error::TooManyTags);
            }
            let (tag, inner, rest) = Tag::parse(payload).ok_or(Error::Truncated { octets: bytes.len() })?;
            vlan = vlan.or(Some(tag));
            ethertype = inner;
            payload = rest;
            tags += 1;
        }
        Ok(Self { header, vlan, ethertype, payload })
    }

    /// Where the frame is sent to.
    pub fn destination(&self) -> MacAddr {
        self.header.destination
    }

    /// Who sent the frame, as the frame claims.
    pub fn source(&self) -> MacAddr {
        self.header.source
    }
}

/// The 14 octets in front of every Ethernet II payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Where the frame is sent to.
    pub destination: MacAddr,
    /// Who sent the frame.
    pub source: MacAddr,
    ethertype: U16,
}

impl Header {
    /// A header for an untagged frame.
    pub fn new(destination: MacAddr, source: MacAddr, ethertype: EtherType) -> Self {
        Self { destination, source, ethertype: U16::new(ethertype.0) }
    }

    /// The type field: the payload's type, or that of a VLAN tag.
    pub fn ethertype(&self) -> EtherType {
        EtherType(self.ethertype.get())
    }

    /// Appends the header to `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

/// A 48-bit hardware address.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// All stations on the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// The unset address, as in the target of an ARP request.
    pub const ZERO: Self = Self([0; 6]);

    /// The address made of these octets, in transmission order.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The group address an IPv6 multicast destination is sent to (RFC 2464 §7).
    pub fn for_ipv6_multicast(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }

    /// The octets in transmission order.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether this is the broadcast address.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether this addresses a group (the broadcast address included).
    pub const fn is_group(self) -> bool {
        let [first, ..] = self.0;
        first & GROUP_BIT != 0
    }

    /// Whether one station can own this address: neither a group nor all zero.
    pub fn is_unicast(self) -> bool {
        !self.is_group() && self != Self::ZERO
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, octet) in self.0.iter().enumerate() {
            let colon = if number == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    /// Reads six pairs of hexadecimal digits with colons between them.
    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or(MacAddrError)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacAddrError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| MacAddrError)?;
        }
        if parts.next().is_some() { Err(MacAddrError) } else { Ok(Self(octets)) }
    }
}

/// The text is not six pairs of hexadecimal digits with colons between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hardware address is written as six pairs of hexadecimal digits, as in 02:00:5e:10:00:01")]
pub struct MacAddrError;

/// The type of an Ethernet payload ([registry](https://www.iana.org/assignments/ieee-802-numbers)).
/// Unknown values are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// ARP (RFC 826).
    pub const ARP: Self = Self(0x0806);
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// IPv6 (RFC 2464).
    pub const IPV6: Self = Self(0x86dd);
    /// A customer VLAN tag (IEEE 802.1Q).
    pub const VLAN: Self = Self(0x8100);
    /// A service VLAN tag (IEEE 802.1ad).
    pub const SERVICE_VLAN: Self = Self(0x88a8);

    /// Whether a VLAN tag follows instead of the payload.
    pub fn is_vlan(self) -> bool {
        self == Self::VLAN || self == Self::SERVICE_VLAN
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtherType({:#06x})", self.0)
    }
}

/// Why bytes are not an Ethernet frame.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The frame ends inside its header or inside a VLAN tag.
    #[error("the frame ends after {octets} octets, inside its header")]
    Truncated {
        /// Octets there are.
        octets: usize,
    },
    /// More than [`MAX_VLAN_TAGS`] VLAN tags.
    #[error("more than {MAX_VLAN_TAGS} VLAN tags")]
    TooManyTags,
}

/// Length of the header of an untagged frame, in octets.
pub const HEADER_LEN: usize = size_of::<Header>();
/// VLAN tags a frame may carry: a service tag and a customer tag.
pub const MAX_VLAN_TAGS: usize = 2;
const GROUP_BIT: u8 = 1;

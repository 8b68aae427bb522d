//! Path attributes as values.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Asn, Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity};

/// The path attributes of a route (RFC 4271 §5 and its extensions), decoded.
///
/// Equal values make equal octets, so the value can be the key under which routes share UPDATE messages. Lists of
/// communities are sorted and without duplicates once [`Attributes::normalize`] ran; the encoder relies on nothing
/// and sorts again if it must.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH; empty for routes an iBGP speaker originates.
    pub as_path: AsPath,
    /// NEXT_HOP, or the next hop inside MP_REACH_NLRI.
    pub next_hop: NextHop,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF. Sent to internal peers only, as 100 when `None` (RFC 4271 §5.1.5).
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE is present.
    pub atomic_aggregate: bool,
    /// AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES (RFC 1997).
    pub communities: Vec<Community>,
    /// ORIGINATOR_ID (RFC 4456).
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST (RFC 4456).
    pub cluster_list: Vec<Ipv4Addr>,
    /// EXTENDED COMMUNITIES (RFC 4360).
    pub extended_communities: Vec<ExtendedCommunity>,
    /// IPv6 address specific extended communities (RFC 5701).
    pub ipv6_extended_communities: Vec<Ipv6ExtendedCommunity>,
    /// LARGE_COMMUNITY (RFC 8092).
    pub large_communities: Vec<LargeCommunity>,
    /// Optional transitive attributes this crate does not know, in the order of their codes.
    pub other: Vec<OtherAttribute>,
}

impl Attributes {
    /// The attributes of a route that starts here: ORIGIN IGP, nothing optional, an empty AS_PATH.
    pub fn originate(next_hop: NextHop) -> Self {
        Self {
            origin: Origin::Igp,
            as_path: AsPath::default(),
            next_hop,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            extended_communities: Vec::new(),
            ipv6_extended_communities: Vec::new(),
            large_communities: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Sorts the communities of each kind and removes duplicates (RFC 8092 §5 forbids sending them).
    pub fn normalize(&mut self) {
        self.communities.sort_unstable();
        self.communities.dedup();
        self.extended_communities.sort_unstable();
        self.extended_communities.dedup();
        self.ipv6_extended_communities.sort_unstable();
        self.ipv6_extended_communities.dedup();
        self.large_communities.sort_unstable();
        self.large_communities.dedup();
        self.other.sort_by_key(|other| other.code);
        self.other.dedup_by_key(|other| other.code);
    }
}

/// ORIGIN: how the route came into BGP (RFC 4271 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// From inside the AS that originated it; what a network statement gives.
    Igp,
    /// Through EGP.
    Egp,
    /// By other means, such as redistribution.
    Incomplete,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Igp => "IGP",
            Self::Egp => "EGP",
            Self::Incomplete => "incomplete",
        })
    }
}

/// AS_PATH: the ASes a route went through, nearest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPath(pub Vec<AsPathSegment>);

impl AsPath {
    /// The path that is one sequence, in segments of at most 255 numbers as the wire needs it; empty for none.
    pub fn sequence(asns: impl IntoIterator<Item = Asn>) -> Self {
        let asns: Vec<Asn> = asns.into_iter().collect();
        let segment = |asns: &[Asn]| AsPathSegment { kind: SegmentKind::Sequence, asns: asns.to_vec() };
        Self(asns.chunks(AsPathSegment::MAX_ASNS).map(segment).collect())
    }

    /// The first AS of a path that begins with a sequence: the neighbour that sent it.
    pub fn first(&self) -> Option<Asn> {
        let segment = self.0.first().filter(|segment| segment.kind == SegmentKind::Sequence)?;
        segment.asns.first().copied()
    }

    /// Every AS number of the path in order, sets included.
    pub fn asns(&self) -> impl Iterator<Item = Asn> {
        self.0.iter().flat_map(|segment| segment.asns.iter().copied())
    }

    /// The length that route selection compares: a set counts as one, confederation segments as none
    /// (RFC 4271 §9.1.2.2, RFC 5065 §5.3).
    pub fn hops(&self) -> usize {
        let count = |segment: &AsPathSegment| match segment.kind {
            SegmentKind::Sequence => segment.asns.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        };
        self.0.iter().map(count).sum()
    }
}

impl fmt::Display for AsPath {
    /// Numbers separated by spaces, sets in braces, confederation segments in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            segment.fmt(f)?;
        }
        Ok(())
    }
}

/// One segment of an AS_PATH.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPathSegment {
    /// How the numbers relate.
    pub kind: SegmentKind,
    /// The AS numbers. More than 255 are sent as several segments.
    pub asns: Vec<Asn>,
}

impl AsPathSegment {
    /// The most numbers one segment can hold on the wire.
    pub const MAX_ASNS: usize = 255;
}

impl fmt::Display for AsPathSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, separator, close) = match self.kind {
            SegmentKind::Sequence => ("", " ", ""),
            SegmentKind::Set => ("{", ",", "}"),
            SegmentKind::ConfedSequence => ("(", " ", ")"),
            SegmentKind::ConfedSet => ("[", ",", "]"),
        };
        f.write_str(open)?;
        for (i, asn) in self.asns.iter().enumerate() {
            if i > 0 {
                f.write_str(separator)?;
            }
            asn.fmt(f)?;
        }
        f.write_str(close)
    }
}

/// The kind of an AS_PATH segment (RFC 4271 §4.3, RFC 5065 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// AS_SET: unordered. Deprecated by RFC 9774 and never originated here.
    Set,
    /// AS_SEQUENCE: ordered.
    Sequence,
    /// AS_CONFED_SEQUENCE.
    ConfedSequence,
    /// AS_CONFED_SET.
    ConfedSet,
}

/// Where traffic for a route goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, with the link-local one when the peer is on the same link (RFC 2545 §3).
    V6 {
        /// The global address; `::` when there is only a link-local one.
        global: Ipv6Addr,
        /// The link-local address, which makes the next hop 32 octets long.
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHop {
    /// The address traffic is sent to: the link-local one when the global one is `::`.
    pub fn address(self) -> IpAddr {
        match self {
            Self::V4(address) => IpAddr::V4(address),
            Self::V6 { global, link_local: Some(link_local) } if global.is_unspecified() => {
                IpAddr::V6(link_local)
            }
            Self::V6 { global, .. } => IpAddr::V6(global),
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(global) => Self::V6 { global, link_local: None },
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6 { global, link_local: None } => global.fmt(f),
            Self::V6 { global, link_local: Some(link_local) } => write!(f, "{global} ({link_local})"),
        }
    }
}

/// AGGREGATOR: who formed an aggregate (RFC 4271 §5.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregator {
    /// Its AS.
    pub asn: Asn,
    /// Its BGP identifier.
    pub address: Ipv4Addr,
}

/// An optional transitive attribute this crate does not know, to be handed on as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherAttribute {
    /// The attribute type code.
    pub code: u8,
    /// Its value. The Partial bit is set whenever it is sent (RFC 4271 §5).
    pub value: Vec<u8>,
}

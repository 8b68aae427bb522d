//! Path attributes as octets.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::PathEncoding;
use super::template::{self, ATTRIBUTES_LEN_AT, Place, Template};
use crate::types::{
    AsPath, AsPathSegment, Asn, AsnWidth, Attributes, Family, NextHop, Origin, OtherAttribute, PeerKind,
    SegmentKind,
};
use crate::wire::error::EncodeError;
use crate::wire::iana;

/// Path attributes encoded for the routes of one family on sessions of one kind.
///
/// Routes of IPv4 with an IPv4 next hop use the NLRI field; all others use MP_REACH_NLRI, without a NEXT_HOP
/// attribute (RFC 4760 §3, RFC 2545, RFC 8950).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeBlock {
    family: Family,
    place: Place,
    /// The message up to the first prefix.
    head: Vec<u8>,
    /// The message after the last prefix.
    tail: Vec<u8>,
}

impl AttributeBlock {
    /// Encodes `attributes` for routes of `family`.
    ///
    /// LOCAL_PREF is always sent to internal peers, as 100 when there is none, and never to external ones
    /// (RFC 4271 §5.1.5). To a peer with two-octet AS numbers, AS4_PATH and AS4_AGGREGATOR are added when a number
    /// needs them (RFC 6793 §4.2.2).
    ///
    /// # Errors
    /// [`EncodeError::NextHop`] for IPv6 routes with an IPv4 next hop; [`EncodeError::AsSet`],
    /// [`EncodeError::Confederation`] and [`EncodeError::AsZero`] for paths that must not be sent;
    /// [`EncodeError::KnownAttribute`]; [`EncodeError::Attribute`] when one does not fit its length field.
    pub fn encode(
        attributes: &Attributes,
        family: Family,
        encoding: PathEncoding,
    ) -> Result<Self, EncodeError> {
        let mut block = Self::empty();
        block.replace(attributes, family, encoding)?;
        Ok(block)
    }

    /// A block that announces nothing yet.
    pub(crate) const fn empty() -> Self {
        Self { family: Family::Ipv4Unicast, place: Place::Nlri, head: Vec::new(), tail: Vec::new() }
    }

    /// As [`encode`](Self::encode), in the memory of a block that is not needed any more. After an error the block is
    /// of no use but to be replaced again.
    pub(crate) fn replace(
        &mut self,
        attributes: &Attributes,
        family: Family,
        encoding: PathEncoding,
    ) -> Result<(), EncodeError> {
        let Self { head, tail, .. } = self;
        head.clear();
        tail.clear();
        template::begin(head);
        head.extend_from_slice(&[0, 0]);
        self.family = family;
        self.place = match (family, attributes.next_hop) {
            (Family::Ipv4Unicast, NextHop::V4(_)) => {
                let start = head.len();
                encode_all(attributes, Place::Nlri, encoding, head)?;
                let section = head.len().saturating_sub(start);
                let length = u16::try_from(section).map_err(|_| too_large(section))?;
                if let Some(field) = head.get_mut(ATTRIBUTES_LEN_AT..).and_then(|rest| rest.first_chunk_mut())
                {
                    *field = length.to_be_bytes();
                }
                Place::Nlri
            }
            (Family::Ipv6Unicast, NextHop::V4(_)) => return Err(EncodeError::NextHop(family)),
            (_, NextHop::V6 { global, link_local }) => {
                begin_mp_reach(family, global, link_local, head);
                encode_all(attributes, Place::Multiprotocol, encoding, tail)?;
                Place::Multiprotocol
            }
        };
        Ok(())
    }

    /// The family whose routes can be announced with this block.
    pub const fn family(&self) -> Family {
        self.family
    }

    pub(super) fn template(&self) -> Template<'_> {
        Template { head: &self.head, tail: &self.tail, place: self.place }
    }
}

/// Appends MP_REACH_NLRI up to its first prefix, with a length of zero.
fn begin_mp_reach(family: Family, global: Ipv6Addr, link_local: Option<Ipv6Addr>, out: &mut Vec<u8>) {
    const NO_SNPA: u8 = 0;
    let code_points = family.afi_safi();
    out.extend_from_slice(&[iana::FLAG_OPTIONAL | iana::FLAG_EXTENDED_LENGTH, iana::ATTR_MP_REACH, 0, 0]);
    out.extend_from_slice(&code_points.afi.to_be_bytes());
    out.push(code_points.safi);
    match link_local {
        None => {
            out.push(16);
            out.extend_from_slice(&global.octets());
        }
        Some(link_local) => {
            out.push(32);
            out.extend_from_slice(&global.octets());
            out.extend_from_slice(&link_local.octets());
        }
    }
    out.push(NO_SNPA);
}

/// Appends every attribute but MP_REACH_NLRI in ascending order of type (RFC 7606 §5.1).
fn encode_all(
    attributes: &Attributes,
    place: Place,
    encoding: PathEncoding,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let internal = encoding.peer == PeerKind::Internal;
    let path = &attributes.as_path;
    check_path(path, internal)?;
    let other = check_other(&attributes.other)?;
    let mut section = Section { out, other: &other };
    section.put(WELL_KNOWN, iana::ATTR_ORIGIN, &[origin(attributes.origin)])?;
    section.put_path(WELL_KNOWN, iana::ATTR_AS_PATH, path, encoding.asn_width)?;
    if let (Place::Nlri, NextHop::V4(address)) = (place, attributes.next_hop) {
        section.put(WELL_KNOWN, iana::ATTR_NEXT_HOP, &address.octets())?;
    }
    if let Some(med) = attributes.med {
        section.put(iana::FLAG_OPTIONAL, iana::ATTR_MED, &med.to_be_bytes())?;
    }
    if internal {
        let local_pref = attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF);
        section.put(WELL_KNOWN, iana::ATTR_LOCAL_PREF, &local_pref.to_be_bytes())?;
    }
    if attributes.atomic_aggregate {
        section.put(WELL_KNOWN, iana::ATTR_ATOMIC_AGGREGATE, &[])?;
    }
    encode_aggregator(attributes, encoding.asn_width, &mut section)?;
    section.put_list(iana::ATTR_COMMUNITIES, &attributes.communities, |c| c.0.to_be_bytes())?;
    if internal {
        encode_reflection(attributes, &mut section)?;
    }
    section.put_list(iana::ATTR_EXTENDED_COMMUNITIES, &attributes.extended_communities, |c| c.0)?;
    encode_as4(attributes, encoding.asn_width, &mut section)?;
    let ipv6_specific = &attributes.ipv6_extended_communities;
    section.put_list(iana::ATTR_IPV6_EXTENDED_COMMUNITIES, ipv6_specific, |c| c.0)?;
    section.put_list(iana::ATTR_LARGE_COMMUNITIES, &attributes.large_communities, |c| {
        let mut octets = [0; 12];
        let fields = [c.global, c.local1, c.local2];
        octets.chunks_exact_mut(4).zip(fields).for_each(|(to, from)| to.copy_from_slice(&from.to_be_bytes()));
        octets
    })?;
    section.finish()
}

fn encode_aggregator(
    attributes: &Attributes,
    width: AsnWidth,
    section: &mut Section<'_>,
) -> Result<(), EncodeError> {
    let Some(aggregator) = attributes.aggregator else { return Ok(()) };
    let mut octets = Vec::with_capacity(8);
    put_asn(aggregator.asn, width, &mut octets);
    octets.extend_from_slice(&aggregator.address.octets());
    section.put(OPTIONAL_TRANSITIVE, iana::ATTR_AGGREGATOR, &octets)
}

/// ORIGINATOR_ID and CLUSTER_LIST (RFC 4456 §8).
fn encode_reflection(attributes: &Attributes, section: &mut Section<'_>) -> Result<(), EncodeError> {
    if let Some(originator) = attributes.originator_id {
        section.put(iana::FLAG_OPTIONAL, iana::ATTR_ORIGINATOR_ID, &originator.octets())?;
    }
    if attributes.cluster_list.is_empty() {
        return Ok(());
    }
    let octets: Vec<u8> = attributes.cluster_list.iter().flat_map(Ipv4Addr::octets).collect();
    section.put(iana::FLAG_OPTIONAL, iana::ATTR_CLUSTER_LIST, &octets)
}

/// AS4_PATH and AS4_AGGREGATOR, only where two octets are not enough (RFC 6793 §4.2.2).
fn encode_as4(
    attributes: &Attributes,
    width: AsnWidth,
    section: &mut Section<'_>,
) -> Result<(), EncodeError> {
    if width == AsnWidth::Four {
        return Ok(());
    }
    if !attributes.as_path.asns().all(Asn::is_mappable) {
        let confederation = |segment: &&AsPathSegment| segment.kind != SegmentKind::ConfedSequence;
        let path = AsPath(attributes.as_path.0.iter().filter(confederation).cloned().collect());
        if path_len(&path, AsnWidth::Four) != 0 {
            section.put_path(OPTIONAL_TRANSITIVE, iana::ATTR_AS4_PATH, &path, AsnWidth::Four)?;
        }
    }
    match attributes.aggregator {
        Some(aggregator) if !aggregator.asn.is_mappable() => {
            let mut octets = Vec::with_capacity(8);
            put_asn(aggregator.asn, AsnWidth::Four, &mut octets);
            octets.extend_from_slice(&aggregator.address.octets());
            section.put(OPTIONAL_TRANSITIVE, iana::ATTR_AS4_AGGREGATOR, &octets)
        }
        _ => Ok(()),
    }
}

/// An attribute section in the making; unknown attributes are put where their code belongs.
struct Section<'a> {
    out: &'a mut Vec<u8>,
    other: &'a [&'a OtherAttribute],
}

impl Section<'_> {
    /// Puts everything of an attribute but its value, of which the caller appends `length` octets.
    fn begin(&mut self, flags: u8, code: u8, length: usize) -> Result<(), EncodeError> {
        while let Some((first, rest)) = self.other.split_first().filter(|(first, _)| first.code < code) {
            put_attribute(OTHER, first.code, &first.value, self.out)?;
            self.other = rest;
        }
        begin_attribute(flags, code, length, self.out)
    }

    fn put(&mut self, flags: u8, code: u8, value: &[u8]) -> Result<(), EncodeError> {
        self.begin(flags, code, value.len())?;
        self.out.extend_from_slice(value);
        Ok(())
    }

    fn put_path(&mut self, flags: u8, code: u8, path: &AsPath, width: AsnWidth) -> Result<(), EncodeError> {
        self.begin(flags, code, path_len(path, width))?;
        put_segments(path, width, self.out);
        Ok(())
    }

    /// Puts a list of values sorted and without duplicates; nothing for an empty list.
    fn put_list<T: Ord + Copy, const N: usize>(
        &mut self,
        code: u8,
        list: &[T],
        octets: fn(T) -> [u8; N],
    ) -> Result<(), EncodeError> {
        if list.is_sorted_by(|a, b| a < b) {
            return self.put_sorted(code, list, octets);
        }
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        self.put_sorted(code, &sorted, octets)
    }

    fn put_sorted<T: Copy, const N: usize>(
        &mut self,
        code: u8,
        list: &[T],
        octets: fn(T) -> [u8; N],
    ) -> Result<(), EncodeError> {
        if list.is_empty() {
            return Ok(());
        }
        self.begin(OPTIONAL_TRANSITIVE, code, list.len().saturating_mul(N))?;
        for value in list {
            self.out.extend_from_slice(&octets(*value));
        }
        Ok(())
    }

    fn finish(self) -> Result<(), EncodeError> {
        self.other.iter().try_for_each(|other| put_attribute(OTHER, other.code, &other.value, self.out))
    }
}

fn put_attribute(flags: u8, code: u8, value: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    begin_attribute(flags, code, value.len(), out)?;
    out.extend_from_slice(value);
    Ok(())
}

/// Appends flags, type and length of an attribute.
fn begin_attribute(flags: u8, code: u8, length: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[flags, code, length]);
        return Ok(());
    }
    let length = u16::try_from(length).map_err(|_| EncodeError::Attribute { code, length })?;
    out.extend_from_slice(&[flags | iana::FLAG_EXTENDED_LENGTH, code]);
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Octets of a path's segments.
fn path_len(path: &AsPath, width: AsnWidth) -> usize {
    let asn = match width {
        AsnWidth::Two => 2,
        AsnWidth::Four => 4,
    };
    let segment = |segment: &AsPathSegment| {
        let asns = segment.asns.len();
        let headers = asns.div_ceil(AsPathSegment::MAX_ASNS).saturating_mul(2);
        asns.saturating_mul(asn).saturating_add(headers)
    };
    path.0.iter().map(segment).fold(0, usize::saturating_add)
}

fn put_segments(path: &AsPath, width: AsnWidth, out: &mut Vec<u8>) {
    for segment in &path.0 {
        let kind = match segment.kind {
            SegmentKind::Set => iana::SEGMENT_SET,
            SegmentKind::Sequence => iana::SEGMENT_SEQUENCE,
            SegmentKind::ConfedSequence => iana::SEGMENT_CONFED_SEQUENCE,
            SegmentKind::ConfedSet => iana::SEGMENT_CONFED_SET,
        };
        for asns in segment.asns.chunks(AsPathSegment::MAX_ASNS) {
            out.extend_from_slice(&[kind, u8::try_from(asns.len()).unwrap_or(u8::MAX)]);
            for asn in asns {
                put_asn(*asn, width, out);
            }
        }
    }
}

fn put_asn(asn: Asn, width: AsnWidth, out: &mut Vec<u8>) {
    match width {
        AsnWidth::Two => out.extend_from_slice(&asn.two_octet().to_be_bytes()),
        AsnWidth::Four => out.extend_from_slice(&asn.value().to_be_bytes()),
    }
}

fn check_path(path: &AsPath, internal: bool) -> Result<(), EncodeError> {
    for segment in &path.0 {
        match segment.kind {
            SegmentKind::Set | SegmentKind::ConfedSet => return Err(EncodeError::AsSet),
            SegmentKind::ConfedSequence if !internal => return Err(EncodeError::Confederation),
            SegmentKind::ConfedSequence | SegmentKind::Sequence => {}
        }
    }
    if path.asns().any(Asn::is_zero) { Err(EncodeError::AsZero) } else { Ok(()) }
}

/// The unknown attributes in ascending order, the first of each code.
fn check_other(other: &[OtherAttribute]) -> Result<Vec<&OtherAttribute>, EncodeError> {
    if let Some(known) = other.iter().find(|other| iana::is_known_attribute(other.code)) {
        return Err(EncodeError::KnownAttribute(known.code));
    }
    let mut sorted: Vec<&OtherAttribute> = other.iter().collect();
    sorted.sort_by_key(|other| other.code);
    sorted.dedup_by_key(|other| other.code);
    Ok(sorted)
}

fn too_large(section: usize) -> EncodeError {
    EncodeError::TooLarge { size: section, limit: usize::from(u16::MAX) }
}

const fn origin(origin: Origin) -> u8 {
    match origin {
        Origin::Igp => iana::ORIGIN_IGP,
        Origin::Egp => iana::ORIGIN_EGP,
        Origin::Incomplete => iana::ORIGIN_INCOMPLETE,
    }
}

const WELL_KNOWN: u8 = iana::FLAG_TRANSITIVE;
const OPTIONAL_TRANSITIVE: u8 = iana::FLAG_OPTIONAL | iana::FLAG_TRANSITIVE;
const OTHER: u8 = OPTIONAL_TRANSITIVE | iana::FLAG_PARTIAL;
/// LOCAL_PREF where the user gives none (RFC 4271 leaves it open; FRR and BIRD use the same).
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

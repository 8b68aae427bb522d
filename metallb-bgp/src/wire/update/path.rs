//! AS_PATH and AS4_PATH: their judgement and their values.

use super::fault::Fault;
use crate::types::{AsPath, AsPathSegment, Asn, AsnWidth, PeerKind, SegmentKind};
use crate::wire::iana;
use crate::wire::reader::{Reader, Short};
use crate::wire::update::UpdateContext;

/// A segment as it stands in the attribute.
pub(super) struct RawSegment<'a> {
    pub(super) kind: SegmentKind,
    width: AsnWidth,
    octets: &'a [u8],
}

impl<'a> RawSegment<'a> {
    pub(super) fn asns(&self) -> impl Iterator<Item = Asn> + use<'a> {
        let number = |octets: &[u8]| octets.iter().fold(0, |n, octet| (n << 8) | u32::from(*octet));
        self.octets.chunks_exact(octets_per_asn(self.width)).map(move |octets| Asn::new(number(octets)))
    }
}

/// Takes the next segment off the front of `reader` (RFC 4271 §4.3, RFC 7606 §7.2).
fn next_segment<'a>(reader: &mut Reader<'a>, width: AsnWidth) -> Result<RawSegment<'a>, Short> {
    let kind = match reader.u8()? {
        iana::SEGMENT_SET => SegmentKind::Set,
        iana::SEGMENT_SEQUENCE => SegmentKind::Sequence,
        iana::SEGMENT_CONFED_SEQUENCE => SegmentKind::ConfedSequence,
        iana::SEGMENT_CONFED_SET => SegmentKind::ConfedSet,
        _ => return Err(Short),
    };
    let count = usize::from(reader.u8()?);
    if count == 0 {
        return Err(Short);
    }
    let octets = reader.take(count.saturating_mul(octets_per_asn(width)))?;
    Ok(RawSegment { kind, width, octets })
}

/// The segments of a path that was judged well-formed; ends early at one that is not.
pub(super) fn segments(value: &[u8], width: AsnWidth) -> impl Iterator<Item = RawSegment<'_>> {
    let mut reader = Reader::new(value);
    std::iter::from_fn(move || if reader.is_empty() { None } else { next_segment(&mut reader, width).ok() })
}

/// The value of a well-formed path.
pub(super) fn value(octets: &[u8], width: AsnWidth) -> AsPath {
    let segment = |raw: RawSegment<'_>| AsPathSegment { kind: raw.kind, asns: raw.asns().collect() };
    AsPath(segments(octets, width).map(segment).collect())
}

/// Judges an AS_PATH (RFC 7606 §7.2, RFC 7607, RFC 5065 §5, RFC 9774 §3).
pub(super) fn judge(value: &[u8], context: &UpdateContext) -> Result<(), Fault> {
    well_formed(value, iana::ATTR_AS_PATH, context.asn_width)?;
    let external = context.peer == PeerKind::External;
    let mut first = None;
    for (i, segment) in segments(value, context.asn_width).enumerate() {
        let confederation = matches!(segment.kind, SegmentKind::ConfedSequence | SegmentKind::ConfedSet);
        if confederation && external {
            return Err(Fault::Confederation);
        }
        if context.refuse_as_sets && matches!(segment.kind, SegmentKind::Set | SegmentKind::ConfedSet) {
            return Err(Fault::AsSet);
        }
        if i == 0 && segment.kind == SegmentKind::Sequence {
            first = segment.asns().next();
        }
    }
    if external && context.enforce_first_as && first != Some(expected_first(context)) {
        return Err(Fault::FirstAs);
    }
    Ok(())
}

/// Judges an AS4_PATH (RFC 6793 §6); confederation segments in it are ignored later, not an error.
pub(super) fn judge_as4(value: &[u8]) -> Result<(), Fault> {
    if value.is_empty() {
        return Err(Fault::Length(iana::ATTR_AS4_PATH));
    }
    well_formed(value, iana::ATTR_AS4_PATH, AsnWidth::Four)
}

fn well_formed(value: &[u8], code: u8, width: AsnWidth) -> Result<(), Fault> {
    let mut reader = Reader::new(value);
    while !reader.is_empty() {
        let segment = next_segment(&mut reader, width).map_err(|Short| Fault::PathSegments(code))?;
        if segment.asns().any(Asn::is_zero) {
            return Err(Fault::AsZero(code));
        }
    }
    Ok(())
}

/// The AS an external peer's paths begin with, as this session's width shows it.
fn expected_first(context: &UpdateContext) -> Asn {
    match context.asn_width {
        AsnWidth::Four => context.remote_asn,
        AsnWidth::Two => Asn::new(u32::from(context.remote_asn.two_octet())),
    }
}

/// Rebuilds the real path from AS_PATH and AS4_PATH of an OLD peer (RFC 6793 §4.2.3).
///
/// As many leading numbers of AS_PATH are kept as it is longer than AS4_PATH; a shorter AS_PATH wins alone.
pub(super) fn merge(path: AsPath, as4_path: AsPath) -> AsPath {
    let is_confederation = |segment: &AsPathSegment| {
        matches!(segment.kind, SegmentKind::ConfedSequence | SegmentKind::ConfedSet)
    };
    let as4_path = AsPath(as4_path.0.into_iter().filter(|segment| !is_confederation(segment)).collect());
    let Some(mut leading) = path.hops().checked_sub(as4_path.hops()) else { return path };
    let mut merged = AsPath::default();
    for mut segment in path.0 {
        match segment.kind {
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => {}
            _ if leading == 0 => break,
            SegmentKind::Set => leading = leading.saturating_sub(1),
            SegmentKind::Sequence => {
                segment.asns.truncate(leading);
                leading = leading.saturating_sub(segment.asns.len());
            }
        }
        merged.0.push(segment);
    }
    for segment in as4_path.0 {
        match merged.0.last_mut() {
            Some(last) if last.kind == SegmentKind::Sequence && segment.kind == SegmentKind::Sequence => {
                last.asns.extend(segment.asns);
            }
            _ => merged.0.push(segment),
        }
    }
    merged
}

const fn octets_per_asn(width: AsnWidth) -> usize {
    match width {
        AsnWidth::Two => 2,
        AsnWidth::Four => 4,
    }
}

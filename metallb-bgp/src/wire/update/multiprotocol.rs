//! MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760 §3, §4).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::fault::Fault;
use super::next_hop;
use super::nlri::Prefixes;
use crate::types::{AfiSafi, Family, NextHop};
use crate::wire::iana;
use crate::wire::reader::{Reader, Short};
use crate::wire::update::UpdateContext;

/// One of the two attributes, as far as it can be read.
#[derive(Clone, Debug)]
pub(super) enum Multiprotocol<'a> {
    /// Routes this session can use; the next hop only in MP_REACH_NLRI.
    Usable { next_hop: Option<NextHop>, prefixes: Prefixes<'a> },
    /// Routes of a family that was not negotiated, with whether there are any.
    Foreign { family: AfiSafi, has_routes: bool },
}

impl Multiprotocol<'_> {
    pub(super) fn family(&self) -> AfiSafi {
        match self {
            Self::Usable { prefixes, .. } => prefixes.family().afi_safi(),
            Self::Foreign { family, .. } => *family,
        }
    }

    pub(super) fn has_routes(&self) -> bool {
        match self {
            Self::Usable { prefixes, .. } => prefixes.len() != 0,
            Self::Foreign { has_routes, .. } => *has_routes,
        }
    }
}

/// Why the routes of an attribute cannot be located, and whose routes they are if that much can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreadable {
    pub(super) fault: Fault,
    pub(super) family: Option<Family>,
}

pub(super) fn read_reach<'a>(
    value: &'a [u8],
    context: &UpdateContext,
) -> Result<Multiprotocol<'a>, Unreadable> {
    let mut reader = Reader::new(value);
    let code_points = read_family(&mut reader, iana::ATTR_MP_REACH)?;
    let family = negotiated(code_points, context);
    let unreadable = |fault| Unreadable { fault, family };
    let (length, next_hop) =
        read_next_hop(&mut reader).map_err(|Short| unreadable(Fault::Length(iana::ATTR_MP_REACH)))?;
    let Some(family) = family else {
        return Ok(Multiprotocol::Foreign { family: code_points, has_routes: !reader.is_empty() });
    };
    let next_hop =
        next_hop_of(family, next_hop, context).ok_or_else(|| unreadable(Fault::NextHopLength(length)))?;
    let prefixes = Prefixes::new(family, context.add_path.contains(family), reader.rest())
        .map_err(|Short| unreadable(Fault::MultiprotocolNlri(iana::ATTR_MP_REACH)))?;
    Ok(Multiprotocol::Usable { next_hop: Some(next_hop), prefixes })
}

pub(super) fn read_unreach<'a>(
    value: &'a [u8],
    context: &UpdateContext,
) -> Result<Multiprotocol<'a>, Unreadable> {
    let mut reader = Reader::new(value);
    let code_points = read_family(&mut reader, iana::ATTR_MP_UNREACH)?;
    let Some(family) = negotiated(code_points, context) else {
        return Ok(Multiprotocol::Foreign { family: code_points, has_routes: !reader.is_empty() });
    };
    let fault = Fault::MultiprotocolNlri(iana::ATTR_MP_UNREACH);
    let prefixes = Prefixes::new(family, context.add_path.contains(family), reader.rest())
        .map_err(|Short| Unreadable { fault, family: Some(family) })?;
    Ok(Multiprotocol::Usable { next_hop: None, prefixes })
}

fn read_family(reader: &mut Reader<'_>, code: u8) -> Result<AfiSafi, Unreadable> {
    let short = |Short| Unreadable { fault: Fault::Length(code), family: None };
    Ok(AfiSafi { afi: reader.u16().map_err(short)?, safi: reader.u8().map_err(short)? })
}

fn negotiated(code_points: AfiSafi, context: &UpdateContext) -> Option<Family> {
    code_points.family().filter(|family| context.families.contains(*family))
}

/// The length of the next hop, the next hop, and past the reserved octet, which must be ignored.
fn read_next_hop<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Short> {
    let length = reader.u8()?;
    let next_hop = reader.take(usize::from(length))?;
    reader.u8()?;
    Ok((length, next_hop))
}

/// The next hop, if its length is one the family may have on this session (RFC 2545 §3, RFC 8950 §3).
fn next_hop_of(family: Family, octets: &[u8], context: &UpdateContext) -> Option<NextHop> {
    if family == Family::Ipv4Unicast && octets.len() != 4 && !context.extended_next_hop {
        return None;
    }
    let mut reader = Reader::new(octets);
    match octets.len() {
        4 if family == Family::Ipv4Unicast => reader.u32().ok().map(Ipv4Addr::from_bits).map(NextHop::V4),
        16 => Some(NextHop::V6 { global: address(&mut reader)?, link_local: None }),
        32 => {
            let global = address(&mut reader)?;
            Some(NextHop::V6 { global, link_local: next_hop::second(address(&mut reader)?) })
        }
        _ => None,
    }
}

fn address(reader: &mut Reader<'_>) -> Option<Ipv6Addr> {
    reader.array::<16>().ok().map(Ipv6Addr::from)
}

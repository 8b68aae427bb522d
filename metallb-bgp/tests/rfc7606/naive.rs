//! A second, slow and simple judgement of UPDATEs, written from the RFCs alone: it makes lists of everything and
//! looks for the strongest finding at the end. It shares no code with the crate but its value types.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use metallb_bgp::types::{AsnWidth, Family, NextHop, PeerKind};
use metallb_bgp::wire::update::{Action, OnUnreadable, UpdateContext};

/// What the naive judgement says about a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The strongest action.
    pub(crate) action: Action,
    /// The UPDATE error subcodes a NOTIFICATION may carry, if the session is reset.
    pub(crate) subcodes: Vec<u8>,
    /// Announced prefixes with their next hops: those of the NLRI field first.
    pub(crate) announced: Vec<(NextHop, IpNetwork)>,
    /// Withdrawn prefixes, sorted.
    pub(crate) withdrawn: Vec<IpNetwork>,
    /// AFI and SAFI of an End-of-RIB marker.
    pub(crate) end_of_rib: Option<(u16, u8)>,
    /// Families to be disabled, sorted.
    pub(crate) disabled: Vec<Family>,
}

struct Attribute {
    flags: u8,
    code: u8,
    value: Vec<u8>,
}

#[derive(Default)]
struct Findings(Vec<(Option<Action>, u8)>);

impl Findings {
    fn add(&mut self, action: Action, subcode: u8) {
        self.0.push((Some(action), subcode));
    }

    fn has(&self, action: Action) -> bool {
        self.0.iter().any(|(found, _)| *found == Some(action))
    }

    fn strongest(&self) -> Action {
        self.0.iter().filter_map(|(action, _)| *action).max().unwrap_or(Action::Accept)
    }

    fn subcodes(&self, action: Action) -> Vec<u8> {
        self.0.iter().filter(|(found, _)| *found == Some(action)).map(|(_, subcode)| *subcode).collect()
    }
}

/// What an MP attribute turned out to be.
enum Part {
    Absent,
    Unreadable,
    Foreign { code_points: (u16, u8), routes: bool },
    Usable { next_hop: Option<NextHop>, family: Family, prefixes: Vec<IpNetwork> },
}

/// Judges the body of an UPDATE (everything after the header).
pub(crate) fn judge(body: &[u8], context: &UpdateContext) -> Answer {
    let mut findings = Findings::default();
    let Some((withdrawn, section, nlri)) = split(body) else {
        findings.add(Action::ResetSession, 1);
        return answer(&findings, Vec::new(), Vec::new(), None, Vec::new());
    };
    let (attributes, overrun) = list(&section);
    if overrun {
        findings.add(Action::TreatAsWithdraw, 1);
    }
    let first_of = |code: u8| attributes.iter().find(|attribute| attribute.code == code);
    for (i, attribute) in attributes.iter().enumerate() {
        let again = attributes.iter().take(i).any(|earlier| earlier.code == attribute.code);
        match (again, attribute.code) {
            (true, 14 | 15) => findings.add(Action::ResetSession, 1),
            (true, _) => findings.add(Action::DiscardAttribute, 1),
            (false, 3 | 14 | 15) => {}
            (false, _) => judge_one(attribute, context, &mut findings),
        }
    }
    let mut disabled = Vec::new();
    let reach =
        first_of(14).map_or(Part::Absent, |a| multiprotocol(a, context, &mut findings, &mut disabled));
    let unreach =
        first_of(15).map_or(Part::Absent, |a| multiprotocol(a, context, &mut findings, &mut disabled));
    let withdrawn = network(&withdrawn, context, &mut findings);
    let announced = network(&nlri, context, &mut findings);

    let next_hop = first_of(3);
    if let Some(attribute) = next_hop.filter(|_| !announced.is_empty() || first_of(14).is_none()) {
        judge_next_hop(attribute, context, &mut findings);
    }
    let usable = matches!(&reach, Part::Usable { prefixes, .. } if !prefixes.is_empty());
    if usable || !announced.is_empty() {
        let mut mandatory = vec![1, 2];
        if !announced.is_empty() {
            mandatory.push(3);
        }
        if context.peer == PeerKind::Internal {
            mandatory.push(5);
        }
        for code in mandatory {
            if first_of(code).is_none() {
                findings.add(Action::TreatAsWithdraw, 3);
            }
        }
    }
    let foreign = matches!(&reach, Part::Foreign { routes: true, .. });
    let hidden = matches!(&reach, Part::Unreadable);
    let others = overrun || attributes.iter().any(|attribute| attribute.code != 15);
    if nlri.is_empty() && !usable && !foreign && !hidden && others && findings.has(Action::TreatAsWithdraw) {
        let withdraws = findings.subcodes(Action::TreatAsWithdraw);
        for subcode in withdraws {
            findings.add(Action::ResetSession, subcode);
        }
        // A disabled family is weaker than the reset that now follows, but was found first.
        let disables = findings.subcodes(Action::DisableFamily);
        for subcode in disables {
            findings.add(Action::ResetSession, subcode);
        }
    }
    let empty = nlri.is_empty() && body.get(..2) == Some(&[0, 0]) && !others;
    let marker = if empty { marker(&unreach, section.is_empty()) } else { None };
    let body_hop =
        next_hop.and_then(|attribute| Some(Ipv4Addr::from(<[u8; 4]>::try_from(&attribute.value[..]).ok()?)));
    let mut routes: Vec<(Option<NextHop>, IpNetwork)> =
        announced.into_iter().map(|prefix| (body_hop.map(NextHop::V4), prefix)).collect();
    if let Part::Usable { next_hop, prefixes, .. } = reach {
        routes.extend(prefixes.into_iter().map(|prefix| (next_hop, prefix)));
    }
    let mut gone = withdrawn;
    if let Part::Usable { prefixes, .. } = unreach {
        gone.extend(prefixes);
    }
    answer(&findings, routes, gone, marker, disabled)
}

/// The family of an End-of-RIB marker in a message without routes and attributes beside MP_UNREACH_NLRI.
fn marker(unreach: &Part, no_attributes: bool) -> Option<(u16, u8)> {
    match unreach {
        Part::Absent if no_attributes => Some((1, 1)),
        Part::Foreign { code_points, routes: false } => Some(*code_points),
        Part::Usable { family, prefixes, .. } if prefixes.is_empty() => {
            Some((if *family == Family::Ipv4Unicast { 1 } else { 2 }, 1))
        }
        _ => None,
    }
}

fn answer(
    findings: &Findings,
    routes: Vec<(Option<NextHop>, IpNetwork)>,
    mut withdrawn: Vec<IpNetwork>,
    end_of_rib: Option<(u16, u8)>,
    mut disabled: Vec<Family>,
) -> Answer {
    let action = findings.strongest();
    let mut announced = Vec::new();
    if action == Action::ResetSession {
        withdrawn.clear();
    } else if findings.has(Action::TreatAsWithdraw) {
        withdrawn.extend(routes.into_iter().map(|(_, prefix)| prefix));
    } else {
        announced = routes.into_iter().filter_map(|(hop, prefix)| Some((hop?, prefix))).collect();
    }
    withdrawn.sort();
    disabled.sort();
    disabled.dedup();
    let subcodes = if action == Action::ResetSession { findings.subcodes(action) } else { Vec::new() };
    Answer { action, subcodes, announced, withdrawn, end_of_rib, disabled }
}

/// Withdrawn Routes, Path Attributes, NLRI.
fn split(body: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let number = |at: usize| Some(usize::from(*body.get(at)?) * 256 + usize::from(*body.get(at + 1)?));
    let withdrawn = number(0)?;
    let attributes = number(2 + withdrawn)?;
    let middle = 4 + withdrawn;
    Some((
        body.get(2..2 + withdrawn)?.to_vec(),
        body.get(middle..middle + attributes)?.to_vec(),
        body.get(middle + attributes..)?.to_vec(),
    ))
}

fn list(section: &[u8]) -> (Vec<Attribute>, bool) {
    let mut found = Vec::new();
    let mut at = 0;
    while at < section.len() {
        let rest = &section[at..];
        let extended = rest[0] & 0x10 != 0;
        let header = if extended { 4 } else { 3 };
        if rest.len() < header {
            return (found, true);
        }
        let length =
            if extended { usize::from(rest[2]) * 256 + usize::from(rest[3]) } else { usize::from(rest[2]) };
        if rest.len() < header + length {
            return (found, true);
        }
        found.push(Attribute {
            flags: rest[0],
            code: rest[1],
            value: rest[header..header + length].to_vec(),
        });
        at += header + length;
    }
    (found, false)
}

/// The flags a known attribute has, high bits only.
fn defined_flags(code: u8) -> Option<u8> {
    match code {
        1 | 2 | 3 | 5 | 6 => Some(0x40),
        4 | 9 | 10 | 14 | 15 => Some(0x80),
        7 | 8 | 16 | 17 | 18 | 25 | 32 => Some(0xc0),
        _ => None,
    }
}

fn judge_one(attribute: &Attribute, context: &UpdateContext, findings: &mut Findings) {
    let Attribute { flags, code, value } = attribute;
    let (external, wide) = (context.peer == PeerKind::External, context.asn_width == AsnWidth::Four);
    if (external && [5, 9, 10].contains(code)) || (wide && [17, 18].contains(code)) {
        return findings.add(Action::DiscardAttribute, 1);
    }
    match defined_flags(*code) {
        None if flags & 0x80 == 0 => return findings.add(Action::ResetSession, 2),
        None => return,
        Some(defined) if defined != flags & 0xc0 => return findings.add(Action::TreatAsWithdraw, 4),
        Some(_) => {}
    }
    let times = |unit: usize| !value.is_empty() && value.len() % unit == 0;
    let withdraw = Action::TreatAsWithdraw;
    let aggregator = |asn: usize| value.len() == asn + 4 && value[..asn].iter().any(|octet| *octet != 0);
    let (good, action, subcode) = match code {
        1 if value.len() == 1 => (value[0] <= 2, withdraw, 6),
        1 => (false, withdraw, 5),
        2 => (path_is_good(value, context), withdraw, 11),
        4 | 5 | 9 => (value.len() == 4, withdraw, 5),
        6 => (value.is_empty(), Action::DiscardAttribute, 5),
        7 if !wide => (aggregator(2), Action::DiscardAttribute, 5),
        7 | 18 => (aggregator(4), Action::DiscardAttribute, 5),
        8 | 10 => (times(4), withdraw, 5),
        16 => (times(8), withdraw, 5),
        17 => {
            let good = !value.is_empty() && segments(value, 4).is_some_and(|path| no_zero(&path));
            (good, Action::DiscardAttribute, 9)
        }
        25 => (times(20), withdraw, 5),
        32 => (times(12), withdraw, 5),
        _ => (true, Action::Accept, 0),
    };
    if !good {
        findings.add(action, subcode);
    }
}

fn segments(value: &[u8], width: usize) -> Option<Vec<(u8, Vec<u32>)>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < value.len() {
        let kind = value[at];
        let count = usize::from(*value.get(at + 1)?);
        if count == 0 || !(1..=4).contains(&kind) {
            return None;
        }
        let octets = value.get(at + 2..at + 2 + count * width)?;
        let number = |octets: &[u8]| octets.iter().fold(0_u32, |sum, octet| sum * 256 + u32::from(*octet));
        found.push((kind, octets.chunks(width).map(number).collect()));
        at += 2 + count * width;
    }
    Some(found)
}

fn no_zero(path: &[(u8, Vec<u32>)]) -> bool {
    path.iter().all(|(_, numbers)| !numbers.contains(&0))
}

fn path_is_good(value: &[u8], context: &UpdateContext) -> bool {
    let wide = context.asn_width == AsnWidth::Four;
    let Some(path) = segments(value, if wide { 4 } else { 2 }) else { return false };
    let external = context.peer == PeerKind::External;
    if !no_zero(&path) || (external && path.iter().any(|(kind, _)| *kind >= 3)) {
        return false;
    }
    if context.refuse_as_sets && path.iter().any(|(kind, _)| [1, 4].contains(kind)) {
        return false;
    }
    let remote = context.remote_asn.value();
    let shown = if wide || remote <= 65535 { remote } else { 23456 };
    let first = path.first().filter(|(kind, _)| *kind == 2).map(|(_, numbers)| numbers[0]);
    !external || !context.enforce_first_as || first == Some(shown)
}

fn judge_next_hop(attribute: &Attribute, context: &UpdateContext, findings: &mut Findings) {
    let own = own(context);
    if attribute.flags & 0xc0 != 0x40 {
        findings.add(Action::TreatAsWithdraw, 4);
    } else if attribute.value.len() != 4 {
        findings.add(Action::TreatAsWithdraw, 5);
    } else if leads_nowhere_v4(&attribute.value) || attribute.value == own {
        findings.add(Action::TreatAsWithdraw, 8);
    }
}

/// Our own address, four or sixteen octets, or none.
fn own(context: &UpdateContext) -> Vec<u8> {
    match context.own_address {
        None => Vec::new(),
        Some(IpAddr::V4(own)) => own.octets().to_vec(),
        Some(IpAddr::V6(own)) => short(&own.octets()).to_vec(),
    }
}

/// The four octets in an IPv4-mapped address, else all of it.
fn short(octets: &[u8]) -> &[u8] {
    let mapped = octets.len() == 16 && octets[..10] == [0; 10] && octets[10..12] == [255, 255];
    if mapped { &octets[12..] } else { octets }
}

fn leads_nowhere_v4(octets: &[u8]) -> bool {
    octets[0] == 0 || octets[0] == 127 || octets[0] >= 224
}

/// Whether a next hop of MP_REACH_NLRI leads to no other host.
fn leads_nowhere(hop: &[u8], own: &[u8]) -> bool {
    let (first, second) = if hop.len() == 32 { hop.split_at(16) } else { (hop, [].as_slice()) };
    let is_link_local = |octets: &[u8]| octets[0] == 0xfe && octets[1] & 0xc0 == 0x80;
    let has_second = second.iter().any(|octet| *octet != 0);
    if has_second && !is_link_local(second) {
        return true;
    }
    let leading = if has_second && first.iter().all(|octet| *octet == 0) { second } else { first };
    let leading = short(leading);
    if leading.len() == 4 {
        return leads_nowhere_v4(leading) || leading == own;
    }
    let zeroes = leading[..15].iter().all(|octet| *octet == 0);
    (zeroes && leading[15] < 2) || leading[0] == 0xff || leading == own
}

fn multiprotocol(
    attribute: &Attribute,
    context: &UpdateContext,
    findings: &mut Findings,
    disabled: &mut Vec<Family>,
) -> Part {
    if attribute.flags & 0xc0 != 0x80 {
        findings.add(Action::ResetSession, 9);
        return Part::Absent;
    }
    let value = &attribute.value;
    if value.len() < 3 {
        findings.add(Action::ResetSession, 9);
        return Part::Absent;
    }
    let code_points = (u16::from(value[0]) * 256 + u16::from(value[1]), value[2]);
    let family = match code_points {
        (1, 1) => Some(Family::Ipv4Unicast),
        (2, 1) => Some(Family::Ipv6Unicast),
        _ => None,
    };
    let family = family.filter(|family| context.families.contains(*family));
    let parsed = if attribute.code == 15 {
        Some((value[3..].to_vec(), Vec::new()))
    } else {
        let length = usize::from(value.get(3).copied().unwrap_or(0));
        let hop = value.get(4..4 + length);
        hop.zip(value.get(5 + length..)).map(|(hop, rest)| (rest.to_vec(), hop.to_vec()))
    };
    let mut unreadable = || {
        let Some(family) = family.filter(|_| context.unreadable == OnUnreadable::DisableFamily) else {
            findings.add(Action::ResetSession, 9);
            return Part::Absent;
        };
        disabled.push(family);
        findings.add(Action::DisableFamily, 9);
        if attribute.code == 14 { Part::Unreadable } else { Part::Absent }
    };
    let Some((routes, hop)) = parsed else { return unreadable() };
    let Some(family) = family else {
        if !routes.is_empty() {
            findings.add(Action::DiscardAttribute, 9);
        }
        return Part::Foreign { code_points, routes: !routes.is_empty() };
    };
    let next_hop = if attribute.code == 15 {
        None
    } else {
        match next_hop(&hop, family, context) {
            Some(next_hop) => Some(next_hop),
            None => return unreadable(),
        }
    };
    let Some(prefixes) = prefixes(&routes, family, context.add_path.contains(family)) else {
        return unreadable();
    };
    if attribute.code == 14 && !prefixes.is_empty() && leads_nowhere(&hop, &own(context)) {
        findings.add(Action::TreatAsWithdraw, 9);
    }
    Part::Usable { next_hop, family, prefixes }
}

fn next_hop(octets: &[u8], family: Family, context: &UpdateContext) -> Option<NextHop> {
    let v6 = |octets: &[u8]| Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?));
    let v6_allowed = family == Family::Ipv6Unicast || context.extended_next_hop;
    match octets.len() {
        4 if family == Family::Ipv4Unicast => {
            Some(NextHop::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)))
        }
        16 if v6_allowed => Some(NextHop::V6 { global: v6(octets)?, link_local: None }),
        32 if v6_allowed => {
            let second = &octets[16..];
            let link_local = if second == [0; 16] { None } else { Some(v6(second)?) };
            Some(NextHop::V6 { global: v6(&octets[..16])?, link_local })
        }
        _ => None,
    }
}

fn network(octets: &[u8], context: &UpdateContext, findings: &mut Findings) -> Vec<IpNetwork> {
    let family = Family::Ipv4Unicast;
    match prefixes(octets, family, context.add_path.contains(family)) {
        None => {
            findings.add(Action::ResetSession, 10);
            Vec::new()
        }
        Some(prefixes) if !prefixes.is_empty() && !context.families.contains(family) => {
            findings.add(Action::DiscardAttribute, 9);
            Vec::new()
        }
        Some(prefixes) => prefixes,
    }
}

fn prefixes(octets: &[u8], family: Family, path_ids: bool) -> Option<Vec<IpNetwork>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < octets.len() {
        at += if path_ids { 4 } else { 0 };
        let bits = *octets.get(at)?;
        let used = usize::from(bits).div_ceil(8);
        let mut address = [0_u8; 16];
        let value = octets.get(at + 1..at + 1 + used)?;
        address.get_mut(..used)?.copy_from_slice(value);
        let prefix: IpNetwork = if family == Family::Ipv4Unicast {
            let short: [u8; 4] = address[..4].try_into().ok()?;
            let network = Ipv4Network::new(short.into(), bits).ok()?;
            Ipv4Network::new(network.network(), bits).ok()?.into()
        } else {
            let network = Ipv6Network::new(address.into(), bits).ok()?;
            Ipv6Network::new(network.network(), bits).ok()?.into()
        };
        found.push(prefix);
        at += 1 + used;
    }
    Some(found)
}

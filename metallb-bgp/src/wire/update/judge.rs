//! The judgement of RFC 7606: one pass over the attributes, then what can only be said of the whole.

use super::attribute::{AttributeOverrun, RawAttribute};
use super::classified::Classified;
use super::fault::{Action, Fault};
use super::multiprotocol::{self, Multiprotocol, Unreadable};
use super::next_hop;
use super::nlri::Prefixes;
use super::path;
use crate::types::{AfiSafi, AsnWidth, Family, NextHop, PeerKind};
use crate::wire::iana;
use crate::wire::update::{OnUnreadable, UpdateContext, UpdateView};

/// Judges `view`; total, and without allocation.
pub(super) fn judge<'a>(view: &UpdateView<'a>, context: &UpdateContext) -> Classified<'a> {
    let mut judge = Judge::new(context);
    for attribute in view.attributes() {
        match attribute {
            Ok(attribute) => judge.attribute(attribute),
            Err(AttributeOverrun(octets)) => {
                judge.others = true;
                judge.found(Action::TreatAsWithdraw, Fault::AttributeOverrun, octets);
            }
        }
    }
    let withdrawn = judge.network(view.withdrawn);
    let announced = judge.network(view.nlri);
    judge.next_hop_attribute(announced.len() != 0);
    judge.mandatory(announced.len() != 0);
    judge.nothing_to_withdraw(!view.nlri.is_empty());
    let mut classified = judge.classified;
    classified.attributes = view.attributes;
    classified.end_of_rib = end_of_rib(view, judge.unreach.as_ref(), judge.others);
    classified.body = [withdrawn, announced];
    classified.reach = usable(judge.reach);
    classified.unreach = usable(judge.unreach).map(|(_, prefixes)| prefixes);
    classified
}

struct Judge<'a, 'c> {
    context: &'c UpdateContext,
    classified: Classified<'a>,
    seen: Seen,
    /// Any attribute but MP_UNREACH_NLRI is there.
    others: bool,
    reach: Option<Multiprotocol<'a>>,
    /// MP_REACH_NLRI is there but cannot be read, and its family is disabled for that.
    unreadable_reach: bool,
    unreach: Option<Multiprotocol<'a>>,
    /// NEXT_HOP, judged when it is known whether anything needs it.
    next_hop: Option<RawAttribute<'a>>,
}

impl<'a, 'c> Judge<'a, 'c> {
    fn new(context: &'c UpdateContext) -> Self {
        Self {
            context,
            classified: Classified::new(context.asn_width),
            seen: Seen::default(),
            others: false,
            reach: None,
            unreadable_reach: false,
            unreach: None,
            next_hop: None,
        }
    }

    /// Notes a fault; the strongest action counts, the first fault among equals (RFC 7606 §3 (h)).
    fn found(&mut self, action: Action, fault: Fault, octets: &'a [u8]) {
        self.classified.withdraw |= action == Action::TreatAsWithdraw;
        if action > self.classified.action {
            self.classified.action = action;
            self.classified.fault = Some(fault);
            self.classified.culprit = octets;
        }
    }

    fn attribute(&mut self, attribute: RawAttribute<'a>) {
        let code = attribute.code();
        self.others |= code != iana::ATTR_MP_UNREACH;
        if self.seen.insert(code) {
            let multiprotocol = matches!(code, iana::ATTR_MP_REACH | iana::ATTR_MP_UNREACH);
            return if multiprotocol {
                self.found(Action::ResetSession, Fault::DuplicateMultiprotocol(code), attribute.octets());
            } else {
                self.found(Action::DiscardAttribute, Fault::Duplicate(code), attribute.octets());
            };
        }
        match code {
            iana::ATTR_NEXT_HOP => self.next_hop = Some(attribute),
            iana::ATTR_MP_REACH | iana::ATTR_MP_UNREACH => self.multiprotocol(attribute),
            _ => match judge_attribute(&attribute, self.context) {
                Ok(()) => self.classified.accepted.keep(code, attribute.value()),
                Err((action, fault)) => self.found(action, fault, attribute.octets()),
            },
        }
    }

    fn multiprotocol(&mut self, attribute: RawAttribute<'a>) {
        if let Err(fault) = judge_flags(&attribute) {
            return self.found(Action::ResetSession, fault, attribute.octets());
        }
        let reach = attribute.code() == iana::ATTR_MP_REACH;
        let read = if reach { multiprotocol::read_reach } else { multiprotocol::read_unreach };
        match read(attribute.value(), self.context) {
            Ok(found) => {
                if let Some((action, fault)) = judge_found(&found, self.context) {
                    self.found(action, fault, attribute.octets());
                }
                *(if reach { &mut self.reach } else { &mut self.unreach }) = Some(found);
            }
            Err(Unreadable { fault, family: Some(family) })
                if self.context.unreadable == OnUnreadable::DisableFamily =>
            {
                self.unreadable_reach |= reach;
                self.classified.disabled = self.classified.disabled.with(family);
                self.found(Action::DisableFamily, fault, attribute.octets());
            }
            Err(Unreadable { fault, .. }) => self.found(Action::ResetSession, fault, attribute.octets()),
        }
    }

    /// Reads a field of IPv4 prefixes outside the attributes.
    fn network(&mut self, octets: &'a [u8]) -> Prefixes<'a> {
        const FAMILY: Family = Family::Ipv4Unicast;
        let Ok(prefixes) = Prefixes::new(FAMILY, self.context.add_path.contains(FAMILY), octets) else {
            self.found(Action::ResetSession, Fault::Network, &[]);
            return Prefixes::empty(FAMILY);
        };
        if !octets.is_empty() && !self.context.families.contains(FAMILY) {
            self.found(Action::DiscardAttribute, Fault::Family, &[]);
            return Prefixes::empty(FAMILY);
        }
        prefixes
    }

    /// Judges NEXT_HOP unless only MP_REACH_NLRI has routes; then it is to be ignored (RFC 4760 §3).
    fn next_hop_attribute(&mut self, body_routes: bool) {
        let Some(attribute) = self.next_hop else { return };
        if !body_routes && self.seen.contains(iana::ATTR_MP_REACH) {
            return;
        }
        match judge_flags(&attribute).and_then(|()| judge_next_hop(attribute.value(), self.context)) {
            Ok(()) => self.classified.accepted.keep(iana::ATTR_NEXT_HOP, attribute.value()),
            Err(fault) => self.found(Action::TreatAsWithdraw, fault, attribute.octets()),
        }
    }

    /// Finds mandatory attributes missing beside routes that can be used (RFC 7606 §3 (d)).
    fn mandatory(&mut self, body_routes: bool) {
        let usable =
            matches!(&self.reach, Some(Multiprotocol::Usable { prefixes, .. }) if prefixes.len() != 0);
        if body_routes || usable {
            let internal = self.context.peer == PeerKind::Internal;
            let mandatory = [
                (iana::ATTR_ORIGIN, true),
                (iana::ATTR_AS_PATH, true),
                (iana::ATTR_NEXT_HOP, body_routes),
                (iana::ATTR_LOCAL_PREF, internal),
            ];
            for (code, needed) in mandatory {
                if needed && !self.seen.contains(code) {
                    self.found(Action::TreatAsWithdraw, Fault::Missing(code), &[]);
                }
            }
        }
    }

    /// An error that would be handled by withdrawing resets when no routes are there to withdraw (RFC 7606 §5.2);
    /// routes of families that are ignored are routes, too.
    fn nothing_to_withdraw(&mut self, body_routes: bool) {
        let multiprotocol =
            self.unreadable_reach || self.reach.as_ref().is_some_and(Multiprotocol::has_routes);
        if !body_routes && !multiprotocol && self.others && self.classified.withdraw {
            self.classified.action = self.classified.action.max(Action::ResetSession);
        }
    }
}

/// The action and fault of an attribute that is neither NEXT_HOP nor multiprotocol.
fn judge_attribute(attribute: &RawAttribute<'_>, context: &UpdateContext) -> Result<(), (Action, Fault)> {
    use Action::{DiscardAttribute, ResetSession, TreatAsWithdraw};
    let (code, value) = (attribute.code(), attribute.value());
    if !belongs(code, context) {
        return Err((DiscardAttribute, Fault::NotForSession(code)));
    }
    if iana::attribute_flags(code).is_none() {
        let known_way = attribute.is_optional();
        return if known_way { Ok(()) } else { Err((ResetSession, Fault::UnrecognizedWellKnown(code))) };
    }
    judge_flags(attribute).map_err(|fault| (TreatAsWithdraw, fault))?;
    let length = Fault::Length(code);
    let exactly = |octets: usize| if value.len() == octets { Ok(()) } else { Err(length) };
    let multiple = |unit: usize| {
        let whole = !value.is_empty() && value.len().checked_rem(unit) == Some(0);
        if whole { Ok(()) } else { Err(length) }
    };
    match code {
        iana::ATTR_ORIGIN => judge_origin(value).map_err(|fault| (TreatAsWithdraw, fault)),
        iana::ATTR_AS_PATH => path::judge(value, context).map_err(|fault| (TreatAsWithdraw, fault)),
        iana::ATTR_MED | iana::ATTR_LOCAL_PREF | iana::ATTR_ORIGINATOR_ID => {
            exactly(4).map_err(|fault| (TreatAsWithdraw, fault))
        }
        iana::ATTR_CLUSTER_LIST | iana::ATTR_COMMUNITIES => {
            multiple(4).map_err(|fault| (TreatAsWithdraw, fault))
        }
        iana::ATTR_EXTENDED_COMMUNITIES => multiple(8).map_err(|fault| (TreatAsWithdraw, fault)),
        iana::ATTR_IPV6_EXTENDED_COMMUNITIES => multiple(20).map_err(|fault| (TreatAsWithdraw, fault)),
        iana::ATTR_LARGE_COMMUNITIES => multiple(12).map_err(|fault| (TreatAsWithdraw, fault)),
        iana::ATTR_ATOMIC_AGGREGATE => exactly(0).map_err(|fault| (DiscardAttribute, fault)),
        iana::ATTR_AGGREGATOR => {
            judge_aggregator(code, value, context.asn_width).map_err(|fault| (DiscardAttribute, fault))
        }
        iana::ATTR_AS4_AGGREGATOR => {
            judge_aggregator(code, value, AsnWidth::Four).map_err(|fault| (DiscardAttribute, fault))
        }
        iana::ATTR_AS4_PATH => path::judge_as4(value).map_err(|fault| (DiscardAttribute, fault)),
        _ => Ok(()),
    }
}

/// What is wrong with multiprotocol routes that can be read. A next hop that nothing needs does not matter.
fn judge_found(found: &Multiprotocol<'_>, context: &UpdateContext) -> Option<(Action, Fault)> {
    match found {
        Multiprotocol::Foreign { has_routes, .. } => {
            has_routes.then_some((Action::DiscardAttribute, Fault::Family))
        }
        Multiprotocol::Usable { next_hop: Some(next_hop), prefixes } if prefixes.len() != 0 => {
            let judged = next_hop::judge_multiprotocol(*next_hop, context.own_address);
            judged.err().map(|fault| (Action::TreatAsWithdraw, fault))
        }
        Multiprotocol::Usable { .. } => None,
    }
}

/// Whether an attribute may come over this session; if not it is ignored, whatever is in it.
fn belongs(code: u8, context: &UpdateContext) -> bool {
    match code {
        // RFC 7606 §7.5, §7.9, §7.10.
        iana::ATTR_LOCAL_PREF | iana::ATTR_ORIGINATOR_ID | iana::ATTR_CLUSTER_LIST => {
            context.peer == PeerKind::Internal
        }
        // RFC 6793 §4.1.
        iana::ATTR_AS4_PATH | iana::ATTR_AS4_AGGREGATOR => context.asn_width == AsnWidth::Two,
        _ => true,
    }
}

/// Compares the Optional and Transitive bits of a known attribute with its definition (RFC 7606 §3 (c)).
fn judge_flags(attribute: &RawAttribute<'_>) -> Result<(), Fault> {
    const MASK: u8 = iana::FLAG_OPTIONAL | iana::FLAG_TRANSITIVE;
    let expected = iana::attribute_flags(attribute.code());
    let right = expected.is_none_or(|flags| flags == attribute.flags() & MASK);
    if right { Ok(()) } else { Err(Fault::Flags(attribute.code())) }
}

fn judge_origin(value: &[u8]) -> Result<(), Fault> {
    match value {
        [iana::ORIGIN_IGP | iana::ORIGIN_EGP | iana::ORIGIN_INCOMPLETE] => Ok(()),
        [other] => Err(Fault::Origin(*other)),
        _ => Err(Fault::Length(iana::ATTR_ORIGIN)),
    }
}

/// NEXT_HOP must be the address of another host (RFC 4271 §6.3).
fn judge_next_hop(value: &[u8], context: &UpdateContext) -> Result<(), Fault> {
    match <[u8; 4]>::try_from(value) {
        Ok(octets) => next_hop::judge(octets.into(), context.own_address, Fault::NextHop),
        Err(_) => Err(Fault::Length(iana::ATTR_NEXT_HOP)),
    }
}

fn judge_aggregator(code: u8, value: &[u8], width: AsnWidth) -> Result<(), Fault> {
    match (width, value) {
        (AsnWidth::Two, [0, 0, _, _, _, _]) | (AsnWidth::Four, [0, 0, 0, 0, _, _, _, _]) => {
            Err(Fault::AsZero(code))
        }
        (AsnWidth::Two, [_, _, _, _, _, _]) | (AsnWidth::Four, [_, _, _, _, _, _, _, _]) => Ok(()),
        _ => Err(Fault::Length(code)),
    }
}

fn usable(found: Option<Multiprotocol<'_>>) -> Option<(Option<NextHop>, Prefixes<'_>)> {
    match found? {
        Multiprotocol::Usable { next_hop, prefixes } => Some((next_hop, prefixes)),
        Multiprotocol::Foreign { .. } => None,
    }
}

/// Recognises the End-of-RIB marker (RFC 4724 §2).
fn end_of_rib(view: &UpdateView<'_>, unreach: Option<&Multiprotocol<'_>>, others: bool) -> Option<AfiSafi> {
    if !view.withdrawn.is_empty() || !view.nlri.is_empty() || others {
        return None;
    }
    match unreach {
        None if view.attributes.is_empty() => Some(Family::Ipv4Unicast.afi_safi()),
        Some(unreach) if !unreach.has_routes() => Some(unreach.family()),
        _ => None,
    }
}

/// The attribute codes met so far.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    /// Adds a code and tells whether it was there before.
    fn insert(&mut self, code: u8) -> bool {
        let was = self.contains(code);
        if let Some(word) = self.0.get_mut(usize::from(code >> 6)) {
            *word |= 1 << (code & 63);
        }
        was
    }

    fn contains(&self, code: u8) -> bool {
        self.0.get(usize::from(code >> 6)).is_some_and(|word| word & (1 << (code & 63)) != 0)
    }
}

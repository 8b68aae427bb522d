use ipnetwork::IpNetwork;
use proptest::prelude::*;

use super::*;
use crate::types::*;
use crate::wire::iana;
use crate::wire::notification::Notification;
use crate::wire::testing::{classify, external, hex, internal, message, update, view};

const ORIGIN: &str = "40 01 01 00";
const PATH: &str = "40 02 06 02 01 0000fc01";
const NEXT_HOP: &str = "40 03 04 c0000201";
const LOCAL_PREF: &str = "40 05 04 00000064";
const PREFIX: &str = "18 c63364";
/// MP_REACH_NLRI with 2001:db8:1::/48 through 2001:db8::1.
const REACH: &str = "80 0e 1c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80001";

/// An UPDATE that announces 198.51.100.0/24 with these attributes.
fn announce(attributes: &[&str]) -> Vec<u8> {
    update(&[], &hex(&attributes.concat()), &hex(PREFIX))
}

/// What is complete and right on an external session, with `more` behind it.
fn complete_and(more: &str) -> Vec<u8> {
    announce(&[ORIGIN, PATH, NEXT_HOP, more])
}

/// The same on an internal session.
fn inside_and(more: &str) -> Vec<u8> {
    announce(&[ORIGIN, PATH, NEXT_HOP, LOCAL_PREF, more])
}

fn prefix(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

/// Asserts that the announced prefix is used although `fault` was found.
fn assert_discarded(octets: &[u8], context: &UpdateContext, fault: Fault) {
    let classified = classify(octets, context);
    assert_eq!((classified.action(), classified.fault()), (Action::DiscardAttribute, Some(fault)));
    assert_eq!(classified.reach().map(|reach| reach.prefixes.len()).sum::<usize>(), 1);
    assert_eq!((classified.withdrawn().count(), classified.error()), (0, None));
}

/// Asserts that the announced prefix is treated as withdrawn because of `fault`.
fn assert_withdrawn(octets: &[u8], context: &UpdateContext, fault: Fault) {
    let classified = classify(octets, context);
    assert_eq!((classified.action(), classified.fault()), (Action::TreatAsWithdraw, Some(fault)));
    assert_eq!(classified.reach().count(), 0);
    assert_eq!(classified.withdrawn().collect::<Vec<_>>(), [prefix("198.51.100.0/24")]);
    assert_eq!(classified.error(), None);
}

/// Asserts that the session is reset with this NOTIFICATION.
fn assert_reset(octets: &[u8], context: &UpdateContext, subcode: u8, data: &str) {
    let classified = classify(octets, context);
    assert_eq!(classified.action(), Action::ResetSession, "{:?}", classified.fault());
    let expected = Notification::with_data(iana::ERR_UPDATE, subcode, hex(data));
    assert_eq!(classified.error().map(|error| error.notification()), Some(expected));
    assert_eq!((classified.reach().count(), classified.withdrawn().count()), (0, 0));
}

fn assert_accepted(octets: &[u8], context: &UpdateContext) {
    let classified = classify(octets, context);
    assert_eq!((classified.action(), classified.fault()), (Action::Accept, None));
}

// req: !U1
#[test]
fn lengths_that_do_not_fit_the_message_are_fatal() {
    let bodies = ["0001 0000", "0000 0001", "0003 00 0000 00", "ffff 0000", "0000 ffff 40"];
    for body in bodies {
        let octets = message(crate::wire::header::MessageType::Update, &hex(body));
        let frame = Frame::parse(&octets, crate::wire::header::MessageLimit::Standard).unwrap();
        let error = UpdateView::parse(frame).unwrap_err();
        assert_eq!(error.fault(), Fault::Lengths);
        assert_eq!(error.notification(), Notification::new(3, 1), "{body}");
    }
}

// req: U1
#[test]
fn lengths_that_fill_the_message_exactly_are_right() {
    assert_accepted(&update(&hex("18 c63364"), &[], &[]), &external());
    assert_accepted(&complete_and(""), &external());
}

// req: R5
#[test]
fn a_complete_update_is_accepted_on_both_kinds_of_session() {
    assert_accepted(&complete_and(""), &external());
    assert_accepted(&inside_and(""), &internal());
    let octets = announce(&[ORIGIN, PATH, NEXT_HOP]);
    let classified = classify(&octets, &external());
    let reach: Vec<_> = classified.reach().collect();
    assert_eq!(reach.len(), 1);
    assert_eq!(reach[0].next_hop, NextHop::V4([192, 0, 2, 1].into()));
    assert_eq!(reach[0].prefixes.clone().collect::<Vec<_>>(), [prefix("198.51.100.0/24")]);
}

// req: !R5
#[test]
fn an_attribute_that_overruns_its_section_withdraws_what_the_total_length_locates() {
    for rest in ["80 04 05 00000032", "80", "80 04", "90 04 00", "80 04 04 000000"] {
        assert_withdrawn(&complete_and(rest), &external(), Fault::AttributeOverrun);
    }
}

// req: !R5
#[test]
fn an_attribute_of_no_octets_is_malformed_unless_it_may_be_empty() {
    let withdrawing = [("40 01 00", 1), ("40 03 00", 3), ("80 04 00", 4), ("c0 08 00", 8)];
    for (empty, code) in withdrawing {
        let mut attributes = vec![ORIGIN, PATH, NEXT_HOP];
        match code {
            1 => attributes[0] = empty,
            3 => attributes[2] = empty,
            _ => attributes.push(empty),
        }
        assert_withdrawn(&announce(&attributes), &external(), Fault::Length(code));
    }
    for (empty, code) in [("c0 10 00", 16), ("c0 19 00", 25), ("c0 20 00", 32)] {
        assert_withdrawn(&complete_and(empty), &external(), Fault::Length(code));
    }
    assert_discarded(&complete_and("c0 07 00"), &external(), Fault::Length(7));
    assert_accepted(&complete_and("40 06 00"), &external());
    assert_accepted(&announce(&[ORIGIN, "40 02 00", NEXT_HOP, LOCAL_PREF]), &internal());
}

// req: !R5
#[test]
fn wrong_optional_or_transitive_bits_withdraw() {
    let wrong = [("80 01 01 00", 1), ("c0 01 01 00", 1), ("00 01 01 00", 1)];
    for (origin, code) in wrong {
        assert_withdrawn(&announce(&[origin, PATH, NEXT_HOP]), &external(), Fault::Flags(code));
    }
    for (more, code) in [("c0 04 04 00000001", 4), ("80 08 04 00000001", 8), ("c0 06 00", 6), ("40 07 00", 7)]
    {
        assert_withdrawn(&complete_and(more), &external(), Fault::Flags(code));
    }
}

// req: R5
#[test]
fn the_partial_and_the_unused_bits_do_not_matter() {
    let octets = announce(&["6f 01 01 00", PATH, NEXT_HOP, "e8 08 04 00000001"]);
    assert_accepted(&octets, &external());
}

// req: !R5
#[test]
fn wrong_flags_on_a_multiprotocol_attribute_reset() {
    let reach = REACH.replacen("80", "c0", 1);
    assert_reset(&update(&[], &hex(&[&reach, ORIGIN, PATH].concat()), &[]), &external(), 9, &reach);
    assert_reset(&update(&[], &hex("40 0f 03 000201"), &[]), &external(), 9, "40 0f 03 000201");
}

// req: !R5
#[test]
fn a_missing_mandatory_attribute_withdraws() {
    let cases = [([PATH, NEXT_HOP], 1), ([ORIGIN, NEXT_HOP], 2), ([ORIGIN, PATH], 3)];
    for (attributes, code) in cases {
        assert_withdrawn(&announce(&attributes), &external(), Fault::Missing(code));
    }
    assert_withdrawn(&announce(&[ORIGIN, PATH, NEXT_HOP]), &internal(), Fault::Missing(5));
    assert_withdrawn(&announce(&[]), &external(), Fault::Missing(1));
}

// req: R5
#[test]
fn withdrawals_need_no_attributes() {
    let octets = update(&hex(PREFIX), &[], &[]);
    let classified = classify(&octets, &internal());
    assert_eq!(classified.action(), Action::Accept);
    assert_eq!(classified.withdrawn().collect::<Vec<_>>(), [prefix("198.51.100.0/24")]);
}

// req: !R5
#[test]
fn an_unknown_well_known_attribute_resets() {
    assert_reset(&complete_and("40 63 02 0102"), &external(), 2, "40 63 02 0102");
    assert_reset(&update(&[], &hex("00 0b 00"), &[]), &external(), 2, "00 0b 00");
}

// req: !R5
#[test]
fn unknown_optional_attributes_are_kept_only_when_transitive() {
    let octets = complete_and("c0 63 02 0102 80 64 01 07 c0 80 00");
    let classified = classify(&octets, &external());
    assert_eq!(classified.action(), Action::Accept);
    let other = classified.attributes(NextHop::V4([192, 0, 2, 1].into())).other;
    let kept = |code, value: &[u8]| OtherAttribute { code, value: value.to_vec() };
    assert_eq!(other, [kept(99, &[1, 2]), kept(128, &[])]);
}

// req: !R5
#[test]
fn a_second_multiprotocol_attribute_resets() {
    let octets = update(&[], &hex(&[REACH, REACH, ORIGIN, PATH].concat()), &[]);
    assert_reset(&octets, &external(), 1, "");
    let octets = update(&[], &hex("80 0f 03 000201 80 0f 03 000201"), &[]);
    assert_reset(&octets, &external(), 1, "");
}

// req: !R5
#[test]
fn of_other_duplicates_the_first_is_used() {
    let octets = complete_and("80 04 04 00000001 80 04 04 00000002 80 04 01 00");
    assert_discarded(&octets, &external(), Fault::Duplicate(4));
    let attributes = classify(&octets, &external()).attributes(NextHop::V4([192, 0, 2, 1].into()));
    assert_eq!(attributes.med, Some(1));
    let unknown = complete_and("c0 63 01 01 c0 63 01 02");
    assert_discarded(&unknown, &external(), Fault::Duplicate(99));
    let other = classify(&unknown, &external()).attributes(NextHop::V4([192, 0, 2, 1].into())).other;
    assert_eq!(other, [OtherAttribute { code: 99, value: vec![1] }]);
}

// req: !R5
#[test]
fn origin_must_be_one_octet_up_to_two() {
    for (text, origin) in
        [("40 01 01 00", Origin::Igp), ("40 01 01 01", Origin::Egp), ("40 01 01 02", Origin::Incomplete)]
    {
        let octets = announce(&[text, PATH, NEXT_HOP]);
        let classified = classify(&octets, &external());
        assert_eq!(classified.action(), Action::Accept);
        assert_eq!(classified.attributes(NextHop::V4([192, 0, 2, 1].into())).origin, origin);
    }
    assert_withdrawn(&announce(&["40 01 01 03", PATH, NEXT_HOP]), &external(), Fault::Origin(3));
    assert_withdrawn(&announce(&["40 01 02 0000", PATH, NEXT_HOP]), &external(), Fault::Length(1));
}

// req: !R5
#[test]
fn a_path_must_be_a_list_of_whole_segments() {
    let bad = [
        "40 02 06 05 01 0000fc01",       // unknown segment
        "40 02 06 00 01 0000fc01",       // unknown segment
        "40 02 06 02 02 0000fc01",       // overrun
        "40 02 05 02 01 0000fc",         // overrun by one octet
        "40 02 07 02 01 0000fc01 02",    // one octet left
        "40 02 08 02 01 0000fc01 02 00", // segment of length zero
        "40 02 02 02 00",
    ];
    for path in bad {
        assert_withdrawn(&announce(&[ORIGIN, path, NEXT_HOP]), &external(), Fault::PathSegments(2));
    }
}

// req: !R5
#[test]
fn as_zero_in_a_path_withdraws() {
    let path = "40 02 0a 02 02 0000fc01 00000000";
    assert_withdrawn(&announce(&[ORIGIN, path, NEXT_HOP]), &external(), Fault::AsZero(2));
    let set = "40 02 0c 02 01 0000fc01 01 01 00000000";
    assert_withdrawn(&announce(&[ORIGIN, set, NEXT_HOP]), &external(), Fault::AsZero(2));
}

// req: !R5
#[test]
fn a_path_must_begin_with_the_external_peer_unless_that_is_switched_off() {
    let paths = ["40 02 06 02 01 0000fc02", "40 02 00", "40 02 06 01 01 0000fc01"];
    for path in paths {
        let octets = announce(&[ORIGIN, path, NEXT_HOP, ""]);
        assert_withdrawn(&octets, &external(), Fault::FirstAs);
        let lenient = UpdateContext { enforce_first_as: false, ..external() };
        assert_accepted(&octets, &lenient);
        assert_accepted(&announce(&[ORIGIN, path, NEXT_HOP, LOCAL_PREF]), &internal());
    }
}

// req: C3, R5
#[test]
fn an_old_peer_with_a_long_number_begins_its_paths_with_as_trans() {
    let remote = Asn::new(4_200_000_001);
    let context = UpdateContext::new(PeerKind::External, remote, AsnWidth::Two, Families::BOTH);
    assert_accepted(&announce(&[ORIGIN, "40 02 04 02 01 5ba0", NEXT_HOP]), &context);
    let octets = announce(&[ORIGIN, "40 02 04 02 01 fc01", NEXT_HOP]);
    assert_withdrawn(&octets, &context, Fault::FirstAs);
}

// req: R5
#[test]
fn confederation_segments_are_for_internal_sessions() {
    for kind in ["03", "04"] {
        let path = format!("40 02 0c 02 01 0000fc01 {kind} 01 0000fc02");
        let octets = announce(&[ORIGIN, &path, NEXT_HOP]);
        assert_withdrawn(&octets, &external(), Fault::Confederation);
        assert_accepted(&announce(&[ORIGIN, &path, NEXT_HOP, LOCAL_PREF]), &internal());
    }
}

// req: A12
#[test]
fn received_sets_are_refused_on_demand() {
    let strict = UpdateContext { refuse_as_sets: true, ..external() };
    let path = "40 02 0c 02 01 0000fc01 01 01 0000fc02";
    let octets = announce(&[ORIGIN, path, NEXT_HOP]);
    assert_withdrawn(&octets, &strict, Fault::AsSet);
    assert_accepted(&octets, &external());
    assert_accepted(&complete_and(""), &strict);
}

// req: !R5
#[test]
fn next_hop_and_med_have_four_octets() {
    for next_hop in ["40 03 03 c00002", "40 03 05 c000020100", "40 03 10 20010db8000000000000000000000001"] {
        assert_withdrawn(&announce(&[ORIGIN, PATH, next_hop]), &external(), Fault::Length(3));
    }
    for med in ["80 04 03 000001", "80 04 05 0000000001"] {
        assert_withdrawn(&complete_and(med), &external(), Fault::Length(4));
    }
}

// req: !R5
#[test]
fn a_next_hop_that_is_no_host_withdraws() {
    let none = ["00000000", "00000001", "7f000001", "e0000001", "f0000001", "ffffffff"];
    for next_hop in none.map(|address| format!("40 03 04 {address}")) {
        assert_withdrawn(&announce(&[ORIGIN, PATH, &next_hop]), &external(), Fault::NextHop);
    }
    for next_hop in ["40 03 04 01000000", "40 03 04 dfffffff"] {
        assert_accepted(&announce(&[ORIGIN, PATH, next_hop]), &external());
    }
}

/// An UPDATE with 198.51.100.0/24 or 2001:db8:1::/48 in MP_REACH_NLRI, through these octets.
fn reach_through(family: Family, next_hop: &str) -> Vec<u8> {
    let (afi, routes) = match family {
        Family::Ipv4Unicast => ("0001", "18 c63364"),
        Family::Ipv6Unicast => ("0002", "30 20010db80001"),
    };
    let (next_hop, routes) = (hex(next_hop), hex(routes));
    let mut value = hex(&format!("{afi} 01"));
    value.push(u8::try_from(next_hop.len()).unwrap());
    value.extend([next_hop.as_slice(), &[0], &routes].concat());
    let reach = [&[0x80, 14, u8::try_from(value.len()).unwrap()], value.as_slice()].concat();
    update(&[], &[reach, hex(&[ORIGIN, PATH].concat())].concat(), &[])
}

/// What becomes of routes in MP_REACH_NLRI.
fn judged(family: Family, next_hop: &str, own: Option<&str>) -> (Action, Option<Fault>, usize, usize) {
    let own_address = own.map(|own| own.parse().unwrap());
    let context = UpdateContext { extended_next_hop: true, own_address, ..external() };
    let octets = reach_through(family, next_hop);
    let classified = classify(&octets, &context);
    assert_eq!(classified.error(), None, "{next_hop}");
    let (reach, withdrawn) = (classified.reach().count(), classified.withdrawn().count());
    (classified.action(), classified.fault(), reach, withdrawn)
}

const fn withdrawn(fault: Fault) -> (Action, Option<Fault>, usize, usize) {
    (Action::TreatAsWithdraw, Some(fault), 0, 1)
}

const ACCEPTED: (Action, Option<Fault>, usize, usize) = (Action::Accept, None, 1, 0);

const LINK_LOCAL: &str = "fe800000000000000000000000000001";
const GLOBAL: &str = "20010db8000000000000000000000001";
const NOWHERE: &str = "00000000000000000000000000000000";
const LOOPBACK: &str = "00000000000000000000000000000001";
const MULTICAST: &str = "ff020000000000000000000000000001";
const MAPPED_LOOPBACK: &str = "00000000000000000000ffff7f000001";

// req: !R5, !C2
#[test]
fn a_multiprotocol_next_hop_that_is_no_host_withdraws() {
    let ipv4 = ["00000000", "7f000001", "e0000001", "ffffffff"];
    for next_hop in ipv4 {
        let fault = withdrawn(Fault::MultiprotocolNextHop);
        assert_eq!(judged(Family::Ipv4Unicast, next_hop, None), fault, "{next_hop}");
    }
    for family in Family::ALL {
        for first in [NOWHERE, LOOPBACK, MULTICAST, MAPPED_LOOPBACK] {
            let fault = withdrawn(Fault::MultiprotocolNextHop);
            assert_eq!(judged(family, first, None), fault, "{first}");
            // What leads nowhere is good where there is a link-local one beside it, as of BIRD without a global one.
            let both = judged(family, &format!("{first}{LINK_LOCAL}"), None);
            assert_eq!(both, if first == NOWHERE { ACCEPTED } else { fault }, "{first}");
        }
        assert_eq!(judged(family, &NOWHERE.repeat(2), None), withdrawn(Fault::MultiprotocolNextHop));
    }
}

// req: !R5, !C2
#[test]
fn the_second_multiprotocol_next_hop_is_link_local_or_none() {
    for family in Family::ALL {
        for second in [GLOBAL, LOOPBACK, MULTICAST] {
            let both = judged(family, &format!("{GLOBAL}{second}"), None);
            assert_eq!(both, withdrawn(Fault::SecondNextHop), "{second}");
        }
        // FRR without a global address says its link-local one twice.
        for next_hop in [LINK_LOCAL, &LINK_LOCAL.repeat(2), GLOBAL, &format!("{GLOBAL}{LINK_LOCAL}")] {
            assert_eq!(judged(family, next_hop, None), ACCEPTED, "{next_hop}");
        }
        assert_eq!(judged(family, &format!("{GLOBAL}{NOWHERE}"), None), ACCEPTED);
    }
}

// req: !A1
#[test]
fn our_own_address_is_no_next_hop() {
    let own = UpdateContext { own_address: Some([192, 0, 2, 1].into()), ..external() };
    assert_withdrawn(&complete_and(""), &own, Fault::OwnNextHop);
    let other = UpdateContext { own_address: Some([192, 0, 2, 2].into()), ..external() };
    assert_accepted(&complete_and(""), &other);
    let ours = Some("2001:db8::1");
    for family in Family::ALL {
        for next_hop in [GLOBAL, &format!("{GLOBAL}{LINK_LOCAL}")] {
            assert_eq!(judged(family, next_hop, ours), withdrawn(Fault::OwnNextHop), "{next_hop}");
        }
        assert_eq!(judged(family, LINK_LOCAL, ours), ACCEPTED);
    }
    let mapped = Some("::ffff:192.0.2.1");
    assert_eq!(judged(Family::Ipv4Unicast, "c0000201", mapped), withdrawn(Fault::OwnNextHop));
}

// req: R5
#[test]
fn a_multiprotocol_next_hop_of_no_routes_does_not_matter() {
    let octets = update(&[], &hex(&["80 0e 15 0002 01 10", NOWHERE, "00"].concat()), &[]);
    assert_accepted(&octets, &external());
}

// req: R5
#[test]
fn a_next_hop_attribute_is_ignored_when_only_mp_reach_has_routes() {
    for next_hop in ["40 03 04 00000000", "40 03 03 000000", "c0 03 04 c0000201"] {
        let octets = update(&[], &hex(&[REACH, ORIGIN, PATH, next_hop].concat()), &[]);
        assert_accepted(&octets, &external());
        let before = update(&[], &hex(&[ORIGIN, PATH, next_hop, REACH].concat()), &[]);
        assert_accepted(&before, &external());
    }
}

// req: !R5
#[test]
fn local_preference_is_discarded_outside_and_needs_four_octets_inside() {
    for local_pref in [LOCAL_PREF, "40 05 00", "c0 05 04 00000064"] {
        assert_discarded(&complete_and(local_pref), &external(), Fault::NotForSession(5));
    }
    let octets = announce(&[ORIGIN, PATH, NEXT_HOP, "40 05 03 000064"]);
    assert_withdrawn(&octets, &internal(), Fault::Length(5));
    let attributes = classify(&inside_and(""), &internal()).attributes(NextHop::V4([192, 0, 2, 1].into()));
    assert_eq!(attributes.local_pref, Some(100));
    let attributes =
        classify(&complete_and(LOCAL_PREF), &external()).attributes(NextHop::V4([192, 0, 2, 1].into()));
    assert_eq!(attributes.local_pref, None);
}

// req: !R5
#[test]
fn malformed_aggregation_attributes_are_discarded() {
    assert_discarded(&complete_and("40 06 01 00"), &external(), Fault::Length(6));
    assert_discarded(&complete_and("c0 07 06 fc01 01020304"), &external(), Fault::Length(7));
    assert_discarded(&complete_and("c0 07 08 00000000 01020304"), &external(), Fault::AsZero(7));
    let old = UpdateContext { asn_width: AsnWidth::Two, ..external() };
    let path = "40 02 04 02 01 fc01";
    assert_discarded(
        &announce(&[ORIGIN, path, NEXT_HOP, "c0 07 08 0000fc01 01020304"]),
        &old,
        Fault::Length(7),
    );
    assert_accepted(&announce(&[ORIGIN, path, NEXT_HOP, "c0 07 06 fc01 01020304"]), &old);
    assert_accepted(&complete_and("40 06 00 c0 07 08 0000fc01 01020304"), &external());
}

// req: !C8, !R5
#[test]
fn lists_of_communities_have_whole_entries() {
    let bad = [
        ("c0 08 03 000000", 8),
        ("c0 08 05 0000000000", 8),
        ("c0 10 07 00000000000000", 16),
        ("c0 10 0c 000000000000000000000000", 16),
        ("c0 19 08 0000000000000000", 25),
        ("c0 20 08 0000000000000000", 32),
    ];
    for (list, code) in bad {
        assert_withdrawn(&complete_and(list), &external(), Fault::Length(code));
    }
    let octets = complete_and("c0 08 08 fffe0001 00010002 c0 20 0c 000000010000000200000003");
    let attributes = classify(&octets, &external()).attributes(NextHop::V4([192, 0, 2, 1].into()));
    assert_eq!(attributes.communities, [Community::new(1, 2), Community::new(65534, 1)]);
    assert_eq!(attributes.large_communities, [LargeCommunity::new(1, 2, 3)]);
}

// req: !R5
#[test]
fn route_reflection_attributes_are_for_internal_sessions() {
    for (attribute, code) in [("80 09 04 01010101", 9), ("80 0a 04 02020202", 10), ("80 09 01 01", 9)] {
        assert_discarded(&complete_and(attribute), &external(), Fault::NotForSession(code));
    }
    assert_withdrawn(&inside_and("80 09 03 010101"), &internal(), Fault::Length(9));
    for list in ["80 0a 00", "80 0a 05 0202020202"] {
        assert_withdrawn(&inside_and(list), &internal(), Fault::Length(10));
    }
    let octets = inside_and("80 09 04 01010101 80 0a 08 02020202 01010101");
    let attributes = classify(&octets, &internal()).attributes(NextHop::V4([192, 0, 2, 1].into()));
    assert_eq!(attributes.originator_id, Some([1, 1, 1, 1].into()));
    assert_eq!(attributes.cluster_list, [[2, 2, 2, 2].into(), std::net::Ipv4Addr::from([1, 1, 1, 1])]);
}

// req: !C3, !R5
#[test]
fn as4_attributes_from_a_new_peer_are_discarded() {
    for (attribute, code) in
        [("c0 11 06 02 01 0000fc02", 17), ("c0 12 08 0000fc01 01020304", 18), ("80 11 00", 17)]
    {
        assert_discarded(&complete_and(attribute), &external(), Fault::NotForSession(code));
    }
}

// req: !C3, !R5
#[test]
fn malformed_as4_attributes_of_an_old_peer_are_discarded() {
    let old = UpdateContext { asn_width: AsnWidth::Two, ..external() };
    let with = |more| announce(&[ORIGIN, "40 02 04 02 01 fc01", NEXT_HOP, more]);
    assert_discarded(&with("c0 11 00"), &old, Fault::Length(17));
    assert_discarded(&with("c0 11 05 02 01 0000fc"), &old, Fault::PathSegments(17));
    assert_discarded(&with("c0 11 06 02 01 00000000"), &old, Fault::AsZero(17));
    assert_discarded(&with("c0 12 06 fc01 01020304"), &old, Fault::Length(18));
    assert_discarded(&with("c0 12 08 00000000 01020304"), &old, Fault::AsZero(18));
}

// req: C3
#[test]
fn the_real_path_of_an_old_peer_is_rebuilt() {
    let old = UpdateContext { asn_width: AsnWidth::Two, ..external() };
    let path_of = |path: &str, more: &str| {
        let octets = announce(&[ORIGIN, path, NEXT_HOP, more]);
        let classified = classify(&octets, &old);
        assert_eq!(classified.action(), Action::Accept, "{:?}", classified.fault());
        let attributes = classified.attributes(NextHop::V4([192, 0, 2, 1].into()));
        (attributes.as_path.to_string(), attributes.aggregator.map(|aggregator| aggregator.asn.value()))
    };
    let path = "40 02 08 02 03 fc01 5ba0 5ba0";
    let as4 = "c0 11 0a 02 02 fa56ea01 fa56ea02";
    assert_eq!(path_of(path, as4).0, "64513 4200000001 4200000002");
    // A longer AS4_PATH is ignored.
    assert_eq!(path_of("40 02 04 02 01 fc01", as4).0, "64513");
    // An aggregator other than AS_TRANS with an AS4_AGGREGATOR beside it makes both AS4 attributes worthless.
    let aggregators = "c0 07 06 fc09 01020304";
    let as4_aggregator = "c0 12 08 fa56ea01 01020304";
    let both = [aggregators, as4, as4_aggregator].concat();
    assert_eq!(path_of(path, &both), ("64513 23456 23456".into(), Some(64521)));
    let trans = ["c0 07 06 5ba0 01020304", as4, as4_aggregator].concat();
    assert_eq!(path_of(path, &trans), ("64513 4200000001 4200000002".into(), Some(4_200_000_001)));
    // Confederation segments in AS4_PATH do not count (RFC 6793 §6).
    let confederation = "c0 11 10 03 01 0000fc09 02 02 fa56ea01 fa56ea02";
    assert_eq!(path_of(path, confederation).0, "64513 4200000001 4200000002");
}

// req: !C2, !R5
#[test]
fn mp_reach_must_be_readable() {
    let bad = [
        ("80 0e 02 0002", 9),
        ("80 0e 04 0002 01 00", 9),
        ("80 0e 14 0002 01 10 20010db8000000000000000000000001", 9), // reserved octet missing
        ("80 0e 0d 0002 01 08 0102030405060708 00", 9),              // next hop of 8
        ("80 0e 09 0002 01 04 c0000201 00", 9),                      // IPv4 next hop for IPv6
        ("80 0e 17 0002 01 10 20010db8000000000000000000000001 00 81 00", 9), // /129
        ("80 0e 18 0002 01 10 20010db8000000000000000000000001 00 30 2001", 9), // prefix overruns
    ];
    for (reach, subcode) in bad {
        let octets = update(&[], &hex(&[reach, ORIGIN, PATH].concat()), &[]);
        assert_reset(&octets, &external(), subcode, reach);
    }
    let octets = update(&[], &hex(&[REACH, ORIGIN, PATH].concat()), &[]);
    let classified = classify(&octets, &external());
    assert_eq!(classified.action(), Action::Accept);
    let reach: Vec<_> = classified.reach().collect();
    assert_eq!(reach[0].next_hop.to_string(), "2001:db8::1");
    assert_eq!(reach[0].prefixes.clone().collect::<Vec<_>>(), [prefix("2001:db8:1::/48")]);
}

// req: C2
#[test]
fn a_next_hop_of_32_octets_has_a_link_local_part() {
    let reach = "80 0e 2c 0002 01 20 00000000000000000000000000000000 fe800000000000000000000000000001 00
        30 20010db80001";
    let octets = update(&[], &hex(&[reach, ORIGIN, PATH].concat()), &[]);
    let classified = classify(&octets, &external());
    let next_hop = classified.reach().next().unwrap().next_hop;
    assert_eq!(next_hop.address().to_string(), "fe80::1");
}

// req: !C6
#[test]
fn ipv4_routes_have_an_ipv6_next_hop_only_when_that_was_agreed() {
    let reach = "80 0e 19 0001 01 10 20010db8000000000000000000000001 00 18 c63364";
    let octets = update(&[], &hex(&[reach, ORIGIN, PATH].concat()), &[]);
    assert_reset(&octets, &external(), 9, reach);
    let agreed = UpdateContext { extended_next_hop: true, ..external() };
    let classified = classify(&octets, &agreed);
    assert_eq!(classified.action(), Action::Accept);
    let reach: Vec<_> = classified.reach().collect();
    assert_eq!(reach[0].next_hop.to_string(), "2001:db8::1");
    assert_eq!(reach[0].prefixes.family(), Family::Ipv4Unicast);
}

// req: !R5
#[test]
fn mp_unreach_must_be_readable() {
    for unreach in ["80 0f 00", "80 0f 02 0002", "80 0f 04 0002 01 81", "80 0f 05 0002 01 20 20"] {
        assert_reset(&update(&[], &hex(unreach), &[]), &external(), 9, unreach);
    }
    let octets = update(&[], &hex("80 0f 0a 0002 01 30 20010db80001"), &[]);
    let classified = classify(&octets, &external());
    assert_eq!(classified.action(), Action::Accept);
    assert_eq!(classified.withdrawn().collect::<Vec<_>>(), [prefix("2001:db8:1::/48")]);
}

// req: !R5
#[test]
fn an_unreadable_family_can_be_disabled_instead() {
    let context = UpdateContext { unreadable: OnUnreadable::DisableFamily, ..external() };
    let reach = "80 0e 18 0002 01 10 20010db8000000000000000000000001 00 30 2001";
    let octets = update(&[], &hex(&[reach, ORIGIN, PATH, NEXT_HOP].concat()), &hex(PREFIX));
    let classified = classify(&octets, &context);
    assert_eq!(classified.action(), Action::DisableFamily);
    assert_eq!(classified.disabled_families(), Families::only(Family::Ipv6Unicast));
    assert_eq!(classified.error(), None);
    let families: Vec<_> = classified.reach().map(|reach| reach.prefixes.family()).collect();
    assert_eq!(families, [Family::Ipv4Unicast], "the other family goes on");
    // Without a family to disable there is only the reset.
    assert_reset(&update(&[], &hex("80 0f 02 0002"), &[]), &context, 9, "80 0f 02 0002");
}

// req: !C1
#[test]
fn routes_of_a_family_that_was_not_agreed_are_ignored() {
    let only = |family| UpdateContext { families: Families::only(family), ..external() };
    let octets = update(&[], &hex(&[REACH, ORIGIN, PATH, NEXT_HOP].concat()), &hex(PREFIX));
    for family in Family::ALL {
        let classified = classify(&octets, &only(family));
        assert_eq!(
            (classified.action(), classified.fault()),
            (Action::DiscardAttribute, Some(Fault::Family))
        );
        let families: Vec<_> = classified.reach().map(|reach| reach.prefixes.family()).collect();
        assert_eq!(families, [family]);
    }
    let foreign = "80 0e 0a 0019 46 04 c0000201 00 ff";
    let octets = update(&[], &hex(&[foreign, ORIGIN, PATH].concat()), &[]);
    assert_eq!(classify(&octets, &external()).action(), Action::DiscardAttribute);
}

// req: !R5
#[test]
fn a_malformed_prefix_outside_the_attributes_resets() {
    let attributes = hex(&[ORIGIN, PATH, NEXT_HOP].concat());
    for nlri in ["21 c633640000", "18 c633", "20", "18 c63364 18"] {
        assert_reset(&update(&[], &attributes, &hex(nlri)), &external(), 10, "");
        assert_reset(&update(&hex(nlri), &[], &[]), &external(), 10, "");
    }
    assert_accepted(&update(&[], &attributes, &hex("00 20 ffffffff 01 80")), &external());
}

// req: !R5
#[test]
fn an_error_that_would_withdraw_resets_when_there_is_nothing_to_withdraw() {
    assert_reset(&update(&[], &hex("40 01 01 07"), &[]), &external(), 6, "40 01 01 07");
    assert_reset(&update(&hex(PREFIX), &hex("80 04 01 00"), &[]), &external(), 5, "80 04 01 00");
    assert_reset(&update(&[], &hex("80 04 05 00"), &[]), &external(), 1, "");
    let path = update(&[], &hex("40 02 02 02 00"), &[]);
    assert_reset(&path, &external(), 11, "");
    // A fault that only discards stays that, and a clean list of attributes without routes is harmless.
    let discard = update(&[], &hex("40 06 01 00"), &[]);
    assert_eq!(classify(&discard, &external()).action(), Action::DiscardAttribute);
    assert_accepted(&update(&[], &hex(ORIGIN), &[]), &external());
}

// req: !C1, !R5
#[test]
fn ignored_routes_are_something_to_withdraw() {
    let ipv6_only = UpdateContext { families: Families::only(Family::Ipv6Unicast), ..external() };
    let classified_as = |octets: &[u8]| classify(octets, &ipv6_only).action();
    assert_eq!(classified_as(&complete_and("80 04 01 00")), Action::TreatAsWithdraw);
    assert_eq!(classified_as(&update(&[], &hex("80 04 01 00"), &[])), Action::ResetSession);
}

// req: !R5
#[test]
fn the_strongest_of_several_faults_counts() {
    let discard_and_withdraw = complete_and("40 06 01 00 80 04 01 00");
    assert_withdrawn(&discard_and_withdraw, &external(), Fault::Length(4));
    let and_reset = complete_and("40 06 01 00 80 04 01 00 40 63 00");
    assert_reset(&and_reset, &external(), 2, "40 63 00");
    assert!(Action::Accept < Action::DiscardAttribute && Action::DiscardAttribute < Action::TreatAsWithdraw);
    assert!(Action::TreatAsWithdraw < Action::DisableFamily && Action::DisableFamily < Action::ResetSession);
}

// req: !R5
#[test]
fn every_route_of_a_message_is_treated_as_withdrawn() {
    let attributes = hex(&[REACH, "40 01 01 07", PATH, NEXT_HOP, "80 0f 08 0002 01 20 20010db9"].concat());
    let octets = update(&hex("08 0a"), &attributes, &hex(PREFIX));
    let classified = classify(&octets, &external());
    assert_eq!(classified.action(), Action::TreatAsWithdraw);
    let expected = ["10.0.0.0/8", "2001:db9::/32", "198.51.100.0/24", "2001:db8:1::/48"].map(prefix);
    assert_eq!(classified.withdrawn().collect::<Vec<_>>(), expected);
}

// req: E3
#[test]
fn end_of_rib_is_recognised_in_every_family() {
    let marker = |octets: &[u8]| classify(octets, &external()).end_of_rib();
    assert_eq!(marker(&update(&[], &[], &[])), Some(Family::Ipv4Unicast.afi_safi()));
    assert_eq!(marker(&update(&[], &hex("80 0f 03 000201"), &[])), Some(Family::Ipv6Unicast.afi_safi()));
    assert_eq!(marker(&update(&[], &hex("90 0f 0003 000101"), &[])), Some(Family::Ipv4Unicast.afi_safi()));
    let foreign = AfiSafi { afi: 25, safi: 70 };
    assert_eq!(marker(&update(&[], &hex("80 0f 03 001946"), &[])), Some(foreign));
}

// req: !E3
#[test]
fn what_carries_routes_or_other_attributes_is_no_end_of_rib() {
    let marker = |octets: &[u8]| classify(octets, &external()).end_of_rib();
    assert_eq!(marker(&update(&hex("08 0a"), &[], &[])), None);
    assert_eq!(marker(&update(&[], &hex("80 0f 05 0002 01 08 20"), &[])), None);
    assert_eq!(marker(&update(&[], &hex(&["80 0f 03 000201", ORIGIN].concat()), &[])), None);
    assert_eq!(marker(&complete_and("")), None);
    assert_eq!(marker(&update(&[], &hex(ORIGIN), &[])), None);
}

// req: C7
#[test]
fn path_identifiers_are_read_where_they_were_agreed() {
    let context = UpdateContext { add_path: Families::BOTH, ..external() };
    let attributes = hex(&[ORIGIN, PATH, NEXT_HOP].concat());
    let octets = update(&hex("00000001 08 0a"), &attributes, &hex("00000007 18 c63364 00000008 18 c63364"));
    let classified = classify(&octets, &context);
    assert_eq!(classified.action(), Action::Accept);
    let mut prefixes = classified.reach().next().unwrap().prefixes;
    assert_eq!(prefixes.next_path(), Some((Some(7), prefix("198.51.100.0/24"))));
    assert_eq!(prefixes.next_path(), Some((Some(8), prefix("198.51.100.0/24"))));
    assert_eq!(prefixes.next_path(), None);
    assert_reset(&update(&[], &attributes, &hex("000000 18 c63364")), &context, 10, "");
    assert_reset(&update(&[], &attributes, &hex("00000007")), &context, 10, "");
    let octets = complete_and("");
    let mut plain = classify(&octets, &external()).reach().next().unwrap().prefixes;
    assert_eq!(plain.next_path(), Some((None, prefix("198.51.100.0/24"))));
}

#[test]
fn host_bits_of_received_prefixes_are_dropped() {
    let attributes = hex(&[ORIGIN, PATH, NEXT_HOP].concat());
    let octets = update(&[], &attributes, &hex("09 0aff 00 07 ff"));
    let classified = classify(&octets, &external());
    let prefixes: Vec<_> = classified.reach().next().unwrap().prefixes.collect();
    assert_eq!(prefixes, ["10.128.0.0/9", "0.0.0.0/0", "254.0.0.0/7"].map(prefix));
}

#[test]
fn attributes_are_listed_as_they_stand() {
    let octets = update(&[], &hex("40 01 01 00 d0 08 0004 00010002 80 04 09"), &[]);
    let listed: Vec<_> = view(&octets).attributes().collect();
    let origin = listed[0].unwrap();
    assert_eq!((origin.code(), origin.flags(), origin.value()), (1, 0x40, &[0][..]));
    assert_eq!(listed[1].unwrap().octets(), hex("d0 08 0004 00010002"));
    assert_eq!(listed[2], Err(AttributeOverrun(&[0x80, 4, 9])));
    assert_eq!(listed.len(), 3);
}

proptest! {
    // The message may come from anyone: nothing in it makes the judgement or the values panic.
    #[test]
    fn no_octets_make_the_judgement_panic(
        body in prop::collection::vec(any::<u8>(), 4..200),
        outside: bool,
        wide: bool,
        add_path: bool,
    ) {
        let octets = message(crate::wire::header::MessageType::Update, &body);
        let frame = Frame::parse(&octets, crate::wire::header::MessageLimit::Standard).unwrap();
        let mut context = if outside { external() } else { internal() };
        context.asn_width = if wide { AsnWidth::Four } else { AsnWidth::Two };
        context.add_path = if add_path { Families::BOTH } else { Families::EMPTY };
        if let Ok(view) = UpdateView::parse(frame) {
            let classified = view.classify(&context);
            let announced: usize = classified.reach().map(|reach| reach.prefixes.count()).sum();
            let withdrawn = classified.withdrawn().count();
            prop_assert!(announced + withdrawn <= body.len());
            let _ = classified.attributes(NextHop::V4([192, 0, 2, 1].into()));
            let _ = classified.error().map(|error| error.notification());
        }
    }
}

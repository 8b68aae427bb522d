//! Messages of real routers: every octet is understood, and what they mean is asserted.

use crate::types::*;
use crate::wire::Message;
use crate::wire::capability::Capability;
use crate::wire::header::{Frame, MessageLimit, MessageType};
use crate::wire::negotiate::Negotiated;
use crate::wire::notification::ShutdownText;
use crate::wire::open::Open;
use crate::wire::testing::hex;
use crate::wire::update::{Action, UpdateContext};

const FRR: &str = include_str!("testdata/frr.hex");
const BIRD: &str = include_str!("testdata/bird.hex");

fn messages(capture: &str) -> Vec<Vec<u8>> {
    let lines = capture.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| hex(line.split_once(' ').unwrap().1)).collect()
}

fn open_of(capture: &str) -> Open {
    let octets = messages(capture).remove(0);
    match Message::parse(Frame::parse(&octets, MessageLimit::Standard).unwrap()) {
        Ok(Message::Open(open)) => open,
        other => panic!("not an OPEN: {other:?}"),
    }
}

/// How the receiver of a capture judges it, by what both OPENs say. BIRD sends path identifiers to FRR.
fn context(sender: &str) -> UpdateContext {
    let receiver = if sender == FRR { BIRD } else { FRR };
    Negotiated::new(&open_of(receiver), &open_of(sender)).update_context()
}

/// The routes that remain after all UPDATEs of a capture, and how many End-of-RIB markers there were.
fn replay(capture: &str, until: usize) -> (Vec<(String, Attributes)>, usize) {
    let mut routes = std::collections::BTreeMap::new();
    let mut markers = 0;
    for octets in messages(capture).iter().take(until) {
        let frame = Frame::parse(octets, MessageLimit::Standard).unwrap();
        let Ok(Message::Update(update)) = Message::parse(frame) else { continue };
        let classified = update.classify(&context(capture));
        assert_eq!(classified.action(), Action::Accept, "{:?}", classified.fault());
        markers += usize::from(classified.end_of_rib().is_some());
        for prefix in classified.withdrawn() {
            routes.remove(&prefix.to_string());
        }
        for reach in classified.reach() {
            let attributes = classified.attributes(reach.next_hop);
            routes.extend(reach.prefixes.map(|prefix| (prefix.to_string(), attributes.clone())));
        }
    }
    (routes.into_iter().collect(), markers)
}

#[test]
fn every_captured_message_is_read() {
    for octets in messages(FRR).iter().chain(&messages(BIRD)) {
        Message::parse(Frame::parse(octets, MessageLimit::Standard).unwrap()).unwrap();
    }
}

// req: C1, C3, O6
#[test]
fn the_open_of_frr_announces_what_frr_says() {
    let open = open_of(FRR);
    assert_eq!(open.asn, Asn::new(4_200_000_001));
    assert_eq!(open.hold_time.seconds(), 180);
    let words: Vec<String> = open.capabilities.iter().map(Capability::to_string).collect();
    let expected = [
        "IPv4 unicast",
        "IPv6 unicast",
        "capability 128",
        "route refresh",
        "enhanced route refresh",
        "four-octet AS 4200000001",
        "extended message",
        "additional paths",
        "host name \"vm\"",
        "graceful restart (120 s)",
        "long-lived graceful restart (0 s)",
    ];
    assert_eq!(words, expected);
}

// req: C6, C7, O6
#[test]
fn the_open_of_bird_announces_what_bird_says() {
    let open = open_of(BIRD);
    assert_eq!((open.asn, open.hold_time.seconds()), (Asn::new(64513), 240));
    let words: Vec<String> = open.capabilities.iter().map(Capability::to_string).collect();
    let expected = [
        "IPv4 unicast",
        "IPv6 unicast",
        "route refresh",
        "extended next hop",
        "extended message",
        "graceful restart (120 s)",
        "four-octet AS 64513",
        "additional paths",
        "enhanced route refresh",
        "long-lived graceful restart (3600 s)",
    ];
    assert_eq!(words, expected);
}

#[test]
fn the_opens_are_encoded_again_octet_by_octet() {
    // BIRD puts all capabilities into one parameter, as we do.
    let mut out = Vec::new();
    open_of(BIRD).encode(&mut out).unwrap();
    assert_eq!(out, messages(BIRD)[0]);
}

// req: C7
#[test]
fn bird_sends_path_identifiers_to_frr_for_ipv4_only() {
    let agreed = Negotiated::new(&open_of(FRR), &open_of(BIRD));
    assert_eq!(agreed.add_path_receive, Families::only(Family::Ipv4Unicast));
    assert_eq!(Negotiated::new(&open_of(BIRD), &open_of(FRR)).add_path_receive, Families::EMPTY);
    assert_eq!((agreed.families, agreed.asn_width), (Families::BOTH, AsnWidth::Four));
    assert_eq!((agreed.send_limit, agreed.receive_limit), (MessageLimit::Extended, MessageLimit::Extended));
    assert!(agreed.enhanced_refresh && !agreed.extended_next_hop);
}

// req: C7, C8, E3
#[test]
fn the_table_of_bird_is_decoded() {
    let (routes, markers) = replay(BIRD, 5);
    assert_eq!(markers, 2);
    let prefixes: Vec<&str> = routes.iter().map(|(prefix, _)| prefix.as_str()).collect();
    let expected = ["10.1.0.0/16", "10.2.3.0/24", "10.2.3.4/32", "2001:db8:a::/48", "2001:db8:b::5/128"];
    assert_eq!(prefixes, expected);
    for (prefix, attributes) in routes {
        let next_hop = if prefix.contains(':') { "2001:db8:ff::2" } else { "192.0.2.2" };
        assert_eq!(attributes.next_hop.to_string(), next_hop);
        assert_eq!(attributes.as_path.to_string(), "64513");
        assert_eq!((attributes.origin, attributes.med), (Origin::Igp, Some(10)));
        assert_eq!(attributes.communities, [Community::new(64513, 7)]);
        assert_eq!(attributes.large_communities, [LargeCommunity::new(64513, 1, 2)]);
        assert_eq!(attributes.extended_communities, [ExtendedCommunity([0, 2, 0xfc, 1, 0, 0, 0, 9])]);
    }
}

// req: C8
#[test]
fn the_table_of_frr_is_decoded() {
    let (routes, markers) = replay(FRR, 7);
    assert_eq!(markers, 2);
    let own: Vec<_> = routes.iter().filter(|(_, attributes)| attributes.as_path.hops() == 1).collect();
    let prefixes: Vec<&str> = own.iter().map(|(prefix, _)| prefix.as_str()).collect();
    let expected =
        ["198.51.100.0/24", "198.51.100.128/25", "2001:db8:1::/48", "2001:db8:2::1/128", "203.0.113.7/32"];
    assert_eq!(prefixes, expected);
    for (_, attributes) in own {
        assert_eq!(attributes.med, Some(50));
        assert_eq!(attributes.communities, [Community::new(64512, 100), Community::NO_EXPORT]);
        assert_eq!(attributes.large_communities, [LargeCommunity::new(64512, 1, 2)]);
    }
}

#[test]
fn what_bird_withdraws_is_gone() {
    assert_eq!(replay(BIRD, usize::MAX).0, []);
}

// req: T6
#[test]
fn the_shutdown_text_of_bird_is_read() {
    let octets = messages(BIRD).pop().unwrap();
    let frame = Frame::parse(&octets, MessageLimit::Standard).unwrap();
    assert_eq!(frame.kind(), MessageType::Notification);
    match Message::parse(frame) {
        Ok(Message::Notification(notification)) => {
            let text = ShutdownText::Text("[TKT-1] reason".into());
            assert_eq!(notification.shutdown_text(), Some(text));
        }
        other => panic!("{other:?}"),
    }
}

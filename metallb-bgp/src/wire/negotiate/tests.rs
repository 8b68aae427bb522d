use super::*;
use crate::types::{AfiSafi, RouterId};
use crate::wire::capability::GracefulFamily;

fn open(asn: u32, capabilities: Vec<Capability>) -> Open {
    let router_id = RouterId::new([192, 0, 2, 1].into()).unwrap();
    Open { asn: Asn::new(asn), hold_time: HoldTime::DEFAULT, router_id, capabilities }
}

fn negotiate(sent: Vec<Capability>, received: Vec<Capability>) -> Negotiated {
    Negotiated::new(&open(64512, sent), &open(64513, received))
}

fn family(family: Family) -> Capability {
    Capability::Multiprotocol(family.afi_safi())
}

fn both_families() -> Vec<Capability> {
    vec![family(Family::Ipv4Unicast), family(Family::Ipv6Unicast)]
}

// req: C1
#[test]
fn a_family_is_used_when_both_ends_announce_it() {
    let ipv6 = || vec![family(Family::Ipv6Unicast)];
    assert_eq!(negotiate(both_families(), both_families()).families, Families::BOTH);
    assert_eq!(negotiate(both_families(), ipv6()).families, Families::only(Family::Ipv6Unicast));
    assert_eq!(negotiate(vec![family(Family::Ipv4Unicast)], ipv6()).families, Families::EMPTY);
}

// req: C1
#[test]
fn without_any_multiprotocol_capability_ipv4_unicast_is_implied() {
    let only_ipv4 = Families::only(Family::Ipv4Unicast);
    assert_eq!(negotiate(both_families(), Vec::new()).families, only_ipv4);
    assert_eq!(negotiate(vec![family(Family::Ipv6Unicast)], Vec::new()).families, Families::EMPTY);
    let unknown = Capability::Multiprotocol(AfiSafi { afi: 25, safi: 70 });
    assert_eq!(negotiate(both_families(), vec![unknown]).families, Families::EMPTY);
}

// req: C3
#[test]
fn four_octets_are_used_when_both_ends_can() {
    let wide = |asn: u32| vec![Capability::FourOctetAsn(Asn::new(asn))];
    assert_eq!(negotiate(wide(64512), wide(64513)).asn_width, AsnWidth::Four);
    assert_eq!(negotiate(wide(64512), Vec::new()).asn_width, AsnWidth::Two);
    assert_eq!(negotiate(Vec::new(), wide(64513)).asn_width, AsnWidth::Two);
}

// req: C4
#[test]
fn extended_messages_depend_on_the_receiver_alone() {
    let extended = || vec![Capability::ExtendedMessage];
    let ours = negotiate(extended(), Vec::new());
    assert_eq!((ours.receive_limit, ours.send_limit), (MessageLimit::Extended, MessageLimit::Standard));
    let theirs = negotiate(Vec::new(), extended());
    assert_eq!((theirs.receive_limit, theirs.send_limit), (MessageLimit::Standard, MessageLimit::Extended));
}

// req: C5
#[test]
fn enhanced_refresh_needs_both_ends() {
    let enhanced = || vec![Capability::RouteRefresh, Capability::EnhancedRouteRefresh];
    let agreed = negotiate(enhanced(), enhanced());
    assert!(agreed.route_refresh && agreed.enhanced_refresh);
    let plain = negotiate(enhanced(), vec![Capability::RouteRefresh]);
    assert!(plain.route_refresh && !plain.enhanced_refresh);
    assert!(!negotiate(enhanced(), Vec::new()).route_refresh);
}

// req: C6
#[test]
fn ipv6_next_hops_for_ipv4_need_the_very_triple_from_both_ends() {
    let with = |entries: &[ExtendedNextHop]| vec![Capability::ExtendedNextHop(entries.to_vec())];
    let right = ExtendedNextHop::IPV4_OVER_IPV6;
    assert_eq!((right.afi, right.safi, right.next_hop_afi), (1, 1, 2));
    assert!(negotiate(with(&[right]), with(&[right])).extended_next_hop);
    let multicast = ExtendedNextHop { safi: 2, ..right };
    assert!(!negotiate(with(&[right]), with(&[multicast])).extended_next_hop);
    assert!(!negotiate(with(&[right]), Vec::new()).extended_next_hop);
}

// req: C7
#[test]
fn path_identifiers_flow_where_one_end_sends_and_the_other_receives() {
    let add_path = |receive, send| {
        vec![Capability::AddPath(vec![AddPath { family: Family::Ipv4Unicast.afi_safi(), receive, send }])]
    };
    let ipv4 = Families::only(Family::Ipv4Unicast);
    let agreed = negotiate(add_path(true, false), add_path(false, true));
    assert_eq!((agreed.add_path_receive, agreed.add_path_send), (ipv4, Families::EMPTY));
    let idle = negotiate(add_path(true, false), add_path(true, false));
    assert_eq!((idle.add_path_receive, idle.add_path_send), (Families::EMPTY, Families::EMPTY));
    assert_eq!(negotiate(add_path(false, true), add_path(true, true)).add_path_send, ipv4);
}

// req: G1
#[test]
fn the_last_graceful_restart_capability_counts() {
    let entry = GracefulFamily { family: Family::Ipv4Unicast.afi_safi(), forwarding: true };
    let first = GracefulRestart { restart_time: 1, families: vec![entry], ..GracefulRestart::default() };
    let last = GracefulRestart { restart_time: 2, ..GracefulRestart::default() };
    let capabilities = [first, last.clone()].map(Capability::GracefulRestart).to_vec();
    assert_eq!(negotiate(Vec::new(), capabilities).graceful_restart, Some(last));
    assert_eq!(negotiate(Vec::new(), Vec::new()).graceful_restart, None);
}

// req: F9
#[test]
fn the_smaller_hold_time_is_agreed() {
    let mut sent = open(64512, Vec::new());
    let mut received = open(64512, Vec::new());
    received.hold_time = HoldTime::from_secs(30).unwrap();
    assert_eq!(Negotiated::new(&sent, &received).hold_time.seconds(), 30);
    sent.hold_time = HoldTime::DISABLED;
    let agreed = Negotiated::new(&sent, &received);
    assert_eq!((agreed.hold_time, agreed.peer), (HoldTime::DISABLED, PeerKind::Internal));
}

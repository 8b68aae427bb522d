//! What was agreed on, what was not, and the routes that a peer does not get for that.

use metallb_bgp::addresses::NoNextHop;
use metallb_bgp::session::{
    ConnectionId, Endpoints, Event, NegotiatedSnapshot, OfferedFamilies, PeerConfig, SettingNames, Withheld,
    WithheldReason,
};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Community, Family, Family::*};
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::notification::Notification;

use crate::support::{Bench, mk_config, mk_notification};

fn dual() -> PeerConfig {
    let mut config = mk_config();
    config.families = OfferedFamilies::Both;
    config
}

fn with(families: &[Family]) -> Vec<Capability> {
    families.iter().map(|family| Capability::from(*family)).collect()
}

/// What was told with each establishment.
fn negotiated(bench: &Bench) -> Vec<&NegotiatedSnapshot> {
    let mut told = Vec::new();
    for event in &bench.events {
        if let Event::Negotiated { session, .. } = event {
            told.push(session.as_ref());
        }
    }
    told
}

/// The families that are missing when the peer says these, and the sentence about them.
fn missing(config: PeerConfig, said: &[Capability]) -> (Vec<Family>, Option<String>) {
    let (mut bench, _) = Bench::established(config, 90, said.to_vec());
    bench.effects();
    let told = negotiated(&bench);
    assert_eq!(told.len(), 1, "told once");
    assert_eq!(bench.snapshot().negotiated.as_ref(), Some(told[0]), "the snapshot says the same");
    (told[0].missing_families.clone(), told[0].explain_missing(&SettingNames::LIBRARY))
}

// req: N6
#[test]
fn what_was_agreed_on_is_told_with_the_establishment() {
    let capabilities = [with(&[Ipv4Unicast, Ipv6Unicast]), vec![Capability::RouteRefresh]].concat();
    let (mut bench, _) = Bench::established(dual(), 90, capabilities);
    bench.effects();
    let told = negotiated(&bench)[0];
    assert_eq!(told.families, [Ipv4Unicast, Ipv6Unicast]);
    assert_eq!(told.missing_families, []);
    assert_eq!(told.explain_missing(&SettingNames::LIBRARY), None);
    assert!(told.peer_capabilities.iter().any(|words| words == "route refresh"), "{told:?}");
    let place = |wanted: fn(&Event) -> bool| bench.events.iter().position(wanted);
    let up = place(|event| {
        matches!(event, Event::StateChanged { state: metallb_bgp::fsm::State::Established, .. })
    });
    assert_eq!(
        place(|event| matches!(event, Event::Negotiated { .. })),
        up.map(|up| up + 1),
        "right after it"
    );
}

// req: !N6
#[test]
fn a_family_that_the_peer_does_not_have_is_missing() {
    let (families, sentence) = missing(dual(), &with(&[Ipv4Unicast]));
    assert_eq!(families, [Ipv6Unicast]);
    assert_eq!(
        sentence.unwrap(),
        "the router has not activated IPv6 unicast for this session (agreed on: IPv4 unicast), so such routes are not \
         sent: activate IPv6 unicast on the router, or change families here"
    );
    assert_eq!(missing(dual(), &with(&[Ipv6Unicast])).0, [Ipv4Unicast]);
    let vpn = Capability::Multiprotocol(metallb_bgp::types::AfiSafi { afi: 1, safi: 128 });
    let (families, sentence) = missing(dual(), &[vpn]);
    assert_eq!(families, [Ipv4Unicast, Ipv6Unicast]);
    let sentence = sentence.unwrap();
    assert!(sentence.contains("IPv4 unicast and IPv6 unicast"), "{sentence}");
    assert!(sentence.contains("agreed on: no family") && !sentence.contains("or change"), "{sentence}");
}

// req: !N6
#[test]
fn a_peer_that_names_no_family_has_ipv4_alone() {
    assert_eq!(missing(mk_config(), &[]).0, []);
    assert_eq!(missing(dual(), &[]).0, [Ipv6Unicast]);
    let mut config = mk_config();
    config.families = OfferedFamilies::Ipv6;
    assert_eq!(missing(config, &[]).0, [Ipv6Unicast]);
    // More than is wanted is no fault.
    assert_eq!(missing(mk_config(), &with(&[Ipv4Unicast, Ipv6Unicast])).0, []);
}

// req: N6
#[test]
fn a_family_that_the_router_activates_is_missing_no_more() {
    let (mut bench, id) = Bench::established(dual(), 90, with(&[Ipv4Unicast]));
    bench.say(id, &mk_notification(&Notification::new(6, 6)));
    assert_eq!(bench.snapshot().negotiated, None, "not known while there is no session");
    bench.wait();
    let id = bench.connect();
    bench.establish(id, 90, with(&[Ipv4Unicast, Ipv6Unicast]));
    bench.effects();
    let missing: Vec<_> = negotiated(&bench).iter().map(|told| told.missing_families.clone()).collect();
    assert_eq!(missing, [vec![Ipv6Unicast], vec![]]);
}

// req: !N6
#[test]
fn a_family_that_the_peer_refuses_is_missing_though_it_is_not_offered_any_more() {
    let mut bench = Bench::new(dual());
    bench.start();
    let id = bench.connect();
    bench.transmit(id);
    bench.say(id, &mk_notification(&Notification::with_data(2, 7, vec![1, 4, 0, 2, 0, 1])));
    bench.wait();
    let id = bench.connect();
    bench.establish(id, 90, with(&[Ipv4Unicast]));
    bench.effects();
    assert_eq!(negotiated(&bench)[0].missing_families, [Ipv6Unicast]);
}

/// An established session with one route of each family.
fn with_routes(config: PeerConfig, said: &[Family]) -> (Bench, ConnectionId) {
    let (mut bench, id) = Bench::established(config, 90, with(said));
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    bench.announce("2001:db8:1::1/128", RouteAttributes::new());
    bench.announce("2001:db8:1::2/128", RouteAttributes::new());
    bench.transmit(id);
    bench.effects();
    (bench, id)
}

fn withheld(bench: &Bench) -> Vec<(Family, WithheldReason, u64)> {
    let of = |withheld: &Withheld| (withheld.family, withheld.reason, withheld.routes);
    bench.snapshot().withheld.iter().map(of).collect()
}

// req: X4, !X4
#[test]
fn routes_of_a_family_that_is_not_there_are_counted_with_the_reason() {
    let mut config = dual();
    config.next_hops.v6 = "2001:db8::2".parse().ok();
    let (bench, _) = with_routes(config.clone(), &[Ipv4Unicast, Ipv6Unicast]);
    assert_eq!(withheld(&bench), [], "everything is sent");
    let (bench, _) = with_routes(config, &[Ipv4Unicast]);
    assert_eq!(withheld(&bench), [(Ipv6Unicast, WithheldReason::FamilyNotAgreed, 2)]);
    let (mut bench, id) = with_routes(mk_config(), &[Ipv4Unicast, Ipv6Unicast]);
    assert_eq!(withheld(&bench), [(Ipv6Unicast, WithheldReason::FamilyNotConfigured, 2)]);
    bench.withdraw("2001:db8:1::1/128");
    bench.withdraw("2001:db8:1::2/128");
    assert_eq!(withheld(&bench), [], "there are none any more");
    bench.session.handle_closed(bench.now, id, None);
    assert_eq!(withheld(&bench), [], "of a session that has ended nothing is said");
}

// req: X4
#[test]
fn routes_without_a_next_hop_and_with_too_many_attributes_are_told_apart() {
    let (mut bench, id) = with_routes(dual(), &[Ipv4Unicast, Ipv6Unicast]);
    let no_address = WithheldReason::NoNextHop(NoNextHop::NoAddress);
    assert_eq!(withheld(&bench), [(Ipv6Unicast, no_address, 2)]);
    let many = RouteAttributes::new().with_communities((0..2000).map(Community));
    bench.announce("198.51.100.2/32", many);
    bench.transmit(id);
    assert_eq!(withheld(&bench), [(Ipv4Unicast, WithheldReason::TooLong, 1), (Ipv6Unicast, no_address, 2)]);
    let mut config = dual();
    config.next_hops.v6 = "2001:db8::2".parse().ok();
    bench.reconfigure(config);
    bench.transmit(id);
    bench.effects();
    assert_eq!(withheld(&bench), [(Ipv4Unicast, WithheldReason::TooLong, 1)]);
    let last = bench.events.iter().rev().find_map(|event| match event {
        Event::RoutesWithheld { family, reason, .. } => Some((*family, *reason)),
        _ => None,
    });
    assert_eq!(last, Some((Ipv6Unicast, None)), "that they are sent is told");
}

// req: !X4, !C6
#[test]
fn ipv4_routes_that_have_an_ipv6_next_hop_only_need_a_peer_that_takes_it() {
    let local = "[2001:db8::2]:40000".parse().unwrap();
    let ends = Endpoints::new(local, "[2001:db8::1]:179".parse().unwrap());
    let mut config = dual();
    config.remote = ends.remote;
    config.router_id = metallb_bgp::types::RouterId::new([10, 0, 0, 1].into()).ok();
    let mut bench = Bench::new(config);
    bench.table.complete();
    bench.start();
    let id = bench.dials.pop().unwrap();
    bench.session.handle_connected(bench.now, id, ends);
    bench.establish(id, 90, with(&[Ipv4Unicast, Ipv6Unicast]));
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    bench.transmit(id);
    bench.effects();
    let reason = WithheldReason::NoExtendedNextHop(NoNextHop::NoAddress);
    assert_eq!(withheld(&bench), [(Ipv4Unicast, reason, 1)]);
    let told =
        |event: &Event| matches!(event, Event::RoutesWithheld { reason: Some(told), .. } if *told == reason);
    assert!(bench.events.iter().any(told), "{:?}", bench.events);
    assert!(reason.to_string().contains("RFC 8950"));
}

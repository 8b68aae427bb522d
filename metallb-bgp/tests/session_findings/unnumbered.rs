//! Peers that are known by their interface.

use std::net::{Ipv4Addr, SocketAddr};

use metallb_bgp::addresses::{Basis, Chosen, NoNextHop};
use metallb_bgp::fsm::State;
use metallb_bgp::session::{CloseReason, Endpoints, Event, PeerConfig, WithheldReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Community, Family, RemoteAs};
use metallb_bgp::unnumbered::NoNeighbor;
use metallb_bgp::wire::capability::{Capability, ExtendedNextHop};

use crate::support::{Bench, OUR_AS, PEER_AS, kinds};

fn mk_config() -> PeerConfig {
    PeerConfig::unnumbered("eth1", 179, OUR_AS, RemoteAs::Asn(PEER_AS), 0)
}

fn router(last: u8) -> SocketAddr {
    format!("[fe80::{last}%3]:179").parse().unwrap()
}

/// Both ends on the link, where the interface has no other address.
fn ends() -> Endpoints {
    Endpoints::new("[fe80::99%3]:40000".parse().unwrap(), router(1))
}

fn both() -> Vec<Capability> {
    vec![
        Capability::from(Family::Ipv4Unicast),
        Capability::from(Family::Ipv6Unicast),
        Capability::ExtendedNextHop(vec![ExtendedNextHop::IPV4_OVER_IPV6]),
    ]
}

fn mk_established(
    config: PeerConfig,
    capabilities: Vec<Capability>,
) -> (Bench, metallb_bgp::session::ConnectionId) {
    let mut bench = Bench::new(config);
    bench.table.complete();
    bench.start();
    bench.session.set_neighbor(router(1));
    let id = bench.dials.pop().unwrap();
    bench.session.handle_connected(bench.now, id, ends());
    bench.establish(id, 90, capabilities);
    (bench, id)
}

fn failures(bench: &Bench) -> Vec<CloseReason> {
    let of = |event: &Event| match event {
        Event::AttemptFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    bench.events.iter().filter_map(of).collect()
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

// req: T8, C6
#[test]
fn without_a_global_address_both_families_point_to_the_link_local_one_twice() {
    let (mut bench, id) = mk_established(mk_config(), both());
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    bench.announce("2001:db8:1::1/128", RouteAttributes::new());
    let out = bench.transmit(id);
    assert_eq!(kinds(&out), [2, 2]);
    let own = "fe80::99".parse::<std::net::Ipv6Addr>().unwrap().octets();
    for family in [1, 2] {
        let hop = [&[0, family, 1, 32], &own[..], &own[..], &[0]].concat();
        assert!(contains(&out, &hop), "family {family}: {out:x?}");
    }
    assert!(bench.snapshot().withheld.is_empty());
}

// req: T8, X2
#[test]
fn a_global_address_that_comes_and_goes_is_the_first_half_while_it_is_there() {
    let (mut bench, id) = mk_established(mk_config(), both());
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    bench.transmit(id);
    let global: std::net::Ipv6Addr = "2001:db8::99".parse().unwrap();
    let mut with_global = ends();
    with_global.next_hops.v6 = Ok(Chosen { address: global, basis: Basis::Interface });
    // An IPv4 address of the interface need not mean anything to the router.
    with_global.next_hops.v4 = Ok(Chosen { address: Ipv4Addr::new(10, 0, 0, 1), basis: Basis::Interface });
    let now = bench.now;
    bench.session.handle_addresses(now, id, with_global);
    let out = bench.transmit(id);
    let hop =
        [&[0, 1, 1, 32], &global.octets()[..], &"fe80::99".parse::<std::net::Ipv6Addr>().unwrap().octets()];
    assert_eq!(kinds(&out), [2]);
    assert!(contains(&out, &hop.concat()), "{out:x?}");
    bench.session.handle_addresses(now, id, ends());
    assert_eq!(kinds(&bench.transmit(id)), [2]);
    assert_eq!((bench.session.state(), bench.snapshot().counters.established), (State::Established, 1));
}

// req: !T8, !C6
#[test]
fn a_router_that_does_not_take_ipv6_next_hops_gets_ipv4_routes_with_an_ipv4_one_or_none() {
    let without = both().into_iter().take(2).collect();
    let (mut bench, id) = mk_established(mk_config(), without);
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    bench.transmit(id);
    let withheld = bench.snapshot().withheld[0];
    let reason = WithheldReason::NoExtendedNextHop(NoNextHop::NoAddress);
    assert_eq!((withheld.family, withheld.reason, withheld.routes), (Family::Ipv4Unicast, reason, 1));
    let mut with_v4 = ends();
    with_v4.next_hops.v4 = Ok(Chosen { address: Ipv4Addr::new(192, 0, 2, 2), basis: Basis::Interface });
    let now = bench.now;
    bench.session.handle_addresses(now, id, with_v4);
    assert!(contains(&bench.transmit(id), &[192, 0, 2, 2]));
}

// req: J5, !J5
#[test]
fn what_was_learned_stays_when_something_else_is_configured_and_goes_with_the_interface() {
    let (mut bench, _) = mk_established(mk_config(), both());
    bench.reconfigure(mk_config());
    let mut other = mk_config();
    other.next_hops.v4 = Some(Ipv4Addr::new(192, 0, 2, 7));
    other.hold_time = metallb_bgp::types::HoldTime::from_secs(30).unwrap();
    bench.reconfigure(other.clone());
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.state, snapshot.remote), (State::Established, router(1)));
    assert_eq!(snapshot.interface.as_deref(), Some("eth1"));
    bench.announce("198.51.100.1/32", RouteAttributes::new().with_communities([Community(7)]));
    other.interface = Some("eth2".to_owned());
    bench.reconfigure(other.clone());
    assert!(bench.session.state() < State::OpenSent, "a session over another interface is another one");
    assert!(bench.session.config().is_remote_unknown());
    assert_eq!(bench.closed.len(), 1);
    bench.session.set_neighbor(router(2));
    other.interface = None;
    other.remote = "192.0.2.1:179".parse().unwrap();
    bench.reconfigure(other);
    bench.session.set_neighbor(router(2));
    assert_eq!(bench.session.config().remote.to_string(), "192.0.2.1:179", "of a peer with an address");
}

// req: J5
#[test]
fn that_nobody_is_there_is_told_once_and_whoever_comes_is_tried_at_once() {
    let mut bench = Bench::new(mk_config());
    bench.start();
    for _ in 0..3 {
        let id = bench.dials.pop().unwrap();
        bench.session.handle_no_neighbor(bench.now, id, NoNeighbor::Silent);
        bench.session.handle_no_neighbor(bench.now, id, NoNeighbor::Down);
        bench.effects();
        bench.wait();
    }
    assert_eq!(failures(&bench), [CloseReason::NoNeighbor(NoNeighbor::Silent)]);
    let id = bench.dials.pop().unwrap();
    bench.session.handle_no_neighbor(bench.now, id, NoNeighbor::Down);
    bench.effects();
    assert_eq!(failures(&bench).last(), Some(&CloseReason::NoNeighbor(NoNeighbor::Down)), "another reason");
    let before = bench.now;
    bench.session.handle_path(bench.now);
    bench.wait();
    assert_eq!((bench.now, bench.dials.len()), (before, 1));
}

// req: J5
#[test]
fn a_peer_without_an_address_is_called_by_its_interface() {
    let mut config = mk_config();
    assert_eq!(config.remote_name().to_string(), "the router on eth1");
    config.remote = router(1);
    assert_eq!(config.remote_name().to_string(), "[fe80::1%eth1]:179");
    config.remote = "192.0.2.1:179".parse().unwrap();
    assert_eq!(config.remote_name().to_string(), "192.0.2.1:179");
}

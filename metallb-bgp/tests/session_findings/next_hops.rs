//! Routes follow the next hops.

use std::net::{Ipv6Addr, SocketAddr};

use metallb_bgp::addresses::{Basis, Chosen, NoNextHop};
use metallb_bgp::session::{CloseReason, ConnectionId, Endpoints, Event, OfferedFamilies, WithheldReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::Family;
use metallb_bgp::wire::capability::Capability;

use crate::support::{Bench, kinds, mk_config, mk_endpoints};

const NO_ADDRESS: WithheldReason = WithheldReason::NoNextHop(NoNextHop::NoAddress);

/// A session over IPv4 that carries both families and has a route of IPv6.
fn mk_bench() -> (Bench, ConnectionId) {
    let mut config = mk_config();
    config.families = OfferedFamilies::Both;
    let families = vec![Capability::from(Family::Ipv4Unicast), Capability::from(Family::Ipv6Unicast)];
    let (mut bench, id) = Bench::established(config, 90, families);
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    bench.announce("2001:db8:1::1/128", RouteAttributes::new());
    bench.transmit(id);
    bench.effects();
    (bench, id)
}

fn with_v6(address: Option<Ipv6Addr>) -> Endpoints {
    let mut ends = mk_endpoints();
    let chosen = address.map(|address| Chosen { address, basis: Basis::Interface });
    ends.next_hops.v6 = chosen.ok_or(NoNextHop::Unusable);
    ends
}

fn withheld(bench: &Bench) -> Vec<Option<WithheldReason>> {
    let of = |event: &Event| match event {
        Event::RoutesWithheld { family: Family::Ipv6Unicast, reason, .. } => Some(*reason),
        _ => None,
    };
    bench.events.iter().filter_map(of).collect()
}

// req: X2
#[test]
fn routes_without_a_next_hop_wait_for_one_and_are_told() {
    let (mut bench, id) = mk_bench();
    assert_eq!(withheld(&bench), [Some(NO_ADDRESS)]);
    assert_eq!((bench.snapshot().advertised_v6, bench.snapshot().unsendable), (0, 1));
    let now = bench.now;
    bench.session.handle_addresses(now, id, with_v6("2001:db8::2".parse().ok()));
    assert!(bench.session.has_transmit(id, &bench.table));
    assert_eq!(kinds(&bench.transmit(id)), [2], "IPv6 alone, in one message");
    bench.effects();
    assert_eq!(withheld(&bench), [Some(NO_ADDRESS), None]);
    assert_eq!((bench.snapshot().advertised_v6, bench.snapshot().unsendable), (1, 0));
}

// req: X2, !X2
#[test]
fn a_next_hop_that_goes_takes_the_routes_along_and_not_the_session() {
    let (mut bench, id) = mk_bench();
    let now = bench.now;
    bench.session.handle_addresses(now, id, with_v6("2001:db8::2".parse().ok()));
    bench.transmit(id);
    bench.session.handle_addresses(now, id, with_v6(None));
    let out = bench.transmit(id);
    assert_eq!(kinds(&out), [2]);
    bench.effects();
    let unusable = WithheldReason::NoNextHop(NoNextHop::Unusable);
    assert_eq!(withheld(&bench).last(), Some(&Some(unusable)));
    assert_eq!((bench.snapshot().advertised_v6, bench.snapshot().advertised_v4), (0, 1));
    let snapshot = bench.snapshot().withheld;
    let of_family = snapshot.iter().map(|withheld| (withheld.family, withheld.reason, withheld.routes));
    assert_eq!(of_family.collect::<Vec<_>>(), [(Family::Ipv6Unicast, unusable, 1)]);
}

// req: !X2
#[test]
fn the_same_next_hop_again_sends_nothing() {
    let (mut bench, id) = mk_bench();
    let now = bench.now;
    for _ in 0..3 {
        bench.session.handle_addresses(now, id, mk_endpoints());
        assert!(!bench.session.has_transmit(id, &bench.table));
    }
    bench.session.handle_closed(now, id, None);
    bench.session.handle_addresses(now, id, with_v6("2001:db8::2".parse().ok()));
    assert_eq!(bench.snapshot().withheld, [], "of a connection that is gone");
}

// req: X3
#[test]
fn a_path_that_comes_up_ends_the_wait() {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let id = bench.dials.pop().unwrap();
    bench.session.handle_closed(bench.now, id, Some(std::io::ErrorKind::NetworkUnreachable));
    bench.effects();
    assert_eq!(bench.dials, []);
    bench.session.handle_path(bench.now);
    bench.wait();
    assert_eq!((bench.dials.len(), bench.elapsed().as_secs()), (1, 0));
    // The packets of that attempt went nowhere.
    let lost = bench.dials[0];
    bench.session.handle_path(bench.now);
    bench.wait();
    assert_eq!(bench.elapsed().as_secs(), 0);
    assert!(bench.dials.len() == 1 && bench.dials[0] != lost);
}

// req: !X3
#[test]
fn a_path_changes_nothing_for_a_peer_that_refuses_or_is_there() {
    let (mut bench, id) = Bench::established(mk_config(), 90, Vec::new());
    bench.session.handle_path(bench.now);
    assert_eq!(bench.session.connections().count(), 1);
    let refusal = crate::support::mk_notification(&metallb_bgp::wire::notification::Notification::new(6, 2));
    bench.say(id, &refusal);
    assert!(matches!(bench.snapshot().last_error, Some(CloseReason::Received(_))));
    let next = bench.session.next_timeout();
    bench.session.handle_path(bench.now);
    assert_eq!(bench.session.next_timeout(), next);
}

#[test]
fn a_session_of_a_loopback_address_has_no_next_hop_of_its_own() {
    let ends = Endpoints::new(SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 2], 179)));
    assert_eq!(ends.next_hops.v4, Err(NoNextHop::NoAddress));
    assert_eq!(ends.identifier, None);
}

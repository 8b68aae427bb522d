//! One connection follows another, or stands beside it.

use metallb_bgp::fsm::State;
use metallb_bgp::session::StopReason;
use metallb_bgp::table::RouteAttributes;

use crate::support::{Bench, kinds, mk_config, mk_endpoints, mk_id, mk_keepalive, mk_open};

// req: A10
#[test]
fn a_connection_that_follows_at_once_gets_every_change() {
    let (mut bench, old) = Bench::established(mk_config(), 90, Vec::new());
    let new = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    bench.transmit(new);
    // All in one wake-up: nobody has looked at the table since the old one was closed.
    bench.session.handle_closed(bench.now, old, None);
    bench.session.handle_data(bench.now, new, &[mk_open(90, Vec::new()), mk_keepalive()].concat());
    assert_eq!(bench.session.state(), State::Established);
    bench.transmit(new);
    bench.effects();
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    assert!(bench.session.has_transmit(new, &bench.table));
    assert_eq!(kinds(&bench.transmit(new)), [2]);
    assert_eq!(bench.snapshot().advertised_v4, 1);
}

// req: A10
#[test]
fn the_winner_of_a_late_collision_gets_every_change() {
    let mut config = mk_config();
    config.collision_detect_established = true;
    config.router_id = Some(mk_id(1));
    let (mut bench, _) = Bench::established(config, 90, Vec::new());
    let new = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    bench.transmit(new);
    bench.session.handle_data(bench.now, new, &[mk_open(90, Vec::new()), mk_keepalive()].concat());
    assert_eq!(bench.session.state(), State::Established);
    bench.transmit(new);
    bench.effects();
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    assert_eq!(kinds(&bench.transmit(new)), [2]);
}

#[test]
fn a_stopped_session_leaves_nothing_in_the_table() {
    let (mut bench, _) = Bench::established(mk_config(), 90, Vec::new());
    let Bench { session, table, now, .. } = &mut bench;
    session.stop(*now, &StopReason::Deconfigured, table);
    drop(bench.session);
    let left = format!("{:?}", bench.table);
    assert!(!left.contains("Cursor {"), "{left}");
}

//! One connection follows another, or stands beside it.

use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::{CloseReason, StopReason};
use metallb_bgp::table::RouteAttributes;

use crate::support::{Bench, kinds, mk_config, mk_endpoints, mk_id, mk_keepalive, mk_open};

/// A session that is established over a connection the peer opened.
fn mk_accepted() -> Bench {
    let mut config = mk_config();
    config.passive = true;
    let mut bench = Bench::new(config);
    bench.start();
    let first = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    bench.establish(first, 90, Vec::new());
    bench
}

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

// req: F5
#[test]
fn a_second_connection_of_the_peer_is_told_that_it_collides() {
    let mut bench = mk_accepted();
    let second = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    bench.effects();
    let (closed, last) = bench.closed.last().unwrap();
    assert_eq!((*closed, kinds(last)), (second, vec![1, 3]));
    assert_eq!(last[last.len() - 2..], [6, 7]);
    assert_eq!(bench.session.state(), State::Established);
    assert_eq!(bench.session.connections().count(), 1);
}

// req: !F5
#[test]
fn a_flood_of_second_connections_is_not_answered() {
    let (mut bench, _) = Bench::established(mk_config(), 90, Vec::new());
    let first = bench.session.handle_accepted(bench.now, mk_endpoints());
    assert!(first.is_some(), "the peer opened none before");
    let mut bench = mk_accepted();
    let answered = |bench: &mut Bench| bench.session.handle_accepted(bench.now, mk_endpoints()).is_some();
    assert_eq!([(); 3].map(|()| answered(&mut bench)), [true, false, false]);
    bench.now += Duration::from_secs(1);
    assert!(answered(&mut bench));
}

// req: !F5
#[test]
fn a_connection_of_the_peer_is_not_displaced_before_it_is_a_second_old() {
    let mut config = mk_config();
    config.passive = true;
    let mut bench = Bench::new(config);
    bench.start();
    let first = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    for _ in 0..99 {
        bench.now += Duration::from_millis(10);
        if let Some(other) = bench.session.handle_accepted(bench.now, mk_endpoints()) {
            bench.effects();
            let (closed, last) = bench.closed.last().unwrap();
            assert_eq!((*closed, kinds(last)), (other, vec![1, 3]), "one of them is told why");
        }
    }
    assert_eq!(bench.closed.len(), 1);
    assert_eq!(bench.session.connections().collect::<Vec<_>>(), [(first, State::OpenSent)]);
    bench.now += Duration::from_millis(10);
    let second = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    assert_eq!(bench.session.connections().collect::<Vec<_>>(), [(second, State::OpenSent)]);
    bench.establish(second, 90, Vec::new());
    assert_eq!(bench.session.state(), State::Established);
}

#[test]
fn an_attempt_that_is_not_needed_any_more_has_not_failed() {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let accepted = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    bench.establish(accepted, 90, Vec::new());
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.counters.connect_retry_counter, 0);
    assert_eq!(snapshot.last_error, None);
    assert_eq!(bench.dials, [], "the attempt is given up");
    assert_eq!(bench.session.connections().count(), 1);
}

#[test]
fn starting_an_established_session_again_changes_nothing() {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let accepted = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    bench.establish(accepted, 90, Vec::new());
    bench.start();
    assert_eq!(bench.dials, []);
    assert_eq!(bench.session.state(), State::Established);
    bench.session.handle_closed(bench.now, accepted, None);
    bench.effects();
    assert_eq!(bench.snapshot().last_error, Some(CloseReason::ConnectionClosed));
    bench.start();
    assert_eq!(bench.dials.len(), 1, "one that waits after a failure tries at once");
}

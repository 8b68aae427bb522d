//! When End-of-RIB is sent.

use std::time::Duration;

use metallb_bgp::session::{ConnectionId, GracefulRestart};
use metallb_bgp::table::RouteAttributes;

use crate::support::{Bench, graceful, messages, mk_keepalive, mk_open, with_graceful_restart};

/// The session ends, and the next one is established.
fn again(bench: &mut Bench) -> ConnectionId {
    let id = bench.session.connections().next().unwrap().0;
    bench.session.handle_closed(bench.now, id, None);
    bench.effects();
    while bench.dials.is_empty() {
        bench.wait();
    }
    let id = bench.connect();
    bench.transmit(id);
    bench.say(id, &mk_open(0, graceful()));
    bench.say(id, &mk_keepalive());
    id
}

/// A session with graceful restart and a route, whose table is not complete; what was sent so far is the route.
fn mk_incomplete() -> Bench {
    let mut config = with_graceful_restart();
    let selection_deferral = Duration::from_secs(100);
    config.graceful_restart = Some(GracefulRestart { selection_deferral, ..GracefulRestart::default() });
    let mut bench = Bench::new(config);
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    bench.start();
    let id = bench.connect();
    bench.transmit(id);
    bench.say(id, &mk_open(0, graceful()));
    bench.say(id, &mk_keepalive());
    let first = messages(&bench.transmit(id));
    assert!(first.iter().all(|message| *message != END_OF_RIB), "{first:?}");
    assert_eq!(first.last().map(|(kind, _)| *kind), Some(2), "the route need not wait");
    bench
}

/// Type and length of End-of-RIB for IPv4.
const END_OF_RIB: (u8, usize) = (2, 23);

// req: G6
#[test]
fn end_of_rib_comes_with_what_completes_the_table_in_whichever_session_that_is() {
    let mut bench = mk_incomplete();
    let id = again(&mut bench);
    assert!(!messages(&bench.transmit(id)).contains(&END_OF_RIB));
    assert!(bench.session.is_restarting(), "R goes on until then");
    bench.announce("198.51.100.2/32", RouteAttributes::new());
    bench.table.complete();
    let rest = messages(&bench.transmit(id));
    assert_eq!((rest.len(), rest.last()), (2, Some(&END_OF_RIB)), "the last of the routes first: {rest:?}");
    assert!(!bench.session.is_restarting());
}

// req: !G6
#[test]
fn sessions_that_come_and_go_do_not_put_end_of_rib_off_for_ever() {
    let mut bench = mk_incomplete();
    let first = bench.now;
    bench.now += Duration::from_secs(60);
    let id = again(&mut bench);
    assert!(!messages(&bench.transmit(id)).contains(&END_OF_RIB));
    assert_eq!(bench.session.next_timeout(), Some(first + Duration::from_secs(100)));
    bench.wait();
    assert_eq!(messages(&bench.transmit(id)), [END_OF_RIB]);
    // What was not waited for once is not waited for again.
    let id = again(&mut bench);
    bench.session.handle_timeout(bench.now);
    assert!(messages(&bench.transmit(id)).contains(&END_OF_RIB));
}

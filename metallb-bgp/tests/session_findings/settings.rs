//! A configuration that changes, and switches of the peer.

use std::time::Duration;

use metallb_bgp::session::GracefulRestart;
use metallb_bgp::types::RouterId;

use crate::support::{Bench, mk_config, mk_id, with_graceful_restart};

// req: F9
#[test]
fn a_removed_router_id_is_pending_and_then_gone() {
    let mut config = mk_config();
    config.router_id = Some(mk_id(77));
    let (mut bench, id) = Bench::established(config.clone(), 90, Vec::new());
    assert_eq!(bench.snapshot().router_id, Some(mk_id(77)));
    config.router_id = None;
    bench.reconfigure(config);
    assert_eq!(bench.snapshot().pending, ["router ID"]);
    bench.session.handle_closed(bench.now, id, None);
    bench.effects();
    bench.wait();
    let next = bench.connect();
    bench.establish(next, 90, Vec::new());
    let local = RouterId::new([192, 0, 2, 2].into()).unwrap();
    assert_eq!((bench.snapshot().router_id, bench.snapshot().pending), (Some(local), Vec::new()));
}

// req: !F9
#[test]
fn a_router_id_that_is_named_as_it_was_derived_is_not_pending() {
    let (mut bench, _) = Bench::established(mk_config(), 90, Vec::new());
    let mut config = mk_config();
    config.router_id = bench.snapshot().router_id;
    bench.reconfigure(config.clone());
    assert_eq!(bench.snapshot().pending, Vec::<&str>::new());
    config.router_id = Some(mk_id(3));
    bench.reconfigure(config);
    assert_eq!(bench.snapshot().pending, ["router ID"]);
}

#[test]
fn a_changed_restart_time_is_pending() {
    let (mut bench, _) = Bench::established(with_graceful_restart(), 90, crate::support::graceful());
    let mut config = with_graceful_restart();
    let restart_time = Duration::from_secs(5);
    config.graceful_restart = Some(GracefulRestart { restart_time, ..GracefulRestart::default() });
    bench.reconfigure(config);
    assert_eq!(bench.snapshot().pending, ["graceful restart"]);
}

//! A configuration that changes, and switches of the peer.

use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::{CloseReason, GracefulRestart, Session};
use metallb_bgp::types::{Family, HoldTime, RouterId};
use metallb_bgp::wire::Message;
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::header::Framer;

use crate::support::{
    Bench, kinds, mk_config, mk_id, mk_keepalive, mk_open, mk_route, with_graceful_restart,
};

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

/// What our OPEN says of restarts: R, and the F bits of both forms.
fn said_of_restarts(octets: &[u8]) -> (bool, Vec<bool>, Vec<bool>) {
    let (mut framer, mut rest) = (Framer::new(), octets);
    let Ok(Message::Open(open)) = Message::parse(framer.next_frame(&mut rest).unwrap().unwrap()) else {
        panic!("no OPEN")
    };
    let mut said = (false, Vec::new(), Vec::new());
    for capability in &open.capabilities {
        match capability {
            Capability::GracefulRestart(graceful) => {
                said.0 = graceful.restarting;
                said.1 = graceful.families.iter().map(|entry| entry.forwarding).collect();
            }
            Capability::LongLivedGracefulRestart(all) => {
                said.2 = all.iter().map(|entry| entry.forwarding).collect();
            }
            _ => {}
        }
    }
    said
}

/// A session of a node that has just booted.
fn after_boot() -> Bench {
    let mut config = mk_config();
    config.graceful_restart = Some(GracefulRestart {
        forwarding_preserved: false,
        long_lived_stale_time: Some(Duration::from_secs(3600)),
        ..GracefulRestart::default()
    });
    Bench::new(config)
}

// req: G3, !G3
#[test]
fn forwarding_did_not_survive_a_boot_and_survives_every_end_of_a_session_after_it() {
    // With and without an End-of-RIB in the first session.
    for is_complete in [true, false] {
        let mut bench = after_boot();
        if is_complete {
            bench.table.complete();
        }
        bench.start();
        // An attempt that comes to nothing leaves everything as it was.
        for _ in 0..2 {
            let id = bench.connect();
            assert_eq!(said_of_restarts(&bench.transmit(id)), (true, vec![false], vec![false]));
            bench.session.handle_closed(bench.now, id, None);
            bench.effects();
            bench.wait();
        }
        let id = bench.connect();
        bench.establish(id, 90, crate::support::graceful());
        assert_eq!(bench.snapshot().pending, Vec::<&str>::new(), "no setting waits for the next session");
        for _ in 0..3 {
            let id = bench.session.connections().next().unwrap().0;
            bench.session.handle_closed(bench.now, id, None);
            bench.effects();
            bench.wait();
            let id = bench.connect();
            assert_eq!(said_of_restarts(&bench.transmit(id)), (!is_complete, vec![true], vec![true]));
            bench.establish(id, 90, crate::support::graceful());
        }
    }
}

// req: G3
#[test]
fn a_session_that_is_made_anew_says_that_forwarding_is_there() {
    let mut bench = after_boot();
    bench.session = Session::new("peer".into(), bench.session.config().clone(), mk_id(1)).without_restart();
    bench.start();
    let id = bench.connect();
    assert_eq!(said_of_restarts(&bench.transmit(id)), (false, vec![true], vec![true]));
}

/// Routes one to ten, then a limit of five.
fn limited_late(capabilities: Vec<Capability>) -> (Bench, metallb_bgp::session::ConnectionId) {
    let (mut bench, id) = Bench::established(mk_config(), 90, capabilities);
    for last in 1..=10 {
        bench.say(id, &mk_route(last));
    }
    let mut config = mk_config();
    config.max_prefixes = Some(5);
    bench.reconfigure(config);
    (bench, id)
}

// req: F7
#[test]
fn a_limit_of_prefixes_that_comes_late_counts_what_came_before() {
    let (mut bench, id) = limited_late(vec![Capability::RouteRefresh]);
    assert_eq!(kinds(&bench.transmit(id)), [5], "the peer is asked to say everything again");
    assert_eq!(bench.snapshot().pending, Vec::<&str>::new());
    for last in 1..=6 {
        bench.say(id, &mk_route(last));
    }
    assert_eq!(bench.session.state(), State::Idle);
    let words = bench.snapshot().last_error.unwrap().to_string();
    assert!(words.contains("Maximum Number of Prefixes Reached (6/1)"), "{words}");
}

// req: !F7
#[test]
fn a_limit_of_prefixes_that_cannot_be_counted_yet_is_pending() {
    let (mut bench, id) = limited_late(Vec::new());
    assert_eq!(kinds(&bench.transmit(id)), [0_u8; 0]);
    assert_eq!(bench.snapshot().pending, ["limit of prefixes"]);
    let mut config = mk_config();
    config.max_prefixes = None;
    bench.reconfigure(config);
    assert_eq!(bench.snapshot().pending, Vec::<&str>::new());
}

/// What we answer to an OPEN with this hold time and these capabilities.
fn answer(
    change: impl FnOnce(&mut metallb_bgp::session::PeerConfig),
    hold: u16,
    list: Vec<Capability>,
) -> String {
    let mut config = mk_config();
    change(&mut config);
    let mut bench = Bench::new(config);
    bench.start();
    let id = bench.connect();
    bench.transmit(id);
    bench.say(id, &mk_open(hold, list));
    bench.say(id, &mk_keepalive());
    match bench.snapshot().last_error {
        Some(CloseReason::Sent(notification)) => {
            assert!(bench.events.iter().any(|event| format!("{event:?}").contains("AttemptFailed")));
            notification.to_string()
        }
        Some(CloseReason::RefusedOpen(error)) => error.notification().to_string(),
        other => format!("{:?} {other:?}", bench.session.state()),
    }
}

// req: O3
#[test]
fn a_hold_time_below_the_users_minimum_is_refused() {
    let thirty = HoldTime::from_secs(30).ok();
    let said = answer(|config| config.minimum_hold_time = thirty, 29, Vec::new());
    assert_eq!(said, "OPEN Message Error/Unacceptable Hold Time (2/6)");
}

// req: !O3
#[test]
fn the_least_hold_time_and_none_at_all_are_accepted() {
    let thirty = HoldTime::from_secs(30).ok();
    for hold in [30, 0] {
        assert_eq!(answer(|config| config.minimum_hold_time = thirty, hold, Vec::new()), "Established None");
    }
    assert_eq!(answer(|_| {}, 3, Vec::new()), "Established None");
}

// req: O8
#[test]
fn a_peer_without_a_required_capability_is_refused_with_its_name() {
    let required = vec![Capability::from(Family::Ipv6Unicast), Capability::RouteRefresh];
    let said = answer(|config| config.required_capabilities = required, 90, vec![Capability::RouteRefresh]);
    assert_eq!(said, "OPEN Message Error/Unsupported Capability (2/7) 0x010400020001");
}

// req: !O8
#[test]
fn a_peer_with_the_required_capabilities_is_accepted() {
    let list = vec![Capability::from(Family::Ipv4Unicast), Capability::RouteRefresh];
    let required = list.clone();
    assert_eq!(answer(|config| config.required_capabilities = required, 90, list), "Established None");
}

// req: X5
#[test]
fn another_segment_size_waits_for_the_next_connection() {
    let (mut bench, id) = Bench::established(mk_config(), 90, Vec::new());
    let mut config = mk_config();
    config.tcp_mss = Some(1200);
    bench.reconfigure(config);
    assert_eq!((bench.session.state(), bench.snapshot().pending), (State::Established, vec!["segment size"]));
    bench.session.handle_closed(bench.now, id, None);
    bench.effects();
    bench.wait();
    let next = bench.connect();
    bench.establish(next, 90, Vec::new());
    assert_eq!(bench.snapshot().pending, Vec::<&str>::new());
}

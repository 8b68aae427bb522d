//! How often things happen.

use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::types::HoldTime;
use metallb_bgp::wire::iana;
use metallb_bgp::wire::notification::Notification;

use crate::support::{Bench, kinds, mk_config, mk_keepalive, mk_notification, mk_route};

// req: K1
#[test]
fn keepalives_are_a_second_apart_whatever_the_jitter() {
    let mut config = mk_config();
    config.hold_time = HoldTime::from_secs(3).unwrap();
    let (mut bench, id) = Bench::established(config, 3, Vec::new());
    let mut last = None;
    let mut shortest = Duration::MAX;
    for _ in 0..300 {
        bench.wait();
        if kinds(&bench.transmit(id)).contains(&4) {
            shortest = last.map_or(shortest, |last| shortest.min(bench.now - last));
            last = Some(bench.now);
        }
        bench.say(id, &mk_keepalive());
    }
    assert!(shortest >= Duration::from_secs(1), "{shortest:?}");
}

// req: F9
#[test]
fn a_hold_timer_that_is_due_starts_again_while_octets_wait_unread() {
    let mut config = mk_config();
    config.hold_time = HoldTime::from_secs(3).unwrap();
    let (mut bench, id) = Bench::established(config, 3, Vec::new());
    for _ in 0..3 {
        bench.now += Duration::from_secs(3);
        bench.session.handle_unread(bench.now, id);
        bench.session.handle_timeout(bench.now);
        assert_eq!(bench.session.state(), State::Established);
    }
    bench.now += Duration::from_secs(3);
    bench.session.handle_timeout(bench.now);
    assert_eq!(bench.session.state(), State::Idle, "nothing waited");
}

/// Sessions there are in ten minutes with a peer that says this as soon as each is established.
fn sessions(mut bench: Bench, said: &[u8]) -> u64 {
    bench.start();
    while bench.elapsed() < Duration::from_secs(600) {
        if !bench.dials.is_empty() {
            let id = bench.connect();
            bench.establish(id, 90, Vec::new());
            bench.say(id, said);
        }
        bench.wait();
    }
    bench.snapshot().counters.established
}

// req: F4
#[test]
fn a_peer_that_ends_each_session_at_once_gets_ever_fewer() {
    let said = mk_notification(&Notification::cease(iana::CEASE_ADMIN_SHUTDOWN));
    let count = sessions(Bench::new(mk_config()), &said);
    assert!((8..16).contains(&count), "1, 2, 4 … 120 s apart: {count}");
}

// req: F4
#[test]
fn a_peer_that_exceeds_its_limit_each_time_gets_ever_fewer_sessions() {
    let mut config = mk_config();
    config.max_prefixes = Some(0);
    let count = sessions(Bench::new(config), &mk_route(1));
    assert!((8..16).contains(&count), "{count}");
}

/// The wait after a session that was up this long and ended so.
fn wait_after(up: Duration, rounds: usize, end: Option<&Notification>) -> Duration {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let mut wait = Duration::ZERO;
    for _ in 0..rounds {
        let id = bench.connect();
        bench.establish(id, 0, Vec::new());
        bench.now += up;
        match end {
            Some(notification) => bench.say(id, &mk_notification(notification)),
            None => bench.session.handle_closed(bench.now, id, None),
        }
        bench.effects();
        let ended = bench.now;
        bench.wait();
        wait = bench.now - ended;
    }
    wait
}

// req: !F4
#[test]
fn a_session_that_was_up_for_long_is_tried_again_soon() {
    let long = Duration::from_secs(90);
    assert!(wait_after(long, 6, None) <= Duration::from_secs(1));
    assert!(wait_after(Duration::from_secs(10), 6, None) >= Duration::from_secs(24), "32 s less jitter");
    let shutdown = Notification::cease(iana::CEASE_ADMIN_SHUTDOWN);
    assert!(wait_after(long, 6, Some(&shutdown)) >= Duration::from_secs(24), "the peer does not want it");
    assert!(wait_after(Duration::from_secs(3600), 6, Some(&shutdown)) <= Duration::from_secs(1));
}

// req: F4
#[test]
fn an_attempt_is_not_given_up_before_a_lost_syn_was_sent_again() {
    for connect_time in [None, Some(1), Some(5)] {
        let mut config = mk_config();
        config.connect_time = connect_time.map(Duration::from_secs);
        let mut bench = Bench::new(config);
        bench.start();
        let first = bench.dials[0];
        while bench.dials == [first] {
            bench.wait();
        }
        assert!(bench.elapsed() >= Duration::from_secs(3), "{connect_time:?}: {:?}", bench.elapsed());
    }
    let mut bench = Bench::new(mk_config());
    bench.start();
    bench.now += Duration::from_millis(2500);
    bench.session.handle_timeout(bench.now);
    bench.effects();
    let id = bench.connect();
    assert!(bench.session.connections().any(|(open, _)| open == id));
}

// req: !F4
#[test]
fn a_connect_time_that_comes_to_be_too_short_makes_no_hot_loop() {
    let mut config = mk_config();
    config.passive = true;
    let mut bench = Bench::new(config.clone());
    bench.start();
    config.connect_time = Some(Duration::ZERO);
    bench.reconfigure(config);
    let before = bench.now;
    for _ in 0..10 {
        bench.wait();
    }
    assert!(bench.now - before >= Duration::from_millis(100));
}

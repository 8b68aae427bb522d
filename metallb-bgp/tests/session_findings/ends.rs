//! How sessions end.

use std::io::ErrorKind;
use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::{CloseReason, Event, PeerConfig, SettingNames, StopReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::wire::notification::Notification;

use crate::support::{
    Bench, graceful, kinds, mk_config, mk_keepalive, mk_notification, with_graceful_restart,
};

/// The last words of a session with graceful restart and one route that ends so: kinds of messages, and the code and
/// subcodes of the NOTIFICATION.
fn last_words(end: impl FnOnce(&mut Bench)) -> (Vec<u8>, Vec<u8>) {
    let mut bench = Bench::new(with_graceful_restart());
    bench.announce("198.51.100.1/32", RouteAttributes::new());
    bench.table.complete();
    bench.start();
    let id = bench.connect();
    bench.establish(id, 90, graceful());
    end(&mut bench);
    let (closed, last) = bench.closed.remove(0);
    assert_eq!(closed, id);
    let all = kinds(&last);
    let notification = all.iter().position(|kind| *kind == 3);
    let at = last.windows(19).rposition(|window| window[..16] == [0xff; 16] && window[18] == 3);
    let words = at.filter(|_| notification.is_some()).map(|at| last[at + 19..].to_vec());
    (all, words.unwrap_or_default())
}

fn changed(change: impl FnOnce(&mut PeerConfig)) -> (Vec<u8>, Vec<u8>) {
    last_words(|bench| {
        let mut config = with_graceful_restart();
        change(&mut config);
        bench.reconfigure(config);
    })
}

// req: G5
#[test]
fn whoever_does_not_see_the_session_again_is_told_to_forget_the_routes() {
    let hard_reset = |words: (Vec<u8>, Vec<u8>), subcode: u8| {
        assert_eq!(words.0, [2, 3], "a withdrawal, then the NOTIFICATION");
        assert_eq!(words.1[..4], [6, 9, 6, subcode]);
    };
    hard_reset(changed(|config| config.remote = ([192, 0, 2, 9], 179).into()), 6);
    hard_reset(changed(|config| config.graceful_restart = None), 6);
    hard_reset(last_words(|bench| bench.stop(&StopReason::OutOfResources)), 8);
    hard_reset(last_words(|bench| bench.stop(&StopReason::BfdDown)), 10);
    hard_reset(last_words(|bench| bench.stop(&StopReason::Deconfigured)), 3);
}

// req: !G5
#[test]
fn a_peer_that_sees_the_session_again_keeps_the_routes() {
    let other_families = changed(|config| config.families = metallb_bgp::session::OfferedFamilies::Both);
    assert_eq!(other_families, (vec![3], vec![6, 6]));
    assert_eq!(last_words(|bench| bench.stop(&StopReason::Reset(String::new()))), (vec![3], vec![6, 4]));
}

// req: G4
#[test]
fn a_restart_says_nothing_where_graceful_restart_was_agreed_on() {
    assert_eq!(last_words(|bench| bench.stop(&StopReason::Restart(String::new()))), (Vec::new(), Vec::new()));
}

// req: !G4
#[test]
fn a_restart_is_a_shutdown_where_it_was_not() {
    let (mut bench, _) = Bench::established(mk_config(), 90, Vec::new());
    bench.stop(&StopReason::Restart("upgrade".to_owned()));
    assert_eq!(bench.closed[0].1, mk_notification(&Notification::cease_with_text(2, "upgrade")));
}

// req: F8
#[test]
fn the_send_hold_timer_is_named_as_the_reason() {
    let (mut bench, id) = Bench::established(mk_config(), 90, Vec::new());
    while bench.session.state() == State::Established {
        bench.wait();
        if bench.session.state() == State::Established {
            bench.say(id, &mk_keepalive());
        }
    }
    assert!(bench.elapsed() >= Duration::from_secs(480));
    assert_eq!(bench.snapshot().last_error, Some(CloseReason::SendHoldExpired));
    assert_eq!(bench.snapshot().counters.notifications_sent, 1);
}

/// What was told of segments that nobody acknowledged, for a session that ends `after` some seconds.
fn sent_in_vain(after: u64, end: &Notification) -> Vec<u32> {
    let (mut bench, id) = Bench::established(mk_config(), 90, Vec::new());
    let until = bench.now + Duration::from_secs(after);
    while bench.now < until {
        bench.now += Duration::from_secs(10);
        bench.say(id, &mk_keepalive());
    }
    bench.say(id, &mk_notification(end));
    bench.session.handle_unacknowledged(id, 7, 1448);
    // Once, whatever else is said.
    bench.session.handle_unacknowledged(id, 9, 1448);
    bench.effects();
    let segments = |event: &Event| match event {
        Event::Unacknowledged { segments, .. } => Some(segments.segments),
        _ => None,
    };
    bench.events.iter().filter_map(segments).collect()
}

// req: X5, !X5
#[test]
fn a_path_is_suspected_when_a_session_ends_soon_and_what_was_sent_did_not_arrive() {
    let expired = Notification::new(4, 0);
    assert_eq!(sent_in_vain(90, &expired), [7]);
    assert_eq!(sent_in_vain(170, &expired), [7]);
    assert_eq!(sent_in_vain(180, &expired), [], "it was up for two hold times");
    assert_eq!(sent_in_vain(90, &Notification::new(6, 2)), [], "the router does not want it");
}

// req: X5
#[test]
fn the_snapshot_says_what_was_sent_in_vain_until_the_next_error() {
    let (mut bench, id) = Bench::established(mk_config(), 90, Vec::new());
    bench.say(id, &mk_notification(&Notification::new(4, 0)));
    bench.session.handle_unacknowledged(id, 7, 1448);
    let segments = bench.snapshot().unacknowledged.unwrap();
    assert_eq!((segments.segments, segments.size), (7, 1448));
    let words = segments.explain(&SettingNames::LIBRARY);
    assert!(words.contains("7 segments of up to 1448 octets") && words.contains("MTU"), "{words}");
    assert!(words.ends_with("or set tcp_mss"), "{words}");
    while bench.dials.is_empty() {
        bench.wait();
    }
    let dial = bench.dials[0];
    bench.session.handle_closed(bench.now, dial, Some(ErrorKind::ConnectionRefused));
    bench.effects();
    assert_eq!(bench.snapshot().unacknowledged, None);
}

// req: X5
#[test]
fn it_does_not_matter_whose_hold_timer_runs_out_first() {
    let (mut bench, id) = Bench::established(mk_config(), 90, Vec::new());
    while bench.session.state() == State::Established {
        bench.wait();
    }
    assert_eq!(bench.snapshot().last_error, Some(CloseReason::Sent(Notification::new(4, 0))));
    bench.session.handle_unacknowledged(id, 7, 1448);
    bench.effects();
    assert!(matches!(bench.events.last(), Some(Event::Unacknowledged { .. })));
}

//! What happens because time goes by: attempts, keepalives, the hold time, and nothing at all after a stop.

use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::StopReason;
use metallb_bgp::types::{HoldTime, RemoteAs};

use crate::world::{World, quick};

// req: !F4
#[test]
fn a_peer_that_always_refuses_is_tried_ever_less_often() {
    let mut world = World::new(quick);
    // Node 1 expects another AS: it refuses every OPEN.
    let mut config = world.nodes[1].session.config().clone();
    config.remote_asn = RemoteAs::Internal;
    config.passive = true;
    let now = world.now;
    let node = &mut world.nodes[1];
    node.session.reconfigure(now, config, &mut node.table);
    let mut attempts = Vec::new();
    while world.now < world.start + Duration::from_secs(1000) {
        if !world.nodes[0].dials.is_empty() {
            attempts.push(world.now - world.start);
            world.connect(0, true);
        }
        for index in 0..world.pipes.len() {
            for writer in [0, 1] {
                world.deliver(writer, index, usize::MAX);
            }
        }
        world.advance(Duration::from_millis(100));
    }
    let gaps: Vec<_> = attempts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let base = [1000, 2000, 4000, 8000, 16000, 32000, 64000, 120_000];
    for (gap, most) in gaps.iter().zip(base.map(Duration::from_millis)) {
        let (least, most) = (most * 3 / 4, most + Duration::from_millis(200));
        assert!((least..most).contains(gap), "{gaps:?}");
    }
    assert!(attempts.len() <= 18, "1 + 2 + 4 + … + 120 + 120: {gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(125)), "{gaps:?}");
}

// req: !F9
#[test]
fn a_silent_peer_is_given_up_after_the_hold_time() {
    let mut world = World::new(quick);
    world.settle();
    let from = world.now;
    // Nothing is delivered any more.
    while world.nodes[0].state == State::Established {
        let next = world.nodes[0].session.next_timeout().unwrap();
        world.advance(next.saturating_duration_since(world.now));
    }
    let took = world.now - from;
    assert!(took >= Duration::from_secs(6) && took <= Duration::from_secs(9), "{took:?}");
    let snapshot = world.nodes[0].session.snapshot(&world.nodes[0].table);
    assert_eq!(snapshot.last_error.unwrap().to_string(), "sent Hold Timer Expired (4/0)");
}

/// Two settled ends, of which the first says so much in so long a time.
fn keepalives(hold_time: u16, configured: Option<Duration>, changes: u32) -> (u64, u64) {
    let mut world = World::new(|_, config| {
        config.hold_time = HoldTime::from_secs(hold_time).unwrap();
        config.keepalive_time = configured;
    });
    world.settle();
    let counters = |world: &World| {
        let node = &world.nodes[0];
        node.session.snapshot(&node.table).counters
    };
    let before = counters(&world);
    for step in 0..600_u32 {
        if changes > 0 && step % (600 / changes) == 0 {
            world.set(0, 1, Some(step));
        }
        world.advance(Duration::from_millis(100));
        world.drain();
        assert!(world.nodes.iter().all(|node| node.state == State::Established));
    }
    let after = counters(&world);
    world.finish();
    (after.keepalives_sent - before.keepalives_sent, after.updates_sent - before.updates_sent)
}

// req: K1
#[test]
fn keepalives_come_at_a_third_of_the_hold_time_or_as_configured() {
    // With jitter an interval is three quarters to all of what it says.
    let within =
        |(sent, _): (u64, u64), interval: u64| (60 / interval..=60 * 4 / (3 * interval) + 1).contains(&sent);
    assert!(within(keepalives(9, None, 0), 3));
    assert!(within(keepalives(90, None, 0), 30));
    assert!(within(keepalives(90, Some(Duration::from_secs(5)), 0), 5));
    assert!(within(keepalives(9, Some(Duration::from_secs(60)), 0), 3), "longer than a third does not count");
}

// req: !K1
#[test]
fn keepalives_are_left_out_without_a_hold_time_and_while_updates_say_the_same() {
    assert_eq!(keepalives(0, None, 0), (0, 0));
    assert_eq!(keepalives(9, None, 60), (0, 60), "an UPDATE each second");
    let (sent, _) = keepalives(9, Some(Duration::from_millis(1)), 0);
    assert!(sent <= 81, "never more often than each second, less jitter: {sent}");
}

// req: !F3, !G5
#[test]
fn a_stopped_session_stays_stopped() {
    let mut world = World::new(quick);
    world.settle();
    let now = world.now;
    let node = &mut world.nodes[0];
    node.session.stop(now, &StopReason::Shutdown(String::new()), &mut node.table);
    world.work();
    assert_eq!(world.nodes[0].session.next_timeout(), None, "no timer is left");
    for _ in 0..200 {
        for index in 0..world.pipes.len() {
            world.deliver(0, index, usize::MAX);
        }
        world.connect(1, true);
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(world.nodes[0].state, State::Idle);
}

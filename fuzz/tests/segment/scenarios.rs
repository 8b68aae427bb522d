//! Single events, and how long they may be noticed.

use std::net::IpAddr;
use std::time::Duration;

use metallb_core::membership::Timing;

use crate::history::{Event, happen};
use crate::segment::Segment;
use crate::truth::{Truth, service_address};
use crate::watch::CALM;

/// How long nobody, and how long more than one, answered for the first address.
#[derive(Debug, Default, PartialEq, Eq)]
struct Noticed {
    nobody: Duration,
    several: Duration,
}

const STEP: Duration = Duration::from_millis(1);

fn started(size: usize, seed: u64) -> Segment {
    let mut segment = Segment::new(Truth::new(size, 1), seed, None);
    for index in 0..size {
        happen(&mut segment, &Event::Start(index));
    }
    segment.run_for(CALM * 2);
    segment
}

fn address() -> IpAddr {
    service_address(1)
}

fn owner(segment: &Segment) -> usize {
    let answering = segment.answering(address());
    assert_eq!(answering.len(), 1, "{answering:?}");
    *answering.first().unwrap()
}

fn notice(segment: &mut Segment, event: &Event) -> Noticed {
    happen(segment, event);
    let (mut noticed, end) = (Noticed::default(), segment.now + CALM);
    while segment.now < end {
        match segment.answering(address()).len() {
            0 => noticed.nobody += STEP,
            1 => {}
            _ => noticed.several += STEP,
        }
        segment.run_for(STEP);
    }
    assert!(segment.watch.violations.is_empty(), "{:#?}", segment.watch.violations);
    noticed
}

const NEVER: Duration = Duration::ZERO;
/// What a hand-over takes: the successor announces, the other one hears of it.
const MOMENT: Duration = Duration::from_millis(60);

#[test]
fn nobody_notices_an_owner_that_leaves_and_comes_back() {
    for seed in 0..8 {
        let mut segment = started(4, seed);
        let first = owner(&segment);
        let left = notice(&mut segment, &Event::Drain(first));
        assert!(left.nobody == NEVER && left.several <= MOMENT, "seed {seed}: {left:?}");
        assert!(segment.hosts[first].process.is_none(), "the drain has an end");
        assert_ne!(owner(&segment), first);
        let back = notice(&mut segment, &Event::Start(first));
        assert!(back.nobody == NEVER && back.several <= MOMENT, "seed {seed}: {back:?}");
        assert_eq!(owner(&segment), first);
    }
}

#[test]
fn a_dead_owner_is_replaced_within_half_a_second() {
    for seed in 0..8 {
        let mut segment = started(4, seed);
        let first = owner(&segment);
        let killed = notice(&mut segment, &Event::Kill(first));
        assert!(killed.nobody <= Duration::from_millis(450) && killed.several == NEVER, "{killed:?}");
    }
}

#[test]
fn a_restart_of_another_node_is_never_noticed() {
    for seed in 0..8 {
        let mut segment = started(4, seed);
        let first = owner(&segment);
        let restarted = notice(&mut segment, &Event::Restart((first + 1) % 4));
        assert_eq!(restarted, Noticed::default(), "seed {seed}");
        assert_eq!(owner(&segment), first);
    }
}

/// The client is on the side of the one that has to stop.
#[test]
fn after_a_partition_the_client_finds_the_owner_at_once() {
    for seed in 0..8 {
        let mut segment = started(4, seed);
        let first = owner(&segment);
        notice(&mut segment, &Event::Part(1 << first));
        assert_eq!(segment.answering(address()).len(), 2, "each side has its own");
        let healed = notice(&mut segment, &Event::Heal);
        assert!(healed.nobody == NEVER && healed.several <= MOMENT * 2, "seed {seed}: {healed:?}");
        assert_eq!(owner(&segment), first);
        assert!(segment.client.cache.get(&address()).is_none_or(|at| *at == crate::node::mac(first)));
    }
}

/// Three, twenty or a hundred speakers for hours in which nothing happens: nothing moves.
/// `METALLB_SPEAKERS=20 METALLB_HOURS=10` for more than the three for a few minutes.
#[test]
fn nothing_moves_while_nothing_happens() {
    let size = usize::try_from(crate::setting("METALLB_SPEAKERS").unwrap_or(3)).unwrap();
    let hours = crate::setting("METALLB_HOURS");
    let time = hours.map_or(Duration::from_secs(300), |hours| Duration::from_secs(hours * 3600));
    let mut segment = Segment::new(Truth::new(size, 6), 1, None);
    segment.loss = 20_000;
    segment.timing = if size > 50 { Timing::WAN } else { Timing::LAN };
    for index in 0..size {
        happen(&mut segment, &Event::Start(index));
    }
    segment.run_for(CALM * 3);
    let moves = segment.watch.total_moves;
    segment.run_for(time);
    assert_eq!(segment.watch.total_moves, moves);
    assert!(segment.watch.violations.is_empty(), "{:#?}", segment.watch.violations);
    println!("{size} speakers, {time:?}: {} checks", segment.watch.checks);
}

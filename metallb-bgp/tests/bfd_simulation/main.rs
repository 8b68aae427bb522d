//! Two nodes that watch the path between them, in virtual time, over a link that loses and delays packets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests: any instant will do as the origin of virtual time"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use metallb_bgp::bfd::wire::State;
use metallb_bgp::bfd::{Arrival, Event, Hops, Path, Profile, Sessions, User};
use proptest::prelude::*;

/// What the link does with each packet.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// Of a thousand packets so many are lost.
    loss: u32,
    delay: Duration,
}

/// Two nodes and what is under way between them.
struct World {
    start: Instant,
    now: Instant,
    nodes: [Sessions; 2],
    links: [Link; 2],
    /// When what arrives where; the number keeps them apart.
    under_way: BTreeMap<(Instant, u64), (usize, [u8; 24])>,
    number: u64,
    dice: u64,
    events: Vec<(Duration, usize, Event)>,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn address(node: usize) -> IpAddr {
    [192, 0, 2, if node == 0 { 1 } else { 2 }].into()
}

fn path(from: usize) -> Path {
    Path::new(address(1 - from), Hops::One)
}

fn profile(interval: u64, multiplier: u8) -> Profile {
    Profile::new(ms(interval), ms(interval), multiplier).unwrap()
}

impl World {
    fn new(seed: u64, profiles: [Profile; 2], link: Link) -> Self {
        let now = Instant::now();
        let mut world = Self {
            start: now,
            now,
            nodes: [Sessions::new(seed), Sessions::new(seed + 1)],
            links: [link; 2],
            under_way: BTreeMap::new(),
            number: 0,
            dice: seed | 1,
            events: Vec::new(),
        };
        for (node, profile) in profiles.into_iter().enumerate() {
            world.watch(node, profile);
        }
        world
    }

    fn watch(&mut self, node: usize, profile: Profile) {
        self.nodes[node].watch(self.now, User::new("peer"), path(node), profile);
        self.collect(node);
    }

    fn is_lost(&mut self, node: usize) -> bool {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 20) % 1000 < u64::from(self.links[node].loss)
    }

    fn collect(&mut self, node: usize) {
        while let Some(transmit) = self.nodes[node].poll_transmit(self.now) {
            self.number += 1;
            if !self.is_lost(node) {
                let at = self.now + self.links[node].delay;
                self.under_way.insert((at, self.number), (1 - node, transmit.octets));
            }
        }
        while let Some(event) = self.nodes[node].poll_event() {
            self.events.push((self.now - self.start, node, event));
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timeouts = self.nodes.iter().filter_map(Sessions::next_timeout);
            let arrivals = self.under_way.keys().next().map(|(at, _)| *at);
            let Some(next) = timeouts.chain(arrivals).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (node, octets) = entry.remove();
                let arrival = Arrival {
                    remote: address(1 - node),
                    local: address(node),
                    interface: 1,
                    device: None,
                    hops: Hops::One,
                    ttl: 255,
                };
                // What is for a session that is gone means nothing.
                let _ = self.nodes[node].handle_datagram(self.now, &arrival, &octets);
                self.collect(node);
            }
            for node in 0..2 {
                self.nodes[node].handle_timeout(self.now);
                self.collect(node);
            }
        }
        self.now = end;
    }

    fn states(&self) -> [State; 2] {
        [0, 1].map(|node| self.nodes[node].snapshot()[0].session.state)
    }

    /// When each node saw the path fail, since the start.
    fn failures(&self) -> Vec<(Duration, usize)> {
        let failures = self.events.iter().filter(|(_, _, event)| event.change.is_failure());
        failures.map(|(at, node, _)| (*at, *node)).collect()
    }
}

const GOOD: Link = Link { loss: 0, delay: Duration::from_millis(2) };
const CUT: Link = Link { loss: 1000, delay: Duration::ZERO };
const UP: [State; 2] = [State::Up, State::Up];

// req: B2, B5
#[test]
fn a_session_comes_up_within_two_seconds_and_a_cut_is_seen_within_the_detection_time() {
    for seed in 0..200 {
        let mut world = World::new(seed, [profile(50, 3); 2], GOOD);
        world.run(ms(1300));
        assert_eq!(world.states(), UP, "{seed}");
        world.run(ms(500 + seed));
        assert_eq!(world.failures(), []);
        let cut = world.now - world.start;
        world.links = [CUT; 2];
        world.run(ms(160));
        let failures = world.failures();
        assert_eq!(failures.len(), 2, "{seed}");
        assert!(
            failures.iter().all(|(at, _)| (ms(100)..=ms(154)).contains(&at.saturating_sub(cut))),
            "{failures:?} {cut:?}"
        );
        world.links = [GOOD; 2];
        world.run(ms(1300));
        assert_eq!(world.states(), UP);
    }
}

// req: B2
#[test]
fn a_cut_in_one_direction_is_seen_by_both_sides() {
    let mut world = World::new(3, [profile(50, 3); 2], GOOD);
    world.run(ms(2000));
    world.links[0] = CUT;
    world.run(ms(160));
    let nodes: Vec<usize> = world.failures().into_iter().map(|(_, node)| node).collect();
    assert_eq!(nodes, [1, 0], "who hears nothing says so to the other");
    world.run(ms(60_000));
    assert_eq!(world.states(), [State::Init, State::Down], "and neither takes it for up");
}

// req: B3, B4
#[test]
fn unequal_intervals_are_agreed_on_and_follow_changes_without_a_failure() {
    let mut world = World::new(5, [profile(50, 3), profile(400, 5)], GOOD);
    world.run(ms(5000));
    let negotiated = |world: &World| {
        [0, 1].map(|node| {
            let session = &world.nodes[node].snapshot()[0].session;
            (session.transmit_interval, session.detection_time.unwrap())
        })
    };
    assert_eq!(negotiated(&world), [(ms(400), ms(2000)), (ms(400), ms(1200))]);
    for (node, interval, multiplier) in [(1, 20, 3), (0, 1000, 3), (0, 10, 255), (1, 60_000, 2), (1, 100, 2)]
    {
        world.watch(node, profile(interval, multiplier));
        world.run(ms(130_000));
        assert_eq!(world.states(), UP);
    }
    assert_eq!(negotiated(&world), [(ms(100), ms(200)), (ms(100), ms(25_500))]);
    assert_eq!(world.failures(), []);
}

// req: B11
#[test]
fn a_planned_stop_is_no_failure_even_when_packets_are_lost() {
    let mut failed = 0;
    for seed in 0..100 {
        let mut world = World::new(seed, [profile(50, 3); 2], GOOD);
        world.run(ms(2000));
        assert_eq!(world.states(), UP);
        world.links = [Link { loss: 300, ..GOOD }; 2];
        let now = world.now;
        world.nodes[0].release_all(now);
        world.collect(0);
        world.run(ms(1000));
        failed += world.failures().len();
        assert!(world.nodes[0].is_empty());
    }
    // Only where every single word was lost: each packet of the neighbour asks for another one.
    assert!(failed <= 10, "{failed} of 100");
}

// req: B2, !B2
#[test]
fn a_node_that_restarts_is_seen_and_comes_back() {
    let mut world = World::new(8, [profile(50, 3); 2], GOOD);
    world.run(ms(2000));
    world.nodes[0] = Sessions::new(99);
    world.watch(0, profile(50, 3));
    world.run(ms(2500));
    assert_eq!(world.failures().iter().map(|(_, node)| *node).collect::<Vec<_>>(), [1]);
    assert_eq!(world.states(), UP);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // req: !B3, !B4, !B5
    #[test]
    fn whatever_was_lost_both_sides_agree_once_the_link_is_good(
        seed in 0_u64..1_000_000,
        loss in 0_u32..900,
        delay in 0_u64..400,
        intervals in prop::collection::vec((0_usize..2, 10_u64..1000, 2_u8..10), 1..6),
    ) {
        let mut world = World::new(seed, [profile(100, 3); 2], Link { loss, delay: ms(delay) });
        for (node, interval, multiplier) in intervals {
            world.watch(node, profile(interval, multiplier));
            world.run(ms(3000));
        }
        world.links = [GOOD; 2];
        world.run(ms(15_000));
        prop_assert_eq!(world.states(), UP);
        let failures = world.failures().len();
        world.run(ms(30_000));
        prop_assert_eq!(world.failures().len(), failures, "it flaps");
        let [one, other] = [0, 1].map(|node| world.nodes[node].snapshot()[0].session.clone());
        prop_assert!(!one.polling && !other.polling);
        prop_assert_eq!(one.transmit_interval * 1000, other.detection_time.unwrap() * 1000 / u32::from(other.remote_detect_multiplier));
    }
}

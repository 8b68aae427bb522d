//! Two speakers in virtual time, over pipes that split, stall and break.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests; the clock is read once as the base of virtual time"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use metallb_bgp::fsm::State;
use metallb_bgp::session::{
    ConnectionId, Effect, Endpoints, Event, GracefulRestart, PeerConfig, Session, StopReason,
};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Community, HoldTime, RemoteAs, RouterId};
use proptest::prelude::*;

/// One direction of a pipe.
#[derive(Default)]
struct Lane {
    octets: VecDeque<u8>,
    /// The writer has closed; the reader learns it after the octets.
    closed: bool,
    told: bool,
    /// What the writer has written so far ended with a NOTIFICATION.
    said_goodbye: bool,
}

struct Pipe {
    /// The ends: who, and under which id; `None` once closed there.
    ends: [Option<ConnectionId>; 2],
    /// Lane `n` is written by node `n`.
    lanes: [Lane; 2],
}

struct Node {
    session: Session,
    table: AdvTable,
    received: BTreeMap<IpNetwork, Vec<Community>>,
    announced: BTreeMap<IpNetwork, Vec<Community>>,
    dials: Vec<ConnectionId>,
    state: State,
    established: u64,
}

struct World {
    now: Instant,
    start: Instant,
    nodes: [Node; 2],
    pipes: Vec<Pipe>,
    /// The end that dialled learns of a connection before the other one.
    dialler_first: bool,
}

fn address(node: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(node).unwrap() + 1], port))
}

/// The BGP identifier of a node: that of node 1 is the higher one.
fn router_id(node: usize) -> RouterId {
    RouterId::new(Ipv4Addr::new(10, 0, 0, u8::try_from(node).unwrap() + 1)).unwrap()
}

impl World {
    fn new(change: impl Fn(usize, &mut PeerConfig)) -> Self {
        let now = Instant::now();
        let nodes = [0, 1].map(|n| {
            let own = u32::try_from(n).unwrap();
            let remote = RemoteAs::Asn(Asn::new(64512 + (1 - own)));
            let mut config = PeerConfig::new(address(1 - n, 179), Asn::new(64512 + own), remote);
            config.import = true;
            config.seed = u64::try_from(n).unwrap() + 1;
            change(n, &mut config);
            let mut session = Session::new("peer".into(), config, router_id(n));
            session.start(now);
            let mut table = AdvTable::new();
            table.complete();
            Node {
                session,
                table,
                received: BTreeMap::new(),
                announced: BTreeMap::new(),
                dials: Vec::new(),
                state: State::Idle,
                established: 0,
            }
        });
        let mut world = Self { now, start: now, nodes, pipes: Vec::new(), dialler_first: false };
        world.work();
        world
    }

    fn pipe_of(&self, node: usize, id: ConnectionId) -> Option<usize> {
        self.pipes.iter().position(|pipe| pipe.ends[node] == Some(id))
    }

    /// Does what the sessions ask for until they are quiet, and checks what must always hold.
    fn work(&mut self) {
        for node in [0, 1] {
            self.effects(node);
            for index in 0..self.pipes.len() {
                self.transmit(node, index);
            }
            self.events(node);
            self.check(node);
        }
    }

    fn effects(&mut self, node: usize) {
        loop {
            let Node { session, table, .. } = &mut self.nodes[node];
            match session.poll_effect(table) {
                None => return,
                Some(Effect::Connect(id)) => self.nodes[node].dials.push(id),
                Some(Effect::Close { id, last }) => {
                    self.nodes[node].dials.retain(|dial| *dial != id);
                    if let Some(index) = self.pipe_of(node, id) {
                        self.write(node, index, &last);
                        let pipe = &mut self.pipes[index];
                        pipe.ends[node] = None;
                        pipe.lanes[node].closed = true;
                    }
                }
                Some(other) => panic!("unknown effect {other:?}"),
            }
        }
    }

    fn transmit(&mut self, node: usize, index: usize) {
        let Some(id) = self.pipes[index].ends[node] else { return };
        let mut out = Vec::new();
        while self.pipes[index].lanes[node].octets.len() < 200_000 {
            out.clear();
            let Node { session, table, .. } = &mut self.nodes[node];
            if !session.poll_transmit(self.now, id, table, &mut out) {
                return;
            }
            self.write(node, index, &out);
            self.nodes[node].session.handle_written(self.now, id, out.len());
        }
    }

    fn write(&mut self, node: usize, index: usize, octets: &[u8]) {
        let lane = &mut self.pipes[index].lanes[node];
        let mut rest = octets;
        while !rest.is_empty() {
            assert!(!lane.said_goodbye, "octets after a NOTIFICATION");
            let length = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
            lane.said_goodbye = rest[18] == 3;
            rest = &rest[length..];
        }
        assert!(!lane.closed || octets.is_empty(), "octets after close");
        lane.octets.extend(octets);
    }

    fn events(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        while let Some(event) = node.session.poll_event() {
            match event {
                Event::Received { update, .. } => {
                    assert_eq!(node.state, State::Established, "routes outside a session");
                    for prefix in update.withdrawn {
                        node.received.remove(&prefix);
                    }
                    let with_communities = |(prefix, attributes): (_, std::sync::Arc<_>)| {
                        let attributes: &metallb_bgp::types::Attributes = &attributes;
                        (prefix, attributes.communities.clone())
                    };
                    node.received.extend(update.announced.into_iter().map(with_communities));
                }
                Event::StateChanged { state, .. } => {
                    if state == State::Established {
                        node.established += 1;
                    } else {
                        node.received.clear();
                    }
                    node.state = state;
                }
                Event::EndOfRib { .. } | Event::AttemptFailed { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn check(&self, node: usize) {
        let node = &self.nodes[node];
        let connections: Vec<_> = node.session.connections().collect();
        let up = connections.iter().filter(|(_, state)| *state == State::Established).count();
        assert!(up <= 1, "two established connections: {connections:?}");
        assert!(connections.len() <= 2);
        assert_eq!(node.state, node.session.state());
        if node.session.state() == State::Idle {
            assert!(connections.is_empty(), "an idle session holds {connections:?}");
        }
    }

    /// Lets the oldest dial of a node arrive at the other one, or fail.
    fn connect(&mut self, node: usize, succeed: bool) {
        if self.nodes[node].dials.is_empty() {
            return;
        }
        let id = self.nodes[node].dials.remove(0);
        if !succeed {
            let refused = Some(std::io::ErrorKind::ConnectionRefused);
            self.nodes[node].session.handle_closed(self.now, id, refused);
            return self.work();
        }
        let (here, there) = (address(node, 40000), address(1 - node, 179));
        let index = self.pipes.len();
        let mut pipe = Pipe { ends: [None; 2], lanes: [Lane::default(), Lane::default()] };
        pipe.ends[node] = Some(id);
        self.pipes.push(pipe);
        if self.dialler_first {
            self.nodes[node].session.handle_connected(self.now, id, Endpoints::new(here, there));
            self.work();
        }
        let accepted = self.nodes[1 - node].session.handle_accepted(self.now, Endpoints::new(there, here));
        self.pipes[index].ends[1 - node] = accepted;
        self.pipes[index].lanes[1 - node].closed = accepted.is_none();
        if !self.dialler_first {
            self.nodes[node].session.handle_connected(self.now, id, Endpoints::new(here, there));
        }
        self.work();
    }

    /// Delivers up to `count` octets that `node` wrote into a pipe.
    fn deliver(&mut self, node: usize, index: usize, count: usize) -> bool {
        let Some(pipe) = self.pipes.get_mut(index) else { return false };
        let lane = &mut pipe.lanes[node];
        let reader = pipe.ends[1 - node];
        let count = count.min(lane.octets.len());
        let octets: Vec<u8> = lane.octets.drain(..count).collect();
        let over = lane.octets.is_empty() && lane.closed && !lane.told;
        lane.told |= over;
        let Some(id) = reader else { return count > 0 || over };
        if count > 0 {
            self.nodes[1 - node].session.handle_data(self.now, id, &octets);
            self.work();
        }
        if over {
            self.nodes[1 - node].session.handle_closed(self.now, id, None);
            self.work();
        }
        count > 0 || over
    }

    /// Breaks a pipe: both ends learn it at once, what was under way is lost.
    fn reset(&mut self, index: usize) {
        let Some(pipe) = self.pipes.get_mut(index) else { return };
        let ends = pipe.ends;
        for lane in &mut pipe.lanes {
            lane.octets.clear();
            lane.told = true;
            lane.closed = true;
        }
        pipe.ends = [None; 2];
        for node in [0, 1] {
            if let Some(id) = ends[node] {
                let error = Some(std::io::ErrorKind::ConnectionReset);
                self.nodes[node].session.handle_closed(self.now, id, error);
            }
        }
        self.work();
    }

    /// One end of a pipe breaks; the other one is told nothing.
    fn vanish(&mut self, node: usize, index: usize) {
        let pipe = &mut self.pipes[index];
        pipe.lanes[node].closed = true;
        for lane in &mut pipe.lanes {
            lane.octets.clear();
            lane.told = true;
        }
        if let Some(id) = pipe.ends[node].take() {
            let error = Some(std::io::ErrorKind::ConnectionReset);
            self.nodes[node].session.handle_closed(self.now, id, error);
        }
        self.work();
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        for node in &mut self.nodes {
            node.session.handle_timeout(self.now);
            let next = node.session.next_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer is due and was not seen to");
        }
        self.work();
    }

    /// Stops both sessions: nothing may be left of them, no timer, no connection, no place in the table.
    fn finish(mut self) {
        for node in &mut self.nodes {
            node.session.stop(self.now, &StopReason::Shutdown(String::new()), &mut node.table);
        }
        self.work();
        for node in &self.nodes {
            assert_eq!(node.session.state(), State::Idle);
            assert_eq!(node.session.next_timeout(), None, "a timer is left");
            assert_eq!(node.session.connections().count(), 0);
            assert!(!node.session.has_events());
            assert!(node.dials.is_empty(), "an attempt to connect is left");
            let snapshot = node.session.snapshot(&node.table);
            assert_eq!((snapshot.advertised_v4, snapshot.queued_octets), (0, 0));
        }
        assert!(self.pipes.iter().all(|pipe| pipe.ends.iter().all(Option::is_none)));
    }

    /// Delivers everything that is under way and what follows from it.
    fn drain(&mut self) {
        while (0..self.pipes.len()).any(|index| {
            [0, 1].into_iter().fold(false, |moved, node| moved | self.deliver(node, index, usize::MAX))
        }) {}
    }

    fn set(&mut self, node: usize, prefix: u8, community: Option<u32>) {
        let prefix: IpNetwork = format!("198.51.100.{prefix}/32").parse().unwrap();
        let routes: Vec<Announcement> = community
            .map(|community| Announcement {
                peers: ["peer".into()].into(),
                attributes: RouteAttributes::new().with_communities([Community(community)]),
            })
            .into_iter()
            .collect();
        let node = &mut self.nodes[node];
        node.table.set(prefix, &routes);
        match community {
            Some(community) => node.announced.insert(prefix, vec![Community(community)]),
            None => node.announced.remove(&prefix),
        };
        self.work();
    }

    /// The network works: lets everything happen until both sides agree. Returns how long that took.
    fn settle(&mut self) -> Duration {
        let from = self.now;
        let deadline = from + Duration::from_secs(1200);
        while !self.is_settled() {
            assert!(self.now < deadline, "no agreement: {}", self.describe());
            let mut moved = false;
            for node in [0, 1] {
                while !self.nodes[node].dials.is_empty() {
                    self.connect(node, true);
                    moved = true;
                }
                for index in 0..self.pipes.len() {
                    moved |= self.deliver(node, index, usize::MAX);
                }
            }
            if !moved {
                let timeouts = self.nodes.iter().filter_map(|node| node.session.next_timeout());
                let next =
                    timeouts.min().unwrap_or_else(|| panic!("nothing to wait for: {}", self.describe()));
                self.advance(next.saturating_duration_since(self.now));
            }
        }
        self.now - from
    }

    fn is_settled(&self) -> bool {
        let quiet = self
            .pipes
            .iter()
            .all(|pipe| pipe.lanes.iter().all(|lane| lane.octets.is_empty() && (!lane.closed || lane.told)));
        let [a, b] = &self.nodes;
        let up = [a, b].iter().all(|node| node.state == State::Established);
        quiet && up && a.announced == b.received && b.announced == a.received
    }

    fn describe(&self) -> String {
        let node = |node: &Node| {
            let snapshot = node.session.snapshot(&node.table);
            format!(
                "{} {:?} {:?}",
                node.state,
                snapshot.last_error,
                node.session.connections().collect::<Vec<_>>()
            )
        };
        format!("{:?}: {} / {}", self.now - self.start, node(&self.nodes[0]), node(&self.nodes[1]))
    }
}

fn quick(_: usize, config: &mut PeerConfig) {
    config.hold_time = HoldTime::from_secs(9).unwrap();
}

// req: A9
#[test]
fn both_sides_learn_the_tables_of_the_other() {
    let mut world = World::new(quick);
    for prefix in 0..50 {
        world.set(0, prefix, Some(1));
        world.set(1, prefix, Some(u32::from(prefix)));
    }
    let took = world.settle();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

// req: !F5
#[test]
fn collisions_end_with_one_connection_in_every_order_of_events() {
    // Which dial arrives first, and which octets come first: 2 × 2 × every interleaving of the OPENs.
    for (first, dialler_first) in [(0, false), (1, false), (0, true), (1, true)] {
        for order in 0_u32..256 {
            let mut world = World::new(quick);
            world.dialler_first = dialler_first;
            world.connect(first, true);
            world.connect(1 - first, true);
            assert_eq!(world.pipes.len(), 2);
            for step in 0..4 {
                let choice = order >> (step * 2) & 3;
                world.deliver((choice & 1) as usize, (choice >> 1) as usize, usize::MAX);
            }
            world.settle();
            for node in &world.nodes {
                assert_eq!(node.session.connections().count(), 1, "order {order:#b}");
            }
            let alive = world.pipes.iter().filter(|pipe| pipe.ends.iter().all(Option::is_some));
            assert_eq!(alive.count(), 1);
            world.finish();
        }
    }
}

/// Both ends dial; both OPENs on both pipes arrive before any KEEPALIVE.
fn collide(world: &mut World) {
    world.connect(0, true);
    world.connect(1, true);
    for index in [0, 1] {
        let lanes = [0, 1].map(|node| world.pipes[index].lanes[node].octets.len());
        for node in [0, 1] {
            world.deliver(node, index, lanes[node]);
        }
    }
}

// req: F5
#[test]
fn the_connection_of_the_higher_identifier_survives() {
    let mut world = World::new(quick);
    collide(&mut world);
    world.settle();
    assert!(world.pipes[0].ends.iter().all(Option::is_none), "node 0 has the lower identifier");
    assert!(world.pipes[1].ends.iter().all(Option::is_some));
    assert!(world.nodes.iter().all(|node| node.established == 1));
}

/// A world in which both ends have something to say, before the first octet.
fn world_with_tables(size: u8) -> World {
    let mut world = World::new(quick);
    for prefix in 0..size {
        world.set(0, prefix, Some(u32::from(prefix)));
        world.set(1, prefix, Some(u32::from(prefix) + 100));
    }
    world.connect(0, true);
    world
}

/// How many octets each end says until both have everything.
fn conversation(size: u8) -> [usize; 2] {
    let mut world = world_with_tables(size);
    let mut said = [0, 0];
    loop {
        let moved = [0, 1].map(|node| {
            let count = world.pipes[0].lanes[node].octets.len();
            said[node] += count;
            world.deliver(node, 0, count)
        });
        if moved == [false, false] {
            assert!(world.is_settled());
            return said;
        }
    }
}

fn assert_learnt(world: &World) {
    assert!(world.is_settled(), "{}", world.describe());
    for node in &world.nodes {
        let counters = node.session.snapshot(&node.table).counters;
        assert_eq!((counters.established, counters.notifications_sent), (1, 0));
        assert_eq!((counters.attributes_discarded, counters.treated_as_withdraw), (0, 0));
    }
}

// req: H4
#[test]
fn octets_may_come_one_by_one() {
    let mut world = world_with_tables(4);
    while !world.is_settled() {
        world.deliver(0, 0, 1);
        world.deliver(1, 0, 1);
    }
    assert_learnt(&world);
    world.finish();
}

// req: H4
#[test]
fn octets_may_be_split_anywhere() {
    let said = conversation(4);
    for node in [0, 1] {
        for cut in 0..said[node] {
            let mut world = world_with_tables(4);
            let mut left = cut;
            // Up to the cut in large pieces, then a pause in this direction while the other one goes on.
            while left > 0 {
                let count = left.min(world.pipes[0].lanes[node].octets.len());
                world.deliver(node, 0, count);
                left -= count;
                let other = world.deliver(1 - node, 0, usize::MAX);
                assert!(count > 0 || other, "both wait for each other at {left} of {cut}");
            }
            world.deliver(1 - node, 0, usize::MAX);
            world.drain();
            assert_learnt(&world);
            world.finish();
        }
    }
}

// req: !F2, F4
#[test]
fn a_reset_at_any_octet_is_survived() {
    let said = conversation(2);
    for cut in 0..=said[0].max(said[1]) {
        // Both directions at the same pace; one of them ahead of the other; an end that is told nothing.
        let all = usize::MAX;
        for (paces, told) in [([1, 1], true), ([1, all], true), ([all, 1], true), ([1, 1], false)] {
            let mut world = world_with_tables(2);
            for _ in 0..cut {
                for node in [0, 1] {
                    world.deliver(node, 0, paces[node]);
                }
            }
            if told {
                world.reset(0);
            } else {
                world.vanish(cut % 2, 0);
            }
            let took = world.settle();
            assert!(took < Duration::from_secs(600), "cut {cut}: {took:?}");
            world.finish();
        }
    }
}

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

// req: G7
#[test]
fn a_restarted_peer_replaces_its_connection() {
    let mut world = World::new(|n, config| {
        quick(n, config);
        config.graceful_restart = Some(GracefulRestart::default());
    });
    world.set(0, 1, Some(1));
    world.settle();
    let sent = |world: &World| {
        let node = &world.nodes[1];
        node.session.snapshot(&node.table).counters.notifications_sent
    };
    let before = sent(&world);
    // Node 0 dies without a word and comes back.
    let config = world.nodes[0].session.config().clone();
    let mut session = Session::new("peer".into(), config, router_id(0));
    session.start(world.now);
    let announced: BTreeSet<IpNetwork> = world.nodes[0].announced.keys().copied().collect();
    world.nodes[0].session = session;
    world.nodes[0].table = AdvTable::new();
    world.nodes[0].table.complete();
    world.nodes[0].state = State::Idle;
    for pipe in &mut world.pipes {
        pipe.ends[0] = None;
    }
    for prefix in announced {
        world.set(
            0,
            prefix.to_string().trim_start_matches("198.51.100.").trim_end_matches("/32").parse().unwrap(),
            Some(1),
        );
    }
    let took = world.settle();
    assert!(took < Duration::from_secs(2), "at once, not after the hold time: {took:?}");
    assert_eq!(sent(&world), before, "no NOTIFICATION on the old connection");
}

// req: !G7
#[test]
fn a_second_connection_of_a_peer_without_graceful_restart_is_refused() {
    let mut world = World::new(quick);
    world.settle();
    let live = world.pipes.iter().position(|pipe| pipe.ends.iter().all(Option::is_some)).unwrap();
    let opened_by_peer = world.nodes[1].session.connections().count();
    assert_eq!(opened_by_peer, 1);
    for n in [0, 1] {
        let ends = Endpoints::new(address(n, 179), address(1 - n, 40001));
        let now = world.now;
        let second = world.nodes[n].session.handle_accepted(now, ends);
        if let Some(second) = second {
            // Followed until it says OPEN, as the established one was dialled from here.
            world.nodes[n].session.handle_closed(now, second, None);
        }
        world.work();
        assert_eq!((world.nodes[n].state, world.nodes[n].established), (State::Established, 1));
    }
    assert!(world.pipes[live].ends.iter().all(Option::is_some));
    world.finish();
}

// req: !F5
#[test]
fn an_established_connection_outlives_a_later_one_unless_told_otherwise() {
    for (node, detect, survives) in [(0, false, true), (1, false, true), (0, true, false), (1, true, true)] {
        // Node 1 has the higher identifier: what it dials is kept in a collision.
        let mut world = World::new(|n, config| {
            quick(n, config);
            config.collision_detect_established = detect;
            config.passive = n != node;
        });
        world.connect(node, true);
        world.drain();
        assert!(world.is_settled());
        let other = 1 - node;
        let now = world.now;
        let mut config = world.nodes[other].session.config().clone();
        config.passive = false;
        // The other end dials now: an attempt of a session of its own that reaches this one.
        let ends = Endpoints::new(address(node, 179), address(other, 40001));
        let second = world.nodes[node].session.handle_accepted(now, ends).unwrap();
        let mut late = Session::new("late".into(), config, router_id(other));
        let mut table = AdvTable::new();
        late.start(now);
        let Some(Effect::Connect(id)) = late.poll_effect(&mut table) else { panic!("dials") };
        late.handle_connected(now, id, Endpoints::new(address(other, 40001), address(node, 179)));
        let mut open = Vec::new();
        assert!(late.poll_transmit(now, id, &mut table, &mut open));
        world.nodes[node].session.handle_data(now, second, &open);
        world.work();
        let up = world.nodes[node].state == State::Established;
        assert_eq!(up, survives, "dialled by {node}, detection {detect}");
    }
}

// req: F5
#[test]
fn equal_identifiers_are_decided_by_the_as_number() {
    let mut world = World::new(|n, config| {
        quick(n, config);
        config.router_id = Some(router_id(7));
    });
    collide(&mut world);
    world.settle();
    assert!(world.pipes[0].ends.iter().all(Option::is_none), "AS 64512 is the lower one");
    assert!(world.pipes[1].ends.iter().all(Option::is_some), "AS 64513 dialled this one");
    world.finish();
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

/// Something that happens to the world.
#[derive(Clone, Debug)]
enum Op {
    Connect(bool, bool),
    Deliver(bool, u8, u16),
    Reset(u8),
    Advance(u16),
    Set(bool, u8, Option<u32>),
    Bounce(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (any::<bool>(), prop::bool::weighted(0.8)).prop_map(|(n, ok)| Op::Connect(n, ok)),
        8 => (any::<bool>(), 0..6_u8, 1..400_u16).prop_map(|(n, p, c)| Op::Deliver(n, p, c)),
        1 => (0..6_u8).prop_map(Op::Reset),
        3 => (0..4000_u16).prop_map(Op::Advance),
        3 => (any::<bool>(), 0..8_u8, prop::option::of(0..3_u32)).prop_map(|(n, p, c)| Op::Set(n, p, c)),
        1 => any::<bool>().prop_map(Op::Bounce),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    // req: A8, F2
    #[test]
    fn whatever_happens_both_sides_agree_in_the_end(
        ops in prop::collection::vec(op(), 1..120),
        delay_open: bool,
        graceful: bool,
        detect: bool,
        dialler_first: bool,
    ) {
        let mut world = World::new(|n, config| {
            quick(n, config);
            config.delay_open = delay_open.then_some(Duration::from_secs(2));
            config.graceful_restart = graceful.then(GracefulRestart::default);
            config.collision_detect_established = detect;
        });
        world.dialler_first = dialler_first;
        for op in ops {
            match op {
                Op::Connect(node, ok) => world.connect(usize::from(node), ok),
                Op::Deliver(node, pipe, count) => {
                    let newest = world.pipes.len().saturating_sub(1 + usize::from(pipe) / 2);
                    world.deliver(usize::from(node), newest, usize::from(count));
                }
                Op::Reset(pipe) => world.reset(world.pipes.len().saturating_sub(1 + usize::from(pipe))),
                Op::Advance(by) => world.advance(Duration::from_millis(by.into())),
                Op::Set(node, prefix, community) => world.set(usize::from(node), prefix, community),
                Op::Bounce(node) => {
                    let now = world.now;
                    let node = &mut world.nodes[usize::from(node)];
                    node.session.stop(now, &StopReason::Reset(String::new()), &mut node.table);
                    world.work();
                }
            }
        }
        world.settle();
        world.finish();
    }
}

fn cases() -> u32 {
    std::env::var_os("PROPTEST_CASES").and_then(|cases| cases.to_str()?.parse().ok()).unwrap_or(64)
}

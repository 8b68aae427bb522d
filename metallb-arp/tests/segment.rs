//! A simulated segment in virtual time: responders, clients with neighbor tables, and a network that
//! loses, repeats, delays and parts.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use metallb_arp::responder::{Event, Interface, InterfaceIndex, Options, Responder, Scope};
use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::{Operation, Packet, PacketView};
use metallb_arp::wire::ethernet::{EtherType, Frame};
use metallb_arp::wire::ipv6::solicited_node_group;
use metallb_arp::wire::ndp::{Envelope, Message, NeighborSolicitation};

const IF: InterfaceIndex = InterfaceIndex(2);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// What the network does to frames.
#[derive(Clone, Copy)]
struct Weather {
    /// Frames lost, in percent.
    loss: u32,
    /// Frames delivered twice, in percent.
    duplication: u32,
    /// The longest time a frame takes.
    delay: Duration,
}

const CALM: Weather = Weather { loss: 0, duplication: 0, delay: Duration::from_micros(50) };

/// A machine with a neighbor table that works as RFC 826 and RFC 4861 §7.2 say.
struct Client {
    mac: MacAddr,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    table: BTreeMap<IpAddr, MacAddr>,
    /// Answers to its unicast probes since the last check.
    confirmed: BTreeSet<IpAddr>,
}

impl Client {
    fn new(number: u8) -> Self {
        Self {
            mac: MacAddr::new([2, 0, 0, 0, 0xc, number]),
            v4: Ipv4Addr::new(192, 0, 2, 100 + number),
            v6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xc, u16::from(number)),
            table: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        }
    }

    /// The question for an address: unicast when there is an entry, else to all.
    fn ask(&self, address: IpAddr) -> Vec<u8> {
        let known = self.table.get(&address).copied();
        let mut frame = Vec::new();
        match address {
            IpAddr::V4(target) => {
                Packet::request(self.mac, self.v4, target)
                    .emit_frame(known.unwrap_or(MacAddr::BROADCAST), &mut frame);
            }
            IpAddr::V6(target) => {
                let group = Envelope::to_group(self.mac, self.v6, solicited_node_group(target));
                let envelope = match known {
                    Some(mac) => Envelope { destination_mac: mac, destination: target, ..group },
                    None => group,
                };
                let message = NeighborSolicitation { target, source_link_layer: Some(self.mac), nonce: None };
                message.emit_frame(&envelope, &mut frame);
            }
        }
        frame
    }

    fn receive(&mut self, bytes: &[u8]) {
        let frame = Frame::parse(bytes).unwrap();
        if frame.destination() != self.mac && !frame.destination().is_group() {
            return;
        }
        if frame.ethertype == EtherType::ARP {
            let packet = PacketView::parse(frame.payload).unwrap();
            let sender = IpAddr::V4(packet.sender());
            if packet.target() == self.v4 && packet.operation() == Operation::Reply {
                self.table.insert(sender, packet.sender_mac());
                self.confirmed.insert(sender);
            } else if let Some(entry) = self.table.get_mut(&sender) {
                *entry = packet.sender_mac();
            }
        } else if let Some(Message::NeighborAdvertisement(message)) = Message::parse(frame.payload).unwrap() {
            let target = IpAddr::V6(message.target());
            let mac = message.options.target_link_layer().unwrap();
            if message.solicited() {
                self.table.insert(target, mac);
                self.confirmed.insert(target);
            } else if let Some(entry) = self.table.get_mut(&target).filter(|_| message.overrides()) {
                *entry = mac;
            }
        }
    }
}

struct Node {
    responder: Responder,
    mac: MacAddr,
    conflicts: usize,
}

/// Frames in flight: when they arrive, a number that keeps their order, at whom, and what.
type Flight = Reverse<(Duration, u64, usize, Vec<u8>)>;

struct Segment {
    start: Instant,
    at: Duration,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    flights: BinaryHeap<Flight>,
    weather: Weather,
    /// Stations cut off from the others, which still see each other.
    island: BTreeSet<usize>,
    random: u64,
    sent: u64,
}

impl Segment {
    fn new(nodes: u8, clients: u8, weather: Weather, seed: u64) -> Self {
        let start = Instant::now();
        let nodes = (0..nodes).map(|number| {
            let mac = MacAddr::new([2, 0, 0, 0, 0xa, number]);
            let mut options = Options::new(0);
            options.seed = seed + u64::from(number);
            let mut responder = Responder::new(options);
            responder.upsert_interface(start, interface(mac));
            Node { responder, mac, conflicts: 0 }
        });
        Self {
            start,
            at: Duration::ZERO,
            nodes: nodes.collect(),
            clients: (0..clients).map(Client::new).collect(),
            flights: BinaryHeap::new(),
            weather,
            island: BTreeSet::new(),
            random: seed,
            sent: 0,
        }
    }

    fn now(&self) -> Instant {
        self.start + self.at
    }

    fn random(&mut self, below: u32) -> u32 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.random >> 33).unwrap() % below
    }

    fn own(&mut self, node: usize) {
        let now = self.now();
        for address in [V4, V6] {
            self.nodes[node].responder.announce(now, address, Scope::All).unwrap();
        }
    }

    fn lose(&mut self, node: usize) {
        let now = self.now();
        for address in [V4, V6] {
            self.nodes[node].responder.withdraw(now, address);
        }
    }

    /// Puts a frame on the wire. Stations are the nodes, then the clients.
    fn send(&mut self, from: usize, frame: &[u8]) {
        for to in (0..self.nodes.len() + self.clients.len()).filter(|to| *to != from) {
            if self.island.contains(&from) != self.island.contains(&to) {
                continue;
            }
            let copies = 1 + u32::from(self.random(100) < self.weather.duplication);
            for _ in 0..copies {
                if self.random(100) >= self.weather.loss {
                    let most = u32::try_from(self.weather.delay.as_micros()).unwrap().max(1);
                    let arrives = self.at + Duration::from_micros(u64::from(1 + self.random(most)));
                    self.sent += 1;
                    self.flights.push(Reverse((arrives, self.sent, to, frame.to_vec())));
                }
            }
        }
    }

    fn ask(&mut self, client: usize) {
        for address in [V4, V6] {
            let question = self.clients[client].ask(address);
            self.send(self.nodes.len() + client, &question);
        }
    }

    /// Lets every node send what it wants to.
    fn drain(&mut self) {
        let mut frame = Vec::new();
        for node in 0..self.nodes.len() {
            while self.nodes[node].responder.poll_transmit(&mut frame).is_some() {
                self.send(node, &frame);
            }
            while let Some(event) = self.nodes[node].responder.poll_event() {
                let Event::Conflict { .. } = event else { panic!("another event") };
                self.nodes[node].conflicts += 1;
            }
        }
    }

    fn live(&mut self, time: Duration) {
        let end = self.at + time;
        loop {
            self.drain();
            let timeout = self.nodes.iter().filter_map(|node| node.responder.next_timeout()).min();
            let timeout = timeout.map(|at| at.saturating_duration_since(self.start).max(self.at));
            let arrival = self.flights.peek().map(|Reverse((at, ..))| *at);
            match timeout.into_iter().chain(arrival).min() {
                Some(next) if next <= end => self.at = next,
                _ => break,
            }
            let now = self.now();
            for node in &mut self.nodes {
                node.responder.handle_timeout(now);
            }
            while self.flights.peek().is_some_and(|Reverse((at, ..))| *at <= self.at) {
                let Reverse((_, _, to, frame)) = self.flights.pop().unwrap();
                if let Some(node) = self.nodes.get_mut(to) {
                    let _outcome = node.responder.handle_frame(now, IF, &frame);
                } else {
                    let client = to - self.nodes.len();
                    self.clients[client].receive(&frame);
                }
            }
        }
        self.at = end;
    }

    fn assert_everybody_knows(&self, node: usize) {
        for client in &self.clients {
            for address in [V4, V6] {
                assert_eq!(
                    client.table.get(&address),
                    Some(&self.nodes[node].mac),
                    "{address} at {}",
                    client.mac
                );
            }
        }
    }

    fn resolve_all(&mut self) {
        for client in 0..self.clients.len() {
            self.ask(client);
        }
    }
}

fn interface(mac: MacAddr) -> Interface {
    let [.., last] = mac.octets();
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa, u16::from(last));
    Interface { index: IF, name: "eth0".into(), mac, link_local: Some(link_local), subnets: BTreeSet::new() }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn clients_follow_the_owner_from_node_to_node() {
    let mut segment = Segment::new(3, 4, CALM, 1);
    segment.own(0);
    segment.resolve_all();
    segment.live(SECOND);
    segment.assert_everybody_knows(0);
    for (old, new) in [(0, 1), (1, 2), (2, 0)] {
        segment.lose(old);
        segment.own(new);
        segment.live(SECOND / 1000);
        segment.assert_everybody_knows(new);
    }
    assert!(segment.nodes.iter().all(|node| node.conflicts == 0));
}

/// The old owner learns of its loss a moment after the new one has announced.
#[test]
fn a_late_loser_does_not_take_the_clients_back() {
    let mut segment = Segment::new(2, 3, CALM, 2);
    segment.own(0);
    segment.resolve_all();
    segment.live(20 * SECOND);
    segment.own(1);
    segment.live(SECOND / 10);
    segment.lose(0);
    segment.live(SECOND);
    segment.assert_everybody_knows(1);
    segment.live(60 * SECOND);
    segment.assert_everybody_knows(1);
}

#[test]
fn repeated_announcements_reach_everybody_on_a_lossy_network() {
    for seed in 0..20 {
        let weather = Weather { loss: 30, duplication: 20, delay: Duration::from_millis(30) };
        let mut segment = Segment::new(2, 5, weather, seed);
        segment.own(0);
        for _ in 0..20 {
            segment.resolve_all();
            segment.live(SECOND);
        }
        segment.assert_everybody_knows(0);
        segment.lose(0);
        segment.own(1);
        // The first seconds and three refreshes; that all are lost is rare, and the seeds are fixed.
        segment.live(5 * SECOND + 3 * Duration::from_secs(60));
        segment.assert_everybody_knows(1);
    }
}

#[test]
fn unicast_probes_keep_entries_alive() {
    let mut segment = Segment::new(2, 3, CALM, 3);
    segment.own(1);
    segment.resolve_all();
    segment.live(SECOND);
    for _ in 0..120 {
        segment.resolve_all();
        segment.live(5 * SECOND);
        for client in &mut segment.clients {
            assert_eq!(client.confirmed.len(), 2, "a probe was not answered");
            client.confirmed.clear();
        }
    }
    segment.assert_everybody_knows(1);
}

#[test]
fn a_changed_hardware_address_spreads_at_once() {
    let mut segment = Segment::new(1, 3, CALM, 4);
    segment.own(0);
    segment.resolve_all();
    segment.live(30 * SECOND);
    let changed = MacAddr::new([2, 0, 0, 0, 0xa, 99]);
    let now = segment.now();
    segment.nodes[0].responder.upsert_interface(now, interface(changed));
    segment.nodes[0].mac = changed;
    segment.live(SECOND / 100);
    segment.assert_everybody_knows(0);
}

/// Both sides of a partition elect an owner; after it has healed one of them is told to give up.
#[test]
fn a_healed_partition_ends_with_one_owner_everywhere() {
    let mut segment = Segment::new(2, 4, CALM, 5);
    segment.own(0);
    segment.resolve_all();
    segment.live(10 * SECOND);
    segment.island = [1, 2, 3].into();
    segment.own(1);
    segment.live(30 * SECOND);
    for (client, owner) in [(0, 1), (1, 1), (2, 0), (3, 0)] {
        assert_eq!(segment.clients[client].table[&V4], segment.nodes[owner].mac);
    }
    segment.island.clear();
    segment.live(90 * SECOND);
    assert!(segment.nodes.iter().all(|node| node.conflicts > 0), "both owners have noticed each other");
    segment.lose(1);
    // Node 0 has defended when it saw the last claim; at the latest its next refresh settles it.
    segment.live(61 * SECOND);
    segment.assert_everybody_knows(0);
}

#[test]
fn two_owners_do_not_flood_the_segment() {
    let mut segment = Segment::new(2, 1, CALM, 6);
    segment.own(0);
    segment.own(1);
    segment.live(10 * SECOND);
    let before = segment.sent;
    segment.live(600 * SECOND);
    let per_second = (segment.sent - before) / 600;
    assert!(per_second <= 2, "{per_second} frames a second");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let run = || {
        let mut segment =
            Segment::new(2, 3, Weather { loss: 20, duplication: 10, delay: Duration::from_millis(5) }, 9);
        segment.own(0);
        segment.resolve_all();
        segment.live(100 * SECOND);
        (segment.sent, segment.clients.iter().map(|client| client.table.clone()).collect::<Vec<_>>())
    };
    assert_eq!(run(), run());
}

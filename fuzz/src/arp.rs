//! Properties of `metallb-arp` that hold for any input.
#![expect(clippy::panic, clippy::expect_used, reason = "a property that does not hold has to panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use metallb_arp::responder::{
    Effect, Interface, InterfaceIndex, MAX_PENDING_REPLIES, Options, Outcome, Responder, Scope,
};
use metallb_arp::wire::arp::{Packet, PacketView};
use metallb_arp::wire::ethernet::{EtherType, Frame, MacAddr};
use metallb_arp::wire::ipv6::{ALL_NODES, solicited_node_group};
use metallb_arp::wire::ndp::{self, Envelope, Message, NeighborAdvertisement, NeighborSolicitation};
use metallb_arp::wire::{icmpv6, ipv6};

/// Any frame is read without panic, and what is understood is written back as the same message.
///
/// # Panics
/// When that does not hold.
pub fn frame(bytes: &[u8]) {
    let Ok(frame) = Frame::parse(bytes) else { return };
    if let Ok(view) = PacketView::parse(frame.payload)
        && let Some(packet) = view.to_owned()
    {
        let mut again = Vec::new();
        packet.emit(&mut again);
        assert_eq!(Some(again.as_slice()), frame.payload.get(..again.len()));
    }
    if let Ok(Some(message)) = Message::parse(frame.payload) {
        check_message(&message);
    }
}

/// The same for neighbor discovery behind a right IPv6 header and checksum, so that the input reaches the
/// message itself. The first two octets choose hop limit and source.
///
/// # Panics
/// When that does not hold.
pub fn ndp(bytes: &[u8]) {
    let Some(([hop_limit, source, ..], body)) = bytes.split_at_checked(2) else { return };
    let source = if source & 1 == 0 { Ipv6Addr::UNSPECIFIED } else { LINK_LOCAL };
    let destination = match body.get(8..24).and_then(|target| <[u8; 16]>::try_from(target).ok()) {
        Some(target) if source.is_unspecified() => solicited_node_group(target.into()),
        _ => ALL_NODES,
    };
    let Ok(length) = u16::try_from(body.len()) else { return };
    let mut packet = Vec::new();
    ipv6::Header::for_ndp(source, destination, length).emit(&mut packet);
    if *hop_limit == 0
        && let Some(octet) = packet.get_mut(7)
    {
        *octet = 64;
    }
    packet.extend_from_slice(body);
    let start = ipv6::HEADER_LEN + 2;
    if let Some(field) = packet.get_mut(start..start + 2) {
        field.fill(0);
    }
    let sum = icmpv6::checksum(source, destination, packet.get(ipv6::HEADER_LEN..).unwrap_or_default());
    if let Some(field) = packet.get_mut(start..start + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    if let Ok(Some(message)) = Message::parse(&packet) {
        assert_ne!(*hop_limit, 0, "a forwarded packet was taken");
        check_message(&message);
    }
}

fn check_message(message: &Message<'_>) {
    let options = match message {
        Message::NeighborSolicitation(message) => {
            assert!(!message.target().is_multicast());
            message.options
        }
        Message::NeighborAdvertisement(message) => {
            assert!(!message.target().is_multicast());
            message.options
        }
        Message::RouterSolicitation(message) => message.options,
        Message::RouterAdvertisement(message) => {
            assert!(message.ip.source().is_unicast_link_local());
            message.options
        }
        _ => return,
    };
    let source = options.iter().find_map(|option| match option {
        ndp::NdpOption::SourceLinkLayer(mac) => Some(mac),
        _ => None,
    });
    assert_eq!(options.source_link_layer(), source);
}

/// Any order of operations keeps the responder's promises; they are checked against a model that knows
/// only what was asked for.
///
/// # Panics
/// When a promise is broken.
pub fn responder(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut world = World::new(input.next());
    for _ in 0..MAX_OPERATIONS {
        if input.0.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.settle();
}

struct World {
    responder: Responder,
    now: Instant,
    interfaces: BTreeMap<InterfaceIndex, Interface>,
    addresses: BTreeMap<IpAddr, Scope>,
    joined: BTreeSet<(InterfaceIndex, Ipv6Addr)>,
    answers: usize,
}

impl World {
    fn new(choice: u8) -> Self {
        let mut options = Options::new(0);
        options.probe = choice & 1 != 0;
        options.seed = u64::from(choice);
        options.refresh = (choice & 2 != 0).then_some(Duration::from_secs(u64::from(choice)));
        Self {
            responder: Responder::new(options),
            now: begin(),
            interfaces: BTreeMap::new(),
            addresses: BTreeMap::new(),
            joined: BTreeSet::new(),
            answers: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.next() % 9 {
            0 => self.upsert(input),
            1 => self.remove(index(input.next())),
            2 => self.announce(input),
            3 => {
                let address = address(input.next());
                self.addresses.remove(&address);
                self.responder.withdraw(self.now, address);
            }
            4 => {
                let length = usize::from(input.next());
                let frame = input.take(length).to_vec();
                self.receive(index(input.next()), &frame);
            }
            5 => {
                let frame = question(address(input.next()), input.next());
                self.receive(index(input.next()), &frame);
            }
            6 => {
                let frame = claim(address(input.next()), mac(input.next()));
                self.receive(index(input.next()), &frame);
            }
            7 => {
                let time = Duration::from_millis(u64::from(input.next()) * 97);
                self.now = self.now.checked_add(time).unwrap_or(self.now);
                self.responder.handle_timeout(self.now);
            }
            _ => self.drain(),
        }
    }

    fn upsert(&mut self, input: &mut Input<'_>) {
        let index = index(input.next());
        let choice = input.next();
        let interface = Interface {
            index,
            name: NAMES.get(usize::from(choice & 3)).copied().unwrap_or_default().to_owned(),
            mac: mac(choice >> 2),
            link_local: (choice & 0x80 != 0).then_some(LINK_LOCAL),
            subnets: BTreeSet::new(),
        };
        self.interfaces.insert(index, interface.clone());
        self.responder.upsert_interface(self.now, interface);
    }

    fn remove(&mut self, index: InterfaceIndex) {
        self.take_effects();
        self.interfaces.remove(&index);
        self.joined.retain(|(interface, _)| *interface != index);
        self.responder.remove_interface(self.now, index);
    }

    fn announce(&mut self, input: &mut Input<'_>) {
        let address = address(input.next());
        let choice = input.next();
        let names = NAMES.iter().enumerate().filter(|(number, _)| choice & (1 << number) != 0);
        let scope = if choice & 0x80 == 0 {
            Scope::All
        } else {
            Scope::Only(names.map(|(_, name)| (*name).to_owned()).collect())
        };
        self.addresses.insert(address, scope.clone());
        assert!(self.responder.announce(self.now, address, scope).is_ok());
    }

    fn receive(&mut self, index: InterfaceIndex, frame: &[u8]) {
        let outcome = self.responder.handle_frame(self.now, index, frame);
        match outcome {
            Outcome::Answered(address) => {
                assert!(self.lives(address, index), "answered for {address} on {index}");
                self.answers += 1;
                assert!(self.answers <= MAX_PENDING_REPLIES);
            }
            Outcome::Conflict(address) => assert!(self.lives(address, index)),
            _ => {}
        }
    }

    fn lives(&self, address: IpAddr, index: InterfaceIndex) -> bool {
        let Some(interface) = self.interfaces.get(&index) else { return false };
        let carried = address.is_ipv4() || interface.link_local.is_some();
        carried && self.addresses.get(&address).is_some_and(|scope| scope.contains(&interface.name))
    }

    fn drain(&mut self) {
        let mut frame = Vec::new();
        while let Some(index) = self.responder.poll_transmit(&mut frame) {
            self.check_sent(index, &frame);
        }
        self.answers = 0;
        while self.responder.poll_event().is_some() {}
        self.take_effects();
    }

    fn check_sent(&self, index: InterfaceIndex, bytes: &[u8]) {
        let interface = self.interfaces.get(&index).expect("sent on an interface that is gone");
        let frame = Frame::parse(bytes).expect("sent something that is no frame");
        assert_eq!(frame.source(), interface.mac);
        let address = if frame.ethertype == EtherType::ARP {
            let packet = PacketView::parse(frame.payload).expect("sent something that is not ARP");
            let probe = packet.sender().is_unspecified();
            IpAddr::V4(if probe { packet.target() } else { packet.sender() })
        } else {
            match Message::parse(frame.payload) {
                Ok(Some(Message::NeighborAdvertisement(message))) => {
                    assert_eq!(message.options.target_link_layer(), Some(interface.mac));
                    IpAddr::V6(message.target())
                }
                Ok(Some(Message::NeighborSolicitation(message))) => IpAddr::V6(message.target()),
                other => panic!("sent {other:?}"),
            }
        };
        assert!(self.lives(address, index), "sent {address} on {index}");
    }

    fn take_effects(&mut self) {
        while let Some(effect) = self.responder.poll_effect() {
            match effect {
                Effect::Join { interface, group } => {
                    assert!(self.interfaces.contains_key(&interface), "join on a lost interface");
                    assert!(self.joined.insert((interface, group)), "joined twice");
                }
                Effect::Leave { interface, group } => {
                    assert!(self.joined.remove(&(interface, group)), "left without having joined");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lives through some timeouts; then exactly the groups of the living addresses are joined.
    fn settle(&mut self) {
        self.drain();
        for _ in 0..50 {
            let Some(next) = self.responder.next_timeout() else { break };
            self.now = self.now.max(next);
            self.responder.handle_timeout(self.now);
            self.drain();
        }
        if self.addresses.is_empty() || self.interfaces.is_empty() {
            assert_eq!(self.responder.next_timeout(), None);
        }
        let mut expected = BTreeSet::new();
        for index in self.interfaces.keys() {
            for address in self.addresses.keys().filter(|address| self.lives(**address, *index)) {
                if let IpAddr::V6(v6) = address {
                    expected.insert((*index, solicited_node_group(*v6)));
                }
            }
        }
        assert_eq!(self.joined, expected);
        assert!(self.responder.addresses().keys().eq(self.addresses.keys()));
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn next(&mut self) -> u8 {
        match self.take(1) {
            [octet] => *octet,
            _ => 0,
        }
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }
}

fn index(choice: u8) -> InterfaceIndex {
    InterfaceIndex(u32::from(choice % 4))
}

/// A few addresses of both families, two of which share a group.
fn address(choice: u8) -> IpAddr {
    let host = u16::from(choice >> 1 & 3);
    if choice & 1 == 0 {
        let [_, low] = host.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, low))
    } else {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, host, 0, 0, 0, 0, host / 2))
    }
}

fn mac(choice: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, choice % 8])
}

fn question(address: IpAddr, choice: u8) -> Vec<u8> {
    let client = mac(choice);
    let mut frame = Vec::new();
    match address {
        IpAddr::V4(target) => {
            let sender =
                if choice & 0x80 == 0 { Ipv4Addr::new(192, 0, 2, 99) } else { Ipv4Addr::UNSPECIFIED };
            Packet::request(client, sender, target).emit_frame(MacAddr::BROADCAST, &mut frame);
        }
        IpAddr::V6(target) => {
            let source = if choice & 0x80 == 0 { LINK_LOCAL } else { Ipv6Addr::UNSPECIFIED };
            let option = (choice & 0x40 == 0).then_some(client);
            let message = NeighborSolicitation { target, source_link_layer: option, nonce: None };
            let envelope = Envelope::to_group(client, source, solicited_node_group(target));
            message.emit_frame(&envelope, &mut frame);
        }
    }
    frame
}

fn claim(address: IpAddr, by: MacAddr) -> Vec<u8> {
    let mut frame = Vec::new();
    match address {
        IpAddr::V4(v4) => Packet::announcement(by, v4).emit_frame(MacAddr::BROADCAST, &mut frame),
        IpAddr::V6(v6) => {
            let envelope = Envelope::to_group(by, LINK_LOCAL, ALL_NODES);
            NeighborAdvertisement::unsolicited(v6, by).emit_frame(&envelope, &mut frame);
        }
    }
    frame
}

#[expect(clippy::disallowed_methods, reason = "virtual time needs a beginning; only differences matter")]
fn begin() -> Instant {
    Instant::now()
}

const MAX_OPERATIONS: usize = 2000;
const NAMES: [&str; 4] = ["eth0", "eth1", "eth2", "eth3"];
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

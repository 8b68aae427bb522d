//! The responder alone, in virtual time.
#![expect(clippy::unchecked_time_subtraction, reason = "a test that goes wrong here shall fail")]

mod announcing;
mod answering;
mod conflicts;
mod probing;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use std::time::Instant;

use super::*;
use crate::wire::MacAddr;
use crate::wire::arp::{Packet, PacketView};
use crate::wire::ethernet::{EtherType, Frame};
use crate::wire::ndp::{Envelope, Message, NeighborAdvertisement, NeighborSolicitation};

const ETH0: InterfaceIndex = InterfaceIndex(2);
const ETH1: InterfaceIndex = InterfaceIndex(3);
const OWN: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const OWN1: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
const CLIENT: MacAddr = MacAddr::new([2, 0, 0, 0, 1, 1]);
const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 1);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// A frame that was sent: when (since the start), where, and what.
#[derive(Clone, Debug)]
struct Sent {
    at: Duration,
    interface: InterfaceIndex,
    frame: Vec<u8>,
}

impl Sent {
    fn arp(&self) -> Option<Packet> {
        let frame = Frame::parse(&self.frame).unwrap();
        (frame.ethertype == EtherType::ARP)
            .then(|| PacketView::parse(frame.payload).unwrap().to_owned().unwrap())
    }

    fn destination(&self) -> MacAddr {
        Frame::parse(&self.frame).unwrap().destination()
    }

    fn ndp(&self) -> Message<'_> {
        Message::parse(Frame::parse(&self.frame).unwrap().payload).unwrap().unwrap()
    }
}

/// A responder with a clock.
struct World {
    responder: Responder,
    start: Instant,
    at: Duration,
}

impl World {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(0);
        change(&mut options);
        Self { responder: Responder::new(options), start: base(), at: Duration::ZERO }
    }

    /// With one interface that has a link-local address.
    fn with_eth0() -> Self {
        let mut world = Self::new(|_| {});
        world.up(eth0());
        world
    }

    fn now(&self) -> Instant {
        self.start + self.at
    }

    fn up(&mut self, interface: Interface) {
        let now = self.now();
        self.responder.upsert_interface(now, interface);
    }

    fn announce(&mut self, address: impl Into<IpAddr>) {
        self.announce_on(address, Scope::All);
    }

    fn announce_on(&mut self, address: impl Into<IpAddr>, scope: Scope) {
        let now = self.now();
        self.responder.announce(now, address.into(), scope).unwrap();
    }

    fn withdraw(&mut self, address: impl Into<IpAddr>) {
        let now = self.now();
        self.responder.withdraw(now, address.into());
    }

    fn receive(&mut self, frame: &[u8]) -> Outcome {
        let now = self.now();
        self.responder.handle_frame(now, ETH0, frame)
    }

    /// What is to be sent now.
    fn drain(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut frame = Vec::new();
        while let Some(interface) = self.responder.poll_transmit(&mut frame) {
            sent.push(Sent { at: self.at, interface, frame: frame.clone() });
        }
        sent
    }

    /// Lives for so long, obeying timeouts exactly, and returns what was sent.
    fn live(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.at + time;
        let mut sent = self.drain();
        while let Some(next) = self.responder.next_timeout() {
            let next = next.saturating_duration_since(self.start);
            if next > end {
                break;
            }
            self.at = self.at.max(next);
            self.responder.handle_timeout(self.now());
            sent.extend(self.drain());
        }
        self.at = end;
        sent
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.responder.poll_event()).collect()
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.responder.poll_effect()).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time needs a beginning; only differences matter")]
fn base() -> Instant {
    Instant::now()
}

fn eth0() -> Interface {
    Interface {
        index: ETH0,
        name: "eth0".into(),
        mac: OWN,
        link_local: Some(LINK_LOCAL),
        subnets: BTreeSet::new(),
    }
}

fn eth1() -> Interface {
    Interface {
        index: ETH1,
        name: "eth1".into(),
        mac: OWN1,
        link_local: Some(LINK_LOCAL),
        subnets: BTreeSet::new(),
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn arp_frame(packet: &Packet, destination: MacAddr) -> Vec<u8> {
    let mut frame = Vec::new();
    packet.emit_frame(destination, &mut frame);
    frame
}

fn request(target: Ipv4Addr) -> Vec<u8> {
    arp_frame(&Packet::request(CLIENT, CLIENT_V4, target), MacAddr::BROADCAST)
}

fn solicitation(target: Ipv6Addr, source: Ipv6Addr, option: Option<MacAddr>) -> Vec<u8> {
    let message = NeighborSolicitation { target, source_link_layer: option, nonce: None };
    let mut frame = Vec::new();
    message.emit_frame(&Envelope::to_group(CLIENT, source, solicited_node_group(target)), &mut frame);
    frame
}

fn claim_v6(target: Ipv6Addr, mac: MacAddr) -> Vec<u8> {
    let mut frame = Vec::new();
    let envelope = Envelope::to_group(mac, CLIENT_V6, crate::wire::ipv6::ALL_NODES);
    NeighborAdvertisement::unsolicited(target, mac).emit_frame(&envelope, &mut frame);
    frame
}

fn claim(target: Ipv4Addr, mac: MacAddr) -> Vec<u8> {
    arp_frame(&Packet::announcement(mac, target), MacAddr::BROADCAST)
}

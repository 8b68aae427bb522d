//! A responder with few and with many announced addresses, and what it is asked.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark may stop when its input is wrong; a responder takes a time to start from"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use metallb_arp::responder::{Interface, InterfaceIndex, Options, Outcome, Responder, Scope};
use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::Packet;
use metallb_arp::wire::ipv6::solicited_node_group;
use metallb_arp::wire::ndp::{Envelope, NeighborSolicitation};

use crate::operation::Batch;

/// The interface of everything.
pub const ETH0: InterfaceIndex = InterfaceIndex(2);
const CLIENT: MacAddr = MacAddr::new([2, 0, 0, 0, 1, 1]);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 1);

/// An IPv4 address of ours, or of nobody.
pub const fn v4(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + host)
}

/// An IPv6 address of ours, or of nobody.
pub fn v6(host: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(host))
}

/// A responder whose first announcements are over.
///
/// # Panics
/// When an address is not unicast.
pub fn responder(now: Instant, addresses: impl Iterator<Item = IpAddr>) -> Responder {
    let mut options = Options::new(0);
    options.refresh = None;
    let mut responder = Responder::new(options);
    let link_local = Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
    responder.upsert_interface(
        now,
        Interface {
            index: ETH0,
            name: "eth0".into(),
            mac,
            link_local,
            subnets: std::collections::BTreeSet::new(),
        },
    );
    let mut frame = Vec::new();
    for address in addresses {
        responder.announce(now, address, Scope::All).expect("unicast");
        while responder.poll_transmit(&mut frame).is_some() {}
    }
    while responder.poll_effect().is_some() {}
    responder
}

/// Someone asks for an IPv4 address.
pub fn request_frame(target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::new();
    let packet = Packet::request(CLIENT, Ipv4Addr::new(192, 0, 2, 100), target);
    packet.emit_frame(MacAddr::BROADCAST, &mut frame);
    frame
}

/// Someone asks for an IPv6 address.
pub fn solicitation_frame(target: Ipv6Addr) -> Vec<u8> {
    let message = NeighborSolicitation { target, source_link_layer: Some(CLIENT), nonce: None };
    let mut frame = Vec::new();
    message.emit_frame(&Envelope::to_group(CLIENT, CLIENT_V6, solicited_node_group(target)), &mut frame);
    frame
}

/// Asks everything in turn. Different questions, so that the whole table is looked at.
fn asking(addresses: impl Iterator<Item = IpAddr>, frames: Vec<Vec<u8>>, answered: bool) -> Box<dyn Batch> {
    let now = Instant::now();
    let mut responder = responder(now, addresses);
    let mut out = Vec::with_capacity(128);
    Box::new(move || {
        for frame in &frames {
            let outcome = responder.handle_frame(now, ETH0, black_box(frame));
            assert_eq!(matches!(outcome, Outcome::Answered(_)), answered);
            if answered {
                black_box(responder.poll_transmit(black_box(&mut out)));
            }
        }
    })
}

/// Someone asks for one of our IPv4 addresses.
pub(crate) fn request(addresses: u32, operations: u32) -> Box<dyn Batch> {
    let frames = (0..operations).map(|n| request_frame(v4(n * 61 % addresses))).collect();
    asking((0..addresses).map(|host| v4(host).into()), frames, true)
}

/// Someone asks for one of our IPv6 addresses.
pub(crate) fn solicitation(addresses: u32, operations: u32) -> Box<dyn Batch> {
    let frames = (0..operations).map(|n| solicitation_frame(v6(n * 61 % addresses))).collect();
    asking((0..addresses).map(|host| v6(host).into()), frames, true)
}

/// Someone asks for an address that is not ours.
pub(crate) fn request_for_another(addresses: u32, operations: u32) -> Box<dyn Batch> {
    let frames = (0..operations).map(|n| request_frame(v4((1 << 20) | n))).collect();
    asking((0..addresses).map(|host| v4(host).into()), frames, false)
}

//! From a request to its answer nothing is allocated.
#![expect(clippy::disallowed_methods, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use metallb_arp::responder::{Interface, InterfaceIndex, Options, Outcome, Responder, Scope};
use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::Packet;
use metallb_arp::wire::ipv6::solicited_node_group;
use metallb_arp::wire::ndp::{Envelope, NeighborSolicitation};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ETH0: InterfaceIndex = InterfaceIndex(2);
const CLIENT: MacAddr = MacAddr::new([2, 0, 0, 0, 1, 1]);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn v4(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + host)
}

fn v6(host: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(host))
}

fn questions(host: u32) -> [Vec<u8>; 4] {
    let mut frames = [const { Vec::new() }; 4];
    let [arp, probe, ndp, detection] = &mut frames;
    Packet::request(CLIENT, Ipv4Addr::new(192, 0, 2, 9), v4(host)).emit_frame(MacAddr::BROADCAST, arp);
    Packet::probe(CLIENT, v4(host)).emit_frame(MacAddr::BROADCAST, probe);
    let group = solicited_node_group(v6(host));
    let message = NeighborSolicitation { target: v6(host), source_link_layer: Some(CLIENT), nonce: None };
    message.emit_frame(&Envelope::to_group(CLIENT, LINK_LOCAL, group), ndp);
    message.emit_frame(&Envelope::to_group(CLIENT, Ipv6Addr::UNSPECIFIED, group), detection);
    frames
}

#[test]
fn a_request_is_answered_without_allocating() {
    let now = Instant::now();
    let mut responder = Responder::new(Options::new(0));
    let interface = Interface {
        index: ETH0,
        name: "eth0".into(),
        mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
        link_local: Some(LINK_LOCAL),
        subnets: std::collections::BTreeSet::new(),
    };
    responder.upsert_interface(now, interface);
    let mut out = Vec::with_capacity(128);
    for host in 0..1000 {
        responder.announce(now, IpAddr::V4(v4(host)), Scope::All).unwrap();
        responder.announce(now, IpAddr::V6(v6(host)), Scope::All).unwrap();
        while responder.poll_transmit(&mut out).is_some() {}
    }
    let known: Vec<Vec<u8>> = (0..1000).flat_map(questions).collect();
    let unknown: Vec<Vec<u8>> = (5000..5100).flat_map(questions).collect();
    let before = COUNT.get();
    for frame in &known {
        assert!(matches!(responder.handle_frame(now, ETH0, frame), Outcome::Answered(_)));
        assert_eq!(responder.poll_transmit(&mut out), Some(ETH0));
    }
    for frame in &unknown {
        assert!(matches!(responder.handle_frame(now, ETH0, frame), Outcome::Ignored(_)));
        assert_eq!(responder.poll_transmit(&mut out), None);
    }
    assert_eq!(COUNT.get() - before, 0);
}

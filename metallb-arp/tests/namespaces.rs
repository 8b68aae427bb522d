//! The driver against the kernel's own ARP and neighbor discovery, in network namespaces.
#![cfg(feature = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::net::IpAddr;

use metallb_arp::io::linux::Options;
use metallb_arp::responder::Scope;
use support::{Space, in_namespace};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A node and a client on one link: the client has addresses, the node does not.
fn node_and_client() -> (Space, Space) {
    let node = Space::new();
    let client = Space::new();
    node.connect("eth0", &client, "client0");
    client.sh("ip addr add 192.0.2.100/24 dev client0");
    client.sh("ip addr add 2001:db8::100/64 dev client0 nodad");
    (node, client)
}

#[test]
fn kernel_clients_resolve_announced_addresses() {
    in_namespace("kernel_clients_resolve_announced_addresses", || {
        let (node, client) = node_and_client();
        let mut speaker = node.driver(Options::default);
        speaker.ready("eth0");
        speaker.handle.announce(ip("192.0.2.1"), Scope::All).unwrap();
        speaker.handle.announce(ip("2001:db8::1"), Scope::All).unwrap();
        let mac = node.mac("eth0");
        client.resolves(ip("192.0.2.1"), &mac);
        client.resolves(ip("2001:db8::1"), &mac);
        let snapshot = speaker.snapshot();
        for address in ["192.0.2.1", "2001:db8::1"] {
            let counters = snapshot.addresses[&ip(address)];
            assert_eq!((counters.requests, counters.responses), (1, 1), "{address}: {snapshot:?}");
            assert!(counters.gratuitous > 0, "{address}");
        }
        assert_eq!(snapshot.frames.malformed, 0);
    });
}

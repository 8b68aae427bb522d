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

#[path = "support/client.rs"]
mod client;
mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use client::Observer;
use metallb_arp::io::linux::{Driver, Event, Options};
use metallb_arp::responder::{self, Reaction, Scope};
use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::{Operation, Packet, PacketView};
use metallb_arp::wire::ethernet::{EtherType, Frame, Header};
use metallb_arp::wire::ndp::Message;
use support::{Space, Speaker, eventually, in_namespace};

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// A node and a client on one link: the client has addresses, the node does not.
fn node_and_client() -> (Space, Space) {
    let node = Space::new();
    let client = Space::new();
    wire(&node, &client);
    (node, client)
}

fn wire(node: &Space, client: &Space) {
    node.connect("eth0", client, "client0");
    client.sh("ip addr add 192.0.2.100/24 dev client0");
    client.sh("ip addr add 2001:db8::100/64 dev client0 nodad");
}

/// A driver that announces the two service addresses everywhere.
fn announcing(node: &Space) -> Speaker {
    let mut speaker = node.driver(|| Options::new(0));
    speaker.ready("eth0");
    speaker.handle.announce(ip(V4), Scope::All).unwrap();
    speaker.handle.announce(ip(V6), Scope::All).unwrap();
    speaker
}

/// The hardware address that a frame announces for an address without having been asked.
fn announced(frame: &[u8], address: IpAddr) -> Option<MacAddr> {
    let frame = Frame::parse(frame).ok()?;
    match address {
        IpAddr::V4(v4) => {
            let packet =
                PacketView::parse(frame.payload).ok().filter(|_| frame.ethertype == EtherType::ARP)?;
            (packet.sender() == v4 && packet.target() == v4).then(|| packet.sender_mac())
        }
        IpAddr::V6(v6) => match Message::parse(frame.payload) {
            Ok(Some(Message::NeighborAdvertisement(message)))
                if message.target() == v6 && !message.solicited() =>
            {
                message.options.target_link_layer()
            }
            _ => None,
        },
    }
}

/// The hardware address that a frame gives as an ARP answer for an address.
fn answered(frame: &[u8], address: Ipv4Addr) -> Option<MacAddr> {
    let frame = Frame::parse(frame).ok().filter(|frame| frame.ethertype == EtherType::ARP)?;
    let packet = PacketView::parse(frame.payload).ok()?;
    let reply =
        packet.operation() == Operation::Reply && packet.sender() == address && packet.target() != address;
    reply.then(|| packet.sender_mac())
}

fn mac(text: &str) -> MacAddr {
    text.parse().unwrap()
}

fn frame_of(packet: &Packet, destination: MacAddr) -> Vec<u8> {
    let mut frame = Vec::new();
    packet.emit_frame(destination, &mut frame);
    frame
}

#[test]
fn kernel_clients_resolve_announced_addresses() {
    in_namespace("kernel_clients_resolve_announced_addresses", || {
        let (node, client) = node_and_client();
        let speaker = announcing(&node);
        client.resolves(ip(V4), &node.mac("eth0"));
        client.resolves(ip(V6), &node.mac("eth0"));
        let snapshot = speaker.snapshot();
        for address in [V4, V6] {
            let counters = snapshot.addresses[&ip(address)];
            assert_eq!((counters.requests, counters.responses), (1, 1), "{address}: {snapshot:?}");
            assert!(counters.gratuitous > 0, "{address}");
        }
        assert_eq!(snapshot.frames.malformed, 0);
    });
}

/// Nodes hold service addresses on their loopback interface, as kube-proxy in IPVS mode does.
#[test]
fn service_addresses_on_the_loopback_interface_are_reached_through_the_driver() {
    in_namespace("service_addresses_on_the_loopback_interface_are_reached_through_the_driver", || {
        let (node, client) = node_and_client();
        node.sh("sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2");
        node.sh(&format!("ip addr add {V4}/32 dev lo && ip addr add {V6}/128 dev lo"));
        node.sh("ip addr add 192.0.2.10/24 dev eth0 && ip addr add 2001:db8::10/64 dev eth0 nodad");
        let connect = |address: &str| {
            let address = ip(address);
            client.run(move || TcpStream::connect_timeout(&(address, 8080).into(), Duration::from_secs(2)))
        };
        let listener = node.run(|| TcpListener::bind("[::]:8080").unwrap());
        client.sh(
            "sysctl -qw net.ipv4.neigh.client0.retrans_time_ms=20 net.ipv6.neigh.client0.retrans_time_ms=20",
        );
        for address in [V4, V6] {
            connect(address).expect_err("nobody announces the address");
        }
        let speaker = announcing(&node);
        for address in [V4, V6] {
            eventually("the service is reached", || connect(address).is_ok());
            assert_eq!(speaker.snapshot().addresses[&ip(address)].conflicts, 0);
        }
        drop(listener);
    });
}

#[test]
fn addresses_that_are_not_announced_are_not_answered() {
    in_namespace("addresses_that_are_not_announced_are_not_answered", || {
        let (node, client) = node_and_client();
        let speaker = announcing(&node);
        client.resolves(ip(V4), &node.mac("eth0"));
        speaker.handle.withdraw(ip(V4));
        eventually("withdrawn", || !speaker.snapshot().addresses.contains_key(&ip(V4)));
        client.sh("ip neigh flush all");
        client.sh("sysctl -qw net.ipv4.neigh.client0.retrans_time_ms=20");
        for address in [V4, "192.0.2.2"] {
            client.poke(ip(address));
            eventually("resolution failed", || {
                client.sh(&format!("ip neigh show {address}")).contains("FAILED")
            });
        }
    });
}

/// req: R4861-7.3
#[test]
fn neighbor_entries_survive_unicast_probes() {
    in_namespace("neighbor_entries_survive_unicast_probes", || {
        let (node, client) = node_and_client();
        for family in ["ipv4", "ipv6"] {
            let base = format!("net.{family}.neigh.client0");
            client.sh(&format!("sysctl -qw {base}.base_reachable_time_ms=60 {base}.retrans_time_ms=300"));
            client.sh(&format!("sysctl -qw {base}.delay_first_probe_time=0 {base}.mcast_solicit=1"));
        }
        let speaker = announcing(&node);
        client.resolves(ip(V4), &node.mac("eth0"));
        client.resolves(ip(V6), &node.mac("eth0"));
        let observer = client.observe("client0");
        let mac = node.mac("eth0");
        let resolved = speaker.snapshot();
        let asked = |address: &str| speaker.snapshot().addresses[&ip(address)].requests;
        let before = [V4, V6].map(|address| resolved.addresses[&ip(address)].requests);
        eventually("thirty rounds of probes in each family", || {
            for address in [V4, V6] {
                client.poke(ip(address));
                let (lladdr, state) = client.neighbor(ip(address)).expect("the entry is gone");
                assert_eq!(lladdr, mac);
                assert!(["REACHABLE", "STALE", "DELAY", "PROBE"].contains(&state.as_str()), "{state}");
            }
            asked(V4) >= before[0] + 30 && asked(V6) >= before[1] + 30
        });
        let counters = speaker.snapshot().addresses;
        for address in [V4, V6] {
            let counters = counters[&ip(address)];
            assert_eq!(counters.requests, counters.responses, "{address}");
        }
        // What was seen of questions and answers on the client's side.
        let mut seen = [[0; 3]; 2];
        let mut count = |frame: &[u8]| {
            let (address, kind) = question_or_answer(frame)?;
            let family = usize::from(address.is_ipv6());
            seen[family][kind] += u32::from(address == ip([V4, V6][family]));
            Some(())
        };
        while observer.within(Duration::from_millis(50), &mut count).is_some() {}
        for [to_all, unicast, answers] in seen {
            assert_eq!(to_all, 0, "the client had to ask everybody");
            assert!(unicast >= 30 && answers >= 30, "{unicast} probes, {answers} answers");
        }
    });
}

/// The address a frame is about, and whether it asks all (0), asks one station (1), or answers (2).
fn question_or_answer(frame: &[u8]) -> Option<(IpAddr, usize)> {
    let frame = Frame::parse(frame).ok()?;
    let asks = usize::from(!frame.destination().is_group());
    if frame.ethertype == EtherType::ARP {
        let packet = PacketView::parse(frame.payload).ok()?;
        return match packet.operation() {
            Operation::Request if packet.sender() != packet.target() => Some((packet.target().into(), asks)),
            Operation::Reply if packet.sender() != packet.target() => Some((packet.sender().into(), 2)),
            _ => None,
        };
    }
    match Message::parse(frame.payload).ok()?? {
        Message::NeighborSolicitation(message) => Some((message.target().into(), asks)),
        Message::NeighborAdvertisement(message) if message.solicited() => Some((message.target().into(), 2)),
        _ => None,
    }
}

/// req: R4862-5.4.3, R5227-2.1.1
#[test]
fn foreign_duplicate_address_detection_is_answered() {
    in_namespace("foreign_duplicate_address_detection_is_answered", || {
        let (node, client) = node_and_client();
        let _speaker = announcing(&node);
        client.resolves(ip(V6), &node.mac("eth0"));
        client.sh("sysctl -qw net.ipv6.conf.client0.accept_dad=1 net.ipv6.conf.all.accept_dad=1");
        client.sh(&format!("ip addr add {V6}/64 dev client0"));
        eventually("the client sees the duplicate", || {
            client.sh("ip -6 addr show dev client0 dadfailed").contains(V6)
        });
        let observer = client.observe("client0");
        let own = mac(&client.mac("client0"));
        observer.send(&frame_of(&Packet::probe(own, v4(V4)), MacAddr::BROADCAST));
        let answer = observer.wait("an answer to the ARP probe", |frame| answered(frame, v4(V4)));
        assert_eq!(answer, mac(&node.mac("eth0")));
    });
}

#[test]
fn a_flapped_link_is_announced_again_at_once() {
    in_namespace("a_flapped_link_is_announced_again_at_once", || {
        let (node, client) = node_and_client();
        let mut speaker = announcing(&node);
        client.resolves(ip(V4), &node.mac("eth0"));
        let observer = client.observe("client0");
        client.sh("ip link set client0 down");
        speaker.wait("eth0 is gone", |event| match event {
            Event::Interfaces(all) if all.is_empty() => Some(()),
            _ => None,
        });
        while observer.within(Duration::from_millis(1), |_| Some(())).is_some() {}
        let started = Instant::now();
        client.sh("ip link set client0 up");
        observer.wait("IPv4 is announced", |frame| announced(frame, ip(V4)));
        let took = started.elapsed();
        observer.wait("IPv6 is announced", |frame| announced(frame, ip(V6)));
        println!("announced again {took:?} after the command that restores the carrier was started");
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
}

/// Whether the driver sees the carrier go, or only that it has come up once more.
#[test]
fn a_link_that_flaps_within_a_moment_is_announced_again() {
    in_namespace("a_link_that_flaps_within_a_moment_is_announced_again", || {
        let (node, client) = node_and_client();
        let _speaker = announcing(&node);
        client.resolves(ip(V4), &node.mac("eth0"));
        let observer = client.observe("client0");
        wait_until_quiet(&observer);
        client.sh("printf 'link set client0 down\nlink set client0 up\n' | ip -batch -");
        observer.wait("IPv4 is announced", |frame| announced(frame, ip(V4)));
        observer.wait("IPv6 is announced", |frame| announced(frame, ip(V6)));
    });
}

#[test]
fn everything_is_announced_again_on_request() {
    in_namespace("everything_is_announced_again_on_request", || {
        let (node, client) = node_and_client();
        let speaker = announcing(&node);
        client.resolves(ip(V4), &node.mac("eth0"));
        let observer = client.observe("client0");
        wait_until_quiet(&observer);
        speaker.handle.reannounce();
        observer.wait("IPv4 is announced", |frame| announced(frame, ip(V4)));
        observer.wait("IPv6 is announced", |frame| announced(frame, ip(V6)));
    });
}

/// Ends a flood also when the test fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The flood goes on until the other interface has been served.
#[test]
fn a_flood_on_one_interface_keeps_no_other_waiting() {
    in_namespace("a_flood_on_one_interface_keeps_no_other_waiting", || {
        let (node, client) = node_and_client();
        node.connect("eth1", &client, "client1");
        let mut speaker = node.driver(|| Options::new(0));
        speaker.ready("eth1");
        speaker.handle.announce(ip(V4), Scope::All).unwrap();
        let question = |interface: &str| {
            let own = mac(&client.mac(interface));
            frame_of(&Packet::request(own, v4("192.0.2.100"), v4(V4)), MacAddr::BROADCAST)
        };
        let (flood, request) = (question("client0"), question("client1"));
        let (flooder, observer) = (client.observe("client0"), client.observe("client1"));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    flooder.send(&flood);
                }
            });
            let _end = Finish(&done);
            for _ in 0..100 {
                observer.send(&request);
                observer.wait("an answer on the other interface", |frame| answered(frame, v4(V4)));
            }
            speaker.handle.announce(ip("192.0.2.2"), Scope::All).unwrap();
            observer.wait("an announcement", |frame| announced(frame, ip("192.0.2.2")));
        });
        assert!(speaker.snapshot().addresses[&ip(V4)].requests > 100);
    });
}

#[test]
fn requests_are_answered_without_busy_polling_too() {
    in_namespace("requests_are_answered_without_busy_polling_too", || {
        let (node, client) = node_and_client();
        let (handle, _events) =
            node.run(|| Driver::start_with_busy_poll(Options::new(0), Duration::ZERO).unwrap());
        handle.announce(ip(V4), Scope::All).unwrap();
        client.resolves(ip(V4), &node.mac("eth0"));
        let observer = client.observe("client0");
        let own = mac(&client.mac("client0"));
        let request = frame_of(&Packet::request(own, v4("192.0.2.100"), v4(V4)), MacAddr::BROADCAST);
        for _ in 0..100 {
            observer.send(&request);
        }
        for _ in 0..100 {
            observer.wait("an answer", |frame| answered(frame, v4(V4)));
        }
    });
}

#[test]
fn a_changed_hardware_address_reaches_the_clients() {
    in_namespace("a_changed_hardware_address_reaches_the_clients", || {
        let (node, client) = node_and_client();
        let _speaker = announcing(&node);
        client.resolves(ip(V4), &node.mac("eth0"));
        client.resolves(ip(V6), &node.mac("eth0"));
        node.sh("ip link set eth0 address 02:00:00:00:aa:01");
        for address in [V4, V6] {
            eventually("the client has learnt the new hardware address", || {
                client.neighbor(ip(address)).is_some_and(|(lladdr, _)| lladdr == "02:00:00:00:aa:01")
            });
        }
    });
}

#[test]
fn a_recreated_interface_is_announced_on_and_its_groups_are_joined() {
    in_namespace("a_recreated_interface_is_announced_on_and_its_groups_are_joined", || {
        let (node, client) = node_and_client();
        let mut speaker = announcing(&node);
        let group = "ff02::1:ff00:1";
        eventually("the group is joined", || node.sh("ip -6 maddr show dev eth0").contains(group));
        node.sh("ip link del eth0");
        speaker.wait("eth0 is gone", |event| match event {
            Event::Interfaces(all) if all.is_empty() => Some(()),
            _ => None,
        });
        wire(&node, &client);
        speaker.ready("eth0");
        eventually("the group is joined again", || node.sh("ip -6 maddr show dev eth0").contains(group));
        client.resolves(ip(V4), &node.mac("eth0"));
        client.resolves(ip(V6), &node.mac("eth0"));
        speaker.handle.withdraw(ip(V6));
        eventually("the group is left", || !node.sh("ip -6 maddr show dev eth0").contains(group));
    });
}

/// req: R5227-2.4
#[test]
fn a_second_machine_claiming_the_address_is_reported_and_defended_against_once() {
    in_namespace("a_second_machine_claiming_the_address_is_reported_and_defended_against_once", || {
        let (node, client) = node_and_client();
        let mut speaker = announcing(&node);
        let observer = client.observe("client0");
        wait_until_quiet(&observer);
        let thief = mac("02:00:00:00:bb:01");
        let claim = frame_of(&Packet::announcement(thief, v4(V4)), MacAddr::BROADCAST);
        for _ in 0..3 {
            observer.send(&claim);
        }
        let (address, interface, by, reaction) = speaker.wait("the conflict", |event| match event {
            Event::Conflict { address, interface, mac, reaction, .. } => {
                Some((address, interface, mac, reaction))
            }
            _ => None,
        });
        assert_eq!((address, interface.as_str(), by, reaction), (ip(V4), "eth0", thief, Reaction::Defend));
        let own = mac(&node.mac("eth0"));
        let defence = |frame: &[u8]| announced(frame, ip(V4)).filter(|mac| *mac == own);
        observer.wait("the defence", defence);
        assert_eq!(speaker.snapshot().addresses[&ip(V4)].conflicts, 3);
    });
}

/// The announcements of the first five seconds are over.
fn wait_until_quiet(observer: &Observer) {
    while observer.within(Duration::from_millis(1500), |frame| announced(frame, ip(V4))).is_some() {}
}

#[test]
fn an_address_withdrawn_after_a_claim_is_not_defended() {
    in_namespace("an_address_withdrawn_after_a_claim_is_not_defended", || {
        let (node, client) = node_and_client();
        let speaker = announcing(&node);
        let observer = client.observe("client0");
        wait_until_quiet(&observer);
        let owner = mac("02:00:00:00:bb:02");
        observer.send(&frame_of(&Packet::announcement(owner, v4(V4)), MacAddr::BROADCAST));
        eventually("the claim is noticed", || speaker.snapshot().addresses[&ip(V4)].conflicts == 1);
        speaker.handle.withdraw(ip(V4));
        let own = mac(&node.mac("eth0"));
        let defence = |frame: &[u8]| announced(frame, ip(V4)).filter(|mac| *mac == own);
        assert_eq!(observer.within(Duration::from_secs(1), defence), None);
    });
}

#[test]
fn vlan_tagged_and_runt_frames_are_not_answered() {
    in_namespace("vlan_tagged_and_runt_frames_are_not_answered", || {
        let (node, client) = node_and_client();
        let speaker = announcing(&node);
        let observer = client.observe("client0");
        let own = mac(&client.mac("client0"));
        let request = frame_of(&Packet::request(own, v4("192.0.2.100"), v4(V4)), MacAddr::BROADCAST);
        let tagged = |tag: [u8; 4]| {
            let (head, tail) = request.split_at(12);
            [head, &tag, tail].concat()
        };
        let answers = |frame: &[u8]| answered(frame, v4(V4));
        observer.send(&tagged([0x81, 0, 0, 5]));
        observer.send(&request[..20]);
        let mut short = Vec::new();
        Header::new(MacAddr::BROADCAST, own, EtherType::IPV6).emit(&mut short);
        observer.send(&short);
        assert_eq!(observer.within(Duration::from_millis(300), answers), None);
        assert_eq!(speaker.snapshot().addresses[&ip(V4)].requests, 0);
        observer.send(&tagged([0x81, 0, 0xe0, 0]));
        observer.wait("an answer to a frame with a priority but no VLAN", answers);
        observer.send(&request);
        observer.wait("an answer to a plain request", answers);
    });
}

#[test]
fn sixty_five_thousand_addresses_are_announced_and_answered() {
    in_namespace("sixty_five_thousand_addresses_are_announced_and_answered", || {
        let (node, client) = node_and_client();
        client.sh("ip route add 10.10.0.0/16 dev client0");
        let mut speaker = node.driver(|| Options::new(0));
        speaker.ready("eth0");
        let started = Instant::now();
        for host in 0..=u16::MAX {
            let [high, low] = host.to_be_bytes();
            speaker.handle.announce(IpAddr::from([10, 10, high, low]), Scope::All).unwrap();
        }
        let told = started.elapsed();
        let counters = || speaker.snapshot().addresses;
        eventually("every address has been announced", || {
            let all = counters();
            all.len() == 65536 && all.values().all(|counters| counters.gratuitous >= 2)
        });
        println!("65536 addresses: told in {told:?}, announced in {:?}", started.elapsed());
        for host in [0, 255, 256, 32_768, 65_535_u16] {
            let [high, low] = host.to_be_bytes();
            client.resolves(IpAddr::from([10, 10, high, low]), &node.mac("eth0"));
        }
        assert_eq!(speaker.snapshot().unsent, 0);
    });
}

#[test]
fn more_groups_than_one_socket_holds_are_joined_and_left() {
    in_namespace("more_groups_than_one_socket_holds_are_joined_and_left", || {
        let (node, client) = node_and_client();
        let mut speaker = node.driver(|| Options::new(0));
        speaker.ready("eth0");
        let address = |host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, host));
        for host in 0..5000 {
            speaker.handle.announce(address(host), Scope::All).unwrap();
        }
        let joined =
            || node.sh("ip -6 maddr show dev eth0 | grep -c ff02::1:ff01: || true").trim().to_owned();
        eventually("all groups are joined", || joined() == "5000");
        client.resolves(address(4999), &node.mac("eth0"));
        for host in 0..5000 {
            speaker.handle.withdraw(address(host));
        }
        eventually("all groups are left", || joined() == "0");
    });
}

#[test]
fn groups_that_cannot_be_joined_are_reported_once_and_joined_later() {
    in_namespace("groups_that_cannot_be_joined_are_reported_once_and_joined_later", || {
        let (node, client) = node_and_client();
        let mut speaker = node.driver(|| Options::new(0));
        speaker.ready("eth0");
        // No memory for memberships; older kernels have this setting for all namespaces together.
        let room = |octets: u32| node.try_sh(&format!("sysctl -qw net.core.optmem_max={octets}")).0;
        if !room(1) {
            eprintln!("skipped: net.core.optmem_max cannot be set for a namespace");
            return;
        }
        speaker.handle.announce(ip(V6), Scope::All).unwrap();
        let error = speaker.wait("the error", |event| match event {
            Event::Error { interface, error, .. } => Some((interface, error.to_string())),
            _ => None,
        });
        assert_eq!(error.0.as_deref(), Some("eth0"));
        assert!(error.1.contains("join a multicast group"), "{}", error.1);
        let joined =
            || node.sh("ip -6 maddr show dev eth0 | grep -c 'ff02::1:ff00:1$' || true").trim().to_owned();
        assert_eq!(joined(), "0");
        assert!(room(131_072));
        eventually("joined", || joined() == "1");
        client.resolves(ip(V6), &node.mac("eth0"));
        speaker.handle.withdraw(ip(V6));
        eventually("left", || joined() == "0");
    });
}

#[test]
fn a_bridge_takes_the_place_of_its_ports() {
    in_namespace("a_bridge_takes_the_place_of_its_ports", || {
        let (node, client) = node_and_client();
        node.sh("ip link add br0 type bridge && ip link set br0 up && ip link set eth0 master br0");
        let mut speaker = node.driver(|| Options::new(0));
        speaker.wait("only the bridge is usable", |event| match event {
            Event::Interfaces(all) => {
                let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
                (names == ["br0"] && all[0].link_local.is_some()).then_some(())
            }
            _ => None,
        });
        speaker.handle.announce(ip(V4), Scope::All).unwrap();
        speaker.handle.announce(ip(V6), Scope::All).unwrap();
        client.resolves(ip(V4), &node.mac("br0"));
        client.resolves(ip(V6), &node.mac("br0"));
        node.sh("ip link set eth0 nomaster && ip link del br0");
        speaker.ready("eth0");
        client.sh("ip neigh flush all");
        client.resolves(ip(V4), &node.mac("eth0"));
    });
}

#[test]
fn scopes_and_exclusions_narrow_the_interfaces() {
    in_namespace("scopes_and_exclusions_narrow_the_interfaces", || {
        let (node, client) = node_and_client();
        node.connect("eth1", &client, "client1");
        node.connect("skip0", &client, "client2");
        let mut speaker = node.driver(|| Options {
            exclude: Box::new(|name| name.starts_with("skip")),
            responder: responder::Options::new(0),
        });
        speaker.ready("eth1");
        let names: Vec<String> = speaker.snapshot().interfaces.into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["eth0", "eth1"]);
        let only = Scope::Only(BTreeSet::from(["eth1".to_owned()]));
        speaker.handle.announce(ip(V4), only).unwrap();
        speaker.handle.announce(ip("192.0.2.2"), Scope::All).unwrap();
        let answers = |interface: &str, address: &str| {
            let observer = client.observe(interface);
            let own = mac(&client.mac(interface));
            observer
                .send(&frame_of(&Packet::request(own, v4("192.0.2.100"), v4(address)), MacAddr::BROADCAST));
            observer.within(Duration::from_millis(300), |frame| answered(frame, v4(address))).is_some()
        };
        assert!(answers("client1", V4) && answers("client0", "192.0.2.2") && answers("client1", "192.0.2.2"));
        assert!(!answers("client0", V4) && !answers("client2", V4) && !answers("client2", "192.0.2.2"));
        speaker.handle.announce(ip(V4), Scope::All).unwrap();
        eventually("the scope is wider", || answers("client0", V4));
    });
}

/// A driver for the two tests below, started in a process with other capabilities.
#[test]
fn helper_that_announces_until_it_is_killed() {
    let Some(file) = std::env::var_os(HELPER) else { return };
    match Driver::start(Options::new(0)) {
        Err(error) => std::fs::write(file, error.to_string()).unwrap(),
        Ok((handle, _events)) => {
            handle.announce(ip(V4), Scope::All).unwrap();
            handle.announce(ip(V6), Scope::All).unwrap();
            std::fs::write(file, "started").unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

/// Starts the helper in a namespace with these capabilities only; returns what it said.
fn helper(node: &Space, capabilities: &str) -> (Child, String) {
    let file = std::env::temp_dir().join(format!("metallb-arp-{}-{}", std::process::id(), node.tid));
    let command = format!(
        "exec setpriv --inh-caps -all --ambient-caps -all --bounding-set {capabilities} \"$0\" --exact helper_that_announces_until_it_is_killed"
    );
    let (this, said) = (std::env::current_exe().unwrap(), file.clone());
    let child = node
        .run(move || Command::new("sh").args(["-c", &command]).arg(this).env(HELPER, said).spawn().unwrap());
    let mut text = String::new();
    eventually("the helper says something", || {
        text = std::fs::read_to_string(&file).unwrap_or_default();
        !text.is_empty()
    });
    std::fs::remove_file(file).unwrap();
    (child, text)
}

#[test]
fn net_raw_is_the_only_capability_needed() {
    in_namespace("net_raw_is_the_only_capability_needed", || {
        let (node, client) = node_and_client();
        let (mut child, said) = helper(&node, "-all,+net_raw");
        assert_eq!(said, "started");
        client.resolves(ip(V4), &node.mac("eth0"));
        client.resolves(ip(V6), &node.mac("eth0"));
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn the_missing_capability_is_named() {
    in_namespace("the_missing_capability_is_named", || {
        let (node, _client) = node_and_client();
        let (mut child, said) = helper(&node, "-net_raw");
        assert!(said.contains("CAP_NET_RAW"), "{said}");
        assert!(child.wait().unwrap().success());
    });
}

const HELPER: &str = "METALLB_TEST_HELPER";

/// While the driver is kept from reading, more changes happen than its netlink socket holds.
#[test]
fn lost_netlink_messages_are_made_up_for() {
    in_namespace("lost_netlink_messages_are_made_up_for", || {
        let (node, client) = node_and_client();
        let (stop, stopped) = mpsc::channel();
        let (resume, resumed) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(Some((stop, resumed)));
        let mut speaker = node.driver(move || Options {
            exclude: Box::new(move |name| {
                if name == "gate0"
                    && let Some((stop, resumed)) = gate.lock().unwrap().take()
                {
                    stop.send(()).unwrap();
                    resumed.recv().unwrap();
                }
                name.starts_with("gate") || name.starts_with("noise")
            }),
            responder: responder::Options::new(0),
        });
        speaker.ready("eth0");
        node.sh("ip link add gate0 type bridge");
        node.sh("ip link set gate0 up");
        stopped.recv_timeout(support::PATIENCE).unwrap();
        node.sh("ip link add noise0 type bridge && ip link set noise0 up");
        node.sh("for i in $(seq 2000); do echo link set noise0 alias text$i; done | ip -batch -");
        node.connect("eth1", &client, "client1");
        node.sh("ip link del eth0");
        resume.send(()).unwrap();
        speaker.wait("eth1 instead of eth0", |event| match event {
            Event::Interfaces(all) => {
                (all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>() == ["eth1"]).then_some(())
            }
            _ => None,
        });
    });
}

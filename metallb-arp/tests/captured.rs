//! Frames that other implementations sent: read, and written again octet by octet.
#![expect(clippy::unwrap_used, reason = "tests")]

use core::net::{Ipv4Addr, Ipv6Addr};

use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::{self, Operation, PacketView};
use metallb_arp::wire::ethernet::{EtherType, Frame};
use metallb_arp::wire::ndp::{
    Envelope, Message, NdpOption, NeighborAdvertisement, NeighborSolicitation, Nonce, OptionKind,
    PrefixInformation, RouterAdvertisement, RouterSolicitation,
};

const A: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 0x0a]);
const B: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 0x0b]);
const IPV4_A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const IPV4_B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const IPV6_A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const IPV6_B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const LINK_LOCAL_A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 0x0a);
const LINK_LOCAL_B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 0x0b);

fn captured(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/testdata/captured/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

fn arp_of(bytes: &[u8]) -> arp::Packet {
    let frame = Frame::parse(bytes).unwrap();
    assert_eq!(frame.ethertype, EtherType::ARP);
    PacketView::parse(frame.payload).unwrap().to_owned().unwrap()
}

fn ndp_of(bytes: &[u8]) -> Message<'_> {
    let frame = Frame::parse(bytes).unwrap();
    assert_eq!(frame.ethertype, EtherType::IPV6);
    Message::parse(frame.payload).unwrap().unwrap()
}

/// The envelope a captured frame came in.
fn envelope(bytes: &[u8]) -> Envelope {
    let frame = Frame::parse(bytes).unwrap();
    let packet = metallb_arp::wire::ipv6::Packet::parse(frame.payload).unwrap();
    Envelope {
        source_mac: frame.source(),
        destination_mac: frame.destination(),
        source: packet.header.source(),
        destination: packet.header.destination(),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// req: R826-format
#[test]
fn arp_request_of_linux() {
    let bytes = captured("arp_request");
    let packet = arp_of(&bytes);
    assert_eq!(packet, arp::Packet::request(A, IPV4_A, IPV4_B));
    assert_eq!(written(|out| packet.emit_frame(MacAddr::BROADCAST, out)), bytes);
}

/// req: R826-format
#[test]
fn arp_reply_of_linux() {
    let bytes = captured("arp_reply");
    let packet = arp_of(&bytes);
    assert_eq!(packet, arp::Packet::reply(B, IPV4_B, A, IPV4_A));
    assert_eq!(written(|out| packet.emit_frame(A, out)), bytes);
}

/// req: R5227-2.3
#[test]
fn arp_announcement_of_linux() {
    let bytes = captured("arp_announcement");
    let packet = arp_of(&bytes);
    assert_eq!((packet.operation(), packet.sender(), packet.target()), (Operation::Request, IPV4_A, IPV4_A));
}

/// req: R5227-2.1.1
#[test]
fn arp_probe_of_arping() {
    let packet = arp_of(&captured("arp_probe"));
    assert_eq!(packet.operation(), Operation::Request);
    assert_eq!((packet.sender_mac(), packet.sender(), packet.target()), (A, Ipv4Addr::UNSPECIFIED, IPV4_B));
}

#[test]
fn arp_announcement_of_arping_has_a_broadcast_target() {
    let packet = arp_of(&captured("arp_announcement_of_arping"));
    assert_eq!((packet.sender(), packet.target(), packet.target_mac()), (IPV4_A, IPV4_A, MacAddr::BROADCAST));
}

/// req: R4861-4.3
#[test]
fn neighbor_solicitation_of_linux() {
    let bytes = captured("neighbor_solicitation");
    let Message::NeighborSolicitation(message) = ndp_of(&bytes) else { panic!("another message") };
    assert_eq!((message.target(), message.options.source_link_layer()), (IPV6_B, Some(A)));
    assert_eq!((message.ip.source(), message.is_duplicate_address_detection()), (IPV6_A, false));
    let same = NeighborSolicitation { target: IPV6_B, source_link_layer: Some(A), nonce: None };
    assert_eq!(written(|out| same.emit_frame(&envelope(&bytes), out)), bytes);
}

/// req: R7527-4.1, R4862-5.4.2
#[test]
fn duplicate_address_detection_of_linux_with_its_nonce() {
    let bytes = captured("neighbor_solicitation_dad_with_nonce");
    let Message::NeighborSolicitation(message) = ndp_of(&bytes) else { panic!("another message") };
    assert!(message.is_duplicate_address_detection());
    assert_eq!(message.target(), IPV6_A);
    let nonce = Nonce(message.options.nonce().unwrap().try_into().unwrap());
    let same = NeighborSolicitation::detect_duplicate(IPV6_A, nonce);
    assert_eq!(written(|out| same.emit_frame(&envelope(&bytes), out)), bytes);
}

/// req: R4861-4.4
#[test]
fn neighbor_advertisement_of_linux() {
    let bytes = captured("neighbor_advertisement");
    let Message::NeighborAdvertisement(message) = ndp_of(&bytes) else { panic!("another message") };
    assert_eq!((message.target(), message.options.target_link_layer()), (IPV6_B, Some(B)));
    assert_eq!((message.router(), message.solicited(), message.overrides()), (false, true, true));
    let same = NeighborAdvertisement::answer(IPV6_B, B);
    assert_eq!(written(|out| same.emit_frame(&envelope(&bytes), out)), bytes);
}

/// req: R4861-4.1
#[test]
fn router_solicitation_of_linux() {
    let bytes = captured("router_solicitation");
    let Message::RouterSolicitation(message) = ndp_of(&bytes) else { panic!("another message") };
    let from = if message.ip.source() == LINK_LOCAL_A { A } else { B };
    assert_eq!(message.options.source_link_layer(), Some(from));
    let same = RouterSolicitation { source_link_layer: Some(from) };
    assert_eq!(written(|out| same.emit_frame(&envelope(&bytes), out)), bytes);
}

/// req: R4861-4.2
#[test]
fn router_advertisement_of_bird() {
    let bytes = captured("router_advertisement");
    let Message::RouterAdvertisement(message) = ndp_of(&bytes) else { panic!("another message") };
    assert_eq!(message.ip.source(), LINK_LOCAL_B);
    assert_eq!((message.hop_limit(), message.managed(), message.other_configuration()), (64, false, false));
    assert_eq!((message.lifetime(), message.reachable_time(), message.retransmit_timer()), (12, 0, 0));
    let options: Vec<NdpOption<'_>> = message.options.iter().collect();
    let prefix = PrefixInformation {
        prefix: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0),
        length: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: 86400,
        preferred_lifetime: 14400,
    };
    // The prefix BIRD found on its interface is the one of the captured network.
    let NdpOption::Prefix(sent) = options[1] else { panic!("{options:?}") };
    assert_eq!(sent, PrefixInformation { prefix: sent.prefix, ..prefix });
    assert_eq!(options[0], NdpOption::Mtu(1500));
    let NdpOption::RecursiveDns(servers) = options[2] else { panic!("{options:?}") };
    assert_eq!(&servers[6..], &Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53).octets());

    let same = RouterAdvertisement {
        hop_limit: 64,
        managed: false,
        other_configuration: false,
        lifetime: 12,
        reachable_time: 0,
        retransmit_timer: 0,
        source_link_layer: None,
        mtu: Some(1500),
        prefixes: &[sent],
    };
    let again = written(|out| same.emit_frame(&envelope(&bytes), out));
    let Message::RouterAdvertisement(read) = ndp_of(&again) else { panic!("another message") };
    assert!(read.options.iter().eq(options[..2].iter().copied()));
}

#[test]
fn other_icmpv6_is_not_neighbor_discovery() {
    let bytes = captured("destination_unreachable");
    let frame = Frame::parse(&bytes).unwrap();
    assert!(Message::parse(frame.payload).unwrap().is_none());
}

#[test]
fn unknown_options_are_kept() {
    let mut bytes = vec![200, 1, 1, 2, 3, 4, 5, 6];
    bytes.extend([1, 1, 2, 0, 0, 0, 0, 9]);
    let options = metallb_arp::wire::ndp::Options::parse(&bytes).unwrap();
    let all: Vec<NdpOption<'_>> = options.iter().collect();
    assert_eq!(all[0], NdpOption::Unknown(OptionKind(200), &[1, 2, 3, 4, 5, 6]));
    assert_eq!(options.source_link_layer(), Some(MacAddr::new([2, 0, 0, 0, 0, 9])));
}

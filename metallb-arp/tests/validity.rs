//! Which messages are refused, rule by rule.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use core::net::Ipv6Addr;

use metallb_arp::wire::arp::{self, PacketView};
use metallb_arp::wire::ethernet::{self, EtherType, Frame, Header, MacAddr};
use metallb_arp::wire::ipv6::{ALL_NODES, NextHeader, solicited_node_group};
use metallb_arp::wire::ndp::{
    self, Envelope, Message, NeighborAdvertisement, NeighborSolicitation, Nonce, OptionError, OptionKind,
    RouterAdvertisement, RouterSolicitation,
};
use metallb_arp::wire::vlan::Tag;
use metallb_arp::wire::{Error, icmpv6, ipv6};

const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const NEIGHBOR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// Where things are in the IPv6 packet.
const PAYLOAD_LEN: usize = 4;
const NEXT_HEADER: usize = 6;
const HOP_LIMIT: usize = 7;
const SOURCE: usize = 8;
const DESTINATION: usize = 24;
const ICMP: usize = 40;

/// The IPv6 packet of a solicitation, changed by `change`, with its checksum made right again.
fn solicitation(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let message = NeighborSolicitation { target: TARGET, source_link_layer: Some(MAC), nonce: None };
    let envelope = Envelope::to_group(MAC, NEIGHBOR, solicited_node_group(TARGET));
    packet(change, |out| message.emit_frame(&envelope, out))
}

fn advertisement(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let envelope = Envelope::to_group(MAC, NEIGHBOR, ALL_NODES);
    packet(change, |out| NeighborAdvertisement::unsolicited(TARGET, MAC).emit_frame(&envelope, out))
}

fn packet(change: impl FnOnce(&mut Vec<u8>), emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit(&mut bytes);
    bytes.drain(..ethernet::HEADER_LEN);
    change(&mut bytes);
    let length = u16::try_from(bytes.len() - ICMP).unwrap();
    bytes[PAYLOAD_LEN..PAYLOAD_LEN + 2].copy_from_slice(&length.to_be_bytes());
    bytes[ICMP + 2..ICMP + 4].fill(0);
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap());
    let sum = icmpv6::checksum(address(SOURCE), address(DESTINATION), &bytes[ICMP..]);
    bytes[ICMP + 2..ICMP + 4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn refused(bytes: &[u8]) -> Error {
    Message::parse(bytes).unwrap_err()
}

#[test]
fn unchanged_messages_are_accepted() {
    assert!(Message::parse(&solicitation(|_| {})).unwrap().is_some());
    assert!(Message::parse(&advertisement(|_| {})).unwrap().is_some());
}

/// req: R4861-7.1.1, R4861-7.1.2
#[test]
fn a_hop_limit_below_255_is_refused() {
    assert_eq!(refused(&solicitation(|packet| packet[HOP_LIMIT] = 254)), ndp::Error::HopLimit(254).into());
    assert_eq!(refused(&advertisement(|packet| packet[HOP_LIMIT] = 64)), ndp::Error::HopLimit(64).into());
}

/// req: R4861-7.1.1, R4861-7.1.2
#[test]
fn a_wrong_checksum_is_refused() {
    let mut bytes = solicitation(|_| {});
    bytes[ICMP + 2] ^= 1;
    assert_eq!(refused(&bytes), icmpv6::Error::Checksum.into());
}

/// req: R4861-7.1.1, R4861-7.1.2
#[test]
fn a_code_other_than_zero_is_refused() {
    assert_eq!(refused(&solicitation(|packet| packet[ICMP + 1] = 1)), ndp::Error::Code(1).into());
}

/// req: R4861-7.1.1, R4861-7.1.2
#[test]
fn messages_shorter_than_24_octets_are_refused() {
    assert_eq!(
        refused(&solicitation(|packet| packet.truncate(ICMP + 23))),
        ndp::Error::Truncated { octets: 19 }.into()
    );
    assert_eq!(
        refused(&advertisement(|packet| packet.truncate(ICMP + 20))),
        ndp::Error::Truncated { octets: 16 }.into()
    );
    assert!(Message::parse(&solicitation(|packet| packet.truncate(ICMP + 24))).unwrap().is_some());
}

/// req: R4861-7.1.1, R4861-7.1.2
#[test]
fn multicast_targets_are_refused() {
    let group = |packet: &mut Vec<u8>| packet[ICMP + 8] = 0xff;
    let target = Ipv6Addr::new(0xff01, 0xdb8, 0, 0, 0, 0, 0, 1);
    assert_eq!(refused(&solicitation(group)), ndp::Error::MulticastTarget(target).into());
    assert_eq!(refused(&advertisement(group)), ndp::Error::MulticastTarget(target).into());
}

/// req: R4861-7.1.1, R4861-4.6
#[test]
fn broken_options_are_refused() {
    let option = |at: usize, value: u8| move |packet: &mut Vec<u8>| packet[ICMP + 24 + at] = value;
    let kind = OptionKind::SOURCE_LINK_LAYER;
    assert_eq!(
        refused(&solicitation(option(1, 0))),
        ndp::Error::Options(OptionError::ZeroLength(kind)).into()
    );
    assert_eq!(
        refused(&solicitation(option(1, 2))),
        ndp::Error::Options(OptionError::Truncated { octets: 8 }).into()
    );
    assert_eq!(
        refused(&solicitation(|packet| packet.push(14))),
        ndp::Error::Options(OptionError::Truncated { octets: 1 }).into()
    );
    assert_eq!(
        refused(&solicitation(option(0, OptionKind::PREFIX_INFORMATION.0))),
        ndp::Error::Options(OptionError::TooShort { kind: OptionKind::PREFIX_INFORMATION, octets: 6 }).into()
    );
}

/// req: R4861-7.1.1
#[test]
fn detection_has_to_go_to_the_targets_group_without_a_hardware_address() {
    let unspecified = |packet: &mut Vec<u8>| packet[SOURCE..SOURCE + 16].fill(0);
    assert_eq!(refused(&solicitation(unspecified)), ndp::Error::LinkLayerFromUnspecified.into());
    let bare = solicitation(|packet| {
        unspecified(packet);
        packet.truncate(ICMP + 24);
    });
    assert!(Message::parse(&bare).unwrap().is_some());
    let elsewhere = solicitation(|packet| {
        unspecified(packet);
        packet.truncate(ICMP + 24);
        packet[DESTINATION + 15] ^= 1;
    });
    let group = solicited_node_group(Ipv6Addr::UNSPECIFIED);
    assert_eq!(refused(&elsewhere), ndp::Error::DetectionNotToGroup(group).into());
}

/// req: R4861-7.1.2
#[test]
fn solicited_advertisements_to_groups_are_refused() {
    let solicited = |packet: &mut Vec<u8>| packet[ICMP + 4] |= 0x40;
    assert_eq!(refused(&advertisement(solicited)), ndp::Error::SolicitedToMulticast.into());
}

/// req: R4861-6.1.1, R4861-6.1.2
#[test]
fn router_messages_obey_their_own_rules() {
    let envelope = Envelope::to_group(MAC, Ipv6Addr::UNSPECIFIED, ipv6::ALL_ROUTERS);
    let solicitation = RouterSolicitation { source_link_layer: Some(MAC) };
    let bare = packet(|_| {}, |out| solicitation.emit_frame(&envelope, out));
    assert_eq!(bare.len(), ICMP + 8, "no hardware address from the unspecified address");
    assert!(Message::parse(&bare).unwrap().is_some());
    let with = packet(
        |packet| packet.extend([1, 1, 2, 0, 0, 0, 0, 1]),
        |out| solicitation.emit_frame(&envelope, out),
    );
    assert_eq!(refused(&with), ndp::Error::LinkLayerFromUnspecified.into());

    let envelope = Envelope::to_group(MAC, TARGET, ALL_NODES);
    let advertisement = RouterAdvertisement {
        hop_limit: 64,
        managed: true,
        other_configuration: true,
        lifetime: 1800,
        reachable_time: 1,
        retransmit_timer: 2,
        source_link_layer: Some(MAC),
        mtu: None,
        prefixes: &[],
    };
    let global = packet(|_| {}, |out| advertisement.emit_frame(&envelope, out));
    assert_eq!(refused(&global), ndp::Error::RouterNotLinkLocal(TARGET).into());
}

#[test]
fn extension_headers_are_left_alone() {
    for next in [NextHeader::HOP_BY_HOP, NextHeader(43), NextHeader(44), NextHeader(60)] {
        assert!(next.is_extension());
        let bytes = solicitation(|packet| packet[NEXT_HEADER] = next.0);
        assert!(Message::parse(&bytes).unwrap().is_none());
    }
    assert!(!NextHeader::ICMPV6.is_extension());
}

#[test]
fn ipv6_packets_that_are_cut_short_or_of_another_version_are_refused() {
    let bytes = solicitation(|_| {});
    assert_eq!(refused(&bytes[..bytes.len() - 1]), ipv6::Error::Truncated { octets: bytes.len() - 1 }.into());
    assert_eq!(refused(&bytes[..39]), ipv6::Error::Truncated { octets: 39 }.into());
    let mut other = bytes.clone();
    other[0] = 0x45;
    assert_eq!(refused(&other), ipv6::Error::Version(4).into());
    let padded = [bytes.as_slice(), &[0; 20]].concat();
    assert!(Message::parse(&padded).unwrap().is_some(), "link-layer padding is no part of the packet");
}

#[test]
fn the_ipv6_header_gives_every_field() {
    let mut bytes = solicitation(|_| {});
    bytes[..4].copy_from_slice(&[0x6a, 0xbc, 0xde, 0xf1]);
    let packet = ipv6::Packet::parse(&bytes).unwrap();
    assert_eq!(
        (packet.header.version(), packet.header.traffic_class(), packet.header.flow_label()),
        (6, 0xab, 0xc_def1)
    );
    assert_eq!((packet.header.hop_limit(), packet.header.next_header()), (255, NextHeader::ICMPV6));
    assert_eq!(
        (packet.header.source(), usize::from(packet.header.payload_len())),
        (NEIGHBOR, bytes.len() - ICMP)
    );
}

/// req: R826-reception
#[test]
fn arp_for_other_hardware_or_protocols_is_told_apart() {
    let mut bytes = Vec::new();
    arp::Packet::probe(MAC, [192, 0, 2, 1].into()).emit(&mut bytes);
    let changed = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        PacketView::parse(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(changed(1, 6), arp::Error::Hardware(6));
    assert_eq!(changed(2, 0x86), arp::Error::Protocol(0x8600));
    assert_eq!(changed(4, 8), arp::Error::AddressLengths { hardware: 8, protocol: 4 });
    assert_eq!(changed(5, 16), arp::Error::AddressLengths { hardware: 6, protocol: 16 });
    assert_eq!(PacketView::parse(&bytes[..27]).unwrap_err(), arp::Error::Truncated { octets: 27 });
    bytes[7] = 9;
    let view = PacketView::parse(&bytes).unwrap();
    assert_eq!((view.operation(), view.to_owned()), (arp::Operation::Unknown(9), None));
}

#[test]
fn vlan_tags_are_read_through() {
    let mut bytes = Vec::new();
    Header::new(MacAddr::BROADCAST, MAC, EtherType::SERVICE_VLAN).emit(&mut bytes);
    bytes.extend([0xb0, 0x64, 0x81, 0x00, 0x00, 0x05, 0x08, 0x06, 1, 2, 3]);
    let frame = Frame::parse(&bytes).unwrap();
    let tag = frame.vlan.unwrap();
    assert_eq!(
        (tag.identifier(), tag.priority(), tag.drop_eligible(), tag.is_priority_only()),
        (100, 5, true, false)
    );
    assert_eq!((frame.ethertype, frame.payload), (EtherType::ARP, &[1, 2, 3][..]));
    assert_eq!(Frame::parse(&bytes[..19]), Err(ethernet::Error::Truncated { octets: 19 }));
    assert_eq!(Frame::parse(&bytes[..13]), Err(ethernet::Error::Truncated { octets: 13 }));
    let deep = [&bytes[..12], &[0x81, 0, 0, 1], &bytes[12..]].concat();
    assert_eq!(Frame::parse(&deep), Err(ethernet::Error::TooManyTags));
    for control in 0..=u16::MAX {
        let tag = Tag::new(control);
        let drop = if tag.drop_eligible() { 0x1000 } else { 0 };
        assert_eq!((u16::from(tag.priority()) << 13) | drop | tag.identifier(), control);
    }
}

#[test]
fn hardware_addresses_are_read_as_they_are_written() {
    let mac = MacAddr::new([2, 0, 0x5e, 0x10, 0, 0xff]);
    assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
    assert_eq!("02:00:5E:10:00:ff".parse(), Ok(mac));
    for wrong in [
        "",
        "02:00:5e:10:00",
        "02:00:5e:10:00:ff:01",
        "2:0:5e:10:0:ff",
        "+2:00:5e:10:00:ff",
        "02-00-5e-10-00-ff",
    ] {
        assert!(wrong.parse::<MacAddr>().is_err(), "{wrong:?}");
    }
    assert!(mac.is_unicast() && !MacAddr::ZERO.is_unicast() && !MacAddr::BROADCAST.is_unicast());
    assert_eq!(
        MacAddr::for_ipv6_multicast(solicited_node_group(TARGET)),
        MacAddr::new([0x33, 0x33, 0xff, 0, 0, 1])
    );
}

/// The example of RFC 1071 §3, whose sum of words is ddf2 (without the pseudo-header's contribution).
#[test]
fn the_checksum_is_the_one_of_rfc_1071() {
    let message = [0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7];
    let unspecified = Ipv6Addr::UNSPECIFIED;
    let pseudo = 8 + 58;
    assert_eq!(icmpv6::checksum(unspecified, unspecified, &message), !(0xddf2 + pseudo));
    assert_eq!(icmpv6::checksum(unspecified, unspecified, &[0xab]), !(0xab00 + 1 + 58));
}

#[test]
fn nonces_and_flags_survive() {
    let envelope = Envelope::to_group(MAC, Ipv6Addr::UNSPECIFIED, solicited_node_group(TARGET));
    let nonce = Nonce([1, 2, 3, 4, 5, 6]);
    let bytes = packet(
        |_| {},
        |out| NeighborSolicitation::detect_duplicate(TARGET, nonce).emit_frame(&envelope, out),
    );
    let Some(Message::NeighborSolicitation(message)) = Message::parse(&bytes).unwrap() else { return };
    assert_eq!(message.options.nonce(), Some(&nonce.0[..]));
}

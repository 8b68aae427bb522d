//! Round trips, exact consumption, and input that nobody would send.
#![expect(clippy::unwrap_used, reason = "tests")]

use core::net::{Ipv4Addr, Ipv6Addr};

use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::{self, Packet, PacketView};
use metallb_arp::wire::ethernet::{EtherType, Frame};
use metallb_arp::wire::ndp::{
    Envelope, Message, NdpOption, NeighborAdvertisement, NeighborSolicitation, Nonce, Options,
    PrefixInformation, RouterAdvertisement, RouterSolicitation,
};
use proptest::prelude::*;

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr::new)
}

fn unicast() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits & !(0x80 << 120) | 1))
}

fn link_local() -> impl Strategy<Value = Ipv6Addr> {
    any::<u64>().prop_map(|bits| Ipv6Addr::from_bits((0xfe80 << 112) | u128::from(bits)))
}

fn envelope(source: impl Strategy<Value = Ipv6Addr>) -> impl Strategy<Value = Envelope> {
    (mac(), mac(), source, unicast()).prop_map(|(source_mac, destination_mac, source, destination)| {
        Envelope { source_mac, destination_mac, source, destination }
    })
}

fn arp_packet() -> impl Strategy<Value = Packet> {
    let parts = (any::<bool>(), mac(), any::<Ipv4Addr>(), mac(), any::<Ipv4Addr>());
    parts.prop_map(|(request, sender_mac, sender, target_mac, target)| {
        if request {
            Packet::request(sender_mac, sender, target)
        } else {
            Packet::reply(sender_mac, sender, target_mac, target)
        }
    })
}

fn prefix() -> impl Strategy<Value = PrefixInformation> {
    (any::<Ipv6Addr>(), any::<u8>(), any::<bool>(), any::<bool>(), any::<u32>(), any::<u32>()).prop_map(
        |(prefix, length, on_link, autonomous, valid_lifetime, preferred_lifetime)| PrefixInformation {
            prefix,
            length,
            on_link,
            autonomous,
            valid_lifetime,
            preferred_lifetime,
        },
    )
}

fn read(frame: &[u8]) -> Message<'_> {
    let frame = Frame::parse(frame).unwrap();
    assert_eq!(frame.ethertype, EtherType::IPV6);
    Message::parse(frame.payload).unwrap().unwrap()
}

proptest! {
    #[test]
    fn arp_packets_come_back_as_they_were(packet in arp_packet(), destination in mac()) {
        let mut bytes = Vec::new();
        packet.emit_frame(destination, &mut bytes);
        let frame = Frame::parse(&bytes).unwrap();
        prop_assert_eq!((frame.destination(), frame.source()), (destination, packet.sender_mac()));
        prop_assert_eq!(PacketView::parse(frame.payload).unwrap().to_owned(), Some(packet));
    }

    #[test]
    fn arp_packets_are_28_octets_whatever_follows(packet in arp_packet(), padding in any::<Vec<u8>>(), cut in 0..arp::LEN) {
        let mut bytes = Vec::new();
        packet.emit(&mut bytes);
        prop_assert_eq!(bytes.len(), arp::LEN);
        prop_assert!(PacketView::parse(&bytes[..cut]).is_err());
        bytes.extend(padding);
        prop_assert_eq!(PacketView::parse(&bytes).unwrap().to_owned(), Some(packet));
    }

    #[test]
    fn solicitations_come_back_as_they_were(
        envelope in envelope(unicast()),
        target in unicast(),
        source_link_layer in proptest::option::of(mac()),
        nonce in proptest::option::of(any::<[u8; 6]>()),
    ) {
        let sent = NeighborSolicitation { target, source_link_layer, nonce: nonce.map(Nonce) };
        let mut bytes = Vec::new();
        sent.emit_frame(&envelope, &mut bytes);
        let Message::NeighborSolicitation(message) = read(&bytes) else { panic!("another message") };
        prop_assert_eq!((message.ip.source(), message.ip.destination()), (envelope.source, envelope.destination));
        prop_assert_eq!(message.target(), target);
        prop_assert_eq!(message.options.source_link_layer(), source_link_layer);
        prop_assert_eq!(message.options.nonce(), nonce.as_ref().map(|nonce| &nonce[..]));
    }

    #[test]
    fn advertisements_come_back_as_they_were(
        envelope in envelope(unicast()),
        target in unicast(),
        target_link_layer in proptest::option::of(mac()),
        (router, solicited, overrides) in any::<(bool, bool, bool)>(),
    ) {
        let sent = NeighborAdvertisement { target, target_link_layer, router, solicited, overrides };
        let mut bytes = Vec::new();
        sent.emit_frame(&envelope, &mut bytes);
        let Message::NeighborAdvertisement(message) = read(&bytes) else { panic!("another message") };
        prop_assert_eq!(message.target(), target);
        prop_assert_eq!(message.options.target_link_layer(), target_link_layer);
        prop_assert_eq!((message.router(), message.solicited(), message.overrides()), (router, solicited, overrides));
    }

    #[test]
    fn router_messages_come_back_as_they_were(
        envelope in envelope(link_local()),
        source_link_layer in proptest::option::of(mac()),
        mtu in proptest::option::of(any::<u32>()),
        prefixes in proptest::collection::vec(prefix(), 0..4),
        (hop_limit, managed, other_configuration) in any::<(u8, bool, bool)>(),
        (lifetime, reachable_time, retransmit_timer) in any::<(u16, u32, u32)>(),
    ) {
        let mut bytes = Vec::new();
        RouterSolicitation { source_link_layer }.emit_frame(&envelope, &mut bytes);
        let Message::RouterSolicitation(message) = read(&bytes) else { panic!("another message") };
        prop_assert_eq!(message.options.source_link_layer(), source_link_layer);

        let sent = RouterAdvertisement {
            hop_limit, managed, other_configuration, lifetime, reachable_time, retransmit_timer,
            source_link_layer, mtu, prefixes: &prefixes,
        };
        bytes.clear();
        sent.emit_frame(&envelope, &mut bytes);
        let Message::RouterAdvertisement(message) = read(&bytes) else { panic!("another message") };
        prop_assert_eq!((message.hop_limit(), message.managed(), message.other_configuration()), (hop_limit, managed, other_configuration));
        prop_assert_eq!((message.lifetime(), message.reachable_time(), message.retransmit_timer()), (lifetime, reachable_time, retransmit_timer));
        let expected = source_link_layer.map(NdpOption::SourceLinkLayer).into_iter()
            .chain(mtu.map(NdpOption::Mtu))
            .chain(prefixes.iter().copied().map(NdpOption::Prefix));
        prop_assert!(message.options.iter().eq(expected));
    }

    #[test]
    fn a_message_that_is_cut_or_changed_in_one_bit_is_not_taken_for_itself(
        envelope in envelope(unicast()), target in unicast(), at in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let mut bytes = Vec::new();
        NeighborAdvertisement::answer(target, envelope.source_mac).emit_frame(&envelope, &mut bytes);
        let packet = &bytes[14..];
        prop_assert!(Message::parse(&packet[..at.index(packet.len())]).is_err());
        // Addresses, payload length and message are covered by the checksum.
        let mut changed = packet.to_vec();
        let spot = 8 + at.index(packet.len() - 8);
        changed[spot] ^= 1 << bit;
        prop_assert!(Message::parse(&changed).is_err(), "octet {}", spot);
    }

    #[test]
    fn arbitrary_octets_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = Frame::parse(&bytes) {
            let _arp = PacketView::parse(frame.payload).map(PacketView::to_owned);
            let _ndp = Message::parse(frame.payload);
        }
        let _arp = PacketView::parse(&bytes).map(PacketView::to_owned);
        let _ndp = Message::parse(&bytes);
        if let Ok(options) = Options::parse(&bytes) {
            prop_assert!(options.iter().count() * 8 <= bytes.len());
        }
    }
}

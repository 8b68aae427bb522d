use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use proptest::prelude::*;

use super::*;
use crate::types::*;
use crate::wire::error::EncodeError;
use crate::wire::header::{Framer, Header, MessageLimit};
use crate::wire::iana;
use crate::wire::testing::{attributes, classify, external, hex, internal, prefixes_of, view};
use crate::wire::update::{Action, RawAttribute, UpdateContext};

const EBGP: PathEncoding = PathEncoding { peer: PeerKind::External, asn_width: AsnWidth::Four };
const IBGP: PathEncoding = PathEncoding { peer: PeerKind::Internal, asn_width: AsnWidth::Four };
const OLD: PathEncoding = PathEncoding { peer: PeerKind::External, asn_width: AsnWidth::Two };

fn v4(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn next_hop(text: &str) -> NextHop {
    text.parse::<IpAddr>().unwrap().into()
}

/// Attributes as a node originates them towards an external peer.
fn originated(via: &str) -> Attributes {
    let mut attributes = Attributes::originate(next_hop(via));
    attributes.as_path = AsPath::sequence([Asn::new(64513)]);
    attributes
}

/// All messages that announce `prefixes`, with the number of prefixes in each.
fn announce(
    attributes: &Attributes,
    prefixes: &[IpNetwork],
    encoding: PathEncoding,
    limit: MessageLimit,
) -> Vec<(usize, Vec<u8>)> {
    let family = Family::of(&prefixes[0]);
    let block = AttributeBlock::encode(attributes, family, encoding).unwrap();
    let mut messages = Announcements::new(&block, prefixes, limit);
    collect(|out| messages.write_next(out).unwrap())
}

fn withdraw(family: Family, prefixes: &[IpNetwork], limit: MessageLimit) -> Vec<(usize, Vec<u8>)> {
    let mut messages = Withdrawals::new(family, prefixes, limit);
    collect(|out| messages.write_next(out).unwrap())
}

fn collect(mut next: impl FnMut(&mut Vec<u8>) -> usize) -> Vec<(usize, Vec<u8>)> {
    let mut found = Vec::new();
    loop {
        let mut out = Vec::new();
        match next(&mut out) {
            0 => {
                assert!(out.is_empty());
                return found;
            }
            count => found.push((count, out)),
        }
    }
}

/// The only message for one prefix, without its header.
fn body(attributes: &Attributes, prefix: &str, encoding: PathEncoding) -> Vec<u8> {
    let messages = announce(attributes, &[v4(prefix)], encoding, MessageLimit::Standard);
    assert_eq!(messages.len(), 1);
    messages[0].1[Header::LEN..].to_vec()
}

fn codes(message: &[u8]) -> Vec<u8> {
    view(message).attributes().map(|attribute| attribute.unwrap().code()).collect()
}

// req: A1
#[test]
fn an_external_route_has_origin_path_and_next_hop() {
    let body = body(&originated("192.0.2.1"), "198.51.100.7/32", EBGP);
    let expected = "0000 0014 40 01 01 00 40 02 06 02 01 0000fc01 40 03 04 c0000201 20 c6336407";
    assert_eq!(body, hex(expected));
}

// req: A1, A2
#[test]
fn an_internal_route_has_an_empty_path_and_always_a_local_preference() {
    let attributes = Attributes::originate(next_hop("192.0.2.1"));
    let expected = "0000 0015 40 01 01 00 40 02 00 40 03 04 c0000201 40 05 04 00000064 18 c63364";
    assert_eq!(body(&attributes, "198.51.100.0/24", IBGP), hex(expected));
    let set = Attributes { local_pref: Some(7), ..attributes };
    let expected = "0000 0015 40 01 01 00 40 02 00 40 03 04 c0000201 40 05 04 00000007 18 c63364";
    assert_eq!(body(&set, "198.51.100.0/24", IBGP), hex(expected));
}

// req: !A2
#[test]
fn what_belongs_inside_the_as_is_not_sent_outside() {
    let attributes = Attributes {
        local_pref: Some(200),
        originator_id: Some(Ipv4Addr::new(1, 1, 1, 1)),
        cluster_list: vec![Ipv4Addr::new(2, 2, 2, 2)],
        ..originated("192.0.2.1")
    };
    let prefixes = [v4("10.0.0.0/8")];
    let outside = announce(&attributes, &prefixes, EBGP, MessageLimit::Standard);
    assert_eq!(codes(&outside[0].1), [1, 2, 3]);
    let inside = announce(&attributes, &prefixes, IBGP, MessageLimit::Standard);
    assert_eq!(codes(&inside[0].1), [1, 2, 3, 5, 9, 10]);
}

// req: A3
#[test]
fn the_med_is_sent_when_there_is_one() {
    let attributes = Attributes { med: Some(50), ..originated("192.0.2.1") };
    let body = body(&attributes, "10.0.0.0/8", EBGP);
    assert_eq!(body, hex("0000 001b 40010100 4002060201 0000fc01 400304c0000201 80 04 04 00000032 08 0a"));
}

// req: A7
#[test]
fn host_bits_are_written_as_zero() {
    let attributes = originated("192.0.2.1");
    let last = |prefix| {
        let body = body(&attributes, prefix, EBGP);
        body[24..].to_vec()
    };
    assert_eq!(last("10.255.255.255/8"), hex("08 0a"));
    assert_eq!(last("10.255.255.255/9"), hex("09 0a80"));
    assert_eq!(last("10.255.255.255/0"), hex("00"));
    assert_eq!(last("10.255.255.255/31"), hex("1f 0afffffe"));
    assert_eq!(last("10.255.255.255/32"), hex("20 0affffff"));
    let messages = withdraw(Family::Ipv6Unicast, &[v4("2001:db8:ffff::1/33")], MessageLimit::Standard);
    assert!(messages[0].1.ends_with(&hex("21 20010db880")));
}

// req: C2
#[test]
fn ipv6_routes_stand_in_mp_reach_first_and_without_a_next_hop_attribute() {
    let body = body(&originated("2001:db8::1"), "2001:db8:1::/48", EBGP);
    let expected = "0000 002c
        80 0e 1c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80001
        40 01 01 00 40 02 06 02 01 0000fc01";
    assert_eq!(body, hex(expected));
}

// req: C2
#[test]
fn a_link_local_address_makes_the_next_hop_32_octets() {
    let link_local = Some("fe80::1".parse().unwrap());
    let global = "2001:db8::1".parse().unwrap();
    let attributes = Attributes { next_hop: NextHop::V6 { global, link_local }, ..originated("::") };
    let body = body(&attributes, "2001:db8:1::/48", EBGP);
    let expected = "0000 003c
        80 0e 2c 0002 01 20 20010db8000000000000000000000001 fe800000000000000000000000000001 00 30 20010db80001
        40 01 01 00 40 02 06 02 01 0000fc01";
    assert_eq!(body, hex(expected));
}

// req: C6
#[test]
fn ipv4_routes_with_an_ipv6_next_hop_stand_in_mp_reach_of_ipv4() {
    let body = body(&originated("2001:db8::1"), "198.51.100.0/24", EBGP);
    let expected = "0000 0029
        80 0e 19 0001 01 10 20010db8000000000000000000000001 00 18 c63364
        40 01 01 00 40 02 06 02 01 0000fc01";
    assert_eq!(body, hex(expected));
}

// req: !C6
#[test]
fn ipv6_routes_cannot_have_an_ipv4_next_hop() {
    let error = AttributeBlock::encode(&originated("192.0.2.1"), Family::Ipv6Unicast, EBGP).unwrap_err();
    assert_eq!(error, EncodeError::NextHop(Family::Ipv6Unicast));
}

// req: C3
#[test]
fn an_old_peer_gets_as_trans_and_the_real_path_beside_it() {
    let mut attributes = originated("192.0.2.1");
    attributes.as_path = AsPath::sequence([Asn::new(64512), Asn::new(4_200_000_001)]);
    let aggregator = Aggregator { asn: Asn::new(4_200_000_001), address: Ipv4Addr::new(1, 2, 3, 4) };
    attributes.aggregator = Some(aggregator);
    let expected = "0000 0035
        40 01 01 00 40 02 06 02 02 fc00 5ba0 40 03 04 c0000201 c0 07 06 5ba0 01020304
        c0 11 0a 02 02 0000fc00 fa56ea01 c0 12 08 fa56ea01 01020304 08 0a";
    assert_eq!(body(&attributes, "10.0.0.0/8", OLD), hex(expected));
}

// req: !C3
#[test]
fn an_old_peer_gets_no_as4_attributes_when_two_octets_are_enough() {
    let mut attributes = originated("192.0.2.1");
    let aggregator = Aggregator { asn: Asn::new(65535), address: Ipv4Addr::new(1, 2, 3, 4) };
    attributes.aggregator = Some(aggregator);
    let messages = announce(&attributes, &[v4("10.0.0.0/8")], OLD, MessageLimit::Standard);
    assert_eq!(codes(&messages[0].1), [1, 2, 3, 7]);
}

// req: C8
#[test]
fn communities_of_every_kind_are_sorted_and_unique_on_the_wire() {
    let attributes = Attributes {
        communities: vec![Community::new(2, 1), Community::new(1, 2), Community::new(2, 1)],
        extended_communities: vec![ExtendedCommunity([9; 8]), ExtendedCommunity([1; 8])],
        ipv6_extended_communities: vec![Ipv6ExtendedCommunity([3; 20]); 2],
        large_communities: vec![LargeCommunity::new(2, 0, 0), LargeCommunity::new(1, 9, 9)],
        ..originated("192.0.2.1")
    };
    let body = body(&attributes, "10.0.0.0/8", EBGP);
    let lists = "c0 08 08 00010002 00020001
        c0 10 10 0101010101010101 0909090909090909
        c0 19 14 0303030303030303030303030303030303030303
        c0 20 18 00000001 00000009 00000009 00000002 00000000 00000000 08 0a";
    assert_eq!(body[24..], hex(lists));
}

// req: !A12
#[test]
fn a_set_is_never_originated() {
    for kind in [SegmentKind::Set, SegmentKind::ConfedSet] {
        let mut attributes = originated("192.0.2.1");
        attributes.as_path.0.push(AsPathSegment { kind, asns: vec![Asn::new(1)] });
        let error = AttributeBlock::encode(&attributes, Family::Ipv4Unicast, EBGP).unwrap_err();
        assert_eq!(error, EncodeError::AsSet);
    }
}

// req: !A1
#[test]
fn a_path_with_as_zero_or_with_confederation_segments_outside_is_never_sent() {
    let mut attributes = originated("192.0.2.1");
    attributes.as_path = AsPath::sequence([Asn::new(64513), Asn::new(0)]);
    let encode = |attributes: &Attributes, encoding| {
        AttributeBlock::encode(attributes, Family::Ipv4Unicast, encoding).map(|_| ())
    };
    assert_eq!(encode(&attributes, EBGP), Err(EncodeError::AsZero));
    attributes.as_path =
        AsPath(vec![AsPathSegment { kind: SegmentKind::ConfedSequence, asns: vec![Asn::new(65001)] }]);
    assert_eq!(encode(&attributes, EBGP), Err(EncodeError::Confederation));
    assert_eq!(encode(&attributes, IBGP), Ok(()));
}

// req: A4
#[test]
fn unknown_attributes_stand_where_their_code_belongs() {
    let other = |code| OtherAttribute { code, value: vec![code; 2] };
    let attributes = Attributes {
        communities: vec![Community::new(1, 1)],
        large_communities: vec![LargeCommunity::new(1, 1, 1)],
        other: vec![other(128), other(20), other(20)],
        ..originated("192.0.2.1")
    };
    let messages = announce(&attributes, &[v4("10.0.0.0/8")], EBGP, MessageLimit::Standard);
    assert_eq!(codes(&messages[0].1), [1, 2, 3, 8, 20, 32, 128]);
    let known = Attributes { other: vec![other(8)], ..attributes };
    let error = AttributeBlock::encode(&known, Family::Ipv4Unicast, EBGP).unwrap_err();
    assert_eq!(error, EncodeError::KnownAttribute(8));
}

// req: !A6
#[test]
fn attributes_that_leave_no_room_for_a_prefix_are_an_error_and_nothing_is_written() {
    let many =
        |count| Attributes { communities: (0..count).map(Community).collect(), ..originated("192.0.2.1") };
    let encode = |count, limit| {
        let block = AttributeBlock::encode(&many(count), Family::Ipv4Unicast, EBGP).unwrap();
        let prefixes = [v4("10.0.0.1/32"), v4("10.0.0.2/32")];
        let mut messages = Announcements::new(&block, &prefixes, limit);
        let mut out = vec![9];
        let first = messages.write_next(&mut out);
        if first.is_err() {
            assert_eq!(out, [9]);
            assert_eq!(messages.write_next(&mut out), first, "the answer stays");
        }
        first
    };
    // 43 octets around, 4 of the attribute's header: 1011 communities leave 5 octets, 1012 leave 1.
    assert_eq!(encode(1011, MessageLimit::Standard), Ok(1));
    let too_large = EncodeError::TooLarge { size: 4100, limit: 4096 };
    assert_eq!(encode(1012, MessageLimit::Standard), Err(too_large));
    assert_eq!(encode(1012, MessageLimit::Extended), Ok(2));
    assert!(encode(2000, MessageLimit::Standard).is_err());
}

// req: !A6
#[test]
fn an_attribute_above_65535_octets_is_an_error() {
    let communities = (0..16_384).map(Community).collect();
    let attributes = Attributes { communities, ..originated("192.0.2.1") };
    let error = AttributeBlock::encode(&attributes, Family::Ipv4Unicast, EBGP).unwrap_err();
    assert_eq!(error, EncodeError::Attribute { code: 8, length: 65536 });
}

// req: A9, E3
#[test]
fn end_of_rib_is_the_least_message_of_its_family() {
    let mut out = Vec::new();
    encode_end_of_rib(Family::Ipv4Unicast, &mut out);
    assert_eq!(out, hex("ffffffffffffffffffffffffffffffff 0017 02 0000 0000"));
    out.clear();
    encode_end_of_rib(Family::Ipv6Unicast, &mut out);
    assert_eq!(out, hex("ffffffffffffffffffffffffffffffff 001d 02 0000 0006 80 0f 03 0002 01"));
}

// req: !A5
#[test]
fn withdrawals_are_the_only_thing_in_their_message() {
    let ipv4 = withdraw(Family::Ipv4Unicast, &[v4("10.0.0.0/8"), v4("10.1.0.0/16")], MessageLimit::Standard);
    assert_eq!(ipv4[0].1[19..], hex("0005 08 0a 10 0a01 0000"));
    let ipv6 = withdraw(Family::Ipv6Unicast, &[v4("2001:db8::/32")], MessageLimit::Standard);
    assert_eq!(ipv6[0].1[19..], hex("0000 000b 80 0f 08 0002 01 20 20010db8"));
}

#[test]
fn a_prefix_of_another_family_is_an_error_and_nothing_is_written() {
    let block = AttributeBlock::encode(&originated("192.0.2.1"), Family::Ipv4Unicast, EBGP).unwrap();
    let prefixes = [v4("10.0.0.0/8"), v4("2001:db8::/32")];
    let mut messages = Announcements::new(&block, &prefixes, MessageLimit::Standard);
    let mut out = Vec::new();
    assert_eq!(messages.write_next(&mut out), Err(EncodeError::WrongFamily(Family::Ipv4Unicast)));
    assert!(out.is_empty());
}

#[test]
fn typed_networks_pack_like_the_general_ones() {
    let ipv4: Vec<Ipv4Network> = vec!["10.0.0.0/8".parse().unwrap(), "10.0.0.1/32".parse().unwrap()];
    let ipv6: Vec<Ipv6Network> = vec!["2001:db8::/32".parse().unwrap(), "::/0".parse().unwrap()];
    let general = |prefixes: &[IpNetwork]| {
        withdraw(Family::of(&prefixes[0]), prefixes, MessageLimit::Standard).remove(0).1
    };
    let mut out = Vec::new();
    let limit = MessageLimit::Standard;
    assert_eq!(Withdrawals::new(Family::Ipv4Unicast, &ipv4, limit).write_next(&mut out), Ok(2));
    assert_eq!(out, general(&ipv4.iter().copied().map(IpNetwork::V4).collect::<Vec<_>>()));
    out.clear();
    assert_eq!(Withdrawals::new(Family::Ipv6Unicast, ipv6.clone(), limit).write_next(&mut out), Ok(2));
    assert_eq!(out, general(&ipv6.into_iter().map(IpNetwork::V6).collect::<Vec<_>>()));
    assert_eq!(
        Withdrawals::new(Family::Ipv6Unicast, &ipv4, limit).write_next(&mut out),
        Err(EncodeError::WrongFamily(Family::Ipv6Unicast))
    );
}

// req: A11
#[test]
fn a_hundred_thousand_host_routes_fill_124_messages() {
    let prefixes: Vec<IpNetwork> = (0..100_000_u32)
        .map(|i| Ipv4Network::new(Ipv4Addr::from_bits(0x0a00_0000 + i), 32).unwrap().into())
        .collect();
    let messages = announce(&originated("192.0.2.1"), &prefixes, EBGP, MessageLimit::Standard);
    assert_eq!(messages.len(), 124);
    let mut stream: &[u8] = &messages.concat_octets();
    let mut framer = Framer::new();
    let mut count = 0;
    while let Some(frame) = framer.next_frame(&mut stream).unwrap() {
        count +=
            classify(frame.octets(), &external()).reach().map(|reach| reach.prefixes.len()).sum::<usize>();
    }
    assert_eq!(count, 100_000);
}

// req: !A4
#[test]
fn the_extended_length_of_mp_reach_begins_at_256_octets() {
    // 22 octets before the prefixes; 13 host routes of 17 octets are 221, a /80 and a /88 are 11 and 12.
    let hosts =
        |count: u32| (0..count).map(|i| Ipv6Network::new(Ipv6Addr::from_bits(i.into()), 128).unwrap());
    let with = |last: &str| hosts(13).chain([last.parse().unwrap()]).map(IpNetwork::V6).collect::<Vec<_>>();
    let attributes = originated("2001:db8::1");
    let short = announce(&attributes, &with("2001::/80"), EBGP, MessageLimit::Standard);
    assert_eq!(short[0].1[23..26], [0x80, 14, 253]);
    let exact = announce(&attributes, &with("2001::/96"), EBGP, MessageLimit::Standard);
    assert_eq!(exact[0].1[23..26], [0x80, 14, 255]);
    let long = announce(&attributes, &with("2001::/104"), EBGP, MessageLimit::Standard);
    assert_eq!(long[0].1[23..27], [0x90, 14, 1, 0]);
}

// req: !A11
#[test]
fn messages_are_tight_whatever_room_the_attributes_leave() {
    // ::/0 takes one octet, so every octet of room can be used.
    let prefixes = vec![v4("::/0"); 400];
    let with = |size| {
        let other = vec![OtherAttribute { code: 200, value: vec![0; size] }];
        Attributes { other, ..originated("2001:db8::1") }
    };
    // 64 octets around the value and one of prefixes make 4096.
    for size in 3_700..=4_031 {
        let attributes = with(size);
        let messages = announce(&attributes, &prefixes, EBGP, MessageLimit::Standard);
        assert_tight(&messages, &prefixes, MessageLimit::Standard);
        for (_, message) in &messages {
            assert_canonical(message);
        }
    }
    let block = AttributeBlock::encode(&with(4_032), Family::Ipv6Unicast, EBGP).unwrap();
    let error = Announcements::new(&block, &prefixes, MessageLimit::Standard).write_next(&mut Vec::new());
    assert_eq!(error, Err(EncodeError::TooLarge { size: 4097, limit: 4096 }));
}

trait ConcatOctets {
    fn concat_octets(&self) -> Vec<u8>;
}

impl ConcatOctets for Vec<(usize, Vec<u8>)> {
    fn concat_octets(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, octets)| octets.iter().copied()).collect()
    }
}

/// What RFC 7606 §5.1 and RFC 4271 §4.3 ask of the attributes of a message.
fn assert_canonical(message: &[u8]) {
    let attributes: Vec<RawAttribute<'_>> = view(message).attributes().map(Result::unwrap).collect();
    let mut codes: Vec<u8> = attributes.iter().map(RawAttribute::code).collect();
    let multiprotocol = |code: &u8| matches!(*code, iana::ATTR_MP_REACH | iana::ATTR_MP_UNREACH);
    if codes.first().is_some_and(multiprotocol) {
        codes.remove(0);
    }
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
    assert!(!codes.iter().any(multiprotocol), "{codes:?}");
    for attribute in attributes {
        let extended = attribute.flags() & iana::FLAG_EXTENDED_LENGTH != 0;
        assert_eq!(extended, attribute.value().len() > 255, "attribute {}", attribute.code());
    }
}

fn nlri_octets(prefix: &IpNetwork) -> usize {
    1 + usize::from(prefix.prefix()).div_ceil(8)
}

/// Every message is within the limit and could not have held the first prefix of the next one.
fn assert_tight(messages: &[(usize, Vec<u8>)], prefixes: &[IpNetwork], limit: MessageLimit) {
    let mut sent = 0;
    for (count, message) in messages {
        sent += count;
        assert!(message.len() <= limit.octets());
        let next = prefixes.get(sent).map(nlri_octets);
        let grown = next.map(|octets| message.len() + octets + grows_header(message, octets));
        assert!(grown.is_none_or(|length| length > limit.octets()), "{} of {limit:?}", message.len());
    }
    assert_eq!(sent, prefixes.len());
}

/// One more octet when `octets` more make the multiprotocol attribute longer than 255.
fn grows_header(message: &[u8], octets: usize) -> usize {
    let first = view(message).attributes().next().and_then(Result::ok);
    let multiprotocol =
        first.filter(|first| matches!(first.code(), iana::ATTR_MP_REACH | iana::ATTR_MP_UNREACH));
    multiprotocol
        .map_or(0, |first| usize::from(first.value().len() <= 255 && first.value().len() + octets > 255))
}

fn limit() -> impl Strategy<Value = MessageLimit> {
    prop_oneof![Just(MessageLimit::Standard), Just(MessageLimit::Extended)]
}

fn table() -> impl Strategy<Value = (Family, Vec<IpNetwork>)> {
    prop_oneof![Just(Family::Ipv4Unicast), Just(Family::Ipv6Unicast)].prop_flat_map(|family| {
        let sizes = prop_oneof![4 => 1..40_usize, 1 => 1..6000_usize];
        let prefixes = sizes.prop_flat_map(move |size| prop::collection::vec(prefixes_of(family), size));
        (Just(family), prefixes)
    })
}

fn context() -> UpdateContext {
    let mut context = internal();
    context.extended_next_hop = true;
    context
}

proptest! {
    // req: A4, A5, A11
    #[test]
    fn announcements_decode_to_the_same_table(
        (family, prefixes) in table(),
        attributes in attributes(),
        limit in limit(),
    ) {
        let mut attributes = attributes;
        if let (Family::Ipv6Unicast, NextHop::V4(address)) = (family, attributes.next_hop) {
            attributes.next_hop = NextHop::V6 { global: address.to_ipv6_mapped(), link_local: None };
        }
        let messages = announce(&attributes, &prefixes, IBGP, limit);
        assert_tight(&messages, &prefixes, limit);
        let mut decoded = Vec::new();
        for (count, message) in &messages {
            assert_canonical(message);
            let classified = classify(message, &context());
            prop_assert_eq!(classified.action(), Action::Accept);
            prop_assert_eq!(classified.withdrawn().count(), 0);
            let groups: Vec<_> = classified.reach().collect();
            prop_assert_eq!(groups.len(), 1);
            for reach in groups {
                prop_assert_eq!(reach.prefixes.len(), *count);
                prop_assert_eq!(&classified.attributes(reach.next_hop), &attributes);
                decoded.extend(reach.prefixes);
            }
        }
        prop_assert_eq!(decoded, prefixes);
    }

    // req: A5, A11
    #[test]
    fn withdrawals_decode_to_the_same_table((family, prefixes) in table(), limit in limit()) {
        let messages = withdraw(family, &prefixes, limit);
        assert_tight(&messages, &prefixes, limit);
        let mut decoded = Vec::new();
        for (_, message) in &messages {
            assert_canonical(message);
            let classified = classify(message, &external());
            prop_assert_eq!((classified.action(), classified.reach().count()), (Action::Accept, 0));
            decoded.extend(classified.withdrawn());
        }
        prop_assert_eq!(decoded, prefixes);
    }

    // req: C3
    #[test]
    fn a_path_survives_an_old_peer(asns in prop::collection::vec(1..=u32::MAX, 1..20)) {
        let asns: Vec<Asn> = asns.into_iter().map(Asn::new).collect();
        let mut attributes = Attributes::originate(next_hop("192.0.2.1"));
        attributes.as_path = AsPath::sequence(asns.iter().copied());
        let messages = announce(&attributes, &[v4("10.0.0.0/8")], OLD, MessageLimit::Standard);
        let context =
            UpdateContext::new(PeerKind::External, asns[0], AsnWidth::Two, Families::BOTH);
        let classified = classify(&messages[0].1, &context);
        prop_assert_eq!(classified.action(), Action::Accept);
        prop_assert_eq!(classified.attributes(attributes.next_hop).as_path, attributes.as_path);
    }
}

//! What the tests of the codecs share.

use std::net::Ipv6Addr;

use proptest::prelude::*;

use crate::types::*;
use crate::wire::header::{Frame, Header, MessageLimit, MessageType};
use crate::wire::update::{Classified, UpdateContext, UpdateView};
use zerocopy::IntoBytes;

/// Octets written in hexadecimal, with spaces anywhere.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    assert_eq!(digits.len() % 2, 0);
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// A whole message with a right length.
pub(crate) fn message(kind: MessageType, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(Header::LEN + body.len()).unwrap();
    let mut message = Header::new(kind, length).as_bytes().to_vec();
    message.extend_from_slice(body);
    message
}

/// A whole UPDATE from its parts.
pub(crate) fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(withdrawn.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(withdrawn);
    body.extend_from_slice(&u16::try_from(attributes.len()).unwrap().to_be_bytes());
    body.extend_from_slice(attributes);
    body.extend_from_slice(nlri);
    message(MessageType::Update, &body)
}

/// The view of a message that is an UPDATE with consistent lengths.
pub(crate) fn view(message: &[u8]) -> UpdateView<'_> {
    UpdateView::parse(Frame::parse(message, MessageLimit::Extended).unwrap()).unwrap()
}

/// The judgement of an UPDATE.
pub(crate) fn classify<'a>(message: &'a [u8], context: &UpdateContext) -> Classified<'a> {
    view(message).classify(context)
}

/// A session with AS 64513, four-octet numbers, both families.
pub(crate) fn external() -> UpdateContext {
    UpdateContext::new(PeerKind::External, Asn::new(64513), AsnWidth::Four, Families::BOTH)
}

/// A session inside AS 64513, four-octet numbers, both families.
pub(crate) fn internal() -> UpdateContext {
    UpdateContext::new(PeerKind::Internal, Asn::new(64513), AsnWidth::Four, Families::BOTH)
}

pub(crate) fn ipv4_prefix() -> impl Strategy<Value = ipnetwork::IpNetwork> {
    (any::<u32>(), 0..=32_u8).prop_map(|(bits, len)| {
        let network = ipnetwork::Ipv4Network::new(bits.into(), len).unwrap();
        ipnetwork::Ipv4Network::new(network.network(), len).unwrap().into()
    })
}

pub(crate) fn ipv6_prefix() -> impl Strategy<Value = ipnetwork::IpNetwork> {
    (any::<u128>(), 0..=128_u8).prop_map(|(bits, len)| {
        let network = ipnetwork::Ipv6Network::new(bits.into(), len).unwrap();
        ipnetwork::Ipv6Network::new(network.network(), len).unwrap().into()
    })
}

pub(crate) fn prefixes_of(family: Family) -> BoxedStrategy<ipnetwork::IpNetwork> {
    match family {
        Family::Ipv4Unicast => ipv4_prefix().boxed(),
        Family::Ipv6Unicast => ipv6_prefix().boxed(),
    }
}

fn asn() -> impl Strategy<Value = Asn> {
    prop_oneof![1..=65535_u32, any::<u32>().prop_map(|n| n.max(1))].prop_map(Asn::new)
}

fn path() -> impl Strategy<Value = AsPath> {
    prop_oneof![
        4 => prop::collection::vec(asn(), 0..6).prop_map(AsPath::sequence),
        1 => prop::collection::vec(asn(), 256..600).prop_map(AsPath::sequence),
    ]
}

fn next_hop() -> impl Strategy<Value = NextHop> {
    let global = any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(0x2000 << 112 | bits >> 3));
    let link_local = any::<u64>().prop_map(|bits| Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(bits)));
    prop_oneof![
        (0x0100_0000..0x7f00_0000_u32).prop_map(|bits| NextHop::V4(bits.into())),
        (global, prop::option::of(link_local))
            .prop_map(|(global, link_local)| NextHop::V6 { global, link_local }),
    ]
}

fn other() -> impl Strategy<Value = Vec<OtherAttribute>> {
    let code = prop_oneof![20..=24_u8, 33..=255_u8];
    let value = prop::collection::vec(any::<u8>(), 0..300);
    prop::collection::btree_map(code, value, 0..3)
        .prop_map(|map| map.into_iter().map(|(code, value)| OtherAttribute { code, value }).collect())
}

/// Normalized attributes that may be sent and come back equal from an internal peer with four-octet numbers.
pub(crate) fn attributes() -> impl Strategy<Value = Attributes> {
    let origin = prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)];
    let first = (origin, path(), next_hop(), prop::option::of(any::<u32>()), any::<u32>(), any::<bool>());
    let aggregator = prop::option::of((asn(), any::<u32>()));
    let reflection = (prop::option::of(any::<u32>()), prop::collection::vec(any::<u32>(), 0..3));
    let lists = (
        prop::collection::vec(any::<u32>(), 0..80),
        prop::collection::vec(any::<[u8; 8]>(), 0..4),
        prop::collection::vec(any::<[u8; 20]>(), 0..3),
        prop::collection::vec(any::<(u32, u32, u32)>(), 0..30),
    );
    (first, aggregator, reflection, lists, other()).prop_map(
        |(first, aggregator, reflection, lists, other)| {
            let (origin, as_path, next_hop, med, local_pref, atomic_aggregate) = first;
            let mut attributes = Attributes {
                origin,
                as_path,
                next_hop,
                med,
                local_pref: Some(local_pref),
                atomic_aggregate,
                aggregator: aggregator.map(|(asn, id)| Aggregator { asn, address: id.into() }),
                communities: lists.0.into_iter().map(Community).collect(),
                originator_id: reflection.0.map(Into::into),
                cluster_list: reflection.1.into_iter().map(Into::into).collect(),
                extended_communities: lists.1.into_iter().map(ExtendedCommunity).collect(),
                ipv6_extended_communities: lists.2.into_iter().map(Ipv6ExtendedCommunity).collect(),
                large_communities: lists
                    .3
                    .into_iter()
                    .map(|(a, b, c)| LargeCommunity::new(a, b, c))
                    .collect(),
                other,
            };
            attributes.normalize();
            attributes
        },
    )
}

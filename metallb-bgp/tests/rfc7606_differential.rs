//! The RFC 7606 judgement against a second implementation, over structured and over arbitrary octets.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use metallb_bgp::types::{Asn, AsnWidth, Families, Family, PeerKind};
use metallb_bgp::wire::update::{Action, OnUnreadable, UpdateContext};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[path = "rfc7606/compare.rs"]
mod compare;
#[path = "rfc7606/naive.rs"]
mod naive;

/// Every combination of what changes a judgement.
fn context() -> impl Strategy<Value = UpdateContext> {
    let families = prop_oneof![
        4 => Just(Families::BOTH),
        1 => Just(Families::only(Family::Ipv4Unicast)),
        1 => Just(Families::only(Family::Ipv6Unicast)),
    ];
    let remote = prop_oneof![Just(64513_u32), Just(4_200_000_001)];
    let own = prop_oneof![Just(None), prop::sample::select(&OWN[..]).prop_map(|own| own.parse().ok())];
    (any::<[bool; 6]>(), families, remote, own).prop_map(|(flags, families, remote, own)| {
        let [internal, narrow, extended, enforce, refuse, disable] = flags;
        let peer = if internal { PeerKind::Internal } else { PeerKind::External };
        let width = if narrow { AsnWidth::Two } else { AsnWidth::Four };
        let mut context = UpdateContext::new(peer, Asn::new(remote), width, families);
        context.extended_next_hop = extended;
        context.enforce_first_as = enforce;
        context.refuse_as_sets = refuse;
        context.own_address = own;
        if disable {
            context.unreadable = OnUnreadable::DisableFamily;
        }
        context
    })
}

fn with_add_path() -> impl Strategy<Value = UpdateContext> {
    let families = prop_oneof![6 => Just(Families::EMPTY), 1 => Just(Families::BOTH)];
    (context(), families).prop_map(|(mut context, families)| {
        context.add_path = families;
        context
    })
}

fn octets(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=most)
}

/// A list of prefixes that is usually well-formed.
fn nlri(longest: u8) -> impl Strategy<Value = Vec<u8>> {
    let prefix = (0..=longest, any::<[u8; 16]>()).prop_map(|(bits, address)| {
        let mut octets = vec![bits];
        octets.extend_from_slice(&address[..usize::from(bits).div_ceil(8)]);
        octets
    });
    prop_oneof![
        12 => prop::collection::vec(prefix, 0..5).prop_map(|prefixes| prefixes.concat()),
        1 => octets(20),
    ]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![6 => Just(64513_u32), 2 => Just(4_200_000_001), 1 => any::<u32>(), 1 => Just(0)];
    let kind = prop_oneof![8 => Just(2_u8), 1 => 1..=4_u8, 1 => any::<u8>()];
    let segment =
        (kind, prop::collection::vec(number, 0..4), any::<bool>()).prop_map(|(kind, numbers, wide)| {
            let mut octets = vec![kind, u8::try_from(numbers.len()).unwrap()];
            for number in numbers {
                let skip = if wide { 0 } else { 2 };
                octets.extend_from_slice(&number.to_be_bytes()[skip..]);
            }
            octets
        });
    prop::collection::vec(segment, 0..3).prop_map(|segments| segments.concat())
}

/// Addresses that may be ours, and are among the next hops.
const OWN: [&str; 3] = ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"];

/// A next hop of 4, 16 or 32 octets, of addresses of every kind.
fn hop() -> impl Strategy<Value = Vec<u8>> {
    let v4 = ["192.0.2.1", "0.0.0.0", "0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255"];
    let v6 =
        ["2001:db8::1", "::", "::1", "ff02::1", "fe80::1", "::ffff:192.0.2.1", "::ffff:127.0.0.1", "::2"];
    let v4 = prop::sample::select(v4.map(|ip| ip.parse::<Ipv4Addr>().unwrap().octets().to_vec()).to_vec());
    let v6 = prop::sample::select(v6.map(|ip| ip.parse::<Ipv6Addr>().unwrap().octets().to_vec()).to_vec());
    let any_length = (0..40_u8).prop_map(|length| (1..=length).collect());
    let two = (v6.clone(), v6.clone()).prop_map(|(first, second)| [first, second].concat());
    prop_oneof![3 => v4, 3 => v6, 3 => two, 1 => any_length]
}

fn reach() -> impl Strategy<Value = Vec<u8>> {
    let family = prop_oneof![4 => Just([0, 1, 1]), 4 => Just([0, 2, 1]), 1 => Just([0, 25, 70])];
    (family, hop(), any::<u8>(), nlri(32), nlri(128)).prop_map(|(family, hop, reserved, v4, v6)| {
        let mut octets = family.to_vec();
        octets.push(u8::try_from(hop.len()).unwrap());
        octets.extend(hop);
        octets.push(reserved);
        octets.extend(if family[1] == 1 { v4 } else { v6 });
        octets
    })
}

fn unreach() -> impl Strategy<Value = Vec<u8>> {
    let family = prop_oneof![4 => Just([0, 1, 1]), 4 => Just([0, 2, 1]), 1 => Just([0, 25, 70])];
    (family, nlri(32), nlri(128))
        .prop_map(|(family, v4, v6)| [&family[..], if family[1] == 1 { &v4 } else { &v6 }].concat())
}

/// The value of an attribute of this type, right more often than not.
fn value(code: u8) -> BoxedStrategy<Vec<u8>> {
    let right = match code {
        1 => (0..4_u8).prop_map(|origin| vec![origin]).boxed(),
        2 | 17 => path().boxed(),
        3 | 4 | 5 | 9 => any::<[u8; 4]>().prop_map(|octets| octets.to_vec()).boxed(),
        6 => Just(Vec::new()).boxed(),
        7 | 18 => {
            prop_oneof![prop::collection::vec(any::<u8>(), 6), prop::collection::vec(any::<u8>(), 8)].boxed()
        }
        8 | 10 => prop::collection::vec(any::<u8>(), 8).boxed(),
        14 => reach().boxed(),
        15 => unreach().boxed(),
        16 => prop::collection::vec(any::<u8>(), 16).boxed(),
        25 => prop::collection::vec(any::<u8>(), 20).boxed(),
        32 => prop::collection::vec(any::<u8>(), 24).boxed(),
        _ => octets(8).boxed(),
    };
    prop_oneof![12 => right, 1 => octets(24)].boxed()
}

fn right_flags(code: u8) -> u8 {
    match code {
        1 | 2 | 3 | 5 | 6 => 0x40,
        4 | 9 | 10 | 14 | 15 => 0x80,
        _ => 0xc0,
    }
}

fn attribute() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 25, 32]);
    let code = prop_oneof![14 => known, 1 => any::<u8>()];
    code.prop_flat_map(|code| {
        let flags = prop_oneof![15 => Just(right_flags(code)), 1 => any::<u8>()];
        (flags, Just(code), value(code), any::<bool>())
    })
    .prop_map(|(flags, code, value, extended)| encode(flags, code, &value, extended))
}

fn encode(flags: u8, code: u8, value: &[u8], extended: bool) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    let mut octets = if extended || length[0] != 0 {
        vec![flags | 0x10, code, length[0], length[1]]
    } else {
        vec![flags & !0x10, code, length[1]]
    };
    octets.extend_from_slice(value);
    octets
}

/// Attributes with which routes are complete, so that other faults can be seen alone.
fn complete(narrow: bool) -> Vec<u8> {
    let path: &[u8] = if narrow { &[2, 1, 0xfc, 1] } else { &[2, 1, 0, 0, 0xfc, 1] };
    let path = encode(0x40, 2, path, false);
    [
        encode(0x40, 1, &[0], false),
        path,
        encode(0x40, 3, &[192, 0, 2, 1], false),
        encode(0x40, 5, &[0; 4], false),
    ]
    .concat()
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let base = prop_oneof![3 => Just(None), 2 => Just(Some(false)), 1 => Just(Some(true))];
    let rest = prop_oneof![12 => Just(Vec::new()), 1 => octets(6)];
    let attributes = prop::collection::vec(attribute(), 0..5);
    (nlri(32), base, attributes, rest, nlri(32)).prop_map(|(withdrawn, base, attributes, rest, nlri)| {
        let section = [base.map(complete).unwrap_or_default(), attributes.concat(), rest].concat();
        let length = |octets: &[u8]| u16::try_from(octets.len()).unwrap().to_be_bytes();
        [&length(&withdrawn)[..], &withdrawn, &length(&section), &section, &nlri].concat()
    })
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: ProptestConfig::default().cases.max(64) * 4, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    // req: E4
    #[test]
    fn structured_updates_are_judged_alike(body in body(), context in with_add_path()) {
        compare::agree(&body, &context);
    }

    // req: !E4
    #[test]
    fn arbitrary_octets_are_judged_alike(body in octets(120), context in with_add_path()) {
        compare::agree(&body, &context);
    }

    // req: E4
    #[test]
    fn updates_with_one_octet_changed_are_judged_alike(
        body in body(),
        context in with_add_path(),
        at in any::<prop::sample::Index>(),
        octet: u8,
    ) {
        let mut body = body;
        let at = at.index(body.len());
        body[at] = octet;
        compare::agree(&body, &context);
    }
}

/// The comparison is worth something only if the generator reaches every action.
#[test]
fn the_generator_reaches_every_action() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<Action, usize>::new();
    for _ in 0..4000 {
        let body = body().new_tree(&mut runner).unwrap().current();
        let context = with_add_path().new_tree(&mut runner).unwrap().current();
        let action = compare::agree(&body, &context).expect("long enough");
        *seen.entry(action).or_default() += 1;
    }
    let actions = [
        Action::Accept,
        Action::DiscardAttribute,
        Action::TreatAsWithdraw,
        Action::DisableFamily,
        Action::ResetSession,
    ];
    for action in actions {
        assert!(seen.get(&action).is_some_and(|count| *count >= 40), "{action:?} in {seen:?}");
    }
}

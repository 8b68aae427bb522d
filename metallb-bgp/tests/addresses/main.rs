//! Which addresses of a node become next hops.
#![expect(clippy::unwrap_used, reason = "tests")]

mod naive;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use metallb_bgp::addresses::{
    AddressFact, AddressState, AddressTable, Basis, Choice, InterfaceIndex, InternalAddresses, Link,
    NoNextHop, Query,
};
use proptest::prelude::*;

const LO: InterfaceIndex = InterfaceIndex(1);
const ETH0: InterfaceIndex = InterfaceIndex(2);
const ETH1: InterfaceIndex = InterfaceIndex(3);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn good(prefix: u8) -> AddressState {
    AddressState { prefix, ..AddressState::default() }
}

/// A loopback, two cards, and these addresses.
fn mk_table(addresses: &[(InterfaceIndex, &str, AddressState)]) -> AddressTable {
    let mut table = AddressTable::default();
    for (index, name) in [(LO, "lo"), (ETH0, "eth0"), (ETH1, "eth1")] {
        let link = Link { name: name.into(), loopback: index == LO, running: true, carrier_ups: 1 };
        table.apply(AddressFact::Link(index, link));
    }
    for (index, address, state) in addresses {
        table.apply(AddressFact::Address(*index, ip(address), *state));
    }
    table
}

/// The choice of a session between these addresses, nothing else known.
fn choose(table: &AddressTable, local: &str, remote: &str) -> Choice {
    choose_with(table, local, remote, InternalAddresses::default(), &[])
}

fn choose_with(
    table: &AddressTable,
    local: &str,
    remote: &str,
    internal: InternalAddresses,
    announced: &[&str],
) -> Choice {
    let (local, remote) = (ip(local), ip(remote));
    table.choose(&Query {
        local: SocketAddr::new(local, 40000),
        remote: SocketAddr::new(remote, 179),
        interface: table.holder(local, remote),
        internal,
        current: InternalAddresses::default(),
        announced: &|address| announced.iter().any(|text| ip(text) == address),
    })
}

fn v4(choice: &Choice) -> Result<(String, Basis), NoNextHop> {
    choice.v4.map(|chosen| (chosen.address.to_string(), chosen.basis))
}

fn v6(choice: &Choice) -> Result<(String, Basis), NoNextHop> {
    choice.v6.map(|chosen| (chosen.address.to_string(), chosen.basis))
}

proptest! {
    // req: X1, !X1
    #[test]
    fn any_history_gives_what_the_naive_model_gives(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        naive::compare_histories(&octets);
    }
}

// req: X1
#[test]
fn the_session_s_own_address_comes_first_and_the_interface_gives_the_other_family() {
    let table = mk_table(&[
        (ETH0, "192.0.2.1", good(24)),
        (ETH0, "192.0.2.2", good(24)),
        (ETH0, "2001:db8::2", good(64)),
        (ETH1, "2001:db8:1::2", good(64)),
    ]);
    let choice = choose(&table, "192.0.2.2", "192.0.2.9");
    assert_eq!(v4(&choice), Ok(("192.0.2.2".into(), Basis::Session)));
    assert_eq!(v6(&choice), Ok(("2001:db8::2".into(), Basis::Interface)));
}

// req: !X1
#[test]
fn what_is_not_on_the_session_s_interface_is_not_taken() {
    let table = mk_table(&[(ETH0, "192.0.2.2", good(24)), (ETH1, "2001:db8:1::2", good(64))]);
    assert_eq!(v6(&choose(&table, "192.0.2.2", "192.0.2.9")), Err(NoNextHop::NoAddress));
}

// req: X1
#[test]
fn worse_addresses_are_taken_only_when_there_is_no_better_one() {
    let deprecated = AddressState { deprecated: true, ..good(64) };
    let temporary = AddressState { secondary: true, ..good(64) };
    let short = AddressState { valid_for: Some(Duration::from_secs(60)), ..good(64) };
    let long = AddressState { valid_for: Some(Duration::from_secs(86_400)), ..good(64) };
    // From the worst to the best; the best is the one with the highest number.
    let all = [deprecated, short, good(128), temporary, long];
    for best in 0..all.len() {
        let list: Vec<(String, AddressState)> =
            (0..=best).map(|n| (format!("2001:db8::{}", n + 1), all[n])).collect();
        let mut entries: Vec<_> = list.iter().map(|(text, state)| (ETH0, text.as_str(), *state)).collect();
        entries.push((ETH0, "192.0.2.2", good(24)));
        let chosen = v6(&choose(&mk_table(&entries), "192.0.2.2", "192.0.2.9"));
        assert_eq!(chosen, Ok((format!("2001:db8::{}", best + 1), Basis::Interface)));
    }
}

// req: !X1
#[test]
fn an_address_that_cannot_be_used_gives_its_reason() {
    let unusable = AddressState { unusable: true, ..good(64) };
    let with = |address, state, announced: &[&str]| {
        let table = mk_table(&[(ETH0, "192.0.2.2", good(24)), (ETH0, address, state)]);
        v6(&choose_with(&table, "192.0.2.2", "192.0.2.9", InternalAddresses::default(), announced))
    };
    assert_eq!(with("2001:db8::1", unusable, &[]), Err(NoNextHop::Unusable));
    assert_eq!(with("2001:db8::1", good(64), &["2001:db8::1"]), Err(NoNextHop::Announced));
    assert_eq!(with("fe80::1", good(64), &[]), Err(NoNextHop::NoAddress));
    let table = mk_table(&[(ETH0, "2001:db8::1", good(64)), (ETH0, "192.0.2.2", good(24))]);
    assert_eq!(v4(&choose(&table, "2001:db8::1", "192.0.2.2")), Err(NoNextHop::OfPeer));
}

// req: X1
#[test]
fn an_address_on_the_loopback_is_the_next_hop_of_its_family_and_the_node_s_of_the_other() {
    let table = mk_table(&[
        (LO, "10.0.0.1", good(32)),
        (LO, "203.0.113.1", good(32)),
        (ETH0, "192.0.2.2", good(24)),
        (ETH0, "2001:db8::2", good(64)),
        (ETH1, "2001:db8:1::2", good(64)),
    ]);
    let internal = InternalAddresses { v4: None, v6: "2001:db8:1::2".parse().ok() };
    let choice = choose_with(&table, "10.0.0.1", "192.0.2.9", internal, &["203.0.113.1"]);
    assert_eq!(v4(&choice), Ok(("10.0.0.1".into(), Basis::Session)));
    assert_eq!(v6(&choice), Ok(("2001:db8:1::2".into(), Basis::InternalIp)));
    let choice = choose(&table, "10.0.0.1", "192.0.2.9");
    assert_eq!(v6(&choice), Ok(("2001:db8::2".into(), Basis::Node)), "nothing is said of the node");
    let choice = choose_with(&table, "203.0.113.1", "192.0.2.9", internal, &["203.0.113.1"]);
    assert_eq!(v4(&choice), Ok(("192.0.2.2".into(), Basis::Node)), "a service's address beside the node's");
    let choice = choose(&table, "127.0.0.1", "127.0.0.2");
    assert_eq!(v4(&choice), Ok(("192.0.2.2".into(), Basis::Node)), "a router on the same machine");
}

// req: X2
#[test]
fn an_address_that_goes_is_replaced_and_one_that_comes_displaces_none_that_is_as_good() {
    let mut table = mk_table(&[(ETH0, "192.0.2.2", good(24)), (ETH0, "2001:db8::5", good(64))]);
    let ask = |table: &AddressTable, current: InternalAddresses| {
        let announced = |_| false;
        let (local, remote) = (SocketAddr::new(ip("192.0.2.2"), 4), SocketAddr::new(ip("192.0.2.9"), 179));
        let internal = InternalAddresses::default();
        table.choose(&Query {
            local,
            remote,
            interface: Some(ETH0),
            internal,
            current,
            announced: &announced,
        })
    };
    let first = ask(&table, InternalAddresses::default());
    table.apply(AddressFact::Address(ETH0, ip("2001:db8::4"), good(64)));
    assert_eq!(ask(&table, first.addresses()), first);
    table.apply(AddressFact::AddressGone(ETH0, ip("2001:db8::5")));
    let moved = ask(&table, first.addresses());
    assert_eq!(v6(&moved), Ok(("2001:db8::4".into(), Basis::Interface)));
    table.apply(AddressFact::AddressGone(ETH0, ip("192.0.2.2")));
    table.apply(AddressFact::Address(ETH0, ip("192.0.2.3"), good(24)));
    assert_eq!(v4(&ask(&table, moved.addresses())), Ok(("192.0.2.3".into(), Basis::Interface)), "renumbered");
}

// req: X2, !X2
#[test]
fn a_session_follows_its_address_to_another_interface() {
    let of = |addresses: &[(InterfaceIndex, &str, AddressState)]| {
        mk_table(addresses).follow(ip("2001:db8::2"), ip("2001:db8::9"), Some(ETH0))
    };
    let tentative = AddressState { unusable: true, ..good(64) };
    assert_eq!(of(&[(ETH1, "2001:db8::2", good(64))]), Some(ETH1));
    assert_eq!(of(&[(ETH1, "2001:db8::2", tentative)]), Some(ETH1), "it is not usable yet");
    assert_eq!(of(&[(ETH0, "2001:db8::2", good(128)), (ETH1, "2001:db8::2", good(64))]), Some(ETH0));
    assert_eq!(of(&[(ETH0, "2001:db8::2", tentative), (ETH1, "2001:db8::2", good(64))]), Some(ETH1));
    assert_eq!(of(&[(ETH0, "2001:db8::2", tentative), (ETH1, "2001:db8::2", tentative)]), Some(ETH0));
    assert_eq!(of(&[(ETH1, "2001:db8::3", good(64))]), Some(ETH0), "nobody has it");
    let both = [(LO, "2001:db8::2", good(128)), (ETH1, "2001:db8::2", good(64))];
    assert_eq!(mk_table(&both).follow(ip("2001:db8::2"), ip("2001:db8::9"), None), Some(ETH1));
}

// req: X1
#[test]
fn the_link_local_address_is_that_of_the_session_s_interface_and_link() {
    let table = mk_table(&[
        (ETH0, "fe80::1", good(64)),
        (ETH1, "fe80::2", good(64)),
        (ETH0, "2001:db8::2", good(64)),
        (ETH1, "2001:db8:1::2", good(64)),
        (ETH1, "192.0.2.2", good(24)),
    ]);
    assert_eq!(choose(&table, "2001:db8:1::2", "2001:db8:1::9").link_local, "fe80::2".parse().ok());
    assert_eq!(choose(&table, "2001:db8:1::2", "2001:db8:2::9").link_local, None, "the peer is elsewhere");
    assert_eq!(choose(&table, "192.0.2.2", "192.0.2.9").link_local, None, "an IPv4 session");
}

// req: X3, !X3
#[test]
fn a_path_is_new_when_a_carrier_or_an_address_comes_on_the_peer_s_interface() {
    let before = mk_table(&[(ETH0, "192.0.2.2", good(24)), (ETH1, "198.51.100.2", good(24))]);
    let new = |table: &AddressTable, peer| table.has_new_path(&before, ip(peer), None, None);
    assert!(!new(&before, "192.0.2.9"));
    let mut after = before.clone();
    after.apply(AddressFact::Link(
        ETH0,
        Link { name: "eth0".into(), loopback: false, running: true, carrier_ups: 2 },
    ));
    assert!(new(&after, "192.0.2.9"), "the cable was out and is back");
    assert!(!new(&after, "198.51.100.9"), "a neighbour on another card");
    assert!(new(&after, "203.0.113.9"), "a distant one may be behind any");
    let mut after = before.clone();
    after.apply(AddressFact::Address(ETH1, ip("2001:db8::2"), good(64)));
    assert!(new(&after, "2001:db8::9") && !new(&after, "192.0.2.9"));
    let mut after = before.clone();
    after.apply(AddressFact::AddressGone(ETH1, ip("198.51.100.2")));
    assert!(!new(&after, "198.51.100.9"), "what goes is no new path");
    let mut after = before.clone();
    after.apply(AddressFact::Address(LO, ip("10.0.0.1"), good(32)));
    assert!(!new(&after, "203.0.113.9"), "a loopback leads nowhere");
    assert!(after.has_new_path(&before, ip("203.0.113.9"), None, Some(ip("10.0.0.1"))), "bound to it");
}

// req: T8, J7
#[test]
fn an_interface_has_a_link_local_address_and_the_other_host_of_a_small_prefix() {
    let of = |addresses: &[(InterfaceIndex, &str, AddressState)]| {
        let facts = mk_table(addresses).interface("eth0").unwrap();
        assert!(facts.running && facts.index == ETH0);
        (facts.link_local.map(|ip| ip.to_string()), facts.partner.map(|ip| ip.to_string()))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(of(&[]), (None, None));
    assert_eq!(mk_table(&[]).interface("eth7"), None);
    let bad = AddressState { unusable: true, ..good(64) };
    let both = [(ETH0, "fe80::5", good(64)), (ETH0, "192.0.2.1", good(30)), (ETH1, "fe80::1", good(64))];
    assert_eq!(of(&both), (some("fe80::5"), some("192.0.2.2")));
    assert_eq!(of(&[(ETH0, "fe80::4", bad), (ETH0, "fe80::5", good(64))]), (some("fe80::5"), None));
    for (address, prefix, partner) in [
        ("192.0.2.2", 30, some("192.0.2.1")),
        ("192.0.2.2", 31, some("192.0.2.3")),
        ("192.0.2.3", 31, some("192.0.2.2")),
        ("192.0.2.3", 30, None),
        ("192.0.2.4", 30, None),
        ("192.0.2.2", 32, None),
        ("192.0.2.2", 29, None),
        ("2001:db8::2", 30, None),
    ] {
        assert_eq!(of(&[(ETH0, address, good(prefix))]).1, partner, "{address}/{prefix}");
    }
}

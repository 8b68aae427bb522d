//! BGP peers and BFD profiles.

use std::time::Duration;

use metallb_core::config::{
    BfdProfileInput, BgpAdvertisementInput, PasswordInput, PeerEndpoint, PeerFamilies, PeerInput, RemoteAs,
    Secret, SecretProblem,
};
use metallb_core::keys::Created;
use metallb_core::select::{Labels, SelectorInput};

use crate::support::{
    Case, build, expressions, labels, mk_bfd, mk_bgp, mk_peer, mk_pool, peer, refused, repeated, strings,
    taken, texts, twice,
};

#[test]
fn a_peer_has_metallbs_defaults() {
    let config = taken(|input| peer(input, |_| ()));
    let peer = &config.peers()["x"];
    assert_eq!((peer.remote, peer.local_asn, peer.is_internal()), (RemoteAs::Asn(64501), None, false));
    assert_eq!((peer.port, peer.connect_time, peer.router_id, peer.source), (179, None, None, None));
    assert_eq!((peer.hold_time, peer.keepalive_time), (Duration::from_secs(90), Duration::from_secs(30)));
    assert_eq!(
        (peer.graceful_restart, peer.ebgp_multi_hop, peer.families),
        (false, false, PeerFamilies::Own)
    );
    assert!(peer.selects(&Labels::new()), "no selector: every node");
    assert!(peer.bfd.is_none() && peer.vrf.is_none() && peer.password.is_none());
    assert_eq!((peer.next_hop_v4, peer.next_hop_v6, peer.tcp_mss), (None, None, None));
}

#[test]
fn the_fields_of_a_peer_mean_what_they_mean_in_metallb() {
    let config = taken(|input| {
        input.peers.push(PeerInput {
            port: Some(1179),
            hold_time: Some("3m0s".into()),
            connect_time: Some("1s".into()),
            router_id: Some("203.0.113.7".into()),
            source_address: Some("203.0.113.8".into()),
            graceful_restart: true,
            ebgp_multi_hop: true,
            vrf: Some("red".into()),
            local_asn: Some(65410),
            next_hop_v4: Some("203.0.113.9".into()),
            next_hop_v6: Some("self".into()),
            tcp_mss: Some(1200),
            node_selectors: vec![SelectorInput {
                match_labels: vec![("rack".into(), "1".into())],
                ..expressions(&[("zone", "In", &["a"])]).remove(0)
            }],
            ..mk_peer("x")
        });
    });
    let peer = &config.peers()["x"];
    let seconds = Duration::from_secs;
    assert_eq!((peer.port, peer.connect_time), (1179, Some(seconds(1))));
    assert_eq!((peer.hold_time, peer.keepalive_time), (seconds(180), seconds(60)));
    assert_eq!(peer.router_id.unwrap().to_string(), "203.0.113.7");
    assert_eq!(peer.source.unwrap().to_string(), "203.0.113.8");
    assert!(peer.graceful_restart && peer.ebgp_multi_hop);
    assert_eq!((peer.next_hop_v4, peer.next_hop_v6), ("203.0.113.9".parse().ok(), None));
    assert_eq!(peer.tcp_mss, Some(1200));
    assert_eq!((peer.vrf.as_ref().unwrap().as_str(), peer.shown_asn()), ("red", 65410));
    assert!(peer.selects(&labels(&[("rack", "1"), ("zone", "a")])));
    assert!(!peer.selects(&labels(&[("rack", "1"), ("zone", "b")])));
}

#[test]
fn a_peer_may_be_at_the_end_of_an_interface() {
    let config = taken(|input| {
        peer(input, |p| {
            (p.address, p.interface) = (None, Some("net0".into()));
            (p.peer_asn, p.dynamic_asn) = (None, Some("internal".into()));
        });
    });
    let peer = &config.peers()["x"];
    assert_eq!(peer.endpoint, PeerEndpoint::Interface("net0".into()));
    assert_eq!((peer.remote, peer.families), (RemoteAs::Internal, PeerFamilies::Both));
}

const REFUSED: &[Case<PeerInput>] = &[
    ("no address", |p| p.address = Some("192.0.2".into()), "spec.peerAddress", "write for example"),
    ("no octet", |p| p.address = Some("192.0.2.400".into()), "spec.peerAddress", "write for example"),
    ("nowhere", |p| p.address = None, "spec.peerAddress", "give peerAddress, or interface"),
    ("at two places", |p| p.interface = Some("net0".into()), "spec.interface", "remove one"),
    ("an interface with a line break", |p| at(p, "net0\nrouter"), "spec.interface", "at most 15"),
    ("an interface with a return", |p| at(p, "net0\r"), "spec.interface", "at most 15"),
    ("a VRF with a line break", |p| p.vrf = Some("red\n".into()), "spec.vrf", "at most 15"),
    ("a VRF with a return", |p| p.vrf = Some("red\r".into()), "spec.vrf", "at most 15"),
    ("no own number", |p| p.my_asn = 0, "spec.myASN", "use 1 to 4294967295"),
    ("no number", |p| p.peer_asn = None, "spec.peerASN", "give peerASN, or dynamicASN"),
    ("zero as number", |p| p.peer_asn = Some(0), "spec.peerASN", "give peerASN, or dynamicASN"),
    ("two numbers", |p| p.dynamic_asn = Some("internal".into()), "spec.dynamicASN", "remove one"),
    ("a wrong kind", |p| dynamic(p, "any"), "spec.dynamicASN", "write internal or external"),
    ("multihop inside", |p| inside(p).ebgp_multi_hop = true, "spec.ebgpMultiHop", "remove it"),
    ("a short hold time", |p| p.hold_time = Some("1s".into()), "spec.holdTime", "use 0s, or 3s to 65535s"),
    ("a long keepalive time", |p| timers(p, "30s", "90s"), "spec.keepaliveTime", "at most the hold time"),
    ("a short keepalive time", |p| p.keepalive_time = Some("500ms".into()), "spec.keepaliveTime", "write 1s"),
    ("no router id", |p| p.router_id = Some("router".into()), "spec.routerID", "write an IPv4 address"),
    ("no source", |p| p.source_address = Some("here".into()), "spec.sourceAddress", "write for example"),
    ("a password of two lines", |p| password(p, "k\n"), "spec.password", "remove it"),
    ("a password with a return", |p| password(p, "k\r"), "spec.password", "remove it"),
    ("a secret of two lines", |p| secret(p, Ok(Secret::new("k\nl\n"))), "spec.passwordSecret", "remove it"),
    ("a secret with a return", |p| secret(p, Ok(Secret::new("k\r"))), "spec.passwordSecret", "remove it"),
    ("two passwords", |p| p.password = PasswordInput::Both, "spec.passwordSecret", "remove one"),
    ("another type", |p| secret(p, Err(SecretProblem::WrongType)), "spec.passwordSecret", "with that type"),
    ("no password in it", |p| secret(p, Err(SecretProblem::NoPassword)), "spec.passwordSecret", "add it"),
    ("no secret", |p| secret(p, Err(SecretProblem::Missing)), "spec.passwordSecret", "create it"),
    ("no key", |p| selects(p, "", "In"), "spec.nodeSelectors[0]", "write [prefix/]name"),
    ("no operator", |p| selects(p, "a", ""), "spec.nodeSelectors[0]", "use In, NotIn"),
    ("a wrong operator", |p| selects(p, "a", "Near"), "spec.nodeSelectors[0]", "use In, NotIn"),
    (
        "a value twice",
        |p| p.node_selectors = expressions(&[("a", "In", &["x", "x"])]),
        "spec.nodeSelectors[0]",
        "remove one",
    ),
    ("an expression twice", |p| p.node_selectors = repeated(), "spec.nodeSelectors[0]", "remove one"),
    ("a selector twice", |p| p.node_selectors = twice(), "spec.nodeSelectors[1]", "remove one"),
    (
        "the session of another peer",
        |p| (p.address, p.meta.created) = (Some("198.51.100.99".into()), Created(2)),
        "spec.peerAddress",
        "remove one or select other nodes",
    ),
];

fn at(peer: &mut PeerInput, interface: &str) {
    (peer.address, peer.interface) = (None, Some(interface.into()));
}

fn dynamic(peer: &mut PeerInput, kind: &str) {
    (peer.peer_asn, peer.dynamic_asn) = (None, Some(kind.into()));
}

fn inside(peer: &mut PeerInput) -> &mut PeerInput {
    peer.peer_asn = Some(peer.my_asn);
    peer
}

fn timers(peer: &mut PeerInput, hold: &str, keepalive: &str) {
    (peer.hold_time, peer.keepalive_time) = (Some(hold.into()), Some(keepalive.into()));
}

fn password(peer: &mut PeerInput, password: &str) {
    peer.password = PasswordInput::Plain(Secret::new(password));
}

fn secret(peer: &mut PeerInput, value: Result<Secret, SecretProblem>) {
    peer.password = PasswordInput::Reference { name: "s".into(), value };
}

fn selects(peer: &mut PeerInput, key: &str, operator: &str) {
    peer.node_selectors = expressions(&[(key, operator, &["x"])]);
}

#[test]
fn peers_that_metallb_refuses_are_refused() {
    refused("BGPPeer", peer, REFUSED);
}

#[test]
fn what_metallb_refuses_for_the_sake_of_frr_is_taken() {
    let config = taken(|input| {
        // Two router ids and two AS numbers of ours in one VRF: every session stands alone.
        for (name, address, id, my_asn) in
            [("x", "192.0.2.1", "203.0.113.1", 64500), ("y", "192.0.2.2", "203.0.113.2", 64555)]
        {
            let (address, router_id) = (Some(address.into()), Some(id.into()));
            input.peers.push(PeerInput { address, router_id, my_asn, ..mk_peer(name) });
        }
        // IPv6 addresses for a peer with BFD echo.
        input.bfd_profiles.push(BfdProfileInput { echo_mode: true, ..mk_bfd("echo") });
        let (address, bfd_profile) = (Some("192.0.2.3".into()), Some("echo".into()));
        input.peers.push(PeerInput { address, bfd_profile, ..mk_peer("z") });
    });
    assert_eq!(config.peers().len(), 4);
}

#[test]
fn what_metallbs_native_mode_refuses_is_taken() {
    let config = taken(|input| {
        peer(input, |p| {
            dynamic(p, "external");
            p.bfd_profile = Some("by".into());
            p.keepalive_time = Some("1s".into());
            p.vrf = Some("red".into());
            p.connect_time = Some("10s".into());
            p.graceful_restart = true;
        });
        input.pools.push(mk_pool("v6", &["2001:db8:6::/64"]));
        let (pools, communities) = (strings(&["v6"]), strings(&["large:1:2:3"]));
        input.bgp_advertisements.push(BgpAdvertisementInput { pools, communities, ..mk_bgp("x") });
    });
    let peer = &config.peers()["x"];
    assert_eq!((peer.hold_time, peer.remote), (Duration::from_secs(3), RemoteAs::External));
    assert!(config.bgp_advertisements()["x"].applies_to(&config.pools()["v6"]));
}

#[test]
fn a_profile_that_is_not_there_does_not_hold_a_peer_back() {
    // MetalLB waits with the whole configuration.
    let built = build(|input| peer(input, |p| p.bfd_profile = Some("later".into())));
    assert_eq!((built.errors.len(), built.warnings.len()), (0, 1));
    assert_eq!(built.config.peers()["x"].bfd.as_ref().unwrap().as_str(), "later");
}

#[test]
fn profiles_have_metallbs_defaults_and_values() {
    let config = taken(|input| {
        input.bfd_profiles.push(BfdProfileInput {
            receive_interval: Some(50),
            transmit_interval: Some(51),
            detect_multiplier: Some(52),
            echo_interval: Some(54),
            echo_mode: true,
            passive_mode: true,
            minimum_ttl: Some(55),
            ..mk_bfd("x")
        });
    });
    let millis = Duration::from_millis;
    let x = &config.bfd_profiles()["x"];
    assert_eq!(
        (x.receive_interval, x.transmit_interval, x.echo_interval),
        (millis(50), millis(51), millis(54))
    );
    assert_eq!((x.detect_multiplier, x.minimum_ttl, x.echo_mode, x.passive_mode), (52, 55, true, true));
    let by = &config.bfd_profiles()["by"];
    assert_eq!(
        (by.receive_interval, by.transmit_interval, by.echo_interval),
        (millis(300), millis(300), millis(50))
    );
    assert_eq!((by.detect_multiplier, by.minimum_ttl, by.echo_mode, by.passive_mode), (3, 254, false, false));
}

/// Field, how to set it, lowest and highest value.
type Bounds = (&'static str, fn(&mut BfdProfileInput, i32), i32, i32);

const BOUNDS: [Bounds; 5] = [
    ("receiveInterval", |b, value| b.receive_interval = Some(value), 10, 60_000),
    ("transmitInterval", |b, value| b.transmit_interval = Some(value), 10, 60_000),
    ("echoInterval", |b, value| b.echo_interval = Some(value), 10, 60_000),
    ("detectMultiplier", |b, value| b.detect_multiplier = Some(value), 2, 255),
    ("minimumTtl", |b, value| b.minimum_ttl = Some(value), 1, 254),
];

#[test]
fn profiles_have_metallbs_limits() {
    for (field, set, least, most) in BOUNDS {
        let with = |value| {
            let mut profile = mk_bfd("x");
            set(&mut profile, value);
            texts(&build(|input| input.bfd_profiles.push(profile)).errors)
        };
        assert_eq!((with(least).len(), with(most).len()), (0, 0), "{field}");
        for value in [least - 1, most + 1] {
            let expected =
                format!("BFDProfile \"x\": spec.{field}: {value} is out of range; use {least} to {most}");
            assert_eq!(with(value), [expected]);
        }
    }
}

#[test]
fn what_no_session_can_have_is_refused() {
    let cases: &[Case<PeerInput>] = &[
        (
            "a long hold time",
            |p| p.hold_time = Some("18h13m".into()),
            "spec.holdTime",
            "use 0s, or 3s to 65535s",
        ),
        (
            "a long password",
            |p| p.password = PasswordInput::Plain(Secret::new("x".repeat(81))),
            "spec.password",
            "80",
        ),
    ];
    refused("BGPPeer", peer, cases);
}

//! Next hops that follow the addresses of the node.

use std::time::Duration;

use metallb_bgp::addresses::{Basis, InternalAddresses, NoNextHop};
use metallb_bgp::io::tokio::Speaker;
use metallb_bgp::session::{PeerSnapshot, Withheld, WithheldReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::Family;

use crate::basics::{bird_config, frr_config, mk_router};
use crate::lab::{Lab, eventually, router};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, prefix, snapshot_until, to, up};

const V4: &str = "198.51.100.1/32";
const V6: &str = "2001:db8:1::1/128";
const NODE: &str = "2001:db8:ff::2/64";

/// A speaker with routes of both families for the peer `router`.
fn mk_announcing() -> Speaker {
    let (speaker, mut events) = mk_speaker(2, &[]);
    // Nobody is interested in them, and they must not fill the queue.
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    for route in [V4, V6] {
        speaker.set_prefix(prefix(route), to("router", RouteAttributes::new()));
    }
    speaker.table_complete();
    speaker
}

/// An IPv4 session with BIRD that carries both families, with only IPv4 addresses at the node.
async fn mk_session(lab: &mut Lab) -> (Bird, Speaker) {
    lab.speaker_ip(&["addr", "del", NODE, "dev", "vspeaker"]).unwrap();
    let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
    let speaker = mk_announcing();
    speaker.set_peer("router".into(), mk_router(router(false), 64513));
    eventually("IPv4 route", async || bird.has_route(V4, &["BGP.next_hop: 192.0.2.2"])).await;
    (bird, speaker)
}

/// The routes of IPv6 are held back for this reason.
async fn until_withheld(speaker: &Speaker, reason: NoNextHop) -> PeerSnapshot {
    let is_it =
        |w: &Withheld| (w.family, w.reason) == (Family::Ipv6Unicast, WithheldReason::NoNextHop(reason));
    let wanted = |s: &PeerSnapshot| s.withheld.len() == 1 && s.withheld.iter().all(is_it);
    snapshot_until(speaker, "router", reason.reason(), wanted).await
}

/// The route of IPv6 points to this address.
async fn until_via(bird: &Bird, address: &str) {
    let word = format!("BGP.next_hop: {address}\n");
    eventually(address, async || bird.has_route(V6, &[&word])).await;
}

/// The session was never down.
async fn assert_one_session(speaker: &Speaker) -> PeerSnapshot {
    let snapshot = snapshot_until(speaker, "router", "established", up).await;
    assert_eq!(snapshot.counters.established, 1);
    snapshot
}

fn add(lab: &Lab, device: &str, address: &str, more: &[&str]) {
    lab.speaker_ip(&[&["addr", "add", address, "dev", device], more].concat()).unwrap();
}

// req: X2
#[test]
fn an_address_that_comes_later_releases_the_routes_that_waited_for_it() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let (bird, speaker) = mk_session(lab).await;
        let before = until_withheld(&speaker, NoNextHop::NoAddress).await;
        assert!(bird.has_route(V6, &[]).is_none());
        add(lab, "vspeaker", NODE, &["nodad"]);
        until_via(&bird, "2001:db8:ff::2").await;
        let after = assert_one_session(&speaker).await;
        assert_eq!(after.withheld, []);
        assert_eq!(after.counters.updates_sent, before.counters.updates_sent + 1, "one UPDATE, and no other");
        assert_eq!(after.next_hops.unwrap().v6.unwrap().basis, Basis::Interface);
    });
}

// req: X2, !X2
#[test]
fn routes_move_with_a_renumbered_node_and_go_with_its_last_address() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let (bird, speaker) = mk_session(lab).await;
        add(lab, "vspeaker", "2001:db8:ff::5/64", &["nodad"]);
        until_via(&bird, "2001:db8:ff::5").await;
        add(lab, "vspeaker", "2001:db8:ff::4/64", &["nodad"]);
        let before = assert_one_session(&speaker).await;
        lab.speaker_ip(&["addr", "del", "2001:db8:ff::5/64", "dev", "vspeaker"]).unwrap();
        until_via(&bird, "2001:db8:ff::4").await;
        let after = assert_one_session(&speaker).await;
        assert_eq!(after.counters.updates_sent, before.counters.updates_sent + 1);
        lab.speaker_ip(&["addr", "del", "2001:db8:ff::4/64", "dev", "vspeaker"]).unwrap();
        eventually("withdrawn", async || bird.has_route(V6, &[]).is_none().then_some(())).await;
        until_withheld(&speaker, NoNextHop::NoAddress).await;
        assert!(bird.has_route(V4, &["BGP.next_hop: 192.0.2.2"]).is_some());
        assert_one_session(&speaker).await;
    });
}

// req: X1, !X1
#[test]
fn duplicates_are_never_announced_and_worse_addresses_only_until_a_better_one_comes() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let (bird, speaker) = mk_session(lab).await;
        until_withheld(&speaker, NoNextHop::NoAddress).await;
        // The router has it already.
        lab.router_ip(&["addr", "add", "2001:db8:ff::7/64", "dev", "vrouter", "nodad"]).unwrap();
        add(lab, "vspeaker", "2001:db8:ff::7/64", &[]);
        until_withheld(&speaker, NoNextHop::Unusable).await;
        add(lab, "vspeaker", "2001:db8:ff::8/64", &["nodad", "preferred_lft", "0"]);
        until_via(&bird, "2001:db8:ff::8").await;
        add(lab, "vspeaker", "2001:db8:ff::9/128", &["nodad"]);
        until_via(&bird, "2001:db8:ff::9").await;
        add(lab, "vspeaker", "2001:db8:ff::a/64", &["nodad"]);
        until_via(&bird, "2001:db8:ff::a").await;
        assert_one_session(&speaker).await;
    });
}

// req: !X1
#[test]
fn an_address_of_another_interface_is_no_next_hop() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        lab.link("vother", "vsecond").unwrap();
        lab.speaker_ip(&["link", "set", "vsecond", "up"]).unwrap();
        let (bird, speaker) = mk_session(lab).await;
        add(lab, "vsecond", "2001:db8:2::2/64", &["nodad"]);
        until_withheld(&speaker, NoNextHop::NoAddress).await;
        add(lab, "vspeaker", NODE, &["nodad"]);
        until_via(&bird, "2001:db8:ff::2").await;
        assert_one_session(&speaker).await;
    });
}

// req: X1
#[test]
fn a_session_of_the_loopback_uses_its_address_and_the_node_s_and_no_service_s() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        for address in ["10.0.0.1/32", "198.51.100.1/32", "2001:db8:1::1/128"] {
            add(lab, "lo", address, &[]);
        }
        lab.router_ip(&["route", "add", "10.0.0.1/32", "via", "192.0.2.2"]).unwrap();
        let config = bird_config("10.0.0.1", "192.0.2.1", 64513, "").replace(" direct;", " multihop;");
        let bird = Bird::start(lab, &config).await;
        let speaker = mk_announcing();
        let mut peer = mk_router(router(false), 64513);
        peer.local_address = "10.0.0.1".parse().ok();
        speaker.set_peer("router".into(), peer);
        eventually("IPv4 route", async || bird.has_route(V4, &["BGP.next_hop: 10.0.0.1"])).await;
        let internal = InternalAddresses { v4: None, v6: "2001:db8:ff::2".parse().ok() };
        speaker.set_internal_addresses(internal);
        until_via(&bird, "2001:db8:ff::2").await;
        let snapshot = assert_one_session(&speaker).await;
        assert_eq!(snapshot.router_id.unwrap().to_string(), "10.0.0.1");
        // Without one, that of another interface.
        speaker.set_internal_addresses(InternalAddresses::default());
        until_via(&bird, "2001:db8:ff::2").await;
    });
}

/// Makes the speaker's device a port of a bridge, which takes its hardware address, and waits for the bridge's link-local one.
async fn add_bridge(lab: &Lab) {
    lab.speaker_ip(&["link", "add", "br0", "type", "bridge"]).unwrap();
    lab.speaker_ip(&["link", "set", "vspeaker", "master", "br0"]).unwrap();
    lab.speaker_ip(&["link", "set", "br0", "up"]).unwrap();
    let show = ["-6", "addr", "show", "dev", "br0", "scope", "link", "-tentative"];
    let ready = async || lab.speaker_says("ip", &show).ok().filter(|text| text.contains("fe80"));
    eventually("a link-local address of the bridge", ready).await;
}

// req: X2, !X2
#[test]
fn an_address_that_moves_to_a_bridge_takes_the_next_hops_along() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let (bird, speaker) = mk_session(lab).await;
        until_withheld(&speaker, NoNextHop::NoAddress).await;
        add_bridge(lab).await;
        let before = assert_one_session(&speaker).await;
        lab.speaker_ip(&["addr", "del", "192.0.2.2/24", "dev", "vspeaker"]).unwrap();
        add(lab, "br0", "192.0.2.2/24", &[]);
        // What comes there is on the session's interface.
        add(lab, "br0", NODE, &["nodad"]);
        until_via(&bird, "2001:db8:ff::2").await;
        let after = assert_one_session(&speaker).await;
        assert_eq!(after.counters.updates_sent, before.counters.updates_sent + 1, "IPv6 alone");
        assert!(bird.has_route(V4, &["BGP.next_hop: 192.0.2.2"]).is_some());
        let hops = after.next_hops.unwrap();
        assert_eq!((hops.v4.unwrap().basis, hops.v6.unwrap().basis), (Basis::Session, Basis::Interface));
        // One that is gone for good takes the routes along.
        lab.speaker_ip(&["addr", "del", NODE, "dev", "br0"]).unwrap();
        until_withheld(&speaker, NoNextHop::NoAddress).await;
    });
}

// req: X2, !X2
#[test]
fn an_ipv6_address_that_moves_withdraws_nothing_while_it_is_tentative() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = Bird::start(lab, &bird_config("2001:db8:ff::2", "2001:db8:ff::1", 64513, "")).await;
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_router(router(true), 64513));
        let has_route = async || bird.has_route(V6, &["BGP.next_hop: 2001:db8:ff::2"]);
        eventually("IPv6 route", has_route).await;
        add_bridge(lab).await;
        let before = assert_one_session(&speaker).await;
        lab.speaker_ip(&["addr", "del", NODE, "dev", "vspeaker"]).unwrap();
        // With the time of duplicate address detection.
        add(lab, "br0", NODE, &[]);
        let show = ["-6", "addr", "show", "dev", "br0", "scope", "global", "-tentative"];
        let ready = async || lab.speaker_says("ip", &show).ok().filter(|text| text.contains("2001:db8"));
        eventually("the address", ready).await;
        let moved = |s: &PeerSnapshot| s.next_hops.is_some_and(|hops| hops.v4.is_err() && hops.v6.is_ok());
        // The IPv4 address that was beside it stays where it was.
        let after = snapshot_until(&speaker, "router", "moved", moved).await;
        assert!(after.counters.updates_sent <= before.counters.updates_sent + 2, "one of each family");
        eventually("IPv6 route", has_route).await;
        assert_one_session(&speaker).await;
    });
}

// req: X2
#[test]
fn frr_gets_ipv6_routes_when_the_address_comes_and_keeps_the_session() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        lab.speaker_ip(&["addr", "del", NODE, "dev", "vspeaker"]).unwrap();
        let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, "")).await;
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        until_withheld(&speaker, NoNextHop::NoAddress).await;
        add(lab, "vspeaker", NODE, &["nodad"]);
        let path =
            eventually("route", async || Some(frr.route(V6)).filter(|path| path["valid"] == true)).await;
        assert_eq!(path["nexthops"][0]["ip"], "2001:db8:ff::2", "{path}");
        assert_eq!(frr.neighbour("192.0.2.2")["connectionsEstablished"], 1);
        assert_one_session(&speaker).await;
    });
}

// req: N6, X4
#[test]
fn a_family_that_frr_activates_later_is_agreed_on_then() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config = frr_config("192.0.2.2", 64513, "").replace(
            " address-family ipv6 unicast\n  neighbor 192.0.2.2 activate\n exit-address-family\n",
            "",
        );
        let frr = Frr::start(lab, &config).await;
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        let missing = |s: &PeerSnapshot| {
            let missing = s.negotiated.as_ref().map(|agreed| agreed.missing_families.clone());
            let reasons: Vec<_> = s.withheld.iter().map(|w| (w.family, w.reason, w.routes)).collect();
            missing == Some(vec![Family::Ipv6Unicast])
                && reasons == [(Family::Ipv6Unicast, WithheldReason::FamilyNotAgreed, 1)]
        };
        snapshot_until(&speaker, "router", "without IPv6", missing).await;
        eventually("IPv4 route", async || frr.route(V4)["valid"].as_bool()).await;
        frr.configure(&["router bgp 64512", "address-family ipv6 unicast", "neighbor 192.0.2.2 activate"]);
        eventually("IPv6 route", async || frr.route(V6)["valid"].as_bool()).await;
        let whole = |s: &PeerSnapshot| {
            s.negotiated.as_ref().is_some_and(|agreed| agreed.missing_families.is_empty())
                && s.withheld.is_empty()
        };
        snapshot_until(&speaker, "router", "with both", whole).await;
    });
}

// req: !X1
#[test]
fn a_temporary_address_is_no_next_hop_beside_a_lasting_one() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        std::fs::write("/proc/sys/net/ipv6/conf/vspeaker/use_tempaddr", "2").unwrap();
        let (bird, speaker) = mk_session(lab).await;
        until_withheld(&speaker, NoNextHop::NoAddress).await;
        add(lab, "vspeaker", "2001:db8:ff:0:ff::b/64", &["nodad", "mngtmpaddr"]);
        // The kernel makes the temporary one of it.
        until_via(&bird, "2001:db8:ff:0:ff::b").await;
        add(lab, "vspeaker", "2001:db8:ff:0:ff::c/64", &["nodad"]);
        assert_one_session(&speaker).await;
        until_via(&bird, "2001:db8:ff:0:ff::b").await;
    });
}

// req: X1
#[test]
fn of_two_interfaces_with_one_hardware_address_that_of_the_session_counts() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        lab.link("vother", "vsecond").unwrap();
        for device in ["vspeaker", "vsecond"] {
            lab.speaker_ip(&["link", "set", device, "down"]).unwrap();
            lab.speaker_ip(&["link", "set", device, "address", "02:00:00:00:00:07"]).unwrap();
        }
        add(lab, "vsecond", "2001:db8:2::2/64", &["nodad"]);
        for device in ["vsecond", "vspeaker"] {
            lab.speaker_ip(&["link", "set", device, "up"]).unwrap();
        }
        // Taking a link down took its addresses along.
        lab.speaker_ip(&["addr", "replace", NODE, "dev", "vspeaker", "nodad"]).unwrap();
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        until_via(&bird, "2001:db8:ff::2").await;
        assert_one_session(&speaker).await;
    });
}

// req: X1
#[test]
fn an_ipv6_session_carries_ipv4_routes_with_the_ipv4_address_of_its_interface() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config =
            bird_config("2001:db8:ff::2", "2001:db8:ff::1", 64513, "").replace(" extended next hop on;", "");
        let bird = Bird::start(lab, &config).await;
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_router(router(true), 64513));
        eventually("IPv4 route", async || bird.has_route(V4, &["BGP.next_hop: 192.0.2."])).await;
        until_via(&bird, "2001:db8:ff::2").await;
        lab.speaker_ip(&["-4", "addr", "flush", "dev", "vspeaker"]).unwrap();
        let reason = WithheldReason::NoExtendedNextHop(NoNextHop::NoAddress);
        let without = |s: &PeerSnapshot| s.withheld.iter().any(|w| w.reason == reason && w.routes == 1);
        snapshot_until(&speaker, "router", "no IPv4 next hop", without).await;
        eventually("withdrawn", async || bird.has_route(V4, &[]).is_none().then_some(())).await;
        add(lab, "vspeaker", "192.0.2.9/24", &[]);
        eventually("IPv4 route", async || bird.has_route(V4, &["BGP.next_hop: 192.0.2.9"])).await;
        assert_one_session(&speaker).await;
    });
}

// req: X3
#[test]
fn a_cable_that_is_plugged_in_ends_the_wait_at_once() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        lab.router_ip(&["link", "set", "vrouter", "down"]).unwrap();
        let speaker = mk_announcing();
        let mut peer = mk_router(router(false), 64513);
        peer.connect_time = Some(Duration::from_secs(300));
        speaker.set_peer("router".into(), peer);
        snapshot_until(&speaker, "router", "an attempt", |s| s.counters.connect_attempts > 0).await;
        lab.router_ip(&["link", "set", "vrouter", "up"]).unwrap();
        eventually("IPv4 route", async || bird.has_route(V4, &[])).await;
    });
}

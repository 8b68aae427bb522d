//! What operators do with a router: give it another number, stop its process, accept neighbours by range.

use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::ListenRange;
use metallb_bgp::session::{Authentication, Md5Key, OfferedFamilies, PeerConfig, PeerSnapshot};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Asn, HoldTime, RemoteAs};
use nix::sys::signal::Signal;

use crate::basics::{bird_config, frr_config, mk_router};
use crate::lab::{Lab, eventually, router, within};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, prefix, snapshot_until, to, up};

const ROUTE: &str = "198.51.100.1/32";

// req: !L1, !O2, T7
#[test]
fn a_router_with_another_local_number_is_taken_by_that_number_only() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let line = " neighbor 192.0.2.2 local-as 64999 no-prepend replace-as\n";
        let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, line)).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
        speaker.table_complete();
        let mut peer = mk_router(router(false), 64513);
        peer.connect_time = Some(Duration::from_millis(200));
        speaker.set_peer("router".into(), peer.clone());
        let refused = |s: &PeerSnapshot| s.last_error.is_some();
        let refused = snapshot_until(&speaker, "router", "refused", refused).await;
        let error = refused.last_error.unwrap().to_string();
        assert_eq!(error, "sent OPEN Message Error/Bad Peer AS (2/2)");
        peer.remote_asn = RemoteAs::Asn(Asn::new(64999));
        speaker.set_peer("router".into(), peer.clone());
        eventually("the route", async || frr.route(ROUTE)["valid"].as_bool()).await;
        let agreed = snapshot_until(&speaker, "router", "established", up).await.negotiated.unwrap();
        assert_eq!(agreed.remote_asn, Asn::new(64999));
        peer.remote_asn = RemoteAs::External;
        speaker.set_peer("router".into(), peer);
        let same = snapshot_until(&speaker, "router", "snapshot", |_| true).await;
        assert_eq!((same.state, same.counters.established), (State::Established, 1));
    });
}

// req: !T1
#[test]
fn a_changed_key_ends_the_session_until_both_ends_have_it() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let line = " neighbor 192.0.2.2 password old\n";
        let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, line)).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let key = |key: &str| Authentication::Md5(Md5Key::new(key).unwrap());
        let mut peer = mk_router(router(false), 64513);
        peer.connect_time = Some(Duration::from_millis(200));
        peer.authentication = key("old");
        speaker.set_peer("router".into(), peer.clone());
        snapshot_until(&speaker, "router", "established", up).await;
        let before = lab.netstat("TCPMD5Failure");
        peer.authentication = key("new");
        speaker.set_peer("router".into(), peer);
        eventually("the router drops it", async || (lab.netstat("TCPMD5Failure") > before).then_some(()))
            .await;
        let down = snapshot_until(&speaker, "router", "down", |s| !up(s)).await;
        assert_eq!(down.counters.established, 1);
        frr.configure(&["router bgp 64512", "neighbor 192.0.2.2 password new"]);
        let again = |s: &PeerSnapshot| up(s) && s.counters.established == 2;
        snapshot_until(&speaker, "router", "established again", again).await;
        frr.until_established("192.0.2.2").await;
    });
}

// req: L1
#[test]
fn only_our_local_number_is_seen_by_the_router() {
    for (local, internal) in [(64512, true), (65010, false)] {
        let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let frr = Frr::start(lab, &frr_config("192.0.2.2", local, "")).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
            speaker.table_complete();
            speaker.set_peer("router".into(), mk_router(router(false), local));
            eventually("the route", async || frr.route(ROUTE)["valid"].as_bool()).await;
            let path = frr.route(ROUTE);
            let as_path = if internal { "Local".to_owned() } else { local.to_string() };
            assert_eq!(path["aspath"]["string"], as_path, "{path}");
            assert_eq!(path["locPrf"].as_u64(), internal.then_some(100), "{path}");
        });
    }
}

// req: !F9, N2
#[test]
fn a_router_that_stops_is_given_up_and_gets_everything_when_it_goes_on() {
    const COUNT: u32 = 5_000;
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.table_complete();
        let mut peer = mk_router(router(false), 64513);
        peer.hold_time = HoldTime::from_secs(3).unwrap();
        peer.connect_time = Some(Duration::from_millis(200));
        speaker.set_peer("router".into(), peer);
        snapshot_until(&speaker, "router", "established", up).await;
        bird.until_established().await;
        lab.signal("bird", Signal::SIGSTOP);
        let from = tokio::time::Instant::now();
        // Its kernel goes on to acknowledge until the window is full.
        for n in 0..COUNT {
            let route = prefix(&format!("{}/32", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)));
            let community = metallb_bgp::types::Community(n);
            speaker.set_prefix(route, to("router", RouteAttributes::new().with_communities([community])));
        }
        let down = snapshot_until(&speaker, "router", "given up", |s| !up(s)).await;
        let took = from.elapsed();
        // The hold time is 3 s; the rest is for a busy machine. The simulation knows the moment.
        assert!(took > Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
        let reason = down.last_error.unwrap().to_string();
        assert_eq!(reason, "sent Hold Timer Expired (4/0)");
        lab.signal("bird", Signal::SIGCONT);
        let all = format!("{COUNT} of {COUNT} routes");
        let arrived = async || bird.ask("show route count").contains(&all).then_some(());
        eventually("everything", arrived).await;
    });
}

// req: A9, A10, A11
#[test]
fn a_hundred_thousand_prefixes_arrive_and_go_at_frr() {
    const COUNT: u32 = 100_000;
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config = frr_config("192.0.2.2", 64513, "")
            .replace("  neighbor 192.0.2.2 soft-reconfiguration inbound\n", "");
        let frr = Frr::start(lab, &config).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let route = |n: u32| prefix(&format!("{}/32", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)));
        for n in 0..COUNT {
            speaker.set_prefix(route(n), to("router", RouteAttributes::new()));
        }
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        let count = async |wanted: u32| {
            let summary = frr.json("show bgp summary json");
            let held = summary["ipv4Unicast"]["peers"]["192.0.2.2"]["pfxRcd"].as_u64();
            (held == Some(wanted.into())).then_some(())
        };
        let limit = Duration::from_secs(60);
        within(limit, "all", async || count(COUNT).await).await;
        let before = snapshot_until(&speaker, "router", "snapshot", |s| s.queued_octets == 0).await;
        for n in (0..COUNT).step_by(2) {
            speaker.set_prefix(route(n), vec![]);
        }
        within(limit, "half", async || count(COUNT / 2).await).await;
        let after = snapshot_until(&speaker, "router", "snapshot", |s| s.queued_octets == 0).await;
        let messages = after.counters.updates_sent - before.counters.updates_sent;
        assert!(messages < 1000, "withdrawals share messages: {messages}");
        assert_eq!((after.advertised_v4, after.counters.established), (u64::from(COUNT / 2), 1));
        assert_eq!(frr.neighbour("192.0.2.2")["connectionsEstablished"], 1);
    });
}

// req: T7
#[test]
fn a_range_of_the_router_takes_us_and_another_one_does_not() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config = "router bgp 64512
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 neighbor nodes peer-group
 neighbor nodes remote-as external
 bgp listen range 192.0.2.3/32 peer-group nodes
 address-family ipv4 unicast
  neighbor nodes activate
 exit-address-family
";
        let frr = Frr::start(lab, config).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
        let mut peer = mk_router(router(false), 64513);
        peer.families = OfferedFamilies::Own;
        speaker.set_peer("router".into(), peer.clone());
        let refused = |s: &PeerSnapshot| s.last_error.is_some();
        let refused = snapshot_until(&speaker, "router", "refused", refused).await;
        assert_eq!(refused.counters.established, 0);
        peer.local_address = Some("192.0.2.3".parse().unwrap());
        speaker.set_peer("router".into(), peer);
        eventually("the route", async || frr.route(ROUTE)["valid"].as_bool()).await;
        let state = frr.neighbour("192.0.2.3");
        assert_eq!((&state["bgpState"], &state["remoteAs"]), (&"Established".into(), &64513.into()));
    });
}

// req: !O2, !T7
#[test]
fn our_range_takes_a_router_of_the_right_as_only_and_lets_it_go_with_the_range() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let passive = " neighbor 192.0.2.2 passive\n";
        let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, "").replace(passive, "")).await;
        let (speaker, _events) = mk_speaker(2, &["192.0.2.2:179"]);
        let range = |prefix_of: &str, remote| {
            let template = PeerConfig::new("192.0.2.1:179".parse().unwrap(), Asn::new(64513), remote, 0);
            ListenRange::new(prefix(prefix_of), template)
        };
        let why = async |words: &'static str| {
            let said = async || {
                let why = frr.neighbour("192.0.2.2")["lastNotificationReason"].as_str().map(str::to_owned);
                why.filter(|why| why == words)
            };
            eventually(words, said).await
        };
        // The router is in another AS than ours.
        speaker.set_listen_range("routers".into(), range("192.0.2.0/31", RemoteAs::Internal));
        why("OPEN Message Error/Bad Peer AS").await;
        speaker.set_listen_range("routers".into(), range("192.0.2.0/31", RemoteAs::External));
        snapshot_until(&speaker, "routers/192.0.2.1", "established", up).await;
        frr.until_established("192.0.2.2").await;
        speaker.remove_listen_range(&"routers".into());
        why("Cease/Peer De-configured").await;
        // A range without the router is none for it.
        speaker.set_listen_range("others".into(), range("192.0.2.128/25", RemoteAs::External));
        let attempts = frr.neighbour("192.0.2.2")["messageStats"]["opensSent"].as_u64().unwrap();
        let again = async || {
            let opens = frr.neighbour("192.0.2.2")["messageStats"]["opensSent"].as_u64().unwrap();
            (opens > attempts).then_some(())
        };
        eventually("the router tries again", again).await;
        assert!(speaker.snapshot().await.is_empty());
    });
}

// req: C5
#[test]
fn frr_loses_nothing_by_an_enhanced_refresh_and_gains_what_it_had_filtered() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config = frr_config("192.0.2.2", 64513, "").replace(
            "  neighbor 192.0.2.2 soft-reconfiguration inbound\n",
            "  neighbor 192.0.2.2 prefix-list none in\n",
        );
        let config = format!("ip prefix-list none seq 5 deny 198.51.100.0/25 le 32\nip prefix-list none seq 10 permit any\n{config}");
        let frr = Frr::start(lab, &config).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let filtered = "198.51.100.1/32";
        let kept = "198.51.100.200/32";
        for route in [filtered, kept] {
            speaker.set_prefix(prefix(route), to("router", RouteAttributes::new()));
        }
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        eventually("the route", async || frr.route(kept)["valid"].as_bool()).await;
        assert!(frr.route(filtered).is_null());
        frr.configure(&["router bgp 64512", "address-family ipv4 unicast", "no neighbor 192.0.2.2 prefix-list none in"]);
        frr.json("clear bgp ipv4 unicast 192.0.2.2 in");
        eventually("what was filtered", async || frr.route(filtered)["valid"].as_bool()).await;
        assert!(frr.route(kept)["valid"].as_bool().unwrap());
        let snapshot = snapshot_until(&speaker, "router", "asked", |s| s.counters.refreshes_received > 0).await;
        assert_eq!((snapshot.state, snapshot.counters.established), (State::Established, 1));
        assert!(snapshot.negotiated.unwrap().enhanced_route_refresh);
    });
}

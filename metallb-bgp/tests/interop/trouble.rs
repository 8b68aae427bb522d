//! What goes wrong between two routers, and what else they ask of each other.

use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::{Event, OfferedFamilies, PeerSnapshot, SettingNames, StopReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Community, HoldTime};

use crate::basics::{bird_config, frr_config, mk_router};
use crate::lab::{Lab, eventually, router, within};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, prefix, snapshot_until, to, up};

const ROUTE: &str = "198.51.100.1/32";

// req: F5
#[test]
fn both_ends_active_end_with_one_session() {
    for ours in ["192.0.2.2", "192.0.2.0"] {
        let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let config = frr_config("192.0.2.2", 64513, "").replace(" neighbor 192.0.2.2 passive\n", "");
            let frr = Frr::start(lab, &config).await;
            let (speaker, _events) = mk_speaker(2, &["192.0.2.2:179"]);
            let mut peer = mk_router(router(false), 64513);
            peer.router_id = Some(ours.parse::<std::net::Ipv4Addr>().unwrap().try_into().unwrap());
            speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
            speaker.table_complete();
            speaker.set_peer("router".into(), peer);
            for round in 1..4 {
                let again = |s: &PeerSnapshot| up(s) && s.counters.established >= round;
                snapshot_until(&speaker, "router", "established", again).await;
                eventually("the route", async || frr.route(ROUTE)["valid"].as_bool()).await;
                speaker.reset_peer(&"router".into(), "again");
                snapshot_until(&speaker, "router", "reset", |s| !up(s)).await;
            }
        });
    }
}

// req: !F9
#[test]
fn a_black_hole_is_noticed_after_the_hold_time() {
    let Some(mut lab) = Lab::new(&["bird", "nft", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let _bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let mut peer = mk_router(router(false), 64513);
        peer.hold_time = HoldTime::from_secs(3).unwrap();
        speaker.set_peer("router".into(), peer);
        let first = snapshot_until(&speaker, "router", "established", up).await;
        let received = first.counters.keepalives_received;
        let alive = |s: &PeerSnapshot| s.counters.keepalives_received > received + 1;
        snapshot_until(&speaker, "router", "keepalives", alive).await;
        lab.nft(
            "table inet hole {
  chain input {
    type filter hook input priority 0;
    tcp dport 179 drop;
  }
  chain output {
    type filter hook output priority 0;
    tcp sport 179 drop;
  }
}
",
        );
        let from = tokio::time::Instant::now();
        let down = snapshot_until(&speaker, "router", "given up", |s| !up(s)).await;
        let took = from.elapsed();
        assert!(took < Duration::from_millis(3500), "{took:?}");
        assert!(took > Duration::from_secs(1), "{took:?}");
        let reason = down.last_error.unwrap().to_string();
        assert!(reason.contains("Hold Timer Expired (4/0)") || reason.contains("timed out"), "{reason}");
        lab.nft("delete table inet hole\n");
        snapshot_until(&speaker, "router", "back", up).await;
    });
}

// req: X5
#[test]
fn a_path_that_loses_big_packets_is_named_and_smaller_segments_pass() {
    let Some(mut lab) = Lab::new(&["bird", "nft", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        // Else the filter would see several segments as one packet.
        lab.speaker_ip(&["link", "set", "vspeaker", "gso_max_segs", "1"]).unwrap();
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        lab.nft(
            "table inet narrow {
  chain input {
    type filter hook input priority 0;
    tcp dport 179 meta length > 700 drop;
  }
}
",
        );
        let (speaker, mut events) = mk_speaker(2, &[]);
        for last in 0..=255 {
            speaker
                .set_prefix(prefix(&format!("198.51.100.{last}/32")), to("router", RouteAttributes::new()));
        }
        speaker.table_complete();
        let mut peer = mk_router(router(false), 64513);
        // BIRD needs up to three seconds for its last words.
        peer.hold_time = HoldTime::from_secs(6).unwrap();
        speaker.set_peer("router".into(), peer.clone());
        let in_vain = within(Duration::from_secs(30), "told", async || {
            loop {
                match events.try_recv().unwrap() {
                    Some(Event::Unacknowledged { segments, .. }) => break Some(segments),
                    Some(_) => {}
                    None => break None,
                }
            }
        })
        .await;
        assert!(in_vain.segments > 0 && in_vain.size > 700, "{in_vain:?}");
        assert!(in_vain.explain(&SettingNames::LIBRARY).contains("MTU"));
        peer.tcp_mss = Some(500);
        speaker.set_peer("router".into(), peer);
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        within(Duration::from_secs(30), "every route", async || {
            bird.has_route("198.51.100.255/32", &[]).and_then(|()| bird.has_route("198.51.100.0/32", &[]))
        })
        .await;
    });
}

// req: C5
#[test]
fn a_route_refresh_is_answered_with_everything() {
    let Some(mut lab) = Lab::new(&["bgpd", "bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config = frr_config("192.0.2.2", 64513, "")
            .replace("  neighbor 192.0.2.2 soft-reconfiguration inbound\n", "");
        let frr = Frr::start(lab, &config).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        eventually("the route", async || frr.route(ROUTE)["valid"].as_bool()).await;
        let before = snapshot_until(&speaker, "router", "all sent", |s| s.queued_octets == 0).await;
        frr.json("clear bgp ipv4 unicast 192.0.2.2 soft in");
        let asked = |s: &PeerSnapshot| {
            s.counters.refreshes_received > before.counters.refreshes_received
                && s.counters.updates_sent > before.counters.updates_sent
        };
        let after = snapshot_until(&speaker, "router", "asked and answered", asked).await;
        assert_eq!((after.counters.established, after.state), (1, State::Established));
        assert!(frr.route(ROUTE)["valid"].as_bool().unwrap());
    });
}

// req: C5
#[test]
fn bird_survives_an_enhanced_refresh_without_losing_routes() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        for host in 0..100 {
            let route = prefix(&format!("198.51.100.{host}/32"));
            speaker.set_prefix(route, to("router", RouteAttributes::new()));
        }
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        let count = async |wanted: &str| bird.ask("show route count").contains(wanted).then_some(());
        eventually("all routes", async || count("100 of 100 routes").await).await;
        bird.ask("reload in node");
        let asked = |s: &PeerSnapshot| s.counters.refreshes_received >= 1;
        snapshot_until(&speaker, "router", "asked", asked).await;
        snapshot_until(&speaker, "router", "answered", |s| s.counters.updates_sent >= 4).await;
        count("100 of 100 routes").await.unwrap();
    });
}

// req: T6
#[test]
fn the_text_of_the_routers_operator_is_shown() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        snapshot_until(&speaker, "router", "established", up).await;
        bird.until_established().await;
        bird.ask("disable node \"[TKT-1] power work\"");
        let down = snapshot_until(&speaker, "router", "down", |s| !up(s)).await;
        let reason = down.last_error.unwrap().to_string();
        assert_eq!(reason, "received Cease/Administrative Shutdown (6/2) \"[TKT-1] power work\"");
    });
}

// req: C6
#[test]
fn ipv4_routes_have_an_ipv6_next_hop_where_there_is_no_ipv4() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        lab.speaker_ip(&["-4", "addr", "flush", "dev", "vspeaker"]).unwrap();
        let bird = Bird::start(lab, &bird_config("2001:db8:ff::2", "2001:db8:ff::1", 64513, "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(true), 64513));
        eventually("the route", async || bird.has_route(ROUTE, &["2001:db8:ff::2"])).await;
        let snapshot = snapshot_until(&speaker, "router", "snapshot", |_| true).await;
        assert!(snapshot.negotiated.unwrap().extended_next_hop);
        assert_eq!(snapshot.unsendable, 0);
    });
}

// req: !C6
#[test]
fn routes_without_a_possible_next_hop_are_counted_and_not_sent() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        lab.speaker_ip(&["-6", "addr", "flush", "dev", "vspeaker"]).unwrap();
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix("2001:db8:1::1/128"), to("router", RouteAttributes::new()));
        speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        eventually("the other route", async || bird.has_route(ROUTE, &[])).await;
        let snapshot = snapshot_until(&speaker, "router", "counted", |s| s.unsendable == 1).await;
        assert_eq!((snapshot.advertised_v4, snapshot.advertised_v6), (1, 0));
    });
}

// req: F9, !G5
#[test]
fn live_changes_leave_the_session_alone() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
        speaker.table_complete();
        let mut peer = mk_router(router(false), 64513);
        speaker.set_peer("router".into(), peer.clone());
        eventually("the route", async || bird.has_route(ROUTE, &[])).await;
        let attributes = RouteAttributes::new().with_communities([Community::new(1, 2)]);
        speaker.set_prefix(prefix(ROUTE), to("router", attributes));
        eventually("the community", async || bird.has_route(ROUTE, &["(1,2)"])).await;
        peer.keepalive_time = Some(Duration::from_secs(1));
        peer.connect_time = Some(Duration::from_secs(7));
        peer.next_hops.v4 = Some("192.0.2.3".parse().unwrap());
        peer.hold_time = HoldTime::from_secs(30).unwrap();
        speaker.set_peer("router".into(), peer.clone());
        eventually("the next hop", async || bird.has_route(ROUTE, &["BGP.next_hop: 192.0.2.3"])).await;
        let snapshot = snapshot_until(&speaker, "router", "snapshot", up).await;
        assert_eq!(snapshot.counters.established, 1);
        assert_eq!(snapshot.pending, ["hold time"]);
        let sent = snapshot.counters.keepalives_sent;
        let fast = |s: &PeerSnapshot| s.counters.keepalives_sent > sent + 1;
        snapshot_until(&speaker, "router", "faster keepalives", fast).await;
        peer.families = OfferedFamilies::Own;
        speaker.set_peer("router".into(), peer);
        let again = |s: &PeerSnapshot| up(s) && s.counters.established == 2;
        snapshot_until(&speaker, "router", "one reset", again).await;
    });
}

// req: A9, A11
#[test]
fn a_hundred_thousand_prefixes_arrive_and_go() {
    const COUNT: u32 = 100_000;
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let more = "enable extended messages on;";
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, more)).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let route = |n: u32| prefix(&format!("{}/32", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)));
        for n in 0..COUNT {
            speaker.set_prefix(route(n), to("router", RouteAttributes::new()));
        }
        speaker.table_complete();
        let from = tokio::time::Instant::now();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        let count = async |wanted: String| bird.ask("show route count").contains(&wanted).then_some(());
        let limit = Duration::from_secs(60);
        within(limit, "all", async || count(format!("{COUNT} of {COUNT} routes")).await).await;
        eprintln!("100,000 prefixes in BIRD after {:?}", from.elapsed());
        let sent = snapshot_until(&speaker, "router", "snapshot", |s| s.queued_octets == 0).await;
        assert_eq!(sent.advertised_v4, u64::from(COUNT));
        assert!(sent.counters.updates_sent <= 10, "extended messages: {}", sent.counters.updates_sent);
        for n in 0..COUNT {
            if n % 2 == 0 {
                speaker.set_prefix(route(n), vec![]);
            }
        }
        let half = COUNT / 2;
        within(limit, "half", async || count(format!("{half} of {half} routes")).await).await;
        speaker.remove_peer(&"router".into(), StopReason::Deconfigured);
        within(limit, "none", async || count("0 of 0 routes".to_owned()).await).await;
    });
}

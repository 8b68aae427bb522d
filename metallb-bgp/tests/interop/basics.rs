//! Routes arrive, change and go.

use std::net::{IpAddr, SocketAddr};

use metallb_bgp::fsm::State;
use metallb_bgp::session::{OfferedFamilies, PeerConfig, PeerKey, StopReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Community, LargeCommunity};

use crate::lab::{Lab, eventually, router};
use crate::routers::{Bird, Frr};
use crate::support::{mk_peer, mk_speaker, prefix, snapshot_until, to, up};

/// bgpd's configuration: one neighbour for everything.
pub(crate) fn frr_config(neighbour: &str, asn: u32, more: &str) -> String {
    format!(
        "router bgp 64512
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor {neighbour} remote-as {asn}
 neighbor {neighbour} timers connect 1
 neighbor {neighbour} passive
{more}
 address-family ipv4 unicast
  neighbor {neighbour} activate
  neighbor {neighbour} soft-reconfiguration inbound
 exit-address-family
 address-family ipv6 unicast
  neighbor {neighbour} activate
 exit-address-family
"
    )
}

/// BIRD's configuration: one passive session with both families.
pub(crate) fn bird_config(neighbour: &str, local: &str, asn: u32, more: &str) -> String {
    format!(
        "protocol bgp node {{ local {local} as 64512; neighbor {neighbour} as {asn}; passive on; direct;
  ipv4 {{ import all; export none; extended next hop on; }}; ipv6 {{ import all; export none; }};
  connect delay time 1; connect retry time 1; error wait time 1,1; {more} }}\n"
    )
}

/// The router as a peer.
pub(crate) fn mk_router(address: IpAddr, asn: u32) -> PeerConfig {
    let mut peer = mk_peer(SocketAddr::new(address, 179), asn, 64512);
    peer.families = OfferedFamilies::Both;
    peer.local_address =
        Some(if address.is_ipv4() { "192.0.2.2" } else { "2001:db8:ff::2" }.parse().unwrap());
    peer
}

/// A little of everything; a router outside our AS is told no preference.
pub(crate) fn attributes() -> RouteAttributes {
    RouteAttributes::new()
        .with_communities([Community::new(64513, 7)])
        .with_large_communities([LargeCommunity::new(64513, 1, 2)])
        .with_local_pref(Some(150))
        .with_med(Some(30))
}

// req: A1, A2, A3, C1, C2, C3, C8, G5
#[test]
fn frr_takes_and_loses_routes_of_both_families() {
    for (v6, asn) in [(false, 64513), (true, 4_200_000_001), (false, 64512)] {
        let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let us = if v6 { "2001:db8:ff::2" } else { "192.0.2.2" };
            let frr = Frr::start(lab, &frr_config(us, asn, "")).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            for route in ["198.51.100.1/32", "2001:db8:1::1/128"] {
                speaker.set_prefix(prefix(route), to("router", attributes()));
            }
            speaker.table_complete();
            let mut peer = mk_router(router(v6), asn);
            // A bgpd without zebra knows no interfaces and refuses link-local next hops.
            peer.next_hops.v6 = Some("2001:db8:ff::2".parse().unwrap());
            speaker.set_peer("router".into(), peer);
            for route in ["198.51.100.1/32", "2001:db8:1::1/128"] {
                let path = eventually(route, async || {
                    let path = frr.route(route);
                    path["valid"].as_bool().filter(|valid| *valid).map(|_| path)
                })
                .await;
                assert_eq!(path["community"]["string"], "64513:7", "{path}");
                assert_eq!(path["largeCommunity"]["string"], "64513:1:2");
                let internal = asn == 64512;
                assert_eq!(path["metric"], 30);
                assert_eq!(path["locPrf"].as_u64(), internal.then_some(150));
                assert_eq!(
                    path["aspath"]["string"],
                    if internal { "Local".to_owned() } else { asn.to_string() }
                );
                let hop = if route.contains(':') { "2001:db8:ff::2" } else { "192.0.2.2" };
                assert_eq!(path["nexthops"][0]["ip"], hop, "{path}");
            }
            speaker.set_prefix(prefix("198.51.100.1/32"), vec![]);
            eventually("withdrawn", async || frr.route("198.51.100.1/32").is_null().then_some(())).await;
            let state = frr.neighbour(us);
            assert_eq!(state["bgpState"], "Established");
            assert_eq!(state["connectionsEstablished"], 1);
            speaker.remove_peer(&PeerKey::from("router"), StopReason::Deconfigured);
            let why = eventually("told why", async || {
                let why = frr.neighbour(us)["lastNotificationReason"].as_str().map(str::to_owned);
                why.filter(|why| why.contains("Cease"))
            })
            .await;
            assert_eq!(why, "Cease/Peer De-configured", "{why}");
        });
    }
}

// req: A1, C1, C6, G5, T6
#[test]
fn bird_takes_routes_and_shows_the_shutdown_text() {
    for v6 in [false, true] {
        let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let (us, them) =
                if v6 { ("2001:db8:ff::2", "2001:db8:ff::1") } else { ("192.0.2.2", "192.0.2.1") };
            let bird = Bird::start(lab, &bird_config(us, them, 64513, "")).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            speaker.set_prefix(prefix("198.51.100.1/32"), to("router", attributes()));
            speaker.set_prefix(prefix("2001:db8:1::1/128"), to("router", attributes()));
            speaker.table_complete();
            speaker.set_peer("router".into(), mk_router(router(v6), 64513));
            let words = ["(64513,7)", "(64513, 1, 2)", "BGP.as_path: 64513", "BGP.med: 30"];
            eventually("IPv4 route", async || bird.has_route("198.51.100.1/32", &words)).await;
            eventually("IPv6 route", async || bird.has_route("2001:db8:1::1/128", &words)).await;
            speaker.remove_peer(&"router".into(), StopReason::Shutdown("moved away".to_owned()));
            let said = eventually("text", async || {
                let said = bird.ask("show protocols all node");
                said.contains("moved away").then_some(said)
            })
            .await;
            assert!(said.contains("Administrative shutdown"), "{said}");
        });
    }
}

// req: C3, F9, K1
#[test]
fn sessions_stay_up_beyond_the_hold_time() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "hold time 3;")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        let first = snapshot_until(&speaker, "router", "established", up).await;
        assert_eq!(first.negotiated.unwrap().hold_time.as_secs(), 3);
        let later = |s: &metallb_bgp::session::PeerSnapshot| s.counters.keepalives_received > 6;
        let later = snapshot_until(&speaker, "router", "many keepalives", later).await;
        assert_eq!((later.counters.established, later.state), (1, State::Established));
        assert!(bird.ask("show protocols node").contains("Established"));
    });
}

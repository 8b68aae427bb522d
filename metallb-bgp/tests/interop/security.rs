//! Keys, TTLs and listening.

use std::net::SocketAddrV6;

use ipnetwork::IpNetwork;
use metallb_bgp::io::tokio::ListenRange;
use metallb_bgp::session::{Authentication, Md5Key, OfferedFamilies, PeerConfig, TtlPolicy};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Asn, RemoteAs};

use crate::basics::{bird_config, frr_config, mk_router};
use crate::lab::{Lab, eventually, router};
use crate::routers::{Bird, Frr};
use crate::support::{Routes, mk_speaker, prefix, snapshot_until, to, up};

// req: !T1
#[test]
fn a_wrong_md5_key_keeps_the_session_down_and_the_right_one_brings_it_up() {
    for v6 in [false, true] {
        let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let us = if v6 { "2001:db8:ff::2" } else { "192.0.2.2" };
            let key = format!(" neighbor {us} password s3cret");
            let _frr = Frr::start(lab, &frr_config(us, 64513, &key)).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            let mut peer = mk_router(router(v6), 64513);
            peer.families = OfferedFamilies::Own;
            peer.authentication = Authentication::Md5(Md5Key::new("wrong").unwrap());
            let before = lab.netstat("TCPMD5Failure");
            speaker.set_peer("router".into(), peer.clone());
            eventually("the router drops it", async || (lab.netstat("TCPMD5Failure") > before).then_some(()))
                .await;
            let down = snapshot_until(&speaker, "router", "an error", |s| s.last_error.is_some()).await;
            assert!(down.last_error.unwrap().to_string().contains("other TCP keys"));
            peer.authentication = Authentication::Md5(Md5Key::new("s3cret").unwrap());
            speaker.set_peer("router".into(), peer.clone());
            let snapshot = snapshot_until(&speaker, "router", "established", up).await;
            assert_eq!(snapshot.counters.established, 1);
            peer.authentication = Authentication::None;
            speaker.set_peer("router".into(), peer);
            let down =
                snapshot_until(&speaker, "router", "reset", |s| !up(s) && s.last_error.is_some()).await;
            assert_eq!(down.counters.established, 1);
        });
    }
}

// req: T1
#[test]
fn a_listener_demands_the_key_of_a_prefix() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config = "router bgp 64512
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 192.0.2.2 remote-as 64513
 neighbor 192.0.2.2 timers connect 1
 neighbor 192.0.2.2 password wrong
 address-family ipv4 unicast
  network 203.0.113.0/24
 exit-address-family
";
        let before = lab.speaker_netstat("TCPMD5Failure");
        let frr = Frr::start(lab, config).await;
        let (speaker, mut events) = mk_speaker(2, &["192.0.2.2:179"]);
        let nodes: IpNetwork = "192.0.2.0/24".parse().unwrap();
        let mut template =
            PeerConfig::new("192.0.2.1:179".parse().unwrap(), Asn::new(64513), RemoteAs::Any, 0);
        template.import = true;
        template.authentication = Authentication::Md5(Md5Key::new("s3cret").unwrap());
        speaker.set_listen_range("routers".into(), ListenRange::new(nodes, template));
        eventually("it is dropped", async || (lab.speaker_netstat("TCPMD5Failure") > before).then_some(()))
            .await;
        assert!(speaker.snapshot().await.is_empty());
        frr.configure(&["router bgp 64512", "neighbor 192.0.2.2 password s3cret"]);
        let mut routes = Routes::default();
        routes.until(&mut events, "the router's route", |r| r.held.len() == 1).await;
        let all = speaker.snapshot().await;
        assert_eq!(all[0].peer.as_str(), "routers/192.0.2.1");
        assert_eq!(all[0].remote.ip().to_string(), "192.0.2.1");
    });
}

// req: T3, T4
#[test]
fn gtsm_works_with_a_router_that_demands_it_and_fails_without() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = bird_config("192.0.2.2", "192.0.2.1", 64513, "ttl security on;");
        let _bird = Bird::start(lab, &bird).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let mut peer = mk_router(router(false), 64513);
        peer.ttl = TtlPolicy::Exact(1);
        let before = lab.netstat("TCPMinTTLDrop");
        speaker.set_peer("router".into(), peer.clone());
        eventually("the router drops it", async || (lab.netstat("TCPMinTTLDrop") > before).then_some(()))
            .await;
        let down = snapshot_until(&speaker, "router", "a snapshot", |_| true).await;
        assert_eq!(down.counters.established, 0);
        peer.ttl = TtlPolicy::Gtsm { hops: 1 };
        speaker.set_peer("router".into(), peer);
        snapshot_until(&speaker, "router", "established", up).await;
    });
}

// req: T5
#[test]
fn a_bound_device_and_a_source_address_are_used() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let _bird = Bird::start(lab, &bird_config("192.0.2.3", "192.0.2.1", 64513, "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let mut peer = mk_router(router(false), 64513);
        peer.local_address = Some("192.0.2.3".parse().unwrap());
        peer.bind_device = Some("lo".to_owned());
        speaker.set_peer("router".into(), peer.clone());
        snapshot_until(&speaker, "router", "an error", |s| s.last_error.is_some()).await;
        peer.bind_device = Some("vspeaker".to_owned());
        speaker.set_peer("router".into(), peer);
        let snapshot = snapshot_until(&speaker, "router", "established", up).await;
        assert_eq!(snapshot.local.unwrap().ip().to_string(), "192.0.2.3");
        assert_eq!(snapshot.router_id.unwrap().to_string(), "192.0.2.3");
    });
}

// req: C2, T5, T8
#[test]
fn a_link_local_peer_is_reached_over_its_interface() {
    for with_scope in [false, true] {
        let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            lab.router_ip(&["addr", "add", "fe80::1/64", "dev", "vrouter", "nodad"]).unwrap();
            lab.speaker_ip(&["addr", "add", "fe80::2/64", "dev", "vspeaker", "nodad"]).unwrap();
            let config = bird_config("fe80::2 % 'vrouter'", "fe80::1", 64513, "");
            let bird = Bird::start(lab, &config).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            let index = nix::net::if_::if_nametoindex("vspeaker").unwrap();
            let scope = if with_scope { index } else { 0 };
            let mut peer = mk_router("fe80::1".parse().unwrap(), 64513);
            peer.remote = SocketAddrV6::new("fe80::1".parse().unwrap(), 179, 0, scope).into();
            peer.local_address = Some("fe80::2".parse().unwrap());
            peer.bind_device = (!with_scope).then(|| "vspeaker".to_owned());
            speaker.set_prefix(prefix("2001:db8:1::1/128"), to("router", RouteAttributes::new()));
            speaker.set_prefix(prefix("198.51.100.1/32"), to("router", RouteAttributes::new()));
            speaker.table_complete();
            speaker.set_peer("router".into(), peer);
            eventually("IPv6", async || bird.has_route("2001:db8:1::1/128", &["2001:db8:ff::2 fe80::2"]))
                .await;
            eventually("IPv4", async || bird.has_route("198.51.100.1/32", &["192.0.2.2"])).await;
        });
    }
}

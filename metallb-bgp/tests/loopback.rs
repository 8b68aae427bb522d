//! Two speakers over loopback sockets.
#![cfg(feature = "tokio")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::{EventReceiver, ListenRange, Shutdown, Speaker};
use metallb_bgp::session::{Event, OfferedFamilies, PeerConfig, PeerKey, StopReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Asn, Community, Family, HoldTime, LargeCommunity, RemoteAs};

use support::{Routes, mk_peer, mk_speaker, prefix, snapshot_until, to};

/// A collector that takes everybody from 127.0.0.0/8.
fn mk_collector(change: impl FnOnce(&mut PeerConfig)) -> (Speaker, EventReceiver) {
    let (collector, events) = mk_speaker(200, &["127.0.0.1:0"]);
    let mut template = PeerConfig::new("127.0.0.1:0".parse().unwrap(), Asn::new(64512), RemoteAs::Any);
    template.import = true;
    template.families = OfferedFamilies::Both;
    change(&mut template);
    collector.set_listen_range("nodes".into(), ListenRange::new(prefix("127.0.0.0/8"), template));
    (collector, events)
}

/// A peer that dials the collector and offers both families.
fn mk_dialler(collector: &Speaker) -> PeerConfig {
    let mut peer = mk_peer(collector.listening()[0], 64513, 64512);
    peer.families = OfferedFamilies::Both;
    peer.next_hops.v6 = Some("2001:db8::1".parse().unwrap());
    peer
}

// req: A1, A8, A9, A10, C1
#[tokio::test]
async fn routes_of_both_families_arrive_change_and_go() {
    let (collector, mut events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    let attributes = RouteAttributes::new()
        .with_communities([Community(7), Community(3)])
        .with_large_communities([LargeCommunity::new(1, 2, 3)]);
    speaker.set_prefix(prefix("192.0.2.7/32"), to("router", attributes.clone()));
    speaker.set_prefix(prefix("2001:db8:1::7/128"), to("router", attributes));
    speaker.set_peer("router".into(), mk_dialler(&collector));
    let mut routes = Routes::default();
    routes.until(&mut events, "both routes", |r| r.held.len() == 2).await;
    assert!(routes.ended.is_empty(), "End-of-RIB must wait for the table to be complete");
    speaker.table_complete();
    routes.until(&mut events, "both End-of-RIBs", |r| r.ended.len() == 2).await;
    assert_eq!(routes.ended, [Family::Ipv4Unicast, Family::Ipv6Unicast]);
    let v4 = &routes.held[&prefix("192.0.2.7/32")];
    assert_eq!(v4.as_path.to_string(), "64513");
    assert_eq!(v4.next_hop.address().to_string(), "127.0.0.1");
    assert_eq!(v4.communities, [Community(3), Community(7)]);
    assert_eq!(v4.local_pref, None);

    let updates = snapshot_until(&speaker, "router", "snapshot", |_| true).await.counters.updates_sent;
    let changed = RouteAttributes::new().with_communities([Community(9)]);
    speaker.set_prefix(prefix("192.0.2.7/32"), to("router", changed));
    let is_new = |r: &Routes| r.held[&prefix("192.0.2.7/32")].communities == [Community(9)];
    routes.until(&mut events, "the new community", is_new).await;
    speaker.set_prefix(prefix("192.0.2.7/32"), vec![]);
    routes.until(&mut events, "the withdrawal", |r| r.held.len() == 1).await;
    let after = snapshot_until(&speaker, "router", "snapshot", |_| true).await;
    assert_eq!(after.counters.updates_sent, updates + 2, "one change, one UPDATE");
    assert_eq!((after.advertised_v4, after.advertised_v6), (0, 1));
    assert_eq!(after.counters.established, 1);
}

// req: F7, G5, T6
#[tokio::test]
async fn a_removed_peer_is_withdrawn_and_told_that_it_is_deconfigured() {
    let (collector, mut events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    speaker.set_prefix(prefix("192.0.2.7/32"), to("router", RouteAttributes::new()));
    speaker.set_peer("router".into(), mk_dialler(&collector));
    let mut routes = Routes::default();
    routes.until(&mut events, "the route", |r| r.held.len() == 1).await;
    speaker.remove_peer(&PeerKey::from("router"), StopReason::Deconfigured);
    let mut withdrawn = false;
    while let Some(event) = events.recv().await {
        match event {
            Event::Received { update, .. } => withdrawn |= update.withdrawn.len() == 1,
            Event::StateChanged { state: State::Idle, reason: Some(reason), .. } => {
                assert_eq!(reason.to_string(), "received Cease/Peer De-configured (6/3)");
                break;
            }
            _ => {}
        }
    }
    assert!(withdrawn, "the route is withdrawn before the session ends");
    assert!(speaker.snapshot().await.is_empty());
}

// req: T6, N2
#[tokio::test]
async fn the_shutdown_text_reaches_the_peer() {
    let (collector, mut events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    speaker.set_peer("router".into(), mk_dialler(&collector));
    let mut routes = Routes::default();
    let up = |r: &Routes| r.state.values().any(|state| *state == State::Established);
    routes.until(&mut events, "established", up).await;
    speaker.shutdown(Shutdown::Cease { text: "node drained".to_owned() }).await;
    routes.until(&mut events, "idle", |r| r.state.values().all(|state| *state == State::Idle)).await;
    let reason = routes.states.last().unwrap().2.clone().unwrap();
    assert_eq!(reason, "received Cease/Administrative Shutdown (6/2) \"node drained\"");
}

// req: O2, T7
#[tokio::test]
async fn a_peer_of_another_as_is_refused_with_bad_peer_as() {
    let (collector, _events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    let mut peer = mk_dialler(&collector);
    peer.remote_asn = RemoteAs::Internal;
    speaker.set_peer("router".into(), peer);
    let refused = snapshot_until(&speaker, "router", "an error", |s| s.last_error.is_some()).await;
    let error = refused.last_error.unwrap().to_string();
    assert_eq!(error, "sent OPEN Message Error/Bad Peer AS (2/2)");
}

// req: F9, K1
#[tokio::test]
async fn the_smaller_hold_time_counts_and_changes_wait_as_pending() {
    let (collector, _events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    let mut peer = mk_dialler(&collector);
    peer.hold_time = HoldTime::from_secs(30).unwrap();
    speaker.set_peer("router".into(), peer.clone());
    let up = |s: &metallb_bgp::session::PeerSnapshot| s.state == State::Established;
    let snapshot = snapshot_until(&speaker, "router", "established", up).await;
    let negotiated = snapshot.negotiated.unwrap();
    assert_eq!(negotiated.hold_time.as_secs(), 30);
    assert_eq!(negotiated.keepalive_time.as_secs(), 10);
    peer.hold_time = HoldTime::from_secs(60).unwrap();
    speaker.set_peer("router".into(), peer);
    let snapshot = snapshot_until(&speaker, "router", "snapshot", up).await;
    assert_eq!(snapshot.pending, ["hold time"]);
    assert_eq!(snapshot.counters.established, 1);
    speaker.reset_peer(&"router".into(), "apply");
    let again = |s: &metallb_bgp::session::PeerSnapshot| s.counters.established == 2 && up(s);
    let snapshot = snapshot_until(&speaker, "router", "established again", again).await;
    assert!(snapshot.pending.is_empty());
    assert_eq!(snapshot.negotiated.unwrap().hold_time.as_secs(), 60);
}

// req: F7
#[tokio::test]
async fn too_many_prefixes_end_the_session_with_cease_1() {
    let (collector, _events) = mk_collector(|template| template.max_prefixes = Some(3));
    let (speaker, _states) = mk_speaker(1, &[]);
    for host in 0..4 {
        let prefix = prefix(&format!("192.0.2.{host}/32"));
        speaker.set_prefix(prefix, to("router", RouteAttributes::new()));
    }
    speaker.set_peer("router".into(), mk_dialler(&collector));
    let refused = snapshot_until(&speaker, "router", "an error", |s| s.last_error.is_some()).await;
    let error = refused.last_error.unwrap().to_string();
    assert_eq!(error, "received Cease/Maximum Number of Prefixes Reached (6/1)");
}

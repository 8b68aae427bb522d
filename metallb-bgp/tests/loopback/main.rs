//! Two speakers over loopback sockets.
#![cfg(feature = "tokio")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bare;
mod ranges;
mod restart;
mod slow_user;
#[path = "../support/mod.rs"]
mod support;

use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::{EventReceiver, ListenRange, Shutdown, Speaker};
use metallb_bgp::session::{Event, GracefulRestart, OfferedFamilies, PeerConfig, PeerKey, StopReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Asn, Community, Family, HoldTime, LargeCommunity, RemoteAs};

use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::header::MessageType;
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::notification::Notification;
use metallb_bgp::wire::open::Open;
use metallb_bgp::wire::refresh::{RefreshSubtype, RouteRefresh};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use bare::Bare;
use support::{Routes, mk_peer, mk_speaker, prefix, snapshot_until, to, up};

/// A collector that takes everybody from 127.0.0.0/8.
fn mk_collector(change: impl FnOnce(&mut PeerConfig)) -> (Speaker, EventReceiver) {
    let (collector, events) = mk_speaker(200, &["127.0.0.1:0"]);
    let mut template = PeerConfig::new("127.0.0.1:0".parse().unwrap(), Asn::new(64512), RemoteAs::Any, 0);
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
    peer.local_address = Some("127.0.0.2".parse().unwrap());
    peer.next_hops.v6 = Some("2001:db8::1".parse().unwrap());
    peer
}

fn is_up(routes: &Routes) -> bool {
    routes.state.values().any(|state| *state == State::Established)
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
    assert_eq!(v4.next_hop.address().to_string(), "192.0.2.201", "no loopback address");
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

// req: N2, T6
#[tokio::test]
async fn the_shutdown_text_reaches_the_peer() {
    let (collector, mut events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    speaker.set_peer("router".into(), mk_dialler(&collector));
    let mut routes = Routes::default();
    routes.until(&mut events, "established", is_up).await;
    speaker.shutdown(Shutdown::Cease { text: "node drained".to_owned() }).await;
    routes.until(&mut events, "idle", |r| r.state.values().all(|state| *state == State::Idle)).await;
    let reason = routes.states.last().unwrap().2.clone().unwrap();
    assert_eq!(reason, "received Cease/Administrative Shutdown (6/2) \"node drained\"");
}

// req: !O2, !T7
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

// req: !F7
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
    assert_eq!(error, "received Cease/Maximum Number of Prefixes Reached (6/1) 0x00010100000003");
}

/// A speaker that dials a bare socket.
async fn mk_bare(change: impl FnOnce(&mut PeerConfig)) -> (Speaker, EventReceiver, Bare) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (speaker, events) = mk_speaker(1, &[]);
    let mut peer = mk_peer(listener.local_addr().unwrap(), 64513, 64512);
    peer.local_address = Some("127.0.0.2".parse().unwrap());
    change(&mut peer);
    let hold_time = peer.hold_time.seconds();
    speaker.set_peer("router".into(), peer);
    let bare = Bare::establish(&listener, hold_time).await;
    (speaker, events, bare)
}

// req: !F8
#[tokio::test]
async fn a_peer_that_stops_reading_is_given_up_though_it_says_keepalive() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (speaker, mut events) = mk_speaker(1, &[]);
    // More than all socket buffers hold: a message of a thousand octets for each prefix.
    for n in 0..12_000_u32 {
        let prefix = prefix(&format!("{}/32", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)));
        let communities = (0..250).map(|low| Community(n << 8 | low));
        speaker.set_prefix(prefix, to("router", RouteAttributes::new().with_communities(communities)));
    }
    let mut peer = mk_peer(listener.local_addr().unwrap(), 64513, 64512);
    peer.local_address = Some("127.0.0.2".parse().unwrap());
    peer.hold_time = HoldTime::from_secs(3).unwrap();
    peer.send_hold_time = Some(std::time::Duration::from_secs(4));
    speaker.set_peer("router".into(), peer);
    let mut bare = Bare::establish(&listener, 3).await;
    let talker = async {
        let mut keepalive = Vec::new();
        keepalive::encode(&mut keepalive);
        // Until the speaker resets the connection.
        while bare.0.write_all(&keepalive).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    };
    let over = async {
        loop {
            if let Event::StateChanged { state: State::Idle, reason, .. } = events.recv().await.unwrap() {
                return reason.unwrap().to_string();
            }
        }
    };
    tokio::select! {
        reason = over => assert_eq!(reason, "the peer stopped reading: send-hold time over"),
        () = talker => panic!("the connection ended before the speaker said why"),
    }
}

// req: !H1, N2
#[tokio::test]
async fn garbage_is_answered_with_one_notification_and_a_close() {
    let (_speaker, _events, mut bare) = mk_bare(|_| {}).await;
    bare.write(&[0; 19]).await;
    assert_eq!(bare.notification().await, Notification::new(1, 1));
}

// req: !H2
#[tokio::test]
async fn a_bad_length_is_answered_with_the_length() {
    let (_speaker, _events, mut bare) = mk_bare(|_| {}).await;
    let mut header = [0xff; 19];
    header[16..].copy_from_slice(&[0, 18, 4]);
    bare.write(&header).await;
    assert_eq!(bare.notification().await, Notification::with_data(1, 2, [0, 18]));
}

// req: !F6
#[tokio::test]
async fn a_second_open_is_an_unexpected_message() {
    let (_speaker, _events, mut bare) = mk_bare(|_| {}).await;
    let open = Open::new(Asn::new(64512), HoldTime::DEFAULT, support::mk_id(9), Vec::new());
    let mut out = Vec::new();
    open.encode(&mut out).unwrap();
    bare.write(&out).await;
    assert_eq!(bare.notification().await, Notification::with_data(5, 3, [1]));
}

// req: !C5
#[tokio::test]
async fn a_refresh_of_wrong_length_is_answered_with_the_message() {
    let (_speaker, _events, mut bare) = mk_bare(|_| {}).await;
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&[0, 24, 5, 0, 1, 1, 1, 0]);
    bare.write(&message).await;
    assert_eq!(bare.notification().await, Notification::with_data(7, 1, message));
}

// req: !C5
#[tokio::test]
async fn a_refresh_of_a_family_that_was_not_agreed_on_is_ignored() {
    let (speaker, _events, mut bare) = mk_bare(|_| {}).await;
    for subtype in [RefreshSubtype::Request, RefreshSubtype::Unknown(9)] {
        let mut out = Vec::new();
        RouteRefresh { family: Family::Ipv6Unicast.afi_safi(), subtype }.encode(&mut out);
        bare.write(&out).await;
    }
    let both = |s: &metallb_bgp::session::PeerSnapshot| s.counters.refreshes_received == 2;
    let snapshot = snapshot_until(&speaker, "router", "both read", both).await;
    assert_eq!((snapshot.state, snapshot.counters.updates_sent), (State::Established, 0));
}

// req: E1, E2
#[tokio::test]
async fn a_malformed_update_is_shown_and_counted_and_the_session_goes_on() {
    let (speaker, mut events, mut bare) = mk_bare(|_| {}).await;
    // ORIGIN 7, AS_PATH 64512, NEXT_HOP, one prefix.
    let attributes =
        [&[0x40, 1, 1, 7][..], &[0x40, 2, 4, 2, 1, 0xfc, 0x00], &[0x40, 3, 4, 192, 0, 2, 1]].concat();
    let nlri = [32, 192, 0, 2, 1];
    let mut message = vec![0xff; 16];
    let length = u16::try_from(23 + attributes.len() + nlri.len()).unwrap();
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&[2, 0, 0]);
    message.extend_from_slice(&u16::try_from(attributes.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&attributes);
    message.extend_from_slice(&nlri);
    bare.write(&message).await;
    let shown = loop {
        if let Event::Malformed { message, .. } = events.recv().await.unwrap() {
            break message;
        }
    };
    assert!(shown.starts_with("ffffffff") && shown.ends_with("20c0000201"), "{shown}");
    let snapshot = snapshot_until(&speaker, "router", "snapshot", |_| true).await;
    assert_eq!((snapshot.counters.treated_as_withdraw, snapshot.state), (1, State::Established));
}

// req: !T1
#[tokio::test]
async fn an_unused_listener_refuses_strangers() {
    let (collector, _events) = mk_speaker(200, &["127.0.0.1:0"]);
    let mut stream = tokio::net::TcpStream::connect(collector.listening()[0]).await.unwrap();
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest).await;
    assert!(read.map_or(true, |count| count == 0), "not even an OPEN");
    assert!(collector.snapshot().await.is_empty());
}

// req: H5
#[tokio::test]
async fn a_slow_user_slows_the_peer_down_and_loses_nothing() {
    let (collector, mut events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    speaker.set_peer("router".into(), mk_dialler(&collector));
    let mut routes = Routes::default();
    routes.until(&mut events, "established", is_up).await;
    // Each change is an UPDATE and an event of its own; far more than may wait.
    for n in 0..5000_u32 {
        let attributes = RouteAttributes::new().with_communities([Community(n)]);
        let prefix = prefix(&format!("{}/32", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n % 3000)));
        speaker.set_prefix(prefix, to("router", attributes));
        tokio::task::yield_now().await;
    }
    routes.until(&mut events, "everything", |r| r.held.len() == 3000).await;
}

// req: L1, T7
#[tokio::test]
async fn internal_external_and_local_as_decide_what_is_sent() {
    let (collector, mut events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    let mut peer = mk_dialler(&collector);
    peer.local_asn = Asn::new(64512);
    peer.remote_asn = RemoteAs::Internal;
    speaker.set_prefix(prefix("192.0.2.7/32"), to("router", RouteAttributes::new().with_local_pref(Some(7))));
    speaker.set_peer("router".into(), peer.clone());
    let mut routes = Routes::default();
    routes.until(&mut events, "the route", |r| r.held.len() == 1).await;
    let route = routes.held[&prefix("192.0.2.7/32")].clone();
    assert_eq!((route.local_pref, route.as_path.to_string().as_str()), (Some(7), ""));
    // As with local-as: another number in OPEN and AS_PATH, and nothing of the old one.
    peer.local_asn = Asn::new(4_200_000_000);
    peer.remote_asn = RemoteAs::External;
    speaker.set_peer("router".into(), peer);
    let external = |r: &Routes| r.held.values().any(|a| a.as_path.to_string() == "4200000000");
    routes.until(&mut events, "the external route", external).await;
    assert_eq!(routes.held[&prefix("192.0.2.7/32")].local_pref, None);
}

// req: !F7
#[tokio::test]
async fn a_full_range_refuses_with_cease_5() {
    let (collector, _events) = mk_speaker(200, &["127.0.0.1:0"]);
    let template = PeerConfig::new("127.0.0.1:0".parse().unwrap(), Asn::new(64512), RemoteAs::Any, 0);
    let mut range = ListenRange::new(prefix("127.0.0.0/8"), template);
    range.limit = 0;
    collector.set_listen_range("nodes".into(), range);
    // The range is set once a snapshot, which comes later in order, was answered.
    collector.snapshot().await;
    let bare = Bare(tokio::net::TcpStream::connect(collector.listening()[0]).await.unwrap(), None);
    assert_eq!(bare.notification().await, Notification::cease(5));
}

// req: !G1, !G2
#[tokio::test]
async fn the_restart_bit_is_set_until_the_first_end_of_rib() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (speaker, _events) = mk_speaker(1, &[]);
    let mut peer = mk_peer(listener.local_addr().unwrap(), 64513, 64512);
    peer.graceful_restart = Some(GracefulRestart::default());
    peer.connect_time = Some(std::time::Duration::from_millis(50));
    speaker.set_peer("router".into(), peer.clone());
    let restarting = |bare: &Bare| {
        let graceful = |capability: &Capability| match capability {
            Capability::GracefulRestart(graceful) => Some((graceful.restarting, graceful.families.len())),
            _ => None,
        };
        bare.1.as_ref().unwrap().capabilities.iter().find_map(graceful)
    };
    let bare = Bare::establish(&listener, 90).await;
    assert_eq!(restarting(&bare), Some((true, 1)));
    drop(bare);
    let mut bare = Bare::establish(&listener, 90).await;
    assert_eq!(restarting(&bare), Some((true, 1)), "nothing was complete yet");
    speaker.table_complete();
    assert_eq!(bare.read().await, (MessageType::Update, vec![0; 4]), "End-of-RIB");
    drop(bare);
    let bare = Bare::establish(&listener, 90).await;
    assert_eq!(restarting(&bare), Some((false, 1)));
    peer.graceful_restart = None;
    speaker.set_peer("router".into(), peer);
    assert_eq!(bare.notification().await, Notification::cease(6));
    let bare = Bare::establish(&listener, 90).await;
    assert_eq!(restarting(&bare), Some((false, 0)), "only help is offered");
}

// req: !G6
#[tokio::test]
async fn end_of_rib_waits_no_longer_than_the_deferral_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (speaker, _events) = mk_speaker(1, &[]);
    let mut peer = mk_peer(listener.local_addr().unwrap(), 64513, 64512);
    let selection_deferral = std::time::Duration::from_millis(300);
    peer.graceful_restart = Some(GracefulRestart { selection_deferral, ..GracefulRestart::default() });
    speaker.set_peer("router".into(), peer);
    let mut bare = Bare::establish(&listener, 90).await;
    let from = tokio::time::Instant::now();
    assert_eq!(bare.read().await, (MessageType::Update, vec![0; 4]), "End-of-RIB");
    let waited = from.elapsed();
    assert!(waited >= std::time::Duration::from_millis(250), "{waited:?}");
}

// req: !T5
#[tokio::test]
async fn a_source_address_or_device_that_is_not_here_is_an_error_in_words() {
    let (collector, _events) = mk_collector(|_| {});
    let (speaker, _states) = mk_speaker(1, &[]);
    let mut peer = mk_dialler(&collector);
    peer.local_address = Some("203.0.113.77".parse().unwrap());
    speaker.set_peer("address".into(), peer.clone());
    peer.local_address = None;
    peer.bind_device = Some("nosuchdevice".to_owned());
    speaker.set_peer("device".into(), peer);
    let step = ["binding to the source address", "binding to the interface or VRF"];
    for (name, step) in ["address", "device"].into_iter().zip(step) {
        let down = snapshot_until(&speaker, name, "an error", |s| s.last_error.is_some()).await;
        let error = down.last_error.unwrap().to_string();
        assert!(error.starts_with(&format!("no connection: {step}: ")), "{error}");
        assert!(error.contains("(os error "), "{error}");
        assert_eq!((down.counters.established, down.counters.opens_sent), (0, 0));
    }
}

// req: !T8
#[tokio::test]
async fn a_link_local_peer_without_an_interface_is_an_error_in_words() {
    let (speaker, _states) = mk_speaker(1, &[]);
    speaker.set_peer("router".into(), mk_peer("[fe80::1]:179".parse().unwrap(), 64513, 64512));
    let down = snapshot_until(&speaker, "router", "an error", |s| s.last_error.is_some()).await;
    let error = down.last_error.unwrap().to_string();
    assert!(error.starts_with("no connection: connecting: ") && error.contains("(os error "), "{error}");
}

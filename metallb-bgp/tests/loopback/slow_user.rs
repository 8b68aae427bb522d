//! Users who do not take the events.

use std::collections::BTreeMap;

use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::{EventReceiver, ListenRange, Speaker, SpeakerConfig};
use metallb_bgp::session::{Event, PeerConfig, PeerSnapshot};
use metallb_bgp::types::{Asn, Family, HoldTime, RemoteAs};
use metallb_bgp::wire::header::{MessageLimit, MessageType};
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::notification::Notification;
use metallb_bgp::wire::pack::encode_end_of_rib;
use tokio::net::{TcpListener, TcpSocket};

use crate::bare::Bare;
use crate::support::{Routes, mk_id, mk_peer, prefix, snapshot_until, up};

/// A speaker with room for four events that dials peers of this hold time, each of them established.
async fn mk_few(
    hold_time: u16,
    names: &[&str],
    change: impl Fn(&str, &mut PeerConfig),
) -> (Speaker, EventReceiver, Vec<Bare>) {
    let mut config = SpeakerConfig::new(mk_id(1));
    config.event_capacity = 4;
    let (speaker, events) = Speaker::start(config).unwrap();
    let mut peers = Vec::new();
    for name in names {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = mk_peer(listener.local_addr().unwrap(), 64513, 64512);
        peer.local_address = Some("127.0.0.2".parse().unwrap());
        peer.hold_time = HoldTime::from_secs(hold_time).unwrap();
        change(name, &mut peer);
        speaker.set_peer((*name).into(), peer);
        peers.push(Bare::establish(&listener, hold_time).await);
    }
    (speaker, events, peers)
}

/// A route to the n-th address, as an UPDATE.
fn mk_route(n: u16) -> Vec<u8> {
    let attributes =
        [&[0x40, 1, 1, 0][..], &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x00], &[0x40, 3, 4, 192, 0, 2, 1]].concat();
    let [high, low] = n.to_be_bytes();
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&u16::try_from(23 + attributes.len() + 5).unwrap().to_be_bytes());
    message.extend_from_slice(&[2, 0, 0, 0, u8::try_from(attributes.len()).unwrap()]);
    message.extend_from_slice(&attributes);
    message.extend_from_slice(&[32, 10, 0, high, low]);
    message
}

fn mk_routes(numbers: std::ops::Range<u16>) -> Vec<u8> {
    numbers.flat_map(mk_route).collect()
}

fn mk_keepalive() -> Vec<u8> {
    let mut out = Vec::new();
    keepalive::encode(&mut out);
    out
}

const fn any(_: &PeerSnapshot) -> bool {
    true
}

// req: H5, F9
#[tokio::test]
async fn a_user_who_takes_nothing_does_not_end_the_session_of_a_peer_that_lives() {
    let (speaker, mut events, mut peers) = mk_few(3, &["router"], |_, peer| peer.import = true).await;
    let mut bare = peers.remove(0);
    // Eight of our KEEPALIVEs are at least six seconds: twice the hold time.
    let mut sent = 0;
    for _ in 0..8 {
        bare.write(&mk_routes(sent..sent + 100)).await;
        bare.write(&mk_keepalive()).await;
        sent += 100;
        assert_eq!(bare.read().await.0, MessageType::Keepalive);
    }
    let snapshot = snapshot_until(&speaker, "router", "snapshot", any).await;
    assert_eq!((snapshot.state, snapshot.counters.established), (State::Established, 1));
    assert!(snapshot.counters.updates_received < 800, "the rest waits in the socket");
    let mut routes = Routes::default();
    routes.until(&mut events, "every route", |r| r.held.len() == 800).await;
    // From now on silence is silence.
    assert_eq!(bare.notification().await, Notification::new(4, 0));
}

/// Takes what a user finds who comes late: how many events with routes there are before the session's end.
async fn left(events: &mut EventReceiver) -> usize {
    let mut left = 0;
    loop {
        match events.recv().await.unwrap() {
            Event::Received { .. } => left += 1,
            Event::StateChanged { reason: Some(_), .. } => return left,
            _ => {}
        }
    }
}

// req: H5
#[tokio::test]
async fn what_a_peer_said_last_is_seen_behind_routes_that_nobody_takes() {
    for said in [true, false] {
        let (speaker, mut events, mut peers) = mk_few(90, &["router"], |_, peer| peer.import = true).await;
        let mut bare = peers.remove(0);
        // More than is read at a time, but not more than the socket holds.
        bare.write(&mk_routes(0..2500)).await;
        if said {
            let mut last = Vec::new();
            Notification::cease(4).encode(MessageLimit::Standard, &mut last);
            bare.write(&last).await;
        }
        drop(bare);
        let over = |s: &PeerSnapshot| s.last_error.is_some();
        let snapshot = snapshot_until(&speaker, "router", "the end", over).await;
        let reason = snapshot.last_error.unwrap().to_string();
        let wanted =
            if said { "received Cease/Administrative Reset (6/4)" } else { "the peer closed the connection" };
        assert!(reason.starts_with(wanted), "{reason}");
        assert!(left(&mut events).await <= 4, "no more than were in the channel already");
    }
}

// req: !H5
#[tokio::test]
async fn a_peer_that_leaves_while_its_socket_is_full_is_seen_with_the_next_keepalive() {
    let (speaker, mut events, mut peers) = mk_few(3, &["router"], |_, peer| peer.import = true).await;
    let mut bare = peers.remove(0);
    bare.write(&mk_routes(0..20_000)).await;
    drop(bare);
    let over = |s: &PeerSnapshot| s.last_error.is_some();
    let snapshot = snapshot_until(&speaker, "router", "the end", over).await;
    let reason = snapshot.last_error.unwrap().to_string();
    assert!(reason.starts_with("the connection failed: "), "{reason}");
    assert!(left(&mut events).await <= 4, "no more than were in the channel already");
}

// req: H5
#[tokio::test]
async fn routes_that_nobody_takes_hold_back_their_own_peer_only() {
    let import = |name: &str, peer: &mut PeerConfig| peer.import = name != "plain";
    let (speaker, _events, mut peers) = mk_few(90, &["full", "other", "plain"], import).await;
    for bare in &mut peers {
        bare.write(&mk_routes(0..5000)).await;
        snapshot_until(&speaker, "full", "routes", |s| s.counters.updates_received > 0).await;
    }
    snapshot_until(&speaker, "other", "a first read", |s| s.counters.updates_received > 0).await;
    snapshot_until(&speaker, "plain", "everything", |s| s.counters.updates_received == 5000).await;
    let full = snapshot_until(&speaker, "full", "snapshot", any).await;
    assert!(full.counters.updates_received < 5000);
}

// req: !H5
#[tokio::test]
async fn a_flood_of_end_of_rib_is_one_event() {
    for import in [true, false] {
        let (speaker, mut events, mut peers) = mk_few(90, &["router"], |_, peer| peer.import = import).await;
        let mut bare = peers.remove(0);
        let mut flood = Vec::new();
        for _ in 0..2000 {
            encode_end_of_rib(Family::Ipv4Unicast, &mut flood);
        }
        bare.write(&flood).await;
        let read = |s: &PeerSnapshot| s.counters.updates_received == 2000;
        snapshot_until(&speaker, "router", "everything read", read).await;
        drop(bare);
        let mut ends = 0;
        loop {
            match events.recv().await.unwrap() {
                Event::EndOfRib { .. } => ends += 1,
                Event::StateChanged { reason: Some(_), .. } => break,
                _ => {}
            }
        }
        assert_eq!(ends, 1);
    }
}

// req: !H5
#[tokio::test]
async fn peers_from_ever_new_addresses_do_not_fill_the_memory_of_a_user_who_takes_nothing() {
    let mut config = SpeakerConfig::new(mk_id(200));
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.event_capacity = 4;
    let (collector, mut events) = Speaker::start(config).unwrap();
    let template = PeerConfig::new("127.0.0.1:0".parse().unwrap(), Asn::new(64512), RemoteAs::Any, 0);
    collector.set_listen_range("nodes".into(), ListenRange::new(prefix("127.0.0.0/8"), template));
    for host in 1..=50 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("127.0.1.{host}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(collector.listening()[0]).await.unwrap();
        let bare = Bare::establish_with(stream, 90, Vec::new()).await;
        let name = format!("nodes/127.0.1.{host}");
        snapshot_until(&collector, &name, "established", up).await;
        drop(bare);
        while !collector.snapshot().await.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    assert!(collector.dropped_events().await >= 40, "the last state of each that nobody was told of");
    // The events are in order: whatever comes comes before those of a peer that is new.
    collector.set_peer("last".into(), mk_peer("192.0.2.1:179".parse().unwrap(), 64512, 64513));
    let mut states = BTreeMap::new();
    loop {
        match events.recv().await.unwrap() {
            event if event.peer().as_str() == "last" => break,
            Event::StateChanged { peer, state, .. } => states.insert(peer, state),
            _ => None,
        };
    }
    let told = 1..=4;
    assert!(told.contains(&states.len()), "{states:?}");
    assert!(states.values().all(|state| *state < State::Established), "{states:?}");
}

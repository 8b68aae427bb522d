//! Peers that are known by where they come from, and the names they get.

use metallb_bgp::fsm::State;
use metallb_bgp::wire::notification::Notification;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::bare::Bare;
use crate::mk_collector;
use crate::support::{mk_peer, snapshot_until, up};

/// The name that a peer from 127.0.0.1 gets.
const NAME: &str = "nodes/127.0.0.1";

#[tokio::test]
async fn a_peer_of_a_range_does_not_take_the_name_of_a_configured_one() {
    let (collector, _events) = mk_collector(|_| {});
    let mut peer = mk_peer("203.0.113.1:179".parse().unwrap(), 64512, 64513);
    peer.passive = true;
    collector.set_peer(NAME.into(), peer.clone());
    let before = snapshot_until(&collector, NAME, "configured", |_| true).await;
    let mut stream = TcpStream::connect(collector.listening()[0]).await.unwrap();
    let mut said = Vec::new();
    let end = stream.read_to_end(&mut said).await;
    assert!(end.map_or(true, |count| count == 0), "not even an OPEN");
    let after = snapshot_until(&collector, NAME, "as before", |_| true).await;
    assert_eq!((after.remote, after.since), (peer.remote, before.since));
    assert_eq!(collector.snapshot().await.len(), 1);
}

#[tokio::test]
async fn a_configured_peer_takes_its_name_from_one_of_a_range_and_stays() {
    let (collector, _events) = mk_collector(|_| {});
    let stream = TcpStream::connect(collector.listening()[0]).await.unwrap();
    let bare = Bare::establish_with(stream, 90, Vec::new()).await;
    snapshot_until(&collector, NAME, "established", up).await;
    let mut peer = mk_peer("203.0.113.1:179".parse().unwrap(), 64512, 64513);
    peer.passive = true;
    collector.set_peer(NAME.into(), peer.clone());
    assert_eq!(bare.notification().await, Notification::cease(6));
    let after = snapshot_until(&collector, NAME, "configured", |_| true).await;
    assert_eq!((after.remote, after.state), (peer.remote, State::Active));
}

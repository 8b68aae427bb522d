//! Restarts: what is said before and after.

use metallb_bgp::io::tokio::{Shutdown, Speaker};
use metallb_bgp::session::{GracefulRestart, PeerKey, StopReason};
use metallb_bgp::table::{Announcement, RouteAttributes};
use metallb_bgp::types::Family;
use metallb_bgp::wire::capability::{Capability, GracefulFamily, GracefulRestart as Offer};
use metallb_bgp::wire::header::MessageType;
use metallb_bgp::wire::notification::Notification;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::bare::Bare;
use crate::mk_collector;
use crate::support::{PATIENCE, mk_peer, mk_speaker, prefix};

/// Graceful restart as a router offers it.
fn graceful() -> Capability {
    let family = GracefulFamily { family: Family::Ipv4Unicast.afi_safi(), forwarding: true };
    let (restarting, notification, restart_time) = (false, true, 120);
    Capability::GracefulRestart(Offer { restarting, notification, restart_time, families: vec![family] })
}

/// Whether an OPEN says that the speaker has just started.
fn says_restarting(bare: &Bare) -> Option<bool> {
    let graceful = |capability: &Capability| match capability {
        Capability::GracefulRestart(graceful) => Some(graceful.restarting),
        _ => None,
    };
    bare.1.as_ref().unwrap().capabilities.iter().find_map(graceful)
}

/// Ends the connection and waits until the speaker has let go of the peer.
async fn leave(bare: Bare, speaker: &Speaker) {
    drop(bare);
    let wait = async {
        while !speaker.snapshot().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

// req: G2
#[tokio::test]
async fn a_peer_of_a_range_that_comes_back_is_not_told_of_a_restart_again() {
    let (collector, _events) = mk_collector(|template| {
        template.graceful_restart = Some(GracefulRestart::default());
    });
    let mut told = Vec::new();
    for complete in [false, true, true, true] {
        if complete {
            collector.table_complete();
        }
        let stream = TcpStream::connect(collector.listening()[0]).await.unwrap();
        let mut bare = Bare::establish_with(stream, 90, vec![graceful()]).await;
        told.push(says_restarting(&bare).unwrap());
        if complete {
            assert_eq!(bare.read().await, (MessageType::Update, vec![0; 4]), "End-of-RIB");
        }
        leave(bare, &collector).await;
    }
    assert_eq!(told, [true, true, false, false]);
}

// req: !G2
#[tokio::test]
async fn a_peer_that_is_removed_and_added_again_is_not_told_of_a_restart_again() {
    let (speaker, _events) = mk_speaker(1, &[]);
    speaker.table_complete();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = mk_peer(listener.local_addr().unwrap(), 64513, 64512);
    config.graceful_restart = Some(GracefulRestart::default());
    let mut told = Vec::new();
    for _ in 0..2 {
        speaker.set_peer("router".into(), config.clone());
        let mut bare = Bare::establish(&listener, 90).await;
        assert_eq!(bare.read().await, (MessageType::Update, vec![0; 4]), "End-of-RIB");
        told.push(says_restarting(&bare).unwrap());
        speaker.remove_peer(&"router".into(), StopReason::Deconfigured);
        assert_eq!(bare.notification().await, Notification::cease(3));
    }
    assert_eq!(told, [true, false]);
}

// req: G4, !G4, G5, T6
#[tokio::test]
async fn a_graceful_shutdown_treats_each_peer_as_it_was_agreed() {
    let (speaker, _events) = mk_speaker(1, &[]);
    let peers: Vec<PeerKey> = vec!["with".into(), "without".into()];
    let route = Announcement { peers: peers.iter().cloned().collect(), attributes: RouteAttributes::new() };
    speaker.set_prefix(prefix("192.0.2.7/32"), vec![route]);
    speaker.table_complete();
    let mut bares = Vec::new();
    for (peer, offer) in peers.into_iter().zip([vec![graceful()], Vec::new()]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = mk_peer(listener.local_addr().unwrap(), 64513, 64512);
        config.local_address = Some("127.0.0.2".parse().unwrap());
        config.graceful_restart = Some(GracefulRestart::default());
        speaker.set_peer(peer, config);
        let mut bare = Bare::establish_with(listener.accept().await.unwrap().0, 90, offer).await;
        assert_eq!(bare.read().await.0, MessageType::Update, "the route");
        assert_eq!(bare.read().await, (MessageType::Update, vec![0; 4]), "End-of-RIB");
        bares.push(bare);
    }
    let (mut without, mut with) = (bares.pop().unwrap(), bares.pop().unwrap());
    let shutdown = speaker.shutdown(Shutdown::Graceful { text: "upgrade".to_owned() });
    let told = async {
        let withdrawal = [&[0, 5, 32, 192, 0, 2, 7][..], &[0, 0]].concat();
        assert_eq!(without.read().await, (MessageType::Update, withdrawal));
        assert_eq!(without.notification().await, Notification::cease_with_text(2, "upgrade"));
        let mut rest = Vec::new();
        with.0.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [0; 0], "neither a withdrawal nor a NOTIFICATION");
    };
    tokio::join!(shutdown, told);
}

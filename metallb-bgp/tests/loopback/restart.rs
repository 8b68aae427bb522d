//! Restarts: what is said before and after.

use metallb_bgp::io::tokio::Shutdown;
use metallb_bgp::session::{GracefulRestart, PeerKey};
use metallb_bgp::table::{Announcement, RouteAttributes};
use metallb_bgp::types::Family;
use metallb_bgp::wire::capability::{Capability, GracefulFamily, GracefulRestart as Offer};
use metallb_bgp::wire::header::MessageType;
use metallb_bgp::wire::notification::Notification;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::bare::Bare;
use crate::support::{mk_peer, mk_speaker, prefix};

/// Graceful restart as a router offers it.
fn graceful() -> Capability {
    let family = GracefulFamily { family: Family::Ipv4Unicast.afi_safi(), forwarding: true };
    let (restarting, notification, restart_time) = (false, true, 120);
    Capability::GracefulRestart(Offer { restarting, notification, restart_time, families: vec![family] })
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

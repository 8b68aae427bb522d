//! The thread of BFD ends although nobody asked it to. A program of its own: it takes the file descriptors away.
#![cfg(all(feature = "tokio", target_os = "linux"))]

use std::time::Duration;

use metallb_bgp::bfd::Profile;
use metallb_bgp::io::tokio::{Speaker, SpeakerConfig};
use metallb_bgp::session::{PeerBfd, PeerConfig};
use metallb_bgp::types::{Asn, RemoteAs, RouterId};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[tokio::test]
async fn a_speaker_whose_bfd_has_ended_ends_so_that_its_program_notices() {
    let identifier = RouterId::new("192.0.2.1".parse().unwrap()).unwrap();
    let (speaker, mut events) = Speaker::start(SpeakerConfig::new(identifier)).unwrap();
    let remote = "127.0.0.1:1".parse().unwrap();
    let mut peer = PeerConfig::new(remote, Asn::new(64512), RemoteAs::Asn(Asn::new(64513)), 0);
    let interval = Duration::from_millis(50);
    peer.bfd = Some(PeerBfd::new(Profile::new(interval, interval, 3).unwrap()));
    speaker.set_peer("router".into(), peer);
    let ended = async {
        while speaker.bfd_snapshot().await.sessions.is_empty() {
            tokio::task::yield_now().await;
        }
        // More descriptors than may be open cannot be waited for (EINVAL of ppoll).
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
        while events.recv().await.is_some() {}
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
}

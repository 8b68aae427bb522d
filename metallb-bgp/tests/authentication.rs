//! Keys and TTLs of TCP connections, over loopback sockets.
//!
//! TCP-AO needs a kernel built with it; where there is none, the tests see that nothing is let through, and say so.
#![cfg(all(feature = "tokio", target_os = "linux"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::{EventReceiver, ListenRange, Speaker, probe_tcp_ao};
use metallb_bgp::session::{
    AoAlgorithm, AoKey, AoKeys, Authentication, AuthenticationError, CloseReason, Md5Key, OfferedFamilies,
    PeerConfig, PeerSnapshot, TtlPolicy,
};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Asn, HoldTime, RemoteAs};
use metallb_bgp::wire::{keepalive, open::Open};
use tokio::io::AsyncReadExt;

use support::{Routes, mk_peer, mk_speaker, prefix, snapshot_until, to, up};

fn md5(key: &str) -> Authentication {
    Authentication::Md5(Md5Key::new(key).unwrap())
}

fn ao_key(id: u8, algorithm: AoAlgorithm) -> AoKey {
    AoKey::new(id, id, algorithm, format!("secret of key {id}")).unwrap()
}

/// Keys with these ids, the first one preferred.
fn ao(ids: &[u8]) -> Authentication {
    let mut keys = ids.iter().map(|id| {
        let algorithm = if id % 2 == 0 { AoAlgorithm::Aes128Cmac } else { AoAlgorithm::HmacSha1 };
        ao_key(*id, algorithm)
    });
    let preferred = keys.next().unwrap();
    Authentication::Ao(AoKeys::new(preferred, keys).unwrap())
}

fn lasts(error: AuthenticationError) -> impl Fn(&PeerSnapshot) -> bool {
    move |snapshot| snapshot.last_error == Some(CloseReason::Unauthenticated(error))
}

/// Whether the kernel has TCP-AO; says so if it has not.
fn has_ao() -> bool {
    match probe_tcp_ao() {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error, AuthenticationError::AoUnsupported);
            eprintln!("no TCP-AO session was tried: {error}");
            false
        }
    }
}

/// A collector that knows a range of peers by their keys.
fn mk_collector(authentication: &Authentication) -> (Speaker, EventReceiver) {
    let (collector, events) = mk_speaker(200, &["127.0.0.1:0", "[::1]:0"]);
    set_range(&collector, authentication);
    (collector, events)
}

fn set_range(collector: &Speaker, authentication: &Authentication) {
    for (name, hosts) in [("v4", "127.0.0.0/8"), ("v6", "::1/128")] {
        let mut template = PeerConfig::new("127.0.0.1:0".parse().unwrap(), Asn::new(64512), RemoteAs::Any, 0);
        template.import = true;
        template.families = OfferedFamilies::Both;
        template.authentication = authentication.clone();
        collector.set_listen_range(name.into(), ListenRange::new(prefix(hosts), template));
    }
}

fn mk_dialler(remote: SocketAddr, authentication: Authentication) -> PeerConfig {
    let mut peer = mk_peer(remote, 64513, 64512);
    peer.families = OfferedFamilies::Both;
    peer.connect_time = Some(Duration::from_secs(1));
    peer.authentication = authentication;
    peer
}

/// As [`mk_dialler`], with routes: over IPv4 from an address of its own, as a next hop is never that of the peer.
fn mk_announcer(remote: SocketAddr, authentication: Authentication) -> PeerConfig {
    let mut peer = mk_dialler(remote, authentication);
    peer.local_address = remote.is_ipv4().then(|| "127.0.0.2".parse().unwrap());
    peer
}

/// A collector with one configured peer, which is the other end of a listening speaker.
fn mk_passive(remote: &str, authentication: Authentication) -> (Speaker, EventReceiver) {
    let (collector, events) = mk_speaker(200, &["127.0.0.1:0"]);
    collector.set_peer("node".into(), mk_node(remote, authentication));
    (collector, events)
}

/// A peer that is waited for.
fn mk_node(remote: &str, authentication: Authentication) -> PeerConfig {
    let mut node = mk_peer(remote.parse().unwrap(), 64512, 64513);
    node.passive = true;
    node.authentication = authentication;
    node
}

// req: T1, !T1
#[tokio::test]
async fn a_peer_given_in_mapped_form_needs_its_key() {
    let (collector, _events) = mk_passive("[::ffff:127.0.0.1]:179", md5("s3cret"));
    let (speaker, _states) = mk_speaker(1, &[]);
    let remote = collector.listening()[0];
    speaker.set_peer("router".into(), mk_dialler(remote, Authentication::None));
    // The kernel drops what comes without the key: nobody answers.
    snapshot_until(&collector, "node", "a snapshot", |_| true).await;
    let attempt = tokio::time::timeout(Duration::from_secs(2), tokio::net::TcpStream::connect(remote));
    assert!(attempt.await.is_err(), "no connection without the key");
    let unanswered = snapshot_until(&speaker, "router", "an attempt", |_| true).await;
    assert_eq!(unanswered.counters.opens_sent, 0);
    // Both ways to write the address are the same host when dialling, too.
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), remote.port());
    speaker.set_peer("router".into(), mk_dialler(mapped, md5("s3cret")));
    snapshot_until(&speaker, "router", "established", up).await;
}

// req: !T1
#[tokio::test]
async fn a_peer_whose_key_the_listener_cannot_tell_from_anothers_is_refused() {
    let (collector, _events) = mk_speaker(200, &["127.0.0.1:0"]);
    let remote = collector.listening()[0];
    collector.set_peer("z-other".into(), mk_node("127.0.0.1:1", md5("other")));
    collector.set_peer("node".into(), mk_node("127.0.0.1:2", md5("s3cret")));
    let (speaker, _states) = mk_speaker(1, &[]);
    // It knows the other one's key, which opens the listener, but the peer that it is taken for has its own.
    speaker.set_peer("router".into(), mk_dialler(remote, md5("other")));
    snapshot_until(&collector, "node", "refused", lasts(AuthenticationError::Conflict)).await;
    assert_eq!(snapshot_until(&collector, "node", "still", |_| true).await.counters.established, 0);
    collector.remove_peer(&"z-other".into(), metallb_bgp::session::StopReason::Deconfigured);
    speaker.set_peer("router".into(), mk_dialler(remote, md5("s3cret")));
    snapshot_until(&collector, "node", "established", up).await;
}

// req: T1
#[tokio::test]
async fn two_peers_of_one_host_are_dialled_with_a_key_each() {
    let (speaker, _states) = mk_speaker(1, &[]);
    let mut routers = Vec::new();
    for name in ["first", "second"] {
        let router = mk_collector(&md5(name));
        speaker.set_peer(name.into(), mk_dialler(router.0.listening()[0], md5(name)));
        routers.push(router);
    }
    for name in ["first", "second"] {
        snapshot_until(&speaker, name, "established", up).await;
    }
}

// req: T1, !T1
#[tokio::test]
async fn a_changed_key_of_a_range_ends_its_sessions_and_lets_new_ones_in() {
    let (collector, _events) = mk_collector(&md5("old"));
    let (speaker, _states) = mk_speaker(1, &[]);
    let remote = collector.listening()[0];
    speaker.set_peer("router".into(), mk_dialler(remote, md5("old")));
    snapshot_until(&speaker, "router", "established", up).await;
    set_range(&collector, &md5("new"));
    let down = snapshot_until(&speaker, "router", "ended", |s| !up(s) && s.last_error.is_some()).await;
    let reason = down.last_error.unwrap().to_string();
    assert!(reason.contains("Other Configuration Change (6/6)"), "{reason}");
    speaker.set_peer("router".into(), mk_dialler(remote, md5("new")));
    snapshot_until(&speaker, "router", "established", up).await;
}

// req: !T1
#[tokio::test]
async fn a_connection_that_waited_while_the_key_was_set_is_not_taken_for_authenticated() {
    let (collector, _events) = mk_speaker(200, &["127.0.0.1:0"]);
    snapshot_of_all(&collector).await;
    // The kernel has it complete, the speaker has not looked yet.
    let early = std::net::TcpStream::connect(collector.listening()[0]).unwrap();
    collector.set_peer("node".into(), mk_node("127.0.0.1:1", md5("s3cret")));
    early.set_nonblocking(true).unwrap();
    let mut early = tokio::net::TcpStream::from_std(early).unwrap();
    let mut said = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), early.read_to_end(&mut said)).await;
    assert!(end.is_ok() && said.is_empty(), "it is closed without a word: {end:?} {said:?}");
}

async fn snapshot_of_all(speaker: &Speaker) {
    speaker.snapshot().await;
}

// req: T3, !T3
#[tokio::test]
async fn a_listener_reads_nothing_from_beyond_the_hops_that_are_allowed() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (collector, _events) = mk_speaker(200, &[address]);
        let remote = collector.listening()[0];
        let mut node = mk_peer(SocketAddr::new(remote.ip(), 1), 64512, 64513);
        node.passive = true;
        node.ttl = TtlPolicy::Gtsm { hops: 1 };
        collector.set_peer("node".into(), node);
        snapshot_of_all(&collector).await;
        // All that a session needs from the peer, there before the listener can set any option.
        let mut said = Vec::new();
        let id = support::mk_id(9);
        Open::new(Asn::new(64513), HoldTime::DEFAULT, id, Vec::new()).encode(&mut said).unwrap();
        keepalive::encode(&mut said);
        let mut far = std::net::TcpStream::connect(remote).unwrap();
        std::io::Write::write_all(&mut far, &said).unwrap();
        far.set_nonblocking(true).unwrap();
        let mut far = tokio::net::TcpStream::from_std(far).unwrap();
        let mut answer = Vec::new();
        // A reset is as good as a close.
        let _ = tokio::time::timeout(Duration::from_secs(5), far.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
        let node = snapshot_until(&collector, "node", "a snapshot", |_| true).await;
        assert_eq!((node.counters.opens_received, node.counters.established), (0, 0));
        // One that keeps to it gets through.
        let (speaker, _states) = mk_speaker(1, &[]);
        let mut near = mk_dialler(remote, Authentication::None);
        near.ttl = TtlPolicy::Gtsm { hops: 1 };
        speaker.set_peer("router".into(), near);
        snapshot_until(&speaker, "router", "established", up).await;
    }
}

// req: !T2
#[tokio::test]
async fn without_tcp_ao_in_the_kernel_there_is_no_session() {
    if probe_tcp_ao().is_ok() {
        eprintln!("this kernel has TCP-AO: nothing to see here");
        return;
    }
    let unsupported = AuthenticationError::AoUnsupported;
    let (collector, _events) = mk_speaker(200, &["127.0.0.1:0"]);
    let remote = collector.listening()[0];
    collector.set_peer("node".into(), mk_node("127.0.0.1:1", ao(&[1])));
    let (speaker, _states) = mk_speaker(1, &[]);
    speaker.set_peer("router".into(), mk_dialler(remote, ao(&[1])));
    let refused = snapshot_until(&speaker, "router", "refused", lasts(unsupported)).await;
    assert_eq!(refused.counters.opens_sent, 0, "not a word without the keys");
    assert!(refused.last_error.unwrap().to_string().contains("this kernel has no TCP-AO"));
    // The listener could not be given the keys: who comes without is turned away.
    speaker.set_peer("router".into(), mk_dialler(remote, Authentication::None));
    let refused = snapshot_until(&collector, "node", "refused", lasts(unsupported)).await;
    assert_eq!((refused.counters.opens_sent, refused.state), (0, State::Active));
    // Nor does a range let anybody in.
    set_range(&collector, &ao(&[1]));
    collector.remove_peer(&"node".into(), metallb_bgp::session::StopReason::Deconfigured);
    let attempts = snapshot_until(&speaker, "router", "a snapshot", |_| true).await.counters.connect_attempts;
    let again = |s: &PeerSnapshot| s.counters.connect_attempts > attempts + 1;
    let turned_away = snapshot_until(&speaker, "router", "two more attempts", again).await;
    assert_eq!(turned_away.counters.established, 0);
    assert!(collector.snapshot().await.is_empty());
}

// req: T2, !T2
#[tokio::test]
async fn a_session_with_tcp_ao_needs_the_same_keys_at_both_ends() {
    if !has_ao() {
        return;
    }
    for listener in [0, 1] {
        for ids in [&[1_u8] as &[u8], &[2], &[1, 2]] {
            let (collector, mut events) = mk_collector(&ao(ids));
            let remote = collector.listening()[listener];
            let (speaker, _states) = mk_speaker(1, &[]);
            speaker.set_prefix(prefix("192.0.2.7/32"), to("router", RouteAttributes::new()));
            let mut attempts = 0;
            for other in [Authentication::None, ao(&[3])] {
                speaker.set_peer("router".into(), mk_announcer(remote, other));
                let next = |s: &PeerSnapshot| s.counters.connect_attempts > attempts + 1;
                let closed = snapshot_until(&speaker, "router", "unanswered attempts", next).await;
                assert_eq!(closed.counters.opens_sent, 0, "neither without a key nor with another one");
                attempts = closed.counters.connect_attempts;
            }
            speaker.set_peer("router".into(), mk_announcer(remote, ao(ids)));
            let mut routes = Routes::default();
            if listener == 0 {
                routes.until(&mut events, "the route", |r| r.held.len() == 1).await;
            }
            snapshot_until(&speaker, "router", "established", up).await;
        }
    }
}

// req: !T2
#[tokio::test]
async fn a_peer_with_md5_inside_a_range_with_tcp_ao_is_refused() {
    if !has_ao() {
        return;
    }
    let (collector, _events) = mk_collector(&ao(&[1]));
    let remote = collector.listening()[0];
    collector.set_peer("node".into(), mk_node("127.0.0.2:1", md5("s3cret")));
    let (speaker, _states) = mk_speaker(1, &[]);
    // The range's key opens the listener, but the connection is for a peer that has another.
    speaker.set_peer("router".into(), mk_announcer(remote, ao(&[1])));
    let errno = nix::errno::Errno::EKEYREJECTED as i32;
    let refused = lasts(AuthenticationError::Refused { errno });
    let refused = snapshot_until(&collector, "node", "refused", refused).await;
    assert_eq!((refused.counters.opens_sent, refused.counters.established), (0, 0));
}

// req: T2
#[tokio::test]
async fn tcp_ao_keys_roll_over_while_the_session_goes_on() {
    if !has_ao() {
        return;
    }
    let (collector, mut events) = mk_collector(&ao(&[1]));
    let remote = collector.listening()[0];
    let (speaker, _states) = mk_speaker(1, &[]);
    speaker.set_peer("router".into(), mk_announcer(remote, ao(&[1])));
    snapshot_until(&speaker, "router", "established", up).await;
    let mut routes = Routes::default();
    // Added, preferred, the old one removed; then one for another at once.
    for (step, ids) in [&[1_u8, 2] as &[u8], &[2, 1], &[2], &[3]].into_iter().enumerate() {
        set_range(&collector, &ao(ids));
        speaker.set_peer("router".into(), mk_announcer(remote, ao(ids)));
        let host = format!("192.0.2.{step}/32");
        speaker.set_prefix(prefix(&host), to("router", RouteAttributes::new()));
        routes
            .until(&mut events, "a route under the new keys", |r| r.held.contains_key(&prefix(&host)))
            .await;
        let snapshot = snapshot_until(&speaker, "router", "a snapshot", up).await;
        assert_eq!(snapshot.counters.established, 1, "{ids:?}");
    }
    // An id that means something else than before cannot roll over: one reset, at both ends.
    let other = AoKey::new(3, 3, AoAlgorithm::HmacSha1, "another secret").unwrap();
    let other = Authentication::Ao(AoKeys::new(other, []).unwrap());
    set_range(&collector, &other);
    speaker.set_peer("router".into(), mk_announcer(remote, other));
    let again = |s: &PeerSnapshot| up(s) && s.counters.established == 2;
    snapshot_until(&speaker, "router", "established again", again).await;
}

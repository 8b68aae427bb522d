//! BFD with FRR and BIRD, over one hop and as over several, in both families.

use std::time::{Duration, Instant};

use metallb_bgp::bfd::wire::State as PathState;
use metallb_bgp::bfd::{Hops, PathSnapshot, Profile, SessionSnapshot};
use metallb_bgp::fsm::State;
use metallb_bgp::io::tokio::{EventReceiver, Shutdown, Speaker};
use metallb_bgp::session::{Event, PeerBfd, PeerConfig, TtlPolicy};
use metallb_bgp::types::Asn;

use crate::basics::{bird_config, frr_config, mk_router};
use crate::lab::{Lab, ROUTER, SPEAKER, eventually, router};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, snapshot_until, up};

const FRR_TOOLS: [&str; 8] = ["zebra", "bfdd", "bgpd", "vtysh", "nft", "ip", "nsenter", "setpriv"];
const BIRD_TOOLS: [&str; 5] = ["bird", "nft", "ip", "nsenter", "setpriv"];
/// 3 × 100 ms.
const DETECTION: Duration = Duration::from_millis(300);
/// A session this old is not made anew.
const LASTING: Duration = Duration::from_secs(1);
const FRR_PROFILE: &str = "bfd\n profile fast\n  transmit-interval 100\n  receive-interval 100\n  detect-multiplier 3\n exit\nexit\n";
const BIRD_INTERVALS: &str =
    "min rx interval 100 ms; min tx interval 100 ms; idle tx interval 1 s; multiplier 3;";

fn fast() -> Profile {
    Profile::new(Duration::from_millis(100), Duration::from_millis(100), 3).unwrap()
}

/// The router as a peer whose path is watched.
fn mk_watched(v6: bool, hops: Hops) -> PeerConfig {
    let mut peer = mk_router(router(v6), 64513);
    peer.bfd = Some(PeerBfd::new(fast()));
    if hops == Hops::Several {
        peer.ttl = TtlPolicy::Multihop(255);
    }
    peer
}

async fn path_until(speaker: &Speaker, what: &str, done: impl Fn(&PathSnapshot) -> bool) -> PathSnapshot {
    eventually(what, async || {
        let snapshot = speaker.bfd_snapshot().await;
        assert_eq!(snapshot.closed_ports, [], "{what}");
        snapshot.sessions.into_iter().next().filter(|path| done(path))
    })
    .await
}

fn path_is_up(path: &PathSnapshot) -> bool {
    path.session.state == PathState::Up && !path.session.polling
}

/// Waits until both sessions stay up. FRR makes its session over one hop anew once BGP is established, without saying
/// AdminDown: both may come and go until then.
async fn until_lasting(speaker: &Speaker) -> SessionSnapshot {
    eventually("sessions that last", async || {
        let bgp = speaker.snapshot().await.pop()?;
        let path = speaker.bfd_snapshot().await.sessions.pop()?;
        let ages = [bgp.since?, path.session.since].map(|since| since.elapsed());
        let agreed = path_is_up(&path) && path.session.detection_time == Some(DETECTION);
        (up(&bgp) && ages.iter().all(|age| *age > LASTING) && agreed).then_some(path.session)
    })
    .await
}

/// Drops everything that is for BFD, at the router.
fn cut(lab: &Lab) {
    lab.nft(
        "table inet cut {
  chain input { type filter hook input priority 0; udp dport { 3784, 4784 } drop; }
  chain output { type filter hook output priority 0; udp dport { 3784, 4784 } drop; }
}
",
    );
}

fn mend(lab: &Lab) {
    lab.nft("delete table inet cut\n");
}

/// How long it takes from `start` until the session ends because of BFD.
async fn until_cease(events: &mut EventReceiver, start: Instant) -> Duration {
    let ending = async {
        loop {
            if let Event::StateChanged { reason: Some(reason), .. } = events.recv().await.unwrap() {
                return reason.to_string();
            }
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(5), ending).await.unwrap();
    // Who is first says it: BIRD does without a subcode.
    assert!(reason.contains("6/10") || reason == "received Cease (6/0)", "{reason}");
    start.elapsed()
}

/// What every router has to do with us: the path comes up, a cut ends the session at once, and both come back.
async fn watch(lab: &Lab, name: &str, peer: PeerConfig, hops: Hops) -> (Speaker, EventReceiver) {
    let (speaker, mut events) = mk_speaker(2, &[]);
    speaker.set_peer("router".into(), peer);
    snapshot_until(&speaker, "router", "established", up).await;
    let path = path_until(&speaker, "BFD up", path_is_up).await;
    assert_eq!(path.path.hops, hops);
    let agreed = until_lasting(&speaker).await;
    assert_eq!(agreed.transmit_interval, DETECTION / 3);
    while events.try_recv().unwrap().is_some() {}
    let start = Instant::now();
    cut(lab);
    let took = until_cease(&mut events, start).await;
    eprintln!("{name}: a cut was seen after {took:?}");
    // With the time that nft takes; the exact one is proved in virtual time.
    assert!(took >= DETECTION * 2 / 3 && took < DETECTION * 4, "{took:?}");
    mend(lab);
    path_until(&speaker, "BFD up again", path_is_up).await;
    snapshot_until(&speaker, "router", "established again", up).await;
    (speaker, events)
}

/// FRR's side: its bgpd and its bfdd.
async fn start_frr(lab: &mut Lab, v6: bool, hops: Hops) -> (Frr, Frr) {
    let us = SPEAKER[usize::from(v6)];
    let far = if hops == Hops::Several { format!(" neighbor {us} ebgp-multihop 5\n") } else { String::new() };
    let more = format!(
        "{far} neighbor {us} update-source {}\n neighbor {us} bfd\n neighbor {us} bfd profile fast",
        ROUTER[usize::from(v6)]
    );
    Frr::start_with_bfd(lab, &format!("{}{FRR_PROFILE}", frr_config(us, 64513, &more))).await
}

fn frr(v6: bool, hops: Hops) {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        let (bgpd, bfdd) = start_frr(lab, v6, hops).await;
        let name = format!("FRR, IPv{}, {hops:?}", if v6 { 6 } else { 4 });
        let (speaker, _events) = watch(lab, &name, mk_watched(v6, hops), hops).await;
        bgpd.until_established(SPEAKER[usize::from(v6)]).await;
        speaker.shutdown(Shutdown::Cease { text: String::new() }).await;
        let peers = eventually("AdminDown at FRR", async || {
            let peers = bfdd.json("show bfd peers json");
            (peers[0]["remote-diagnostic"] == "administratively down").then_some(peers)
        })
        .await;
        assert_ne!(peers[0]["status"], "up");
    });
}

// req: B2, B3, B4, B7, B11, G8
#[test]
fn frr_watches_and_is_watched_over_one_hop() {
    frr(false, Hops::One);
    frr(true, Hops::One);
}

// req: B8
#[test]
fn frr_watches_and_is_watched_over_several_hops() {
    frr(false, Hops::Several);
    frr(true, Hops::Several);
}

fn bird(v6: bool, hops: Hops) {
    let Some(mut lab) = Lab::new(&BIRD_TOOLS) else { return };
    lab.run(async |lab| {
        let (us, them) = (SPEAKER[usize::from(v6)], ROUTER[usize::from(v6)]);
        let bfd = match hops {
            Hops::One => format!("protocol bfd {{ interface \"*\" {{ {BIRD_INTERVALS} }}; }}\n"),
            Hops::Several => format!("protocol bfd {{ multihop {{ {BIRD_INTERVALS} }}; }}\n"),
        };
        let node = bird_config(us, them, 64513, "bfd on;");
        let node = if hops == Hops::Several { node.replace("direct;", "multihop 5;") } else { node };
        let bird = Bird::start(lab, &format!("{bfd}{node}")).await;
        let name = format!("BIRD, IPv{}, {hops:?}", if v6 { 6 } else { 4 });
        let mut peer = mk_watched(v6, hops);
        // Over several hops BIRD sends with the TTL of the system.
        peer.bfd = Some(PeerBfd::new(fast().with_minimum_ttl(if hops == Hops::Several { 64 } else { 254 })));
        let (speaker, _events) = watch(lab, &name, peer, hops).await;
        eventually("up at BIRD", async || bird.ask("show bfd sessions").contains("Up").then_some(())).await;
        speaker.shutdown(Shutdown::Cease { text: String::new() }).await;
        eventually("not up at BIRD", async || (!bird.ask("show bfd sessions").contains("Up")).then_some(()))
            .await;
    });
}

// req: B2, B3, B4, B7
#[test]
fn bird_watches_and_is_watched_over_one_hop() {
    bird(false, Hops::One);
    bird(true, Hops::One);
}

// req: B8
#[test]
fn bird_watches_and_is_watched_over_several_hops() {
    bird(false, Hops::Several);
    bird(true, Hops::Several);
}

// req: B11
#[test]
fn a_link_that_takes_its_addresses_along_ends_an_internal_session_at_once() {
    let Some(mut lab) = Lab::new(&BIRD_TOOLS) else { return };
    lab.run(async |lab| {
        let bfd = format!("protocol bfd {{ interface \"*\" {{ {BIRD_INTERVALS} }}; }}\n");
        let node = bird_config(SPEAKER[1], ROUTER[1], 64512, "bfd on;");
        let _bird = Bird::start(lab, &format!("{bfd}{node}")).await;
        let (speaker, mut events) = mk_speaker(2, &[]);
        let mut peer = mk_watched(true, Hops::One);
        peer.local_asn = Asn::new(64512);
        speaker.set_peer("router".into(), peer);
        until_lasting(&speaker).await;
        while events.try_recv().unwrap().is_some() {}
        let start = Instant::now();
        lab.speaker_ip(&["link", "set", "vspeaker", "down"]).unwrap();
        let took = until_cease(&mut events, start).await;
        assert!(took < DETECTION * 4, "{took:?}");
    });
}

// req: B4, B11, !B11
#[test]
fn bfd_comes_and_changes_while_the_session_lives_and_goes() {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        let (_bgpd, bfdd) = start_frr(lab, false, Hops::One).await;
        let (speaker, mut events) = mk_speaker(2, &[]);
        let mut peer = mk_watched(false, Hops::One);
        peer.bfd = None;
        speaker.set_peer("router".into(), peer.clone());
        let before = snapshot_until(&speaker, "router", "established", up).await;
        while events.try_recv().unwrap().is_some() {}
        peer.bfd = Some(PeerBfd::new(fast()));
        speaker.set_peer("router".into(), peer.clone());
        path_until(&speaker, "BFD up", path_is_up).await;
        let slow = Profile::new(Duration::from_millis(400), Duration::from_millis(500), 5).unwrap();
        peer.bfd = Some(PeerBfd::new(slow));
        speaker.set_peer("router".into(), peer.clone());
        let agreed = |path: &PathSnapshot| {
            path_is_up(path) && path.session.detection_time == Some(Duration::from_millis(1500))
        };
        let path = path_until(&speaker, "other intervals", agreed).await;
        assert_eq!(path.session.transmit_interval, Duration::from_millis(400));
        assert_eq!(path.session.counters.down_events, 0);
        eventually("FRR agrees", async || {
            let peers = bfdd.json("show bfd peers json");
            (peers[0]["remote-transmit-interval"] == 400 && peers[0]["remote-detect-multiplier"] == 5)
                .then_some(())
        })
        .await;
        let after = snapshot_until(&speaker, "router", "established", up).await;
        assert_eq!(after.counters.established, before.counters.established);
        while let Some(event) = events.try_recv().unwrap() {
            assert!(!matches!(event, Event::StateChanged { .. }), "{event:?}");
        }
        // FRR 8.4 takes AdminDown for a path that failed, against RFC 5882 §4.2; the session comes back without BFD.
        let start = Instant::now();
        peer.bfd = None;
        speaker.set_peer("router".into(), peer);
        eventually("BFD gone", async || speaker.bfd_snapshot().await.sessions.is_empty().then_some(())).await;
        eventually("AdminDown at FRR", async || {
            let peers = bfdd.json("show bfd peers json");
            (peers[0]["remote-diagnostic"] == "administratively down").then_some(())
        })
        .await;
        until_cease(&mut events, start).await;
        snapshot_until(&speaker, "router", "established again", up).await;
    });
}

// req: !B11
#[test]
fn a_strict_session_waits_for_bfd_and_does_not_come_back_without_it() {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        let _frr = start_frr(lab, false, Hops::One).await;
        cut(lab);
        let (speaker, mut events) = mk_speaker(2, &[]);
        let mut peer = mk_watched(false, Hops::One);
        if let Some(bfd) = &mut peer.bfd {
            bfd.strict = true;
        }
        speaker.set_peer("router".into(), peer);
        path_until(&speaker, "some packets", |path| path.session.counters.packets_sent >= 2).await;
        let attempts = async || speaker.snapshot().await[0].counters.connect_attempts;
        assert_eq!(attempts().await, 0);
        mend(lab);
        until_lasting(&speaker).await;
        while events.try_recv().unwrap().is_some() {}
        cut(lab);
        until_cease(&mut events, Instant::now()).await;
        let sent = path_until(&speaker, "a path", |_| true).await.session.counters.packets_sent;
        let before = attempts().await;
        path_until(&speaker, "some packets", |path| path.session.counters.packets_sent >= sent + 2).await;
        assert_eq!(attempts().await, before);
        assert_eq!(speaker.snapshot().await[0].state, State::Idle);
        mend(lab);
        snapshot_until(&speaker, "router", "established again", up).await;
    });
}

//! Restarts that take longer than the restart time: routers keep the routes as a last resort.

use std::process::Child;
use std::time::Duration;

use metallb_bgp::session::{GracefulRestart, PeerConfig};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::Community;

use crate::basics::{bird_config, frr_config, mk_router};
use crate::lab::{Lab, eventually, router};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, prefix, snapshot_until, to};

const ROUTE: &str = "198.51.100.1/32";
/// Not to be kept that long.
const SHORT_LIVED: &str = "198.51.100.2/32";
const VARIABLE: &str = "METALLB_TEST_LONG_LIVED";

fn mk_peer() -> PeerConfig {
    let mut peer = mk_router(router(false), 64513);
    peer.graceful_restart = Some(GracefulRestart {
        restart_time: Duration::from_secs(2),
        long_lived_stale_time: Some(Duration::from_secs(20)),
        ..GracefulRestart::default()
    });
    peer
}

/// Starts a process of this very test program that announces the routes, so that it can be killed.
fn announce(lab: &Lab) -> Child {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "long_lived::announcing_process", "--ignored", "--nocapture"];
    lab.start_speaker(&program, &arguments, (VARIABLE, "1"))
}

fn kill(mut speaker: Child) {
    speaker.kill().unwrap();
    speaker.wait().unwrap();
}

#[test]
#[ignore = "other tests run it as a process of its own"]
fn announcing_process() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (speaker, mut events) = mk_speaker(2, &[]);
        let short = RouteAttributes::new().with_communities([Community::NO_LLGR]);
        speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
        speaker.set_prefix(prefix(SHORT_LIVED), to("router", short));
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_peer());
        while events.recv().await.is_some() {}
    });
}

// req: G9, !G9
#[test]
fn frr_marks_routes_of_a_long_restart_and_takes_them_back_afterwards() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config = frr_config("192.0.2.2", 64513, " bgp long-lived-graceful-restart stale-time 20\n");
        let frr = Frr::start(lab, &config).await;
        let communities = || frr.route(ROUTE)["community"]["string"].as_str().unwrap_or_default().to_owned();
        let speaker = announce(lab);
        eventually("the route", async || frr.route(ROUTE)["valid"].as_bool().filter(|valid| *valid)).await;
        let known = frr.route(SHORT_LIVED)["community"]["string"].clone();
        assert_eq!(known, "no-llgr", "FRR knows the community by name");
        kill(speaker);
        eventually("the route marked", async || communities().contains("llgr-stale").then_some(())).await;
        let gone = async || frr.route(SHORT_LIVED).is_null().then_some(());
        eventually("the other one gone with the restart time", gone).await;
        let speaker = announce(lab);
        let fresh = async || {
            let route = frr.route(ROUTE);
            let marked = communities().contains("llgr-stale") || route["stale"] == true;
            (route["valid"] == true && !marked).then_some(())
        };
        eventually("the route fresh again", fresh).await;
        kill(speaker);
    });
}

// req: G9, !G9
#[test]
fn bird_marks_routes_of_a_long_restart_and_takes_them_back_afterwards() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let more = "long lived graceful restart on; long lived stale time 20;";
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, more)).await;
        let speaker = announce(lab);
        eventually("the route", async || bird.has_route(ROUTE, &[])).await;
        eventually("the other one", async || bird.has_route(SHORT_LIVED, &["(65535,7)"])).await;
        kill(speaker);
        eventually("the route marked", async || bird.has_route(ROUTE, &["(65535,6)"])).await;
        let gone = async || bird.has_route(SHORT_LIVED, &[]).is_none().then_some(());
        eventually("the other one gone with the restart time", gone).await;
        let speaker = announce(lab);
        let fresh = async || {
            let all = bird.ask(&format!("show route {ROUTE} all"));
            (all.contains(ROUTE) && !all.contains("(65535,6)")).then_some(())
        };
        eventually("the route fresh again", fresh).await;
        kill(speaker);
    });
}

// req: G9, !G9
#[test]
fn routers_that_offer_the_long_lived_form_are_understood() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let config = frr_config("192.0.2.2", 64513, " bgp long-lived-graceful-restart stale-time 20\n");
        let _frr = Frr::start(lab, &config).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_peer("router".into(), mk_peer());
        let agreed = snapshot_until(&speaker, "router", "established", |s| s.negotiated.is_some()).await;
        let negotiated = agreed.negotiated.unwrap();
        assert!(negotiated.long_lived_graceful_restart);
        let words = "long-lived graceful restart (20 s)".to_owned();
        assert!(negotiated.peer_capabilities.contains(&words), "{:?}", negotiated.peer_capabilities);
        let mut peer = mk_peer();
        peer.graceful_restart = Some(GracefulRestart::default());
        speaker.set_peer("router".into(), peer);
        let again =
            |s: &metallb_bgp::session::PeerSnapshot| s.counters.established == 2 && s.negotiated.is_some();
        let without = snapshot_until(&speaker, "router", "established again", again).await;
        assert!(!without.negotiated.unwrap().long_lived_graceful_restart);
    });
}

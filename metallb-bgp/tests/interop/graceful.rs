//! Restarts of the speaker, seen from the router.

use std::process::Child;

use metallb_bgp::io::tokio::{EventReceiver, Shutdown, Speaker};
use metallb_bgp::session::GracefulRestart;
use metallb_bgp::table::RouteAttributes;
use serde_json::Value;

use crate::basics::{bird_config, frr_config, mk_router};
use crate::lab::{Lab, eventually, router};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, prefix, snapshot_until, to};

const ROUTE: &str = "198.51.100.1/32";

/// A speaker that announces all its routes, with graceful restart.
fn mk_restarting<'a>(routes: impl IntoIterator<Item = &'a str>) -> (Speaker, EventReceiver) {
    let (speaker, events) = mk_speaker(2, &[]);
    let mut peer = mk_router(router(false), 64513);
    peer.graceful_restart = Some(GracefulRestart::default());
    for route in routes {
        speaker.set_prefix(prefix(route), to("router", RouteAttributes::new()));
    }
    speaker.table_complete();
    speaker.set_peer("router".into(), peer);
    (speaker, events)
}

/// Starts a process of this very test program that announces routes, so that it can be killed.
pub(crate) fn announce(lab: &Lab, routes: &[&str]) -> Child {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "graceful::announcing_process", "--ignored", "--nocapture"];
    lab.start_speaker(&program, &arguments, (VARIABLE, &routes.join(",")))
}

pub(crate) fn kill(mut speaker: Child) {
    speaker.kill().unwrap();
    speaker.wait().unwrap();
}

const VARIABLE: &str = "METALLB_TEST_ANNOUNCE";

#[test]
#[ignore = "other tests run it as a process of its own"]
fn announcing_process() {
    let Some(routes) = std::env::var_os(VARIABLE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_speaker, mut events) = mk_restarting(routes.to_str().unwrap().split(','));
        while events.recv().await.is_some() {}
    });
}

/// The route of a killed speaker stays as a stale one until the speaker is back, and goes when that says so. `path` is
/// what the router has of a prefix.
pub(crate) async fn assert_kept_until_back(lab: &Lab, path: fn(&Lab, &str) -> Option<Value>) {
    let stale = async |wanted: bool| {
        let path = path(lab, ROUTE)?;
        (path["stale"].as_bool().unwrap_or(false) == wanted).then_some(())
    };
    let speaker = announce(lab, &[ROUTE]);
    eventually("the route", async || stale(false).await).await;
    kill(speaker);
    eventually("the route kept as stale", async || stale(true).await).await;
    let (speaker, _events) = mk_restarting([ROUTE]);
    eventually("the route fresh again", async || stale(false).await).await;
    speaker.shutdown(Shutdown::Cease { text: "moved away".to_owned() }).await;
    eventually("the withdrawal", async || path(lab, ROUTE).is_none().then_some(())).await;
}

// req: G1, G2, G3, G6
#[test]
fn frr_keeps_routes_of_a_killed_speaker_until_it_is_back() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, "")).await;
        let stale = async |wanted: bool| {
            let table = frr.json("show bgp ipv4 unicast json");
            let route = &table["routes"][ROUTE][0];
            let is = route["stale"].as_bool().unwrap_or(false);
            (route["valid"] == true && is == wanted).then_some(())
        };
        let speaker = announce(lab, &[ROUTE]);
        eventually("the route", async || stale(false).await).await;
        let graceful = frr.neighbour("192.0.2.2")["gracefulRestartInfo"].clone();
        assert_eq!(graceful["rBit"], true, "R: this process has just started: {graceful}");
        assert_eq!(graceful["ipv4Unicast"]["fBit"], true, "{graceful}");
        assert_eq!(graceful["nBit"], true, "{graceful}");
        kill(speaker);
        eventually("the route kept as stale", async || stale(true).await).await;
        let speaker = announce(lab, &[ROUTE]);
        eventually("the route fresh again", async || stale(false).await).await;
        kill(speaker);
    });
}

// req: G6
#[test]
fn stale_routes_stay_until_the_table_is_complete() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, "")).await;
        let routes = ["198.51.100.1/32", "198.51.100.2/32"];
        let speaker = announce(lab, &routes);
        for route in routes {
            eventually("the route", async || frr.route(route)["valid"].as_bool()).await;
        }
        kill(speaker);
        let (speaker, _events) = mk_speaker(2, &[]);
        let mut peer = mk_router(router(false), 64513);
        peer.graceful_restart = Some(GracefulRestart::default());
        peer.families = metallb_bgp::session::OfferedFamilies::Own;
        speaker.set_prefix(prefix(routes[0]), to("router", RouteAttributes::new()));
        speaker.set_peer("router".into(), peer);
        snapshot_until(&speaker, "router", "one route sent", |s| s.advertised_v4 == 1).await;
        let fresh = async || {
            let table = frr.json("show bgp ipv4 unicast json");
            table["routes"][routes[0]][0]["stale"].is_null().then_some(())
        };
        eventually("the first route fresh", fresh).await;
        assert!(!frr.route(routes[1]).is_null(), "the other one is not given up before End-of-RIB");
        speaker.table_complete();
        eventually("the other one gone", async || frr.route(routes[1]).is_null().then_some(())).await;
    });
}

// req: G4, G5
#[test]
fn frr_keeps_routes_through_a_graceful_shutdown_and_drops_them_at_a_final_one() {
    for graceful in [true, false] {
        let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, "")).await;
            let (speaker, _events) = mk_restarting([ROUTE]);
            eventually("the route", async || frr.route(ROUTE)["valid"].as_bool()).await;
            let text = "drained".to_owned();
            let how = if graceful { Shutdown::Graceful { text } } else { Shutdown::Cease { text } };
            speaker.shutdown(how).await;
            let down = async || (frr.neighbour("192.0.2.2")["bgpState"] != "Established").then_some(());
            eventually("the session is over", down).await;
            if graceful {
                let stale =
                    async || frr.json("show bgp ipv4 unicast json")["routes"][ROUTE][0]["stale"].as_bool();
                assert!(eventually("stale", stale).await);
            } else {
                eventually("gone", async || frr.route(ROUTE).is_null().then_some(())).await;
            }
        });
    }
}

// req: G1
#[test]
fn bird_keeps_routes_of_a_killed_speaker() {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, "")).await;
        let speaker = announce(lab, &[ROUTE]);
        eventually("the route", async || bird.has_route(ROUTE, &[])).await;
        kill(speaker);
        let kept = async || {
            let down = !bird.ask("show protocols node").contains("Established");
            (down && bird.has_route(ROUTE, &[]).is_some()).then_some(())
        };
        eventually("the route kept", kept).await;
        let speaker = announce(lab, &[ROUTE]);
        bird.until_established().await;
        bird.has_route(ROUTE, &[]).unwrap();
        kill(speaker);
    });
}

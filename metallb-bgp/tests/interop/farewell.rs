//! How a session ends with FRR: what each side says last, and that the other one reads it.

use std::time::Duration;

use metallb_bgp::session::{PeerSnapshot, StopReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::Community;

use crate::basics::{frr_config, mk_router};
use crate::lab::{Lab, eventually, router};
use crate::routers::Frr;
use crate::support::{mk_speaker, prefix, snapshot_until, to, up};

// req: F7, T6
#[test]
fn shutdown_texts_go_both_ways_with_frr() {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, " bgp log-neighbor-changes\n")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let mut peer = mk_router(router(false), 64513);
        peer.connect_time = Some(Duration::from_millis(200));
        speaker.set_peer("router".into(), peer);
        snapshot_until(&speaker, "router", "established", up).await;
        frr.until_established("192.0.2.2").await;
        let shutdown = "neighbor 192.0.2.2 shutdown message [TKT-1] power work";
        frr.configure(&["router bgp 64512", shutdown]);
        let told = |s: &PeerSnapshot| s.last_error.as_ref().is_some_and(|e| e.to_string().contains("TKT-1"));
        let down = snapshot_until(&speaker, "router", "told why", told).await;
        let reason = down.last_error.unwrap().to_string();
        assert_eq!(reason, "received Cease/Administrative Shutdown (6/2) \"[TKT-1] power work\"");
        frr.configure(&["router bgp 64512", "no neighbor 192.0.2.2 shutdown"]);
        snapshot_until(&speaker, "router", "established again", up).await;
        frr.until_established("192.0.2.2").await;
        speaker.remove_peer(&"router".into(), StopReason::Shutdown("node drained".to_owned()));
        let log = lab.directory.path().join("bgpd.log");
        let said = async || std::fs::read_to_string(&log).unwrap().contains("node drained").then_some(());
        eventually("the text in the router's log", said).await;
        let why = frr.neighbour("192.0.2.2")["lastNotificationReason"].clone();
        assert_eq!(why, "Cease/Administrative Shutdown");
    });
}

// req: N2, T6
#[test]
fn a_busy_router_reads_our_last_words_before_the_end() {
    // More than bgpd processes before it looks for the end of the stream, and few enough for a slow machine.
    const COUNT: u32 = 2_000;
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, " bgp log-neighbor-changes\n")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        frr.until_established("192.0.2.2").await;
        for n in 0..COUNT {
            let route = prefix(&format!("{}/32", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)));
            let community = Community(n);
            speaker.set_prefix(route, to("router", RouteAttributes::new().with_communities([community])));
        }
        let sent = |s: &PeerSnapshot| s.queued_octets == 0 && s.advertised_v4 == u64::from(COUNT);
        snapshot_until(&speaker, "router", "all sent", sent).await;
        speaker.remove_peer(&"router".into(), StopReason::Shutdown("node drained".to_owned()));
        let log = lab.directory.path().join("bgpd.log");
        let log = || std::fs::read_to_string(&log).unwrap();
        let down = eventually("down", async || Some(log()).filter(|log| log.contains(" Down "))).await;
        assert!(down.contains("\"node drained\""), "{down}");
    });
}

//! ExaBGP, which writes down every message it understands.

use metallb_bgp::session::StopReason;
use metallb_bgp::table::RouteAttributes;
use serde_json::Value;

use crate::basics::{attributes, mk_router};
use crate::lab::{Lab, eventually, router};
use crate::matrix::{Kind, OURS, THEIRS, exchange, kinds};
use crate::support::{mk_speaker, prefix, to};

const TOOLS: [&str; 5] = ["exabgp", "ip", "nsenter", "setpriv", "ss"];

/// One passive neighbour, everything it says written to a file.
fn config(lab: &Lab, kind: &Kind) -> String {
    let (us, them, router_as, asn) = (kind.us(), kind.them(), kind.router_as(), kind.asn);
    // It does not survive that its reader closes the pipe, which programs that copy do when there is nothing to read.
    let script = format!("while read -r line; do printf '%s\\n' \"$line\" >> {}; done\n", log(lab));
    let script = lab.write("log.sh", &script).to_string_lossy().into_owned();
    let lines = |line: &dyn Fn(usize) -> String| -> String {
        (0..2).filter(|n| kind.families[*n]).map(line).collect()
    };
    let families = lines(&|n| format!("{} unicast; ", ["ipv4", "ipv6"][n]));
    let hops = ["192.0.2.1", "2001:db8:ff::1"];
    let routes = lines(&|n| format!("route {} next-hop {}; ", THEIRS[n], hops[n]));
    format!(
        "process log {{ run /bin/sh {script}; encoder json; }}
neighbor {us} {{ router-id 192.0.2.1; local-address {them}; local-as {router_as}; peer-as {asn}; passive;
 family {{ {families} }} static {{ {routes} }}
 capability {{ asn4 enable; route-refresh enable; graceful-restart 60; extended-message enable; }}
 api {{ processes [ log ]; neighbor-changes; receive {{ parsed; open; update; notification; }} }} }}\n"
    )
}

fn log(lab: &Lab) -> String {
    lab.directory.path().join("exabgp.json").to_string_lossy().into_owned()
}

async fn start(lab: &mut Lab, kind: &Kind) {
    let config = lab.write("exabgp.conf", &config(lab, kind)).to_string_lossy().into_owned();
    let bind = format!("exabgp.tcp.bind={}", kind.them());
    let drop = ["exabgp.daemon.user=root", "exabgp.cache.attributes=false"];
    lab.start("env", &[&bind, drop[0], drop[1], "exabgp.tcp.port=179", "/usr/sbin/exabgp", &config]);
    let listening = async || lab.router_says("ss", &["-Hltn", "sport = :179"]).ok().filter(|s| !s.is_empty());
    eventually("ExaBGP listens", listening).await;
}

/// Everything understood of our messages, in order.
fn said(lab: &Lab) -> Vec<Value> {
    let text = std::fs::read_to_string(log(lab)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The last that was said of a prefix: its attributes and next hop, or null if it was withdrawn.
fn path(lab: &Lab, route: &str) -> Option<(Value, String)> {
    let family = ["ipv4 unicast", "ipv6 unicast"][usize::from(route.contains(':'))];
    let named = |list: &Value| list.as_array().is_some_and(|list| list.iter().any(|p| p["nlri"] == route));
    let of = |message: &Value| -> Option<Option<(Value, String)>> {
        let update = &message["neighbor"]["message"]["update"];
        if named(&update["withdraw"][family]) {
            return Some(None);
        }
        let hops = update["announce"][family].as_object()?;
        let (hop, _) = hops.iter().find(|(_, list)| named(list))?;
        Some(Some((update["attribute"].clone(), hop.clone())))
    };
    said(lab).iter().rev().find_map(of).flatten()
}

fn with_exabgp(kind: &Kind) -> bool {
    let Some(mut lab) = Lab::new(&TOOLS) else { return false };
    eprintln!("ExaBGP, {kind:?}");
    lab.run(async |lab| {
        start(lab, kind).await;
        exchange(kind, kind.peer(), async |route| path(lab, route).map(|_| ())).await;
        for (n, route) in OURS.into_iter().enumerate().filter(|(n, _)| kind.agreed[*n]) {
            let (attributes, hop) = path(lab, route).unwrap();
            assert_eq!(hop, ["192.0.2.2", "2001:db8:ff::2"][n], "{attributes}");
            assert_eq!(attributes["origin"], "igp", "{attributes}");
            let preference = attributes["local-preference"].as_u64();
            assert_eq!(preference, kind.internal.then_some(100), "{attributes}");
        }
    });
    true
}

// req: A1, A2, C1, C3, T7
#[test]
fn every_kind_of_session_works_with_exabgp() {
    // All until one says that it was skipped.
    let _ = kinds().iter().all(with_exabgp);
}

// req: A3, A8, C8, G5
#[test]
fn exabgp_reads_attributes_changes_and_the_end() {
    let Some(mut lab) = Lab::new(&TOOLS) else { return };
    lab.run(async |lab| {
        start(lab, &Kind::new(false)).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix(OURS[0]), to("router", attributes()));
        speaker.table_complete();
        speaker.set_peer("router".into(), mk_router(router(false), 64513));
        let (attributes, _) = eventually("the route", async || path(lab, OURS[0])).await;
        assert_eq!(attributes["med"], 30, "{attributes}");
        assert_eq!(attributes["community"], serde_json::json!([[64513, 7]]), "{attributes}");
        assert_eq!(attributes["large-community"], serde_json::json!([[64513, 1, 2]]), "{attributes}");
        speaker.set_prefix(prefix(OURS[0]), to("router", RouteAttributes::new()));
        let plain = async || path(lab, OURS[0]).filter(|(attributes, _)| attributes["med"].is_null());
        eventually("the change", plain).await;
        speaker.remove_peer(&"router".into(), StopReason::Deconfigured);
        let told = async || said(lab).iter().find(|m| m["type"] == "notification").cloned();
        let told = eventually("the reason", told).await;
        assert!(path(lab, OURS[0]).is_none(), "withdrawn before");
        let notification = &told["neighbor"]["notification"];
        assert_eq!((&notification["code"], &notification["subcode"]), (&6.into(), &3.into()), "{told}");
    });
}

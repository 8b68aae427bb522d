//! GoBGP.

use std::fmt::Write;

use metallb_bgp::session::{Authentication, Md5Key, StopReason};
use metallb_bgp::table::RouteAttributes;
use serde_json::Value;

use crate::basics::{attributes, mk_router};
use crate::graceful::assert_kept_until_back;
use crate::lab::{Lab, eventually, router};
use crate::matrix::{Kind, OURS, THEIRS, exchange, kinds};
use crate::support::{mk_speaker, prefix, to};

const TOOLS: [&str; 5] = ["gobgpd", "gobgp", "ip", "nsenter", "setpriv"];
const NAMES: [&str; 2] = ["ipv4", "ipv6"];
const GRACEFUL: &str = "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n";
const GRACEFUL_FAMILY: &str = "[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n";

/// One passive neighbour; `config` stands in its table, `neighbour` after it, `family` in each of its families.
fn config(kind: &Kind, config: &str, neighbour: &str, family: &str) -> String {
    let (us, router_as, asn) = (kind.us(), kind.router_as(), kind.asn);
    let mut text = format!(
        "[global.config]\nas = {router_as}\nrouter-id = \"192.0.2.1\"\nlocal-address-list = [\"{}\"]
[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{us}\"\npeer-as = {asn}\n{config}
[neighbors.transport.config]\npassive-mode = true\n{neighbour}",
        kind.them()
    );
    for (name, _) in NAMES.into_iter().zip(kind.families).filter(|(_, on)| *on) {
        let name = format!("[neighbors.afi-safis.config]\nafi-safi-name = \"{name}-unicast\"\n");
        write!(text, "[[neighbors.afi-safis]]\n{name}{family}").unwrap();
    }
    text
}

/// Starts the daemon and waits until it answers.
async fn start(lab: &mut Lab, config: &str) {
    let config = lab.write("gobgpd.toml", config).to_string_lossy().into_owned();
    lab.start("/usr/bin/gobgpd", &["-f", &config, "--api-hosts", "127.0.0.1:50051"]);
    eventually("gobgpd answers", async || ask(lab, "neighbor").map(|_| ())).await;
}

/// The answer to a command; `None` while the daemon gives none.
fn ask(lab: &Lab, command: &str) -> Option<Value> {
    let words: Vec<&str> = ["-j"].into_iter().chain(command.split(' ')).collect();
    serde_json::from_str(&lab.router_says("gobgp", &words).ok()?).ok()
}

fn tell(lab: &Lab, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    lab.router_says("gobgp", &words).unwrap();
}

/// What the router has of a prefix.
fn path(lab: &Lab, route: &str) -> Option<Value> {
    let family = NAMES[usize::from(route.contains(':'))];
    let all = ask(lab, &format!("global rib {route} -a {family}"))?;
    Some(all[route][0].clone()).filter(|path| !path.is_null())
}

fn attribute(path: &Value, number: u64) -> Value {
    let attributes = path["attrs"].as_array().cloned().unwrap_or_default();
    attributes.into_iter().find(|attribute| attribute["type"] == number).unwrap_or_default()
}

fn with_gobgp(kind: &Kind) -> bool {
    let Some(mut lab) = Lab::new(&TOOLS) else { return false };
    eprintln!("GoBGP, {kind:?}");
    lab.run(async |lab| {
        start(lab, &config(kind, "", "", "")).await;
        for (route, name) in THEIRS.into_iter().zip(NAMES) {
            tell(lab, &format!("global rib add {route} -a {name} origin igp"));
        }
        exchange(kind, kind.peer(), async |route| path(lab, route).map(|_| ())).await;
        for (n, route) in OURS.into_iter().enumerate().filter(|(n, _)| kind.agreed[*n]) {
            let path = path(lab, route).unwrap();
            let numbers = attribute(&path, 2)["as_paths"][0]["asns"].clone();
            let expected = if kind.internal { Value::Null } else { vec![kind.asn].into() };
            assert_eq!((numbers, &attribute(&path, 1)["value"]), (expected, &0.into()), "{path}");
            let preference = attribute(&path, 5)["value"].as_u64();
            assert_eq!(preference, kind.internal.then_some(100), "{path}");
            let hop = ["192.0.2.2", "2001:db8:ff::2"][n];
            let hops = [attribute(&path, 3)["nexthop"].clone(), attribute(&path, 14)["nexthop"].clone()];
            assert!(hops.contains(&hop.into()), "{path}");
        }
    });
    true
}

// req: A1, A2, C1, C3, T7
#[test]
fn every_kind_of_session_works_with_gobgp() {
    // All until one says that it was skipped.
    let _ = kinds().iter().all(with_gobgp);
}

// req: C8, A3, A8, G5, T1
#[test]
fn gobgp_takes_attributes_changes_and_the_end_under_a_key() {
    let Some(mut lab) = Lab::new(&TOOLS) else { return };
    lab.run(async |lab| {
        start(lab, &config(&Kind::new(false), "auth-password = \"s3cret\"", "", "")).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix(OURS[0]), to("router", attributes()));
        speaker.table_complete();
        let mut peer = mk_router(router(false), 64513);
        peer.authentication = Authentication::Md5(Md5Key::new("s3cret").unwrap());
        speaker.set_peer("router".into(), peer);
        let taken = eventually("the route", async || path(lab, OURS[0])).await;
        assert_eq!(attribute(&taken, 4)["metric"], 30, "{taken}");
        assert_eq!(
            attribute(&taken, 8)["communities"],
            serde_json::json!([(64513_u64 << 16) + 7]),
            "{taken}"
        );
        let large = serde_json::json!({"ASN": 64513, "LocalData1": 1, "LocalData2": 2});
        assert_eq!(attribute(&taken, 32)["value"][0], large, "{taken}");
        speaker.set_prefix(prefix(OURS[0]), to("router", RouteAttributes::new()));
        let plain = async || path(lab, OURS[0]).filter(|path| attribute(path, 8).is_null());
        eventually("the change", plain).await;
        speaker.remove_peer(&"router".into(), StopReason::Deconfigured);
        eventually("the withdrawal", async || path(lab, OURS[0]).is_none().then_some(())).await;
    });
}

// req: G1, G2, G3, G4, G6
#[test]
fn gobgp_keeps_routes_of_a_killed_speaker_until_it_is_back() {
    let Some(mut lab) = Lab::new(&TOOLS) else { return };
    lab.run(async |lab| {
        start(lab, &config(&Kind::new(false), "", GRACEFUL, GRACEFUL_FAMILY)).await;
        assert_kept_until_back(lab, path).await;
    });
}

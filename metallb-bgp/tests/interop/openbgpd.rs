//! OpenBGPD, which is strict about what it reads.

use metallb_bgp::session::{Authentication, Md5Key, StopReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::wire::open::{Role, RolePolicy};
use serde_json::Value;

use crate::basics::{attributes, mk_router};
use crate::graceful::assert_kept_until_back;
use crate::lab::{Lab, eventually, router};
use crate::matrix::{Kind, OURS, THEIRS, exchange, kinds};
use crate::support::{mk_speaker, prefix, snapshot_until, to};

const TOOLS: [&str; 6] = ["bgpctl", "ip", "mount", "nsenter", "setpriv", "unshare"];
const PROGRAM: &str = "/usr/sbin/bgpd";

/// A lab, where OpenBGPD can run: it changes to a user of its own, which an unprivileged user's namespace lacks.
fn mk_lab() -> Option<Lab> {
    let all_users = std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.contains("4294967295"));
    if !all_users {
        eprintln!("skipped: OpenBGPD needs real root");
        return None;
    }
    Lab::new(&TOOLS)
}

/// One passive neighbour with `more` lines. As its address of the other family OpenBGPD for Linux sends the one of the
/// loopback interface, which is no next hop for others: routes bring their own, which outside the AS it leaves alone over
/// several hops only.
fn config(lab: &Lab, kind: &Kind, more: &str) -> String {
    let (us, them, router_as, asn) = (kind.us(), kind.them(), kind.router_as(), kind.asn);
    let socket = socket(lab);
    let hops = if kind.internal { "" } else { "  multihop 2\n" };
    let announce = |n: usize| {
        let family = ["IPv4", "IPv6"][n];
        format!("  announce {family} {}\n", if kind.families[n] { "unicast" } else { "none" })
    };
    format!(
        "AS {router_as}\nrouter-id 192.0.2.1\nfib-update no\nsocket \"{socket}\"\nlisten on {them}
network {} set nexthop 192.0.2.1\nnetwork {} set nexthop 2001:db8:ff::1\nneighbor {us} {{\n  remote-as {asn}\n  passive\n{hops}{}{}{more}}}
allow from any\nallow to any\nmatch to any set nexthop no-modify\n",
        THEIRS[0],
        THEIRS[1],
        announce(0),
        announce(1),
    )
}

fn socket(lab: &Lab) -> String {
    lab.directory.path().join("openbgpd.sock").to_string_lossy().into_owned()
}

/// Starts the daemon and waits until it answers.
async fn start(lab: &mut Lab, config: &str) {
    let config = lab.write("openbgpd.conf", config);
    // The daemon insists that its file is for nobody else's eyes, and on a directory that only this mount has.
    let config = config.to_string_lossy();
    let script = format!(
        "chmod 600 {config} && mount -t tmpfs none /run && mkdir -m 755 /run/openbgpd && exec {PROGRAM} -d -f {config}"
    );
    lab.start("unshare", &["-m", "sh", "-c", &script]);
    eventually("OpenBGPD answers", async || ask(lab, "show neighbor").map(|_| ())).await;
}

/// The answer to a command; `None` while the daemon gives none.
fn ask(lab: &Lab, command: &str) -> Option<Value> {
    let socket = socket(lab);
    let words: Vec<&str> = ["-s", &socket, "-j"].into_iter().chain(command.split(' ')).collect();
    serde_json::from_str(&lab.router_says("bgpctl", &words).ok()?).ok()
}

/// What the router has of a prefix.
fn path(lab: &Lab, route: &str) -> Option<Value> {
    Some(ask(lab, &format!("show rib detail {route}"))?["rib"][0].clone()).filter(|path| !path.is_null())
}

fn neighbour(lab: &Lab) -> Value {
    ask(lab, "show neighbor").unwrap_or_default()["neighbors"][0].clone()
}

fn with_openbgpd(kind: &Kind) -> bool {
    let Some(mut lab) = mk_lab() else { return false };
    eprintln!("OpenBGPD, {kind:?}");
    lab.run(async |lab| {
        let config = config(lab, kind, "");
        start(lab, &config).await;
        exchange(kind, kind.peer(), async |route| path(lab, route).map(|_| ())).await;
        for (n, route) in OURS.into_iter().enumerate() {
            let path = path(lab, route);
            assert_eq!(path.is_some(), kind.agreed[n], "{path:?}");
            let Some(path) = path else { continue };
            let as_path = if kind.internal { String::new() } else { kind.asn.to_string() };
            assert_eq!((&path["aspath"], &path["origin"]), (&as_path.into(), &"IGP".into()), "{path}");
            assert_eq!((&path["valid"], &path["localpref"]), (&true.into(), &100.into()), "{path}");
            assert_eq!(path["exit_nexthop"], ["192.0.2.2", "2001:db8:ff::2"][n], "{path}");
        }
        let stats = &neighbour(lab)["stats"];
        assert_eq!(stats["message"]["received"]["open"], 1, "{stats}");
        assert_eq!(stats["message"]["sent"]["notifications"], 0, "{stats}");
        let families = kind.agreed.iter().filter(|on| **on).count();
        assert_eq!(stats["update"]["received"]["eor"], families, "one End-of-RIB of each family: {stats}");
    });
    true
}

// req: A1, A2, A9, C1, C3, T7
#[test]
fn every_kind_of_session_works_with_openbgpd() {
    // All until one says that it was skipped.
    let _ = kinds().iter().all(with_openbgpd);
}

// req: A3, A8, C5, C8, C9, G5, T1
#[test]
fn openbgpd_takes_attributes_changes_refreshes_and_the_end_under_a_key() {
    let Some(mut lab) = mk_lab() else { return };
    lab.run(async |lab| {
        let more =
            "  tcp md5sig password s3cret\n  announce enhanced refresh yes\n  announce policy provider\n";
        let config = config(lab, &Kind::new(false), more);
        start(lab, &config).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        speaker.set_prefix(prefix(OURS[0]), to("router", attributes()));
        speaker.table_complete();
        let mut peer = mk_router(router(false), 64513);
        peer.authentication = Authentication::Md5(Md5Key::new("s3cret").unwrap());
        peer.role = Some(RolePolicy { role: Role::Customer, strict: true });
        speaker.set_peer("router".into(), peer);
        let taken = eventually("the route", async || path(lab, OURS[0])).await;
        assert_eq!(taken["metric"], 30, "{taken}");
        assert_eq!(taken["communities"], serde_json::json!(["64513:7"]), "{taken}");
        assert_eq!(taken["large_communities"], serde_json::json!(["64513:1:2"]), "{taken}");
        let agreed = neighbour(lab)["session"]["capabilities"].clone();
        assert_eq!(agreed["enhanced_refresh"], true, "{agreed}");

        let before = snapshot_until(&speaker, "router", "all sent", |s| s.queued_octets == 0).await;
        lab.router_says("bgpctl", &["-s", &socket(lab), "neighbor", "192.0.2.2", "refresh"]).unwrap();
        let again = |s: &metallb_bgp::session::PeerSnapshot| {
            s.counters.updates_sent > before.counters.updates_sent && s.counters.refreshes_sent > 0
        };
        snapshot_until(&speaker, "router", "sent again between its marks", again).await;
        speaker.set_prefix(prefix(OURS[0]), to("router", RouteAttributes::new()));
        let plain = async || path(lab, OURS[0]).filter(|path| path["communities"].is_null());
        eventually("the change", plain).await;
        speaker.remove_peer(&"router".into(), StopReason::Shutdown("moved away".to_owned()));
        eventually("the withdrawal", async || path(lab, OURS[0]).is_none().then_some(())).await;
        let end = neighbour(lab);
        assert_eq!(end["last_shutdown_reason"], "moved away", "{end}");
        assert_eq!(end["last_error_received"], "Cease, administratively down", "{end}");
    });
}

// req: G1, G4, G6
#[test]
fn openbgpd_keeps_routes_of_a_killed_speaker_until_it_is_back() {
    let Some(mut lab) = mk_lab() else { return };
    lab.run(async |lab| {
        let config = config(lab, &Kind::new(false), "");
        start(lab, &config).await;
        assert_kept_until_back(lab, path).await;
    });
}

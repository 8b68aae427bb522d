//! The broken situations of `docs/cli.md`: each is made, explained, and mended by the command that is printed.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::chain::Chain;
use super::{explain, render};
use crate::snapshot::{Snapshot, text};

mod server;
mod shell;

/// A cluster in which `default/web` is reachable by Layer 2.
fn mk_good() -> Snapshot {
    let mut snapshot = Snapshot { namespace: "metallb-system".to_owned(), ..Snapshot::default() };
    let pod = |name: &str, component: &str, node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "metallb-system", "labels": { "app": "metallb", "component": component } },
            "spec": { "nodeName": node, "containers": [{ "name": component, "args": ["--port=7472"] }] },
            "status": { "phase": "Running", "podIP": "198.51.100.1", "conditions": [{ "type": "Ready", "status": "True" }] },
        })
    };
    let node = |name: &str| json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": { "name": name } } });
    let ours = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "metallb.io/v1beta1", "kind": kind, "spec": spec,
            "metadata": { "name": name, "namespace": "metallb-system" },
        })
    };
    snapshot.objects = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" } }),
        node("node-a"),
        node("node-b"),
        pod("controller-1", "controller", "node-a"),
        pod("speaker-a", "speaker", "node-a"),
        pod("speaker-b", "speaker", "node-b"),
        ours("IPAddressPool", "web", json!({ "addresses": ["192.0.2.0/30"] })),
        ours("L2Advertisement", "web", json!({ "ipAddressPools": ["web"] })),
        mk_service("web", "192.0.2.0"),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": "web-1", "namespace": "default", "labels": { "kubernetes.io/service-name": "web" } },
            "endpoints": [{ "addresses": ["10.1.0.1"], "conditions": { "ready": true }, "nodeName": "node-a" }],
        }),
    ];
    settle(&mut snapshot);
    snapshot
}

fn mk_service(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": name }, "annotations": {} },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "selector": { "app": name }, "ports": [{ "port": 80, "protocol": "TCP" }],
        },
        "status": { "loadBalancer": { "ingress": [{ "ip": address }] } },
    })
}

/// What the speaker of a node says about `default/web`.
fn mk_status(node: &str) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
        "metadata": { "name": format!("l2-web-{node}"), "namespace": "metallb-system" },
        "status": { "node": node, "serviceName": "web", "serviceNamespace": "default" },
    })
}

/// What controller and speakers would do by now: assign what was decided, and say who announces.
fn settle(snapshot: &mut Snapshot) -> Chain {
    for _ in 0..3 {
        let chain = web(snapshot);
        let Some(found) = chain.first_break().cloned() else { return chain };
        match found.reason {
            Some("not_assigned") => {
                let address = found.text.split(' ').nth(5).unwrap().trim_end_matches(',').to_owned();
                object(snapshot, "Service", "web")["status"] =
                    json!({ "loadBalancer": { "ingress": [{ "ip": address }] } });
            }
            Some("not_announced") => {
                let owner = found.text.rsplit(' ').nth(1).unwrap().to_owned();
                snapshot.objects.push(mk_status(&owner));
            }
            _ => return chain,
        }
    }
    web(snapshot)
}

fn web(snapshot: &Snapshot) -> Chain {
    explain(Instant::now(), snapshot, "default", "web")
}

fn object<'a>(snapshot: &'a mut Snapshot, kind: &str, name: &str) -> &'a mut Value {
    let matches = |found: &&mut Value| found["kind"] == kind && text(found, "/metadata/name") == name;
    snapshot.objects.iter_mut().find(matches).unwrap()
}

fn remove(snapshot: &mut Snapshot, kind: &str) {
    snapshot.objects.retain(|object| object["kind"] != kind);
}

/// The service as it was created, without an address.
fn pending(snapshot: &mut Snapshot) -> &mut Value {
    remove(snapshot, "ServiceL2Status");
    let service = object(snapshot, "Service", "web");
    service["status"] = json!({});
    service
}

fn annotate(snapshot: &mut Snapshot, name: &str, value: &str) {
    pending(snapshot)["metadata"]["annotations"][name] = json!(value);
}

/// Another service that has the pool's first address.
fn rival(snapshot: &mut Snapshot, key: Option<&str>) {
    let mut rival = mk_service("rival", "192.0.2.0");
    if let Some(key) = key {
        rival["metadata"]["annotations"]["metallb.io/allow-shared-ip"] = json!(key);
    }
    rival["spec"]["ports"][0]["port"] = json!(if key == Some("b") { 81 } else { 80 });
    snapshot.objects.push(rival);
    annotate(snapshot, "metallb.io/loadBalancerIPs", "192.0.2.0");
    if key.is_some() {
        annotate(snapshot, "metallb.io/allow-shared-ip", "a");
    }
}

fn each_node(snapshot: &mut Snapshot, change: impl Fn(&mut Value)) {
    snapshot.objects.iter_mut().filter(|object| object["kind"] == "Node").for_each(change);
}

/// The cluster, with BGP in place of Layer 2, and what both speakers say about their session.
fn by_bgp(snapshot: &mut Snapshot, state: &str, more: &str) {
    remove(snapshot, "ServiceL2Status");
    object(snapshot, "L2Advertisement", "web")["kind"] = json!("BGPAdvertisement");
    snapshot.objects.push(json!({
        "apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer",
        "metadata": { "name": "router", "namespace": "metallb-system" },
        "spec": { "myASN": 64500, "peerASN": 64512, "peerAddress": "198.51.100.254" },
    }));
    let labels = "peer=\"198.51.100.254\",node=\"x\"";
    for pod in ["speaker-a", "speaker-b"] {
        snapshot.voices.say(
            pod,
            &format!("metallb_bgp_state{{{labels},state=\"{state}\"}} 1\nmetallb_bgp_session_up{{{labels}}} {}\n{more}", u8::from(state == "Established")),
        );
    }
}

type Break = fn(&mut Snapshot);

/// Each situation of the table, in its order.
fn situations() -> Vec<(&'static str, Break)> {
    let mut all: Vec<(&'static str, Break)> = of_service();
    all.extend(of_pools());
    all.extend(of_announcement());
    all
}

fn of_service() -> Vec<(&'static str, Break)> {
    vec![
        ("misspelt name", |s| object(s, "Service", "web")["metadata"]["name"] = json!("webb")),
        ("in another namespace", |s| object(s, "Service", "web")["metadata"]["namespace"] = json!("shop")),
        ("in two other namespaces", |s| {
            object(s, "Service", "web")["metadata"]["namespace"] = json!("shop");
            let mut second = mk_service("web", "192.0.2.1");
            second["metadata"]["namespace"] = json!("metallb-system");
            s.objects.push(second);
        }),
        ("no such service", |s| remove(s, "Service")),
        ("definitions are missing", |s| s.undefined = vec!["IPAddressPool".to_owned()]),
        ("type ClusterIP", |s| pending(s)["spec"]["type"] = json!("ClusterIP")),
        ("class that nobody serves", |s| pending(s)["spec"]["loadBalancerClass"] = json!("example.com/lb")),
        ("MetalLB serves a class", |s| {
            object(s, "Pod", "controller-1")["spec"]["containers"][0]["args"] = json!(["--lb-class=metallb"]);
            pending(s);
        }),
        ("being deleted", |s| pending(s)["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")),
        ("headless", |s| {
            pending(s)["spec"]["clusterIP"] = json!("None");
            pending(s)["spec"]["clusterIPs"] = json!(["None"]);
        }),
        ("wanted address is none", |s| annotate(s, "metallb.io/loadBalancerIPs", "192.0.2.300")),
        ("wanted twice", |s| {
            annotate(s, "metallb.io/loadBalancerIPs", "192.0.2.1");
            pending(s)["spec"]["loadBalancerIP"] = json!("192.0.2.1");
        }),
        ("wanted address of the other family", |s| annotate(s, "metallb.io/loadBalancerIPs", "2001:db8::1")),
        ("dual stack without a second family", |s| {
            pending(s)["spec"]["ipFamilyPolicy"] = json!("RequireDualStack");
        }),
    ]
}

fn of_pools() -> Vec<(&'static str, Break)> {
    vec![
        ("no controller", |s| {
            pending(s);
            s.objects.retain(|object| text(object, "/metadata/name") != "controller-1");
        }),
        ("controller not ready", |s| {
            pending(s);
            object(s, "Pod", "controller-1")["status"]["conditions"] = json!([]);
        }),
        ("controller is behind", |s| _ = pending(s)),
        ("no pool", |s| {
            pending(s);
            remove(s, "IPAddressPool");
        }),
        ("pool in another namespace", |s| {
            pending(s);
            object(s, "IPAddressPool", "web")["metadata"]["namespace"] = json!("default");
        }),
        ("pool is not valid", |s| {
            pending(s);
            object(s, "IPAddressPool", "web")["spec"]["addresses"] = json!(["192.0.2.9-192.0.2.1"]);
            annotate(s, "metallb.io/address-pool", "web");
        }),
        ("pool is full", |s| {
            pending(s);
            object(s, "IPAddressPool", "web")["spec"]["addresses"] = json!(["192.0.2.0/32"]);
            s.objects.push(mk_service("rival", "192.0.2.0"));
        }),
        ("pool only on request", |s| {
            pending(s);
            object(s, "IPAddressPool", "web")["spec"]["autoAssign"] = json!(false);
        }),
        ("pool for other namespaces", |s| {
            pending(s);
            object(s, "IPAddressPool", "web")["spec"]["serviceAllocation"] =
                json!({ "namespaces": ["shop"] });
        }),
        ("wanted pool does not admit", |s| {
            annotate(s, "metallb.io/address-pool", "web");
            object(s, "IPAddressPool", "web")["spec"]["serviceAllocation"] =
                json!({ "serviceSelectors": [{ "matchLabels": { "tier": "front" } }] });
        }),
        ("wanted pool is misspelt", |s| annotate(s, "metallb.io/address-pool", "wep")),
        ("pool has no IPv6", |s| {
            pending(s)["spec"]["clusterIP"] = json!("fd00::1");
            pending(s)["spec"]["clusterIPs"] = json!(["fd00::1"]);
        }),
        ("wanted address is in no pool", |s| annotate(s, "metallb.io/loadBalancerIPs", "203.0.113.1")),
        ("wanted address is a node's", |s| {
            annotate(s, "metallb.io/loadBalancerIPs", "192.0.2.2");
            object(s, "Node", "node-b")["status"]["addresses"] =
                json!([{ "type": "InternalIP", "address": "192.0.2.2" }]);
        }),
        ("wanted address is the API server's", |s| {
            annotate(s, "metallb.io/loadBalancerIPs", "192.0.2.3");
            s.objects.push(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": { "name": "kubernetes", "namespace": "default", "labels": { "kubernetes.io/service-name": "kubernetes" } },
                "endpoints": [{ "addresses": ["192.0.2.3"], "conditions": { "ready": true } }],
            }));
        }),
        ("wanted address is taken", |s| rival(s, None)),
        ("another sharing key", |s| rival(s, Some("b"))),
        ("the same port on a shared address", |s| rival(s, Some("a"))),
    ]
}

fn of_announcement() -> Vec<(&'static str, Break)> {
    vec![
        ("no speaker is ready", |s| {
            for name in ["speaker-a", "speaker-b"] {
                object(s, "Pod", name)["status"]["conditions"] = json!([]);
            }
        }),
        ("no endpoint is ready", |s| remove(s, "EndpointSlice")),
        ("no advertisement", |s| remove(s, "L2Advertisement")),
        ("advertisement for other services", |s| {
            object(s, "L2Advertisement", "web")["spec"]["serviceSelectors"] =
                json!([{ "matchLabels": { "tier": "front" } }]);
        }),
        ("advertisement for other nodes", |s| {
            object(s, "L2Advertisement", "web")["spec"]["nodeSelectors"] =
                json!([{ "matchLabels": { "rack": "7" } }]);
        }),
        ("nodes are excluded", |s| {
            each_node(s, |node| {
                node["metadata"]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"] =
                    json!("");
            });
        }),
        ("nodes are out of service", |s| {
            each_node(s, |node| {
                node["spec"]["taints"] =
                    json!([{ "key": "node.kubernetes.io/out-of-service", "effect": "NoExecute" }]);
            });
        }),
        ("network unavailable", |s| {
            each_node(s, |node| {
                node["status"]["conditions"] = json!([{ "type": "NetworkUnavailable", "status": "True" }]);
            });
        }),
        ("endpoints where nobody announces", |s| {
            object(s, "Service", "web")["spec"]["externalTrafficPolicy"] = json!("Local");
            object(s, "L2Advertisement", "web")["spec"]["nodeSelectors"] =
                json!([{ "matchLabels": { "name": "node-b" } }]);
        }),
        ("no speaker says so", |s| remove(s, "ServiceL2Status")),
        ("two nodes announce it", |s| s.objects.push(mk_status("node-b"))),
        ("BGP without a peer", |s| {
            object(s, "L2Advertisement", "web")["kind"] = json!("BGPAdvertisement");
        }),
        ("no BGP session", |s| by_bgp(s, "Connect", "")),
        ("the router refuses us", |s| {
            let error = "metallb_bgp_last_error_info{peer=\"198.51.100.254\",node=\"x\",code=\"2\",subcode=\"2\"} 1\n";
            by_bgp(s, "Active", error);
        }),
        ("a speaker says why in an event", |s| {
            by_bgp(s, "Idle", "");
            s.objects.push(json!({
                "kind": "Event", "involvedObject": { "name": "node-a" }, "lastTimestamp": "2026-01-01T00:00:00Z",
                "message": "BGP session router does not come up: no route to the peer",
            }));
        }),
    ]
}

/// The rows of `docs/cli.md`, by situation: the first line, and whether the command alone mends it.
fn rows() -> Vec<(String, String, bool)> {
    let rows = include_str!("../../../../docs/cli.md").lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    let row =
        |cells: Vec<&str>| (cells[0].to_owned(), cells[1].trim_matches('`').to_owned(), cells[2] == "yes");
    cells.filter(|cells| cells.len() == 3 && cells[1].starts_with('`')).map(row).collect()
}

#[test]
fn the_good_cluster_is_reachable() {
    let chain = web(&mk_good());
    assert_eq!(render::headline(&chain), "default/web is reachable as configured", "{chain:#?}");
}

#[test]
fn every_broken_situation_is_named_in_the_first_line_and_mended_by_the_command() {
    let rows = rows();
    let mut found = Vec::new();
    for (name, make) in situations() {
        let mut snapshot = mk_good();
        make(&mut snapshot);
        let chain = web(&snapshot);
        let remedy = chain.first_break().unwrap_or_else(|| panic!("{name}: {chain:#?}")).remedy.clone();
        let line = render::headline(&chain);
        let remedy = remedy.unwrap_or_else(|| panic!("{name} has no remedy: {line}"));
        let mended = shell::run(&mut snapshot, &remedy) && settle(&mut snapshot).first_break().is_none();
        found.push((name.to_owned(), line, mended));
    }
    let table: Vec<String> = found
        .iter()
        .map(|(name, line, mended)| format!("| {name} | `{line}` | {} |", if *mended { "yes" } else { "no" }))
        .collect();
    assert_eq!(found, rows, "docs/cli.md should have:\n{}", table.join("\n"));
}

#[test]
fn a_table_fits_its_width_and_commands_stay_whole() {
    let mut snapshot = mk_good();
    annotate(&mut snapshot, "metallb.io/address-pool", "wep");
    let chain = web(&snapshot);
    for width in [80, 200] {
        let text = render::table(&chain, &snapshot, width, false);
        let rest = text.lines().skip(1).filter(|line| !line.contains("try: "));
        for line in rest {
            assert!(line.chars().count() <= width, "{line}");
        }
        assert!(text.contains(
            "  try: kubectl annotate service web -n default --overwrite metallb.io/address-pool=web\n"
        ));
        assert!(!text.contains('\x1b'));
    }
    assert!(render::table(&chain, &snapshot, 80, true).starts_with("\x1b[1;31m"));
}

#[test]
fn a_viewer_who_sees_no_pools_gets_no_verdict_about_them() {
    let mut snapshot = mk_good();
    remove(&mut snapshot, "IPAddressPool");
    snapshot.refused.push(("IPAddressPool".to_owned(), "forbidden".to_owned()));
    let chain = web(&snapshot);
    assert!(chain.first_break().is_none() && chain.is_uncertain(), "{chain:#?}");
    assert!(render::table(&chain, &snapshot, 80, false).contains("not seen: IPAddressPool"));
}

#[test]
fn a_misspelt_annotation_is_noted_with_what_was_meant() {
    let mut snapshot = mk_good();
    annotate(&mut snapshot, "metallb.io/adress-pool", "web");
    let chain = web(&snapshot);
    let noted = chain.steps.iter().find(|step| step.topic == "annotations").unwrap();
    assert_eq!(
        noted.text,
        r#""metallb.io/adress-pool" means nothing; did you mean "metallb.io/address-pool"?"#
    );
    assert!(shell::run(&mut snapshot, &noted.remedy.clone().unwrap()));
    let annotations: BTreeMap<String, String> =
        serde_json::from_value(object(&mut snapshot, "Service", "web")["metadata"]["annotations"].clone())
            .unwrap();
    assert_eq!(annotations, BTreeMap::from([("metallb.io/address-pool".to_owned(), "web".to_owned())]));
}

#[test]
fn established_peers_are_shown_with_what_they_are_told() {
    let mut snapshot = mk_good();
    by_bgp(&mut snapshot, "Established", "");
    object(&mut snapshot, "BGPAdvertisement", "web")["spec"]["communities"] = json!(["64500:7", "no-export"]);
    let chain = web(&snapshot);
    assert_eq!(render::headline(&chain), "default/web is reachable as configured", "{chain:#?}");
    let prefixes = chain.steps.iter().find(|step| step.topic == "prefixes").unwrap();
    assert_eq!(prefixes.details, ["192.0.2.0/32 to router, communities 64500:7 65535:65281"]);
    let sessions = chain.steps.iter().find(|step| step.topic == "sessions").unwrap();
    assert_eq!(sessions.text, "2 of 2 established");
}

#[test]
fn what_a_speaker_said_that_is_gone_is_no_second_owner() {
    let mut snapshot = mk_good();
    snapshot.objects.push(mk_status("node-b"));
    object(&mut snapshot, "Pod", "speaker-b")["status"]["conditions"] = json!([]);
    assert_eq!(web(&snapshot).first_break(), None);
}

#[test]
fn one_peer_that_is_down_is_a_note_as_long_as_another_is_up() {
    let mut snapshot = mk_good();
    by_bgp(&mut snapshot, "Established", "");
    let down = "metallb_bgp_state{peer=\"198.51.100.254\",node=\"x\",state=\"Idle\"} 1\n";
    snapshot.voices.say("speaker-b", down);
    let chain = web(&snapshot);
    assert_eq!(chain.first_break(), None);
    let sessions = chain.steps.iter().find(|step| step.topic == "sessions").unwrap();
    assert_eq!(sessions.text, "1 of 2 established");
    assert_eq!(sessions.details, ["node-b with router (198.51.100.254): Idle"]);
}

#[test]
fn peers_of_speakers_that_may_not_be_asked_are_no_break() {
    let mut snapshot = mk_good();
    by_bgp(&mut snapshot, "Established", "");
    snapshot.voices = crate::voices::Voices { refused: Some("forbidden".to_owned()), ..Default::default() };
    let chain = web(&snapshot);
    assert_eq!(render::headline(&chain), "default/web: nothing is wrong with what can be seen");
    let sessions = chain.steps.iter().find(|step| step.topic == "sessions").unwrap();
    assert_eq!(sessions.text, "none of 2 is known to be established");
    assert!(sessions.details[0].contains("speaker-a cannot be asked: forbidden"), "{sessions:#?}");
}

/// What the speaker of a node says about `default/web` and its peers.
fn mk_told(node: &str) -> Value {
    let mut status = mk_status(node);
    status["kind"] = json!("ServiceBGPStatus");
    status["status"]["peers"] = json!(["router"]);
    status
}

#[test]
fn sessions_that_are_down_are_named_though_a_speaker_does_not_answer() {
    let mut snapshot = mk_good();
    by_bgp(&mut snapshot, "Active", "");
    snapshot.voices.heard.remove("speaker-b");
    snapshot.voices.silent.insert("speaker-b".to_owned(), "no answer within 5 s".to_owned());
    let chain = web(&snapshot);
    assert!(chain.first_break().is_none() && chain.is_uncertain(), "{chain:#?}");
    let shown = render::table(&chain, &snapshot, 200, false);
    let first = "default/web is not known to be reachable: sessions: none of 2 is known to be established, 1 is down; node-a \
                 with router (198.51.100.254)\n  try: kubectl get bgppeer router -n metallb-system -o yaml\n";
    assert!(shown.starts_with(first), "{shown}");
    assert_eq!(shown.matches("try: ").count(), 1, "{shown}");
    // Reached by the one that does not answer, as its speaker says.
    snapshot.objects.push(mk_told("node-b"));
    let chain = web(&snapshot);
    assert_eq!(render::headline(&chain), "default/web is reachable as configured", "{chain:#?}");
    let sessions = chain.steps.iter().find(|step| step.topic == "sessions").unwrap();
    assert_eq!(sessions.remedy.as_deref(), Some("kubectl get bgppeer router -n metallb-system -o yaml"));
}

#[test]
fn who_may_not_ask_the_speakers_goes_by_their_statuses() {
    let mut snapshot = mk_good();
    by_bgp(&mut snapshot, "Established", "");
    snapshot.voices = crate::voices::Voices { refused: Some("forbidden".to_owned()), ..Default::default() };
    snapshot.objects.push(mk_told("node-a"));
    let chain = web(&snapshot);
    assert_eq!(render::headline(&chain), "default/web is reachable as configured", "{chain:#?}");
    let sessions = chain.steps.iter().find(|step| step.topic == "sessions").unwrap();
    assert_eq!(
        sessions.text,
        "0 of 2 established; of 1 that could not be asked, the speakers' statuses say that the peer has the routes"
    );
    // Another peer's routes say nothing, and neither does a speaker that is gone.
    let mut other = snapshot.clone();
    object(&mut other, "ServiceBGPStatus", "l2-web-node-a")["status"]["peers"] = json!(["other"]);
    assert!(web(&other).is_uncertain());
    object(&mut snapshot, "Pod", "speaker-a")["status"]["conditions"] = json!([]);
    let chain = web(&snapshot);
    assert!(chain.first_break().is_none() && chain.is_uncertain(), "{chain:#?}");
    assert!(chain.steps.iter().all(|step| step.topic != "status"), "{chain:#?}");
}

#[test]
fn nodes_that_would_advertise_it_and_have_no_ready_speaker_do_not() {
    let mut snapshot = mk_good();
    by_bgp(&mut snapshot, "Established", "");
    object(&mut snapshot, "Service", "web")["spec"]["externalTrafficPolicy"] = json!("Local");
    snapshot.objects.push(mk_told("node-a"));
    assert_eq!(render::headline(&web(&snapshot)), "default/web is reachable as configured");
    object(&mut snapshot, "Pod", "speaker-a")["status"]["conditions"] = json!([]);
    assert_eq!(
        render::headline(&web(&snapshot)),
        "default/web is not reachable: prefixes: no speaker is ready where it is advertised by BGP: on node-a"
    );
}

#[test]
fn flags_of_the_daemons_decide_as_they_do_there() {
    let mut snapshot = mk_good();
    each_node(&mut snapshot, |node| {
        node["metadata"]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
    });
    assert!(web(&snapshot).first_break().is_some());
    for pod in ["speaker-a", "speaker-b"] {
        object(&mut snapshot, "Pod", pod)["spec"]["containers"][0]["args"] = json!(["--ignore-exclude-lb"]);
    }
    assert_eq!(web(&snapshot).first_break(), None);
}

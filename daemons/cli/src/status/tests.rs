//! Reports of clusters in which something is wrong, and how they are shown.

use serde_json::{Value, json};

use super::facts::Facts;
use super::problems::{Severity, reasons};
use super::render::{Detail, text};
use super::report::{Report, report};
use super::{names, status};
use crate::exit;

fn ours(kind: &str, name: &str, rest: &Value) -> Value {
    let version = if kind == "BGPPeer" { "v1beta2" } else { "v1beta1" };
    let mut object = json!({
        "apiVersion": format!("metallb.io/{version}"), "kind": kind,
        "metadata": { "name": name, "namespace": "metallb-system" },
    });
    object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    object
}

fn pod(name: &str, component: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "metallb-system", "labels": { "app": "metallb", "component": component } },
        "spec": { "nodeName": node, "containers": [{ "name": component, "image": format!("registry.example/metallb/{component}:v0.1.0") }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

fn service(namespace: &str, name: &str, address: Option<&str>) -> Value {
    let ingress: Vec<Value> = address.iter().map(|address| json!({ "ip": address })).collect();
    json!({
        "metadata": { "name": name, "namespace": namespace, "annotations": { "metallb.io/ip-allocated-from-pool": "web" } },
        "spec": { "type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{ "port": 80 }] },
        "status": { "loadBalancer": { "ingress": ingress } },
    })
}

fn said(node: &str, namespace: &str, name: &str) -> super::facts::Said {
    super::facts::Said {
        node: node.to_owned(),
        service_name: name.to_owned(),
        service_namespace: namespace.to_owned(),
    }
}

fn metrics(state: &str, more: &str) -> String {
    format!(
        "metallb_build_info{{version=\"0.1.0\",commit=\"x\"}} 1\n\
         metallb_bgp_session_up{{peer=\"192.0.2.254\",node=\"x\"}} {}\n\
         metallb_bgp_state{{peer=\"192.0.2.254\",node=\"x\",state=\"{state}\"}} 1\n\
         metallb_bgp_announced_prefixes_total{{peer=\"192.0.2.254\",node=\"x\"}} 1\n{more}",
        u8::from(state == "Established")
    )
}

/// Two nodes, one pool, two services, a router with which both nodes have a session.
pub(super) fn mk_good() -> Facts {
    let mut facts = Facts::default();
    let snapshot = &mut facts.snapshot;
    snapshot.namespace = "metallb-system".to_owned();
    snapshot.without_secrets = true;
    snapshot.objects = vec![
        pod("controller-1", "controller", "node-a"),
        pod("speaker-a", "speaker", "node-a"),
        pod("speaker-b", "speaker", "node-b"),
        ours(
            "IPAddressPool",
            "web",
            &json!({
                "spec": { "addresses": ["192.0.2.0/28", "2001:db8::/120"] },
                "status": { "assignedIPv4": 2, "availableIPv4": 14, "assignedIPv6": 0, "availableIPv6": 256 },
            }),
        ),
        ours("L2Advertisement", "web", &json!({})),
        ours("BGPAdvertisement", "web", &json!({})),
        ours(
            "BGPPeer",
            "router",
            &json!({ "spec": { "myASN": 64500, "peerASN": 64512, "peerAddress": "192.0.2.254" } }),
        ),
    ];
    snapshot
        .voices
        .say("controller-1", "metallb_build_info{version=\"0.1.0\"} 1\nmetallb_controller_leader 1\n");
    snapshot.voices.say("speaker-a", &metrics("Established", ""));
    snapshot.voices.say("speaker-b", &metrics("Established", ""));
    let node = |name: &str| {
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        serde_json::from_value(json!({ "metadata": { "name": name }, "status": { "conditions": ready } }))
            .unwrap()
    };
    facts.nodes = vec![node("node-a"), node("node-b")];
    let services = [service("default", "web", Some("192.0.2.0")), service("shop", "api", Some("192.0.2.1"))];
    facts.services = services.into_iter().map(|it| serde_json::from_value(it).unwrap()).collect();
    facts.layer2 = vec![said("node-a", "default", "web"), said("node-b", "shop", "api")];
    facts.bgp = vec![said("node-a", "default", "web"), said("node-b", "default", "web")];
    facts
}

fn object<'a>(facts: &'a mut Facts, kind: &str, name: &str) -> &'a mut Value {
    let matches = |found: &&mut Value| found["kind"] == kind && found["metadata"]["name"] == name;
    facts.snapshot.objects.iter_mut().find(matches).unwrap()
}

/// As much wrong at once as one cluster can have.
pub(super) fn mk_broken() -> Facts {
    let mut facts = mk_good();
    object(&mut facts, "Pod", "speaker-b")["status"]["conditions"] = json!([]);
    object(&mut facts, "IPAddressPool", "web")["status"]["availableIPv4"] = json!(0);
    object(&mut facts, "Pod", "controller-1")["spec"]["containers"][0]["image"] =
        json!("x/controller:v0.2.0");
    facts.snapshot.objects.extend([
        ours("IPAddressPool", "wrong", &json!({ "spec": { "addresses": ["192.0.2.9-192.0.2.1"] } })),
        ours(
            "ConfigurationState",
            "speaker-node-a",
            &json!({ "status": { "result": "Invalid", "errorSummary": "IPAddressPool \"wrong\": spec.addresses[0]: the range ends before it starts" } }),
        ),
        json!({
            "kind": "Event", "involvedObject": { "kind": "Node", "name": "node-a" }, "lastTimestamp": "2026-01-01T00:00:00Z",
            "message": "BGP session router does not come up: the router expects another AS of us than 64500",
        }),
    ]);
    facts.snapshot.voices.say("speaker-a", &metrics("Active", ""));
    let more = [service("shop", "pending", None), service("shop", "silent", Some("192.0.2.2"))];
    facts.services.extend(more.into_iter().map(|it| serde_json::from_value::<_>(it).unwrap()));
    facts
}

fn both(name: &str, report: &Report) {
    for width in [80, 200] {
        let shown = text(report, Detail::Usual, width, false);
        for line in shown.lines().filter(|line| !line.contains("try: ")) {
            assert!(line.chars().count() <= width, "{line}");
        }
        insta::assert_snapshot!(format!("{name}-{width}"), shown);
    }
}

#[test]
fn what_configures_metallb_and_lies_elsewhere_is_named_whatever_its_kind() {
    for kind in crate::kinds::CONFIGURATION {
        let mut facts = mk_good();
        let mut stray = ours(kind, "stray", &json!({ "spec": {} }));
        stray["metadata"]["namespace"] = json!("shop");
        facts.snapshot.objects.push(stray);
        let report = report(&facts);
        let [problem] = report.problems.as_slice() else { panic!("{kind}: {:?}", report.problems) };
        assert_eq!(problem.reason, "other_namespace", "{kind}");
        assert_eq!(problem.object, format!("{}/stray -n shop", kind.to_lowercase()));
        assert!(problem.text.contains("MetalLB is in \"metallb-system\""), "{}", problem.text);
    }
}

#[test]
fn a_good_cluster_has_no_problems() {
    let report = report(&mk_good());
    assert_eq!(report.problems, []);
    assert_eq!(status(&report), std::process::ExitCode::SUCCESS);
    both("good", &report);
    insta::assert_snapshot!("good-wide", text(&report, Detail::Wide, 200, false));
}

#[test]
fn everything_that_is_wrong_is_named_first_with_what_helps() {
    let report = report(&mk_broken());
    assert_eq!(
        reasons(&report.problems),
        [
            "invalid_address",
            "configuration",
            "no_address",
            "not_announced",
            "not_announced",
            "session_down",
            "no_speaker",
            "pool_full",
            "several_versions"
        ]
    );
    assert!(report.problems.iter().all(|problem| problem.remedy.is_some()));
    assert_eq!(status(&report), exit::NO);
    both("broken", &report);
    assert!(text(&report, Detail::Usual, 80, true).starts_with("\x1b[1;31m"));
    insta::assert_snapshot!("names", names(&report));
}

#[test]
fn owners_that_do_not_hear_each_other_are_a_problem() {
    let mut facts = mk_good();
    facts.layer2.push(said("node-b", "default", "web"));
    let report = report(&facts);
    assert_eq!(reasons(&report.problems), ["several_owners"]);
    let text = &report.problems[0].text;
    assert!(
        text.starts_with("service default/web is announced by Layer 2 from 2 nodes at once (node-a, node-b)"),
        "{text}"
    );
}

#[test]
fn what_a_speaker_said_that_is_gone_is_no_second_owner_and_no_owner() {
    let mut facts = mk_good();
    facts.layer2.push(said("node-b", "default", "web"));
    facts.bgp.push(said("node-b", "shop", "api"));
    object(&mut facts, "Pod", "speaker-b")["status"]["conditions"] = json!([]);
    let found = report(&facts);
    assert_eq!(reasons(&found.problems), ["not_announced", "no_speaker"]);
    assert_eq!(
        found.problems[0].text,
        "service shop/api has 192.0.2.1, and the speaker that announced it, on node-b, is not ready"
    );
    // By BGP only, and from two nodes, one of which has no speaker at all by now.
    facts.layer2.pop();
    facts.layer2.retain(|said| said.service_name != "api");
    facts.bgp.push(said("node-c", "shop", "api"));
    let found = report(&facts);
    assert_eq!(reasons(&found.problems), ["not_announced", "no_speaker"]);
    assert_eq!(
        found.problems[0].text,
        "service shop/api has 192.0.2.1, and the speakers that announced it, on node-b, node-c, are not ready"
    );
    facts.bgp.push(said("node-a", "shop", "api"));
    assert_eq!(reasons(&report(&facts).problems), ["no_speaker"]);
}

#[test]
fn a_pool_with_addresses_of_others_is_named_with_what_excludes_them() {
    let mut facts = mk_good();
    facts.nodes[0] = serde_json::from_value(json!({
        "metadata": { "name": "node-a" },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.9" }] },
    }))
    .unwrap();
    facts.api_server.insert("192.0.2.8".parse().unwrap());
    object(&mut facts, "BGPPeer", "router")["spec"]["peerAddress"] = json!("192.0.2.10");
    object(&mut facts, "IPAddressPool", "web")["spec"]["excludeAddresses"] = json!(["192.0.2.1"]);
    let found = report(&facts);
    let problem = found.problems.iter().find(|problem| problem.text.contains("addresses of others")).unwrap();
    assert_eq!(
        (problem.severity, problem.object.as_str()),
        (Severity::Warning, "ipaddresspool/web -n metallb-system")
    );
    for whose in
        ["192.0.2.8 (the API server)", "192.0.2.9 (node \"node-a\")", "192.0.2.10 (BGPPeer \"router\")"]
    {
        assert!(problem.text.contains(whose), "{}", problem.text);
    }
    assert_eq!(
        problem.remedy.as_deref(),
        Some(
            "kubectl patch ipaddresspool web -n metallb-system --type merge -p \
             '{\"spec\":{\"excludeAddresses\":[\"192.0.2.1\",\"192.0.2.8\",\"192.0.2.9\",\"192.0.2.10\"]}}'"
        )
    );
    let excluded = json!(["192.0.2.1", "192.0.2.8", "192.0.2.9", "192.0.2.10"]);
    object(&mut facts, "IPAddressPool", "web")["spec"]["excludeAddresses"] = excluded;
    assert!(report(&facts).problems.iter().all(|problem| !problem.text.contains("addresses of others")));
}

#[test]
fn a_daemon_that_does_not_answer_is_a_warning_and_one_without_metrics_is_not_seen() {
    let mut facts = mk_good();
    let voices = &mut facts.snapshot.voices;
    voices.heard.remove("speaker-b");
    voices.silent.insert("speaker-b".to_owned(), "no answer within 5 s".to_owned());
    let found = report(&facts);
    assert_eq!(reasons(&found.problems), ["no_answer"]);
    assert_eq!(found.problems[0].text, "speaker-b cannot be asked how it is: no answer within 5 s");
    object(&mut facts, "Pod", "speaker-b")["spec"]["containers"][0]["args"] = json!(["--port=0"]);
    let found = report(&facts);
    assert_eq!(found.problems, []);
    assert_eq!(found.not_seen[0].what, "what speaker-b says");
}

#[test]
fn json_has_everything_that_is_shown() {
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&report(&mk_broken())).unwrap());
}

#[test]
fn what_a_viewer_may_not_see_is_named_and_no_problem() {
    let mut facts = mk_good();
    facts.snapshot.objects.retain(|object| object["kind"] != "Pod");
    facts.snapshot.refused.push(("Pod".to_owned(), "pods is forbidden".to_owned()));
    facts.snapshot.voices = crate::voices::Voices {
        refused: Some("pods \"x\" is forbidden".to_owned()),
        ..crate::voices::Voices::default()
    };
    let report = report(&facts);
    assert_eq!(report.problems, []);
    assert!(report.sessions.iter().all(|session| session.state.is_none() && session.why.is_some()));
    let shown = text(&report, Detail::Usual, 80, false);
    assert!(
        shown.starts_with("MetalLB in metallb-system: nothing is wrong with what can be seen\n"),
        "{shown}"
    );
    assert!(shown.contains("? not seen: Pod: pods is forbidden\n"), "{shown}");
    assert_eq!(status(&report), exit::cannot_say());
}

#[test]
fn speakers_that_may_not_be_asked_leave_their_sessions_unknown() {
    let mut facts = mk_good();
    facts.snapshot.voices = crate::voices::Voices {
        refused: Some("pods \"speaker-a\" is forbidden".to_owned()),
        ..crate::voices::Voices::default()
    };
    let report = report(&facts);
    assert_eq!(report.problems, []);
    let session = &report.sessions[0];
    assert_eq!(
        (&session.state, session.why.as_deref()),
        (&None, Some("speaker-a cannot be asked: pods \"speaker-a\" is forbidden"))
    );
    assert_eq!(status(&report), std::process::ExitCode::SUCCESS);
}

#[test]
fn without_definitions_only_that_is_said() {
    let mut facts = Facts::default();
    facts.snapshot.namespace = "metallb-system".to_owned();
    facts.snapshot.undefined = vec!["IPAddressPool".to_owned(), "BGPPeer".to_owned()];
    let report = report(&facts);
    assert_eq!(reasons(&report.problems), ["no_definitions"]);
    assert_eq!(report.problems[0].remedy.as_deref(), Some("metallb manifests | kubectl apply -f -"));
}

#[test]
fn many_services_with_one_trouble_are_counted() {
    let mut facts = mk_good();
    let pending = (0..500).map(|index| service("load", &format!("s-{index:03}"), None));
    facts.services.extend(pending.map(|it| serde_json::from_value::<_>(it).unwrap()));
    let report = report(&facts);
    assert_eq!(report.problems.len(), 11);
    assert_eq!(report.problems[10].text, "490 more services have no address");
    let shown = text(&report, Detail::Usual, 80, false);
    assert!(shown.ends_with("and 452 more; -o wide shows all\n"), "{shown}");
    assert!(text(&report, Detail::Wide, 80, false).contains("s-499"));
}

#[test]
fn a_router_that_is_away_is_one_problem_for_all_nodes() {
    let mut facts = mk_good();
    for pod in ["speaker-a", "speaker-b"] {
        let error =
            "metallb_bgp_last_error_info{peer=\"192.0.2.254\",node=\"x\",code=\"6\",subcode=\"2\"} 1\n";
        facts.snapshot.voices.say(pod, &metrics("Idle", error));
    }
    let report = report(&facts);
    assert_eq!(
        report.problems[0].text,
        "BGP session with \"router\" (192.0.2.254) is down on 2 of 2 nodes (node-a, node-b): \
         Cease/Administrative Shutdown (6/2)"
    );
    assert_eq!(report.problems[0].object, "bgppeer/router -n metallb-system");
}

#[test]
fn without_a_terminal_every_change_is_a_line() {
    let (good, broken) = (report(&mk_good()), report(&mk_broken()));
    insta::assert_snapshot!("worse", super::lines::changes(&good, &broken).join("\n"));
    insta::assert_snapshot!("better", super::lines::changes(&broken, &good).join("\n"));
    assert_eq!(super::lines::changes(&good, &good), [""; 0]);
}

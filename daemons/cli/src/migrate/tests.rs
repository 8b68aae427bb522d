//! Plans, by what is left of frr-k8s.

use serde_json::{Value, json};

use super::plan::{missing, plan};
use crate::snapshot::Snapshot;

fn frr(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "frrk8s.metallb.io/v1beta1", "kind": "FRRConfiguration",
        "metadata": { "name": name, "namespace": "metallb-system", "uid": "u", "resourceVersion": "7" },
        "spec": { "bgp": { "routers": [{ "asn": 64500, "neighbors": [{ "address": address, "asn": 64512 }] }] } },
    })
}

fn metrics(state: &str) -> String {
    format!(
        "metallb_build_info{{version=\"0.1.0\"}} 1\nmetallb_bgp_state{{peer=\"192.0.2.1\",state=\"{state}\"}} 1\n"
    )
}

/// Two nodes with speakers, a router, and what frr-k8s has for both.
fn mk_snapshot() -> Snapshot {
    let mut snapshot =
        Snapshot { namespace: "metallb-system".to_owned(), without_secrets: true, ..Snapshot::default() };
    for node in ["a", "b"] {
        snapshot.objects.push(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node } }));
        snapshot.objects.push(json!({
            "kind": "Pod", "metadata": { "name": format!("speaker-{node}"), "labels": { "component": "speaker" } },
            "spec": { "nodeName": node, "containers": [{ "name": "speaker" }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        }));
        snapshot.voices.say(&format!("speaker-{node}"), &metrics("Idle"));
    }
    snapshot.objects.push(json!({
        "apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer",
        "metadata": { "name": "router", "namespace": "metallb-system" },
        "spec": { "myASN": 64500, "peerASN": 64512, "peerAddress": "192.0.2.1" },
    }));
    snapshot.objects.extend([
        frr("metallb-b", "192.0.2.1"),
        frr("metallb-a", "192.0.2.1"),
        frr("mine", "192.0.2.9"),
    ]);
    snapshot
}

#[test]
fn nodes_come_one_after_the_other_and_what_others_wrote_stays() {
    let plan = plan(&mk_snapshot(), &[]);
    let nodes: Vec<_> = plan.nodes.iter().map(|node| (node.node.as_str(), node.peers.join(","))).collect();
    assert_eq!(nodes, [("a", "router".to_owned()), ("b", "router".to_owned())]);
    assert!(plan.nodes.iter().all(|node| node.obstacles.is_empty()), "{plan:#?}");
    assert_eq!(plan.others, ["mine"]);
}

#[test]
fn only_the_named_nodes_are_touched() {
    let plan = plan(&mk_snapshot(), &["b".to_owned()]);
    assert_eq!(plan.nodes.len(), 1);
    assert_eq!(plan.nodes[0].name(), "metallb-b");
}

#[test]
fn a_speaker_that_cannot_take_over_stands_in_the_way() {
    let mut snapshot = mk_snapshot();
    // MetalLB's own speaker has no such metric.
    snapshot.voices.say("speaker-a", "metallb_bgp_session_up{peer=\"192.0.2.1\"} 1\n");
    snapshot.objects.retain(|object| object["metadata"]["name"] != "speaker-b");
    let plan = plan(&snapshot, &[]);
    let obstacles: Vec<_> = plan.nodes.iter().flat_map(|node| node.obstacles.clone()).collect();
    assert_eq!(
        obstacles,
        ["speaker-a is MetalLB's own speaker, which would write the object again", "no speaker runs there"]
    );
}

#[test]
fn a_session_counts_when_it_is_established() {
    let mut snapshot = mk_snapshot();
    let peers = ["router".to_owned()];
    assert_eq!(missing(&snapshot, "a", &peers), ["router: Idle"]);
    snapshot.voices.say("speaker-a", &metrics("Established"));
    assert_eq!(missing(&snapshot, "a", &peers), [""; 0]);
    snapshot.objects.retain(|object| object["kind"] != "BGPPeer");
    assert_eq!(missing(&snapshot, "a", &peers), ["router: the BGPPeer is gone, or not in force any more"]);
}

#[test]
fn what_is_saved_can_be_applied_again() {
    let plan = plan(&mk_snapshot(), &[]);
    let saved = plan.nodes[0].saved();
    assert_eq!(saved["metadata"], json!({ "name": "metallb-a", "namespace": "metallb-system" }));
    assert_eq!(saved["spec"], frr("metallb-a", "192.0.2.1")["spec"]);
}

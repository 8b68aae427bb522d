//! What the roles in `deploy/manifests` allow the controller, and what they do not. That nothing is missing is seen in
//! every test: a refusal fails it.

use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use metallb_k8s::crd::{ConfigurationState, IPAddressPool};
use serde_json::{Value, json};

use crate::harness::roles::manifest;
use crate::harness::{Cluster, Daemon, NAMESPACE, https};
use crate::webhooks::serving;
use crate::{controller, with_pool};

/// An object of each kind of configuration.
fn configure(cluster: &Cluster) {
    cluster.pool("web", &["192.0.2.0/28"]);
    cluster.configure("BFDProfile", "fast", &json!({}));
    cluster.configure(
        "Community",
        "names",
        &json!({ "communities": [{ "name": "blue", "value": "64500:7" }] }),
    );
    let peer = json!({ "myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.99", "bfdProfile": "fast" });
    cluster.configure("BGPPeer", "router", &peer);
    cluster.configure("BGPAdvertisement", "all", &json!({ "communities": ["blue"] }));
    cluster.configure("L2Advertisement", "all", &json!({}));
}

/// A service that gets its address with a second attempt, as it changes under the controller's hands.
async fn contested_service(cluster: &Cluster) {
    let server = cluster.server.clone();
    let newer = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "labels": { "touched": "yes" } },
    });
    let mut touched = false;
    cluster.front.hook(move |request| {
        if request.writes("/web/status") && !std::mem::replace(&mut touched, true) {
            server.apply_object(&newer);
        }
    });
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.0"]).await;
}

/// Breaks the webhooks' certificate, which is made anew.
async fn break_certificate(cluster: &Cluster, daemon: &Daemon) {
    let broken = json!({ "data": { "tls.crt": ByteString(b"rubbish".to_vec()) } });
    let secrets = cluster.system::<Secret>();
    secrets.patch("metallb-webhook-cert", &PatchParams::default(), &Patch::Merge(broken)).await.unwrap();
    daemon.says(&["made a new webhook certificate"]).await;
}

/// What the speaker of a node left that is gone.
fn leave_statuses(cluster: &Cluster) {
    for (kind, label) in [
        ("ServiceL2Status", "metallb.io/node"),
        ("ServiceBGPStatus", "metallb.io/node"),
        ("ConfigurationState", "metallb.io/node-name"),
    ] {
        cluster.server.apply_object(&json!({
            "apiVersion": "metallb.io/v1beta1", "kind": kind,
            "metadata": { "name": "of-a-node-that-is-gone", "namespace": NAMESPACE, "labels": { label: "gone" } },
        }));
    }
}

/// Takes the label off the controller's own state, which puts it back.
async fn take_a_label(cluster: &Cluster) {
    let has_label = |state: &ConfigurationState| state.labels().contains_key("metallb.io/component-type");
    cluster.until_system("controller", has_label).await;
    let bare = json!({ "metadata": { "labels": { "metallb.io/component-type": null } } });
    let states = cluster.system::<ConfigurationState>();
    states.patch("controller", &PatchParams::default(), &Patch::Merge(bare)).await.unwrap();
    cluster.until_system("controller", has_label).await;
}

/// The same event again and again, until it is counted on the first one: that begins after ten seconds.
async fn repeat_an_event(cluster: &Cluster) {
    let begun = Instant::now();
    while cluster.unused_rights("controller").iter().any(|right| right.ends_with(": patch events")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no event was ever patched");
        for (kind, addresses) in [("ClusterIP", &[][..]), ("LoadBalancer", &["192.0.2.0"])] {
            cluster.patch("web", json!({ "spec": { "type": kind } })).await;
            cluster.assigned("web", addresses).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_the_roles_allow_is_needed() {
    let cluster = Cluster::start().await;
    let kinds = ["Deployment", "ValidatingWebhookConfiguration", "CustomResourceDefinition"];
    for object in manifest().iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)) {
        cluster.server.apply_object(object);
    }
    configure(&cluster);
    leave_statuses(&cluster);
    let (daemon, _) = serving(&cluster, &["--ml-secret-name=memberlist", "--deployment=controller"]);
    daemon.ready().await;
    contested_service(&cluster).await;
    break_certificate(&cluster, &daemon).await;
    let token = cluster.token("speaker").await;
    let (status, ..) = https::get(daemon.secure, "/metrics", Some(&token)).await.unwrap();
    assert_eq!(status, 403, "a speaker is no scraper");
    take_a_label(&cluster).await;
    repeat_an_event(&cluster).await;
    cluster.needs_all_rights("controller").await;
}

/// Takes a resource out of all rules of the controller's roles, or gives it back with the others.
fn allow_all_but(cluster: &Cluster, resources: &[&str]) {
    let roles = ["metallb-system:controller", "controller"];
    let is_role = |object: &&mut Value| {
        let kind = object["kind"].as_str().unwrap();
        matches!(kind, "ClusterRole" | "Role") && roles.iter().any(|name| object["metadata"]["name"] == *name)
    };
    for object in manifest().iter_mut().filter(is_role) {
        let rules = object["rules"].as_array_mut().unwrap();
        for rule in rules.iter_mut() {
            let listed = rule["resources"].as_array_mut().unwrap();
            listed.retain(|listed| !resources.iter().any(|taken| listed == taken));
        }
        rules.retain(|rule| rule["resources"].as_array().is_some_and(|listed| !listed.is_empty()));
        cluster.server.apply_object(object);
    }
}

#[tokio::test]
async fn missing_rights_are_named_once_each_and_hold_up_nothing_else() {
    let cluster = Cluster::start().await;
    cluster.refuses("resource \"events\"");
    cluster.refuses("resource \"ipaddresspools/status\"");
    cluster.refuses("resource \"l2advertisements\"");
    allow_all_but(&cluster, &["events", "ipaddresspools/status", "l2advertisements"]);
    cluster.pool("web", &["192.0.2.0/28"]);
    // What is written when the lease is lost may come to its end unseen.
    let daemon = controller(&cluster, &["--lease-duration=60s", "--lease-renew-deadline=40s"]);
    for index in 0..5 {
        let name = format!("web-{index}");
        cluster.service(&name, json!({}), json!({})).await;
        cluster.assigned(&name, &[&format!("192.0.2.{index}")]).await;
    }
    let warnings = [
        ["create events", "events"],
        ["patch ipaddresspools", "ipaddresspools"],
        ["list l2advertisements", "l2advertisements"],
    ];
    for [what, resource] in warnings {
        let line = daemon.says(&["WARN", "not allowed to", what, "RBAC", "deploy/manifests"]).await;
        assert!(line.contains("error=") && line.contains(resource), "{line}");
    }
    let lines = daemon.log();
    for [what, _] in warnings {
        let told = lines.iter().filter(|line| line.contains("WARN") && line.contains(what));
        assert_eq!(told.count(), 1, "{what}: {lines:#?}");
    }
    assert_eq!(cluster.events("web-0", "IPAllocated").await.len(), 0);

    allow_all_but(&cluster, &[]);
    daemon.ready().await;
    // Events that could not be written are gone, those of today come.
    cluster.service("late", json!({}), json!({})).await;
    cluster.event("late", "IPAllocated").await;
    cluster
        .until_system::<IPAddressPool>("web", |pool| {
            pool.status.as_ref().is_some_and(|status| status.assigned_ipv4 == 6)
        })
        .await;
    daemon.says(&["over: not allowed to create events"]).await;
}

#[tokio::test]
async fn a_right_that_is_taken_away_while_it_runs_costs_no_address() {
    let (cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.refuses("resource \"services/status\"");
    cluster.service("before", json!({}), json!({})).await;
    let before = cluster.assigned("before", &["192.0.2.0"]).await;
    allow_all_but(&cluster, &["services/status"]);
    cluster.service("after", json!({}), json!({})).await;
    daemon.says(&["WARN", "not allowed to patch services", "RBAC"]).await;
    allow_all_but(&cluster, &[]);
    cluster.assigned("after", &["192.0.2.1"]).await;
    let same = cluster.services().get("before").await.unwrap();
    assert_eq!(before.metadata.resource_version, same.metadata.resource_version);
}

#[tokio::test]
async fn without_the_right_to_read_nodes_that_is_said_once_and_everything_else_goes_on() {
    let cluster = Cluster::start().await;
    cluster.refuses("resource \"nodes\"");
    cluster.refuses("resource \"endpointslices\"");
    allow_all_but(&cluster, &["nodes", "endpointslices"]);
    cluster.pool("web", &["192.0.2.0/28"]);
    let daemon = controller(&cluster, &[]);
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.0"]).await;
    daemon.says(&["WARN", "not allowed to list nodes", "RBAC"]).await;
    daemon.ready().await;
    let told =
        |lines: Vec<String>| lines.iter().filter(|line| line.contains("not allowed to list nodes")).count();
    assert_eq!(told(daemon.log()), 1);
}

//! `metallb migrate frr-k8s`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};

use crate::support::{CLUSTER, Cluster, err, out, serve_metrics, speaker_on};

const FRR: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: frrconfigurations.frrk8s.metallb.io}
spec:
  group: frrk8s.metallb.io
  scope: Namespaced
  names: {kind: FRRConfiguration, listKind: FRRConfigurationList, plural: frrconfigurations, singular: frrconfiguration}
  versions:
  - name: v1beta1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: frrk8s.metallb.io/v1beta1
kind: FRRConfiguration
metadata: {name: metallb-worker-1, namespace: metallb-system}
spec: {bgp: {routers: [{asn: 64500, neighbors: [{address: 192.0.2.254, asn: 64512}]}]}}
---
apiVersion: frrk8s.metallb.io/v1beta1
kind: FRRConfiguration
metadata: {name: ours, namespace: metallb-system}
spec: {bgp: {routers: []}}
";

fn metrics(is_up: bool) -> String {
    let state = if is_up { "Established" } else { "Idle" };
    format!(
        "metallb_build_info{{version=\"0.1.0\"}} 1\nmetallb_bgp_state{{peer=\"192.0.2.254\",state=\"{state}\"}} 1\n"
    )
}

/// The names of the FRRConfigurations that are there.
async fn left(cluster: &Cluster) -> Vec<String> {
    let client = kube::Client::new(cluster.server.service(), "metallb-system");
    let kind =
        ApiResource::from_gvk(&GroupVersionKind::gvk("frrk8s.metallb.io", "v1beta1", "FRRConfiguration"));
    let api: Api<DynamicObject> = Api::namespaced_with(client, "metallb-system", &kind);
    let found = api.list(&ListParams::default()).await.unwrap();
    found.items.into_iter().filter_map(|object| object.metadata.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_taken_over_when_frr_lets_go_and_not_before() {
    let cluster = Cluster::start(true, &[CLUSTER, FRR].join("---"));
    let is_up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_up);
    cluster.apply(&speaker_on(serve_metrics(move || metrics(seen.load(Ordering::SeqCst)))));
    let saved = cluster.directory.path().join("saved");
    let save = saved.to_str().unwrap();
    let dry = cluster.run("admin", &["migrate", "frr-k8s", "--save", save]).await;
    assert_eq!(dry.status.code(), Some(0), "{}{}", out(&dry), err(&dry));
    assert!(
        out(&dry).contains("worker-1: delete FRRConfiguration metallb-worker-1, then wait"),
        "{}",
        out(&dry)
    );
    assert!(out(&dry).contains("not touched, as MetalLB did not write them: ours"), "{}", out(&dry));
    assert_eq!(left(&cluster).await, ["metallb-worker-1", "ours"]);
    // The native speaker does not come up: it stops, and says how to go back.
    let stuck =
        cluster.run("admin", &["migrate", "frr-k8s", "--apply", "--timeout", "0", "--save", save]).await;
    assert_eq!(stuck.status.code(), Some(1), "{}{}", out(&stuck), err(&stuck));
    let file = saved.join("metallb-worker-1.json");
    let back = format!("router: Idle; to go back: kubectl apply -f {}", file.display());
    assert!(out(&stuck).contains(&back), "{}", out(&stuck));
    assert_eq!(left(&cluster).await, ["ours"]);
    cluster.apply(&std::fs::read_to_string(&file).unwrap());
    // And this time it does, as soon as FRR has let go.
    is_up.store(true, Ordering::SeqCst);
    let done = cluster.run("admin", &["migrate", "frr-k8s", "--apply", "--save", save]).await;
    assert_eq!(done.status.code(), Some(0), "{}{}", out(&done), err(&done));
    assert!(out(&done).contains("worker-1: 1 of 1 sessions are established natively\n"), "{}", out(&done));
    assert_eq!(left(&cluster).await, ["ours"]);
    let again = cluster.run("admin", &["migrate", "frr-k8s", "--apply", "--save", save]).await;
    assert_eq!(again.status.code(), Some(0));
    assert!(out(&again).starts_with("no FRRConfiguration of MetalLB is left"), "{}", out(&again));
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_while_the_speaker_cannot_be_asked() {
    let cluster = Cluster::start(true, &[CLUSTER, FRR].join("---"));
    cluster.apply(&speaker_on(0));
    let refused = cluster.run("admin", &["migrate", "frr-k8s", "--apply"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}{}", out(&refused), err(&refused));
    assert!(
        out(&refused).contains("✗ speaker-1 cannot be asked: its metrics are switched off"),
        "{}",
        out(&refused)
    );
    assert_eq!(left(&cluster).await, ["metallb-worker-1", "ours"]);
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_frr_k8s_that_is_said() {
    let cluster = Cluster::start(true, CLUSTER);
    let absent = cluster.run("admin", &["migrate", "frr-k8s"]).await;
    assert_eq!(absent.status.code(), Some(3), "{}", out(&absent));
    assert!(err(&absent).contains("the cluster does not know FRRConfiguration"), "{}", err(&absent));
    cluster.server.shutdown().await;
}

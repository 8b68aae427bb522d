//! API servers that are gone, mute or new, and what the controller makes at its start.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;
use metallb_k8s::crd::IPAddressPool;
use serde_json::json;

use crate::harness::Cluster;
use crate::{controller, with_pool};

pub(crate) const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: metallb-system}
spec:
  selector: {matchLabels: {app: metallb}}
  template:
    metadata: {labels: {app: metallb}}
    spec: {containers: [{name: controller, image: example.com/controller}]}
";

#[tokio::test]
async fn an_outage_of_the_api_server_is_survived() {
    let (mut cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.service("before", json!({}), json!({})).await;
    cluster.assigned("before", &["192.0.2.0"]).await;
    cluster.front.down().await;
    daemon.shows("metallb_controller_leader", "0.0").await;
    cluster.service("during", json!({}), json!({})).await;
    cluster.front.up().await;
    cluster.assigned("during", &["192.0.2.1"]).await;
    for line in daemon.log() {
        let failure = line.contains("WARN") || line.contains("ERROR");
        assert!(!failure || line.contains("error="), "{line}");
    }
    daemon.says(&["over: the API server cannot be reached"]).await;
    let outages = daemon.log().into_iter().filter(|line| line.contains("trying again"));
    let outages: Vec<String> = outages.collect();
    assert_eq!(outages.len(), 1, "one line for one outage: {outages:#?}");
}

#[tokio::test]
async fn the_controller_gives_up_every_right() {
    let (_cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    daemon.ready().await;
    for thread in std::fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        for line in ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| format!("{set}:\t0000000000000000\n"))
        {
            assert!(status.contains(&line), "{line}{status}");
        }
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    }
}

#[tokio::test]
async fn a_restored_api_server_with_other_versions_is_taken_as_it_is() {
    let (mut cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    for name in ["one", "two"] {
        cluster.service(name, json!({}), json!({})).await;
        cluster.until(name, |service| !crate::harness::addresses(service).is_empty()).await;
    }
    // The restored one has seen less.
    for count in 0..100 {
        cluster.patch("two", json!({ "metadata": { "labels": { "count": count.to_string() } } })).await;
    }
    cluster.front.down().await;
    let services = cluster.services();
    cluster.delete(services.clone(), "one").await;
    let pools = cluster.system::<IPAddressPool>().list(&kube::api::ListParams::default()).await.unwrap();
    cluster.restore::<Service>(&[services]).await;
    for pool in pools {
        cluster.configure("IPAddressPool", &pool.name_any(), &json!(pool.spec));
    }
    cluster.front.up().await;
    cluster.service("three", json!({}), json!({})).await;
    // What the deleted one had is free again, what the other has stays.
    cluster.assigned("three", &["192.0.2.0"]).await;
    cluster.assigned("two", &["192.0.2.1"]).await;
    drop(daemon);
}

#[tokio::test]
async fn an_api_server_that_cannot_be_reached_at_the_start_is_waited_for() {
    let mut cluster = Cluster::start().await;
    cluster.front.down().await;
    cluster.apply(DEPLOYMENT);
    cluster.pool("web", &["192.0.2.0/28"]);
    cluster.service("web", json!({}), json!({})).await;
    let daemon = controller(&cluster, &["--ml-secret-name=memberlist", "--deployment=controller"]);
    daemon.says(&["WARN", "error=", "trying again"]).await;
    daemon.shows("metallb_k8s_client_config_loaded_bool", "0.0").await;
    cluster.front.up().await;
    cluster.assigned("web", &["192.0.2.0"]).await;
    cluster.until_system::<Secret>("memberlist", |_| true).await;
}

#[tokio::test]
async fn sigterm_is_heard_while_the_api_server_cannot_be_reached() {
    let mut cluster = Cluster::start().await;
    cluster.front.down().await;
    let mut daemon = controller(&cluster, &["--ml-secret-name=memberlist", "--deployment=controller"]);
    daemon.says(&["WARN", "error="]).await;
    let (status, took) = daemon.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn the_shared_secret_is_made_once_and_belongs_to_the_deployment() {
    let cluster = Cluster::start().await;
    cluster.apply(DEPLOYMENT);
    let args = ["--ml-secret-name=memberlist", "--deployment=controller"];
    let mut daemon = controller(&cluster, &args);
    let secret = cluster.until_system::<Secret>("memberlist", |_| true).await;
    assert_eq!(secret.data.as_ref().unwrap()["secretkey"].0.len(), 128);
    let owner = &secret.owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Deployment", "controller"));
    daemon.terminate().await;
    let daemon = controller(&cluster, &args);
    daemon.ready().await;
    daemon.shows("metallb_controller_leader", "1.0").await;
    let again = cluster.system::<Secret>().get("memberlist").await.unwrap();
    assert_eq!(secret.resource_version(), again.resource_version());
}

#[tokio::test]
async fn the_shared_secret_is_made_again_when_it_is_deleted_and_another_is_left_alone() {
    let cluster = Cluster::start().await;
    let _daemon = controller(&cluster, &["--ml-secret-name=memberlist"]);
    let first = cluster.until_system::<Secret>("memberlist", |_| true).await;
    cluster.system::<Secret>().delete("memberlist", &kube::api::DeleteParams::default()).await.unwrap();
    let second = cluster.until_system::<Secret>("memberlist", |secret| secret.uid() != first.uid()).await;
    assert_ne!(first.data, second.data);

    let other = Cluster::start().await;
    other.apply(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: memberlist, namespace: metallb-system}\n\
         stringData: {secretkey: from-metallb}\n",
    );
    other.pool("web", &["192.0.2.0/28"]);
    let before = other.system::<Secret>().get("memberlist").await.unwrap();
    let daemon = controller(&other, &["--ml-secret-name=memberlist"]);
    daemon.ready().await;
    other.service("web", json!({}), json!({})).await;
    other.assigned("web", &["192.0.2.0"]).await;
    let after = other.system::<Secret>().get("memberlist").await.unwrap();
    assert_eq!((before.uid(), before.resource_version()), (after.uid(), after.resource_version()));
}

#[tokio::test]
async fn a_configuration_in_the_old_format_is_warned_about_once() {
    let cluster = Cluster::start().await;
    cluster.apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: metallb-system}\n\
         data:\n  config: |\n    address-pools:\n    - name: default\n      protocol: layer2\n",
    );
    cluster.pool("web", &["192.0.2.0/28"]);
    let daemon = controller(&cluster, &[]);
    let line = daemon.says(&["WARN", "metallb-system/config", "error="]).await;
    assert!(line.contains("docs/migration.md"), "{line}");
    daemon.ready().await;
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.0"]).await;
    let lines = daemon.log().into_iter().filter(|line| line.contains("metallb-system/config"));
    assert_eq!(lines.count(), 1);
}

#[tokio::test]
async fn a_kind_that_may_not_be_listed_is_named_and_holds_up_nothing_but_readiness() {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/28"]);
    cluster.front.refuse(|request| request.path.ends_with("/bgppeers").then_some(403));
    let daemon = controller(&cluster, &[]);
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.0"]).await;
    daemon.lacks(&["not allowed to list bgppeers.metallb.io"]).await;
    let line = daemon.says(&["WARN", "list", "bgppeers.metallb.io", "refused by the test"]).await;
    assert!(!line.contains("Status {"), "{line}");
    assert_eq!(line.matches("refused by the test").count(), 1, "{line}");
    cluster.front.relent();
    daemon.ready().await;
    daemon.says(&["over: not allowed to list bgppeers.metallb.io"]).await;
}

#[tokio::test]
async fn a_lease_that_may_not_be_written_and_a_missing_definition_keep_it_from_being_ready() {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/28"]);
    cluster.front.refuse(|request| {
        let lease = request.writes("/leases") || request.writes("/leases/metallb-controller");
        let definition = request.path.ends_with("/bfdprofiles");
        if lease { Some(403) } else { definition.then_some(404) }
    });
    let daemon = controller(&cluster, &[]);
    daemon
        .lacks(&["not allowed to", "leases.coordination.k8s.io", "bfdprofiles.metallb.io is not defined"])
        .await;
    daemon.says(&["WARN", "bfdprofiles.metallb.io", "deploy/crds"]).await;
    daemon.says(&["WARN", "leases.coordination.k8s.io", "RBAC"]).await;
    cluster.front.relent();
    daemon.ready().await;
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.0"]).await;
}

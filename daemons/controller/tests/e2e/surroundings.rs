//! API servers that are gone, mute or new, and what the controller makes at its start.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;
use metallb_k8s::crd::IPAddressPool;
use serde_json::json;

use crate::harness::Cluster;
use crate::{controller, with_pool};

const DEPLOYMENT: &str = "\
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
    daemon.says(&["watch failed, trying again", "services", "error="]).await;
    let repeated =
        daemon.log().into_iter().filter(|line| line.contains("watch failed") && line.contains("/services"));
    assert_eq!(repeated.count(), 1, "one line for one outage");
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

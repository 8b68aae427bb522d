//! What the roles in `deploy/manifests` allow the speaker. That nothing is missing is seen in every test: a refusal fails it.

use std::time::{Duration, Instant};

use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use metallb_k8s::crd::{ConfigurationState, ServiceBGPStatus, ServiceL2Status};
use serde_json::json;

use crate::collector::Collector;
use crate::harness::{Cluster, eventually, https};
use crate::life::pod_of_a_daemon_set;
use crate::site::{cluster, endpoint, in_namespace, peer, secret, service, speaker};
use crate::takeover::DEFINITION;

/// Waits until there are statuses of as many services.
async fn statuses(cluster: &Cluster, count: usize) {
    eventually(&format!("{count} statuses of each kind"), async || {
        let params = ListParams::default();
        let layer2 = cluster.system::<ServiceL2Status>().list(&params).await.unwrap().items.len();
        let bgp = cluster.system::<ServiceBGPStatus>().list(&params).await.unwrap().items.len();
        (layer2 == count && bgp == count).then_some(())
    })
    .await;
}

/// Takes the labels off everything that the speaker made; they come back.
async fn labels_come_back(cluster: &Cluster) {
    async fn of<K>(cluster: &Cluster)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let all = cluster.system::<K>().list(&ListParams::default()).await.unwrap().items;
        for before in all {
            let bare = json!({
                "metadata": { "labels": { "metallb.io/service-name": null, "metallb.io/component-type": null } },
            });
            let api = cluster.system::<K>();
            api.patch(&before.name_any(), &PatchParams::default(), &Patch::Merge(bare)).await.unwrap();
            cluster.until_system::<K>(&before.name_any(), |found| found.labels() == before.labels()).await;
        }
    }
    of::<ServiceL2Status>(cluster).await;
    of::<ServiceBGPStatus>(cluster).await;
    of::<ConfigurationState>(cluster).await;
}

/// The same event again and again, until it is counted on the first one: that begins after ten seconds.
async fn repeat_an_event(cluster: &Cluster, collector: &Collector) {
    let begun = Instant::now();
    while cluster.unused_rights("speaker").iter().any(|right| right.ends_with(": patch events")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no event was ever patched");
        for (ready, routes) in [(false, &[][..]), (true, &["192.0.2.200/32"])] {
            endpoint(cluster, "web", ready);
            collector.routes(routes).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[test]
fn everything_that_the_roles_allow_is_needed() {
    in_namespace("rights::everything_that_the_roles_allow_is_needed", async || {
        let cluster = cluster().await;
        cluster.apply(DEFINITION);
        pod_of_a_daemon_set(&cluster);
        secret(&cluster, "router", "s3cret-word");
        let collector = Collector::start(Some("s3cret-word"), false);
        let spec = json!({ "enableGracefulRestart": true, "passwordSecret": { "name": "router" } });
        peer(&cluster, "router", &spec);
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        cluster.configure("L2Advertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        service(&cluster, "goes", &["192.0.2.201"]).await;
        let args = ["--pod-name=speaker-1", "--ml-bindaddr=10.0.0.1", "--ml-labels=app=metallb"];
        let mut speaker = speaker(&cluster, &args);
        collector.routes(&["192.0.2.200/32", "192.0.2.201/32"]).await;
        statuses(&cluster, 2).await;
        cluster.delete(cluster.services(), "goes").await;
        statuses(&cluster, 1).await;
        let token = cluster.token("controller").await;
        let (status, ..) = https::get(speaker.secure, "/metrics", Some(&token)).await.unwrap();
        assert_eq!(status, 403, "a controller is no scraper");
        labels_come_back(&cluster).await;
        repeat_an_event(&cluster, &collector).await;
        // Graceful restart: the node is looked at once more.
        speaker.terminate().await;
        cluster.needs_all_rights("speaker").await;
    });
}

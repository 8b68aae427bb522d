//! What an earlier MetalLB left behind.

use metallb_k8s::crd::{ConfigurationResult, ConfigurationState};
use serde_json::json;

use crate::collector::Collector;
use crate::harness::{Cluster, NAMESPACE, eventually};
use crate::site::{NODE, REMOTE, cluster, in_namespace, peer, service, speaker};

pub(crate) const DEFINITION: &str = "\
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
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    subresources: {status: {}}
";

/// An `FRRConfiguration` with a session with `neighbor`.
fn frr_configuration(cluster: &Cluster, name: &str, neighbor: &str) {
    cluster.server.apply_object(&json!({
        "apiVersion": "frrk8s.metallb.io/v1beta1", "kind": "FRRConfiguration",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "nodeSelector": { "matchLabels": { "kubernetes.io/hostname": NODE } },
            "bgp": { "routers": [{ "asn": 64500, "neighbors": [{ "asn": 64512, "address": neighbor, "port": 179 }] }] },
        },
    }));
}

async fn delete_frr_configuration(cluster: &Cluster, name: &str) {
    use kube::api::{ApiResource, DeleteParams, DynamicObject};
    let gvk = kube::core::GroupVersionKind::gvk("frrk8s.metallb.io", "v1beta1", "FRRConfiguration");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "frrconfigurations");
    let api: kube::Api<DynamicObject> =
        kube::Api::namespaced_with(cluster.client.clone(), NAMESPACE, &resource);
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

#[test]
fn sessions_that_frr_may_hold_begin_when_its_configuration_is_gone() {
    in_namespace("takeover::sessions_that_frr_may_hold_begin_when_its_configuration_is_gone", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        cluster.apply(DEFINITION);
        frr_configuration(&cluster, "metallb-node1", REMOTE);
        // Neither another node's nor a user's matters.
        frr_configuration(&cluster, "metallb-node2", REMOTE);
        frr_configuration(&cluster, "mine", REMOTE);
        peer(&cluster, "router", &json!({}));
        cluster.configure("BGPAdvertisement", "all", &json!({}));
        cluster.configure("L2Advertisement", "all", &json!({}));
        service(&cluster, "web", &["192.0.2.200"]).await;
        let speaker = speaker(&cluster, &[]);
        speaker.ready().await;
        speaker.says(&["WARN", "router", "metallb-node1", "docs/migration.md"]).await;
        let message = cluster.event(NODE, "BGPPeerHeldBack").await;
        assert!(message.contains("router") && message.contains("metallb-system/metallb-node1"), "{message}");
        cluster
            .until_system::<ConfigurationState>("speaker-node1", |state| {
                state.status.as_ref().is_some_and(|status| {
                    status.result == Some(ConfigurationResult::Valid)
                        && status.conditions[0].message.starts_with("warning: BGPPeer \"router\"")
                })
            })
            .await;
        // Layer 2 is not concerned.
        speaker.says(&["announcing", "192.0.2.200"]).await;
        assert!(!collector.is_up());

        delete_frr_configuration(&cluster, "metallb-node1").await;
        collector.routes(&["192.0.2.200/32"]).await;
        speaker.says(&["not held back any more", "router"]).await;

        // MetalLB comes back: the session is given up again.
        frr_configuration(&cluster, "metallb-node1", REMOTE);
        collector.session(false).await;
        delete_frr_configuration(&cluster, "metallb-node1").await;
        collector.session(true).await;
    });
}

#[test]
fn peers_that_frr_does_not_know_have_their_sessions() {
    in_namespace("takeover::peers_that_frr_does_not_know_have_their_sessions", async || {
        let cluster = cluster().await;
        let collector = Collector::start(None, false);
        cluster.apply(DEFINITION);
        frr_configuration(&cluster, "metallb-node1", "203.0.113.9");
        peer(&cluster, "router", &json!({}));
        let speaker = speaker(&cluster, &[]);
        collector.session(true).await;
        eventually("nothing is held back", async || {
            (!speaker.log().iter().any(|line| line.contains("held back"))).then_some(())
        })
        .await;
    });
}

#[test]
fn kinds_of_status_that_may_not_be_listed_do_not_hold_up_announcements() {
    in_namespace(
        "takeover::kinds_of_status_that_may_not_be_listed_do_not_hold_up_announcements",
        async || {
            let cluster = cluster().await;
            cluster.configure("L2Advertisement", "all", &json!({}));
            service(&cluster, "web", &["192.0.2.200"]).await;
            cluster.front.refuse(|request| {
                let refused = request.path.contains("/servicel2statuses")
                    || request.path.contains("/frrconfigurations");
                refused.then_some(403)
            });
            let speaker = speaker(&cluster, &[]);
            speaker.says(&["announcing", "192.0.2.200"]).await;
            speaker.lacks(&["not allowed to list servicel2statuses.metallb.io"]).await;
            speaker.says(&["WARN", "list", "frrconfigurations.frrk8s.metallb.io"]).await;
            cluster.front.relent();
            speaker.ready().await;
        },
    );
}

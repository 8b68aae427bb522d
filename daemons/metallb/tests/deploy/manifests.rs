//! The manifests of `deploy/manifests`.

use serde_json::json;
use std::collections::BTreeSet;

use crate::support::{find, kustomize, objects, read, title};

const VARIANTS: [&str; 2] = ["native", "native-prometheus"];

/// What `kubectl apply` writes into an annotation must fit into it.
const ANNOTATION_LIMIT: usize = 262_144;

fn manifest(variant: &str) -> Vec<serde_json::Value> {
    objects(&read(&format!("deploy/manifests/metallb-{variant}.yaml")))
}

#[test]
fn the_manifests_are_what_their_sources_build() {
    for variant in VARIANTS {
        let Some(built) = kustomize(&format!("deploy/manifests/{variant}")) else { return };
        let committed = read(&format!("deploy/manifests/metallb-{variant}.yaml"));
        assert!(
            built == committed,
            "metallb-{variant}.yaml is outdated: run `just manifests` (kubectl kustomize)"
        );
    }
}

#[test]
fn every_object_is_in_the_one_namespace_or_in_none() {
    for variant in VARIANTS {
        for object in manifest(variant) {
            let cluster_wide = [
                "ClusterRole",
                "ClusterRoleBinding",
                "CustomResourceDefinition",
                "Namespace",
                "ValidatingWebhookConfiguration",
            ];
            let expected = match object["kind"].as_str().unwrap() {
                kind if cluster_wide.contains(&kind) => json!(null),
                _ => json!("metallb-system"),
            };
            assert_eq!(object["metadata"]["namespace"], expected, "{}", title(&object));
        }
    }
}

#[test]
fn the_prometheus_variant_only_adds_to_the_other() {
    let titles = |variant| manifest(variant).iter().map(title).collect::<BTreeSet<_>>();
    let (native, prometheus) = (titles("native"), titles("native-prometheus"));
    let added: Vec<_> = prometheus.difference(&native).map(String::as_str).collect();
    let monitors = [
        "Role/prometheus-k8s",
        "RoleBinding/prometheus-k8s",
        "Service/controller-monitor-service",
        "Service/speaker-monitor-service",
        "ServiceMonitor/controller-monitor",
        "ServiceMonitor/speaker-monitor",
    ];
    assert_eq!(added, monitors);
    assert!(native.is_subset(&prometheus));
}

#[test]
fn everything_fits_into_the_annotation_of_kubectl_apply() {
    for object in manifest("native-prometheus") {
        let size = object.to_string().len();
        assert!(size < ANNOTATION_LIMIT / 2, "{} has {size} bytes", title(&object));
    }
}

#[test]
fn selectors_that_cannot_be_changed_are_metallbs() {
    let objects = manifest("native");
    for (workload, component) in [("Deployment/controller", "controller"), ("DaemonSet/speaker", "speaker")] {
        let workload = find(&objects, workload);
        let labels = json!({ "app": "metallb", "component": component });
        assert_eq!(workload["spec"]["selector"], json!({ "matchLabels": labels }));
        assert_eq!(workload["spec"]["template"]["metadata"]["labels"], labels);
        assert_eq!(workload["metadata"]["labels"], labels);
    }
}

#[test]
fn a_webhook_that_cannot_be_reached_refuses_nothing() {
    let objects = manifest("native");
    let configuration = find(&objects, "ValidatingWebhookConfiguration/metallb-webhook-configuration");
    let webhooks = configuration["webhooks"].as_array().unwrap();
    let policies: BTreeSet<_> = webhooks.iter().map(|webhook| webhook["failurePolicy"].as_str()).collect();
    assert_eq!((webhooks.len(), policies), (6, BTreeSet::from([Some("Ignore")])));
}

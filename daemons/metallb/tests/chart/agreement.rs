//! Chart and manifests say the same, but for names and labels.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::files::{objects, read, title};
use crate::helm::Helm;

/// What an object of the chart is called in the manifests.
const NAMES: [(&str, &str); 12] = [
    ("metallb:controller", "metallb-system:controller"),
    ("metallb:speaker", "metallb-system:speaker"),
    ("metallb-controller-monitor-service", "controller-monitor-service"),
    ("metallb-speaker-monitor-service", "speaker-monitor-service"),
    ("metallb-controller-monitor", "controller-monitor"),
    ("metallb-speaker-monitor", "speaker-monitor"),
    ("metallb-pod-lister", "pod-lister"),
    ("metallb-prometheus", "prometheus-k8s"),
    ("metallb-memberlist", "memberlist"),
    ("bgppeervalidationwebhook.metallb.io", "bgppeersvalidationwebhook.metallb.io"),
    ("metallb-controller", "controller"),
    ("metallb-speaker", "speaker"),
];

/// Values that make the chart say what the manifests say: those have annotations for scraping and monitors for Prometheus
/// as kube-prometheus installs it.
const VALUES: [&str; 5] = [
    "prometheus.scrapeAnnotations=true",
    "prometheus.serviceMonitor.enabled=true",
    r#"prometheus.serviceMonitor.interval="30s""#,
    r#"prometheus.serviceAccount="prometheus-k8s""#,
    r#"prometheus.namespace="monitoring""#,
];

/// Keys whose values are labels or select by them.
const LABELS: [&str; 4] = ["labels", "matchLabels", "selector", "jobLabel"];

/// What Kubernetes fills in; writing it down changes nothing.
fn without_defaults(map: &mut Map<String, Value>) {
    let defaults = [
        ("initialDelaySeconds", json!(0)),
        ("periodSeconds", json!(10)),
        ("timeoutSeconds", json!(1)),
        ("successThreshold", json!(1)),
        ("failureThreshold", json!(3)),
        ("replicas", json!(1)),
        ("updateStrategy", json!({"type": "RollingUpdate"})),
        // Of ServiceMonitors, by the Prometheus operator.
        ("path", json!("/metrics")),
        ("scrapeTimeout", json!("10s")),
    ];
    for (key, value) in defaults {
        if map.get(key) == Some(&value) {
            map.remove(key);
        }
    }
}

/// An object with the names of the manifests and without labels.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let renamed = NAMES.iter().find(|(chart, _)| chart == text);
            json!(renamed.map_or(text.as_str(), |(_, manifests)| manifests))
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(map) => {
            let mut map: Map<_, _> = map
                .iter()
                .filter(|(key, value)| !LABELS.contains(&key.as_str()) && !value.is_null())
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect();
            without_defaults(&mut map);
            Value::Object(map)
        }
        other => other.clone(),
    }
}

/// Lists whose order means nothing, in one order.
fn sorted(mut object: Value) -> Value {
    if object["kind"] == "ValidatingWebhookConfiguration" {
        let webhooks = object["webhooks"].as_array_mut().unwrap();
        webhooks.sort_by_key(|webhook| webhook["clientConfig"]["service"]["path"].to_string());
    }
    if object["kind"] == "CustomResourceDefinition" {
        // Whether it stays behind is a matter of the chart.
        object["metadata"] = json!({"name": object["metadata"]["name"]});
    }
    object
}

fn by_name(objects: &[Value]) -> BTreeMap<String, Value> {
    objects.iter().map(|object| sorted(plain(object))).map(|object| (title(&object), object)).collect()
}

#[test]
fn chart_and_manifests_agree_in_everything_but_names_and_labels() {
    let Some(helm) = Helm::find() else { return };
    let chart = by_name(&helm.template(&VALUES));
    let mut manifests = by_name(&objects(&read("deploy/manifests/metallb-native-prometheus.yaml")));
    // Helm makes the namespace, by `--create-namespace`.
    assert!(manifests.remove("Namespace/metallb-system").is_some());
    assert_eq!(chart.keys().collect::<Vec<_>>(), manifests.keys().collect::<Vec<_>>());
    for (name, object) in &manifests {
        let ours = &chart[name];
        assert!(ours == object, "{name} differs.\nmanifest: {object:#}\nchart: {ours:#}");
    }
}

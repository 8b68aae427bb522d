//! Names, labels and selectors: what an upgrade from MetalLB's chart depends on.

use serde_json::{Value, json};

use crate::files::{find, title};
use crate::helm::Helm;

/// Release, values, and what the names of objects then begin with.
const NAMES: [(&str, &[&str], &str); 7] = [
    ("metallb", &[], "metallb"),
    ("my-metallb", &[], "my-metallb"),
    ("lb", &[], "lb-metallb"),
    ("lb", &[r#"nameOverride="balancer""#], "lb-balancer"),
    ("balancer", &[r#"nameOverride="balancer""#], "balancer"),
    ("lb", &[r#"fullnameOverride="edge""#], "edge"),
    ("metallb", &[r#"fullnameOverride="edge""#, r#"nameOverride="balancer""#], "edge"),
];

#[test]
fn names_follow_release_and_overrides() {
    let Some(helm) = Helm::find() else { return };
    for (release, values, expected) in NAMES {
        let objects = helm.template_as(release, values);
        let workload = find(&objects, &format!("DaemonSet/{expected}-speaker"));
        let volumes = workload["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
        assert_eq!(
            volumes[0]["secret"]["secretName"],
            format!("{expected}-memberlist"),
            "{release} {values:?}"
        );
        find(&objects, &format!("Deployment/{expected}-controller"));
        find(&objects, &format!("ClusterRole/{expected}:controller"));
        find(&objects, &format!("Role/{expected}-pod-lister"));
    }
}

#[test]
fn a_long_name_is_cut_where_kubernetes_would_refuse_it() {
    let Some(helm) = Helm::find() else { return };
    let release = "a".repeat(53);
    let objects = helm.template_as(&release, &[]);
    let name = format!("{release}-metallb");
    find(&objects, &format!("DaemonSet/{name}-speaker"));
    let long = format!(r#"fullnameOverride="{}-tail""#, "b".repeat(62));
    find(&helm.template(&[&long]), &format!("DaemonSet/{}-speaker", "b".repeat(62)));
}

/// The labels by which a workload selects its pods, as MetalLB's chart has them.
fn selector(name: &str, release: &str, component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": name, "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": component,
    })
}

#[test]
fn selectors_are_metallbs_and_pods_are_found_by_the_manifests_labels_too() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.template_as("lb", &["names.yaml"]);
    for (kind, component) in [("Deployment", "controller"), ("DaemonSet", "speaker")] {
        let workload = find(&objects, &format!("{kind}/edge-balancer-{component}"));
        let expected = selector("balancer", "lb", component);
        assert_eq!(workload["spec"]["selector"], json!({ "matchLabels": expected }));
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&labels[key], value);
        }
        assert_eq!((&labels["app"], &labels["component"]), (&json!("metallb"), &json!(component)));
    }
}

#[test]
fn labels_of_the_user_change_no_selector() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.template(&["scheduling.yaml"]);
    let workload = find(&objects, "Deployment/metallb-controller");
    assert_eq!(workload["spec"]["selector"]["matchLabels"], selector("metallb", "metallb", "controller"));
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["team"], &labels["app"]), (&json!("network"), &json!("metallb")));
}

#[test]
fn service_accounts_are_those_of_the_values() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.template(&["names.yaml"]);
    let accounts: Vec<_> =
        objects.iter().map(title).filter(|name| name.starts_with("ServiceAccount")).collect();
    assert_eq!(accounts, ["ServiceAccount/balancer-controller"]);
    let binding = find(&objects, "ClusterRoleBinding/edge-balancer:speaker");
    assert_eq!(binding["subjects"][0]["name"], "default-speaker");
    let workload = find(&objects, "DaemonSet/edge-balancer-speaker");
    assert_eq!(workload["spec"]["template"]["spec"]["serviceAccountName"], "default-speaker");
}

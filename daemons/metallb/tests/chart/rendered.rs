//! What the value sets of `ci/` render.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::mk_server;
use crate::files::{CHART, find, names, title, yaml};
use crate::helm::Helm;

fn value_sets() -> Vec<String> {
    names(&format!("{CHART}/ci"))
}

/// Whether everything that was asked for is there, beside what a server fills in. A null asks for nothing.
fn holds(asked: &Value, found: &Value) -> bool {
    match (asked, found) {
        (Value::Null, _) => true,
        (Value::Object(asked), Value::Object(found)) => asked
            .iter()
            .all(|(key, value)| value.is_null() || found.get(key).is_some_and(|found| holds(value, found))),
        (Value::Array(asked), Value::Array(found)) => {
            asked.len() == found.len() && asked.iter().zip(found).all(|(asked, found)| holds(asked, found))
        }
        _ => asked == found,
    }
}

#[test]
fn there_are_at_least_ten_value_sets() {
    assert!(value_sets().len() >= 10, "{:?}", value_sets());
}

#[test]
fn an_api_server_takes_all_that_the_value_sets_render_and_keeps_it_as_it_is() {
    let Some(helm) = Helm::find() else { return };
    for values in value_sets() {
        let server = mk_server();
        let mut seen = BTreeSet::new();
        for object in helm.template(&[&values]) {
            let name = title(&object);
            assert!(seen.insert(name.clone()), "{values}: {name} twice");
            let stored =
                server.apply_object(&object).unwrap_or_else(|error| panic!("{values}: {name}: {error}"));
            assert!(holds(&object, &stored), "{values}: {name}: {object:#}\nis stored as {stored:#}");
        }
    }
}

#[test]
fn everything_is_in_the_releases_namespace_and_says_whose_it_is() {
    let Some(helm) = Helm::find() else { return };
    let cluster_wide =
        ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ValidatingWebhookConfiguration"];
    for values in value_sets() {
        for object in helm.template(&[&values]) {
            let name = title(&object);
            let expected = match object["kind"].as_str().unwrap() {
                kind if cluster_wide.contains(&kind) => Value::Null,
                _ => json!("metallb-system"),
            };
            assert_eq!(object["metadata"]["namespace"], expected, "{values}: {name}");
            assert_eq!(
                object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm",
                "{values}: {name}"
            );
        }
    }
}

/// Names of the ports of the only container of a workload.
fn ports(objects: &[Value], workload: &str) -> Vec<String> {
    let pod = &find(objects, workload)["spec"]["template"]["spec"];
    let ports = pod["containers"][0]["ports"].as_array();
    let name = |port: &Value| format!("{}:{}", port["name"].as_str().unwrap(), port["containerPort"]);
    ports.map(|ports| ports.iter().map(name).collect()).unwrap_or_default()
}

#[test]
fn metrics_are_served_where_the_values_say() {
    let Some(helm) = Helm::find() else { return };
    let cases: [(&str, &[&str]); 5] = [
        ("defaults.yaml", &["monitoring:7472", "metricshttps:9120", "webhook-server:9443"]),
        ("metallb-0.16.yaml", &["metricshttps:9120", "webhook-server:9443"]),
        ("https-only.yaml", &["metricshttps:9443", "webhook-server:9443"]),
        ("pod-monitor.yaml", &["monitoring:7472", "webhook-server:9443"]),
        ("no-webhooks.yaml", &[]),
    ];
    for (values, expected) in cases {
        let objects = helm.template(&[values]);
        assert_eq!(ports(&objects, "Deployment/metallb-controller"), expected, "{values}");
    }
}

#[test]
fn monitors_scrape_a_port_that_is_there() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.template(&["service-monitor.yaml"]);
    for component in ["controller", "speaker"] {
        let monitor = find(&objects, &format!("ServiceMonitor/metallb-{component}-monitor"));
        let service = find(&objects, &format!("Service/metallb-{component}-monitor-service"));
        let endpoint = &monitor["spec"]["endpoints"][0];
        assert_eq!((&endpoint["port"], &endpoint["scheme"]), (&json!("metricshttps"), &json!("https")));
        assert_eq!(endpoint["honorLabels"], true);
        assert_eq!(
            service["spec"]["ports"][0],
            json!({"name": "metricshttps", "port": 9120, "targetPort": 9120})
        );
        assert_eq!(monitor["spec"]["selector"]["matchLabels"]["name"], service["metadata"]["labels"]["name"]);
        assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    }
    let objects = helm.template(&["pod-monitor.yaml"]);
    let endpoint = &find(&objects, "PodMonitor/metallb-speaker")["spec"]["podMetricsEndpoints"][0];
    assert_eq!((&endpoint["port"], &endpoint["interval"]), (&json!("monitoring"), &json!("30s")));
}

#[test]
fn a_policy_lets_in_what_is_served_and_nothing_else() {
    let Some(helm) = Helm::find() else { return };
    let policy = |values: &str| {
        let objects = helm.template(&[values]);
        find(&objects, "NetworkPolicy/controller")["spec"].clone()
    };
    let open = policy("controller-only.yaml");
    let names: Vec<_> =
        open["ingress"][0]["ports"].as_array().unwrap().iter().map(|port| &port["port"]).collect();
    assert_eq!(names, ["monitoring", "metricshttps", "webhook-server"]);
    assert_eq!(open["egress"], json!([{"ports": [{"protocol": "TCP", "port": 443}]}]));
    // Without a rule nothing comes in; an empty list of ports would let everything in.
    assert_eq!(policy("no-webhooks.yaml")["ingress"], Value::Null);
}

#[test]
fn a_component_that_is_off_leaves_no_workload_and_no_role() {
    let Some(helm) = Helm::find() else { return };
    for (values, absent) in [("controller-only.yaml", "speaker"), ("speaker-only.yaml", "controller")] {
        for object in helm.template(&[values]) {
            let kind = object["kind"].as_str().unwrap();
            let name = object["metadata"]["name"].as_str().unwrap();
            assert!(kind == "ServiceAccount" || !name.ends_with(absent), "{values}: {kind}/{name}");
        }
    }
}

#[test]
fn peers_may_connect_where_they_are_listened_for() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.template(&["bgp.yaml"]);
    let container = &find(&objects, "DaemonSet/metallb-speaker")["spec"]["template"]["spec"]["containers"][0];
    let flags = container["args"].as_array().unwrap();
    let expected = [
        "--port=7472",
        "--log-level=warn",
        "--lb-class=example.com/metallb",
        "--ml-wan-config",
        "--ignore-exclude-lb",
        "--bgp-listen=0.0.0.0:179",
        "--bgp-listen=[::]:179",
        "--bgp-ttl=gtsm",
    ];
    assert_eq!(flags, &expected.map(Value::from));
    assert_eq!(container["securityContext"]["capabilities"]["add"], json!(["NET_RAW", "NET_BIND_SERVICE"]));
    assert_eq!(container["command"], json!(["/speaker"]));
    assert_eq!(container["volumeMounts"], Value::Null);
}

#[test]
fn the_definitions_stay_behind_and_are_converted_by_the_controller() {
    let Some(helm) = Helm::find() else { return };
    let rendered = helm.template(&[]);
    for file in names("deploy/crds").iter().filter(|name| name.starts_with("metallb.io_")) {
        let mut expected = yaml(&format!("deploy/crds/{file}"));
        let name = title(&expected);
        if name.ends_with("/bgppeers.metallb.io") {
            expected["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {"service": {
                    "namespace": "metallb-system", "name": "metallb-webhook-service", "path": "/convert",
                }},
            }});
        }
        let definition = find(&rendered, &name);
        assert_eq!(definition["spec"], expected["spec"], "{name}");
        assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    let removed = helm.template(&["controller-only.yaml"]);
    let definition = find(&removed, "CustomResourceDefinition/bgppeers.metallb.io");
    assert_eq!(definition["metadata"]["annotations"], Value::Null);
}

//! Metrics, probes, debug state and log lines.

use std::collections::BTreeMap;

use metallb_k8s::crd::IPAddressPool;
use serde_json::json;

use crate::controller;
use crate::harness::prometheus::{Prometheus, families, style_remarks};
use crate::harness::state::Form;
use crate::harness::{Cluster, NAMESPACE, free_port, get, https};

/// A cluster in which something was assigned, something failed and something is wrong.
async fn busy() -> (Cluster, crate::harness::Daemon) {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/29", "2001:db8::/64"]);
    cluster.pool("broken", &["nonsense"]);
    let daemon = controller(&cluster, &[]);
    let dual = json!({ "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"] });
    cluster.service("dual", dual, json!({})).await;
    cluster.service("nowhere", json!({}), json!({ "metallb.io/address-pool": "missing" })).await;
    cluster.event("nowhere", "AllocationFailed").await;
    cluster
        .until_system::<IPAddressPool>("web", |pool| {
            pool.status.as_ref().is_some_and(|status| status.assigned_ipv6 == 1)
        })
        .await;
    (cluster, daemon)
}

#[tokio::test]
async fn every_metric_has_its_name_type_and_labels() {
    let (_cluster, daemon) = busy().await;
    insta::assert_snapshot!("controller", families(&daemon.scrape().await));
}

#[tokio::test]
async fn a_pool_and_a_service_that_go_take_their_series_along() {
    let (cluster, daemon) = busy().await;
    let series =
        "metallb_allocator_ip_addresses_in_use_total{pool=\"web\",namespace=\"default\",service=\"dual\"}";
    daemon.shows(series, "2.0").await;
    cluster.delete(cluster.services(), "dual").await;
    daemon.shows("metallb_allocator_addresses_in_use_total{pool=\"web\"}", "0.0").await;
    assert!(!daemon.scrape().await.contains("service=\"dual\""));
    daemon.shows("metallb_k8s_client_config_stale_bool", "1.0").await;
    cluster.delete(cluster.system::<IPAddressPool>(), "broken").await;
    daemon.shows("metallb_k8s_client_config_stale_bool", "0.0").await;
    cluster.delete(cluster.system::<IPAddressPool>(), "web").await;
    crate::harness::eventually("the pool's series are gone", async || {
        (!daemon.scrape().await.contains("pool=\"web\"")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_series_per_service_the_rest_is_there() {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/29"]);
    let daemon = controller(&cluster, &["--metrics-per-service=false"]);
    cluster.service("one", json!({}), json!({})).await;
    daemon.shows("metallb_allocator_services_allocated_total{pool=\"web\"}", "1.0").await;
    assert!(!daemon.scrape().await.contains("service="));
}

#[tokio::test]
async fn a_real_prometheus_takes_every_series() {
    let (_cluster, daemon) = busy().await;
    let Some(prometheus) = Prometheus::start(daemon.metrics).await else { return };
    let values: BTreeMap<&str, f64> = BTreeMap::from([
        ("metallb_allocator_addresses_total{pool=\"web\"}", 18_446_744_073_709_551_624.0),
        ("metallb_allocator_ipv4_addresses_total{pool=\"web\"}", 8.0),
        ("metallb_allocator_ipv4_addresses_in_use_total{pool=\"web\"}", 1.0),
        ("metallb_allocator_ipv6_addresses_in_use_total{pool=\"web\"}", 1.0),
        ("metallb_allocator_services_allocated_total{pool=\"web\"}", 1.0),
        ("metallb_allocator_ip_addresses_in_use_total{service=\"dual\",namespace=\"default\"}", 2.0),
        ("metallb_allocator_addresses_errors_total{reason=\"unknown_pool\"}", 1.0),
        ("metallb_allocator_addresses_errors_total{reason=\"pool_exhausted\"}", 0.0),
        ("metallb_k8s_client_config_loaded_bool", 1.0),
        ("metallb_k8s_client_config_stale_bool", 1.0),
        ("metallb_k8s_client_update_errors_total", 0.0),
        ("metallb_controller_leader", 1.0),
        ("metallb_allocator_allocation_duration_seconds_count", 1.0),
        ("metallb_config_object_accepted{kind=\"IPAddressPool\",name=\"web\"}", 1.0),
        ("metallb_config_object_accepted{kind=\"IPAddressPool\",name=\"broken\"}", 0.0),
        ("process_resident_memory_bytes > bool 1e6", 1.0),
    ]);
    for (query, value) in values {
        prometheus.answers(query, value).await;
    }
    assert_eq!(prometheus.families().await, families(&daemon.scrape().await));
}

#[tokio::test]
async fn metrics_over_https_are_for_those_who_may_have_them() {
    let (_cluster, daemon) = busy().await;
    daemon.scrape().await;
    let scrape = async |token| https::get(daemon.secure, "/metrics", token).await.unwrap();
    let (status, text, certificate) = scrape(None).await;
    assert!(status == 401 && text.contains("Bearer TOKEN"), "{status} {text}");
    assert_eq!(scrape(None).await.2, certificate, "one certificate for the whole life");
    // Nothing is said without TLS there, and nothing but metrics with it.
    assert_eq!(get(daemon.secure, "/metrics").await, None);
    assert_eq!(https::get(daemon.secure, "/readyz", None).await.unwrap().0, 401);
}

#[tokio::test]
async fn the_api_server_says_whose_token_gets_metrics() {
    let cluster = Cluster::start().await;
    let daemon = controller(&cluster, &[]);
    for object in [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "prometheus", "namespace": NAMESPACE } }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "other", "namespace": NAMESPACE } }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "metrics-reader" },
            "rules": [{ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "metrics-reader" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "metrics-reader" },
            "subjects": [{ "kind": "ServiceAccount", "name": "prometheus", "namespace": NAMESPACE }],
        }),
    ] {
        cluster.server.apply_object(&object);
    }
    daemon.scrape().await;
    let scrape = async |token: &str| https::get(daemon.secure, "/metrics", Some(token)).await.unwrap();
    let (status, text, _) = scrape(&cluster.token("prometheus").await).await;
    assert!(status == 200 && text.contains("metallb_build_info"), "{status} {text}");
    let (status, text, _) = scrape(&cluster.token("other").await).await;
    assert_eq!(status, 403, "{text}");
    assert_eq!(text, "system:serviceaccount:metallb-system:other may not get /metrics\n");
    let (status, text, _) = scrape("made-up").await;
    assert_eq!(status, 401, "{text}");
}

#[tokio::test]
async fn one_port_for_both_is_served_over_https_only() {
    let cluster = Cluster::start().await;
    let port = free_port();
    let daemon = controller(&cluster, &[&format!("--port={port}"), &format!("--secure-port={port}")]);
    daemon.ready().await;
    assert_eq!(https::get(port, "/metrics", None).await.unwrap().0, 401);
    assert_eq!(get(port, "/metrics").await, None);
}

#[tokio::test]
async fn a_certificate_from_a_directory_is_shown_and_followed() {
    let cluster = Cluster::start().await;
    let files = tempfile::tempdir().unwrap();
    let daemon = controller(&cluster, &[&format!("--metrics-cert-dir={}", files.path().display())]);
    let line = daemon.says(&["cannot use the certificate", "tls.crt"]).await;
    assert!(line.contains(files.path().to_str().unwrap()) && line.contains("error="), "{line}");
    assert_eq!(https::get(daemon.secure, "/metrics", None).await, None, "no certificate yet");
    for name in ["first.test", "second.test"] {
        let pair = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(files.path().join("tls.crt"), pair.cert.pem()).unwrap();
        std::fs::write(files.path().join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
        crate::harness::eventually("the certificate is shown", async || {
            let (_, _, shown) = https::get(daemon.secure, "/metrics", None).await?;
            (shown == *pair.cert.der()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn promtool_has_only_the_remarks_on_inherited_names() {
    let (_cluster, daemon) = busy().await;
    let Some(remarks) = style_remarks(&daemon.scrape().await) else { return };
    insta::assert_snapshot!("controller_remarks", remarks);
}

#[tokio::test]
async fn probes_tell_life_and_readiness_apart() {
    let mut cluster = Cluster::start().await;
    cluster.front.down().await;
    let daemon = controller(&cluster, &[]);
    daemon.says(&["trying again"]).await;
    assert_eq!(daemon.probe("/healthz").await, Some(200));
    assert_eq!(daemon.probe("/readyz").await, Some(503));
    daemon.shows("metallb_k8s_client_config_loaded_bool", "0.0").await;
    cluster.front.up().await;
    daemon.ready().await;
    daemon.shows("metallb_k8s_client_config_loaded_bool", "1.0").await;
    // Neither the state nor the probes are served where metrics are.
    assert_eq!(daemon.probe("/metrics").await, Some(404));
}

#[tokio::test]
async fn the_debug_state_says_why_services_have_what_they_have() {
    let (_cluster, daemon) = busy().await;
    let state = daemon.state().await;
    assert_eq!(state["leader"], json!(true));
    let [dual, nowhere] = state["allocations"].as_array().unwrap().as_slice() else { panic!("{state}") };
    assert_eq!(dual["service"], json!("default/dual"));
    assert_eq!(dual["addresses"], json!(["192.0.2.0", "2001:db8::"]));
    assert_eq!(dual["outcome"], json!({ "reason": "satisfied", "message": null }));
    assert_eq!(dual["weighed"], json!({ "holds": 1, "rejected": 1 }));
    assert_eq!((&nowhere["service"], &nowhere["addresses"]), (&json!("default/nowhere"), &json!([])));
    assert_eq!(nowhere["outcome"]["reason"], json!("unknown_pool"));
    assert!(nowhere["outcome"]["message"].as_str().unwrap().contains("missing"), "{nowhere}");
    assert_eq!(nowhere["verdicts"], json!(null), "of one service only");
    assert!(state["configurationProblems"][0].as_str().unwrap().contains("broken"), "{state}");

    let state = daemon.state_of("default/nowhere").await;
    let [nowhere] = state["allocations"].as_array().unwrap().as_slice() else { panic!("{state}") };
    let verdict =
        json!({ "pool": "web", "reason": "not_wanted", "message": "is not what the service asks for" });
    assert_eq!(nowhere["verdicts"][1], verdict);
    assert_eq!(nowhere["verdicts"][0]["reason"], json!("rejected"));
    let (status, text) = daemon.state_at("/default/nobody").await;
    assert_eq!((status, text.as_str()), (404, "no service \"default/nobody\" is known here\n"));
}

#[tokio::test]
async fn the_debug_state_has_the_documented_form() {
    let (cluster, daemon) = busy().await;
    cluster.pool("four", &["198.51.100.0/29"]);
    let both = json!({ "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"] });
    cluster.service("half", both, json!({ "metallb.io/address-pool": "four" })).await;
    cluster.assigned("half", &["198.51.100.0"]).await;
    let mut form = Form::default();
    form.add(&daemon.state().await);
    for service in ["default/dual", "default/half", "default/nowhere"] {
        form.add(&daemon.state_of(service).await);
    }
    form.is_documented("Controller", &["allocations[].held[]"]);
}

#[tokio::test]
async fn a_controller_that_does_not_lead_has_no_allocations_to_show() {
    let (cluster, _leader) = busy().await;
    let follower = controller(&cluster, &[]);
    follower.ready().await;
    let state = follower.state().await;
    assert_eq!((&state["leader"], &state["allocations"]), (&json!(false), &json!([])));
    assert!(state["configurationProblems"][0].as_str().unwrap().contains("broken"), "{state}");
    assert_eq!(follower.state_at("/default/dual").await.0, 404);
}

#[tokio::test]
async fn failures_are_logged_with_the_key_error() {
    let (_cluster, daemon) = busy().await;
    let line = daemon.says(&["default/nowhere"]).await;
    assert!(line.contains("error=") && line.contains("AllocationFailed"), "{line}");
    let line = daemon.says(&["addresses assigned", "default/dual"]).await;
    assert!(line.contains("192.0.2.0"), "{line}");
    for line in daemon.log() {
        let failure = line.contains("WARN") || line.contains("ERROR");
        assert!(!failure || line.contains("error="), "{line}");
    }
}

#[tokio::test]
async fn json_lines_have_the_same_keys() {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/29"]);
    let daemon = controller(&cluster, &["--log-format=json"]);
    cluster.service("web", json!({}), json!({})).await;
    let line = daemon.says(&["addresses assigned"]).await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["service"], json!("default/web"));
    assert_eq!(line["level"], json!("INFO"));
}

#[test]
fn every_metric_stands_in_the_documentation() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(here.join(path)).unwrap();
    let document = read("../../docs/metrics.md");
    // What follows is about series, not about metrics one by one.
    let (metrics, _) = document.split_once("\n## Cardinality\n").unwrap();
    let documented: BTreeMap<&str, String> = metrics
        .lines()
        .filter(|line| line.starts_with("| `metallb_") || line.starts_with("| `process_"))
        .map(|row| {
            let mut cells = row.split('|').skip(1).map(str::trim);
            let name = cells.next().unwrap().trim_matches('`');
            let (kind, labels) = (cells.next().unwrap(), cells.next().unwrap().replace(", ", ","));
            (name, format!("{name} {kind} {{{labels}}}"))
        })
        .collect();
    let golden = ["tests", "../speaker/tests"].map(|tests| {
        let name = if tests == "tests" { "controller" } else { "speaker" };
        read(&format!("{tests}/e2e/snapshots/e2e__endpoints__{name}.snap"))
    });
    let exported: std::collections::BTreeSet<&str> =
        golden.iter().flat_map(|text| text.lines()).filter(|line| line.ends_with('}')).collect();
    let documented: std::collections::BTreeSet<&str> = documented.values().map(String::as_str).collect();
    assert_eq!(documented, exported);
}

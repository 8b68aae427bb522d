//! The monitors and rules of `deploy/monitoring`.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{find, kustomize, objects, read};

const RULES: [&str; 2] = ["alerts", "recording-rules"];

fn rules(name: &str) -> Value {
    objects(&read(&format!("deploy/monitoring/rules/{name}.yaml"))).remove(0)
}

fn expressions(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(map) => {
            let own = map.get("expr").and_then(Value::as_str);
            own.into_iter().chain(map.values().flat_map(expressions)).collect()
        }
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

/// Words of an expression that are names of metrics of ours.
fn metrics(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter));
    words.filter(|word| word.starts_with("metallb_") || word.starts_with("metallb:")).collect()
}

#[test]
fn rules_use_only_metrics_that_exist() {
    let documented = read("docs/metrics.md");
    let recorded = rules("recording-rules").to_string();
    for name in RULES {
        let rules = rules(name);
        let expressions = expressions(&rules);
        assert!(!expressions.is_empty(), "{name}");
        for metric in expressions.into_iter().flat_map(metrics) {
            let known = if metric.contains(':') {
                recorded.contains(&format!("{metric:?}"))
            } else {
                documented.contains(&format!("`{metric}`"))
            };
            assert!(known, "{name}: nothing has the name {metric}");
        }
    }
}

#[test]
fn the_dashboard_asks_only_for_metrics_that_exist() {
    let dashboard = read("deploy/monitoring/dashboard/metallb-dashboard.json");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let documented = read("docs/metrics.md");
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 20, "{}", expressions.len());
    for metric in expressions.into_iter().flat_map(metrics) {
        let histogram = metric.trim_end_matches("_bucket");
        assert!(documented.contains(&format!("| `{histogram}` |")), "nothing has the name {metric}");
    }
}

#[test]
fn alerts_say_how_bad_and_what_it_is() {
    let mut names = BTreeSet::new();
    for group in rules("alerts")["spec"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            let severity = rule["labels"]["severity"].as_str().unwrap();
            assert!(["warning", "critical"].contains(&severity), "{name}");
            for annotation in ["summary", "description", "runbook_url"] {
                assert!(rule["annotations"][annotation].is_string(), "{name}");
            }
            names.insert(name.to_owned());
        }
    }
    let metallbs = [
        "MetalLBAddressPoolExhausted",
        "MetalLBAddressPoolUsage75Percent",
        "MetalLBAddressPoolUsage85Percent",
        "MetalLBAddressPoolUsage95Percent",
        "MetalLBBGPSessionDown",
        "MetalLBConfigNotLoaded",
        "MetalLBStaleConfig",
    ];
    assert!(metallbs.iter().all(|name| names.contains(*name)), "{names:?}");
}

#[test]
fn promtool_takes_the_rules_and_they_fire_when_they_should() {
    let present = Command::new("promtool").arg("--version").output();
    if !present.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("METALLB_REQUIRE_INTEROP").is_none(), "no promtool here");
        eprintln!("no promtool here: nothing is tested");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in RULES {
        let file = directory.path().join(format!("{name}.json"));
        std::fs::write(file, rules(name)["spec"].to_string()).unwrap();
    }
    let tests = read("daemons/metallb/tests/deploy/rules-test.yaml");
    std::fs::write(directory.path().join("test.yaml"), tests).unwrap();
    let promtool = |arguments: &[&str]| {
        let output = Command::new("promtool").args(arguments).current_dir(&directory).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    };
    promtool(&["check", "rules", "alerts.json", "recording-rules.json"]);
    promtool(&["test", "rules", "test.yaml"]);
}

/// Named ports of the only container of a workload.
fn ports(workload: &str) -> BTreeSet<(String, u64)> {
    let objects = objects(&read("deploy/manifests/metallb-native.yaml"));
    let container = &find(&objects, workload)["spec"]["template"]["spec"]["containers"][0];
    let ports = container["ports"].as_array().unwrap();
    ports
        .iter()
        .map(|port| (port["name"].as_str().unwrap().to_owned(), port["containerPort"].as_u64().unwrap()))
        .collect()
}

#[test]
fn monitors_ask_for_ports_that_exist() {
    let services = objects(&read("deploy/monitoring/http/services.yaml"));
    let pods = objects(&read("deploy/monitoring/pods/podmonitor.yaml"));
    for (component, workload) in [("controller", "Deployment/controller"), ("speaker", "DaemonSet/speaker")] {
        let open = ports(workload);
        assert!(open.contains(&("monitoring".to_owned(), 7472)), "{open:?}");
        let service = find(&services, &format!("Service/{component}-metrics"));
        assert_eq!(service["spec"]["selector"], json!({ "app": "metallb", "component": component }));
        for port in service["spec"]["ports"].as_array().unwrap() {
            let target = port["targetPort"].as_u64().unwrap();
            assert!(open.iter().any(|(_, number)| *number == target), "{component}: {port}");
        }
        let endpoint = &pods[0]["spec"]["podMetricsEndpoints"][0];
        assert!(open.iter().any(|(name, _)| name == endpoint["port"].as_str().unwrap()), "{endpoint}");
    }
}

#[test]
fn every_way_to_scrape_keeps_our_labels_and_gives_one_job_to_each_daemon() {
    for (variant, port) in [("http", "metrics"), ("https", "metricshttps"), ("pods", "monitoring")] {
        let Some(built) = kustomize(&format!("deploy/monitoring/{variant}")) else { return };
        let all = objects(&built);
        let endpoints = all.iter().flat_map(|object| {
            ["endpoints", "podMetricsEndpoints"]
                .into_iter()
                .filter_map(|key| object["spec"].get(key)?.as_array())
                .flatten()
        });
        let mut found = 0;
        for endpoint in endpoints {
            assert_eq!(endpoint["honorLabels"], true, "{variant}");
            assert_eq!(endpoint["port"], port, "{variant}");
            let targets: Vec<_> =
                endpoint["relabelings"].as_array().unwrap().iter().map(|rule| &rule["targetLabel"]).collect();
            assert_eq!(targets, ["job", "node"], "{variant}");
            found += 1;
        }
        assert!(found > 0, "{variant}");
    }
}

//! The alerts of the chart.

use serde_json::{Value, json};

use crate::files::{find, read, yaml};
use crate::helm::{Helm, present};

/// Names of the alerts of all groups, and all rules.
fn alerts(helm: &Helm, values: &[&str]) -> (Vec<String>, Vec<Value>) {
    let objects = helm.template(values);
    let groups = &find(&objects, "PrometheusRule/metallb")["spec"]["groups"];
    let rules = |group: &Value| group["rules"].as_array().unwrap().clone();
    let rules: Vec<_> = groups.as_array().unwrap().iter().flat_map(rules).collect();
    let name = |rule: &Value| rule["alert"].as_str().map(str::to_owned);
    (rules.iter().filter_map(name).collect(), rules)
}

/// The rules of the project's own file, with targets as the chart knows them.
fn shipped(name: &str) -> Vec<Value> {
    let mut groups = yaml(&format!("deploy/monitoring/rules/{name}.yaml"))["spec"]["groups"].take();
    let rules = |group: &mut Value| group["rules"].as_array_mut().unwrap().drain(..).collect::<Vec<_>>();
    let mut rules: Vec<_> = groups.as_array_mut().unwrap().iter_mut().flat_map(rules).collect();
    for rule in &mut rules {
        let mut expression = rule["expr"].as_str().unwrap().to_owned();
        for component in ["controller", "speaker"] {
            let ours = format!(r#"up{{namespace="metallb-system",container="{component}"}}"#);
            expression = expression.replace(&format!(r#"up{{job="metallb-{component}"}}"#), &ours);
        }
        rule["expr"] = json!(expression);
    }
    rules
}

#[test]
fn the_rules_are_those_of_the_project_unless_values_say_otherwise() {
    let Some(helm) = Helm::find() else { return };
    let (_, rules) = alerts(&helm, &["prometheus.prometheusRule.enabled=true"]);
    assert_eq!(rules, [shipped("alerts"), shipped("recording-rules")].concat());
}

#[test]
fn alerts_that_metallbs_chart_lacks_can_be_switched_off_and_runbooks_be_elsewhere() {
    let Some(helm) = Helm::find() else { return };
    let on = "prometheus.prometheusRule.enabled=true";
    let off = "prometheus.prometheusRule.moreAlerts.enabled=false";
    let elsewhere = r#"prometheus.prometheusRule.runbookUrl="https://wiki.example.com/metallb/""#;
    let (names, rules) = alerts(&helm, &[on, off, elsewhere]);
    let metallbs = [
        "MetalLBAddressPoolExhausted",
        "MetalLBAddressPoolUsage75Percent",
        "MetalLBAddressPoolUsage85Percent",
        "MetalLBAddressPoolUsage95Percent",
        "MetalLBBGPSessionDown",
        "MetalLBStaleConfig",
        "MetalLBConfigNotLoaded",
    ];
    assert_eq!(names, metallbs);
    let url = &rules.iter().find(|rule| rule["alert"] == "MetalLBBGPSessionDown").unwrap()["annotations"]["runbook_url"];
    assert_eq!(url, "https://wiki.example.com/metallb/MetalLBBGPSessionDown.md");
}

#[test]
fn alerts_can_be_switched_off_and_get_other_thresholds_labels_and_pools() {
    let Some(helm) = Helm::find() else { return };
    let off = "prometheus.prometheusRule.bgpSessionDown.enabled=false";
    let labelled = r#"prometheus.prometheusRule.staleConfig.labels={"severity":"info"}"#;
    let (names, rules) = alerts(&helm, &["service-monitor.yaml", off, labelled]);
    assert!(!names.contains(&"MetalLBBGPSessionDown".to_owned()), "{names:?}");
    assert!(names.contains(&"NoSpeaker".to_owned()), "{names:?}");
    let usage: Vec<_> = names.iter().filter(|name| name.contains("Usage")).collect();
    assert_eq!(usage, ["MetalLBAddressPoolUsage60Percent"]);
    let of = |name: &str| rules.iter().find(|rule| rule["alert"] == name).unwrap();
    assert_eq!(of("MetalLBStaleConfig")["labels"], json!({"severity": "info"}));
    let expression = of("MetalLBAddressPoolUsage60Percent")["expr"].as_str().unwrap();
    assert_eq!(expression, r#"100 * metallb:ip_pool:utilization_ratio{pool!~"spare-.*"} > 60"#);
    let expression = of("MetalLBAddressPoolExhausted")["expr"].as_str().unwrap();
    assert!(expression.contains(r#"in_use_total{pool!~"spare-.*"})"#), "{expression}");
    let expression = of("MetalLBIPPoolCritical")["expr"].as_str().unwrap();
    assert_eq!(expression, r#"metallb:ip_pool:family_utilization_ratio{pool!~"spare-.*"} > 0.95"#);
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let Some(helm) = Helm::find() else { return };
    if !present("promtool", "--version") {
        return;
    }
    let objects = helm.template(&["service-monitor.yaml"]);
    let rules = find(&objects, "PrometheusRule/metallb")["spec"].to_string();
    let rules = helm.file("rules.yaml", &rules);
    let cases = helm.file("cases.yaml", &read("daemons/metallb/tests/chart/testdata/alerts.yaml"));
    for (command, file) in [("check", &rules), ("test", &cases)] {
        let output = helm.beside("promtool", &[command, "rules", file]);
        let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "promtool {command}: {shown}");
    }
}

//! What `helm upgrade` from MetalLB's chart meets: names, selectors and ports, beside the facts of that chart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::files::{objects, read, title};
use crate::helm::Helm;

const FACTS: &str = "daemons/metallb/tests/chart/testdata/metallb-0.16.yaml";

/// The facts: for each set of settings the objects that MetalLB's chart makes.
fn facts() -> Vec<(Vec<String>, Vec<Value>)> {
    let sets = objects(&read(FACTS)).remove(0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let set = |set: &Value| {
        let values = set["values"].as_array().unwrap().iter().map(text).collect();
        (values, set["objects"].as_array().unwrap().clone())
    };
    sets.as_array().unwrap().iter().map(set).collect()
}

/// By what an object selects others.
fn selector(object: &Value) -> Value {
    let spec = &object["spec"];
    let selector = match object["kind"].as_str().unwrap() {
        "NetworkPolicy" => &spec["podSelector"],
        _ => &spec["selector"],
    };
    selector.get("matchLabels").unwrap_or(selector).clone()
}

/// Ports of an object, by name where they have one.
fn ports(object: &Value) -> Value {
    let (list, number) = match object["kind"].as_str().unwrap() {
        "Service" => (&object["spec"]["ports"], "targetPort"),
        _ => (&object["spec"]["template"]["spec"]["containers"][0]["ports"], "containerPort"),
    };
    let named = |port: &Value| {
        let name = port["name"].as_str().map(str::to_owned);
        (name.unwrap_or_else(|| port["port"].to_string()), port[number].clone())
    };
    let ports: BTreeMap<_, _> = list.as_array().unwrap().iter().map(named).collect();
    json!(ports)
}

#[test]
fn every_object_of_metallbs_chart_is_taken_over_or_said_to_go() {
    let Some(helm) = Helm::find() else { return };
    let mut met = BTreeSet::new();
    for (values, theirs) in facts() {
        let mut settings = vec!["metallb-0.16.yaml"];
        settings.extend(values.iter().map(String::as_str));
        let ours: BTreeMap<_, _> =
            helm.template(&settings).into_iter().map(|object| (title(&object), object)).collect();
        for fact in &theirs {
            let name = fact["object"].as_str().unwrap();
            met.insert(name.to_owned());
            let Some(object) = ours.get(name) else {
                assert_ne!(fact["here"], "same", "{name} is gone");
                continue;
            };
            assert_eq!(fact["here"], "same", "{name} is still there");
            if let Some(expected) = fact.get("selector") {
                assert_eq!(&selector(object), expected, "selector of {name}");
            }
            if let Some(expected) = fact.get("ports") {
                assert_eq!(&ports(object), expected, "ports of {name}");
            }
        }
        let new: Vec<_> = ours.keys().filter(|name| !met.contains(*name)).collect();
        assert_eq!(new, Vec::<&String>::new(), "objects that MetalLB's chart does not have");
    }
}

#[test]
fn roles_are_bound_as_they_were_because_a_binding_cannot_be_changed() {
    let Some(helm) = Helm::find() else { return };
    let bindings: Vec<_> = helm
        .template(&["metallb-0.16.yaml"])
        .into_iter()
        .filter(|object| object["kind"].as_str().unwrap().ends_with("RoleBinding"))
        .collect();
    assert_eq!(bindings.len(), 4);
    for binding in bindings {
        assert_eq!(binding["roleRef"]["name"], binding["metadata"]["name"]);
        let kind = binding["kind"].as_str().unwrap().strip_suffix("Binding").unwrap();
        assert_eq!(binding["roleRef"]["kind"], kind);
    }
}

//! The definitions against the files that are shipped, and against MetalLB's.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What makes the directory a base that can be built on.
const KUSTOMIZATION: &str = "kustomization.yaml";

/// Numbers compare by value: `65535` and `65535.0` are one.
fn plain(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::String(format!("{}", number.as_f64().unwrap())),
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(map) => map.values_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn the_shipped_files_are_what_the_types_say() {
    let directory = root().join("../deploy/crds");
    let mut expected = BTreeSet::new();
    for crd in metallb_k8s::crd::all() {
        let name = format!("metallb.io_{}.yaml", crd.spec.names.plural);
        let mut from_types = serde_json::to_value(&crd).unwrap();
        let text = fs::read_to_string(directory.join(&name)).unwrap();
        let mut from_file: Value = serde_saphyr::from_str(&text).unwrap();
        plain(&mut from_types);
        plain(&mut from_file);
        assert_eq!(from_types, from_file, "run `cargo run -p metallb-k8s --example crdgen` ({name})");
        expected.insert(name);
    }
    let text = fs::read_to_string(directory.join(KUSTOMIZATION)).unwrap();
    let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(kustomization["resources"], serde_json::json!(expected), "{KUSTOMIZATION}");
    expected.insert(KUSTOMIZATION.to_owned());
    let found: BTreeSet<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected, "a file of a kind that is no more");
}

/// Every property as `plural version path type`, with `required`, `default=` and `enum=` where there
/// is one, and the printer columns.
fn lines() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for crd in metallb_k8s::crd::all() {
        let crd = serde_json::to_value(&crd).unwrap();
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        for version in crd["spec"]["versions"].as_array().unwrap() {
            let head = format!("{plural} {}", version["name"].as_str().unwrap());
            lines.insert(format!("{head} served={} storage={}", version["served"], version["storage"]));
            assert!(version["subresources"]["status"].is_object(), "{head}");
            for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
                let priority = column["priority"].as_i64().map(|priority| format!(" {priority}"));
                lines.insert(format!(
                    "{head} column {:?} {}{}",
                    column["name"].as_str().unwrap(),
                    column["jsonPath"].as_str().unwrap(),
                    priority.unwrap_or_default()
                ));
            }
            describe(&head, "", &version["schema"]["openAPIV3Schema"], &mut lines);
        }
    }
    lines
}

fn describe(head: &str, path: &str, schema: &Value, lines: &mut BTreeSet<String>) {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        assert!(property.get("nullable").is_none() && property.get("$ref").is_none(), "{head} {path}.{name}");
        let below = format!("{path}.{name}");
        let mut line = format!("{head} {below} {}", property["type"].as_str().unwrap());
        if required.iter().any(|required| *required == name) {
            line.push_str(" required");
        }
        for key in ["default", "enum"] {
            if let Some(value) = property.get(key) {
                line = format!("{line} {key}={value}");
            }
        }
        lines.insert(line);
        describe(head, &below, property, lines);
        describe(head, &format!("{below}[]"), &property["items"], lines);
    }
}

#[test]
fn every_field_and_column_of_metallb_is_there() {
    let ours = lines();
    let theirs = include_str!("../testdata/metallb-schema.txt");
    let missing: Vec<_> = theirs
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !ours.contains(*line))
        .collect();
    assert!(
        missing.is_empty(),
        "missing:\n{}\nours:\n{}",
        missing.join("\n"),
        ours.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn every_property_is_described() {
    fn check(path: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let description = property["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty() && !description.contains('`'), "{path}: {description:?}");
            check(&path, property);
            check(&path, &property["items"]);
        }
    }
    for crd in metallb_k8s::crd::all() {
        for version in &crd.spec.versions {
            let schema = serde_json::to_value(&version.schema).unwrap();
            check(&crd.spec.names.plural, &schema["openAPIV3Schema"]);
        }
    }
}

/// The schema of a property; `[]` goes into the items of a list.
fn property<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |schema, name| match name.strip_suffix("[]") {
        Some(list) => &schema["properties"][list]["items"],
        None => &schema["properties"][name],
    })
}

fn schema(plural: &str, version: &str) -> Value {
    let crd = metallb_k8s::crd::all().into_iter().find(|crd| crd.spec.names.plural == plural).unwrap();
    let found = crd.spec.versions.into_iter().find(|found| found.name == version).unwrap();
    serde_json::to_value(found.schema.unwrap().open_api_v3_schema.unwrap()).unwrap()
}

#[test]
fn every_number_that_metallb_takes_is_taken() {
    const ASN: i64 = 4_294_967_295;
    // What MetalLB's definitions and its own checks let through together.
    let cases = [
        ("bfdprofiles", "v1beta1", "spec.detectMultiplier", 2, 255),
        ("bfdprofiles", "v1beta1", "spec.echoInterval", 10, 60_000),
        ("bfdprofiles", "v1beta1", "spec.minimumTtl", 1, 254),
        ("bfdprofiles", "v1beta1", "spec.receiveInterval", 10, 60_000),
        ("bfdprofiles", "v1beta1", "spec.transmitInterval", 10, 60_000),
        ("bgpadvertisements", "v1beta1", "spec.aggregationLength", 1, 32),
        ("bgpadvertisements", "v1beta1", "spec.aggregationLengthV6", 1, 128),
        ("bgpadvertisements", "v1beta1", "spec.localPref", 0, ASN),
        ("bgppeers", "v1beta1", "spec.myASN", 0, ASN),
        ("bgppeers", "v1beta1", "spec.peerASN", 0, ASN),
        ("bgppeers", "v1beta1", "spec.peerPort", 0, 16_384),
        ("bgppeers", "v1beta2", "spec.localASN", 1, ASN),
        ("bgppeers", "v1beta2", "spec.myASN", 1, ASN),
        ("bgppeers", "v1beta2", "spec.peerASN", 0, ASN),
        ("bgppeers", "v1beta2", "spec.peerPort", 1, 16_384),
        (
            "ipaddresspools",
            "v1beta1",
            "spec.serviceAllocation.priority",
            i64::from(i32::MIN),
            i64::from(i32::MAX),
        ),
        ("l2advertisements", "v1beta1", "spec.preferredNodeSelectors[].weight", 1, 100),
    ];
    #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
    for (plural, version, path, least, most) in cases {
        let schema = schema(plural, version);
        let found = property(&schema, path);
        assert_eq!(found["type"], "integer", "{plural} {path}");
        let bound = |name: &str, otherwise: i64| found[name].as_f64().unwrap_or(otherwise as f64);
        assert!(bound("minimum", least) <= least as f64, "{plural} {path}");
        assert!(bound("maximum", most) >= most as f64, "{plural} {path}");
    }
}

#[test]
fn kinds_are_named_as_in_metallb() {
    for crd in metallb_k8s::crd::all() {
        let names = crd.spec.names;
        assert_eq!(crd.spec.scope, "Namespaced");
        assert_eq!(crd.spec.group, "metallb.io");
        assert_eq!(names.singular, Some(names.kind.to_lowercase()));
        assert_eq!(names.list_kind, Some(format!("{}List", names.kind)));
        assert_eq!((names.short_names, names.categories), (None, None), "{}: MetalLB has none", names.kind);
        assert_eq!(crd.metadata.name, Some(format!("{}.metallb.io", names.plural)));
    }
}

#[test]
fn a_keepalive_time_of_zero_is_left_to_the_conversion() {
    // Older versions of MetalLB wrote it beside a hold time where people had written none.
    let schema = schema("bgppeers", "v1beta2");
    let rules = schema["properties"]["spec"]["x-kubernetes-validations"].as_array().unwrap();
    let about: Vec<_> = rules
        .iter()
        .filter_map(|rule| rule["rule"].as_str())
        .filter(|rule| rule.contains("keepaliveTime"))
        .collect();
    assert_eq!(about.len(), 1);
    assert!(!about[0].contains("'0s'"), "{about:?}");
}

#[test]
fn status_resources_are_read_with_and_without_a_spec() {
    fn check<K: serde::de::DeserializeOwned + serde::Serialize>(kind: &str) {
        for spec in [None, Some(serde_json::json!({})), Some(serde_json::json!({ "type": "Speaker" }))] {
            let mut object = serde_json::json!({
                "apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": { "name": "x" },
            });
            if let Some(spec) = &spec {
                object["spec"] = spec.clone();
            }
            let read = serde_json::from_value::<K>(object);
            let written =
                serde_json::to_value(read.unwrap_or_else(|error| panic!("{kind} {spec:?}: {error}")));
            assert_eq!(written.unwrap().get("spec"), None, "{kind}");
        }
    }
    check::<metallb_k8s::crd::ConfigurationState>("ConfigurationState");
    check::<metallb_k8s::crd::ServiceL2Status>("ServiceL2Status");
    check::<metallb_k8s::crd::ServiceBGPStatus>("ServiceBGPStatus");
}

//! What is made from other files: definitions, roles, alerts and excluded interfaces of the chart, its list of known values, the
//! tables of its README and of `docs/helm.md`. `just chart-files` makes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::files::{CHART, assert_made, find, names, objects, read, yaml};

/// Below these anything goes: they are handed to Kubernetes as they are.
const FREE: [&str; 6] = ["labels", "securityContext", "resources", "strategy", "updateStrategy", "tlsConfig"];

/// The keys of the values file, down to what is handed on as it is.
fn known(values: &Map<String, Value>) -> Value {
    let inner = |key: &String, value: &Value| match value {
        Value::Object(inner) if !inner.is_empty() && !FREE.contains(&key.as_str()) => known(inner),
        _ => json!(""),
    };
    values.iter().map(|(key, value)| (key.clone(), inner(key, value))).collect()
}

/// Adds a path of keys.
fn insert(keys: &mut Value, path: &str) {
    let mut here = keys;
    for key in path.split('.') {
        let map = here.as_object_mut().unwrap();
        here = map.entry(key).or_insert_with(|| json!({}));
    }
    *here = json!("");
}

const MANIFEST: &str = "deploy/manifests/metallb-native.yaml";
const BEGIN: &str = "<!-- made by `just chart-files` -->\n";
const END: &str = "<!-- end -->\n";

/// All values that the chart knows, those without effect included.
fn all_keys() -> Value {
    let mut keys = known(yaml(&format!("{CHART}/values.yaml")).as_object().unwrap());
    let ignored = yaml(&format!("{CHART}/files/ignored.yaml"));
    for entry in ignored.as_array().unwrap() {
        insert(&mut keys, entry["path"].as_str().unwrap());
    }
    // Where MetalLB's chart had them before 0.16, with the meaning that they have below `tls`.
    insert(&mut keys, "prometheus.controllerMetricsTLSSecret");
    insert(&mut keys, "prometheus.speakerMetricsTLSSecret");
    insert(&mut keys, "controller.tlsMinVersion");
    insert(&mut keys, "controller.tlsCipherSuites");
    // Refused with a word about what to do, and what every chart has.
    insert(&mut keys, "configInline");
    insert(&mut keys, "global");
    insert(&mut keys, "crds.global");
    keys
}

#[test]
fn the_list_of_known_values_is_that_of_the_values_file() {
    let keys = serde_saphyr::to_string(&all_keys()).unwrap();
    let text = format!("# Made from values.yaml and ignored.yaml by `just chart-files`.\n{keys}");
    assert_made(&format!("{CHART}/files/known.yaml"), &text);
}

/// A definition of the project as a template of the chart.
fn template(file: &str) -> String {
    let text = read(&format!("deploy/crds/{file}"));
    let metadata = "\nspec:\n";
    let mut spec = "\n  {{- include \"crds.metadata\" . | nindent 2 }}\nspec:\n".to_owned();
    if file == "metallb.io_bgppeers.yaml" {
        spec.push_str("  {{- include \"crds.conversion\" . | nindent 2 }}\n");
    }
    let text = text.replacen(metadata, &spec, 1);
    format!("# Made from deploy/crds by `just chart-files`.\n{text}")
}

#[test]
fn the_definitions_are_those_of_the_project() {
    let templates = format!("{CHART}/charts/crds/templates");
    let mut expected = BTreeSet::from(["_metadata.tpl".to_owned()]);
    for file in names("deploy/crds") {
        if let Some(name) = file.strip_prefix("metallb.io_") {
            assert_made(&format!("{templates}/{name}"), &template(&file));
            expected.insert(name.to_owned());
        }
    }
    assert_eq!(names(&templates).into_iter().collect::<BTreeSet<_>>(), expected);
}

/// Rules of a role of the manifests. Objects that the chart names by its release are named so here too.
fn rules(objects: &[Value], role: &str) -> Value {
    let mut rules = find(objects, role)["rules"].clone();
    for rule in rules.as_array_mut().unwrap() {
        let renamed = match (rule["resources"][0].as_str(), rule["resourceNames"][0].as_str()) {
            (Some("deployments"), Some("controller")) => "{{ include `metallb.fullname` . }}-controller",
            (Some("secrets"), Some("memberlist")) => "{{ include `metallb.memberlistSecret` . }}",
            _ => continue,
        };
        rule["resourceNames"] = json!([renamed]);
    }
    rules
}

#[test]
fn roles_may_do_what_they_may_in_the_manifests() {
    let objects = objects(&read(MANIFEST));
    let rules = json!({
        "controller": {
            "cluster": rules(&objects, "ClusterRole/metallb-system:controller"),
            "namespace": rules(&objects, "Role/controller"),
        },
        "speaker": {
            "cluster": rules(&objects, "ClusterRole/metallb-system:speaker"),
            "namespace": rules(&objects, "Role/pod-lister"),
        },
    });
    let rules = serde_saphyr::to_string(&rules).unwrap();
    let text = format!("# Made from deploy/manifests by `just chart-files`.\n{rules}");
    assert_made(&format!("{CHART}/files/roles.yaml"), &text);
}

#[test]
fn alerts_and_recording_rules_are_those_of_the_project() {
    for name in ["alerts", "recording-rules"] {
        let groups = &yaml(&format!("deploy/monitoring/rules/{name}.yaml"))["spec"];
        let groups = serde_saphyr::to_string(groups).unwrap();
        let text = format!("# Made from deploy/monitoring by `just chart-files`.\n{groups}");
        assert_made(&format!("{CHART}/files/rules/{name}.yaml"), &text);
    }
}

#[test]
fn interfaces_are_left_out_as_in_the_manifests() {
    let objects = objects(&read(MANIFEST));
    let excluded = &find(&objects, "ConfigMap/metallb-excludel2")["data"]["excludel2.yaml"];
    assert_made(&format!("{CHART}/files/excludel2.yaml"), excluded.as_str().unwrap());
}

/// The comment above each key of a values file, by the key's path.
fn comments(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut parents: Vec<(usize, &str)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        if let Some(words) = content.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        let key = content.split_once(':').map(|(key, _)| key).filter(|key| !key.starts_with("- "));
        if let Some(key) = key {
            let indent = line.len() - content.len();
            parents.retain(|(outer, _)| *outer < indent);
            parents.push((indent, key));
            let path: Vec<_> = parents.iter().map(|(_, key)| *key).collect();
            found.insert(path.join("."), comment.join(" "));
        }
        comment.clear();
    }
    found
}

/// Paths of the values that do something, with their defaults, in the order of the alphabet.
fn defaults() -> Vec<(String, Value)> {
    fn walk(keys: &Value, values: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        for (key, value) in values.as_object().unwrap() {
            let path = format!("{path}{key}");
            match &keys[key] {
                inner @ Value::Object(_) => walk(inner, value, &format!("{path}."), found),
                _ => found.push((path, value.clone())),
            }
        }
    }
    let mut found = Vec::new();
    walk(&all_keys(), &yaml(&format!("{CHART}/values.yaml")), "", &mut found);
    found
}

/// A document with new text between its marks.
fn with_table(document: &str, table: &str) -> String {
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    format!("{before}{BEGIN}\n{table}\n{END}{after}")
}

#[test]
fn every_value_is_explained_in_the_charts_readme() {
    let words = comments(&read(&format!("{CHART}/values.yaml")));
    let mut table = "| value | default | |\n|---|---|---|\n".to_owned();
    for (path, default) in defaults() {
        let meaning = match words[&path].as_str() {
            "" if path.contains("Probe.") => "as in Kubernetes",
            "" => panic!("values.yaml does not say what {path} does"),
            words => words,
        };
        writeln!(table, "| `{path}` | `{default}` | {} |", meaning.replace('|', "\\|")).unwrap();
    }
    let readme = format!("{CHART}/README.md");
    assert_made(&readme, &with_table(&read(&readme), &table));
}

#[test]
fn every_value_without_effect_is_listed_with_the_reason() {
    let mut table = "| value of MetalLB's chart | why it does nothing |\n|---|---|\n".to_owned();
    for entry in yaml(&format!("{CHART}/files/ignored.yaml")).as_array().unwrap() {
        let (path, why) = (entry["path"].as_str().unwrap(), entry["why"].as_str().unwrap());
        writeln!(table, "| `{path}` | {why} |").unwrap();
    }
    let page = "docs/helm.md";
    assert_made(page, &with_table(&read(page), &table));
}

#[test]
fn no_value_both_does_something_and_nothing() {
    let values = yaml(&format!("{CHART}/values.yaml"));
    for entry in yaml(&format!("{CHART}/files/ignored.yaml")).as_array().unwrap() {
        let path = entry["path"].as_str().unwrap();
        let found = path.split('.').try_fold(&values, |here, key| here.get(key));
        assert_eq!(found, None, "{path}");
        for asking in entry["asks"].as_array().unwrap() {
            assert!(asking.as_str().unwrap().starts_with(path), "{asking} is not below {path}");
        }
    }
}

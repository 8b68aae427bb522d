//! Manifests applied by a stock `kubectl`: what was written is read back, by client-side and by server-side apply.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::kubectl::Kubectl;

/// Fields of `applied` that `stored` lacks or has with another value. Lists must have the same length.
fn lost(applied: &Value, stored: &Value, path: &str, found: &mut Vec<String>) {
    match (applied, stored) {
        (Value::Object(applied), Value::Object(stored)) => {
            for (name, value) in applied.iter().filter(|(_, value)| !value.is_null()) {
                let at = format!("{path}.{name}");
                match stored.get(name) {
                    Some(stored) => lost(value, stored, &at, found),
                    None => found.push(format!("{at} is gone")),
                }
            }
        }
        (Value::Array(applied), Value::Array(stored)) if applied.len() == stored.len() => {
            for (index, (applied, stored)) in applied.iter().zip(stored).enumerate() {
                lost(applied, stored, &format!("{path}[{index}]"), found);
            }
        }
        _ if applied == stored => {}
        _ => found.push(format!("{path}: {applied} became {stored}")),
    }
}

fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn stored(kubectl: &Kubectl, file: &str) -> Vec<Value> {
    let text = kubectl.run(&["get", "-f", file, "-o", "json"]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    match answer.get("items") {
        Some(items) => items.as_array().unwrap().clone(),
        None => vec![answer],
    }
}

/// Applies a text twice in both ways, and compares every object with what was applied. The second time nothing is
/// written, even where `kubectl` sends a patch because it does not know a default.
fn check(kubectl: &Kubectl, name: &str, text: &str) {
    let file = kubectl.path(name, text);
    for options in [&["apply", "-f"][..], &["apply", "--server-side", "--force-conflicts", "-f"]] {
        kubectl.run(&[options, &[file.as_str()]].concat());
        let first = stored(kubectl, &file);
        kubectl.run(&[options, &[file.as_str()]].concat());
        assert_eq!(first, stored(kubectl, &file), "{name} {options:?}");
        let applied = documents(text);
        assert_eq!(applied.len(), first.len());
        for (applied, stored) in applied.iter().zip(&first) {
            let mut found = Vec::new();
            lost(applied, stored, "", &mut found);
            assert!(found.is_empty(), "{name}: {} {found:?}", applied["kind"]);
        }
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_manifest_is_applied_and_read_back_unchanged() {
    let Some(kubectl) = Kubectl::start() else { return };
    check(&kubectl, "operator.yaml", include_str!("testdata/operator.yaml"));
    let file = kubectl.path("operator.yaml", include_str!("testdata/operator.yaml"));
    let gone = kubectl.run(&["delete", "-f", &file]);
    assert_eq!(gone.matches("deleted").count(), documents(include_str!("testdata/operator.yaml")).len());
    kubectl.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_definitions_of_this_project_are_applied_and_read_back_unchanged() {
    let Some(kubectl) = Kubectl::start() else { return };
    let mut files: Vec<_> = std::fs::read_dir(repository().join("deploy/crds"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("metallb.io_")))
        .collect();
    files.sort();
    assert!(files.len() >= 9, "{files:?}");
    let texts: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    check(&kubectl, "crds.yaml", &texts.join("\n---\n"));
    kubectl.server.shutdown().await;
}

/// The definition of somebody else's kind, as an operator finds it in a cluster.
const MONITORS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {plural: podmonitors, kind: PodMonitor, shortNames: [pmon]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const MONITOR: &str = "
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: runner, namespace: default}
spec:
  selector: {matchLabels: {component: runner}}
  podMetricsEndpoints: [{port: monitoring, path: /metrics}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_a_definition_can_be_applied_as_soon_as_it_is() {
    let Some(kubectl) = Kubectl::start() else { return };
    // A stock kubectl looks up all kinds of a run before it applies anything: with the real server too, the definition
    // is applied and its objects are reported.
    let both = kubectl.path("both.yaml", &format!("{MONITORS}---{MONITOR}"));
    let error = kubectl.fail(&["apply", "-f", &both]);
    assert!(error.contains("ensure CRDs are installed first"), "{error}");
    assert!(kubectl.run(&["apply", "-f", &both]).contains("podmonitor.monitoring.coreos.com/runner created"));
    check(&kubectl, "monitor.yaml", MONITOR);
    let error = kubectl.run(&["get", "pmon"]);
    assert!(error.contains("runner"), "{error}");
    // One run after the other, with nothing between them.
    kubectl.run(&["delete", "crd", "podmonitors.monitoring.coreos.com"]);
    let definition = kubectl.path("definition.yaml", MONITORS);
    let monitor = kubectl.path("monitor.yaml", MONITOR);
    kubectl.run(&["apply", "--server-side", "-f", &definition]);
    kubectl.run(&["apply", "--server-side", "-f", &monitor]);
    kubectl.run(&["wait", "--for=condition=established", "crd/podmonitors.monitoring.coreos.com"]);
    kubectl.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_have_the_columns_of_the_real_server() {
    let Some(kubectl) = Kubectl::start() else { return };
    let file = kubectl.path("operator.yaml", include_str!("testdata/operator.yaml"));
    kubectl.run(&["apply", "-f", &file]);
    for (kind, columns, row) in [
        ("role", "NAME CREATED AT", "agent"),
        ("clusterrole", "NAME CREATED AT", "shop:agent"),
        ("rolebinding", "NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS", "agent Role/agent"),
        (
            "clusterrolebinding",
            "NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS",
            "shop:agent ClusterRole/shop:agent",
        ),
        ("sa", "NAME SECRETS AGE", "agent 0"),
        ("cm", "NAME DATA AGE", "settings 1"),
        ("pc", "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY", "shop-critical 1000000 false"),
        ("job", "NAME STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR", "migrate Running 0/1"),
        ("netpol", "NAME POD-SELECTOR AGE", "agent component=agent"),
        ("pdb", "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE", "agent N/A 25% 0"),
        ("validatingwebhookconfiguration", "NAME WEBHOOKS AGE", "shop-webhook 1"),
        ("mutatingwebhookconfiguration", "NAME WEBHOOKS AGE", "shop-defaults 1"),
        (
            "ds",
            "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE CONTAINERS IMAGES SELECTOR",
            "runner 0 0 0 0 0",
        ),
    ] {
        let shown = kubectl.run(&["get", kind, "-n", "shop", "-o", "wide"]);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut lines = shown.lines().map(words);
        assert_eq!(lines.next().as_deref(), Some(columns), "{kind}");
        assert!(lines.any(|line| line.starts_with(row)), "{kind}: {shown}");
    }
    assert!(kubectl.run(&["get", "all", "-n", "shop"]).contains("job.batch/migrate"));
    kubectl.server.shutdown().await;
}

//! Every object goes into an API server and comes out as it went in.

use serde_json::Value;

use crate::cluster::{Cluster, server};
use crate::support::{find, kustomize, objects, path, read, samples, title};

/// Directories of `deploy/monitoring` that can be applied.
const MONITORING: [&str; 3] = ["http", "https", "pods"];

/// Whether everything that was asked for stands in what is stored. `null` asks for nothing to be there.
fn lost(asked: &Value, stored: &Value, path: &str, lost: &mut Vec<String>) {
    match (asked, stored) {
        (Value::Object(asked), Value::Object(stored)) => {
            for (key, value) in asked {
                let there = stored.get(key).unwrap_or(&Value::Null);
                self::lost(value, there, &format!("{path}.{key}"), lost);
            }
        }
        (Value::Array(asked), Value::Array(stored)) if asked.len() == stored.len() => {
            for (index, (value, there)) in asked.iter().zip(stored).enumerate() {
                self::lost(value, there, &format!("{path}[{index}]"), lost);
            }
        }
        _ if asked == stored => {}
        _ => lost.push(format!("{path}: {asked} became {stored}")),
    }
}

fn everything() -> Vec<Value> {
    let mut all = objects(&read("deploy/manifests/metallb-native-prometheus.yaml"));
    for (_, text) in samples() {
        all.extend(objects(&text));
    }
    for variant in MONITORING {
        let built = kustomize(&format!("deploy/monitoring/{variant}"));
        all.extend(built.map(|built| objects(&built)).unwrap_or_default());
    }
    all
}

#[test]
fn every_object_is_stored_as_it_is_written() {
    let server = server();
    server.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n").unwrap();
    for mut object in everything() {
        let stored = server.apply_object(&object).unwrap_or_else(|error| panic!("{error}"));
        // Written, never read: it ends up in `data`.
        object.as_object_mut().unwrap().remove("stringData");
        let mut problems = Vec::new();
        lost(&object, &stored, "", &mut problems);
        assert!(problems.is_empty(), "{}: {}", title(&object), problems.join("\n"));
    }
}

#[test]
fn kubectl_applies_the_manifests_and_finds_nothing_to_do_afterwards() {
    let Some(cluster) = Cluster::start() else { return };
    for way in [&["apply", "-f"][..], &["apply", "--server-side", "--force-conflicts", "-f"]] {
        for variant in ["native", "native-prometheus"] {
            let file = path(&format!("deploy/manifests/metallb-{variant}.yaml"));
            let command = [way, &[file.to_str().unwrap()]].concat();
            cluster.kubectl(&command);
            let versions = versions(&cluster);
            let again = cluster.kubectl(&command);
            let loud =
                again.lines().filter(|line| line.ends_with(" created") || line.ends_with(" configured"));
            // Its manifest takes away what may be left of another strategy, and kubectl says so every time.
            let loud: Vec<_> = loud.filter(|line| !line.starts_with("deployment.apps/controller ")).collect();
            assert_eq!(loud, Vec::<&str>::new());
            assert_eq!(versions, self::versions(&cluster), "applying {variant} again writes");
        }
    }
}

/// Whether kubectl prints each object of a file as it stands there, once it is applied.
pub(crate) fn read_back(cluster: &Cluster, file: &str, text: &str) {
    cluster.kubectl(&["apply", "-f", file]);
    let printed: Value = serde_json::from_str(&cluster.kubectl(&["get", "-f", file, "-o", "json"])).unwrap();
    let printed = match printed["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![printed],
    };
    let asked = objects(text);
    assert_eq!(printed.len(), asked.len(), "{file}");
    for mut object in asked {
        object.as_object_mut().unwrap().remove("stringData");
        let mut problems = Vec::new();
        lost(&object, find(&printed, &title(&object)), "", &mut problems);
        assert!(problems.is_empty(), "{file}: {}: {}", title(&object), problems.join("\n"));
    }
}

#[test]
fn kubectl_prints_every_object_as_it_stands_in_its_file() {
    let Some(cluster) = Cluster::start() else { return };
    for variant in ["native", "native-prometheus"] {
        let file = format!("deploy/manifests/metallb-{variant}.yaml");
        read_back(&cluster, path(&file).to_str().unwrap(), &read(&file));
    }
    for (name, text) in samples() {
        read_back(&cluster, path(&format!("deploy/samples/{name}")).to_str().unwrap(), &text);
    }
    for variant in MONITORING.iter().chain(&["rules"]) {
        let Some(built) = kustomize(&format!("deploy/monitoring/{variant}")) else { return };
        let file = cluster.file(&format!("monitoring-{variant}.yaml"), &built);
        read_back(&cluster, &file, &built);
    }
}

/// Version of each object of ours.
fn versions(cluster: &Cluster) -> String {
    let kinds = "deploy,ds,svc,sa,cm,secret,role,rolebinding,clusterrole,clusterrolebinding,crd,\
                 validatingwebhookconfiguration,servicemonitor";
    let columns = "custom-columns=KIND:.kind,NAME:.metadata.name,VERSION:.metadata.resourceVersion";
    cluster.kubectl(&["get", "-n", "metallb-system", kinds, "-o", columns])
}

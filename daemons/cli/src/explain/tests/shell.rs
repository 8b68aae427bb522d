//! Just enough of kubectl to follow a remedy on a snapshot.

use serde_json::Value;

use super::object;
use crate::snapshot::Snapshot;

/// Runs a command; false when it only looks, needs an answer, or is about something outside of the snapshot.
pub(super) fn run(snapshot: &mut Snapshot, command: &str) -> bool {
    command.split(" && ").all(|command| one(snapshot, command))
}

fn one(snapshot: &mut Snapshot, command: &str) -> bool {
    if let Some(object) = command.strip_prefix("echo '") {
        let (object, _) = object.split_once("' | kubectl apply").unwrap();
        let object: Value = serde_json::from_str(object).unwrap();
        if object.to_string().contains("A.B.C.D") {
            return false;
        }
        snapshot.objects.push(object);
        return true;
    }
    let words: Vec<&str> = command.split(' ').collect();
    match words.get(..4) {
        Some(["kubectl", "patch", kind, name]) => {
            let (_, patch) = command.split_once(" --type merge -p '").unwrap();
            let patch: Value = serde_json::from_str(patch.strip_suffix('\'').unwrap()).unwrap();
            if patch.to_string().contains("A.B.C.D") || patch.to_string().contains("IPV6") {
                return false;
            }
            merge(object(snapshot, kind_of(kind), name), &patch);
        }
        Some(["kubectl", verb @ ("annotate" | "label"), kind, name]) => {
            let field = if *verb == "label" { "labels" } else { "annotations" };
            let map = &mut object(snapshot, kind_of(kind), name)["metadata"][field];
            for word in words.iter().skip(4).filter(|word| word.contains('/')) {
                match word.split_once('=') {
                    Some((key, value)) => map[key] = Value::from(value.trim_matches('\'')),
                    None => _ = map.as_object_mut().unwrap().remove(word.trim_end_matches('-')),
                }
            }
        }
        Some(["kubectl", "taint", "node", name]) => {
            let key = words[4].trim_end_matches('-').to_owned();
            let taints = object(snapshot, "Node", name)["spec"]["taints"].as_array_mut().unwrap();
            taints.retain(|taint| taint["key"] != key);
        }
        _ => return false,
    }
    true
}

fn kind_of(word: &str) -> &'static str {
    match word {
        "service" => "Service",
        "node" => "Node",
        "ipaddresspool" => "IPAddressPool",
        "l2advertisement" => "L2Advertisement",
        other => panic!("{other}"),
    }
}

/// RFC 7396.
fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        into.clone_from(patch);
        return;
    };
    if !into.is_object() {
        *into = serde_json::json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

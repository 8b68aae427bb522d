//! Dropping what a schema does not know.

use serde_json::Value;

use super::{Node, Type};

/// Removes unknown fields and returns their paths, as the server's warnings name them.
pub(crate) fn prune(node: Node<'_>, value: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(node, value, &mut String::new(), &mut unknown);
    unknown
}

/// Removes fields with the value `null`: to the built-in kinds they are absent.
pub(crate) fn drop_nulls(node: Node<'_>, value: &mut Value) {
    match value {
        Value::Object(map) => {
            if node.properties().is_some() {
                map.retain(|_, field| !field.is_null());
            }
            for (name, field) in map.iter_mut() {
                if let Some(schema) = node.field(name) {
                    drop_nulls(schema, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = node.items() {
                for item in items {
                    drop_nulls(schema, item);
                }
            }
        }
        _ => {}
    }
}

fn walk(node: Node<'_>, value: &mut Value, path: &mut String, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if node.flag("x-kubernetes-embedded-resource") && node.preserves_unknown() {
                return;
            }
            let keep = node.preserves_unknown() || node.ty() == Type::Any;
            let embedded = node.flag("x-kubernetes-embedded-resource");
            map.retain(|name, _| {
                let system = embedded && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
                let known = keep || system || node.field(name).is_some();
                if !known {
                    unknown.push(join(path, name));
                }
                known
            });
            for (name, field) in map.iter_mut() {
                let Some(schema) = node.field(name) else { continue };
                let length = path.len();
                *path = join(path, name);
                walk(schema, field, path, unknown);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            let Some(schema) = node.items() else { return };
            for (index, item) in items.iter_mut().enumerate() {
                let length = path.len();
                *path = format!("{path}[{index}]");
                walk(schema, item, path, unknown);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

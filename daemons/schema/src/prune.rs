//! Dropping what a schema does not know.

use serde_json::Value;

use super::{Node, Type};

/// Removes unknown fields and returns their paths, as the server's warnings name them.
pub fn prune(node: Node<'_>, value: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(node, value, &mut String::new(), &mut unknown);
    unknown
}

/// Removes fields with the value `null`: to the built-in kinds they are absent.
pub fn drop_nulls(node: Node<'_>, value: &mut Value) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::prune;
    use crate::Node;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// What is pruned once stays as it is, known fields and free ones survive.
        #[test]
        fn pruning_twice_finds_nothing_more(mut value in values()) {
            let schema = json!({"type": "object", "properties": {
                "a": {"type": "object", "properties": {"b": {"type": "array", "items": {
                    "type": "object", "properties": {"c": {"type": "integer"}},
                }}}},
                "c": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "d": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "integer"}}}},
            }});
            let before = value.clone();
            prune(Node::new(&schema), &mut value);
            prop_assert_eq!(value.get("c"), before.get("c"));
            prop_assert_eq!(value.get("b"), if before.is_array() { before.get("b") } else { None });
            prop_assert!(prune(Node::new(&schema), &mut value).is_empty());
        }
    }
}

//! Defaults of custom resources.

use serde_json::Value;

use super::Node;

/// Fills absent fields that have a `default`, at every depth.
pub fn apply_defaults(node: Node<'_>, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, schema) in node.properties().into_iter().flatten() {
                if let Some(default) = Node::new(schema).default()
                    && !map.contains_key(name)
                {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, field) in map.iter_mut() {
                if let Some(schema) = node.field(name) {
                    apply_defaults(schema, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = node.items() {
                for item in items {
                    apply_defaults(schema, item);
                }
            }
        }
        _ => {}
    }
}

/// Removes `null` from fields that are not nullable and have a default, so that the default applies.
pub fn drop_defaulted_nulls(node: Node<'_>, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, field| {
                let schema = node.property(name);
                !(field.is_null()
                    && schema.is_some_and(|schema| !schema.nullable() && schema.default().is_some()))
            });
            for (name, field) in map.iter_mut() {
                if let Some(schema) = node.field(name) {
                    drop_defaulted_nulls(schema, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = node.items() {
                for item in items {
                    drop_defaulted_nulls(schema, item);
                }
            }
        }
        _ => {}
    }
}

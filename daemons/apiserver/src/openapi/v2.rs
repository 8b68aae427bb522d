//! OpenAPI v2: one document for all.

use serde_json::{Map, Value, json};

use super::{add_schema, paths};
use crate::kinds::Kinds;

/// `/openapi/v2`.
pub(crate) fn v2(kinds: &Kinds) -> Value {
    let mut schemas = Map::new();
    let mut operations = Map::new();
    for resource in kinds.all() {
        for version in &resource.versions {
            add_schema(resource, version, &mut schemas);
            paths::add(resource, version, paths::Dialect::V2, &mut operations);
        }
    }
    for schema in schemas.values_mut() {
        downgrade(schema);
    }
    json!({
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": operations, "definitions": schemas,
    })
}

/// Rewrites what OpenAPI v2 has no words for.
fn downgrade(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    let wrapped = match map.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one]) => one.get("$ref").cloned(),
        _ => None,
    };
    if let Some(reference) = wrapped {
        map.insert("$ref".to_owned(), reference);
        map.remove("type");
    }
    for name in ["nullable", "oneOf", "anyOf", "allOf", "not"] {
        map.remove(name);
    }
    if let Some(Value::String(reference)) = map.get_mut("$ref") {
        *reference = reference.replace("#/components/schemas/", "#/definitions/");
    }
    if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        map.insert("type".to_owned(), Value::from("string"));
        map.insert("format".to_owned(), Value::from("int-or-string"));
    }
    if map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
        && !map.contains_key("properties")
    {
        map.remove("type");
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(downgrade);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(name) {
            downgrade(inner);
        }
    }
}

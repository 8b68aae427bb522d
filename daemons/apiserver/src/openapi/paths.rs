//! Paths: which operations a resource has, with the parameters that clients look for.

use serde_json::{Map, Value, json};

use super::schema_name;
use crate::kinds::{Resource, Version};

/// Which OpenAPI the operations are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

/// Adds the paths of a resource.
pub(super) fn add(resource: &Resource, version: &Version, dialect: Dialect, paths: &mut Map<String, Value>) {
    let root = if resource.group.is_empty() {
        format!("/api/{}", version.name)
    } else {
        format!("/apis/{}/{}", resource.group, version.name)
    };
    let collection = if resource.namespaced {
        if resource.stored {
            paths.insert(
                format!("{root}/{}", resource.plural),
                operations(resource, version, dialect, &[("get", "list")]),
            );
        }
        format!("{root}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("{root}/{}", resource.plural)
    };
    if !resource.stored {
        paths.insert(collection, operations(resource, version, dialect, &[("post", "post")]));
        return;
    }
    let many = [("get", "list"), ("post", "post"), ("delete", "deletecollection")];
    let one = [("get", "get"), ("put", "put"), ("patch", "patch"), ("delete", "delete")];
    let status = [("get", "get"), ("put", "put"), ("patch", "patch")];
    paths.insert(format!("{collection}/{{name}}"), operations(resource, version, dialect, &one));
    if version.status {
        paths
            .insert(format!("{collection}/{{name}}/status"), operations(resource, version, dialect, &status));
    }
    paths.insert(collection, operations(resource, version, dialect, &many));
}

fn operations(resource: &Resource, version: &Version, dialect: Dialect, verbs: &[(&str, &str)]) -> Value {
    let entries = verbs.iter().map(|(method, action)| {
        let operation = operation(resource, version, dialect, (method, action));
        ((*method).to_owned(), operation)
    });
    Value::Object(entries.collect())
}

fn operation(
    resource: &Resource,
    version: &Version,
    dialect: Dialect,
    (method, action): (&str, &str),
) -> Value {
    let mut operation = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": resource.group, "version": version.name, "kind": resource.kind,
        },
    });
    let Value::Object(map) = &mut operation else { return operation };
    let names: &[&str] = match method {
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "post" | "put" => &["dryRun", "fieldManager", "fieldValidation"],
        "delete" => &["dryRun", "propagationPolicy"],
        _ => &["labelSelector", "fieldSelector"],
    };
    map.insert("parameters".to_owned(), names.iter().map(|name| parameter(name, dialect)).collect());
    let name = schema_name(resource, version);
    if dialect == Dialect::V3 {
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        map.insert(
            "responses".to_owned(),
            json!({"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}}),
        );
        if method == "patch" {
            let types =
                patch_types(resource).iter().map(|media| ((*media).to_owned(), json!({"schema": {}})));
            let content: Map<String, Value> = types.collect();
            map.insert("requestBody".to_owned(), json!({"content": content}));
        }
        return operation;
    }
    let schema = json!({"$ref": format!("#/definitions/{name}")});
    map.insert("responses".to_owned(), json!({"200": {"description": "OK", "schema": schema}}));
    map.insert("produces".to_owned(), json!(["application/json"]));
    let consumes = if method == "patch" { json!(patch_types(resource)) } else { json!(["application/json"]) };
    map.insert("consumes".to_owned(), consumes);
    operation
}

fn patch_types(resource: &Resource) -> &'static [&'static str] {
    if resource.is_custom() {
        &["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]
    } else {
        &[
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ]
    }
}

fn parameter(name: &str, dialect: Dialect) -> Value {
    let ty = if name == "force" { "boolean" } else { "string" };
    match dialect {
        Dialect::V2 => json!({"name": name, "in": "query", "type": ty, "uniqueItems": true}),
        Dialect::V3 => json!({"name": name, "in": "query", "schema": {"type": ty, "uniqueItems": true}}),
    }
}

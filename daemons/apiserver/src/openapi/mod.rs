//! OpenAPI: what `kubectl explain`, `apply` and client-side validation read.

mod paths;
mod protobuf;
mod v2;

pub(crate) use protobuf::to_protobuf;
pub(crate) use v2::v2;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::discovery::{in_version, versions};
use crate::failure::Failure;
use crate::kinds::{Kinds, Resource, Version};
use metallb_schema::definitions;

/// `/openapi/v3`: where the documents of the groups are.
pub(crate) fn index(kinds: &Kinds) -> Value {
    let mut paths = Map::new();
    for (group, versions) in versions(kinds) {
        for version in versions {
            let path =
                if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            // The hash is what clients cache by.
            let url = format!("/openapi/v3/{path}?hash={:016X}", kinds.generation());
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// The document of one group and version.
pub(crate) fn v3(kinds: &Kinds, group: &str, version: &str) -> Result<Value, Failure> {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for (resource, served) in in_version(kinds, group, version) {
        add_schema(resource, served, &mut schemas);
        paths::add(resource, served, paths::Dialect::V3, &mut paths);
    }
    if schemas.is_empty() {
        return Err(Failure::no_resource());
    }
    Ok(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

/// Adds the schema of a kind and everything it refers to.
fn add_schema(resource: &Resource, version: &Version, schemas: &mut Map<String, Value>) {
    let name = schema_name(resource, version);
    let mut schema = match version.schema.get("$ref") {
        Some(_) => definitions().get(&name).cloned().unwrap_or_default(),
        None => (*version.schema).clone(),
    };
    add_references(&schema, schemas);
    if let Value::Object(map) = &mut schema {
        map.insert(
            "x-kubernetes-group-version-kind".to_owned(),
            json!([{"group": resource.group, "version": version.name, "kind": resource.kind}]),
        );
    }
    schemas.insert(name, schema);
}

fn add_references(schema: &Value, schemas: &mut Map<String, Value>) {
    let mut wanted = BTreeSet::new();
    collect(schema, &mut wanted);
    while let Some(name) = wanted.pop_first() {
        if schemas.contains_key(&name) {
            continue;
        }
        if let Some(found) = definitions().get(&name) {
            collect(found, &mut wanted);
            schemas.insert(name, found.clone());
        }
    }
}

fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (name, value) in map {
                match value.as_str().filter(|_| name == "$ref") {
                    Some(target) => names.extend(target.rsplit('/').next().map(str::to_owned)),
                    None => collect(value, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

/// `io.k8s.api.core.v1.Service`, `io.metallb.v1beta1.IPAddressPool`.
fn schema_name(resource: &Resource, version: &Version) -> String {
    if let Some(reference) = version.schema.get("$ref").and_then(Value::as_str) {
        return reference.rsplit('/').next().unwrap_or(reference).to_owned();
    }
    let group: Vec<_> = resource.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), version.name, resource.kind)
}

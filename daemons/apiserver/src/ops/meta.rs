//! Decoding a body, and the parts of `metadata` that belong to the server.

use serde_json::{Map, Value};

use super::{FieldValidation, Target, WriteOptions};
use crate::admission::{object_mut, text};
use crate::failure::Failure;
use crate::kinds::Origin;
use metallb_schema::{drop_defaulted_nulls, drop_nulls, prune, type_error};

/// Checks a body against the path and the schema: type, version, unknown fields.
pub(crate) fn decode(target: &Target, object: &mut Value, options: &mut WriteOptions) -> Result<(), Failure> {
    let resource = &target.resource;
    let version = target.version()?;
    let Value::Object(map) = object else {
        return Err(Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): not a JSON object",
            resource.kind
        )));
    };
    check_type(target, map)?;
    check_place(target, map)?;
    let node = version.node();
    if resource.origin == Origin::BuiltIn {
        drop_nulls(node, object);
        if let Some(error) = type_error(node, &resource.kind, object) {
            return Err(Failure::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: {error}",
                resource.kind, target.version, resource.kind
            )));
        }
    } else {
        drop_defaulted_nulls(node, object);
    }
    let unknown = prune(node, object);
    match options.validation {
        FieldValidation::Strict if !unknown.is_empty() => {
            let list: Vec<_> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
            return Err(Failure::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                resource.kind,
                target.version,
                resource.kind,
                list.join(", ")
            )));
        }
        FieldValidation::Warn => {
            options.warnings.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
        }
        FieldValidation::Strict | FieldValidation::Ignore => {}
    }
    Ok(())
}

fn check_type(target: &Target, map: &mut Map<String, Value>) -> Result<(), Failure> {
    let expected = target.api_version();
    let kind = target.resource.kind.as_str();
    for (field, wanted, what) in [("apiVersion", expected.as_str(), "API version"), ("kind", kind, "kind")] {
        match map.get(field).and_then(Value::as_str).unwrap_or_default() {
            "" if !target.resource.is_custom() => {
                map.insert(field.to_owned(), Value::from(wanted));
            }
            "" => {
                let name = if field == "kind" { "Kind" } else { field };
                return Err(Failure::bad_request(format!("Object '{name}' is missing in the request body")));
            }
            given if given == wanted => {}
            given => {
                return Err(Failure::bad_request(format!(
                    "the {what} in the data ({given}) does not match the expected {what} ({wanted})"
                )));
            }
        }
    }
    Ok(())
}

/// Namespace and name of the body agree with the path; absent ones are filled in.
fn check_place(target: &Target, map: &mut Map<String, Value>) -> Result<(), Failure> {
    let metadata = map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    let Value::Object(metadata) = metadata else {
        return Err(Failure::bad_request("metadata must be an object"));
    };
    let given = |metadata: &Map<String, Value>, field: &str| {
        metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if target.resource.namespaced {
        let namespace = given(metadata, "namespace");
        if namespace.is_empty() {
            metadata.insert("namespace".to_owned(), Value::from(target.namespace.as_str()));
        } else if namespace != target.namespace {
            return Err(Failure::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request ({namespace} \
                 instead of {})",
                target.namespace
            )));
        }
    } else {
        metadata.remove("namespace");
    }
    let name = given(metadata, "name");
    if !target.name.is_empty() && name.is_empty() {
        metadata.insert("name".to_owned(), Value::from(target.name.as_str()));
    } else if !target.name.is_empty() && name != target.name {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    Ok(())
}

/// Puts back what a client cannot change.
pub(super) fn keep_system_fields(object: &mut Value, old: &Value) {
    let Some(metadata) = object_mut(object, "metadata") else { return };
    for field in SYSTEM {
        match old.pointer(&format!("/metadata/{field}")) {
            Some(value) => {
                metadata.insert((*field).to_owned(), value.clone());
            }
            None => {
                metadata.remove(*field);
            }
        }
    }
}

/// Drops empty maps and lists of `metadata`, which the real server does not store.
pub(super) fn tidy(object: &mut Value) {
    let Some(metadata) = object_mut(object, "metadata") else { return };
    metadata.retain(|_, value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    });
}

/// Optimistic concurrency: a version or uid in the body must be that of the stored object.
pub(super) fn check_preconditions(target: &Target, object: &Value, old: &Value) -> Result<(), Failure> {
    let version = text(object, "/metadata/resourceVersion");
    if !version.is_empty() && version != "0" && version != text(old, "/metadata/resourceVersion") {
        if version.parse::<u64>().is_err() {
            return Err(Failure::bad_request(format!("invalid resourceVersion {version:?}")));
        }
        return Err(Failure::conflict(target.named(), MODIFIED));
    }
    let (uid, own) = (text(object, "/metadata/uid"), text(old, "/metadata/uid"));
    if !uid.is_empty() && uid != own {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}");
        return Err(Failure::conflict(target.named(), &why));
    }
    Ok(())
}

pub(super) fn is_terminating(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// RFC 3339 with seconds, as all times of the API.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

const SYSTEM: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];

//! What the server decides about an object before it is stored: defaults, validation, allocation per kind.

mod addresses;
mod families;
mod kinds;
mod metadata;
mod pod_template;
mod policies;
mod rbac;
mod service;
mod service_rules;
mod webhook_config;
mod workloads;

pub(crate) use addresses::Addresses;
pub(crate) use kinds::{
    default_kind, prepare_create, prepare_update, tracks_status_on_create, validate_kind,
};
pub(crate) use metadata::validate_metadata;
pub(crate) use webhook_config::{client_config, service_port};

use serde_json::{Map, Value};

/// The text at a pointer, empty when absent.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a pointer, empty when absent.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The object under a name, made if absent or `null`.
pub(crate) fn object_mut<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    let field = value.as_object_mut()?.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if field.is_null() {
        *field = Value::Object(Map::new());
    }
    field.as_object_mut()
}

/// Sets a field that is absent.
pub(crate) fn default_to(map: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    if map.get(name).is_none_or(|existing| existing.is_null() || existing.as_str() == Some("")) {
        map.insert(name.to_owned(), value.into());
    }
}

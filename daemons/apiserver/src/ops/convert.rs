//! Between the stored form of an object and the form of a version.

use serde_json::{Map, Value, json};

use super::Target;
use crate::failure::Failure;
use crate::kinds::{Origin, Resource};

/// The object as a client of a version sees it.
///
/// # Errors
/// 500 when the definition asks for a conversion webhook: that is for [`crate::webhook::convert`] to call.
pub(crate) fn present(resource: &Resource, version: &str, object: &Value) -> Result<Value, Failure> {
    check(resource, version, object)?;
    let mut shown = object.clone();
    if resource.is(EVENTS_VIEW) {
        shown = event_to_view(&shown);
    }
    set_type(&mut shown, resource, version);
    Ok(shown)
}

/// The object as it is stored.
pub(super) fn to_storage(target: &Target, object: &mut Value) -> Result<(), Failure> {
    let resource = &target.resource;
    if resource.origin == Origin::CustomWithWebhook && target.version != resource.storage {
        return Err(no_webhook(resource, &target.version));
    }
    if resource.is(EVENTS_VIEW) {
        *object = event_from_view(object);
        if let Value::Object(map) = object {
            map.insert("apiVersion".to_owned(), Value::from("v1"));
            map.insert("kind".to_owned(), Value::from("Event"));
        }
        return Ok(());
    }
    set_type(object, resource, &resource.storage);
    Ok(())
}

fn check(resource: &Resource, version: &str, object: &Value) -> Result<(), Failure> {
    if resource.origin != Origin::CustomWithWebhook {
        return Ok(());
    }
    let stored = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if stored == resource.api_version(version) { Ok(()) } else { Err(no_webhook(resource, version)) }
}

fn no_webhook(resource: &Resource, version: &str) -> Failure {
    Failure::internal(format!(
        "conversion webhook for {}, Kind={}: it is not called for what the owner of the server writes; use version {} \
         instead of {version}",
        resource.group, resource.kind, resource.storage
    ))
}

fn set_type(object: &mut Value, resource: &Resource, version: &str) {
    if let Value::Object(map) = object {
        map.insert("apiVersion".to_owned(), Value::from(resource.api_version(version)));
        map.insert("kind".to_owned(), Value::from(resource.kind.as_str()));
    }
}

fn event_to_view(event: &Value) -> Value {
    let mut view = rename(event, |from, _| from);
    let source = view.get("deprecatedSource").cloned().unwrap_or_default();
    let Value::Object(map) = &mut view else { return view };
    if !map.contains_key("eventTime") {
        map.insert("eventTime".to_owned(), Value::Null);
    }
    if let Some(component) = source.get("component").filter(|_| !map.contains_key("reportingController")) {
        map.insert("reportingController".to_owned(), component.clone());
    }
    // The new form counts in `series`, the old one beside it.
    if let Some(Value::Object(series)) = map.get_mut("series") {
        series.remove("state");
    }
    view
}

fn event_from_view(view: &Value) -> Value {
    let mut event = rename(view, |_, to| to);
    if let Value::Object(map) = &mut event {
        map.entry("source").or_insert_with(|| json!({}));
        map.entry("involvedObject").or_insert_with(|| json!({}));
    }
    event
}

/// Renames fields between the two forms of events. `known` picks the side of [`EVENT_FIELDS`] that `object` has.
fn rename(object: &Value, known: fn(&'static str, &'static str) -> &'static str) -> Value {
    let Value::Object(map) = object else { return object.clone() };
    let mut renamed = Map::new();
    for (name, value) in map {
        let pair = EVENT_FIELDS.iter().find(|(old, new)| known(old, new) == name);
        let name = match pair {
            Some((old, new)) if known(old, new) == *old => (*new).to_owned(),
            Some((old, _)) => (*old).to_owned(),
            None => name.clone(),
        };
        renamed.insert(name, value.clone());
    }
    Value::Object(renamed)
}

const EVENTS_VIEW: &str = "events.events.k8s.io";

/// Names in core/v1 and in events.k8s.io/v1.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

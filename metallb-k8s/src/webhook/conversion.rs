//! Conversion of `BGPPeer` between its versions, as the API server asks for it.

use kube::core::{
    Status,
    conversion::{ConversionRequest, ConversionResponse, ConversionReview},
};
use metallb_core::quote::quoted;
use serde_json::{Map, Value, json};

use crate::{
    convert::versions::{to_v1beta1, to_v1beta2},
    crd::{self, BGPPeer, DecodeError, v1beta1},
};

/// Converts every object of a review to the version that it asks for.
///
/// Only what the versions write differently is changed: `apiVersion`, `spec` and the annotation in which
/// the old form keeps what it has no fields for. One object that cannot be converted fails the review, and
/// the answer names it.
pub fn convert(review: ConversionReview) -> ConversionReview {
    let types = review.types.clone();
    let Ok(request) = ConversionRequest::from_review(review) else {
        let mut failed = ConversionResponse::invalid(failure("the review has no request")).into_review();
        failed.types = types;
        return failed;
    };
    let converted: Result<Vec<Value>, String> =
        request.objects.iter().map(|object| to_version(object, &request.desired_api_version)).collect();
    let response = ConversionResponse::for_request(request);
    match converted {
        Ok(objects) => response.success(objects),
        Err(message) => response.failure(failure(&message)),
    }
    .into_review()
}

fn failure(message: &str) -> Status {
    Status::failure(message, "ConversionFailed")
}

fn to_version(object: &Value, wanted: &str) -> Result<Value, String> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, version) = (text("kind"), text("apiVersion"));
    if kind != "BGPPeer" {
        return Err(format!("{} is not converted here, only BGPPeer is", quoted(kind)));
    }
    if let Some(unknown) = [version, wanted].into_iter().find(|version| ![OLD, NEW].contains(version)) {
        return Err(format!("BGPPeer has no version {}; use {OLD} or {NEW}", quoted(unknown)));
    }
    if version == wanted {
        return Ok(object.clone());
    }
    let converted = if wanted == OLD {
        part_of::<BGPPeer>(object).map(|new| json!(to_v1beta1(new)))
    } else {
        part_of::<v1beta1::BGPPeer>(object).and_then(to_v1beta2).map(|new| json!(new))
    };
    let converted = converted.map_err(|error| {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        format!("BGPPeer {} cannot be converted from {version} to {wanted}: {error}", quoted(name))
    })?;
    Ok(merged(object, &converted, wanted))
}

/// What is needed of an object for its conversion.
fn part_of<K: serde::de::DeserializeOwned>(object: &Value) -> Result<K, DecodeError> {
    let annotations = object.pointer("/metadata/annotations").unwrap_or(&Value::Null);
    let spec = object.get("spec").unwrap_or(&Value::Null);
    crd::decode(json!({ "metadata": { "annotations": annotations }, "spec": spec }))
}

/// The object with what was converted, everything else as it was.
fn merged(object: &Value, converted: &Value, version: &str) -> Value {
    let mut object = object.as_object().cloned().unwrap_or_default();
    object.insert("apiVersion".to_owned(), version.into());
    object.insert("spec".to_owned(), converted.get("spec").cloned().unwrap_or_default());
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(metadata) = metadata {
        match converted.pointer("/metadata/annotations") {
            Some(annotations) => drop(metadata.insert("annotations".to_owned(), annotations.clone())),
            None => drop(metadata.remove("annotations")),
        }
    }
    Value::Object(object)
}

const OLD: &str = "metallb.io/v1beta1";
const NEW: &str = "metallb.io/v1beta2";

#[cfg(test)]
#[path = "conversion_tests.rs"]
mod tests;

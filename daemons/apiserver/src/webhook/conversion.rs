//! Conversion webhooks.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission::text;
use crate::api::Api;
use crate::failure::Failure;
use crate::kinds::{Origin, Resource};
use crate::ops::present;

/// The objects in the form of a version, through the webhook of the definition where there is one. All objects go in
/// one request; those that have the version already are not sent.
///
/// # Errors
/// 500, with what went wrong, as the real server says it.
pub(crate) async fn convert(
    api: &Api,
    resource: &Arc<Resource>,
    version: &str,
    mut objects: Vec<Value>,
) -> Result<Vec<Value>, Failure> {
    if resource.origin != Origin::CustomWithWebhook {
        return objects.iter().map(|object| present(resource, version, object)).collect();
    }
    let desired = resource.api_version(version);
    let others: Vec<usize> = (0..objects.len())
        .filter(|&index| objects.get(index).is_some_and(|object| text(object, "/apiVersion") != desired))
        .collect();
    let Some(&first) = others.first() else { return Ok(objects) };
    let from = objects.get(first).map_or("", |object| text(object, "/apiVersion"));
    let subject = format!("conversion webhook for {from}, Kind={}", resource.kind);
    let sent: Vec<Value> = others.iter().filter_map(|&index| objects.get(index).cloned()).collect();
    let converted = call(api, resource, &desired, &sent).await;
    let converted = converted.map_err(|why| Failure::unknown(format!("{subject} failed: {why}")))?;
    if converted.len() != sent.len() {
        let (got, wanted) = (converted.len(), sent.len());
        return Err(Failure::unknown(format!("{subject} returned {got} objects, expected {wanted}")));
    }
    for (place, (index, object)) in others.into_iter().zip(converted).enumerate() {
        let invalid = |why: String| {
            Failure::unknown(format!("{subject} returned invalid object at index {place}: {why}"))
        };
        if let Some(original) = objects.get_mut(index) {
            *original = checked(original, object, &desired).map_err(invalid)?;
        }
    }
    Ok(objects)
}

async fn call(api: &Api, resource: &Resource, desired: &str, sent: &[Value]) -> Result<Vec<Value>, String> {
    let (uid, endpoint) = {
        let mut state = api.state();
        // The definition may have been changed since the request or the watch began.
        let current = state.kinds.by_id(&resource.id).map(Arc::clone);
        let config = current.and_then(|resource| resource.conversion.clone());
        let config = config.ok_or("the definition no longer has a webhook")?;
        (state.names.uid(), state.endpoint(&config, TIMEOUT)?)
    };
    let review = json!({
        "kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
        "request": {"uid": uid, "desiredAPIVersion": desired, "objects": sent},
    });
    let answer = endpoint.post(&review).await?;
    let kind = (text(&answer, "/apiVersion"), text(&answer, "/kind"));
    if kind != ("apiextensions.k8s.io/v1", "ConversionReview") {
        return Err(format!(
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {}, Kind={}",
            kind.0, kind.1
        ));
    }
    let response = answer.get("response").filter(|response| response.is_object());
    let response = response.ok_or("no response provided")?;
    if text(response, "/uid") != uid {
        return Err(format!("expected response.uid={uid:?}, got {:?}", text(response, "/uid")));
    }
    match (text(response, "/result/status"), text(response, "/result/message")) {
        ("Success", _) => {}
        (status, "") => return Err(format!("response.result.status was '{status}', not 'Success'")),
        (_, message) => return Err(message.to_owned()),
    }
    Ok(crate::admission::list(response, "/convertedObjects").to_vec())
}

/// The converted object with the metadata of the original, of which a webhook may change labels and annotations only.
fn checked(original: &Value, mut converted: Value, desired: &str) -> Result<Value, String> {
    let got = text(&converted, "/apiVersion");
    if got != desired {
        return Err(format!("invalid groupVersion (expected {desired}, received {got})"));
    }
    for (what, pointer) in [
        ("kind", "/kind"),
        ("name", "/metadata/name"),
        ("namespace", "/metadata/namespace"),
        ("UID", "/metadata/uid"),
    ] {
        let (before, after) = (text(original, pointer), text(&converted, pointer));
        if before != after {
            return Err(format!("must have the same {what}: {before} != {after}"));
        }
    }
    let mut metadata = original.get("metadata").cloned().unwrap_or_else(|| json!({}));
    let Some(Value::Object(given)) = converted.get("metadata").cloned() else {
        return Err("missing metadata in converted object".to_owned());
    };
    if let Value::Object(metadata) = &mut metadata {
        for field in ["labels", "annotations"] {
            match given.get(field) {
                Some(value) => metadata.insert(field.to_owned(), value.clone()),
                None => metadata.remove(field),
            };
        }
    }
    if let Value::Object(map) = &mut converted {
        map.insert("metadata".to_owned(), metadata);
    }
    Ok(converted)
}

/// Seconds.
const TIMEOUT: u64 = 30;

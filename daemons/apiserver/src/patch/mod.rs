//! The four kinds of patch, and who owns which field.

mod apply;
mod fields;
mod managers;
mod strategic;

pub(crate) use apply::{Applied, apply};
pub(crate) use managers::{Manager, Writer, managers, record_update, set_managers};
pub(crate) use strategic::strategic_merge;

use serde_json::Value;

use crate::failure::Failure;

/// Custom resources have no strategic merge patches.
pub(crate) fn not_strategic() -> Failure {
    Failure::patch_type(
        "application/strategic-merge-patch+json",
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    )
}

/// RFC 7386.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// RFC 6902.
///
/// # Errors
/// 400 when the patch is not one, 422 when it does not fit the object.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<(), Failure> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    if operations.0.len() > MAX_OPERATIONS {
        return Err(Failure::too_large(MAX_OPERATIONS));
    }
    json_patch::patch(target, &operations).map_err(|error| {
        Failure::unprocessable(format!(
            "the server rejected our request due to an error in our request: {error}"
        ))
    })
}

/// As in the real server.
const MAX_OPERATIONS: usize = 10_000;

//! Objects given by the server's owner.

use serde_json::Value;

use crate::api::Api;
use crate::error::{ApplyError, BuildError};
use crate::failure::Failure;
use crate::server::ObjectRef;

pub(crate) fn define(_: &Api, definition: &Value) -> Result<(), BuildError> {
    let name = definition.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Err(BuildError::Definition { name, message: Failure::no_resource().message().to_owned() })
}

pub(crate) fn apply(_: &Api, _: &str) -> Result<Vec<ObjectRef>, ApplyError> {
    Err(ApplyError::Yaml { document: 1, problem: "no kinds are served yet".to_owned() })
}

pub(crate) fn apply_object(_: &Api, document: usize, _: &Value) -> Result<Value, ApplyError> {
    Err(ApplyError::Yaml { document, problem: "no kinds are served yet".to_owned() })
}

//! The embedded API server of the lab.

use metallb_apiserver::{ApplyError, Server};
use serde_json::Value;

use crate::error::Error;

/// An empty API server that knows the load balancer's kinds.
pub(crate) fn server() -> Result<Server, Error> {
    Server::builder().crds(metallb_k8s::crd::all()).build().map_err(|error| Error::Server {
        doing: "building the API server".to_owned(),
        reason: error.to_string(),
    })
}

/// Writes an object, as its owner, past HTTP. Fields that its schema does not know are refused.
pub(crate) fn put(server: &Server, object: &Value) -> Result<Value, Error> {
    server.apply_object(object).map_err(|error| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let doing = format!("writing {} {:?}", text("/kind"), text("/metadata/name"));
        let reason = match error {
            ApplyError::Refused { message, .. } => message,
            other => other.to_string(),
        };
        Error::Server { doing, reason }
    })
}

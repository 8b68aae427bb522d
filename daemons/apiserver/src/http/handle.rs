//! The way of a request: probes and version, then discovery and resources.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use serde_json::json;

use super::{ApiBody, body, response};
use crate::api::Api;
use crate::failure::Failure;

/// Answers one request.
pub(super) async fn respond<B>(api: &Api, request: Request<B>) -> Response<ApiBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    if api.stop.is_cancelled() {
        return response::failure(&Failure::unavailable("the embedded API server is shutting down"));
    }
    let (parts, body) = request.into_parts();
    if let Err(failure) = body::read(body, api.limits.max_body).await {
        return response::failure(&failure);
    }
    match parts.uri.path() {
        "/healthz" | "/readyz" | "/livez" => response::bytes(StatusCode::OK, "text/plain", "ok"),
        "/version" => response::json(StatusCode::OK, &json!({"major": "1", "minor": "33"})),
        _ => response::failure(&Failure::no_resource()),
    }
}

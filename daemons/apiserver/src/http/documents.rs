//! Documents about the server itself: probes, version, discovery, OpenAPI.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::handle::text_header;
use super::{ApiBody, response};
use crate::api::Api;
use crate::failure::Failure;
use crate::{discovery, openapi};

/// The answer if the path is one of these.
pub(super) fn serve(api: &Arc<Api>, parts: &Parts) -> Result<Option<Response<ApiBody>>, Failure> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(None);
    }
    let path = parts.uri.path().trim_end_matches('/');
    let accept = text_header(parts, &header::ACCEPT).unwrap_or_default();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let document = match segments.as_slice() {
        ["healthz" | "readyz" | "livez", ..] => {
            return Ok(Some(response::bytes(StatusCode::OK, "text/plain; charset=utf-8", "ok")));
        }
        ["version"] => version(),
        [""] => json!({"paths": PATHS}),
        ["api"] => return discovery_root(api, accept, true).map(Some),
        ["apis"] => return discovery_root(api, accept, false).map(Some),
        ["api", version] => discovery::resources(&api.state().kinds, "", version)?,
        ["apis", group] => discovery::group(&api.state().kinds, group)?,
        ["apis", group, version] => discovery::resources(&api.state().kinds, group, version)?,
        ["openapi", "v2"] => return openapi_v2(api, accept).map(Some),
        ["openapi", "v3"] => openapi::index(&api.state().kinds),
        ["openapi", "v3", "api", version] => openapi::v3(&api.state().kinds, "", version)?,
        ["openapi", "v3", "apis", group, version] => openapi::v3(&api.state().kinds, group, version)?,
        _ => return Ok(None),
    };
    Ok(Some(response::json(StatusCode::OK, &document)))
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": "v1.33.0+embedded", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// Clients ask for aggregated discovery first and take the old form otherwise.
fn discovery_root(api: &Arc<Api>, accept: &str, core: bool) -> Result<Response<ApiBody>, Failure> {
    let state = api.state();
    for range in accept.split(',') {
        if !range.contains("as=APIGroupDiscoveryList") {
            continue;
        }
        let (version, content_type) = if range.contains("v=v2beta1") {
            ("v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList")
        } else {
            ("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
        };
        let document = discovery::aggregated(&state.kinds, core, version);
        return Ok(response::bytes(StatusCode::OK, content_type, document.to_string()));
    }
    if !accepts(accept, "application/json") {
        return Err(Failure::not_acceptable("application/json"));
    }
    let document = if core { discovery::core_versions() } else { discovery::groups(&state.kinds) };
    Ok(response::json(StatusCode::OK, &document))
}

/// `kubectl` asks for protobuf only; curl and others for JSON.
fn openapi_v2(api: &Arc<Api>, accept: &str) -> Result<Response<ApiBody>, Failure> {
    let protobuf = accept
        .split(',')
        .any(|range| range.trim().starts_with("application/com.github.proto-openapi.spec.v2"));
    let document = openapi::v2(&api.state().kinds);
    if protobuf {
        let bytes = openapi::to_protobuf(&document);
        return Ok(response::bytes(StatusCode::OK, PROTOBUF, bytes));
    }
    if accepts(accept, "application/json") {
        return Ok(response::json(StatusCode::OK, &document));
    }
    Err(Failure::not_acceptable(&format!("application/json, {PROTOBUF}")))
}

fn accepts(accept: &str, media: &str) -> bool {
    accept.trim().is_empty()
        || accept
            .split(',')
            .filter_map(|range| range.split(';').next())
            .map(str::trim)
            .any(|range| range == media || range == "*/*" || range == "application/*")
}

/// Clients ask with an `@`, which is not allowed in a media type; the answer has a dot, as the real server's.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

const PATHS: &[&str] =
    &["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];

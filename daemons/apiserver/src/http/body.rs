//! Request bodies: bounded reading, JSON and YAML.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use serde_json::Value;

use crate::failure::Failure;

/// What the client says its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    Json,
    Yaml,
    MergePatch,
    StrategicMergePatch,
    JsonPatch,
    ApplyPatch,
    Protobuf,
}

impl ContentType {
    /// Without a header the real server takes JSON.
    ///
    /// # Errors
    /// 415 for anything else.
    pub(crate) fn parse(header: Option<&str>) -> Result<Self, Failure> {
        let kind = header.map_or("", |text| text.split(';').next().unwrap_or_default().trim());
        match kind.to_ascii_lowercase().as_str() {
            "" | "*/*" | "application/json" | "text/json" => Ok(Self::Json),
            "application/yaml" | "text/yaml" | "application/x-yaml" => Ok(Self::Yaml),
            "application/merge-patch+json" => Ok(Self::MergePatch),
            "application/strategic-merge-patch+json" => Ok(Self::StrategicMergePatch),
            "application/json-patch+json" => Ok(Self::JsonPatch),
            "application/apply-patch+yaml" | "application/apply-patch+json" => Ok(Self::ApplyPatch),
            "application/vnd.kubernetes.protobuf" => Ok(Self::Protobuf),
            _ => Err(Failure::unsupported_media_type(kind)),
        }
    }
}

/// Reads the body, at most `limit` bytes.
pub(crate) async fn read<B>(body: B, limit: usize) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Send,
    B::Error: std::fmt::Display,
{
    let body = body.map_err(|error| error.to_string());
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::too_large(limit)),
        Err(error) => Err(Failure::bad_request(format!("the request body could not be read: {error}"))),
    }
}

/// The document in a body. An empty body is `None`.
pub(crate) fn document(bytes: &[u8], kind: ContentType) -> Result<Option<Value>, Failure> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match kind {
        ContentType::Protobuf => super::protobuf::decode(bytes).map(Some),
        ContentType::Yaml | ContentType::ApplyPatch => yaml(bytes).map(Some),
        _ => serde_json::from_slice(bytes)
            .map(Some)
            .map_err(|error| Failure::bad_request(format!("the body is not valid JSON: {error}"))),
    }
}

fn yaml(bytes: &[u8]) -> Result<Value, Failure> {
    // JSON is what clients send here nearly always; it is the cheaper parser and exact about numbers.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Failure::bad_request(format!("the body is not UTF-8: {error}")))?;
    serde_saphyr::from_str(text)
        .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))
}

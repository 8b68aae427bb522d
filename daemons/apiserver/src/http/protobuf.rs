//! Request bodies in `application/vnd.kubernetes.protobuf`, which `kubectl create` sends for the kinds it has a
//! subcommand for.
//!
//! Field numbers are those of the `generated.proto` files of the Kubernetes API. Fields beyond the tables are refused,
//! never dropped, unless they hold nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::protobuf_fields::{Field, Kind, UNKNOWN, message_of};
use crate::failure::Failure;

/// Decodes an object in its envelope: `k8s\0` and a `runtime.Unknown` with type and raw message.
///
/// # Errors
/// 400 for malformed bytes, 415 for kinds and fields that are not in the tables.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, Failure> {
    let envelope = bytes.strip_prefix(b"k8s\0").ok_or_else(|| malformed("the magic number is missing"))?;
    let envelope = message(envelope, UNKNOWN, 0)?;
    let text = |pointer: &str| envelope.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("/typeMeta/apiVersion"), text("/typeMeta/kind"));
    let fields = message_of(api_version, kind).ok_or_else(|| {
        Failure::unsupported_media_type(&format!("protobuf of {api_version} {kind}; send JSON"))
    })?;
    let raw = BASE64.decode(text("/raw")).map_err(|_| malformed("no raw message"))?;
    let mut object = message(&raw, fields, 0)?;
    if let Value::Object(map) = &mut object {
        map.insert("apiVersion".to_owned(), Value::from(api_version));
        map.insert("kind".to_owned(), Value::from(kind));
    }
    Ok(object)
}

/// What stands behind a key.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn message(mut bytes: &[u8], fields: &[Field], depth: usize) -> Result<Value, Failure> {
    if depth > MAX_DEPTH {
        return Err(malformed("nested too deeply"));
    }
    let mut map = Map::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let wire = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            2 => {
                let length =
                    usize::try_from(varint(&mut bytes)?).map_err(|_| malformed("length out of range"))?;
                let (value, rest) = bytes.split_at_checked(length).ok_or_else(|| malformed("cut off"))?;
                bytes = rest;
                Wire::Bytes(value)
            }
            other => return Err(malformed(&format!("wire type {other}"))),
        };
        let Some(field) = fields.iter().find(|field| u64::from(field.number) == key >> 3) else {
            if is_nothing(&wire) {
                continue;
            }
            let known = fields.first().map_or("", |field| field.name);
            return Err(Failure::unsupported_media_type(&format!(
                "protobuf with field {} beside {known:?}, which is not in this server's tables; send JSON",
                key >> 3
            )));
        };
        add(&mut map, field, &wire, depth)?;
    }
    Ok(Value::Object(map))
}

fn add(map: &mut Map<String, Value>, field: &Field, wire: &Wire<'_>, depth: usize) -> Result<(), Failure> {
    // Fields that are not pointers in Go are sent even if they hold nothing.
    if (is_nothing(wire) && !field.pointer && !field.repeated) || matches!(field.kind, Kind::Skip) {
        return Ok(());
    }
    if let Kind::Map { bytes } = field.kind {
        let Wire::Bytes(entry) = wire else { return Err(malformed(field.name)) };
        let (name, value) = entry_of(entry, bytes)?;
        if let Value::Object(entries) = map.entry(field.name).or_insert_with(|| json!({})) {
            entries.insert(name, value);
        }
        return Ok(());
    }
    let value = value_of(field, wire, depth)?;
    if field.repeated {
        if let Value::Array(items) = map.entry(field.name).or_insert_with(|| json!([])) {
            items.push(value);
        }
    } else if value.as_object().is_none_or(|inner| !inner.is_empty() || field.pointer) {
        map.insert(field.name.to_owned(), value);
    }
    Ok(())
}

fn value_of(field: &Field, wire: &Wire<'_>, depth: usize) -> Result<Value, Failure> {
    match (&field.kind, wire) {
        (Kind::Text, Wire::Bytes(bytes)) => text(bytes).map(Value::from),
        (Kind::Bytes, Wire::Bytes(bytes)) => Ok(Value::from(BASE64.encode(bytes))),
        (Kind::Number, Wire::Number(number)) => Ok(Value::from(number.cast_signed())),
        (Kind::Flag, Wire::Number(number)) => Ok(Value::Bool(*number != 0)),
        (Kind::Message(fields), Wire::Bytes(bytes)) => message(bytes, fields, depth + 1),
        (Kind::IntOrString, Wire::Bytes(bytes)) => {
            let parts = message(bytes, super::protobuf_fields::INT_OR_STRING, depth + 1)?;
            let is_text = parts.get("type").and_then(Value::as_i64) == Some(1);
            let value = if is_text { parts.get("strVal") } else { parts.get("intVal") };
            Ok(value.cloned().unwrap_or_else(|| if is_text { json!("") } else { json!(0) }))
        }
        _ => Err(malformed(field.name)),
    }
}

/// Key and value of a map's entry.
fn entry_of(bytes: &[u8], binary: bool) -> Result<(String, Value), Failure> {
    let kind = if binary { Kind::Bytes } else { Kind::Text };
    let fields = [Field::new(1, "key", Kind::Text).pointer(), Field::new(2, "value", kind).pointer()];
    let entry = message(bytes, &fields, 0)?;
    let key = entry.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((key, entry.get("value").cloned().unwrap_or_else(|| json!(""))))
}

fn is_nothing(wire: &Wire<'_>) -> bool {
    match wire {
        Wire::Number(number) => *number == 0,
        Wire::Bytes(bytes) => bytes.is_empty(),
    }
}

fn text(bytes: &[u8]) -> Result<String, Failure> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| malformed("text is not UTF-8"))
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Failure> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = bytes.split_first().ok_or_else(|| malformed("cut off"))?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(malformed("a number is too long"))
}

fn malformed(what: &str) -> Failure {
    Failure::bad_request(format!("the body is not a valid Kubernetes protobuf message: {what}"))
}

/// Deeper than any object of the tables.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::decode;

    #[test]
    fn a_config_map_is_decoded_and_unknown_content_is_refused() {
        let body =
            b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x0e\x0a\x04\x0a\x02cm\x12\x06\x0a\x01a\x12\x01b";
        let object = decode(body).unwrap();
        assert_eq!(
            object,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"a": "b"}})
        );
        let odd = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x04\xfa\x01\x01x";
        assert_eq!(decode(odd).unwrap_err().code(), 415);
        assert_eq!(decode(b"k8s\0\x0a\x04\x0a\x02v1").unwrap_err().code(), 415);
        assert_eq!(decode(b"{}").unwrap_err().code(), 400);
    }

    #[test]
    fn the_options_of_a_delete_are_decoded() {
        let body = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x19\x08\x00\x12\x09\x0a\x01u\x12\x04\x31234\x22\x0aBackground";
        let object = decode(body).unwrap();
        assert_eq!(
            (&object["gracePeriodSeconds"], &object["propagationPolicy"]),
            (&json!(0), &json!("Background"))
        );
        assert_eq!(object["preconditions"], json!({"uid": "u", "resourceVersion": "1234"}));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut body = b"k8s\0\x0a\x0d\x0a\x02v1\x12\x07Service\x12".to_vec();
            body.push(u8::try_from(bytes.len().min(127)).unwrap());
            body.extend(&bytes);
            drop(decode(&body));
            drop(decode(&bytes));
        }
    }
}

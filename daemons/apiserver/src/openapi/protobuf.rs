//! The OpenAPI v2 document as protobuf (`openapi.v2.Document` of gnostic): the only form that `kubectl` asks for.

use serde_json::{Map, Value};

/// Encodes a document made by [`super::v2`].
pub(crate) fn to_protobuf(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document.get("swagger"));
    if let Some(info) = document.get("info") {
        let mut message = Message::default();
        message.text(1, info.get("title"));
        message.text(2, info.get("version"));
        out.message(2, &message);
    }
    let mut paths = Message::default();
    for (name, item) in fields(document.get("paths")) {
        paths.message(2, &named(name, &path_item(item)));
    }
    out.message(8, &paths);
    let mut definitions = Message::default();
    for (name, definition) in fields(document.get("definitions")) {
        definitions.message(1, &named(name, &schema(definition)));
    }
    out.message(9, &definitions);
    out.0
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(found) = item.get(method) {
            message.message(number, &operation(found));
        }
    }
    message
}

fn operation(operation: &Value) -> Message {
    let mut message = Message::default();
    message.texts(6, operation.get("produces"));
    message.texts(7, operation.get("consumes"));
    for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        message.message(8, &query_parameter(parameter));
    }
    let mut responses = Message::default();
    for (code, response) in fields(operation.get("responses")) {
        let mut inner = Message::default();
        inner.text(1, response.get("description"));
        if let Some(found) = response.get("schema") {
            // SchemaItem { schema }
            inner.message(2, &wrap(1, &schema(found)));
        }
        // ResponseValue { response }
        responses.message(1, &named(code, &wrap(1, &inner)));
    }
    message.message(9, &responses);
    extensions(13, operation, &mut message);
    message
}

/// `ParametersItem { parameter { non_body_parameter { query_parameter_sub_schema } } }`
fn query_parameter(parameter: &Value) -> Message {
    let mut message = Message::default();
    message.text(3, parameter.get("in"));
    message.text(4, parameter.get("name"));
    message.text(6, parameter.get("type"));
    message.flag(20, parameter.get("uniqueItems"));
    wrap(1, &wrap(2, &wrap(3, &message)))
}

fn schema(schema_value: &Value) -> Message {
    let mut message = Message::default();
    let get = |name: &str| schema_value.get(name);
    message.text(1, get("$ref"));
    message.text(2, get("format"));
    message.text(3, get("title"));
    message.text(4, get("description"));
    if let Some(default) = get("default") {
        message.message(5, &any(default));
    }
    message.double(7, get("maximum"));
    message.flag(8, get("exclusiveMaximum"));
    message.double(9, get("minimum"));
    message.flag(10, get("exclusiveMinimum"));
    message.integer(11, get("maxLength"));
    message.integer(12, get("minLength"));
    message.text(13, get("pattern"));
    message.integer(14, get("maxItems"));
    message.integer(15, get("minItems"));
    message.texts(19, get("required"));
    for allowed in get("enum").and_then(Value::as_array).into_iter().flatten() {
        message.message(20, &any(allowed));
    }
    match get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            let mut item = Message::default();
            item.integer(2, Some(&Value::from(i64::from(*allowed))));
            message.message(21, &item);
        }
        Some(inner) => message.message(21, &wrap(1, &schema(inner))),
        None => {}
    }
    if let Some(Value::String(ty)) = get("type") {
        let mut item = Message::default();
        item.text(1, Some(&Value::from(ty.as_str())));
        message.message(22, &item);
    }
    if let Some(items) = get("items") {
        message.message(23, &wrap(1, &schema(items)));
    }
    if let Some(properties) = get("properties") {
        let mut list = Message::default();
        for (name, property) in fields(Some(properties)) {
            list.message(1, &named(name, &schema(property)));
        }
        message.message(25, &list);
    }
    extensions(31, schema_value, &mut message);
    message
}

fn extensions(number: u32, value: &Value, message: &mut Message) {
    for (name, extension) in fields(Some(value)).filter(|(name, _)| name.starts_with("x-")) {
        message.message(number, &named(name, &any(extension)));
    }
}

/// `Any { yaml }`; JSON is YAML.
fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(2, Some(&Value::from(value.to_string())));
    message
}

/// `{ name, value }`, how the schema writes maps.
fn named(name: &str, value: &Message) -> Message {
    let mut message = Message::default();
    message.text(1, Some(&Value::from(name)));
    message.message(2, value);
    message
}

fn wrap(number: u32, inner: &Message) -> Message {
    let mut message = Message::default();
    message.message(number, inner);
    message
}

fn fields(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// An encoded protobuf message.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, number: u32, wire_type: u32) {
        self.varint(u64::from(number << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(0));
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, number: u32, message: &Self) {
        self.bytes(number, &message.0);
    }

    fn text(&mut self, number: u32, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u32, value: Option<&Value>) {
        for text in value.and_then(Value::as_array).into_iter().flatten() {
            self.text(number, Some(text));
        }
    }

    fn integer(&mut self, number: u32, value: Option<&Value>) {
        if let Some(found) = value.and_then(Value::as_u64) {
            self.key(number, 0);
            self.varint(found);
        }
    }

    fn flag(&mut self, number: u32, value: Option<&Value>) {
        if value == Some(&Value::Bool(true)) {
            self.key(number, 0);
            self.varint(1);
        }
    }

    fn double(&mut self, number: u32, value: Option<&Value>) {
        if let Some(found) = value.and_then(Value::as_f64) {
            self.key(number, 1);
            self.0.extend_from_slice(&found.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::to_protobuf;

    #[test]
    fn a_small_document_has_the_known_bytes() {
        let document =
            json!({"swagger": "2.0", "info": {"title": "T"}, "definitions": {"a": {"type": "string"}}});
        let expected: &[u8] = &[
            0x0a, 3, b'2', b'.', b'0', // swagger
            0x12, 3, 0x0a, 1, b'T', // info { title }
            0x42, 0, // paths
            0x4a, 18, // definitions
            0x0a, 16, 0x0a, 1, b'a', // named "a"
            0x12, 11, 0xb2, 0x01, 8, 0x0a, 6, b's', b't', b'r', b'i', b'n', b'g', // type
        ];
        assert_eq!(to_protobuf(&document), expected);
    }
}

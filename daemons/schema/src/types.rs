//! The types of built-in kinds: what Go's decoder would refuse.

use serde_json::Value;

use super::{Node, Type};

/// The first field whose value cannot be decoded, in the words of the real server, or `None`.
pub fn type_error(node: Node<'_>, kind: &str, value: &Value) -> Option<String> {
    walk(node, kind, value, &mut Vec::new())
}

fn walk(node: Node<'_>, kind: &str, value: &Value, path: &mut Vec<String>) -> Option<String> {
    let wrong = |expected: &str| {
        let field = path.join(".");
        Some(format!(
            "json: cannot unmarshal {} into Go struct field {kind}.{field} of type {expected}",
            go_name(value)
        ))
    };
    match (node.ty(), value) {
        (Type::Any, _)
        | (_, Value::Null)
        | (Type::IntOrString, Value::String(_) | Value::Number(_))
        | (Type::Boolean, Value::Bool(_))
        | (Type::Number, Value::Number(_)) => None,
        (Type::Object, Value::Object(map)) => map.iter().find_map(|(name, field)| {
            let schema = node.field(name)?;
            path.push(name.clone());
            let found = walk(schema, kind, field, path);
            path.pop();
            found
        }),
        (Type::Array, Value::Array(items)) => {
            let schema = node.items()?;
            items.iter().find_map(|item| walk(schema, kind, item, path))
        }
        (Type::String, Value::String(text)) => (node.text("format") == Some("date-time")
            && text.parse::<jiff::Timestamp>().is_err())
        .then(|| format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?}")),
        (Type::Integer, Value::Number(number)) => {
            let fits = match (number.as_i64(), node.text("format")) {
                (Some(number), Some("int32")) => i32::try_from(number).is_ok(),
                (Some(_), _) => true,
                (None, _) => false,
            };
            if fits { None } else { wrong(node.text("format").unwrap_or("int64")) }
        }
        (Type::Object, _) => wrong("map"),
        (Type::Array, _) => wrong("slice"),
        (Type::String, _) => wrong("string"),
        (Type::Integer, _) => wrong(node.text("format").unwrap_or("int64")),
        (Type::Number, _) => wrong("float64"),
        (Type::Boolean, _) => wrong("bool"),
        (Type::IntOrString, _) => wrong("intstr.IntOrString"),
    }
}

fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

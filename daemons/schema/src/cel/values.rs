//! JSON as CEL sees it, by its schema.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Program, Value as Cel};
use serde_json::Value;

use crate::{Node, Type};

/// The value of an expression variable.
pub(super) fn to_cel(node: Option<Node<'_>>, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => {
            let wide = node.is_some_and(|node| node.ty() == Type::Number);
            match number.as_i64() {
                Some(number) if !wide => Cel::Int(number),
                _ => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
            }
        }
        Value::String(text) => string(node, text),
        Value::Array(items) => {
            let item = node.and_then(Node::items);
            Cel::List(Arc::new(items.iter().map(|one| to_cel(item, one)).collect()))
        }
        Value::Object(fields) => {
            let entries = fields.iter().map(|(name, field)| {
                // Names of fields are escaped, keys of maps are data.
                let property = node.and_then(|node| node.property(name));
                let is_field = property.is_some() || node.is_none_or(|node| node.additional().is_none());
                let key = if is_field { escaped(name) } else { name.clone() };
                let schema = property.or_else(|| node.and_then(Node::additional));
                (Key::String(Arc::new(key)), to_cel(schema, field))
            });
            Cel::Map(Map { map: Arc::new(entries.collect::<HashMap<_, _>>()) })
        }
    }
}

/// Times, durations and bytes have types of their own.
fn string(node: Option<Node<'_>>, text: &str) -> Cel {
    let plain = || Cel::String(Arc::new(text.to_owned()));
    let parsed = |function: &str| {
        let program = Program::compile(&format!("{function}({text:?})")).ok()?;
        super::evaluate::with_functions(|context| program.execute(context).ok())
    };
    let format = node.filter(|node| node.ty() == Type::String).and_then(|node| node.text("format"));
    match format {
        Some("date-time") => parsed("timestamp").unwrap_or_else(plain),
        Some("duration") => parsed("duration").unwrap_or_else(plain),
        Some("byte") => BASE64.decode(text).map_or_else(|_| plain(), |bytes| Cel::Bytes(Arc::new(bytes))),
        _ => plain(),
    }
}

/// A field's name as rules write it.
fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let name = name.replace("__", "__underscores__");
    name.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__")
}

const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_are_escaped_as_the_real_server_escapes_them() {
        for (name, expected) in [
            ("plain", "plain"),
            ("namespace", "__namespace__"),
            ("snake_case", "snake_case"),
            ("a__b", "a__underscores__b"),
            ("a.b/c-d", "a__dot__b__slash__c__dash__d"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }
}

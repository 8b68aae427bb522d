//! Validation of custom resources against their schema, with the real server's messages and field paths.

use serde_json::Value;

use super::{ListType, Node, Type};
use crate::Cause;

/// All that is wrong with a value.
pub fn validate(node: Node<'_>, value: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(node, value, path, &mut causes);
    causes
}

/// Checks that a schema is one we can follow: types known, patterns compile.
pub fn validate_definition(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Value::Object(map) = schema else {
        causes.push(Cause::invalid(path, schema, "must be a schema object"));
        return;
    };
    let ty = map.get("type").and_then(Value::as_str);
    let free = ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"]
        .iter()
        .any(|name| map.get(*name) == Some(&Value::Bool(true)));
    match ty {
        Some("object" | "array" | "string" | "integer" | "number" | "boolean") => {}
        Some(other) => {
            let supported = ["array", "boolean", "integer", "number", "object", "string"].map(str::to_owned);
            causes.push(Cause::not_supported(format!("{path}.type"), &Value::from(other), &supported));
        }
        None if free => {}
        None => causes
            .push(Cause::required(format!("{path}.type"), "must not be empty for specified object fields")),
    }
    if ty == Some("array") && !map.get("items").is_some_and(Value::is_object) {
        causes.push(Cause::required(format!("{path}.items"), "must be specified"));
    }
    if let Some(pattern) = map.get("pattern").and_then(Value::as_str)
        && let Err(error) = compile(pattern)
    {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        causes.push(Cause::invalid(format!("{path}.pattern"), &Value::from(pattern), &why));
    }
    for (name, field) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        validate_definition(field, &format!("{path}.properties[{name}]"), causes);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = map.get(name).filter(|inner| inner.is_object()) {
            validate_definition(inner, &format!("{path}.{name}"), causes);
        }
    }
}

fn check(node: Node<'_>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && node.nullable() {
        return;
    }
    if !has_type(node.ty(), value) {
        let wanted = node.text("type").unwrap_or("integer,string");
        let shown = shown_type(value);
        let why = format!("{path} in body must be of type {wanted}: {}", quoted(&shown));
        causes.push(Cause::type_invalid(path, &shown, &why));
        return;
    }
    check_enum(node, value, path, causes);
    match value {
        Value::String(text) => check_string(node, text, path, causes),
        Value::Number(_) => check_number(node, value, path, causes),
        Value::Array(items) => check_array(node, items, path, causes),
        Value::Object(_) => check_object(node, value, path, causes),
        _ => {}
    }
    check_combinations(node, value, path, causes);
}

fn has_type(ty: Type, value: &Value) -> bool {
    match ty {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Boolean => value.is_boolean(),
        Type::Number => value.is_number(),
        Type::Integer => is_integer(value),
        Type::IntOrString => value.is_string() || is_integer(value),
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn shown_type(value: &Value) -> Value {
    Value::from(match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    })
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => format!("\"{other}\""),
    }
}

fn check_enum(node: Node<'_>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(allowed) = node.attribute("enum").and_then(Value::as_array) else { return };
    if !allowed.contains(value) {
        let listed: Vec<_> =
            allowed.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
        causes.push(Cause::not_supported(path, value, &listed));
    }
}

fn check_string(node: Node<'_>, text: &str, path: &str, causes: &mut Vec<Cause>) {
    let value = Value::from(text);
    let length = text.chars().count() as u64;
    if let Some(min) = limit(node, "minLength")
        && length < min
    {
        causes.push(Cause::invalid(
            path,
            &value,
            &format!("{path} in body should be at least {min} chars long"),
        ));
    }
    if let Some(max) = limit(node, "maxLength")
        && length > max
    {
        let message = format!("Too long: may not be more than {max} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", message, field: path.to_owned() });
    }
    if let Some(pattern) = node.text("pattern") {
        match compile(pattern) {
            Ok(regex) if regex.is_match(text.as_bytes()) => {}
            Ok(_) => {
                let why = format!("{path} in body should match '{pattern}'");
                causes.push(Cause::invalid(path, &value, &why));
            }
            Err(error) => {
                causes.push(Cause::invalid(
                    path,
                    &value,
                    &format!("pattern of the schema is invalid: {error}"),
                ));
            }
        }
    }
    if let Some(format) = node.text("format")
        && !has_format(format, text)
    {
        let why = format!("{path} in body must be of type {format}: {}", quoted(&value));
        causes.push(Cause::invalid(path, &value, &why));
    }
}

/// Patterns are RE2 over ASCII classes, as Go's; they match bytes because the Unicode tables are not built in.
fn compile(pattern: &str) -> Result<regex::bytes::Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(pattern).unicode(false).size_limit(REGEX_LIMIT).build()
}

fn has_format(format: &str, text: &str) -> bool {
    match format {
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "ip" => text.parse::<std::net::IpAddr>().is_ok(),
        "cidr" => text.contains('/') && text.parse::<ipnetwork::IpNetwork>().is_ok(),
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "byte" => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        // The real server ignores formats that it does not know, and the rest are of no use to our kinds.
        _ => true,
    }
}

fn check_number(node: Node<'_>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(number) = value.as_f64() else { return };
    if let Some(min) = node.attribute("minimum").and_then(Value::as_f64) {
        let exclusive = node.flag("exclusiveMinimum");
        if number < min || (exclusive && number <= min) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let why = format!("{path} in body should be greater than{or_equal} {min}");
            causes.push(Cause::invalid(path, value, &why));
        }
    }
    if let Some(max) = node.attribute("maximum").and_then(Value::as_f64) {
        let exclusive = node.flag("exclusiveMaximum");
        if number > max || (exclusive && number >= max) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let why = format!("{path} in body should be less than{or_equal} {max}");
            causes.push(Cause::invalid(path, value, &why));
        }
    }
    if let Some(step) = node.attribute("multipleOf").and_then(Value::as_f64)
        && step > 0.0
        && (number / step).fract() != 0.0
    {
        causes.push(Cause::invalid(path, value, &format!("{path} in body should be a multiple of {step}")));
    }
    check_integer_format(node, value, path, causes);
}

fn check_integer_format(node: Node<'_>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if node.ty() != Type::Integer {
        return;
    }
    let fits = match node.text("format") {
        Some("int32") => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Some("uint32") => value.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
        Some("int64") => value.as_i64().is_some(),
        _ => true,
    };
    if !fits {
        let format = node.text("format").unwrap_or_default();
        let why = format!("{path} in body must be of type {format}: \"{value}\"");
        causes.push(Cause::invalid(path, value, &why));
    }
}

fn check_array(node: Node<'_>, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let count = items.len() as u64;
    if let Some(min) = limit(node, "minItems")
        && count < min
    {
        let why = format!("{path} in body should have at least {min} items");
        causes.push(Cause::invalid(path, &Value::from(count), &why));
    }
    if let Some(max) = limit(node, "maxItems")
        && count > max
    {
        let message = format!("Too many: {count}: must have at most {max} items");
        causes.push(Cause { reason: "FieldValueTooMany", message, field: path.to_owned() });
    }
    for (index, item) in items.iter().enumerate() {
        if is_duplicate(node, items, index) {
            causes.push(Cause::duplicate(format!("{path}[{index}]"), &identity(node, item)));
        }
        if let Some(schema) = node.items() {
            check(schema, item, &format!("{path}[{index}]"), causes);
        }
    }
}

/// Whether an element of a set, a map-like list or a unique list stands earlier in the list too.
fn is_duplicate(node: Node<'_>, items: &[Value], index: usize) -> bool {
    if node.list_type() == ListType::Atomic && !node.flag("uniqueItems") {
        return false;
    }
    let Some(item) = items.get(index) else { return false };
    let own = identity(node, item);
    items.iter().take(index).any(|earlier| identity(node, earlier) == own)
}

fn identity(node: Node<'_>, item: &Value) -> Value {
    match node.list_type() {
        ListType::Map(keys) => {
            keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect()
        }
        ListType::Set | ListType::Atomic => item.clone(),
    }
}

fn check_object(node: Node<'_>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Value::Object(map) = value else { return };
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let required = node.attribute("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            causes.push(Cause::required(at(name), ""));
        }
    }
    let count = map.len() as u64;
    if let Some(min) = limit(node, "minProperties")
        && count < min
    {
        let why = format!("{path} in body should have at least {min} properties");
        causes.push(Cause::invalid(path, value, &why));
    }
    if let Some(max) = limit(node, "maxProperties")
        && count > max
    {
        let message = format!("Too many: {count}: must have at most {max} items");
        causes.push(Cause { reason: "FieldValueTooMany", message, field: path.to_owned() });
    }
    for (name, field) in map {
        if let Some(schema) = node.field(name) {
            check(schema, field, &at(name), causes);
        }
    }
}

fn check_combinations(node: Node<'_>, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let list = |name: &str| node.attribute(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let holds = |schema: &Value| validate(Node::new(schema), value, path).is_empty();
    let is_reference = |schema: &Value| schema.get("$ref").is_some();
    for schema in list("allOf").iter().filter(|schema| !is_reference(schema)) {
        check(Node::new(schema), value, path, causes);
    }
    let any = list("anyOf");
    if !any.is_empty() && !any.iter().any(holds) {
        let why = format!("{path} in body must validate at least one schema (anyOf)");
        causes.push(Cause::invalid(path, value, &why));
    }
    let one = list("oneOf");
    if !one.is_empty() && one.iter().filter(|schema| holds(schema)).count() != 1 {
        let why = format!("{path} in body must validate one and only one schema (oneOf)");
        causes.push(Cause::invalid(path, value, &why));
    }
    if let Some(not) = node.attribute("not")
        && holds(not)
    {
        causes.push(Cause::invalid(
            path,
            value,
            &format!("{path} in body must not validate the schema (not)"),
        ));
    }
}

fn limit(node: Node<'_>, name: &str) -> Option<u64> {
    node.attribute(name).and_then(Value::as_u64)
}

/// Compiled size of a pattern.
const REGEX_LIMIT: usize = 1 << 20;

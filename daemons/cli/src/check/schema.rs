//! The definitions of the resources, held against objects without a cluster.

use std::collections::BTreeMap;

use metallb_schema::{
    Cause, Node, Rules, apply_defaults, blocks_rules, complete, drop_defaulted_nulls, prune, validate,
    validate_rules,
};
use serde_json::Value;

use super::finding::{Finding, nearest};

/// The kinds of the group, each with its versions.
#[derive(Debug)]
pub(crate) struct Definitions {
    kinds: BTreeMap<String, BTreeMap<String, Definition>>,
}

#[derive(Debug)]
struct Definition {
    schema: Value,
    rules: Rules,
    deprecated: bool,
}

impl Definitions {
    /// The definitions that this program installs.
    pub(crate) fn load() -> Self {
        let mut kinds: BTreeMap<String, BTreeMap<String, Definition>> = BTreeMap::new();
        for crd in metallb_k8s::crd::all() {
            let versions = kinds.entry(crd.spec.names.kind).or_default();
            for version in crd.spec.versions {
                let schema = version.schema.and_then(|schema| schema.open_api_v3_schema);
                let schema = schema.and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or_default();
                let rules = Rules::compile(&schema);
                let deprecated = version.deprecated.unwrap_or(false);
                versions.insert(version.name, Definition { rules, schema: complete(schema), deprecated });
            }
        }
        Self { kinds }
    }

    /// Everything that the definition says against an object of the group.
    pub(crate) fn check(&self, kind: &str, version: &str, object: &Value) -> Vec<Finding> {
        let Some(versions) = self.kinds.get(kind) else {
            let known = self.kinds.keys().map(String::as_str);
            let help = match nearest(kind, known.clone()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the kinds are {}", known.collect::<Vec<_>>().join(", ")),
            };
            let message = format!("{kind:?} is not a kind of metallb.io");
            return vec![Finding::error("unknown_kind", "kind", message).help(help)];
        };
        let Some(definition) = versions.get(version) else {
            let known: Vec<_> =
                versions.keys().rev().map(|version| format!("metallb.io/{version}")).collect();
            let message = format!("{kind} has no version {version:?}");
            return vec![
                Finding::error("unknown_version", "apiVersion", message)
                    .help(format!("write {}", known.join(" or "))),
            ];
        };
        definition.check(kind, object)
    }
}

impl Definition {
    fn check(&self, kind: &str, object: &Value) -> Vec<Finding> {
        let root = Node::new(&self.schema);
        let mut object = object.clone();
        let mut found = Vec::new();
        if self.deprecated {
            let message = format!("this version of {kind} is deprecated");
            found
                .push(Finding::warning("deprecated", "apiVersion", message).help("write metallb.io/v1beta2"));
        }
        let unknown = prune(root, &mut object);
        found.extend(unknown.iter().map(|field| unknown_field(root, field)));
        drop_defaulted_nulls(root, &mut object);
        apply_defaults(root, &mut object);
        let mut causes = validate(root, &object, "");
        if !blocks_rules(&causes) {
            causes.extend(validate_rules(&self.rules, root, &object, None));
        }
        found.extend(causes.into_iter().map(|cause| words(root, &object, cause)));
        found
    }
}

fn unknown_field(root: Node<'_>, path: &str) -> Finding {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let finding = Finding::error("unknown_field", path, format!("there is no field {name:?} here"));
    let Some(properties) = at(root, parent).and_then(Node::properties) else { return finding };
    let known = properties.keys().map(String::as_str);
    match nearest(name, known.clone()) {
        Some(near) => finding.help(format!("did you mean {near:?}?")),
        None => finding.help(format!("the fields here are {}", known.collect::<Vec<_>>().join(", "))),
    }
}

/// What a server would say, in fewer words and with what would help.
fn words(root: Node<'_>, object: &Value, cause: Cause) -> Finding {
    let field = if cause.field == "<nil>" { String::new() } else { cause.field };
    let node = at(root, &field);
    let written = value_at(object, &field);
    let shown = written.map_or_else(String::new, Value::to_string);
    match cause.reason {
        "FieldValueRequired" => {
            let finding = Finding::error("required", field.clone(), "is missing");
            let name = field.rsplit('.').next().unwrap_or_default();
            match node.and_then(|node| node.text("description")).and_then(first_sentence) {
                Some(sentence) => finding.help(format!("write {name}: {sentence}")),
                None => finding.help(format!("write {name}")),
            }
        }
        "FieldValueTypeInvalid" => {
            let wanted = node.and_then(|node| node.text("type")).unwrap_or("integer or string");
            let message =
                format!("must be {}, but is {}", type_word(wanted), written.map_or("nothing", found_word));
            let finding = Finding::error("type", field, message);
            match (wanted, written) {
                ("array", Some(Value::String(_) | Value::Number(_))) => {
                    finding.help("write a list: a line with \"- \" in front of the value")
                }
                ("string", Some(_)) => finding.help("put the value in quotes"),
                ("integer" | "boolean", Some(Value::String(_))) => finding.help("write it without quotes"),
                _ => finding.help(format!("write {}", type_word(wanted))),
            }
        }
        "FieldValueNotSupported" => {
            let allowed = node.and_then(|node| node.attribute("enum")).and_then(Value::as_array);
            let allowed: Vec<_> = allowed.into_iter().flatten().filter_map(Value::as_str).collect();
            let near =
                written.and_then(Value::as_str).and_then(|text| nearest(text, allowed.iter().copied()));
            let help = near.map_or_else(
                || format!("write {}", allowed.join(" or ")),
                |near| format!("did you mean {near:?}?"),
            );
            Finding::error("enum", field, format!("{shown} is not one of the values of this field"))
                .help(help)
        }
        "FieldValueDuplicate" => {
            Finding::error("duplicate", field, format!("{shown} stands in the list already"))
                .help("remove one")
        }
        _ => limits(node, field, &shown, &cause.message),
    }
}

fn limits(node: Option<Node<'_>>, field: String, shown: &str, message: &str) -> Finding {
    let number = |name: &str| {
        let value = node.and_then(|node| node.attribute(name))?;
        // Bounds of whole numbers are written as fractions in a definition.
        Some(
            value
                .as_f64()
                .filter(|_| value.is_f64())
                .map_or_else(|| value.to_string(), |value| format!("{value}")),
        )
    };
    if message.contains("in body should be greater than") || message.contains("in body should be less than") {
        let range = match (number("minimum"), number("maximum")) {
            (Some(min), Some(max)) => format!("write {min} to {max}"),
            (Some(min), None) => format!("write {min} or more"),
            (None, Some(max)) => format!("write {max} or less"),
            (None, None) => "write a number in range".to_owned(),
        };
        return Finding::error("range", field, format!("{shown} is out of range")).help(range);
    }
    if message.contains("in body should match") {
        let pattern = node.and_then(|node| node.text("pattern")).unwrap_or_default();
        return Finding::error("pattern", field, format!("{shown} does not have the form of this field"))
            .help(format!("it must match {pattern}"));
    }
    if message.contains("in body should be at least") || message.contains("in body should have at least") {
        return match (number("minLength"), number("minItems")) {
            (None, Some(least)) => Finding::error("too_short", field, "has too few elements")
                .help(format!("write at least {least}")),
            (least, _) => Finding::error("too_short", field, "is too short")
                .help(format!("write at least {} characters", least.unwrap_or_default())),
        };
    }
    if message.starts_with("Too long") || message.starts_with("Too many") {
        let most = number("maxLength").or_else(|| number("maxItems")).unwrap_or_default();
        return Finding::error("too_long", field, "is too long").help(format!("write at most {most}"));
    }
    // A rule: its message says it all, behind what the server puts in front.
    let said = message.split_once("Invalid value: ").map_or(message, |(_, said)| said);
    let said = said.split_once(": ").map_or(said, |(_, said)| said);
    Finding::error("rule", field, said)
}

fn type_word(wanted: &str) -> &str {
    match wanted {
        "array" => "a list",
        "object" => "a map of fields",
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    }
}

fn found_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map of fields",
    }
}

fn first_sentence(description: &str) -> Option<String> {
    let line = description.lines().next()?.trim();
    let sentence = line.split_once(". ").map_or(line, |(first, _)| first).trim_end_matches('.');
    let mut characters = sentence.chars();
    let first = characters.next()?.to_lowercase();
    Some(first.chain(characters).collect())
}

/// The parts of a path: names, and places in lists.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty())
}

fn at<'a>(root: Node<'a>, path: &str) -> Option<Node<'a>> {
    let below = |node: Node<'a>, part: &str| match part.parse::<usize>() {
        Ok(_) if node.items().is_some() => node.items(),
        _ => node.field(part),
    };
    parts(path).try_fold(root, below)
}

fn value_at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    parts(path).try_fold(object, |value, part| match (value, part.parse::<usize>()) {
        (Value::Array(items), Ok(index)) => items.get(index),
        _ => value.get(part),
    })
}

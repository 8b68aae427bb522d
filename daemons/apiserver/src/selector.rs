//! Label and field selectors of queries.

use std::sync::Arc;

use serde_json::Value;

use crate::failure::Failure;
use crate::kinds::Version;

/// Which objects of a resource a list or watch is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// `None`: all namespaces.
    pub(crate) namespace: Option<String>,
    labels: Arc<[Requirement]>,
    fields: Arc<[FieldRequirement]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In { key: String, values: Vec<String> },
    NotIn { key: String, values: Vec<String> },
    Exists(String),
    Absent(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    field: String,
    value: String,
    equal: bool,
}

impl Selection {
    /// Parses the query parameters.
    ///
    /// # Errors
    /// 400 when one cannot be parsed or names a field that the kind does not select by.
    pub(crate) fn parse(
        version: &Version,
        namespace: Option<String>,
        labels: &str,
        fields: &str,
    ) -> Result<Self, Failure> {
        let labels_parsed = parse_labels(labels)
            .map_err(|why| Failure::bad_request(format!("unable to parse requirement: {why}")))?;
        let fields_parsed = parse_fields(fields)?;
        for requirement in &fields_parsed {
            let name = requirement.field.as_str();
            let known = matches!(name, "metadata.name" | "metadata.namespace")
                || version.selectable.iter().any(|field| field == name);
            if !known {
                return Err(Failure::bad_request(format!("field label not supported: {name}")));
            }
        }
        Ok(Self { namespace, labels: labels_parsed.into(), fields: fields_parsed.into() })
    }

    /// Adds `metadata.name=NAME`.
    pub(crate) fn named(mut self, name: &str) -> Self {
        let only =
            FieldRequirement { field: "metadata.name".to_owned(), value: name.to_owned(), equal: true };
        self.fields = self.fields.iter().cloned().chain([only]).collect();
        self
    }

    /// Nothing but a namespace restricts it.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether a stored object is selected. The namespace is compared too.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        self.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
            && self.labels.iter().all(|requirement| requirement.holds(object))
            && self.fields.iter().all(|requirement| requirement.holds(object))
    }
}

/// Whether a `LabelSelector` selects an object with these labels. An empty or absent one selects everything.
pub(crate) fn label_selector_matches(selector: &Value, labels: Option<&Value>) -> bool {
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let equal = wanted.into_iter().flatten().all(|(key, value)| label(key) == value.as_str());
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    equal
        && expressions.into_iter().flatten().all(|expression| {
            let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
            let values = expression.get("values").and_then(Value::as_array);
            let found = label(text("key"));
            let listed = found.is_some_and(|found| values.into_iter().flatten().any(|value| value == found));
            match text("operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => found.is_some(),
                _ => found.is_none(),
            }
        })
}

impl Requirement {
    fn holds(&self, object: &Value) -> bool {
        let label = |key: &str| object.get("metadata")?.get("labels")?.get(key)?.as_str();
        match self {
            Self::In { key, values } => label(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn { key, values } => {
                label(key).is_none_or(|value| values.iter().all(|one| one != value))
            }
            Self::Exists(key) => label(key).is_some(),
            Self::Absent(key) => label(key).is_none(),
        }
    }
}

impl FieldRequirement {
    fn holds(&self, object: &Value) -> bool {
        (field_value(object, &self.field) == self.value) == self.equal
    }
}

fn field_value(object: &Value, field: &str) -> String {
    // Events are stored in the form of core/v1.
    let path = match field.strip_prefix("regarding.") {
        Some(rest) => format!("involvedObject.{rest}"),
        None => field.to_owned(),
    };
    let found = object.pointer(&format!("/{}", path.replace('.', "/")));
    match (field, found) {
        ("source", _) => {
            let component =
                |pointer| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
            component("/source/component")
                .or_else(|| component("/reportingComponent"))
                .unwrap_or_default()
                .to_owned()
        }
        (_, Some(Value::String(text))) => text.clone(),
        (_, Some(Value::Bool(flag))) => flag.to_string(),
        (_, Some(Value::Number(number))) => number.to_string(),
        ("spec.unschedulable" | "spec.hostNetwork", _) => "false".to_owned(),
        _ => String::new(),
    }
}

fn parse_fields(text: &str) -> Result<Vec<FieldRequirement>, Failure> {
    let parts = split_unescaped(text);
    let mut requirements = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
            (field, value, false)
        } else if let Some((field, value)) = part.split_once("==") {
            (field, value, true)
        } else if let Some((field, value)) = part.split_once('=') {
            (field, value, true)
        } else {
            return Err(Failure::bad_request(format!(
                "invalid selector: '{part}'; can't understand '{part}'"
            )));
        };
        requirements.push(FieldRequirement { field: field.trim().to_owned(), value: unescape(value), equal });
    }
    Ok(requirements)
}

fn split_unescaped(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        if character == ',' && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = character == '\\' && !escaped;
        if let Some(last) = parts.last_mut() {
            last.push(character);
        }
    }
    parts
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for character in text.chars() {
        if character == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        out.push(character);
    }
    out
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    let mut rest = text.trim();
    let mut requirements = Vec::new();
    while !rest.is_empty() {
        let (requirement, after) = parse_requirement(rest)?;
        requirements.push(requirement);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) if !next.trim().is_empty() => next.trim_start(),
            Some(_) => return Err("found '', expected: identifier after ','".to_owned()),
            None if after.is_empty() => after,
            None => return Err(format!("found '{after}', expected: ',' or 'end of string'")),
        };
    }
    Ok(requirements)
}

fn parse_requirement(text: &str) -> Result<(Requirement, &str), String> {
    if let Some(rest) = text.strip_prefix('!') {
        let (key, rest) = word(rest.trim_start())?;
        return Ok((Requirement::Absent(key.to_owned()), rest));
    }
    let (key, rest) = word(text)?;
    let key = key.to_owned();
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_prefix("!=") {
        let (value, rest) = value(rest);
        return Ok((Requirement::NotIn { key, values: vec![value] }, rest));
    }
    if let Some(rest) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
        let (value, rest) = value(rest);
        return Ok((Requirement::In { key, values: vec![value] }, rest));
    }
    for (operator, negative) in [("notin", true), ("in", false)] {
        let Some(rest) = rest.strip_prefix(operator) else { continue };
        let list = rest.trim_start().strip_prefix('(').ok_or("expected '(' after an operator on a set")?;
        let (list, rest) = list.split_once(')').ok_or("expected ')' at the end of a set")?;
        let values = list.split(',').map(|value| value.trim().to_owned()).collect();
        let requirement =
            if negative { Requirement::NotIn { key, values } } else { Requirement::In { key, values } };
        return Ok((requirement, rest));
    }
    Ok((Requirement::Exists(key), rest))
}

fn word(text: &str) -> Result<(&str, &str), String> {
    let end = text.find([',', '=', '!', '(', ')', ' ']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() { Err(format!("found '{text}', expected: identifier")) } else { Ok((word, rest)) }
}

fn value(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let end = text.find([',', ' ']).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    (value.to_owned(), rest)
}

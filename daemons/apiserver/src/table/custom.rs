//! Printer columns of definitions: a JSONPath of the simple kind, shown by the type of the column.

use jiff::Timestamp;
use serde_json::Value;

use super::age;

/// One step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    All,
    /// `[?(@.type=="Ready")]`
    Filter {
        field: String,
        value: String,
    },
}

/// The cell: the value itself for its own type, text for everything else, `null` when there is none.
pub(super) fn cell(object: &Value, path: &str, ty: &str, now: Timestamp) -> Value {
    let Some(steps) = parse(path) else { return Value::Null };
    let found = walk(vec![object], &steps);
    let Some(first) = found.first() else { return Value::Null };
    match ty {
        "date" => Value::from(age::since(Some(first), now)),
        "integer" | "number" | "boolean" => {
            if first.is_number() || first.is_boolean() {
                (*first).clone()
            } else {
                Value::Null
            }
        }
        _ => {
            let texts: Vec<_> = found.iter().map(|value| shown(value)).collect();
            Value::from(texts.join(","))
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn walk<'a>(mut found: Vec<&'a Value>, steps: &[Step]) -> Vec<&'a Value> {
    for step in steps {
        found = found
            .into_iter()
            .flat_map(|value| -> Vec<&'a Value> {
                match step {
                    Step::Field(name) => value.get(name).into_iter().collect(),
                    Step::Index(at) => value.get(*at).into_iter().collect(),
                    Step::All => match value {
                        Value::Array(items) => items.iter().collect(),
                        Value::Object(map) => map.values().collect(),
                        _ => Vec::new(),
                    },
                    Step::Filter { field, value: wanted } => {
                        let items = value.as_array().into_iter().flatten();
                        items
                            .filter(|item| item.get(field).is_some_and(|found| shown(found) == *wanted))
                            .collect()
                    }
                }
            })
            .collect();
    }
    found
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = closing(inner)?;
            let (inside, after) = inner.split_at(end);
            steps.push(bracket(inside)?);
            rest = after.strip_prefix(']')?;
        } else {
            let (name, after) = field(rest.strip_prefix('.').unwrap_or(rest));
            match name.as_str() {
                "" if after.starts_with('[') => {}
                "" => return None,
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            rest = after;
        }
    }
    Some(steps)
}

/// A field name; `\.` is a dot inside it.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '.' | '[' if !escaped => return (name, text.get(at..).unwrap_or_default()),
            other => {
                name.push(other);
                escaped = false;
            }
        }
    }
    (name, "")
}

/// Position of the bracket that ends the step, outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices().find_map(|(at, character)| {
        match (quote, character) {
            (None, ']') => return Some(at),
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
        None
    })
}

fn bracket(inside: &str) -> Option<Step> {
    let inside = inside.trim();
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(condition) = inside.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        let (field, value) = condition.split_once("==")?;
        let field = field.trim().strip_prefix("@.")?.to_owned();
        return Some(Step::Filter { field, value: unquote(value.trim()).to_owned() });
    }
    if let Ok(at) = inside.parse() {
        return Some(Step::Index(at));
    }
    let name = unquote(inside);
    (name != inside).then(|| Step::Field(name.to_owned()))
}

fn unquote(text: &str) -> &str {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::cell;

    #[test]
    fn paths_reach_fields_lists_filters_and_escaped_names() {
        let object = json!({
            "spec": {"addresses": ["a", "b"], "auto": true},
            "metadata": {"labels": {"metallb.io/node": "n1"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        let show = |path: &str, ty: &str| cell(&object, path, ty, Timestamp::UNIX_EPOCH);
        assert_eq!(show(".spec.addresses", "string"), json!("[\"a\",\"b\"]"));
        assert_eq!(show(".spec.addresses[1]", "string"), json!("b"));
        assert_eq!(show(".spec.addresses[*]", "string"), json!("a,b"));
        assert_eq!(show(".spec.auto", "boolean"), json!(true));
        assert_eq!(show(".metadata.labels.metallb\\.io/node", "string"), json!("n1"));
        assert_eq!(show(".metadata.labels['metallb.io/node']", "string"), json!("n1"));
        assert_eq!(show(".status.conditions[?(@.type==\"Ready\")].status", "string"), json!("True"));
        assert_eq!(show(".spec.missing", "string"), json!(null));
    }
}

//! A document as a tree in which every value knows where it stands.

use serde_json::{Map, Number};

/// A part of a source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// Line of the first character, from 1.
    pub(crate) line: usize,
    /// Column of the first character, from 1, in characters.
    pub(crate) column: usize,
    /// Offset of the first byte.
    pub(crate) start: usize,
    /// Offset behind the last byte.
    pub(crate) end: usize,
}

/// A value and where it stands; values that came from a cluster stand nowhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Option<Span>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A field of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Option<Span>,
    pub(crate) node: Node,
    /// It came from another map by `<<`, and what the map itself says goes before it.
    pub(crate) merged: bool,
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place<'a> {
    /// The value, when the whole path exists.
    pub(crate) node: Option<&'a Node>,
    /// What to point at: the value or, when it is missing, the name of the nearest field around it.
    pub(crate) span: Option<Span>,
    /// The name of the last field on the path that exists.
    pub(crate) key_span: Option<Span>,
}

impl Node {
    /// A value that stands nowhere.
    pub(crate) fn unplaced(value: serde_json::Value) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(truth) => Value::Bool(truth),
            serde_json::Value::Number(number) => Value::Number(number),
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Array(items) => Value::List(items.into_iter().map(Self::unplaced).collect()),
            serde_json::Value::Object(map) => Value::Map(
                map.into_iter()
                    .map(|(key, value)| Entry {
                        key,
                        key_span: None,
                        node: Self::unplaced(value),
                        merged: false,
                    })
                    .collect(),
            ),
        };
        Self { value, span: None }
    }

    /// The value alone.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(truth) => serde_json::Value::Bool(*truth),
            Value::Number(number) => serde_json::Value::Number(number.clone()),
            Value::Text(text) => serde_json::Value::String(text.clone()),
            Value::List(items) => serde_json::Value::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                let fields = entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json()));
                serde_json::Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// A field of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The text of a field.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Follows a path as messages have it: `spec.addresses[1]`, `metadata.labels[example.com/rack]`.
    pub(crate) fn find(&self, path: &str) -> Place<'_> {
        let around = Place { node: None, span: self.span, key_span: None };
        self.follow(path, around)
    }

    /// Makes the value at the end of a path `null`, as if it had not been written.
    pub(crate) fn forget(&mut self, path: &str) {
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            self.value = Value::Null;
            return;
        }
        let (inside, rest) = match path.strip_prefix('[').and_then(|path| path.split_once(']')) {
            Some(parts) => parts,
            None => path.split_at(path.find(['.', '[']).unwrap_or(path.len())),
        };
        let next = match &mut self.value {
            Value::List(items) => inside.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            Value::Map(entries) => {
                entries.iter_mut().find(|entry| entry.key == inside).map(|entry| &mut entry.node)
            }
            _ => None,
        };
        if let Some(next) = next {
            next.forget(rest);
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    fn follow<'a>(&'a self, path: &str, around: Place<'a>) -> Place<'a> {
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            let span =
                if self.is_scalar() { self.span.or(around.key_span) } else { around.key_span.or(self.span) };
            return Place { node: Some(self), span: span.or(around.span), key_span: around.key_span };
        }
        if let Some((inside, rest)) = path.strip_prefix('[').and_then(|path| path.split_once(']')) {
            if let Value::List(items) = &self.value {
                let item = inside.parse::<usize>().ok().and_then(|index| items.get(index));
                let Some(item) = item else { return around };
                return item.follow(rest, Place { node: None, span: item.span, key_span: item.span });
            }
            return self.entry(inside).map_or(around, |entry| entry.follow(rest));
        }
        let Value::Map(entries) = &self.value else { return around };
        let fits = |entry: &&Entry| {
            path.strip_prefix(entry.key.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let longest = entries.iter().filter(fits).max_by_key(|entry| entry.key.len());
        longest.map_or(around, |entry| entry.follow(path.get(entry.key.len()..).unwrap_or_default()))
    }

    fn is_scalar(&self) -> bool {
        !matches!(self.value, Value::List(_) | Value::Map(_))
    }
}

impl Entry {
    fn follow(&self, rest: &str) -> Place<'_> {
        let span = self.key_span.or(self.node.span);
        self.node.follow(rest, Place { node: None, span, key_span: span })
    }
}

//! Sets of fields: the `FieldsV1` trie of `metadata.managedFields`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use metallb_schema::{ListType, Node};

/// A set of places in an object. Children are named as in `FieldsV1`: `f:name`, `k:{"port":80}`, `v:"x"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// The place itself is in the set.
    pub(super) own: bool,
    pub(super) children: BTreeMap<String, Self>,
}

/// How two versions of an object differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Added or changed.
    pub(crate) touched: FieldSet,
    pub(crate) removed: FieldSet,
}

impl FieldSet {
    fn leaf() -> Self {
        Self { own: true, children: BTreeMap::new() }
    }

    /// Reads `fieldsV1`; unknown forms are kept as they are.
    pub(crate) fn from_value(value: &Value) -> Self {
        let mut set = Self::default();
        let Value::Object(map) = value else { return set };
        for (name, inner) in map {
            if name == "." {
                set.own = true;
                continue;
            }
            let mut child = Self::from_value(inner);
            child.own |= child.children.is_empty();
            set.children.insert(canonical(name), child);
        }
        set
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut map = Map::new();
        if self.own && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (name, child) in &self.children {
            map.insert(name.clone(), child.to_value());
        }
        Value::Object(map)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.own && self.children.is_empty()
    }

    /// Whatever a configuration says: its leaves, and the elements of lists that merge.
    pub(crate) fn of(node: Option<Node<'_>>, value: &Value) -> Self {
        Self::collect(node, value, false)
    }

    fn collect(node: Option<Node<'_>>, value: &Value, containers: bool) -> Self {
        let mut set = Self::default();
        match parts(node, value) {
            None => return Self::leaf(),
            Some(parts) if parts.is_empty() => return Self::leaf(),
            Some(parts) => {
                set.own = containers && !is_struct(node);
                for part in parts {
                    let mut child = Self::collect(part.node, part.value, containers);
                    child.own |= part.element;
                    set.children.insert(part.name, child);
                }
            }
        }
        set
    }

    /// All that is in one of both.
    pub(crate) fn union(&mut self, other: &Self) {
        self.own |= other.own;
        for (name, child) in &other.children {
            self.children.entry(name.clone()).or_default().union(child);
        }
    }

    /// Takes out what is in the other.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.own &= !other.own;
        for (name, child) in &other.children {
            if let Some(mine) = self.children.get_mut(name) {
                mine.subtract(child);
                if mine.is_empty() {
                    self.children.remove(name);
                }
            }
        }
    }

    /// What is in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut set = Self { own: self.own && other.own, children: BTreeMap::new() };
        for (name, child) in &self.children {
            if let Some(theirs) = other.children.get(name) {
                let both = child.intersection(theirs);
                if !both.is_empty() {
                    set.children.insert(name.clone(), both);
                }
            }
        }
        set
    }

    /// Paths for messages: `.spec.ports[port=80,protocol="TCP"].name`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths(&mut String::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.own {
            paths.push(path.clone());
        }
        for (name, child) in &self.children {
            let length = path.len();
            path.push_str(&shown(name));
            child.collect_paths(path, paths);
            path.truncate(length);
        }
    }
}

impl Difference {
    /// Compares two versions of a value.
    pub(crate) fn between(node: Option<Node<'_>>, old: &Value, new: &Value) -> Self {
        let mut found = Self::default();
        if old == new {
            return found;
        }
        let (Some(before), Some(after)) = (parts(node, old), parts(node, new)) else {
            found.touched = FieldSet::leaf();
            return found;
        };
        if before.is_empty() || after.is_empty() {
            found.touched = FieldSet::collect(node, new, true);
            if !before.is_empty() {
                found.removed = FieldSet::collect(node, old, true);
                found.removed.own = false;
            }
            return found;
        }
        let before: BTreeMap<_, _> = before.into_iter().map(|part| (part.name.clone(), part)).collect();
        let after: BTreeMap<_, _> = after.into_iter().map(|part| (part.name.clone(), part)).collect();
        for (name, part) in &after {
            if let Some(earlier) = before.get(name) {
                let inner = Self::between(part.node, earlier.value, part.value);
                found.add(name, inner);
            } else {
                let touched = part.whole();
                found.add(name, Self { touched, removed: FieldSet::default() });
            }
        }
        for (name, part) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
            let removed = part.whole();
            found.add(name, Self { touched: FieldSet::default(), removed });
        }
        found
    }

    fn add(&mut self, name: &str, inner: Self) {
        if !inner.touched.is_empty() {
            self.touched.children.insert(name.to_owned(), inner.touched);
        }
        if !inner.removed.is_empty() {
            self.removed.children.insert(name.to_owned(), inner.removed);
        }
    }
}

/// A field of an object or an element of a list that merges.
#[derive(Debug)]
pub(super) struct Part<'a, 's> {
    pub(super) name: String,
    pub(super) node: Option<Node<'s>>,
    pub(super) value: &'a Value,
    pub(super) element: bool,
}

impl Part<'_, '_> {
    fn whole(&self) -> FieldSet {
        let mut set = FieldSet::collect(self.node, self.value, true);
        set.own |= self.element;
        set
    }
}

/// Objects with fixed fields are not owned themselves, maps are.
fn is_struct(node: Option<Node<'_>>) -> bool {
    node.is_some_and(|node| node.properties().is_some())
}

/// The parts of a value that are owned separately, or `None` if it is owned as a whole.
pub(super) fn parts<'a, 's>(node: Option<Node<'s>>, value: &'a Value) -> Option<Vec<Part<'a, 's>>> {
    match value {
        Value::Object(map) => {
            if node.is_some_and(Node::is_atomic_map) {
                return None;
            }
            let part = |(name, value): (&'a String, &'a Value)| Part {
                name: format!("f:{name}"),
                node: node.and_then(|node| node.field(name)),
                value,
                element: false,
            };
            Some(map.iter().map(part).collect())
        }
        Value::Array(items) => {
            let node = node?;
            let list_type = node.list_type();
            let part = |value: &'a Value| {
                let name = element_name(node, &list_type, value)?;
                Some(Part { name, node: node.items(), value, element: true })
            };
            items.iter().map(part).collect()
        }
        _ => None,
    }
}

/// Name of an element of a list, `None` in lists that are one value.
pub(super) fn element_name(node: Node<'_>, list_type: &ListType, value: &Value) -> Option<String> {
    match list_type {
        ListType::Atomic => None,
        ListType::Set => Some(format!("v:{value}")),
        ListType::Map(keys) => {
            let mut pairs = BTreeMap::new();
            for key in keys {
                let default = || node.items()?.property(key)?.default().cloned();
                if let Some(part) = value.get(key).cloned().or_else(default) {
                    pairs.insert(key.as_str(), part);
                }
            }
            Some(format!("k:{}", to_json(&pairs)))
        }
    }
}

/// Keys in a fixed order, whatever order the client has.
fn canonical(name: &str) -> String {
    let parsed =
        name.strip_prefix("k:").and_then(|json| serde_json::from_str::<BTreeMap<String, Value>>(json).ok());
    parsed.map_or_else(|| name.to_owned(), |pairs| format!("k:{}", to_json(&pairs)))
}

fn to_json<K: AsRef<str>>(pairs: &BTreeMap<K, Value>) -> String {
    let pairs: Vec<_> =
        pairs.iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_ref()))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn shown(name: &str) -> String {
    if let Some(field) = name.strip_prefix("f:") {
        return format!(".{field}");
    }
    if let Some(value) = name.strip_prefix("v:") {
        return format!("[={value}]");
    }
    let pairs =
        name.strip_prefix("k:").and_then(|json| serde_json::from_str::<BTreeMap<String, Value>>(json).ok());
    match pairs {
        Some(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        None => format!("[{name}]"),
    }
}

//! `metadata.managedFields`: who wrote what.

use serde_json::{Value, json};

use super::fields::{Difference, FieldSet};
use metallb_schema::Node;

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// Who is writing now.
#[derive(Clone, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) name: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: &'a str,
    /// RFC 3339.
    pub(crate) now: &'a str,
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Manager {
    pub(super) fn new(writer: &Writer<'_>, operation: Operation, fields: FieldSet) -> Self {
        Self {
            name: writer.name.to_owned(),
            operation,
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: writer.now.to_owned(),
            fields,
        }
    }

    /// Whether the entry belongs to a writer.
    pub(super) fn is(&self, writer: &Writer<'_>, operation: Operation) -> bool {
        self.name == writer.name
            && self.operation == operation
            && self.subresource == writer.subresource
            && self.api_version == writer.api_version
    }

    fn read(entry: &Value) -> Option<Self> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let fields = FieldSet::from_value(entry.get("fieldsV1")?);
        Some(Self {
            name: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields,
        })
    }

    fn to_value(&self) -> Value {
        let operation = match self.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = json!({
            "manager": self.name, "operation": operation, "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_value(),
        });
        if let Value::Object(map) = &mut entry
            && !self.subresource.is_empty()
        {
            map.insert("subresource".to_owned(), Value::from(self.subresource.as_str()));
        }
        entry
    }
}

/// The entries of an object.
pub(crate) fn managers(object: &Value) -> Vec<Manager> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(Manager::read).collect()
}

/// Writes the entries into an object; those that own nothing are left out.
pub(crate) fn set_managers(object: &mut Value, managers: &[Manager]) {
    let entries: Vec<_> =
        managers.iter().filter(|manager| !manager.fields.is_empty()).map(Manager::to_value).collect();
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        if entries.is_empty() {
            meta.remove("managedFields");
        } else {
            meta.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }
}

/// Ownership after a write that was not an apply: the writer owns what it changed, nobody what it removed.
pub(crate) fn record_update(
    node: Node<'_>,
    mut managers: Vec<Manager>,
    old: &Value,
    new: &Value,
    writer: &Writer<'_>,
) -> Vec<Manager> {
    let difference = Difference::between(Some(node), &owned_part(old), &owned_part(new));
    if difference.touched.is_empty() && difference.removed.is_empty() {
        return managers;
    }
    for manager in &mut managers {
        if !manager.is(writer, Operation::Update) {
            manager.fields.subtract(&difference.touched);
        }
        manager.fields.subtract(&difference.removed);
    }
    if !difference.touched.is_empty() {
        match managers.iter_mut().find(|manager| manager.is(writer, Operation::Update)) {
            Some(own) => {
                own.fields.union(&difference.touched);
                writer.now.clone_into(&mut own.time);
            }
            None => managers.push(Manager::new(writer, Operation::Update, difference.touched)),
        }
    }
    managers.retain(|manager| !manager.fields.is_empty());
    managers
}

/// The object without what the system writes: nobody owns that.
pub(super) fn owned_part(object: &Value) -> Value {
    let mut part = object.clone();
    if let Value::Object(map) = &mut part {
        map.remove("apiVersion");
        map.remove("kind");
        if let Some(Value::Object(meta)) = map.get_mut("metadata") {
            meta.retain(|name, _| !SYSTEM.contains(&name.as_str()));
            if meta.is_empty() {
                map.remove("metadata");
            }
        }
    }
    part
}

const SYSTEM: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

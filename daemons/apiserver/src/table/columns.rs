//! Columns per kind.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age, custom, nodes_pods, plain, policy};
use crate::kinds::{Resource, Version};

/// How a cell is made.
#[derive(Clone)]
pub(super) enum Content {
    /// From the whole object.
    Made(fn(&Value) -> Value),
    /// Age of the time at a pointer.
    Age(&'static str),
    /// A printer column of a definition.
    Custom { path: String, ty: String },
}

/// A column.
#[derive(Clone)]
pub(super) struct Column {
    name: String,
    ty: String,
    format: &'static str,
    /// Above 0: only in wide output.
    priority: i64,
    description: String,
    content: Content,
}

impl Column {
    pub(super) fn made(name: &str, content: fn(&Value) -> Value) -> Self {
        Self::new(name, "string", Content::Made(content))
    }

    pub(super) fn age() -> Self {
        Self::new("Age", "string", Content::Age("/metadata/creationTimestamp"))
    }

    pub(super) fn since(name: &str, pointer: &'static str) -> Self {
        Self::new(name, "string", Content::Age(pointer))
    }

    pub(super) fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    pub(super) fn number(mut self) -> Self {
        "integer".clone_into(&mut self.ty);
        self
    }

    pub(super) fn boolean(mut self) -> Self {
        "boolean".clone_into(&mut self.ty);
        self
    }

    fn new(name: &str, ty: &str, content: Content) -> Self {
        let description = format!("{name} of the object");
        Self { name: name.to_owned(), ty: ty.to_owned(), format: "", priority: 0, description, content }
    }

    fn name_column() -> Self {
        let name = |object: &Value| object.pointer("/metadata/name").cloned().unwrap_or_default();
        let mut column = Self::made("Name", name);
        column.format = "name";
        column
    }

    fn custom(definition: &Value) -> Self {
        let text = |name: &str| definition.get(name).and_then(Value::as_str).unwrap_or_default();
        let content = Content::Custom { path: text("jsonPath").to_owned(), ty: text("type").to_owned() };
        let mut column = Self::new(text("name"), text("type"), content);
        column.priority = definition.get("priority").and_then(Value::as_i64).unwrap_or(0);
        if !text("description").is_empty() {
            text("description").clone_into(&mut column.description);
        }
        column
    }

    pub(super) fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.ty, "format": self.format, "description": self.description,
            "priority": self.priority,
        })
    }

    pub(super) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.content {
            Content::Made(make) => make(object),
            Content::Age(pointer) => Value::from(age::since(object.pointer(pointer), now)),
            Content::Custom { path, ty } => custom::cell(object, path, ty, now),
        }
    }
}

/// Columns of a resource. Definitions without columns show name and age.
pub(super) fn of(resource: &Resource, version: &Version) -> Vec<Column> {
    let mut columns = vec![Column::name_column()];
    if resource.is_custom() {
        columns.extend(version.columns.iter().map(Column::custom));
        if version.columns.is_empty() {
            columns.push(Column::age());
        }
        return columns;
    }
    match &*resource.id {
        "events" | "events.events.k8s.io" => return plain::events(),
        "nodes" => columns.extend(nodes_pods::nodes()),
        "pods" => columns.extend(nodes_pods::pods()),
        "deployments.apps" => columns.extend(nodes_pods::deployments()),
        "daemonsets.apps" => columns.extend(nodes_pods::daemon_sets()),
        "replicasets.apps" => columns.extend(nodes_pods::replica_sets()),
        other => columns.extend(policy::columns(other).unwrap_or_else(|| plain::columns(other))),
    }
    columns
}

//! A place in a schema, with references followed.

use serde_json::{Map, Value};

use super::builtin::{PREFIX, definitions};

/// A schema as seen from the field that refers to it: attributes beside a `$ref` win over those behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    outer: &'a Value,
    inner: &'a Value,
}

/// JSON type of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Anything goes.
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// How a list is merged and owned by server-side apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListType {
    /// As one value.
    Atomic,
    /// By element.
    Set,
    /// By the values of these keys.
    Map(Vec<String>),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PatchStrategy<'a> {
    /// Lists: merge rather than replace.
    pub(crate) merge: bool,
    /// Objects: replace rather than merge.
    pub(crate) replace: bool,
    /// Key of the elements of a merged list of objects.
    pub(crate) merge_key: Option<&'a str>,
}

impl<'a> Node<'a> {
    pub(crate) fn new(schema: &'a Value) -> Self {
        Self { outer: schema, inner: resolve(schema) }
    }

    pub(crate) fn attribute(self, name: &str) -> Option<&'a Value> {
        self.outer.get(name).or_else(|| self.inner.get(name))
    }

    pub(crate) fn text(self, name: &str) -> Option<&'a str> {
        self.attribute(name).and_then(Value::as_str)
    }

    pub(crate) fn flag(self, name: &str) -> bool {
        self.attribute(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn ty(self) -> Type {
        if self.flag("x-kubernetes-int-or-string") {
            return Type::IntOrString;
        }
        match self.text("type") {
            Some("object") => Type::Object,
            Some("array") => Type::Array,
            Some("string") => Type::String,
            Some("integer") => Type::Integer,
            Some("number") => Type::Number,
            Some("boolean") => Type::Boolean,
            _ if self.properties().is_some() => Type::Object,
            _ => Type::Any,
        }
    }

    pub(crate) fn properties(self) -> Option<&'a Map<String, Value>> {
        self.attribute("properties").and_then(Value::as_object)
    }

    pub(crate) fn property(self, name: &str) -> Option<Self> {
        self.properties()?.get(name).map(Self::new)
    }

    /// Schema of the values of a map.
    pub(crate) fn additional(self) -> Option<Self> {
        self.attribute("additionalProperties").filter(|value| value.is_object()).map(Self::new)
    }

    /// Schema of a field or of a map's value.
    pub(crate) fn field(self, name: &str) -> Option<Self> {
        self.property(name).or_else(|| self.additional())
    }

    pub(crate) fn items(self) -> Option<Self> {
        self.attribute("items").filter(|value| value.is_object()).map(Self::new)
    }

    pub(crate) fn default(self) -> Option<&'a Value> {
        self.attribute("default")
    }

    pub(crate) fn nullable(self) -> bool {
        self.flag("nullable")
    }

    /// Unknown fields stay.
    pub(crate) fn preserves_unknown(self) -> bool {
        if self.flag("x-kubernetes-preserve-unknown-fields") {
            return true;
        }
        self.properties().is_none()
            && !matches!(self.attribute("additionalProperties"), Some(Value::Object(_) | Value::Bool(false)))
    }

    /// A map that server-side apply owns as one value.
    pub(crate) fn is_atomic_map(self) -> bool {
        self.text("x-kubernetes-map-type") == Some("atomic")
    }

    pub(crate) fn list_type(self) -> ListType {
        match self.text("x-kubernetes-list-type") {
            Some("set") => ListType::Set,
            Some("map") => {
                let keys = self.attribute("x-kubernetes-list-map-keys").and_then(Value::as_array);
                let keys = keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
                ListType::Map(keys.collect())
            }
            _ => ListType::Atomic,
        }
    }

    pub(crate) fn patch_strategy(self) -> PatchStrategy<'a> {
        let strategy = self.text("x-kubernetes-patch-strategy").unwrap_or_default();
        PatchStrategy {
            merge: strategy.split(',').any(|part| part == "merge"),
            replace: strategy == "replace",
            merge_key: self.text("x-kubernetes-patch-merge-key"),
        }
    }
}

/// Follows `$ref`, also the form `allOf: [{$ref}]` that allows attributes beside it.
fn resolve(schema: &Value) -> &Value {
    let wrapped = || match schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one]) => one.get("$ref"),
        _ => None,
    };
    let Some(target) = schema.get("$ref").or_else(wrapped).and_then(Value::as_str) else { return schema };
    target.strip_prefix(PREFIX).and_then(|name| definitions().get(name)).unwrap_or(schema)
}

//! A place in a schema, with references followed.

use serde_json::{Map, Value, json};

use super::builtin::{PREFIX, definitions, reference};

/// A schema as seen from the field that refers to it: attributes beside a `$ref` win over those behind it.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    outer: &'a Value,
    inner: &'a Value,
}

/// JSON type of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Anything goes.
    Any,
    /// Fields by name.
    Object,
    /// A list.
    Array,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A whole number or a text.
    IntOrString,
}

/// How a list is merged and owned by server-side apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    /// As one value.
    Atomic,
    /// By element.
    Set,
    /// By the values of these keys.
    Map(Vec<String>),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy<'a> {
    /// Lists: merge rather than replace.
    pub merge: bool,
    /// Objects: replace rather than merge.
    pub replace: bool,
    /// Key of the elements of a merged list of objects.
    pub merge_key: Option<&'a str>,
}

impl<'a> Node<'a> {
    /// A place with this schema.
    pub fn new(schema: &'a Value) -> Self {
        Self { outer: schema, inner: resolve(schema) }
    }

    /// An attribute of the schema, as written.
    pub fn attribute(self, name: &str) -> Option<&'a Value> {
        self.outer.get(name).or_else(|| self.inner.get(name))
    }

    /// An attribute that is a text.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.attribute(name).and_then(Value::as_str)
    }

    /// An attribute that is true or false; absent means false.
    pub fn flag(self, name: &str) -> bool {
        self.attribute(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The type of the values here.
    pub fn ty(self) -> Type {
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

    /// The fields that are known, with their schemas.
    pub fn properties(self) -> Option<&'a Map<String, Value>> {
        self.attribute("properties").and_then(Value::as_object)
    }

    /// The schema of a known field.
    pub fn property(self, name: &str) -> Option<Self> {
        self.properties()?.get(name).map(Self::new)
    }

    /// Schema of the values of a map.
    pub fn additional(self) -> Option<Self> {
        self.attribute("additionalProperties").filter(|value| value.is_object()).map(Self::new)
    }

    /// Schema of a field or of a map's value.
    pub fn field(self, name: &str) -> Option<Self> {
        self.property(name).or_else(|| self.additional())
    }

    /// The schema of the elements of a list.
    pub fn items(self) -> Option<Self> {
        self.attribute("items").filter(|value| value.is_object()).map(Self::new)
    }

    /// What an absent value becomes.
    pub fn default(self) -> Option<&'a Value> {
        self.attribute("default")
    }

    /// Whether `null` is a value here.
    pub fn nullable(self) -> bool {
        self.flag("nullable")
    }

    /// Unknown fields stay.
    pub fn preserves_unknown(self) -> bool {
        if self.flag("x-kubernetes-preserve-unknown-fields") {
            return true;
        }
        self.properties().is_none()
            && !matches!(self.attribute("additionalProperties"), Some(Value::Object(_) | Value::Bool(false)))
    }

    /// A map that server-side apply owns as one value.
    pub fn is_atomic_map(self) -> bool {
        self.text("x-kubernetes-map-type") == Some("atomic")
    }

    /// How a list here is merged and owned.
    pub fn list_type(self) -> ListType {
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

    /// How a strategic merge patch treats the field.
    pub fn patch_strategy(self) -> PatchStrategy<'a> {
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

/// Gives the schema what every object has, so that one walk handles all of it.
pub fn complete(mut schema: Value) -> Value {
    let string = |description: &str| json!({"type": "string", "description": description});
    if let Value::Object(map) = &mut schema {
        let properties = map.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(properties) = properties {
            properties.insert("apiVersion".to_owned(), string(API_VERSION));
            properties.insert("kind".to_owned(), string(KIND));
            properties
                .insert("metadata".to_owned(), reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
        }
        if let Some(Value::Array(required)) = map.get_mut("required") {
            required.retain(|field| field != "metadata");
        }
    }
    schema
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers \
    should convert recognized schemas to the latest internal value, and may reject unrecognized values.";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may \
    infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase.";

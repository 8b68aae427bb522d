//! What an API server says about one wrong field.

use serde_json::Value;

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, …
    pub reason: &'static str,
    /// What is wrong, with the value.
    pub message: String,
    /// Path from the object's root: `spec.ports[0].port`.
    pub field: String,
}

impl Cause {
    /// A value that is not allowed.
    pub fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        let shown = match value {
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        let message = format!("Invalid value: {shown}: {why}");
        Self { reason: "FieldValueInvalid", message, field: field.into() }
    }

    /// A value that is missing.
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        let message =
            if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Self { reason: "FieldValueRequired", message, field: field.into() }
    }

    /// A value that stands in the list already.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {value}"),
            field: field.into(),
        }
    }

    /// A field that must not be given.
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self { reason: "FieldValueForbidden", message: format!("Forbidden: {why}"), field: field.into() }
    }

    /// A value that is none of those there are.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[String]) -> Self {
        let listed: Vec<_> = supported.iter().map(|one| format!("{one:?}")).collect();
        Self {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {value}: supported values: {}", listed.join(", ")),
            field: field.into(),
        }
    }

    /// A value of another type.
    pub fn type_invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        let mut cause = Self::invalid(field, value, why);
        cause.reason = "FieldValueTypeInvalid";
        cause
    }

    /// As it stands in a `Status`.
    pub fn to_value(&self) -> Value {
        let mut map = serde_json::Map::new();
        map.insert("reason".to_owned(), Value::from(self.reason));
        map.insert("message".to_owned(), Value::from(self.message.as_str()));
        if !self.field.is_empty() {
            map.insert("field".to_owned(), Value::from(self.field.as_str()));
        }
        Value::Object(map)
    }
}

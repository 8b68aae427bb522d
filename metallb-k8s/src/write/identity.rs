//! Which version of which object a write is about.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Preconditions;
use serde_json::{Map, Value};

/// One version of one object: what a decision was based on, and what its write names, so that it undoes nothing newer
/// and does nothing to an object that was made anew under the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    uid: Box<str>,
    version: Box<str>,
}

impl Identity {
    /// This version of that object. What is empty is not compared.
    pub fn new(uid: &str, version: &str) -> Self {
        Self { uid: uid.into(), version: version.into() }
    }

    /// The identity in an object's metadata. What is missing there is not compared.
    pub fn of(metadata: &ObjectMeta) -> Self {
        let take = |field: &Option<String>| field.as_deref().unwrap_or_default().into();
        Self { uid: take(&metadata.uid), version: take(&metadata.resource_version) }
    }

    /// What stays the same from one version to the next.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The `resourceVersion`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether `self` is a later version than `other`. Versions of one kind are numbers that grow; where they are not,
    /// another version counts as a later one.
    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        match (self.version.parse::<u64>(), other.version.parse::<u64>()) {
            (Ok(own), Ok(other)) => own > other,
            _ => !self.version.is_empty() && self.version != other.version,
        }
    }

    /// For deletions.
    pub(super) fn preconditions(&self) -> Preconditions {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Preconditions { uid: known(&self.uid), resource_version: known(&self.version) }
    }

    /// For patches: puts the identity into the metadata of `object`.
    pub(super) fn stamp(&self, object: &mut Value) {
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        let known = [("uid", &self.uid), ("resourceVersion", &self.version)].into_iter();
        for (field, value) in known.filter(|(_, value)| !value.is_empty()) {
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert(field.to_owned(), Value::from(&**value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_where_they_are_some() {
        assert!(Identity::new("u", "10").is_later_than(&Identity::new("u", "9")));
        assert!(!Identity::new("u", "9").is_later_than(&Identity::new("u", "9")));
        assert!(!Identity::new("u", "9").is_later_than(&Identity::new("u", "10")));
        assert!(Identity::new("u", "abc").is_later_than(&Identity::new("u", "10")));
    }

    #[test]
    fn what_is_not_known_is_not_demanded() {
        let mut patch = json!({ "status": {} });
        Identity::new("", "3").stamp(&mut patch);
        assert_eq!(patch["metadata"], json!({ "resourceVersion": "3" }));
        Identity::new("u", "3").stamp(&mut patch);
        assert_eq!(patch["metadata"], json!({ "uid": "u", "resourceVersion": "3" }));
        let demanded = Identity::new("u", "").preconditions();
        assert_eq!((demanded.uid.as_deref(), demanded.resource_version), (Some("u"), None));
    }
}

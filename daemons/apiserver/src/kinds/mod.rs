//! Which kinds are served: the built-in ones and those of custom resource definitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::failure::Named;
use metallb_schema::Node;
use metallb_schema::Rules;

mod builtin;
mod definition;
mod rows;

pub(crate) use definition::{accept, check_definition, priority};

/// A resource, in all its versions.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// `services`, `bgppeers.metallb.io`.
    pub(crate) id: Arc<str>,
    /// Where its objects are stored: its id, except that both groups of events share one store.
    pub(crate) store: Arc<str>,
    pub(crate) group: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Served versions, the preferred one first.
    pub(crate) versions: Vec<Version>,
    /// Version of the stored objects.
    pub(crate) storage: String,
    pub(crate) origin: Origin,
    /// `spec.conversion.webhook.clientConfig` of its definition.
    pub(crate) conversion: Option<Arc<Value>>,
    /// Otherwise its objects are questions: created, answered and forgotten.
    pub(crate) stored: bool,
}

/// Where a resource comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Part of the server; strategic merge patches work, nulls are absent fields.
    BuiltIn,
    /// From a definition; versions differ in name only.
    Custom,
    /// From a definition whose versions convert through a webhook.
    CustomWithWebhook,
}

/// One served version.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) schema: Arc<Value>,
    /// Compiled rules of the schema.
    pub(crate) rules: Arc<Rules>,
    pub(crate) status: bool,
    /// `metadata.generation` counts changes of the desired state.
    pub(crate) generation: bool,
    pub(crate) columns: Vec<Value>,
    /// Fields beside name and namespace that select.
    pub(crate) selectable: Vec<String>,
    /// Warning for those who use the version.
    pub(crate) deprecated: Option<String>,
}

/// All served resources.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    by_id: BTreeMap<Arc<str>, Arc<Resource>>,
    /// Counts changes, for caches of what is derived.
    generation: u64,
}

impl Kinds {
    pub(crate) fn new() -> Self {
        let by_id = builtin::resources().map(|resource| (Arc::clone(&resource.id), Arc::new(resource)));
        Self { by_id: by_id.collect(), generation: 1 }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.by_id.values()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<Resource>> {
        self.by_id.get(id)
    }

    /// The resource behind a path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        let found = self.by_id.values().find(|resource| resource.plural == plural && resource.group == group);
        found.filter(|resource| resource.version(version).is_some())
    }

    /// The resource of an object.
    pub(crate) fn find_kind(&self, api_version: &str, kind: &str) -> Option<(&Arc<Resource>, String)> {
        let (group, version) = split_api_version(api_version);
        let found = self.by_id.values().find(|resource| {
            resource.kind == kind && resource.group == group && resource.version(version).is_some()
        });
        Some((found?, version.to_owned()))
    }

    /// Adds or replaces a custom resource.
    pub(crate) fn insert(&mut self, resource: Resource) {
        self.generation = self.generation.saturating_add(1);
        self.by_id.insert(Arc::clone(&resource.id), Arc::new(resource));
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.generation = self.generation.saturating_add(1);
        self.by_id.remove(id);
    }
}

impl Resource {
    /// `v1`, `metallb.io/v1beta1`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        join_api_version(&self.group, version)
    }

    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    pub(crate) fn named<'a>(&'a self, name: &'a str) -> Named<'a> {
        Named { group: &self.group, resource: &self.plural, name }
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.origin != Origin::BuiltIn
    }

    pub(crate) fn is(&self, id: &str) -> bool {
        &*self.id == id
    }
}

impl Version {
    pub(crate) fn node(&self) -> Node<'_> {
        Node::new(&self.schema)
    }
}

pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

pub(crate) fn join_api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

//! The built-in kinds.

use std::sync::Arc;

use super::rows::ROWS;
use super::{Origin, Resource, Version};
use metallb_schema::reference;

/// A kind, built up in [`ROWS`].
pub(super) struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    schema: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    status: bool,
    generation: bool,
    selectable: &'static [&'static str],
}

pub(super) fn resources() -> impl Iterator<Item = Resource> {
    ROWS.iter().map(Row::resource)
}

impl Row {
    pub(super) const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group,
            version,
            kind,
            plural,
            schema: "",
            short: &[],
            namespaced: true,
            status: false,
            generation: false,
            selectable: &[],
        }
    }

    pub(super) const fn schema(mut self, name: &'static str) -> Self {
        self.schema = name;
        self
    }

    pub(super) const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short = names;
        self
    }

    pub(super) const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    pub(super) const fn status(mut self) -> Self {
        self.status = true;
        self
    }

    pub(super) const fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    pub(super) const fn selectable(mut self, fields: &'static [&'static str]) -> Self {
        self.selectable = fields;
        self
    }

    fn resource(&self) -> Resource {
        let id: Arc<str> = if self.group.is_empty() {
            self.plural.into()
        } else {
            format!("{}.{}", self.plural, self.group).into()
        };
        let version = Version {
            name: self.version.to_owned(),
            schema: Arc::new(reference(self.schema)),
            rules: Arc::default(),
            status: self.status,
            generation: self.generation,
            columns: Vec::new(),
            selectable: self.selectable.iter().map(|&field| field.to_owned()).collect(),
            deprecated: None,
        };
        Resource {
            store: if self.plural == "events" { "events".into() } else { Arc::clone(&id) },
            id,
            group: self.group.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            kind: self.kind.to_owned(),
            list_kind: format!("{}List", self.kind),
            short_names: self.short.iter().map(|&name| name.to_owned()).collect(),
            categories: categories(self.plural),
            namespaced: self.namespaced,
            versions: vec![version],
            storage: self.version.to_owned(),
            origin: Origin::BuiltIn,
            conversion: None,
            stored: !self.kind.ends_with("Review"),
        }
    }
}

/// Names under which `kubectl get` shows several kinds at once.
fn categories(plural: &str) -> Vec<String> {
    let name = match plural {
        "pods" | "services" | "daemonsets" | "deployments" | "replicasets" | "jobs" => "all",
        "customresourcedefinitions" | "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => {
            "api-extensions"
        }
        _ => return Vec::new(),
    };
    vec![name.to_owned()]
}

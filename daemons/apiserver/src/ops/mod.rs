//! The verbs of the API, on the locked state.

mod collect;
mod convert;
mod create;
mod delete;
mod meta;
mod patch;
mod read;
mod update;

pub(crate) use convert::present;
pub(crate) use delete::{DeleteOptions, Propagation};
pub(crate) use meta::decode;
pub(crate) use read::{ListOptions, Start};
pub(crate) use update::schema_causes;

use std::sync::Arc;

use serde_json::Value;

use crate::failure::{Failure, Named};
use crate::kinds::{Resource, Version};
use crate::state::State;
use crate::store::Key;

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) resource: Arc<Resource>,
    /// Version of the path.
    pub(crate) version: String,
    /// Empty for cluster-wide kinds and for requests over all namespaces.
    pub(crate) namespace: String,
    /// Empty for requests on the collection.
    pub(crate) name: String,
    /// The request is on the status subresource.
    pub(crate) status: bool,
}

/// How unknown fields are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Parameters of a write, and the warnings that it gathers.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    pub(crate) force: bool,
    /// The server's owner writes: the status goes along with the rest.
    pub(crate) owner: bool,
    pub(crate) warnings: Vec<String>,
    /// Uid of a new object; a fresh one if it is empty.
    pub(crate) uid: String,
}

/// A write, to be carried out once or, with webhooks, first on trial.
#[derive(Clone, Debug)]
pub(crate) enum Intent {
    Create(Value),
    Update(Value),
    Patch(PatchKind, Value),
}

impl State {
    /// Carries out a write.
    pub(crate) fn execute(
        &mut self,
        target: &Target,
        intent: &Intent,
        options: &mut WriteOptions,
    ) -> Result<Written, Failure> {
        match intent {
            Intent::Create(object) => self.create(target, object.clone(), options),
            Intent::Update(object) => self.update(target, object.clone(), options),
            Intent::Patch(kind, patch) => self.patch(target, *kind, patch, options),
        }
    }
}

/// An object as the client sees it, and whether it is new.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) object: Value,
    pub(crate) created: bool,
}

/// What a patch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Merge,
    Strategic,
    Json,
    Apply,
}

impl Target {
    pub(crate) fn version(&self) -> Result<&Version, Failure> {
        self.resource.version(&self.version).ok_or_else(Failure::no_resource)
    }

    pub(crate) fn api_version(&self) -> String {
        self.resource.api_version(&self.version)
    }

    pub(crate) fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    pub(crate) fn named(&self) -> Named<'_> {
        self.resource.named(&self.name)
    }

    pub(crate) fn not_found(&self) -> Failure {
        Failure::not_found(self.named())
    }

    pub(crate) fn subresource(&self) -> &'static str {
        if self.status { "status" } else { "" }
    }
}

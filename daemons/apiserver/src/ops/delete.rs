//! DELETE.

use std::sync::Arc;

use serde_json::{Value, json};

use super::convert::present;
use super::meta::{MODIFIED, is_terminating, now};
use super::{Target, Written};
use crate::admission::{list, object_mut, text};
use crate::failure::Failure;
use crate::state::State;

/// Body and query of a deletion.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) dry_run: bool,
    pub(crate) propagation: Propagation,
    /// The object must still have this uid.
    pub(crate) uid: String,
    /// The object must still have this version.
    pub(crate) resource_version: String,
}

/// What happens to the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They are deleted after it.
    #[default]
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay.
    Orphan,
}

impl DeleteOptions {
    /// Reads a `DeleteOptions` body; the query has been read before and is overruled.
    pub(crate) fn read_body(&mut self, body: &Value) -> Result<(), Failure> {
        if let Some(policy) = body.get("propagationPolicy").and_then(Value::as_str) {
            self.propagation = Propagation::parse(policy)?;
        } else if body.get("orphanDependents") == Some(&Value::Bool(true)) {
            self.propagation = Propagation::Orphan;
        }
        self.dry_run |= list(body, "/dryRun").iter().any(|one| one == "All");
        text(body, "/preconditions/uid").clone_into(&mut self.uid);
        text(body, "/preconditions/resourceVersion").clone_into(&mut self.resource_version);
        Ok(())
    }
}

impl Propagation {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "" | "Background" => Ok(Self::Background),
            "Foreground" => Ok(Self::Foreground),
            "Orphan" => Ok(Self::Orphan),
            other => Err(Failure::bad_request(format!(
                "invalid propagationPolicy {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\""
            ))),
        }
    }
}

impl State {
    /// Deletes an object, or marks it if finalizers hold it. `created` of the result says that it is gone.
    pub(crate) fn delete(&mut self, target: &Target, options: &DeleteOptions) -> Result<Written, Failure> {
        let resource = &target.resource;
        let Some(old) = self.store.get(&resource.store, &target.key()).map(Arc::clone) else {
            return Err(target.not_found());
        };
        check(target, &old, options)?;
        if options.dry_run {
            return Ok(Written { object: present(resource, &target.version, &old)?, created: true });
        }
        if is_terminating(&old) {
            return Ok(Written { object: present(resource, &target.version, &old)?, created: false });
        }
        let mut object = (*old).clone();
        self.add_finalizers(target, &mut object, options.propagation);
        if list(&object, "/metadata/finalizers").is_empty() && !resource.is("namespaces") {
            let gone = self.finish(target, object);
            return Ok(Written { object: present(resource, &target.version, &gone)?, created: true });
        }
        let now = now();
        if let Some(metadata) = object_mut(&mut object, "metadata") {
            metadata.insert("deletionTimestamp".to_owned(), Value::from(now.as_str()));
            metadata.insert("deletionGracePeriodSeconds".to_owned(), Value::from(0));
        }
        if resource.is("namespaces")
            && let Some(status) = object_mut(&mut object, "status")
        {
            status.insert("phase".to_owned(), Value::from("Terminating"));
        }
        let stored = self.commit(target, object, &now)?;
        if !resource.is("namespaces") {
            self.continue_deletion(target, options.propagation);
        }
        let present_now = self.store.get(&resource.store, &target.key()).map(Arc::clone);
        let gone = present_now.is_none();
        let last = present_now.unwrap_or(stored);
        Ok(Written { object: present(resource, &target.version, &last)?, created: gone })
    }

    fn add_finalizers(&self, target: &Target, object: &mut Value, propagation: Propagation) {
        let uid = text(object, "/metadata/uid").to_owned();
        let finalizer = match propagation {
            Propagation::Foreground => FOREGROUND,
            Propagation::Orphan => ORPHAN,
            Propagation::Background => return,
        };
        if self.dependents(&uid).is_empty() || target.resource.is("namespaces") {
            return;
        }
        if let Some(metadata) = object_mut(object, "metadata") {
            let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
            if let Value::Array(finalizers) = finalizers {
                finalizers.push(Value::from(finalizer));
            }
        }
    }
}

fn check(target: &Target, old: &Value, options: &DeleteOptions) -> Result<(), Failure> {
    if target.resource.is("namespaces") && PROTECTED.contains(&target.name.as_str()) {
        return Err(Failure::forbidden(target.named(), "this namespace may not be deleted"));
    }
    let uid = text(old, "/metadata/uid");
    if !options.uid.is_empty() && options.uid != uid {
        let why =
            format!("Precondition failed: UID in precondition: {}, UID in object meta: {uid}", options.uid);
        return Err(Failure::conflict(target.named(), &why));
    }
    if !options.resource_version.is_empty()
        && options.resource_version != text(old, "/metadata/resourceVersion")
    {
        return Err(Failure::conflict(target.named(), MODIFIED));
    }
    Ok(())
}

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";
/// Namespaces that the real server keeps.
const PROTECTED: &[&str] = &["default", "kube-system", "kube-public"];

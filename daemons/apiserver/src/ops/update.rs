//! PUT, and what every patch becomes.

use std::sync::Arc;

use serde_json::Value;

use super::convert::{present, to_storage};
use super::create::{note_deprecation, refuse};
use super::meta::{check_preconditions, decode, is_terminating, keep_system_fields, now, tidy};
use super::{Target, WriteOptions, Written};
use crate::admission::{list, object_mut, prepare_update, validate_kind, validate_metadata};
use crate::failure::{Cause, Failure};
use crate::kinds::Version;
use crate::patch::{Manager, Writer, managers, record_update, set_managers};
use crate::state::State;
use metallb_schema::{apply_defaults, validate};
use metallb_schema::{blocks_rules, validate_rules};

impl State {
    /// Replaces an object, or its status.
    pub(crate) fn update(
        &mut self,
        target: &Target,
        mut object: Value,
        options: &mut WriteOptions,
    ) -> Result<Written, Failure> {
        decode(target, &mut object, options)?;
        let Some(old) = self.store.get(&target.resource.store, &target.key()).map(Arc::clone) else {
            return Err(target.not_found());
        };
        self.update_decoded(target, object, &old, None, options)
    }

    /// Replaces `old` by an object that fits the schema. `owners` are the field managers after an apply.
    pub(super) fn update_decoded(
        &mut self,
        target: &Target,
        mut object: Value,
        old: &Value,
        owners: Option<Vec<Manager>>,
        options: &mut WriteOptions,
    ) -> Result<Written, Failure> {
        let resource = &target.resource;
        let version = target.version()?;
        check_preconditions(target, &object, old)?;
        to_storage(target, &mut object)?;
        let given = managers(&object);
        let cleared = object
            .pointer("/metadata/managedFields")
            .is_some_and(|fields| fields == &Value::Array(vec![Value::Object(serde_json::Map::new())]));
        keep_system_fields(&mut object, old);
        isolate(target, version, &mut object, old, options.owner);
        if resource.is_custom() {
            apply_defaults(version.node(), &mut object);
        }
        tidy(&mut object);
        let mut causes = validate_metadata(&resource.store, &object);
        causes.extend(check_finalizers(&object, old));
        causes.extend(prepare_update(&resource.store, &mut object, old, &mut self.addresses));
        if resource.is_custom() {
            causes.extend(schema_causes(version, &object, Some(old)));
        }
        causes.extend(validate_kind(&resource.store, &object, Some(old)));
        refuse(target, causes)?;
        if version.generation {
            count_generation(version, &mut object, old);
        }
        let now = now();
        let api_version = target.api_version();
        let writer = Writer {
            name: &options.manager,
            api_version: &api_version,
            subresource: target.subresource(),
            now: &now,
        };
        let owners = owners.unwrap_or_else(|| {
            let before = if cleared || !given.is_empty() { given } else { managers(old) };
            record_update(version.node(), before, old, &object, &writer)
        });
        set_managers(&mut object, &owners);
        note_deprecation(target, options);
        if options.dry_run || same(&object, old) {
            let shown = if options.dry_run { &object } else { old };
            let mut shown = present(resource, &target.version, shown)?;
            copy_version(&mut shown, old);
            return Ok(Written { object: shown, created: false });
        }
        let stored = if is_terminating(&object) && list(&object, "/metadata/finalizers").is_empty() {
            self.finish(target, object)
        } else {
            self.commit(target, object, &now)?
        };
        Ok(Written { object: present(resource, &target.version, &stored)?, created: false })
    }
}

/// The status is written through its subresource only, and nothing else through that, except that the built-in kinds
/// take changes of `metadata` there, as in the real server.
fn isolate(target: &Target, version: &Version, object: &mut Value, old: &Value, owner: bool) {
    if !version.status || owner {
        return;
    }
    let Value::Object(map) = object else { return };
    let mut restore = |name: &str| match old.get(name) {
        Some(value) => {
            map.insert(name.to_owned(), value.clone());
        }
        None => {
            map.remove(name);
        }
    };
    if !target.status {
        restore("status");
        return;
    }
    let mut names: Vec<&str> = old.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| !matches!(*name, "status" | "apiVersion" | "kind" | "metadata"));
    for name in names {
        restore(name);
    }
    if target.resource.is_custom() {
        restore("metadata");
    }
    map.retain(|name, _| {
        matches!(name.as_str(), "status" | "apiVersion" | "kind" | "metadata") || old.get(name).is_some()
    });
}

/// What schema and rules say against an object and did not say against the old one: a rule that became stricter does
/// not block changes elsewhere.
pub(crate) fn schema_causes(version: &Version, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = validate(version.node(), object, "");
    if let Some(old) = old
        && !causes.is_empty()
    {
        let before = validate(version.node(), old, "");
        causes.retain(|cause| !before.contains(cause));
    }
    if version.rules.is_empty() {
        return causes;
    }
    if blocks_rules(&causes) {
        causes.push(Cause::invalid("<nil>", &Value::Null, NOT_CHECKED));
    } else {
        causes.extend(validate_rules(&version.rules, version.node(), object, old));
    }
    causes
}

fn check_finalizers(object: &Value, old: &Value) -> Option<Cause> {
    if !is_terminating(old) {
        return None;
    }
    let before = list(old, "/metadata/finalizers");
    let added: Vec<_> =
        list(object, "/metadata/finalizers").iter().filter(|one| !before.contains(one)).collect();
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
    );
    (!added.is_empty()).then(|| Cause::forbidden("metadata.finalizers", &why))
}

/// Counts changes of the desired state: all but metadata, and the status where it is a subresource.
fn count_generation(version: &Version, object: &mut Value, old: &Value) {
    let part = |object: &Value| {
        let mut part = object.as_object().cloned().unwrap_or_default();
        part.retain(|name, _| {
            let derived = version.status && name == "status";
            !(derived || matches!(name.as_str(), "metadata" | "apiVersion" | "kind"))
        });
        part
    };
    let before = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(1);
    let changed = part(object) != part(old);
    if let Some(metadata) = object_mut(object, "metadata") {
        metadata.insert("generation".to_owned(), Value::from(if changed { before + 1 } else { before }));
    }
}

/// Equal but for version and the times of field managers: nothing is written then.
fn same(object: &Value, old: &Value) -> bool {
    let stripped = |object: &Value| {
        let mut copy = object.clone();
        if let Some(metadata) = object_mut(&mut copy, "metadata") {
            metadata.remove("resourceVersion");
            for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten()
            {
                if let Value::Object(entry) = entry {
                    entry.remove("time");
                }
            }
        }
        copy
    };
    stripped(object) == stripped(old)
}

fn copy_version(object: &mut Value, old: &Value) {
    if let (Some(metadata), Some(version)) =
        (object_mut(object, "metadata"), old.pointer("/metadata/resourceVersion"))
    {
        metadata.insert("resourceVersion".to_owned(), version.clone());
    }
}

const NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing \
    errors to complete validation";

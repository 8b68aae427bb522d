//! PATCH.

use std::sync::Arc;

use serde_json::{Value, json};

use super::convert::present;
use super::meta::{decode, now};
use super::{PatchKind, Target, WriteOptions, Written};
use crate::admission::{object_mut, text};
use crate::failure::Failure;
use crate::kinds::Origin;
use crate::patch::{
    Applied, Writer, apply, json as json_patch, managers, merge, not_strategic, strategic_merge,
};
use crate::state::State;

impl State {
    /// Changes an object by a patch; an apply creates it if it is not there.
    pub(crate) fn patch(
        &mut self,
        target: &Target,
        kind: PatchKind,
        patch: &Value,
        options: &mut WriteOptions,
    ) -> Result<Written, Failure> {
        if kind == PatchKind::Apply {
            return self.apply(target, patch, options);
        }
        let resource = &target.resource;
        let Some(old) = self.store.get(&resource.store, &target.key()).map(Arc::clone) else {
            return Err(target.not_found());
        };
        let mut object = present(resource, &target.version, &old)?;
        match kind {
            PatchKind::Merge => merge(&mut object, patch),
            PatchKind::Json => json_patch(&mut object, patch)?,
            PatchKind::Strategic if resource.origin == Origin::BuiltIn => {
                strategic_merge(target.version()?.node(), &mut object, patch)?;
            }
            PatchKind::Strategic | PatchKind::Apply => {
                return Err(not_strategic());
            }
        }
        decode(target, &mut object, options)?;
        self.update_decoded(target, object, &old, None, options)
    }

    fn apply(
        &mut self,
        target: &Target,
        config: &Value,
        options: &mut WriteOptions,
    ) -> Result<Written, Failure> {
        let mut config = config.clone();
        decode(target, &mut config, options)?;
        if config.pointer("/metadata/managedFields").is_some() {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let live = self.store.get(&target.resource.store, &target.key()).map(Arc::clone);
        if live.is_none() && target.status {
            return Err(target.not_found());
        }
        let given = config.pointer("/metadata/resourceVersion").cloned();
        let uid = text(&config, "/metadata/uid").to_owned();
        if live.is_none() && (given.is_some() || !uid.is_empty()) {
            return Err(target.not_found());
        }
        reset_fields(target, &mut config, options.owner)?;
        let now = now();
        let api_version = target.api_version();
        let writer = Writer {
            name: &options.manager,
            api_version: &api_version,
            subresource: target.subresource(),
            now: &now,
        };
        let node = target.version()?.node();
        let Some(old) = live else {
            let base = json!({"apiVersion": api_version, "kind": target.resource.kind});
            let Applied { object, managers } = apply(node, &base, Vec::new(), &config, &writer, true)?;
            return self.create_decoded(target, object, Some(managers), options);
        };
        let mut shown = present(&target.resource, &target.version, &old)?;
        let owners = managers(&shown);
        if let Some(metadata) = object_mut(&mut shown, "metadata") {
            metadata.remove("managedFields");
        }
        let Applied { mut object, managers } = apply(node, &shown, owners, &config, &writer, options.force)?;
        if let (Some(metadata), Some(version)) = (object_mut(&mut object, "metadata"), given) {
            metadata.insert("resourceVersion".to_owned(), version);
        }
        self.update_decoded(target, object, &old, Some(managers), options)
    }
}

/// Drops what this endpoint does not write, so that nobody comes to own it here.
fn reset_fields(target: &Target, config: &mut Value, owner: bool) -> Result<(), Failure> {
    let has_status = target.version()?.status;
    let custom = target.resource.is_custom();
    let Value::Object(map) = config else { return Ok(()) };
    if target.status {
        map.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
        if custom && let Some(Value::Object(metadata)) = map.get_mut("metadata") {
            metadata.retain(|name, _| matches!(name.as_str(), "name" | "namespace"));
        }
    } else if has_status && !owner {
        map.remove("status");
    }
    Ok(())
}

//! POST, and the first half of an apply that finds nothing.

use serde_json::{Value, json};

use super::convert::{present, to_storage};
use super::meta::{decode, is_terminating, now, tidy};
use super::update::schema_causes;
use super::{Target, WriteOptions, Written};
use crate::admission::{
    default_kind, object_mut, prepare_create, text, tracks_status_on_create, validate_kind, validate_metadata,
};
use crate::failure::{Cause, Failure};
use crate::patch::{Manager, Writer, managers, record_update, set_managers};
use crate::state::State;
use crate::store::Key;
use metallb_schema::apply_defaults;

impl State {
    /// Creates an object.
    pub(crate) fn create(
        &mut self,
        target: &Target,
        mut object: Value,
        options: &mut WriteOptions,
    ) -> Result<Written, Failure> {
        decode(target, &mut object, options)?;
        self.create_decoded(target, object, None, options)
    }

    /// Creates an object that fits the schema; `owners` are its field managers unless it is a plain create.
    pub(super) fn create_decoded(
        &mut self,
        target: &Target,
        mut object: Value,
        owners: Option<Vec<Manager>>,
        options: &mut WriteOptions,
    ) -> Result<Written, Failure> {
        let resource = &target.resource;
        let version = target.version()?;
        self.check_namespace(target)?;
        let name = self.name_for(target, &mut object)?;
        let target = Target { name, ..target.clone() };
        if !text(&object, "/metadata/resourceVersion").is_empty() {
            return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let previous_managers = managers(&object);
        if version.status
            && !options.owner
            && !tracks_status_on_create(&resource.id)
            && let Value::Object(map) = &mut object
        {
            map.remove("status");
        }
        let now = now();
        self.stamp_new(&mut object, &options.uid, &now, version.generation);
        if resource.is_custom() {
            apply_defaults(version.node(), &mut object);
        }
        to_storage(&target, &mut object)?;
        tidy(&mut object);
        let id = std::sync::Arc::clone(&resource.store);
        if self.store.get(&id, &target.key()).is_some() {
            return Err(Failure::already_exists(target.named()));
        }
        let mut causes = validate_metadata(&id, &object);
        let mut said = object.clone();
        default_kind(&id, &mut said);
        causes.extend(prepare_create(&id, &mut object, &mut self.addresses));
        if resource.is_custom() {
            causes.extend(schema_causes(version, &object, None));
        }
        causes.extend(validate_kind(&id, &object, None));
        refuse(&target, causes)?;
        let api_version = target.api_version();
        let writer = Writer { name: &options.manager, api_version: &api_version, subresource: "", now: &now };
        let owners = owners
            .unwrap_or_else(|| record_update(version.node(), previous_managers, &json!({}), &said, &writer));
        set_managers(&mut object, &owners);
        note_deprecation(&target, options);
        if options.dry_run {
            return Ok(Written { object: present(resource, &target.version, &object)?, created: true });
        }
        let stored = self.commit(&target, object, &now)?;
        Ok(Written { object: present(resource, &target.version, &stored)?, created: true })
    }

    fn stamp_new(&mut self, object: &mut Value, uid: &str, now: &str, generation: bool) {
        let uid = if uid.is_empty() { self.names.uid() } else { uid.to_owned() };
        let Some(metadata) = object_mut(object, "metadata") else { return };
        for field in
            ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields", "generation"]
        {
            metadata.remove(field);
        }
        metadata.insert("uid".to_owned(), Value::from(uid));
        metadata.insert("creationTimestamp".to_owned(), Value::from(now));
        if generation {
            metadata.insert("generation".to_owned(), Value::from(1));
        }
    }

    fn name_for(&mut self, target: &Target, object: &mut Value) -> Result<String, Failure> {
        let name = text(object, "/metadata/name").to_owned();
        if !name.is_empty() {
            return Ok(name);
        }
        let base = text(object, "/metadata/generateName").to_owned();
        if base.is_empty() {
            let cause = Cause::required("metadata.name", "name or generateName is required");
            return Err(Failure::invalid(&target.resource.group, &target.resource.kind, "", vec![cause]));
        }
        let name = loop {
            let name = self.names.generate(&base);
            let key = Key { namespace: target.namespace.clone(), name: name.clone() };
            if self.store.get(&target.resource.store, &key).is_none() {
                break name;
            }
        };
        if let Some(metadata) = object_mut(object, "metadata") {
            metadata.insert("name".to_owned(), Value::from(name.as_str()));
        }
        Ok(name)
    }

    fn check_namespace(&self, target: &Target) -> Result<(), Failure> {
        if !target.resource.namespaced {
            return Ok(());
        }
        let key = Key { namespace: String::new(), name: target.namespace.clone() };
        let Some(namespace) = self.store.get("namespaces", &key) else {
            let named = crate::failure::Named { group: "", resource: "namespaces", name: &target.namespace };
            return Err(Failure::not_found(named));
        };
        if is_terminating(namespace) {
            let why = format!(
                "unable to create new content in namespace {} because it is being terminated",
                target.namespace
            );
            return Err(Failure::forbidden(target.named(), &why));
        }
        Ok(())
    }
}

/// Warns of a version that its definition calls deprecated.
pub(super) fn note_deprecation(target: &Target, options: &mut WriteOptions) {
    let version = target.resource.version(&target.version);
    options.warnings.extend(version.and_then(|version| version.deprecated.clone()));
}

/// 422 if anything is wrong.
pub(super) fn refuse(target: &Target, causes: Vec<Cause>) -> Result<(), Failure> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(&target.resource.group, &target.resource.kind, &target.name, causes))
}

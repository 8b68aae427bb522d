//! What follows a write: allocations, kinds of definitions, namespaces, objects without an owner.

use std::sync::Arc;

use serde_json::Value;

use super::Target;
use super::delete::{FOREGROUND, ORPHAN, Propagation};
use super::meta::is_terminating;
use crate::admission::{list, object_mut, text};
use crate::failure::Failure;
use crate::kinds::{Resource, accept};
use crate::state::State;
use crate::store::Key;

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

impl State {
    /// Stores an object and does what hangs on it.
    pub(super) fn commit(
        &mut self,
        target: &Target,
        mut object: Value,
        now: &str,
    ) -> Result<Arc<Value>, Failure> {
        let store = Arc::clone(&target.resource.store);
        if target.resource.is(DEFINITIONS) && !is_terminating(&object) {
            let resource = accept(&mut object, now);
            self.kinds.insert(resource);
        }
        let key = target.key();
        if &*store == "services" {
            if let Some(old) = self.store.get(&store, &key) {
                self.addresses.release(old);
            }
            self.addresses.hold(&object);
        }
        let stored = self.store.put(&store, key, object);
        if target.resource.is("namespaces") && !is_terminating(&stored) {
            self.ensure_service_account(&target.name)?;
        }
        if has_absent_owners(self, &stored) {
            self.collect_orphan(&target.resource, &target.key(), &stored);
        }
        Ok(stored)
    }

    /// Removes an object for good, with what depends on it. Returns its last state.
    pub(super) fn finish(&mut self, target: &Target, object: Value) -> Arc<Value> {
        let store = Arc::clone(&target.resource.store);
        let key = target.key();
        if &*store == "services"
            && let Some(old) = self.store.get(&store, &key)
        {
            self.addresses.release(old);
        }
        if target.resource.is(DEFINITIONS) {
            self.drop_kind(&target.name);
        }
        let uid = text(&object, "/metadata/uid").to_owned();
        let gone = self.store.remove(&store, &key).unwrap_or_else(|| Arc::new(object));
        for (resource, key) in self.dependents(&uid) {
            if let Some(dependent) = self.store.get(&resource.store, &key).map(Arc::clone) {
                self.collect_orphan(&resource, &key, &dependent);
            }
        }
        self.release_owners(&gone);
        if !target.namespace.is_empty() {
            self.finish_namespace(&target.namespace);
        }
        gone
    }

    /// Objects that name a uid as owner.
    pub(super) fn dependents(&self, uid: &str) -> Vec<(Arc<Resource>, Key)> {
        let owned = self.store.owned_by(uid);
        owned.filter_map(|(store, key)| Some((Arc::clone(self.kinds.by_id(store)?), key.clone()))).collect()
    }

    /// Deletes what is in a namespace that is being deleted, then the namespace, as the real server's namespace
    /// controller does a moment after the request.
    pub(crate) fn clear_namespace(&mut self, name: &str) {
        let key = Key { namespace: String::new(), name: name.to_owned() };
        if self.store.get("namespaces", &key).is_some_and(|namespace| is_terminating(namespace)) {
            self.empty_namespace(name);
            self.finish_namespace(name);
        }
    }

    /// Goes on with an object that finalizers of the server hold.
    pub(super) fn continue_deletion(&mut self, target: &Target, propagation: Propagation) {
        let Some(object) = self.store.get(&target.resource.store, &target.key()).map(Arc::clone) else {
            return;
        };
        let uid = text(&object, "/metadata/uid").to_owned();
        let dependents = self.dependents(&uid);
        match propagation {
            Propagation::Background => {}
            Propagation::Orphan => {
                for (resource, key) in dependents {
                    self.drop_owner(&resource, &key, &uid);
                }
                self.drop_finalizer(target, ORPHAN);
            }
            Propagation::Foreground => {
                for (resource, key) in dependents {
                    self.delete_quietly(&resource, &key, Propagation::Foreground);
                }
                if self.dependents(&uid).is_empty() {
                    self.drop_finalizer(target, FOREGROUND);
                }
            }
        }
    }

    /// Deletes an object whose owners are all gone, or drops the references to those that are.
    fn collect_orphan(&mut self, resource: &Arc<Resource>, key: &Key, object: &Value) {
        let owners = list(object, "/metadata/ownerReferences");
        let present = owners.iter().filter(|owner| self.owner_exists(owner, &key.namespace)).count();
        if owners.is_empty() || present == owners.len() {
            return;
        }
        if present == 0 {
            self.delete_quietly(resource, key, Propagation::Background);
            return;
        }
        let absent: Vec<String> = owners
            .iter()
            .filter(|owner| !self.owner_exists(owner, &key.namespace))
            .map(|owner| text(owner, "/uid").to_owned())
            .collect();
        for uid in absent {
            self.drop_owner(resource, key, &uid);
        }
    }

    fn owner_exists(&self, owner: &Value, namespace: &str) -> bool {
        self.store.by_uid(text(owner, "/uid")).is_some_and(|(_, key)| {
            (key.namespace.is_empty() || key.namespace == namespace) && key.name == text(owner, "/name")
        })
    }

    fn delete_quietly(&mut self, resource: &Arc<Resource>, key: &Key, propagation: Propagation) {
        let target = internal(resource, key);
        let options = super::DeleteOptions { propagation, ..super::DeleteOptions::default() };
        if let Err(failure) = self.delete(&target, &options)
            && failure.code() != 404
        {
            tracing::warn!(
                kind = resource.kind,
                name = key.name,
                error = failure.message(),
                "clean-up failed"
            );
        }
    }

    fn drop_owner(&mut self, resource: &Arc<Resource>, key: &Key, uid: &str) {
        let Some(object) = self.store.get(&resource.store, key) else { return };
        let mut object = (**object).clone();
        if let Some(metadata) = object_mut(&mut object, "metadata") {
            if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
                owners.retain(|owner| text(owner, "/uid") != uid);
            }
            if metadata.get("ownerReferences").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                metadata.remove("ownerReferences");
            }
        }
        self.store.put(&resource.store, key.clone(), object);
    }

    fn drop_finalizer(&mut self, target: &Target, finalizer: &str) {
        let Some(object) = self.store.get(&target.resource.store, &target.key()) else { return };
        let mut object = (**object).clone();
        if let Some(metadata) = object_mut(&mut object, "metadata") {
            if let Some(Value::Array(finalizers)) = metadata.get_mut("finalizers") {
                finalizers.retain(|one| one != finalizer);
            }
            if metadata.get("finalizers").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                metadata.remove("finalizers");
            }
        }
        if list(&object, "/metadata/finalizers").is_empty() {
            self.finish(target, object);
        } else {
            self.store.put(&target.resource.store, target.key(), object);
        }
    }

    /// Owners that wait for this object before they go.
    fn release_owners(&mut self, gone: &Value) {
        for owner in list(gone, "/metadata/ownerReferences") {
            let Some((store, key)) = self.store.by_uid(text(owner, "/uid")).cloned() else { continue };
            let waits = self.store.get(&store, &key).is_some_and(|object| {
                list(object, "/metadata/finalizers").iter().any(|finalizer| finalizer == FOREGROUND)
            });
            if waits && let Some(resource) = self.kinds.by_id(&store).map(Arc::clone) {
                self.continue_deletion(&internal(&resource, &key), Propagation::Foreground);
            }
        }
    }

    fn empty_namespace(&mut self, namespace: &str) {
        let resources: Vec<_> =
            self.kinds.all().filter(|resource| resource.namespaced).map(Arc::clone).collect();
        for resource in resources {
            let keys: Vec<Key> =
                self.store.scan(&resource.store, Some(namespace)).map(|(key, _)| key.clone()).collect();
            for key in keys {
                self.delete_quietly(&resource, &key, Propagation::Background);
            }
        }
    }

    /// Removes a namespace that is being deleted and has become empty.
    fn finish_namespace(&mut self, namespace: &str) {
        let key = Key { namespace: String::new(), name: namespace.to_owned() };
        let Some(object) = self.store.get("namespaces", &key).map(Arc::clone) else { return };
        let held = !is_terminating(&object) || !list(&object, "/metadata/finalizers").is_empty();
        let filled = self.kinds.all().any(|resource| {
            resource.namespaced && self.store.scan(&resource.store, Some(namespace)).next().is_some()
        });
        if !held
            && !filled
            && let Some(resource) = self.kinds.by_id("namespaces").map(Arc::clone)
        {
            self.finish(&internal(&resource, &key), (*object).clone());
        }
    }

    fn drop_kind(&mut self, id: &str) {
        let Some(resource) = self.kinds.by_id(id).map(Arc::clone) else { return };
        let keys: Vec<Key> = self.store.scan(id, None).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(object) = self.store.get(id, &key).map(Arc::clone) {
                self.finish(&internal(&resource, &key), (*object).clone());
            }
        }
        self.kinds.remove(id);
        self.store.end_watches(id);
    }

    /// Every namespace has the account `default`.
    fn ensure_service_account(&mut self, namespace: &str) -> Result<(), Failure> {
        let key = Key { namespace: namespace.to_owned(), name: "default".to_owned() };
        let Some(resource) = self.kinds.by_id("serviceaccounts").map(Arc::clone) else { return Ok(()) };
        if self.store.get(&resource.store, &key).is_some() {
            return Ok(());
        }
        let target = internal(&resource, &key);
        let mut options =
            super::WriteOptions { manager: "kube-controller-manager".to_owned(), ..Default::default() };
        let object = serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount"});
        self.create(&target, object, &mut options).map(|_| ())
    }
}

fn has_absent_owners(state: &State, object: &Value) -> bool {
    let namespace = text(object, "/metadata/namespace");
    list(object, "/metadata/ownerReferences").iter().any(|owner| !state.owner_exists(owner, namespace))
}

/// A target in the stored version, for the server's own writes.
fn internal(resource: &Arc<Resource>, key: &Key) -> Target {
    Target {
        resource: Arc::clone(resource),
        version: resource.storage.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        status: false,
    }
}

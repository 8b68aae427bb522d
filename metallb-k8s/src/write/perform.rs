//! One write, carried out once.

use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind, NamespaceResourceScope, Status},
};
use serde_json::{Value, json};

use super::{
    Options, Reconsidered, ServiceWrite, Write,
    events::EventWrite,
    status::{self, Component, ServiceStatus, StatusKind},
};
use crate::{
    crd::{self, ConfigurationState, ConfigurationStateStatus, ServiceBGPStatus, ServiceL2Status},
    facts::{ServiceRecord, objects},
};

/// What became of one attempt that reached the server.
#[derive(Debug, PartialEq)]
pub(super) enum Attempt {
    /// Written, or found to be written already.
    Done,
    /// The object is gone, or was made anew, or the decision is out of date: give up this write.
    Moot,
    /// The object was newer than thought, but this still holds: write this instead.
    Again(Box<Write>),
}

/// Tries to carry out a write.
pub(super) async fn attempt(
    client: &Client,
    options: &Options,
    write: &Write,
) -> Result<Attempt, kube::Error> {
    let namespace = options.namespace.as_str();
    match write {
        Write::Service(write) => service(client, options, write).await,
        Write::ObjectStatus { kind, name, uid, status } => {
            let (plural, version) = status::resource(*kind);
            let gvk = GroupVersionKind::gvk(crd::GROUP, version, &kind.to_string());
            let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
            let mut patch = json!({ "status": status });
            if let (Some(uid), Some(patch)) = (uid, patch.as_object_mut()) {
                patch.insert("metadata".to_owned(), json!({ "uid": uid }));
            }
            let result = api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            moot_when_gone(result)
        }
        Write::ServiceStatus(status) => match status.content.kind() {
            StatusKind::Layer2 => {
                let api: Api<ServiceL2Status> = Api::namespaced(client.clone(), namespace);
                service_status(&api, options, status).await
            }
            StatusKind::Bgp => {
                let api: Api<ServiceBGPStatus> = Api::namespaced(client.clone(), namespace);
                service_status(&api, options, status).await
            }
        },
        Write::RemoveServiceStatus { kind, name } => match kind {
            StatusKind::Layer2 => {
                remove(&Api::<ServiceL2Status>::namespaced(client.clone(), namespace), name).await
            }
            StatusKind::Bgp => {
                remove(&Api::<ServiceBGPStatus>::namespaced(client.clone(), namespace), name).await
            }
        },
        Write::ConfigurationState { component, status } => {
            let api: Api<ConfigurationState> = Api::namespaced(client.clone(), namespace);
            configuration_state(&api, options, component, status).await
        }
        Write::Event(event) => write_event(client, event).await,
    }
}

async fn service(client: &Client, options: &Options, write: &ServiceWrite) -> Result<Attempt, kube::Error> {
    let api: Api<objects::Service> = Api::namespaced(client.clone(), write.key.namespace());
    let name = write.key.name();
    match api.patch_status(name, &PatchParams::default(), &Patch::Merge(write.patch())).await {
        Ok(_) => Ok(Attempt::Done),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Attempt::Moot),
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            let current = api.get_opt(name).await?;
            let current = current.and_then(|current| ServiceRecord::cut(&current, &options.class));
            Ok(match write.reconsider(current.as_ref()) {
                Reconsidered::Done => Attempt::Done,
                Reconsidered::Retry(write) => Attempt::Again(Box::new(Write::Service(write))),
                Reconsidered::Outdated => Attempt::Moot,
            })
        }
        Err(error) => Err(error),
    }
}

async fn service_status<K: Own>(
    api: &Api<K>,
    options: &Options,
    status: &ServiceStatus,
) -> Result<Attempt, kube::Error> {
    apply(api, options, &options.manager, (&status.object_name(), status.labels()), &status.status()).await
}

/// A former run may have said the same, so what stands there is read first.
async fn configuration_state(
    api: &Api<ConfigurationState>,
    options: &Options,
    component: &Component,
    status: &ConfigurationStateStatus,
) -> Result<Attempt, kube::Error> {
    let (name, labels) = (component.state_name(), component.labels());
    let found = api.get_opt(&name).await?;
    let before = found.as_ref().and_then(|found| found.status.as_ref());
    let status = status::with_times_of(before, status.clone());
    let is_labelled =
        found.as_ref().is_some_and(|found| status::contains(&json!(found.metadata.labels), &labels));
    if is_labelled && before == Some(&status) {
        return Ok(Attempt::Done);
    }
    if let Some(kept) = before.and_then(|before| status::without_leftovers(before, &status)) {
        let patch = json!({ "status": { "conditions": kept } });
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    }
    let mut content = json!(status);
    if let Some(content) = content.as_object_mut() {
        // Left out, it would stay as another writer left it.
        content.entry("errorSummary").or_insert_with(|| json!(""));
    }
    apply(api, options, component.manager(), (&name, labels), &content).await
}

/// A kind of which we alone make the objects.
trait Own:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + std::fmt::Debug
    + serde::de::DeserializeOwned
{
}
impl Own for ServiceL2Status {}
impl Own for ServiceBGPStatus {}
impl Own for ConfigurationState {}

/// Makes the object and its status what they shall be, by server-side apply; the status under the name of `manager`.
async fn apply<K: Own>(
    api: &Api<K>,
    options: &Options,
    manager: &str,
    (name, labels): (&str, Value),
    status: &Value,
) -> Result<Attempt, kube::Error> {
    let (version, kind) = (K::api_version(&()), K::kind(&()));
    // An empty list of owners would make every apply a change for the API server.
    let metadata = match &options.owner {
        Some(owner) => json!({ "name": name, "labels": labels, "ownerReferences": [owner] }),
        None => json!({ "name": name, "labels": labels }),
    };
    // Without a spec, which not every definition of these kinds has.
    let object = json!({ "apiVersion": version, "kind": kind, "metadata": metadata });
    let params = PatchParams::apply(&options.manager).force();
    api.patch(name, &params, &Patch::Apply(&object)).await?;
    let object = json!({ "apiVersion": version, "kind": kind, "status": status });
    let params = PatchParams::apply(manager).force();
    api.patch_status(name, &params, &Patch::Apply(&object)).await?;
    Ok(Attempt::Done)
}

async fn remove<K: Own>(api: &Api<K>, name: &str) -> Result<Attempt, kube::Error> {
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Attempt::Done),
        other => other.map(|_| Attempt::Done),
    }
}

async fn write_event(client: &Client, write: &EventWrite) -> Result<Attempt, kube::Error> {
    let namespace = write.event.metadata.namespace.as_deref().unwrap_or("default");
    let api: Api<CoreEvent> = Api::namespaced(client.clone(), namespace);
    if write.repeated {
        let patch = json!({ "count": write.event.count, "lastTimestamp": write.event.last_timestamp });
        match api.patch(write.name(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            // The server keeps events for an hour only.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => return other.map(|_| Attempt::Done),
        }
    }
    match api.create(&PostParams::default(), &write.event).await {
        Ok(_) => Ok(Attempt::Done),
        // Written by an attempt whose answer was lost.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Attempt::Done),
        // The namespace is being deleted or is gone, and the object with it.
        Err(kube::Error::Api(status)) if status.code == 404 || is_ending(&status) => Ok(Attempt::Moot),
        Err(error) => Err(error),
    }
}

/// Whether a namespace takes nothing new because it is being deleted, which is forbidden in other ways than by RBAC.
fn is_ending(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let names = causes.map(|cause| cause.reason.as_str()).any(|reason| reason == "NamespaceTerminating");
    status.is_forbidden() && (names || status.message.contains("is being terminated"))
}

fn moot_when_gone<K>(result: Result<K, kube::Error>) -> Result<Attempt, kube::Error> {
    match result {
        Ok(_) => Ok(Attempt::Done),
        Err(kube::Error::Api(status)) if status.code == 404 || status.is_conflict() => Ok(Attempt::Moot),
        Err(error) => Err(error),
    }
}

//! One write, carried out once.

use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind, Status},
};
use serde_json::{Value, json};

use super::{
    Identity, Options, Reconsidered, ServiceWrite, Write,
    events::EventWrite,
    state::{self, StateFound, StateRecord},
    status::{self, Component, Found, OwnKind},
};
use crate::{
    crd::{self, ConfigurationState, ConfigurationStateStatus},
    facts::{ServiceRecord, objects},
};

/// What became of one attempt that reached the server.
#[derive(Debug, PartialEq)]
pub(super) enum Attempt {
    /// Written, or found to be written already; the version that was made, where that is of use for what follows.
    Done(Option<Identity>),
    /// The object is gone, newer than the decision, or was made anew: give up this write.
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
    match write {
        Write::Service(write) => service(client, options, write).await,
        Write::ObjectStatus { kind, name, based_on, status, .. } => {
            let (plural, version) = status::resource(*kind);
            let gvk = GroupVersionKind::gvk(crd::GROUP, version, &kind.to_string());
            let api = dynamic(client, options, &ApiResource::from_gvk_with_plural(&gvk, plural));
            let mut patch = json!({ "status": status });
            based_on.stamp(&mut patch);
            let result = api.patch_status(name, &options.params(), &Patch::Merge(&patch)).await;
            unless_changed(result.map(|object| Some(Identity::of(&object.metadata))))
        }
        Write::ServiceStatus { status, based_on } => {
            let name = status.object_name();
            let kind = OwnKind::Service(status.content.kind());
            let content =
                Content { labels: status.labels(), status: status.status(), manager: &options.manager };
            Place { client, options, kind, name: &name }.put(based_on.as_ref(), &content).await
        }
        Write::ConfigurationState { component, status, found } => {
            configuration_state(client, options, component, (status, found)).await
        }
        Write::Remove { based_on: None, .. } => Ok(Attempt::Done(None)),
        Write::Remove { kind, name, based_on: Some(identity) } => {
            let params =
                DeleteParams { preconditions: Some(identity.preconditions()), ..DeleteParams::default() };
            let removed = own(client, options, *kind).delete(name, &params).await;
            match removed {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Attempt::Done(None)),
                other => unless_changed(other.map(|_| None)),
            }
        }
        Write::Event(event) => write_event(client, options, event).await,
    }
}

async fn service(client: &Client, options: &Options, write: &ServiceWrite) -> Result<Attempt, kube::Error> {
    let api: Api<objects::Service> = Api::namespaced(client.clone(), write.key.namespace());
    let name = write.key.name();
    match api.patch_status(name, &options.params(), &Patch::Merge(write.patch())).await {
        Ok(object) => Ok(Attempt::Done(Some(Identity::of(&object.metadata)))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Attempt::Moot),
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            let current = api.get_opt(name).await?;
            let current = current.and_then(|current| ServiceRecord::cut(&current, &options.class));
            Ok(match write.reconsider(current.as_ref()) {
                Reconsidered::Done => Attempt::Done(None),
                Reconsidered::Retry(write) => Attempt::Again(Box::new(Write::Service(write))),
                Reconsidered::Outdated => Attempt::Moot,
            })
        }
        Err(error) => Err(error),
    }
}

async fn configuration_state(
    client: &Client,
    options: &Options,
    component: &Component,
    (status, found): (&ConfigurationStateStatus, &StateFound),
) -> Result<Attempt, kube::Error> {
    let name = component.state_name();
    let place = Place { client, options, kind: OwnKind::Configuration, name: &name };
    let (mut based_on, kept) = match found {
        StateFound::Nothing => (None, None),
        StateFound::State { found, kept } => (Some(found.clone()), kept.clone()),
        StateFound::Unknown => {
            let api: Api<ConfigurationState> = Api::namespaced(client.clone(), &options.namespace);
            let stands = api.get_opt(&name).await?.as_ref().map(StateRecord::cut);
            return match state::replan(component, status, stands.as_ref()) {
                Some(write) => Box::pin(attempt(client, options, &write)).await,
                None => Ok(Attempt::Done(None)),
            };
        }
    };
    if let (Some(found), Some(kept)) = (&mut based_on, kept) {
        let mut patch = json!({ "status": { "conditions": kept } });
        found.identity.stamp(&mut patch);
        match place.api().patch_status(&name, &options.params(), &Patch::Merge(&patch)).await {
            Ok(object) => found.identity = Identity::of(&object.metadata),
            Err(error) => return unless_changed(Err(error)),
        }
    }
    let mut status = json!(status);
    if let Some(status) = status.as_object_mut() {
        // Left out, it would stay as another writer left it.
        status.entry("errorSummary").or_insert_with(|| json!(""));
    }
    let content = Content { labels: component.labels(), status, manager: component.manager() };
    place.put(based_on.as_ref(), &content).await
}

/// What a status resource shall say.
struct Content<'a> {
    labels: Value,
    status: Value,
    /// Field manager of the status.
    manager: &'a str,
}

/// Where a status resource is.
struct Place<'a> {
    client: &'a Client,
    options: &'a Options,
    kind: OwnKind,
    name: &'a str,
}

impl Place<'_> {
    /// Makes the object if nothing was `found`, and gives it its status.
    async fn put(&self, found: Option<&Found>, content: &Content<'_>) -> Result<Attempt, kube::Error> {
        let identity = match found {
            Some(found) if found.is_labelled => Ok(found.identity.clone()),
            Some(found) => self.label(&found.identity, content).await,
            None => self.make(content).await,
        };
        let identity = match identity {
            Ok(identity) => identity,
            Err(error) => return unless_changed(Err(error)),
        };
        // Without a spec, which not every definition of these kinds has.
        let mut object = self.object(("status", content.status.clone()));
        identity.stamp(&mut object);
        let params = PatchParams::apply(content.manager).force();
        let put = self.api().patch_status(self.name, &params, &Patch::Apply(&object)).await;
        unless_changed(put.map(|object| Some(Identity::of(&object.metadata))))
    }

    async fn make(&self, content: &Content<'_>) -> Result<Identity, kube::Error> {
        let object = self.object(("metadata", self.metadata(content)));
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        let params =
            PostParams { field_manager: Some(self.options.manager.clone()), ..PostParams::default() };
        let made = self.api().create(&params, &object).await?;
        Ok(Identity::of(&made.metadata))
    }

    async fn label(&self, found: &Identity, content: &Content<'_>) -> Result<Identity, kube::Error> {
        let mut object = self.object(("metadata", self.metadata(content)));
        found.stamp(&mut object);
        let params = PatchParams::apply(&self.options.manager).force();
        let labelled = self.api().patch(self.name, &params, &Patch::Apply(&object)).await?;
        Ok(Identity::of(&labelled.metadata))
    }

    /// An object with this part and nothing else.
    fn object(&self, (name, part): (&str, Value)) -> Value {
        let resource = self.kind.resource();
        json!({ "apiVersion": resource.api_version, "kind": resource.kind, name: part })
    }

    /// An empty list of owners would make every apply a change for the API server.
    fn metadata(&self, content: &Content<'_>) -> Value {
        match &self.options.owner {
            Some(owner) => json!({ "name": self.name, "labels": content.labels, "ownerReferences": [owner] }),
            None => json!({ "name": self.name, "labels": content.labels }),
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        own(self.client, self.options, self.kind)
    }
}

fn own(client: &Client, options: &Options, kind: OwnKind) -> Api<DynamicObject> {
    dynamic(client, options, &kind.resource())
}

fn dynamic(client: &Client, options: &Options, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &options.namespace, resource)
}

async fn write_event(client: &Client, options: &Options, write: &EventWrite) -> Result<Attempt, kube::Error> {
    let body = write.body();
    let namespace = body.metadata.namespace.as_deref().unwrap_or("default");
    let api: Api<CoreEvent> = Api::namespaced(client.clone(), namespace);
    if write.repeated {
        let patch = json!({ "count": body.count, "lastTimestamp": body.last_timestamp });
        match api.patch(write.name(), &options.params(), &Patch::Merge(&patch)).await {
            // The server keeps events for an hour only.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => return other.map(|_| Attempt::Done(None)),
        }
    }
    match api.create(&PostParams::default(), &body).await {
        Ok(_) => Ok(Attempt::Done(None)),
        // Written by an attempt whose answer was lost.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Attempt::Done(None)),
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

/// An object that is gone, newer, or there against expectation: what to do about it is to be decided anew.
fn unless_changed(result: Result<Option<Identity>, kube::Error>) -> Result<Attempt, kube::Error> {
    match result {
        Ok(made) => Ok(Attempt::Done(made)),
        Err(kube::Error::Api(status))
            if is_gone(&status) || status.is_conflict() || status.is_already_exists() =>
        {
            Ok(Attempt::Moot)
        }
        Err(error) => Err(error),
    }
}

/// Whether the object is not there. Where the whole kind is not known, the server names no object.
fn is_gone(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

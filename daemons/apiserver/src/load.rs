//! Objects given by the server's owner, past HTTP.

use serde_json::Value;

use crate::admission::text;
use crate::api::Api;
use crate::error::{ApplyError, BuildError};
use crate::failure::Failure;
use crate::ops::{PatchKind, Target, WriteOptions};
use crate::server::ObjectRef;
use crate::state::State;

/// What every cluster has.
pub(crate) fn seed(api: &Api) -> Result<(), BuildError> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace =
            serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(api, &namespace)?;
    }
    for object in crate::auth::roles() {
        create(api, &object)?;
    }
    create(
        api,
        &serde_json::json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": "10.96.0.1",
                "ports": [{"name": "https", "port": 443, "targetPort": 6443, "protocol": "TCP"}],
            },
        }),
    )
}

/// Creates a custom resource definition.
pub(crate) fn define(api: &Api, definition: &Value) -> Result<(), BuildError> {
    create(api, definition)
}

fn create(api: &Api, object: &Value) -> Result<(), BuildError> {
    let mut state = api.state();
    let written = target(&state, object).and_then(|target| {
        let mut options = WriteOptions { manager: MANAGER.to_owned(), ..WriteOptions::default() };
        state.create(&target, object.clone(), &mut options)
    });
    written.map(|_| ()).map_err(|failure| BuildError::Definition {
        name: text(object, "/metadata/name").to_owned(),
        message: failure.message().to_owned(),
    })
}

pub(crate) fn apply(api: &Api, manifests: &str) -> Result<Vec<ObjectRef>, ApplyError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifests)
        .map_err(|error| ApplyError::Yaml { document: 1, problem: error.to_string() })?;
    let mut written = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let number = index + 1;
        if document.is_null() {
            continue;
        }
        if text(document, "/kind") == "List" {
            for item in crate::admission::list(document, "/items") {
                written.push(object_ref(&apply_object(api, number, item)?));
            }
            continue;
        }
        written.push(object_ref(&apply_object(api, number, document)?));
    }
    Ok(written)
}

pub(crate) fn apply_object(api: &Api, document: usize, object: &Value) -> Result<Value, ApplyError> {
    if !object.is_object() {
        let problem = "is not an object with apiVersion, kind and metadata".to_owned();
        return Err(ApplyError::Yaml { document, problem });
    }
    let mut state = api.state();
    let mut options = WriteOptions {
        manager: MANAGER.to_owned(),
        force: true,
        owner: true,
        validation: crate::ops::FieldValidation::Strict,
        ..WriteOptions::default()
    };
    let written = target(&state, object)
        .and_then(|target| state.patch(&target, PatchKind::Apply, object, &mut options));
    written.map(|written| written.object).map_err(|failure| ApplyError::Refused {
        document,
        kind: text(object, "/kind").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
        code: failure.code(),
        message: failure.message().to_owned(),
    })
}

fn target(state: &State, object: &Value) -> Result<Target, Failure> {
    let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let (resource, version) = state.kinds.find_kind(api_version, kind).ok_or_else(|| {
        Failure::bad_request(format!(
            "no matches for kind {kind:?} in version {api_version:?}: not a kind of this server"
        ))
    })?;
    let name = text(object, "/metadata/name").to_owned();
    if name.is_empty() {
        return Err(Failure::bad_request("metadata.name: Required value: name of the object"));
    }
    let namespace = match text(object, "/metadata/namespace") {
        _ if !resource.namespaced => "",
        "" => "default",
        stated => stated,
    };
    Ok(Target {
        resource: std::sync::Arc::clone(resource),
        version,
        namespace: namespace.to_owned(),
        name,
        status: false,
    })
}

fn object_ref(object: &Value) -> ObjectRef {
    let namespace = text(object, "/metadata/namespace");
    ObjectRef {
        api_version: text(object, "/apiVersion").to_owned(),
        kind: text(object, "/kind").to_owned(),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: text(object, "/metadata/name").to_owned(),
    }
}

const MANAGER: &str = "embedded-api-server";

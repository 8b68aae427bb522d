//! What the tests share: a server, a client of kube-rs on it, and a definition of our own.

use std::time::Duration;

use kube::api::{DynamicObject, GroupVersionKind};
use kube::core::ApiResource;
use kube::{Api, Client};
use metallb_apiserver::Server;
use serde_json::{Value, json};

/// A server with the kind `Widget`.
pub(crate) fn mk_server() -> Server {
    Server::builder().crds([mk_definition()]).bookmark_interval(Duration::from_millis(200)).build().unwrap()
}

/// A client in the same process.
pub(crate) fn mk_client(server: &Server) -> Client {
    Client::new(server.service(), "default")
}

/// Widgets of the namespace `default`.
pub(crate) fn mk_widgets(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("example.com", "v1", "Widget");
    Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk(&kind))
}

/// A widget with a specification.
pub(crate) fn mk_widget(name: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

/// Status of a refusal: code, reason and the fields of its causes.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String, Vec<String>) {
    let Err(kube::Error::Api(status)) = result else { panic!("expected a refusal, got {result:?}") };
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    (status.code, status.reason, causes.into_iter().map(|cause| cause.field).collect())
}

/// Defaults, pruning, limits, a list that merges by key, a set, a status.
pub(crate) fn mk_definition() -> Value {
    let port = json!({
        "type": "object", "required": ["port"],
        "properties": {"port": {"type": "integer"}, "name": {"type": "string"}, "weight": {"type": "integer"}},
    });
    let spec = json!({
        "type": "object", "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 10},
            "mode": {"type": "string", "enum": ["fast", "slow"], "default": "slow"},
            "label": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
            "address": {"type": "string", "format": "ipv4"},
            "ports": {
                "type": "array", "items": port, "maxItems": 5,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
            },
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "target": {"x-kubernetes-int-or-string": true},
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "properties": {
                        "spec": spec,
                        "status": {"type": "object", "properties": {"used": {"type": "integer"}}},
                    },
                }},
            }],
        },
    })
}

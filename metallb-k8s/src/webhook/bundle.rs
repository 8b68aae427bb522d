//! Where the API server looks up whom to trust when it calls a webhook (`caBundle`), and how that is put
//! right.

use std::fmt;

use k8s_openapi::{
    ByteString, api::admissionregistration::v1::ValidatingWebhookConfiguration,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde_json::{Value, json};

use crate::watch::Tracked;

/// Name of the `ValidatingWebhookConfiguration`.
pub const WEBHOOKS: &str = "metallb-webhook-configuration";

/// Name of the definition whose objects are converted.
pub const CONVERTED: &str = "bgppeers.metallb.io";

/// A place where the API server looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all there are")]
pub enum Place {
    /// The webhooks in the `ValidatingWebhookConfiguration` [`WEBHOOKS`].
    Webhooks,
    /// The conversion in the `CustomResourceDefinition` [`CONVERTED`].
    Conversion,
}

impl Place {
    /// All places.
    pub const ALL: [Self; 2] = [Self::Webhooks, Self::Conversion];
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhooks => write!(f, "ValidatingWebhookConfiguration {WEBHOOKS}"),
            Self::Conversion => write!(f, "the conversion of CustomResourceDefinition {CONVERTED}"),
        }
    }
}

/// The Service of the webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a name in a namespace")]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Service {
    fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }
}

/// What one place says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundles {
    resource_version: Option<String>,
    /// What is said for each webhook that calls our Service; a conversion has no name.
    clients: Vec<(Option<String>, Option<ByteString>)>,
}

impl Bundles {
    /// Of the webhooks that call `service`, or a URL of somebody's own.
    pub fn of_webhooks(object: &ValidatingWebhookConfiguration, service: &Service) -> Option<Self> {
        let clients = object.webhooks.iter().flatten().filter(|webhook| {
            let called = webhook.client_config.service.as_ref();
            called.is_none_or(|called| service.is(&called.namespace, &called.name))
        });
        let clients = clients
            .map(|webhook| (Some(webhook.name.clone()), webhook.client_config.ca_bundle.clone()))
            .collect();
        Self::new(&object.metadata, clients)
    }

    /// Of the conversion, if it is made by `service`.
    pub fn of_definition(object: &CustomResourceDefinition, service: &Service) -> Option<Self> {
        let conversion = object.spec.conversion.as_ref()?;
        let client = conversion.webhook.as_ref()?.client_config.as_ref()?;
        let called = client.service.as_ref();
        let ours = called.is_none_or(|called| service.is(&called.namespace, &called.name));
        let clients = ours.then(|| (None, client.ca_bundle.clone()));
        Self::new(&object.metadata, clients.into_iter().collect())
    }

    fn new(metadata: &ObjectMeta, clients: Vec<(Option<String>, Option<ByteString>)>) -> Option<Self> {
        let there = metadata.deletion_timestamp.is_none() && !clients.is_empty();
        there.then(|| Self { resource_version: metadata.resource_version.clone(), clients })
    }

    /// The patch after which all of them say `authority`; `None` when they do already. A strategic merge patch
    /// for webhooks, which are merged by name; a merge patch for a conversion.
    pub fn patch(&self, authority: &str) -> Option<Value> {
        let wanted = ByteString(authority.as_bytes().to_vec());
        if self.clients.iter().all(|(_, bundle)| bundle.as_ref() == Some(&wanted)) {
            return None;
        }
        let metadata = json!({ "resourceVersion": self.resource_version });
        let client = json!({ "caBundle": wanted });
        let named: Vec<Value> = self
            .clients
            .iter()
            .filter_map(|(name, _)| Some(json!({ "name": name.as_ref()?, "clientConfig": client })))
            .collect();
        Some(if named.is_empty() {
            let webhook = json!({ "clientConfig": client });
            json!({ "metadata": metadata, "spec": { "conversion": { "webhook": webhook } } })
        } else {
            json!({ "metadata": metadata, "webhooks": named })
        })
    }
}

impl Tracked for Bundles {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service { namespace: "metallb-system".to_owned(), name: "metallb-webhook-service".to_owned() }
    }

    fn webhooks(webhooks: &Value) -> Option<Bundles> {
        let object =
            json!({ "metadata": { "name": WEBHOOKS, "resourceVersion": "5" }, "webhooks": webhooks });
        Bundles::of_webhooks(&serde_json::from_value(object).unwrap(), &service())
    }

    fn webhook(name: &str, namespace: &str, bundle: Option<&str>) -> Value {
        json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {
                "service": { "namespace": namespace, "name": "metallb-webhook-service" }, "caBundle": bundle,
            },
        })
    }

    fn definition(conversion: &Value) -> Option<Bundles> {
        let object = json!({
            "metadata": { "name": CONVERTED, "resourceVersion": "6" },
            "spec": {
                "group": "metallb.io", "scope": "Namespaced", "names": { "kind": "BGPPeer", "plural": "bgppeers" },
                "versions": [], "conversion": conversion,
            },
        });
        Bundles::of_definition(&serde_json::from_value(object).unwrap(), &service())
    }

    #[test]
    fn all_webhooks_of_our_service_get_the_authority_and_no_others() {
        let found = webhooks(&json!([
            webhook("a", "metallb-system", None),
            webhook("b", "elsewhere", Some("b3RoZXI=")),
            webhook("c", "metallb-system", Some("cGVt")),
        ]));
        let client = json!({ "caBundle": "cGVt" });
        let patch = json!({
            "metadata": { "resourceVersion": "5" },
            "webhooks": [{ "name": "a", "clientConfig": client }, { "name": "c", "clientConfig": client }],
        });
        assert_eq!(found.unwrap().patch("pem"), Some(patch));
    }

    #[test]
    fn what_is_right_already_is_left_alone() {
        let right = webhooks(&json!([webhook("a", "metallb-system", Some("cGVt"))]));
        assert_eq!(right.unwrap().patch("pem"), None);
        assert_eq!(webhooks(&json!([webhook("b", "elsewhere", None)])), None);
        assert_eq!(webhooks(&Value::Null), None);
    }

    #[test]
    fn a_conversion_gets_the_authority_when_our_service_makes_it() {
        let by = |name: &str| {
            let service = json!({ "namespace": "metallb-system", "name": name, "path": "/convert" });
            let webhook =
                json!({ "conversionReviewVersions": ["v1"], "clientConfig": { "service": service } });
            definition(&json!({ "strategy": "Webhook", "webhook": webhook }))
        };
        let patch = json!({
            "metadata": { "resourceVersion": "6" },
            "spec": { "conversion": { "webhook": { "clientConfig": { "caBundle": "cGVt" } } } },
        });
        assert_eq!(by("metallb-webhook-service").unwrap().patch("pem"), Some(patch));
        assert_eq!(by("another"), None);
        assert_eq!(definition(&json!({ "strategy": "None" })), None);
        assert_eq!(definition(&Value::Null), None);
    }
}

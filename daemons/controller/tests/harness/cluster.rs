//! A cluster to test against.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Event, Service, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::backend::Backend;
use super::front::Front;
use super::roles::{ACCOUNTS, unused};
use super::{PATIENCE, eventually};

/// The namespace of the daemons.
pub(crate) const NAMESPACE: &str = "metallb-system";

/// An API server with the definitions of MetalLB's kinds.
pub(crate) struct Cluster {
    pub(crate) server: Backend,
    pub(crate) client: Client,
    pub(crate) front: Front,
    files: tempfile::TempDir,
    /// Words of refusals that the test is about.
    refusals: Mutex<Vec<&'static str>>,
}

impl Cluster {
    /// A cluster with the namespaces `default` and [`NAMESPACE`].
    pub(crate) async fn start() -> Self {
        let server = Backend::start().await;
        let front = Front::start(server.clone()).await;
        let files = tempfile::tempdir().unwrap();
        let url = format!("http://{}", front.address());
        for account in ACCOUNTS {
            std::fs::write(files.path().join(account), Backend::kubeconfig(&url, account)).unwrap();
        }
        let client = server.client();
        Self { server, client, front, files, refusals: Mutex::default() }
    }

    /// A directory of the test.
    pub(crate) fn directory(&self) -> &Path {
        self.files.path()
    }

    /// The kubeconfig file for an account.
    pub(crate) fn kubeconfig(&self, account: &str) -> PathBuf {
        assert!(ACCOUNTS.contains(&account), "{account} has no service account");
        self.directory().join(account)
    }

    /// Daemons may be refused what contains these words; anything else fails the test.
    pub(crate) fn refuses(&self, words: &'static str) {
        self.refusals.lock().unwrap().push(words);
    }

    /// What the roles of an account allow and it has not needed so far.
    pub(crate) fn unused_rights(&self, account: &str) -> Vec<String> {
        self.server.rbac_usage().map(|usage| unused(&usage, account)).unwrap_or_default()
    }

    /// Waits until an account has needed everything that its roles allow.
    pub(crate) async fn needs_all_rights(&self, account: &str) {
        let waiting = async {
            while !self.unused_rights(account).is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            assert_eq!(self.unused_rights(account), [""; 0], "never needed by the {account}");
        }
    }

    /// A token of a service account of MetalLB's namespace.
    pub(crate) async fn token(&self, account: &str) -> String {
        let (params, request) = (PostParams::default(), TokenRequest::default());
        let made = self.system::<ServiceAccount>().create_token_request(account, &params, &request).await;
        made.unwrap().status.unwrap().token
    }

    /// Fails when daemons were refused something, unless the test is about that.
    fn check_refusals(&self) {
        let Some(usage) = self.server.rbac_usage() else { return };
        let expected = self.refusals.lock().unwrap();
        let mut refused = usage.refused;
        refused.retain(|refusal| !expected.iter().any(|words| refusal.request.contains(words)));
        assert!(refused.is_empty(), "the roles in deploy/manifests lack {refused:#?}");
    }

    /// Applies a document of YAML.
    pub(crate) fn apply(&self, manifests: &str) {
        self.server.apply(manifests);
    }

    /// A pool of these addresses.
    pub(crate) fn pool(&self, name: &str, addresses: &[&str]) {
        self.configure("IPAddressPool", name, &json!({ "addresses": addresses }));
    }

    /// A configuration object.
    pub(crate) fn configure(&self, kind: &str, name: &str, spec: &Value) {
        let version = if kind == "BGPPeer" { "v1beta2" } else { "v1beta1" };
        let object = json!({
            "apiVersion": format!("metallb.io/{version}"), "kind": kind,
            "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec,
        });
        self.server.apply_object(&object);
    }

    /// Creates a service of type LoadBalancer with one TCP port; `spec` and `annotations` are added.
    pub(crate) async fn service(&self, name: &str, spec: Value, annotations: Value) -> Service {
        let mut full = json!({
            "type": "LoadBalancer", "selector": { "app": name }, "ports": [{ "port": 80, "protocol": "TCP" }],
        });
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "annotations": annotations }, "spec": full,
        });
        let service = serde_json::from_value(service).unwrap();
        self.services().create(&PostParams::default(), &service).await.unwrap()
    }

    /// Services of the namespace `default`.
    pub(crate) fn services(&self) -> Api<Service> {
        Api::default_namespaced(self.client.clone())
    }

    /// Objects of MetalLB's namespace.
    pub(crate) fn system<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Waits until the service is as wanted.
    pub(crate) async fn until(&self, name: &str, wanted: impl Fn(&Service) -> bool) -> Service {
        until(self.services(), name, wanted).await
    }

    /// Waits until the service has exactly these addresses.
    pub(crate) async fn assigned(&self, name: &str, wanted: &[&str]) -> Service {
        self.until(name, |service| addresses(service) == wanted).await
    }

    /// Waits until an object of MetalLB's namespace is as wanted.
    pub(crate) async fn until_system<K>(&self, name: &str, wanted: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        until(self.system(), name, wanted).await
    }

    /// Changes a service by a merge patch.
    pub(crate) async fn patch(&self, name: &str, patch: Value) {
        self.services().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Deletes an object and waits until it is gone.
    pub(crate) async fn delete<K>(&self, api: Api<K>, name: &str)
    where
        K: Clone + DeserializeOwned + Debug,
    {
        api.delete(name, &DeleteParams::default()).await.unwrap();
        eventually(&format!("{name} is gone"), async || {
            api.get_metadata_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// The events about an object with this reason.
    pub(crate) async fn events(&self, name: &str, reason: &str) -> Vec<Event> {
        let api: Api<Event> = Api::all(self.client.clone());
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let about = |event: &Event| {
            event.involved_object.name.as_deref() == Some(name) && event.reason.as_deref() == Some(reason)
        };
        all.into_iter().filter(about).collect()
    }

    /// Waits for an event about an object; returns its message.
    pub(crate) async fn event(&self, name: &str, reason: &str) -> String {
        eventually(&format!("event {reason} on {name}"), async || {
            self.events(name, reason).await.into_iter().next()?.message
        })
        .await
    }

    /// Another server with the same objects and other versions takes over, as after a restore from a backup.
    pub(crate) async fn restore<K>(&mut self, kept: &[Api<K>])
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    {
        self.check_refusals();
        let server = Backend::start().await;
        for api in kept {
            for object in api.list(&ListParams::default()).await.unwrap().items {
                let mut value = serde_json::to_value(&object).unwrap();
                value["apiVersion"] = json!(K::api_version(&()));
                value["kind"] = json!(K::kind(&()));
                let metadata = json!({
                    "name": object.name_any(), "namespace": object.namespace(),
                    "annotations": object.annotations(), "labels": object.labels(),
                });
                value["metadata"] = metadata;
                server.apply_object(&value);
            }
        }
        self.client = server.client();
        self.front.replace(server.clone());
        self.server = server;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_refusals();
        }
    }
}

async fn until<K>(api: Api<K>, name: &str, wanted: impl Fn(&K) -> bool) -> K
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&wanted);
    let waiting = await_condition(api.clone(), name, condition);
    if let Ok(found) = tokio::time::timeout(PATIENCE, waiting).await {
        return found.unwrap().unwrap();
    }
    panic!("{name} never became as wanted: {:#?}", api.get_opt(name).await)
}

/// The addresses in a service's status.
pub(crate) fn addresses(service: &Service) -> Vec<&str> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    ingress.iter().filter_map(|ingress| ingress.ip.as_deref()).collect()
}

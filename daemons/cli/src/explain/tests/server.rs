//! The same situations in an API server: the embedded one, or with `KUBEBUILDER_ASSETS=DIRECTORY` the `kube-apiserver` and
//! `etcd` from there. What is asked goes over HTTP, and kubectl runs the commands that are printed.

use std::path::PathBuf;
use std::process::Command;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope};
use metallb_apiserver::Server;
use serde_json::{Value, json};

use super::super::{explain, render};
use super::{mk_good, mk_status, rows, situations};
use crate::connect::{ConnectArgs, connect};
use crate::explain::chain::Chain;
use crate::snapshot::{Snapshot, text};
use crate::voices::Voices;

#[expect(dead_code, reason = "the tests of the daemons use more of it")]
#[path = "../../../../controller/tests/harness/real.rs"]
mod real;

/// What the real server's module asks of its surroundings.
mod daemon {
    pub(crate) fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }
}
mod roles {
    pub(crate) const ACCOUNTS: [&str; 0] = [];
}
const NAMESPACE: &str = "metallb-system";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let answered = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, answered).await;
    answer.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// Situations that a server does not let happen, with its words.
const IMPOSSIBLE: [(&str, &str); 1] = [("headless", "may not be set to 'None' for LoadBalancer services")];
/// Here the server gives the service its second family by itself.
const MENDED_BY_THE_SERVER: &str = "dual stack without a second family";

struct Cluster {
    client: Client,
    kubeconfig: PathBuf,
    /// What keeps it running.
    _running: (tempfile::TempDir, Option<Server>, Option<real::Real>),
}

impl Cluster {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let (server, real, config) = if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS") {
            let real = real::Real::start(assets.as_ref()).await;
            let config = serde_json::to_string(real.kubeconfig()).unwrap();
            (None, Some(real), config)
        } else {
            let server = Server::builder().crds(metallb_k8s::crd::all()).build().unwrap();
            let address = server.serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
            let config = server.kubeconfig(&format!("http://{address}"));
            (Some(server), None, config)
        };
        std::fs::write(&kubeconfig, config).unwrap();
        let client = connect(&ConnectArgs::to(&kubeconfig).way).await.unwrap().client;
        let cluster = Self { client, kubeconfig, _running: (directory, server, real) };
        for name in ["default", "shop", NAMESPACE] {
            let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            cluster.apply(&namespace).await.unwrap();
        }
        cluster
    }

    /// The place of an object, and whether its status is written by itself.
    async fn api(&self, object: &Value) -> (Api<DynamicObject>, ApiCapabilities) {
        let version = text(object, "/apiVersion");
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = GroupVersionKind::gvk(group, version, text(object, "/kind"));
        let (resource, capabilities) = kube::discovery::pinned_kind(&self.client, &kind).await.unwrap();
        (self.place(&resource, &capabilities, text(object, "/metadata/namespace")), capabilities)
    }

    fn place(&self, resource: &ApiResource, of: &ApiCapabilities, namespace: &str) -> Api<DynamicObject> {
        match of.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), resource),
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), namespace, resource),
        }
    }

    async fn apply(&self, object: &Value) -> kube::Result<()> {
        let (api, _) = self.api(object).await;
        let mut spec = object.clone();
        let status = spec.as_object_mut().unwrap().remove("status");
        let name = text(object, "/metadata/name");
        let spec: DynamicObject = serde_json::from_value(spec).unwrap();
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&spec)).await?;
        if let Some(status) =
            status.filter(|status| status.as_object().is_some_and(|status| !status.is_empty()))
        {
            let patch = Patch::Merge(json!({ "status": status }));
            api.patch_status(name, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// Makes the objects of a snapshot all that there is.
    async fn put(&self, snapshot: &Snapshot) -> kube::Result<()> {
        self.clear().await;
        for object in &snapshot.objects {
            if object["kind"] != "Namespace" {
                self.apply(&acceptable(object)).await?;
            }
        }
        for object in
            snapshot.objects.iter().filter(|object| !object["metadata"]["deletionTimestamp"].is_null())
        {
            let (api, _) = self.api(object).await;
            api.delete(text(object, "/metadata/name"), &DeleteParams::default()).await?;
        }
        Ok(())
    }

    async fn clear(&self) {
        for (version, kind) in KINDS {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let gvk = GroupVersionKind::gvk(group, version, kind);
            let (resource, capabilities) = kube::discovery::pinned_kind(&self.client, &gvk).await.unwrap();
            let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            for object in all.list(&ListParams::default()).await.unwrap() {
                let (name, namespace) = (object.metadata.name.unwrap(), object.metadata.namespace);
                if name == "kubernetes" && kind == "Service" {
                    continue;
                }
                let api = self.place(&resource, &capabilities, namespace.as_deref().unwrap_or_default());
                if object.metadata.finalizers.is_some_and(|finalizers| !finalizers.is_empty()) {
                    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                    api.patch(&name, &PatchParams::default(), &free).await.unwrap();
                }
                // One that was being deleted is gone by now.
                _ = api.delete(&name, &DeleteParams::default().grace_period(0)).await;
                eventually("an object that was deleted is gone", async || {
                    api.get_opt(&name).await.unwrap().is_none().then_some(())
                })
                .await;
            }
        }
    }

    async fn gather(&self, voices: &Voices) -> Snapshot {
        let mut snapshot = Snapshot::gather(&self.client, &ConnectArgs::to(&self.kubeconfig)).await.unwrap();
        // The speakers of this cluster are objects without a process.
        snapshot.voices = voices.clone();
        snapshot
    }

    async fn chain(&self, voices: &Voices) -> Chain {
        explain(std::time::Instant::now(), &self.gather(voices).await, "default", "web")
    }

    /// What controller and speakers would do by now.
    async fn settle(&self, voices: &Voices) -> Chain {
        for _ in 0..3 {
            let chain = self.chain(voices).await;
            let Some(found) = chain.first_break().cloned() else { return chain };
            match found.reason {
                Some("not_assigned") => {
                    let address = found.text.split(' ').nth(5).unwrap().trim_end_matches(',').to_owned();
                    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address }] } } });
                    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "default" } });
                    let (api, _) = self.api(&service).await;
                    api.patch_status("web", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
                }
                Some("not_announced") => {
                    let owner = found.text.rsplit(' ').nth(1).unwrap();
                    self.apply(&mk_status(owner)).await.unwrap();
                }
                _ => return chain,
            }
        }
        self.chain(voices).await
    }

    /// Runs a printed command that changes something and needs no more than what is printed.
    fn follow(&self, remedy: &str) -> bool {
        let changes = ["kubectl patch ", "kubectl annotate ", "kubectl label ", "kubectl taint ", "echo '"];
        let asks = ["A.B.C.D", "IPV6/PREFIX"];
        if !changes.iter().any(|start| remedy.starts_with(start))
            || asks.iter().any(|ask| remedy.contains(ask))
        {
            return false;
        }
        let done =
            Command::new("bash").args(["-c", remedy]).env("KUBECONFIG", &self.kubeconfig).output().unwrap();
        assert!(done.status.success(), "{remedy}: {}", String::from_utf8_lossy(&done.stderr));
        true
    }
}

/// What the tests of this module make.
const KINDS: [(&str, &str); 11] = [
    ("v1", "Service"),
    ("v1", "Node"),
    ("v1", "Pod"),
    ("v1", "Event"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("metallb.io/v1beta1", "IPAddressPool"),
    ("metallb.io/v1beta1", "L2Advertisement"),
    ("metallb.io/v1beta1", "BGPAdvertisement"),
    ("metallb.io/v1beta2", "BGPPeer"),
    ("metallb.io/v1beta1", "ServiceL2Status"),
    ("metallb.io/v1beta1", "ServiceBGPStatus"),
];

/// The object as a server takes it: with addresses of its own choice, and what nobody reads but the server wants.
fn acceptable(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().cloned().unwrap_or_default();
    if metadata.contains_key("deletionTimestamp") {
        object["metadata"].as_object_mut().unwrap().remove("deletionTimestamp");
        object["metadata"]["finalizers"] = json!(["example.com/held"]);
    }
    match text(&object, "/kind") {
        "Service" => {
            let spec = object["spec"].as_object_mut().unwrap();
            let first = spec.get("clusterIP").and_then(Value::as_str).unwrap_or_default().to_owned();
            if first != "None" {
                let family = if first.contains(':') { "IPv6" } else { "IPv4" };
                spec.retain(|name, _| !name.starts_with("clusterIP"));
                spec.insert("ipFamilies".to_owned(), json!([family]));
            }
        }
        "Pod" => {
            let container = &mut object["spec"]["containers"][0];
            container["image"] = json!("metallb");
            // There is nobody at that address to be asked.
            if container["args"] == json!(["--port=7472"]) {
                container["args"] = json!(["--port=0"]);
            }
        }
        "Event" => {
            object["apiVersion"] = json!("v1");
            object["metadata"] = json!({ "name": "peer", "namespace": "default" });
            object["reason"] = json!("BGPPeerDown");
            object["involvedObject"]["kind"] = json!("Node");
            object["involvedObject"]["apiVersion"] = json!("v1");
        }
        _ => {}
    }
    object
}

fn has_kubectl() -> bool {
    let found = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    assert!(found || std::env::var_os("METALLB_REQUIRE_INTEROP").is_none(), "there is no kubectl");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_every_situation_and_kubectl_takes_the_commands() {
    let cluster = Cluster::start().await;
    let kubectl = has_kubectl();
    let (rows, mut wrong) = (rows(), Vec::new());
    for (name, make) in situations() {
        let mut snapshot = mk_good();
        make(&mut snapshot);
        if !snapshot.undefined.is_empty() || name == MENDED_BY_THE_SERVER {
            continue;
        }
        let put = cluster.put(&snapshot).await;
        if let Some((_, words)) = IMPOSSIBLE.iter().find(|(impossible, _)| *impossible == name) {
            let refused = put.expect_err(name).to_string();
            assert!(refused.contains(words), "{name}: {refused}");
            continue;
        }
        put.unwrap_or_else(|error| panic!("{name}: {error}"));
        let voices = &snapshot.voices;
        let chain = cluster.chain(voices).await;
        let line = render::headline(&chain);
        let remedy = chain.first_break().and_then(|step| step.remedy.clone()).unwrap_or_default();
        let mended =
            kubectl && cluster.follow(&remedy) && cluster.settle(voices).await.first_break().is_none();
        let found = (name.to_owned(), line, mended);
        let (_, expected, mends) = rows.iter().find(|(row, ..)| row == name).unwrap();
        if (&found.1, mended) != (expected, *mends && kubectl) {
            wrong.push(format!(
                "{found:?}\n  remedy {remedy}\n  now {}",
                render::headline(&cluster.chain(voices).await)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_definitions_is_one_without_metallb() {
    let cluster = Cluster::start().await;
    cluster.put(&mk_good()).await.unwrap();
    let definition = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {} });
    let (api, _) = cluster.api(&definition).await;
    let name = "ipaddresspools.metallb.io";
    api.delete(name, &DeleteParams::default()).await.unwrap();
    eventually("the definition is gone", async || api.get_opt(name).await.unwrap().is_none().then_some(()))
        .await;
    let expected = rows().into_iter().find(|(row, ..)| row == "definitions are missing").unwrap().1;
    let chain = eventually("the kind is gone", async || {
        let chain = cluster.chain(&Voices::default()).await;
        chain.first_break().is_some().then_some(chain)
    })
    .await;
    assert_eq!(render::headline(&chain), expected);
}

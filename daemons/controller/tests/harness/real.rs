//! A kube-apiserver with its etcd, as processes of the test.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::discovery::Scope;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::daemon::free_port;
use super::roles::ACCOUNTS;
use super::{NAMESPACE, PATIENCE, eventually};

/// Both processes; ended when the last copy is dropped.
#[derive(Clone)]
pub(crate) struct Real {
    running: Arc<Running>,
    client: Client,
    clients: Arc<BTreeMap<&'static str, Client>>,
}

struct Running {
    kubeconfig: Kubeconfig,
    children: Vec<Child>,
    _files: tempfile::TempDir,
}

impl Real {
    /// Starts both and installs the definitions of MetalLB's kinds.
    pub(crate) async fn start(assets: &Path) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (etcd, port) = (free_port(), free_port());
        let children =
            vec![start_etcd(assets, files.path(), etcd), start_server(assets, files.path(), etcd, port)];
        let running = Running { kubeconfig: kubeconfig(port, TOKEN), children, _files: files };
        let client = connect(&running.kubeconfig).await;
        let mut clients = BTreeMap::new();
        for account in ACCOUNTS {
            clients.insert(account, connect(&kubeconfig(port, account)).await);
        }
        let real = Self { running: Arc::new(running), client, clients: Arc::new(clients) };
        let namespaces: Api<Namespace> = Api::all(real.client());
        eventually("the namespace default", async || namespaces.get_opt("default").await.ok().flatten())
            .await;
        real.define().await;
        real
    }

    /// The way of a client that is no daemon's.
    pub(crate) fn kubeconfig(&self) -> &Kubeconfig {
        &self.running.kubeconfig
    }

    /// A client that is no daemon's.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    async fn define(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client());
        for definition in metallb_k8s::crd::all() {
            let name = definition.name_any();
            api.patch(&name, &params(), &Patch::Apply(&definition)).await.unwrap();
            let established = await_condition(api.clone(), &name, is_crd_established());
            tokio::time::timeout(PATIENCE, established).await.unwrap().unwrap();
        }
    }

    /// A client with the rights of a daemon's account.
    pub(crate) fn client_of(&self, account: &str) -> Client {
        self.clients[account].clone()
    }

    /// Applies an object, and its status where it has one. Works inside of a runtime that waits for it, too.
    pub(crate) fn apply_object(&self, object: &Value) -> Value {
        let kubeconfig = self.kubeconfig();
        std::thread::scope(|scope| {
            let applied = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async { apply(&connect(kubeconfig).await, object).await })
            });
            applied.join().unwrap()
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

async fn apply(client: &Client, object: &Value) -> Value {
    let mut spec: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let kind = GroupVersionKind::try_from(spec.types.as_ref().unwrap()).unwrap();
    let (resource, capabilities) = kube::discovery::pinned_kind(client, &kind).await.unwrap();
    let name = spec.name_any();
    let api: Api<DynamicObject> = match (capabilities.scope, spec.namespace()) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), &namespace, &resource),
        (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
    };
    let status = spec.data.as_object_mut().unwrap().remove("status");
    let mut stored = api.patch(&name, &params(), &Patch::Apply(&spec)).await.unwrap();
    if let Some(status) = status {
        let patch = Patch::Merge(json!({ "status": status }));
        stored = api.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
    }
    serde_json::to_value(stored).unwrap()
}

fn params() -> PatchParams {
    PatchParams::apply("test").force()
}

async fn connect(kubeconfig: &Kubeconfig) -> Client {
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await.unwrap();
    Client::try_from(config).unwrap()
}

fn kubeconfig(port: u16, token: &str) -> Kubeconfig {
    let server = format!("https://127.0.0.1:{port}");
    let text = json!({
        "clusters": [{ "name": "real", "cluster": { "server": server, "insecure-skip-tls-verify": true } }],
        "users": [{ "name": "real", "user": { "token": token } }],
        "contexts": [{ "name": "real", "context": { "cluster": "real", "user": "real", "namespace": "default" } }],
        "current-context": "real",
    });
    Kubeconfig::from_yaml(&text.to_string()).unwrap()
}

fn start_etcd(assets: &Path, files: &Path, port: u16) -> Child {
    let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()));
    let mut command = Command::new(assets.join("etcd"));
    command.arg("--data-dir").arg(files.join("etcd")).arg("--unsafe-no-fsync");
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("default={peers}")]);
    start(command, &files.join("etcd.log"))
}

fn start_server(assets: &Path, files: &Path, etcd: u16, port: u16) -> Child {
    let key = files.join("service-accounts.key");
    let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output().unwrap();
    assert!(made.status.success(), "openssl: {made:?}");
    let tokens = files.join("tokens.csv");
    let groups = format!("system:serviceaccounts,system:serviceaccounts:{NAMESPACE}");
    let user =
        |account| format!("{account},system:serviceaccount:{NAMESPACE}:{account},{account},\"{groups}\"\n");
    let users = format!("{TOKEN},admin,1,system:masters\n{}", ACCOUNTS.map(user).concat());
    std::fs::write(&tokens, users).unwrap();
    let mut command = Command::new(assets.join("kube-apiserver"));
    command.arg(format!("--etcd-servers=http://127.0.0.1:{etcd}")).arg(format!("--secure-port={port}"));
    command.args([
        "--bind-address=127.0.0.1",
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
    ]);
    command.arg("--cert-dir").arg(files.join("certificates"));
    command.arg("--token-auth-file").arg(&tokens);
    command.arg("--service-account-key-file").arg(&key).arg("--service-account-signing-key-file").arg(&key);
    command.args(["--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC"]);
    // Nobody makes the service accounts of namespaces here.
    command.arg("--disable-admission-plugins=ServiceAccount");
    command.arg("--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112");
    start(command, &files.join("kube-apiserver.log"))
}

fn start(mut command: Command, log: &Path) -> Child {
    let log = File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Whoever has it may do everything.
const TOKEN: &str = "token-of-the-test";

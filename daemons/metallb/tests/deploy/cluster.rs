//! An API server of its own for a test, and a stock kubectl that talks to it.

use std::process::{Command, Output};

use metallb_apiserver::Server;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{kubectl, stdout};

/// Kinds of the Prometheus operator.
const OPERATOR: [(&str, &str); 3] = [
    ("PodMonitor", "podmonitors"),
    ("PrometheusRule", "prometheusrules"),
    ("ServiceMonitor", "servicemonitors"),
];

pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) runtime: Runtime,
    kubectl: String,
    home: tempfile::TempDir,
    url: String,
}

/// An API server with the kinds of the Prometheus operator, where service accounts may do what their roles say.
pub(crate) fn server() -> Server {
    let server = Server::builder().strict_rbac(true).build().unwrap();
    for (kind, plural) in OPERATOR {
        server.apply_object(&definition(kind, plural)).unwrap();
    }
    server
}

fn definition(kind: &str, plural: &str) -> Value {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.monitoring.coreos.com") },
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

impl Cluster {
    /// `None` where there is no kubectl.
    pub(crate) fn start() -> Option<Self> {
        let kubectl = kubectl()?;
        let runtime = Runtime::new().unwrap();
        let server = server();
        let guard = runtime.enter();
        let address = server.serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        drop(guard);
        let home = tempfile::tempdir().unwrap();
        let url = format!("http://{address}");
        std::fs::write(home.path().join("config"), server.kubeconfig(&url)).unwrap();
        Some(Self { server, runtime, kubectl, home, url })
    }

    /// A kubeconfig file for a service account of ours, which may do what its roles say.
    pub(crate) fn kubeconfig_of(&self, account: &str) -> String {
        let token = self.server.token_for("metallb-system", account).unwrap();
        self.file(account, &self.server.kubeconfig_with_token(&self.url, &token))
    }

    /// Writes a file that kubectl can be given.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// What kubectl prints for a command that must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        stdout(&self.try_kubectl(arguments))
    }

    /// Runs kubectl.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.kubectl);
        command
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("HOME", self.home.path())
            .args(arguments);
        command.output().unwrap()
    }

    /// An object as JSON.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", "-n", "metallb-system", kind, name, "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.runtime.block_on(self.server.shutdown());
    }
}

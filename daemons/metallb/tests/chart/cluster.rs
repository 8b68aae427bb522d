//! The embedded API server, by itself and with a `helm` that talks to it.

use std::net::TcpListener;

use metallb_apiserver::Server;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::files::CHART;
use crate::helm::{Helm, Values, options, present};

/// Kinds of the Prometheus operator, as far as a server must know them to store them.
fn monitoring() -> Vec<Value> {
    let kinds = [
        ("ServiceMonitor", "servicemonitors"),
        ("PodMonitor", "podmonitors"),
        ("PrometheusRule", "prometheusrules"),
    ];
    let definition = |(kind, plural): (&str, &str)| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {
                "group": "monitoring.coreos.com", "scope": "Namespaced",
                "names": {
                    "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                    "singular": kind.to_lowercase(),
                },
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                    }},
                }],
            },
        })
    };
    kinds.into_iter().map(definition).collect()
}

/// A server with the namespaces that the chart's objects need.
pub(crate) fn mk_server() -> Server {
    let server = Server::builder().build().unwrap();
    for namespace in ["metallb-system", "monitoring"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        server.apply_object(&namespace).unwrap();
    }
    for definition in monitoring() {
        server.apply_object(&definition).unwrap();
    }
    server
}

/// A cluster that a `helm` talks to: the embedded server, or the one of the kubeconfig `METALLB_TEST_KUBECONFIG`, which the
/// tests take one after the other (`--test-threads=1`) and leave as they found it.
pub(crate) struct Cluster {
    pub helm: Helm,
    embedded: Option<(Runtime, Server)>,
}

impl Cluster {
    /// `None` where there is no `helm` or no `kubectl`.
    pub(crate) fn start() -> Option<Self> {
        let helm = Helm::find()?;
        if !present("kubectl", "version --client") {
            return None;
        }
        if let Some(kubeconfig) = std::env::var_os("METALLB_TEST_KUBECONFIG") {
            helm.connect(&std::fs::read_to_string(kubeconfig).unwrap());
            let cluster = Self { helm, embedded: None };
            for definition in monitoring() {
                cluster.apply(&definition);
            }
            return Some(cluster);
        }
        let runtime = Runtime::new().unwrap();
        let server = mk_server();
        let guard = runtime.enter();
        let address = server.serve(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        drop(guard);
        helm.connect(&server.kubeconfig(&format!("http://{address}")));
        Some(Self { helm, embedded: Some((runtime, server)) })
    }

    /// Runs one of helm's verbs for the release `metallb`.
    pub(crate) fn helm(&self, verb: &str, more: &[&str], values: Values<'_>) -> String {
        let options = options(values);
        let mut arguments = vec![verb, "metallb"];
        arguments.extend(more);
        arguments.push("--namespace=metallb-system");
        arguments.extend(options.iter().map(String::as_str));
        self.helm.run(&arguments)
    }

    /// Installs the chart.
    pub(crate) fn install(&self, values: Values<'_>) -> String {
        self.helm("install", &[CHART, "--create-namespace"], values)
    }

    /// What would be printed after an installation.
    pub(crate) fn notes(&self, values: Values<'_>) -> String {
        let shown = self.helm("install", &[CHART, "--dry-run=client"], values);
        shown.split_once("\nNOTES:\n").unwrap().1.to_owned()
    }

    /// An object at a path of the API; `None` when it is not there.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let output = self.helm.beside("kubectl", &["get", "--raw", path]);
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Some(serde_json::from_slice(&output.stdout).unwrap());
        }
        assert!(error.contains("NotFound") || error.contains("not found"), "{path}: {error}");
        None
    }

    /// Replaces an object as another client would.
    pub(crate) fn put(&self, path: &str, object: &Value) {
        self.kubectl(&["replace", "--raw", path, "-f"], object);
    }

    /// Makes an object as another client would.
    pub(crate) fn apply(&self, object: &Value) {
        self.kubectl(&["apply", "-f"], object);
    }

    fn kubectl(&self, arguments: &[&str], object: &Value) {
        let body = self.helm.file("object.json", &object.to_string());
        let output = self.helm.beside("kubectl", &[arguments, &[&body]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((runtime, server)) = &self.embedded {
            runtime.block_on(server.shutdown());
            return;
        }
        let namespace = "--namespace=metallb-system";
        self.helm.output(&["uninstall", "metallb", namespace, "--ignore-not-found", "--wait"]);
        let left = ["delete", "crd", "-l", "app.kubernetes.io/name=crds"];
        for arguments in [&left[..], &["delete", "crd", FRR], &["delete", "namespace", "metallb-system"]] {
            // What a test that failed half way did not make cannot be deleted.
            self.helm.beside("kubectl", &[arguments, &["--ignore-not-found"]].concat());
        }
    }
}

/// The definition that MetalLB's own chart brings along and that a test keeps.
const FRR: &str = "frrconfigurations.frrk8s.metallb.io";

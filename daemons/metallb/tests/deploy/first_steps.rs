//! What a new user types, one after the other, with the real controller.

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::support::{find, objects, path, read};

/// The one binary.
const METALLB: &str = env!("CARGO_BIN_EXE_metallb");

/// The command that the only container of a workload runs, with the variables that do not depend on the pod.
pub(crate) fn command(workload: &str) -> Command {
    let objects = objects(&read("deploy/manifests/metallb-native.yaml"));
    let container = &find(&objects, workload)["spec"]["template"]["spec"]["containers"][0];
    let mut command = Command::new(METALLB);
    command.arg(container["name"].as_str().unwrap());
    command.args(container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()));
    for variable in container["env"].as_array().unwrap() {
        let value = variable.get("value").and_then(Value::as_str).unwrap_or("192.0.2.1");
        command.env(variable["name"].as_str().unwrap(), value);
    }
    command
}

#[test]
fn the_daemons_take_the_arguments_and_the_environment_of_the_manifests() {
    for workload in ["Deployment/controller", "DaemonSet/speaker"] {
        let output = command(workload).arg("--help").output().unwrap();
        assert!(output.status.success(), "{workload}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A daemon; killed when dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a daemon that logs into a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// Ends it as a kubelet does, and waits for that.
    pub(crate) fn stop(mut self) {
        let killed = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(killed.success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

/// Waits until an object is as wanted; false when that takes too long.
async fn becomes<K>(api: Api<K>, name: &str, wanted: impl Fn(&K) -> bool) -> bool
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&wanted);
    let waiting = tokio::time::timeout(PATIENCE, await_condition(api, name, condition)).await;
    waiting.is_ok_and(|found| found.is_ok())
}

fn has_address(service: &Service, address: &str) -> bool {
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    ingress.is_some_and(|ingress| ingress.iter().any(|ingress| ingress.ip.as_deref() == Some(address)))
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_pool_and_a_service_applied_at_once_after_the_manifest_get_an_address() {
    let Some(cluster) = Cluster::start() else { return };
    let apply = |file: &str| cluster.kubectl(&["apply", "-f", path(file).to_str().unwrap()]);
    apply("deploy/manifests/metallb-native.yaml");
    apply("deploy/samples/layer2.yaml");
    apply("deploy/samples/service.yaml");
    let mut controller = command("Deployment/controller");
    controller.arg(format!("--kubeconfig={}", cluster.kubeconfig_of("controller")));
    controller.args(["--port=0", "--secure-port=0", "--health-probe-port=0"]);
    controller.arg(format!("--webhook-port={}", free_port()));
    let running = Running::start(controller, Path::new("/dev/null"));
    let done = cluster.runtime.block_on(async {
        let client = Client::new(cluster.server.service(), "default");
        let services: Api<Service> = Api::default_namespaced(client.clone());
        let secrets: Api<Secret> = Api::namespaced(client, "metallb-system");
        let address = becomes(services, "web", |service| has_address(service, "192.0.2.100")).await;
        address && becomes(secrets, "memberlist", |_| true).await
    });
    drop(running);
    let refused = cluster.server.rbac_usage().refused;
    assert!(refused.is_empty(), "the controller's roles lack {refused:?}");
    assert!(done, "no address, or no Secret for the speakers");
}

const PATIENCE: Duration = Duration::from_secs(60);

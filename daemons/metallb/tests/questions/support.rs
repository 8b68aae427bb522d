//! A cluster to ask, and the program as people run it.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};

use metallb_apiserver::Server;
use serde_json::Value;

pub(crate) const CLUSTER: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: metallb-system}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker-1}}
---
apiVersion: v1
kind: Pod
metadata: {name: controller-1, namespace: metallb-system, labels: {app: metallb, component: controller}}
spec: {nodeName: worker-1, containers: [{name: controller, image: x, args: [--port=0]}]}
status: {phase: Running, podIP: 192.0.2.9, podIPs: [{ip: 192.0.2.9}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: speaker-1, namespace: metallb-system, labels: {app: metallb, component: speaker}}
spec: {nodeName: worker-1, containers: [{name: speaker, image: x, args: [--port=0]}]}
status: {phase: Running, podIP: 192.0.2.9, podIPs: [{ip: 192.0.2.9}], conditions: [{type: Ready, status: "True"}]}
---
{apiVersion: v1, kind: Secret, metadata: {name: bgp, namespace: metallb-system}, type: kubernetes.io/basic-auth, stringData: {password: swordfish}}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: router, namespace: metallb-system}
spec: {myASN: 64500, peerASN: 64512, peerAddress: 192.0.2.254, passwordSecret: {name: bgp}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec: {type: LoadBalancer, ports: [{port: 80}]}
"#;

pub(crate) const POOL: &str = "
{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: web, namespace: metallb-system}, spec: {addresses: [192.0.2.0/29]}}
---
{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: lan, namespace: metallb-system}}
";

/// What the controller, and whoever makes endpoints, write.
pub(crate) const RUNNING: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default, annotations: {metallb.io/ip-allocated-from-pool: web}}
spec: {type: LoadBalancer, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.0}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {name: shop-1, namespace: default, labels: {kubernetes.io/service-name: shop}}
endpoints: [{addresses: [10.1.0.1], nodeName: worker-1, conditions: {ready: true}}]
ports: [{port: 8080, protocol: TCP, name: ""}]
---
apiVersion: metallb.io/v1beta1
kind: ServiceL2Status
metadata:
  name: l2-1
  namespace: metallb-system
  labels: {metallb.io/node: worker-1, metallb.io/service-name: shop, metallb.io/service-namespace: default}
status: {node: worker-1, serviceName: shop, serviceNamespace: default, interfaces: [{name: eth0}]}
"#;

/// What somebody may do who may look, but not at Secrets.
pub(crate) const VIEWER: &str = r#"
{apiVersion: v1, kind: ServiceAccount, metadata: {name: viewer, namespace: default}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: viewer}
rules:
- {apiGroups: ["", metallb.io, discovery.k8s.io], resources: [services, nodes, namespaces, pods, endpointslices, ipaddresspools, l2advertisements, bgpadvertisements, bgppeers, communities, bfdprofiles, servicel2statuses, servicebgpstatuses, configurationstates], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: viewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: viewer}
subjects: [{kind: ServiceAccount, name: viewer, namespace: default}]
"#;

pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) url: String,
    pub(crate) directory: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn start(with_definitions: bool, objects: &str) -> Self {
        let definitions = metallb_k8s::crd::all().into_iter().map(|crd| serde_json::to_value(crd).unwrap());
        let definitions: Vec<Value> = definitions.filter(|_| with_definitions).collect();
        let server = Server::builder().strict_rbac(true).crds(definitions).build().unwrap();
        let address = server.serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let cluster =
            Self { server, url: format!("http://{address}"), directory: tempfile::tempdir().unwrap() };
        cluster.apply(objects);
        std::fs::write(cluster.directory.path().join("admin"), cluster.server.kubeconfig(&cluster.url))
            .unwrap();
        cluster
    }

    pub(crate) fn apply(&self, objects: &str) {
        self.server.apply(objects).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Makes a kubeconfig for an account of the namespace `default`.
    pub(crate) fn account(&self, name: &str) {
        let token = self.server.token_for("default", name).unwrap();
        let text = self.server.kubeconfig_with_token(&self.url, &token);
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    pub(crate) async fn run(&self, account: &str, args: &[&str]) -> Output {
        run(&self.directory.path().join(account), args).await
    }

    pub(crate) async fn explain(&self, account: &str, args: &[&str]) -> Output {
        ask(&self.directory.path().join(account), args).await
    }
}

pub(crate) fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_remove("KUBECONFIG").env_remove("METALLB_NAMESPACE").env("HOME", "/nonexistent");
    command
}

pub(crate) async fn ask(kubeconfig: &Path, args: &[&str]) -> Output {
    let args: Vec<&str> = ["explain"].iter().chain(args).copied().collect();
    run(kubeconfig, &args).await
}

pub(crate) async fn run(kubeconfig: &Path, args: &[&str]) -> Output {
    let mut command = command(Path::new(env!("CARGO_BIN_EXE_metallb")), args);
    command.env("KUBECONFIG", kubeconfig);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A pod's metrics, on loopback.
pub(crate) fn serve_metrics(text: impl Fn() -> String + Send + 'static) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            _ = stream.read(&mut [0; 4096]).unwrap();
            let text = text();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
            stream.write_all((head + &text).as_bytes()).unwrap();
        }
    });
    port
}

pub(crate) const SPEAKER: &str = r#"metallb_build_info{version="0.0.9",commit="unknown"} 1
metallb_bgp_session_up{node="worker-1",peer="192.0.2.254"} 0
metallb_bgp_state{node="worker-1",peer="192.0.2.254",state="Active"} 1
metallb_bgp_last_error_info{code="2",node="worker-1",peer="192.0.2.254",subcode="2"} 1
"#;

pub(crate) fn speaker_on(port: u16) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: speaker-1, namespace: metallb-system, labels: {{app: metallb, component: speaker}}}}
spec: {{nodeName: worker-1, containers: [{{name: speaker, image: "x/speaker:v0.1.0", args: ["--port={port}"]}}]}}
status: {{phase: Running, podIP: 127.0.0.1, podIPs: [{{ip: 127.0.0.1}}], conditions: [{{type: Ready, status: "True"}}]}}
"#
    )
}

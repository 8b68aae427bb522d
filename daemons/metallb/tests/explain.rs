//! `metallb explain` as people run it, against the embedded API server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

use metallb_apiserver::Server;
use serde_json::Value;

const CLUSTER: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: metallb-system}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker-1}}
---
apiVersion: v1
kind: Pod
metadata: {name: controller-1, namespace: metallb-system, labels: {app: metallb, component: controller}}
spec: {nodeName: worker-1, containers: [{name: controller, image: x}]}
status: {phase: Running, podIP: 192.0.2.9, podIPs: [{ip: 192.0.2.9}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: speaker-1, namespace: metallb-system, labels: {app: metallb, component: speaker}}
spec: {nodeName: worker-1, containers: [{name: speaker, image: x}]}
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

const POOL: &str = "
{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: web, namespace: metallb-system}, spec: {addresses: [192.0.2.0/29]}}
---
{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: lan, namespace: metallb-system}}
";

/// What the controller, and whoever makes endpoints, write.
const RUNNING: &str = r#"
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
const VIEWER: &str = r#"
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

struct Cluster {
    server: Server,
    url: String,
    directory: tempfile::TempDir,
}

impl Cluster {
    fn start(with_definitions: bool, objects: &str) -> Self {
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

    fn apply(&self, objects: &str) {
        self.server.apply(objects).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Makes a kubeconfig for an account of the namespace `default`.
    fn account(&self, name: &str) {
        let token = self.server.token_for("default", name).unwrap();
        let text = self.server.kubeconfig_with_token(&self.url, &token);
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    async fn explain(&self, account: &str, args: &[&str]) -> Output {
        ask(&self.directory.path().join(account), args).await
    }
}

fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_remove("KUBECONFIG").env_remove("METALLB_NAMESPACE").env("HOME", "/nonexistent");
    command
}

async fn ask(kubeconfig: &Path, args: &[&str]) -> Output {
    let args: Vec<&str> = ["explain"].iter().chain(args).copied().collect();
    let mut command = command(Path::new(env!("CARGO_BIN_EXE_metallb")), &args);
    command.env("KUBECONFIG", kubeconfig);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_service_is_explained_until_it_is_reachable() {
    let cluster = Cluster::start(true, CLUSTER);
    let pending = cluster.explain("admin", &["shop"]).await;
    assert_eq!(pending.status.code(), Some(1), "{}{}", out(&pending), err(&pending));
    let text = out(&pending);
    let first =
        "default/shop is not reachable: pools: there is no address pool\n  try: echo '{\"apiVersion\":";
    assert!(text.starts_with(first), "{text}");
    assert!(!text.contains("BGPPeer"), "the peer's Secret is there: {text}");
    cluster.apply(POOL);
    let unwritten = cluster.explain("admin", &["shop", "-o", "json"]).await;
    let json: Value = serde_json::from_slice(&unwritten.stdout).unwrap();
    let last = json["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((unwritten.status.code(), &last["reason"]), (Some(1), &Value::from("not_assigned")), "{json}");
    cluster.apply(RUNNING);
    let reachable = cluster.explain("admin", &["default/shop"]).await;
    assert!(out(&reachable).starts_with("default/shop is reachable as configured\n"), "{}", out(&reachable));
    assert_eq!(reachable.status.code(), Some(0), "{}{}", out(&reachable), err(&reachable));
    assert!(!out(&reachable).contains("swordfish"));
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_seen_is_named_and_counts_for_nothing() {
    let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING, VIEWER].join("---"));
    cluster.account("viewer");
    let seen = cluster.explain("viewer", &["shop"]).await;
    let text = out(&seen);
    assert_eq!(seen.status.code(), Some(0), "{text}{}", err(&seen));
    assert!(text.contains("? not seen: Secret: ") && !text.contains("BGPPeer \"router\""), "{text}");
    cluster.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: default}}");
    cluster.account("nobody");
    let nothing = cluster.explain("nobody", &["shop"]).await;
    assert_eq!(nothing.status.code(), Some(3));
    let text = out(&nothing);
    assert!(
        text.contains("services cannot be seen") && text.contains("kubectl auth can-i list services -A"),
        "{text}"
    );
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_ways_in_say_what_to_do() {
    let cluster = Cluster::start(
        false,
        "{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: default}, spec: {type: LoadBalancer, ports: [{port: 80}]}}",
    );
    let not_installed = cluster.explain("admin", &["shop"]).await;
    assert_eq!(not_installed.status.code(), Some(1));
    assert!(
        out(&not_installed)
            .contains("MetalLB is not installed\n  try: metallb manifests | kubectl apply -f -")
    );
    let misspelt = cluster.explain("admin", &["shpo"]).await;
    assert_eq!(misspelt.status.code(), Some(1));
    assert!(out(&misspelt).contains("did you mean \"shop\"?\n  try: metallb explain shop -n default"));
    let unreachable = cluster.directory.path().join("gone");
    std::fs::write(&unreachable, cluster.server.kubeconfig("http://127.0.0.1:1")).unwrap();
    let gone = ask(&unreachable, &["shop"]).await;
    assert_eq!(gone.status.code(), Some(3));
    assert!(err(&gone).starts_with("error: the API server cannot be reached: "), "{}", err(&gone));
    assert!(err(&gone).contains("Connection refused") && err(&gone).contains("kubectl cluster-info"));
    let none = ask(Path::new("/nonexistent/kubeconfig"), &["shop"]).await;
    assert_eq!(none.status.code(), Some(3));
    assert!(err(&none).contains("name a kubeconfig with --kubeconfig or KUBECONFIG"), "{}", err(&none));
    let both = cluster.explain("admin", &["a/shop", "-n", "b"]).await;
    assert_eq!(both.status.code(), Some(2));
    assert_eq!(err(&both), "error: the service names a namespace, and -n another; keep one of them\n");
    cluster.server.shutdown().await;
}

#[test]
fn under_the_name_of_a_plugin_it_is_the_same_program() {
    let directory = tempfile::tempdir().unwrap();
    let plugin = directory.path().join("kubectl-metallb");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_metallb"), &plugin).unwrap();
    let help = command(&plugin, &["explain", "--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(out(&help).contains("kubectl metallb explain web"), "{}", out(&help));
}

//! A namespace with a link, a cluster with one node, and what runs there.

use std::future::Future;

use serde_json::{Value, json};

use crate::harness::namespace::{isolated, sh};
use crate::harness::{Cluster, Daemon, NAMESPACE};

/// Name of the node that the speaker runs on.
pub(crate) const NODE: &str = "node1";

/// Our address for BGP, and the peer's.
pub(crate) const LOCAL: &str = "10.0.0.1";
/// The peer's address.
pub(crate) const REMOTE: &str = "10.0.0.2";

/// Runs a test in a process of its own with a fresh network namespace that has a link, as root or as anybody else who may
/// make user namespaces. `test` is the name of the test as the test binary lists it.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    isolated(test, async || {
        sh("ip addr add 10.0.0.1/32 dev lo && ip addr add 10.0.0.2/32 dev lo");
        sh("ip addr add 2001:db8:1::1/128 dev lo");
        sh("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0");
        sh("ip link add eth0 type veth peer name other0 && ip link set eth0 up && ip link set other0 up");
        sh("ip addr add 192.0.2.1/24 dev eth0");
        body().await;
    });
}

/// A cluster with one node and a pool of addresses on its link.
pub(crate) async fn cluster() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.apply(&format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: {NODE}\n"));
    cluster.pool("web", &["192.0.2.128/25", "2001:db8::/120"]);
    cluster
}

/// A speaker of the node that announces on `eth0` only.
pub(crate) fn speaker(cluster: &Cluster, args: &[&str]) -> Daemon {
    speaker_by(env!("CARGO_BIN_EXE_speaker"), cluster, args)
}

/// The same, started by this program.
pub(crate) fn speaker_by(program: &str, cluster: &Cluster, args: &[&str]) -> Daemon {
    let path = cluster.directory().join("excludel2.yaml");
    std::fs::write(&path, "announcedInterfacesToExclude: [\"^other.*\"]\n").unwrap();
    let exclude = format!("--l2-exclude-file={}", path.display());
    let node = format!("--node-name={NODE}");
    let args: Vec<&str> = [exclude.as_str(), node.as_str()].into_iter().chain(args.iter().copied()).collect();
    Daemon::start(program, cluster, &args)
}

/// A service with these addresses and an endpoint on the node, as the controller leaves it.
pub(crate) async fn service(cluster: &Cluster, name: &str, addresses: &[&str]) {
    service_alone(cluster, name, addresses).await;
    endpoint(cluster, name, true);
}

/// The same without an endpoint of its own.
pub(crate) async fn service_alone(cluster: &Cluster, name: &str, addresses: &[&str]) {
    cluster.service(name, json!({}), json!({})).await;
    let ingress: Vec<Value> = addresses.iter().map(|address| json!({ "ip": address })).collect();
    let assigned = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "annotations": { "metallb.io/ip-allocated-from-pool": "web" } },
        "status": { "loadBalancer": { "ingress": ingress } },
    });
    cluster.server.apply_object(&assigned);
}

/// The endpoint of a service on the node, by both families.
pub(crate) fn endpoint(cluster: &Cluster, service: &str, ready: bool) {
    for (family, address) in [("IPv4", "10.1.0.1"), ("IPv6", "2001:db8:1::1")] {
        let name = format!("{service}-{}", family.to_lowercase());
        let conditions = json!({ "ready": ready, "serving": ready });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": { "name": name, "labels": { "kubernetes.io/service-name": service } },
            "endpoints": [{ "addresses": [address], "nodeName": NODE, "conditions": conditions }],
            "ports": [{ "port": 8080, "protocol": "TCP", "name": "" }],
        });
        cluster.server.apply_object(&slice);
    }
}

/// A BGPPeer for [`REMOTE`]; `spec` is added.
pub(crate) fn peer(cluster: &Cluster, name: &str, spec: &Value) {
    let mut full = json!({
        "myASN": 64500, "peerASN": 64512, "peerAddress": REMOTE, "sourceAddress": LOCAL, "connectTime": "1s",
    });
    full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    full.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    cluster.configure("BGPPeer", name, &full);
}

/// A Secret in MetalLB's namespace.
pub(crate) fn secret(cluster: &Cluster, name: &str, password: &str) {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/basic-auth\nmetadata:\n  name: {name}\n  \
         namespace: {NAMESPACE}\nstringData:\n  password: {password}\n"
    ));
}

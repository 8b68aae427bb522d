//! Measures what `metallb status` costs itself with many services: its processor time, not the API server's.
//!
//! `cargo run --release -p metallb-cli --example status_load [-- SERVICES [PROGRAM]]` fills the embedded API server, runs the
//! program `metallb` that was built beside it (or PROGRAM), and prints its user and system time.

use std::error::Error;
use std::net::TcpListener;
use std::process::Command;

use metallb_apiserver::Server;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let services: usize = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _guard = runtime.enter();
    let definitions: Result<Vec<Value>, _> =
        metallb_k8s::crd::all().into_iter().map(serde_json::to_value).collect();
    let server = Server::builder().crds(definitions?).build()?;
    fill(&server, services)?;
    let address = server.serve(TcpListener::bind("127.0.0.1:0")?)?;
    let kubeconfig = tempfile::NamedTempFile::new()?;
    std::fs::write(kubeconfig.path(), server.kubeconfig(&format!("http://{address}")))?;
    let program = match std::env::args_os().nth(2) {
        Some(program) => program.into(),
        None => std::env::current_exe()?.with_file_name("../metallb"),
    };
    for output in ["table", "json"] {
        let mut command = Command::new("bash");
        command
            .arg("-c")
            .arg("TIMEFORMAT='user %U s, system %S s, real %R s'; time \"$0\" status -o \"$1\" | tail -1");
        let done = command.arg(&program).arg(output).env("KUBECONFIG", kubeconfig.path()).output()?;
        println!(
            "status -o {output} with {services} services: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(())
}

fn fill(server: &Server, services: usize) -> Result<(), Box<dyn Error>> {
    let ours = "metallb-system";
    let all = ["default", ours]
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    for object in all {
        server.apply_object(&object)?;
    }
    server.apply_object(&json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "web", "namespace": ours}, "spec": {"addresses": ["10.0.0.0/16"]},
    }))?;
    for index in 0..NODES {
        server.apply_object(&json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{index}")},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))?;
        server.apply_object(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("speaker-{index}"), "namespace": ours,
                "labels": {"app": "metallb", "component": "speaker"},
            },
            "spec": {"nodeName": format!("node-{index}"), "containers": [{"name": "speaker", "image": "speaker"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }))?;
    }
    for index in 0..services {
        let name = format!("service-{index:05}");
        let address = format!("10.0.{}.{}", index / 256, index % 256);
        server.apply_object(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default", "annotations": {"metallb.io/ip-allocated-from-pool": "web"}},
            "spec": {
                "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
                "ports": [{"port": 80}], "selector": {"app": name},
            },
            "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
        }))?;
        server.apply_object(&json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
            "metadata": {"name": format!("l2-{index}"), "namespace": ours},
            "status": {"node": format!("node-{}", index % NODES), "serviceName": name, "serviceNamespace": "default"},
        }))?;
    }
    Ok(())
}

/// Nodes, each with a speaker.
const NODES: usize = 100;

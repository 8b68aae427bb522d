//! Ports of pods, read through the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use http::Request;
use kube::Client;
use metallb_apiserver::Server;
use serde_json::json;

use crate::support::mk_client;

/// A pod that answers every request with its path.
fn mk_pod() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut octets = [0; 4096];
            let length = stream.read(&mut octets).unwrap();
            let request = String::from_utf8_lossy(&octets[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", path.len());
            stream.write_all((head + &path).as_bytes()).unwrap();
        }
    });
    address
}

fn mk_server() -> Server {
    let server = Server::builder().strict_rbac(true).build().unwrap();
    server
        .apply_object(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "x"}]}, "status": {"podIP": "127.0.0.1"},
        }))
        .unwrap();
    server
}

async fn get(client: &Client, path: &str) -> Result<String, String> {
    let request = Request::get(format!("/api/v1/namespaces/default/pods/{path}")).body(Vec::new()).unwrap();
    match client.request_text(request).await {
        Ok(text) => Ok(text),
        Err(kube::Error::Api(status)) => Err(format!("{} {}", status.code, status.message)),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_port_of_a_pod_can_be_read() {
    let (server, port) = (mk_server(), mk_pod().port());
    let client = mk_client(&server);
    assert_eq!(get(&client, &format!("p:{port}/proxy/metrics")).await.as_deref(), Ok("/metrics"));
    assert_eq!(get(&client, &format!("http:p:{port}/proxy/a/b?c=d")).await.as_deref(), Ok("/a/b?c=d"));
}

#[tokio::test]
async fn what_cannot_be_reached_is_said() {
    let server = mk_server();
    let client = mk_client(&server);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = get(&client, &format!("p:{gone}/proxy/metrics")).await.unwrap_err();
    assert!(refused.starts_with("503 error trying to reach service: dial tcp 127.0.0.1:"), "{refused}");
    assert!(get(&client, "q:80/proxy/metrics").await.unwrap_err().starts_with("404 "));
    assert!(get(&client, "https:p:80/proxy/metrics").await.unwrap_err().starts_with("400 "));
}

#[tokio::test]
async fn the_right_for_it_is_one_of_its_own() {
    let (server, port) = (mk_server(), mk_pod().port());
    server
        .apply(
            r#"
{apiVersion: v1, kind: ServiceAccount, metadata: {name: agent, namespace: default}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: agent, namespace: default}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: agent, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: agent}
subjects: [{kind: ServiceAccount, name: agent}]
"#,
        )
        .unwrap();
    let token = server.token_for("default", "agent").unwrap();
    let client = Client::new(server.service().with_token(&token), "default");
    let path = format!("p:{port}/proxy/metrics");
    let refused = get(&client, &path).await.unwrap_err();
    assert!(refused.starts_with("403 ") && refused.contains("pods/proxy"), "{refused}");
    server
        .apply(
            r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: agent, namespace: default}
rules: [{apiGroups: [""], resources: [pods/proxy], verbs: [get]}]
"#,
        )
        .unwrap();
    assert_eq!(get(&client, &path).await.as_deref(), Ok("/metrics"));
}

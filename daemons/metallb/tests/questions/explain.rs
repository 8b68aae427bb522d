//! `metallb explain`.

use std::path::Path;

use serde_json::Value;

use crate::support::{CLUSTER, Cluster, POOL, RUNNING, VIEWER, ask, command, err, out};

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
    let name = cluster.explain("admin", &["shop", "-o", "name"]).await;
    assert_eq!((name.status.code(), out(&name).as_str()), (Some(1), "service/shop -n default\n"));
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
    let name = cluster.explain("admin", &["shop", "-o", "name"]).await;
    assert_eq!((name.status.code(), out(&name).as_str()), (Some(0), ""));
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

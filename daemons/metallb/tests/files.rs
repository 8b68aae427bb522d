//! The commands that take files, as people run them; with `--cluster` against the embedded API server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use metallb_apiserver::Server;

fn metallb(args: &[&str], kubeconfig: Option<&Path>, input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metallb"));
    command.args(args).env_remove("KUBECONFIG").env_remove("METALLB_NAMESPACE").env("HOME", "/nonexistent");
    if let Some(kubeconfig) = kubeconfig {
        command.env("KUBECONFIG", kubeconfig);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const CLUSTER: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: metallb-system}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker-1}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker-2}}
---
{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: web, namespace: metallb-system}, spec: {addresses: [192.0.2.0/29]}}
---
{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: lan, namespace: metallb-system}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-proxy, namespace: kube-system}
data: {config.conf: "mode: ipvs\nipvs:\n  strictARP: false\n"}
"#;

/// An API server with definitions and objects, and the kubeconfig of it.
fn mk_cluster(objects: &str) -> (Server, tempfile::NamedTempFile) {
    let definitions = metallb_k8s::crd::all().into_iter().map(|crd| serde_json::to_value(crd).unwrap());
    let server = Server::builder().crds(definitions).build().unwrap();
    server.apply(objects).unwrap_or_else(|error| panic!("{error}"));
    let address = server.serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), server.kubeconfig(&format!("http://{address}"))).unwrap();
    (server, file)
}

/// Runs a command beside the server.
async fn ask(kubeconfig: &Path, args: &[&str], input: &str) -> Output {
    let (kubeconfig, input) = (kubeconfig.to_owned(), input.to_owned());
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let run = move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        metallb(&args, Some(&kubeconfig), &input)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_checked_simulated_and_compared_with_a_file() {
    let (server, kubeconfig) = mk_cluster(CLUSTER);
    let good = ask(kubeconfig.path(), &["check", "--cluster"], "").await;
    assert_eq!((good.status.code(), out(&good).trim()), (Some(0), "2 objects checked: nothing is wrong"));

    let outcome =
        ask(kubeconfig.path(), &["simulate", "--cluster", "--kill", "worker-1", "--kill", "worker-2"], "")
            .await;
    assert_eq!(outcome.status.code(), Some(1), "{}", err(&outcome));
    let text = out(&outcome);
    assert!(text.contains("default/shop  192.0.2.0") && text.contains("web   1 of 8"), "{text}");
    assert!(text.contains("192.0.2.0 by layer2: worker-") && text.contains("-> none"), "{text}");

    let moved = "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: web, namespace: metallb-system}, spec: {addresses: [198.51.100.0/29]}}";
    let diff = ask(kubeconfig.path(), &["check", "--cluster", "--diff", "-"], moved).await;
    assert_eq!(diff.status.code(), Some(1), "{}", err(&diff));
    assert!(out(&diff).contains("default/shop: 192.0.2.0 -> 198.51.100.0"), "{}", out(&diff));

    server
        .apply("{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: two, namespace: metallb-system}, spec: {nodeSelectors: [{matchLabels: {rack: 'a b'}}]}}")
        .unwrap_or_else(|error| panic!("{error}"));
    let bad = ask(kubeconfig.path(), &["check", "--cluster", "-o", "json"], "").await;
    let report: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(report["findings"][0]["field"], "spec.nodeSelectors[0]");
    assert_eq!(report["findings"][0]["object"], "L2Advertisement \"two\"");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_arp_is_seen_missing_set_and_seen_set() {
    let (server, kubeconfig) = mk_cluster(CLUSTER);
    for (args, status, words) in [
        (&["strict-arp", "check"][..], 1, "run: metallb strict-arp enable"),
        (&["strict-arp", "enable", "--dry-run"], 1, "  strictARP: true\n"),
        (&["strict-arp", "check"], 1, "without strictARP"),
        (&["strict-arp", "enable"], 0, "rollout restart daemonset kube-proxy"),
        (&["strict-arp", "check"], 0, "nothing to do"),
        (&["strict-arp", "check", "--kube-proxy-config-map", "other"], 3, ""),
    ] {
        let output = ask(kubeconfig.path(), args, "").await;
        assert_eq!(output.status.code(), Some(status), "{args:?} {}", err(&output));
        assert!(out(&output).contains(words), "{args:?} {}", out(&output));
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_the_definitions_is_told_so() {
    let server = Server::builder().build().unwrap();
    let address = server.serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), server.kubeconfig(&format!("http://{address}"))).unwrap();
    let output = ask(file.path(), &["check", "--cluster"], "").await;
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("metallb crds --namespace metallb-system | kubectl apply -f -"),
        "{}",
        err(&output)
    );
    server.shutdown().await;
}

#[test]
fn without_a_way_to_a_cluster_there_is_no_answer() {
    let output = metallb(&["check", "--cluster"], None, "");
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("--kubeconfig or KUBECONFIG"), "{}", err(&output));
}

#[test]
fn exit_statuses_tell_good_bad_misused_and_unknown_apart() {
    let pool = "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: a}, spec: {addresses: [ADDRESS]}}";
    for (args, input, status) in [
        (&["check", "-"][..], pool.replace("ADDRESS", "192.0.2.0/24"), 0),
        (&["check", "-"], pool.replace("ADDRESS", "192.0.2.0/33"), 1),
        (&["check", "-"], pool.replace("ADDRESS", "192.0.2.7/24"), 0),
        (&["check", "--strict", "-"], pool.replace("ADDRESS", "192.0.2.7/24"), 1),
        (&["check", "-"], String::new(), 3),
        (&["check"], String::new(), 2),
        (&["check", "--cluster", "a.yaml"], String::new(), 2),
        (&["check", "/nonexistent.yaml"], String::new(), 3),
        (
            &["convert", "-"],
            "address-pools: [{name: a, protocol: layer2, addresses: [192.0.2.0/24]}]".to_owned(),
            0,
        ),
        (&["convert", "-"], "address-pools: [{name: a, protocol: x}]".to_owned(), 1),
        (&["convert"], String::new(), 2),
        (&["convert", "/nonexistent.yaml"], String::new(), 3),
        (&["simulate", "--kill", "nobody", "-"], String::new(), 2),
    ] {
        let output = metallb(args, None, &input);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", err(&output));
    }
}

#[test]
fn what_convert_writes_check_takes() {
    let old = "address-pools: [{name: a, protocol: bgp, addresses: [192.0.2.0/24]}]\npeers: [{my-asn: 1, peer-asn: 2, peer-address: 198.51.100.1, password: hush}]\n";
    let converted = metallb(&["convert", "-"], None, old);
    let checked = metallb(&["check", "--strict", "-"], None, &out(&converted));
    assert_eq!(checked.status.code(), Some(0), "{}", out(&checked));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metallb"));
    let mut child =
        command.args(["completion", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

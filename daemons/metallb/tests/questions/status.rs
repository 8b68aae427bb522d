//! `metallb status` and `version`.

use std::path::Path;

use serde_json::Value;

use crate::support::{
    CLUSTER, Cluster, POOL, RUNNING, SPEAKER, VIEWER, command, err, out, run, serve_metrics, speaker_on,
};

#[tokio::test(flavor = "multi_thread")]
async fn status_names_what_is_wrong_and_what_the_speakers_say() {
    let cluster = Cluster::start(true, &[CLUSTER, POOL].join("---"));
    cluster.apply("{apiVersion: v1, kind: Pod, metadata: {name: speaker-1, namespace: metallb-system, labels: {app: metallb, component: speaker}}, spec: {nodeName: worker-1, containers: [{name: speaker, image: x, args: [--port=0]}]}, status: {phase: Running, podIP: 127.0.0.1, conditions: [{type: Ready, status: \"True\"}]}}");
    let pending = cluster.run("admin", &["status"]).await;
    let text = out(&pending);
    assert_eq!(pending.status.code(), Some(1), "{text}{}", err(&pending));
    assert!(
        text.contains("✗ service default/shop has no address\n  try: metallb explain shop -n default\n"),
        "{text}"
    );
    assert!(text.contains("its metrics are switched off"), "{text}");
    let names = cluster.run("admin", &["status", "-o", "name"]).await;
    assert_eq!(out(&names), "service/shop -n default\n");
    cluster.apply(RUNNING);
    let elsewhere = cluster.run("admin", &["status", "-n", "metallb-system", "-o", "json"]).await;
    let json: Value = serde_json::from_slice(&elsewhere.stdout).unwrap();
    assert_eq!((elsewhere.status.code(), &json["services"]), (Some(0), &serde_json::json!([])), "{json}");
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_versions_come_from_the_pods_through_the_api_server() {
    let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING].join("---"));
    let spare = &speaker_on(serve_metrics(|| SPEAKER.to_owned()));
    // An image cannot be changed in place by kubectl apply alone here: the pod is another one.
    cluster.server.apply(spare).unwrap();
    let status = cluster.run("admin", &["status", "-o", "json"]).await;
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(json["sessions"][0]["state"], "Active", "{json}");
    assert_eq!(json["sessions"][0]["why"], "OPEN Message Error/Bad Peer AS (2/2)", "{json}");
    assert_eq!(json["problems"][0]["reason"], "session_down", "{json}");
    let version = cluster.run("admin", &["version"]).await;
    let text = out(&version);
    assert_eq!(version.status.code(), Some(0), "{text}{}", err(&version));
    assert!(text.contains("the image x/speaker:v0.1.0 holds version 0.0.9"), "{text}");
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_gets_a_status_and_is_told_what_is_missing() {
    let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING, VIEWER].join("---"));
    cluster.account("viewer");
    let seen = cluster.run("viewer", &["status"]).await;
    let text = out(&seen);
    assert_eq!(seen.status.code(), Some(0), "{text}{}", err(&seen));
    assert!(
        text.starts_with("MetalLB in metallb-system: nothing is wrong with what can be seen\n"),
        "{text}"
    );
    for missing in ["? not seen: Event: ", "? not seen: what pods say (pods/proxy): "] {
        assert!(text.contains(missing), "{missing}: {text}");
    }
    cluster.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: default}}");
    cluster.account("nobody");
    let nothing = cluster.run("nobody", &["status"]).await;
    assert_eq!(nothing.status.code(), Some(3), "{}{}", out(&nothing), err(&nothing));
    let version = cluster.run("nobody", &["version"]).await;
    assert_eq!(version.status.code(), Some(3));
    assert!(out(&version).contains("the pods cannot be seen: "), "{}", out(&version));
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_version_without_a_cluster_say_what_to_do() {
    let cluster =
        Cluster::start(false, "{apiVersion: v1, kind: Namespace, metadata: {name: metallb-system}}");
    let absent = cluster.run("admin", &["status"]).await;
    assert_eq!(absent.status.code(), Some(1), "{}", err(&absent));
    assert!(
        out(&absent).contains("MetalLB is not installed\n  try: metallb manifests | kubectl apply -f -\n")
    );
    let gone = cluster.directory.path().join("gone");
    std::fs::write(&gone, cluster.server.kubeconfig("http://127.0.0.1:1")).unwrap();
    let status = run(&gone, &["status"]).await;
    assert_eq!(status.status.code(), Some(3));
    assert!(err(&status).contains("kubectl cluster-info"), "{}", err(&status));
    let version = run(&gone, &["version"]).await;
    assert_eq!(version.status.code(), Some(3));
    assert!(out(&version).starts_with("client      "), "{}", out(&version));
    let client = run(&gone, &["version", "--client"]).await;
    assert_eq!((client.status.code(), out(&client).lines().count()), (Some(0), 1));
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING].join("---"));
    let mut command = command(Path::new(env!("CARGO_BIN_EXE_metallb")), &["status"]);
    command.env("KUBECONFIG", cluster.directory.path().join("admin"));
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer).stderr(std::process::Stdio::piped());
    drop(reader);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
    cluster.server.shutdown().await;
}

/// A terminal of its own, by `script`: returns what the program wrote, after pressing a key when it has drawn.
fn in_terminal(kubeconfig: &Path, key: &'static [u8]) -> (Option<i32>, String) {
    use std::io::{Read as _, Write as _};
    // Without a terminal around it, `script` makes one that has no size.
    let line =
        format!("stty rows 24 columns 80; {} status --watch --interval 1", env!("CARGO_BIN_EXE_metallb"));
    let mut script = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("KUBECONFIG", kubeconfig)
        .env("TERM", "xterm")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let (mut seen, mut octets, mut pressed) = (Vec::new(), [0; 4096], false);
    loop {
        let length = screen.read(&mut octets).unwrap();
        if length == 0 {
            break;
        }
        seen.extend(octets.iter().take(length));
        if !pressed && String::from_utf8_lossy(&seen).contains("quit") {
            keys.write_all(key).unwrap();
            pressed = true;
        }
    }
    (script.wait().unwrap().code(), String::from_utf8_lossy(&seen).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_left_as_it_was_found() {
    let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING].join("---"));
    for key in [&b"q"[..], b"\x03"] {
        let kubeconfig = cluster.directory.path().join("admin");
        let (code, screen) =
            tokio::task::spawn_blocking(move || in_terminal(&kubeconfig, key)).await.unwrap();
        assert_eq!(code, Some(0), "{screen:?}");
        let (entered, left) = (screen.find("\x1b[?1049h"), screen.rfind("\x1b[?1049l"));
        assert!(entered.is_some() && entered < left, "{screen:?}");
    }
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_changes_come_as_lines_until_nobody_reads() {
    use std::io::{BufRead as _, BufReader};
    let cluster = Cluster::start(true, &[CLUSTER, POOL].join("---"));
    let mut command =
        command(Path::new(env!("CARGO_BIN_EXE_metallb")), &["status", "--watch", "--interval", "1"]);
    command.env("KUBECONFIG", cluster.directory.path().join("admin"));
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "MetalLB in metallb-system: 1 problem");
    assert!(lines.any(|line| line.contains("<pending>")));
    cluster.apply(RUNNING);
    let change = tokio::task::spawn_blocking(move || {
        let change = lines.find(|line| line.contains("service default/shop: ")).unwrap();
        drop(lines);
        change
    });
    let change = change.await.unwrap();
    assert!(change.ends_with("service default/shop: <pending> -> 192.0.2.0 by layer2 worker-1"), "{change}");
    // The next change finds nobody.
    cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: more, namespace: default}, spec: {type: LoadBalancer, ports: [{port: 80}]}}");
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    cluster.server.shutdown().await;
}

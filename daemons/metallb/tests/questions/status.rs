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
    // One that could be asked.
    cluster.apply(&speaker_on(1).replace("x/speaker:v0.1.0", "x"));
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

/// The rights of `status` in `docs/cli.md`: namespace (none: everywhere), group, resource, verb, and what is not seen without.
const RIGHTS: [[&str; 5]; 7] = [
    ["", "", "services", "list", "Service"],
    ["", "", "nodes", "list", "Node"],
    ["", "", "events", "list", "Event"],
    ["metallb-system", "", "pods", "list", "Pod"],
    ["metallb-system", "metallb.io", "*", "list", "IPAddressPool"],
    ["metallb-system", "", "pods/proxy", "get", "what pods say (pods/proxy)"],
    ["default", "discovery.k8s.io", "endpointslices", "list", "EndpointSlice"],
];

/// One right of the account `looker`, or nothing in its place.
fn right(index: usize, [namespace, group, resource, verb, _]: [&str; 5], is_given: bool) -> String {
    let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
    let scope = if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
    let rule = format!(r#"{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: [{verb}]}}"#);
    let rule = if is_given { rule } else { String::new() };
    format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}
metadata: {{name: look-{index}{scope}}}
rules: [{rule}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}Binding
metadata: {{name: look-{index}{scope}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: look-{index}}}
subjects: [{{kind: ServiceAccount, name: looker, namespace: default}}]
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough_and_each_is_needed() {
    let docs = include_str!("../../../../docs/cli.md");
    let rights = docs.split_once("\nRights: ").and_then(|(_, rest)| rest.split_once("\n\n")).unwrap().0;
    let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING].join("---"));
    let metrics = "metallb_bgp_session_up{node=\"worker-1\",peer=\"192.0.2.254\"} 1\n\
                   metallb_bgp_state{node=\"worker-1\",peer=\"192.0.2.254\",state=\"Established\"} 1\n";
    let speaker = speaker_on(serve_metrics(|| metrics.to_owned()));
    cluster.apply(&speaker);
    cluster.apply(&speaker.replace("speaker", "controller"));
    cluster.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: looker, namespace: default}}");
    for (index, it) in RIGHTS.into_iter().enumerate() {
        cluster.apply(&right(index, it, true));
    }
    cluster.account("looker");
    let full = cluster.run("looker", &["status", "-o", "json"]).await;
    let json: Value = serde_json::from_slice(&full.stdout).unwrap();
    assert_eq!(
        (&json["notSeen"], &json["problems"]),
        (&serde_json::json!([]), &serde_json::json!([])),
        "{json}"
    );
    assert_eq!(
        (full.status.code(), &json["sessions"][0]["state"]),
        (Some(0), &"Established".into()),
        "{json}"
    );
    for (index, it) in RIGHTS.into_iter().enumerate() {
        let [_, group, resource, _, unseen] = it;
        let documented = if resource == "*" { group } else { resource };
        assert!(rights.contains(documented), "docs/cli.md does not name {documented}: {rights}");
        cluster.apply(&right(index, it, false));
        let less = cluster.run("looker", &["status", "-o", "json"]).await;
        let json: Value = serde_json::from_slice(&less.stdout).unwrap();
        let is_named = json["notSeen"].as_array().unwrap().iter().any(|missing| missing["what"] == unseen);
        assert!(is_named, "without {resource}: {}", json["notSeen"]);
        cluster.apply(&right(index, it, true));
    }
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

/// What the program shows on a terminal of that many columns.
fn on_terminal(kubeconfig: &Path, columns: usize) -> String {
    let line = format!("stty rows 24 columns {columns}; {} status", env!("CARGO_BIN_EXE_metallb"));
    let output = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("KUBECONFIG", kubeconfig)
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    out(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_as_wide_as_the_terminal() {
    let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING].join("---"));
    let kubeconfig = cluster.directory.path().join("admin");
    let shown =
        tokio::task::spawn_blocking(move || [80, 200].map(|columns| on_terminal(&kubeconfig, columns)));
    let [narrow, wide] = shown.await.unwrap();
    let longest = |text: &str| {
        let tables = text.lines().map(str::trim_end).filter(|line| !line.starts_with("  try: "));
        tables.map(|line| line.chars().count()).max()
    };
    assert!(narrow.contains("POOLS") && longest(&narrow) <= Some(80), "{narrow}");
    assert!(longest(&wide) > Some(80), "{wide}");
    cluster.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_with_a_nodes_address_is_named_until_the_printed_command_was_followed() {
    let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING].join("---"));
    cluster.apply("{apiVersion: v1, kind: Node, metadata: {name: worker-1}, status: {addresses: [{type: InternalIP, address: 192.0.2.5}]}}");
    let status = cluster.run("admin", &["status", "-o", "json"]).await;
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (status.status.code(), &json["problems"][0]["reason"]),
        (Some(0), &"owned_by_others".into()),
        "{json}"
    );
    let remedy = json["problems"][0]["remedy"].as_str().unwrap().to_owned();
    let mut kubectl = std::process::Command::new("bash");
    kubectl.args(["-c", &remedy]).env("KUBECONFIG", cluster.directory.path().join("admin"));
    let done = tokio::task::spawn_blocking(move || kubectl.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{remedy}: {}", err(&done));
    let status = cluster.run("admin", &["status", "-o", "json"]).await;
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(json["problems"], serde_json::json!([]), "{json}");
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

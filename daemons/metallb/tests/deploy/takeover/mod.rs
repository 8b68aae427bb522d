//! Our manifest and daemons take over from MetalLB, and give back: no address moves, no service is written to.

mod before;
mod router;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use self::before::{By, Given, NODE, fill, frr_configuration, services};
use self::router::Router;
use crate::cluster::Cluster;
use crate::first_steps::{Running, command};
use crate::namespace::{isolated, sh};
use crate::support::{eventually, objects, path, read, title};

/// What MetalLB was installed as.
struct Mode {
    /// Its default, where frr-k8s has the sessions.
    frr: bool,
}

fn before(file: &str) -> String {
    read(&format!("daemons/metallb/tests/deploy/takeover/before/{file}.yaml"))
}

/// Runs a test in a network namespace with the node's and the router's address and a link.
fn in_namespace(test: &str, body: fn()) {
    isolated(test, async || {
        sh("ip addr add 10.0.0.1/32 dev lo && ip addr add 10.0.0.2/32 dev lo");
        sh("ip addr add 2001:db8:1::1/128 dev lo");
        sh("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0");
        sh("ip link add eth0 type veth peer name other0 && ip link set eth0 up && ip link set other0 up");
        sh("ip addr add 192.0.2.1/24 dev eth0");
        // The cluster has a runtime of its own.
        std::thread::spawn(body).join().unwrap();
    });
}

fn installed(mode: &Mode) -> Option<Cluster> {
    let cluster = Cluster::start()?;
    let apply = |name: &str| {
        let file = cluster.file(name, &before(name));
        cluster.kubectl(&["apply", "-f", &file]);
    };
    let frr = ["frr-k8s-definitions", "frr-k8s"];
    let files = ["definitions", "native"];
    for file in files.iter().chain(frr.iter().filter(|_| mode.frr)) {
        apply(file);
    }
    fill(&cluster.server);
    if mode.frr {
        cluster.server.apply_object(&frr_configuration()).unwrap();
    }
    Some(cluster)
}

fn list(cluster: &Cluster, kinds: &str) -> Vec<Value> {
    let text = cluster.kubectl(&["get", "-A", kinds, "-o", "json"]);
    serde_json::from_str::<Value>(&text).unwrap()["items"].as_array().unwrap().clone()
}

/// The services with everything that stands in them, their versions, too.
fn all_services(cluster: &Cluster) -> Vec<Value> {
    let balancers =
        list(cluster, "services").into_iter().filter(|service| service["spec"]["type"] == "LoadBalancer");
    balancers.filter(|service| service["metadata"]["name"] != "late").collect()
}

fn start(cluster: &Cluster) -> [Running; 2] {
    let mut controller = command("Deployment/controller");
    controller.arg(format!("--kubeconfig={}", cluster.kubeconfig_of("controller")));
    controller.args(["--port=0", "--secure-port=0", "--health-probe-port=0"]);
    let exclude = cluster.file("excludel2.yaml", "announcedInterfacesToExclude: [\"^other.*\", \"^lo$\"]\n");
    let mut speaker = command("DaemonSet/speaker");
    speaker.env("METALLB_NODE_NAME", NODE).env("METALLB_POD_NAME", "speaker-1");
    speaker.env("METALLB_HOST", before::NODE_ADDRESS).env("METALLB_ML_BIND_ADDR", before::NODE_ADDRESS);
    speaker
        .arg(format!("--kubeconfig={}", cluster.kubeconfig_of("speaker")))
        .arg(format!("--l2-exclude-file={exclude}"));
    [Running::start(controller, Path::new("/dev/stderr")), Running::start(speaker, Path::new("/dev/stderr"))]
}

/// One status for each service, by us: under the name that we give, with the content that MetalLB wrote.
fn statuses_are_ours(cluster: &Cluster, given: &[Given], by: By) -> Option<()> {
    let kind = if by == By::Layer2 { "servicel2statuses" } else { "servicebgpstatuses" };
    let found = list(cluster, kind);
    let named: BTreeSet<_> =
        found.iter().filter_map(|found| found["status"]["serviceName"].as_str()).collect();
    let wanted: BTreeSet<_> =
        given.iter().filter(|given| given.by == by).map(|given| given.name.as_str()).collect();
    // MetalLB's names end in five digits here, ours in a hash.
    let ours =
        found.iter().all(|found| found["metadata"]["name"].as_str().is_some_and(|name| name.len() > 10));
    (named == wanted && found.len() == wanted.len() && ours).then_some(())
}

fn take_over(mode: &Mode) {
    let Some(cluster) = installed(mode) else { return };
    let given = services();
    let before = all_services(&cluster);
    assert_eq!(before.len(), 50);
    let guard = cluster.runtime.enter();
    let router = Router::start();
    drop(guard);
    cluster.kubectl(&["apply", "-f", path("deploy/manifests/metallb-native.yaml").to_str().unwrap()]);
    let webhooks = "127.0.0.1:9443".parse().unwrap();
    cluster.server.set_service_backend("metallb-system", "metallb-webhook-service", 443, Some(webhooks));
    let daemons = start(&cluster);
    eventually("Layer 2 statuses are taken over", || statuses_are_ours(&cluster, &given, By::Layer2));
    let routed: BTreeSet<String> =
        given.iter().filter(|given| given.by == By::Bgp).flat_map(|given| given.addresses.clone()).collect();
    if mode.frr {
        eventually("the session is left to FRR", || {
            list(&cluster, "events").iter().any(|event| event["reason"] == "BGPPeerHeldBack").then_some(())
        });
        assert_eq!(router.routes(), BTreeSet::new(), "nothing before FRR has let go");
        cluster.kubectl(&[
            "-n",
            "metallb-system",
            "delete",
            "validatingwebhookconfiguration",
            "frr-k8s-validating-webhook-configuration",
        ]);
        cluster.kubectl(&["-n", "metallb-system", "delete", "frrconfiguration", "metallb-node1"]);
    }
    eventually("the router has all routes", || (router.routes() == routed).then_some(()));
    eventually("BGP statuses are taken over", || statuses_are_ours(&cluster, &given, By::Bgp));
    for name in ["controller", "speaker-node1"] {
        eventually("the verdict is ours", || {
            let state = cluster.get("configurationstate", name);
            let condition = &state["status"]["conditions"][0];
            (state["status"]["result"] == "Valid" && condition["reason"] == "Reconciled").then_some(())
        });
    }
    // What comes after has been written when everything before it was.
    cluster.kubectl(&["create", "service", "loadbalancer", "late", "--tcp=80"]);
    eventually("a new service gets an address", || {
        let late = cluster.kubectl(&["get", "service", "late", "-o", "json"]);
        serde_json::from_str::<Value>(&late).unwrap().pointer("/status/loadBalancer/ingress/0/ip").map(|_| ())
    });
    let after = all_services(&cluster);
    assert_eq!(before, after, "a service was written to");
    let page = read("docs/migration.md");
    for line in table(&cluster, &given) {
        assert!(page.contains(&line), "docs/migration.md lacks this line:\n{line}");
    }
    let refused = cluster.server.rbac_usage().refused;
    assert!(refused.is_empty(), "the roles lack {refused:?}");
    orphans_are_listed(mode);
    back(&cluster, daemons, &before);
}

/// Services by kind, and what was written about them: the lines of the table in the documentation.
fn table(cluster: &Cluster, given: &[Given]) -> Vec<String> {
    let events = list(cluster, "events");
    let kinds: BTreeSet<_> = given.iter().map(|given| given.kind).collect();
    let line = |kind: &str| {
        let of_kind: Vec<_> = given.iter().filter(|given| given.kind == kind).collect();
        let addresses: usize = of_kind.iter().map(|given| given.addresses.len()).sum();
        let about =
            |event: &&Value| of_kind.iter().any(|given| event["involvedObject"]["name"] == given.name);
        let reasons =
            events.iter().filter(about).map(|event| format!("`{}`", event["reason"].as_str().unwrap()));
        let reasons: Vec<_> = reasons.collect::<BTreeSet<_>>().into_iter().collect();
        format!("| {kind} | {} | {addresses}, the same | 0 | {} |", of_kind.len(), reasons.join(", "))
    };
    kinds.into_iter().map(line).collect()
}

fn orphans_are_listed(mode: &Mode) {
    let ours: BTreeSet<_> =
        objects(&read("deploy/manifests/metallb-native.yaml")).iter().map(title).collect();
    let page = read("docs/migration.md");
    let frr = ["frr-k8s-definitions", "frr-k8s"];
    for file in ["definitions", "native"].iter().chain(frr.iter().filter(|_| mode.frr)) {
        for object in objects(&before(file)) {
            let name = object["metadata"]["name"].as_str().unwrap();
            assert!(ours.contains(&title(&object)) || page.contains(name), "{} is orphaned", title(&object));
        }
    }
}

/// MetalLB's manifest again: every service is as MetalLB left it.
fn back(cluster: &Cluster, daemons: [Running; 2], before: &[Value]) {
    for daemon in daemons {
        daemon.stop();
    }
    for name in ["definitions", "native"] {
        let file = cluster.file(name, &self::before(name));
        cluster.kubectl(&["apply", "-f", &file]);
    }
    assert_eq!(all_services(cluster), before);
}

#[test]
fn from_a_native_installation_and_back() {
    in_namespace("takeover::from_a_native_installation_and_back", || {
        take_over(&Mode { frr: false });
    });
}

#[test]
fn from_a_default_installation_and_back() {
    in_namespace("takeover::from_a_default_installation_and_back", || {
        take_over(&Mode { frr: true });
    });
}

//! What the controller's webhooks say reaches whoever types, by the API server that calls them.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::apply::read_back;
use crate::cluster::Cluster;
use crate::first_steps::{Running, command, free_port};
use crate::support::{eventually, path, read};

const POOL: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: NAME, namespace: metallb-system}
spec: {addresses: [ADDRESSES]}
";

const PEER: &str = "\
apiVersion: metallb.io/v1beta1
kind: BGPPeer
metadata: {name: old, namespace: metallb-system}
spec:
  myASN: 64500
  peerASN: 64501
  peerAddress: 192.0.2.9
  holdTime: 90s
  bfdProfile: fast
  nodeSelectors:
  - matchLabels: {rack: a}
    matchExpressions: [{key: size, operator: In, values: [large]}]
";

const PROFILE: &str = "\
apiVersion: metallb.io/v1beta1
kind: BFDProfile
metadata: {name: fast, namespace: metallb-system}
spec: {}
";

/// A controller as the manifest starts it, and where its webhooks are.
fn controller(cluster: &Cluster) -> (Running, SocketAddr) {
    let webhooks = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut controller = command("Deployment/controller");
    controller.arg(format!("--kubeconfig={}", cluster.kubeconfig_of("controller")));
    controller.args(["--port=0", "--secure-port=0", "--health-probe-port=0"]);
    controller.arg(format!("--webhook-port={}", webhooks.port()));
    (Running::start(controller, Path::new("/dev/null")), webhooks)
}

/// Says where the API server finds the webhooks, as a kube-proxy would.
fn route(cluster: &Cluster, to: Option<SocketAddr>) {
    cluster.server.set_service_backend("metallb-system", "metallb-webhook-service", 443, to);
}

/// Waits until the authority is everywhere where the API server looks for it.
fn trusted(cluster: &Cluster) {
    eventually("the authority is in the webhooks and in the conversion", || {
        let webhooks = cluster.get("validatingwebhookconfiguration", "metallb-webhook-configuration");
        let definition = cluster.get("crd", "bgppeers.metallb.io");
        let mut configs = webhooks["webhooks"].as_array().unwrap().iter();
        let everywhere = configs.all(|webhook| webhook["clientConfig"]["caBundle"].is_string());
        let conversion = definition.pointer("/spec/conversion/webhook/clientConfig/caBundle").is_some();
        (everywhere && conversion).then_some(())
    });
}

fn apply(cluster: &Cluster, text: &str) -> (bool, String) {
    let file = cluster.file("applied.yaml", text);
    let output = cluster.try_kubectl(&["apply", "-f", &file]);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn pool(name: &str, addresses: &str) -> String {
    POOL.replace("NAME", name).replace("ADDRESSES", addresses)
}

/// Waits until a review has these words; the controller may not have seen the newest objects yet.
fn refused(cluster: &Cluster, text: &str, words: &[&str]) {
    eventually(&format!("a refusal with {words:?}"), || {
        let (done, said) = apply(cluster, text);
        (!done && words.iter().all(|word| said.contains(word))).then_some(())
    });
}

#[test]
fn everything_in_one_go_with_webhooks_and_conversion() {
    let Some(cluster) = Cluster::start() else { return };
    let manifest = "deploy/manifests/metallb-native.yaml";
    cluster.kubectl(&["apply", "-f", path(manifest).to_str().unwrap()]);
    let (_running, webhooks) = controller(&cluster);
    route(&cluster, Some(webhooks));
    for sample in ["layer2", "service"] {
        let file = format!("deploy/samples/{sample}.yaml");
        read_back(&cluster, path(&file).to_str().unwrap(), &read(&file));
    }
    eventually("the service has its address", || {
        let service = cluster.kubectl(&["get", "service", "web", "-o", "json"]);
        let service: Value = serde_json::from_str(&service).unwrap();
        (service["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.100").then_some(())
    });
    trusted(&cluster);
    read_back(&cluster, path(manifest).to_str().unwrap(), &read(manifest));

    refused(
        &cluster,
        &pool("other", "192.0.2.120/32"),
        &["admission webhook", "overlaps with already defined CIDR"],
    );
    let (done, said) = apply(&cluster, &pool("masked", "198.51.100.7/24"));
    assert!(done && said.contains("Warning: ") && said.contains("198.51.100.0-198.51.100.255"), "{said}");
    assert!(apply(&cluster, PROFILE).0);
    converts(&cluster);
    eventually("a profile in use stays", || {
        let output = cluster.try_kubectl(&["delete", "-n", "metallb-system", "bfdprofile", "fast"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "deleted though in use");
        said.contains("used by").then_some(())
    });
    let refused = cluster.server.rbac_usage().refused;
    assert!(refused.is_empty(), "the controller's roles lack {refused:?}");
}

/// A peer in the old version comes back in both.
fn converts(cluster: &Cluster) {
    let (done, said) = apply(cluster, PEER);
    assert!(done && said.contains("Warning: "), "{said}");
    let old = cluster.get("bgppeers.v1beta1.metallb.io", "old");
    let new = cluster.get("bgppeers.v1beta2.metallb.io", "old");
    let selector = json!({
        "matchLabels": { "rack": "a" },
        "matchExpressions": [{ "key": "size", "operator": "In", "values": ["large"] }],
    });
    assert_eq!(old["spec"]["nodeSelectors"], json!([selector]));
    assert_eq!(new["spec"]["nodeSelectors"], json!([selector]));
    for (field, value) in
        [("holdTime", json!("90s")), ("peerAddress", json!("192.0.2.9")), ("peerASN", json!(64501))]
    {
        assert_eq!((&old["spec"][field], &new["spec"][field]), (&value, &value));
    }
}

#[test]
fn without_a_controller_the_definitions_refuse_what_they_can_and_the_rest_is_taken() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.kubectl(&["apply", "-f", path("deploy/manifests/metallb-native.yaml").to_str().unwrap()]);
    // Somebody is named, but nobody listens there.
    route(&cluster, Some(SocketAddr::from(([127, 0, 0, 1], free_port()))));
    for pools in [None, Some(SocketAddr::from(([127, 0, 0, 1], free_port())))] {
        route(&cluster, pools);
        assert!(apply(&cluster, &pool("web", "192.0.2.0/24")).0);
        let (done, said) = apply(&cluster, &pool("broken", ""));
        assert!(!done && said.contains("spec.addresses"), "{said}");
    }
    // What needs a look at other objects is seen by the controller later, and told there: to the later of the two, or
    // where both are of one second, to the later name.
    assert!(apply(&cluster, &pool("within-web", "192.0.2.7/32")).0);
    let (_running, webhooks) = controller(&cluster);
    eventually("the verdict is in the status", || {
        let conditions = cluster.get("ipaddresspool", "within-web")["status"]["conditions"].clone();
        let verdict =
            conditions.as_array()?.iter().find(|condition| condition["type"] == "Accepted")?.clone();
        (verdict["status"] == "False" && verdict["message"].as_str()?.contains("web")).then_some(())
    });
    // As soon as it can be reached it is asked.
    route(&cluster, Some(webhooks));
    trusted(&cluster);
    refused(&cluster, &pool("third", "192.0.2.8/32"), &["overlaps with already defined CIDR"]);
}

#[test]
fn two_controllers_that_start_at_once_without_a_secret_both_serve() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.kubectl(&["apply", "-f", path("deploy/manifests/metallb-native.yaml").to_str().unwrap()]);
    cluster.kubectl(&["-n", "metallb-system", "delete", "secret", "metallb-webhook-cert"]);
    let both = [controller(&cluster), controller(&cluster)];
    trusted(&cluster);
    route(&cluster, Some(both[0].1));
    assert!(apply(&cluster, &pool("web", "192.0.2.0/24")).0);
    for (index, (_, webhooks)) in both.iter().enumerate() {
        route(&cluster, Some(*webhooks));
        let overlapping = pool(&format!("overlapping-{index}"), "192.0.2.7/32");
        // Not taken by the one that is ready later while it is not: nobody is asked then.
        eventually("this one serves", || std::net::TcpStream::connect(webhooks).ok());
        let (done, said) = apply(&cluster, &overlapping);
        if done {
            cluster.kubectl(&[
                "-n",
                "metallb-system",
                "delete",
                "ipaddresspool",
                &format!("overlapping-{index}"),
            ]);
        }
        assert!(done || said.contains("overlaps with already defined CIDR"), "{said}");
        refused(&cluster, &overlapping, &["admission webhook", "overlaps with already defined CIDR"]);
    }
    eventually("one secret for the speakers, one lease", || {
        let names = cluster.kubectl(&["-n", "metallb-system", "get", "secret,lease", "-o", "name"]);
        let wanted = [
            "secret/memberlist",
            "secret/metallb-webhook-cert",
            "lease.coordination.k8s.io/metallb-controller",
        ];
        (names.lines().count() == wanted.len() && wanted.iter().all(|name| names.contains(name)))
            .then_some(())
    });
    let refused = cluster.server.rbac_usage().refused;
    assert!(refused.is_empty(), "the controller's roles lack {refused:?}");
}

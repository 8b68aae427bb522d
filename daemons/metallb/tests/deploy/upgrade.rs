//! Applying over an installation of MetalLB replaces it in place, and the other way round.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::support::{path, read};

/// What `kubectl apply` has to do with the objects that both have.
const SHARED: [(&str, &str); 14] = [
    ("namespace", "metallb-system"),
    ("serviceaccount", "controller"),
    ("serviceaccount", "speaker"),
    ("role", "controller"),
    ("role", "pod-lister"),
    ("clusterrole", "metallb-system:controller"),
    ("clusterrole", "metallb-system:speaker"),
    ("rolebinding", "controller"),
    ("rolebinding", "pod-lister"),
    ("clusterrolebinding", "metallb-system:controller"),
    ("clusterrolebinding", "metallb-system:speaker"),
    ("deployment", "controller"),
    ("daemonset", "speaker"),
    ("validatingwebhookconfiguration", "metallb-webhook-configuration"),
];

fn ours(cluster: &Cluster, way: &[&str]) -> String {
    let file = path("deploy/manifests/metallb-native.yaml");
    cluster.kubectl(&[way, &["-f", file.to_str().unwrap()]].concat())
}

/// What the objects say, without what the server keeps about them.
fn content(cluster: &Cluster) -> Vec<Value> {
    SHARED
        .iter()
        .map(|(kind, name)| {
            let mut object = cluster.get(kind, name);
            let map = object.as_object_mut().unwrap();
            map.remove("status");
            map["metadata"] = json!({ "name": name, "labels": map["metadata"]["labels"] });
            object
        })
        .collect()
}

/// An installation of MetalLB in its FRR mode, whose speakers have more containers than ours; its controller has put
/// its certificate where it is needed.
fn metallb() -> Option<(Cluster, String)> {
    let cluster = Cluster::start()?;
    let file = cluster.file("metallb.yaml", &read("daemons/metallb/tests/deploy/metallb-frr.yaml"));
    cluster.kubectl(&["apply", "-f", &file]);
    let data = json!({ "data": { "ca.crt": "YQ==", "tls.crt": "YQ==", "tls.key": "YQ==" } }).to_string();
    let secret = ["-n", "metallb-system", "patch", "secret", "metallb-webhook-cert", "-p", &data];
    cluster.kubectl(&secret);
    Some((cluster, file))
}

#[test]
fn every_shared_object_is_replaced_and_none_is_made_beside_it() {
    let Some((cluster, _)) = metallb() else { return };
    let output = ours(&cluster, &["apply"]);
    let created: Vec<_> = output
        .lines()
        .filter(|line| line.ends_with(" created") && !line.starts_with("customresourcedefinition"))
        .collect();
    assert_eq!(created, Vec::<&str>::new());
}

fn assert_replaced(cluster: &Cluster) {
    let speaker = &cluster.get("daemonset", "speaker")["spec"]["template"]["spec"];
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&speaker["containers"]), ["speaker"]);
    assert_eq!(names(&speaker["initContainers"]), Vec::<String>::new());
    assert_eq!(names(&speaker["volumes"]), ["memberlist", "metallb-excludel2"]);
    let mut ports = names(&speaker["containers"][0]["ports"]);
    ports.sort();
    assert_eq!(ports, ["memberlist-tcp", "memberlist-udp", "metricshttps", "monitoring"]);
    assert_eq!(speaker["terminationGracePeriodSeconds"], 10);
    assert!(speaker.get("shareProcessNamespace").is_none(), "{speaker}");

    let controller = &cluster.get("deployment", "controller")["spec"];
    assert_eq!(controller["strategy"], json!({ "type": "Recreate" }));
    assert_eq!(names(&controller["template"]["spec"]["containers"][0]["env"]).len(), 3);

    let webhooks = cluster.get("validatingwebhookconfiguration", "metallb-webhook-configuration");
    let webhooks = webhooks["webhooks"].as_array().unwrap();
    assert!(webhooks.iter().all(|webhook| webhook["failurePolicy"] == "Ignore"), "{webhooks:?}");
    assert_eq!(webhooks.len(), 6, "the webhook for a kind that is no more is gone");

    assert_eq!(cluster.get("rolebinding", "pod-lister")["subjects"].as_array().unwrap().len(), 1);
    assert_eq!(cluster.get("secret", "metallb-webhook-cert")["data"]["tls.key"], "YQ==");
}

#[test]
fn nothing_of_the_old_installation_stays_in_the_shared_objects() {
    let Some((cluster, _)) = metallb() else { return };
    ours(&cluster, &["apply"]);
    assert_replaced(&cluster);
}

#[test]
fn a_server_side_apply_replaces_it_just_as_well() {
    let Some((cluster, _)) = metallb() else { return };
    ours(&cluster, &["apply", "--server-side", "--force-conflicts"]);
    assert_replaced(&cluster);
}

#[test]
fn applying_metallb_again_brings_everything_back() {
    let Some((cluster, file)) = metallb() else { return };
    let before = content(&cluster);
    ours(&cluster, &["apply"]);
    assert_ne!(content(&cluster), before);
    cluster.kubectl(&["apply", "-f", &file]);
    for (before, after) in before.iter().zip(content(&cluster)) {
        assert_eq!(*before, after);
    }
}

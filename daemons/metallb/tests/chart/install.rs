//! `helm install`, `upgrade` and `uninstall` against an API server.

use serde_json::json;

use crate::cluster::Cluster;
use crate::files::{CHART, read};
use crate::helm::Helm;

const CONTROLLER: &str = "/apis/apps/v1/namespaces/metallb-system/deployments/metallb-controller";
const SPEAKER: &str = "/apis/apps/v1/namespaces/metallb-system/daemonsets/metallb-speaker";
const POOLS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ipaddresspools.metallb.io";
const POOL: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools/first";

#[test]
fn a_release_is_installed_changed_rolled_back_and_removed_but_for_the_configuration() {
    let Some(cluster) = Cluster::start() else { return };
    assert!(cluster.install(&[]).contains("STATUS: deployed"));
    assert!(cluster.get(SPEAKER).is_some());
    cluster.apply(&json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "first", "namespace": "metallb-system"},
        "spec": {"addresses": ["192.0.2.0/24"]},
    }));

    cluster.helm("upgrade", &[CHART], &["controller.replicas=2", "speaker.enabled=false"]);
    assert_eq!(cluster.get(CONTROLLER).unwrap()["spec"]["replicas"], 2);
    assert_eq!(cluster.get(SPEAKER), None);

    cluster.helm("rollback", &["1"], &[]);
    assert_eq!(cluster.get(CONTROLLER).unwrap()["spec"]["replicas"], 1);
    assert!(cluster.get(SPEAKER).is_some());

    cluster.helm("uninstall", &["--wait"], &[]);
    assert_eq!((cluster.get(CONTROLLER), cluster.get(SPEAKER)), (None, None));
    assert!(cluster.get(POOL).is_some(), "the pool went with the release");
    // The same release takes the definitions that it left over again.
    assert!(cluster.install(&["crds.keep=false"]).contains("STATUS: deployed"));
    cluster.helm("uninstall", &["--wait"], &[]);
    assert_eq!(cluster.get(POOLS), None);
}

#[test]
fn what_the_controller_wrote_survives_an_upgrade() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.install(&[]);
    let secret = "/api/v1/namespaces/metallb-system/secrets/metallb-webhook-cert";
    let webhooks =
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/metallb-webhook-configuration";
    let peers = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/bgppeers.metallb.io";
    let bundle = json!(read("daemons/metallb/tests/chart/testdata/ca-bundle.txt").trim_end());

    let mut found = cluster.get(secret).unwrap();
    found["data"] = json!({"tls.crt": "Y2VydA=="});
    cluster.put(secret, &found);
    let mut found = cluster.get(webhooks).unwrap();
    for webhook in found["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["caBundle"] = bundle.clone();
    }
    cluster.put(webhooks, &found);
    let mut found = cluster.get(peers).unwrap();
    found["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = bundle.clone();
    cluster.put(peers, &found);

    cluster.helm(
        "upgrade",
        &[CHART],
        &["controller.logLevel=\"debug\"", "crds.validationFailurePolicy=\"Fail\""],
    );
    assert_eq!(cluster.get(secret).unwrap()["data"]["tls.crt"], "Y2VydA==");
    let after = cluster.get(webhooks).unwrap();
    for webhook in after["webhooks"].as_array().unwrap() {
        assert_eq!(
            (&webhook["clientConfig"]["caBundle"], &webhook["failurePolicy"]),
            (&bundle, &json!("Fail"))
        );
    }
    let after = cluster.get(peers).unwrap();
    assert_eq!(after["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"], bundle);
}

/// A chart with the objects of MetalLB's that matter to an upgrade: a release of it is what ours takes over.
fn original(helm: &Helm) -> String {
    let chart = "original/Chart.yaml";
    let about = helm.file(chart, "apiVersion: v2\nname: metallb\nversion: 0.16.0\nappVersion: v0.16.0\n");
    let templates = read("daemons/metallb/tests/chart/testdata/original.yaml");
    helm.file("original/templates/all.yaml", &templates);
    about.strip_suffix("/Chart.yaml").unwrap().to_owned()
}

#[test]
fn a_release_of_metallbs_chart_is_upgraded_in_place() {
    let Some(cluster) = Cluster::start() else { return };
    let chart = original(&cluster.helm);
    cluster.helm.run(&["install", "metallb", &chart, "--namespace=metallb-system", "--create-namespace"]);
    let before = cluster.get(CONTROLLER).unwrap();
    let frr = "/apis/apps/v1/namespaces/metallb-system/daemonsets/metallb-frr-k8s";
    let configurations =
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/frrconfigurations.frrk8s.metallb.io";
    assert!(cluster.get(frr).is_some());
    // What docs/helm.md says to do first, for those who have FRRConfigurations of their own.
    let mut definition = cluster.get(configurations).unwrap();
    definition["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
    cluster.put(configurations, &definition);

    cluster.helm("upgrade", &[CHART], &["metallb-0.16.yaml"]);
    let after = cluster.get(CONTROLLER).unwrap();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "made anew instead of changed");
    let image = after["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
    assert!(image.starts_with("localhost/metallb/controller:"), "{image}");
    assert_eq!(cluster.get(frr), None);
    assert!(cluster.get(configurations).is_some());

    // And with no value but the chart's own: an old strategy's details do not stand in the way of ours.
    cluster.helm("upgrade", &[CHART, "--reset-values"], &[]);
    let strategy = &cluster.get(CONTROLLER).unwrap()["spec"]["strategy"];
    assert_eq!(strategy, &json!({"type": "Recreate"}));
}

//! The definitions of metallb.io.

use kube::Api;
use kube::api::{DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use metallb_apiserver::Server;
use serde_json::json;

use crate::support::mk_client;

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: metallb-system}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: pool, namespace: metallb-system}
spec:
  addresses: [192.168.10.0/24, 192.168.9.1-192.168.9.5, 'fc00:f853:0ccd:e799::/124']
  serviceAllocation: {priority: 5, namespaces: [a], serviceSelectors: [{matchLabels: {a: b}}]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: l2, namespace: metallb-system}
spec:
  ipAddressPools: [pool]
  interfaces: [eth0]
  nodeSelectors: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: peer, namespace: metallb-system}
spec: {myASN: 64512, peerASN: 4200000000, peerAddress: 10.0.0.1, holdTime: 90s}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: bgp, namespace: metallb-system}
spec: {aggregationLength: 24, communities: ['65535:65282'], peers: [peer]}
---
apiVersion: metallb.io/v1beta1
kind: Community
metadata: {name: communities, namespace: metallb-system}
spec: {communities: [{name: no-advertise, value: '65535:65282'}]}
---
apiVersion: metallb.io/v1beta1
kind: BFDProfile
metadata: {name: bfd, namespace: metallb-system}
spec: {receiveInterval: 380, echoMode: true}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: empty, namespace: metallb-system}
";

#[tokio::test]
async fn every_metallb_kind_is_served_with_its_defaults_and_limits() {
    let server = Server::builder().crds(metallb_k8s::crd::all()).build().unwrap();
    assert_eq!(server.apply(OBJECTS).unwrap().len(), 8);
    let client = mk_client(&server);
    for (kind, version) in [
        ("IPAddressPool", "v1beta1"),
        ("L2Advertisement", "v1beta1"),
        ("BGPPeer", "v1beta2"),
        ("BGPAdvertisement", "v1beta1"),
        ("Community", "v1beta1"),
        ("BFDProfile", "v1beta1"),
        ("ServiceL2Status", "v1beta1"),
        ("ServiceBGPStatus", "v1beta1"),
        ("ConfigurationState", "v1beta1"),
    ] {
        let plural = match kind {
            "Community" => "communities".to_owned(),
            "ServiceL2Status" | "ServiceBGPStatus" => format!("{}es", kind.to_lowercase()),
            _ => format!("{}s", kind.to_lowercase()),
        };
        let gvk = GroupVersionKind::gvk("metallb.io", version, kind);
        let api: Api<DynamicObject> = Api::namespaced_with(
            client.clone(),
            "metallb-system",
            &ApiResource::from_gvk_with_plural(&gvk, &plural),
        );
        let listed = api.list(&ListParams::default()).await;
        assert!(listed.is_ok(), "{kind}: {listed:?}");
    }
    let gvk = GroupVersionKind::gvk("metallb.io", "v1beta1", "IPAddressPool");
    let pools: Api<DynamicObject> =
        Api::namespaced_with(client, "metallb-system", &ApiResource::from_gvk(&gvk));
    let pool = pools.get("pool").await.unwrap();
    assert_eq!(pool.data["spec"]["autoAssign"], true);
    let wrong = Patch::Merge(json!({"spec": {"addresses": 5}}));
    let Err(kube::Error::Api(status)) = pools.patch("pool", &PatchParams::default(), &wrong).await else {
        panic!("a number was taken for a list");
    };
    assert_eq!(status.code, 422);
    let counters =
        json!({"status": {"assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 9, "availableIPv6": 0}});
    let written = pools.patch_status("pool", &PatchParams::default(), &Patch::Merge(counters)).await.unwrap();
    assert_eq!(written.data["status"]["availableIPv4"], 9);
}

#[tokio::test]
async fn the_rules_of_the_definitions_are_evaluated() {
    let server = Server::builder().crds(metallb_k8s::crd::all()).build().unwrap();
    server.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: metallb-system}\n").unwrap();
    let gvk = GroupVersionKind::gvk("metallb.io", "v1beta2", "BGPPeer");
    let peers: Api<DynamicObject> =
        Api::namespaced_with(mk_client(&server), "metallb-system", &ApiResource::from_gvk(&gvk));
    let peer = |spec: &serde_json::Value| {
        let mut full = json!({"myASN": 64512, "peerASN": 64513, "peerAddress": "10.0.0.1"});
        json_patch::merge(&mut full, spec);
        let object = json!({
            "apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer", "metadata": {"name": "p"}, "spec": full,
        });
        serde_json::from_value::<DynamicObject>(object).unwrap()
    };
    for (spec, message) in [
        (json!({"dynamicASN": "internal"}), "exactly one of peerASN and dynamicASN must be given"),
        (json!({"peerAddress": null}), "exactly one of peerAddress and interface must be given"),
        (
            json!({"password": "x", "passwordSecret": {"name": "s"}}),
            "password and passwordSecret exclude each other",
        ),
        (json!({"peerASN": 64512, "ebgpMultiHop": true}), "ebgpMultiHop is only for external peers"),
        (json!({"holdTime": "2s"}), "the hold time must be 0s or between 3s and 65535s"),
        (json!({"connectTime": "1500ms"}), "the connect time must be a whole number of seconds"),
        (
            json!({"holdTime": "30s", "keepaliveTime": "40s"}),
            "keepaliveTime must not be longer than holdTime",
        ),
    ] {
        let refused = peers.create(&PostParams::default(), &peer(&spec)).await;
        let Err(kube::Error::Api(status)) = refused else { panic!("{spec} was taken") };
        assert!(status.code == 422 && status.message.contains(message), "{spec}: {}", status.message);
    }
    peers
        .create(&PostParams::default(), &peer(&json!({"enableGracefulRestart": true, "holdTime": "90s"})))
        .await
        .unwrap();
    let change = Patch::Merge(json!({"spec": {"enableGracefulRestart": false}}));
    let Err(kube::Error::Api(status)) = peers.patch("p", &PatchParams::default(), &change).await else {
        panic!("the graceful restart was changed");
    };
    assert!(status.message.contains("enableGracefulRestart cannot be changed"), "{}", status.message);
    let other = Patch::Merge(json!({"spec": {"peerPort": 1179}}));
    peers.patch("p", &PatchParams::default(), &other).await.unwrap();
}

//! Flags that choose between MetalLB's way and another one.

use std::time::Duration;

use kube::api::DeleteParams;
use metallb_k8s::crd::IPAddressPool;
use serde_json::json;

use crate::harness::{Cluster, Daemon, addresses};
use crate::{POOL, controller};

async fn with_args(pool: &str, args: &[&str]) -> (Cluster, Daemon) {
    let cluster = Cluster::start().await;
    cluster.pool("web", &[pool]);
    let daemon = controller(&cluster, args);
    (cluster, daemon)
}

#[tokio::test]
async fn the_sharing_order_decides_whether_a_free_address_comes_before_a_shared_one() {
    for (order, wanted) in [("shared-first", "192.0.2.1"), ("first-free", "192.0.2.0")] {
        let (cluster, _daemon) = with_args("192.0.2.0/28", &[&format!("--sharing-order={order}")]).await;
        let key = "metallb.io/allow-shared-ip";
        let asks = json!({ key: "k", "metallb.io/loadBalancerIPs": "192.0.2.1" });
        cluster.service("first", json!({}), asks).await;
        cluster.assigned("first", &["192.0.2.1"]).await;
        let other_port = json!({ "ports": [{ "port": 81, "protocol": "TCP" }] });
        cluster.service("second", other_port, json!({ key: "k" })).await;
        cluster.assigned("second", &[wanted]).await;
    }
}

#[tokio::test]
async fn services_keep_the_addresses_of_a_deleted_pool_for_the_grace() {
    let (cluster, _daemon) = with_args("192.0.2.0/28", &["--pool-deletion-grace=2s"]).await;
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.0"]).await;
    cluster.system::<IPAddressPool>().delete("web", &DeleteParams::default()).await.unwrap();
    let message = cluster.event("web", "AddressHeld").await;
    assert!(message.contains("pool \"web\""), "{message}");
    let service = cluster.services().get("web").await.unwrap();
    assert_eq!(addresses(&service), ["192.0.2.0"]);
    cluster.assigned("web", &[]).await;
    cluster.event("web", "ClearAssignment").await;
}

/// A service that has an address of a pool that is not there.
fn restored(cluster: &Cluster) {
    cluster.server.apply_object(&json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "restored", "annotations": { POOL: "later" } },
        "spec": { "type": "LoadBalancer", "ports": [{ "port": 80, "protocol": "TCP" }] },
        "status": { "loadBalancer": { "ingress": [{ "ip": "198.51.100.5" }] } },
    }));
}

#[tokio::test]
async fn the_startup_hold_decides_how_long_a_pool_that_is_not_there_yet_is_waited_for() {
    for (hold, wanted) in [("1h", "198.51.100.5"), ("0", "192.0.2.0")] {
        let cluster = Cluster::start().await;
        cluster.pool("web", &["192.0.2.0/28"]);
        restored(&cluster);
        let _daemon = controller(&cluster, &[&format!("--startup-hold={hold}")]);
        cluster.service("new", json!({}), json!({ "metallb.io/loadBalancerIPs": "192.0.2.9" })).await;
        cluster.assigned("new", &["192.0.2.9"]).await;
        cluster.assigned("restored", &[wanted]).await;
        cluster.pool("later", &["198.51.100.0/28"]);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let service = cluster.services().get("restored").await.unwrap();
        assert_eq!(addresses(&service), [wanted], "--startup-hold={hold}");
    }
}

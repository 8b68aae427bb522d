//! Which addresses services get, keep and lose.

use kube::ResourceExt;
use kube::api::DeleteParams;
use metallb_k8s::crd::{ConfigurationResult, ConfigurationState, IPAddressPool};
use serde_json::json;

use crate::harness::{Cluster, addresses};
use crate::{POOL, controller, with_pool};

#[tokio::test]
async fn a_service_gets_its_address_with_one_write_and_one_event() {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/28"]);
    // Two are there before the controller, one comes later.
    for name in ["one", "two"] {
        cluster.service(name, json!({}), json!({})).await;
    }
    let daemon = controller(&cluster, &[]);
    daemon.says(&["addresses assigned", "default/one"]).await;
    cluster.service("three", json!({}), json!({})).await;
    let service = cluster.until("two", |service| !addresses(service).is_empty()).await;
    assert_eq!(service.annotations()[POOL], "web");
    let message = cluster.event("two", "IPAllocated").await;
    assert_eq!(message, format!("Assigned IP [\"{}\"]", addresses(&service)[0]));
    // The status of the pool is written last.
    cluster
        .until_system::<IPAddressPool>("web", |pool| {
            pool.status.as_ref().is_some_and(|status| status.assigned_ipv4 == 3)
        })
        .await;
    let requests = cluster.front.requests();
    for name in ["one", "two", "three"] {
        let writes = requests.iter().filter(|request| request.writes(&format!("/{name}/status"))).count();
        assert_eq!(writes, 1, "{name}: {requests:#?}");
        assert_eq!(cluster.events(name, "IPAllocated").await.len(), 1, "{name}");
    }
    let events = requests.iter().filter(|request| request.writes("/events")).count();
    assert_eq!(events, 3, "{requests:#?}");
}

#[tokio::test]
async fn a_service_without_a_free_address_says_so_and_gets_the_next_one() {
    let (cluster, _daemon) = with_pool(&["192.0.2.1-192.0.2.1"]).await;
    cluster.service("first", json!({}), json!({})).await;
    cluster.assigned("first", &["192.0.2.1"]).await;
    cluster.service("second", json!({}), json!({})).await;
    let message = cluster.event("second", "AllocationFailed").await;
    assert!(message.starts_with("Failed to allocate IP for \"default/second\": "), "{message}");
    assert!(message.contains("web") && message.contains("free"), "{message}");
    cluster.delete(cluster.services(), "first").await;
    cluster.assigned("second", &["192.0.2.1"]).await;
}

#[tokio::test]
async fn an_address_outside_of_all_pools_is_refused_until_a_pool_has_it() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.service("far", json!({}), json!({ "metallb.io/loadBalancerIPs": "198.51.100.7" })).await;
    let message = cluster.event("far", "AllocationFailed").await;
    assert!(message.contains("198.51.100.7"), "{message}");
    cluster.pool("far", &["198.51.100.0/28"]);
    let service = cluster.assigned("far", &["198.51.100.7"]).await;
    assert_eq!(service.annotations()[POOL], "far");
}

#[tokio::test]
async fn of_two_services_that_want_one_address_the_second_waits() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    let wanted = json!({ "metallb.io/loadBalancerIPs": "192.0.2.5" });
    cluster.service("first", json!({}), wanted.clone()).await;
    cluster.assigned("first", &["192.0.2.5"]).await;
    cluster.service("second", json!({}), wanted).await;
    let message = cluster.event("second", "AllocationFailed").await;
    assert!(message.contains("192.0.2.5") && message.contains("default/first"), "{message}");
    cluster.delete(cluster.services(), "first").await;
    cluster.assigned("second", &["192.0.2.5"]).await;
}

#[tokio::test]
async fn services_with_one_sharing_key_share_an_address_on_different_ports() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    let share = json!({ "metallb.io/allow-shared-ip": "key", "metallb.io/loadBalancerIPs": "192.0.2.3" });
    let port = |port: u16| json!({ "ports": [{ "port": port, "protocol": "TCP" }] });
    cluster.service("web", port(80), share.clone()).await;
    cluster.service("tls", port(443), share.clone()).await;
    cluster.assigned("web", &["192.0.2.3"]).await;
    cluster.assigned("tls", &["192.0.2.3"]).await;
    cluster.service("again", port(443), share).await;
    let message = cluster.event("again", "AllocationFailed").await;
    assert!(message.contains("443"), "{message}");
}

#[tokio::test]
async fn a_second_family_is_added_when_a_pool_has_it() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    let both = json!({ "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"] });
    cluster.service("dual", both, json!({})).await;
    cluster.assigned("dual", &["192.0.2.0"]).await;
    cluster.pool("web", &["192.0.2.0/28", "2001:db8::/124"]);
    cluster.assigned("dual", &["192.0.2.0", "2001:db8::"]).await;
    let both = json!({ "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"] });
    cluster.service("both", both, json!({})).await;
    cluster.assigned("both", &["192.0.2.1", "2001:db8::1"]).await;
}

#[tokio::test]
async fn a_service_that_requires_both_families_has_both_or_none() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    let prefer = json!({ "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"] });
    cluster.service("dual", prefer, json!({})).await;
    cluster.assigned("dual", &["192.0.2.0"]).await;
    cluster.patch("dual", json!({ "spec": { "ipFamilyPolicy": "RequireDualStack" } })).await;
    cluster.until("dual", |service| addresses(service).is_empty()).await;
    let message = cluster.event("dual", "ClearAssignment").await;
    assert!(message.contains("RequireDualStack") && message.contains("no IPv6 addresses"), "{message}");
    cluster.pool("whole", &["198.51.100.0/28", "2001:db8::/124"]);
    cluster.assigned("dual", &["198.51.100.0", "2001:db8::"]).await;
}

#[tokio::test]
async fn a_service_that_is_no_load_balancer_any_more_loses_status_and_annotation() {
    let (cluster, _daemon) = with_pool(&["192.0.2.1-192.0.2.1"]).await;
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.1"]).await;
    cluster.patch("web", json!({ "spec": { "type": "ClusterIP" } })).await;
    cluster
        .until("web", |service| addresses(service).is_empty() && !service.annotations().contains_key(POOL))
        .await;
    cluster.service("next", json!({}), json!({})).await;
    cluster.assigned("next", &["192.0.2.1"]).await;
}

#[tokio::test]
async fn only_services_of_the_class_are_looked_at() {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/28"]);
    let class = "metallb.io/edge";
    let _daemon = controller(&cluster, &[&format!("--lb-class={class}")]);
    cluster.service("without", json!({}), json!({})).await;
    cluster.service("other", json!({ "loadBalancerClass": "example.com/other" }), json!({})).await;
    cluster.service("ours", json!({ "loadBalancerClass": class }), json!({})).await;
    cluster.assigned("ours", &["192.0.2.0"]).await;
    for name in ["without", "other"] {
        let service = cluster.services().get(name).await.unwrap();
        assert!(addresses(&service).is_empty(), "{name}");
    }
    assert!(!cluster.front.requests().iter().any(|request| request.writes("/without/status")));
}

#[tokio::test]
async fn without_a_class_services_of_a_class_are_left_alone() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.service("classed", json!({ "loadBalancerClass": "example.com/other" }), json!({})).await;
    cluster.service("plain", json!({}), json!({})).await;
    cluster.assigned("plain", &["192.0.2.0"]).await;
    assert!(addresses(&cluster.services().get("classed").await.unwrap()).is_empty());
}

#[tokio::test]
async fn an_address_of_a_service_of_another_class_is_not_given_out_before_that_is_gone() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/30"]).await;
    cluster.server.apply_object(&serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "foreign" },
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "example.com/other",
            "ports": [{ "port": 80, "protocol": "TCP" }],
        },
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.0" }] } },
    }));
    // The watch shows them in this order.
    cluster.service("plain", json!({}), json!({})).await;
    cluster.assigned("plain", &["192.0.2.1"]).await;
    cluster.service("asks", json!({}), json!({ "metallb.io/loadBalancerIPs": "192.0.2.0" })).await;
    let message = cluster.event("asks", "AllocationFailed").await;
    assert!(message.contains("192.0.2.0 is an address of service default/foreign"), "{message}");
    let foreign = cluster.services().get("foreign").await.unwrap();
    assert_eq!(addresses(&foreign), ["192.0.2.0"], "nobody touched it");
    cluster.delete(cluster.services(), "foreign").await;
    cluster.assigned("asks", &["192.0.2.0"]).await;
}

#[tokio::test]
async fn after_a_restart_with_a_class_the_addresses_of_services_without_one_stay_theirs() {
    let (cluster, mut daemon) = with_pool(&["192.0.2.0/30"]).await;
    cluster.service("plain", json!({}), json!({})).await;
    cluster.assigned("plain", &["192.0.2.0"]).await;
    daemon.terminate().await;
    let _daemon = controller(&cluster, &["--lb-class=example.com/ours"]);
    cluster.service("classed", json!({ "loadBalancerClass": "example.com/ours" }), json!({})).await;
    cluster.assigned("classed", &["192.0.2.1"]).await;
    cluster.assigned("plain", &["192.0.2.0"]).await;
}

#[tokio::test]
async fn a_write_that_comes_too_late_is_decided_on_again() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.service("early", json!({}), json!({})).await;
    cluster.assigned("early", &["192.0.2.0"]).await;
    let server = cluster.server.clone();
    let mut asked = 0;
    cluster.front.hook(move |request| {
        if request.writes("/services/late/status") {
            asked += 1;
            // Somebody else is faster: first with something harmless, then with another wish.
            let annotations = match asked {
                1 => "  annotations:\n    example.com/note: hello\n",
                2 => "  annotations:\n    metallb.io/loadBalancerIPs: 192.0.2.9\n",
                _ => return,
            };
            let service = format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: late\n{annotations}");
            server.apply(&service);
        }
    });
    cluster.service("late", json!({}), json!({})).await;
    cluster.assigned("late", &["192.0.2.9"]).await;
}

#[tokio::test]
async fn a_bad_request_is_told_on_the_service() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.service("bad", json!({}), json!({ "metallb.io/loadBalancerIPs": "not-an-address" })).await;
    let message = cluster.event("bad", "LoadBalancerFailed").await;
    assert!(message.contains("not-an-address"), "{message}");
    cluster
        .patch("bad", json!({ "metadata": { "annotations": { "metallb.io/loadBalancerIPs": "192.0.2.4" } } }))
        .await;
    cluster.assigned("bad", &["192.0.2.4"]).await;
}

#[tokio::test]
async fn annotations_that_nobody_filled_in_or_knows_are_told_once() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    let annotations = json!({ "metallb.io/allow-shared-ip": "${KEY}", "metallb.io/address-pools": "web" });
    cluster.service("shop", json!({}), annotations).await;
    cluster.until("shop", |service| !addresses(service).is_empty()).await;
    let message = cluster.event("shop", "unfilledAnnotation").await;
    assert!(message.contains("metallb.io/allow-shared-ip") && message.contains("fill it in"), "{message}");
    let message = cluster.event("shop", "unknownAnnotation").await;
    assert!(message.contains("did you mean metallb.io/address-pool?"), "{message}");
    // A change of something else is no reason to say it again.
    cluster.patch("shop", json!({ "metadata": { "labels": { "tier": "front" } } })).await;
    cluster.service("later", json!({}), json!({})).await;
    cluster.event("later", "IPAllocated").await;
    for reason in ["unfilledAnnotation", "unknownAnnotation"] {
        let events = cluster.events("shop", reason).await;
        assert_eq!(events.len(), 1, "{events:#?}");
        assert!(events[0].count.unwrap_or(1) == 1, "{events:#?}");
    }
}

#[tokio::test]
async fn the_old_prefix_works_and_is_called_deprecated() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.service("old", json!({}), json!({ "metallb.universe.tf/loadBalancerIPs": "192.0.2.6" })).await;
    cluster.assigned("old", &["192.0.2.6"]).await;
    let message = cluster.event("old", "deprecatedAnnotation").await;
    assert!(
        message.contains("metallb.universe.tf/loadBalancerIPs") && message.contains("metallb.io/"),
        "{message}"
    );
}

#[tokio::test]
async fn a_service_that_wants_another_address_gets_it_and_is_told_why() {
    let (cluster, _daemon) = with_pool(&["192.0.2.0/28"]).await;
    cluster.service("moves", json!({}), json!({})).await;
    cluster.assigned("moves", &["192.0.2.0"]).await;
    let wanted = json!({ "metadata": { "annotations": { "metallb.io/loadBalancerIPs": "192.0.2.4" } } });
    cluster.patch("moves", wanted).await;
    cluster.assigned("moves", &["192.0.2.4"]).await;
    let message = cluster.event("moves", "ClearAssignment").await;
    assert!(message.starts_with("current IP for \"default/moves\" not allowed by config"), "{message}");
    assert!(message.contains("192.0.2.0"), "{message}");
    cluster.service("next", json!({}), json!({})).await;
    cluster.assigned("next", &["192.0.2.0"]).await;
}

#[tokio::test]
async fn a_pool_that_loses_an_address_moves_its_service() {
    let (cluster, _daemon) = with_pool(&["192.0.2.1-192.0.2.2"]).await;
    cluster.service("moves", json!({}), json!({})).await;
    cluster.assigned("moves", &["192.0.2.1"]).await;
    cluster.pool("web", &["192.0.2.2-192.0.2.3"]);
    cluster.assigned("moves", &["192.0.2.2"]).await;
    let message = cluster.event("moves", "ClearAssignment").await;
    assert!(message.contains("192.0.2.1"), "{message}");
}

#[tokio::test]
async fn a_pool_for_some_namespaces_follows_their_labels() {
    let cluster = Cluster::start().await;
    let spec = json!({
        "addresses": ["192.0.2.0/28"],
        "serviceAllocation": { "namespaceSelectors": [{ "matchLabels": { "team": "blue" } }] },
    });
    cluster.configure("IPAddressPool", "blue", &spec);
    let _daemon = controller(&cluster, &[]);
    cluster.service("web", json!({}), json!({})).await;
    cluster.event("web", "AllocationFailed").await;
    cluster.apply("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: default\n  labels: {team: blue}\n");
    cluster.assigned("web", &["192.0.2.0"]).await;
}

fn node(name: &str, address: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
        "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
    })
}

#[tokio::test]
async fn addresses_of_nodes_and_of_the_api_server_are_left_to_them() {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/29"]);
    cluster.server.apply_object(&node("n1", "192.0.2.0"));
    cluster.server.apply_object(&json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "kubernetes", "namespace": "default" },
        "endpoints": [{ "addresses": ["192.0.2.1"] }],
    }));
    let _daemon = controller(&cluster, &[]);
    cluster.service("first", json!({}), json!({})).await;
    cluster.assigned("first", &["192.0.2.2"]).await;
    let named = |words: &'static str| {
        move |pool: &IPAddressPool| {
            let status = pool.status.as_ref();
            status.is_some_and(|status| status.conditions.iter().any(|one| one.message.contains(words)))
        }
    };
    let both = "192.0.2.0 (node \"n1\"), 192.0.2.1 (the API server)";
    let pool = cluster.until_system("web", named(both)).await;
    assert_eq!(pool.status.unwrap().used_by, ["default/first"]);
    // The state of the whole says the same, and stays valid.
    let state = move |words: &'static str, said: bool| {
        move |state: &ConfigurationState| {
            let status = state.status.as_ref();
            status.is_some_and(|status| {
                status.result == Some(ConfigurationResult::Valid)
                    && said == status.conditions.iter().any(|one| one.message.contains(words))
            })
        }
    };
    cluster.until_system("controller", state(both, true)).await;

    cluster.service("asks", json!({}), json!({ "metallb.io/loadBalancerIPs": "192.0.2.0" })).await;
    let message = cluster.event("asks", "AllocationFailed").await;
    assert!(message.contains("192.0.2.0 is an address of node \"n1\""), "{message}");
    cluster.server.apply_object(&node("n2", "192.0.2.2"));
    let message = cluster.event("first", "AddressReserved").await;
    assert!(message.contains("node \"n2\""), "{message}");
    cluster.assigned("first", &["192.0.2.2"]).await;
    cluster.server.apply_object(&node("n1", "192.0.2.77"));
    cluster.assigned("asks", &["192.0.2.0"]).await;
    cluster
        .until_system("controller", state("192.0.2.1 (the API server), 192.0.2.2 (node \"n2\")", true))
        .await;
    cluster.system::<IPAddressPool>().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.until_system("controller", state("the API server", false)).await;
}

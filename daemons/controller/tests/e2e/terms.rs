//! Terms of leadership: what is said and written when the next one begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use metallb_k8s::crd::ConfigurationState;
use serde_json::json;

use crate::with_pool;

/// The events about an object, as reason and how often.
fn counts(events: &[Event]) -> Vec<(String, i32)> {
    events.iter().map(|event| (event.reason.clone().unwrap(), event.count.unwrap())).collect()
}

#[tokio::test]
async fn nothing_is_said_again_in_the_next_term() {
    let (mut cluster, daemon) = with_pool(&["192.0.2.0/32"]).await;
    cluster.service("has", json!({}), json!({ "metallb.universe.tf/address-pool": "web" })).await;
    cluster.assigned("has", &["192.0.2.0"]).await;
    cluster.event("has", "deprecatedAnnotation").await;
    cluster.service("waits", json!({}), json!({ "metallb.io/adress-pool": "web" })).await;
    cluster.event("waits", "AllocationFailed").await;
    cluster.event("waits", "unknownAnnotation").await;
    let state =
        cluster.until_system::<ConfigurationState>("controller", |state| state.status.is_some()).await;
    let failed = async || -> u64 {
        let text = daemon.scrape().await;
        let lines = text.lines().filter(|line| line.starts_with("metallb_allocator_addresses_errors_total"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.trim_end_matches(".0").parse::<u64>().ok()).sum()
    };
    assert_eq!(failed().await, 1);
    // Nothing is left to be written.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    cluster.front.down().await;
    daemon.shows("metallb_controller_leader", "0.0").await;
    cluster.front.up().await;
    daemon.shows("metallb_controller_leader", "1.0").await;
    cluster.service("late", json!({}), json!({})).await;
    cluster.event("late", "AllocationFailed").await;
    for (name, reasons) in [
        ("has", &["IPAllocated", "deprecatedAnnotation"][..]),
        ("waits", &["AllocationFailed", "unknownAnnotation"]),
    ] {
        for reason in reasons {
            let events = cluster.events(name, reason).await;
            assert_eq!(counts(&events), [((*reason).to_owned(), 1)], "{name}");
        }
    }
    let later = cluster.system::<ConfigurationState>().get("controller").await.unwrap();
    assert_eq!(state.resource_version(), later.resource_version());
    assert_eq!(failed().await, 2, "counters go on");
}

#[tokio::test]
async fn a_leader_that_is_behind_leaves_an_address_that_was_published_meanwhile() {
    let (cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    daemon.ready().await;
    // Another leader, whose write this one has not seen when it decides.
    let server = cluster.server.clone();
    let published = Arc::new(AtomicBool::new(false));
    let publishes = Arc::clone(&published);
    cluster.front.hook(move |request| {
        if request.writes("/services/web/status") && !publishes.swap(true, Ordering::SeqCst) {
            server.apply_object(&json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": "web", "annotations": { "metallb.io/ip-allocated-from-pool": "web" } },
                "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } },
            }));
        }
    });
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.7"]).await;
    assert!(published.load(Ordering::SeqCst));
    cluster.service("next", json!({}), json!({})).await;
    cluster.assigned("next", &["192.0.2.0"]).await;
    cluster.assigned("web", &["192.0.2.7"]).await;
}

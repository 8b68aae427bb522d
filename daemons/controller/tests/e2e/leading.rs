//! Two controllers, restarts and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use metallb_k8s::crd::IPAddressPool;
use serde_json::json;

use crate::harness::{Cluster, Daemon, NAMESPACE, eventually};
use crate::{controller, with_pool};

async fn leads(daemon: &Daemon) {
    daemon.ready().await;
    daemon.shows("metallb_controller_leader", "1.0").await;
}

#[tokio::test]
async fn after_a_restart_nothing_is_written() {
    let (cluster, mut daemon) = with_pool(&["192.0.2.0/28"]).await;
    for name in ["one", "two"] {
        cluster.service(name, json!({}), json!({})).await;
    }
    cluster
        .until_system::<IPAddressPool>("web", |pool| {
            pool.status.as_ref().is_some_and(|status| status.assigned_ipv4 == 2)
        })
        .await;
    daemon.terminate().await;
    let before = cluster.front.requests().len();
    let versions = async || {
        let mut versions = Vec::new();
        for name in ["one", "two"] {
            versions.push(cluster.services().get(name).await.unwrap().resource_version());
        }
        versions
    };
    let earlier = versions().await;
    let daemon = controller(&cluster, &[]);
    leads(&daemon).await;
    // What comes after has been written when everything before it was: the writer takes them in order.
    cluster.service("three", json!({}), json!({})).await;
    cluster.assigned("three", &["192.0.2.2"]).await;
    let later = versions().await;
    let requests = cluster.front.requests().split_off(before);
    let touched =
        requests.iter().filter(|request| request.writes("one/status") || request.writes("two/status"));
    assert_eq!(touched.count(), 0, "{requests:#?}");
    assert_eq!(earlier, later);
    for name in ["one", "two"] {
        assert_eq!(cluster.events(name, "IPAllocated").await.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn the_second_controller_takes_over_at_once_after_sigterm() {
    let cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/28"]);
    let lease = ["--lease-duration=60s", "--lease-renew-deadline=40s"];
    let mut first = controller(&cluster, &lease);
    leads(&first).await;
    let second = controller(&cluster, &lease);
    second.ready().await;
    second.shows("metallb_controller_leader", "0.0").await;
    let text = second.scrape().await;
    assert!(!text.contains("metallb_allocator_"), "{text}");
    assert!(text.contains("metallb_k8s_client_config_loaded_bool 1.0"), "{text}");
    let (status, took) = first.terminate().await;
    assert!(status.success() && took < Duration::from_secs(5), "{status} {took:?}");
    // The lease would last for a minute.
    leads(&second).await;
    cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.0"]).await;
}

#[tokio::test]
async fn the_second_controller_takes_over_after_sigkill_when_the_lease_runs_out() {
    let (cluster, mut first) = with_pool(&["192.0.2.0/28"]).await;
    leads(&first).await;
    cluster.service("one", json!({}), json!({})).await;
    let before = cluster.assigned("one", &["192.0.2.0"]).await;
    let second = controller(&cluster, &[]);
    second.ready().await;
    first.kill().await;
    cluster.service("two", json!({}), json!({})).await;
    let begun = std::time::Instant::now();
    leads(&second).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    cluster.assigned("two", &["192.0.2.1"]).await;
    let after = cluster.services().get("one").await.unwrap();
    assert_eq!(before.resource_version(), after.resource_version());
    let lease = cluster.system::<Lease>().get("metallb-controller").await.unwrap();
    assert!(lease.spec.unwrap().lease_transitions.unwrap() >= 1);
}

#[tokio::test]
async fn sigterm_ends_it_within_5_s_with_0() {
    let (cluster, mut daemon) = with_pool(&["192.0.2.0/28"]).await;
    leads(&daemon).await;
    let (status, took) = daemon.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let holder =
        cluster.system::<Lease>().get("metallb-controller").await.unwrap().spec.unwrap().holder_identity;
    assert_eq!(holder.unwrap_or_default(), "");
    daemon.says(&["shutting down", "SIGTERM"]).await;
}

#[tokio::test]
async fn sigterm_ends_it_within_5_s_even_if_the_api_server_is_mute() {
    let (cluster, mut daemon) = with_pool(&["192.0.2.0/28"]).await;
    leads(&daemon).await;
    cluster.front.silence(true);
    cluster.service("web", json!({}), json!({})).await;
    eventually("the write is under way", async || {
        cluster.front.requests().iter().any(|request| request.writes("/web/status")).then_some(())
    })
    .await;
    let (status, took) = daemon.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_lease_that_was_renewed_in_the_last_moment_is_given_back_all_the_same() {
    let cluster = Cluster::start().await;
    let lease = ["--lease-duration=60s", "--lease-renew-deadline=40s", "--lease-retry-period=20s"];
    let mut daemon = controller(&cluster, &lease);
    leads(&daemon).await;
    // Whoever gives the lease back finds it newer than expected.
    let server = cluster.server.clone();
    let touched = Arc::new(AtomicBool::new(false));
    let touches = Arc::clone(&touched);
    let newer = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "metallb-controller", "namespace": NAMESPACE, "labels": { "touched": "yes" } },
    });
    cluster.front.hook(move |request| {
        if request.writes("/leases/metallb-controller") && !touches.swap(true, Ordering::SeqCst) {
            server.apply_object(&newer);
        }
    });
    daemon.terminate().await;
    assert!(touched.load(Ordering::SeqCst));
    let lease = cluster.system::<Lease>().get("metallb-controller").await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.unwrap_or_default(), "");
}

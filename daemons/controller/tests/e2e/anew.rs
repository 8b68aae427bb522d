//! Services that are deleted and made anew under their names.

use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::Cluster;
use crate::{controller, with_pool};

#[tokio::test]
async fn a_service_that_is_made_anew_again_and_again_gets_its_address_at_once() {
    let (cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
    daemon.ready().await;
    let begun = Instant::now();
    for _ in 0..8 {
        cluster.service("web", json!({}), json!({})).await;
        cluster.assigned("web", &["192.0.2.0"]).await;
        cluster.delete(cluster.services(), "web").await;
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(cluster.events("web", "StatusContested").await.len(), 0);
}

#[tokio::test]
async fn a_service_that_was_made_anew_while_nobody_watched_is_another_one() {
    let mut cluster = Cluster::start().await;
    cluster.pool("web", &["192.0.2.0/32"]);
    let daemon = controller(&cluster, &["--lease-duration=60s", "--lease-renew-deadline=40s"]);
    let before = cluster.service("web", json!({}), json!({})).await;
    cluster.assigned("web", &["192.0.2.0"]).await;
    cluster.service("older", json!({}), json!({})).await;
    cluster.event("older", "AllocationFailed").await;
    cluster.front.down().await;
    cluster.services().delete("web", &DeleteParams::default()).await.unwrap();
    // Times of creation are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let after = cluster.service("web", json!({}), json!({})).await;
    assert_ne!(before.uid(), after.uid());
    cluster.front.up().await;
    cluster.assigned("older", &["192.0.2.0"]).await;
    cluster.assigned("web", &[]).await;
    cluster.event("web", "AllocationFailed").await;
    daemon.shows("metallb_controller_leader", "1.0").await;
}

//! How often the counters of pools are written.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metallb_k8s::crd::IPAddressPool;
use serde_json::json;

use crate::with_pool;

#[tokio::test]
async fn counters_of_a_pool_are_written_once_a_second_at_most_and_once_more_at_the_stop() {
    let (cluster, mut daemon) = with_pool(&["192.0.2.0/26"]).await;
    daemon.ready().await;
    let writes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&writes);
    cluster.front.hook(move |request| {
        if request.writes("/ipaddresspools/web/status") {
            seen.lock().unwrap().push(Instant::now());
        }
    });
    let begun = Instant::now();
    let mut made = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        let name = format!("s{made}");
        cluster.service(&name, json!({}), json!({})).await;
        cluster.until(&name, |service| !crate::harness::addresses(service).is_empty()).await;
        made += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    daemon.terminate().await;
    let writes = writes.lock().unwrap().clone();
    let gaps: Vec<Duration> = writes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 2 && gaps.iter().all(|gap| *gap >= Duration::from_millis(900)), "{gaps:?}");
    let pool = cluster.system::<IPAddressPool>().get("web").await.unwrap();
    assert_eq!(pool.status.unwrap().assigned_ipv4, made);
}

//! Connections whose packets get lost.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::addresses;
use crate::harness::namespace::{isolated, sh};
use crate::with_pool;

/// The ports from which connections to this port come.
fn clients_of(port: u16) -> Vec<u16> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = rows.filter(|row| row[2].ends_with(&format!(":{port:04X}")));
    ours.map(|row| u16::from_str_radix(row[1].rsplit_once(':').unwrap().1, 16).unwrap()).collect()
}

#[test]
#[ignore = "takes a minute, needs nft: cargo test --test e2e -- --ignored vanished"]
fn a_connection_whose_packets_get_lost_is_given_up_and_the_watch_comes_back() {
    let test = "vanished::a_connection_whose_packets_get_lost_is_given_up_and_the_watch_comes_back";
    isolated(test, async || {
        let (cluster, daemon) = with_pool(&["192.0.2.0/28"]).await;
        daemon.ready().await;
        cluster.service("before", json!({}), json!({})).await;
        cluster.assigned("before", &["192.0.2.0"]).await;
        sh("nft add table ip t && nft 'add chain ip t c { type filter hook input priority 0; }'");
        for port in clients_of(cluster.front.address().port()) {
            sh(&format!(
                "nft add rule ip t c tcp dport {port} drop && nft add rule ip t c tcp sport {port} drop"
            ));
        }
        let begun = Instant::now();
        cluster.service("after", json!({}), json!({})).await;
        while addresses(&cluster.services().get("after").await.unwrap()).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(70), "the watch has not come back");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!("| noticed after | {:?} |", begun.elapsed());
    });
}

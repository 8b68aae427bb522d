//! Candidates for one lease.

use std::{sync::Arc, time::Duration};

use metallb_k8s::{
    lease::{CONTROLLER_LEASE, Candidacy, Options, spawn},
    write::Stats,
};
use serde_json::Value;

use crate::support::{Cluster, eventually, retries};

fn candidate(cluster: &Cluster, identity: &str) -> Candidacy {
    spawn(cluster.client(), Options::new("metallb-system", identity, Arc::new(Stats::new()), retries()))
}

fn leads(candidacy: &Candidacy) -> bool {
    *candidacy.leading().borrow()
}

fn holder(cluster: &Cluster) -> Value {
    let lease = cluster.get("leases", "metallb-system", CONTROLLER_LEASE).unwrap();
    lease["spec"]["holderIdentity"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_back_lets_the_next_one_start_at_once() {
    let cluster = Cluster::new();
    let first = candidate(&cluster, "first");
    eventually("the first leads", || leads(&first)).await;
    let second = candidate(&cluster, "second");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(leads(&first) && !leads(&second));
    assert_eq!(holder(&cluster), "first");
    let begin = tokio::time::Instant::now();
    first.release().await;
    eventually("the second leads", || leads(&second)).await;
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(holder(&cluster), "second");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_vanished_is_succeeded_after_its_lease_ran_out() {
    let cluster = Cluster::new();
    let first = candidate(&cluster, "first");
    eventually("the first leads", || leads(&first)).await;
    let second = candidate(&cluster, "second");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begin = tokio::time::Instant::now();
    drop(first);
    eventually("the second leads", || leads(&second)).await;
    let took = begin.elapsed().as_secs();
    assert!((12..=19).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_leader_cut_off_stops_within_its_deadline_and_leads_again_later() {
    let cluster = Cluster::new();
    let only = candidate(&cluster, "only");
    eventually("it leads", || leads(&only)).await;
    cluster.down(true);
    let begin = tokio::time::Instant::now();
    eventually("it stops", || !leads(&only)).await;
    assert!(begin.elapsed() <= Duration::from_millis(10_100), "{:?}", begin.elapsed());
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!leads(&only));
    cluster.down(false);
    eventually("it leads again", || leads(&only)).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_ends_leadership_in_time() {
    let cluster = Cluster::new();
    let only = candidate(&cluster, "only");
    eventually("it leads", || leads(&only)).await;
    cluster.delay(Duration::from_secs(3600));
    let begin = tokio::time::Instant::now();
    eventually("it stops", || !leads(&only)).await;
    assert!(begin.elapsed() <= Duration::from_millis(10_100), "{:?}", begin.elapsed());
}

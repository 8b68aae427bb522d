//! What nodes leave behind, and how it is taken away.

use std::{sync::Arc, time::Duration};

use http::Method;
use metallb_k8s::{
    leftovers::{GONE_PATIENCE, NODE_PATIENCE, Sources, sweep},
    watch::{Options as WatchOptions, nodes, speaker_nodes},
    write::{Options, Stats, Writer},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Cluster, Interference, eventually, retries};

const NAMESPACE: &str = "metallb-system";

/// Longer than the first look takes.
const SETTLED: Duration = Duration::from_secs(60);

fn node(cluster: &Cluster, name: &str) {
    cluster.put("nodes", json!({ "metadata": { "name": name } }));
}

fn pod(cluster: &Cluster, name: &str, node: &str, component: &str) {
    cluster.put(
        "pods",
        json!({
            "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "component": component } },
            "spec": { "nodeName": node }, "status": { "phase": "Pending" },
        }),
    );
}

/// Statuses of a node: so many of services, and the state of its speaker.
fn statuses(cluster: &Cluster, node: &str, services: usize) {
    for number in 0..services {
        let kind = if number % 2 == 0 { "servicel2statuses" } else { "servicebgpstatuses" };
        let labels = json!({ "metallb.io/node": node });
        let name = format!("s-{node}-{number}");
        cluster.put(kind, json!({ "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels } }));
    }
    let labels = json!({ "metallb.io/node-name": node, "metallb.io/component-type": "speaker" });
    let name = format!("speaker-{node}");
    let state = json!({ "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels } });
    cluster.put("configurationstates", state);
}

fn left(cluster: &Cluster) -> usize {
    let kinds = ["servicel2statuses", "servicebgpstatuses", "configurationstates"];
    kinds.iter().map(|kind| cluster.count(kind)).sum()
}

/// A leading controller that does nothing else.
#[expect(clippy::disallowed_methods, reason = "what a daemon does")]
fn start(cluster: &Cluster) -> (JoinHandle<()>, Writer) {
    let (stats, retries) = (Arc::new(Stats::new()), retries());
    let watch = WatchOptions::new(Arc::clone(&stats), retries.clone()).extra();
    let sources = Sources {
        nodes: nodes(cluster.client(), watch.clone(), |_| {}),
        speakers: speaker_nodes(cluster.client(), NAMESPACE, watch),
    };
    let options = Options::new(NAMESPACE, "metallb-controller", stats, retries.clone());
    let writer = Writer::new(cluster.client(), options);
    let task = tokio::spawn(sweep(cluster.client(), NAMESPACE.to_owned(), sources, writer.clone(), retries));
    (task, writer)
}

fn deletions(cluster: &Cluster) -> usize {
    cluster.method_count(&Method::DELETE)
}

#[tokio::test(start_paused = true)]
async fn what_gone_nodes_left_is_removed_and_nothing_of_those_that_live() {
    let cluster = Cluster::new();
    for name in ["a", "b", "c"] {
        node(&cluster, name);
        pod(&cluster, &format!("speaker-{name}"), name, "speaker");
        statuses(&cluster, name, 4);
    }
    // While nobody led.
    statuses(&cluster, "earlier", 4);
    cluster.put("configurationstates", json!({
        "metadata": { "name": "controller", "namespace": NAMESPACE, "labels": { "metallb.io/component-type": "controller" } },
    }));
    let (_task, _writer) = start(&cluster);
    eventually("what the earlier one left is gone", || left(&cluster) == 3 * 5 + 1).await;
    tokio::time::sleep(SETTLED).await;
    assert_eq!(deletions(&cluster), 5);

    // The Pod goes, and the node stays.
    cluster.delete("pods", NAMESPACE, "speaker-a");
    tokio::time::sleep(NODE_PATIENCE.saturating_sub(Duration::from_secs(5))).await;
    assert_eq!(left(&cluster), 3 * 5 + 1, "it may come back");
    eventually("what the Pod left is gone", || left(&cluster) == 2 * 5 + 1).await;

    // The node goes, and the Pod a little later.
    cluster.delete("nodes", "", "b");
    tokio::time::sleep(NODE_PATIENCE).await;
    assert_eq!(left(&cluster), 2 * 5 + 1, "its Pod is still there");
    cluster.delete("pods", NAMESPACE, "speaker-b");
    tokio::time::sleep(GONE_PATIENCE.saturating_sub(Duration::from_secs(3))).await;
    assert_eq!(left(&cluster), 2 * 5 + 1);
    eventually("what the node left is gone", || left(&cluster) == 5 + 1).await;
    assert!(cluster.get("configurationstates", NAMESPACE, "controller").is_some(), "it names no node");
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_nothing_left_behind_writes_nothing_and_lists_once() {
    let cluster = Cluster::new();
    node(&cluster, "a");
    pod(&cluster, "speaker-a", "a", "speaker");
    statuses(&cluster, "a", 1200);
    for _ in 0..2 {
        let (task, _writer) = start(&cluster);
        tokio::time::sleep(SETTLED).await;
        task.abort();
    }
    assert_eq!((deletions(&cluster), left(&cluster)), (0, 1201));
    let lists = ["servicel2statuses", "servicebgpstatuses", "configurationstates"];
    let lists: usize = lists.iter().map(|kind| cluster.requests(&Method::GET, kind).len()).sum();
    assert_eq!(lists, 2 * (2 + 2 + 1), "by pages of 500");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cost_one_request_each_at_a_bounded_rate_and_a_few_lists() {
    let cluster = Cluster::new();
    for number in 0..20 {
        statuses(&cluster, &format!("n{number}"), 499);
    }
    let before = cluster.request_count();
    let (_task, _writer) = start(&cluster);
    let begun = tokio::time::Instant::now();
    while left(&cluster) > 0 {
        let had = deletions(&cluster);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(deletions(&cluster) - had <= 550, "in ten seconds");
        assert!(begun.elapsed() < Duration::from_secs(600), "{} left", left(&cluster));
    }
    // It looks once more whether something is left.
    tokio::time::sleep(SETTLED).await;
    assert_eq!(deletions(&cluster), 10_000);
    let others = cluster.request_count() - before - 10_000;
    assert!(others < 100, "{others} requests beside");
    tokio::time::sleep(SETTLED).await;
    assert_eq!(cluster.request_count() - before - 10_000, others, "and none afterwards");
}

#[tokio::test(start_paused = true)]
async fn a_speaker_that_comes_back_in_between_stops_it() {
    let cluster = Cluster::new();
    statuses(&cluster, "a", 1000);
    let (_task, _writer) = start(&cluster);
    eventually("it has begun", || left(&cluster) < 900).await;
    pod(&cluster, "speaker-a", "a", "speaker");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let kept = left(&cluster);
    assert!(kept > 500, "{kept}");
    tokio::time::sleep(NODE_PATIENCE).await;
    assert_eq!(left(&cluster), kept);
}

#[tokio::test(start_paused = true)]
async fn what_changes_at_the_last_moment_stays() {
    let cluster = Cluster::new();
    statuses(&cluster, "gone", 1);
    let state = cluster.get("configurationstates", NAMESPACE, "speaker-gone").unwrap();
    let (_task, _writer) = start(&cluster);
    let (late, touched) = (cluster.clone(), std::sync::atomic::AtomicBool::new(false));
    cluster.interfere(move |request| {
        let is_state = request.method == Method::DELETE && request.path.contains("/configurationstates");
        if is_state && !touched.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Some(Interference::Code(503));
        }
        None
    });
    let under_way = || !cluster.requests(&Method::DELETE, "configurationstates").is_empty();
    eventually("its removal is under way", under_way).await;
    // A speaker has come that nobody has seen yet, and writes.
    late.put("configurationstates", state);
    tokio::time::sleep(Duration::from_secs(3)).await;
    pod(&cluster, "speaker-gone", "gone", "speaker");
    tokio::time::sleep(SETTLED).await;
    let tried = cluster.requests(&Method::DELETE, "configurationstates").len();
    assert!(tried > 1, "it was tried again, for the version that was found");
    assert!(cluster.get("configurationstates", NAMESPACE, "speaker-gone").is_some());
}

#[tokio::test(start_paused = true)]
async fn where_nodes_or_pods_may_not_be_listed_nothing_is_removed() {
    for forbidden in ["/nodes", "/pods"] {
        let cluster = Cluster::new();
        statuses(&cluster, "gone", 3);
        cluster
            .interfere(move |request| request.path.ends_with(forbidden).then_some(Interference::Code(403)));
        let (_task, _writer) = start(&cluster);
        tokio::time::sleep(NODE_PATIENCE * 2).await;
        assert_eq!(left(&cluster), 4, "{forbidden}");
        cluster.heal();
        eventually("they may be listed now", || left(&cluster) == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pods_of_others_on_the_node_are_no_speakers() {
    let cluster = Cluster::new();
    node(&cluster, "a");
    pod(&cluster, "controller-x", "a", "controller");
    let mut of_others = json!({
        "metadata": {
            "name": "other-x", "namespace": NAMESPACE,
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "other", "uid": "u", "controller": true }],
        },
        "spec": { "nodeName": "a" }, "status": { "phase": "Running" },
    });
    cluster.put("pods", of_others.clone());
    of_others["metadata"] = json!({ "name": "speaker-old", "namespace": NAMESPACE });
    of_others["status"]["phase"] = Value::from("Failed");
    cluster.put("pods", of_others);
    statuses(&cluster, "a", 1);
    let watch = WatchOptions::new(Arc::new(Stats::new()), retries());
    let speakers = speaker_nodes(cluster.client(), NAMESPACE, watch);
    speakers.synced().await;
    assert!(speakers.is_empty(), "{:?}", speakers.all());
    let (_task, _writer) = start(&cluster);
    tokio::time::sleep(NODE_PATIENCE).await;
    let begun = tokio::time::Instant::now();
    while left(&cluster) > 0 {
        assert!(begun.elapsed() < SETTLED, "{:?}", cluster.requests(&Method::GET, "servicel2statuses"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

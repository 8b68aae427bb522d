//! Watches against a server that ends them, forgets, fails and goes away.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::Method;
use metallb_k8s::{
    crd::IPAddressPool,
    facts::{ClassFilter, ServiceRecord},
    queue::Queue,
    watch::{Change, ConfigObject, ObjectKey, Options, Store, nodes, services, spawn_config},
    write::Stats,
};
use serde_json::{Value, json};

use crate::support::{self, Cluster, eventually, retries, service};

fn watched(cluster: &Cluster, options: Options) -> (Store<ServiceRecord>, Queue<ObjectKey>) {
    let queue = Queue::new();
    let changed = queue.clone();
    let store = services(cluster.client(), ClassFilter::default(), options, move |key| changed.push(key));
    (store, queue)
}

fn options() -> Options {
    Options::new(Arc::new(Stats::new()), retries())
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("web", name)
}

fn drain(queue: &Queue<ObjectKey>) -> BTreeSet<String> {
    std::iter::from_fn(|| queue.try_pop()).map(|key| key.name.to_string()).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_list_is_reported_whole_over_several_pages() {
    let cluster = Cluster::new();
    for name in ["a", "b", "c", "d", "e"] {
        cluster.put("services", service("web", name));
    }
    let mut options = options();
    options.page_size = 2;
    let (store, queue) = watched(&cluster, options);
    assert!(!store.is_synced());
    store.synced().await;
    assert_eq!(store.len(), 5);
    assert_eq!(drain(&queue), names(["a", "b", "c", "d", "e"]));
}

#[tokio::test(start_paused = true)]
async fn an_object_deleted_while_the_server_forgot_the_watch_is_reported() {
    let cluster = Cluster::new();
    cluster.put("services", service("web", "stays"));
    cluster.put("services", service("web", "goes"));
    let (store, queue) = watched(&cluster, options());
    store.synced().await;
    drain(&queue);
    cluster.end_watches();
    cluster.delete("services", "web", "goes");
    cluster.put("services", service("web", "comes"));
    cluster.compact();
    eventually("the new object arrives", || store.get(&key("comes")).is_some()).await;
    assert!(store.get(&key("goes")).is_none());
    assert_eq!(drain(&queue), names(["comes", "goes"]), "the unchanged one is not reported");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_merely_ended_is_taken_up_where_it_stood() {
    let cluster = Cluster::new();
    cluster.put("services", service("web", "a"));
    let (store, queue) = watched(&cluster, options());
    store.synced().await;
    drain(&queue);
    let is_list = |request: &support::Recorded| !request.query.contains("watch=true");
    eventually("the watch begins", || cluster.requests(&Method::GET, "services").len() == 2).await;
    cluster.end_watches();
    cluster.delete("services", "web", "a");
    eventually("the deletion arrives", || store.is_empty()).await;
    assert_eq!(drain(&queue), names(["a"]));
    assert_eq!(
        cluster.requests(&Method::GET, "services").iter().filter(|request| is_list(request)).count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_an_hour_costs_nothing_that_was_known() {
    let cluster = Cluster::new();
    cluster.put("services", service("web", "a"));
    let (store, queue) = watched(&cluster, options());
    store.synced().await;
    drain(&queue);
    cluster.down(true);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(store.get(&key("a")).is_some() && drain(&queue).is_empty());
    cluster.delete("services", "web", "a");
    cluster.compact();
    cluster.down(false);
    let back = tokio::time::Instant::now();
    eventually("the deletion arrives", || store.is_empty()).await;
    assert!(back.elapsed() <= Duration::from_secs(31), "{:?}", back.elapsed());
    assert_eq!(drain(&queue), names(["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_restored_from_a_backup_is_listed_again() {
    let cluster = Cluster::new();
    for name in ["stays", "goes", "later"] {
        cluster.put("services", service("web", name));
    }
    let (store, queue) = watched(&cluster, options());
    store.synced().await;
    for _ in 0..100 {
        cluster.put("services", service("web", "later"));
    }
    eventually("the changes arrive", || store.len() == 3 && !drain(&queue).is_empty()).await;
    cluster.down(true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    cluster.restore("services", [service("web", "stays"), service("web", "comes")], 50);
    cluster.down(false);
    eventually("what is new arrives", || store.get(&key("comes")).is_some()).await;
    assert_eq!(store.len(), 2);
    cluster.put("services", service("web", "another"));
    eventually("changes arrive again", || store.get(&key("another")).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_without_a_restore_costs_no_list() {
    let cluster = Cluster::new();
    cluster.put("services", service("web", "a"));
    let (store, _queue) = watched(&cluster, options());
    store.synced().await;
    cluster.down(true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    cluster.down(false);
    cluster.put("services", service("web", "b"));
    eventually("the change arrives", || store.len() == 2).await;
    let lists =
        cluster.requests(&Method::GET, "services").into_iter().filter(|r| !r.query.contains("watch=true"));
    let limits: Vec<bool> = lists
        .map(|request| request.query.contains("limit=1&") || request.query.ends_with("limit=1"))
        .collect();
    assert_eq!(limits, [false, true], "one list, and one look at the version");
}

#[tokio::test(start_paused = true)]
async fn answers_with_errors_are_waited_out() {
    let cluster = Cluster::new();
    cluster.put("services", service("web", "a"));
    cluster.fail([503, 500, 429, 403]);
    let (store, _queue) = watched(&cluster, options());
    store.synced().await;
    assert_eq!((store.len(), cluster.requests(&Method::GET, "services").len() >= 5), (1, true));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_store_ends_the_watch() {
    let cluster = Cluster::new();
    let (store, _queue) = watched(&cluster, options());
    store.synced().await;
    drop(store);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let count = cluster.request_count();
    cluster.end_watches();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(cluster.request_count(), count);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_nodes_are_not_reported() {
    let cluster = Cluster::new();
    let node = |heartbeat: &str, taints: Value| {
        json!({
            "metadata": { "name": "n1", "labels": { "zone": "a" } },
            "spec": { "taints": taints },
            "status": { "conditions": [{ "type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat }] },
        })
    };
    cluster.put("nodes", node("2026-01-01T00:00:00Z", json!([])));
    let queue = Queue::new();
    let changed = queue.clone();
    let store = nodes(cluster.client(), options(), move |key| changed.push(key));
    store.synced().await;
    assert_eq!(queue.try_pop().map(|key| key.to_string()), Some("n1".to_owned()));
    cluster.put("nodes", node("2026-01-01T00:00:10Z", json!([])));
    cluster
        .put("nodes", node("2026-01-01T00:00:20Z", json!([{ "key": "node.kubernetes.io/out-of-service" }])));
    queue.pop().await;
    assert!(store.get(&ObjectKey::cluster("n1")).unwrap().out_of_service);
    assert_eq!(queue.depth(), 0, "one report for the taint, none for the heartbeat");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stops_being_a_load_balancer_goes_from_the_store() {
    let cluster = Cluster::new();
    cluster.put("services", service("web", "a"));
    let (store, queue) = watched(&cluster, options());
    store.synced().await;
    drain(&queue);
    let mut plain = service("web", "a");
    plain["spec"]["type"] = json!("ClusterIP");
    cluster.put("services", plain);
    assert_eq!(queue.pop().await, key("a"));
    assert!(store.is_empty());
}

fn pools(cluster: &Cluster) -> (Store<ConfigObject<IPAddressPool>>, Queue<ObjectKey>) {
    let queue = Queue::new();
    let changed = queue.clone();
    let store = spawn_config(cluster.client(), "metallb-system", options(), move |key, change| {
        if change == Change::Content {
            changed.push(key);
        }
    });
    (store, queue)
}

fn pool(name: &str, addresses: &Value) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": { "name": name, "namespace": "metallb-system" },
        "spec": { "addresses": addresses },
    })
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_does_not_hide_the_others() {
    let cluster = Cluster::new();
    cluster.put("ipaddresspools", pool("bad", &json!("192.0.2.0/24")));
    cluster.put("ipaddresspools", pool("good", &json!(["192.0.2.0/24"])));
    let (store, _queue) = pools(&cluster);
    store.synced().await;
    let found = |name: &str| store.get(&ObjectKey::namespaced("metallb-system", name)).unwrap();
    assert_eq!(found("bad").object.as_ref().unwrap_err().field, "spec.addresses");
    assert_eq!(found("good").object.as_ref().unwrap().spec.addresses, ["192.0.2.0/24"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_being_deleted_counts_as_gone() {
    let cluster = Cluster::new();
    cluster.put("ipaddresspools", pool("a", &json!(["192.0.2.0/24"])));
    let (store, queue) = pools(&cluster);
    store.synced().await;
    drain(&queue);
    let mut going = pool("a", &json!(["192.0.2.0/24"]));
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    going["metadata"]["finalizers"] = json!(["example.com/slow"]);
    cluster.put("ipaddresspools", going);
    eventually("the pool is gone", || store.is_empty()).await;
    assert_eq!(drain(&queue), names(["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_we_write_ourselves_is_stored_but_not_reported() {
    let cluster = Cluster::new();
    cluster.put("ipaddresspools", pool("a", &json!(["192.0.2.0/24"])));
    let (store, queue) = pools(&cluster);
    store.synced().await;
    drain(&queue);
    let mut with_status = pool("a", &json!(["192.0.2.0/24"]));
    with_status["status"] = json!({ "assignedIPv4": 1 });
    cluster.put("ipaddresspools", with_status);
    let at = ObjectKey::namespaced("metallb-system", "a");
    eventually("the status arrives", || store.get(&at).is_some_and(|pool| pool.status["assignedIPv4"] == 1))
        .await;
    assert_eq!(queue.depth(), 0);
    cluster.put("ipaddresspools", pool("a", &json!(["198.51.100.0/24"])));
    assert_eq!(queue.pop().await, at);
}

//! Writes against a server that refuses, delays and fails.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use http::Method;
use jiff::Timestamp;
use metallb_core::{
    config::Kind,
    keys::{InterfaceName, NodeName, PoolName, ServiceKey},
};
use metallb_k8s::{
    convert::Judgement,
    crd::ServiceL2Status,
    facts::{ClassFilter, ServiceRecord, objects},
    write::{
        Identity, Options, ServiceWrite, Stats, Target, Write, Writer,
        events::{Event, Events, Regarding, Severity},
        state::{StateFound, plan},
        status::{
            Component, OwnKind, ServiceStatus, ServiceStatusRecord, StatusKind, configuration_state,
            plan_service_status,
        },
    },
};
use serde_json::{Value, json};

use crate::support::{Cluster, eventually, retries, service};

const LAYER2: OwnKind = OwnKind::Service(StatusKind::Layer2);

struct Bench {
    cluster: Cluster,
    writer: Writer,
    stats: Arc<Stats>,
    outdated: Arc<Mutex<Vec<Target>>>,
}

fn bench() -> Bench {
    let (cluster, stats, outdated) =
        (Cluster::new(), Arc::new(Stats::new()), Arc::new(Mutex::new(Vec::new())));
    let told = Arc::clone(&outdated);
    let options = Options::new("metallb-system", "test", Arc::clone(&stats), retries())
        .outdated(move |key| told.lock().unwrap().push(key));
    let writer = Writer::new(cluster.client(), options);
    Bench { cluster, writer, stats, outdated }
}

impl Bench {
    fn record(&self, name: &str) -> ServiceRecord {
        let object = self.cluster.get("services", "web", name).unwrap();
        let object: objects::Service = serde_json::from_value(object).unwrap();
        ServiceRecord::cut(&object, &ClassFilter::default()).unwrap()
    }

    fn assign(&self, name: &str, address: &str) -> Write {
        let addresses = vec![address.parse().unwrap()];
        Write::Service(ServiceWrite::assign(&self.record(name), addresses, vec![PoolName::new("pool")]))
    }

    /// All writes are done; an hour of virtual time must do.
    async fn settled(&self) {
        tokio::time::timeout(Duration::from_secs(3600), self.writer.idle()).await.unwrap();
    }

    /// The version of an object of MetalLB's namespace as it stands.
    fn identity(&self, resource: &str, name: &str) -> Identity {
        let object = self.cluster.get(resource, "metallb-system", name).unwrap();
        Identity::of(&serde_json::from_value(object["metadata"].clone()).unwrap())
    }

    fn ingress(&self, name: &str) -> Value {
        self.cluster.get("services", "web", name).unwrap()["status"]["loadBalancer"]["ingress"].clone()
    }

    fn annotation(&self, name: &str) -> Value {
        let service = self.cluster.get("services", "web", name).unwrap();
        service["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_and_annotation_are_written_in_one_patch_of_the_status() {
    let bench = bench();
    bench.cluster.put("services", service("web", "a"));
    bench.writer.submit(bench.assign("a", "192.0.2.1"));
    bench.settled().await;
    assert_eq!(bench.ingress("a"), json!([{ "ip": "192.0.2.1" }]));
    assert_eq!(bench.annotation("a"), "pool");
    let patches = bench.cluster.requests(&Method::PATCH, "services");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].path, "/api/v1/namespaces/web/services/a/status");
    assert_eq!(patches[0].body["metadata"]["resourceVersion"], "1");

    bench.writer.submit(Write::Service(ServiceWrite::clear(&bench.record("a"))));
    bench.settled().await;
    assert_eq!((bench.ingress("a"), bench.annotation("a")), (Value::Null, Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_over_something_else_is_retried_with_the_new_version() {
    let bench = bench();
    bench.cluster.put("services", service("web", "a"));
    let write = bench.assign("a", "192.0.2.1");
    let mut touched = bench.cluster.get("services", "web", "a").unwrap();
    touched["metadata"]["annotations"] = json!({ "example.com/note": "x" });
    bench.cluster.put("services", touched);
    bench.writer.submit(write);
    bench.settled().await;
    assert_eq!(bench.ingress("a"), json!([{ "ip": "192.0.2.1" }]));
    assert!(bench.outdated.lock().unwrap().is_empty());
    assert_eq!(bench.stats.snapshot().errors, 0, "a conflict that resolves is no error");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_over_the_wish_itself_is_given_back_for_decision() {
    let bench = bench();
    bench.cluster.put("services", service("web", "a"));
    let write = bench.assign("a", "192.0.2.1");
    let mut touched = bench.cluster.get("services", "web", "a").unwrap();
    touched["metadata"]["annotations"] = json!({ "metallb.io/loadBalancerIPs": "192.0.2.9" });
    bench.cluster.put("services", touched);
    bench.writer.submit(write);
    bench.settled().await;
    assert_eq!(bench.ingress("a"), Value::Null);
    assert_eq!(*bench.outdated.lock().unwrap(), [Target::Service(ServiceKey::new("web", "a"))]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_changes_all_the_time_is_not_hammered() {
    let bench = bench();
    bench.cluster.put("services", service("web", "a"));
    bench.cluster.refuse_versions(true);
    bench.writer.submit(bench.assign("a", "192.0.2.1"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let tries = bench.cluster.requests(&Method::PATCH, "services").len();
    assert!((5..=20).contains(&tries), "{tries}");
    bench.cluster.refuse_versions(false);
    bench.settled().await;
    assert_eq!(bench.ingress("a"), json!([{ "ip": "192.0.2.1" }]));
}

#[tokio::test(start_paused = true)]
async fn a_service_made_anew_under_the_same_name_does_not_get_the_old_address() {
    let bench = bench();
    bench.cluster.put("services", service("web", "a"));
    let write = bench.assign("a", "192.0.2.1");
    bench.cluster.delete("services", "web", "a");
    bench.cluster.put("services", service("web", "a"));
    bench.writer.submit(write);
    bench.settled().await;
    assert_eq!(bench.ingress("a"), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_and_tried_again_until_the_newest_write_is_done() {
    let bench = bench();
    bench.cluster.put("services", service("web", "a"));
    bench.cluster.fail([500, 503, 429]);
    bench.writer.submit(bench.assign("a", "192.0.2.1"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    bench.writer.submit(bench.assign("a", "192.0.2.2"));
    bench.settled().await;
    assert_eq!(bench.ingress("a"), json!([{ "ip": "192.0.2.2" }]));
    let snapshot = bench.stats.snapshot();
    assert_eq!((snapshot.updates, snapshot.errors), (4, 2), "throttling is no error");
}

#[tokio::test(start_paused = true)]
async fn writing_stops_at_once_when_forbidden() {
    let bench = bench();
    bench.cluster.put("services", service("web", "a"));
    bench.cluster.delay(Duration::from_secs(5));
    bench.writer.submit(bench.assign("a", "192.0.2.1"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.writer.forbid();
    bench.writer.submit(bench.assign("a", "192.0.2.2"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((bench.ingress("a"), bench.writer.busy()), (Value::Null, 0));
    bench.writer.allow();
    bench.writer.submit(bench.assign("a", "192.0.2.3"));
    bench.settled().await;
    assert_eq!(bench.ingress("a"), json!([{ "ip": "192.0.2.3" }]));
}

#[tokio::test(start_paused = true)]
async fn writes_run_side_by_side_but_not_too_many() {
    let bench = bench();
    bench.cluster.delay(Duration::from_millis(100));
    let names: Vec<_> = (0..96).map(|number| format!("s{number}")).collect();
    for name in &names {
        bench.cluster.put("services", service("web", name));
    }
    let begin = tokio::time::Instant::now();
    for name in &names {
        bench.writer.submit(bench.assign(name, "192.0.2.1"));
    }
    bench.settled().await;
    assert_eq!(bench.cluster.most_in_flight.load(Ordering::SeqCst), 32);
    assert!(begin.elapsed() < Duration::from_millis(400), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_pool_is_written_at_most_once_a_second() {
    let bench = bench();
    bench
        .cluster
        .put("ipaddresspools", json!({ "metadata": { "name": "p", "namespace": "metallb-system" } }));
    for count in 0..50 {
        let status = json!({ "assignedIPv4": count });
        let (name, based_on) = ("p".to_owned(), bench.identity("ipaddresspools", "p"));
        bench.writer.submit(Write::ObjectStatus {
            kind: Kind::Pool,
            name,
            based_on,
            rewritten_by: None,
            status,
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bench.settled().await;
    let pool = bench.cluster.get("ipaddresspools", "metallb-system", "p").unwrap();
    assert_eq!(pool["status"]["assignedIPv4"], 49);
    assert!(bench.cluster.requests(&Method::PATCH, "ipaddresspools").len() <= 4);
}

#[tokio::test(start_paused = true)]
async fn the_status_of_an_object_made_anew_is_left_alone() {
    let bench = bench();
    bench.cluster.put("communities", json!({ "metadata": { "name": "c", "namespace": "metallb-system" } }));
    let (kind, name, based_on) = (Kind::Community, "c".to_owned(), bench.identity("communities", "c"));
    bench.cluster.delete("communities", "metallb-system", "c");
    bench.cluster.put("communities", json!({ "metadata": { "name": "c", "namespace": "metallb-system" } }));
    let status = json!({ "conditions": [] });
    bench.writer.submit(Write::ObjectStatus { kind, name, based_on, rewritten_by: None, status });
    bench.settled().await;
    assert_eq!(bench.cluster.get("communities", "metallb-system", "c").unwrap().get("status"), None);
}

#[tokio::test(start_paused = true)]
async fn writing_a_status_touches_no_other_nodes() {
    let bench = bench();
    let status = |node: &str| {
        let interfaces = BTreeSet::from([InterfaceName::new("eth0")]);
        ServiceStatus::layer2(ServiceKey::new("web", "a"), NodeName::new(node), interfaces)
    };
    let nodes = |bench: &Bench| -> Vec<_> {
        bench.cluster.all("servicel2statuses").iter().map(|found| found["status"]["node"].clone()).collect()
    };
    let new = |node: &str| Write::ServiceStatus { status: status(node), based_on: None };
    bench.writer.submit(new("first"));
    bench.settled().await;
    assert_eq!(nodes(&bench), ["first"]);
    bench.writer.submit(new("second"));
    bench.settled().await;
    // Whether the first still answers is for speakers to know.
    assert_eq!(nodes(&bench).len(), 2);
    for node in ["first", "second"] {
        let name = status(node).object_name();
        let based_on = Some(bench.identity("servicel2statuses", &name));
        bench.writer.submit(Write::Remove { kind: LAYER2, name, based_on });
    }
    bench.settled().await;
    assert!(bench.cluster.all("servicel2statuses").is_empty());
}

fn mk_status(interface: &str) -> ServiceStatus {
    let interfaces = BTreeSet::from([InterfaceName::new(interface)]);
    ServiceStatus::layer2(ServiceKey::new("web", "a"), NodeName::new("n1"), interfaces)
}

fn new(interface: &str) -> Write {
    Write::ServiceStatus { status: mk_status(interface), based_on: None }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_late_neither_changes_nor_removes_what_is_newer() {
    let bench = bench();
    bench.writer.submit(new("eth0"));
    bench.settled().await;
    let name = mk_status("").object_name();
    let based_on = bench.identity("servicel2statuses", &name);
    let find = || bench.cluster.get("servicel2statuses", "metallb-system", &name);
    // The next run of the same speaker has written since.
    let mut newer = find().unwrap();
    newer["status"]["interfaces"] = json!([{ "name": "eth1" }]);
    bench.cluster.put("servicel2statuses", newer);
    let newer = find();
    bench.writer.submit(Write::Remove { kind: LAYER2, name: name.clone(), based_on: Some(based_on.clone()) });
    bench.settled().await;
    assert_eq!(find(), newer, "not removed");
    let found = plan_service_status(
        &name,
        StatusKind::Layer2,
        Some(&mk_status("eth2")),
        Some(&record(newer.clone())),
    );
    bench.cluster.put("servicel2statuses", newer.clone().unwrap());
    let newest = find();
    bench.writer.submit(found.unwrap());
    bench.settled().await;
    assert_eq!(find(), newest, "not changed");
    bench.writer.submit(new("eth3"));
    bench.settled().await;
    assert_eq!(find(), newest, "not made again");
    let given_up = Target::Own(LAYER2, name.clone());
    assert_eq!(*bench.outdated.lock().unwrap(), vec![given_up; 3], "each is decided on anew");
    // The one before was deleted, and this is another.
    bench.cluster.delete("servicel2statuses", "metallb-system", &name);
    bench.writer.submit(new("eth4"));
    bench.settled().await;
    bench.writer.submit(Write::Remove { kind: LAYER2, name: name.clone(), based_on: Some(based_on) });
    bench.settled().await;
    assert!(find().is_some());
}

fn record(object: Option<Value>) -> ServiceStatusRecord {
    let object: ServiceL2Status = serde_json::from_value(object.unwrap()).unwrap();
    ServiceStatusRecord::layer2(&object)
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_status_is_one_request_and_its_removal_follows_what_was_just_written() {
    let bench = bench();
    bench.writer.submit(new("eth0"));
    bench.settled().await;
    assert_eq!(bench.cluster.request_count(), 2, "made, and given its status");
    let name = mk_status("").object_name();
    let found = record(bench.cluster.get("servicel2statuses", "metallb-system", &name));
    let change = plan_service_status(&name, StatusKind::Layer2, Some(&mk_status("eth1")), Some(&found));
    bench.writer.submit(change.unwrap());
    bench.settled().await;
    assert_eq!(bench.cluster.request_count(), 3);
    // Withdrawn at once, before the watch shows anything of it.
    for is_shown in [false, true] {
        let found = record(bench.cluster.get("servicel2statuses", "metallb-system", &name));
        let based_on = is_shown.then(|| found.identity().clone());
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.cluster.delay(Duration::from_millis(100));
        let change = plan_service_status(&name, StatusKind::Layer2, Some(&mk_status("eth2")), Some(&found));
        bench.writer.submit(change.unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
        bench.writer.submit(Write::Remove { kind: LAYER2, name: name.clone(), based_on });
        bench.settled().await;
        bench.cluster.delay(Duration::ZERO);
        assert!(bench.cluster.all("servicel2statuses").is_empty());
        bench.writer.submit(new("eth0"));
        bench.settled().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_state_is_made_with_its_status() {
    let bench = bench();
    let component = Component::Speaker(NodeName::new("n1"));
    let judgement = Judgement { errors: vec!["pool is bad".to_owned()], warnings: Vec::new() };
    bench.writer.submit(plan(&component, &judgement, None, Timestamp::UNIX_EPOCH).unwrap());
    bench.settled().await;
    let state = bench.cluster.get("configurationstates", "metallb-system", "speaker-n1").unwrap();
    assert_eq!(state["status"]["result"], "Invalid");
    assert_eq!(state["status"]["conditions"][0]["type"], "configReconcilerValid");
    assert_eq!(state["metadata"]["labels"]["metallb.io/node-name"], "n1");
}

/// As MetalLB's speaker leaves it; its definition has no `spec`.
fn state_of_metallb() -> Value {
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "ConfigurationError", "message": "x",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "ConfigurationState",
        "metadata": { "name": "speaker-n1", "namespace": "metallb-system" },
        "status": {
            "result": "Invalid", "errorSummary": "x",
            "conditions": [condition("configReconcilerValid", "False"), condition("nodeReconcilerValid", "False")],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_configuration_state_of_metallb_is_taken_over_whole() {
    let bench = bench();
    bench.cluster.put("configurationstates", state_of_metallb());
    let component = Component::Speaker(NodeName::new("n1"));
    let status = configuration_state(&component, &Judgement::default(), None, Timestamp::UNIX_EPOCH);
    bench.writer.submit(Write::ConfigurationState { component, status, found: StateFound::Unknown });
    bench.settled().await;
    let state = bench.cluster.get("configurationstates", "metallb-system", "speaker-n1").unwrap();
    assert_eq!((&state["status"]["result"], &state["status"]["errorSummary"]), (&json!("Valid"), &json!("")));
    let conditions = state["status"]["conditions"].as_array().unwrap();
    assert_eq!((conditions.len(), &conditions[0]["status"]), (1, &json!("True")));
    let patches = bench.cluster.requests(&Method::PATCH, "configurationstates");
    assert!(patches.iter().all(|patch| patch.body.get("spec").is_none()), "its definition has none");
    assert!(patches.last().unwrap().query.contains("fieldManager=configReconciler"));
}

#[tokio::test(start_paused = true)]
async fn no_write_of_a_status_resource_has_a_spec() {
    let bench = bench();
    let (service, node) = (ServiceKey::new("web", "a"), NodeName::new("n1"));
    let interfaces = BTreeSet::from([InterfaceName::new("eth0")]);
    let peers = BTreeSet::from([metallb_core::keys::PeerName::new("router")]);
    for status in [
        ServiceStatus::layer2(service.clone(), node.clone(), interfaces),
        ServiceStatus::bgp(service, node, peers),
    ] {
        bench.writer.submit(Write::ServiceStatus { status, based_on: None });
    }
    bench.settled().await;
    for kind in ["servicel2statuses", "servicebgpstatuses"] {
        let found = bench.cluster.all(kind);
        assert_eq!((found.len(), found[0].get("spec")), (1, None), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_state_keeps_its_time_over_a_restart() {
    let bench = bench();
    let component = Component::Controller;
    let find = || bench.cluster.get("configurationstates", "metallb-system", "controller").unwrap();
    let write = async |errors: &[&str], second: i64| {
        let errors: Vec<String> = errors.iter().map(|error| (*error).to_owned()).collect();
        let judgement = Judgement { errors, warnings: Vec::new() };
        let now = Timestamp::from_second(second).unwrap();
        let (component, status) = (component.clone(), configuration_state(&component, &judgement, None, now));
        bench.writer.submit(Write::ConfigurationState { component, status, found: StateFound::Unknown });
        bench.settled().await;
        find()
    };
    let first = write(&[], 1).await;
    assert_eq!(write(&[], 2).await, first, "nothing is written");
    let failed = write(&["pool is bad"], 3).await;
    assert_eq!(failed["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:03Z");
    let other = write(&["another pool is bad"], 4).await;
    assert_eq!(other["status"]["errorSummary"], "another pool is bad");
    assert_eq!(other["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:03Z");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_server_forgot_is_made_anew() {
    let bench = bench();
    #[expect(clippy::disallowed_methods, reason = "the base of virtual time")]
    let now = Instant::now();
    let mut events = Events::new("metallb-controller", "");
    let mut record = |seconds: u64| {
        let event = Event {
            regarding: Regarding::service("web", "a", "uid"),
            severity: Severity::Warning,
            reason: "AllocationFailed".to_owned(),
            message: "pool is empty".to_owned(),
        };
        events.record(now + Duration::from_secs(seconds), Timestamp::UNIX_EPOCH, event)
    };
    let count = |bench: &Bench| bench.cluster.all("events").first().map(|event| event["count"].clone());
    bench.writer.submit(Write::Event(record(0).unwrap()));
    bench.settled().await;
    assert_eq!(count(&bench), Some(json!(1)));
    assert_eq!(record(1), None, "too soon");
    bench.writer.submit(Write::Event(record(20).unwrap()));
    bench.settled().await;
    assert_eq!(count(&bench), Some(json!(3)));
    let name = bench.cluster.all("events")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    bench.cluster.delete("events", "web", &name);
    bench.writer.submit(Write::Event(record(100).unwrap()));
    bench.settled().await;
    assert_eq!(count(&bench), Some(json!(4)));
    eventually("nothing is left to do", || bench.writer.busy() == 0).await;
}

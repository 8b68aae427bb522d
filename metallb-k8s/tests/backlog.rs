//! A long queue of writes is small, and what users wait for comes out of it first.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::{Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use metallb_core::keys::{InterfaceName, NodeName, PeerName, PoolName, ServiceKey};
use metallb_k8s::facts::{ClassFilter, ServiceRecord, objects};
use metallb_k8s::retry::{Retries, Seed};
use metallb_k8s::write::events::{Event, Events, Regarding, Severity};
use metallb_k8s::write::status::ServiceStatus;
use metallb_k8s::write::{Options, ServiceWrite, Stats, Write, Writer};
use serde_json::json;

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Counts the bytes that are in use.
struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERVICES: usize = 10_000;

/// Bytes that one write may hold while it waits, with its place in the queue; the task and the body that it once had were
/// some 8 000.
const EACH: usize = 1_100;

fn record(number: usize) -> ServiceRecord {
    let object = json!({
        "metadata": { "name": format!("service-{number}"), "namespace": "web", "uid": format!("{number:036}"), "resourceVersion": "1" },
        "spec": { "type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [{ "port": 80, "protocol": "TCP" }] },
        "status": { "loadBalancer": {} },
    });
    let object: objects::Service = serde_json::from_value(object).unwrap();
    ServiceRecord::cut(&object, &ClassFilter::default()).unwrap()
}

fn event(events: &mut Events, number: usize) -> Write {
    let event = Event {
        regarding: Regarding::service("web", format!("service-{number}"), format!("{number:036}")),
        severity: Severity::Normal,
        reason: "IPAllocated".to_owned(),
        message: "Assigned IP [\"192.0.2.1\"]".to_owned(),
    };
    Write::Event(events.record(Instant::now(), Timestamp::UNIX_EPOCH, event).unwrap())
}

/// A server that takes note of what is asked, and never answers before it is let.
fn client(asked: &Arc<Mutex<Vec<String>>>, gate: &Arc<tokio::sync::Semaphore>) -> Client {
    let (asked, gate) = (Arc::clone(asked), Arc::clone(gate));
    let service = tower::service_fn(move |request: Request<Body>| {
        asked.lock().unwrap().push(request.uri().path().to_owned());
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            let body = json!({ "metadata": { "uid": "u", "resourceVersion": "2" } });
            Ok::<_, Infallible>(Response::new(Body::from(body.to_string().into_bytes())))
        }
    });
    Client::new(service, "metallb-system")
}

#[tokio::test]
async fn ten_thousand_services_wait_in_a_few_megabytes_and_addresses_come_first() {
    let (asked, gate) = (Arc::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let client = client(&asked, &gate);
    let retries = Retries::new(Seed::new(1));
    let writer = Writer::new(client, Options::new("metallb-system", "test", Arc::new(Stats::new()), retries));
    let records: Vec<ServiceRecord> = (0..SERVICES).map(record).collect();
    let mut events = Events::new("metallb-controller", "");
    let before = LIVE.load(Ordering::Relaxed);
    for (number, record) in records.iter().enumerate() {
        let (service, node) =
            (ServiceKey::new("web", format!("service-{number}").as_str()), NodeName::new("node-1"));
        let peers = BTreeSet::from([PeerName::new("router")]);
        let interfaces = BTreeSet::from([InterfaceName::new("eth0")]);
        let bgp = ServiceStatus::bgp(service.clone(), node.clone(), peers);
        writer.submit(Write::ServiceStatus { status: bgp, based_on: None });
        writer.submit(event(&mut events, number));
        let layer2 = ServiceStatus::layer2(service, node, interfaces);
        writer.submit(Write::ServiceStatus { status: layer2, based_on: None });
        let (addresses, pools) = (vec!["192.0.2.1".parse().unwrap()], vec![PoolName::new("pool")]);
        writer.submit(Write::Service(ServiceWrite::assign(record, addresses, pools)));
    }
    let held = LIVE.load(Ordering::Relaxed).saturating_sub(before);
    assert_eq!(writer.busy(), 4 * SERVICES);
    let each = held / (4 * SERVICES);
    println!("{} writes wait in {} kB, {each} B each", 4 * SERVICES, held / 1000);
    assert!(each <= EACH, "{each} B each");

    gate.add_permits(1_000_000);
    writer.idle().await;
    let asked = asked.lock().unwrap();
    let lane = |path: &String| {
        let wanted = path.contains("/services/") || path.contains("/servicel2statuses");
        if wanted { 0 } else { 1 + usize::from(!path.contains("/events")) }
    };
    // As many as are under way at once may overtake each other.
    let lanes: Vec<usize> = asked.iter().map(lane).collect();
    for lane in 0..2 {
        let last = lanes.iter().rposition(|found| *found == lane).unwrap();
        let next = lanes.iter().position(|found| *found == lane + 1).unwrap();
        assert!(next + 2 * 32 > last, "lane {lane} ends at {last}, the next begins at {next}");
    }
    assert_eq!(lanes.len(), SERVICES * (1 + 2 + 1 + 2));
}

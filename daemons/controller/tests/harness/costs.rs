//! What scrapes and states cost, measured from outside and by what the daemon says of it at the level `debug`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon::{Daemon, get};
use super::{Cluster, eventually};

/// How often each is asked for.
const ROUNDS: usize = 20;

/// Between two scrapes: a text is handed out again for a tenth of a second.
const PAUSE: Duration = Duration::from_millis(120);

/// How many services the tables are about.
pub(crate) const SIZES: [usize; 3] = [0, 1000, 10_000];

/// Services that have their addresses of 10.128.0.0/16 already, as a controller leaves them; endpoints are for the caller.
pub(crate) fn assigned(cluster: &Cluster, count: usize) {
    for number in 0..count {
        let address = format!("10.128.{}.{}", number / 256, number % 256);
        cluster.server.apply_object(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": format!("s{number}"), "namespace": "default",
                "annotations": { "metallb.io/ip-allocated-from-pool": "web" },
            },
            "spec": {
                "type": "LoadBalancer", "selector": { "app": "web" }, "ports": [{ "port": 80, "protocol": "TCP" }],
                // There are not so many.
                "allocateLoadBalancerNodePorts": false,
            },
            "status": { "loadBalancer": { "ingress": [{ "ip": address }] } },
        }));
    }
}

/// Waits until the metrics are as wanted, however long that takes: while everything is decided on for the first time, nobody
/// answers.
pub(crate) async fn until(daemon: &Daemon, wanted: impl Fn(&str) -> bool) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if get(daemon.metrics, "/metrics").await.is_some_and(|(status, text)| status == 200 && wanted(&text))
        {
            return;
        }
    }
}

/// Prints a row: what it takes to scrape, and to ask for the whole state.
pub(crate) async fn measure(daemon: &Daemon, services: usize) {
    let (mut wholes, mut size) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        tokio::time::sleep(PAUSE).await;
        let (took, text) = timed(daemon.metrics, "/metrics").await;
        wholes.push(took);
        size = text.len();
    }
    let owner = owners(daemon, "a scrape");
    let (state, text) = timed(daemon.debug, "/debug/state").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    let known = answer["allocations"].as_array().or_else(|| answer["services"].as_array()).unwrap().len();
    assert_eq!(known, services);
    let pieces = owners(daemon, "a state");
    println!(
        "| {services} | {} | {} | {} kB | {} | {:.1} ms | {} kB |",
        spread(owner),
        spread(wholes),
        size / 1000,
        spread(pieces),
        state.as_secs_f64() * 1000.0,
        text.len() / 1000,
    );
}

async fn timed(port: u16, path: &str) -> (Duration, String) {
    let began = Instant::now();
    let (status, text) = eventually("the endpoint answers", async || get(port, path).await).await;
    assert_eq!(status, 200, "{text}");
    (began.elapsed(), text)
}

/// What the daemon says how long its owner was busy with something.
fn owners(daemon: &Daemon, what: &str) -> Vec<Duration> {
    let micros = |line: &String| {
        let said = line.contains(&format!("the owner's part of {what} "));
        let number = line.split("micros=").nth(1).filter(|_| said)?;
        number.split_whitespace().next()?.parse().ok().map(Duration::from_micros)
    };
    daemon.log().iter().filter_map(micros).collect()
}

/// Median and worst.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    format!("{:.2}, {:.2} ms", millis(times.get(times.len() / 2)), millis(times.last()))
}

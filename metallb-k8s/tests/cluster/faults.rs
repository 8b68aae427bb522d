//! What a sick API server is asked, in an hour of virtual time, and what is logged about it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use metallb_core::config::Kind;
use metallb_k8s::{
    facts::{ClassFilter, ServiceRecord},
    lease,
    retry::{Retries, Seed},
    watch::{Configuration, Options, Source, Store, Unlisted, nodes, services},
    write::Stats,
};
use serde_json::json;
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::support::{Cluster, Interference, Recorded, eventually, retries, service};

/// When the server is sick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// While the first list is asked for.
    FirstList,
    /// While a list is asked for because a watch had expired.
    ListAgain,
    /// While the watch is asked for, and everything else is answered.
    Watch,
}

const FAULTS: [(&str, Interference); 9] = [
    ("404", Interference::Code(404)),
    ("403", Interference::Code(403)),
    ("410", Interference::Code(410)),
    ("429", Interference::Code(429)),
    ("429 with Retry-After: 60", Interference::RetryAfter(429, 60)),
    ("500", Interference::Code(500)),
    ("503 with Retry-After: 60", Interference::RetryAfter(503, 60)),
    ("no answer", Interference::Silence),
    ("connection refused", Interference::Refusal),
];

struct Bench {
    cluster: Cluster,
    store: Store<ServiceRecord>,
}

async fn bench(phase: Phase, fault: Interference) -> Bench {
    let cluster = Cluster::new();
    cluster.put("services", service("web", "a"));
    let (stats, retries) = (Arc::new(Stats::new()), retries());
    let client = cluster.bounded_client(&stats, &retries);
    let concerned = move |request: &Recorded| match phase {
        Phase::FirstList | Phase::ListAgain => !request.is_watch(),
        Phase::Watch => request.is_watch(),
    };
    let interfere = move |request: &Recorded| concerned(request).then_some(fault);
    if phase == Phase::FirstList {
        cluster.interfere(interfere);
    }
    let store = services(client, ClassFilter::default(), Options::new(stats, retries), |_| ());
    if phase != Phase::FirstList {
        store.synced().await;
        eventually("the watch begins", || cluster.requests(&Method::GET, "services").len() == 2).await;
        cluster.interfere(interfere);
        if phase == Phase::ListAgain {
            cluster.compact();
        }
        cluster.end_watches();
    }
    Bench { cluster, store }
}

#[tokio::test(start_paused = true)]
async fn a_sick_server_is_asked_ever_more_seldom_and_found_well_again() {
    println!("| fault | first list | list again | watch |\n|---|---|---|---|");
    for (name, fault) in FAULTS {
        let mut row = Vec::new();
        for phase in [Phase::FirstList, Phase::ListAgain, Phase::Watch] {
            let bench = bench(phase, fault).await;
            let before = bench.cluster.request_count();
            tokio::time::sleep(Duration::from_secs(3600)).await;
            let count = bench.cluster.request_count() - before;
            // Refused connections never come to the server.
            let tried = matches!(fault, Interference::Refusal) || count >= 50;
            assert!(count <= 560 && tried, "{name}, {phase:?}: {count} requests in an hour");
            row.push(count.to_string());
            bench.cluster.heal();
            bench.cluster.put("services", service("web", "b"));
            let well = tokio::time::Instant::now();
            eventually("what came meanwhile is seen", || bench.store.len() == 2).await;
            assert!(well.elapsed() <= Duration::from_secs(65), "{name}, {phase:?}: {:?}", well.elapsed());
        }
        println!("| {name} | {} |", row.join(" | "));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_back_before_the_server_wants_it() {
    let cluster = Cluster::new();
    let (stats, retries) = (Arc::new(Stats::new()), retries());
    let client = cluster.bounded_client(&stats, &retries);
    cluster.interfere(|_| Some(Interference::RetryAfter(429, 120)));
    let configuration =
        Configuration::spawn(&client, "metallb-system", &Options::new(stats, retries), |_| ());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = cluster.request_count();
    tokio::time::sleep(Duration::from_secs(118)).await;
    assert_eq!((asked, cluster.request_count()), (7, 7), "seven kinds, each asked for once");
    cluster.heal();
    tokio::time::timeout(Duration::from_secs(10), configuration.settled()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_is_not_allowed_asks_ever_more_seldom_and_says_what_is_missing() {
    let cluster = Cluster::new();
    cluster.interfere(|request| (request.method != Method::GET).then_some(Interference::Code(403)));
    let retries = retries();
    let options = lease::Options::new("metallb-system", "a", Arc::new(Stats::new()), retries.clone());
    let candidacy = lease::spawn(cluster.client(), options);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let count = cluster.request_count();
    assert!((200..=600).contains(&count), "{count}");
    assert_eq!(retries.lacks(), ["not allowed to update leases.coordination.k8s.io"]);
    cluster.heal();
    eventually("it leads", || *candidacy.leading().borrow()).await;
    assert!(retries.lacks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_be_missing_is_not_missed_and_found_when_it_appears() {
    let cluster = Cluster::new();
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    cluster.interfere(|_| Some(Interference::Code(404)));
    let (stats, retries) = (Arc::new(Stats::new()), retries());
    let client = cluster.bounded_client(&stats, &retries);
    let store = nodes(client, Options::new(stats, retries.clone()).optional(), |_| ());
    tokio::time::timeout(Duration::from_secs(1), store.synced())
        .await
        .expect("nothing is there, and that is known");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(cluster.request_count() <= 70, "{}", cluster.request_count());
    assert_eq!((log.warnings(), retries.lacks().len()), (0, 0));
    cluster.heal();
    cluster.put("nodes", json!({ "metadata": { "name": "n1" } }));
    tokio::time::sleep(Duration::from_secs(121)).await;
    assert_eq!(store.len(), 1);
    // Its definition goes, and with it what was there.
    cluster.interfere(|_| Some(Interference::Code(404)));
    cluster.end_watches();
    eventually("nothing is there", || store.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_allowed_holds_up_nobody_but_what_depends_on_it() {
    let cluster = Cluster::new();
    cluster.interfere(|request| request.path.ends_with("/bgppeers").then_some(Interference::Code(403)));
    let (stats, retries) = (Arc::new(Stats::new()), retries());
    let options = Options::new(stats, retries.clone());
    let configuration = Configuration::spawn(&cluster.client(), "metallb-system", &options, |_| ());
    tokio::time::timeout(Duration::from_secs(30), configuration.settled()).await.unwrap();
    let peers = Source::Objects(Kind::Peer);
    assert_eq!(configuration.unlisted(), [(peers, Unlisted::Barred)].into());
    assert_eq!(retries.lacks(), ["not allowed to list bgppeers.metallb.io"]);
    cluster.heal();
    eventually("the peers are listed", || configuration.unlisted().is_empty()).await;
    assert!(retries.lacks().is_empty());

    let without_pools = Cluster::new();
    without_pools
        .interfere(|request| request.path.ends_with("/ipaddresspools").then_some(Interference::Code(403)));
    let configuration = Configuration::spawn(&without_pools.client(), "metallb-system", &options, |_| ());
    let settled = tokio::time::timeout(Duration::from_secs(600), configuration.settled()).await;
    assert!(settled.is_err(), "without pools addresses would be taken away");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_warning_however_many_watch() {
    let mut counts = Vec::new();
    for watches in [1, 9] {
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.clone());
        let cluster = Cluster::new();
        let (stats, retries) = (Arc::new(Stats::new()), Retries::new(Seed::new(watches)));
        let options = Options::new(Arc::clone(&stats), retries.clone());
        let client = cluster.bounded_client(&stats, &retries);
        let stores: Vec<_> = (0..watches)
            .map(|_| services(client.clone(), ClassFilter::default(), options.clone(), |_| ()))
            .collect();
        for store in &stores {
            store.synced().await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        cluster.down(true);
        tokio::time::sleep(Duration::from_secs(50)).await;
        cluster.down(false);
        tokio::time::sleep(Duration::from_secs(60)).await;
        counts.push((log.warnings(), log.notes()));
        cluster.compact();
        cluster.end_watches();
        tokio::time::sleep(Duration::from_secs(60)).await;
        counts.push((log.warnings(), log.notes()));
    }
    assert_eq!(counts, [(1, 1); 4], "one warning, one line at the end, none for a watch that has expired");
}

/// Counts warnings and notes.
#[derive(Clone, Default)]
struct Log(Arc<[AtomicUsize; 2]>);

impl Log {
    fn warnings(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    fn notes(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("metallb_k8s")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        match *event.metadata().level() {
            Level::WARN => self.0[0].fetch_add(1, Ordering::Relaxed),
            Level::INFO => self.0[1].fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

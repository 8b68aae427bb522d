//! What is asked of a controller must not hold it up: figures for `docs/performance.md`.

use crate::controller;
use crate::harness::Cluster;
use crate::harness::costs::{SIZES, assigned, measure, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures: cargo test --release --test e2e -- --ignored --nocapture costs"]
async fn what_scrapes_and_states_of_a_controller_cost() {
    for services in SIZES {
        let cluster = Cluster::start().await;
        cluster.pool("web", &["10.128.0.0/16"]);
        assigned(&cluster, services);
        let daemon = controller(&cluster, &["--log-level=debug"]);
        let series = format!("metallb_allocator_services_allocated_total{{pool=\"web\"}} {services}.0\n");
        until(&daemon, |text| text.contains(&series)).await;
        measure(&daemon, services).await;
    }
}

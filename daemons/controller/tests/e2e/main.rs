//! The controller as a process against the embedded API server.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod anew;
mod assigning;
mod configuration;
mod costs;
mod counters;
mod endpoints;
mod flags;
#[path = "../harness/mod.rs"]
mod harness;
mod leading;
mod rights;
mod selectable;
mod surroundings;
mod terms;
mod vanished;
mod webhooks;

use harness::{Cluster, Daemon};

/// The annotation in which the controller says where an address is from.
const POOL: &str = "metallb.io/ip-allocated-from-pool";

/// A controller with a quick lease.
fn controller(cluster: &Cluster, args: &[&str]) -> Daemon {
    let lease = [
        "--lease-duration=2s",
        "--lease-renew-deadline=1s",
        "--lease-retry-period=200ms",
        "--webhook-mode=disabled",
    ];
    let args: Vec<&str> = lease.iter().chain(args).copied().collect();
    Daemon::start(env!("CARGO_BIN_EXE_controller"), cluster, &args)
}

/// A cluster with one pool of some addresses, and a controller that leads.
async fn with_pool(addresses: &[&str]) -> (Cluster, Daemon) {
    let cluster = Cluster::start().await;
    cluster.pool("web", addresses);
    let daemon = controller(&cluster, &[]);
    (cluster, daemon)
}

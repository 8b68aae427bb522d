//! A cluster without nodes for the tests of the daemons: an API server behind a front that can fail, a client of
//! kube-rs, and daemons as child processes.
//!
//! The API server is the embedded one, or with `KUBEBUILDER_ASSETS=DIRECTORY` the `kube-apiserver` and `etcd` from there,
//! started for each test. Use `--test-threads=1` with these.

mod backend;
mod cluster;
pub(crate) mod costs;
pub(crate) mod daemon;
mod front;
pub(crate) mod https;
pub(crate) mod namespace;
pub(crate) mod prometheus;
pub(crate) mod published;
mod real;
pub(crate) mod roles;
pub(crate) mod state;

use std::future::Future;
use std::time::Duration;

pub(crate) use cluster::{Cluster, NAMESPACE, addresses};
pub(crate) use daemon::{Daemon, free_port, get};

/// How long anything may take before a test fails; ample on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let answered = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, answered).await;
    answer.unwrap_or_else(|_| panic!("never happened: {what}"))
}

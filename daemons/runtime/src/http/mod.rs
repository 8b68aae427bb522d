//! The HTTP endpoints of a daemon: metrics, probes, debug state, and ports that no client can use up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metallb_k8s::retry::Retries;
use tokio::sync::{mpsc, oneshot};

mod connection;
mod metrics;
mod phase;
mod review;
mod serve;
#[cfg(test)]
mod serve_tests;
mod state;

pub use metrics::serve_metrics;
pub use serve::{Limits, listen, serve};
pub use state::{DebugState, Piece, serve_debug};

/// How long the owner of the state may take to answer a request.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Whether the daemon is ready: caches synced, configuration decided, first evaluation done, and nothing missing that it
/// needs from the API server.
#[derive(Clone, Debug)]
pub struct Readiness {
    started: Arc<AtomicBool>,
    retries: Retries,
}

impl Readiness {
    /// Not ready yet; `retries` knows what is missing.
    #[must_use]
    pub fn new(retries: Retries) -> Self {
        Self { started: Arc::default(), retries }
    }

    /// Says that the daemon has started, or that it is ending.
    pub fn set(&self, started: bool) {
        self.started.store(started, Ordering::Relaxed);
    }

    /// What stands in the way; empty when the daemon is ready.
    #[must_use]
    pub fn obstacles(&self) -> Vec<String> {
        let mut obstacles = self.retries.lacks();
        if !self.started.load(Ordering::Relaxed) {
            obstacles.push("waiting for the caches to sync".to_owned());
        }
        obstacles
    }
}

/// Serves `/healthz` and `/readyz` on `address`. Port 0: not at all.
///
/// # Errors
/// When the socket cannot be opened; the message names address and flag.
pub async fn serve_probes(address: SocketAddr, readiness: Readiness) -> anyhow::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .with_state(readiness);
    let listener = listen(address, "--health-probe-port").await?;
    tokio::spawn(serve(listener, router, Limits::small(), None));
    Ok(())
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let obstacles = readiness.obstacles();
    if obstacles.is_empty() {
        return "ok".into_response();
    }
    let text: String = obstacles.into_iter().map(|obstacle| obstacle + "\n").collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// Asks the owner of the state; `None` when it is gone or takes too long.
async fn ask<T>(owner: &mpsc::Sender<oneshot::Sender<T>>) -> Option<T> {
    let (answer, waiting) = oneshot::channel();
    let asked = async {
        owner.send(answer).await.ok()?;
        waiting.await.ok()
    };
    tokio::time::timeout(ANSWER_LIMIT, asked).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_owner_that_is_gone_is_no_answer() {
        let (sender, receiver) = mpsc::channel::<oneshot::Sender<()>>(1);
        drop(receiver);
        assert!(ask(&sender).await.is_none());
    }
}

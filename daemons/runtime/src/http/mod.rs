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
use tokio::sync::{mpsc, oneshot};

mod connection;
mod metrics;
mod phase;
mod review;
mod serve;
#[cfg(test)]
mod serve_tests;

pub use metrics::serve_metrics;
pub use serve::{Limits, listen, serve};

/// How long the owner of the state may take to answer a request.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Whether the daemon is ready: caches synced, configuration decided, first evaluation done.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says that the daemon is ready from now on, or that it no longer is.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Whether it is ready.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request for the state as JSON; the owner of the state answers it.
pub type DebugState = oneshot::Sender<serde_json::Value>;

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

/// Serves `/debug/state` on `address`, if there is one.
///
/// # Errors
/// When the socket cannot be opened; the message names address and flag.
pub async fn serve_debug(
    address: Option<SocketAddr>,
    states: mpsc::Sender<DebugState>,
) -> anyhow::Result<()> {
    let Some(address) = address else { return Ok(()) };
    let router = Router::new().route("/debug/state", get(debug)).with_state(states);
    let listener = listen(address, "--pprof-bind-address").await?;
    tokio::spawn(serve(listener, router, Limits::small(), None));
    Ok(())
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    if readiness.get() {
        return "ok".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "waiting for the caches to sync\n").into_response()
}

async fn debug(State(states): State<mpsc::Sender<DebugState>>) -> Response {
    match ask(&states).await {
        Some(state) => axum::Json(state).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy or stopping\n").into_response(),
    }
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
        let (sender, receiver) = mpsc::channel::<DebugState>(1);
        drop(receiver);
        assert!(ask(&sender).await.is_none());
    }
}

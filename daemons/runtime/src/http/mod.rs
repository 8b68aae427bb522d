//! The HTTP endpoints of a daemon: metrics, probes, debug state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::{Scrape, render};

mod connection;
mod phase;
mod serve;
#[cfg(test)]
mod serve_tests;

pub use serve::{Limits, listen, serve};

/// Content type of Prometheus' classic text format, whatever the scraper asks for.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

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

/// Serves `/metrics` on `port`: everywhere, or on `host` and loopback. Port 0: not at all.
///
/// # Errors
/// When a socket cannot be opened; the message names address and flag.
pub async fn serve_metrics(
    host: Option<IpAddr>,
    port: u16,
    scrapes: mpsc::Sender<Scrape>,
) -> anyhow::Result<()> {
    let router = Router::new().route("/metrics", get(metrics)).with_state(scrapes);
    for address in metrics_addresses(host, port) {
        start(address, "--port", router.clone(), Limits::standard()).await?;
    }
    Ok(())
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
    start(address, "--health-probe-port", router, Limits::small()).await
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
    start(address, "--pprof-bind-address", router, Limits::small()).await
}

/// All addresses, or `host` and both loopbacks, so that requests from inside the pod work too.
fn metrics_addresses(host: Option<IpAddr>, port: u16) -> Vec<SocketAddr> {
    if port == 0 {
        return Vec::new();
    }
    let ips = match host {
        None => vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        Some(ip) if ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST => vec![ip],
        Some(ip) => vec![ip, IpAddr::V4(Ipv4Addr::LOCALHOST)],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

/// Serves `router` at `address` without TLS for as long as the program runs.
async fn start(address: SocketAddr, flag: &str, router: Router, limits: Limits) -> anyhow::Result<()> {
    let listener = listen(address, flag).await?;
    tokio::spawn(serve(listener, router, limits, None));
    Ok(())
}

async fn metrics(State(scrapes): State<mpsc::Sender<Scrape>>) -> Response {
    let Some(families) = ask(&scrapes).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy or stopping\n").into_response();
    };
    match render(families) {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
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

    #[test]
    fn a_host_listens_on_loopback_too() {
        let host: IpAddr = "192.0.2.7".parse().unwrap();
        let addresses = metrics_addresses(Some(host), 7472);
        assert_eq!(addresses, ["192.0.2.7:7472".parse().unwrap(), "127.0.0.1:7472".parse().unwrap()]);
    }

    #[test]
    fn port_zero_switches_metrics_off() {
        assert!(metrics_addresses(None, 0).is_empty());
    }

    #[tokio::test]
    async fn an_owner_that_is_gone_is_no_answer() {
        let (sender, receiver) = mpsc::channel::<Scrape>(1);
        drop(receiver);
        assert!(ask(&sender).await.is_none());
    }
}

//! `/metrics`, over HTTP for everyone and over HTTPS for those whom the API server allows it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kube::Client;
use rustls::ServerConfig;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::review::Reviewer;
use super::{Limits, ask, listen, serve};
use crate::args::CommonArgs;
use crate::metrics::{Scrape, render};
use crate::process;
use crate::tls::{Certificates, follow_directory, renew_self_signed, self_signed, server_config};

/// Content type of Prometheus' classic text format, whatever the scraper asks for.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long a text is handed out again: many scrapers cost no more than one.
const CACHED: Duration = Duration::from_millis(100);

/// Serves `/metrics` where the flags say, until the program ends: on `--port` without and on `--secure-port` with TLS and
/// a review of the scraper's token by the API server. Where both name one port, only the latter.
///
/// A `--secure-port` that was not given and whose default is taken is left out with a warning: a proxy beside us may
/// serve there already.
///
/// # Errors
/// When a socket cannot be opened or a certificate cannot be made; the message names address and flag.
pub async fn serve_metrics(
    args: &CommonArgs,
    client: &Client,
    scrapes: mpsc::Sender<Scrape>,
) -> anyhow::Result<()> {
    let host = args.host()?;
    let text = Arc::new(Text { scrapes, last: Mutex::default() });
    let router = Router::new().route("/metrics", get(metrics)).with_state(text);
    if args.port != args.secure_port() {
        for address in addresses(host, args.port) {
            let listener = listen(address, "--port").await?;
            tokio::spawn(serve(listener, router.clone(), Limits::standard(), None));
        }
    }
    let secure = addresses(host, args.secure_port());
    if secure.is_empty() {
        return Ok(());
    }
    let mut listeners = Vec::new();
    for address in secure {
        match listen(address, "--secure-port").await {
            Err(error) if !args.secure_port_given() && is_in_use(&error) => {
                let error = format!("{error:#}");
                tracing::warn!(%address, error, "no metrics over HTTPS there; --secure-port chooses another port");
            }
            listener => listeners.push(listener?),
        }
    }
    let tls = tls(args, host).context("cannot serve metrics over HTTPS (--secure-port)")?;
    let reviewer = Reviewer::new(client.clone());
    let router = router.layer(axum::middleware::from_fn_with_state(reviewer, Reviewer::guard));
    for listener in listeners {
        tokio::spawn(serve(listener, router.clone(), Limits::standard(), Some(Arc::clone(&tls))));
    }
    Ok(())
}

/// All addresses, or `host` and loopback, so that requests from inside the pod work too. Port 0: none.
fn addresses(host: Option<IpAddr>, port: u16) -> Vec<SocketAddr> {
    if port == 0 {
        return Vec::new();
    }
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let ips = match host {
        None => vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        Some(ip) if ip.is_unspecified() || ip == v4 => vec![ip],
        Some(ip) if ip == v6 => vec![v6, v4],
        Some(ip @ IpAddr::V4(_)) => vec![ip, v4],
        Some(ip @ IpAddr::V6(_)) => vec![ip, v4, v6],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

fn is_in_use(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// TLS with the certificate from `--metrics-cert-dir`, else with one of our own; either is replaced when it changes.
fn tls(args: &CommonArgs, host: Option<IpAddr>) -> anyhow::Result<Arc<ServerConfig>> {
    let certificates = Certificates::new();
    if let Some(directory) = args.metrics_cert_dir() {
        tokio::spawn(follow_directory(directory.to_owned(), certificates.clone()));
    } else {
        let names = own_names(host);
        certificates.set(self_signed(&names, SystemTime::now())?);
        tokio::spawn(renew_self_signed(names, certificates.clone()));
    }
    Ok(server_config(&args.tls()?, certificates, false)?)
}

/// The names and addresses under which this program is reached.
fn own_names(host: Option<IpAddr>) -> Vec<String> {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = Some(own.trim().to_owned()).filter(|name| !name.is_empty() && name.is_ascii());
    let host = host.filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    own.into_iter().chain(loopback).chain(host.map(|ip| ip.to_string())).collect()
}

/// The samples as text.
struct Text {
    scrapes: mpsc::Sender<Scrape>,
    /// The last text, and when it was made.
    last: Mutex<Option<(Instant, axum::body::Bytes)>>,
}

async fn metrics(State(text): State<Arc<Text>>) -> Response {
    let mut last = text.last.lock().await;
    if let Some((at, text)) = &*last
        && at.elapsed() < CACHED
    {
        return as_metrics(text.clone());
    }
    let Some(mut families) = ask(&text.scrapes).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy or stopping\n").into_response();
    };
    families.extend(process::families());
    match render(families) {
        Ok(text) => {
            let text = axum::body::Bytes::from(text);
            *last = Some((Instant::now(), text.clone()));
            as_metrics(text)
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn as_metrics(text: axum::body::Bytes) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Family, Kind};

    #[test]
    fn a_host_listens_on_loopback_too() {
        let at = |host: &str| {
            let addresses = addresses(Some(host.parse().unwrap()), 1);
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(at("192.0.2.7"), "192.0.2.7:1 127.0.0.1:1");
        assert_eq!(at("2001:db8::7"), "[2001:db8::7]:1 127.0.0.1:1 [::1]:1");
        assert_eq!(at("127.0.0.1"), "127.0.0.1:1");
        assert_eq!(at("::1"), "[::1]:1 127.0.0.1:1");
        assert_eq!(at("0.0.0.0"), "0.0.0.0:1");
    }

    #[test]
    fn port_zero_switches_metrics_off() {
        assert!(addresses(None, 0).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn scrapes_within_a_tenth_of_a_second_get_one_text() {
        let (scrapes, mut asked) = mpsc::channel::<Scrape>(4);
        let counting = tokio::spawn(async move {
            let mut count = 0;
            while let Some(scrape) = asked.recv().await {
                count += 1;
                let family = Family::single("x", Kind::Gauge, "X", f64::from(count));
                scrape.send(vec![family]).unwrap();
            }
            count
        });
        let text = Arc::new(Text { scrapes, last: Mutex::default() });
        for _ in 0..50 {
            assert_eq!(metrics(State(Arc::clone(&text))).await.status(), 200);
        }
        tokio::time::sleep(CACHED).await;
        assert_eq!(metrics(State(Arc::clone(&text))).await.status(), 200);
        drop(text);
        assert_eq!(counting.await.unwrap(), 2);
    }
}

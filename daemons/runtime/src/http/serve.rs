//! A port that cannot be used up: few connections, each with little time to do nothing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use futures::future::select_all;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::connection::Port;
use super::phase::{Activity, Phase, State};
use crate::descriptors;

/// What the clients of a port may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. One more, and one that is answering nothing gives way: the one that idles longest, else the
    /// one that waits longest in its handshake or the head of its request.
    pub connections: usize,
    /// Time for the handshake, and again for the head of a request.
    pub head: Duration,
    /// Octets of the head of a request.
    pub head_size: usize,
    /// Time between two requests, and for a reader that does not go on with an answer.
    pub idle: Duration,
    /// Time in which a request must have been read and answered.
    pub request: Duration,
    /// Descriptors from this number on are kept for other things; a connection that gets one is closed.
    pub reserved_from: Option<RawFd>,
}

impl Limits {
    /// Those of metrics and webhooks: 32 connections.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            connections: 32,
            head: Duration::from_secs(5),
            head_size: 16 * 1024,
            idle: Duration::from_secs(60),
            request: Duration::from_secs(30),
            reserved_from: descriptors::reserved_from(),
        }
    }

    /// Those of probes and debug state: 8 connections.
    #[must_use]
    pub fn small() -> Self {
        Self { connections: 8, ..Self::standard() }
    }
}

/// Opens `address` for [`serve`]. The unspecified address of IPv6 means all addresses of both families, on a node without
/// IPv6 those of IPv4.
///
/// # Errors
/// When the socket cannot be opened; the message names address and flag.
pub async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    }
    .with_context(|| format!("cannot listen on {address} ({flag})"))
}

/// Serves `router` on `listener`, over TLS if there is a configuration for it, until it is dropped.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, tls: Option<Arc<ServerConfig>>) {
    let port = Arc::new(Port { router, limits, tls });
    let address = listener.local_addr().ok();
    let mut connections = Connections::default();
    let mut outage = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(()) = connections.ended() => continue,
        };
        let error = match accepted {
            Ok((stream, _)) if is_reserved(&stream, &limits) => {
                "too few file descriptors are free".to_owned()
            }
            Ok((stream, _)) => {
                if std::mem::take(&mut outage) {
                    tracing::info!(?address, "connections are accepted again");
                }
                connections.make_room(limits.connections).await;
                connections.start(&port, stream);
                continue;
            }
            // The client went away before it was accepted.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut outage, true) {
            tracing::warn!(?address, error, "cannot accept connections, trying again");
        }
        connections.give_way().await;
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Pause after a failure to accept; most of them end when something else is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The system gives out the lowest free number, so everything below is in use.
fn is_reserved(stream: &TcpStream, limits: &Limits) -> bool {
    limits.reserved_from.is_some_and(|first| stream.as_raw_fd() >= first)
}

/// The connections of a port.
#[derive(Debug, Default)]
struct Connections {
    tasks: JoinSet<()>,
    open: Vec<(AbortHandle, Arc<Activity>)>,
}

impl Connections {
    fn start(&mut self, port: &Arc<Port>, stream: TcpStream) {
        let activity = Arc::new(Activity::new());
        let task = self.tasks.spawn(Arc::clone(port).serve(stream, Arc::clone(&activity)));
        self.open.push((task, activity));
    }

    /// Waits for the end of a connection; `None` if there is none.
    async fn ended(&mut self) -> Option<()> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = match ended {
            Ok((id, ())) => id,
            Err(failure) => {
                if failure.is_panic() {
                    tracing::error!(error = %failure, "a connection ended in a panic");
                }
                failure.id()
            }
        };
        self.open.retain(|(task, _)| task.id() != id);
        Some(())
    }

    /// Waits until there are fewer than `most`, with one that gives way if there is one.
    async fn make_room(&mut self, most: usize) {
        while self.open.len() >= most {
            if self.give_way().await {
                continue;
            }
            let activities: Vec<Arc<Activity>> = self.open.iter().map(|(_, open)| Arc::clone(open)).collect();
            let relaxed = activities.iter().map(|activity| Box::pin(activity.relaxed()));
            tokio::select! {
                _ = select_all(relaxed) => {}
                _ = self.ended() => {}
            }
        }
    }

    /// Closes the connection that can be spared, if there is one, and waits for its end.
    async fn give_way(&mut self) -> bool {
        let chosen = spare(self.open.iter().map(|(_, activity)| activity.state()));
        let Some((task, _)) = chosen.and_then(|index| self.open.get(index)) else { return false };
        let id = task.id();
        task.abort();
        while self.open.iter().any(|(task, _)| task.id() == id) {
            if self.ended().await.is_none() {
                break;
            }
        }
        true
    }
}

/// Which connection gives way.
fn spare(states: impl Iterator<Item = State>) -> Option<usize> {
    states
        .enumerate()
        .filter(|(_, state)| state.phase() != Phase::Answering)
        .min_by_key(|(_, state)| (state.phase(), state.since))
        .map(|(index, _)| index)
}

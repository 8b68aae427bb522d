//! The client: asks for services as a machine on the segment would, and sees what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::error::Error;
use crate::http::{self, Answer, AskError};
use crate::net::{MacAddr, Room, neighbours};

/// Time between two probes while an outage is measured.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(10);
/// How long one probe waits. Below the time after which TCP sends its first packet again (1 s), so
/// that each probe tells of the moment it was sent.
const PROBE_LIMIT: Duration = Duration::from_millis(900);

/// One request from a place, with a limit.
pub(crate) async fn get(
    room: &Room,
    to: SocketAddr,
    limit: Duration,
) -> Result<Result<Answer, AskError>, Error> {
    room.run(async move { http::get(to, "/", limit).await }).await
}

/// Resolves an address anew and asks it: the answer, and the hardware address that the kernel
/// resolved to reach it.
pub(crate) async fn resolve_and_get(
    room: &Room,
    to: SocketAddr,
    limit: Duration,
) -> Result<(Result<Answer, AskError>, Option<MacAddr>), Error> {
    neighbours::forget(room, to.ip()).await?;
    let answer = get(room, to, limit).await?;
    let mac = neighbours::lookup(room, to.ip()).await?;
    Ok((answer, mac))
}

/// Asks again and again, each time on a new connection and so from a new port, until every node in
/// `wanted` has answered; returns how often each did.
pub(crate) async fn spread(
    room: &Room,
    to: SocketAddr,
    wanted: &BTreeSet<String>,
    most: usize,
) -> Result<(BTreeMap<String, usize>, Vec<String>), Error> {
    let (mut counts, mut errors) = (BTreeMap::new(), Vec::new());
    for asked in 1..=most {
        match get(room, to, Duration::from_secs(2)).await? {
            Ok(answer) => *counts.entry(answer.node).or_insert(0) += 1,
            Err(error) => errors.push(error.to_string()),
        }
        let all = wanted.iter().all(|node| counts.contains_key(node));
        if all && asked >= 10 * wanted.len() {
            break;
        }
    }
    Ok((counts, errors))
}

/// One probe that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) sent: Instant,
    pub(crate) node: String,
}

/// Probes an address every 10 ms until it is dropped.
#[derive(Debug)]
pub(crate) struct Prober {
    answers: mpsc::UnboundedReceiver<Probe>,
    task: AbortHandle,
}

impl Prober {
    pub(crate) fn start(room: &Arc<Room>, to: SocketAddr) -> Self {
        let (tell, answers) = mpsc::unbounded_channel();
        let task = room.runtime().spawn(async move {
            let mut clock = tokio::time::interval(PROBE_INTERVAL);
            clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                clock.tick().await;
                let (tell, sent) = (tell.clone(), Instant::now());
                tokio::spawn(async move {
                    if let Ok(answer) = http::get(to, "/", PROBE_LIMIT).await {
                        // Nobody listens any more when the measurement is over.
                        let _ = tell.send(Probe { sent, node: answer.node });
                    }
                });
            }
        });
        Self { answers, task: task.abort_handle() }
    }

    /// The next answer, in the order of arrival.
    pub(crate) async fn next(&mut self, limit: Duration) -> Option<Probe> {
        tokio::time::timeout(limit, self.answers.recv()).await.ok().flatten()
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a takeover looked like from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Takeover {
    pub(crate) address: IpAddr,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Between the last probe that the old node answered and the first that the new one did.
    pub(crate) outage: Duration,
}

/// Reads answers until another node than that of `last` gives one; `last` is an answer that was
/// read before.
pub(crate) async fn takeover(
    prober: &mut Prober,
    address: IpAddr,
    last: Probe,
    limit: Duration,
) -> Option<Takeover> {
    let end = Instant::now() + limit;
    let Probe { sent: mut last, node: owner } = last;
    loop {
        let probe = prober.next(end.saturating_duration_since(Instant::now())).await?;
        if probe.node == owner {
            last = last.max(probe.sent);
            continue;
        }
        return Some(Takeover {
            address,
            from: owner,
            to: probe.node,
            outage: probe.sent.saturating_duration_since(last),
        });
    }
}

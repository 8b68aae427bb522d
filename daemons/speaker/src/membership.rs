//! The heartbeats' socket: seals, sends, receives and wakes the membership engine.
//!
//! A task of its own, so that nothing the owner of the announcements does delays a heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use metallb_core::keys::NodeName;
use metallb_core::membership::{Config, Epoch, Event, Membership, Metadata, Peer, Stats, Timing};
use metallb_runtime::seed;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use crate::args::MembershipArgs;
use crate::seal::Seal;

/// What is known of the speakers. A newer value replaces an older one, so that the task never waits for its owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// These nodes live.
    pub members: BTreeSet<NodeName>,
    /// What speakers say about themselves.
    pub metadata: BTreeMap<NodeName, Arc<Metadata>>,
    /// The cautious start is over: this node may claim what the election gives it.
    pub settled: bool,
    /// How often members have met again that had lived without each other: an address may have had two owners.
    pub reunions: u64,
}

impl View {
    /// What is different from an earlier view in what speakers say about themselves; `None` for one of which nothing is
    /// known any more.
    pub(crate) fn changed_metadata<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a NodeName, Option<&'a Metadata>)> {
        let gone = before.metadata.keys().filter(|node| !self.metadata.contains_key(*node));
        let changed = self.metadata.iter().filter(|(node, metadata)| {
            !before.metadata.get(*node).is_some_and(|before| Arc::ptr_eq(before, metadata))
        });
        gone.map(|node| (node, None)).chain(changed.map(|(node, metadata)| (node, Some(&**metadata))))
    }
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// Members, this node included.
    pub members: usize,
    /// The engine's counters.
    pub stats: Stats,
    /// Datagrams that could not be opened with our key.
    pub unsealed: u64,
}

/// Asks the membership task for something. What the task shall know is left for it to take; nobody waits for that.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    peers: Arc<watch::Sender<BTreeMap<NodeName, Peer>>>,
    metadata: Arc<watch::Sender<Option<Metadata>>>,
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Numbers(oneshot::Sender<Numbers>),
    Leave(oneshot::Sender<()>),
}

impl Handle {
    /// Replaces the list of all speakers.
    pub(crate) fn set_peers(&self, peers: BTreeMap<NodeName, Peer>) {
        self.peers.send_replace(peers);
    }

    /// Replaces what others are told about this node.
    pub(crate) fn set_metadata(&self, metadata: Metadata) {
        self.metadata.send_if_modified(|current| {
            let changed = current.as_ref() != Some(&metadata);
            *current = Some(metadata);
            changed
        });
    }

    /// Numbers for metrics; `None` once the task has ended.
    pub(crate) async fn numbers(&self) -> Option<Numbers> {
        let (answer, numbers) = oneshot::channel();
        self.request(Request::Numbers(answer)).await;
        numbers.await.ok()
    }

    /// Says goodbye to all others and waits until that is said.
    pub(crate) async fn leave(&self) {
        let (said, waiting) = oneshot::channel();
        self.request(Request::Leave(said)).await;
        if waiting.await.is_err() {
            tracing::debug!("membership ended before it said goodbye");
        }
    }

    async fn request(&self, request: Request) {
        if self.requests.send(request).await.is_err() {
            tracing::debug!("membership has ended");
        }
    }
}

/// A membership that has been started.
#[derive(Debug)]
pub(crate) struct Started {
    /// Asks for things.
    pub handle: Handle,
    /// What is known; ends with the task.
    pub view: watch::Receiver<View>,
    /// Where others reach this speaker.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests bind port 0"))]
    pub address: SocketAddr,
}

/// Opens the socket and starts the task.
///
/// # Errors
/// When the socket cannot be used; the message names the flag.
pub(crate) async fn start(node: NodeName, args: &MembershipArgs, seal: Seal) -> anyhow::Result<Started> {
    if matches!(seal, Seal::Plain) {
        tracing::warn!(
            error = "anybody who reaches the port can pose as a speaker",
            "membership is not sealed: set --ml-secret-key-path to the speakers' shared secret"
        );
    }
    let socket = UdpSocket::bind(args.bind)
        .await
        .with_context(|| format!("cannot hear other speakers on {} (--ml-bindaddr)", args.bind))?;
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = u64::try_from(started.as_nanos()).unwrap_or(u64::MAX);
    let timing = if args.wan { Timing::WAN } else { Timing::LAN };
    let config = Config::new(node, Epoch::new(nanoseconds), seed()).with_timing(timing);
    let engine = Membership::new(Instant::now(), config)?;
    let address = socket.local_addr().context("the membership socket has no address")?;
    let view = View { members: engine.members().clone(), ..View::default() };
    let (view, viewed) = watch::channel(view);
    let (peers, peers_given) = watch::channel(BTreeMap::new());
    let (metadata, metadata_given) = watch::channel(None);
    let (requests, requested) = mpsc::channel(16);
    let inbox = Inbox { peers: peers_given, metadata: metadata_given, requests: requested };
    let task = Task { engine, socket, seal, view, datagram: Vec::new(), unsealed: 0 };
    tokio::spawn(task.run(inbox));
    let handle = Handle { peers: Arc::new(peers), metadata: Arc::new(metadata), requests };
    Ok(Started { handle, view: viewed, address })
}

/// What the owner leaves for the task.
struct Inbox {
    peers: watch::Receiver<BTreeMap<NodeName, Peer>>,
    metadata: watch::Receiver<Option<Metadata>>,
    requests: mpsc::Receiver<Request>,
}

struct Task {
    engine: Membership,
    socket: UdpSocket,
    seal: Seal,
    view: watch::Sender<View>,
    datagram: Vec<u8>,
    unsealed: u64,
}

impl Task {
    /// Until it is asked to leave, or nobody is left who could ask.
    async fn run(mut self, mut inbox: Inbox) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            self.transmit().await;
            if !self.publish() {
                return;
            }
            let timeout = self.engine.next_timeout().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                // What the owner wants comes before datagrams, which may come without end.
                biased;
                () = tokio::time::sleep_until(timeout.into()) => self.engine.handle_timeout(Instant::now()),
                changed = inbox.peers.changed() => match changed {
                    Ok(()) => self.set_peers(inbox.peers.borrow_and_update().clone()),
                    Err(_) => return,
                },
                changed = inbox.metadata.changed() => match changed {
                    Ok(()) => self.set_metadata(inbox.metadata.borrow_and_update().clone()),
                    Err(_) => return,
                },
                request = inbox.requests.recv() => match request {
                    Some(Request::Numbers(answer)) => self.answer(answer),
                    Some(Request::Leave(said)) => return self.leave(said).await,
                    None => return,
                },
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.receive(buffer.get_mut(..length).unwrap_or_default(), from),
                    // An ICMP error of an earlier send: the silence of that member says enough.
                    Err(error) => tracing::debug!(%error, "receiving a heartbeat failed"),
                },
            }
        }
    }

    fn set_peers(&mut self, peers: BTreeMap<NodeName, Peer>) {
        self.engine.set_peers(Instant::now(), peers);
        let Self { engine, view, .. } = self;
        // The engine forgets who is no peer any more without a word.
        view.send_if_modified(|view| {
            let before = view.metadata.len();
            view.metadata.retain(|node, _| engine.metadata(node).is_some());
            view.metadata.len() != before
        });
    }

    fn set_metadata(&mut self, metadata: Option<Metadata>) {
        let Some(metadata) = metadata else { return };
        if let Err(error) = self.engine.set_metadata(Instant::now(), metadata) {
            tracing::error!(%error, "other speakers keep what they knew of this node");
        }
    }

    fn answer(&self, answer: oneshot::Sender<Numbers>) {
        let members = self.engine.members().len();
        let numbers = Numbers { members, stats: self.engine.stats(), unsealed: self.unsealed };
        if answer.send(numbers).is_err() {
            tracing::debug!("nobody waits for the membership numbers any more");
        }
    }

    async fn leave(&mut self, said: oneshot::Sender<()>) {
        self.engine.leave(Instant::now());
        self.transmit().await;
        while let Some(timeout) = self.engine.next_timeout() {
            tokio::time::sleep_until(timeout.into()).await;
            self.engine.handle_timeout(Instant::now());
            self.transmit().await;
        }
        if said.send(()).is_err() {
            tracing::debug!("nobody waits for the goodbye any more");
        }
    }

    fn receive(&mut self, sealed: &mut [u8], from: SocketAddr) {
        let Some(datagram) = self.seal.open(sealed) else {
            self.unsealed = self.unsealed.saturating_add(1);
            tracing::debug!(%from, "heartbeat sealed with another key");
            return;
        };
        if let Err(error) = self.engine.handle_datagram(Instant::now(), datagram) {
            tracing::debug!(%from, %error, "heartbeat dropped");
        }
    }

    async fn transmit(&mut self) {
        while let Some(to) = self.engine.poll_transmit(&mut self.datagram) {
            if let Err(error) = self.send(to).await {
                tracing::debug!(%to, %error, "heartbeat not sent");
            }
        }
    }

    async fn send(&mut self, to: SocketAddr) -> io::Result<()> {
        self.seal.seal(&mut self.datagram).map_err(io::Error::other)?;
        self.socket.send_to(&self.datagram, to).await.map(|_| ())
    }

    /// Shows what changed; false when nobody looks any more.
    fn publish(&mut self) -> bool {
        let Self { engine, view, .. } = self;
        let Some(first) = engine.poll_event() else { return !view.is_closed() };
        view.send_modify(|view| {
            let mut next = Some(first);
            while let Some(event) = next {
                view.apply(&event, engine);
                next = engine.poll_event();
            }
        });
        !view.is_closed()
    }
}

impl View {
    fn apply(&mut self, event: &Event, engine: &Membership) {
        match event {
            Event::MembersChanged => self.members.clone_from(engine.members()),
            Event::MetadataChanged(node) => match engine.metadata(node) {
                Some(metadata) => {
                    self.metadata.insert(node.clone(), Arc::new(metadata.clone()));
                }
                None => drop(self.metadata.remove(node)),
            },
            Event::Settled => self.settled = true,
            Event::Reunited => self.reunions = self.reunions.saturating_add(1),
            other => tracing::debug!(?other, "event of the membership"),
        }
    }
}

/// Larger than any datagram the engine writes, and what UDP carries at most.
const MAX_DATAGRAM: usize = 65_535;

/// How long to sleep when the engine has nothing to do.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;

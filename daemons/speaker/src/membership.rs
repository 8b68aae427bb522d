//! The heartbeats' socket: seals, sends, receives and wakes the membership engine.
//!
//! A task of its own, so that nothing the owner of the announcements does delays a heartbeat.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use metallb_core::keys::NodeName;
use metallb_core::membership::wire::Header;
use metallb_core::membership::{
    Arrival, Config, DropReason, Epoch, Membership, Metadata, Peer, Rejected, Timing, Transmit, View,
};
use metallb_runtime::seed;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use crate::args::MembershipArgs;
use crate::complaints::{Complaints, Suspect};
use crate::gate::Gate;
use crate::seal::Seal;
use crate::shared_secret::{self, Secret};

/// What the task has to tell. A newer value replaces an older one, so that the task never waits for its owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Who lives, and what speakers say about themselves.
    pub speakers: View,
    /// What there was to complain about, with a running number; the last few.
    pub complaints: BTreeMap<u64, Arc<str>>,
}

impl Heard {
    /// What there is to complain about since an earlier value.
    pub(crate) fn new_complaints<'a>(&'a self, before: &Self) -> impl Iterator<Item = &'a str> {
        let last = before.complaints.last_key_value().map_or(0, |(number, _)| *number);
        self.complaints.range(last.saturating_add(1)..).map(|(_, text)| &**text)
    }

    fn complain(&mut self, text: String) {
        let number = self.complaints.last_key_value().map_or(0, |(number, _)| *number).saturating_add(1);
        self.complaints.insert(number, text.into());
        if self.complaints.len() > COMPLAINTS {
            self.complaints.pop_first();
        }
    }
}

/// Numbers for metrics.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    /// Members, this node included.
    pub members: usize,
    /// How often a member was silent for so long that it was dropped, or lived by the word of others.
    pub suspicions: u64,
    /// Datagrams that were dropped, for every reason there is.
    pub dropped: Vec<(DropReason, u64)>,
}

/// Asks the membership task for something. What the task shall know is left for it to take; nobody waits for that.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    peers: Arc<watch::Sender<BTreeMap<NodeName, Peer>>>,
    metadata: Arc<watch::Sender<Option<Metadata>>>,
    takes_part: Arc<watch::Sender<bool>>,
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

    /// This node announces what it owns: the others may count it.
    pub(crate) fn take_part(&self) {
        self.takes_part.send_replace(true);
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
    pub heard: watch::Receiver<Heard>,
    /// Where others reach this speaker.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests bind port 0"))]
    pub address: SocketAddr,
}

/// Opens the socket and starts the task.
///
/// # Errors
/// When the socket or the secret cannot be used; the message names the flag.
pub(crate) fn start(
    node: NodeName,
    args: &MembershipArgs,
    secret: Option<Secret>,
) -> anyhow::Result<Started> {
    if let Some(secret) = &secret {
        secret.warn_if_short();
    } else {
        tracing::warn!(
            error = "anybody who reaches the port can pose as a speaker",
            "membership is not sealed: set --ml-secret-key-path to the speakers' shared secret"
        );
    }
    let (socket, sender) = sockets(args.bind)
        .with_context(|| format!("cannot hear other speakers on {} (--ml-bindaddr)", args.bind))?;
    let started = u64::try_from(clock().as_nanos()).unwrap_or(u64::MAX);
    let counter = u32::try_from(seed() & u64::from(u32::MAX)).unwrap_or_default();
    let timing = if args.wan { Timing::WAN } else { Timing::LAN };
    let epoch = Epoch::new(started).with_counter(counter);
    let config = Config::new(node.clone(), epoch, seed()).with_timing(timing).with_confirmation();
    let engine = Membership::new(Instant::now(), config)?;
    let address = socket.local_addr().context("the membership socket has no address")?;
    let (heard, known) = watch::channel(Heard { speakers: View::new(&engine), ..Heard::default() });
    let (peers, peers_given) = watch::channel(BTreeMap::new());
    let (metadata, metadata_given) = watch::channel(None);
    let (takes_part, part_taken) = watch::channel(false);
    let (requests, requested) = mpsc::channel(16);
    let secrets = follow_secret(args, secret.clone());
    let inbox = Inbox {
        peers: peers_given,
        metadata: metadata_given,
        takes_part: part_taken,
        requests: requested,
        secrets,
    };
    let seal = Seal::new(node, secret)?;
    let complaints = Complaints::default();
    let task = Task {
        engine,
        socket,
        sender,
        seal,
        heard,
        gate: Gate::default(),
        datagram: Vec::new(),
        complaints,
        next_look: Instant::now(),
    };
    tokio::spawn(task.run(inbox));
    let handle = Handle {
        peers: Arc::new(peers),
        metadata: Arc::new(metadata),
        takes_part: Arc::new(takes_part),
        requests,
    };
    Ok(Started { handle, heard: known, address })
}

/// One socket, twice: to receive from, and to send without ever waiting.
fn sockets(bind: SocketAddr) -> io::Result<(UdpSocket, StdSocket)> {
    let socket = StdSocket::bind(bind)?;
    socket.set_nonblocking(true)?;
    // Room for what arrives while this process has to wait for its turn. The kernel gives what it allows.
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    let sender = socket.try_clone()?;
    Ok((UdpSocket::from_std(socket)?, sender))
}

/// Follows the file of the secret; without one, nothing ever changes.
fn follow_secret(args: &MembershipArgs, secret: Option<Secret>) -> watch::Receiver<Option<Secret>> {
    let file = args.secret.clone().filter(|_| secret.is_some());
    let (changes, secrets) = watch::channel(secret);
    match file {
        Some(path) => drop(tokio::spawn(shared_secret::follow(path, changes))),
        None => drop(tokio::spawn(async move { changes.closed().await })),
    }
    secrets
}

/// This node's clock: the time since the Unix epoch.
fn clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// What the owner leaves for the task.
struct Inbox {
    peers: watch::Receiver<BTreeMap<NodeName, Peer>>,
    metadata: watch::Receiver<Option<Metadata>>,
    takes_part: watch::Receiver<bool>,
    requests: mpsc::Receiver<Request>,
    secrets: watch::Receiver<Option<Secret>>,
}

struct Task {
    engine: Membership,
    socket: UdpSocket,
    /// The same socket, for sending.
    sender: StdSocket,
    seal: Seal,
    /// What the kernel lets through.
    gate: Gate,
    heard: watch::Sender<Heard>,
    datagram: Vec<u8>,
    complaints: Complaints,
    /// When to see whether a changed secret is in use.
    next_look: Instant,
}

impl Task {
    /// Until it is asked to leave, or nobody is left who could ask.
    async fn run(mut self, mut inbox: Inbox) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            self.transmit();
            if !self.publish() {
                return;
            }
            let timeout = self.engine.next_timeout().unwrap_or_else(|| Instant::now() + IDLE);
            if timeout <= Instant::now() {
                // Not left to the timer, which may fire late while datagrams come without end.
                self.handle_timeout();
                tokio::task::consume_budget().await;
                continue;
            }
            tokio::select! {
                // What the owner wants comes before datagrams, which may come without end.
                biased;
                () = tokio::time::sleep_until(timeout.into()) => self.handle_timeout(),
                changed = inbox.peers.changed() => match changed {
                    Ok(()) => self.set_peers(inbox.peers.borrow_and_update().clone()),
                    Err(_) => return,
                },
                changed = inbox.metadata.changed() => match changed {
                    Ok(()) => self.set_metadata(inbox.metadata.borrow_and_update().clone()),
                    Err(_) => return,
                },
                changed = inbox.takes_part.changed() => match changed {
                    // What the others are told of this node comes before.
                    Ok(()) => self.engine.take_part(Instant::now()),
                    Err(_) => return,
                },
                request = inbox.requests.recv() => match request {
                    Some(Request::Numbers(answer)) => self.answer(answer),
                    Some(Request::Leave(said)) => return self.leave(said).await,
                    None => return,
                },
                changed = inbox.secrets.changed() => match changed {
                    Ok(()) => self.offer(inbox.secrets.borrow_and_update().clone()),
                    Err(_) => return tracing::error!(error = "nobody follows the secret", "membership ends"),
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
        let sources = peers.values().flat_map(|peer| peer.sources.iter().copied()).collect();
        if let Err(error) = self.gate.set(&self.socket, sources) {
            tracing::warn!(%error, "the kernel takes no filter for the addresses of the speakers: every datagram is read");
        }
        self.engine.set_peers(Instant::now(), peers);
    }

    fn set_metadata(&mut self, metadata: Option<Metadata>) {
        let Some(metadata) = metadata else { return };
        if let Err(error) = self.engine.set_metadata(Instant::now(), metadata) {
            tracing::error!(%error, "other speakers keep what they knew of this node");
        }
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        self.engine.handle_timeout(now);
        if self.next_look <= now {
            self.next_look = now + LOOK;
            if self.seal.handle_time(now, self.engine.members()) {
                tracing::info!("the changed secret of the speakers is in use");
            }
        }
    }

    /// The secret is another one now.
    fn offer(&mut self, secret: Option<Secret>) {
        let Some(secret) = secret else { return };
        secret.warn_if_short();
        match self.seal.offer(Instant::now(), secret) {
            Ok(()) => tracing::info!(
                "the secret of the speakers has changed: both are taken until all have the new one"
            ),
            Err(error) => tracing::error!(%error, "the changed secret of the speakers cannot be used"),
        }
    }

    fn answer(&self, answer: oneshot::Sender<Numbers>) {
        let members = self.engine.members().len();
        let suspicions = self.engine.stats().suspicions;
        let numbers = Numbers { members, suspicions, dropped: self.complaints.counts().collect() };
        if answer.send(numbers).is_err() {
            tracing::debug!("nobody waits for the membership numbers any more");
        }
    }

    async fn leave(&mut self, said: oneshot::Sender<()>) {
        self.engine.leave(Instant::now());
        self.transmit();
        while let Some(timeout) = self.engine.next_timeout() {
            tokio::time::sleep_until(timeout.into()).await;
            self.engine.handle_timeout(Instant::now());
            self.transmit();
        }
        if said.send(()).is_err() {
            tracing::debug!("nobody waits for the goodbye any more");
        }
    }

    fn receive(&mut self, sealed: &mut [u8], from: SocketAddr) {
        let Err((suspect, reason)) = self.take(sealed, from) else { return };
        tracing::debug!(%from, ?suspect, reason = reason.as_str(), "heartbeat dropped");
        if let Some(text) = self.complaints.note(Instant::now(), suspect, reason) {
            tracing::warn!(reason = reason.as_str(), error = text, "other speakers may not be heard");
            self.heard.send_modify(|heard| heard.complain(text));
        }
    }

    /// Opens a datagram, when it is worth that, and gives it to the engine.
    fn take(&mut self, sealed: &mut [u8], from: SocketAddr) -> Result<(), (Suspect, DropReason)> {
        let from = from.ip().to_canonical();
        let somebody = |reason| (Suspect::Address(from), reason);
        self.seal.unwrap(sealed).map_err(somebody)?;
        let (header, length) = Header::parse(sealed).map_err(|_| somebody(DropReason::Malformed))?;
        let (epoch, arrival) = (header.epoch, Arrival::new(from, clock()));
        let sender = self.engine.admit(arrival, &header).map_err(|error| suspect(from, &error))?;
        let member = |reason| (Suspect::Member(sender.clone()), reason);
        let datagram = self.seal.open(&sender, epoch, length, sealed).map_err(member)?;
        let taken = self.engine.handle_datagram(Instant::now(), arrival, datagram);
        taken.map_err(|error| member(error.reason()))
    }

    fn transmit(&mut self) {
        while let Some(to) = self.engine.poll_transmit(&mut self.datagram) {
            if let Err(error) = self.send(&to) {
                tracing::debug!(to = %to.address, %error, "heartbeat not sent");
            }
        }
    }

    /// Sends at once or not at all: one receiver that cannot be reached does not keep the others waiting.
    fn send(&mut self, to: &Transmit) -> io::Result<()> {
        self.seal.seal(&to.receiver, &mut self.datagram).map_err(io::Error::other)?;
        self.sender.send_to(&self.datagram, to.address).map(drop)
    }

    /// Shows what changed; false when nobody looks any more.
    fn publish(&mut self) -> bool {
        let Self { engine, heard, .. } = self;
        heard.send_if_modified(|heard| heard.speakers.update(engine));
        !heard.is_closed()
    }
}

/// Whom to blame: a member only when its own address spoke for it.
fn suspect(from: IpAddr, error: &Rejected) -> (Suspect, DropReason) {
    let suspect = match error {
        Rejected::Source { member, .. } | Rejected::EpochAhead { member, .. } => {
            Suspect::Member(member.clone())
        }
        _ => Suspect::Address(from),
    };
    (suspect, error.reason())
}

/// Complaints that are kept for the owner.
const COMPLAINTS: usize = 32;

/// How often to see whether a changed secret is in use.
const LOOK: Duration = Duration::from_secs(1);

/// Octets of datagrams that may wait to be read: those of a second from many members.
const RECEIVE_BUFFER: usize = 1 << 22;

/// Larger than any datagram the engine writes, and what UDP carries at most.
const MAX_DATAGRAM: usize = 65_535;

/// How long to sleep when the engine has nothing to do.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;

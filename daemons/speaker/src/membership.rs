//! The heartbeats' socket: seals, sends, receives and wakes the membership engine.
//!
//! A task of its own, so that nothing the owner of the announcements does delays a heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use metallb_core::keys::NodeName;
use metallb_core::membership::{Config, Epoch, Event, Membership, Metadata, Peer, Stats, Timing};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use crate::args::MembershipArgs;
use crate::seal::Seal;

/// What the owner of the announcements is told.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// These nodes live.
    Members(BTreeSet<NodeName>),
    /// A member says this about itself; `None` when it is not known any more.
    Metadata(NodeName, Option<Metadata>),
    /// The cautious start is over: this node may claim what the election gives it.
    Settled,
    /// Members have lived without each other: an address may have had two owners.
    Reunited,
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

/// Asks the membership task for something.
#[derive(Clone, Debug)]
pub(crate) struct Handle(mpsc::Sender<Command>);

#[derive(Debug)]
enum Command {
    Peers(BTreeMap<NodeName, Peer>),
    Metadata(Metadata),
    Numbers(oneshot::Sender<Numbers>),
    Leave(oneshot::Sender<()>),
}

impl Handle {
    /// Replaces the list of all speakers.
    pub(crate) async fn set_peers(&self, peers: BTreeMap<NodeName, Peer>) {
        self.send(Command::Peers(peers)).await;
    }

    /// Replaces what others are told about this node.
    pub(crate) async fn set_metadata(&self, metadata: Metadata) {
        self.send(Command::Metadata(metadata)).await;
    }

    /// Numbers for metrics; `None` once the task has ended.
    pub(crate) async fn numbers(&self) -> Option<Numbers> {
        let (answer, numbers) = oneshot::channel();
        self.send(Command::Numbers(answer)).await;
        numbers.await.ok()
    }

    /// Says goodbye to all others and waits until that is said.
    pub(crate) async fn leave(&self) {
        let (said, waiting) = oneshot::channel();
        self.send(Command::Leave(said)).await;
        if waiting.await.is_err() {
            tracing::debug!("membership ended before it said goodbye");
        }
    }

    async fn send(&self, command: Command) {
        if self.0.send(command).await.is_err() {
            tracing::debug!("membership has ended");
        }
    }
}

/// Opens the socket and starts the task; news arrive through `news`.
///
/// # Errors
/// When the secret or the socket cannot be used; the message names the flag.
pub(crate) async fn start(
    node: NodeName,
    args: &MembershipArgs,
    news: mpsc::Sender<News>,
) -> anyhow::Result<Handle> {
    let seal = Seal::from_file(args.secret.as_deref())?;
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
    let config = Config::new(node, Epoch::new(nanoseconds), nanoseconds).with_timing(timing);
    let engine = Membership::new(Instant::now(), config)?;
    let (commands, inbox) = mpsc::channel(16);
    let task = Task { engine, socket, seal, news, datagram: Vec::new(), unsealed: 0 };
    tokio::spawn(task.run(inbox));
    Ok(Handle(commands))
}

struct Task {
    engine: Membership,
    socket: UdpSocket,
    seal: Seal,
    news: mpsc::Sender<News>,
    datagram: Vec<u8>,
    unsealed: u64,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            self.transmit().await;
            if !self.tell().await {
                return;
            }
            let timeout = self.engine.next_timeout().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(timeout.into()) => self.engine.handle_timeout(Instant::now()),
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.receive(buffer.get_mut(..length).unwrap_or_default(), from),
                    // An ICMP error of an earlier send: the silence of that member says enough.
                    Err(error) => tracing::debug!(%error, "receiving a heartbeat failed"),
                },
                command = inbox.recv() => match command {
                    Some(command) => {
                        if self.obey(command).await {
                            return;
                        }
                    }
                    None => return,
                },
            }
        }
    }

    /// Does what the owner asks for; true when that was to leave.
    async fn obey(&mut self, command: Command) -> bool {
        let now = Instant::now();
        match command {
            Command::Peers(peers) => self.engine.set_peers(now, peers),
            Command::Metadata(metadata) => {
                if let Err(error) = self.engine.set_metadata(now, metadata) {
                    tracing::error!(%error, "other speakers keep what they knew of this node");
                }
            }
            Command::Numbers(answer) => {
                let members = self.engine.members().len();
                let numbers = Numbers { members, stats: self.engine.stats(), unsealed: self.unsealed };
                if answer.send(numbers).is_err() {
                    tracing::debug!("nobody waits for the membership numbers any more");
                }
            }
            Command::Leave(said) => {
                self.leave().await;
                if said.send(()).is_err() {
                    tracing::debug!("nobody waits for the goodbye any more");
                }
                return true;
            }
        }
        false
    }

    async fn leave(&mut self) {
        self.engine.leave(Instant::now());
        self.transmit().await;
        while let Some(timeout) = self.engine.next_timeout() {
            tokio::time::sleep_until(timeout.into()).await;
            self.engine.handle_timeout(Instant::now());
            self.transmit().await;
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

    /// Passes on what changed; false when nobody listens any more.
    async fn tell(&mut self) -> bool {
        while let Some(event) = self.engine.poll_event() {
            let news = match event {
                Event::MembersChanged => News::Members(self.engine.members().clone()),
                Event::MetadataChanged(node) => {
                    let metadata = self.engine.metadata(&node).cloned();
                    News::Metadata(node, metadata)
                }
                Event::Settled => News::Settled,
                Event::Reunited => News::Reunited,
                _ => continue,
            };
            if self.news.send(news).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Larger than any datagram the engine writes, and what UDP carries at most.
const MAX_DATAGRAM: usize = 65_535;

/// How long to sleep when the engine has nothing to do.
const IDLE: Duration = Duration::from_secs(60);

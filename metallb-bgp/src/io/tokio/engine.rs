//! The task that owns everything.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use ipnetwork::IpNetwork;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use super::demand::Owner;
use super::handle::Command;
use super::linger::Lingering;
use super::listener::Listeners;
use super::outbox::Outbox;
use super::peer::{Peer, Work};
use super::{ListenRange, Shutdown, SpeakerConfig};
use crate::session::{Authentication, PeerConfig, PeerKey, Session, StopReason};
use crate::table::AdvTable;
use crate::wire::header::MessageLimit;
use crate::wire::iana;
use crate::wire::notification::Notification;

/// Sessions, table and sockets of one speaker.
pub(super) struct Engine {
    config: SpeakerConfig,
    commands: mpsc::UnboundedReceiver<Command>,
    outbox: Outbox,
    table: AdvTable,
    peers: BTreeMap<PeerKey, Peer>,
    ranges: BTreeMap<PeerKey, ListenRange>,
    listeners: Listeners,
    lingering: Vec<Lingering>,
    timer: Pin<Box<Sleep>>,
    buffer: Box<[u8]>,
    stopping: bool,
    waiting_for_stop: Vec<oneshot::Sender<()>>,
}

impl Engine {
    pub(super) fn new(
        config: SpeakerConfig,
        commands: mpsc::UnboundedReceiver<Command>,
        outbox: Outbox,
        listeners: Listeners,
    ) -> Self {
        Self {
            config,
            commands,
            outbox,
            table: AdvTable::new(),
            peers: BTreeMap::new(),
            ranges: BTreeMap::new(),
            listeners,
            lingering: Vec::new(),
            timer: Box::pin(sleep_until(Instant::now())),
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            stopping: false,
            waiting_for_stop: Vec::new(),
        }
    }

    /// Runs until the speaker is shut down.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        for waiting in self.waiting_for_stop.drain(..) {
            // Whoever waited may have given up.
            let _ = waiting.send(());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MAX_ROUNDS {
            let mut progress = self.poll_commands(cx);
            progress |= self.poll_listeners(cx);
            progress |= self.poll_timer(cx);
            progress |= self.poll_peers(cx);
            self.lingering.retain_mut(|lingering| lingering.poll(cx, Instant::now()).is_pending());
            if self.stopping && self.lingering.is_empty() {
                self.outbox.close();
                return Poll::Ready(());
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes everything the handles said.
    fn poll_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.stopping {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.handle_command(command),
                // The last handle is gone: as if this program ended, so that peers may keep the routes.
                Poll::Ready(None) => self.stop(&StopReason::Restart(String::new())),
                Poll::Pending => break,
            }
            progress = true;
        }
        progress
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::SetPeer(key, config) => self.set_peer(key, *config),
            Command::RemovePeer(key, reason) => self.remove_peer(&key, &reason),
            Command::ResetPeer(key, text) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.session.stop(now(), &StopReason::Reset(text), &mut self.table);
                }
            }
            Command::SetRange(name, range) => self.set_range(name, *range),
            Command::RemoveRange(name) => self.remove_range(&name),
            Command::SetPrefix(prefix, routes) => {
                self.table.set(prefix, &routes);
            }
            Command::TableComplete => self.table.complete(),
            Command::Snapshot(reply) => {
                let sessions = self.peers.values();
                let snapshots = sessions.map(|peer| peer.session.snapshot(&self.table)).collect();
                // Whoever asked may have given up.
                let _ = reply.send(snapshots);
            }
            Command::Shutdown(how, reply) => {
                self.waiting_for_stop.push(reply);
                match how {
                    Shutdown::Graceful { text } => self.stop(&StopReason::Restart(text)),
                    Shutdown::Cease { text } => self.stop(&StopReason::Shutdown(text)),
                }
            }
        }
    }

    fn set_peer(&mut self, key: PeerKey, config: PeerConfig) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.apply_socket_options(&config);
        }
        if self.demand(&Owner::Peer(key.clone()), config.remote.ip().into(), &config.authentication) {
            self.accept_waiting();
        }
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.reconfigure(now(), config, &mut self.table);
            return;
        }
        let mut session = Session::new(key.clone(), config, self.config.fallback_router_id);
        session.start(now());
        self.peers.insert(key, Peer::new(session, None));
    }

    /// Has the listeners demand keys; returns whether they do. Where they cannot, connections are refused.
    fn demand(&mut self, owner: &Owner, hosts: IpNetwork, authentication: &Authentication) -> bool {
        if let Err(error) = self.listeners.demand(owner, hosts, authentication) {
            tracing::error!(?owner, %error, "no TCP key on the listeners, peers cannot connect");
            return false;
        }
        *authentication != Authentication::None
    }

    fn remove_peer(&mut self, key: &PeerKey, reason: &StopReason) {
        let Some(mut peer) = self.peers.remove(key) else { return };
        if peer.range.is_none() {
            self.listeners.release(&Owner::Peer(key.clone()));
        }
        peer.session.stop(now(), reason, &mut self.table);
        self.finish(peer);
    }

    /// Lets go of a peer: its connections linger, its events are delivered.
    fn finish(&mut self, mut peer: Peer) {
        peer.run_effects(&mut self.table, &mut self.lingering);
        peer.drain_events(&mut self.outbox);
    }

    fn set_range(&mut self, name: PeerKey, range: ListenRange) {
        let owner = Owner::Range(name.clone());
        if self.demand(&owner, range.prefix, &range.template.authentication) {
            self.accept_waiting();
        }
        if self.listeners.refusal(&owner).is_some() {
            // Without the keys nobody is let in, and those inside came by other ones.
            self.remove_range(&name);
            return;
        }
        for peer in self.peers.values_mut().filter(|peer| peer.range.as_ref() == Some(&name)) {
            let config = dynamic_config(&range, peer.session.config().remote);
            peer.apply_socket_options(&config);
            peer.reconfigure(now(), config, &mut self.table);
        }
        self.ranges.insert(name, range);
    }

    fn remove_range(&mut self, name: &PeerKey) {
        self.ranges.remove(name);
        self.listeners.release(&Owner::Range(name.clone()));
        let of_range = self.peers.iter().filter(|(_, peer)| peer.range.as_ref() == Some(name));
        let keys: Vec<PeerKey> = of_range.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove_peer(&key, &StopReason::Deconfigured);
        }
    }

    fn poll_listeners(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready((stream, remote)) = self.listeners.poll_accept(cx) {
            progress = true;
            self.accept(stream, remote);
        }
        progress
    }

    /// Takes what waits to be accepted. After a change of keys, that came with other ones: it belongs to the session
    /// as it was, if to any.
    fn accept_waiting(&mut self) {
        for (stream, remote) in self.listeners.waiting() {
            self.accept(stream, remote);
        }
    }

    /// Hands a connection to its peer, unless there is none or it cannot be authenticated.
    fn accept(&mut self, stream: TcpStream, remote: SocketAddr) {
        match self.peer_for(remote) {
            Ok(key) => {
                let Some(peer) = self.peers.get_mut(&key) else { return };
                match self.listeners.refusal(&Owner::Peer(key)) {
                    Some(error) => peer.refuse(now(), error),
                    None => peer.accept(stream, remote, now()),
                }
            }
            Err(Refusal::Stranger) => {
                tracing::debug!(%remote, "connection from an address without a peer refused");
            }
            Err(Refusal::Full) if self.lingering.len() >= MAX_REFUSED => {}
            Err(Refusal::Full) => {
                tracing::warn!(%remote, "the range has as many peers as it may, connection refused");
                let mut last = Vec::new();
                Notification::cease(iana::CEASE_CONNECTION_REJECTED)
                    .encode(MessageLimit::Standard, &mut last);
                self.lingering.push(Lingering::new(stream, last));
            }
        }
    }

    /// The peer a connection from `remote` belongs to: a configured one, else one of a range.
    fn peer_for(&mut self, remote: SocketAddr) -> Result<PeerKey, Refusal> {
        let of_address = |peer: &Peer| same_host(peer.session.config().remote, remote);
        if let Some((key, _)) = self.peers.iter().find(|(_, peer)| of_address(peer)) {
            return Ok(key.clone());
        }
        let ip = remote.ip().to_canonical();
        let ranges = self.ranges.iter().filter(|(_, range)| range.prefix.contains(ip));
        let (name, range) = ranges.max_by_key(|(_, range)| range.prefix.prefix()).ok_or(Refusal::Stranger)?;
        let members = self.peers.values().filter(|peer| peer.range.as_ref() == Some(name)).count();
        if members >= range.limit {
            return Err(Refusal::Full);
        }
        let key = PeerKey::new(format!("{name}/{ip}"));
        let config = dynamic_config(range, remote);
        let mut session = Session::new(key.clone(), config, self.config.fallback_router_id);
        session.start(now());
        self.peers.insert(key.clone(), Peer::new(session, Some(name.clone())));
        Ok(key)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let sessions = self.peers.values().filter_map(Peer::next_timeout);
        let sessions = sessions.map(Instant::from_std);
        let lingering = self.lingering.iter().map(|lingering| lingering.deadline);
        let Some(next) = sessions.chain(lingering).min() else { return false };
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        let now = now();
        for peer in self.peers.values_mut() {
            peer.handle_timeout(cx, now);
        }
        true
    }

    fn poll_peers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = self.outbox.poll(cx);
        let mut over = Vec::new();
        for (key, peer) in &mut self.peers {
            let mut work = Work {
                table: &mut self.table,
                lingering: &mut self.lingering,
                outbox: &mut self.outbox,
                buffer: &mut self.buffer,
            };
            progress |= peer.poll(cx, &mut work);
            if peer.is_over() {
                over.push(key.clone());
            }
        }
        for key in over {
            if let Some(peer) = self.peers.remove(&key) {
                self.finish(peer);
            }
            progress = true;
        }
        progress |= self.outbox.poll(cx);
        progress
    }

    fn stop(&mut self, reason: &StopReason) {
        self.stopping = true;
        self.listeners.close();
        let keys: Vec<PeerKey> = self.peers.keys().cloned().collect();
        for key in keys {
            self.remove_peer(&key, reason);
        }
    }
}

/// Why a connection is not taken.
enum Refusal {
    /// Nobody expects it.
    Stranger,
    /// Its range has as many peers as it may.
    Full,
}

/// The configuration of a peer that came from a range.
fn dynamic_config(range: &ListenRange, remote: SocketAddr) -> PeerConfig {
    let mut config = range.template.clone();
    config.remote = remote;
    config.passive = true;
    config
}

/// Whether both name the same host; interfaces of link-local addresses count if both are known.
fn same_host(configured: SocketAddr, remote: SocketAddr) -> bool {
    let scope = |address: SocketAddr| match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let (a, b) = (scope(configured), scope(remote));
    let same: fn(IpAddr, IpAddr) -> bool = |a, b| a.to_canonical() == b.to_canonical();
    same(configured.ip(), remote.ip()) && (a == b || a == 0 || b == 0)
}

/// The one place where the driver looks at the clock.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Rounds over all sockets before other tasks get their turn.
const MAX_ROUNDS: usize = 32;
/// Connections that are refused with a word at the same time; others are just closed.
const MAX_REFUSED: usize = 64;
/// Octets read from a socket at a time.
const READ_SIZE: usize = 1 << 16;

//! The task that owns everything.

mod accept;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use super::demand::Owner;
use super::handle::Command;
use super::linger::Lingering;
use super::listener::Listeners;
use super::outbox::Outbox;
use super::peer::{Peer, Work};
use super::restart::Restart;
use super::{ListenRange, Shutdown, SpeakerConfig};
use crate::session::{Authentication, PeerConfig, PeerKey, Session, StopReason};
use crate::table::AdvTable;

/// Sessions, table and sockets of one speaker.
pub(super) struct Engine {
    config: SpeakerConfig,
    commands: mpsc::UnboundedReceiver<Command>,
    outbox: Outbox,
    table: AdvTable,
    peers: BTreeMap<PeerKey, Peer>,
    ranges: BTreeMap<PeerKey, ListenRange>,
    listeners: Listeners,
    restart: Restart,
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
            restart: Restart::new(now()),
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
        if self.peers.get(&key).is_some_and(|peer| peer.range.is_some()) {
            self.remove_peer(&key, &StopReason::ConfigChanged);
        }
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
        self.start_peer(key, config, None);
    }

    /// Starts a session, of a name that no other has.
    fn start_peer(&mut self, key: PeerKey, config: PeerConfig, range: Option<PeerKey>) {
        let now = now();
        let said = self.restart.is_said(&key, &config, now);
        let session = Session::new(key.clone(), config, self.config.fallback_router_id);
        let mut session = if said { session } else { session.without_restart() };
        session.start(now);
        self.peers.insert(key, Peer::new(session, range));
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
        self.restart.note(&peer.session, now());
        peer.run_effects(&mut self.table, &mut self.lingering);
        peer.drain_events(&mut self.outbox);
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

/// The one place where the driver looks at the clock.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Rounds over all sockets before other tasks get their turn.
const MAX_ROUNDS: usize = 32;
/// Octets read from a socket at a time.
const READ_SIZE: usize = 1 << 16;

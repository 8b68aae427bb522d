//! The task that owns everything.

mod accept;
mod bfd;
mod unnumbered;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use self::bfd::Watchdog;
use super::demand::Owner;
use super::farewells::Farewells;
use super::handle::Command;
use super::links::Links;
use super::listener::Listeners;
use super::netlink::AddressSource;
use super::node::Node;
use super::outbox::Outbox;
use super::peer::{Closing, Peer, Work};
use super::peers::{Member, Peers};
use super::restart::Restart;
use super::scarce::Scarce;
use super::schedule::{Schedule, Token};
use super::{ListenRange, Shutdown, SpeakerConfig};
use crate::addresses::AddressTable;
use crate::fsm::State;
use crate::session::{Authentication, PeerConfig, PeerKey, Session, StopReason};
use crate::table::AdvTable;

/// Sessions, table and sockets of one speaker.
pub(super) struct Engine {
    config: SpeakerConfig,
    source: AddressSource,
    /// What the kernel says of the machine's addresses has been seen, or it says nothing.
    is_node_known: bool,
    node: Node,
    commands: mpsc::UnboundedReceiver<Command>,
    outbox: Outbox,
    table: AdvTable,
    /// Established sessions have not looked at the table since it changed.
    table_changed: bool,
    schedule: Schedule,
    peers: Peers,
    ranges: BTreeMap<PeerKey, ListenRange>,
    listeners: Listeners,
    /// The interfaces of unnumbered peers.
    links: Links,
    restart: Restart,
    bfd: Watchdog,
    /// Connections that sessions have just closed.
    closing: Vec<Closing>,
    farewells: Farewells,
    /// Warnings about connections that are not taken.
    refusals: Scarce,
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
            source: AddressSource::open(),
            is_node_known: false,
            node: Node { internal: config.internal_addresses, ..Node::default() },
            bfd: Watchdog::new(config.bfd_seed),
            links: Links::new(config.bfd_seed),
            config,
            commands,
            outbox,
            table: AdvTable::new(),
            table_changed: false,
            schedule: Schedule::new(),
            peers: Peers::default(),
            ranges: BTreeMap::new(),
            listeners,
            restart: Restart::new(now()),
            closing: Vec::new(),
            farewells: Farewells::default(),
            refusals: Scarce::default(),
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
            let mut progress = self.poll_addresses(cx);
            progress |= self.poll_bfd(cx);
            progress |= self.poll_commands(cx);
            progress |= self.poll_links(cx);
            // Peers and ranges that were added before a connection came must be known when it is taken.
            if self.is_node_known {
                progress |= self.poll_listeners(cx);
            }
            progress |= self.write_changes();
            progress |= self.poll_outbox(cx);
            progress |= self.poll_ready(cx);
            progress |= self.poll_outbox(cx);
            // Last, when every deadline is known.
            progress |= self.poll_timer(cx);
            if self.stopping && self.farewells.is_empty() && self.closing.is_empty() {
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

    /// Takes the addresses of the machine whenever they change.
    fn poll_addresses(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(table) = self.source.poll(cx) {
            progress = true;
            self.is_node_known = true;
            let Some(table) = table else { continue };
            let before = std::mem::replace(&mut self.node.addresses, table);
            self.spread_addresses(&before);
        }
        progress
    }

    /// Has every session take the addresses of now.
    fn spread_addresses(&mut self, before: &AddressTable) {
        self.links.apply(&self.node.addresses);
        self.take_neighbors(None, false);
        for Member { peer, seat } in self.peers.members() {
            peer.take_addresses(&self.node, before, &self.table);
            self.schedule.mark(seat);
        }
        self.watch_all();
    }

    /// Takes everything the handles said, once the machine's addresses are known: a session that begins before would have
    /// no identifier of its own.
    fn poll_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut progress, mut spread) = (false, false);
        while !self.stopping && self.is_node_known && !self.bfd.is_stopping() {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => spread |= self.handle_command(command),
                // The last handle is gone: as if this program ended, so that peers may keep the routes.
                Poll::Ready(None) => self.begin_stop(StopReason::Restart(String::new())),
                Poll::Pending => break,
            }
            progress = true;
        }
        // Once for all of them: where kube-proxy works with IPVS the machine holds the address of every service.
        if spread {
            self.spread_addresses(&self.node.addresses.clone());
        }
        progress
    }

    /// Whether others of the machine's addresses can be next hops now.
    fn handle_command(&mut self, command: Command) -> bool {
        match command {
            Command::SetPeer(key, config) => self.set_peer(&key, *config),
            Command::RemovePeer(key, reason) => self.remove_peer(&key, &reason),
            Command::ResetPeer(key, text) => {
                if let Some(peer) = self.peers.get_mut(&key, &mut self.schedule) {
                    peer.session.stop(now(), &StopReason::Reset(text), &mut self.table);
                }
            }
            Command::SetRange(name, range) => self.set_range(name, *range),
            Command::RemoveRange(name) => self.remove_range(&name),
            Command::SetPrefix(prefix, routes) => {
                let changed = self.table.set(prefix, &routes);
                self.table_changed |= changed;
                // Addresses that are announced are no next hops.
                return changed && self.node.holds(prefix.ip());
            }
            Command::SetInternalAddresses(addresses) => {
                self.node.internal = addresses;
                return true;
            }
            Command::TableComplete => {
                self.table.complete();
                self.table_changed = true;
            }
            Command::Snapshot(reply) => {
                let sessions = self.peers.iter();
                let snapshots = sessions.map(|(_, peer)| peer.session.snapshot(&self.table)).collect();
                // Whoever asked may have given up.
                let _ = reply.send(snapshots);
            }
            Command::BfdSnapshot(reply) => self.bfd.request_snapshot(reply),
            Command::DroppedEvents(reply) => {
                // As above.
                let _ = reply.send(self.outbox.dropped());
            }
            Command::Shutdown(how, reply) => {
                self.waiting_for_stop.push(reply);
                match how {
                    Shutdown::Graceful { text } => self.begin_stop(StopReason::Restart(text)),
                    Shutdown::Cease { text } => self.begin_stop(StopReason::Shutdown(text)),
                }
            }
        }
        false
    }

    fn set_peer(&mut self, key: &PeerKey, config: PeerConfig) {
        if self.peers.get(key).is_some_and(|peer| peer.range.is_some()) {
            self.remove_peer(key, &StopReason::ConfigChanged);
        }
        if let Some(peer) = self.peers.get_mut(key, &mut self.schedule) {
            peer.apply_socket_options(&config);
        }
        if self.demand_for(key, self.remote_of(key, &config), &config.authentication) {
            self.accept_waiting();
        }
        self.listeners.limit_segments(&Owner::Peer(key.clone()), config.tcp_mss);
        let unnumbered = config.interface.is_some();
        if let Some(peer) = self.peers.get_mut(key, &mut self.schedule) {
            let unnumbered = unnumbered || peer.session.config().interface.is_some();
            peer.reconfigure(now(), config, &mut self.table);
            if unnumbered {
                self.follow_interfaces();
                self.take_neighbors(None, false);
            }
            self.watch(key);
            return;
        }
        self.start_peer(key, config, None);
    }

    /// Starts a session, of a name that no other has.
    fn start_peer(&mut self, key: &PeerKey, config: PeerConfig, range: Option<PeerKey>) {
        let now = now();
        let said = self.restart.is_said(key, &config, now);
        let session = Session::new(key.clone(), config, self.config.fallback_router_id);
        let mut session = if said { session } else { session.without_restart() };
        if !self.bfd.holds(key, session.config()) {
            session.start(now);
        }
        let unnumbered = session.config().interface.is_some();
        self.peers.insert(Peer::new(session, range), &mut self.schedule);
        if unnumbered {
            self.follow_interfaces();
            self.take_neighbors(None, false);
        }
        self.watch(key);
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
        let Some(mut peer) = self.peers.remove(key, &mut self.schedule) else { return };
        if peer.range.is_none() {
            self.listeners.release(&Owner::Peer(key.clone()));
        }
        self.bfd.release(key);
        peer.session.stop(now(), reason, &mut self.table);
        if peer.session.config().interface.is_some() {
            self.follow_interfaces();
        }
        self.finish(peer);
    }

    /// Lets go of a peer: its connections linger, its events are delivered.
    fn finish(&mut self, mut peer: Peer) {
        if peer.session.has_sent_end_of_rib() {
            self.restart.note(peer.session.key(), now());
        }
        peer.run_effects(&self.links, &mut self.table, &mut self.closing);
        peer.drain_events(&mut self.outbox);
        self.outbox.depart(peer.session.key());
    }

    /// Has established sessions send what is new in the table.
    fn write_changes(&mut self) -> bool {
        if !std::mem::take(&mut self.table_changed) {
            return false;
        }
        let mut progress = false;
        let established = |member: &&mut Member| member.peer.session.state() == State::Established;
        for Member { peer, seat } in self.peers.members().filter(established) {
            let mut work = Work {
                node: &self.node,
                links: &self.links,
                table: &mut self.table,
                closing: &mut self.closing,
                outbox: &mut self.outbox,
                buffer: &mut self.buffer,
            };
            if peer.write(&mut seat.context(), &mut work) {
                self.schedule.mark(seat);
                progress = true;
            }
        }
        progress
    }

    /// Delivers events; peers whose routes were waiting are read again.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = self.outbox.poll(cx);
        while let Some(key) = self.outbox.next_released() {
            progress |= self.peers.get_mut(&key, &mut self.schedule).is_some();
        }
        progress
    }

    /// Looks at those who have something to do.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        for _ in 0..self.schedule.take_woken(cx) {
            let Some(token) = self.schedule.next() else { break };
            progress |= self.poll_peer(token);
            self.farewells.poll(token, Instant::now(), &mut self.schedule);
        }
        for Closing { mut lingering, place } in self.closing.drain(..) {
            if self.stopping {
                lingering.hurry();
            }
            self.farewells.add(lingering, place, &mut self.schedule);
            progress = true;
        }
        progress
    }

    fn poll_peer(&mut self, token: Token) -> bool {
        let Some(Member { peer, seat }) = self.peers.member(token) else { return false };
        seat.begin();
        let mut work = Work {
            node: &self.node,
            links: &self.links,
            table: &mut self.table,
            closing: &mut self.closing,
            outbox: &mut self.outbox,
            buffer: &mut self.buffer,
        };
        let progress = peer.poll(&mut seat.context(), &mut work);
        self.schedule.set_deadline(seat, peer.next_timeout());
        let moved = peer.take_moved().then(|| peer.session.key().clone());
        if peer.is_over() {
            let key = peer.session.key().clone();
            if let Some(peer) = self.peers.remove(&key, &mut self.schedule) {
                self.bfd.release(&key);
                self.finish(peer);
            }
            return true;
        }
        if progress {
            self.schedule.mark(seat);
        }
        if let Some(key) = moved {
            self.moved(&key);
        }
        progress
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(next) = self.schedule.next_deadline().map(Instant::from_std) else { return false };
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        let now = now();
        while let Some(token) = self.schedule.due(now) {
            if let Some(Member { peer, seat }) = self.peers.member(token) {
                self.schedule.set_deadline(seat, None);
                peer.handle_timeout(&mut seat.context(), now);
                self.schedule.mark(seat);
            } else {
                self.farewells.handle_timeout(token, &mut self.schedule);
            }
        }
        true
    }

    fn stop(&mut self, reason: &StopReason) {
        self.stopping = true;
        self.listeners.close();
        let keys: Vec<PeerKey> = self.peers.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove_peer(&key, reason);
        }
        self.farewells.hurry(&mut self.schedule);
    }
}

/// The one place where the driver looks at the clock.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Rounds before other tasks get their turn.
const MAX_ROUNDS: usize = 32;
/// Octets read from a socket at a time.
const READ_SIZE: usize = 1 << 16;

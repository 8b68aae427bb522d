//! A session with its sockets.

mod keys;
mod moving;
mod neighbor;

use std::future::Future;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

use super::engine::now;
use super::farewells::{Place, Rank};
use super::linger::Lingering;
use super::links::Links;
use super::node::Node;
use super::outbox::Outbox;
use super::scarce::Scarce;
use super::{socket, sys};
use crate::addresses::AddressTable;
use crate::fsm::State;
use crate::session::{ConnectionId, Effect, Event, PeerConfig, PeerKey, Session, SocketError, SocketStep};
use crate::table::AdvTable;

use self::moving::OwnAddress;
pub(super) use self::neighbor::candidates;
use self::neighbor::{Neighbors, Wait};

type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// A session and the connections it asked for or accepted.
pub(super) struct Peer {
    pub(super) session: Session,
    /// The range it came from.
    pub(super) range: Option<PeerKey>,
    links: Vec<Link>,
    neighbors: Neighbors,
    /// While nothing is read because the user is behind: when to see whether the peer has ended the connection.
    look: Option<Instant>,
    /// Where our address of the session is.
    own_address: OwnAddress,
    /// Warnings about connections that are not taken.
    refusals: Scarce,
}

/// A connection that a session has just closed.
pub(super) struct Closing {
    pub(super) lingering: Lingering,
    pub(super) place: Place,
}

/// What a peer works with.
pub(super) struct Work<'a> {
    pub(super) node: &'a Node,
    pub(super) links: &'a Links,
    pub(super) table: &'a mut AdvTable,
    pub(super) closing: &'a mut Vec<Closing>,
    pub(super) outbox: &'a mut Outbox,
    pub(super) buffer: &'a mut [u8],
}

struct Link {
    id: ConnectionId,
    kind: LinkKind,
}

enum LinkKind {
    /// For somebody to be heard.
    Waiting(Wait),
    Dialing(Dial),
    Open(Open),
}

struct Open {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    rank: Rank,
}

impl Peer {
    pub(super) fn new(session: Session, range: Option<PeerKey>) -> Self {
        Self {
            session,
            range,
            links: Vec::new(),
            neighbors: Neighbors::default(),
            look: None,
            own_address: OwnAddress::default(),
            refusals: Scarce::default(),
        }
    }

    /// Whether a peer of a range has gone.
    pub(super) fn is_over(&self) -> bool {
        self.range.is_some() && self.links.is_empty() && self.session.state() <= State::Active
    }

    /// Takes a connection the peer opened, unless the session has a better one.
    pub(super) fn accept(
        &mut self,
        stream: TcpStream,
        remote: SocketAddr,
        (node, table): (&Node, &AdvTable),
    ) {
        let now = now();
        let config = self.session.config();
        let wrong_local = |local: SocketAddr| config.local_address.is_some_and(|ip| ip != local.ip());
        if stream.local_addr().is_ok_and(wrong_local) {
            tracing::debug!(peer = %self.session.key(), "connection to another address than ours refused");
            return;
        }
        let bound = socket::keep_to_device(&stream, config);
        if let Err(error) = bound.and_then(|()| socket::configure_accepted(&stream, config)) {
            if let Some(untold) = self.refusals.tell(now) {
                tracing::warn!(peer = %self.session.key(), %error, untold, "socket options refused, connection closed");
            }
            return;
        }
        if !socket::came_near_enough(&stream, config) {
            if let Some(untold) = self.refusals.tell(now) {
                tracing::warn!(peer = %self.session.key(), %remote, untold, "connection from too far away refused");
            }
            return;
        }
        if let Err(error) = self.ensure(&stream) {
            return self.refuse(now, error);
        }
        // Without an address of ours the connection is gone already.
        let Ok(local) = stream.local_addr() else { return };
        let endpoints = node.endpoints(local, remote, table);
        self.take_ends(now);
        if let Some(id) = self.session.handle_accepted(now, endpoints) {
            self.open(id, stream, Rank::Opened);
        }
    }

    /// Takes in the end of connections that the peer has closed, with what it said last, so that the next one does not
    /// meet one that is over.
    fn take_ends(&mut self, now: Instant) {
        let mut buffer = [0; LAST_READ];
        for link in &self.links {
            let LinkKind::Open(open) = &link.kind else { continue };
            if !sys::is_ended(open.stream.as_fd()) {
                continue;
            }
            // The runtime need not have noticed that there is something to read.
            loop {
                match (&*SockRef::from(&open.stream)).read(&mut buffer) {
                    Ok(0) => self.session.handle_closed(now, link.id, None),
                    Ok(count) => {
                        self.session.handle_data(now, link.id, buffer.get(..count).unwrap_or_default());
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        self.session.handle_failed(now, link.id, SocketError::new(SocketStep::Read, &error));
                    }
                }
                break;
            }
        }
    }

    /// Takes the addresses of the machine as they are now, where `before` are those of before.
    pub(super) fn take_addresses(&mut self, node: &Node, before: &AddressTable, table: &AdvTable) {
        let now = now();
        let mut ends = self.links.iter().filter_map(|link| self.session.endpoints(link.id));
        let is_missing = ends.any(|ends| node.lacks(&ends));
        self.own_address.note(now, is_missing);
        self.follow_addresses(now, node, table);
        if node.has_new_path(before, self.session.config()) {
            self.session.handle_path(now);
        }
    }

    /// Has routes point to where the addresses are now.
    fn follow_addresses(&mut self, now: Instant, node: &Node, table: &AdvTable) {
        if self.own_address.is_moving() {
            return;
        }
        for link in &self.links {
            let Some(ends) = self.session.endpoints(link.id) else { continue };
            self.session.handle_addresses(now, link.id, node.with_next_hops(ends, table));
        }
    }

    /// Applies what can change on sockets that are open.
    pub(super) fn apply_socket_options(&self, config: &PeerConfig) {
        for link in &self.links {
            let LinkKind::Open(open) = &link.kind else { continue };
            if let Err(error) = socket::configure_accepted(&open.stream, config) {
                tracing::warn!(peer = %self.session.key(), %error, "socket options refused");
            }
        }
    }

    /// One round: effects, sockets, events. Returns whether anything happened.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, work: &mut Work<'_>) -> bool {
        let mut progress = self.run_effects(work.links, work.table, work.closing);
        self.look.take_if(|at| *at <= now());
        if self.own_address.give_up(now()) {
            self.follow_addresses(now(), work.node, work.table);
        }
        let mut index = 0;
        while let Some(link) = self.links.get_mut(index) {
            progress |= match &mut link.kind {
                LinkKind::Waiting(_) => self.poll_waiting(cx, index, work.links),
                LinkKind::Dialing(_) => self.poll_dial(cx, index, work),
                LinkKind::Open(_) => self.poll_read(cx, index, work) | self.poll_write(cx, index, work),
            };
            index += 1;
        }
        self.note_established();
        progress |= self.run_effects(work.links, work.table, work.closing);
        self.note_neighbor(work.links);
        self.drain_events(work.outbox);
        progress
    }

    /// What is a session now was one, when it ends.
    fn note_established(&mut self) {
        let is_up = |(id, state)| (state == State::Established).then_some(id);
        let Some(up) = self.session.connections().find_map(is_up) else { return };
        for link in self.links.iter_mut().filter(|link| link.id == up) {
            if let LinkKind::Open(open) = &mut link.kind {
                open.rank = Rank::Ours;
            }
        }
    }

    /// Writes what is new in the table, and nothing else. Returns whether anything happened, so that a round is due.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, work: &mut Work<'_>) -> bool {
        (0..self.links.len()).fold(false, |progress, index| progress | self.poll_write(cx, index, work))
    }

    pub(super) fn drain_events(&mut self, outbox: &mut Outbox) {
        while let Some(event) = self.session.poll_event() {
            outbox.push(event);
        }
    }

    /// Hands on all but the routes of a session that is about to end.
    fn drain_last_events(&mut self, outbox: &mut Outbox) {
        while let Some(event) = self.session.poll_event() {
            if !matches!(event, Event::Received { .. }) {
                outbox.push(event);
            }
        }
    }

    /// When something is to be done though no socket is ready.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let own = [self.look, self.own_address.next_timeout()].into_iter().flatten();
        self.session.next_timeout().into_iter().chain(own).min()
    }

    /// Does what is due. A peer whose octets wait in the socket is not silent.
    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.session.next_timeout().is_none_or(|at| at > now) {
            return;
        }
        for link in &self.links {
            let LinkKind::Open(open) = &link.kind else { continue };
            if open.has_unread(cx) {
                self.session.handle_unread(now, link.id);
            }
        }
        self.session.handle_timeout(now);
    }

    /// Does what the session asks for.
    pub(super) fn run_effects(
        &mut self,
        links: &Links,
        table: &mut AdvTable,
        closing: &mut Vec<Closing>,
    ) -> bool {
        let mut progress = false;
        while let Some(effect) = self.session.poll_effect(table) {
            progress = true;
            match effect {
                Effect::Connect(id) => self.begin(id, links),
                Effect::Close { id, last } => self.close(id, &last, closing),
            }
        }
        progress
    }

    fn open(&mut self, id: ConnectionId, stream: TcpStream, rank: Rank) {
        let kind = LinkKind::Open(Open { stream, out: Vec::new(), written: 0, rank });
        self.links.push(Link { id, kind });
    }

    fn close(&mut self, id: ConnectionId, last: &[u8], closing: &mut Vec<Closing>) {
        let Some(index) = self.links.iter().position(|link| link.id == id) else { return };
        if let LinkKind::Open(mut open) = self.links.swap_remove(index).kind {
            match sys::sent_in_vain(open.stream.as_fd()) {
                Ok(Some((segments, size))) => self.session.handle_unacknowledged(id, segments, size),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(peer = %self.session.key(), %error, "TCP does not say what it has sent in vain");
                }
            }
            open.out.drain(..open.written);
            open.out.extend_from_slice(last);
            let place = Place { peer: self.session.key().clone(), rank: open.rank, since: now() };
            closing.push(Closing { lingering: Lingering::new(open.stream, open.out), place });
        }
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>, index: usize, work: &Work<'_>) -> bool {
        let Some(link) = self.links.get_mut(index) else { return false };
        let LinkKind::Dialing(dial) = &mut link.kind else { return false };
        let Poll::Ready(result) = dial.as_mut().poll(cx) else { return false };
        let id = self.links.swap_remove(index).id;
        let opened = result.and_then(|stream| {
            self.ensure(&stream).map_err(io::Error::other)?;
            let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
            let (local, remote) = ends.map_err(socket::at(SocketStep::FindAddresses))?;
            let endpoints = work.node.endpoints(local, remote, work.table);
            Ok((stream, endpoints))
        });
        match opened {
            Ok((stream, endpoints)) => {
                self.open(id, stream, Rank::Ours);
                self.session.handle_connected(now(), id, endpoints);
            }
            Err(error) => self.dial_failed(now(), id, &error),
        }
        true
    }

    /// Reads what there is, but not without end, nor more routes while the user has not taken those before. They are of
    /// no use any more when the peer has ended the connection; what it said last is.
    fn poll_read(&mut self, cx: &mut Context<'_>, index: usize, work: &mut Work<'_>) -> bool {
        let mut progress = false;
        for _ in 0..READS {
            let Some(link) = self.links.get(index) else { break };
            let LinkKind::Open(open) = &link.kind else { break };
            let id = link.id;
            let behind = self.session.config().import && work.outbox.holds_routes(self.session.key());
            if behind && !open.is_ended(cx) {
                self.look = self.look.or_else(|| now().checked_add(LOOK));
                break;
            }
            let result = match open.stream.poll_read_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => open.stream.try_read(work.buffer),
                Poll::Ready(Err(error)) => Err(error),
            };
            match result {
                Ok(0) => self.session.handle_closed(now(), id, None),
                Ok(count) => {
                    let data = work.buffer.get(..count).unwrap_or_default();
                    self.session.handle_data(now(), id, data);
                    if behind {
                        self.drain_last_events(work.outbox);
                    } else {
                        self.drain_events(work.outbox);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    self.session.handle_failed(now(), id, SocketError::new(SocketStep::Read, &error));
                }
            }
            progress = true;
        }
        progress
    }

    /// Writes until the socket is full or there is nothing more.
    fn poll_write(&mut self, cx: &mut Context<'_>, index: usize, work: &mut Work<'_>) -> bool {
        let mut progress = false;
        for _ in 0..WRITES {
            let Some(link) = self.links.get_mut(index) else { break };
            let LinkKind::Open(open) = &mut link.kind else { break };
            if open.written == open.out.len() {
                open.out.clear();
                open.written = 0;
                self.session.poll_transmit(now(), link.id, work.table, &mut open.out);
            }
            let rest = open.out.get(open.written..).unwrap_or_default();
            if rest.is_empty() {
                open.out.shrink_to(KEPT);
                break;
            }
            let result = match open.stream.poll_write_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => open.stream.try_write(rest),
                Poll::Ready(Err(error)) => Err(error),
            };
            match result {
                Ok(count) => {
                    open.written += count;
                    self.session.handle_written(now(), link.id, count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    let error = SocketError::new(SocketStep::Write, &error);
                    self.session.handle_failed(now(), link.id, error);
                    return true;
                }
            }
            progress = true;
        }
        progress
    }
}

impl Open {
    /// Whether the peer has ended the connection, or the connection has failed; there may be more to read.
    fn is_ended(&self, cx: &mut Context<'_>) -> bool {
        let ready = pin!(self.stream.ready(Interest::READABLE));
        matches!(ready.poll(cx), Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Whether there is something to read.
    fn has_unread(&self, cx: &mut Context<'_>) -> bool {
        let mut first = [0];
        matches!(self.stream.poll_peek(cx, &mut ReadBuf::new(&mut first)), Poll::Ready(Ok(1..)))
    }
}

/// How often it is seen whether a peer that is not read has ended its connection.
const LOOK: Duration = Duration::from_secs(1);
/// Octets read at a time of what a peer said last.
const LAST_READ: usize = 4096;
/// Reads from one socket in one round.
const READS: usize = 4;
/// Writes to one socket in one round.
const WRITES: usize = 16;
/// Octets of write buffer a connection keeps while it is idle.
const KEPT: usize = 4096;

//! The thread.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::listener::{Kind, Listener};
use super::sender::{Ports, Sender};
use super::{BfdSnapshot, Command, STOP_LIMIT};
use crate::bfd::wire::Discriminator;
use crate::bfd::{Effect, Event, Sessions};

/// Everything that the thread owns.
pub(super) struct Driver {
    sessions: Sessions,
    commands: Receiver<Command>,
    woken: UnixStream,
    events: UnboundedSender<Event>,
    listeners: BTreeMap<Kind, Port>,
    senders: BTreeMap<Discriminator, Sender>,
    ports: Ports,
    send_errors: u64,
    /// The error that was logged last for a session.
    failing: BTreeMap<Discriminator, io::ErrorKind>,
    stop: Option<Instant>,
    waiting_for_stop: Vec<oneshot::Sender<()>>,
}

/// A port, or why it is not open and when it is tried again.
enum Port {
    Open(Listener),
    Closed { reason: String, retry: Instant },
}

impl Driver {
    pub(super) fn new(
        seed: u64,
        commands: Receiver<Command>,
        woken: UnixStream,
        events: UnboundedSender<Event>,
    ) -> Self {
        Self {
            sessions: Sessions::new(seed),
            commands,
            woken,
            events,
            listeners: BTreeMap::new(),
            senders: BTreeMap::new(),
            ports: Ports::new(seed),
            send_errors: 0,
            failing: BTreeMap::new(),
            stop: None,
            waiting_for_stop: Vec::new(),
        }
    }

    /// Runs until it is stopped or its last handle is gone.
    pub(super) fn run(mut self) {
        loop {
            self.take_commands();
            self.open_ports();
            self.receive();
            self.sessions.handle_timeout(now());
            self.transmit();
            self.deliver();
            if self.stop.is_some_and(|limit| self.sessions.is_empty() || limit <= now()) {
                break;
            }
            if let Err(error) = self.wait() {
                tracing::error!(protocol = "bfd", %error, "waiting for packets failed, no path is watched any more");
                break;
            }
        }
        for waiting in self.waiting_for_stop {
            // Whoever waited may have given up.
            let _ = waiting.send(());
        }
    }

    fn take_commands(&mut self) {
        let mut octets = [0; 64];
        // An error is one that a later read shows again; the end is that of the queue, too.
        while matches!(self.woken.read(&mut octets), Ok(1..)) {}
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.handle(command),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.begin_stop();
                    break;
                }
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Watch(user, path, profile) if self.stop.is_none() => {
                self.sessions.watch(now(), user, path, profile);
                self.adjust_ports();
            }
            Command::Watch(..) => {}
            Command::Release(user) => {
                self.sessions.release(now(), &user);
                self.adjust_ports();
            }
            Command::Snapshot(reply) => {
                // Whoever asked may have given up.
                drop(reply.send(self.snapshot()));
            }
            Command::Stop(reply) => {
                self.waiting_for_stop.push(reply);
                self.begin_stop();
            }
        }
    }

    fn begin_stop(&mut self) {
        if self.stop.is_none() {
            self.stop = now().checked_add(STOP_LIMIT);
            self.sessions.release_all(now());
        }
    }

    fn snapshot(&self) -> BfdSnapshot {
        let closed = |(kind, port): (&Kind, &Port)| match port {
            Port::Open(_) => None,
            // One that was not tried yet has no reason.
            Port::Closed { reason, .. } if reason.is_empty() => None,
            Port::Closed { reason, .. } => Some((kind.address(), reason.clone())),
        };
        BfdSnapshot {
            sessions: self.sessions.snapshot(),
            stats: self.sessions.stats(),
            send_errors: self.send_errors,
            closed_ports: self.listeners.iter().filter_map(closed).collect(),
        }
    }

    /// Sees to it that there is a socket for every session.
    fn adjust_ports(&mut self) {
        while let Some(effect) = self.sessions.poll_effect() {
            match effect {
                Effect::Open(session) => {
                    let Some(path) = self.sessions.path(session) else { continue };
                    let closed = Port::Closed { reason: String::new(), retry: now() };
                    self.listeners.entry(Kind::of(path)).or_insert(closed);
                }
                Effect::Close(session) => {
                    self.failing.remove(&session);
                    if let Some(sender) = self.senders.remove(&session) {
                        sender.close(&mut self.ports);
                    }
                }
            }
        }
        for port in self.listeners.values_mut() {
            let Port::Open(listener) = port else { continue };
            let kind = listener.kind().clone();
            let least = self.sessions.minimum_ttl(|path| kind.is_for(path));
            if let Err(error) = listener.set_least_ttl(least.unwrap_or(u8::MAX)) {
                tracing::warn!(protocol = "bfd", %error, "the least TTL cannot be changed in the kernel");
            }
        }
    }

    fn open_ports(&mut self) {
        let now = now();
        for (kind, port) in &mut self.listeners {
            let Port::Closed { reason, retry } = port else { continue };
            if *retry > now {
                continue;
            }
            let least = self.sessions.minimum_ttl(|path| kind.is_for(path));
            match Listener::open(kind.clone(), least.unwrap_or(u8::MAX)) {
                Ok(listener) => *port = Port::Open(listener),
                Err(error) => {
                    *retry = now.checked_add(RETRY).unwrap_or(now);
                    let text = words(kind.address(), &error);
                    if *reason != text {
                        tracing::error!(protocol = "bfd", error = text, "BFD cannot listen");
                        *reason = text;
                    }
                }
            }
        }
    }

    /// Takes what has come, but not without end.
    fn receive(&mut self) {
        let now = now();
        for port in self.listeners.values_mut() {
            let Port::Open(listener) = port else { continue };
            for _ in 0..BATCH {
                let taken = listener.receive(|arrival, payload| {
                    if let Err(reason) = self.sessions.handle_datagram(now, arrival, payload) {
                        tracing::trace!(protocol = "bfd", remote = %arrival.remote, %reason, "packet ignored");
                    }
                });
                match taken {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        let reason = words(listener.kind().address(), &error);
                        tracing::error!(protocol = "bfd", error = reason, "receiving failed, listening anew");
                        *port = Port::Closed { reason, retry: now };
                        break;
                    }
                }
            }
        }
    }

    fn transmit(&mut self) {
        let now = now();
        while let Some(transmit) = self.sessions.poll_transmit(now) {
            let result = self.send(transmit.session, &transmit.octets);
            let Err(error) = result else {
                self.failing.remove(&transmit.session);
                continue;
            };
            self.send_errors += 1;
            if self.failing.insert(transmit.session, error.kind()) != Some(error.kind()) {
                let path = self.sessions.path(transmit.session);
                let remote = path.map(|path| path.remote.to_string()).unwrap_or_default();
                tracing::warn!(protocol = "bfd", remote, %error, "packets cannot be sent");
            }
        }
        self.adjust_ports_after(now);
    }

    fn send(&mut self, session: Discriminator, octets: &[u8]) -> io::Result<()> {
        let sender = match self.senders.entry(session) {
            std::collections::btree_map::Entry::Occupied(sender) => sender.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let path = self.sessions.path(session).ok_or(io::ErrorKind::NotFound)?;
                place.insert(Sender::open(path, &mut self.ports)?)
            }
        };
        sender.send(octets)
    }

    /// Sessions that have said their last word are gone.
    fn adjust_ports_after(&mut self, now: Instant) {
        self.sessions.handle_timeout(now);
        self.adjust_ports();
    }

    fn deliver(&mut self) {
        while let Some(event) = self.sessions.poll_event() {
            // Nobody may listen any more; the sessions end when the handles do.
            drop(self.events.send(event));
        }
    }

    /// Waits for a packet, a command or a timer.
    fn wait(&self) -> io::Result<()> {
        let retries = self.listeners.values().filter_map(|port| match port {
            Port::Closed { retry, .. } => Some(*retry),
            Port::Open(_) => None,
        });
        let next = retries.chain(self.sessions.next_timeout()).chain(self.stop).min();
        let wait = next.map(|at| TimeSpec::from_duration(at.saturating_duration_since(now())));
        let sockets = self.listeners.values().filter_map(|port| match port {
            Port::Open(listener) => Some(listener.as_fd()),
            Port::Closed { .. } => None,
        });
        let all = sockets.chain([self.woken.as_fd()]);
        let mut all: Vec<PollFd<'_>> = all.map(|socket| PollFd::new(socket, PollFlags::POLLIN)).collect();
        match ppoll(&mut all, wait, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Why there is no listening on a port, and what to do about it.
fn words(address: SocketAddr, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        return format!("UDP port {} is in use: stop the other BFD daemon of this node", address.port());
    }
    format!("UDP {address}: {error}")
}

/// The one place where the thread looks at the clock.
#[expect(clippy::disallowed_methods, reason = "a driver")]
fn now() -> Instant {
    Instant::now()
}

/// How long until a port that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Packets taken from one socket before others, timers and commands get their turn.
const BATCH: usize = 256;

//! The handle of a running speaker.

use std::net::SocketAddr;

use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, oneshot};

use super::engine::Engine;
use super::listener::Listeners;
use super::outbox::Outbox;
use super::{ListenRange, Shutdown, SpeakerConfig, StartError};
use crate::addresses::InternalAddresses;
use crate::io::bfd::BfdSnapshot;
use crate::session::{Event, PeerConfig, PeerKey, PeerSnapshot, StopReason};
use crate::table::Announcement;

/// A running speaker: cheap to clone; every clone talks to the same task.
///
/// Calls are facts and take effect in order. They never wait: the task takes them before it does
/// anything else, so what is queued is never more than a burst of the caller's own. The speaker
/// stops when it is [shut down](Self::shutdown) or its last handle is dropped.
#[derive(Clone, Debug)]
pub struct Speaker {
    commands: mpsc::UnboundedSender<Command>,
    listening: Vec<SocketAddr>,
}

impl Speaker {
    /// Starts a speaker without peers and routes. To be called within a tokio runtime, which its task then runs
    /// on; that needs the runtime's I/O and time drivers.
    ///
    /// # Errors
    /// [`StartError::Listen`] for an address that cannot be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(config: SpeakerConfig) -> Result<(Self, EventReceiver), StartError> {
        let listeners = Listeners::open(&config.listen)?;
        let listening = listeners.addresses();
        let (commands, receiver) = mpsc::unbounded_channel();
        let (events, incoming) = mpsc::channel(config.event_capacity.max(1));
        spawn(Engine::new(config, receiver, Outbox::new(events), listeners));
        Ok((Self { commands, listening }, EventReceiver(incoming)))
    }

    /// The addresses the speaker listens on, with the ports the system chose.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Adds a peer or changes it. What can change without a reset of the session does; the rest
    /// resets it once, with Cease 6/6.
    pub fn set_peer(&self, peer: PeerKey, config: PeerConfig) {
        self.send(Command::SetPeer(peer, Box::new(config)));
    }

    /// Removes a peer: withdraws everything, then Cease with the reason's subcode.
    pub fn remove_peer(&self, peer: &PeerKey, reason: StopReason) {
        self.send(Command::RemovePeer(peer.clone(), reason));
    }

    /// Ends a peer's session with Cease 6/4 and starts it again at once, so that pending changes
    /// apply.
    pub fn reset_peer(&self, peer: &PeerKey, text: &str) {
        self.send(Command::ResetPeer(peer.clone(), text.to_owned()));
    }

    /// Accepts peers from a prefix; `name` identifies the range for changes and removal.
    pub fn set_listen_range(&self, name: PeerKey, range: ListenRange) {
        self.send(Command::SetRange(name, Box::new(range)));
    }

    /// Stops accepting peers of a range and ends their sessions.
    pub fn remove_listen_range(&self, name: &PeerKey) {
        self.send(Command::RemoveRange(name.clone()));
    }

    /// Says everything about one prefix: which peers get it with which attributes. No routes is a
    /// withdrawal. Host bits are cleared.
    pub fn set_prefix(&self, prefix: IpNetwork, routes: Vec<Announcement>) {
        self.send(Command::SetPrefix(prefix, routes));
    }

    /// Says which addresses the node has that do not depend on an interface: next hops of sessions that are bound to a
    /// loopback address, and the identifier of those without an IPv4 address. They replace
    /// [`SpeakerConfig::internal_addresses`].
    pub fn set_internal_addresses(&self, addresses: InternalAddresses) {
        self.send(Command::SetInternalAddresses(addresses));
    }

    /// Says that everything there is to announce has been said: End-of-RIB may be sent.
    pub fn table_complete(&self) {
        self.send(Command::TableComplete);
    }

    /// Every session as it is now, in the order of the keys. Empty after the speaker stopped.
    pub async fn snapshot(&self) -> Vec<PeerSnapshot> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Snapshot(reply));
        answer.await.unwrap_or_default()
    }

    /// What BFD says about the paths of the peers that it [watches](PeerConfig::bfd). Empty where it watches none, and
    /// after the speaker stopped.
    pub async fn bfd_snapshot(&self) -> BfdSnapshot {
        let (reply, answer) = oneshot::channel();
        self.send(Command::BfdSnapshot(reply));
        answer.await.unwrap_or_default()
    }

    /// How many events nobody will see, because their peer had gone before there was
    /// [room](SpeakerConfig::event_capacity) for them. Zero after the speaker stopped.
    pub async fn dropped_events(&self) -> u64 {
        let (reply, answer) = oneshot::channel();
        self.send(Command::DroppedEvents(reply));
        answer.await.unwrap_or_default()
    }

    /// Ends every session and then the speaker; returns when the last NOTIFICATION has been
    /// delivered or its second is over.
    pub async fn shutdown(&self, how: Shutdown) {
        let (reply, done) = oneshot::channel();
        self.send(Command::Shutdown(how, reply));
        // An error means that the task is gone already, which is what was asked for.
        drop(done.await);
    }

    /// A send fails only after the speaker has stopped, when there is nothing left to tell.
    fn send(&self, command: Command) {
        drop(self.commands.send(command));
    }
}

/// The events of a speaker, in order.
#[derive(Debug)]
pub struct EventReceiver(mpsc::Receiver<Event>);

impl EventReceiver {
    /// The next event; `None` when the speaker has stopped and everything was received.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next event if there is one already.
    ///
    /// # Errors
    /// [`Stopped`] when the speaker has stopped and everything was received.
    pub fn try_recv(&mut self) -> Result<Option<Event>, Stopped> {
        match self.0.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(Stopped),
        }
    }
}

/// The speaker has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the speaker has stopped")]
pub struct Stopped;

/// What the handle tells the task.
#[derive(Debug)]
pub(super) enum Command {
    SetPeer(PeerKey, Box<PeerConfig>),
    RemovePeer(PeerKey, StopReason),
    ResetPeer(PeerKey, String),
    SetRange(PeerKey, Box<ListenRange>),
    RemoveRange(PeerKey),
    SetPrefix(IpNetwork, Vec<Announcement>),
    SetInternalAddresses(InternalAddresses),
    TableComplete,
    Snapshot(oneshot::Sender<Vec<PeerSnapshot>>),
    BfdSnapshot(oneshot::Sender<BfdSnapshot>),
    DroppedEvents(oneshot::Sender<u64>),
    Shutdown(Shutdown, oneshot::Sender<()>),
}

#[expect(clippy::disallowed_methods, reason = "the driver's one task; it ends with its last handle")]
fn spawn(engine: Engine) {
    tokio::spawn(engine.run());
}

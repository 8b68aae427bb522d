//! The driver of BFD: sockets around [`Sessions`](crate::bfd::Sessions), on a thread of its own.
//!
//! Nothing else that the program does delays a packet: the thread waits for its sockets and its timers alone, and
//! others talk to it through a queue.

mod listener;
mod sender;
mod thread;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::bfd::{Event, Path, PathSnapshot, Profile, Stats, User};

/// A running driver: cheap to clone. Calls are facts, take effect in order and never wait. When its last handle is
/// dropped the sessions are switched off, and the thread ends.
#[derive(Clone, Debug)]
pub struct Bfd {
    commands: mpsc::Sender<Command>,
    waker: Arc<UnixStream>,
}

impl Bfd {
    /// Starts a driver without sessions in the network namespace of this thread. Events go to `events`; discriminators
    /// and jitter come from `seed`, which should differ from that of other machines and of earlier starts.
    ///
    /// # Errors
    /// When the system has no thread or socket left.
    pub fn start(seed: u64, events: UnboundedSender<Event>) -> io::Result<Self> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (commands, receiver) = mpsc::channel();
        let driver = thread::Driver::new(seed, receiver, woken, events);
        std::thread::Builder::new().name("bfd".to_owned()).spawn(move || driver.run())?;
        Ok(Self { commands, waker: Arc::new(waker) })
    }

    /// Has a user watch a path, instead of what it watched before.
    pub fn watch(&self, user: User, path: Path, profile: Profile) {
        self.send(Command::Watch(user, path, profile));
    }

    /// A user watches nothing any more; the session of the last one is switched off, so that the neighbour takes no
    /// action.
    pub fn release(&self, user: User) {
        self.send(Command::Release(user));
    }

    /// Everything as it is now; `None` after the driver stopped.
    pub async fn snapshot(&self) -> Option<BfdSnapshot> {
        let (reply, answer) = oneshot::channel();
        self.request_snapshot(reply);
        answer.await.ok()
    }

    /// As [`snapshot`](Self::snapshot), for whoever waits for it elsewhere.
    pub fn request_snapshot(&self, reply: oneshot::Sender<BfdSnapshot>) {
        self.send(Command::Snapshot(reply));
    }

    /// Switches everything off, for a planned stop. The answer comes when all neighbours know, or after
    /// [`STOP_LIMIT`]; then the thread ends.
    pub fn stop(&self) -> oneshot::Receiver<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Stop(reply));
        answer
    }

    /// Fails only after the thread has ended, when there is nobody left to tell.
    fn send(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            // A full queue of wake-ups wakes, too.
            drop((&*self.waker).write(&[0]));
        }
    }
}

/// What the driver is told.
#[derive(Debug)]
enum Command {
    Watch(User, Path, Profile),
    Release(User),
    Snapshot(oneshot::Sender<BfdSnapshot>),
    Stop(oneshot::Sender<()>),
}

/// All sessions, and what the sockets say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BfdSnapshot {
    /// Every session, once for each of its users, in the order of their names.
    pub sessions: Vec<PathSnapshot>,
    /// Datagrams that meant nothing.
    pub stats: Stats,
    /// Packets that the system would not send.
    pub send_errors: u64,
    /// Ports that cannot be listened on, and why; tried again every second.
    pub closed_ports: Vec<(SocketAddr, String)>,
}

/// How long a stop waits for neighbours to know.
pub const STOP_LIMIT: Duration = Duration::from_millis(500);

/// UDP port of the sessions over one hop (RFC 5881 §4).
pub const PORT_ONE_HOP: u16 = 3784;
/// UDP port of the sessions over several hops (RFC 5883 §5).
pub const PORT_SEVERAL_HOPS: u16 = 4784;

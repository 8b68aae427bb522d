//! The user's side of the driver: what shall be announced, and what is known.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::Error;
use crate::responder::{AnnounceError, Counters, Interface, Key, Reaction, Scope, Stats, validate};
use crate::wire::MacAddr;

/// The user's side of a running driver. Clones share one driver; it ends after [`Handle::shutdown`], or
/// when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    /// Dropped with the last handle; the driver's thread sees that.
    _alive: Arc<Alive>,
}

impl Handle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), _alive: Arc::new(Alive(Arc::clone(shared))) }
    }

    /// Announces `address` on the interfaces of `scope` from now on. Repeating the same announcement
    /// changes nothing, another scope replaces the earlier one. Returns before anything is sent.
    ///
    /// # Errors
    /// [`AnnounceError::NotUnicast`] when the address cannot belong to a machine.
    pub fn announce(&self, address: IpAddr, scope: Scope) -> Result<(), AnnounceError> {
        let key = Key::from(validate(address)?);
        self.shared.update(|state| {
            state.wanted.insert(key, Some(scope));
        });
        Ok(())
    }

    /// Stops answering for `address`. An address that is not announced is no error.
    pub fn withdraw(&self, address: IpAddr) {
        self.shared.update(|state| {
            state.wanted.insert(Key::from(address), None);
        });
    }

    /// Announces every address again, as if each were new: for neighbors that may have listened to another
    /// machine meanwhile. What was said by [`Handle::announce`] and [`Handle::withdraw`] before counts first.
    pub fn reannounce(&self) {
        self.shared.update(|state| state.reannounce = true);
    }

    /// Announces an address once, unless it was defended a short while ago; see
    /// [`Responder::defend`](crate::responder::Responder::defend).
    pub fn defend(&self, address: IpAddr) {
        self.shared.update(|state| {
            state.defended.insert(Key::from(address));
        });
    }

    /// Announces an address again, as if it were new; see
    /// [`Responder::announce_again`](crate::responder::Responder::announce_again).
    pub fn announce_again(&self, address: IpAddr) {
        self.shared.update(|state| {
            state.again.insert(Key::from(address));
        });
    }

    /// Replaces the hardware addresses of partners; see [`Responder::set_partners`](crate::responder::Responder::set_partners).
    pub fn set_partners(&self, partners: BTreeSet<MacAddr>) {
        self.shared.update(|state| state.partners = Some(partners));
    }

    /// Stops the driver: nothing is answered any more, groups are left, the receiver ends.
    pub fn shutdown(&self) {
        self.shared.update(|state| state.shutdown = true);
    }

    /// Counters and interfaces as they are now.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the driver has ended.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let (answer, receiver) = oneshot::channel();
        self.shared.update(|state| {
            if !state.ended {
                state.snapshots.push(answer);
            }
        });
        receiver.await.map_err(|_| Error::Stopped)
    }
}

/// What the driver knows at one moment.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every announced address with its counters.
    pub addresses: BTreeMap<IpAddr, Counters>,
    /// The interfaces on which addresses may be announced, by index.
    pub interfaces: Vec<Interface>,
    /// Received frames that were not answered, by reason.
    pub frames: Stats,
    /// Frames that the kernel or an interface refused to send.
    pub unsent: u64,
    /// Events that were dropped because nobody took them out.
    pub events_dropped: u64,
}

/// Something that happened, in the order it happened; of interface changes only the newest is kept.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The interfaces on which addresses may be announced, by index: first when the driver has started,
    /// then after every change.
    Interfaces(Vec<Interface>),
    /// Another machine claims an announced address.
    #[non_exhaustive]
    Conflict {
        /// The address.
        address: IpAddr,
        /// Name of the interface on which the claim was received.
        interface: String,
        /// The hardware address that claims it.
        mac: MacAddr,
        /// What the responder does about it.
        reaction: Reaction,
    },
    /// A partner claims an announced address, and nothing is done about it; see
    /// [`responder::Event::Claimed`](crate::responder::Event::Claimed).
    #[non_exhaustive]
    Claimed {
        /// The address.
        address: IpAddr,
        /// Name of the interface on which the claim was received.
        interface: String,
        /// The hardware address that claims it.
        mac: MacAddr,
    },
    /// An interface cannot be used, or not fully. The driver goes on with the others.
    #[non_exhaustive]
    Error {
        /// Name of the interface; `None` when all are concerned.
        interface: Option<String>,
        /// What failed.
        error: Error,
    },
}

/// Where the events of a driver come out.
#[derive(Debug)]
pub struct EventReceiver {
    shared: Arc<Shared>,
}

impl EventReceiver {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// The next event; `None` after the driver has ended. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            let notified = self.shared.events.notified();
            {
                let mut state = self.shared.lock();
                if let Some(event) = state.take_event() {
                    return Some(event);
                }
                if state.ended {
                    return None;
                }
            }
            notified.await;
        }
    }
}

/// What handles and the driver's thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Rung for the driver when `state` has something to do.
    pub(super) work: Notify,
    /// Rung for the receiver when `state` has events.
    events: Notify,
}

/// Messages in both directions, coalesced: bounded by the number of addresses and [`MAX_EVENTS`].
#[derive(Debug, Default)]
pub(super) struct State {
    /// Changes the driver has not seen yet; `None` withdraws.
    pub(super) wanted: BTreeMap<Key, Option<Scope>>,
    /// Partners the driver has not seen yet.
    pub(super) partners: Option<BTreeSet<MacAddr>>,
    /// Addresses to be defended.
    pub(super) defended: BTreeSet<Key>,
    /// Addresses to be announced again.
    pub(super) again: BTreeSet<Key>,
    /// Everything shall be announced again.
    pub(super) reannounce: bool,
    pub(super) snapshots: Vec<oneshot::Sender<Snapshot>>,
    pub(super) shutdown: bool,
    ended: bool,
    interfaces: Option<Vec<Interface>>,
    queue: VecDeque<Event>,
    pub(super) events_dropped: u64,
}

impl State {
    fn take_event(&mut self) -> Option<Event> {
        self.interfaces.take().map(Event::Interfaces).or_else(|| self.queue.pop_front())
    }
}

impl Shared {
    /// The lock is held only for plain moves of values, so a poisoned one is as good as any.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.work.notify_one();
    }

    pub(super) fn emit(&self, event: Event) {
        {
            let mut state = self.lock();
            match event {
                Event::Interfaces(interfaces) => state.interfaces = Some(interfaces),
                other => {
                    if state.queue.len() == MAX_EVENTS {
                        state.queue.pop_front();
                        state.events_dropped += 1;
                    }
                    state.queue.push_back(other);
                }
            }
        }
        self.events.notify_one();
    }

    pub(super) fn end(&self) {
        {
            let mut state = self.lock();
            state.ended = true;
            state.snapshots.clear();
        }
        self.events.notify_one();
    }
}

#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.update(|state| state.shutdown = true);
    }
}

/// Events kept for a receiver that does not take them out; older ones are dropped and counted.
const MAX_EVENTS: usize = 1024;

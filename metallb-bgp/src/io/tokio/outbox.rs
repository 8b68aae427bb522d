//! Events on their way to the user.

use std::collections::VecDeque;
use std::future::Future;
use std::mem::discriminant;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::mpsc::{OwnedPermit, Sender};

use crate::fsm::State;
use crate::session::Event;

type Reserve = Pin<Box<dyn Future<Output = Result<OwnedPermit<Event>, SendError<()>>> + Send>>;

/// A queue in front of the channel. While it holds something, received routes stay in their sockets.
pub(super) struct Outbox {
    sender: Option<Sender<Event>>,
    queue: VecDeque<Event>,
    reserve: Option<Reserve>,
}

impl Outbox {
    pub(super) const fn new(sender: Sender<Event>) -> Self {
        Self { sender: Some(sender), queue: VecDeque::new(), reserve: None }
    }

    /// Whether the user is behind.
    pub(super) fn is_full(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Delivers or queues an event. A state or a failed attempt that nobody has looked at is replaced by the next one
    /// of its peer, so the queue is never longer than the routes of one read and these two per peer.
    pub(super) fn push(&mut self, event: Event) {
        let event = match self.stale(&event).and_then(|index| self.queue.remove(index)) {
            Some(old) => merged(old, event),
            None => event,
        };
        self.queue.push_back(event);
        self.try_send();
    }

    /// Where the queue holds what `event` makes obsolete: nothing else of its peer came since.
    fn stale(&self, event: &Event) -> Option<usize> {
        let of_peer = self.queue.iter().enumerate().rev().filter(|(_, queued)| queued.peer() == event.peer());
        of_peer
            .take_while(|(_, queued)| is_state(queued))
            .find(|(_, queued)| is_state(event) && discriminant(*queued) == discriminant(event))
            .map(|(index, _)| index)
    }

    /// Delivers what the user has room for; returns whether anything went out.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(sender) = self.sender.as_ref().filter(|_| !self.queue.is_empty()) {
            let reserve = self.reserve.get_or_insert_with(|| Box::pin(sender.clone().reserve_owned()));
            let Poll::Ready(permit) = reserve.as_mut().poll(cx) else { break };
            self.reserve = None;
            match permit {
                Ok(permit) => {
                    if let Some(event) = self.queue.pop_front() {
                        permit.send(event);
                    }
                }
                Err(_) => self.close(),
            }
            self.try_send();
            progress = true;
        }
        progress
    }

    /// Nobody listens any more, or the speaker has ended.
    pub(super) fn close(&mut self) {
        self.try_send();
        self.sender = None;
        self.queue.clear();
        self.reserve = None;
    }

    fn try_send(&mut self) {
        let Some(sender) = &self.sender else { return self.queue.clear() };
        while self.reserve.is_none() {
            let Some(event) = self.queue.pop_front() else { return };
            match sender.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => return self.queue.push_front(event),
                Err(TrySendError::Closed(_)) => {
                    self.sender = None;
                    return self.queue.clear();
                }
            }
        }
    }
}

const fn is_state(event: &Event) -> bool {
    matches!(event, Event::StateChanged { .. } | Event::AttemptFailed { .. })
}

/// `new` instead of `old`: that the session ended is not forgotten before it is up again.
fn merged(old: Event, new: Event) -> Event {
    match (old, new) {
        (Event::StateChanged { reason: old, .. }, Event::StateChanged { peer, state, reason }) => {
            let reason = reason.or(old).filter(|_| state != State::Established);
            Event::StateChanged { peer, state, reason }
        }
        (_, new) => new,
    }
}

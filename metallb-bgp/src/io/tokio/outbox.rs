//! Events on their way to the user.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::mpsc::{OwnedPermit, Sender};

use crate::fsm::State;
use crate::session::{Event, PeerKey};

type Reserve = Pin<Box<dyn Future<Output = Result<OwnedPermit<Event>, SendError<()>>> + Send>>;

/// A queue in front of the channel. While it holds routes of a peer, that peer's next ones stay in its socket.
pub(super) struct Outbox {
    sender: Option<Sender<Event>>,
    queue: VecDeque<Event>,
    /// How many of the events are routes of which peer.
    routes: BTreeMap<PeerKey, usize>,
    /// Peers of which it does not hold routes any more.
    released: Vec<PeerKey>,
    reserve: Option<Reserve>,
}

impl Outbox {
    pub(super) const fn new(sender: Sender<Event>) -> Self {
        Self {
            sender: Some(sender),
            queue: VecDeque::new(),
            routes: BTreeMap::new(),
            released: Vec::new(),
            reserve: None,
        }
    }

    /// Whether the user is behind with the routes of a peer.
    pub(super) fn holds_routes(&self, peer: &PeerKey) -> bool {
        self.routes.contains_key(peer)
    }

    /// A peer whose routes the user has taken, so that there can be more.
    pub(super) fn next_released(&mut self) -> Option<PeerKey> {
        self.released.pop()
    }

    /// Delivers or queues an event, instead of those that it makes obsolete. So the queue never holds more of a peer
    /// than the routes of one read, both families' ends and disablings, and one event of every other kind.
    pub(super) fn push(&mut self, event: Event) {
        let event = self.supersede(event);
        if let Event::Received { peer, .. } = &event {
            *self.routes.entry(peer.clone()).or_default() += 1;
        }
        self.queue.push_back(event);
        self.try_send();
    }

    /// Takes what `event` makes obsolete out of the queue.
    fn supersede(&mut self, event: Event) -> Event {
        if self.queue.is_empty() || matches!(event, Event::Received { .. }) {
            return event;
        }
        let mut state = None;
        self.queue.retain(|queued| {
            let obsolete = queued.peer() == event.peer() && is_obsolete(queued, &event);
            if obsolete && matches!(queued, Event::StateChanged { .. }) {
                state = Some(queued.clone());
            }
            !obsolete
        });
        if matches!(event, Event::StateChanged { .. }) {
            self.routes.remove(event.peer());
        }
        match state {
            Some(old) => merged(old, event),
            None => event,
        }
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
                    if let Some(event) = pop(&mut self.queue, &mut self.routes, &mut self.released) {
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
        self.forget();
    }

    fn try_send(&mut self) {
        while self.reserve.is_none() && !self.queue.is_empty() {
            let Some(sender) = &self.sender else { return self.forget() };
            let closed = match sender.try_reserve() {
                Ok(permit) => {
                    if let Some(event) = pop(&mut self.queue, &mut self.routes, &mut self.released) {
                        permit.send(event);
                    }
                    false
                }
                Err(TrySendError::Full(())) => return,
                Err(TrySendError::Closed(())) => true,
            };
            if closed {
                return self.forget();
            }
        }
    }

    fn forget(&mut self) {
        self.sender = None;
        self.queue.clear();
        self.released.extend(std::mem::take(&mut self.routes).into_keys());
        self.reserve = None;
    }
}

/// The first of the queue.
fn pop(
    queue: &mut VecDeque<Event>,
    routes: &mut BTreeMap<PeerKey, usize>,
    released: &mut Vec<PeerKey>,
) -> Option<Event> {
    let event = queue.pop_front()?;
    if let Event::Received { peer, .. } = &event
        && let Some(count) = routes.get_mut(peer)
    {
        *count -= 1;
        if *count == 0 {
            released.extend(routes.remove_entry(peer).map(|(peer, _)| peer));
        }
    }
    Some(event)
}

/// Whether `new` leaves nothing of what `old` says about the same peer: with the state go the routes of the session,
/// which only an established one has.
const fn is_obsolete(old: &Event, new: &Event) -> bool {
    match new {
        Event::StateChanged { .. } => matches!(
            old,
            Event::StateChanged { .. }
                | Event::Received { .. }
                | Event::EndOfRib { .. }
                | Event::FamilyDisabled { .. }
        ),
        Event::AttemptFailed { .. } => matches!(old, Event::AttemptFailed { .. }),
        Event::Malformed { .. } => matches!(old, Event::Malformed { .. }),
        Event::RefreshIgnored { .. } => matches!(old, Event::RefreshIgnored { .. }),
        // Once a session for each family.
        Event::Received { .. } | Event::EndOfRib { .. } | Event::FamilyDisabled { .. } => false,
    }
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::session::{CloseReason, ReceivedUpdate};
    use crate::types::Family;

    fn state(state: State, reason: Option<CloseReason>) -> Event {
        Event::StateChanged { peer: "a".into(), state, reason }
    }

    fn failed(reason: CloseReason) -> Event {
        Event::AttemptFailed { peer: "a".into(), reason }
    }

    fn routes(peer: &str) -> Event {
        let remote = "192.0.2.1:179".parse().unwrap();
        Event::Received { peer: peer.into(), remote, update: ReceivedUpdate::default() }
    }

    /// What somebody finds who looks only after all of this.
    fn late(pushed: Vec<Event>) -> Vec<Event> {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        for event in pushed {
            outbox.push(event);
        }
        let mut found = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            found.push(event);
            outbox.try_send();
        }
        found
    }

    #[test]
    fn an_end_that_nobody_looked_at_is_not_forgotten_for_the_next_state() {
        let first = state(State::Established, None);
        let closed = Some(CloseReason::ConnectionClosed);
        let found =
            late(vec![first.clone(), state(State::Idle, closed.clone()), state(State::Connect, None)]);
        assert_eq!(found, [first.clone(), state(State::Connect, closed.clone())]);
        let back = state(State::Established, None);
        assert_eq!(late(vec![first.clone(), state(State::Idle, closed), back.clone()]), [first, back]);
    }

    #[test]
    fn a_peer_that_fails_in_turns_does_not_fill_the_queue() {
        let first = state(State::Connect, None);
        let round = [
            failed(CloseReason::ConnectTimeout),
            state(State::Idle, None),
            failed(CloseReason::ConnectionClosed),
            state(State::Connect, None),
        ];
        let pushed = std::iter::once(first.clone()).chain(round.into_iter().cycle().take(400)).collect();
        let last = [failed(CloseReason::ConnectionClosed), state(State::Connect, None)];
        assert_eq!(late(pushed), [[first].as_slice(), last.as_slice()].concat());
    }

    // req: !H5
    #[test]
    fn routes_nobody_looked_at_go_with_their_session_and_no_other() {
        let first = state(State::Established, None);
        let idle = state(State::Idle, Some(CloseReason::ConnectionClosed));
        let end = Event::EndOfRib { peer: "a".into(), family: Family::Ipv4Unicast };
        let pushed = [&first, &routes("a"), &end, &routes("b"), &routes("a"), &idle].map(Clone::clone);
        assert_eq!(late(pushed.to_vec()), [first, routes("b"), idle]);
    }

    // req: H5
    #[test]
    fn a_peer_is_held_back_by_its_own_routes_until_they_are_taken() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        for peer in ["a", "a", "b"] {
            outbox.push(routes(peer));
        }
        let mut held = Vec::new();
        while receiver.try_recv().is_ok() {
            held.push(["a", "b"].map(|peer| outbox.holds_routes(&peer.into())));
            outbox.try_send();
        }
        assert_eq!(held, [[true, true], [false, true], [false, false]]);
    }
}

//! Events on their way to the user.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// Peers the user has been told of and not yet that they are gone.
    told: BTreeSet<PeerKey>,
    /// Those of them that are gone; the queue holds the state in which they went.
    gone: BTreeSet<PeerKey>,
    /// Events of peers that were gone before there was room for them.
    dropped: u64,
    reserve: Option<Reserve>,
}

impl Outbox {
    pub(super) const fn new(sender: Sender<Event>) -> Self {
        Self {
            sender: Some(sender),
            queue: VecDeque::new(),
            routes: BTreeMap::new(),
            released: Vec::new(),
            told: BTreeSet::new(),
            gone: BTreeSet::new(),
            dropped: 0,
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
        // If it had gone, it is back.
        self.gone.remove(event.peer());
        if let Event::Received { peer, .. } = &event {
            *self.routes.entry(peer.clone()).or_default() += 1;
        }
        self.queue.push_back(event);
        self.try_send();
    }

    /// A peer is gone, and has said its last. Of one that the user has been told of the last state is kept, so that it
    /// does not stay established for him; of others there is nothing to correct. So the queue is bounded by the peers
    /// that are there and those that were when the user took something last, however many come and go.
    pub(super) fn depart(&mut self, peer: &PeerKey) {
        let is_told = self.told.contains(peer);
        let (before, mut is_kept) = (self.queue.len(), false);
        self.queue.retain(|event| {
            let keep = event.peer() != peer || (is_told && matches!(event, Event::StateChanged { .. }));
            is_kept |= keep && event.peer() == peer;
            keep
        });
        self.routes.remove(peer);
        if is_kept {
            self.gone.insert(peer.clone());
        } else {
            self.told.remove(peer);
        }
        let dropped = (before - self.queue.len()) as u64;
        if self.dropped == 0 && dropped > 0 {
            tracing::warn!(%peer, "events are not received, those of peers that have gone are dropped");
        }
        self.dropped += dropped;
    }

    /// How many events of peers that were gone the user will not see.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
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
                    if let Some(event) = self.pop() {
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
        let Some(sender) = self.sender.take() else { return self.forget() };
        while self.reserve.is_none() && !self.queue.is_empty() {
            match sender.try_reserve() {
                Ok(permit) => {
                    if let Some(event) = self.pop() {
                        permit.send(event);
                    }
                }
                Err(TrySendError::Full(())) => break,
                Err(TrySendError::Closed(())) => return self.forget(),
            }
        }
        self.sender = Some(sender);
    }

    /// The first of the queue, for the user.
    fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        let peer = event.peer();
        if matches!(event, Event::Received { .. })
            && let Some(count) = self.routes.get_mut(peer)
        {
            *count -= 1;
            if *count == 0 {
                self.released.extend(self.routes.remove_entry(peer).map(|(peer, _)| peer));
            }
        }
        if self.gone.remove(peer) {
            self.told.remove(peer);
        } else if !self.told.contains(peer) {
            self.told.insert(peer.clone());
        }
        Some(event)
    }

    fn forget(&mut self) {
        self.sender = None;
        self.queue.clear();
        self.told.clear();
        self.gone.clear();
        self.released.extend(std::mem::take(&mut self.routes).into_keys());
        self.reserve = None;
    }
}

/// Whether `new` leaves nothing of what `old` says about the same peer: with the state go the routes of the session,
/// which only an established one has.
fn is_obsolete(old: &Event, new: &Event) -> bool {
    match new {
        Event::StateChanged { .. } => matches!(
            old,
            Event::StateChanged { .. }
                | Event::Received { .. }
                | Event::EndOfRib { .. }
                | Event::FamilyDisabled { .. }
                | Event::Negotiated { .. }
                | Event::Advertised { .. }
        ),
        Event::AttemptFailed { .. } => matches!(old, Event::AttemptFailed { .. }),
        Event::Negotiated { .. } => matches!(old, Event::Negotiated { .. }),
        Event::Advertised { .. } => matches!(old, Event::Advertised { .. }),
        Event::Malformed { .. } => matches!(old, Event::Malformed { .. }),
        Event::RefreshIgnored { .. } => matches!(old, Event::RefreshIgnored { .. }),
        Event::RoutesWithheld { family, .. } => {
            matches!(old, Event::RoutesWithheld { family: of, .. } if family == of)
        }
        Event::Unacknowledged { .. } => matches!(old, Event::Unacknowledged { .. }),
        Event::CapabilitiesGivenUp { .. } => matches!(old, Event::CapabilitiesGivenUp { .. }),
        Event::NotificationCrossed { .. } => matches!(old, Event::NotificationCrossed { .. }),
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
        Event::AttemptFailed { peer: "a".into(), reason, next: None }
    }

    fn failure_of(peer: &PeerKey) -> Event {
        Event::AttemptFailed { peer: peer.clone(), reason: CloseReason::ConnectTimeout, next: None }
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

    /// Everything about a peer that comes and goes.
    fn visit(outbox: &mut Outbox, peer: &str) {
        let key = PeerKey::from(peer);
        let changed = |state, reason| Event::StateChanged { peer: key.clone(), state, reason };
        outbox.push(changed(State::Established, None));
        outbox.push(routes(peer));
        outbox.push(Event::EndOfRib { peer: key.clone(), family: Family::Ipv4Unicast });
        outbox.push(changed(State::Idle, Some(CloseReason::ConnectionClosed)));
        outbox.push(failure_of(&key));
        outbox.depart(&key);
    }

    // req: !H5
    #[test]
    fn peers_that_come_and_go_while_nobody_looks_leave_nothing_behind() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        let up = state(State::Established, None);
        outbox.push(up.clone());
        outbox.push(routes("a"));
        for number in 0..1000 {
            visit(&mut outbox, &format!("stranger {number}"));
        }
        assert_eq!(outbox.queue.len(), 1, "the routes of the one that is there");
        assert_eq!(outbox.dropped(), 2000, "the last state and the failure of each");
        assert!(outbox.routes.len() == 1 && outbox.told.len() == 1 && outbox.gone.is_empty());
        assert_eq!(receiver.try_recv(), Ok(up));
    }

    // req: H5
    #[test]
    fn the_end_of_a_peer_that_was_told_of_is_told_however_late() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        let (up, closed) = (state(State::Established, None), Some(CloseReason::ConnectionClosed));
        outbox.push(up.clone());
        outbox.push(failed(CloseReason::ConnectTimeout));
        let down = state(State::Idle, closed.clone());
        outbox.push(down.clone());
        outbox.depart(&"a".into());
        visit(&mut outbox, "stranger");
        // It comes back before anybody has looked, and goes again.
        outbox.push(state(State::Active, None));
        outbox.depart(&"a".into());
        assert_eq!(outbox.queue.len(), 1);
        assert_eq!(receiver.try_recv(), Ok(up));
        outbox.try_send();
        assert_eq!(receiver.try_recv(), Ok(state(State::Active, closed)));
        assert!(outbox.queue.is_empty() && outbox.told.is_empty() && outbox.gone.is_empty());
        assert_eq!(outbox.dropped(), 3);
    }

    // req: H5
    #[test]
    fn a_user_who_looks_now_and_then_does_not_let_the_queue_grow() {
        let (sender, mut receiver) = mpsc::channel(2);
        let mut outbox = Outbox::new(sender);
        for number in 0..1000 {
            let peer = format!("visitor {number}");
            outbox.push(Event::StateChanged {
                peer: peer.as_str().into(),
                state: State::Established,
                reason: None,
            });
            if number % 3 == 0 {
                assert!(receiver.try_recv().is_ok());
                outbox.try_send();
            }
            visit(&mut outbox, &peer);
            assert!(outbox.queue.len() <= 3, "{:?}", outbox.queue);
            assert!(outbox.told.len() <= 3 && outbox.gone.len() <= 3);
        }
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

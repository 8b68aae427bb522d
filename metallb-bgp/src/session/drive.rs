//! Running the state machine: what its actions mean for a connection.

use std::mem;
use std::time::{Duration, Instant};

use super::config::LEAST_CONNECT_TIME;
use super::connection::{Connection, Direction, Timers};
use super::path::PathWatch;
use super::{CloseReason, Effect, Event, FIRST_BACKOFF, LONGEST_BACKOFF, Session, StopReason};
use crate::fsm::{self, Action, Conditions, Notice, State, step};
use crate::table::AdvTable;
use crate::types::Families;
use crate::wire::header::{MessageLimit, MessageType};
use crate::wire::notification::Notification;
use crate::wire::{iana, keepalive};

/// What an event carries besides its kind.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// The NOTIFICATION that the event calls for.
    pub(super) notification: Option<Notification>,
    /// The type of the message that is the event.
    pub(super) message: Option<MessageType>,
    /// Why the connection ends, where no NOTIFICATION is sent.
    pub(super) reason: Option<CloseReason>,
}

impl Detail {
    pub(super) fn because(reason: CloseReason) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    pub(super) fn notify(notification: Notification) -> Self {
        Self { notification: Some(notification), ..Self::default() }
    }

    pub(super) fn message(kind: MessageType) -> Self {
        Self { message: Some(kind), ..Self::default() }
    }
}

impl Session {
    /// Puts an event through the state machine of a connection and does what it asks for.
    pub(super) fn fire(&mut self, now: Instant, direction: Direction, event: fsm::Event, mut detail: Detail) {
        let conditions = self.conditions(direction);
        let Some(connection) = self.connection_mut(direction) else { return };
        let before = connection.state;
        let transition = step(before, event, conditions);
        connection.state = transition.next;
        for action in transition.actions {
            self.act(now, direction, *action, &mut detail);
        }
        if before == State::Established && transition.next != State::Established {
            self.damp(now, detail.reason.as_ref());
        }
        if transition.next == State::Idle {
            self.exit(now, direction, before);
        } else if direction == Direction::Incoming && transition.next == State::Active {
            // A connection the peer opened cannot be opened again from here: without TCP it is over.
            if self.incoming.as_ref().is_some_and(|c| c.id.is_none()) {
                self.exit(now, direction, before);
            }
        }
        self.show(now, detail.reason);
    }

    fn conditions(&self, direction: Direction) -> Conditions {
        let connection = self.connection(direction);
        let graceful = connection.and_then(|c| c.negotiated.as_ref());
        let graceful = graceful.and_then(|n| n.graceful_restart.as_ref());
        Conditions {
            delay_open: self.config.delay_open.is_some(),
            delay_open_running: connection.is_some_and(|c| c.timers.delay_open.is_some()),
            passive: self.config.passive,
            peer_graceful_restart: graceful.is_some_and(|g| !g.families.is_empty()),
        }
    }

    fn act(&mut self, now: Instant, direction: Direction, action: Action, detail: &mut Detail) {
        match action {
            Action::ClearRetryCounter => self.counters.connect_retry_counter = 0,
            Action::CountRetry => {
                self.counters.connect_retry_counter = self.counters.connect_retry_counter.saturating_add(1);
            }
            Action::StartConnectRetry => self.start_connect_retry(now, direction),
            Action::StopConnectRetry => self.timers(direction, |t| t.connect_retry = None),
            Action::StartDelayOpen => {
                let at = self.config.delay_open.and_then(|wait| now.checked_add(wait));
                self.timers(direction, |t| t.delay_open = at);
            }
            Action::StopDelayOpen => self.timers(direction, |t| t.delay_open = None),
            Action::Connect => self.connect(now),
            Action::SendOpen => self.send_open(direction),
            Action::SendKeepalive => self.send_keepalive(direction),
            Action::StartLargeHold => {
                let at = now.checked_add(LARGE_HOLD);
                self.timers(direction, |t| (t.hold, t.delay_open) = (at, None));
            }
            Action::StartNegotiatedTimers => {
                self.restart_hold(now, direction);
                self.restart_keepalive(now, direction);
            }
            Action::RestartHold => self.restart_hold(now, direction),
            Action::RestartKeepalive => self.restart_keepalive(now, direction),
            Action::StartSendHold => self.start_send_hold(now, direction),
            Action::Notify(notice) => self.notify(direction, notice, detail),
            Action::Drop => self.drop_tcp(direction),
            Action::Establish => self.establish(now, direction),
            Action::ReleaseRoutes => self.received.clear(),
            // What these ask for is done where the event comes from: the connection was refused or is tracked
            // already, the message is taken in after the timers.
            Action::Refuse | Action::Track | Action::Process | Action::Refresh => {}
        }
    }

    fn timers(&mut self, direction: Direction, change: impl FnOnce(&mut Timers)) {
        if let Some(connection) = self.connection_mut(direction) {
            change(&mut connection.timers);
        }
    }

    /// The configured time between attempts, or the present backoff.
    pub(super) fn retry_time(&mut self) -> Duration {
        let base = self.config.connect_time.unwrap_or(self.backoff);
        self.rng.jitter(base).max(LEAST_CONNECT_TIME)
    }

    fn start_connect_retry(&mut self, now: Instant, direction: Direction) {
        if direction == Direction::Incoming {
            return;
        }
        let at = now.checked_add(self.retry_time());
        self.outgoing.timers.connect_retry = at;
    }

    fn connect(&mut self, now: Instant) {
        let id = self.new_id();
        self.outgoing.id = Some(id);
        self.outgoing.tcp_mss = self.config.tcp_mss;
        self.outgoing.timers.attempt = now.checked_add(ATTEMPT_TIME);
        // However soon the next one is wanted, this one is not given up before a lost SYN was sent again.
        let least = if self.config.connect_time.is_some() { LEAST_ATTEMPT_TIME } else { ATTEMPT_TIME };
        self.outgoing.timers.connect_retry = self.outgoing.timers.connect_retry.max(now.checked_add(least));
        self.counters.connect_attempts += 1;
        self.effects.push_back(Effect::Connect(id));
    }

    fn send_open(&mut self, direction: Direction) {
        let Some(endpoints) = self.connection(direction).and_then(|c| c.endpoints) else { return };
        let open = self.open_for(&endpoints);
        let Some(connection) = self.connection_mut(direction) else { return };
        // Our capabilities are a handful of small ones; an OPEN of them always fits.
        let encoded = open.encode(&mut connection.out);
        connection.sent_open = Some(open);
        debug_assert_eq!(encoded, Ok(()), "our own OPEN fits into a message");
        self.counters.opens_sent += 1;
    }

    pub(super) fn send_keepalive(&mut self, direction: Direction) {
        let Some(connection) = self.connection_mut(direction) else { return };
        keepalive::encode(&mut connection.out);
        self.counters.keepalives_sent += 1;
    }

    pub(super) fn restart_hold(&mut self, now: Instant, direction: Direction) {
        let Some(connection) = self.connection_mut(direction) else { return };
        let hold = connection.negotiated.as_ref().and_then(|n| n.hold_time.duration());
        connection.timers.hold = hold.and_then(|hold| now.checked_add(hold));
    }

    pub(super) fn restart_keepalive(&mut self, now: Instant, direction: Direction) {
        let configured = self.config.keepalive_time;
        let negotiated = self.connection(direction).and_then(|c| c.negotiated.as_ref());
        let interval = negotiated.and_then(|n| n.hold_time.keepalive(configured));
        // RFC 4271 §4.4: never more often than once a second, whatever the jitter.
        let at = interval.map(|interval| self.rng.jitter(interval).max(LEAST_KEEPALIVE));
        let at = at.and_then(|wait| now.checked_add(wait));
        self.timers(direction, |t| t.keepalive = at);
    }

    /// RFC 9687: off when it or the negotiated hold time is zero; otherwise longer than the hold time.
    pub(super) fn start_send_hold(&mut self, now: Instant, direction: Direction) {
        let negotiated = self.connection(direction).and_then(|c| c.negotiated.as_ref());
        let hold = negotiated.and_then(|n| n.hold_time.duration());
        let time = hold.and_then(|hold| self.config.send_hold(hold));
        let at = time.and_then(|time| now.checked_add(time));
        self.timers(direction, |t| t.send_hold = at);
    }

    fn notify(&mut self, direction: Direction, notice: Notice, detail: &mut Detail) {
        let message = detail.message;
        let unexpected = |subcode| match message {
            Some(kind) => Notification::unexpected_message(subcode, kind),
            None => Notification::new(iana::ERR_FSM, iana::SUB_UNSPECIFIC),
        };
        let notification = match notice {
            Notice::Fsm => Notification::new(iana::ERR_FSM, iana::SUB_UNSPECIFIC),
            Notice::FsmOpenSent => unexpected(iana::FSM_IN_OPEN_SENT),
            Notice::FsmOpenConfirm => unexpected(iana::FSM_IN_OPEN_CONFIRM),
            Notice::FsmEstablished => unexpected(iana::FSM_IN_ESTABLISHED),
            Notice::HoldTimerExpired => Notification::new(iana::ERR_HOLD_TIMER, iana::SUB_UNSPECIFIC),
            Notice::SendHoldTimerExpired => {
                Notification::new(iana::ERR_SEND_HOLD_TIMER, iana::SUB_UNSPECIFIC)
            }
            Notice::Collision => Notification::cease(iana::CEASE_COLLISION),
            Notice::Cease | Notice::OfMessage => {
                detail.notification.take().unwrap_or_else(|| Notification::cease(iana::SUB_UNSPECIFIC))
            }
        };
        let Some(connection) = self.connection_mut(direction) else { return };
        let limit = connection.negotiated.as_ref().map_or(MessageLimit::Standard, |n| n.send_limit);
        notification.encode(limit, &mut connection.out);
        self.counters.notifications_sent += 1;
        self.counters.messages_sent += 1;
        let says_more = match detail.reason {
            Some(CloseReason::SendHoldExpired) => true,
            // A second OPEN is an error whatever it says.
            Some(CloseReason::RefusedOpen(_)) => notice == Notice::OfMessage,
            _ => false,
        };
        if !says_more {
            detail.reason = Some(CloseReason::Sent(notification));
        }
    }

    /// Hands the TCP connection or the attempt to the driver for closing, with what is still to be said.
    pub(super) fn drop_tcp(&mut self, direction: Direction) {
        let Some(connection) = self.connection_mut(direction) else { return };
        let last = mem::take(&mut connection.out);
        connection.endpoints = None;
        if let Some(id) = connection.id.take() {
            self.effects.push_back(Effect::Close { id, last });
        }
        self.clear(direction);
    }

    /// Forgets everything that belonged to a TCP connection.
    fn clear(&mut self, direction: Direction) {
        let Some(connection) = self.connection_mut(direction) else { return };
        let retry = connection.timers.connect_retry;
        let fresh = Connection::new(connection.direction, connection.state);
        let old = mem::replace(connection, fresh);
        connection.timers.connect_retry = retry;
        self.left.extend(old.slot);
    }

    fn establish(&mut self, now: Instant, direction: Direction) {
        self.counters.established += 1;
        self.up_since = Some(now);
        let connection = self.connection(direction);
        let hold_time = connection.and_then(|c| c.negotiated.as_ref()).and_then(|n| n.hold_time.duration());
        self.path = PathWatch::established(connection.and_then(|c| c.id), hold_time);
        self.idle_hold = None;
        self.crossed = None;
        self.received.clear();
        self.reported.clear();
        let deferral = self.config.graceful_restart.unwrap_or_default().selection_deferral;
        let deferral = self.deferral_from.get_or_insert(now).checked_add(deferral);
        let counted = self.config.max_prefixes.is_some();
        self.timers(direction, |t| t.deferral = deferral);
        if let Some(connection) = self.connection_mut(direction) {
            connection.refresh = Families::EMPTY;
            connection.counted = counted;
        }
        let other = direction.other();
        match self.connection(other).map(|c| c.state) {
            None | Some(State::Idle) => {}
            // An attempt that is not needed any more has not failed.
            Some(before @ (State::Connect | State::Active)) => self.exit(now, other, before),
            Some(_) => self.fire(now, other, fsm::Event::CollisionDump, Detail::default()),
        }
    }

    /// A session ended. One that was up for some time is tried again soon; one that was not, or that a side does not
    /// want for now, later each time (RFC 4271 §8.1.1 DampPeerOscillations, RFC 4486 §4).
    fn damp(&mut self, now: Instant, reason: Option<&CloseReason>) {
        let up = self.up_since.take().map_or(Duration::ZERO, |since| now.duration_since(since));
        self.path.ended(up, reason);
        let unwelcome = reason.is_some_and(CloseReason::is_unwelcome);
        if up >= if unwelcome { STABLE_AFTER_REFUSAL } else { STABLE } {
            self.damping = FIRST_BACKOFF;
        }
        self.backoff = self.damping;
        self.damping = longer(self.damping);
    }

    /// Leaving for Idle: nothing of the connection is held any more, and the next attempt is planned.
    fn exit(&mut self, now: Instant, direction: Direction, before: State) {
        self.drop_tcp(direction);
        match direction {
            Direction::Incoming => self.incoming = None,
            Direction::Outgoing => self.outgoing = Connection::new(Direction::Outgoing, State::Idle),
        }
        let alone = self.incoming.is_none() && self.outgoing.state == State::Idle;
        let left = before != State::Idle || direction == Direction::Incoming;
        if self.running && alone && left && self.idle_hold.is_none() {
            self.idle_hold = now.checked_add(self.retry_time());
            self.back_off();
        }
    }

    /// The next wait is twice as long.
    pub(super) fn back_off(&mut self) {
        self.backoff = longer(self.backoff);
    }

    /// Stops one connection for a reason, which may be one for the peer to forget its routes at once.
    pub(super) fn stop_connection(
        &mut self,
        now: Instant,
        direction: Direction,
        (reason, forget): (&StopReason, bool),
        table: &mut AdvTable,
    ) {
        let Some(connection) = self.connection(direction) else { return };
        let negotiated = connection.negotiated.as_ref();
        let peer = negotiated.and_then(|n| n.graceful_restart.as_ref());
        let agreed = peer.is_some() && self.config.graceful_restart.is_some();
        let restart = matches!(reason, StopReason::Restart(_));
        if restart && agreed {
            self.fire(now, direction, fsm::Event::TcpFails, Detail::because(CloseReason::Stopped));
            return;
        }
        let forget = forget || restart;
        let hard = forget && agreed && peer.is_some_and(|peer| peer.notification);
        if forget && connection.state == State::Established {
            self.withdraw_all(direction, table);
        }
        let notification = reason.notification();
        let notification = if hard { notification.into_hard_reset() } else { notification };
        let event = match reason {
            StopReason::OutOfResources | StopReason::BfdDown => fsm::Event::AutomaticStop,
            _ => fsm::Event::ManualStop,
        };
        let detail = Detail { notification: Some(notification), ..Detail::because(CloseReason::Stopped) };
        self.fire(now, direction, event, detail);
    }

    /// Whether there can be no session as configured; the user is told.
    pub(super) fn is_impossible(&mut self, now: Instant) -> bool {
        let Err(error) = self.config.check() else { return false };
        self.show(now, Some(CloseReason::Invalid(error)));
        true
    }

    /// Tells the user when the session's state is another than it was, and when another reason than the one told last
    /// keeps it down.
    pub(super) fn show(&mut self, now: Instant, reason: Option<CloseReason>) {
        let state = self.state();
        if let Some(reason) = &reason {
            self.last_error = Some((now, reason.clone()));
            self.unacknowledged = None;
        }
        let ended = self.shown == State::Established && state != State::Established;
        if state != self.shown {
            self.told = reason.clone().filter(|_| ended).or_else(|| self.told.take());
            self.told.take_if(|_| state == State::Established);
            self.shown = state;
            self.since = Some(now);
            let reason = reason.clone().filter(|_| ended);
            self.events.push_back(Event::StateChanged { peer: self.key.clone(), state, reason });
            self.show_negotiated();
        }
        let Some(reason) = reason.filter(|reason| !ended && reason.is_failure()) else { return };
        // A connection that is further may still make it.
        if state <= State::Active && self.told.as_ref() != Some(&reason) {
            self.told = Some(reason.clone());
            let next = self.next_attempt();
            self.events.push_back(Event::AttemptFailed { peer: self.key.clone(), reason, next });
        }
    }
}

/// The wait after `wait`.
fn longer(wait: Duration) -> Duration {
    wait.saturating_mul(2).min(LONGEST_BACKOFF)
}

/// The shortest time between KEEPALIVEs.
const LEAST_KEEPALIVE: Duration = Duration::from_secs(1);
/// The hold timer while the peer's OPEN is awaited (RFC 4271 §8.2.2 suggests 4 minutes).
const LARGE_HOLD: Duration = Duration::from_secs(240);
/// A session that was up this long does not flap: the hold time RFC 4271 §10 suggests.
const STABLE: Duration = Duration::from_secs(90);
/// As [`STABLE`], where one side ended the session because it does not want it.
const STABLE_AFTER_REFUSAL: Duration = Duration::from_secs(1800);
/// How long an attempt to connect may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(10);
/// How long it may take at least, with a connect time that is shorter: a SYN is sent again after a second.
const LEAST_ATTEMPT_TIME: Duration = Duration::from_secs(3);

//! What happens because time passes.

use std::time::Instant;

use super::connection::{ConnectionId, Direction, Timers};
use super::drive::Detail;
use super::{CloseReason, FIRST_BACKOFF, Session};
use crate::fsm::{self, State};

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let incoming = self.incoming.as_ref().and_then(|c| c.timers.next());
        [self.idle_hold, self.outgoing.timers.next(), incoming].into_iter().flatten().min()
    }

    /// Does what is due at `now`. Calls without anything due do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.idle_hold.is_some_and(|at| at <= now) {
            self.idle_hold = None;
            if !self.is_impossible(now) {
                self.fire(now, Direction::Outgoing, fsm::Event::IdleHoldExpires, Detail::default());
            }
        }
        for direction in [Direction::Outgoing, Direction::Incoming] {
            self.connection_timeouts(now, direction);
        }
    }

    /// A path to the peer may have come up, such as a cable: where that is what failed, the wait for the next attempt is
    /// over, and an attempt whose packets may have been lost is made anew.
    pub fn handle_path(&mut self, now: Instant) {
        if self.last_error.as_ref().is_none_or(|(_, reason)| reason.is_of_path()) {
            self.retry_now(now);
        }
    }

    /// What kept the session down may be over, whatever it was: the wait for the next attempt ends, and an attempt that is
    /// under way is made anew. A session that is further goes on.
    pub fn retry_now(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.state() > State::Active {
            return;
        }
        self.backoff = FIRST_BACKOFF;
        if self.idle_hold.is_some() {
            self.idle_hold = Some(now);
        } else if self.outgoing.timers.connect_retry.is_some() && !self.config.passive {
            self.outgoing.timers.connect_retry = Some(now);
        }
    }

    /// What the peer sent on a connection waits unread because the user is behind, so it lives: a hold timer that is due
    /// starts again. To be called before [`handle_timeout`](Self::handle_timeout).
    pub fn handle_unread(&mut self, now: Instant, id: ConnectionId) {
        let now = self.tick(now);
        let Some(direction) = self.direction_of(id) else { return };
        let Some(connection) = self.connection(direction) else { return };
        let due = connection.timers.hold.is_some_and(|at| at <= now);
        if due && connection.state >= State::OpenConfirm {
            self.restart_hold(now, direction);
        }
    }

    /// Each timer of a connection that is due, once; a transition may stop those that follow.
    fn connection_timeouts(&mut self, now: Instant, direction: Direction) {
        if self.take_due(now, direction, |t| &mut t.attempt) {
            let detail = Detail::because(CloseReason::ConnectTimeout);
            self.fire(now, direction, fsm::Event::TcpFails, detail);
        }
        if self.take_due(now, direction, |t| &mut t.connect_retry) {
            self.back_off();
            let timed_out = self.outgoing.state == State::Connect && self.outgoing.endpoints.is_none();
            let reason = timed_out.then_some(CloseReason::ConnectTimeout);
            let detail = Detail { reason, ..Detail::default() };
            self.fire(now, direction, fsm::Event::ConnectRetryExpires, detail);
        }
        if self.take_due(now, direction, |t| &mut t.delay_open) {
            self.fire(now, direction, fsm::Event::DelayOpenExpires, Detail::default());
        }
        if self.take_due(now, direction, |t| &mut t.hold) {
            self.fire(now, direction, fsm::Event::HoldExpires, Detail::default());
        }
        if self.take_due(now, direction, |t| &mut t.send_hold) {
            let detail = Detail::because(CloseReason::SendHoldExpired);
            self.fire(now, direction, fsm::Event::SendHoldExpires, detail);
        }
        if self.take_due(now, direction, |t| &mut t.keepalive) {
            self.fire(now, direction, fsm::Event::KeepaliveExpires, Detail::default());
        }
        if self.take_due(now, direction, |t| &mut t.deferral)
            && let Some(connection) = self.connection_mut(direction)
        {
            connection.deferral_over = true;
        }
    }

    fn take_due(
        &mut self,
        now: Instant,
        direction: Direction,
        timer: impl Fn(&mut Timers) -> &mut Option<Instant>,
    ) -> bool {
        let Some(connection) = self.connection_mut(direction) else { return false };
        let timer = timer(&mut connection.timers);
        let due = timer.is_some_and(|at| at <= now);
        if due {
            *timer = None;
        }
        due
    }
}

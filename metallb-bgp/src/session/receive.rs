//! What the peer sends.

use std::time::{Duration, Instant};

use super::connection::{Connection, ConnectionId, Direction};
use super::drive::Detail;
use super::import::Verdict;
use super::{CloseReason, Effect, Endpoints, Event, Session};
use crate::fsm::{self, State};
use crate::types::{Families, RouterId};
use crate::wire::Message;
use crate::wire::error::WireError;
use crate::wire::header::{Frame, Framer, MessageLimit, MessageType};
use crate::wire::iana;
use crate::wire::negotiate::Negotiated;
use crate::wire::notification::Notification;
use crate::wire::open::{Open, OpenPolicy};
use crate::wire::refresh::{RefreshSubtype, RouteRefresh};
use crate::wire::update::Action;

impl Session {
    /// Takes octets the peer sent, split in any way.
    pub fn handle_data(&mut self, now: Instant, id: ConnectionId, data: &[u8]) {
        let now = self.tick(now);
        let Some(direction) = self.direction_of(id) else { return };
        let Some(connection) = self.connection_mut(direction) else { return };
        if connection.endpoints.is_none() {
            return;
        }
        self.counters.octets_received += data.len() as u64;
        let Some(connection) = self.connection_mut(direction) else { return };
        let mut framer = std::mem::replace(&mut connection.framer, Framer::new());
        let mut rest = data;
        let question = self.open_in_question(direction);
        // The connection may close on any message; then nothing more is read from it.
        while self.direction_of(id).is_some() {
            match framer.next_frame(&mut rest) {
                Ok(Some(frame)) => self.handle_frame(now, direction, frame),
                Ok(None) => break,
                Err(error) => {
                    let detail = Detail::notify(error.notification());
                    self.fire(now, direction, fsm::Event::HeaderError, detail);
                }
            }
            if let Some(negotiated) = self.connection(direction).and_then(|c| c.negotiated.as_ref()) {
                framer.set_limit(negotiated.receive_limit);
            }
        }
        match self.direction_of(id).and_then(|direction| self.connection_mut(direction)) {
            Some(connection) => connection.framer = framer,
            None => self.read_crossed(framer, rest, question.as_ref()),
        }
    }

    fn handle_frame(&mut self, now: Instant, direction: Direction, frame: Frame<'_>) {
        self.count_received(frame.kind());
        let state = self.connection(direction).map(|c| c.state);
        if frame.kind() == MessageType::Update && state != Some(State::Established) {
            // An UPDATE that comes too early is an error whatever it says.
            let detail = Detail::message(frame.kind());
            self.fire(now, direction, fsm::Event::Update, detail);
            return;
        }
        match Message::parse(frame) {
            Ok(Message::Open(open)) => self.handle_open(now, direction, open),
            Ok(Message::Update(view)) => {
                let event = match self.import(now, direction, &view) {
                    Verdict::Taken => (fsm::Event::Update, Detail::message(frame.kind())),
                    Verdict::Reset(notification) => (fsm::Event::UpdateError, Detail::notify(notification)),
                    Verdict::TooMany(notification) => {
                        (fsm::Event::AutomaticStop, Detail::notify(notification))
                    }
                };
                self.fire(now, direction, event.0, event.1);
            }
            Ok(Message::Notification(notification)) => {
                self.handle_notification(now, direction, notification);
            }
            Ok(Message::Keepalive) => {
                self.fire(now, direction, fsm::Event::Keepalive, Detail::message(frame.kind()));
            }
            Ok(Message::RouteRefresh(refresh)) => self.handle_refresh(now, direction, refresh),
            Err(error) => self.handle_malformed(now, direction, frame, &error),
        }
    }

    fn handle_malformed(&mut self, now: Instant, direction: Direction, frame: Frame<'_>, error: &WireError) {
        if let WireError::Update(error) = error {
            self.report(now, Action::ResetSession, error.fault(), frame.octets());
        }
        let event = match error {
            WireError::Header(_) => fsm::Event::HeaderError,
            WireError::Open(_) => fsm::Event::OpenError,
            WireError::Update(_) => fsm::Event::UpdateError,
            WireError::Refresh(_) => fsm::Event::RouteRefreshError,
        };
        let reason = match error {
            WireError::Open(error) => Some(CloseReason::RefusedOpen(error.clone())),
            _ => None,
        };
        let detail = Detail { notification: Some(error.notification()), message: Some(frame.kind()), reason };
        self.fire(now, direction, event, detail);
    }

    fn handle_notification(&mut self, now: Instant, direction: Direction, notification: Notification) {
        let version =
            notification.code == iana::ERR_OPEN && notification.subcode == iana::OPEN_UNSUPPORTED_VERSION;
        let event = if version { fsm::Event::NotificationVersion } else { fsm::Event::Notification };
        let question = self.open_in_question(direction);
        self.note_refusal(question.as_ref(), &notification);
        self.fire(now, direction, event, Detail::because(CloseReason::Received(notification)));
    }

    fn handle_refresh(&mut self, now: Instant, direction: Direction, refresh: RouteRefresh) {
        if let Some(connection) = self.connection_mut(direction)
            && connection.state == State::Established
            && refresh.subtype == RefreshSubtype::Request
        {
            let families = connection.negotiated.as_ref().map_or(Families::EMPTY, |n| n.families);
            match refresh.family.family().filter(|family| families.contains(*family)) {
                Some(family) => connection.refresh = connection.refresh.with(family),
                None => self.ignore_refresh(now, refresh),
            }
        }
        self.fire(now, direction, fsm::Event::RouteRefresh, Detail::message(MessageType::RouteRefresh));
    }

    fn ignore_refresh(&mut self, now: Instant, refresh: RouteRefresh) {
        if is_due(now, &mut self.last_ignored) {
            let family = refresh.family;
            self.events.push_back(Event::RefreshIgnored { peer: self.key.clone(), family });
        }
    }

    fn handle_open(&mut self, now: Instant, direction: Direction, open: Open) {
        let Some(connection) = self.connection(direction) else { return };
        if connection.received_open.is_some() {
            self.fire(now, direction, fsm::Event::OpenReceived, Detail::message(MessageType::Open));
            return;
        }
        let delayed = connection.timers.delay_open.is_some();
        let sent = connection.sent_open.clone();
        let Some(endpoints) = connection.endpoints else { return };
        let sent = sent.unwrap_or_else(|| self.open_for(&endpoints));
        let policy = OpenPolicy {
            local_asn: sent.asn,
            local_id: sent.router_id,
            remote: self.config.remote_asn,
            minimum_hold_time: self.config.minimum_hold_time,
            required: self.config.required_capabilities.clone(),
            role: self.config.role,
        };
        if let Err(error) = open.check(&policy) {
            let notification = Some(error.notification());
            let detail = Detail { notification, ..Detail::because(CloseReason::RefusedOpen(error)) };
            self.fire(now, direction, fsm::Event::OpenError, detail);
            return;
        }
        if !self.survives_collision(now, direction, &sent, &open) {
            self.fire(now, direction, fsm::Event::CollisionDump, Detail::default());
            return;
        }
        let Some(connection) = self.connection_mut(direction) else { return };
        connection.negotiated = Some(Negotiated::new(&sent, &open));
        connection.received_open = Some(open);
        let event = if delayed { fsm::Event::OpenReceivedDelayed } else { fsm::Event::OpenReceived };
        self.fire(now, direction, event, Detail::message(MessageType::Open));
    }

    /// Decides between two connections when the OPEN of one arrives (RFC 4271 §6.8); closes the other one if it
    /// lost.
    fn survives_collision(&mut self, now: Instant, direction: Direction, ours: &Open, theirs: &Open) -> bool {
        let other = direction.other();
        let Some(rival) = self.connection(other) else { return true };
        match rival.state {
            State::OpenConfirm => {}
            State::Established if direction == Direction::Incoming && restarts_gracefully(rival) => {
                // Now that it says who it is, it takes the old one's place (RFC 4724 §4.2).
                let detail = Detail::because(CloseReason::ReplacedByPeer);
                self.fire(now, other, fsm::Event::TcpConfirmed, detail);
                return true;
            }
            State::Established if self.config.collision_detect_established => {}
            State::Established => return false,
            State::Idle | State::Connect | State::Active | State::OpenSent => return true,
        }
        let keep = kept(ours, theirs);
        if keep == direction {
            self.fire(now, other, fsm::Event::CollisionDump, Detail::default());
        }
        keep == direction
    }

    /// Decides whether a connection the peer opened is followed, and makes room for it. One that is established stays
    /// until the new one has said who it is: anybody can open a connection and say nothing.
    pub(super) fn make_room(&mut self, now: Instant) -> Option<()> {
        if let Some(incoming) = self.incoming.take_if(|c| c.state == State::Established) {
            if !restarts_gracefully(&incoming) {
                self.incoming = Some(incoming);
                return None;
            }
            // Since it is established there is no other. Who opened it counts for collisions only, and a peer that
            // restarts has none.
            self.outgoing = Connection { direction: Direction::Outgoing, ..incoming };
        }
        if let Some(present) = &self.incoming {
            // The peer opens one connection at a time: it has given up the one before. But whoever can open connections
            // with its address must not end each of them before it has said anything.
            if present.accepted.is_some_and(|at| now.duration_since(at) < ONCE) {
                return None;
            }
            let detail = Detail::because(CloseReason::ReplacedByPeer);
            self.fire(now, Direction::Incoming, fsm::Event::TcpFails, detail);
        }
        Some(())
    }

    /// A connection beside an established or a young one that the peer opened, too, loses (RFC 4271 §6.8) and is told, if
    /// there are not many of them.
    pub(super) fn decline(&mut self, now: Instant, endpoints: &Endpoints) -> Option<ConnectionId> {
        if !is_due(now, &mut self.last_declined) {
            return None;
        }
        let mut last = Vec::new();
        self.open_for(endpoints).encode(&mut last).ok()?;
        Notification::cease(iana::CEASE_COLLISION).encode(MessageLimit::Standard, &mut last);
        self.counters.opens_sent += 1;
        self.counters.notifications_sent += 1;
        self.counters.messages_sent += 2;
        let id = self.new_id();
        self.effects.push_back(Effect::Close { id, last });
        Some(id)
    }

    const fn count_received(&mut self, kind: MessageType) {
        let counters = &mut self.counters;
        counters.messages_received += 1;
        match kind {
            MessageType::Open => counters.opens_received += 1,
            MessageType::Update => counters.updates_received += 1,
            MessageType::Notification => counters.notifications_received += 1,
            MessageType::Keepalive => counters.keepalives_received += 1,
            MessageType::RouteRefresh => counters.refreshes_received += 1,
        }
    }
}

/// Whether the peer of an established connection keeps routes through a restart, so that a new connection may follow.
fn restarts_gracefully(connection: &Connection) -> bool {
    let peer = connection.negotiated.as_ref().and_then(|n| n.graceful_restart.as_ref());
    peer.is_some_and(|peer| !peer.families.is_empty())
}

/// Whether something that is done once a second at most is done now.
pub(super) fn is_due(now: Instant, last: &mut Option<Instant>) -> bool {
    let due = last.is_none_or(|last| now.duration_since(last) >= ONCE);
    if due {
        *last = Some(now);
    }
    due
}

/// The time between two things of which a peer could cause any number.
const ONCE: Duration = Duration::from_secs(1);

/// The connection that stays: the one opened by the speaker with the higher identifier, compared as unsigned
/// numbers; with equal ones, by the higher AS number (RFC 6286 §2.3).
fn kept(ours: &Open, theirs: &Open) -> Direction {
    let rank = |open: &Open| -> (RouterId, u32) { (open.router_id, open.asn.value()) };
    if rank(ours) > rank(theirs) { Direction::Outgoing } else { Direction::Incoming }
}

//! One peer.
//!
//! A [`Session`] holds everything about a peer: the state machines of the connection it opens and of the one the
//! peer opens, the choice between them (RFC 4271 §6.8), every timer, and what both sides agreed on. It does no
//! input or output and knows no clock. A driver
//!
//! 1. tells it what happened: [`handle_connected`](Session::handle_connected),
//!    [`handle_accepted`](Session::handle_accepted), [`handle_data`](Session::handle_data),
//!    [`handle_written`](Session::handle_written), [`handle_closed`](Session::handle_closed),
//!    [`handle_timeout`](Session::handle_timeout);
//! 2. does what [`poll_effect`](Session::poll_effect) asks for until there is nothing more;
//! 3. writes what [`poll_transmit`](Session::poll_transmit) gives for every open connection whose socket has
//!    room;
//! 4. hands on what [`poll_event`](Session::poll_event) returns;
//! 5. waits for the next input, or until [`next_timeout`](Session::next_timeout).
//!
//! Any order of calls is safe. Time never goes backwards: an earlier `now` counts as the latest one seen.
//! Calls for a connection that does not exist any more are ignored.

mod authentication;
mod config;
mod connection;
mod drive;
mod event;
mod failure;
mod import;
mod neighbor;
mod offer;
mod path;
mod receive;
mod reconfigure;
mod refused;
pub(crate) mod rng;
mod show;
mod snapshot;
mod stop;
mod timeouts;
mod transmit;
mod withheld;
mod words;

pub use authentication::{
    AoAlgorithm, AoKey, AoKeys, Authentication, AuthenticationError, DuplicateKeyId, InvalidKey, Md5Key,
};
#[cfg(feature = "bfd")]
pub use config::PeerBfd;
pub use config::{ConfigError, GracefulRestart, NextHops, OfferedFamilies, PeerConfig, PeerKey, TtlPolicy};
pub use connection::{ConnectionId, Endpoints};
pub use event::{CloseReason, Event, ReceivedUpdate};
pub use failure::{SocketError, SocketStep};
pub use neighbor::RemoteName;
pub use path::Unacknowledged;
pub use reconfigure::Reconfigured;
pub use snapshot::{Counters, NegotiatedSnapshot, PeerSnapshot};
pub use stop::StopReason;
pub use transmit::TRANSMIT_SIZE;
pub use withheld::{Withheld, WithheldReason};
pub use words::{Sentence, SettingNames};

use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::mem::Discriminant;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

use self::connection::{Connection, Direction};
use self::drive::Detail;
use self::path::PathWatch;
use self::refused::GivenUp;
use self::rng::Pcg;
use crate::fsm::{self, State};
use crate::table::{AdvTable, PeerSlot};
use crate::types::RouterId;
use crate::wire::notification::Notification;
use crate::wire::update::Fault;

/// A peer: see the [module](self).
///
/// A session that is dropped without [`stop`](Self::stop) leaves its place in the table behind, and the table keeps
/// what it would have to be told. After `stop` nothing is left behind.
#[derive(Debug)]
pub struct Session {
    key: PeerKey,
    config: PeerConfig,
    fallback_id: RouterId,
    /// The identifier in use where none is configured: it stays the same for every connection.
    derived_id: Option<RouterId>,
    rng: Pcg,
    /// The latest time seen.
    clock: Option<Instant>,
    running: bool,
    outgoing: Connection,
    incoming: Option<Connection>,
    next_id: u64,
    idle_hold: Option<Instant>,
    /// The wait after the next failure.
    backoff: Duration,
    /// The wait after the next session that ends soon.
    damping: Duration,
    /// When the session was established.
    up_since: Option<Instant>,
    path: PathWatch,
    /// Why the session does not come up or ended, as the user was told last.
    told: Option<CloseReason>,
    /// What the peer refused.
    given_up: GivenUp,
    /// The NOTIFICATION of the peer that came together with what we ended a connection for, as the user was told last.
    crossed: Option<Notification>,
    /// No End-of-RIB has been sent since this program started: the R bit (RFC 4724 §4.2).
    restarting: bool,
    /// When the peer was established for the first time: from then on End-of-RIB waits for the table to be complete, through
    /// all sessions together.
    deferral_from: Option<Instant>,
    /// Places in the table of connections that are gone.
    left: Vec<PeerSlot>,
    events: VecDeque<Event>,
    effects: VecDeque<Effect>,
    shown: State,
    since: Option<Instant>,
    last_error: Option<(Instant, CloseReason)>,
    /// What TCP had sent in vain when that happened, where it is the path that is suspected.
    unacknowledged: Option<Unacknowledged>,
    counters: Counters,
    /// When a malformed UPDATE was shown last.
    last_malformed: Option<Instant>,
    /// Kinds of faults in UPDATEs that were shown in this session, where its routes are not imported.
    reported: Vec<Discriminant<Fault>>,
    /// When a refresh of a foreign family was shown last.
    last_ignored: Option<Instant>,
    /// When a connection beside an established one was told that it is one too many.
    last_declined: Option<Instant>,
    /// What the peer has announced; kept only to enforce `max_prefixes`.
    received: BTreeSet<IpNetwork>,
    scratch: transmit::Scratch,
}

/// Something the driver is to do with a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Open a TCP connection to [`PeerConfig::remote`], then call
    /// [`handle_connected`](Session::handle_connected) or [`handle_closed`](Session::handle_closed) with this id.
    Connect(ConnectionId),
    /// Write what is left of earlier output and then `last`; close when it has been delivered or after a second.
    /// For an attempt that has not succeeded: give it up. The id is not used again.
    Close {
        /// Which connection.
        id: ConnectionId,
        /// The last messages, usually a NOTIFICATION; may be empty.
        last: Vec<u8>,
    },
}

impl Session {
    /// A session that has not been started. `fallback_id` is the BGP identifier if none is configured and the
    /// addresses give none.
    pub fn new(key: PeerKey, config: PeerConfig, fallback_id: RouterId) -> Self {
        Self {
            rng: Pcg::new(config.seed),
            key,
            config,
            fallback_id,
            derived_id: None,
            clock: None,
            running: false,
            outgoing: Connection::new(Direction::Outgoing, State::Idle),
            incoming: None,
            next_id: 0,
            idle_hold: None,
            backoff: FIRST_BACKOFF,
            damping: FIRST_BACKOFF,
            up_since: None,
            path: PathWatch::default(),
            told: None,
            given_up: GivenUp::default(),
            crossed: None,
            restarting: true,
            deferral_from: None,
            left: Vec::new(),
            events: VecDeque::new(),
            effects: VecDeque::new(),
            shown: State::Idle,
            since: None,
            last_error: None,
            unacknowledged: None,
            counters: Counters::default(),
            last_malformed: None,
            reported: Vec::new(),
            last_ignored: None,
            last_declined: None,
            received: BTreeSet::new(),
            scratch: transmit::Scratch::default(),
        }
    }

    /// The same session in a program that did not just start, or whose peer has had an End-of-RIB from it: the R bit is
    /// not said (RFC 4724 §4.2). To be called before [`start`](Self::start).
    #[must_use]
    pub fn without_restart(self) -> Self {
        Self { restarting: false, ..self }
    }

    /// Whether the R bit is said: no End-of-RIB has been sent yet.
    pub const fn is_restarting(&self) -> bool {
        self.restarting
    }

    /// Whether the peer was established and has been sent an End-of-RIB since the start of the program.
    pub const fn has_sent_end_of_rib(&self) -> bool {
        !self.restarting && self.counters.established > 0
    }

    /// Starts the session (ManualStart). A session that is started already goes on; one that waits after a failure
    /// tries again at once.
    pub fn start(&mut self, now: Instant) {
        let now = self.tick(now);
        let connected = self.running && self.incoming.is_some();
        self.running = true;
        self.since.get_or_insert(now);
        if connected || self.is_impossible(now) {
            return;
        }
        self.idle_hold = None;
        let start =
            if self.config.passive { fsm::Event::ManualStartPassive } else { fsm::Event::ManualStart };
        self.fire(now, Direction::Outgoing, start, Detail::default());
    }

    /// Ends the session and leaves it stopped, except for [`StopReason::Reset`] and
    /// [`StopReason::ConfigChanged`], which start it again. Everything the peer holds is withdrawn first if the
    /// reason is final.
    pub fn stop(&mut self, now: Instant, reason: &StopReason, table: &mut AdvTable) {
        self.stop_for(now, reason, reason.is_final(), table);
    }

    /// As [`stop`](Self::stop); `forget` says whether the peer must not keep its routes.
    fn stop_for(&mut self, now: Instant, reason: &StopReason, forget: bool, table: &mut AdvTable) {
        let now = self.tick(now);
        self.settle(table);
        let again = matches!(reason, StopReason::Reset(_) | StopReason::ConfigChanged);
        self.running = self.running && again;
        for direction in [Direction::Incoming, Direction::Outgoing] {
            self.stop_connection(now, direction, (reason, forget), table);
        }
        self.settle(table);
        self.idle_hold = None;
        (self.backoff, self.damping) = (FIRST_BACKOFF, FIRST_BACKOFF);
        self.told = None;
        (self.given_up, self.crossed) = (GivenUp::default(), None);
        if self.running {
            self.idle_hold = Some(now);
        } else {
            self.show(now, None);
        }
    }

    /// Has a session that was stopped start again, after the time between attempts.
    pub fn resume(&mut self, now: Instant) {
        let now = self.tick(now);
        if !self.running {
            self.running = true;
            self.idle_hold = now.checked_add(self.retry_time());
        }
    }

    /// The attempt of [`Effect::Connect`] succeeded.
    pub fn handle_connected(&mut self, now: Instant, id: ConnectionId, endpoints: Endpoints) {
        let now = self.tick(now);
        if self.outgoing.id != Some(id) || self.outgoing.endpoints.is_some() {
            return;
        }
        self.outgoing.endpoints = Some(endpoints);
        self.outgoing.timers.attempt = None;
        self.fire(now, Direction::Outgoing, fsm::Event::TcpAcked, Detail::default());
    }

    /// The peer opened a TCP connection. Returns its id, or `None` when it is to be closed at once because the session
    /// is stopped. A connection beside an established one that the peer opened, too, or beside one that it opened less
    /// than a second ago, gets an OPEN and Cease 6/7 by [`Effect::Close`]; when there are more of them than one in a
    /// second, `None`.
    pub fn handle_accepted(&mut self, now: Instant, endpoints: Endpoints) -> Option<ConnectionId> {
        let now = self.tick(now);
        if !self.running || self.config.check().is_err() {
            return None;
        }
        if self.make_room(now).is_none() {
            return self.decline(now, &endpoints);
        }
        let mut connection = Connection::new(Direction::Incoming, State::Active);
        let id = self.new_id();
        connection.id = Some(id);
        connection.endpoints = Some(endpoints);
        connection.accepted = Some(now);
        connection.tcp_mss = self.config.tcp_mss;
        self.incoming = Some(connection);
        self.fire(now, Direction::Incoming, fsm::Event::TcpConfirmed, Detail::default());
        Some(id)
    }

    /// The connection is gone, or the attempt failed: `error` says how; `None` is an orderly close by the peer. A
    /// driver that knows more calls [`handle_failed`](Self::handle_failed).
    pub fn handle_closed(&mut self, now: Instant, id: ConnectionId, error: Option<ErrorKind>) {
        self.end(now, id, error.map(SocketError::from));
    }

    /// The connection is gone, or the attempt failed, because of an error of the system.
    pub fn handle_failed(&mut self, now: Instant, id: ConnectionId, error: SocketError) {
        self.end(now, id, Some(error));
    }

    fn end(&mut self, now: Instant, id: ConnectionId, error: Option<SocketError>) {
        let now = self.tick(now);
        let Some(direction) = self.direction_of(id) else { return };
        let open = self.connection(direction).is_some_and(|c| c.endpoints.is_some());
        let reason = match (open, error) {
            (false, Some(error)) if error.kind == ErrorKind::TimedOut => CloseReason::ConnectTimeout,
            (false, Some(error)) => CloseReason::ConnectFailed(error),
            (false, None) => CloseReason::ConnectFailed(ErrorKind::ConnectionAborted.into()),
            (true, Some(error)) => CloseReason::ConnectionFailed(error),
            (true, None) => CloseReason::ConnectionClosed,
        };
        self.fire(now, direction, fsm::Event::TcpFails, Detail::because(reason));
    }

    /// The driver could not have a connection authenticated as configured, and has given it up: `id` is that of an
    /// attempt, `None` for one the peer opened.
    pub fn handle_unauthenticated(
        &mut self,
        now: Instant,
        id: Option<ConnectionId>,
        error: AuthenticationError,
    ) {
        let now = self.tick(now);
        let reason = CloseReason::Unauthenticated(error);
        match id.map(|id| self.direction_of(id)) {
            Some(Some(direction)) => {
                self.fire(now, direction, fsm::Event::TcpFails, Detail::because(reason));
            }
            // The attempt has been given up here, too.
            Some(None) => {}
            None => self.show(now, Some(reason)),
        }
    }

    /// The socket took `octets` of what [`poll_transmit`](Self::poll_transmit) gave for a connection.
    pub fn handle_written(&mut self, now: Instant, id: ConnectionId, octets: usize) {
        let now = self.tick(now);
        let Some(direction) = self.direction_of(id) else { return };
        self.counters.octets_sent += octets as u64;
        let Some(connection) = self.connection_mut(direction) else { return };
        let whole = connection.written(octets);
        if whole && connection.timers.send_hold.is_some() {
            self.start_send_hold(now, direction);
        }
    }

    /// TCP has sent `segments` of a connection more than once, each of at most `size` octets, and the peer has not
    /// acknowledged them. To be called when [`Effect::Close`] for that connection is carried out.
    pub fn handle_unacknowledged(&mut self, id: ConnectionId, segments: u32, size: u32) {
        if self.path.take(id) {
            let segments = Unacknowledged { segments, size };
            self.unacknowledged = Some(segments);
            self.events.push_back(Event::Unacknowledged { peer: self.key.clone(), segments });
        }
    }

    /// The ends of a connection, while it is open.
    pub fn endpoints(&self, id: ConnectionId) -> Option<Endpoints> {
        self.connection(self.direction_of(id)?)?.endpoints
    }

    /// Whether the session is started, though it may wait for its next attempt.
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// What the peer configuration is now.
    pub const fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// The name of the peer.
    pub const fn key(&self) -> &PeerKey {
        &self.key
    }

    /// The state of the connection that is furthest.
    pub fn state(&self) -> State {
        let incoming = self.incoming.as_ref().map_or(State::Idle, |c| c.state);
        self.outgoing.state.max(incoming)
    }

    /// The connections and attempts there are now, with their states.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionId, State)> {
        let outgoing = std::iter::once(&self.outgoing);
        let all = outgoing.chain(self.incoming.as_ref());
        all.filter_map(|connection| Some((connection.id?, connection.state)))
    }

    /// Whether [`poll_event`](Self::poll_event) has something: received routes should not be read on before it
    /// has been taken.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing to do with a socket. Also brings the table up to date with connections that came or went.
    pub fn poll_effect(&mut self, table: &mut AdvTable) -> Option<Effect> {
        self.settle(table);
        self.effects.pop_front()
    }

    /// Gives up the places in the table of connections that are gone. A peer has one place, so this comes before the
    /// next connection takes it.
    fn settle(&mut self, table: &mut AdvTable) {
        for slot in self.left.drain(..) {
            table.detach(slot);
        }
    }

    fn new_id(&mut self) -> ConnectionId {
        self.next_id += 1;
        ConnectionId(self.next_id)
    }

    /// Clamps `now` to the latest time seen.
    fn tick(&mut self, now: Instant) -> Instant {
        let now = self.clock.map_or(now, |clock| clock.max(now));
        self.clock = Some(now);
        now
    }

    const fn connection(&self, direction: Direction) -> Option<&Connection> {
        match direction {
            Direction::Outgoing => Some(&self.outgoing),
            Direction::Incoming => self.incoming.as_ref(),
        }
    }

    const fn connection_mut(&mut self, direction: Direction) -> Option<&mut Connection> {
        match direction {
            Direction::Outgoing => Some(&mut self.outgoing),
            Direction::Incoming => self.incoming.as_mut(),
        }
    }

    fn direction_of(&self, id: ConnectionId) -> Option<Direction> {
        [Direction::Outgoing, Direction::Incoming]
            .into_iter()
            .find(|direction| self.connection(*direction).is_some_and(|c| c.id == Some(id)))
    }
}

/// The wait after the first failure; it doubles up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait between attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(120);

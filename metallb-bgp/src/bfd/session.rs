//! One session (RFC 5880 §6).

mod report;

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use super::Profile;
use super::pace::{Pace, Standing, Timing};
use super::wire::{ControlPacket, Diagnostic, Discriminator, State};
use crate::session::rng::Pcg;

pub use report::{Cause, Change, Counters, SessionSnapshot};

/// The session of one path.
///
/// After every call [`poll_transmit`](Self::poll_transmit) and [`poll_change`](Self::poll_change) are to be called until
/// they have nothing more, and [`next_timeout`](Self::next_timeout) says when to call
/// [`handle_timeout`](Self::handle_timeout). Time that goes backwards stands still.
#[derive(Clone, Debug)]
pub struct Session {
    profile: Profile,
    local: Discriminator,
    rng: Pcg,
    clock: Instant,
    state: State,
    since: Instant,
    diagnostic: Diagnostic,
    remote: Remote,
    pace: Pace,
    /// When the last packet came; `None` when none has for a whole detection time.
    heard: Option<Instant>,
    sent: Option<Instant>,
    /// When the next periodic packet is due, and for which interval that was drawn.
    due: Option<(Instant, Duration)>,
    /// The state has changed, and the neighbour is to know it before the next periodic packet.
    urgent: bool,
    /// The neighbour waits for F.
    answer: bool,
    /// Until when a session that was switched off says so.
    leaving: Option<Instant>,
    changes: [Option<Change>; 2],
    counters: Counters,
}

/// What the neighbour said last, or what stands for it before it said anything (RFC 5880 §6.8.1).
#[derive(Clone, Copy, Debug)]
struct Remote {
    discriminator: Option<Discriminator>,
    state: State,
    diagnostic: Diagnostic,
    detect_multiplier: NonZeroU8,
    desired_min_tx: Duration,
    required_min_rx: Duration,
    demand: bool,
}

impl Remote {
    const UNKNOWN: Self = Self {
        discriminator: None,
        state: State::Down,
        diagnostic: Diagnostic::None,
        detect_multiplier: NonZeroU8::MIN,
        desired_min_tx: Duration::ZERO,
        required_min_rx: Duration::from_micros(1),
        demand: false,
    };
}

impl Session {
    /// A session that is down. `local` must be known for no other session of this node; `seed` spreads its packets.
    pub fn new(now: Instant, local: Discriminator, profile: Profile, seed: u64) -> Self {
        let mut session = Self {
            profile,
            local,
            rng: Pcg::new(seed),
            clock: now,
            state: State::Down,
            since: now,
            diagnostic: Diagnostic::None,
            remote: Remote::UNKNOWN,
            pace: Pace::new(timing(&profile, State::Down)),
            heard: None,
            sent: None,
            due: None,
            urgent: false,
            answer: false,
            leaving: None,
            changes: [None; 2],
            counters: Counters::default(),
        };
        session.schedule();
        session
    }

    /// Changes the profile of the session, which goes on (RFC 5880 §6.8.3).
    pub fn set_profile(&mut self, now: Instant, profile: Profile) {
        self.tick(now);
        self.profile = profile;
        self.pace.want(timing(&profile, self.state), self.standing());
        self.schedule();
    }

    /// Switches the session off (AdminDown): the neighbour is told, and takes no action (RFC 5882 §4.2).
    pub fn disable(&mut self, now: Instant) {
        self.tick(now);
        if self.state == State::AdminDown {
            return;
        }
        let patience = self.detection_time().unwrap_or(SLOW).clamp(LEAST_FAREWELL, LONGEST_FAREWELL);
        self.leaving = self.clock.checked_add(patience);
        self.enter(State::AdminDown, Diagnostic::AdministrativelyDown, Cause::Disabled);
        self.answer = false;
        self.schedule();
    }

    /// Switches a session on again that was switched off.
    pub fn enable(&mut self, now: Instant) {
        self.tick(now);
        if self.state == State::AdminDown {
            self.leaving = None;
            self.enter(State::Down, Diagnostic::None, Cause::Enabled);
            self.schedule();
        }
    }

    /// Whether a session that is switched off has nothing more to say: the neighbour knows, or had its time.
    pub fn has_left(&self, now: Instant) -> bool {
        let told = self.remote.state < State::Init || self.remote.discriminator.is_none();
        self.state == State::AdminDown
            && !self.urgent
            && (told || self.leaving.is_none_or(|until| until <= now))
    }

    /// Takes a packet that is for this session (RFC 5880 §6.8.6). Returns whether it counts: one with authentication
    /// does not, for there is none here.
    pub fn handle_packet(&mut self, now: Instant, packet: &ControlPacket) -> bool {
        self.tick(now);
        if packet.authenticated {
            self.counters.packets_discarded += 1;
            return false;
        }
        self.counters.packets_received += 1;
        self.remote = Remote {
            discriminator: Some(packet.my_discriminator),
            state: packet.state,
            diagnostic: packet.diagnostic,
            detect_multiplier: packet.detect_multiplier,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
            demand: packet.demand,
        };
        if packet.is_final {
            self.pace.finish(self.standing());
        }
        if self.state == State::AdminDown {
            // It has not heard that we are gone, or it waits for a sign that we are not.
            self.urgent |= packet.state >= State::Init && self.leaving.is_some();
            self.schedule();
            return true;
        }
        self.heard = Some(self.clock);
        self.follow(packet.state);
        self.answer |= packet.poll;
        self.schedule();
        true
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        if self.detection_deadline().is_some_and(|at| at <= self.clock) {
            self.forget();
        }
        self.leaving.take_if(|until| *until <= self.clock);
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_transmit`](Self::poll_transmit) has something to do next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.urgent || self.answer {
            return Some(self.clock);
        }
        let due = self.due.map(|(at, _)| at);
        [due, self.detection_deadline(), self.leaving].into_iter().flatten().min()
    }

    /// The next packet to send, if one is due.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<ControlPacket> {
        self.tick(now);
        if self.answer {
            self.answer = false;
            // It carries the state, but cannot carry P.
            self.urgent &= self.pace.is_polling();
            return Some(self.packet(true));
        }
        let periodic = self.due.is_some_and(|(at, _)| at <= self.clock);
        if !periodic && !self.urgent {
            return None;
        }
        self.urgent = false;
        self.sent = Some(self.clock);
        self.due = None;
        self.schedule();
        Some(self.packet(false))
    }

    /// The next change of state.
    #[must_use]
    pub fn poll_change(&mut self) -> Option<Change> {
        let [first, second] = &mut self.changes;
        let change = first.take();
        *first = second.take();
        change
    }

    /// The discriminator on this side.
    pub const fn discriminator(&self) -> Discriminator {
        self.local
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The profile in force.
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The interval of our packets, but for jitter: what both sides want at least (RFC 5880 §6.8.2).
    pub fn transmit_interval(&self) -> Duration {
        self.pace.used().transmit.max(self.remote.required_min_rx)
    }

    /// After how much silence the neighbour is taken for dead; `None` before it was heard (RFC 5880 §6.8.4).
    pub fn detection_time(&self) -> Option<Duration> {
        self.remote.discriminator?;
        let interval = self.pace.used().receive.max(self.remote.desired_min_tx);
        Some(interval.saturating_mul(u32::from(self.remote.detect_multiplier.get())))
    }

    fn detection_deadline(&self) -> Option<Instant> {
        self.heard?.checked_add(self.detection_time()?)
    }

    /// What the state of the neighbour means for ours.
    fn follow(&mut self, remote: State) {
        let neighbor_down = Diagnostic::NeighborSignaledDown;
        match (self.state, remote) {
            (State::AdminDown, _)
            | (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
            (State::Init | State::Up, State::AdminDown) => {
                self.enter(State::Down, neighbor_down, Cause::NeighborDisabled);
            }
            (State::Down, State::Down) => self.enter(State::Init, self.diagnostic, Cause::Handshake),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up, self.diagnostic, Cause::Handshake);
            }
            (State::Up, State::Down) => self.enter(State::Down, neighbor_down, Cause::NeighborDown),
        }
    }

    /// The neighbour was silent for a whole detection time: it may be another one that answers next, and it wants
    /// packets again (RFC 5880 §6.8.1, §6.8.4).
    fn forget(&mut self) {
        self.heard = None;
        self.remote = Remote::UNKNOWN;
        self.answer = false;
        if matches!(self.state, State::Init | State::Up) {
            self.enter(State::Down, Diagnostic::DetectionTimeExpired, Cause::Silence);
        } else {
            self.pace.abandon();
        }
        self.schedule();
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic, cause: Cause) {
        let from = std::mem::replace(&mut self.state, state);
        self.since = self.clock;
        self.diagnostic = diagnostic;
        self.urgent = true;
        if state == State::Up {
            self.counters.up_events += 1;
        } else {
            self.counters.down_events += u64::from(from == State::Up);
            self.pace.abandon();
        }
        self.pace.want(timing(&self.profile, state), self.standing());
        let change = Change { from, to: state, cause };
        // Nobody took the last one: what it led to is no news any more, what it came from is.
        self.changes = match self.changes {
            [None, _] => [Some(change), None],
            [Some(first), _] => [Some(first), Some(change)],
        };
    }

    const fn standing(&self) -> Standing {
        let is_heard = self.remote.discriminator.is_some();
        Standing { is_up: matches!(self.state, State::Up), is_heard }
    }

    /// Whether periodic packets are sent at all (RFC 5880 §6.8.7).
    fn is_periodic(&self) -> bool {
        let unknown = self.remote.discriminator.is_none();
        let demand = self.remote.demand && self.state == State::Up && self.remote.state == State::Up;
        let silent = self.profile.passive() && unknown;
        !silent && !self.remote.required_min_rx.is_zero() && (!demand || self.pace.is_polling())
    }

    /// Finds out when the next periodic packet is due, if something that matters for it has changed.
    fn schedule(&mut self) {
        if self.profile.passive() && self.remote.discriminator.is_none() {
            self.urgent = false;
        }
        if !self.is_periodic() {
            self.due = None;
            return;
        }
        let interval = self.transmit_interval();
        if self.due.is_some_and(|(_, drawn_for)| drawn_for == interval) {
            return;
        }
        let most = if self.profile.detect_multiplier() == NonZeroU8::MIN { 90 } else { 100 };
        let wait = self.rng.between(interval * 3 / 4, interval.saturating_mul(most) / 100);
        // The first one comes at any time, so that the sessions of a node do not start in step.
        let at = match self.sent {
            Some(sent) => sent.checked_add(wait),
            None => self.clock.checked_add(self.rng.between(Duration::ZERO, interval / 4)),
        };
        self.due = at.map(|at| (at, interval));
    }

    fn packet(&mut self, is_final: bool) -> ControlPacket {
        self.counters.packets_sent += 1;
        let announced = self.pace.announced();
        ControlPacket {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: !is_final && self.pace.is_polling(),
            is_final,
            // It lives in the process that speaks BGP.
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            detect_multiplier: self.profile.detect_multiplier(),
            my_discriminator: self.local,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: announced.transmit,
            required_min_rx: announced.receive,
            required_min_echo_rx: Duration::ZERO,
        }
    }

    fn tick(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
    }
}

/// The intervals of a profile: a session that is not up sends slowly (RFC 5880 §6.8.3).
fn timing(profile: &Profile, state: State) -> Timing {
    let transmit = profile.transmit_interval();
    let transmit = if state == State::Up { transmit } else { transmit.max(SLOW) };
    Timing { transmit, receive: profile.receive_interval() }
}

/// The least transmit interval of a session that is not up.
const SLOW: Duration = Duration::from_secs(1);
/// How long a session that was switched off waits for the neighbour to know, at least and at most.
const LEAST_FAREWELL: Duration = Duration::from_millis(30);
const LONGEST_FAREWELL: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;

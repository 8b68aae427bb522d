//! What a session says about itself.

use std::fmt;
use std::time::{Duration, Instant};

use super::Session;
use crate::bfd::wire::{Diagnostic, Discriminator, State};

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// What led to it.
    pub cause: Cause,
}

impl Change {
    /// Whether the path has failed. A session that was never up says nothing about it, and one that either side has
    /// switched off does not either (RFC 5882 §4.1, §4.2).
    pub const fn is_failure(&self) -> bool {
        matches!(self.from, State::Up) && matches!(self.cause, Cause::Silence | Cause::NeighborDown)
    }
}

/// What led to a change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The neighbour answered.
    Handshake,
    /// No packet came for the whole detection time.
    Silence,
    /// The neighbour said that its session is down.
    NeighborDown,
    /// The neighbour's operator switched its session off.
    NeighborDisabled,
    /// It was switched off here.
    Disabled,
    /// It was switched on here.
    Enabled,
    /// Somebody else watched this path already.
    Joined,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "both sides hear each other",
            Self::Silence => "nothing was received for the detection time",
            Self::NeighborDown => "the neighbor says that it does not receive",
            Self::NeighborDisabled => "the neighbor has switched BFD off",
            Self::Disabled => "switched off",
            Self::Enabled => "switched on",
            Self::Joined => "the path is watched already",
        })
    }
}

/// Numbers of one session since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Control packets that came and counted.
    pub packets_received: u64,
    /// Control packets that came and did not count.
    pub packets_discarded: u64,
    /// Control packets to be sent.
    pub packets_sent: u64,
    /// Times the session came up.
    pub up_events: u64,
    /// Times it was up and left that state.
    pub down_events: u64,
}

/// A session as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSnapshot {
    /// The state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// The discriminator on this side.
    pub local_discriminator: Discriminator,
    /// The neighbour's discriminator, if it was heard.
    pub remote_discriminator: Option<Discriminator>,
    /// The state the neighbour said last.
    pub remote_state: State,
    /// Why the session left Up last.
    pub diagnostic: Diagnostic,
    /// Why the neighbour's did.
    pub remote_diagnostic: Diagnostic,
    /// The interval of our packets, but for jitter.
    pub transmit_interval: Duration,
    /// After how much silence the neighbour is taken for dead.
    pub detection_time: Option<Duration>,
    /// The neighbour's shortest interval of packets.
    pub remote_transmit_interval: Duration,
    /// The shortest interval at which the neighbour can receive.
    pub remote_receive_interval: Duration,
    /// The neighbour's multiplier.
    pub remote_detect_multiplier: u8,
    /// Whether a Poll Sequence runs.
    pub polling: bool,
    /// Numbers.
    pub counters: Counters,
}

impl Session {
    /// The session as it is now.
    pub fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot {
            state: self.state,
            since: self.since,
            local_discriminator: self.local,
            remote_discriminator: self.remote.discriminator,
            remote_state: self.remote.state,
            diagnostic: self.diagnostic,
            remote_diagnostic: self.remote.diagnostic,
            transmit_interval: self.transmit_interval(),
            detection_time: self.detection_time(),
            remote_transmit_interval: self.remote.desired_min_tx,
            remote_receive_interval: self.remote.required_min_rx,
            remote_detect_multiplier: self.remote.detect_multiplier.get(),
            polling: self.pace.is_polling(),
            counters: self.counters,
        }
    }
}

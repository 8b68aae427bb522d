//! What a member is told when it starts: its name, its epoch and its rhythm.

use std::fmt;
use std::time::Duration;

use crate::keys::NodeName;

use super::wire::MAX_NAME_LEN;

/// Everything [`Membership::new`](super::Membership::new) needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The name of the node that this member speaks for; 1 to 253 octets.
    pub this: NodeName,
    /// Distinguishes this run from earlier ones of the same node.
    pub epoch: Epoch,
    /// Rhythm and patience; [`Timing::LAN`] by default.
    pub timing: Timing,
    /// Seed of the jitter that keeps members from sending in step. Any value will do; members should
    /// have different ones.
    pub seed: u64,
    /// Whether the others count this node only after [`Membership::take_part`](super::Membership::take_part), and not as
    /// soon as its start is over: a node that first has to announce what it owns from then on leaves no gap. Off by default.
    pub confirms: bool,
}

impl Config {
    /// A configuration with the timing of a local network.
    #[must_use]
    pub fn new(this: NodeName, epoch: Epoch, seed: u64) -> Self {
        Self { this, epoch, timing: Timing::LAN, seed, confirms: false }
    }

    /// The same configuration with [`Config::confirms`].
    #[must_use]
    pub fn with_confirmation(self) -> Self {
        Self { confirms: true, ..self }
    }

    /// The same configuration with another rhythm.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The node name does not fit the datagram.
    #[error("the node name has {length} octets; a node name has 1 to {MAX_NAME_LEN}")]
    NameLength {
        /// Octets of the name given.
        length: usize,
    },
}

/// Which run of a node's speaker a datagram comes from: a later run has a greater epoch.
///
/// The start time in nanoseconds since the Unix epoch, and a counter that distinguishes runs that began at the same time
/// (a clock that starts anew with every boot). When the clock of a node went back between two runs, the later run has the
/// lower epoch: it takes over when the earlier one has been silent for a few intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    started: u64,
    counter: u32,
}

impl Epoch {
    /// The epoch of a run that began at `started`.
    #[must_use]
    pub const fn new(started: u64) -> Self {
        Self { started, counter: 0 }
    }

    /// The start time given.
    #[must_use]
    pub const fn started(self) -> u64 {
        self.started
    }

    /// The same start with another counter; any value will do, a random one for example.
    #[must_use]
    pub const fn with_counter(self, counter: u32) -> Self {
        Self { counter, ..self }
    }

    /// What distinguishes runs that began at the same time.
    #[must_use]
    pub const fn counter(self) -> u32 {
        self.counter
    }

    pub(super) const fn from_wire(started: u64, counter: u32) -> Self {
        Self { started, counter }
    }

    /// Whether this run claims to begin more than a day after `clock` (the time since the Unix epoch).
    pub(super) fn is_ahead_of(self, clock: Duration) -> bool {
        u128::from(self.started) > clock.saturating_add(FURTHEST_AHEAD).as_nanos()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.started, self.counter)
    }
}

/// Rhythm and patience of the heartbeats.
///
/// The interval grows with the number of members so that a node never sends more than the budget:
/// `max(interval, members / budget per second)`. A member is down after `misses` silent intervals, so with
/// the defaults detection takes 0.4 s for up to 125 members and 3.2 s for 1 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    interval: Duration,
    misses: u32,
    budget: u32,
}

impl Timing {
    /// 50 ms, 8 misses, 2 500 datagrams per second.
    pub const LAN: Self = Self { interval: Duration::from_millis(50), misses: 8, budget: 2_500 };
    /// Four times as slow as [`Timing::LAN`] (MetalLB's `--ml-wan-config`).
    pub const WAN: Self = Self { interval: Duration::from_millis(200), misses: 8, budget: 625 };

    /// A rhythm of one's own: the shortest interval between two heartbeats to the same member, how many
    /// silent intervals mean that a member is down, and how many datagrams per second a node may send.
    ///
    /// # Errors
    ///
    /// [`TimingError`] names the value that is out of range: `interval` 5 ms to 10 s, `misses` 2 to 100,
    /// `budget` at least 10 per second.
    pub fn new(interval: Duration, misses: u32, budget: u32) -> Result<Self, TimingError> {
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
            return Err(TimingError::Interval { interval });
        }
        if !(2..=100).contains(&misses) {
            return Err(TimingError::Misses { misses });
        }
        if budget < 10 {
            return Err(TimingError::Budget { budget });
        }
        Ok(Self { interval, misses, budget })
    }

    /// The shortest interval between two heartbeats to the same member.
    #[must_use]
    pub const fn shortest_interval(self) -> Duration {
        self.interval
    }

    /// Silent intervals after which a member is down.
    #[must_use]
    pub const fn misses(self) -> u32 {
        self.misses
    }

    /// Datagrams per second that a node may send.
    #[must_use]
    pub const fn budget(self) -> u32 {
        self.budget
    }

    /// The interval in use among `members` members, never more than 10 s.
    #[must_use]
    pub fn interval(self, members: usize) -> Duration {
        let members = u32::try_from(members).unwrap_or(u32::MAX);
        let by_budget = Duration::from_secs(1).saturating_mul(members) / self.budget.max(1);
        self.interval.max(by_budget).min(MAX_INTERVAL)
    }

    /// How long a member may be silent before it counts as down, among `members` members.
    #[must_use]
    pub fn detection(self, members: usize) -> Duration {
        self.interval(members).saturating_mul(self.misses)
    }

    /// For how many intervals after hearing a member its bit stays set in what we tell others.
    pub(super) fn recent(self) -> u32 {
        (self.misses / 2).max(1)
    }

    /// For how many intervals another member's word counts. Together with [`Timing::recent`] less than
    /// `misses`, so that believing others does not make detection slower.
    pub(super) fn hold(self) -> u32 {
        (self.misses * 3 / 8).max(1)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::LAN
    }
}

/// Why a [`Timing`] cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimingError {
    /// The interval is out of range.
    #[error("an interval of {interval:?} is out of range; use 5ms to 10s")]
    Interval {
        /// What was given.
        interval: Duration,
    },
    /// The number of misses is out of range.
    #[error("{misses} misses are out of range; use 2 to 100")]
    Misses {
        /// What was given.
        misses: u32,
    },
    /// The budget is too small.
    #[error("a budget of {budget} datagrams per second is too small; use at least 10")]
    Budget {
        /// What was given.
        budget: u32,
    },
}

const MIN_INTERVAL: Duration = Duration::from_millis(5);
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// How far the clocks of two nodes may be apart.
const FURTHEST_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_grows_with_the_members_to_keep_the_budget() {
        assert_eq!(Timing::LAN.interval(3), Duration::from_millis(50));
        assert_eq!(Timing::LAN.interval(125), Duration::from_millis(50));
        assert_eq!(Timing::LAN.interval(1_000), Duration::from_millis(400));
        assert_eq!(Timing::LAN.detection(1_000), Duration::from_millis(3_200));
        assert_eq!(Timing::WAN.detection(3), Duration::from_millis(1_600));
        assert_eq!(Timing::LAN.interval(usize::MAX), MAX_INTERVAL);
    }

    #[test]
    fn a_timing_out_of_range_names_the_value() {
        assert!(matches!(Timing::new(Duration::from_millis(1), 8, 2_500), Err(TimingError::Interval { .. })));
        assert!(matches!(
            Timing::new(Duration::from_millis(50), 1, 2_500),
            Err(TimingError::Misses { misses: 1 })
        ));
        assert!(matches!(
            Timing::new(Duration::from_millis(50), 8, 9),
            Err(TimingError::Budget { budget: 9 })
        ));
        assert_eq!(Timing::new(Duration::from_millis(50), 8, 2_500), Ok(Timing::LAN));
    }

    #[test]
    fn an_epoch_more_than_a_day_ahead_of_the_clock_is_too_far() {
        let clock = Duration::from_secs(1_800_000_000);
        let epoch = |time: Duration| Epoch::new(u64::try_from(time.as_nanos()).unwrap());
        assert!(!epoch(clock + FURTHEST_AHEAD).is_ahead_of(clock));
        assert!(epoch(clock + FURTHEST_AHEAD + Duration::from_nanos(1)).is_ahead_of(clock));
        assert!(Epoch::new(u64::MAX).is_ahead_of(clock));
        assert!(
            !Epoch::new(0).is_ahead_of(clock),
            "a clock that was never set is no reason to refuse anybody"
        );
    }
}

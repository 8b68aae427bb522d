//! What a user of a session wants of it.

use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How a path is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    transmit_interval: Duration,
    receive_interval: Duration,
    detect_multiplier: NonZeroU8,
    passive: bool,
    minimum_ttl: NonZeroU8,
}

impl Profile {
    /// A profile with these intervals and this multiplier; it speaks first, and takes packets of several hops with a
    /// TTL of at least 254.
    ///
    /// # Errors
    /// [`ProfileError`] names what is out of range: intervals of 10 ms to 60 s, multipliers of at least 1.
    pub fn new(
        transmit_interval: Duration,
        receive_interval: Duration,
        detect_multiplier: u8,
    ) -> Result<Self, ProfileError> {
        for interval in [transmit_interval, receive_interval] {
            if !INTERVALS.contains(&interval) {
                return Err(ProfileError::Interval(interval));
            }
        }
        let detect_multiplier = NonZeroU8::new(detect_multiplier).ok_or(ProfileError::Multiplier)?;
        Ok(Self { transmit_interval, receive_interval, detect_multiplier, ..Self::default() })
    }

    /// The same, but silent until the neighbour is heard (RFC 5880 §6.1).
    #[must_use]
    pub const fn with_passive(self, passive: bool) -> Self {
        Self { passive, ..self }
    }

    /// The same, with another least TTL of packets that come over several hops; zero is as one.
    #[must_use]
    pub fn with_minimum_ttl(self, ttl: u8) -> Self {
        Self { minimum_ttl: NonZeroU8::new(ttl).unwrap_or(NonZeroU8::MIN), ..self }
    }

    /// The profile of a session that several users share: what is fastest and strictest of both. It is passive if both
    /// are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            transmit_interval: self.transmit_interval.min(other.transmit_interval),
            receive_interval: self.receive_interval.min(other.receive_interval),
            detect_multiplier: self.detect_multiplier.min(other.detect_multiplier),
            passive: self.passive && other.passive,
            minimum_ttl: self.minimum_ttl.max(other.minimum_ttl),
        }
    }

    /// The shortest interval at which packets are sent while the session is up.
    pub const fn transmit_interval(&self) -> Duration {
        self.transmit_interval
    }

    /// The shortest interval at which packets are to come.
    pub const fn receive_interval(&self) -> Duration {
        self.receive_interval
    }

    /// After how many of our packets that are missing the neighbour takes us for dead.
    pub const fn detect_multiplier(&self) -> NonZeroU8 {
        self.detect_multiplier
    }

    /// Whether it is silent until the neighbour is heard.
    pub const fn passive(&self) -> bool {
        self.passive
    }

    /// The least TTL or hop limit of packets over several hops.
    pub const fn minimum_ttl(&self) -> u8 {
        self.minimum_ttl.get()
    }
}

impl Default for Profile {
    /// 300 ms × 3, active, TTL 254: the defaults of MetalLB's BFDProfile.
    fn default() -> Self {
        Self {
            transmit_interval: Duration::from_millis(300),
            receive_interval: Duration::from_millis(300),
            detect_multiplier: NonZeroU8::MIN.saturating_add(2),
            passive: false,
            minimum_ttl: NonZeroU8::MIN.saturating_add(253),
        }
    }
}

/// Why there is no such profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// An interval that is too short or too long.
    #[error("an interval of {0:?}; it has 10 ms to 60 s")]
    Interval(Duration),
    /// A multiplier of zero.
    #[error("a detection multiplier of 0")]
    Multiplier,
}

const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    // req: B12, !B12
    #[test]
    fn intervals_are_10_ms_to_a_minute() {
        assert!(Profile::new(MS(10), MS(60_000), 255).is_ok());
        assert_eq!(Profile::new(MS(9), MS(10), 3), Err(ProfileError::Interval(MS(9))));
        assert_eq!(Profile::new(MS(10), MS(60_001), 3), Err(ProfileError::Interval(MS(60_001))));
        assert_eq!(Profile::new(MS(10), MS(10), 0), Err(ProfileError::Multiplier));
        assert_eq!(Profile::new(MS(300), MS(300), 3), Ok(Profile::default()));
    }

    // req: B14
    #[test]
    fn what_is_shared_is_as_fast_and_strict_as_anyone_wants() {
        let one = Profile::new(MS(100), MS(500), 5).unwrap().with_passive(true).with_minimum_ttl(250);
        let other = Profile::new(MS(200), MS(50), 3).unwrap();
        let both = Profile::new(MS(100), MS(50), 3).unwrap();
        assert_eq!(one.and(other), both);
        assert_eq!(other.and(one), both);
        assert_eq!(one.and(one), one);
    }
}

//! The hold time and what follows from it.

use std::time::Duration;

use thiserror::Error;

/// A hold time that may be offered in an OPEN: zero (no KEEPALIVEs, the session never expires) or 3 to 65535
/// whole seconds (RFC 4271 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldTime(u16);

impl HoldTime {
    /// 90 s, the value RFC 4271 §10 suggests.
    pub const DEFAULT: Self = Self(90);
    /// No hold timer and no KEEPALIVEs.
    pub const DISABLED: Self = Self(0);

    /// A hold time of `seconds`.
    ///
    /// # Errors
    /// [`HoldTimeError::TooShort`] for 1 and 2.
    pub const fn from_secs(seconds: u16) -> Result<Self, HoldTimeError> {
        match seconds {
            1 | 2 => Err(HoldTimeError::TooShort(seconds)),
            _ => Ok(Self(seconds)),
        }
    }

    /// The number of seconds, as in the OPEN.
    pub const fn seconds(self) -> u16 {
        self.0
    }

    /// The time after which a silent peer is given up, `None` when it never is.
    pub fn duration(self) -> Option<Duration> {
        (self.0 != 0).then(|| Duration::from_secs(u64::from(self.0)))
    }

    /// The hold time two offers agree on: the smaller one (RFC 4271 §4.2), so zero if either is zero.
    #[must_use]
    pub fn negotiate(self, other: Self) -> Self {
        self.min(other)
    }

    /// The time between KEEPALIVEs: a third of the hold time, or `configured` when that is less, but never
    /// below one second; `None` when the hold time is zero (RFC 4271 §4.4).
    pub fn keepalive(self, configured: Option<Duration>) -> Option<Duration> {
        let third = Duration::from_millis(u64::from(self.0).saturating_mul(1000) / 3);
        let wanted = configured.map_or(third, |c| c.min(third));
        (self.0 != 0).then(|| wanted.max(SHORTEST_KEEPALIVE))
    }
}

impl Default for HoldTime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<Duration> for HoldTime {
    type Error = HoldTimeError;

    fn try_from(value: Duration) -> Result<Self, Self::Error> {
        if value.subsec_nanos() != 0 {
            return Err(HoldTimeError::NotWholeSeconds(value));
        }
        let seconds = u16::try_from(value.as_secs()).map_err(|_| HoldTimeError::TooLong(value))?;
        Self::from_secs(seconds)
    }
}

/// A duration that cannot be a hold time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HoldTimeError {
    /// One or two seconds, which RFC 4271 §4.2 forbids.
    #[error("a hold time of {0} s is not allowed, use 0 or at least 3 s")]
    TooShort(u16),
    /// More than the two octets of the OPEN can say.
    #[error("a hold time of {0:?} is too long, the most is 65535 s")]
    TooLong(Duration),
    /// The OPEN carries whole seconds only.
    #[error("a hold time of {0:?} is not a whole number of seconds")]
    NotWholeSeconds(Duration),
}

const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);

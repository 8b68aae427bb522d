//! Warnings that somebody else can cause as often as he likes.

use std::time::{Duration, Instant};

/// Lets one warning through now and then.
#[derive(Debug, Default)]
pub(super) struct Scarce {
    last: Option<Instant>,
    untold: u64,
}

impl Scarce {
    /// How many were kept back before this one; `None` when it is kept back, too.
    pub(super) fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// The least time between two.
const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_minute_is_told_and_says_how_many_were_not() {
        let mut scarce = Scarce::default();
        let begin = super::super::engine::now();
        let told = |seconds| scarce.tell(begin + Duration::from_secs(seconds));
        assert_eq!([0, 1, 59, 60, 61, 200].map(told), [Some(0), None, None, Some(2), None, Some(1)]);
    }
}

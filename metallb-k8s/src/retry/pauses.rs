//! Pauses between attempts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Spreads the pauses of many processes apart. Make one per process, from the randomness of the operating system: equal
/// seeds bring everybody back in the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// A seed.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Another seed of the same process, the same for the same number.
    #[must_use]
    pub const fn nth(self, number: u64) -> Self {
        Self(self.0 ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// How pauses grow: each is twice the one before, up to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two plain settings")]
pub struct Backoff {
    /// The pause after the first failure, at most. Default 200 ms.
    pub first: Duration,
    /// The longest pause. Default 30 s.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The pauses of one loop, spread by chance between half and the whole of their length.
    pub fn pauses(self, seed: Seed) -> Pauses {
        Pauses { backoff: self, seed, resets: 0, next: self.builder(seed).build() }
    }

    /// The pause after so many earlier failures in a row, for those who count for themselves.
    pub fn pause(self, seed: Seed, failures: u32) -> Duration {
        let earlier = usize::try_from(failures.min(MOST_STEPS)).unwrap_or_default();
        self.builder(seed).build().nth(earlier).unwrap_or(self.longest)
    }

    fn builder(self, seed: Seed) -> ExponentialBuilder {
        // The crate adds up to as much again as the pause is long.
        ExponentialBuilder::new()
            .with_min_delay(self.first / 2)
            .with_max_delay(self.longest / 2)
            .with_jitter()
            .with_jitter_seed(seed.0)
            .without_max_times()
    }
}

/// The pauses of one loop. They grow until [`Pauses::reset`].
#[derive(Debug)]
pub struct Pauses {
    backoff: Backoff,
    seed: Seed,
    resets: u64,
    next: <ExponentialBuilder as BackoffBuilder>::Backoff,
}

impl Pauses {
    /// The pause after one more failure.
    pub fn next_pause(&mut self) -> Duration {
        self.next.next().unwrap_or(self.backoff.longest)
    }

    /// Begins with short pauses again.
    pub fn reset(&mut self) {
        self.resets = self.resets.wrapping_add(1);
        self.next = self.backoff.builder(self.seed.nth(self.resets)).build();
    }
}

/// Steps after which even the shortest pause has become the longest: it doubles with each.
const MOST_STEPS: u32 = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn pauses(seed: u64) -> Pauses {
        Backoff::default().pauses(Seed::new(seed))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread_over_their_upper_half() {
        for seed in 0..100 {
            let mut pauses = pauses(seed);
            for failure in 0..40 {
                let full = Duration::from_millis(200 << failure.min(20)).min(Duration::from_secs(30));
                let pause = pauses.next_pause();
                let rounding = Duration::from_millis(1);
                assert!(
                    pause + rounding >= full / 2 && pause <= full + rounding,
                    "{pause:?} after {failure} failures"
                );
            }
        }
    }

    #[test]
    fn after_a_reset_pauses_are_short_again_and_not_the_same() {
        let mut pauses = pauses(7);
        let first = pauses.next_pause();
        for _ in 0..20 {
            pauses.next_pause();
        }
        pauses.reset();
        let again = pauses.next_pause();
        assert!(again <= Backoff::default().first + Duration::from_millis(1), "{again:?}");
        assert_ne!(first, again);
    }

    #[test]
    fn pauses_counted_by_others_are_the_same() {
        let mut counted = pauses(3);
        for failures in 0..20 {
            assert_eq!(Backoff::default().pause(Seed::new(3), failures), counted.next_pause());
        }
        assert!(Backoff::default().pause(Seed::new(3), u32::MAX) >= Duration::from_secs(14));
    }

    #[test]
    fn other_seeds_give_other_pauses() {
        let lengths = |seeds: &mut dyn Iterator<Item = Seed>| {
            seeds.map(|seed| Backoff::default().pauses(seed).next_pause()).collect::<BTreeSet<_>>().len()
        };
        assert!(lengths(&mut (0..100).map(Seed::new)) > 90);
        assert!(lengths(&mut (0..100).map(|number| Seed::new(1).nth(number))) > 90);
    }
}

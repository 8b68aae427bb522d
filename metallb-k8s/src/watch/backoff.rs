//! Pauses between attempts.

use std::time::Duration;

/// Pauses that double from `first` to `longest`, spread by up to a quarter so that many clients do
/// not come back in the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure. Default 200 ms.
    pub first: Duration,
    /// The longest pause. Default 15 s.
    pub longest: Duration,
    /// Chooses the spread; give every process its own.
    pub seed: u64,
}

impl Backoff {
    /// The defaults, with this [`seed`](Self::seed).
    pub const fn new(seed: u64) -> Self {
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(15), seed }
    }

    /// The same pauses with another spread for something of this name, so that what fails together does not come back
    /// together.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let seed = name.bytes().fold(self.seed, |seed, octet| mix(seed ^ u64::from(octet)));
        Self { seed, ..self }
    }

    /// The pause after `failures` earlier failures in a row.
    pub fn pause(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX));
        let full = doubled.min(self.longest);
        let spread = mix(self.seed ^ u64::from(failures)) % 256;
        full.saturating_sub(full.saturating_mul(u32::try_from(spread).unwrap_or(0)) / 1024)
    }
}

/// The finalizer of SplitMix64: spreads neighbouring seeds over all bits.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_stay_within_a_quarter_of_it() {
        for seed in 0..100 {
            let backoff = Backoff::new(seed);
            assert!(backoff.pause(0) <= backoff.first && backoff.pause(0) >= backoff.first * 3 / 4);
            for failures in [10, 31, 32, u32::MAX] {
                let pause = backoff.pause(failures);
                assert!(pause <= backoff.longest && pause >= backoff.longest * 3 / 4, "{pause:?}");
            }
        }
    }

    #[test]
    fn different_names_give_different_pauses() {
        let pauses: std::collections::BTreeSet<_> =
            (0..100).map(|number| Backoff::new(7).named(&format!("/api/v1/{number}")).pause(5)).collect();
        assert!(pauses.len() > 50);
    }

    #[test]
    fn different_seeds_give_different_pauses() {
        let pauses: std::collections::BTreeSet<_> =
            (0..100).map(|seed| Backoff::new(seed).pause(5)).collect();
        assert!(pauses.len() > 50);
    }
}

//! Jitter.

use std::time::Duration;

/// A small generator of pseudo-random numbers (PCG-XSH-RR); equal seeds give equal timers.
#[derive(Clone, Debug)]
pub(crate) struct Pcg(u64);

impl Pcg {
    pub(crate) fn new(seed: u64) -> Self {
        let mut pcg = Self(seed.wrapping_add(INCREMENT));
        pcg.next();
        pcg
    }

    /// `base` times a factor drawn evenly from 0.75 to 1.0 (RFC 4271 §10).
    pub(crate) fn jitter(&mut self, base: Duration) -> Duration {
        self.between(base.saturating_sub(base / 4), base)
    }

    /// A time drawn evenly from `least` to `most`.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least);
        let share = span.as_nanos() * u128::from(self.next()) / u128::from(u32::MAX);
        let share = Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX));
        most.saturating_sub(share)
    }

    pub(crate) const fn next(&mut self) -> u32 {
        let old = self.0;
        self.0 = old.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        let [a, b, c, d, ..] = ((((old >> 18) ^ old) >> 27) as u128).to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).rotate_right((old >> 59) as u32 & 31)
    }
}

const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const INCREMENT: u64 = 1_442_695_040_888_963_407;

#[cfg(test)]
mod tests {
    use super::*;

    // req: F4
    #[test]
    fn jitter_is_spread_over_the_last_quarter() {
        let mut pcg = Pcg::new(7);
        let base = Duration::from_secs(100);
        let draws: Vec<_> = (0..4000).map(|_| pcg.jitter(base)).collect();
        assert!(draws.iter().all(|d| (Duration::from_secs(75)..=base).contains(d)));
        for bucket in 0..5 {
            let low = Duration::from_secs(75 + bucket * 5);
            let hits = draws.iter().filter(|d| (low..low + Duration::from_secs(5)).contains(d)).count();
            assert!((600..1000).contains(&hits), "{hits} of 4000 draws from {low:?}");
        }
    }

    #[test]
    fn equal_seeds_give_equal_timers() {
        let draw = |seed| Pcg::new(seed).jitter(Duration::from_secs(1));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}

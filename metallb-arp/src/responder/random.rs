//! A small deterministic generator (PCG-XSH-RR, 64-bit state) for the delays that RFC 5227 and RFC 4862
//! want to be random.

use core::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_add(INCREMENT));
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u32 {
        let state = self.0;
        self.0 = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        let rotation = u32::try_from(state >> 59).unwrap_or(0);
        let mixed = (((state >> 18) ^ state) >> 27) & u64::from(u32::MAX);
        u32::try_from(mixed).unwrap_or(0).rotate_right(rotation)
    }

    /// A time between `least` and `most`, both included.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let fraction = f64::from(self.next()) / f64::from(u32::MAX);
        least.saturating_add(most.saturating_sub(least).mul_f64(fraction))
    }

    pub(super) fn octets(&mut self) -> [u8; 6] {
        let mut octets = [0; 6];
        let words = [self.next(), self.next()].map(u32::to_be_bytes);
        for (octet, random) in octets.iter_mut().zip(words.into_iter().flatten()) {
            *octet = random;
        }
        octets
    }
}

const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const INCREMENT: u64 = 1_442_695_040_888_963_407;

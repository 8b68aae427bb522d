//! Finding the ends of IPv4 prefixes of different lengths, which is also checking and counting them.
//!
//! Where a prefix begins is known when the length of the one before has been read, so a processor that walks from
//! prefix to prefix mostly waits for its own loads, and guessing lengths goes wrong too often. Two things help:
//! [`Head`] reads a length together with the prefix before it, and [`count`] has two walks under way at a time.

use super::nlri::{IPV4_MAX, octets_of};
use crate::wire::reader::Short;

/// Counts the prefixes in `octets`.
///
/// A second walk begins in the middle, wherever that is. Walks over the same octets soon come to the same place, and
/// go the same way from there on; then what the second has counted since is right for the first as well. Should
/// they not meet, the first goes on alone.
pub(super) fn count(octets: &[u8]) -> Result<usize, Short> {
    let mut first = Walk::new(octets);
    if octets.len() < WORTH_TWO_WALKS {
        return first.finish();
    }
    let (_, middle) = octets.split_at(octets.len() / 2);
    let (begun, mut second) = begin(middle)?;
    let before_middle = |walk: &Walk<'_>| walk.rest.len() > middle.len();
    while before_middle(&first) && first.step() && second.step() {}
    while before_middle(&first) {
        first.step_or_fail()?;
    }
    loop {
        let offset = middle.len().saturating_sub(first.rest.len());
        if offset >= MEETING {
            return first.finish();
        }
        let common = begun >> offset;
        if common & 1 == 1 {
            let between = common.count_ones() as usize;
            let after = second.finish()?;
            return Ok(first.count.wrapping_add(between).wrapping_add(after));
        }
        first.step_or_fail()?;
    }
}

/// Walks over the first [`MEETING`] octets of `middle` from an end of which nothing is known. Returns, as bits, the
/// offsets it has been at since the last length that cannot be one, and the walk from there on.
fn begin(middle: &[u8]) -> Result<(u64, Walk<'_>), Short> {
    let mut begun = 0_u64;
    let mut offset = 0;
    while offset < MEETING {
        let bits = *middle.get(offset).ok_or(Short)?;
        if bits > IPV4_MAX {
            begun = 0;
            offset = offset.wrapping_add(1);
        } else {
            begun |= 1 << offset;
            offset = offset.wrapping_add(octets_of(bits));
        }
    }
    middle.get(offset..).map(|rest| (begun, Walk::new(rest))).ok_or(Short)
}

/// On the way from prefix to prefix.
struct Walk<'a> {
    rest: &'a [u8],
    head: Head,
    count: usize,
}

impl<'a> Walk<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest, head: Head::of(rest), count: 0 }
    }

    /// One prefix further; `false` at a length that cannot be one, and where too little is left to read ahead.
    #[inline]
    fn step(&mut self) -> bool {
        let Some(window) = self.rest.first_chunk() else { return false };
        if self.head.bits() > IPV4_MAX {
            return false;
        }
        let octets = self.head.advance(u64::from_le_bytes(*window));
        let Some(rest) = self.rest.get(octets..) else { return false };
        self.rest = rest;
        self.count = self.count.wrapping_add(1);
        true
    }

    fn step_or_fail(&mut self) -> Result<(), Short> {
        if self.step() { Ok(()) } else { Err(Short) }
    }

    /// Walks to the end and returns how many prefixes there were.
    fn finish(mut self) -> Result<usize, Short> {
        while self.step() {}
        while let Some(&bits) = self.rest.first() {
            if bits > IPV4_MAX {
                return Err(Short);
            }
            self.rest = self.rest.get(octets_of(bits)..).ok_or(Short)?;
            self.count = self.count.wrapping_add(1);
        }
        Ok(self.count)
    }
}

/// The length of the next IPv4 prefix in the lowest octet, whatever followed it above.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head(u64);

impl Head {
    /// Of nothing.
    pub(super) const NONE: Self = Self(0);

    /// The head of prefixes that begin here.
    pub(super) fn of(octets: &[u8]) -> Self {
        Self(octets.first().copied().map_or(0, u64::from))
    }

    /// The length in bits.
    #[inline]
    pub(super) const fn bits(self) -> u8 {
        let [bits, ..] = self.0.to_le_bytes();
        bits
    }

    /// Goes on to the prefix after the one at the front of `window`, and returns how many octets further it is. The
    /// length must be one that can be; the result does not depend on a load that comes after this window's.
    #[inline]
    pub(super) const fn advance(&mut self, window: u64) -> usize {
        // Whole octets in bits, the length octet included: at most 40.
        let shift = self.0.wrapping_add(15) & 0x38;
        self.0 = window >> shift;
        let [octets, ..] = (shift >> 3).to_le_bytes();
        octets as usize
    }
}

/// Octets after the middle in which the walks are expected to meet: bits of a word.
const MEETING: usize = 64;
/// Octets below which a second walk costs more than it saves; more than twice what [`begin`] looks at.
const WORTH_TWO_WALKS: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Family;
    use crate::wire::update::nlri;

    /// Prefixes of these lengths, with address octets that may look like lengths.
    fn encode(prefixes: &[(u8, [u8; 4])]) -> Vec<u8> {
        let one = |(bits, address): &(u8, [u8; 4])| {
            let address = address.iter().copied().take(octets_of(*bits) - 1);
            std::iter::once(*bits).chain(address).collect::<Vec<_>>()
        };
        prefixes.iter().flat_map(one).collect()
    }

    fn plain(octets: &[u8]) -> Result<usize, Short> {
        nlri::count(Family::Ipv4Unicast, 0, octets)
    }

    #[test]
    fn walks_that_never_meet_count_right() {
        assert_eq!(count(&[32; 1000]), Ok(200));
        assert_eq!(count(&[32; 1001]), Err(Short));
    }

    #[test]
    fn a_length_that_cannot_be_is_found_wherever_it_is() {
        let prefixes: Vec<_> = (0..250_u8).map(|n| (24, [10, n, n / 2, 0])).collect();
        let good = encode(&prefixes);
        assert_eq!(count(&good), Ok(250));
        for length in (0..good.len()).step_by(4) {
            let mut bad = good.clone();
            bad[length] = 33;
            assert_eq!(count(&bad), Err(Short), "at {length} of {}", bad.len());
        }
    }

    #[test]
    fn a_cut_list_is_short_unless_it_is_cut_between_prefixes() {
        let prefixes: Vec<_> = (0..200_u8).map(|n| (n % 33, [n; 4])).collect();
        let all = encode(&prefixes);
        for end in 0..all.len() {
            assert_eq!(count(&all[..end]), plain(&all[..end]), "{end}");
        }
    }

    proptest! {
        // req: E4
        #[test]
        fn two_walks_count_what_one_does(
            prefixes in prop::collection::vec((0..=32_u8, prop::array::uniform4(0..40_u8)), 0..600),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..64_u8), 0..3),
        ) {
            let mut octets = encode(&prefixes);
            prop_assert_eq!(count(&octets), Ok(prefixes.len()));
            for (index, octet) in changes {
                if !octets.is_empty() {
                    let at = index.index(octets.len());
                    octets[at] = octet;
                }
            }
            prop_assert_eq!(count(&octets), plain(&octets));
        }

        // req: E4
        #[test]
        fn noise_is_counted_as_one_walk_does(octets in prop::collection::vec(0..36_u8, 0..1500)) {
            prop_assert_eq!(count(&octets), plain(&octets));
        }
    }
}

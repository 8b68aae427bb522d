//! A set of addresses of both families.

use std::net::IpAddr;

use super::{AddressRange, Spans, from_value, to_value};
use crate::keys::Family;

/// A set of addresses, kept as merged ranges: its memory grows with the number of gaps, not of addresses.
///
/// ```
/// use metallb_core::addr::{AddressRange, AddressSet};
///
/// let network = AddressRange::parse("2001:db8::/64")?;
/// let mut taken = AddressSet::new();
/// taken.insert(AddressRange::parse("2001:db8:: - 2001:db8::ffff")?);
/// assert_eq!(taken.first_missing(&network), Some("2001:db8::1:0".parse().unwrap()));
/// # Ok::<(), metallb_core::addr::AddressError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Spans,
    v6: Spans,
}

impl AddressSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all addresses of the range.
    pub fn insert(&mut self, range: AddressRange) {
        let (first, last) = range.bounds();
        self.spans_mut(range.family()).insert(first, last);
    }

    /// Takes out all addresses of the range.
    pub fn remove(&mut self, range: AddressRange) {
        let (first, last) = range.bounds();
        self.spans_mut(range.family()).remove(first, last);
    }

    /// True when the address is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.spans(Family::of(address)).contains(to_value(address))
    }

    /// The lowest address of the range that is not in the set; O(log n) whatever the size of the range.
    pub fn first_missing(&self, range: &AddressRange) -> Option<IpAddr> {
        let (first, last) = range.bounds();
        self.spans(range.family()).first_gap(first, last).map(|value| from_value(range.family(), value))
    }

    /// The parts of the set that lie in the range, in order.
    pub fn within(&self, range: &AddressRange) -> impl Iterator<Item = AddressRange> {
        let (family, (first, last)) = (range.family(), range.bounds());
        let parts = self.spans(family).within(first, last);
        parts.filter_map(move |(first, last)| {
            AddressRange::new(from_value(family, first), from_value(family, last)).ok()
        })
    }

    /// True when there is no address in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many addresses of the family there are; saturates at [`u128::MAX`].
    pub fn len(&self, family: Family) -> u128 {
        self.spans(family).len()
    }

    /// The merged ranges, IPv4 first, in order.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> {
        Family::BOTH.into_iter().flat_map(|family| {
            self.spans(family).iter().filter_map(move |(first, last)| {
                AddressRange::new(from_value(family, first), from_value(family, last)).ok()
            })
        })
    }

    const fn spans(&self, family: Family) -> &Spans {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    const fn spans_mut(&mut self, family: Family) -> &mut Spans {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

impl FromIterator<AddressRange> for AddressSet {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_do_not_mix() {
        let set: AddressSet =
            ["0.0.0.1-0.0.0.3", "::2"].map(|text| AddressRange::parse(text).unwrap()).into_iter().collect();
        assert!(set.contains("0.0.0.2".parse().unwrap()));
        assert!(!set.contains("::1".parse().unwrap()));
        assert_eq!((set.len(Family::V4), set.len(Family::V6)), (3, 1));
        assert_eq!(
            set.ranges().map(|range| range.to_string()).collect::<Vec<_>>(),
            ["0.0.0.1-0.0.0.3", "::2"]
        );
    }
}

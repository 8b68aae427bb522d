//! A set of numbers kept as merged spans: neighbours become one entry, so the first gap is one lookup away.

use std::collections::BTreeMap;

/// A set of `u128` as disjoint spans that never touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    /// First of each span to its last.
    spans: BTreeMap<u128, u128>,
}

impl Spans {
    pub(crate) fn contains(&self, value: u128) -> bool {
        self.span_at(value).is_some()
    }

    /// The lowest number of `from..=to` that is not in the set. O(log n) whatever the size of the interval.
    pub(crate) fn first_gap(&self, from: u128, to: u128) -> Option<u128> {
        let gap = match self.span_at(from) {
            None => from,
            Some((_, last)) => last.checked_add(1)?,
        };
        (gap <= to).then_some(gap)
    }

    /// Adds all of `from..=to`. Cost grows with the number of spans that it swallows.
    pub(crate) fn insert(&mut self, mut from: u128, mut to: u128) {
        if from > to {
            return;
        }
        let reach = to.checked_add(1).unwrap_or(to);
        // The usual case in one step: the last span that could touch this one begins before it.
        match self.spans.range_mut(..=reach).next_back() {
            Some((&first, last)) if first <= from && last.checked_add(1).is_none_or(|next| next >= from) => {
                *last = to.max(*last);
                return;
            }
            Some((_, last)) if last.checked_add(1).is_some_and(|next| next < from) => {
                self.spans.insert(from, to);
                return;
            }
            None => {
                self.spans.insert(from, to);
                return;
            }
            Some(_) => {}
        }
        if let Some((&first, &last)) = self.spans.range(..=from).next_back()
            && last.checked_add(1).is_none_or(|next| next >= from)
        {
            from = first;
        }
        while let Some((&first, &last)) = self.spans.range(from..=reach).next_back() {
            to = to.max(last);
            self.spans.remove(&first);
        }
        self.spans.insert(from, to);
    }

    /// Takes out all of `from..=to`. Cost grows with the number of spans that it touches.
    pub(crate) fn remove(&mut self, from: u128, to: u128) {
        if from > to {
            return;
        }
        if let Some((&first, &last)) = self.spans.range(..from).next_back()
            && last >= from
        {
            self.spans.insert(first, from - 1);
            if last > to {
                self.spans.insert(to + 1, last);
                return;
            }
        }
        while let Some((&first, &last)) = self.spans.range(from..=to).next_back() {
            self.spans.remove(&first);
            if last > to {
                self.spans.insert(to + 1, last);
            }
        }
    }

    /// The parts of the spans that lie in `from..=to`, in order.
    pub(crate) fn within(&self, from: u128, to: u128) -> impl Iterator<Item = (u128, u128)> {
        let before = self.spans.range(..from).next_back().filter(|(_, last)| **last >= from);
        let inside = before.into_iter().chain(self.spans.range(from..=to.max(from)));
        inside
            .map(move |(&first, &last)| (first.max(from), last.min(to)))
            .filter(|(first, last)| first <= last)
    }

    /// The spans in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, u128)> {
        self.spans.iter().map(|(&first, &last)| (first, last))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many numbers there are; saturates.
    pub(crate) fn len(&self) -> u128 {
        self.iter().fold(0, |sum: u128, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }

    fn span_at(&self, value: u128) -> Option<(u128, u128)> {
        let (&first, &last) = self.spans.range(..=value).next_back()?;
        (last >= value).then_some((first, last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use range_set_blaze::RangeSetBlaze;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u128, u128),
        Remove(u128, u128),
    }

    /// Numbers near both ends, where overflow would show, and close together, where spans merge.
    fn number() -> impl Strategy<Value = u128> {
        prop_oneof![0_u128..64, (0_u128..64).prop_map(|n| u128::MAX - n)]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (number(), 0_u128..6).prop_map(|(from, size)| Op::Insert(from, from.saturating_add(size))),
            (number(), 0_u128..6).prop_map(|(from, size)| Op::Remove(from, from.saturating_add(size))),
        ]
    }

    proptest! {
        #[test]
        fn spans_agree_with_an_independent_set(ops in proptest::collection::vec(op(), 0..80), from in number(), to in number()) {
            let mut spans = Spans::default();
            let mut oracle = RangeSetBlaze::<u128>::new();
            for op in ops {
                match op {
                    Op::Insert(from, to) => {
                        spans.insert(from, to);
                        oracle.ranges_insert(from..=to);
                    }
                    Op::Remove(from, to) => {
                        spans.remove(from, to);
                        oracle = oracle - RangeSetBlaze::from_iter([from..=to]);
                    }
                }
                let expected: Vec<(u128, u128)> = oracle.ranges().map(|r| (*r.start(), *r.end())).collect();
                prop_assert_eq!(spans.iter().collect::<Vec<_>>(), expected);
            }
            let interval = RangeSetBlaze::from_iter([from.min(to)..=from.max(to)]);
            let within: Vec<(u128, u128)> = spans.within(from.min(to), from.max(to)).collect();
            let expected: Vec<(u128, u128)> = (&interval & &oracle).ranges().map(|r| (*r.start(), *r.end())).collect();
            prop_assert_eq!(within, expected);
            let gaps = interval - oracle;
            prop_assert_eq!(spans.first_gap(from.min(to), from.max(to)), gaps.first());
        }
    }

    #[test]
    fn a_full_set_has_no_gap_and_a_saturated_length() {
        let mut spans = Spans::default();
        spans.insert(0, u128::MAX);
        assert_eq!(spans.first_gap(0, u128::MAX), None);
        assert_eq!(spans.len(), u128::MAX);
        spans.remove(7, 7);
        assert_eq!(spans.first_gap(0, u128::MAX), Some(7));
    }
}

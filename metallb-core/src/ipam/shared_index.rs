//! Addresses that services with one sharing may join, and which ports are taken there.
//!
//! The question is always the same: which is the first address where none of these ports is taken? For each port the
//! taken addresses are kept as runs of neighbours in the list, so that the answer is found by jumping over whole runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use super::pool_index::Position;
use crate::keys::Port;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SharedIndex {
    positions: BTreeSet<Position>,
    /// For each port: first and last of each run of positions where it is taken.
    taken: BTreeMap<Port, BTreeMap<Position, Position>>,
}

impl SharedIndex {
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The first position before `limit` where none of the ports is taken.
    pub(super) fn first_open(&self, ports: &BTreeSet<Port>, limit: Option<Position>) -> Option<Position> {
        self.open_from(*self.positions.first()?, ports).filter(|&at| limit.is_none_or(|limit| at < limit))
    }

    /// All positions where none of the ports is taken.
    pub(super) fn all_open<'a>(&'a self, ports: &'a BTreeSet<Port>) -> impl Iterator<Item = Position> + 'a {
        let first = self.first_open(ports, None);
        std::iter::successors(first, move |&at| self.open_from(self.after(at)?, ports))
    }

    /// The first position of all.
    pub(super) fn first(&self) -> Option<Position> {
        self.positions.first().copied()
    }

    fn open_from(&self, mut at: Position, ports: &BTreeSet<Port>) -> Option<Position> {
        loop {
            let run_end = ports.iter().filter_map(|port| self.run_at(*port, at)).map(|(_, end)| end).max();
            match run_end {
                None => return Some(at),
                Some(end) => at = self.after(end)?,
            }
        }
    }

    /// A new position with these ports taken.
    pub(super) fn join(&mut self, at: Position, ports: impl IntoIterator<Item = Port>) {
        if self.positions.insert(at) && self.after(at).is_some() {
            self.split_runs(at);
        }
        for port in ports {
            self.take(port, at);
        }
    }

    /// The position is no longer one of these.
    pub(super) fn leave(&mut self, at: Position) {
        let ports: Vec<Port> =
            self.taken.keys().copied().filter(|&port| self.run_at(port, at).is_some()).collect();
        for port in ports {
            self.give_back(port, at);
        }
        self.positions.remove(&at);
    }

    /// The last service has left the position; its ports have been given back.
    pub(super) fn leave_vacant(&mut self, at: Position) {
        self.positions.remove(&at);
    }

    pub(super) fn take(&mut self, port: Port, at: Position) {
        if !self.positions.contains(&at) {
            return;
        }
        let (before, after) = (self.before(at), self.after(at));
        let runs = self.taken.entry(port).or_default();
        let (mut first, mut last) = (at, at);
        if let Some((&start, &end)) = runs.range(..=at).next_back() {
            if end >= at {
                return;
            }
            if Some(end) == before {
                first = start;
            }
        }
        if let Some(end) = after.and_then(|after| runs.remove(&after)) {
            last = end;
        }
        runs.insert(first, last);
    }

    pub(super) fn give_back(&mut self, port: Port, at: Position) {
        let Some((first, last)) = self.run_at(port, at) else { return };
        let (before, after) = (self.before(at), self.after(at));
        let Some(runs) = self.taken.get_mut(&port) else { return };
        runs.remove(&first);
        if let Some(before) = before.filter(|_| first < at) {
            runs.insert(first, before);
        }
        if let Some(after) = after.filter(|_| last > at) {
            runs.insert(after, last);
        }
        if runs.is_empty() {
            self.taken.remove(&port);
        }
    }

    /// A position that has come in between is not taken for any port.
    fn split_runs(&mut self, at: Position) {
        let (before, after) = (self.before(at), self.after(at));
        let (Some(before), Some(after)) = (before, after) else { return };
        for runs in self.taken.values_mut() {
            let straddling = runs.range(..at).next_back().map(|(&first, &last)| (first, last));
            if let Some((first, last)) = straddling.filter(|&(_, last)| last > at) {
                runs.insert(first, before);
                runs.insert(after, last);
            }
        }
    }

    fn run_at(&self, port: Port, at: Position) -> Option<(Position, Position)> {
        let (&first, &last) = self.taken.get(&port)?.range(..=at).next_back()?;
        (last >= at).then_some((first, last))
    }

    fn before(&self, at: Position) -> Option<Position> {
        self.positions.range(..at).next_back().copied()
    }

    fn after(&self, at: Position) -> Option<Position> {
        self.positions.range((Excluded(at), Unbounded)).next().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::Protocol;

    #[derive(Clone, Debug)]
    enum Op {
        Join(u128, Vec<u16>),
        Leave(u128),
        Take(u16, u128),
        GiveBack(u16, u128),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0_u128..12, proptest::collection::vec(0_u16..3, 0..3))
                .prop_map(|(at, ports)| Op::Join(at, ports)),
            (0_u128..12).prop_map(Op::Leave),
            (0_u16..3, 0_u128..12).prop_map(|(port, at)| Op::Take(port, at)),
            (0_u16..3, 0_u128..12).prop_map(|(port, at)| Op::GiveBack(port, at)),
        ]
    }

    const fn port(number: u16) -> Port {
        Port::new(Protocol::Tcp, number)
    }

    proptest! {
        #[test]
        fn the_first_open_position_is_what_a_scan_finds(ops in proptest::collection::vec(op(), 0..60), asked: [bool; 3]) {
            let mut index = SharedIndex::default();
            let mut naive: BTreeMap<u128, BTreeSet<u16>> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Join(at, ports) => {
                        index.join((0, at), ports.iter().map(|&number| port(number)));
                        naive.entry(at).or_default().extend(ports);
                    }
                    Op::Leave(at) => {
                        index.leave((0, at));
                        naive.remove(&at);
                    }
                    Op::Take(number, at) => {
                        index.take(port(number), (0, at));
                        naive.entry(at).and_modify(|ports| ports.extend([number]));
                    }
                    Op::GiveBack(number, at) => {
                        index.give_back(port(number), (0, at));
                        naive.entry(at).and_modify(|ports| ports.retain(|other| *other != number));
                    }
                }
                let wanted: Vec<u16> = (0..3).filter(|&number| asked[usize::from(number)]).collect();
                let ports: BTreeSet<Port> = wanted.iter().map(|&number| port(number)).collect();
                let expected = naive.iter().find(|(_, taken)| wanted.iter().all(|number| !taken.contains(number)));
                prop_assert_eq!(index.first_open(&ports, None).map(|(_, at)| at), expected.map(|(&at, _)| at));
                prop_assert_eq!(index.is_empty(), naive.is_empty());
            }
        }
    }
}

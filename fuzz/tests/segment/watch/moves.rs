//! Addresses move only when something happened that moves them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::segment::Segment;

use super::beliefs::{Believers, believers, owners_by};
use super::{FORGET, MOMENT, Rule, Watch};

impl Watch {
    /// Counts the nodes that should own something now and should not before: of those that take part, for who is starting
    /// owns nothing yet.
    pub(super) fn justify(&mut self, segment: &Segment) {
        let established =
            segment.running().into_iter().filter(|index| segment.is_established(*index)).collect();
        let remembered = self.remember(segment, &established);
        for (address, nodes) in believers(segment, &established, true) {
            let known = self.believers.get(&address);
            let new = |node: &&usize| !known.is_some_and(|known| known.contains(*node));
            // It gives way to one that others have lost a moment ago, until that is noticed.
            let pauses = |node: &&usize| {
                let owner = |owners: &BTreeMap<IpAddr, usize>| owners.get(&address) == Some(*node);
                !remembered.get(*node).is_some_and(owner)
            };
            let justified = nodes.iter().filter(|node| new(node) || pauses(node)).count();
            *self.justified.entry(address).or_default() += justified;
        }
        let believers = believers(segment, &established, false);
        self.justify_late(segment, &established, &believers);
        if self.print {
            println!("{:>12?}     owners by what they know: {believers:?}", segment.now);
        }
        self.believers = believers;
    }

    /// Who owns what in the eyes of each host while it counts, by its own or others' word, who was reached a moment ago.
    fn remember(
        &mut self,
        segment: &Segment,
        established: &BTreeSet<usize>,
    ) -> BTreeMap<usize, BTreeMap<IpAddr, usize>> {
        // Who reached each other until this moment.
        let linked = std::mem::take(&mut self.linked);
        self.links.extend(linked.into_iter().map(|pair| (pair, segment.now)));
        let running = segment.running();
        let reached = |one: usize| running.iter().copied().filter(move |other| segment.reach(one, *other));
        let links = &self.links;
        let now = segment.now;
        let recently = |of: usize| {
            let is_recent = move |(pair, until): &(&(usize, usize), &Duration)| {
                pair.0 == of && now.saturating_sub(**until) <= FORGET
            };
            links.iter().filter(is_recent).map(|(pair, _)| pair.1)
        };
        let mut views = BTreeMap::new();
        for one in established {
            let linked = reached(*one).filter(|other| established.contains(other));
            let counted = linked.chain(reached(*one).flat_map(recently)).collect();
            views.insert(*one, owners_by(segment, *one, &counted));
        }
        let pairs = |one: &usize| {
            let one = *one;
            reached(one).filter(|other| established.contains(other)).map(move |other| (one, other))
        };
        self.linked = running.iter().flat_map(pairs).collect();
        views
    }

    /// What hosts own in their own eyes that have not met yet whom they reach now.
    fn justify_late(&mut self, segment: &Segment, established: &BTreeSet<usize>, believers: &Believers) {
        let now = segment.now;
        self.before.retain(|_, until| now.saturating_sub(*until) <= MOMENT);
        let current = |one: &usize| {
            (*one, established.iter().copied().filter(|other| segment.reach(*one, *other)).collect())
        };
        let current: BTreeSet<(usize, BTreeSet<usize>)> = established.iter().map(current).collect();
        for (one, counted) in
            self.before.keys().filter(|key| established.contains(&key.0) && !current.contains(key))
        {
            for (address, owner) in owners_by(segment, *one, counted) {
                let known =
                    |believers: &Believers| believers.get(&address).is_some_and(|nodes| nodes.contains(one));
                if owner == *one && !known(believers) && !known(&self.believers) {
                    *self.justified.entry(address).or_default() += 1;
                }
            }
        }
        self.before.extend(std::mem::take(&mut self.components).into_iter().map(|key| (key, now)));
        self.components = current;
    }

    /// At the end of a history.
    pub(crate) fn check_moves(&mut self, segment: &Segment) {
        for (address, moves) in self.moves.clone() {
            let justified = self.justified.get(&address).copied().unwrap_or_default();
            if moves > justified {
                let text = format!("{address} moved {moves} times, events justify {justified}");
                self.violate(segment, Rule::MovesAreJustified, &text);
            }
        }
    }
}

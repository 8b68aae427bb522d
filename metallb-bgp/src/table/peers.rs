//! Peers as small numbers, and sets of them.

use std::collections::BTreeMap;

use crate::session::PeerKey;

/// A peer's number in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerSlot(u16);

/// A set of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerSet(Vec<u64>);

impl PeerSet {
    pub(super) fn insert(&mut self, slot: PeerSlot) -> bool {
        let (word, bit) = Self::place(slot);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let Some(bits) = self.0.get_mut(word) else { return false };
        let new = *bits & bit == 0;
        *bits |= bit;
        new
    }

    pub(super) fn remove(&mut self, slot: PeerSlot) -> bool {
        let (word, bit) = Self::place(slot);
        let Some(bits) = self.0.get_mut(word) else { return false };
        let held = *bits & bit != 0;
        *bits &= !bit;
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        held
    }

    pub(super) fn contains(&self, slot: PeerSlot) -> bool {
        let (word, bit) = Self::place(slot);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = PeerSlot> {
        let bits = |(word, bits): (usize, &u64)| {
            let bits = *bits;
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(bits).filter_map(|n| u16::try_from(n).ok()).map(PeerSlot)
    }

    const fn place(slot: PeerSlot) -> (usize, u64) {
        ((slot.0 / 64) as usize, 1 << (slot.0 % 64))
    }
}

/// The numbers of the peers a table knows, and how many hold each.
#[derive(Debug)]
pub(super) struct Peers {
    slots: BTreeMap<PeerKey, PeerSlot>,
    names: Vec<Option<(PeerKey, usize)>>,
}

impl Peers {
    pub(super) const fn new() -> Self {
        Self { slots: BTreeMap::new(), names: Vec::new() }
    }

    /// The peer's number, with one more holder; `None` when there are 65536 peers already.
    pub(super) fn hold(&mut self, key: &PeerKey) -> Option<PeerSlot> {
        if let Some(&slot) = self.slots.get(key) {
            if let Some(Some((_, holders))) = self.names.get_mut(slot.0 as usize) {
                *holders += 1;
            }
            return Some(slot);
        }
        let index = self.names.iter().position(Option::is_none).unwrap_or(self.names.len());
        let slot = PeerSlot(u16::try_from(index).ok()?);
        if index == self.names.len() {
            self.names.push(None);
        }
        if let Some(name) = self.names.get_mut(index) {
            *name = Some((key.clone(), 1));
        }
        self.slots.insert(key.clone(), slot);
        Some(slot)
    }

    /// One holder less; the number is free with the last one.
    pub(super) fn release(&mut self, slot: PeerSlot) {
        let Some(name) = self.names.get_mut(slot.0 as usize) else { return };
        let Some((key, holders)) = name.as_mut() else { return };
        *holders -= 1;
        if *holders == 0 {
            self.slots.remove(key);
            *name = None;
        }
    }

    pub(super) fn slot(&self, key: &PeerKey) -> Option<PeerSlot> {
        self.slots.get(key).copied()
    }
}

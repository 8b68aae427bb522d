//! One family's routes: who gets what, and what changed since whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::cursor::Cursor;
use super::interner::Interner;
use super::peers::{PeerSet, PeerSlot};
use super::pull::Scratch;

/// Routes with the same attributes for the same peers: ids of the attributes and of the set.
pub(super) type GroupId = (u32, u32);

/// The routes of one family.
#[derive(Debug)]
pub(super) struct Rib<N> {
    pub(super) routes: BTreeMap<N, Entry>,
    pub(super) groups: BTreeMap<GroupId, BTreeSet<N>>,
    /// What changed, for the sessions that have not seen it yet; one entry per prefix.
    pub(super) log: BTreeMap<u64, N>,
    /// For the prefixes of the log: what sessions hold of them.
    pub(super) pending: BTreeMap<N, Pending>,
    pub(super) cursors: BTreeMap<PeerSlot, Cursor<N>>,
    /// How many of the sessions have seen exactly this version: what all have seen is not searched for among them.
    seen: BTreeMap<u64, usize>,
    pub(super) version: u64,
    /// Memory for the next piece of the log.
    pub(super) scratch: Scratch<N>,
}

/// One prefix.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) version: u64,
    groups: Groups,
}

impl Entry {
    pub(super) fn group_list(&self) -> &[GroupId] {
        self.groups.as_slice()
    }
}

/// Almost every prefix has one route.
#[derive(Debug, PartialEq, Eq)]
enum Groups {
    None,
    One(GroupId),
    Several(Box<[GroupId]>),
}

impl Groups {
    fn from_list(list: &[GroupId]) -> Self {
        match list {
            [] => Self::None,
            [one] => Self::One(*one),
            several => Self::Several(several.into()),
        }
    }

    fn as_slice(&self) -> &[GroupId] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// What sessions that have not seen the last change of a prefix hold of it.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// They hold an older route.
    pub(super) held: PeerSet,
    /// They hold exactly the present route: the change was not about them.
    pub(super) same: PeerSet,
}

impl<N: Copy + Ord + Debug> Rib<N> {
    pub(super) const fn new() -> Self {
        Self {
            routes: BTreeMap::new(),
            groups: BTreeMap::new(),
            log: BTreeMap::new(),
            pending: BTreeMap::new(),
            cursors: BTreeMap::new(),
            seen: BTreeMap::new(),
            version: 0,
            scratch: Scratch::new(),
        }
    }

    /// The groups of a prefix.
    pub(super) fn groups_of(&self, prefix: &N) -> &[GroupId] {
        self.routes.get(prefix).map_or(&[], |entry| entry.groups.as_slice())
    }

    /// Gives `prefix` these routes and no others; returns whether that changed anything.
    pub(super) fn set(&mut self, prefix: N, groups: &[GroupId], sets: &Interner<PeerSet>) -> bool {
        let old = self.groups_of(&prefix).to_vec();
        if old == groups {
            return false;
        }
        self.note_holders(prefix, &old, groups, sets);
        for group in old.iter().filter(|group| !groups.contains(group)) {
            self.leave(*group, prefix);
        }
        for group in groups {
            self.groups.entry(*group).or_default().insert(prefix);
        }
        self.version += 1;
        let entry = Entry { version: self.version, groups: Groups::from_list(groups) };
        if let Some(before) = self.routes.insert(prefix, entry) {
            self.log.remove(&before.version);
        }
        self.log.insert(self.version, prefix);
        self.forget_seen();
        true
    }

    /// The group of `prefix` that is for this peer.
    pub(super) fn group_for(groups: &[GroupId], slot: PeerSlot, sets: &Interner<PeerSet>) -> Option<GroupId> {
        groups.iter().copied().find(|group| sets.value(group.1).is_some_and(|set| set.contains(slot)))
    }

    /// How many prefixes have a group that is for this peer: a prefix's groups are for disjoint peers.
    pub(super) fn routes_for(&self, slot: PeerSlot, sets: &Interner<PeerSet>) -> usize {
        let is_for = |group: &GroupId| sets.value(group.1).is_some_and(|set| set.contains(slot));
        self.groups.iter().filter(|(group, _)| is_for(group)).map(|(_, prefixes)| prefixes.len()).sum()
    }

    /// Drops from the log what every session has seen.
    pub(super) fn forget_seen(&mut self) {
        let seen = self.seen.first_key_value().map_or(self.version, |(seen, _)| *seen);
        while let Some(first) = self.log.first_entry() {
            if *first.key() > seen {
                break;
            }
            let prefix = first.remove();
            self.pending.remove(&prefix);
            if self.routes.get(&prefix).is_some_and(|entry| entry.groups == Groups::None) {
                self.routes.remove(&prefix);
            }
        }
    }

    /// Takes note that a session has come from one version to another.
    pub(super) fn moved(&mut self, from: u64, to: u64) {
        if from == to {
            return;
        }
        // In this order the map, which mostly has one entry, keeps its memory.
        *self.seen.entry(to).or_default() += 1;
        self.left(from);
        self.forget_seen();
    }

    /// One session less has seen exactly this version.
    fn left(&mut self, seen: u64) {
        if let Some(count) = self.seen.get_mut(&seen) {
            *count -= 1;
            if *count == 0 {
                self.seen.remove(&seen);
            }
        }
    }

    /// Starts a session's place at the beginning.
    pub(super) fn attach(&mut self, slot: PeerSlot, enhanced: bool) {
        let cursor = Cursor::new(self.version, enhanced);
        *self.seen.entry(cursor.seen).or_default() += 1;
        if let Some(old) = self.cursors.insert(slot, cursor) {
            self.left(old.seen);
        }
    }

    /// Ends a session's place; what it held is forgotten.
    pub(super) fn detach(&mut self, slot: PeerSlot) {
        let Some(cursor) = self.cursors.remove(&slot) else { return };
        self.left(cursor.seen);
        for pending in self.pending.values_mut() {
            pending.held.remove(slot);
            pending.same.remove(slot);
        }
        self.forget_seen();
    }

    /// Before a change: writes down which sessions hold something, and whether the change is about them.
    fn note_holders(&mut self, prefix: N, old: &[GroupId], new: &[GroupId], sets: &Interner<PeerSet>) {
        let version = self.routes.get(&prefix).map_or(0, |entry| entry.version);
        let mut pending = self.pending.remove(&prefix).unwrap_or_default();
        for (slot, cursor) in &self.cursors {
            let before = Self::group_for(old, *slot, sets);
            let sent = |group| version <= cursor.seen && cursor.has_sent(group, prefix);
            let current = pending.same.remove(*slot) || before.is_some_and(sent);
            if !current {
                continue;
            }
            let after = Self::group_for(new, *slot, sets);
            if before.map(|group| group.0) == after.map(|group| group.0) {
                pending.same.insert(*slot);
            } else {
                pending.held.insert(*slot);
            }
        }
        if !pending.held.is_empty() || !pending.same.is_empty() {
            self.pending.insert(prefix, pending);
        }
    }

    fn leave(&mut self, group: GroupId, prefix: N) {
        let Some(members) = self.groups.get_mut(&group) else { return };
        members.remove(&prefix);
        if members.is_empty() {
            self.groups.remove(&group);
        }
    }
}

//! What a session takes out of the table: a walk over everything, then the changes.

use std::collections::Bound;
use std::fmt::Debug;
use std::sync::Arc;

use ipnetwork::{Ipv4Network, Ipv6Network};

use super::RouteAttributes;
use super::cursor::{Cursor, Dump};
use super::interner::Interner;
use super::peers::{PeerSet, PeerSlot};
use super::rib::{Entry, GroupId, Rib};

/// Prefixes of one family.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prefixes<'a> {
    V4(&'a [Ipv4Network]),
    V6(&'a [Ipv6Network]),
}

impl Prefixes<'_> {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::V4(list) => list.len(),
            Self::V6(list) => list.len(),
        }
    }
}

/// A prefix type of one family.
pub(super) trait Prefix: Copy + Ord + Debug {
    fn wrap(list: &[Self]) -> Prefixes<'_>;
}

impl Prefix for Ipv4Network {
    fn wrap(list: &[Self]) -> Prefixes<'_> {
        Prefixes::V4(list)
    }
}

impl Prefix for Ipv6Network {
    fn wrap(list: &[Self]) -> Prefixes<'_> {
        Prefixes::V6(list)
    }
}

/// What surrounds routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// End-of-RIB.
    EndOfRib,
    /// BoRR: a refresh begins.
    BeginRefresh,
    /// EoRR: a refresh is over.
    EndRefresh,
}

/// What became of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    /// How many have been dealt with, the first ones.
    pub(crate) done: usize,
    /// The places of those among them that cannot be sent to this peer, in ascending order.
    pub(crate) unsendable: Vec<usize>,
}

impl Announced {
    /// None of `count` routes can be sent.
    pub(crate) fn none(count: usize) -> Self {
        Self { done: count, unsendable: (0..count).collect() }
    }

    /// Routes that were written.
    pub(super) const fn sent(&self) -> usize {
        self.done.saturating_sub(self.unsendable.len())
    }
}

/// Where a session writes what it takes.
pub(crate) trait Sink {
    /// Writes routes. With `more`, a last message that is not full may be left out, because others with the same
    /// attributes follow; without it, all routes are dealt with.
    fn announce(&mut self, attributes: &RouteAttributes, prefixes: Prefixes<'_>, more: bool) -> Announced;
    /// Writes withdrawals.
    fn withdraw(&mut self, prefixes: Prefixes<'_>);
    /// Writes a mark.
    fn mark(&mut self, mark: Mark);
}

/// The table besides the family's routes.
pub(super) struct Shared<'a> {
    pub(super) attributes: &'a Interner<RouteAttributes>,
    pub(super) sets: &'a Interner<PeerSet>,
    pub(super) complete: bool,
    pub(super) pieces: Pieces,
}

/// How much is done at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    /// Most routes of one piece of a walk: more than the longest message holds, so that messages are full.
    pub(super) walk: usize,
    /// Most changes of one piece of the log.
    pub(super) log: usize,
}

impl Pieces {
    pub(super) const DEFAULT: Self = Self { walk: 1 << 14, log: 1 << 12 };
}

impl<N: Prefix> Rib<N> {
    /// Whether [`pull`](Self::pull) would write something.
    pub(super) fn has_work(&self, slot: PeerSlot, complete: bool) -> bool {
        self.cursors.get(&slot).is_some_and(|cursor| {
            cursor.dump.is_some()
                || self.version > cursor.seen
                || cursor.may_end(complete)
                || cursor.may_refresh()
                || cursor.refresh_running
        })
    }

    /// How many changes the session has not taken.
    pub(super) fn behind(&self, slot: PeerSlot) -> u64 {
        let Some(cursor) = self.cursors.get(&slot) else { return 0 };
        let log = self.log.range((Bound::Excluded(cursor.seen), Bound::Unbounded)).count();
        u64::try_from(log).unwrap_or(u64::MAX)
    }

    /// Writes one piece of bounded size; returns whether there was anything to do.
    pub(super) fn pull(&mut self, slot: PeerSlot, shared: &Shared<'_>, sink: &mut dyn Sink) -> bool {
        let Some(place) = self.cursors.get_mut(&slot) else { return false };
        // Nothing looks at the place while its cursor is out.
        let mut cursor = std::mem::replace(place, Cursor::new(0, false));
        let before = cursor.seen;
        let worked = if cursor.dump.is_some() {
            self.dump(slot, &mut cursor, shared, sink);
            true
        } else if cursor.seen < self.version {
            self.changes(slot, &mut cursor, shared, sink);
            true
        } else {
            Self::marks(&mut cursor, shared, sink)
        };
        self.moved(before, cursor.seen);
        if let Some(place) = self.cursors.get_mut(&slot) {
            *place = cursor;
        }
        worked
    }

    /// Withdraws everything the session's peer holds.
    pub(super) fn withdraw_all(&self, slot: PeerSlot, shared: &Shared<'_>, sink: &mut dyn Sink) {
        let Some(cursor) = self.cursors.get(&slot) else { return };
        let older = self.pending.iter().filter(|(_, p)| p.held.contains(slot) || p.same.contains(slot));
        let mut held: Vec<N> = older.map(|(prefix, _)| *prefix).collect();
        for (group, members) in &self.groups {
            if !shared.sets.value(group.1).is_some_and(|set| set.contains(slot)) {
                continue;
            }
            let sent = |prefix: &&N| {
                cursor.has_sent(*group, **prefix)
                    && self.routes.get(prefix).is_some_and(|entry| entry.version <= cursor.seen)
            };
            held.extend(members.iter().filter(sent));
        }
        held.sort_unstable();
        held.dedup();
        if !held.is_empty() {
            sink.withdraw(N::wrap(&held));
        }
    }

    /// Everything is written: what comes between the walks.
    fn marks(cursor: &mut Cursor<N>, shared: &Shared<'_>, sink: &mut dyn Sink) -> bool {
        if cursor.refresh_running {
            cursor.refresh_running = false;
            if cursor.enhanced {
                sink.mark(Mark::EndRefresh);
            }
            return true;
        }
        if cursor.may_end(shared.complete) {
            cursor.end_of_rib_owed = false;
            sink.mark(Mark::EndOfRib);
            return true;
        }
        if cursor.may_refresh() {
            cursor.refresh_wanted = false;
            cursor.refresh_running = true;
            cursor.dump = Some(Dump { after: None, initial: false });
            if cursor.enhanced {
                sink.mark(Mark::BeginRefresh);
            }
            return true;
        }
        false
    }

    /// A piece of the walk: routes with the same attributes.
    fn dump(&self, slot: PeerSlot, cursor: &mut Cursor<N>, shared: &Shared<'_>, sink: &mut dyn Sink) {
        let Some(&Dump { after, initial }) = cursor.dump.as_ref() else { return };
        let chunk = self.chunk(slot, cursor, after, shared);
        let Some(attributes) = chunk.attributes.and_then(|id| shared.attributes.value(id)) else {
            cursor.dump = None;
            return;
        };
        let more = chunk.prefixes.len() == shared.pieces.walk;
        let attributes = Arc::clone(attributes);
        let announced = match sink.announce(&attributes, N::wrap(&chunk.prefixes), more) {
            Announced { done: 0, .. } => sink.announce(&attributes, N::wrap(&chunk.prefixes), false),
            announced => announced,
        };
        let lost = if initial {
            cursor.note_first(&chunk.prefixes, &announced);
            Vec::new()
        } else {
            cursor.note_again(&chunk.prefixes, &announced)
        };
        if !lost.is_empty() {
            sink.withdraw(N::wrap(&lost));
        }
        let after = chunk.position(announced.done);
        cursor.dump = after.map(|after| Dump { after: Some(after), initial });
    }

    /// The next routes of the walk, all with the same attributes.
    fn chunk(
        &self,
        slot: PeerSlot,
        cursor: &Cursor<N>,
        after: Option<(GroupId, N)>,
        shared: &Shared<'_>,
    ) -> Chunk<N> {
        let mut chunk = Chunk { attributes: None, prefixes: Vec::new(), groups: Vec::new() };
        let unchanged = self.version == cursor.seen;
        let start = after.map_or((0, 0), |(group, _)| group);
        for (group, members) in self.groups.range(start..) {
            if chunk.attributes.is_some_and(|id| id != group.0) || chunk.prefixes.len() == shared.pieces.walk
            {
                break;
            }
            let theirs = shared.sets.value(group.1).is_some_and(|set| set.contains(slot));
            if !theirs {
                continue;
            }
            let from = match after {
                Some((last, prefix)) if last == *group => Bound::Excluded(prefix),
                _ => Bound::Unbounded,
            };
            let room = shared.pieces.walk - chunk.prefixes.len();
            let next = members.range((from, Bound::Unbounded));
            chunk.prefixes.reserve(members.len().min(room));
            if unchanged {
                chunk.prefixes.extend(next.take(room).copied());
            } else {
                let seen = |entry: &Entry| entry.version <= cursor.seen;
                let old = |prefix: &&N| self.routes.get(prefix).is_some_and(seen);
                chunk.prefixes.extend(next.filter(old).take(room).copied());
            }
            let end = chunk.prefixes.len();
            if chunk.groups.last().map_or(0, |(_, end)| *end) < end {
                chunk.groups.push((*group, end));
                chunk.attributes = Some(group.0);
            }
        }
        chunk
    }

    /// A piece of the log.
    fn changes(&mut self, slot: PeerSlot, cursor: &mut Cursor<N>, shared: &Shared<'_>, sink: &mut dyn Sink) {
        let mut scratch = std::mem::replace(&mut self.scratch, Scratch::new());
        let Scratch { announced, withdrawn, .. } = &mut scratch;
        let news = self.log.range((Bound::Excluded(cursor.seen), Bound::Unbounded)).take(shared.pieces.log);
        let mut last = self.version;
        let mut count = 0;
        for (version, prefix) in news {
            (last, count) = (*version, count + 1);
            let (held, same) = self
                .pending
                .get_mut(prefix)
                .map_or((false, false), |p| (p.held.remove(slot), p.same.remove(slot)));
            cursor.rejected.remove(prefix);
            let groups = self.routes.get(prefix).map_or(&[][..], |entry| entry.group_list());
            match Self::group_for(groups, slot, shared.sets) {
                // The walk of a refresh has left it to the log.
                Some(group) if same && cursor.refresh_running => announced.push((group, *prefix, true)),
                _ if same => {}
                Some(group) => announced.push((group, *prefix, held)),
                None if held => withdrawn.push(*prefix),
                None => {}
            }
        }
        cursor.seen = if count < shared.pieces.log { self.version } else { last };
        announced.sort_unstable();
        Self::announce_batch(&mut scratch, cursor, shared, sink);
        let withdrawn = &scratch.withdrawn;
        cursor.advertised = cursor.advertised.saturating_sub(withdrawn.len() as u64);
        if !withdrawn.is_empty() {
            sink.withdraw(N::wrap(withdrawn));
        }
        scratch.clear();
        self.scratch = scratch;
    }

    /// Writes changed routes; those the peer holds in an older form and cannot be told the new one of are to be
    /// withdrawn.
    fn announce_batch(
        scratch: &mut Scratch<N>,
        cursor: &mut Cursor<N>,
        shared: &Shared<'_>,
        sink: &mut dyn Sink,
    ) {
        let Scratch { announced, withdrawn, prefixes } = scratch;
        for run in announced.chunk_by(|a, b| a.0.0 == b.0.0) {
            let Some((first, ..)) = run.first() else { continue };
            let Some(attributes) = shared.attributes.value(first.0) else { continue };
            prefixes.clear();
            prefixes.extend(run.iter().map(|(_, prefix, _)| *prefix));
            let announced = sink.announce(attributes, N::wrap(prefixes), false);
            cursor.advertised += run.iter().filter(|(.., held)| !held).count() as u64;
            for (_, prefix, held) in announced.unsendable.iter().filter_map(|place| run.get(*place)) {
                cursor.rejected.insert(*prefix);
                if *held {
                    withdrawn.push(*prefix);
                } else {
                    cursor.advertised = cursor.advertised.saturating_sub(1);
                }
            }
        }
    }
}

/// A piece of the log, sorted out.
#[derive(Debug)]
pub(super) struct Scratch<N> {
    /// With whether the peer holds an older route.
    announced: Vec<(GroupId, N, bool)>,
    withdrawn: Vec<N>,
    /// Those that are announced together.
    prefixes: Vec<N>,
}

impl<N> Scratch<N> {
    pub(super) const fn new() -> Self {
        Self { announced: Vec::new(), withdrawn: Vec::new(), prefixes: Vec::new() }
    }

    fn clear(&mut self) {
        self.announced.clear();
        self.withdrawn.clear();
    }
}

/// Routes of a walk.
struct Chunk<N> {
    attributes: Option<u32>,
    prefixes: Vec<N>,
    /// Where each group ends among the prefixes.
    groups: Vec<(GroupId, usize)>,
}

impl<N: Copy> Chunk<N> {
    /// The place after the first `count` routes.
    fn position(&self, count: usize) -> Option<(GroupId, N)> {
        let last = count.checked_sub(1)?;
        let prefix = self.prefixes.get(last)?;
        let (group, _) = self.groups.iter().find(|(_, end)| *end > last)?;
        Some((*group, *prefix))
    }
}

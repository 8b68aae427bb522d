//! One pool while it is in use: which of its addresses are free, in quarantine, or shareable.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::claim::{Backend, Sharing};
use super::quarantine::Until;
use super::shared_index::SharedIndex;
use super::tenants::Tenants;
use crate::addr::{AddressRange, Spans, from_value};
use crate::config::Pool;
use crate::keys::{Family, NamespaceName, Port, SharingKey};

/// Position of an address in its pool: the entry, then the address. Candidates are tried in this order.
pub(super) type Position = (usize, u128);

/// Under which an address can be joined.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JoinKey {
    pub(super) sharing: Arc<Sharing>,
    /// The only namespace that may join, where the pool limits sharing to one.
    pub(super) namespace: Option<NamespaceName>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct PoolIndex {
    pool: Arc<Pool>,
    entries: Vec<Entry>,
    /// Which namespace holds which addresses; kept where the pool limits that.
    pub(super) tenants: Option<Tenants>,
    v4: FamilyIndex,
    v6: FamilyIndex,
}

#[derive(Debug)]
struct Entry {
    first: u128,
    last: u128,
    /// Held, in quarantine, excluded or reserved, or avoided and next to one of these (see `neighbour`).
    taken: Spans,
    /// Addresses that are neither held, nor in quarantine, nor barred.
    free: u128,
}

#[derive(Debug, Default)]
struct FamilyIndex {
    /// Entries with a free address.
    open: BTreeSet<usize>,
    /// How many addresses may be used; saturates.
    capacity: u128,
    /// How many are held.
    assigned: u128,
    /// How many of these are barred and held from before they were.
    odd: u128,
    /// Addresses that are somebody's own.
    reserved: BTreeSet<u128>,
    /// Addresses in quarantine by its end.
    quarantined: BTreeSet<(Until, u128)>,
    /// Addresses that services with this sharing may join, if ports allow.
    shared: BTreeMap<JoinKey, SharedIndex>,
}

impl Entry {
    /// Marks what is not to be given out, as far as it lies in the entry.
    fn mark(&mut self, from: u128, to: u128) {
        let (from, to) = (from.max(self.first), to.min(self.last));
        if from <= to {
            self.taken.insert(from, to);
        }
    }
}

impl PoolIndex {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        let mut index = Self {
            pool: Arc::clone(pool),
            entries: Vec::new(),
            tenants: None,
            v4: FamilyIndex::default(),
            v6: FamilyIndex::default(),
        };
        for (number, range) in pool.entries.iter().enumerate() {
            let (first, last) = range.bounds();
            let usable = |range: &AddressRange| {
                let avoided = if pool.avoid_buggy_ips { range.buggy_size() } else { 0 };
                range.size().saturating_sub(avoided)
            };
            let excluded = || pool.excluded.within(range);
            let free = excluded().fold(usable(range), |free, part| free.saturating_sub(usable(&part)));
            let mut entry = Entry { first, last, taken: Spans::default(), free };
            for part in excluded() {
                let (from, to) = part.bounds();
                entry.mark(from, to);
                for edge in [from, to] {
                    index
                        .neighbour(range.family(), edge)
                        .into_iter()
                        .for_each(|value| entry.mark(value, value));
                }
            }
            let family = index.family_mut(range.family());
            family.capacity = family.capacity.saturating_add(free);
            if free > 0 {
                family.open.insert(number);
            }
            index.entries.push(entry);
        }
        index
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes over a new version of the pool that has the same addresses.
    pub(super) fn replace_pool(&mut self, pool: Arc<Pool>) {
        self.pool = pool;
    }

    pub(super) const fn capacity(&self, family: Family) -> u128 {
        self.family(family).capacity
    }

    /// How many addresses of the family are never given out.
    pub(super) fn kept_back(&self, family: Family) -> u128 {
        let entries = self.pool.entries.iter().filter(|entry| entry.family() == family);
        let size = entries.fold(0, |size: u128, entry| size.saturating_add(entry.size()));
        size.saturating_sub(self.capacity(family))
    }

    pub(super) const fn assigned(&self, family: Family) -> u128 {
        self.family(family).assigned
    }

    /// How many could still be given out, be it from quarantine.
    pub(super) const fn available(&self, family: Family) -> u128 {
        let index = self.family(family);
        index.capacity.saturating_sub(index.assigned.saturating_sub(index.odd))
    }

    /// True when an address of the family could be given out, be it from quarantine.
    pub(super) fn has_any(&self, family: Family) -> bool {
        let index = self.family(family);
        !index.open.is_empty() || !index.quarantined.is_empty()
    }

    /// The free address that comes first in the pool. O(log n) whatever the size of the pool.
    pub(super) fn first_free(&self, family: Family) -> Option<Position> {
        let number = *self.family(family).open.first()?;
        let entry = self.entries.get(number)?;
        let mut from = entry.first;
        // An avoided address is skipped; it is marked as taken when its usable neighbour is, so that at most two steps
        // lead over avoided addresses before and behind one span of taken ones.
        for _ in 0..MOST_STEPS {
            let gap = entry.taken.first_gap(from, entry.last)?;
            if !self.is_barred(family, gap) {
                return Some((number, gap));
            }
            from = gap.checked_add(1)?;
        }
        None
    }

    /// The address whose quarantine ends first.
    pub(super) fn first_quarantined(&self, family: Family) -> Option<u128> {
        self.family(family).quarantined.first().map(|&(_, value)| value)
    }

    /// The first address before `limit` that a service with this sharing and these ports may join.
    pub(super) fn first_shared(
        &self,
        family: Family,
        key: &JoinKey,
        ports: &BTreeSet<Port>,
        limit: Option<Position>,
    ) -> Option<Position> {
        self.family(family).shared.get(key)?.first_open(ports, limit)
    }

    /// All addresses that a service with this sharing and these ports may join, in order.
    pub(super) fn open_shared<'a>(
        &'a self,
        family: Family,
        key: &JoinKey,
        ports: &'a BTreeSet<Port>,
    ) -> impl Iterator<Item = Position> + use<'a> {
        self.family(family).shared.get(key).into_iter().flat_map(|index| index.all_open(ports))
    }

    /// The first address that is held under this key, whatever is behind it.
    pub(super) fn first_with_key(&self, family: Family, key: &SharingKey) -> Option<u128> {
        let lowest = Sharing { key: key.clone(), backend: Backend::Anywhere };
        let lowest = JoinKey { sharing: Arc::new(lowest), namespace: None };
        let alike = self.family(family).shared.range(lowest..).take_while(|(at, _)| at.sharing.key == *key);
        alike.filter_map(|(_, index)| index.first()).min().map(|(_, value)| value)
    }

    /// A service is the first to hold the address.
    pub(super) fn hold(&mut self, family: Family, (number, value): Position) {
        self.take(family, number, value);
        let odd = u128::from(self.is_barred(family, value));
        let index = self.family_mut(family);
        index.assigned = index.assigned.saturating_add(1);
        index.odd = index.odd.saturating_add(odd);
    }

    /// Nobody holds the address any more.
    pub(super) fn vacate(&mut self, family: Family, (number, value): Position) {
        self.give_back(family, number, value);
        let odd = u128::from(self.is_barred(family, value));
        let index = self.family_mut(family);
        index.assigned = index.assigned.saturating_sub(1);
        index.odd = index.odd.saturating_sub(odd);
    }

    /// The address is somebody's own from now on. `held`: a service has it; `until`: it is in quarantine until then.
    pub(super) fn reserve(&mut self, family: Family, position: Position, held: bool, until: Option<Until>) {
        let (number, value) = position;
        if !self.is_barred(family, value) {
            match until {
                Some(until) => drop(self.family_mut(family).quarantined.remove(&(until, value))),
                None if held => {}
                None => self.take(family, number, value),
            }
            let index = self.family_mut(family);
            index.capacity = index.capacity.saturating_sub(1);
            index.odd = index.odd.saturating_add(u128::from(held));
        }
        self.family_mut(family).reserved.insert(value);
    }

    /// The address is nobody's own any more; `held`: a service has it.
    pub(super) fn end_reservation(&mut self, family: Family, (number, value): Position, held: bool) {
        let index = self.family_mut(family);
        if !index.reserved.remove(&value) || self.is_barred(family, value) {
            return;
        }
        if !held {
            self.give_back(family, number, value);
        }
        let index = self.family_mut(family);
        index.capacity = index.capacity.saturating_add(1);
        index.odd = index.odd.saturating_sub(u128::from(held));
    }

    /// The addresses that are somebody's own and that the pool does not exclude, in order.
    pub(super) fn reserved(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        let all = self.family(family).reserved.iter().map(move |&value| from_value(family, value));
        all.filter(|address| !self.pool.excludes(*address))
    }

    pub(super) fn quarantine(&mut self, family: Family, (number, value): Position, until: Until) {
        if !self.is_barred(family, value) && self.family_mut(family).quarantined.insert((until, value)) {
            self.take(family, number, value);
        }
    }

    pub(super) fn end_quarantine(&mut self, family: Family, (number, value): Position, until: Until) {
        if self.family_mut(family).quarantined.remove(&(until, value)) {
            self.give_back(family, number, value);
        }
    }

    /// Services with this sharing may join at the address, where these ports are taken. Never at one that is barred,
    /// which may still be held from before it was.
    pub(super) fn share(
        &mut self,
        family: Family,
        key: &JoinKey,
        position: Position,
        ports: impl IntoIterator<Item = Port>,
    ) {
        if self.is_barred(family, position.1) {
            return;
        }
        let shared = &mut self.family_mut(family).shared;
        if let Some(index) = shared.get_mut(key) {
            index.join(position, ports);
        } else {
            let mut index = SharedIndex::default();
            index.join(position, ports);
            shared.insert(key.clone(), index);
        }
    }

    /// Ports have been taken and given back at an address that can be shared.
    pub(super) fn change_ports(
        &mut self,
        family: Family,
        key: &JoinKey,
        position: Position,
        (taken, given_back): (&[Port], &[Port]),
    ) {
        let Some(index) = self.family_mut(family).shared.get_mut(key) else { return };
        for port in given_back {
            index.give_back(*port, position);
        }
        for port in taken {
            index.take(*port, position);
        }
    }

    /// Services with this sharing may no longer join at the address; `vacant`: nobody is left there.
    pub(super) fn unshare(&mut self, family: Family, key: &JoinKey, position: Position, vacant: bool) {
        let shared = &mut self.family_mut(family).shared;
        if let Some(index) = shared.get_mut(key) {
            if vacant {
                index.leave_vacant(position);
            } else {
                index.leave(position);
            }
            if index.is_empty() {
                shared.remove(key);
            }
        }
    }

    fn take(&mut self, family: Family, number: usize, value: u128) {
        if self.is_barred(family, value) {
            // Held from before it was barred: it was not free. Its mark stays, or belongs to its neighbour.
            return;
        }
        let neighbour = self.neighbour(family, value);
        let Some(entry) = self.entries.get_mut(number) else { return };
        entry.mark(value, value);
        if let Some(neighbour) = neighbour {
            entry.mark(neighbour, neighbour);
        }
        entry.free = entry.free.saturating_sub(1);
        if entry.free == 0 {
            self.family_mut(family).open.remove(&number);
        }
    }

    fn give_back(&mut self, family: Family, number: usize, value: u128) {
        if self.is_barred(family, value) {
            // Never free. Its mark stays, or belongs to its neighbour.
            return;
        }
        let neighbour = self.neighbour(family, value);
        let neighbour = neighbour.filter(|&value| !self.pool.excludes(from_value(family, value)));
        let Some(entry) = self.entries.get_mut(number) else { return };
        entry.taken.remove(value, value);
        if let Some(neighbour) = neighbour {
            entry.taken.remove(neighbour, neighbour);
        }
        entry.free = entry.free.saturating_add(1);
        self.family_mut(family).open.insert(number);
    }

    /// The avoided address that is marked together with this one: .0 with .1, .255 with .254.
    fn neighbour(&self, family: Family, value: u128) -> Option<u128> {
        if family == Family::V6 || !self.pool.avoid_buggy_ips {
            return None;
        }
        match value & LAST_OCTET {
            1 => value.checked_sub(1),
            254 => value.checked_add(1),
            _ => None,
        }
    }

    /// True when the address is never given out: avoided, excluded or somebody's own.
    pub(super) fn is_barred(&self, family: Family, value: u128) -> bool {
        let address = from_value(family, value);
        self.pool.avoids(address)
            || self.pool.excludes(address)
            || self.family(family).reserved.contains(&value)
    }

    const fn family(&self, family: Family) -> &FamilyIndex {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    const fn family_mut(&mut self, family: Family) -> &mut FamilyIndex {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

const LAST_OCTET: u128 = 0xff;

/// .255 and .0 at the start of an entry, a span, .255 and .0 behind it, and the address itself.
const MOST_STEPS: usize = 6;

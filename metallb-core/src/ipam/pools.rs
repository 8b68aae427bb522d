//! The pools in force: by name, by address, by rank.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;

use super::book::Book;
use super::pool_index::{PoolIndex, Position};
use super::quarantine::Quarantine;
use super::reserved::Reserved;
use super::tenants::Tenants;
use crate::addr::{AddressRange, from_value, to_value};
use crate::config::{Pool, SharingScope};
use crate::keys::{Family, PoolName, ServiceKey};

/// Number of a pool while it is in force.
pub(super) type PoolId = usize;

/// Where a pool stands among those that are used for services without a wish: pools that are meant for some services
/// first, by priority, then all others; names break ties.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    group: Group,
    priority: Priority,
    name: PoolName,
}

/// Within one group, both families from a later pool are better than one from an earlier pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Pools with a `serviceAllocation`.
    Restricted,
    /// Pools for everybody.
    Unrestricted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    Given(i32),
    None,
}

/// An entry of a pool among all entries of its family. Kept sorted in a vector: it is searched at every allocation and
/// changes only with the configuration.
#[derive(Clone, Copy, Debug)]
struct Place {
    first: u128,
    last: u128,
    pool: PoolId,
    number: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pools {
    indices: Vec<Option<PoolIndex>>,
    vacant: Vec<PoolId>,
    names: BTreeMap<PoolName, PoolId>,
    v4: Vec<Place>,
    v6: Vec<Place>,
    ranks: BTreeMap<Rank, PoolId>,
}

impl Pools {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn id(&self, name: &PoolName) -> Option<PoolId> {
        self.names.get(name).copied()
    }

    pub(super) fn index(&self, id: PoolId) -> Option<&PoolIndex> {
        self.indices.get(id)?.as_ref()
    }

    pub(super) fn index_mut(&mut self, id: PoolId, change: impl FnOnce(&mut PoolIndex)) {
        if let Some(Some(index)) = self.indices.get_mut(id) {
            change(index);
        }
    }

    pub(super) fn by_name(&self, name: &PoolName) -> Option<&PoolIndex> {
        self.index(self.id(name)?)
    }

    /// All pools by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PoolId, &PoolIndex)> {
        self.names.values().filter_map(|&id| Some((id, self.index(id)?)))
    }

    /// The pools for services without a wish, best first, with their group.
    pub(super) fn ranked(&self) -> impl Iterator<Item = (Group, PoolId, &PoolIndex)> {
        self.ranks.iter().filter_map(|(rank, &id)| Some((rank.group, id, self.index(id)?)))
    }

    /// The pool with an entry that contains the address, and where in it, whether it may be used or not.
    pub(super) fn locate(&self, address: IpAddr) -> Option<(PoolId, Position)> {
        let value = to_value(address);
        let places = match Family::of(address) {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let behind = places.partition_point(|place| place.first <= value);
        let place = places.get(behind.checked_sub(1)?)?;
        (value <= place.last).then_some((place.pool, (place.number, value)))
    }

    pub(super) fn name_of(&self, address: IpAddr) -> Option<&PoolName> {
        let (id, _) = self.locate(address)?;
        self.index(id).map(|index| &index.pool().name)
    }

    /// Takes over new pools. Adds the services of changed ones to `affected` and returns the names of pools whose use
    /// may have changed.
    pub(super) fn update(
        &mut self,
        wanted: &BTreeMap<PoolName, Arc<Pool>>,
        known: &Known<'_>,
        affected: &mut BTreeSet<ServiceKey>,
    ) -> Vec<PoolName> {
        let Differences { gone, changed, mut added } = self.differences(wanted);
        for name in gone {
            self.remove(&name, known.book, affected);
        }
        for pool in changed {
            let Some(current) = self.by_name(&pool.name).map(|index| Arc::clone(index.pool())) else {
                added.push(pool);
                continue;
            };
            if is_like(&current, pool) {
                self.replace(&current, pool, known.book, affected);
            } else {
                self.remove(&pool.name, known.book, affected);
                added.push(pool);
            }
        }
        // Added only after everything old is gone: an address may move from one pool to another.
        for pool in &added {
            self.add(pool, known, affected);
        }
        added.into_iter().map(|pool| pool.name.clone()).collect()
    }

    /// Goes through both in the order of their names, so that a pool that stays as it is costs little.
    fn differences<'a>(&self, wanted: &'a BTreeMap<PoolName, Arc<Pool>>) -> Differences<'a> {
        let mut found = Differences::default();
        let mut names = self.names.iter().peekable();
        for (name, pool) in wanted {
            found
                .gone
                .extend(iter::from_fn(|| names.next_if(|(old, _)| *old < name)).map(|(old, _)| old.clone()));
            let Some((_, &id)) = names.next_if(|(old, _)| *old == name) else {
                found.added.push(pool);
                continue;
            };
            let current = self.index(id).map(PoolIndex::pool);
            if !current.is_some_and(|current| Arc::ptr_eq(current, pool) || current == pool) {
                found.changed.push(pool);
            }
        }
        found.gone.extend(names.map(|(name, _)| name.clone()));
        found
    }

    fn replace(&mut self, old: &Pool, pool: &Arc<Pool>, book: &Book, affected: &mut BTreeSet<ServiceKey>) {
        let Some(id) = self.id(&pool.name) else { return };
        if let Some(rank) = rank(old) {
            self.ranks.remove(&rank);
        }
        if let Some(rank) = rank(pool) {
            self.ranks.insert(rank, id);
        }
        self.index_mut(id, |index| {
            if old.max_per_namespace().is_some() != pool.max_per_namespace().is_some() {
                index.tenants = Tenants::of(pool, book);
            }
            index.replace_pool(Arc::clone(pool));
        });
        if old.service_allocation != pool.service_allocation {
            note_services(pool, book, affected);
        }
    }

    fn remove(&mut self, name: &PoolName, book: &Book, affected: &mut BTreeSet<ServiceKey>) {
        let Some(id) = self.names.remove(name) else { return };
        let Some(index) = self.indices.get_mut(id).and_then(Option::take) else { return };
        for places in [&mut self.v4, &mut self.v6] {
            places.retain(|place| place.pool != id);
        }
        if let Some(rank) = rank(index.pool()) {
            self.ranks.remove(&rank);
        }
        note_services(index.pool(), book, affected);
        self.vacant.push(id);
    }

    fn add(&mut self, pool: &Arc<Pool>, known: &Known<'_>, affected: &mut BTreeSet<ServiceKey>) {
        let mut index = PoolIndex::new(pool);
        index.tenants = Tenants::of(pool, known.book);
        for (number, entry) in pool.entries.iter().enumerate() {
            fill(&mut index, number, entry, known);
        }
        note_services(pool, known.book, affected);
        let id = self.vacant.pop().unwrap_or(self.indices.len());
        if id == self.indices.len() {
            self.indices.push(None);
        }
        if let Some(place) = self.indices.get_mut(id) {
            *place = Some(index);
        }
        for (number, entry) in pool.entries.iter().enumerate() {
            let (first, last) = entry.bounds();
            let places = match entry.family() {
                Family::V4 => &mut self.v4,
                Family::V6 => &mut self.v6,
            };
            let behind = places.partition_point(|place| place.first <= first);
            places.insert(behind, Place { first, last, pool: id, number });
        }
        if let Some(rank) = rank(pool) {
            self.ranks.insert(rank, id);
        }
        self.names.insert(pool.name.clone(), id);
    }
}

/// What becomes of pools.
#[derive(Default)]
struct Differences<'a> {
    gone: Vec<PoolName>,
    changed: Vec<&'a Arc<Pool>>,
    added: Vec<&'a Arc<Pool>>,
}

fn rank(pool: &Pool) -> Option<Rank> {
    if !pool.auto_assign {
        return None;
    }
    let group = match &pool.service_allocation {
        None => Group::Unrestricted,
        Some(_) => Group::Restricted,
    };
    let priority = pool.service_allocation.as_ref().and_then(|allocation| allocation.priority);
    let priority = priority.map_or(Priority::None, Priority::Given);
    Some(Rank { group, priority, name: pool.name.clone() })
}

/// True when one may take the place of the other without looking at addresses.
fn is_like(one: &Pool, other: &Pool) -> bool {
    one.entries == other.entries
        && one.avoid_buggy_ips == other.avoid_buggy_ips
        && one.excluded == other.excluded
        && one.sharing_scope() == other.sharing_scope()
}

/// What is known about addresses, whatever pool they are in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) book: &'a Book,
    pub(super) quarantine: &'a Quarantine,
    pub(super) reserved: &'a Reserved,
    /// Who may share where the pool says nothing about that.
    pub(super) scope: SharingScope,
}

/// Writes what is reserved, held and in quarantine of one entry into a new index.
fn fill(index: &mut PoolIndex, number: usize, entry: &AddressRange, known: &Known<'_>) {
    let Known { book, quarantine, reserved, scope } = known;
    let scope = index.pool().sharing_scope().unwrap_or(*scope);
    let family = entry.family();
    let (first, last) = entry.bounds();
    for address in reserved.within(entry.first(), entry.last()) {
        index.reserve(family, (number, to_value(address)), false, None);
    }
    for value in book.held_in(family, first, last) {
        index.hold(family, (number, value));
        if let Some(key) = book.join_key(from_value(family, value), scope) {
            index.share(family, &key, (number, value), book.ports_at(from_value(family, value)));
        }
    }
    for (address, until) in quarantine.within(entry.first(), entry.last()) {
        index.quarantine(family, (number, to_value(address)), until);
    }
}

fn note_services(pool: &Pool, book: &Book, affected: &mut BTreeSet<ServiceKey>) {
    for entry in &pool.entries {
        let (first, last) = entry.bounds();
        affected.extend(book.services_in(entry.family(), first, last).cloned());
    }
}

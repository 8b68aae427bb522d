//! Services that wait, and who of them is helped by what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::super::allocator::Allocator;
use super::super::claim::Sharing;
use super::super::journal::Room;
use super::Assigner;
use crate::config::{Config, Pool};
use crate::facts::{Demand, Service};
use crate::keys::{Created, Family, NamespaceName, PoolName, ServiceKey};
use crate::select::Labels;

/// What could help a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Need {
    /// An address of one of these families from one of these pools.
    pub(in super::super) class: Class,
    /// Exactly these addresses.
    pub(in super::super) addresses: Vec<IpAddr>,
    /// A place beside services with this sharing.
    pub(in super::super) sharing: Option<Arc<Sharing>>,
    /// That the namespace may hold more of one of these pools.
    pub(in super::super) rooms: Vec<Room>,
}

/// Services with the same pools to choose from and the same families to find.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Class {
    pub(in super::super) pools: Vec<PoolName>,
    pub(in super::super) families: Vec<Family>,
    /// Their namespace, where one of the pools limits how much a namespace may hold.
    pub(in super::super) namespace: Option<NamespaceName>,
}

/// Where a service stands in a line.
pub(super) type Place = (Created, ServiceKey);

/// Oldest first.
type Line = BTreeSet<Place>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    needs: BTreeMap<ServiceKey, (Created, Need)>,
    by_class: BTreeMap<Class, Line>,
    by_address: BTreeMap<IpAddr, Line>,
    by_sharing: BTreeMap<Arc<Sharing>, Line>,
    by_room: BTreeMap<Room, Line>,
    /// Those for whom something has changed: an address that they ask for, or one that they may share.
    woken: Line,
    /// Pools in which an address has become free, with the service that was tried last.
    freed: BTreeMap<(PoolName, Family), Option<Place>>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.needs.len()
    }

    pub(super) fn insert(&mut self, service: &ServiceKey, created: Created, need: Need) {
        if self.needs.get(service).is_some_and(|(at, known)| *at == created && *known == need) {
            return;
        }
        self.remove(service);
        let place = (created, service.clone());
        for address in &need.addresses {
            self.by_address.entry(*address).or_default().insert(place.clone());
        }
        if let Some(sharing) = &need.sharing {
            self.by_sharing.entry(Arc::clone(sharing)).or_default().insert(place.clone());
        }
        for room in &need.rooms {
            self.by_room.entry(room.clone()).or_default().insert(place.clone());
        }
        self.by_class.entry(need.class.clone()).or_default().insert(place);
        self.needs.insert(service.clone(), (created, need));
    }

    pub(super) fn remove(&mut self, service: &ServiceKey) {
        let Some((created, need)) = self.needs.remove(service) else { return };
        let place = (created, service.clone());
        self.woken.remove(&place);
        leave(&mut self.by_class, &need.class, &place);
        for address in &need.addresses {
            leave(&mut self.by_address, address, &place);
        }
        if let Some(sharing) = &need.sharing {
            leave(&mut self.by_sharing, sharing, &place);
        }
        for room in &need.rooms {
            leave(&mut self.by_room, room, &place);
        }
    }

    /// Those for whom a change of configuration may matter: it changes a pool that they may use, or the one they ask
    /// for, or brings one that admits them.
    pub(super) fn concerned<'a>(
        &self,
        before: &Config,
        after: &Config,
        claimant: impl Fn(&ServiceKey) -> Option<(&'a Service, &'a Labels)>,
    ) -> Vec<ServiceKey> {
        let same = |name: &PoolName| before.pools().get(name) == after.pools().get(name);
        let names = || before.pools().keys().chain(after.pools().keys());
        let changed: BTreeSet<&PoolName> = names().filter(|name| !same(name)).collect();
        let rejected = |config: &Config| config.rejected_pools().keys().cloned().collect::<BTreeSet<_>>();
        let rejected: BTreeSet<PoolName> =
            rejected(before).symmetric_difference(&rejected(after)).cloned().collect();
        if changed.is_empty() && rejected.is_empty() {
            return Vec::new();
        }
        let new: Vec<&Arc<Pool>> = changed.iter().filter_map(|name| after.pools().get(*name)).collect();
        let concerns = |service: &ServiceKey, need: &Need| {
            let Some((fact, namespace)) = claimant(service) else { return false };
            let named = |name: &PoolName| changed.contains(name) || rejected.contains(name);
            let wanted = match &fact.demand {
                Demand::Addresses(request) => request.wanted_pool(),
                _ => None,
            };
            need.class.pools.iter().chain(wanted).any(named)
                || new.iter().any(|pool| pool.admits(service.namespace(), namespace, &fact.labels))
                || !need.addresses.is_empty()
                || need.class.pools.is_empty()
        };
        self.needs
            .iter()
            .filter(|(service, (_, need))| concerns(service, need))
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn note_freed(&mut self, pool: PoolName, family: Family) {
        self.freed.insert((pool, family), None);
    }

    /// The oldest service that waits for an address of the pool and comes after the one that was tried last.
    fn next_for(
        &self,
        allocator: &Allocator,
        (pool, family): (&PoolName, Family),
        last: Option<&Place>,
    ) -> Option<Place> {
        let has_room = |class: &Class| {
            let namespace = class.namespace.as_ref();
            namespace.is_none_or(|namespace| allocator.has_room_in(pool, namespace.as_str()))
        };
        let lines = self.by_class.iter().filter(|(class, _)| {
            class.families.contains(&family) && class.pools.contains(pool) && has_room(class)
        });
        lines
            .filter_map(|(_, line)| match last {
                None => line.first(),
                Some(last) => {
                    line.range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded)).next()
                }
            })
            .min()
            .cloned()
    }

    /// The service is being looked at, and with it everybody before it has been.
    pub(super) fn tried(&mut self, place: &Place) {
        self.woken.remove(place);
        for last in self.freed.values_mut() {
            if last.as_ref() < Some(place) {
                *last = Some(place.clone());
            }
        }
    }

    fn wake<K: Ord>(woken: &mut Line, lines: &BTreeMap<K, Line>, key: &K) {
        woken.extend(lines.get(key).into_iter().flatten().cloned());
    }
}

impl Assigner {
    /// The oldest waiting service for which something has changed.
    pub(super) fn next_waiting(&mut self) -> Option<Place> {
        let Self { allocator, waiting, .. } = self;
        for address in allocator.journal.take_addresses() {
            Waiting::wake(&mut waiting.woken, &waiting.by_address, &address);
        }
        for sharing in allocator.journal.take_sharing() {
            Waiting::wake(&mut waiting.woken, &waiting.by_sharing, &sharing);
        }
        for room in allocator.journal.take_rooms() {
            Waiting::wake(&mut waiting.woken, &waiting.by_room, &room);
        }
        for (pool, family) in allocator.journal.take_freed() {
            waiting.note_freed(pool, family);
        }
        let mut best = waiting.woken.first().cloned();
        let mut done = Vec::new();
        for ((pool, family), last) in &waiting.freed {
            let next = if allocator.has_any(pool, *family) {
                waiting.next_for(allocator, (pool, *family), last.as_ref())
            } else {
                None
            };
            match next {
                None => done.push((pool.clone(), *family)),
                Some(next) => best = best.into_iter().chain([next]).min(),
            }
        }
        for key in done {
            waiting.freed.remove(&key);
        }
        best
    }
}

fn leave<K: Ord>(lines: &mut BTreeMap<K, Line>, key: &K, place: &(Created, ServiceKey)) {
    if let Some(line) = lines.get_mut(key) {
        line.remove(place);
        if line.is_empty() {
            lines.remove(key);
        }
    }
}

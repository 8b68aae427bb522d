//! What one namespace may have, and what it may do to another.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::allocator::Allocator;
use super::book::Book;
use super::claim::Claim;
use super::error::AllocationError;
use super::fill::Eligible;
use super::journal::Room;
use super::pool_index::{JoinKey, PoolIndex, Position};
use super::pools::PoolId;
use crate::addr::AddressRange;
use crate::config::{Pool, SharingScope};
use crate::keys::{Family, NamespaceName, PoolName, ServiceKey};

/// Which namespace holds which addresses of one pool, and by how many services.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    by_namespace: BTreeMap<NamespaceName, BTreeMap<IpAddr, usize>>,
}

impl Tenants {
    /// What stands in the book about a pool; `None` when the pool has no limit.
    pub(super) fn of(pool: &Pool, book: &Book) -> Option<Self> {
        pool.max_per_namespace()?;
        let mut tenants = Self::default();
        for entry in &pool.entries {
            for (address, service) in book.holders_in(entry) {
                tenants.join(service, address);
            }
        }
        Some(tenants)
    }

    pub(super) fn join(&mut self, service: &ServiceKey, address: IpAddr) {
        let known = self.by_namespace.get_mut(service.namespace());
        let addresses = match known {
            Some(addresses) => addresses,
            None => self.by_namespace.entry(NamespaceName::new(service.namespace())).or_default(),
        };
        *addresses.entry(address).or_default() += 1;
    }

    /// Returns true when the namespace no longer holds the address.
    pub(super) fn leave(&mut self, service: &ServiceKey, address: IpAddr) -> bool {
        let Some(addresses) = self.by_namespace.get_mut(service.namespace()) else { return false };
        let Some(holders) = addresses.get_mut(&address) else { return false };
        *holders -= 1;
        if *holders > 0 {
            return false;
        }
        addresses.remove(&address);
        if addresses.is_empty() {
            self.by_namespace.remove(service.namespace());
        }
        true
    }

    fn holds(&self, namespace: &str, address: IpAddr) -> bool {
        self.by_namespace.get(namespace).is_some_and(|addresses| addresses.contains_key(&address))
    }

    fn count(&self, namespace: &str) -> usize {
        self.by_namespace.get(namespace).map_or(0, BTreeMap::len)
    }

    fn addresses(&self, namespace: &str) -> impl Iterator<Item = IpAddr> {
        self.by_namespace.get(namespace).into_iter().flat_map(|addresses| addresses.keys().copied())
    }
}

impl PoolIndex {
    /// How many more addresses the namespace may hold, when it is given `with` as well; `None`: any number.
    fn room(&self, namespace: &str, with: Option<IpAddr>) -> Option<usize> {
        let (tenants, limit) = (self.tenants.as_ref()?, self.pool().max_per_namespace()?);
        let is_new = |address: &IpAddr| {
            self.pool().entry_of(*address).is_some() && !tenants.holds(namespace, *address)
        };
        let held = tenants.count(namespace) + usize::from(with.as_ref().is_some_and(is_new));
        Some(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(held))
    }
}

impl Allocator {
    /// True when the namespace of the service may not hold a further address of the pool, when it is given `with` as well.
    pub(super) fn is_full_for(&self, claim: &Claim<'_>, id: PoolId, with: Option<IpAddr>) -> bool {
        let index = self.pools.index(id);
        index.and_then(|index| index.room(claim.service.namespace(), with)) == Some(0)
    }

    /// True when the namespace may hold a further address of the pool.
    pub(super) fn has_room_in(&self, pool: &PoolName, namespace: &str) -> bool {
        let index = self.pools.by_name(pool);
        index.and_then(|index| index.room(namespace, None)) != Some(0)
    }

    /// True when the namespace of the service may hold the address beside `with`, which it is given as well.
    pub(super) fn has_room(&self, claim: &Claim<'_>, address: IpAddr, with: Option<IpAddr>) -> bool {
        let Some((id, _)) = self.pools.locate(address) else { return true };
        let namespace = claim.service.namespace();
        let tenants = self.pools.index(id).and_then(|index| index.tenants.as_ref());
        tenants.is_none_or(|tenants| tenants.holds(namespace, address)) || !self.is_full_for(claim, id, with)
    }

    /// The error when it may not.
    pub(super) fn check_room(
        &self,
        claim: &Claim<'_>,
        address: IpAddr,
        with: Option<IpAddr>,
    ) -> Result<(), AllocationError> {
        let pool = self.pools.locate(address).map(|(id, _)| id);
        match pool.filter(|_| !self.has_room(claim, address, with)) {
            Some(id) => Err(self.quota_reached(claim, id)),
            None => Ok(()),
        }
    }

    /// The error for a service whose namespace has no room in a pool.
    pub(super) fn quota_reached(&self, claim: &Claim<'_>, id: PoolId) -> AllocationError {
        let Some(pool) = self.pools.index(id).map(PoolIndex::pool) else { return AllocationError::NoPool };
        let namespace = NamespaceName::new(claim.service.namespace());
        let max = pool.max_per_namespace().unwrap_or(u32::MAX);
        AllocationError::QuotaReached { pool: pool.name.clone(), namespace, max }
    }

    /// The first of the pools with a limit that stands in the way of two new addresses, or of one beside `with`.
    pub(super) fn limited<'a>(
        &self,
        claim: &Claim<'_>,
        pools: &'a [Eligible],
        new: usize,
        with: Option<IpAddr>,
    ) -> Option<&'a Eligible> {
        let namespace = claim.service.namespace();
        let room = |id| self.pools.index(id).and_then(|index| index.room(namespace, with));
        pools.iter().find(|(_, id)| room(*id).is_some_and(|room| room < new))
    }

    /// The first address that others of the same namespace hold and the service may join: all that there is for it in a pool
    /// where its namespace may not hold more.
    pub(super) fn own_shared(&self, claim: &Claim<'_>, id: PoolId, family: Family) -> Option<IpAddr> {
        let sharing = claim.sharing.as_ref()?;
        let tenants = self.pools.index(id)?.tenants.as_ref()?;
        let usable = |address: &IpAddr| {
            Family::of(*address) == family
                && self.joinable(*address).is_some_and(|key| key.sharing == *sharing)
                && self.barrier(*address).is_none()
                && self.may_join(claim, *address, false).is_ok()
        };
        let position = |address: IpAddr| self.pools.locate(address).map(|(_, position)| (position, address));
        let open = tenants.addresses(claim.service.namespace()).filter(usable).filter_map(position);
        open.min().map(|(_, address)| address)
    }

    /// Who may share an address.
    pub(super) fn scope_at(&self, address: IpAddr) -> SharingScope {
        let index = self.pools.locate(address).and_then(|(id, _)| self.pools.index(id));
        let own = index.and_then(|index| index.pool().sharing_scope());
        own.unwrap_or(self.options.sharing_scope)
    }

    /// Under which an address can be joined; `None` when it cannot.
    pub(super) fn joinable(&self, address: IpAddr) -> Option<JoinKey> {
        self.book.join_key(address, self.scope_at(address))
    }

    /// Under which the service may join addresses of a pool.
    pub(super) fn join_key(&self, claim: &Claim<'_>, index: &PoolIndex) -> Option<JoinKey> {
        let sharing = claim.sharing.clone()?;
        let namespace = match index.pool().sharing_scope().unwrap_or(self.options.sharing_scope) {
            SharingScope::Cluster => None,
            SharingScope::Namespace => Some(NamespaceName::new(claim.service.namespace())),
        };
        Some(JoinKey { sharing, namespace })
    }

    /// The services that use a pool: the first `most` by name, and how many there are.
    pub fn users(&self, pool: &PoolName, most: usize) -> (Vec<ServiceKey>, usize) {
        let Some(pool) = self.pools.by_name(pool).map(PoolIndex::pool) else { return (Vec::new(), 0) };
        let mut first = std::collections::BTreeSet::new();
        let mut count = 0;
        for entry in &pool.entries {
            for (address, service) in self.book.holders_in(entry) {
                if self.counts_elsewhere(pool, address, service) {
                    continue;
                }
                count += 1;
                if first.len() < most || first.last().is_some_and(|last| service < *last) {
                    first.insert(service);
                    if first.len() > most {
                        first.pop_last();
                    }
                }
            }
        }
        (first.into_iter().cloned().collect(), count)
    }

    /// A service with an address of each family in one pool counts at the first of them.
    fn counts_elsewhere(&self, pool: &Pool, address: IpAddr, service: &ServiceKey) -> bool {
        let v4 = || self.book.holding(service)?.address(Family::V4);
        Family::of(address) == Family::V6 && v4().is_some_and(|v4| pool.entry_of(v4).is_some())
    }

    /// Keeps count of who holds what where a pool limits that. Returns the pool when a namespace has room for more now.
    pub(super) fn leave_tenancy(
        &mut self,
        location: Option<(PoolId, Position)>,
        service: &ServiceKey,
        address: IpAddr,
    ) -> Option<PoolId> {
        let (id, _) = location?;
        let mut has_left = false;
        self.pools.index_mut(id, |index| {
            has_left = index.tenants.as_mut().is_some_and(|tenants| tenants.leave(service, address));
        });
        has_left.then_some(id)
    }

    /// The limits that stand in the way of a service that waits for certain addresses, or for a place beside others: of these
    /// pools, or those of the addresses. Whoever waits for any free address is served when one is free.
    pub(super) fn rooms(&self, claim: &Claim<'_>, pools: &[PoolName]) -> Vec<Room> {
        let wanted = claim.request.wanted_addresses();
        if wanted.is_empty() && claim.sharing.is_none() {
            return Vec::new();
        }
        let of_wanted = wanted.iter().filter_map(|&address| self.pools.name_of(address));
        let limited =
            |pool: &&PoolName| self.pools.by_name(pool).is_some_and(|index| index.tenants.is_some());
        let namespace = NamespaceName::new(claim.service.namespace());
        pools.iter().chain(of_wanted).filter(limited).map(|pool| (pool.clone(), namespace.clone())).collect()
    }

    /// True when one of the pools limits how many addresses a namespace may hold.
    pub(super) fn any_limited(&self, pools: &[PoolId]) -> bool {
        pools.iter().filter_map(|&id| self.pools.index(id)).any(|index| index.tenants.is_some())
    }
}

impl Book {
    /// Who holds addresses of a range, in the order of the addresses.
    pub(super) fn holders_in(&self, entry: &AddressRange) -> impl Iterator<Item = (IpAddr, &ServiceKey)> {
        let (first, last) = entry.bounds();
        let family = entry.family();
        self.held_in(family, first, last).flat_map(move |value| {
            let address = crate::addr::from_value(family, value);
            self.holders_of(address).map(move |holding| (address, &holding.service))
        })
    }

    /// Under which an address can be joined where sharing has this scope.
    pub(super) fn join_key(&self, address: IpAddr, scope: SharingScope) -> Option<JoinKey> {
        let sharing = self.common_sharing(address)?.clone();
        let namespace = match scope {
            SharingScope::Cluster => None,
            SharingScope::Namespace => Some(NamespaceName::new(self.common_namespace(address)?)),
        };
        Some(JoinKey { sharing, namespace })
    }
}

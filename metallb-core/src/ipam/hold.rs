//! Writing down who holds what: the book, the indices of the pools, and what is remembered for those who lost something.

use std::net::IpAddr;
use std::time::Instant;

use super::allocator::{Allocator, Held};
use super::book::{Added, Slot};
use super::claim::Claim;
use super::pool_index::{JoinKey, Position};
use super::pools::PoolId;
use super::quarantine::Until;
use crate::keys::{Family, PoolName, Port, ServiceKey};

impl Allocator {
    /// Keeps an address that a service has lost for it, as far as nobody else holds it.
    pub(super) fn remember(&mut self, service: &ServiceKey, address: IpAddr) {
        if self.book.is_held(address) {
            return;
        }
        self.end_quarantine(address);
        let until = self.quarantine.next_loss();
        self.quarantine.insert(address, service.clone(), until);
        if let Some((pool, position)) = self.pools.locate(address) {
            self.pools.index_mut(pool, |index| index.quarantine(Family::of(address), position, until));
        }
        if let Some(oldest) = self.quarantine.surplus() {
            self.end_quarantine(oldest);
        }
    }

    /// Forgets which addresses of the family a service has lost.
    pub(super) fn forget(&mut self, service: &ServiceKey, family: Family) {
        let known = self.quarantine.recalled(service).filter(|&address| Family::of(address) == family);
        for address in known.collect::<Vec<_>>() {
            self.end_quarantine(address);
        }
    }

    fn end_quarantine(&mut self, address: IpAddr) {
        if let Some(until) = self.quarantine.remove(address)
            && let Some((pool, position)) = self.pools.locate(address)
        {
            self.pools.index_mut(pool, |index| index.end_quarantine(Family::of(address), position, until));
        }
    }

    /// True when something is remembered for the service.
    pub(super) fn remembers(&self, service: &ServiceKey) -> bool {
        self.quarantine.recalled(service).next().is_some()
    }

    /// Writes down that the service holds the address. Returns its number in the book.
    pub(super) fn hold(&mut self, claim: &Claim<'_>, address: IpAddr, held: Option<PoolName>) -> Slot {
        let family = Family::of(address);
        let location = self.pools.locate(address);
        self.end_quarantine(address);
        self.forget(claim.service, family);
        let before = claim.sharing.as_ref().and_then(|_| self.joinable(address));
        let Added { slot, is_first } = self.book.add(claim, address);
        if let Some((pool, position)) = location {
            self.pools.index_mut(pool, |index| {
                if is_first {
                    index.hold(family, position);
                }
                if let Some(tenants) = &mut index.tenants {
                    tenants.join(claim.service, address);
                }
            });
            self.note_users(pool);
        }
        if claim.sharing.is_some() {
            let after = self.joinable(address);
            let ports: Vec<Port> = claim.ports.iter().copied().collect();
            self.reindex(address, location, (before, after), (&ports, &[]));
        }
        self.note_held(claim.service, family, held);
        slot
    }

    pub(super) fn drop_address(&mut self, now: Instant, service: &ServiceKey, address: IpAddr) {
        let family = Family::of(address);
        let location = self.pools.locate(address);
        let before = self.joinable(address);
        let holding = self.book.holding(service).filter(|holding| holding.sharing.is_some());
        let ports = holding.map(|holding| holding.ports.clone());
        self.book.remove(service, address);
        self.note_held(service, family, None);
        self.journal.left(address);
        if let Some(id) = self.leave_tenancy(location, service, address)
            && let Some(index) = self.pools.index(id)
        {
            for family in Family::BOTH {
                self.journal.freed(&index.pool().name, family);
            }
            self.journal.room(&index.pool().name, service.namespace());
        }
        if let Some((pool, _)) = location {
            self.note_users(pool);
        }
        if !self.book.is_held(address) {
            if let Some((pool, position)) = location {
                self.pools.index_mut(pool, |index| index.vacate(family, position));
                if let Some(index) = self.pools.index(pool) {
                    self.journal.freed(&index.pool().name, family);
                }
            }
            self.quarantine_address(now, service, address);
        }
        if let Some(ports) = ports {
            let after = self.joinable(address);
            self.reindex(address, location, (before, after), (&[], &ports));
        }
    }

    fn quarantine_address(&mut self, now: Instant, service: &ServiceKey, address: IpAddr) {
        if self.options.quarantine.is_zero() {
            return;
        }
        let Some(until) = now.checked_add(self.options.quarantine).map(Until::At) else { return };
        self.quarantine.insert(address, service.clone(), until);
        if let Some((pool, position)) = self.pools.locate(address) {
            self.pools.index_mut(pool, |index| index.quarantine(Family::of(address), position, until));
        }
    }

    /// Takes over ports and sharing of a service that keeps its addresses.
    pub(super) fn take_over(&mut self, claim: &Claim<'_>) {
        let Some(holding) = self.book.holding(claim.service) else { return };
        let before: Vec<(IpAddr, Option<JoinKey>)> =
            holding.addresses().map(|address| (address, self.joinable(address))).collect();
        let given_back = holding.ports.clone();
        let taken: Vec<Port> = claim.ports.iter().copied().collect();
        self.book.update(claim.service, claim.sharing.clone(), taken.clone());
        for (address, before) in before {
            self.journal.left(address);
            let (location, after) = (self.pools.locate(address), self.joinable(address));
            let ports: (&[Port], &[Port]) = (&taken, &given_back);
            self.reindex(address, location, (before, after), ports);
        }
    }

    /// Keeps the index of shareable addresses in step with the book. `keys`: under which the address could be joined and can
    /// be now; `ports`: taken and given back on it.
    fn reindex(
        &mut self,
        address: IpAddr,
        location: Option<(PoolId, Position)>,
        keys: (Option<JoinKey>, Option<JoinKey>),
        ports: (&[Port], &[Port]),
    ) {
        let (before, after) = keys;
        let family = Family::of(address);
        if let Some(key) = &after {
            self.journal.shareable(&key.sharing);
        }
        let Some((pool, position)) = location else { return };
        if before == after {
            if let Some(key) = &before {
                self.pools.index_mut(pool, |index| index.change_ports(family, key, position, ports));
            }
            return;
        }
        let vacant = !self.book.is_held(address);
        let all = if after.is_some() { self.book.ports_at(address) } else { Vec::new() };
        self.pools.index_mut(pool, |index| {
            if let Some(before) = &before {
                index.change_ports(family, before, position, (&[], ports.1));
                index.unshare(family, before, position, vacant);
            }
            if let Some(after) = &after {
                index.share(family, after, position, all);
            }
        });
    }

    /// The pool that is not in force for which the service keeps its address.
    pub(super) fn held_for(&self, service: &ServiceKey, family: Family) -> Option<&PoolName> {
        if self.held.is_empty() {
            return None;
        }
        self.held.get(&(service.clone(), family)).map(|held| &held.pool)
    }

    pub(super) fn note_held(&mut self, service: &ServiceKey, family: Family, held: Option<PoolName>) {
        match held {
            Some(pool) => {
                drop(self.held.insert((service.clone(), family), Held { pool, sure: true }));
            }
            None if self.held.is_empty() => {}
            None => drop(self.held.remove(&(service.clone(), family))),
        }
    }

    pub(super) fn note_usage(&mut self, pool: PoolId) {
        if let Some(index) = self.pools.index(pool) {
            self.journal.usage(&index.pool().name);
        }
    }

    fn note_users(&mut self, pool: PoolId) {
        if let Some(index) = self.pools.index(pool) {
            self.journal.users(&index.pool().name);
        }
    }

    /// The addresses of the service that are in quarantine, so that it may have them again.
    pub(super) fn own_quarantined(
        &self,
        service: &ServiceKey,
        family: Family,
        pool: PoolId,
    ) -> Option<Position> {
        if self.quarantine.is_empty() {
            return None;
        }
        self.quarantine
            .of(service)
            .filter(|&address| Family::of(address) == family)
            .filter_map(|address| self.pools.locate(address))
            .filter(|(id, _)| *id == pool)
            .filter(|&(_, (_, value))| {
                self.pools.index(pool).is_some_and(|index| !index.is_barred(family, value))
            })
            .map(|(_, position)| position)
            .min()
    }
}

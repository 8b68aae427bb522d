//! The book of addresses and the rules by which they are given out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::action::{ClearReason, Usage};
use super::book::{Book, Holding};
use super::claim::Claim;
use super::error::AllocationError;
use super::journal::Journal;
use super::pools::{Known, Pools};
use super::quarantine::Quarantine;
use super::reserved::Reserved;
use super::yielding::Displaced;
use crate::config::{Config, RejectedPool, SharingScope};
use crate::facts::FamilyPolicy;
use crate::keys::{Family, PoolName, ServiceKey};

/// How the allocator behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "options, all of them")]
pub struct Options {
    /// A dual-stack service may get its two addresses from two pools when no single one can give both. Default off.
    pub dual_stack_two_pools: bool,
    /// How long a released address is not given to another service, unless nothing else is free. Default zero.
    pub quarantine: Duration,
    /// What comes first for a service with a sharing key.
    pub sharing_order: SharingOrder,
    /// Who may share an address of a pool that says nothing about that.
    pub sharing_scope: SharingScope,
    /// For how long a deleted pool counts as one that exists but is not in force, so that services keep their addresses
    /// when it comes back in time. Only the [`Assigner`](super::Assigner) looks at it. Default zero.
    pub deletion_grace: Duration,
    /// For how long after the start, and after a pool appears for the first time, a service whose addresses by its status
    /// are in no pool yet waits before it is given others. Only the [`Assigner`](super::Assigner) looks at it. Default
    /// zero.
    pub startup_hold: Duration,
    /// How long a failure that another fact may mend at once must last before it is reported. Only the
    /// [`Assigner`](super::Assigner) looks at it. Default zero.
    pub report_delay: Duration,
}

/// What comes first for a service with a sharing key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two orders there are")]
pub enum SharingOrder {
    /// An address that it may join, for two families one that somebody has together with the other; then a free one.
    #[default]
    SharedFirst,
    /// The first address that is free or may be joined, as in MetalLB.
    FirstFree,
}

/// What a service holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allocation {
    /// The addresses in the order in which they are to be written.
    pub addresses: Vec<IpAddr>,
    /// The pools they come from, in the order of the addresses, without repetition.
    pub pools: Vec<PoolName>,
    /// Addresses whose pool exists but is not in force, with that pool.
    pub held: Vec<(IpAddr, PoolName)>,
    /// Why a family is missing, when the service would like both and has one.
    pub missing: Option<AllocationError>,
}

/// Gives addresses to services and remembers who holds which.
///
/// Deterministic: what is given out depends on the pools, on who holds what, and on the claim, not on how that state
/// came about. Time is only used for the quarantine.
#[derive(Debug, Default)]
pub struct Allocator {
    pub(super) options: Options,
    pub(super) pools: Pools,
    pub(super) rejected: BTreeMap<PoolName, RejectedPool>,
    pub(super) book: Book,
    /// Addresses that are kept although their pool is not in force.
    pub(super) held: BTreeMap<(ServiceKey, Family), Held>,
    pub(super) quarantine: Quarantine,
    pub(super) reserved: Reserved,
    /// Who has lost an address to an earlier holder, until somebody asks.
    pub(super) displaced: Vec<Displaced>,
    pub(super) journal: Journal,
}

/// For which pool an address is held.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) pool: PoolName,
    /// The service was looked at since: no pool in force may give it the address.
    pub(super) sure: bool,
}

impl Allocator {
    /// An allocator without pools.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Takes over the pools of a configuration, and whose addresses its peers have. Touches only what has changed.
    ///
    /// Returns the services that hold an address of a pool that has changed, one that is held, or one of a peer that has
    /// changed: look at them again
    /// with [`Allocator::revise`]. Nothing is taken from anybody here.
    pub fn set_pools(&mut self, config: &Config) -> BTreeSet<ServiceKey> {
        self.set_pools_beside(config, &BTreeMap::new())
    }

    /// As [`Allocator::set_pools`], with pools that are gone but count as existing for a time.
    pub(super) fn set_pools_beside(
        &mut self,
        config: &Config,
        leaving: &BTreeMap<PoolName, RejectedPool>,
    ) -> BTreeSet<ServiceKey> {
        let mut affected = BTreeSet::new();
        let mut rejected = leaving.clone();
        rejected.extend(config.rejected_pools().iter().map(|(name, pool)| (name.clone(), pool.clone())));
        self.hold_for_rejected(config, &rejected);
        let known = Known {
            book: &self.book,
            quarantine: &self.quarantine,
            reserved: &self.reserved,
            scope: self.options.sharing_scope,
        };
        let changed = self.pools.update(config.pools(), &known, &mut affected);
        for pool in changed {
            self.journal.usage(&pool);
        }
        affected.extend(self.reserve_for_peers(config));
        if self.rejected != rejected {
            self.rejected = rejected;
            affected.extend(self.held.keys().map(|(service, _)| service.clone()));
        }
        affected
    }

    /// Remembers for whom addresses are held of pools that go out of force but still exist.
    fn hold_for_rejected(&mut self, config: &Config, rejected: &BTreeMap<PoolName, RejectedPool>) {
        let leaving = rejected.keys().filter(|name| !config.pools().contains_key(*name));
        for index in leaving.filter_map(|name| self.pools.by_name(name)) {
            for entry in &index.pool().entries {
                let (first, last) = entry.bounds();
                for service in self.book.services_in(entry.family(), first, last) {
                    // One that is surely held for another pool was not given by this one.
                    let key = (service.clone(), entry.family());
                    if self.held.get(&key).is_none_or(|held| !held.sure) {
                        self.held.insert(key, Held { pool: index.pool().name.clone(), sure: false });
                    }
                }
            }
        }
    }

    /// Gives a service back the addresses that it had, as far as the pools and other services allow it. `recorded` are
    /// the pools they were said to come from.
    ///
    /// Returns a reason for each address that it cannot have.
    pub fn restore(
        &mut self,
        claim: &Claim<'_>,
        addresses: &[IpAddr],
        recorded: &[PoolName],
    ) -> Vec<ClearReason> {
        let mut refused = Vec::new();
        for &address in addresses {
            let holding = self.book.holding(claim.service);
            if holding.is_some_and(|holding| holding.holds(address)) {
                continue;
            }
            if holding.is_some_and(|holding| holding.address(Family::of(address)).is_some()) {
                refused.push(ClearReason::SecondOfFamily { address });
                continue;
            }
            let kept = self.may_keep(claim, address, recorded).and_then(|held| {
                self.may_join(claim, address, true).map(|()| held).map_err(ClearReason::Conflict)
            });
            match kept {
                Ok(held) => drop(self.hold(claim, address, held)),
                Err(reason) => refused.push(reason),
            }
        }
        refused
    }

    /// Looks again at what a service holds: takes what it may no longer have, and takes over its ports and sharing.
    ///
    /// What it loses because of the pool, which may be away for a moment only, is remembered: the service gets it back as
    /// soon as it may have it, and until then others get it only when nothing else is free. That ends with another address
    /// of the family, with [`Allocator::release`], or when more than 65 536 newer ones are remembered.
    ///
    /// When it may not share an address any more with services of other namespaces, all of which joined it there, it keeps the
    /// address and these lose it, see [`Allocator::take_displaced`]. Otherwise it is the one that loses it.
    ///
    /// Returns a reason for each address that it has lost.
    pub fn revise(&mut self, now: Instant, claim: &Claim<'_>, recorded: &[PoolName]) -> Vec<ClearReason> {
        let Some(holding) = self.book.holding(claim.service) else { return Vec::new() };
        let addresses: Vec<IpAddr> = holding.addresses().collect();
        let same_ports = holding.ports.iter().eq(claim.ports);
        let same_sharing = holding.sharing == claim.sharing;
        let mut lost = Vec::new();
        for address in addresses {
            let kept = self.may_keep(claim, address, recorded).and_then(|held| {
                if same_ports && same_sharing {
                    return Ok(held);
                }
                match self.may_join(claim, address, same_sharing) {
                    Err(error) if !self.displace(now, claim, address, same_sharing) => {
                        Err(ClearReason::Conflict(error))
                    }
                    _ => Ok(held),
                }
            });
            match kept {
                Ok(held) => self.note_held(claim.service, Family::of(address), held),
                Err(reason) => {
                    self.drop_address(now, claim.service, address);
                    if matches!(reason, ClearReason::NotInPool { .. } | ClearReason::NotAdmitted { .. }) {
                        self.remember(claim.service, address);
                    }
                    lost.push(reason);
                }
            }
        }
        if !(same_ports && same_sharing) {
            self.take_over(claim);
        }
        lost
    }

    /// Gives a service what it asks for and does not have yet. What it has and may keep stays; what it may not keep is
    /// free for others again. With `Ok`, it holds what is returned and nothing else.
    ///
    /// # Errors
    /// [`AllocationError`] when it would have no address in the end. Then nothing has changed: whatever it held before it
    /// still holds, for its earlier claim, even where pools no longer allow it; [`Allocator::revise`] takes that and says
    /// so, [`Allocator::release`] takes everything. That it could only get one of two addresses is no error but said in
    /// [`Allocation::missing`].
    ///
    /// Like [`Allocator::revise`], it may take an address from services of other namespaces that joined this one.
    pub fn allocate(&mut self, now: Instant, claim: &Claim<'_>) -> Result<Allocation, AllocationError> {
        self.handle_timeout(now);
        let Some(before) = self.book.holding(claim.service).cloned() else {
            return self.fill_new(claim);
        };
        let held = Family::BOTH.map(|family| self.held.get(&(claim.service.clone(), family)).cloned());
        let displaced = self.displaced.len();
        self.revise(now, claim, &[]);
        self.give_up_half(now, claim);
        let result = self.fill(claim);
        if result.is_err() {
            self.put_back(claim, &before, held);
            self.replace_displaced(claim, displaced);
        }
        result
    }

    /// Gives a service back what was taken from it a moment ago, when it has nothing now.
    fn put_back(&mut self, claim: &Claim<'_>, before: &Holding, held: [Option<Held>; 2]) {
        for address in before.addresses() {
            self.hold_again(claim, before, address);
        }
        for (family, held) in Family::BOTH.into_iter().zip(held) {
            if let Some(held) = held {
                self.held.insert((claim.service.clone(), family), held);
            }
        }
    }

    /// Takes the only address of a service that must have two, when the other cannot be given to it where it is: both may
    /// be had elsewhere. What is held for a pool that is not in force stays, as it could not be had back.
    ///
    /// Returns the reason when the service has lost its address.
    pub fn give_up_half(&mut self, now: Instant, claim: &Claim<'_>) -> Option<ClearReason> {
        if claim.request.policy() != FamilyPolicy::RequireDual {
            return None;
        }
        let holding = self.book.holding(claim.service)?;
        let (address, other) = (holding.addresses().next()?, holding.addresses().nth(1));
        let is_held = self.held.contains_key(&(claim.service.clone(), Family::of(address)));
        if other.is_some() || is_held {
            return None;
        }
        let missing = self.more(claim, true).err()?;
        self.drop_address(now, claim.service, address);
        Some(ClearReason::SecondMissing { address, missing })
    }

    /// Takes everything from a service, and forgets what it had before. Returns what it had.
    pub fn release(&mut self, now: Instant, service: &ServiceKey) -> Vec<IpAddr> {
        for family in Family::BOTH {
            self.forget(service, family);
        }
        let Some(holding) = self.book.holding(service) else { return Vec::new() };
        let addresses: Vec<IpAddr> = holding.addresses().collect();
        for &address in &addresses {
            self.drop_address(now, service, address);
        }
        addresses
    }

    /// What a service holds.
    pub fn allocation(&self, service: &ServiceKey) -> Option<Allocation> {
        self.book.holding(service).map(|holding| self.describe(holding, None))
    }

    /// What everybody holds, in the order of the services.
    pub fn allocations(&self) -> impl Iterator<Item = (&ServiceKey, Allocation)> {
        self.book.sorted().into_iter().map(|holding| (&holding.service, self.describe(holding, None)))
    }

    /// How many services hold an address.
    pub fn len(&self) -> usize {
        self.book.len()
    }

    /// True when nobody holds anything.
    pub fn is_empty(&self) -> bool {
        self.book.len() == 0
    }

    /// How much of a pool is in use; `None` when it is not in force. Addresses in quarantine count as available.
    pub fn pool_usage(&self, pool: &PoolName) -> Option<Usage> {
        let index = self.pools.by_name(pool)?;
        Some(Usage {
            assigned_v4: index.assigned(Family::V4),
            assigned_v6: index.assigned(Family::V6),
            available_v4: index.available(Family::V4),
            available_v6: index.available(Family::V6),
        })
    }

    /// When to call [`Allocator::handle_timeout`] next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.quarantine.next_end()
    }

    /// Ends the quarantines whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((address, until)) = self.quarantine.pop_ended(now) {
            if let Some((pool, position)) = self.pools.locate(address) {
                self.pools
                    .index_mut(pool, |index| index.end_quarantine(Family::of(address), position, until));
            }
        }
    }

    pub(super) fn describe(&self, holding: &Holding, missing: Option<AllocationError>) -> Allocation {
        let count = holding.addresses().count();
        let mut allocation = Allocation {
            addresses: Vec::with_capacity(count),
            pools: Vec::with_capacity(count),
            held: Vec::new(),
            missing,
        };
        for address in holding.addresses() {
            let held = self.held_for(&holding.service, Family::of(address));
            let pool = held.or_else(|| self.pools.name_of(address));
            allocation.addresses.push(address);
            if let Some(pool) = pool.filter(|pool| !allocation.pools.contains(pool)) {
                allocation.pools.push(pool.clone());
            }
            if let Some(pool) = held {
                allocation.held.push((address, pool.clone()));
            }
        }
        allocation
    }
}

//! What a service may keep, and beside whom.

use std::net::IpAddr;

use super::action::ClearReason;
use super::allocator::Allocator;
use super::book::Holding;
use super::claim::Claim;
use super::error::AllocationError;
use super::pool_index::PoolIndex;
use crate::config::{RejectedPool, SharingScope};
use crate::keys::{Family, PoolName};

impl Allocator {
    /// May a service keep an address as far as pools and its own wishes are concerned? `Ok(Some(pool))`: yes, held for
    /// that pool, which is not in force.
    pub(super) fn may_keep(
        &self,
        claim: &Claim<'_>,
        address: IpAddr,
        recorded: &[PoolName],
    ) -> Result<Option<PoolName>, ClearReason> {
        let request = claim.request;
        if !request.families().contains(Family::of(address)) {
            return Err(ClearReason::FamilyNotWanted { address });
        }
        if !request.wanted_addresses().is_empty() && !request.wanted_addresses().contains(&address) {
            return Err(ClearReason::OtherAddressWanted { address });
        }
        let unwanted = |pool: &PoolName| {
            let wanted = request.wanted_pool().filter(|wanted| *wanted != pool)?;
            Some(ClearReason::OtherPoolWanted { address, pool: wanted.clone() })
        };
        let reason = match self.permitted_pool(claim, address) {
            Err(reason) => reason,
            Ok(pool) => match unwanted(&pool) {
                Some(reason) => reason,
                None => return Ok(None),
            },
        };
        let known = self.held_for(claim.service, Family::of(address));
        match self.held_by(address, recorded.iter().chain(known), &reason) {
            Some(pool) => unwanted(&pool).map_or(Ok(Some(pool)), Err),
            None => Err(reason),
        }
    }

    /// The pool in force that has the address and admits the service.
    fn permitted_pool(&self, claim: &Claim<'_>, address: IpAddr) -> Result<PoolName, ClearReason> {
        let Some((id, _)) = self.pools.locate(address) else {
            return Err(ClearReason::NotInPool { address });
        };
        let Some(pool) = self.pools.index(id).map(PoolIndex::pool) else {
            return Err(ClearReason::NotInPool { address });
        };
        if pool.avoids(address) {
            return Err(ClearReason::Avoided { address, pool: pool.name.clone() });
        }
        if !claim.is_admitted_by(pool) {
            return Err(ClearReason::NotAdmitted { address, pool: pool.name.clone() });
        }
        Ok(pool.name.clone())
    }

    /// The rejected pool for which the address is held: one that it is recorded to come from, or one that contains it
    /// when no pool in force does.
    fn held_by<'a>(
        &self,
        address: IpAddr,
        recorded: impl Iterator<Item = &'a PoolName>,
        reason: &ClearReason,
    ) -> Option<PoolName> {
        if self.rejected.is_empty() {
            return None;
        }
        let containing = |pool: &&RejectedPool| pool.contains(address);
        let recorded: Vec<&RejectedPool> = recorded.filter_map(|name| self.rejected.get(name)).collect();
        if let Some(pool) = recorded.iter().copied().find(containing).or_else(|| recorded.first().copied()) {
            return Some(pool.name.clone());
        }
        let in_no_pool = matches!(reason, ClearReason::NotInPool { .. });
        self.rejected.values().find(containing).filter(|_| in_no_pool).map(|pool| pool.name.clone())
    }

    /// May the service hold the address beside those that hold it now? `lenient`: it had it before, so MetalLB's
    /// weaker rule is enough.
    pub(super) fn may_join(
        &self,
        claim: &Claim<'_>,
        address: IpAddr,
        lenient: bool,
    ) -> Result<(), AllocationError> {
        // Of several that refuse, the first by name is told: the order of the holders depends on history.
        let others = self.book.holders_of(address).filter(|other| other.service != *claim.service);
        let refused =
            others.filter_map(|other| Some((&other.service, self.refusal(claim, address, other, lenient)?)));
        if let Some((_, error)) = refused.min_by(|a, b| a.0.cmp(b.0)) {
            return Err(error);
        }
        match self.book.port_conflict(address, claim.service, claim.ports) {
            Some((port, holder)) => {
                Err(AllocationError::PortConflict { address, port, holder: holder.clone() })
            }
            None => Ok(()),
        }
    }

    /// Why the service may not hold the address beside this one, whatever its ports.
    pub(super) fn refusal(
        &self,
        claim: &Claim<'_>,
        address: IpAddr,
        other: &Holding,
        lenient: bool,
    ) -> Option<AllocationError> {
        let holder = other.service.clone();
        let (Some(mine), Some(theirs)) = (&claim.sharing, &other.sharing) else {
            return Some(AllocationError::AddressInUse { address, holder });
        };
        if mine.key != theirs.key {
            return Some(AllocationError::SharingKeyMismatch { address, holder });
        }
        if mine != theirs && !(lenient && mine.may_keep_with(theirs)) {
            return Some(AllocationError::BackendMismatch { address, holder });
        }
        let foreign = other.service.namespace() != claim.service.namespace();
        (foreign && !lenient && self.scope_at(address) == SharingScope::Namespace)
            .then_some(AllocationError::OtherNamespace { address, holder })
    }
}

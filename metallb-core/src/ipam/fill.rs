//! Which pool, and which address of it.

use std::net::IpAddr;

use super::allocator::{Allocation, Allocator, SharingOrder};
use super::book::Slot;
use super::claim::Claim;
use super::error::AllocationError;
use super::pool_index::PoolIndex;
use super::pools::{Group, PoolId};
use crate::addr::from_value;
use crate::facts::FamilyPolicy;
use crate::keys::{Family, NamespaceName};

/// What is chosen for a service: at most one address per family.
pub(super) type Picks = [Option<IpAddr>; 2];

/// A pool that may serve a claim, with the group in which it competes.
pub(super) type Eligible = (Group, PoolId);

/// What is considered for a service, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Only addresses that it may join.
    Joined,
    /// These, and what is free.
    Free,
    /// These, and what is in quarantine.
    Quarantined,
}

/// A service does not have all that it wants.
#[derive(Clone, Copy, Debug)]
struct Missing {
    has_one: bool,
}

impl Allocator {
    /// Gives the service what it does not have yet; what it has is known to be right.
    pub(super) fn fill(&mut self, claim: &Claim<'_>) -> Result<Allocation, AllocationError> {
        let Some(slot) = self.book.slot(claim.service) else { return self.fill_new(claim) };
        match self.missing(claim) {
            None => self.outcome(Some(slot), None),
            Some(missing) => {
                let picks = self.more(claim, missing.has_one);
                self.give(claim, Some(slot), picks)
            }
        }
    }

    /// As [`Allocator::fill`], for a service that holds nothing.
    pub(super) fn fill_new(&mut self, claim: &Claim<'_>) -> Result<Allocation, AllocationError> {
        let picks = self.more(claim, false);
        self.give(claim, None, picks)
    }

    fn give(
        &mut self,
        claim: &Claim<'_>,
        slot: Option<Slot>,
        picks: Result<Picks, AllocationError>,
    ) -> Result<Allocation, AllocationError> {
        let (mut picks, mut missing) = match picks {
            Ok(picks) => (picks, None),
            Err(error) => return self.outcome(slot, Some(error)),
        };
        if let [Some(one), None] = picks
            && claim.request.families().second().is_some()
            && self.lacks(claim, Some(one)).is_some()
        {
            match self.second(claim, Some(one)) {
                Ok([second, _]) => picks = [Some(one), second],
                Err(error) => missing = Some(error),
            }
        }
        // Of what is given together IPv4 comes first.
        picks.sort_unstable();
        let slot = self.hold_all(claim, picks).or(slot);
        self.outcome(slot, missing)
    }

    fn hold_all(&mut self, claim: &Claim<'_>, picks: Picks) -> Option<Slot> {
        picks.into_iter().flatten().fold(None, |_, address| Some(self.hold(claim, address, None)))
    }

    fn outcome(
        &self,
        slot: Option<Slot>,
        missing: Option<AllocationError>,
    ) -> Result<Allocation, AllocationError> {
        match (slot.and_then(|slot| self.book.at(slot)), missing) {
            (Some(holding), missing) => Ok(self.describe(holding, missing)),
            (None, Some(error)) => Err(error),
            // Not reachable: a request always names a family.
            (None, None) => Err(AllocationError::NoMatchingPool),
        }
    }

    /// What the service would be given now in addition to what it holds.
    pub(super) fn preview(
        &self,
        claim: &Claim<'_>,
    ) -> Result<impl Iterator<Item = IpAddr> + use<>, AllocationError> {
        let picks = match self.missing(claim) {
            Some(missing) => self.more(claim, missing.has_one)?,
            None => [None; 2],
        };
        Ok(picks.into_iter().flatten())
    }

    /// `None` when the service has all that it wants.
    fn missing(&self, claim: &Claim<'_>) -> Option<Missing> {
        let holding = self.book.holding(claim.service);
        let has = |family| holding.is_some_and(|holding| holding.address(family).is_some());
        let complete = claim.request.families().iter().all(has);
        (!complete).then_some(Missing { has_one: holding.is_some() })
    }

    /// What a service gets in addition to what it holds.
    pub(super) fn more(&self, claim: &Claim<'_>, has_one: bool) -> Result<Picks, AllocationError> {
        if !claim.request.wanted_addresses().is_empty() {
            self.wanted(claim)
        } else if let Some(picks) = self.recalled(claim) {
            Ok(picks)
        } else if has_one {
            self.second(claim, None)
        } else {
            self.fresh(claim)
        }
    }

    /// The addresses that are asked for by name, all or none.
    fn wanted(&self, claim: &Claim<'_>) -> Result<Picks, AllocationError> {
        let mut chosen = [None; 2];
        let mut with = None;
        let mut first_pool: Option<PoolId> = None;
        for (place, &address) in chosen.iter_mut().zip(claim.request.wanted_addresses()) {
            let pool = self.pool_for_wanted(claim, address)?;
            match first_pool {
                Some(first) if first != pool && !self.options.dual_stack_two_pools => {
                    let name = |id| self.pools.index(id).map(|index: &PoolIndex| index.pool().name.clone());
                    if let (Some(first), Some(second)) = (name(first), name(pool)) {
                        return Err(AllocationError::DifferentPools { first, second });
                    }
                }
                _ => first_pool = Some(pool),
            }
            if self.book.holding(claim.service).is_some_and(|holding| holding.holds(address)) {
                continue;
            }
            if let Some(barrier) = self.barrier(address) {
                return Err(barrier);
            }
            self.may_join(claim, address, false)?;
            self.check_room(claim, address, with)?;
            with = Some(address);
            *place = Some(address);
        }
        Ok(chosen)
    }

    fn pool_for_wanted(&self, claim: &Claim<'_>, address: IpAddr) -> Result<PoolId, AllocationError> {
        let located = self.pools.locate(address).and_then(|(id, _)| Some((id, self.pools.index(id)?.pool())));
        if let Some(wanted) = claim.request.wanted_pool() {
            self.eligible_by_name(claim)?;
            if located.is_none_or(|(_, pool)| pool.name != *wanted) {
                return Err(AllocationError::AddressNotInWantedPool { address, pool: wanted.clone() });
            }
        }
        let Some((id, pool)) = located else {
            let rejected = self.rejected.values().find(|pool| pool.contains(address));
            return Err(match rejected {
                Some(pool) => AllocationError::PoolRejected { pool: pool.name.clone() },
                None => AllocationError::AddressNotInPool { address },
            });
        };
        if !pool.contains(address) {
            return Err(AllocationError::AddressAvoided { address, pool: pool.name.clone() });
        }
        self.admitted(claim, id).map(|()| id)
    }

    /// The family that the service wants and does not have, when it gets `with` in addition to what it holds.
    fn lacks(&self, claim: &Claim<'_>, with: Option<IpAddr>) -> Option<Family> {
        let holding = self.book.holding(claim.service);
        let holds = |family| holding.is_some_and(|holding| holding.address(family).is_some());
        let gets = |family| with.is_some_and(|address| Family::of(address) == family);
        claim.request.families().iter().find(|&family| !holds(family) && !gets(family))
    }

    /// The missing second address of a service that has one, or is given `with`: from the same pool, or from another when
    /// two may serve.
    pub(super) fn second(&self, claim: &Claim<'_>, with: Option<IpAddr>) -> Result<Picks, AllocationError> {
        let Some(missing) = self.lacks(claim, with) else { return Ok([None; 2]) };
        let pools = self.pools_for_second(claim, missing, with)?;
        for &step in self.steps(claim) {
            let set =
                (step == Step::Joined).then(|| self.rest_of_set(claim, missing, with, &pools)).flatten();
            let each = || pools.iter().find_map(|&(_, id)| self.choose(claim, (id, missing), step, with));
            if let Some(address) = set.or_else(each) {
                return Ok([Some(address), None]);
            }
        }
        Err(self.why_not(claim, &pools, [missing].into_iter(), with))
    }

    /// What is tried for a claim, in this order.
    const fn steps(&self, claim: &Claim<'_>) -> &'static [Step] {
        match self.options.sharing_order {
            SharingOrder::SharedFirst if claim.sharing.is_some() => {
                &[Step::Joined, Step::Free, Step::Quarantined]
            }
            _ => &[Step::Free, Step::Quarantined],
        }
    }

    /// The pools that may give a service its missing address, when it holds one of the other family or is given it.
    fn pools_for_second(
        &self,
        claim: &Claim<'_>,
        missing: Family,
        with: Option<IpAddr>,
    ) -> Result<Vec<Eligible>, AllocationError> {
        let holding = self.book.holding(claim.service);
        let first = holding.and_then(|holding| holding.address(missing.other())).or(with);
        let own =
            first.and_then(|address| self.pools.locate(address)).map(|(id, _)| (Group::Unrestricted, id));
        if self.options.dual_stack_two_pools {
            let own = own.filter(|&(_, id)| self.admitted(claim, id).is_ok());
            let others = self.eligible(claim)?;
            let others = others.into_iter().filter(|other| own.is_none_or(|own| own.1 != other.1));
            return Ok(own.into_iter().chain(others).collect());
        }
        own.map(|own| vec![own]).ok_or_else(|| {
            // The address that it has is held for a pool that is not in force.
            let held = self.held.get(&(claim.service.clone(), missing.other()));
            held.map_or(AllocationError::NoMatchingPool, |held| AllocationError::PoolRejected {
                pool: held.pool.clone(),
            })
        })
    }

    /// The pools that may help a service that has not got all it wants.
    pub(super) fn helpful(&self, claim: &Claim<'_>) -> Vec<PoolId> {
        let holding = self.book.holding(claim.service);
        let lacks = |family| holding.is_some_and(|holding| holding.address(family).is_none());
        let pools = match claim.request.families().iter().find(|&family| lacks(family)) {
            Some(missing) => self.pools_for_second(claim, missing, None),
            None => self.eligible(claim),
        };
        pools.unwrap_or_default().into_iter().map(|(_, id)| id).collect()
    }

    /// The addresses of a service that has none.
    fn fresh(&self, claim: &Claim<'_>) -> Result<Picks, AllocationError> {
        let families = claim.request.families();
        if families.second().is_none()
            && claim.request.wanted_pool().is_none()
            && let Some(address) = self.first_of_ranked(claim, families.preferred())
        {
            return Ok([Some(address), None]);
        }
        let pools = self.eligible(claim)?;
        for &step in self.steps(claim) {
            let chosen = match families.second() {
                None => self.one_of(claim, &pools, (families.preferred(), step), None),
                Some(_) if step == Step::Joined => self.joined_set(claim, &pools),
                Some(_) => self.two_of(claim, &pools, step),
            };
            if let Some(chosen) = chosen {
                return Ok(chosen);
            }
        }
        Err(self.why_not(claim, &pools, families.iter(), None))
    }

    /// The usual case without a list of pools: one address, any pool.
    fn first_of_ranked(&self, claim: &Claim<'_>, family: Family) -> Option<IpAddr> {
        let steps = self.steps(claim).iter().filter(|step| **step != Step::Quarantined);
        steps.copied().find_map(|step| {
            let mut admitting =
                self.pools.ranked().filter(|(_, _, index)| claim.is_admitted_by(index.pool()));
            admitting.find_map(|(_, id, _)| self.choose(claim, (id, family), step, None))
        })
    }

    fn one_of(
        &self,
        claim: &Claim<'_>,
        pools: &[Eligible],
        (family, step): (Family, Step),
        with: Option<IpAddr>,
    ) -> Option<Picks> {
        pools
            .iter()
            .find_map(|&(_, id)| self.choose(claim, (id, family), step, with))
            .map(|address| [Some(address), None])
    }

    /// Within each group: the first pool that has both; else, when one is enough, the first that has the preferred
    /// family, then the first that has the other. Both with one from quarantine are better than one: nothing else would
    /// give the service its second address.
    fn two_of(&self, claim: &Claim<'_>, pools: &[Eligible], step: Step) -> Option<Picks> {
        let families = claim.request.families();
        for group in pools.chunk_by(|a, b| a.0 == b.0) {
            let both = |step| {
                group.iter().find_map(|&(_, id)| {
                    let v4 = self.choose(claim, (id, Family::V4), step, None)?;
                    let v6 = self.choose(claim, (id, Family::V6), step, Some(v4))?;
                    Some([Some(v4), Some(v6)])
                })
            };
            let half = || families.iter().find_map(|family| self.one_of(claim, group, (family, step), None));
            let found = match claim.request.policy() {
                FamilyPolicy::RequireDual => both(step),
                _ => both(Step::Free).or_else(|| both(Step::Quarantined)).or_else(half),
            };
            if found.is_some() {
                return found;
            }
        }
        if !self.options.dual_stack_two_pools {
            return None;
        }
        let [v4, _] = self.one_of(claim, pools, (Family::V4, step), None)?;
        let [v6, _] = self.one_of(claim, pools, (Family::V6, step), v4)?;
        Some([v4, v6])
    }

    /// The address of a pool for a claim. Of what is considered the first in the order of the pool, with addresses that it
    /// may join before all others unless [`SharingOrder::FirstFree`] is set; from quarantine, when there is nothing else,
    /// the one whose quarantine ends first. `with`: what the service is given as well.
    pub(super) fn choose(
        &self,
        claim: &Claim<'_>,
        (id, family): (PoolId, Family),
        step: Step,
        with: Option<IpAddr>,
    ) -> Option<IpAddr> {
        if self.is_full_for(claim, id, with) {
            return self.own_shared(claim, id, family);
        }
        let index = self.pools.index(id)?;
        let first_free = self.options.sharing_order == SharingOrder::FirstFree;
        let free = if step == Step::Joined { None } else { index.first_free(family) };
        let key = self.join_key(claim, index);
        let limit = free.filter(|_| first_free);
        let shared = key.and_then(|key| index.first_shared(family, &key, claim.ports, limit));
        let chosen = match step {
            Step::Joined => shared,
            _ if shared.is_some() && !first_free => shared,
            _ => [free, self.own_quarantined(claim.service, family, id), shared].into_iter().flatten().min(),
        };
        let quarantined = || if step == Step::Quarantined { index.first_quarantined(family) } else { None };
        chosen.map(|(_, value)| value).or_else(quarantined).map(|value| from_value(family, value))
    }

    /// The pools that may serve a claim, best first.
    pub(super) fn eligible(&self, claim: &Claim<'_>) -> Result<Vec<Eligible>, AllocationError> {
        if claim.request.wanted_pool().is_some() {
            return self.eligible_by_name(claim).map(|id| vec![(Group::Unrestricted, id)]);
        }
        let pools: Vec<Eligible> = self
            .pools
            .ranked()
            .filter(|(_, _, index)| claim.is_admitted_by(index.pool()))
            .map(|(group, id, _)| (group, id))
            .collect();
        match pools.is_empty() {
            false => Ok(pools),
            true if self.pools.is_empty() => Err(AllocationError::NoPool),
            true => Err(AllocationError::NoMatchingPool),
        }
    }

    fn eligible_by_name(&self, claim: &Claim<'_>) -> Result<PoolId, AllocationError> {
        let Some(name) = claim.request.wanted_pool() else { return Err(AllocationError::NoMatchingPool) };
        match self.pools.id(name) {
            Some(id) => self.admitted(claim, id).map(|()| id),
            None if self.rejected.contains_key(name) => {
                Err(AllocationError::PoolRejected { pool: name.clone() })
            }
            None => Err(AllocationError::UnknownPool { pool: name.clone() }),
        }
    }

    fn admitted(&self, claim: &Claim<'_>, id: PoolId) -> Result<(), AllocationError> {
        let Some(pool) = self.pools.index(id).map(PoolIndex::pool) else {
            return Err(AllocationError::NoPool);
        };
        if claim.is_admitted_by(pool) {
            return Ok(());
        }
        let namespace = NamespaceName::new(claim.service.namespace());
        Err(AllocationError::PoolNotAdmitted { pool: pool.name.clone(), namespace })
    }

    /// Why none of the pools could serve the families.
    fn why_not(
        &self,
        claim: &Claim<'_>,
        pools: &[Eligible],
        families: impl Iterator<Item = Family>,
        with: Option<IpAddr>,
    ) -> AllocationError {
        for family in families {
            let of_family: Vec<&PoolIndex> = pools
                .iter()
                .filter_map(|&(_, id)| self.pools.index(id))
                .filter(|index| index.pool().has_family(family))
                .collect();
            let exhausted = match of_family.as_slice() {
                [] => return self.no_family(pools, family),
                all if all.iter().any(|index| index.has_any(family)) => {
                    let open = |id: &PoolId| self.pools.index(*id).is_some_and(|index| index.has_any(family));
                    let mut open = pools.iter().map(|&(_, id)| id).filter(open);
                    let Some(first) = open.next().filter(|&id| self.is_full_for(claim, id, with)) else {
                        continue;
                    };
                    if !open.all(|id| self.is_full_for(claim, id, with)) {
                        continue;
                    }
                    self.quota_reached(claim, first)
                }
                [index] => {
                    let (pool, capacity) = (index.pool().name.clone(), index.capacity(family));
                    let kept_back = index.kept_back(family);
                    AllocationError::PoolExhausted { pool, family, capacity, kept_back }
                }
                all => AllocationError::AllExhausted { pools: all.len(), family },
            };
            return self.with_obstacle(claim, &of_family, family, exhausted);
        }
        match self.limited(claim, pools, 2, with) {
            Some(&(_, id)) => self.quota_reached(claim, id),
            None => AllocationError::NoPoolOfBothFamilies,
        }
    }

    fn no_family(&self, pools: &[Eligible], family: Family) -> AllocationError {
        let only = pools.first().filter(|_| pools.len() == 1).and_then(|&(_, id)| self.pools.index(id));
        only.map_or(AllocationError::NoPoolOfFamily { family }, |index| AllocationError::PoolLacksFamily {
            pool: index.pool().name.clone(),
            family,
        })
    }
}

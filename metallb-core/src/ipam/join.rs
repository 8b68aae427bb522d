//! Which addresses of others a service may join: sets of two families, and what stands in the way.

use std::net::IpAddr;

use super::allocator::Allocator;
use super::claim::Claim;
use super::error::AllocationError;
use super::fill::{Eligible, Picks};
use super::pool_index::PoolIndex;
use crate::addr::{AddressRange, from_value};
use crate::keys::Family;

impl Allocator {
    /// Both addresses of a service that has one of each and lets others join, from the first pool that has such a pair.
    pub(super) fn joined_set(&self, claim: &Claim<'_>, pools: &[Eligible]) -> Option<Picks> {
        pools.iter().enumerate().find_map(|(at, &(_, id))| {
            let index = self.pools.index(id)?;
            let key = self.join_key(claim, index)?;
            let own = pools.get(at..=at).unwrap_or_default();
            let others = if self.options.dual_stack_two_pools { pools } else { own };
            let open = index.open_shared(Family::V4, &key, claim.ports).take(MOST_SETS);
            open.map(|(_, value)| from_value(Family::V4, value))
                .filter(|&v4| self.has_room(claim, v4, None))
                .find_map(|v4| Some([Some(v4), Some(self.rest_of_set(claim, Family::V6, Some(v4), others)?)]))
        })
    }

    /// The address of the missing family that somebody has who holds the other one, too, if the service may join it there.
    pub(super) fn rest_of_set(
        &self,
        claim: &Claim<'_>,
        missing: Family,
        with: Option<IpAddr>,
        pools: &[Eligible],
    ) -> Option<IpAddr> {
        let sharing = claim.sharing.as_ref()?;
        let holding = self.book.holding(claim.service);
        let first = with.or_else(|| holding.and_then(|holding| holding.address(missing.other())))?;
        let partners = self.book.holders_of(first).filter(|partner| partner.service != *claim.service);
        let candidates = partners
            .filter(|partner| partner.sharing.as_ref() == Some(sharing))
            .filter_map(|partner| partner.address(missing));
        let located = candidates.filter_map(|address| {
            let (id, position) = self.pools.locate(address)?;
            let rank = pools.iter().position(|&(_, pool)| pool == id)?;
            let usable = !self.pools.index(id)?.is_barred(missing, position.1);
            let free = usable && self.may_join(claim, address, false).is_ok();
            (free && self.has_room(claim, address, with)).then_some((rank, position, address))
        });
        located.min().map(|(.., address)| address)
    }

    /// Says, for a service with a sharing key, why it cannot join the nearest address either: the first that is held under
    /// the same key, else the first that is held at all.
    pub(super) fn with_obstacle(
        &self,
        claim: &Claim<'_>,
        pools: &[&PoolIndex],
        family: Family,
        exhausted: AllocationError,
    ) -> AllocationError {
        let Some(sharing) = claim.sharing.as_deref() else { return exhausted };
        let same_key = pools.iter().find_map(|index| index.first_with_key(family, &sharing.key));
        let any = || pools.iter().find_map(|index| self.first_held(index, family));
        let nearest = same_key.or_else(any).map(|value| from_value(family, value));
        match nearest.and_then(|address| self.may_join(claim, address, false).err()) {
            Some(obstacle) => AllocationError::NothingToShare {
                exhausted: Box::new(exhausted),
                obstacle: Box::new(obstacle),
            },
            None => exhausted,
        }
    }

    fn first_held(&self, index: &PoolIndex, family: Family) -> Option<u128> {
        let entries = index.pool().entries.iter().filter(|entry| entry.family() == family);
        entries
            .map(AddressRange::bounds)
            .find_map(|(first, last)| self.book.held_in(family, first, last).next())
    }
}

/// How many addresses of one pool are looked at for a set: a bound on the work when many services under one key have
/// one family only.
const MOST_SETS: usize = 256;

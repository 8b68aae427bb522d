//! What a service lost when its pool was away, and gets back.

use std::net::IpAddr;

use super::allocator::Allocator;
use super::claim::Claim;
use super::fill::Picks;
use crate::facts::FamilyPolicy;
use crate::keys::Family;

impl Allocator {
    /// The addresses that a service lost and may have again, of families that it lacks. For one that must have both, only
    /// together with the other.
    pub(super) fn recalled(&self, claim: &Claim<'_>) -> Option<Picks> {
        let mut picks = self.recallable(claim);
        let first = picks[0]?;
        let has_one = self.book.holding(claim.service).is_some();
        if picks[1].is_none() && !has_one && claim.request.policy() == FamilyPolicy::RequireDual {
            let [second, _] = self.second(claim, Some(first)).ok()?;
            picks[1] = second;
        }
        Some(picks)
    }

    /// Gives a service back what it lost, before anybody else is given anything. What cannot be given back alone waits.
    pub(super) fn recall(&mut self, claim: &Claim<'_>) {
        if !claim.request.wanted_addresses().is_empty() {
            return;
        }
        let picks = self.recallable(claim);
        let has_one = self.book.holding(claim.service).is_some();
        let must_be_two = claim.request.policy() == FamilyPolicy::RequireDual && !has_one;
        if must_be_two && picks[1].is_none() {
            return;
        }
        for address in picks.into_iter().flatten() {
            self.hold(claim, address, None);
        }
    }

    /// What may be had again, IPv4 first, the first place filled first.
    fn recallable(&self, claim: &Claim<'_>) -> Picks {
        let holding = self.book.holding(claim.service);
        let lacks = |family| {
            claim.request.families().contains(family)
                && holding.is_none_or(|holding| holding.address(family).is_none())
        };
        let may_have = |address: &IpAddr| {
            lacks(Family::of(*address))
                && matches!(self.may_keep(claim, *address, &[]), Ok(None))
                && self.barrier(*address).is_none()
                && self.has_room(claim, *address, None)
                && self.may_join(claim, *address, false).is_ok()
        };
        let mut found = self.quarantine.recalled(claim.service).filter(may_have);
        let first = found.next();
        let second = found.find(|address| {
            first.is_some_and(|first| Family::of(first) != Family::of(*address))
                && self.has_room(claim, *address, first)
        });
        [first, second]
    }
}

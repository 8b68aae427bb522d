//! Who gives way when services of several namespaces hold one address.

use std::net::IpAddr;
use std::time::Instant;

use super::action::ClearReason;
use super::allocator::{Allocator, Held};
use super::book::Holding;
use super::claim::Claim;
use crate::keys::{Family, ServiceKey};

/// A service that has lost an address to one of another namespace that held it earlier.
#[derive(Debug)]
pub(super) struct Displaced {
    /// What it had.
    before: Holding,
    held: Option<Held>,
    address: IpAddr,
    reason: ClearReason,
}

impl Allocator {
    /// The services that have lost an address since this was asked last, because one of another namespace, which held it
    /// earlier, has changed and they may not hold it together any more. To be asked after [`Allocator::revise`] and
    /// [`Allocator::allocate`].
    pub fn take_displaced(&mut self) -> Vec<(ServiceKey, ClearReason)> {
        let displaced = std::mem::take(&mut self.displaced).into_iter();
        displaced.map(|displaced| (displaced.before.service, displaced.reason)).collect()
    }

    /// Takes an address from those that may not hold it beside the claim, if all of them are in other namespaces and have
    /// joined later. Returns whether the way is free.
    pub(super) fn displace(
        &mut self,
        now: Instant,
        claim: &Claim<'_>,
        address: IpAddr,
        lenient: bool,
    ) -> bool {
        let family = Family::of(address);
        let since = |holding: &Holding| holding.since(family);
        let Some(own) = self.book.holding(claim.service).map(since) else { return false };
        let others = self.book.holders_of(address).filter(|other| other.service != *claim.service);
        let in_the_way = others.filter(|other| {
            let mut ports = other.ports.iter();
            self.refusal(claim, address, other, lenient).is_some()
                || ports.any(|port| claim.ports.contains(port))
        });
        let mut later: Vec<Holding> = in_the_way.cloned().collect();
        let gives_way =
            |other: &Holding| other.service.namespace() != claim.service.namespace() && since(other) > own;
        if later.is_empty() || !later.iter().all(gives_way) {
            return false;
        }
        later.sort_by(|a, b| a.service.cmp(&b.service));
        for before in later {
            let held = self.held.get(&(before.service.clone(), family)).cloned();
            let reason = ClearReason::GaveWay { address, to: claim.service.clone() };
            self.drop_address(now, &before.service, address);
            self.displaced.push(Displaced { before, held, address, reason });
        }
        true
    }

    /// Gives back what was taken by [`Allocator::displace`] since there were `known` of them.
    pub(super) fn replace_displaced(&mut self, claim: &Claim<'_>, known: usize) {
        for displaced in self.displaced.split_off(known.min(self.displaced.len())).into_iter().rev() {
            let Displaced { before, held, address, .. } = displaced;
            self.hold_again(claim, &before, address);
            if let Some(held) = held {
                self.held.insert((before.service.clone(), Family::of(address)), held);
            }
        }
    }

    /// Writes down that a service holds an address as it did before, since when it did and in the same order.
    pub(super) fn hold_again(&mut self, claim: &Claim<'_>, before: &Holding, address: IpAddr) {
        let ports = before.ports.iter().copied().collect();
        let earlier = Claim {
            service: &before.service,
            ports: &ports,
            sharing: before.sharing.clone(),
            ..claim.clone()
        };
        self.hold(&earlier, address, None);
        self.book.set_as_before(before, address);
    }

    /// The service of another namespace that has held the address for the longest time, when nobody else of the namespace of
    /// `service` holds it: it is to be told of `service`.
    pub(super) fn host_of(&self, service: &ServiceKey, address: IpAddr) -> Option<&ServiceKey> {
        let family = Family::of(address);
        let others = || self.book.holders_of(address).filter(|other| other.service != *service);
        if others().any(|other| other.service.namespace() == service.namespace()) {
            return None;
        }
        others().min_by_key(|other| other.since(family)).map(|other| &other.service)
    }
}

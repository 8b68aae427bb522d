//! Addresses that were released a moment ago, and those that are remembered for somebody who lost them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use crate::keys::ServiceKey;

/// Until when an address is given to others only when nothing else is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    /// Until this time.
    At(Instant),
    /// Until the service that lost it has it back or another, or is gone; who lost one earlier has a lower number.
    Recalled(u64),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    by_address: BTreeMap<IpAddr, (ServiceKey, Until)>,
    by_service: BTreeSet<(ServiceKey, IpAddr)>,
    by_end: BTreeSet<(Until, IpAddr)>,
    recalled: usize,
    losses: u64,
}

impl Quarantine {
    pub(super) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// How many addresses are remembered.
    pub(super) const fn remembered(&self) -> usize {
        self.recalled
    }

    /// The end for an address that is remembered from now on.
    pub(super) fn next_loss(&mut self) -> Until {
        self.losses = self.losses.saturating_add(1);
        Until::Recalled(self.losses)
    }

    /// The address that has been remembered for the longest time, when there are too many.
    pub(super) fn surplus(&self) -> Option<IpAddr> {
        let mut recalled = self.by_end.range((Until::Recalled(0), LOWEST)..);
        recalled.next().filter(|_| self.recalled > MOST_RECALLED).map(|&(_, address)| address)
    }

    pub(super) fn insert(&mut self, address: IpAddr, service: ServiceKey, until: Until) {
        self.remove(address);
        self.recalled += usize::from(matches!(until, Until::Recalled(_)));
        self.by_service.insert((service.clone(), address));
        self.by_end.insert((until, address));
        self.by_address.insert(address, (service, until));
    }

    /// Ends the quarantine of an address early; returns when it would have ended.
    pub(super) fn remove(&mut self, address: IpAddr) -> Option<Until> {
        if self.by_address.is_empty() {
            return None;
        }
        let (service, until) = self.by_address.remove(&address)?;
        self.by_service.remove(&(service, address));
        self.by_end.remove(&(until, address));
        self.recalled -= usize::from(matches!(until, Until::Recalled(_)));
        Some(until)
    }

    /// Until when the address is in quarantine.
    pub(super) fn until(&self, address: IpAddr) -> Option<Until> {
        self.by_address.get(&address).map(|&(_, until)| until)
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        match self.by_end.first() {
            Some(&(Until::At(end), _)) => Some(end),
            _ => None,
        }
    }

    /// The next address whose time has come.
    pub(super) fn pop_ended(&mut self, now: Instant) -> Option<(IpAddr, Until)> {
        let &(until, address) = self.by_end.first().filter(|(until, _)| *until <= Until::At(now))?;
        self.remove(address);
        Some((address, until))
    }

    /// The addresses that the service had.
    pub(super) fn of<'a>(&'a self, service: &'a ServiceKey) -> impl Iterator<Item = IpAddr> + 'a {
        let lowest = (service.clone(), LOWEST);
        self.by_service
            .range(lowest..)
            .take_while(move |(key, _)| key == service)
            .map(|&(_, address)| address)
    }

    /// The addresses that the service lost and is to have back.
    pub(super) fn recalled<'a>(&'a self, service: &'a ServiceKey) -> impl Iterator<Item = IpAddr> + 'a {
        let is_recalled = |address: &IpAddr| {
            self.by_address.get(address).is_some_and(|(_, until)| matches!(until, Until::Recalled(_)))
        };
        let any = (self.recalled > 0).then(|| self.of(service).filter(is_recalled));
        any.into_iter().flatten()
    }

    /// The addresses from `first` to `last` with the end of their quarantine.
    pub(super) fn within(&self, first: IpAddr, last: IpAddr) -> impl Iterator<Item = (IpAddr, Until)> {
        self.by_address.range(first..=last).map(|(&address, &(_, until))| (address, until))
    }
}

const LOWEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// How many lost addresses are remembered; the oldest are forgotten first.
const MOST_RECALLED: usize = 65_536;

//! Addresses that were released a moment ago.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use crate::keys::ServiceKey;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    by_address: BTreeMap<IpAddr, (ServiceKey, Instant)>,
    by_service: BTreeSet<(ServiceKey, IpAddr)>,
    by_end: BTreeSet<(Instant, IpAddr)>,
}

impl Quarantine {
    pub(super) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    pub(super) fn insert(&mut self, address: IpAddr, service: ServiceKey, until: Instant) {
        self.remove(address);
        self.by_service.insert((service.clone(), address));
        self.by_end.insert((until, address));
        self.by_address.insert(address, (service, until));
    }

    /// Ends the quarantine of an address early; returns when it would have ended.
    pub(super) fn remove(&mut self, address: IpAddr) -> Option<Instant> {
        if self.by_address.is_empty() {
            return None;
        }
        let (service, until) = self.by_address.remove(&address)?;
        self.by_service.remove(&(service, address));
        self.by_end.remove(&(until, address));
        Some(until)
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        self.by_end.first().map(|&(until, _)| until)
    }

    /// The next address whose time has come.
    pub(super) fn pop_ended(&mut self, now: Instant) -> Option<(IpAddr, Instant)> {
        let &(until, address) = self.by_end.first().filter(|(until, _)| *until <= now)?;
        self.remove(address);
        Some((address, until))
    }

    /// The addresses that the service had.
    pub(super) fn of<'a>(&'a self, service: &'a ServiceKey) -> impl Iterator<Item = IpAddr> + 'a {
        let lowest = (service.clone(), IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        self.by_service
            .range(lowest..)
            .take_while(move |(key, _)| key == service)
            .map(|&(_, address)| address)
    }

    /// The addresses from `first` to `last` with the end of their quarantine.
    pub(super) fn within(&self, first: IpAddr, last: IpAddr) -> impl Iterator<Item = (IpAddr, Instant)> {
        self.by_address.range(first..=last).map(|(&address, &(_, until))| (address, until))
    }
}

//! Which advertisements are for which services and addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::addr::AddressRange;
use crate::config::{BgpAdvertisement, Config, L2Advertisement, PoolMatch, RejectedPool};
use crate::facts::{Demand, Service};
use crate::keys::{AdvertisementName, PoolName};

/// One version of an advertisement: an edited advertisement has a new one, an untouched one keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AdId(u32);

/// A service with the advertisements that are for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matched {
    /// Every address that may be announced, with the Layer 2 advertisements that cover its pool and select
    /// the service.
    pub(super) l2: Vec<(IpAddr, Vec<AdId>)>,
    /// The same for BGP.
    pub(super) bgp: Vec<(IpAddr, Vec<AdId>)>,
}

impl Matched {
    pub(super) fn l2_ads(&self, address: IpAddr) -> &[AdId] {
        self.l2.iter().find(|(at, _)| *at == address).map_or(&[], |(_, ads)| ads)
    }

    /// All addresses that may be announced.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.l2.iter().map(|(address, _)| *address).collect()
    }

    /// The first address for which there is no advertisement of any kind.
    pub(super) fn unadvertised(&self) -> Option<IpAddr> {
        let without = self.l2.iter().filter(|(_, ads)| ads.is_empty()).map(|(address, _)| *address);
        let mut without =
            without.filter(|at| self.bgp.iter().any(|(address, ads)| address == at && ads.is_empty()));
        without.next()
    }
}

/// The advertisements in force, by version, and the pools that they cover.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    l2: Versions<L2Advertisement>,
    bgp: Versions<BgpAdvertisement>,
    /// By the first address of each entry.
    entries: BTreeMap<IpAddr, (IpAddr, PoolName)>,
    /// Entries of rejected pools; they may overlap those in force.
    rejected: Vec<(AddressRange, PoolName)>,
    pools: BTreeMap<PoolName, PoolAds>,
}

/// What is for one pool.
#[derive(Debug, Default)]
struct PoolAds {
    /// It is not in force, and some of its entries could not be read.
    unread: bool,
    l2: Vec<AdId>,
    bgp: Vec<AdId>,
}

/// Gives each version of an advertisement a number.
#[derive(Debug)]
struct Versions<T> {
    by_name: BTreeMap<AdvertisementName, AdId>,
    ads: BTreeMap<AdId, Arc<T>>,
    next: u32,
}

impl Coverage {
    pub(super) fn set_config(&mut self, config: &Config) {
        self.l2.update(config.l2_advertisements());
        self.bgp.update(config.bgp_advertisements());
        self.entries.clear();
        self.rejected.clear();
        self.pools.clear();
        for (name, pool) in config.pools() {
            for entry in &pool.entries {
                self.entries.insert(entry.first(), (entry.last(), name.clone()));
            }
            let ads = PoolAds {
                unread: false,
                l2: self.l2.filter(|ad| ad.applies_to(pool)),
                bgp: self.bgp.filter(|ad| ad.applies_to(pool)),
            };
            self.pools.insert(name.clone(), ads);
        }
        for (name, pool) in config.rejected_pools() {
            if self.pools.contains_key(name) {
                continue;
            }
            self.add_rejected(name, pool);
        }
    }

    /// The addresses of a pool that is not in force stay announced, by the advertisements that name it or
    /// are for all pools; its labels are not known.
    fn add_rejected(&mut self, name: &PoolName, pool: &RejectedPool) {
        self.rejected.extend(pool.entries.iter().map(|entry| (*entry, name.clone())));
        let ads = PoolAds {
            unread: pool.unread,
            l2: self.l2.filter(|ad| is_for_rejected(&ad.pools, name)),
            bgp: self.bgp.filter(|ad| is_for_rejected(&ad.pools, name)),
        };
        self.pools.insert(name.clone(), ads);
    }

    pub(super) fn l2(&self, id: AdId) -> Option<&Arc<L2Advertisement>> {
        self.l2.ads.get(&id)
    }

    pub(super) fn bgp(&self, id: AdId) -> Option<&Arc<BgpAdvertisement>> {
        self.bgp.ads.get(&id)
    }

    pub(super) fn all_l2(&self) -> impl Iterator<Item = (AdId, &Arc<L2Advertisement>)> {
        self.l2.ads.iter().map(|(id, ad)| (*id, ad))
    }

    pub(super) fn all_bgp(&self) -> impl Iterator<Item = (AdId, &Arc<BgpAdvertisement>)> {
        self.bgp.ads.iter().map(|(id, ad)| (*id, ad))
    }

    /// The pool of a service's address: in force, or existing but rejected.
    pub(super) fn pool_of<'a>(&'a self, address: IpAddr, service: &'a Service) -> Option<&'a PoolName> {
        let within = self.entries.range(..=address).next_back();
        let within =
            within.filter(|(first, (last, _))| first.is_ipv4() == address.is_ipv4() && *last >= address);
        if let Some((_, (_, name))) = within {
            return Some(name);
        }
        let held = self.rejected.iter().find(|(entry, _)| entry.contains(address)).map(|(_, name)| name);
        held.or_else(|| {
            // What a pool that can be read never had is not announced, whatever the service's annotation says.
            let may_be = |name: &&PoolName| self.pools.get(*name).is_some_and(|pool| pool.unread);
            service.recorded_pools.iter().find(may_be)
        })
    }

    /// The Layer 2 advertisements for a pool.
    pub(super) fn l2_of_pool(&self, pool: &PoolName) -> &[AdId] {
        self.pools.get(pool).map_or(&[], |ads| &ads.l2)
    }

    /// The BGP advertisements for a pool.
    pub(super) fn bgp_of_pool(&self, pool: &PoolName) -> &[AdId] {
        self.pools.get(pool).map_or(&[], |ads| &ads.bgp)
    }

    pub(super) fn matched(&self, service: &Service) -> Matched {
        let mut matched = Matched { l2: Vec::new(), bgp: Vec::new() };
        if service.demand == Demand::None {
            return matched;
        }
        for address in &service.assigned {
            let Some(pool) = self.pool_of(*address, service) else { continue };
            if matched.l2.iter().any(|(known, _)| known == address) {
                continue;
            }
            let l2 = self.l2_of_pool(pool).iter().copied();
            let l2 = l2.filter(|id| self.l2(*id).is_some_and(|ad| ad.selects_service(&service.labels)));
            matched.l2.push((*address, l2.collect()));
            let bgp = self.bgp_of_pool(pool).iter().copied();
            let bgp = bgp.filter(|id| self.bgp(*id).is_some_and(|ad| ad.selects_service(&service.labels)));
            matched.bgp.push((*address, bgp.collect()));
        }
        matched
    }
}

impl<T: PartialEq> Versions<T> {
    fn update(&mut self, wanted: &BTreeMap<AdvertisementName, Arc<T>>) {
        let mut by_name = BTreeMap::new();
        let mut ads = BTreeMap::new();
        for (name, ad) in wanted {
            let known = self.by_name.get(name).filter(|id| self.ads.get(id).is_some_and(|old| old == ad));
            let id = known.copied().unwrap_or_else(|| {
                self.next = self.next.wrapping_add(1);
                AdId(self.next)
            });
            by_name.insert(name.clone(), id);
            ads.insert(id, Arc::clone(ad));
        }
        self.by_name = by_name;
        self.ads = ads;
    }

    fn filter(&self, keep: impl Fn(&T) -> bool) -> Vec<AdId> {
        self.ads.iter().filter(|(_, ad)| keep(ad)).map(|(id, _)| *id).collect()
    }
}

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), ads: BTreeMap::new(), next: 0 }
    }
}

fn is_for_rejected(pools: &PoolMatch, name: &PoolName) -> bool {
    (pools.names.is_empty() && pools.selectors.is_empty()) || pools.names.contains(name)
}

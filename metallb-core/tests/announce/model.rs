//! The rules of the election once more, as plainly as possible and without anything remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use metallb_core::config::{BgpAdvertisement, Community, L2Advertisement};
use metallb_core::election::{ElectionKey, Place};
use metallb_core::facts::{Demand, Service, TrafficPolicy};
use metallb_core::keys::{AdvertisementName, Family, NodeName, PeerName, ServiceKey};

use crate::world::World;

/// By prefix and peer.
pub(crate) type Routes = BTreeMap<(IpNetwork, PeerName), (u32, BTreeSet<Community>)>;

impl World {
    /// The owner of an address, by brute force.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<NodeName> {
        if !self.is_layer2(address) {
            return None;
        }
        let (addresses, services) = self.group(address);
        let mut oldest: Vec<&Service> = services.iter().map(|key| &self.services[*key]).collect();
        oldest.sort_by_key(|service| (service.created, service.key.clone()));
        let key = ElectionKey::new(oldest.first()?.assigned[0]);
        let standing = |node: &NodeName| self.standing(node, &addresses, &services, &key);
        let candidates = self.nodes.keys().filter_map(|node| Some((standing(node)?, node.clone())));
        candidates
            .max_by_key(|((score, local, place), _)| (*score, *local, std::cmp::Reverse(*place)))
            .map(|(_, node)| node)
    }

    /// What a node tells which peer about which prefix: local preference and communities.
    pub(crate) fn routes(&self, node: &NodeName) -> Routes {
        let mut routes = Routes::new();
        let Some(fact) = self.nodes.get(node) else { return routes };
        let all_excluded = self.nodes.values().all(|node| node.excluded && node.control_plane);
        if fact.network_unavailable || (fact.excluded && !all_excluded) {
            return routes;
        }
        let peers = self.config.peers_on(&fact.labels).peers;
        let mut oldest: Vec<&Service> = self.services.values().filter(|s| s.demand != Demand::None).collect();
        oldest.sort_by_key(|service| (service.created, service.key.clone()));
        for service in oldest.into_iter().filter(|service| self.is_ready(service, node)) {
            let mut offers: BTreeMap<IpNetwork, BTreeMap<&AdvertisementName, &BgpAdvertisement>> =
                BTreeMap::new();
            for address in &service.assigned {
                let Some(pool) = self.config.pools().values().find(|pool| pool.entry_of(*address).is_some())
                else {
                    continue;
                };
                for ad in self.config.bgp_advertisements().values() {
                    if ad.applies_to(pool)
                        && ad.selects_service(&service.labels)
                        && ad.selects_node(&fact.labels)
                    {
                        let length = ad.prefix_length(Family::of(*address));
                        let network = IpNetwork::new(*address, length).unwrap();
                        let network = IpNetwork::new(network.network(), length).unwrap();
                        offers.entry(network).or_default().insert(&ad.name, ad);
                    }
                }
            }
            for (prefix, ads) in offers {
                let mut all = routes.clone();
                let mut agree = true;
                for (peer, ad) in peers.keys().flat_map(|peer| ads.values().map(move |ad| (peer, ad))) {
                    if ad.selects_peer(peer) {
                        let pref = ad.local_pref.unwrap_or(100);
                        let told =
                            all.entry((prefix, peer.clone())).or_insert_with(|| (pref, BTreeSet::new()));
                        agree &= told.0 == pref;
                        told.1.extend(&ad.communities);
                    }
                }
                if agree {
                    routes = all;
                }
            }
        }
        routes
    }

    fn is_ready(&self, service: &Service, node: &NodeName) -> bool {
        self.endpoints.get(&service.key).is_some_and(|endpoints| match service.traffic_policy {
            TrafficPolicy::Cluster => endpoints.any_ready(),
            TrafficPolicy::Local => endpoints.nodes.contains(node),
        })
    }

    /// Every address that a service has.
    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.services.values().flat_map(|service| service.assigned.iter().copied()).collect()
    }

    fn standing(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
        services: &BTreeSet<&ServiceKey>,
        key: &ElectionKey,
    ) -> Option<(u64, usize, Place)> {
        let fact = &self.nodes[node];
        let all_excluded = self.nodes.values().all(|node| node.excluded && node.control_plane);
        let out = fact.network_unavailable || fact.out_of_service || (fact.excluded && !all_excluded);
        if out || !self.members.contains(node) {
            return None;
        }
        for service in services {
            for address in
                self.services[*service].assigned.iter().filter(|address| addresses.contains(address))
            {
                let mut ads = self.ads(&self.services[*service], *address);
                if !ads.any(|ad| self.may(ad, node)) {
                    return None;
                }
            }
        }
        let mut local = 0;
        let mut ready = false;
        for service in services {
            let Some(endpoints) = self.endpoints.get(*service) else { continue };
            match self.services[*service].traffic_policy {
                TrafficPolicy::Cluster => ready |= endpoints.any_ready(),
                TrafficPolicy::Local => {
                    ready |= endpoints.nodes.contains(node);
                    local += usize::from(endpoints.nodes.contains(node));
                }
            }
        }
        let ads = self.all_ads(addresses, services);
        let on_node = ads.iter().filter(|ad| ad.selects_node(&fact.labels));
        let score = on_node.map(|ad| ad.preference_score(&fact.labels)).sum();
        let local = if services.len() > 1 { local } else { 0 };
        ready.then(|| (score, local, key.place(node)))
    }

    fn all_ads(
        &self,
        addresses: &BTreeSet<IpAddr>,
        services: &BTreeSet<&ServiceKey>,
    ) -> Vec<&L2Advertisement> {
        let of_pair = |service: &&&ServiceKey, address: &IpAddr| {
            let service = &self.services[**service];
            self.ads(service, *address).map(|ad| ad.name.clone()).collect::<Vec<_>>()
        };
        let names: BTreeSet<_> = services
            .iter()
            .flat_map(|service| {
                let own =
                    self.services[*service].assigned.iter().filter(|address| addresses.contains(address));
                own.flat_map(move |address| of_pair(&service, address))
            })
            .collect();
        names.iter().map(|name| &*self.config.l2_advertisements()[name]).collect()
    }

    fn may(&self, ad: &L2Advertisement, node: &NodeName) -> bool {
        let interface = match self.interfaces.get(node) {
            None => true,
            Some(usable) if ad.interfaces.is_empty() => !usable.is_empty(),
            Some(usable) => ad.interfaces.iter().any(|name| usable.contains(name)),
        };
        interface && ad.selects_node(&self.nodes[node].labels)
    }

    fn ads<'a>(&'a self, service: &'a Service, address: IpAddr) -> impl Iterator<Item = &'a L2Advertisement> {
        let pool = self.config.pools().values().find(move |pool| pool.entry_of(address).is_some());
        let wanted = service.demand != Demand::None;
        let all = self.config.l2_advertisements().values().filter(move |_| wanted);
        all.map(|ad| &**ad).filter(move |ad| {
            pool.is_some_and(|pool| ad.applies_to(pool)) && ad.selects_service(&service.labels)
        })
    }

    fn holders(&self, address: IpAddr) -> impl Iterator<Item = &Service> {
        self.services.values().filter(move |s| s.demand != Demand::None && s.assigned.contains(&address))
    }

    fn is_layer2(&self, address: IpAddr) -> bool {
        self.holders(address).any(|service| self.ads(service, address).next().is_some())
    }

    /// Closure over "shares an address with", until nothing is added.
    fn group(&self, address: IpAddr) -> (BTreeSet<IpAddr>, BTreeSet<&ServiceKey>) {
        let mut addresses = BTreeSet::from([address]);
        loop {
            let services: BTreeSet<&ServiceKey> = addresses
                .iter()
                .flat_map(|address| self.holders(*address))
                .map(|service| &service.key)
                .collect();
            let more: BTreeSet<IpAddr> = services
                .iter()
                .flat_map(|key| self.services[*key].assigned.iter().copied())
                .filter(|address| self.is_layer2(*address))
                .collect();
            if more == addresses {
                return (addresses, services);
            }
            addresses = more;
        }
    }
}

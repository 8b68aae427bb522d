//! The rules of the election once more, as plainly as possible and without anything remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use metallb_core::config::{BgpAdvertisement, Community, L2Advertisement};
use metallb_core::election::{ElectionKey, Place, Standing};
use metallb_core::facts::{Demand, Interface, Node, Places, Service, TrafficPolicy};
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
            .max_by_key(|((standing, place), _)| (*standing, std::cmp::Reverse(*place)))
            .map(|(_, node)| node)
    }

    /// What a node tells which peer about which prefix: local preference and communities.
    pub(crate) fn routes(&self, node: &NodeName) -> Routes {
        let mut routes = Routes::new();
        let Some(fact) = self.nodes.get(node) else { return routes };
        let all_excluded = self.all_excluded();
        if fact.network_unavailable || (fact.excluded && !all_excluded) {
            return routes;
        }
        let peers = self.config.peers_on(&fact.labels).peers;
        let mut oldest: Vec<&Service> = self.services.values().filter(|s| s.demand != Demand::None).collect();
        oldest.sort_by_key(|service| (service.created, service.key.clone()));
        for service in oldest {
            let mut offers: BTreeMap<IpNetwork, BTreeMap<&AdvertisementName, &BgpAdvertisement>> =
                BTreeMap::new();
            for address in service.assigned.iter().filter(|address| self.serves(service, **address, node)) {
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

    /// Whether a service can serve one of its addresses when traffic enters at a node.
    pub(crate) fn serves(&self, service: &Service, address: IpAddr, node: &NodeName) -> bool {
        self.serving(service, Family::of(address), node) > 0
    }

    /// 2 by ready endpoints, 1 by those on their way out, else 0.
    fn serving(&self, service: &Service, family: Family, node: &NodeName) -> usize {
        let Some(endpoints) = self.endpoints.get(&service.key).map(|endpoints| endpoints.of(family)) else {
            return 0;
        };
        let reach = |places: &Places| match service.traffic_policy {
            TrafficPolicy::Cluster => places.elsewhere || !places.nodes.is_empty(),
            TrafficPolicy::Local => places.nodes.contains(node),
        };
        if reach(&endpoints.ready) { 2 } else { usize::from(reach(&endpoints.terminating)) }
    }

    fn all_excluded(&self) -> bool {
        let is_live = |node: &Node| self.members.contains(&node.name);
        let counts = |node: &&Node| is_live(node) || self.unheard.contains(&node.name);
        self.nodes.values().any(is_live)
            && self.nodes.values().filter(counts).all(|node| node.excluded && node.control_plane)
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
    ) -> Option<(Standing, Place)> {
        let fact = &self.nodes[node];
        let all_excluded = self.all_excluded();
        let out = fact.network_unavailable || fact.out_of_service || (fact.excluded && !all_excluded);
        if out || !self.members.contains(node) {
            return None;
        }
        for service in services {
            for address in
                self.services[*service].assigned.iter().filter(|address| addresses.contains(address))
            {
                let mut ads = self.ads(&self.services[*service], *address);
                if !ads.any(|ad| self.may(ad, node, Family::of(*address))) {
                    return None;
                }
            }
        }
        let mut local = 0;
        let mut serving = BTreeMap::new();
        for service in services.iter().map(|key| &self.services[*key]) {
            let mut here = false;
            for address in service.assigned.iter().filter(|address| addresses.contains(address)) {
                let found = self.serving(service, Family::of(*address), node);
                let best = serving.entry(Family::of(*address)).or_insert(0);
                *best = found.max(*best);
                here |= found > 0;
            }
            local += usize::from(here && service.traffic_policy == TrafficPolicy::Local);
        }
        let ads = self.all_ads(addresses, services);
        let on_node = || ads.iter().filter(|ad| ad.selects_node(&fact.labels));
        let subnets: Vec<_> = on_node().flat_map(|ad| self.allowed(ad, node)).collect();
        let mut standing = Standing::default();
        let in_subnet = |address: &&IpAddr| subnets.iter().any(|interface| interface.is_in_subnet(**address));
        // Who has told nothing is neither preferred nor passed over.
        let told = self.interfaces.contains_key(node);
        standing.subnets = addresses.iter().filter(|address| !told || in_subnet(address)).count();
        standing.families = serving.values().filter(|serving| **serving > 0).count();
        standing.ready = serving.values().filter(|serving| **serving > 1).count();
        standing.score = on_node().map(|ad| ad.preference_score(&fact.labels)).sum();
        standing.local_services = if services.len() > 1 { local } else { 0 };
        (standing.families > 0).then(|| (standing, key.place(node)))
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

    fn may(&self, ad: &L2Advertisement, node: &NodeName, family: Family) -> bool {
        let carries = |interface: &Interface| family == Family::V4 || !interface.ipv4_only;
        let interface = !self.interfaces.contains_key(node) || self.allowed(ad, node).any(carries);
        interface && ad.selects_node(&self.nodes[node].labels)
    }

    fn allowed<'a>(
        &'a self,
        ad: &'a L2Advertisement,
        node: &NodeName,
    ) -> impl Iterator<Item = &'a Interface> {
        let usable = self.interfaces.get(node).into_iter().flatten();
        let listed = usable.filter(|(name, _)| ad.interfaces.is_empty() || ad.interfaces.contains(*name));
        listed.map(|(_, interface)| interface)
    }

    fn ads<'a>(&'a self, service: &'a Service, address: IpAddr) -> impl Iterator<Item = &'a L2Advertisement> {
        let pool = self.config.pools().values().find(move |pool| pool.entry_of(address).is_some());
        let wanted = service.demand != Demand::None;
        let all = self.config.l2_advertisements().values().filter(move |_| wanted);
        all.map(|ad| &**ad).filter(move |ad| {
            pool.is_some_and(|pool| ad.applies_to(pool)) && ad.selects_service(&service.labels)
        })
    }

    pub(crate) fn holders(&self, address: IpAddr) -> impl Iterator<Item = &Service> {
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

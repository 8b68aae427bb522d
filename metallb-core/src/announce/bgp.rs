//! Which prefixes this node advertises, with which attributes, to which peers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::{BgpAdvertisement, Community, Config, DEFAULT_LOCAL_PREF, Peer};
use crate::keys::{AdvertisementName, Created, Family, NodeName, PeerName, ServiceKey};

use super::change::{Route, RouteAttributes};
use super::coverage::AdId;
use super::delivery::Receipts;
use super::reasons::{AnnounceProblem, Rejection};
use super::world::World;

/// What this node advertises.
#[derive(Debug, Default)]
pub(super) struct Bgp {
    /// Why this node advertises nothing at all.
    pub(super) rejection: Option<Rejection>,
    /// The sessions of this node.
    pub(super) peers: BTreeMap<PeerName, Arc<Peer>>,
    /// Peers that select this node but lose against another one.
    pub(super) shadowed: BTreeMap<PeerName, PeerName>,
    /// The advertisements that select this node and reach a peer of it.
    ads: BTreeMap<AdId, Reach>,
    services: HashMap<ServiceKey, Offers>,
    prefixes: HashMap<IpNetwork, Prefix>,
}

/// An advertisement on this node.
#[derive(Debug, PartialEq, Eq)]
struct Reach {
    ad: Arc<BgpAdvertisement>,
    peers: BTreeSet<PeerName>,
}

/// What one service wants to advertise here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Offers {
    created: Created,
    prefixes: BTreeMap<IpNetwork, BTreeSet<AdId>>,
}

/// A prefix with the services under it, by what they offer: what holds for one of a class holds for all, so
/// that merging takes as long as there are classes, however many services share the prefix.
#[derive(Debug, Default)]
struct Prefix {
    classes: BTreeMap<BTreeSet<AdId>, Class>,
    routes: Vec<Route>,
}

/// Services with the same advertisements for a prefix.
#[derive(Debug, Default)]
struct Class {
    /// Oldest first.
    services: BTreeSet<(Created, ServiceKey)>,
    /// The peers that are told on their behalf.
    peers: BTreeSet<PeerName>,
    /// Why none is.
    conflict: Option<AnnounceProblem>,
}

/// What one peer is told about a prefix, while the offers are merged.
#[derive(Clone, Debug)]
struct Told {
    local_pref: Option<u32>,
    communities: BTreeSet<Community>,
    ad: AdvertisementName,
    service: ServiceKey,
}

impl Bgp {
    /// Follows a change of the configuration or of this node. `true` when every service has to be looked at.
    pub(super) fn set_node(&mut self, this: &NodeName, config: &Config, world: &World) -> bool {
        let fact = world.nodes.fact(this);
        let on_node = fact.map(|node| config.peers_on(&node.labels)).unwrap_or_default();
        self.peers = on_node.peers;
        self.shadowed = on_node.shadowed;
        let mut ads = BTreeMap::new();
        for (id, ad) in world.coverage.all_bgp() {
            if !fact.is_some_and(|node| ad.selects_node(&node.labels)) {
                continue;
            }
            let peers: BTreeSet<PeerName> =
                self.peers.keys().filter(|peer| ad.selects_peer(peer)).cloned().collect();
            if !peers.is_empty() {
                ads.insert(id, Reach { ad: Arc::clone(ad), peers });
            }
        }
        let rejection = world.nodes.bgp_rejection(this);
        let changed = ads != self.ads || rejection != self.rejection;
        self.ads = ads;
        self.rejection = rejection;
        changed
    }

    /// Looks at services again; returns the prefixes whose offers have changed.
    pub(super) fn offer(
        &mut self,
        services: &BTreeSet<ServiceKey>,
        this: &NodeName,
        world: &World,
    ) -> BTreeSet<IpNetwork> {
        let mut dirty = BTreeSet::new();
        for key in services {
            let new = self.offers(key, this, world);
            if self.services.get(key) == new.as_ref() {
                continue;
            }
            let old = match &new {
                Some(new) => self.services.insert(key.clone(), new.clone()),
                None => self.services.remove(key),
            };
            if let Some(Offers { created, prefixes }) = old {
                let member = (created, key.clone());
                for (prefix, ads) in prefixes {
                    if let Some(entry) = self.prefixes.get_mut(&prefix) {
                        entry.leave(&ads, &member);
                    }
                    dirty.insert(prefix);
                }
            }
            if let Some(Offers { created, prefixes }) = new {
                let member = (created, key.clone());
                for (prefix, ads) in prefixes {
                    let entry = self.prefixes.entry(prefix).or_default();
                    entry.classes.entry(ads).or_default().services.insert(member.clone());
                    dirty.insert(prefix);
                }
            }
        }
        dirty
    }

    /// Every prefix with an offer, as after a change of the advertisements themselves.
    pub(super) fn all_prefixes(&self) -> BTreeSet<IpNetwork> {
        self.prefixes.keys().copied().collect()
    }

    /// Merges the offers of prefixes anew; returns the services of which something else is told. O(classes of offers)
    /// for each prefix, and the services concerned.
    pub(super) fn merge(&mut self, dirty: &BTreeSet<IpNetwork>) -> BTreeSet<ServiceKey> {
        let mut concerned = BTreeSet::new();
        for prefix in dirty {
            let Some(mut entry) = self.prefixes.remove(prefix) else { continue };
            self.merge_prefix(*prefix, &mut entry, &mut concerned);
            if !entry.classes.is_empty() {
                self.prefixes.insert(*prefix, entry);
            }
        }
        concerned
    }

    /// The routes of a prefix; none when it is not advertised.
    pub(super) fn routes(&self, prefix: &IpNetwork) -> &[Route] {
        self.prefixes.get(prefix).map_or(&[], |entry| &entry.routes)
    }

    /// The peers that are told about a service and have a route of it.
    pub(super) fn peers_of(&self, key: &ServiceKey, receipts: Option<&Receipts>) -> BTreeSet<PeerName> {
        let has = |peer: &PeerName, family: Family| {
            receipts.is_none_or(|receipts| receipts.get(peer).is_some_and(|some| some.contains(&family)))
        };
        let told = self.classes_of(key).flat_map(|(prefix, class)| {
            let family = Family::of(prefix.ip());
            class.peers.iter().filter(move |peer| has(peer, family))
        });
        told.cloned().collect()
    }

    /// Whether anybody is told about a service.
    pub(super) fn is_advertised(&self, key: &ServiceKey) -> bool {
        self.classes_of(key).any(|(_, class)| !class.peers.is_empty())
    }

    /// The services about which any of these peers is told.
    pub(super) fn services_for(&self, peers: &BTreeSet<PeerName>) -> impl Iterator<Item = &ServiceKey> {
        let is_told =
            |key: &&ServiceKey| self.classes_of(key).any(|(_, class)| !class.peers.is_disjoint(peers));
        self.services.keys().filter(is_told)
    }

    /// The first conflict of a service, by prefix.
    pub(super) fn conflict_of(&self, key: &ServiceKey) -> Option<&AnnounceProblem> {
        self.classes_of(key).find_map(|(_, class)| class.conflict.as_ref())
    }

    /// The prefixes that are advertised for a service, with the peers that are told.
    pub(super) fn prefixes_of(&self, key: &ServiceKey) -> BTreeMap<IpNetwork, BTreeSet<PeerName>> {
        let told = self.classes_of(key).filter(|(_, class)| !class.peers.is_empty());
        told.map(|(prefix, class)| (*prefix, class.peers.clone())).collect()
    }

    /// Whether an address of a service is under a prefix that is advertised for it.
    pub(super) fn advertises(&self, key: &ServiceKey, address: IpAddr) -> bool {
        self.classes_of(key).any(|(prefix, class)| prefix.contains(address) && !class.peers.is_empty())
    }

    fn classes_of<'a>(&'a self, key: &ServiceKey) -> impl Iterator<Item = (&'a IpNetwork, &'a Class)> {
        let offered = self.services.get(key).into_iter().flat_map(|offers| &offers.prefixes);
        offered.filter_map(|(prefix, ads)| Some((prefix, self.prefixes.get(prefix)?.classes.get(ads)?)))
    }

    fn offers(&self, key: &ServiceKey, this: &NodeName, world: &World) -> Option<Offers> {
        let entry = world.service(key)?;
        if self.rejection.is_some() {
            return None;
        }
        let mut prefixes: BTreeMap<IpNetwork, BTreeSet<AdId>> = BTreeMap::new();
        let served = entry.matched.bgp.iter().filter(|(address, _)| world.serves(entry, *address, this));
        for (address, ads) in served {
            for (id, reach) in ads.iter().filter_map(|id| Some((*id, self.ads.get(id)?))) {
                let prefix = aggregate(*address, reach.ad.prefix_length(Family::of(*address)));
                prefixes.entry(prefix).or_default().insert(id);
            }
        }
        (!prefixes.is_empty()).then_some(Offers { created: entry.fact.created, prefixes })
    }

    /// Older services first: the offer of a younger one that contradicts is left out and reported.
    fn merge_prefix(&self, prefix: IpNetwork, entry: &mut Prefix, concerned: &mut BTreeSet<ServiceKey>) {
        let mut merged: BTreeMap<PeerName, Told> = BTreeMap::new();
        let mut classes: Vec<_> = entry.classes.iter_mut().collect();
        classes.sort_by(|(_, a), (_, b)| a.services.first().cmp(&b.services.first()));
        for (ids, class) in classes {
            let Some((_, oldest)) = class.services.first() else { continue };
            let mut ads: Vec<&Reach> = ids.iter().filter_map(|id| self.ads.get(id)).collect();
            ads.sort_by(|a, b| a.ad.name.cmp(&b.ad.name));
            let (peers, conflict) = match offer_to_peers(prefix, oldest, &ads, &merged) {
                Ok(told) => {
                    let peers = told.keys().cloned().collect();
                    merged.extend(told);
                    (peers, None)
                }
                Err(problem) => (BTreeSet::new(), Some(problem)),
            };
            if (&peers, &conflict) != (&class.peers, &class.conflict) {
                concerned.extend(class.services.iter().map(|(_, key)| key.clone()));
                class.peers = peers;
                class.conflict = conflict;
            }
        }
        entry.routes = routes(merged);
    }
}

impl Prefix {
    fn leave(&mut self, ads: &BTreeSet<AdId>, member: &(Created, ServiceKey)) {
        if let Some(class) = self.classes.get_mut(ads) {
            class.services.remove(member);
            if class.services.is_empty() {
                self.classes.remove(ads);
            }
        }
    }
}

/// What the peers are told when a service's advertisements are added to what older services said.
fn offer_to_peers(
    prefix: IpNetwork,
    service: &ServiceKey,
    ads: &[&Reach],
    merged: &BTreeMap<PeerName, Told>,
) -> Result<BTreeMap<PeerName, Told>, AnnounceProblem> {
    let mut told: BTreeMap<PeerName, Told> = BTreeMap::new();
    for reach in ads {
        let ad = &reach.ad;
        for peer in &reach.peers {
            let Some(known) = told.get(peer).or_else(|| merged.get(peer)) else {
                let new = Told {
                    local_pref: ad.local_pref,
                    communities: ad.communities.clone(),
                    ad: ad.name.clone(),
                    service: service.clone(),
                };
                told.insert(peer.clone(), new);
                continue;
            };
            if known.local_pref.unwrap_or(DEFAULT_LOCAL_PREF) != ad.effective_local_pref() {
                return Err(AnnounceProblem::LocalPrefConflict {
                    prefix,
                    peer: peer.clone(),
                    first: known.ad.clone(),
                    second: ad.name.clone(),
                    other_service: (known.service != *service).then(|| known.service.clone()),
                });
            }
            let mut both = known.clone();
            both.local_pref = both.local_pref.or(ad.local_pref);
            both.communities.extend(ad.communities.iter().copied());
            told.insert(peer.clone(), both);
        }
    }
    Ok(told)
}

/// Peers that are told the same share a route.
fn routes(merged: BTreeMap<PeerName, Told>) -> Vec<Route> {
    let mut by_attributes: BTreeMap<RouteAttributes, BTreeSet<PeerName>> = BTreeMap::new();
    for (peer, told) in merged {
        let communities = told.communities.into_iter().collect();
        let attributes = RouteAttributes { local_pref: told.local_pref, communities };
        by_attributes.entry(attributes).or_default().insert(peer);
    }
    by_attributes.into_iter().map(|(attributes, peers)| Route { peers, attributes }).collect()
}

/// The address masked to a length.
fn aggregate(address: IpAddr, length: u8) -> IpNetwork {
    let host = IpNetwork::from(address);
    let network = IpNetwork::new(address, length).unwrap_or(host);
    IpNetwork::new(network.network(), length).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked_to_the_aggregation_length() {
        let masked = |address: &str, length| aggregate(address.parse().unwrap(), length).to_string();
        assert_eq!(masked("192.0.2.77", 24), "192.0.2.0/24");
        assert_eq!(masked("192.0.2.77", 32), "192.0.2.77/32");
        assert_eq!(masked("2001:db8::7:1", 112), "2001:db8::7:0/112");
        assert_eq!(masked("192.0.2.77", 1), "128.0.0.0/1");
    }
}

//! [`Config::build`]: every kind in turn, those that others refer to first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::advertisement::{by_name, check_pairs, unknown};
use super::aliases::Aliases;
use super::error::{InForce, Kind, ObjectId, Problem};
use super::input::{BgpAdvertisementInput, Input, L2AdvertisementInput};
use super::model::{BfdProfile, BgpAdvertisement, CommunityAliases, L2Advertisement, Peer, Pool};
use super::pool::Pools;
use super::resolve::{Findings, Objects, settle};
use super::{Built, Config, advertisement, aliases, bfd, peer, pool};
use crate::keys::{AdvertisementName, Family, PeerName, PoolName, ProfileName};

pub(super) fn build(input: &Input, previous: &Config) -> Built {
    let mut findings = Findings::default();
    let pools = pools(input, previous, &mut findings);
    let bfd_profiles = bfd_profiles(input, previous, &mut findings);
    let peers = peers(input, previous, &bfd_profiles, &mut findings);
    let communities = communities(input, previous, &mut findings);
    let references = References { pools: &pools, peers: &peers, input };
    let l2_advertisements = references.l2_advertisements(previous, &mut findings);
    let bgp_advertisements = references.bgp_advertisements(previous, &communities, &mut findings);
    let config = Config {
        entries: Arc::new(entries(&pools.accepted)),
        pools: Arc::new(pools.accepted),
        rejected_pools: Arc::new(pools.rejected),
        l2_advertisements: Arc::new(l2_advertisements),
        bgp_advertisements: Arc::new(bgp_advertisements),
        peers: Arc::new(peers),
        bfd_profiles: Arc::new(bfd_profiles),
        communities: Arc::new(communities),
    };
    Built { config, errors: findings.errors, warnings: findings.warnings }
}

fn entries(pools: &BTreeMap<PoolName, Arc<Pool>>) -> BTreeMap<(Family, u128), (u128, PoolName)> {
    let all = pools.values().flat_map(|pool| pool.entries.iter().map(|entry| (entry, &pool.name)));
    all.map(|(entry, name)| ((entry.family(), entry.bounds().0), (entry.bounds().1, name.clone()))).collect()
}

fn pools(input: &Input, previous: &Config, findings: &mut Findings) -> Pools {
    let objects = Objects {
        kind: Kind::Pool,
        inputs: &input.pools,
        meta: |input| &input.meta,
        unreadable: &input.unreadable,
        previous: &previous.pools,
    };
    let mut pools = Pools::default();
    for candidate in objects.read(findings, |input, check| Some(pool::read(input, check))) {
        let outcome = pools.settle(candidate);
        findings.add(outcome);
    }
    pools
}

fn bfd_profiles(
    input: &Input,
    previous: &Config,
    findings: &mut Findings,
) -> BTreeMap<ProfileName, Arc<BfdProfile>> {
    let objects = Objects {
        kind: Kind::BfdProfile,
        inputs: &input.bfd_profiles,
        meta: |input| &input.meta,
        unreadable: &input.unreadable,
        previous: &previous.bfd_profiles,
    };
    let candidates = objects.read(findings, |input, check| Some(bfd::read(input, check)));
    settle(candidates, findings, |_, _, _| {})
}

fn peers(
    input: &Input,
    previous: &Config,
    profiles: &BTreeMap<ProfileName, Arc<BfdProfile>>,
    findings: &mut Findings,
) -> BTreeMap<PeerName, Arc<Peer>> {
    let objects = Objects {
        kind: Kind::Peer,
        inputs: &input.peers,
        meta: |input| &input.meta,
        unreadable: &input.unreadable,
        previous: &previous.peers,
    };
    let candidates = objects.read(findings, peer::read);
    let peers: BTreeMap<PeerName, Arc<Peer>> = settle(candidates, findings, peer::conflicts);
    for peer in peers.values() {
        if let Some(profile) = peer.bfd.clone().filter(|profile| !profiles.contains_key(profile)) {
            let object = ObjectId::new(Kind::Peer, peer.name.as_str());
            findings.warn(object, ("spec.bfdProfile".into(), Problem::UnknownProfile { profile }));
        }
    }
    peers
}

fn communities(
    input: &Input,
    previous: &Config,
    findings: &mut Findings,
) -> BTreeMap<Box<str>, Arc<CommunityAliases>> {
    let objects = Objects {
        kind: Kind::Community,
        inputs: &input.communities,
        meta: |input| &input.meta,
        unreadable: &input.unreadable,
        previous: &previous.communities,
    };
    let candidates = objects.read(findings, |input, check| Some(aliases::read(input, check)));
    settle(candidates, findings, aliases::conflicts)
}

/// What advertisements refer to.
#[derive(Clone, Copy, Debug)]
struct References<'a> {
    pools: &'a Pools,
    peers: &'a BTreeMap<PeerName, Arc<Peer>>,
    input: &'a Input,
}

impl References<'_> {
    fn l2_advertisements(
        &self,
        previous: &Config,
        findings: &mut Findings,
    ) -> BTreeMap<AdvertisementName, Arc<L2Advertisement>> {
        let inputs = &self.input.l2_advertisements;
        let objects = Objects {
            kind: Kind::L2Advertisement,
            inputs,
            meta: |input| &input.meta,
            unreadable: &self.input.unreadable,
            previous: &previous.l2_advertisements,
        };
        let candidates = objects.read(findings, |input, check| Some(advertisement::read_l2(input, check)));
        let accepted: BTreeMap<AdvertisementName, _> = settle(candidates, findings, |_, _, _| {});
        for name in accepted.keys() {
            let Some(input) = by_name(inputs, name, |input: &L2AdvertisementInput| &input.meta.name) else {
                continue;
            };
            self.unknown_pools(&ObjectId::new(Kind::L2Advertisement, name.as_str()), &input.pools, findings);
        }
        accepted
    }

    fn bgp_advertisements(
        &self,
        previous: &Config,
        communities: &BTreeMap<Box<str>, Arc<CommunityAliases>>,
        findings: &mut Findings,
    ) -> BTreeMap<AdvertisementName, Arc<BgpAdvertisement>> {
        let inputs = &self.input.bgp_advertisements;
        let objects = Objects {
            kind: Kind::BgpAdvertisement,
            inputs,
            meta: |input| &input.meta,
            unreadable: &self.input.unreadable,
            previous: &previous.bgp_advertisements,
        };
        let aliases = Aliases::new(communities.values());
        let candidates =
            objects.read(findings, |input, check| Some(advertisement::read_bgp(input, &aliases, check)));
        let accepted: BTreeMap<AdvertisementName, Arc<BgpAdvertisement>> =
            settle(candidates, findings, |_, _, _| {});
        for name in accepted.keys() {
            let Some(input) = by_name(inputs, name, |input: &BgpAdvertisementInput| &input.meta.name) else {
                continue;
            };
            let object = ObjectId::new(Kind::BgpAdvertisement, name.as_str());
            self.unknown_pools(&object, &input.pools, findings);
            for (index, peer) in unknown(&input.peers, |name| self.peer_exists(name)) {
                let problem = Problem::UnknownPeer { peer: peer.into() };
                findings.warn(object.clone(), (format!("spec.peers[{index}]"), problem));
            }
        }
        self.exclude_pairs(accepted, previous, findings)
    }

    /// Takes from each advertisement, oldest first, the pools that it must not announce.
    fn exclude_pairs(
        &self,
        advertisements: BTreeMap<AdvertisementName, Arc<BgpAdvertisement>>,
        previous: &Config,
        findings: &mut Findings,
    ) -> BTreeMap<AdvertisementName, Arc<BgpAdvertisement>> {
        let mut order: Vec<Arc<BgpAdvertisement>> = advertisements.into_values().collect();
        order.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        let mut older: Vec<Arc<BgpAdvertisement>> = Vec::with_capacity(order.len());
        for mut advertisement in order {
            let found = check_pairs(&advertisement, &older, &self.pools.accepted);
            let excluded = found.iter().filter(|pair| pair.certain).map(|pair| pair.pool.clone()).collect();
            if advertisement.excluded_pools != excluded {
                Arc::make_mut(&mut advertisement).excluded_pools = excluded;
            }
            let serves_any = self.pools.accepted.values().any(|pool| advertisement.applies_to(pool));
            for pair in found {
                let object = ObjectId::new(Kind::BgpAdvertisement, advertisement.name.as_str());
                let finding = (pair.field.to_owned(), pair.problem);
                if pair.certain {
                    findings.error(
                        object,
                        finding,
                        if serves_any { InForce::Partly } else { InForce::Nothing },
                    );
                } else {
                    findings.warn(object, finding);
                }
            }
            let before = previous.bgp_advertisements.get(&advertisement.name);
            older.push(before.filter(|before| **before == advertisement).map_or(advertisement, Arc::clone));
        }
        older.into_iter().map(|advertisement| (advertisement.name.clone(), advertisement)).collect()
    }

    fn unknown_pools(&self, object: &ObjectId, names: &[String], findings: &mut Findings) {
        for (index, name) in unknown(names, |name| self.pool_exists(name)) {
            let problem = Problem::UnknownPool { pool: name.into() };
            findings.warn(object.clone(), (format!("spec.ipAddressPools[{index}]"), problem));
        }
    }

    /// True for pools in force and for those that are rejected: these are reported on themselves.
    fn pool_exists(&self, name: &str) -> bool {
        self.pools.accepted.contains_key(name) || self.pools.rejected.contains_key(name)
    }

    fn peer_exists(&self, name: &str) -> bool {
        self.peers.contains_key(name)
            || self.input.peers.iter().any(|peer| peer.meta.name == name)
            || self
                .input
                .unreadable
                .iter()
                .any(|object| object.kind == Kind::Peer && object.meta.name == name)
    }
}

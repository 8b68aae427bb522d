//! Which objects a change may have to do with.
//!
//! Reading ten thousand pools to add one takes longer than a user should wait. The objects chosen here
//! are enough to find every error that the change introduces; a property compares that with all objects.

use std::{collections::BTreeSet, net::IpAddr};

use metallb_core::{addr::AddressRange, config::Kind, select::Selector};

use super::change::{AnyObject, Change};
use crate::{
    convert::{Object, Resources, selector},
    crd::{BGPAdvertisement, BGPPeer, IPAddressPool},
};

/// The objects, other than the one that changes, that have to be read with it.
pub(super) fn related(resources: &Resources, change: &Change) -> Resources {
    let versions: Vec<&AnyObject> = change.before.iter().chain([&change.after]).collect();
    let all = others(resources, change);
    match change.kind {
        Kind::BfdProfile => Resources::default(),
        Kind::L2Advertisement => {
            Resources { pools: named(&all.pools, &pools_by_name(&versions)), ..Resources::default() }
        }
        Kind::Peer => {
            let sessions: BTreeSet<Session<'_>> =
                versions.iter().filter_map(|any| any_session(any)).collect();
            let same = |peer: &Object<BGPPeer>| session(peer).is_some_and(|found| sessions.contains(&found));
            Resources {
                peers: filtered(&all.peers, same),
                bfd_profiles: all.bfd_profiles.clone(),
                passwords: resources.passwords.clone(),
                ..Resources::default()
            }
        }
        Kind::Community => announced(&all, all.pools.clone()),
        Kind::Pool => {
            let seeds: Vec<AddressRange> = versions.iter().flat_map(|any| any_ranges(any)).collect();
            announced(&all, connected(&all.pools, &seeds, |_| false))
        }
        Kind::BgpAdvertisement => {
            let matches = |pool: &Object<IPAddressPool>| versions.iter().any(|any| announces(any, pool));
            let seeds: Vec<AddressRange> =
                all.pools.iter().filter(|pool| matches(pool)).flat_map(ranges).collect();
            let pools = connected(&all.pools, &seeds, matches);
            Resources { peers: named(&all.peers, &peers_by_name(&versions)), ..announced(&all, pools) }
        }
    }
}

/// All objects but the one that changes. They are not copied, only counted once more.
pub(super) fn others(resources: &Resources, change: &Change) -> Resources {
    let mut others = resources.clone();
    let name = change.name.as_str();
    match change.kind {
        Kind::Pool => others.pools.retain(|object| object.meta.name != name),
        Kind::L2Advertisement => others.l2_advertisements.retain(|object| object.meta.name != name),
        Kind::BgpAdvertisement => others.bgp_advertisements.retain(|object| object.meta.name != name),
        Kind::Peer => others.peers.retain(|object| object.meta.name != name),
        Kind::Community => others.communities.retain(|object| object.meta.name != name),
        Kind::BfdProfile => others.bfd_profiles.retain(|object| object.meta.name != name),
    }
    others
}

/// What decides how these pools are announced by BGP.
fn announced(all: &Resources, pools: Vec<Object<IPAddressPool>>) -> Resources {
    Resources {
        pools,
        bgp_advertisements: all.bgp_advertisements.clone(),
        communities: all.communities.clone(),
        ..Resources::default()
    }
}

fn filtered<K: Clone>(objects: &[Object<K>], wanted: impl Fn(&Object<K>) -> bool) -> Vec<Object<K>> {
    objects.iter().filter(|object| wanted(object)).cloned().collect()
}

fn named<K: Clone>(objects: &[Object<K>], names: &BTreeSet<&str>) -> Vec<Object<K>> {
    filtered(objects, |object| names.contains(object.meta.name.as_str()))
}

/// The pools that are `wanted`, and those that share addresses with `seeds`, directly or through others:
/// whether one of them is in force depends on whether its neighbours are.
fn connected(
    pools: &[Object<IPAddressPool>],
    seeds: &[AddressRange],
    wanted: impl Fn(&Object<IPAddressPool>) -> bool,
) -> Vec<Object<IPAddressPool>> {
    let mut entries: Vec<(IpAddr, IpAddr, Option<usize>)> =
        seeds.iter().map(|range| (range.first(), range.last(), None)).collect();
    for (index, pool) in pools.iter().enumerate() {
        entries.extend(ranges(pool).iter().map(|range| (range.first(), range.last(), Some(index))));
    }
    entries.sort_unstable();
    let chosen = reachable(&entries, pools.len());
    let numbered = pools.iter().zip(chosen);
    numbered.filter(|(pool, chosen)| *chosen || wanted(pool)).map(|(pool, _)| pool.clone()).collect()
}

/// For each of so many owners whether a seed (an entry without an owner) leads to it. Entries that overlap
/// form a cluster; clusters are connected by owners that have entries in several.
fn reachable(entries: &[(IpAddr, IpAddr, Option<usize>)], owners: usize) -> Vec<bool> {
    let mut clusters: Vec<Vec<usize>> = Vec::new();
    let mut clusters_of: Vec<Vec<usize>> = vec![Vec::new(); owners];
    let mut waiting: Vec<usize> = Vec::new();
    let mut end: Option<IpAddr> = None;
    for &(first, last, owner) in entries {
        // Addresses are ordered by family first, so a cluster never has both.
        if end.is_none_or(|end| end < first) {
            clusters.push(Vec::new());
        }
        end = end.max(Some(last));
        let cluster = clusters.len().saturating_sub(1);
        match owner {
            None => waiting.push(cluster),
            Some(owner) => {
                clusters.last_mut().into_iter().for_each(|members| members.push(owner));
                clusters_of.get_mut(owner).into_iter().for_each(|of| of.push(cluster));
            }
        }
    }
    let mut chosen = vec![false; owners];
    while let Some(cluster) = waiting.pop() {
        for owner in clusters.get_mut(cluster).map(std::mem::take).unwrap_or_default() {
            if let Some(chosen) = chosen.get_mut(owner).filter(|chosen| !**chosen) {
                *chosen = true;
                waiting.extend(clusters_of.get(owner).into_iter().flatten());
            }
        }
    }
    chosen
}

fn any_ranges(any: &AnyObject) -> Vec<AddressRange> {
    match any {
        AnyObject::Pool(pool) => ranges(pool),
        _ => Vec::new(),
    }
}

/// The entries of a pool that can be read.
fn ranges(pool: &Object<IPAddressPool>) -> Vec<AddressRange> {
    let spec = pool.object.as_ref().map(|pool| &pool.spec);
    let addresses = spec.into_iter().flat_map(|spec| &spec.addresses);
    addresses.filter_map(|text| AddressRange::parse(text).ok()).collect()
}

/// Whether a BGP advertisement may be for the pool. One that cannot be read is for none.
fn announces(any: &AnyObject, pool: &Object<IPAddressPool>) -> bool {
    let AnyObject::BgpAdvertisement(Object { object: Ok(advertisement), .. }) = any else { return false };
    let BGPAdvertisement { spec, .. } = advertisement.as_ref();
    if spec.ip_address_pools.contains(&pool.meta.name) {
        return true;
    }
    if spec.ip_address_pool_selectors.is_empty() {
        return spec.ip_address_pools.is_empty();
    }
    let Ok(pool) = &pool.object else { return false };
    let labels = pool.metadata.labels.iter().flatten();
    let labels = labels.map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let selectors = selector::selectors(&spec.ip_address_pool_selectors);
    selectors.iter().any(|input| Selector::new(input).is_ok_and(|selector| selector.matches(&labels)))
}

/// Names of pools that advertisements have.
fn pools_by_name<'a>(versions: &[&'a AnyObject]) -> BTreeSet<&'a str> {
    let lists = versions.iter().map(|any| match any {
        AnyObject::L2Advertisement(Object { object: Ok(object), .. }) => {
            object.spec.ip_address_pools.as_slice()
        }
        _ => &[],
    });
    lists.flatten().map(String::as_str).collect()
}

/// Names of peers that BGP advertisements have.
fn peers_by_name<'a>(versions: &[&'a AnyObject]) -> BTreeSet<&'a str> {
    let lists = versions.iter().map(|any| match any {
        AnyObject::BgpAdvertisement(Object { object: Ok(object), .. }) => object.spec.peers.as_slice(),
        _ => &[],
    });
    lists.flatten().map(String::as_str).collect()
}

/// What makes two peers the same session: address, interface, VRF.
type Session<'a> = (Option<IpAddr>, &'a str, &'a str);

fn any_session(any: &AnyObject) -> Option<Session<'_>> {
    match any {
        AnyObject::Peer(peer) => session(peer),
        _ => None,
    }
}

/// The session of a peer; `None` when it can be no session.
fn session(peer: &Object<BGPPeer>) -> Option<Session<'_>> {
    let spec = &peer.object.as_ref().ok()?.spec;
    let address = match spec.peer_address.as_deref().unwrap_or_default() {
        "" => None,
        address => Some(address.parse::<IpAddr>().ok()?.to_canonical()),
    };
    Some((address, spec.interface.as_deref().unwrap_or_default(), spec.vrf.as_deref().unwrap_or_default()))
}

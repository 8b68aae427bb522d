//! From what people write to what is valid.
//!
//! [`Config::build`] takes every configuration object as written ([`Input`]), checks all of it and returns what is in
//! force, together with everything that is wrong. One bad object never takes down the rest: it is left out, or its last
//! good version stays in force. Where two objects exclude each other the older one wins, the name breaks ties.

mod advertisement;
mod aliases;
mod bfd;
mod build;
mod check;
mod community;
mod duration;
mod error;
mod input;
mod model;
mod peer;
mod pool;
mod resolve;

pub use community::Community;
pub use duration::{DurationError, parse as parse_duration};
pub use error::{Combination, ConfigError, InForce, Kind, ObjectId, Problem};
pub use input::{
    BfdProfileInput, BgpAdvertisementInput, CommunityInput, Input, L2AdvertisementInput, Meta, PasswordInput,
    PeerInput, PoolInput, PreferenceInput, Secret, SecretProblem, ServiceAllocationInput, UnreadableInput,
};
pub use model::{
    BfdProfile, BgpAdvertisement, CommunityAliases, DEFAULT_LOCAL_PREF, L2Advertisement, Peer, PeerEndpoint,
    PeerFamilies, Pool, PoolMatch, RejectedPool, RemoteAs, ServiceAllocation, SharingScope,
};

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::addr::to_value;
use crate::keys::{AdvertisementName, Family, PeerName, PoolName, ProfileName};
use crate::select::Labels;

/// A valid configuration: everything in it is in force. Cheap to clone; the default is the empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pools: Arc<BTreeMap<PoolName, Arc<Pool>>>,
    /// By family and first address of each entry of a pool in force: its last address, and the pool.
    entries: Arc<BTreeMap<(Family, u128), (u128, PoolName)>>,
    rejected_pools: Arc<BTreeMap<PoolName, RejectedPool>>,
    l2_advertisements: Arc<BTreeMap<AdvertisementName, Arc<L2Advertisement>>>,
    bgp_advertisements: Arc<BTreeMap<AdvertisementName, Arc<BgpAdvertisement>>>,
    peers: Arc<BTreeMap<PeerName, Arc<Peer>>>,
    bfd_profiles: Arc<BTreeMap<ProfileName, Arc<BfdProfile>>>,
    communities: Arc<BTreeMap<Box<str>, Arc<CommunityAliases>>>,
}

/// Result of [`Config::build`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Built {
    /// What is in force.
    pub config: Config,
    /// What is wrong, in the order of kinds, ages and names.
    pub errors: Vec<ConfigError>,
    /// What deserves attention although all of the object is in force.
    pub warnings: Vec<ConfigError>,
}

/// The sessions that one node should have: see [`Config::peers_on`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeersOnNode {
    /// Sessions to have.
    pub peers: BTreeMap<PeerName, Arc<Peer>>,
    /// Peers that select the node but lose against an older peer with the same session: loser to winner.
    pub shadowed: BTreeMap<PeerName, PeerName>,
}

impl Config {
    /// Checks everything and takes what is good.
    ///
    /// `previous` is the configuration that was in force before: an object that has become invalid stays as it was
    /// there. Give the empty configuration when there is none, as after a restart. The result depends on nothing else.
    pub fn build(input: &Input, previous: &Self) -> Built {
        build::build(input, previous)
    }

    /// The pools in force.
    pub fn pools(&self) -> &BTreeMap<PoolName, Arc<Pool>> {
        &self.pools
    }

    /// Pools that exist but are not in force as written; their addresses are held.
    pub fn rejected_pools(&self) -> &BTreeMap<PoolName, RejectedPool> {
        &self.rejected_pools
    }

    /// The Layer 2 advertisements in force.
    pub fn l2_advertisements(&self) -> &BTreeMap<AdvertisementName, Arc<L2Advertisement>> {
        &self.l2_advertisements
    }

    /// The BGP advertisements in force.
    pub fn bgp_advertisements(&self) -> &BTreeMap<AdvertisementName, Arc<BgpAdvertisement>> {
        &self.bgp_advertisements
    }

    /// The BGP peers in force. See [`Config::peers_on`] for those of one node.
    pub fn peers(&self) -> &BTreeMap<PeerName, Arc<Peer>> {
        &self.peers
    }

    /// The BFD profiles in force.
    pub fn bfd_profiles(&self) -> &BTreeMap<ProfileName, Arc<BfdProfile>> {
        &self.bfd_profiles
    }

    /// The community aliases in force.
    pub fn communities(&self) -> &BTreeMap<Box<str>, Arc<CommunityAliases>> {
        &self.communities
    }

    /// The pool in force that the address belongs to, when it may be used. O(log n) in the number of entries.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Arc<Pool>> {
        let value = to_value(address);
        let (_, (last, pool)) = self.entries.range(..=(Family::of(address), value)).next_back()?;
        self.pools.get(pool).filter(|pool| value <= *last && pool.contains(address))
    }

    /// The same configuration without these peers.
    #[must_use]
    pub fn without_peers(&self, peers: &BTreeSet<PeerName>) -> Self {
        let mut rest = self.clone();
        Arc::make_mut(&mut rest.peers).retain(|name, _| !peers.contains(name));
        rest
    }

    /// The sessions that a node with these labels should have. Of several peers with the same session the oldest wins.
    pub fn peers_on(&self, node: &Labels) -> PeersOnNode {
        let mut selected: Vec<&Arc<Peer>> = self.peers.values().filter(|peer| peer.selects(node)).collect();
        selected.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        let mut winners: BTreeMap<(&PeerEndpoint, Option<&str>), &PeerName> = BTreeMap::new();
        let mut result = PeersOnNode::default();
        for peer in selected {
            let session = (&peer.endpoint, peer.vrf.as_ref().map(crate::keys::InterfaceName::as_str));
            if let Some(&winner) = winners.get(&session) {
                result.shadowed.insert(peer.name.clone(), winner.clone());
            } else {
                winners.insert(session, &peer.name);
                result.peers.insert(peer.name.clone(), Arc::clone(peer));
            }
        }
        result
    }
}

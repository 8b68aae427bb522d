//! Valid configuration objects. They can only be obtained from [`Config::build`](super::Config::build).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::community::Community;
use super::input::Secret;
use crate::addr::{AddressRange, AddressSet};
use crate::keys::{
    AdvertisementName, Created, Family, InterfaceName, NamespaceName, PeerName, PoolName, ProfileName,
};
use crate::select::{Labels, Selector, any_matches, none_or_any_matches};

/// A pool of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// Its age.
    pub created: Created,
    /// Its own labels.
    pub labels: Labels,
    /// Its addresses in the order in which they are listed; no two entries overlap, here or in another pool in force.
    pub entries: Vec<AddressRange>,
    /// Used for services that ask neither for it nor for one of its addresses.
    pub auto_assign: bool,
    /// IPv4 addresses ending in .0 and .255 are never used.
    pub avoid_buggy_ips: bool,
    /// Addresses that are never given out. A service that has one keeps it.
    pub excluded: AddressSet,
    /// Which services may use it, and its rank. `None`: all, last.
    pub service_allocation: Option<ServiceAllocation>,
}

/// Which services may use a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceAllocation {
    /// Lower first; `None` (written as 0) is last.
    pub priority: Option<i32>,
    /// Namespaces by name.
    pub namespaces: BTreeSet<NamespaceName>,
    /// Namespaces by label; adds to `namespaces`.
    pub namespace_selectors: Vec<Selector>,
    /// Services by label.
    pub service_selectors: Vec<Selector>,
    /// How many addresses of the pool one namespace may hold. What is held already stays.
    pub max_per_namespace: Option<u32>,
    /// Who may share an address of the pool; `None`: as the allocator is set.
    pub sharing: Option<SharingScope>,
}

/// Which services may share an address, when their sharing keys are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two scopes there are")]
pub enum SharingScope {
    /// All, as in MetalLB.
    #[default]
    Cluster,
    /// Those of one namespace.
    Namespace,
}

impl Pool {
    /// True when the address is one of the pool's and may be used.
    pub fn contains(&self, address: IpAddr) -> bool {
        !self.avoids(address) && self.entry_of(address).is_some()
    }

    /// True when the address would not be used even if it is one of the pool's.
    pub const fn avoids(&self, address: IpAddr) -> bool {
        self.avoid_buggy_ips && crate::addr::is_buggy(address)
    }

    /// True when the address is not given out, even if it is one of the pool's. A service that has it keeps it.
    pub fn excludes(&self, address: IpAddr) -> bool {
        self.excluded.contains(address)
    }

    /// How many addresses of the pool one namespace may hold; `None`: any number.
    pub fn max_per_namespace(&self) -> Option<u32> {
        self.service_allocation.as_ref()?.max_per_namespace
    }

    /// Who may share an address of the pool, unless it says nothing about that.
    pub fn sharing_scope(&self) -> Option<SharingScope> {
        self.service_allocation.as_ref()?.sharing
    }

    /// The entry that the address lies in, whether it may be used or not.
    pub fn entry_of(&self, address: IpAddr) -> Option<&AddressRange> {
        self.entries.iter().find(|entry| entry.contains(address))
    }

    /// True when the pool has addresses of the family.
    pub fn has_family(&self, family: Family) -> bool {
        self.entries.iter().any(|entry| entry.family() == family)
    }

    /// True when a service with these labels in that namespace may use the pool: its namespace is listed or selected
    /// (or no namespace restriction is given) and a service selector matches (or none is given).
    pub fn admits(&self, namespace: &str, namespace_labels: &Labels, service_labels: &Labels) -> bool {
        let Some(allocation) = &self.service_allocation else { return true };
        let free = allocation.namespaces.is_empty() && allocation.namespace_selectors.is_empty();
        let namespace_fits = free
            || allocation.namespaces.contains(namespace)
            || any_matches(&allocation.namespace_selectors, namespace_labels);
        namespace_fits && none_or_any_matches(&allocation.service_selectors, service_labels)
    }
}

/// An `IPAddressPool` that is not in force as written. Its addresses are *held*: services that have one keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedPool {
    /// Its name.
    pub name: PoolName,
    /// The entries that could be read.
    pub entries: Vec<AddressRange>,
    /// There is something that could not be read: which addresses it means, nobody can say.
    pub unread: bool,
}

impl RejectedPool {
    /// A pool that was in force and no longer is.
    pub(crate) fn of(pool: &Pool) -> Self {
        Self { name: pool.name.clone(), entries: pool.entries.clone(), unread: false }
    }

    /// True when the address lies in an entry that could be read.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.entries.iter().any(|entry| entry.contains(address))
    }
}

/// Which pools an advertisement is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolMatch {
    /// By name.
    pub names: BTreeSet<PoolName>,
    /// By label.
    pub selectors: Vec<Selector>,
}

impl PoolMatch {
    /// True when the pool is named or selected, or when neither names nor selectors are given.
    pub fn matches(&self, pool: &Pool) -> bool {
        let all = self.names.is_empty() && self.selectors.is_empty();
        all || self.names.contains(&pool.name) || any_matches(&self.selectors, &pool.labels)
    }
}

/// A Layer 2 advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct L2Advertisement {
    /// Its name.
    pub name: AdvertisementName,
    /// Its age.
    pub created: Created,
    /// The pools it is for.
    pub pools: PoolMatch,
    /// Nodes that may announce; empty: all.
    pub node_selectors: Vec<Selector>,
    /// Services that are announced; empty: all.
    pub service_selectors: Vec<Selector>,
    /// Interfaces to announce on; empty: all.
    pub interfaces: BTreeSet<InterfaceName>,
    /// Soft preference among nodes: weight (1 to 100) and selector.
    pub preferences: Vec<(u32, Selector)>,
}

impl L2Advertisement {
    /// True when it is for the pool.
    pub fn applies_to(&self, pool: &Pool) -> bool {
        self.pools.matches(pool)
    }

    /// True when a node with these labels may announce.
    pub fn selects_node(&self, labels: &Labels) -> bool {
        none_or_any_matches(&self.node_selectors, labels)
    }

    /// True when a service with these labels is announced.
    pub fn selects_service(&self, labels: &Labels) -> bool {
        none_or_any_matches(&self.service_selectors, labels)
    }

    /// The sum of the weights of all preferences that match the node.
    pub fn preference_score(&self, labels: &Labels) -> u64 {
        self.preferences.iter().filter(|(_, s)| s.matches(labels)).map(|(weight, _)| u64::from(*weight)).sum()
    }
}

/// A BGP advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BgpAdvertisement {
    /// Its name.
    pub name: AdvertisementName,
    /// Its age.
    pub created: Created,
    /// The pools it is for.
    pub pools: PoolMatch,
    /// Pools it would be for, but must not announce: see the errors of the build.
    pub excluded_pools: BTreeSet<PoolName>,
    /// Nodes that announce; empty: all.
    pub node_selectors: Vec<Selector>,
    /// Services that are announced; empty: all.
    pub service_selectors: Vec<Selector>,
    /// Peers that are told; empty: all.
    pub peers: BTreeSet<PeerName>,
    /// Length of IPv4 prefixes, 1 to 32.
    pub aggregation_length: u8,
    /// Length of IPv6 prefixes, 1 to 128.
    pub aggregation_length_v6: u8,
    /// LOCAL_PREF towards internal peers; `None`: the default of the speaker, [`DEFAULT_LOCAL_PREF`].
    pub local_pref: Option<u32>,
    /// Communities, sorted and without duplicates.
    pub communities: BTreeSet<Community>,
}

/// LOCAL_PREF where none is given. RFC 4271 §5.1.5 leaves it to the speaker; 100 is what routers use.
pub const DEFAULT_LOCAL_PREF: u32 = 100;

impl BgpAdvertisement {
    /// True when it is for the pool.
    pub fn applies_to(&self, pool: &Pool) -> bool {
        self.pools.matches(pool) && !self.excluded_pools.contains(&pool.name)
    }

    /// True when a node with these labels announces.
    pub fn selects_node(&self, labels: &Labels) -> bool {
        none_or_any_matches(&self.node_selectors, labels)
    }

    /// True when a service with these labels is announced.
    pub fn selects_service(&self, labels: &Labels) -> bool {
        none_or_any_matches(&self.service_selectors, labels)
    }

    /// True when the peer is told.
    pub fn selects_peer(&self, peer: &PeerName) -> bool {
        self.peers.is_empty() || self.peers.contains(peer)
    }

    /// LOCAL_PREF as internal peers see it.
    pub fn effective_local_pref(&self) -> u32 {
        self.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)
    }

    /// The length of the prefixes of a family.
    pub const fn prefix_length(&self, family: Family) -> u8 {
        match family {
            Family::V4 => self.aggregation_length,
            Family::V6 => self.aggregation_length_v6,
        }
    }
}

/// A BGP peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its name.
    pub name: PeerName,
    /// Its age.
    pub created: Created,
    /// Our AS number.
    pub my_asn: u32,
    /// Which AS number the peer must have.
    pub remote: RemoteAs,
    /// The AS number shown to this peer instead of `my_asn`.
    pub local_asn: Option<u32>,
    /// Where the peer is.
    pub endpoint: PeerEndpoint,
    /// Address to connect from.
    pub source: Option<IpAddr>,
    /// The peer's port.
    pub port: u16,
    /// Hold time: zero (none), or 3 s to 65535 s.
    pub hold_time: Duration,
    /// Keepalive interval: zero exactly when the hold time is zero.
    pub keepalive_time: Duration,
    /// Time between connection attempts; `None`: the speaker's backoff.
    pub connect_time: Option<Duration>,
    /// BGP identifier; `None`: the speaker's rule.
    pub router_id: Option<Ipv4Addr>,
    /// IPv4 next hop to announce; `None`: the speaker's rule.
    pub next_hop_v4: Option<Ipv4Addr>,
    /// IPv6 next hop to announce; `None`: the speaker's rule.
    pub next_hop_v6: Option<Ipv6Addr>,
    /// Maximum segment size of TCP; `None`: the system's.
    pub tcp_mss: Option<u16>,
    /// Nodes that have the session; empty: all.
    pub node_selectors: Vec<Selector>,
    /// TCP-MD5 password.
    pub password: Option<Secret>,
    /// BFD profile. It may not exist (yet): the session runs without BFD until it does.
    pub bfd: Option<ProfileName>,
    /// Offer graceful restart.
    pub graceful_restart: bool,
    /// The external peer is more than one hop away.
    pub ebgp_multi_hop: bool,
    /// Linux VRF of the session.
    pub vrf: Option<InterfaceName>,
    /// Which families the session carries.
    pub families: PeerFamilies,
}

impl Peer {
    /// True when a node with these labels has the session.
    pub fn selects(&self, node: &Labels) -> bool {
        none_or_any_matches(&self.node_selectors, node)
    }

    /// The AS number shown to the peer.
    pub fn shown_asn(&self) -> u32 {
        self.local_asn.unwrap_or(self.my_asn)
    }

    /// True when both sides have one AS number. `None`: known only after the peer's OPEN, never the case here.
    pub fn is_internal(&self) -> bool {
        match self.remote {
            RemoteAs::Asn(asn) => asn == self.shown_asn(),
            RemoteAs::Internal => true,
            RemoteAs::External => false,
        }
    }

    /// True when the two are sessions to the same neighbour: same endpoint and same VRF.
    pub fn is_same_session(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && self.vrf == other.vrf
    }
}

/// Which AS number a peer must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum RemoteAs {
    /// Exactly this.
    Asn(u32),
    /// Ours.
    Internal,
    /// Any but ours.
    External,
}

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum PeerEndpoint {
    /// At an address.
    Address(IpAddr),
    /// At the other end of an interface; its address is learned.
    Interface(InterfaceName),
}

impl std::fmt::Display for PeerEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Interface(interface) => interface.fmt(f),
        }
    }
}

/// Which families a session carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum PeerFamilies {
    /// Only that of the peer's address.
    Own,
    /// Both.
    Both,
}

/// A BFD profile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BfdProfile {
    /// Its name.
    pub name: ProfileName,
    /// Its age.
    pub created: Created,
    /// Shortest interval at which control packets may be received.
    pub receive_interval: Duration,
    /// Interval at which control packets are sent.
    pub transmit_interval: Duration,
    /// Lost packets until the peer is down, 2 to 255.
    pub detect_multiplier: u8,
    /// Interval of echo packets.
    pub echo_interval: Duration,
    /// Use echo packets.
    pub echo_mode: bool,
    /// Wait for the peer to begin.
    pub passive_mode: bool,
    /// Lowest acceptable TTL of a multihop session.
    pub minimum_ttl: u8,
}

/// Names for communities.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommunityAliases {
    /// Name of the object.
    pub name: Box<str>,
    /// Its age.
    pub created: Created,
    /// Value of each alias.
    pub aliases: BTreeMap<Box<str>, Community>,
}

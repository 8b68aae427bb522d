//! Configuration as a person writes it: plain values, nothing checked.
//!
//! Field names, defaults and meaning are those of MetalLB's custom resources; texts are kept as written, so that every
//! error can name the field and quote it.

use std::fmt;

use super::error::Kind;
use crate::keys::Created;
use crate::select::{Labels, SelectorInput};

/// Every configuration object there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct Input {
    /// Address pools.
    pub pools: Vec<PoolInput>,
    /// Layer 2 advertisements.
    pub l2_advertisements: Vec<L2AdvertisementInput>,
    /// BGP advertisements.
    pub bgp_advertisements: Vec<BgpAdvertisementInput>,
    /// BGP peers.
    pub peers: Vec<PeerInput>,
    /// Names for BGP communities.
    pub communities: Vec<CommunityInput>,
    /// BFD profiles.
    pub bfd_profiles: Vec<BfdProfileInput>,
    /// Objects that exist but could not even be read. Their last good version stays in force.
    pub unreadable: Vec<UnreadableInput>,
}

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// The older of two objects in conflict wins; the name breaks ties.
    pub created: Created,
}

impl Meta {
    /// A name and an age.
    pub fn new(name: impl Into<String>, created: Created) -> Self {
        Self { name: name.into(), created }
    }
}

/// An `IPAddressPool`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct PoolInput {
    /// Name and age.
    pub meta: Meta,
    /// Labels of the pool itself; advertisements may select pools by them.
    pub labels: Labels,
    /// CIDRs, ranges `first-last`, single addresses.
    pub addresses: Vec<String>,
    /// Also used for services that ask neither for the pool nor for an address of it. Default true.
    pub auto_assign: bool,
    /// Never use IPv4 addresses that end in .0 or .255. Default false.
    pub avoid_buggy_ips: bool,
    /// Addresses that are never given out, in the same forms as `addresses`. Default none.
    pub exclude_addresses: Vec<String>,
    /// Which services may use the pool, and its rank among others. Default: all, last.
    pub service_allocation: Option<ServiceAllocationInput>,
}

impl Default for PoolInput {
    fn default() -> Self {
        Self {
            meta: Meta::default(),
            labels: Labels::new(),
            addresses: Vec::new(),
            auto_assign: true,
            avoid_buggy_ips: false,
            exclude_addresses: Vec::new(),
            service_allocation: None,
        }
    }
}

/// Which services may use a pool (`spec.serviceAllocation`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct ServiceAllocationInput {
    /// Lower numbers are used first, negative ones too; 0 is last.
    pub priority: i32,
    /// Names of namespaces that may use the pool.
    pub namespaces: Vec<String>,
    /// Namespaces that may use the pool, by label; adds to `namespaces`.
    pub namespace_selectors: Vec<SelectorInput>,
    /// Services that may use the pool, by label.
    pub service_selectors: Vec<SelectorInput>,
    /// How many addresses of the pool one namespace may hold, at least 1. Default: any number.
    pub max_per_namespace: Option<i64>,
    /// `Cluster` or `Namespace`: who may share an address of the pool. Default: as the allocator is set.
    pub sharing: Option<String>,
}

/// An `L2Advertisement`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct L2AdvertisementInput {
    /// Name and age.
    pub meta: Meta,
    /// Pools by name. Neither names nor selectors: all pools.
    pub pools: Vec<String>,
    /// Pools by label.
    pub pool_selectors: Vec<SelectorInput>,
    /// Nodes that may announce; empty: all.
    pub node_selectors: Vec<SelectorInput>,
    /// Services that are announced; empty: all.
    pub service_selectors: Vec<SelectorInput>,
    /// Interfaces to announce on; empty: all.
    pub interfaces: Vec<String>,
    /// Soft preference among the nodes.
    pub preferred_nodes: Vec<PreferenceInput>,
}

/// A soft preference for nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct PreferenceInput {
    /// 1 to 100; the weights of all matching preferences add up.
    pub weight: i32,
    /// The nodes.
    pub preference: SelectorInput,
}

/// A `BGPAdvertisement`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct BgpAdvertisementInput {
    /// Name and age.
    pub meta: Meta,
    /// Length of the announced IPv4 prefixes, 1 to 32; default 32.
    pub aggregation_length: Option<i32>,
    /// Length of the announced IPv6 prefixes, 1 to 128; default 128.
    pub aggregation_length_v6: Option<i32>,
    /// LOCAL_PREF towards internal peers.
    pub local_pref: Option<u32>,
    /// Communities: `A:B`, `large:A:B:C`, an alias, or a well-known name.
    pub communities: Vec<String>,
    /// Pools by name. Neither names nor selectors: all pools.
    pub pools: Vec<String>,
    /// Pools by label.
    pub pool_selectors: Vec<SelectorInput>,
    /// Nodes that announce; empty: all.
    pub node_selectors: Vec<SelectorInput>,
    /// Services that are announced; empty: all.
    pub service_selectors: Vec<SelectorInput>,
    /// Peers that are told; empty: all.
    pub peers: Vec<String>,
}

/// A `BGPPeer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct PeerInput {
    /// Name and age.
    pub meta: Meta,
    /// Our AS number, at least 1.
    pub my_asn: u32,
    /// The peer's AS number. Exactly one of this and `dynamic_asn`.
    pub peer_asn: Option<u32>,
    /// `internal` or `external`.
    pub dynamic_asn: Option<String>,
    /// The AS number to show to this peer instead of `my_asn`.
    pub local_asn: Option<u32>,
    /// The peer's address. Exactly one of this and `interface`.
    pub address: Option<String>,
    /// Interface of an unnumbered session.
    pub interface: Option<String>,
    /// Address to connect from.
    pub source_address: Option<String>,
    /// The peer's port, 1 to 65535; default 179.
    pub port: Option<i32>,
    /// Hold time, e.g. `90s` or `1m30s`; 0 or at least 3 s.
    pub hold_time: Option<String>,
    /// Keepalive interval, at most the hold time.
    pub keepalive_time: Option<String>,
    /// Time between connection attempts, whole seconds.
    pub connect_time: Option<String>,
    /// BGP identifier, an IPv4 address.
    pub router_id: Option<String>,
    /// IPv4 next hop to announce instead of the chosen one, which is `self`.
    pub next_hop_v4: Option<String>,
    /// IPv6 next hop to announce instead of the chosen one, which is `self`.
    pub next_hop_v6: Option<String>,
    /// Maximum segment size of TCP, 88 to 32767.
    pub tcp_mss: Option<i32>,
    /// Nodes that have the session; empty: all.
    pub node_selectors: Vec<SelectorInput>,
    /// TCP-MD5 password.
    pub password: PasswordInput,
    /// Name of a BFD profile.
    pub bfd_profile: Option<String>,
    /// Offer graceful restart.
    pub graceful_restart: bool,
    /// The external peer is more than one hop away.
    pub ebgp_multi_hop: bool,
    /// Linux VRF of the session.
    pub vrf: Option<String>,
    /// Announce both families over this session.
    pub dual_stack_address_family: bool,
}

/// Where the password of a peer comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_enums, reason = "plain input")]
pub enum PasswordInput {
    /// There is none.
    #[default]
    None,
    /// Written in the object.
    Plain(Secret),
    /// Kept elsewhere, under this name.
    Reference {
        /// Name of the secret.
        name: String,
        /// Its content, or why there is none yet.
        value: Result<Secret, SecretProblem>,
    },
    /// Both are given, which is an error.
    Both,
}

/// Why a referenced password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum SecretProblem {
    /// There is no such secret yet.
    Missing,
    /// It is not of type `kubernetes.io/basic-auth`.
    WrongType,
    /// It has no key `password`.
    NoPassword,
    /// The password is not UTF-8 text.
    NotText,
}

/// A password. Never printed: its `Debug` form is redacted and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(from = "String"))]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes the password.
    pub fn new(password: impl Into<Box<str>>) -> Self {
        Self(password.into())
    }

    /// The password in the clear, for the one place that hands it to the kernel.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(password: String) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<redacted>")
    }
}

/// A `Community` object: names for communities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct CommunityInput {
    /// Name and age.
    pub meta: Meta,
    /// Name and value of each alias.
    pub aliases: Vec<(String, String)>,
}

/// A `BFDProfile`. Absent values take the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct BfdProfileInput {
    /// Name and age.
    pub meta: Meta,
    /// Milliseconds, 10 to 60000; default 300.
    pub receive_interval: Option<i32>,
    /// Milliseconds, 10 to 60000; default 300.
    pub transmit_interval: Option<i32>,
    /// 2 to 255; default 3.
    pub detect_multiplier: Option<i32>,
    /// Milliseconds, 10 to 60000; default 50.
    pub echo_interval: Option<i32>,
    /// Use echo packets. Default false.
    pub echo_mode: bool,
    /// Wait for the peer to begin. Default false.
    pub passive_mode: bool,
    /// Lowest acceptable TTL of a multihop session, 1 to 254; default 254.
    pub minimum_ttl: Option<i32>,
}

/// An object that exists but could not be read, for example because a field has the wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "plain input, built field by field")]
pub struct UnreadableInput {
    /// What it is.
    pub kind: Kind,
    /// Name and age.
    pub meta: Meta,
    /// Path of the field, or empty when it is not known.
    pub field: String,
    /// What the reader said.
    pub message: String,
}

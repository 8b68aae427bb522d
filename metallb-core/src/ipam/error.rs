//! Why a service does not get an address.

use std::net::IpAddr;

use crate::facts::AddressOwner;
use crate::keys::{Family, NamespaceName, PoolName, Port, ServiceKey};
use crate::quote::quoted;

/// Why an allocation failed. The text says what would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocationError {
    /// There is no pool at all.
    #[error("there is no address pool; create one")]
    NoPool,
    /// No pool may be used by this service.
    #[error(
        "no pool with autoAssign admits the service; adjust serviceAllocation of a pool or ask for a pool by name"
    )]
    NoMatchingPool,
    /// The pools that may be used have no range of this family.
    #[error("no pool that the service may use has {family} addresses; add an {family} range to one")]
    NoPoolOfFamily {
        /// The family.
        family: Family,
    },
    /// The only pool that may be used has no range of this family.
    #[error("pool \"{pool}\" has no {family} addresses; add an {family} range to it")]
    PoolLacksFamily {
        /// The pool.
        pool: PoolName,
        /// The missing family.
        family: Family,
    },
    /// No single pool has both families.
    #[error("no pool that the service may use has a free address of both families; add a range to one")]
    NoPoolOfBothFamilies,
    /// The only pool that may be used is full.
    #[error(
        "pool \"{pool}\" has no free {family} address: 0 of {capacity}{}; free one or add a range",
        kept_back_text(*.kept_back)
    )]
    PoolExhausted {
        /// The pool.
        pool: PoolName,
        /// The family.
        family: Family,
        /// How many addresses of the family the pool may give out.
        capacity: u128,
        /// How many more it has, which it never gives out: avoided, excluded, or somebody's own.
        kept_back: u128,
    },
    /// All pools that may be used are full.
    #[error(
        "none of the {pools} pools that the service may use has a free {family} address; free one or add a range"
    )]
    AllExhausted {
        /// How many pools.
        pools: usize,
        /// The family.
        family: Family,
    },
    /// Nothing is free, and the service cannot join the nearest address that others hold.
    #[error("{exhausted}; no address can be shared either: {obstacle}")]
    NothingToShare {
        /// Why there is no free address.
        exhausted: Box<Self>,
        /// Why the nearest address cannot be joined.
        obstacle: Box<Self>,
    },
    /// The wanted pool does not exist.
    #[error("there is no pool {}; create it or ask for another", quoted(.pool.as_str()))]
    UnknownPool {
        /// The pool.
        pool: PoolName,
    },
    /// The wanted pool exists but is not in force.
    #[error("pool \"{pool}\" is not valid and not in force; correct it")]
    PoolRejected {
        /// The pool.
        pool: PoolName,
    },
    /// The pool does not admit the service.
    #[error(
        "pool \"{pool}\" does not admit services with these labels in namespace \"{namespace}\"; adjust its serviceAllocation"
    )]
    PoolNotAdmitted {
        /// The pool.
        pool: PoolName,
        /// Namespace of the service.
        namespace: NamespaceName,
    },
    /// The wanted address is in no pool.
    #[error("{address} is in no pool; add it to one or ask for another")]
    AddressNotInPool {
        /// The address.
        address: IpAddr,
    },
    /// The wanted address is not in the wanted pool.
    #[error("{address} is not in pool \"{pool}\"; ask for another address or pool")]
    AddressNotInWantedPool {
        /// The address.
        address: IpAddr,
        /// The wanted pool.
        pool: PoolName,
    },
    /// The wanted address ends in .0 or .255 and the pool avoids these.
    #[error(
        "{address} ends in .0 or .255, which pool \"{pool}\" avoids; ask for another or set avoidBuggyIPs to false"
    )]
    AddressAvoided {
        /// The address.
        address: IpAddr,
        /// The pool.
        pool: PoolName,
    },
    /// The pool excludes the address.
    #[error(
        "pool \"{pool}\" excludes {address} (excludeAddresses); ask for another address or take it out of there"
    )]
    AddressExcluded {
        /// The address.
        address: IpAddr,
        /// The pool.
        pool: PoolName,
    },
    /// The address visibly is somebody's own.
    #[error("{address} is an address of {owner}; ask for another")]
    AddressReserved {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: AddressOwner,
    },
    /// The namespace holds as many addresses of the pool as it may.
    #[error(
        "namespace \"{namespace}\" may hold {max} addresses of pool \"{pool}\" (maxPerNamespace) and has no room for \
         more; free one or raise the limit"
    )]
    QuotaReached {
        /// The pool.
        pool: PoolName,
        /// The namespace.
        namespace: NamespaceName,
        /// How many it may hold.
        max: u32,
    },
    /// The wanted addresses lie in different pools.
    #[error(
        "the wanted addresses lie in the pools \"{first}\" and \"{second}\"; ask for addresses of one pool"
    )]
    DifferentPools {
        /// The pool of the first.
        first: PoolName,
        /// The pool of the second.
        second: PoolName,
    },
    /// Somebody else holds the address.
    #[error("{address} is in use by {holder}; free it, ask for another, or give both the same sharing key")]
    AddressInUse {
        /// The address.
        address: IpAddr,
        /// Who holds it.
        holder: ServiceKey,
    },
    /// The holder has another sharing key.
    #[error("{address} is shared by {holder} under another sharing key; use the same key for both")]
    SharingKeyMismatch {
        /// The address.
        address: IpAddr,
        /// Who holds it.
        holder: ServiceKey,
    },
    /// The holder has the same sharing key but other pods behind it or another traffic policy.
    #[error(
        "{address} is shared by {holder}, which has another externalTrafficPolicy or, with Local, other pods; make them equal or use another address"
    )]
    BackendMismatch {
        /// The address.
        address: IpAddr,
        /// Who holds it.
        holder: ServiceKey,
    },
    /// The holder is in another namespace, and the address is shared within one only.
    #[error(
        "{address} is held by {holder}, and is shared within one namespace only; use another address or allow sharing \
         in the cluster (serviceAllocation.sharing, --sharing-scope)"
    )]
    OtherNamespace {
        /// The address.
        address: IpAddr,
        /// Who holds it.
        holder: ServiceKey,
    },
    /// The holder uses one of the ports.
    #[error("port {port} of {address} is already used by {holder}; use another port or address")]
    PortConflict {
        /// The address.
        address: IpAddr,
        /// The port.
        port: Port,
        /// Who uses it.
        holder: ServiceKey,
    },
}

impl AllocationError {
    /// Every value of [`AllocationError::reason`] and of [`RequestError::reason`](crate::facts::RequestError::reason).
    pub const REASONS: [&'static str; 12] = [
        "pool_exhausted",
        "no_matching_pool",
        "unknown_pool",
        "pool_not_admitted",
        "address_not_in_pool",
        "address_reserved",
        "namespace_quota",
        "address_in_use",
        "sharing_key_mismatch",
        "port_conflict",
        "family_mismatch",
        "invalid_request",
    ];

    /// The address concerned, when there is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::NothingToShare { obstacle, .. } => obstacle.address(),
            Self::AddressNotInPool { address }
            | Self::AddressNotInWantedPool { address, .. }
            | Self::AddressAvoided { address, .. }
            | Self::AddressExcluded { address, .. }
            | Self::AddressReserved { address, .. }
            | Self::AddressInUse { address, .. }
            | Self::SharingKeyMismatch { address, .. }
            | Self::BackendMismatch { address, .. }
            | Self::OtherNamespace { address, .. }
            | Self::PortConflict { address, .. } => Some(*address),
            _ => None,
        }
    }

    /// Stable word for events and metric labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NothingToShare { exhausted, .. } => exhausted.reason(),
            Self::PoolExhausted { .. } | Self::AllExhausted { .. } => "pool_exhausted",
            Self::NoPool | Self::NoMatchingPool => "no_matching_pool",
            Self::NoPoolOfFamily { .. } | Self::PoolLacksFamily { .. } | Self::NoPoolOfBothFamilies => {
                "family_mismatch"
            }
            Self::UnknownPool { .. } | Self::PoolRejected { .. } => "unknown_pool",
            Self::PoolNotAdmitted { .. } => "pool_not_admitted",
            Self::AddressNotInPool { .. }
            | Self::AddressNotInWantedPool { .. }
            | Self::AddressAvoided { .. }
            | Self::AddressExcluded { .. }
            | Self::DifferentPools { .. } => "address_not_in_pool",
            Self::QuotaReached { .. } => "namespace_quota",
            Self::AddressReserved { .. } => "address_reserved",
            Self::AddressInUse { .. } => "address_in_use",
            Self::SharingKeyMismatch { .. } | Self::BackendMismatch { .. } | Self::OtherNamespace { .. } => {
                "sharing_key_mismatch"
            }
            Self::PortConflict { .. } => "port_conflict",
        }
    }
}

/// What is said about addresses that a pool has but never gives out.
pub(super) fn kept_back_text(count: u128) -> String {
    match count {
        0 => String::new(),
        1 => " (1 more is avoided, excluded or somebody's own)".to_owned(),
        _ => format!(" ({count} more are avoided, excluded or somebody's own)"),
    }
}

//! What the assigner wants done.

use std::net::IpAddr;

use super::error::AllocationError;
use crate::facts::RequestError;
use crate::keys::{PoolName, ServiceKey, SharingKey};
use crate::quote::quoted;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver that ignored one would lose traffic")]
pub enum Action {
    /// Write these addresses and pools to the service, in this order. Emitted only while the fact says otherwise.
    Assign {
        /// The service.
        service: ServiceKey,
        /// All its addresses.
        addresses: Vec<IpAddr>,
        /// The pools they come from, one or two, without repetition.
        pools: Vec<PoolName>,
    },
    /// Remove all addresses from the service. Emitted only while the fact has some.
    Clear {
        /// The service.
        service: ServiceKey,
        /// Why, when somebody should be told; `None` when the service no longer wants any.
        reason: Option<ClearReason>,
    },
    /// Tell about a service. Emitted only on change.
    Report {
        /// The service.
        service: ServiceKey,
        /// What to tell.
        report: Report,
    },
    /// The use of a pool has changed, or what is to be said about it: who uses it
    /// ([`Assigner::users`](super::Assigner::users)), or whose addresses it contains
    /// ([`Assigner::owned_in`](super::Assigner::owned_in)).
    Usage {
        /// The pool.
        pool: PoolName,
        /// Its use now.
        usage: Usage,
    },
}

/// News about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a consumer that ignored one would lose news")]
pub enum Report {
    /// It has got addresses that it did not have before; these are all it has now.
    Allocated {
        /// All its addresses.
        addresses: Vec<IpAddr>,
    },
    /// It has lost an address. Other addresses may be assigned at once.
    Released {
        /// The addresses.
        addresses: Vec<IpAddr>,
        /// Why.
        reason: ClearReason,
    },
    /// It gets no address.
    Failed(AllocationError),
    /// It has one address but not the second.
    AdditionalFailed(AllocationError),
    /// What it asks for makes no sense.
    InvalidRequest(RequestError),
    /// It keeps addresses although their pool is not in force.
    Held {
        /// The addresses.
        addresses: Vec<IpAddr>,
        /// The pool that is not in force.
        pool: PoolName,
    },
    /// It keeps an address that nobody would be given any more: its pool excludes it, or it visibly is somebody's own.
    KeptBarred {
        /// The address.
        address: IpAddr,
        /// Why nobody would be given it.
        barrier: AllocationError,
    },
    /// A service of another namespace shares an address of it from now on.
    Joined {
        /// The address.
        address: IpAddr,
        /// Who has come.
        by: ServiceKey,
    },
    /// It keeps an address that it shares with a service that has other pods behind it, or that is in another
    /// namespace where sharing is limited to one: valid in MetalLB, not given anew.
    SharingKept {
        /// The address.
        address: IpAddr,
        /// The sharing key.
        key: SharingKey,
    },
}

/// Why a service has lost an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClearReason {
    /// No pool object contains it.
    #[error("{address} is in no pool any more")]
    NotInPool {
        /// The address.
        address: IpAddr,
    },
    /// The pool it is in does not admit the service.
    #[error("pool \"{pool}\", which has {address}, no longer admits the service")]
    NotAdmitted {
        /// The address.
        address: IpAddr,
        /// The pool.
        pool: PoolName,
    },
    /// The pool avoids addresses that end in .0 and .255.
    #[error("pool \"{pool}\" avoids {address}, which ends in .0 or .255")]
    Avoided {
        /// The address.
        address: IpAddr,
        /// The pool.
        pool: PoolName,
    },
    /// The service does not have this family (any more).
    #[error("{address} is not of a family of the service")]
    FamilyNotWanted {
        /// The address.
        address: IpAddr,
    },
    /// More than one address of a family.
    #[error("{address} is a second address of its family")]
    SecondOfFamily {
        /// The address.
        address: IpAddr,
    },
    /// The service asks for other addresses.
    #[error("the service asks for other addresses than {address}")]
    OtherAddressWanted {
        /// The address.
        address: IpAddr,
    },
    /// The service asks for another pool.
    #[error("the service asks for pool {}, which does not have {address}", quoted(.pool.as_str()))]
    OtherPoolWanted {
        /// The address.
        address: IpAddr,
        /// The wanted pool.
        pool: PoolName,
    },
    /// The service must have both families, and the other one cannot be had beside it.
    #[error("{address} alone is not enough for ipFamilyPolicy RequireDualStack: {missing}")]
    SecondMissing {
        /// The address.
        address: IpAddr,
        /// Why the other family is missing.
        missing: AllocationError,
    },
    /// A service of another namespace that held it earlier has changed, and they may not hold it together any more.
    #[error(
        "{address} stays with {to}, which had it earlier and may not share it with this service any more"
    )]
    GaveWay {
        /// The address.
        address: IpAddr,
        /// Who has it.
        to: ServiceKey,
    },
    /// Another service holds it and it cannot be shared.
    #[error("{0}")]
    Conflict(AllocationError),
}

impl ClearReason {
    /// The address that was lost.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::NotInPool { address }
            | Self::NotAdmitted { address, .. }
            | Self::Avoided { address, .. }
            | Self::FamilyNotWanted { address }
            | Self::SecondOfFamily { address }
            | Self::OtherAddressWanted { address }
            | Self::OtherPoolWanted { address, .. }
            | Self::GaveWay { address, .. }
            | Self::SecondMissing { address, .. } => Some(*address),
            Self::Conflict(error) => error.address(),
        }
    }

    /// Stable word for events and metric labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotInPool { .. } => "address_not_in_pool",
            Self::NotAdmitted { .. } => "pool_not_admitted",
            Self::Avoided { .. } => "address_avoided",
            Self::FamilyNotWanted { .. } | Self::SecondOfFamily { .. } => "family_mismatch",
            Self::OtherAddressWanted { .. } | Self::OtherPoolWanted { .. } => "request_changed",
            Self::GaveWay { .. } => "gave_way",
            Self::SecondMissing { missing: error, .. } | Self::Conflict(error) => error.reason(),
        }
    }
}

/// How much of a pool is in use. A shared address counts once; all numbers saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "four counters, as in the status of a pool")]
pub struct Usage {
    /// IPv4 addresses in use.
    pub assigned_v4: u128,
    /// IPv6 addresses in use.
    pub assigned_v6: u128,
    /// IPv4 addresses that could be given out.
    pub available_v4: u128,
    /// IPv6 addresses that could be given out.
    pub available_v6: u128,
}

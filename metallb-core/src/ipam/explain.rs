//! Why a service has what it has, pool by pool.

use std::net::IpAddr;

use super::action::Report;
use super::allocator::{Allocation, Allocator};
use super::assigner::{Class, Need};
use super::claim::Claim;
use super::error::{AllocationError, kept_back_text};
use super::fill::Step;
use super::pool_index::PoolIndex;
use crate::facts::{FamilyPolicy, RequestError, RequestedFamilies};
use crate::keys::{Family, NamespaceName, PoolName, ServiceKey};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// What the service holds.
    pub allocation: Option<Allocation>,
    /// Why it does not have more.
    pub outcome: Outcome,
    /// What speaks for or against each pool, by name.
    pub pools: Vec<(PoolName, Verdict)>,
}

/// How it stands with the wish of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It has what it wants; of one that only prefers two families, perhaps one ([`Allocation::missing`]).
    Satisfied,
    /// It wants nothing.
    NothingWanted,
    /// What it wants makes no sense.
    Invalid(RequestError),
    /// It cannot have (all of) what it wants.
    Failed(AllocationError),
    /// It could have it: it will, at the next evaluation.
    Possible,
}

impl Outcome {
    /// A stable word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::NothingWanted => "nothing_wanted",
            Self::Invalid(error) => error.reason(),
            Self::Failed(error) => error.reason(),
            Self::Possible => "possible",
        }
    }
}

/// What speaks for or against a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Verdict {
    /// The service has an address of it.
    #[error("holds {address}")]
    Holds {
        /// The address.
        address: IpAddr,
    },
    /// It may be used and has an address.
    #[error("may be used, next is {address}")]
    Usable {
        /// The address that would be given out next.
        address: IpAddr,
    },
    /// It may be used but has no address for this service.
    #[error(
        "may be used but is full: {assigned} of {capacity} {family} addresses are in use{}",
        kept_back_text(*.kept_back)
    )]
    Full {
        /// The family that is missing.
        family: Family,
        /// Addresses in use.
        assigned: u128,
        /// Addresses that may be given out.
        capacity: u128,
        /// Addresses besides, which are never given out: avoided, excluded, or somebody's own.
        kept_back: u128,
    },
    /// The namespace of the service holds as many of its addresses as it may.
    #[error("may be used, but the namespace holds as many addresses as it may (maxPerNamespace: {max})")]
    Quota {
        /// How many a namespace may hold.
        max: u32,
    },
    /// It has no addresses of the family.
    #[error("has no {family} addresses")]
    NoFamily {
        /// The family.
        family: Family,
    },
    /// It does not admit the service.
    #[error("does not admit the service (namespaces, namespaceSelectors, serviceSelectors)")]
    NotAdmitted,
    /// It is only for services that ask for it.
    #[error("is used only when asked for (autoAssign is false)")]
    NotAutomatic,
    /// The service asks for another pool or for addresses elsewhere.
    #[error("is not what the service asks for")]
    NotWanted,
    /// It is not in force.
    #[error("is not valid and not in force")]
    Rejected,
}

impl Verdict {
    /// A stable word.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Holds { .. } => "holds",
            Self::Usable { .. } => "usable",
            Self::Full { .. } => "full",
            Self::Quota { .. } => "namespace_quota",
            Self::NoFamily { .. } => "no_family",
            Self::NotAdmitted => "not_admitted",
            Self::NotAutomatic => "not_automatic",
            Self::NotWanted => "not_wanted",
            Self::Rejected => "rejected",
        }
    }
}

impl Explanation {
    pub(super) const fn not_wanted() -> Self {
        Self { allocation: None, outcome: Outcome::NothingWanted, pools: Vec::new() }
    }

    pub(super) const fn invalid(error: RequestError, allocation: Option<Allocation>) -> Self {
        Self { allocation, outcome: Outcome::Invalid(error), pools: Vec::new() }
    }
}

impl Allocator {
    /// Why a service has what it has, and what speaks for or against each pool. Changes nothing.
    pub fn explain(&self, claim: &Claim<'_>) -> Explanation {
        let mut allocation = self.allocation(claim.service);
        let outcome = match (self.preview(claim).map(|mut more| more.next()), &mut allocation) {
            (Ok(None), _) => Outcome::Satisfied,
            (Ok(Some(_)), _) => Outcome::Possible,
            // It would like both families, and works with one.
            (Err(error), Some(allocation)) if claim.request.policy() == FamilyPolicy::PreferDual => {
                allocation.missing = Some(error);
                Outcome::Satisfied
            }
            (Err(error), _) => Outcome::Failed(error),
        };
        let in_force =
            self.pools.iter().map(|(id, index)| (index.pool().name.clone(), self.verdict(claim, id, index)));
        let mut pools: Vec<(PoolName, Verdict)> = in_force.collect();
        for name in self.rejected.keys().filter(|name| self.pools.id(name).is_none()) {
            pools.push((name.clone(), Verdict::Rejected));
        }
        pools.sort_by(|a, b| a.0.cmp(&b.0));
        Explanation { allocation, outcome, pools }
    }

    fn verdict(&self, claim: &Claim<'_>, id: usize, index: &PoolIndex) -> Verdict {
        let pool = index.pool();
        let request = claim.request;
        let holding = self.book.holding(claim.service);
        let held =
            holding.and_then(|holding| holding.addresses().find(|&address| pool.entry_of(address).is_some()));
        if let Some(address) = held {
            return Verdict::Holds { address };
        }
        let elsewhere = !request.wanted_addresses().is_empty()
            && !request.wanted_addresses().iter().any(|&address| pool.entry_of(address).is_some());
        if elsewhere || request.wanted_pool().is_some_and(|wanted| *wanted != pool.name) {
            return Verdict::NotWanted;
        }
        if !claim.is_admitted_by(pool) {
            return Verdict::NotAdmitted;
        }
        let asked_for = request.wanted_pool().is_some() || !request.wanted_addresses().is_empty();
        if !pool.auto_assign && !asked_for {
            return Verdict::NotAutomatic;
        }
        let mut usable = None;
        for family in request.families().iter() {
            if !pool.has_family(family) {
                return Verdict::NoFamily { family };
            }
            let Some(address) = self.choose(claim, (id, family), Step::Quarantined, usable) else {
                if let Some(max) = pool.max_per_namespace().filter(|_| self.is_full_for(claim, id, usable)) {
                    return Verdict::Quota { max };
                }
                let (assigned, capacity) = (index.assigned(family), index.capacity(family));
                let kept_back = index.kept_back(family);
                return Verdict::Full { family, assigned, capacity, kept_back };
            };
            usable = usable.or(Some(address));
        }
        // A request names at least one family, so there is an address by now.
        usable.map_or(Verdict::NotWanted, |address| Verdict::Usable { address })
    }

    /// What a service that did not get everything waits for.
    pub(super) fn need(&self, claim: &Claim<'_>) -> Need {
        let holding = self.book.holding(claim.service);
        let families: Vec<Family> = claim
            .request
            .families()
            .iter()
            .filter(|&family| holding.is_none_or(|holding| holding.address(family).is_none()))
            .collect();
        let addresses = claim.request.wanted_addresses().to_vec();
        let mut namespace = None;
        let pools = if addresses.is_empty() {
            let helpful = self.helpful(claim);
            namespace = self.any_limited(&helpful).then(|| NamespaceName::new(claim.service.namespace()));
            let indices = helpful.iter().filter_map(|&id| self.pools.index(id));
            indices.map(|index| index.pool().name.clone()).collect()
        } else {
            Vec::new()
        };
        let rooms = self.rooms(claim, &pools);
        Need { class: Class { pools, families, namespace }, addresses, sharing: claim.sharing.clone(), rooms }
    }

    /// True when the pool could give out an address of the family.
    pub(super) fn has_any(&self, pool: &PoolName, family: Family) -> bool {
        self.pools.by_name(pool).is_some_and(|index| index.has_any(family))
    }

    /// True when the service has an address of each of the families.
    pub(super) fn has_families(&self, service: &ServiceKey, families: RequestedFamilies) -> bool {
        let Some(holding) = self.book.holding(service) else { return false };
        families.iter().all(|family| holding.address(family).is_some())
    }

    /// True when the service holds an address.
    pub(super) fn holds_any(&self, service: &ServiceKey) -> bool {
        self.book.holding(service).is_some()
    }

    /// Sharing that is kept although it would not be given out anew.
    pub(super) fn kept_sharing(&self, service: &ServiceKey) -> Option<Report> {
        let holding = self.book.holding(service)?;
        let mine = holding.sharing.as_ref()?;
        let odd = |address: &IpAddr| {
            self.joinable(*address).is_none() && self.book.holders_of(*address).count() > 1
        };
        let address = holding.addresses().find(odd)?;
        Some(Report::SharingKept { address, key: mine.key.clone() })
    }
}

//! What the engines are told about the world: services, nodes, endpoints, namespaces.
//!
//! A fact is the full state of one thing. Applying the same fact twice changes nothing, and the order in which facts
//! arrive does not matter for where things end up.

mod endpoints;
mod interface;
mod owner;

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::keys::{Created, Family, NodeName, PoolName, Port, ServiceKey, SharingKey};
use crate::quote::{quoted, remedy_for_address};
use crate::select::Labels;

pub use endpoints::{Endpoints, FamilyEndpoints, Places, Serving};
pub use interface::Interface;
pub use owner::AddressOwner;

/// Something that wants addresses and is announced with them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts, built field by field from `Service::new`")]
pub struct Service {
    /// Its name.
    pub key: ServiceKey,
    /// Older services are served first.
    pub created: Created,
    /// Its labels; pools and advertisements may select by them.
    pub labels: Labels,
    /// What it wants.
    pub demand: Demand,
    /// The ports it listens on, as the outside world sees them.
    pub ports: BTreeSet<Port>,
    /// Services with the same key may share an address. Never empty text: that means no sharing.
    pub sharing_key: Option<SharingKey>,
    /// Where its traffic may enter.
    pub traffic_policy: TrafficPolicy,
    /// Selector of the pods behind it. Two `Local` services share an address only when these are equal.
    pub backend: Labels,
    /// The addresses it has by its status, in the order found there.
    pub assigned: Vec<IpAddr>,
    /// The pools that the addresses were recorded to come from when they were assigned.
    pub recorded_pools: Vec<PoolName>,
}

impl Service {
    /// A service without labels, ports and addresses that asks for nothing unusual.
    pub fn new(key: ServiceKey, created: Created, demand: Demand) -> Self {
        Self {
            key,
            created,
            labels: Labels::new(),
            demand,
            ports: BTreeSet::new(),
            sharing_key: None,
            traffic_policy: TrafficPolicy::Cluster,
            backend: Labels::new(),
            assigned: Vec::new(),
            recorded_pools: Vec::new(),
        }
    }
}

/// What a service wants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum Demand {
    /// Nothing: it is not a load balancer, not of our class, or has no cluster IP. What it holds is taken back.
    None,
    /// Addresses.
    Addresses(Request),
    /// Addresses, but the wish makes no sense. It keeps what it holds and is told what is wrong.
    Invalid(RequestError),
}

/// A wish for addresses. Built by [`Request::new`], so it is always consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    families: RequestedFamilies,
    policy: FamilyPolicy,
    wanted_addresses: Vec<IpAddr>,
    wanted_pool: Option<PoolName>,
}

impl Request {
    /// One address of `family`, any pool.
    pub const fn single(family: Family) -> Self {
        Self {
            families: RequestedFamilies::one(family),
            policy: FamilyPolicy::Single,
            wanted_addresses: Vec::new(),
            wanted_pool: None,
        }
    }

    /// Checks a wish.
    ///
    /// `families` are those of the service (its cluster IPs), preferred first. `wanted_addresses` is empty or holds one
    /// address for each of the families.
    ///
    /// # Errors
    /// [`RequestError`] when the parts contradict each other.
    pub fn new(
        families: RequestedFamilies,
        policy: FamilyPolicy,
        wanted_addresses: Vec<IpAddr>,
        wanted_pool: Option<PoolName>,
    ) -> Result<Self, RequestError> {
        if policy == FamilyPolicy::RequireDual && families.second().is_none() {
            return Err(RequestError::DualStackWithoutSecondFamily { family: families.preferred() });
        }
        let families = if policy == FamilyPolicy::Single { families.only_preferred() } else { families };
        check_wanted(families, &wanted_addresses)?;
        Ok(Self { families, policy, wanted_addresses, wanted_pool })
    }

    /// The families that are wanted, preferred first.
    pub const fn families(&self) -> RequestedFamilies {
        self.families
    }

    /// How many of the families must be had.
    pub const fn policy(&self) -> FamilyPolicy {
        self.policy
    }

    /// Addresses asked for by name: none, or one for each family.
    pub fn wanted_addresses(&self) -> &[IpAddr] {
        &self.wanted_addresses
    }

    /// The pool asked for by name.
    pub const fn wanted_pool(&self) -> Option<&PoolName> {
        self.wanted_pool.as_ref()
    }
}

fn check_wanted(families: RequestedFamilies, wanted: &[IpAddr]) -> Result<(), RequestError> {
    for (index, &address) in wanted.iter().enumerate() {
        let family = Family::of(address);
        if !families.contains(family) {
            return Err(RequestError::WantedFamilyMismatch { address, families });
        }
        if wanted.iter().take(index).any(|&earlier| Family::of(earlier) == family) {
            return Err(RequestError::TwoAddressesOfOneFamily { family });
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    match families.iter().find(|&family| !wanted.iter().any(|&address| Family::of(address) == family)) {
        Some(missing) => Err(RequestError::WantedFamilyMissing { missing }),
        None => Ok(()),
    }
}

/// One or two families, the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedFamilies {
    preferred: Family,
    dual: bool,
}

impl RequestedFamilies {
    /// Only this family.
    pub const fn one(family: Family) -> Self {
        Self { preferred: family, dual: false }
    }

    /// Both families; this one is taken when only one can be had.
    pub const fn both(preferred: Family) -> Self {
        Self { preferred, dual: true }
    }

    /// From the families of a list of cluster IPs, in their order. `None` for an empty list; repetitions are ignored.
    pub fn from_order(families: impl IntoIterator<Item = Family>) -> Option<Self> {
        let mut families = families.into_iter();
        let preferred = families.next()?;
        Some(Self { preferred, dual: families.any(|family| family != preferred) })
    }

    /// The preferred family.
    pub const fn preferred(self) -> Family {
        self.preferred
    }

    /// The other family when both are wanted.
    pub fn second(self) -> Option<Family> {
        self.dual.then(|| self.preferred.other())
    }

    /// True when the family is one of them.
    pub fn contains(self, family: Family) -> bool {
        self.dual || self.preferred == family
    }

    /// The families, preferred first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        std::iter::once(self.preferred).chain(self.second())
    }

    const fn only_preferred(self) -> Self {
        Self::one(self.preferred)
    }
}

impl std::fmt::Display for RequestedFamilies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.second() {
            None => self.preferred.fmt(f),
            Some(second) => write!(f, "{} and {second}", self.preferred),
        }
    }
}

/// How many families a service must have (`ipFamilyPolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum FamilyPolicy {
    /// One address, of the preferred family.
    #[default]
    Single,
    /// One of each when possible, else one; the missing one is added as soon as it becomes possible.
    PreferDual,
    /// One of each or none.
    RequireDual,
}

/// Where traffic may enter (`externalTrafficPolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum TrafficPolicy {
    /// On every node; it is forwarded to where the endpoints are.
    #[default]
    Cluster,
    /// Only on nodes that have a ready endpoint.
    Local,
}

/// Why a wish for addresses makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A wanted address cannot be read.
    #[error("{} is not an IP address; {}", quoted(.text), remedy_for_address(.text))]
    InvalidAddress {
        /// As written; no more of it than is shown is needed.
        text: Box<str>,
    },
    /// A text is longer than Kubernetes allows for what it is to be.
    #[error("{place} has {length} bytes, and at most {longest} are allowed; shorten it")]
    TooLong {
        /// Where it stands.
        place: &'static str,
        /// How long it is, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        longest: usize,
    },
    /// A list of wanted addresses has an empty element: a comma too many.
    #[error("{place}: {} has a comma with nothing before or behind it; remove the comma", quoted(.text))]
    EmptyAddress {
        /// Where the list stands.
        place: &'static str,
        /// The list as written.
        text: Box<str>,
    },
    /// More than one address of a family is wanted.
    #[error("more than one {family} address is wanted; name at most one per family")]
    TwoAddressesOfOneFamily {
        /// The family.
        family: Family,
    },
    /// A wanted address is not of the service's family.
    #[error(
        "wanted address {address} does not fit the service, which is {families}; name an address of its family"
    )]
    WantedFamilyMismatch {
        /// The address.
        address: IpAddr,
        /// The families of the service.
        families: RequestedFamilies,
    },
    /// Addresses are wanted by name but not one for each family of the service.
    #[error(
        "the service also has {missing}, but no {missing} address is wanted; name one or set ipFamilyPolicy to SingleStack"
    )]
    WantedFamilyMissing {
        /// The family without a wanted address.
        missing: Family,
    },
    /// Wanted addresses are given in two places.
    #[error("wanted addresses stand in the annotation and in spec.loadBalancerIP; keep one of them")]
    WantedTwice,
    /// Dual stack is required but the service has one family only.
    #[error(
        "ipFamilyPolicy is RequireDualStack but the only cluster IP is {family}; the service needs one of each"
    )]
    DualStackWithoutSecondFamily {
        /// The only family.
        family: Family,
    },
    /// A cluster IP cannot be read.
    #[error("cluster IP {} is not an IP address", quoted(.text))]
    InvalidClusterIp {
        /// As found.
        text: Box<str>,
    },
}

impl RequestError {
    /// Stable word for events and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::WantedFamilyMismatch { .. } | Self::WantedFamilyMissing { .. } => "family_mismatch",
            _ => "invalid_request",
        }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts, built field by field from `Node::new`")]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// The condition `NetworkUnavailable` is true.
    pub network_unavailable: bool,
    /// Labelled `node.kubernetes.io/exclude-from-external-load-balancers`.
    pub excluded: bool,
    /// Labelled `node-role.kubernetes.io/control-plane`.
    pub control_plane: bool,
    /// Tainted `node.kubernetes.io/out-of-service`.
    pub out_of_service: bool,
    /// Its own addresses, in the order in which they are listed: Kubernetes' `InternalIP`.
    pub internal_addresses: Vec<IpAddr>,
    /// Addresses under which it is reached from outside: Kubernetes' `ExternalIP`.
    pub external_addresses: Vec<IpAddr>,
}

impl Node {
    /// A healthy node.
    pub const fn new(name: NodeName, labels: Labels) -> Self {
        Self {
            name,
            labels,
            network_unavailable: false,
            excluded: false,
            control_plane: false,
            out_of_service: false,
            internal_addresses: Vec::new(),
            external_addresses: Vec::new(),
        }
    }

    /// All addresses that are visibly its own, which no service must get.
    pub fn own_addresses(&self) -> BTreeSet<IpAddr> {
        self.internal_addresses.iter().chain(&self.external_addresses).copied().collect()
    }
}

/// A namespace. One without this fact has no labels.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts")]
pub struct Namespace {
    /// Its name.
    pub name: crate::keys::NamespaceName,
    /// Its labels.
    pub labels: Labels,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_request_for_named_addresses_must_name_one_for_each_family() {
        let dual = RequestedFamilies::both(Family::V6);
        let new = |policy, wanted: &[&str]| {
            Request::new(dual, policy, wanted.iter().map(|a| ip(a)).collect(), None)
        };
        assert!(new(FamilyPolicy::PreferDual, &["192.0.2.1", "2001:db8::1"]).is_ok());
        assert_eq!(
            new(FamilyPolicy::PreferDual, &["192.0.2.1"]),
            Err(RequestError::WantedFamilyMissing { missing: Family::V6 })
        );
        assert_eq!(
            new(FamilyPolicy::RequireDual, &["192.0.2.1", "192.0.2.2"]),
            Err(RequestError::TwoAddressesOfOneFamily { family: Family::V4 })
        );
    }

    #[test]
    fn single_stack_takes_only_the_preferred_family() {
        let request =
            Request::new(RequestedFamilies::both(Family::V6), FamilyPolicy::Single, Vec::new(), None)
                .unwrap();
        assert_eq!(request.families(), RequestedFamilies::one(Family::V6));
    }

    #[test]
    fn dual_stack_cannot_be_required_of_a_service_with_one_family() {
        let error =
            Request::new(RequestedFamilies::one(Family::V4), FamilyPolicy::RequireDual, Vec::new(), None)
                .unwrap_err();
        assert_eq!(error, RequestError::DualStackWithoutSecondFamily { family: Family::V4 });
        assert_eq!(error.reason(), "invalid_request");
    }
}

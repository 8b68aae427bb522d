//! Services.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use metallb_core::{
    facts::{Demand, FamilyPolicy, Request, RequestError, RequestedFamilies, Service, TrafficPolicy},
    keys::{Created, Family, PoolName, Port, Protocol, ServiceKey, SharingKey},
    quote::beginning,
    select::Labels,
};

use super::{annotations, objects};
use crate::{watch::Tracked, write::rewritten_by};

/// Which Services are ours to serve (`--lb-class`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassFilter(Option<String>);

impl ClassFilter {
    /// Services with exactly this `loadBalancerClass`; an empty text means those without a class.
    pub fn new(class: impl Into<String>) -> Self {
        Self(Some(class.into()).filter(|class| !class.is_empty()))
    }

    /// Whether a Service of this class is ours.
    pub fn admits(&self, class: Option<&str>) -> bool {
        self.0.as_deref() == class.filter(|class| !class.is_empty())
    }
}

/// What is kept of a Service: the fact for the engines, and what is needed to write back to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceRecord {
    /// The Service as the engines see it.
    pub fact: Arc<Service>,
    /// Identity of the object.
    pub uid: String,
    /// Version of the object, named in every write to it.
    pub resource_version: String,
    /// Old annotation names that it uses.
    pub deprecated: Vec<String>,
    /// Annotations under our prefixes that mean nothing, with the name that was perhaps meant.
    pub unknown: Vec<(String, Option<&'static str>)>,
    /// Annotations whose value is the place in a template that nobody filled in.
    pub unfilled: Vec<String>,
    /// Whether its status carries something that is not an address, which a write would replace.
    pub foreign_ingress: bool,
    /// Whether our annotation is present, under its present name.
    pub annotated: bool,
    /// The field manager that wrote the status or our annotation last, where that was not us.
    pub rewritten_by: Option<Arc<str>>,
}

impl ServiceRecord {
    /// Cuts a Service down; `None` when it is none of our business, see [`service`].
    pub fn cut(object: &objects::Service, filter: &ClassFilter) -> Option<Self> {
        let fact = Arc::new(service(object, filter)?);
        let none = BTreeMap::new();
        let found = object.metadata.annotations.as_ref().unwrap_or(&none);
        let ingress = &object.status.load_balancer.ingress;
        Some(Self {
            foreign_ingress: fact.assigned.len() != ingress.len(),
            fact,
            uid: object.metadata.uid.clone().unwrap_or_default(),
            resource_version: object.metadata.resource_version.clone().unwrap_or_default(),
            deprecated: annotations::deprecated(found),
            unknown: annotations::unknown(found),
            unfilled: annotations::unfilled(found),
            annotated: found.contains_key(annotations::ALLOCATED_FROM_POOL),
            rewritten_by: rewritten_by(&object.metadata),
        })
    }
}

impl Tracked for ServiceRecord {
    /// A new version with the same content does not matter.
    fn differs(&self, previous: &Self) -> bool {
        // Spelled out, so that a new field has to be thought about here.
        let Self {
            fact,
            uid,
            resource_version: _,
            deprecated,
            unknown,
            unfilled,
            foreign_ingress,
            annotated,
            rewritten_by: _,
        } = self;
        *fact != previous.fact
            || *uid != previous.uid
            || *deprecated != previous.deprecated
            || *unknown != previous.unknown
            || *unfilled != previous.unfilled
            || *foreign_ingress != previous.foreign_ingress
            || *annotated != previous.annotated
    }
}

/// A Service as whoever gives addresses sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between")]
pub enum SeenService {
    /// One that is ours.
    Ours(Arc<ServiceRecord>),
    /// One of another class, with the addresses that its status says it has. It has them until it is gone, also while it is
    /// being deleted.
    Foreign(BTreeSet<IpAddr>),
}

impl SeenService {
    /// Cuts a Service down; `None` when it neither is ours nor has addresses.
    pub fn cut(object: &objects::Service, filter: &ClassFilter) -> Option<Self> {
        if let Some(record) = ServiceRecord::cut(object, filter) {
            return Some(Self::Ours(Arc::new(record)));
        }
        let spec = &object.spec;
        let is_foreign = spec.type_ == "LoadBalancer" && !filter.admits(spec.load_balancer_class.as_deref());
        let addresses: BTreeSet<IpAddr> = assigned(object).into_iter().collect();
        (is_foreign && !addresses.is_empty()).then_some(Self::Foreign(addresses))
    }
}

impl Tracked for SeenService {
    fn differs(&self, previous: &Self) -> bool {
        match (self, previous) {
            (Self::Ours(own), Self::Ours(previous)) => own.differs(previous),
            _ => self != previous,
        }
    }
}

/// What the engines need to know of a Service.
///
/// `None` for Services that are none of our business: of another class, not of type LoadBalancer and without a trace of
/// us, or being deleted: such a one counts as gone. One that is no load balancer any more but still carries our annotation
/// is returned with [`Demand::None`], so that the annotation is taken away.
pub fn service(object: &objects::Service, filter: &ClassFilter) -> Option<Service> {
    let meta = &object.metadata;
    let spec = &object.spec;
    let none = BTreeMap::new();
    let found = meta.annotations.as_ref().unwrap_or(&none);
    let recorded = pools(found);
    let load_balancer = spec.type_ == "LoadBalancer";
    let ours =
        if load_balancer { filter.admits(spec.load_balancer_class.as_deref()) } else { !recorded.is_empty() };
    if !ours || meta.deletion_timestamp.is_some() {
        return None;
    }
    let key = ServiceKey::new(meta.namespace.as_deref()?, meta.name.as_deref()?);
    let demand = if load_balancer { demand(spec, found) } else { Demand::None };
    let sharing_key = annotations::get(found, annotations::ALLOW_SHARED_IP).filter(|key| !key.is_empty());
    Some(Service {
        key,
        created: Created(meta.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second())),
        labels: super::labels(meta.labels.as_ref()),
        demand,
        ports: spec.ports.iter().filter_map(port).collect(),
        // What is too long is refused by the demand.
        sharing_key: sharing_key.filter(|key| key.len() <= LONGEST_NAME).map(SharingKey::new),
        traffic_policy: match spec.external_traffic_policy.as_deref() {
            Some("Local") => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        },
        backend: spec.selector.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Labels>(),
        assigned: assigned(object),
        recorded_pools: recorded,
    })
}

fn assigned(object: &objects::Service) -> Vec<IpAddr> {
    let ingress = &object.status.load_balancer.ingress;
    // Entries without an address (host names) were written by someone else.
    ingress.iter().filter_map(|entry| entry.ip.as_deref()?.parse().ok()).collect()
}

fn pools(found: &BTreeMap<String, String>) -> Vec<PoolName> {
    let recorded = annotations::get(found, annotations::ALLOCATED_FROM_POOL).unwrap_or_default();
    let names = recorded.split(',').map(str::trim).filter(|name| !name.is_empty());
    // There are two at most. One more, and the beginning of what is too long, tell it from what we wrote.
    names.take(3).map(|name| PoolName::new(shortened(name))).collect()
}

/// No more than one character more than a name may have.
fn shortened(name: &str) -> &str {
    let end = name.char_indices().nth(LONGEST_NAME + 1).map(|(index, _)| index);
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}

/// A text that is longer than Kubernetes allows for the name of an object; nothing of it is kept.
fn name_of<'a>(
    found: &'a BTreeMap<String, String>,
    place: &'static str,
) -> Result<Option<&'a str>, RequestError> {
    let name = annotations::get(found, place).filter(|name| !name.is_empty());
    match name.map(str::len).filter(|length| *length > LONGEST_NAME) {
        Some(length) => Err(RequestError::TooLong { place, length, longest: LONGEST_NAME }),
        None => Ok(name),
    }
}

/// Longest name of an object in Kubernetes, in bytes. Sharing keys must not be longer either.
const LONGEST_NAME: usize = 253;

fn demand(spec: &objects::ServiceSpec, found: &BTreeMap<String, String>) -> Demand {
    match request(spec, found) {
        Ok(Some(request)) => Demand::Addresses(request),
        Ok(None) => Demand::None,
        Err(error) => Demand::Invalid(error),
    }
}

fn request(
    spec: &objects::ServiceSpec,
    found: &BTreeMap<String, String>,
) -> Result<Option<Request>, RequestError> {
    let listed = spec.cluster_ips.iter().map(String::as_str).chain(spec.cluster_ip.as_deref());
    let mut families = Vec::new();
    for text in listed.filter(|text| !text.is_empty() && *text != "None") {
        let address: IpAddr =
            text.parse().map_err(|_| RequestError::InvalidClusterIp { text: beginning(text).into() })?;
        families.push(Family::of(address));
    }
    let Some(families) = RequestedFamilies::from_order(families) else { return Ok(None) };
    let policy = match spec.ip_family_policy.as_deref() {
        Some("PreferDualStack") => FamilyPolicy::PreferDual,
        Some("RequireDualStack") => FamilyPolicy::RequireDual,
        _ => FamilyPolicy::Single,
    };
    name_of(found, annotations::ALLOW_SHARED_IP)?;
    let wanted_pool = name_of(found, annotations::ADDRESS_POOL)?;
    Request::new(families, policy, wanted(spec, found)?, wanted_pool.map(PoolName::new)).map(Some)
}

fn wanted(
    spec: &objects::ServiceSpec,
    found: &BTreeMap<String, String>,
) -> Result<Vec<IpAddr>, RequestError> {
    let annotated =
        annotations::get(found, annotations::LOAD_BALANCER_IPS).filter(|text| !text.trim().is_empty());
    let field = spec.load_balancer_ip.as_deref().filter(|text| !text.trim().is_empty());
    match (annotated, field) {
        (Some(_), Some(_)) => Err(RequestError::WantedTwice),
        (Some(list), None) if list.split(',').any(|one| one.trim().is_empty()) => {
            let (place, text) = (annotations::LOAD_BALANCER_IPS, beginning(list).into());
            Err(RequestError::EmptyAddress { place, text })
        }
        (Some(list), None) => list.split(',').map(wanted_address).collect(),
        (None, Some(one)) => wanted_address(one).map(|address| vec![address]),
        (None, None) => Ok(Vec::new()),
    }
}

/// An IPv4 address may be written as an IPv6 one (`::ffff:192.0.2.1`).
fn wanted_address(text: &str) -> Result<IpAddr, RequestError> {
    let text = text.trim();
    let address: Result<IpAddr, _> = text.parse();
    address
        .map(|address| address.to_canonical())
        .map_err(|_| RequestError::InvalidAddress { text: beginning(text).into() })
}

fn port(port: &objects::ServicePort) -> Option<Port> {
    let protocol = match port.protocol.as_deref() {
        None | Some("" | "TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        // The API knows no other.
        Some(_) => return None,
    };
    Some(Port::new(protocol, u16::try_from(port.port).ok()?))
}

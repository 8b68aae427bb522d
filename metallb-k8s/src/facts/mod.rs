//! Kubernetes objects cut down to the facts that [`metallb_core`] decides on.
//!
//! [`objects`] decodes only what is needed; the functions here turn it into facts. The `…Record`
//! types are what a [`Store`](crate::watch::Store) keeps.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use metallb_core::{
    facts::{Endpoints, FamilyEndpoints, Namespace, Node, Places, Serving},
    keys::{Family, NamespaceName, NodeName, ServiceKey},
    select::Labels,
};

use crate::watch::{ObjectKey, Tracked};

pub mod annotations;
pub mod objects;
mod pod;
mod service;
#[cfg(test)]
mod tests;

pub use pod::{SpeakerNode, SpeakerPod};
pub use service::{ClassFilter, SeenService, ServiceRecord, service};

const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";
const OUT_OF_SERVICE_TAINT: &str = "node.kubernetes.io/out-of-service";
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// What the engines need to know of a Node. `None` when it has no name.
pub fn node(object: &objects::Node) -> Option<Node> {
    let name = NodeName::new(object.metadata.name.as_deref()?);
    let labels = labels(object.metadata.labels.as_ref());
    let condition = |kind: &str| {
        object.status.conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
    };
    let addresses = |kind: &str| {
        let listed = object.status.addresses.iter().filter(|address| address.type_ == kind);
        // What cannot be read is no address, and another may follow.
        listed.filter_map(|address| address.address.parse().ok()).collect()
    };
    Some(Node {
        internal_addresses: addresses("InternalIP"),
        external_addresses: addresses("ExternalIP"),
        network_unavailable: condition("NetworkUnavailable"),
        excluded: labels.get(EXCLUDE_LABEL).is_some(),
        control_plane: labels.get(CONTROL_PLANE_LABEL).is_some(),
        out_of_service: object.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE_TAINT),
        ..Node::new(name, labels)
    })
}

/// Addresses under which the API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiServerRecord {
    /// The addresses.
    pub addresses: BTreeSet<IpAddr>,
}

impl ApiServerRecord {
    /// Reads an EndpointSlice of the Service `kubernetes`.
    pub fn cut(object: &objects::AddressSlice) -> Self {
        let addresses = object.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        // A name is no address.
        Self { addresses: addresses.filter_map(|address| address.parse().ok()).collect() }
    }
}

impl Tracked for ApiServerRecord {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// Whether a Node is being taken out of service: cordoned, or its kubelet says that it is not ready, as it does from
/// the first moment of a graceful shutdown on. A kubelet that is silent (`Unknown`) says nothing about that.
pub fn is_leaving(object: &objects::Node) -> bool {
    let not_ready =
        |condition: &objects::NodeCondition| condition.type_ == "Ready" && condition.status == "False";
    object.spec.unschedulable || object.status.conditions.iter().any(not_ready)
}

impl Tracked for Node {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// What the engines need to know of a Namespace. `None` when it has no name.
pub fn namespace(object: &objects::Namespace) -> Option<Namespace> {
    let name = NamespaceName::new(object.metadata.name.as_deref()?);
    Some(Namespace { name, labels: labels(object.metadata.labels.as_ref()) })
}

impl Tracked for Namespace {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// What is kept of an EndpointSlice: the nodes with endpoints that can serve, of one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SliceRecord {
    /// The Service it belongs to.
    pub service: ServiceKey,
    /// The address family of its endpoints.
    pub family: Family,
    /// Where they are.
    pub endpoints: FamilyEndpoints,
}

impl SliceRecord {
    /// Cuts an EndpointSlice down; `None` when it belongs to no Service, is being deleted, or holds names instead of
    /// addresses.
    pub fn cut(object: &objects::EndpointSlice) -> Option<Self> {
        let meta = &object.metadata;
        if meta.deletion_timestamp.is_some() {
            return None;
        }
        let service = meta.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
        let family = match object.address_type.as_str() {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            _ => return None,
        };
        let mut endpoints = FamilyEndpoints::default();
        for endpoint in &object.endpoints {
            let Some(places) = places(&mut endpoints, &endpoint.conditions) else { continue };
            match endpoint.node_name.as_deref() {
                Some(node) if !node.is_empty() => {
                    places.nodes.insert(NodeName::new(node));
                }
                _ => places.elsewhere = true,
            }
        }
        Some(Self { service: ServiceKey::new(meta.namespace.as_deref()?, service), family, endpoints })
    }
}

impl Tracked for SliceRecord {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// Where an endpoint counts: ready, or not judged; else on its way out but still answering; else nowhere.
fn places<'a>(
    endpoints: &'a mut FamilyEndpoints,
    conditions: &objects::EndpointConditions,
) -> Option<&'a mut Places> {
    if conditions.ready.unwrap_or(true) {
        Some(&mut endpoints.ready)
    } else if conditions.serving.unwrap_or(false) {
        Some(&mut endpoints.terminating)
    } else {
        None
    }
}

/// The endpoints of a Service from its slices; `None` when none can serve.
pub fn endpoints<'a>(
    service: &ServiceKey,
    slices: impl IntoIterator<Item = &'a SliceRecord>,
) -> Option<Endpoints> {
    let mut endpoints = Endpoints::none(service.clone());
    for slice in slices.into_iter().filter(|slice| slice.service == *service) {
        let into = endpoints.of_mut(slice.family);
        let FamilyEndpoints { ready, terminating } = &slice.endpoints;
        for (into, from) in [(&mut into.ready, ready), (&mut into.terminating, terminating)] {
            into.nodes.extend(from.nodes.iter().cloned());
            into.elsewhere |= from.elsewhere;
        }
    }
    (endpoints.anywhere() > Serving::Not).then_some(endpoints)
}

/// Which slices belong to which Service: slices are watched by their own names, Services decided on
/// by theirs.
#[derive(Clone, Debug, Default)]
pub struct SliceIndex {
    slices: BTreeMap<ObjectKey, Arc<SliceRecord>>,
    by_service: BTreeMap<ServiceKey, BTreeSet<ObjectKey>>,
}

impl SliceIndex {
    /// Takes note of a slice, or with `None` that it went. Returns the Services to look at again.
    pub fn apply(&mut self, key: &ObjectKey, slice: Option<Arc<SliceRecord>>) -> BTreeSet<ServiceKey> {
        let mut touched = BTreeSet::new();
        // What stood there at the start is named again by the watch.
        if let (Some(known), Some(slice)) = (self.slices.get(key), &slice)
            && Arc::ptr_eq(known, slice)
        {
            return touched;
        }
        if let Some(previous) = self.slices.remove(key) {
            if let Some(keys) = self.by_service.get_mut(&previous.service) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_service.remove(&previous.service);
                }
            }
            touched.insert(previous.service.clone());
        }
        if let Some(slice) = slice {
            touched.insert(slice.service.clone());
            self.by_service.entry(slice.service.clone()).or_default().insert(key.clone());
            self.slices.insert(key.clone(), slice);
        }
        touched
    }

    /// The endpoints of a Service; `None` when none can serve.
    pub fn endpoints(&self, service: &ServiceKey) -> Option<Endpoints> {
        let keys = self.by_service.get(service)?;
        endpoints(service, keys.iter().filter_map(|key| self.slices.get(key)).map(|slice| &**slice))
    }
}

fn labels(found: Option<&BTreeMap<String, String>>) -> Labels {
    found.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

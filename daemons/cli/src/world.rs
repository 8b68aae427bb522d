//! From objects to the facts that the libraries decide on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::ByteString;
use metallb_core::config::{Kind, Meta};
use metallb_core::facts::{AddressOwner, Demand, Endpoints, Namespace, Node, Service};
use metallb_core::keys::{Created, ServiceKey};
use metallb_k8s::convert::{Object, PasswordRecord, Resources, versions};
use metallb_k8s::crd::{self, DecodeError};
use metallb_k8s::facts::{
    self, ApiServerRecord, ClassFilter, SeenService, SliceRecord, annotations, objects,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::check::{Finding, split_remedy};
use crate::document::Document;

/// Everything that decides, from files or a cluster.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) resources: Resources,
    pub(crate) services: Vec<Service>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) slices: Vec<SliceRecord>,
    /// Addresses of services that other load balancers serve.
    pub(crate) foreign: BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
    /// Where the API server is reached.
    pub(crate) api_server: BTreeSet<IpAddr>,
    /// The document of each configuration object.
    pub(crate) places: BTreeMap<(Kind, String), usize>,
    pub(crate) findings: Vec<Finding>,
}

impl World {
    /// Takes all documents. Objects of files have no age: the one that stands first counts as the oldest.
    pub(crate) fn new(documents: &[Document], namespace: &str, class: &ClassFilter) -> Self {
        let mut world = Self::default();
        for (index, document) in documents.iter().enumerate() {
            match (document.version(), document.api_version.as_str(), document.kind.as_str()) {
                (Some(version), ..) => world.resource(index, document, version, namespace),
                (_, "v1", "Service") => world.service(document, class),
                (_, "v1", "Node") => world.nodes.extend(world_fact(document, facts::node)),
                (_, "v1", "Namespace") => world.namespaces.extend(world_fact(document, facts::namespace)),
                (_, "v1", "Secret") => world.secret(document, namespace),
                (_, "discovery.k8s.io/v1", "EndpointSlice") => {
                    world.slices.extend(world_fact(document, SliceRecord::cut));
                    if (document.namespace.as_deref(), document.name.as_str()) == API_SERVER {
                        let record = world_fact(document, |slice| Some(ApiServerRecord::cut(slice)));
                        world.api_server.extend(record.into_iter().flat_map(|record| record.addresses));
                    }
                }
                _ => {}
            }
        }
        world
    }

    /// Everybody who visibly has addresses of their own, besides the BGP peers.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (AddressOwner, BTreeSet<IpAddr>)> {
        let node = |node: &Node| (AddressOwner::Node(node.name.clone()), node.own_addresses());
        let api_server = (AddressOwner::ApiServer, self.api_server.clone());
        let service = |(key, addresses): (&ServiceKey, &BTreeSet<IpAddr>)| {
            (AddressOwner::Service(key.clone()), addresses.clone())
        };
        self.nodes.iter().map(node).chain([api_server]).chain(self.foreign.iter().map(service))
    }

    /// The endpoints of the services that have slices.
    pub(crate) fn endpoints(&self) -> Vec<Endpoints> {
        if self.slices.is_empty() {
            return Vec::new();
        }
        let mut slices: BTreeMap<&ServiceKey, Vec<&SliceRecord>> = BTreeMap::new();
        for slice in &self.slices {
            slices.entry(&slice.service).or_default().push(slice);
        }
        let of = |service: &Service| {
            let slices = slices.get(&service.key).into_iter().flatten().copied();
            facts::endpoints(&service.key, slices).unwrap_or_else(|| Endpoints::none(service.key.clone()))
        };
        self.services.iter().map(of).collect()
    }

    fn resource(&mut self, index: usize, document: &Document, version: &str, namespace: &str) {
        if document.namespace.as_deref().is_some_and(|stated| stated != namespace) {
            let message = format!("is only read in the namespace {namespace:?}");
            let finding = Finding::error("namespace", "metadata.namespace", message);
            let help = format!("write namespace: {namespace}, or say with --namespace where MetalLB is");
            self.findings.push(document.place(finding.help(help)));
            return;
        }
        let resources = &mut self.resources;
        let kind = match document.kind.as_str() {
            "IPAddressPool" => push(&mut resources.pools, document, index, Kind::Pool, crd::decode),
            "L2Advertisement" => {
                push(&mut resources.l2_advertisements, document, index, Kind::L2Advertisement, crd::decode)
            }
            "BGPAdvertisement" => {
                push(&mut resources.bgp_advertisements, document, index, Kind::BgpAdvertisement, crd::decode)
            }
            "BGPPeer" if version == "v1beta1" => {
                push(&mut resources.peers, document, index, Kind::Peer, |object| {
                    versions::to_v1beta2(crd::decode(object)?)
                })
            }
            "BGPPeer" => push(&mut resources.peers, document, index, Kind::Peer, crd::decode),
            "Community" => push(&mut resources.communities, document, index, Kind::Community, crd::decode),
            "BFDProfile" => push(&mut resources.bfd_profiles, document, index, Kind::BfdProfile, crd::decode),
            _ => return,
        };
        self.places.entry((kind, document.name.clone())).or_insert(index);
    }

    fn service(&mut self, document: &Document, class: &ClassFilter) {
        let mut object = document.node.to_json();
        fill_in(&mut object, document.namespace.as_deref());
        let service: objects::Service = match decode(object) {
            Ok(service) => service,
            Err(DecodeError { field, message, .. }) => {
                self.findings.push(document.place(Finding::error("type", field, message)));
                return;
            }
        };
        let none = BTreeMap::new();
        let found = service.metadata.annotations.as_ref().unwrap_or(&none);
        let findings = &mut self.findings;
        for (name, near) in annotations::unknown(found) {
            let finding =
                Finding::warning("unknown_annotation", path(&name), format!("{name:?} means nothing"));
            let help = near.map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near:?}?"));
            findings.push(document.place(finding.help(help)));
        }
        for name in annotations::unfilled(found) {
            let message = "its value is a template that was not filled in".to_owned();
            let finding = Finding::warning("unfilled_annotation", path(&name), message);
            findings.push(document.place(finding.help("fill it in or remove the annotation".to_owned())));
        }
        for name in annotations::deprecated(found) {
            let message = format!("{name:?} has the old prefix");
            let new = name.replacen(annotations::OLD_PREFIX, annotations::PREFIX, 1);
            let finding = Finding::warning("deprecated", path(&name), message).help(format!("write {new:?}"));
            findings.push(document.place(finding));
        }
        let Some(fact) = facts::service(&service, class) else {
            if let Some(SeenService::Foreign(addresses)) = SeenService::cut(&service, class) {
                let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
                let name = service.metadata.name.as_deref().unwrap_or_default();
                self.foreign.insert(ServiceKey::new(namespace, name), addresses);
            }
            return;
        };
        if let Demand::Invalid(error) = &fact.demand {
            let (message, help) = split_remedy(&error.to_string());
            let wanted = [annotations::LOAD_BALANCER_IPS, OLD_LOAD_BALANCER_IPS];
            let field = match wanted.into_iter().find(|name| found.contains_key(*name)) {
                Some(name) => path(name),
                None if service.spec.load_balancer_ip.is_some() => "spec.loadBalancerIP".to_owned(),
                None => "spec.ipFamilyPolicy".to_owned(),
            };
            let finding = Finding { help, ..Finding::error("request", field, message) };
            findings.push(document.place(finding));
        }
        self.services.push(fact);
    }

    fn secret(&mut self, document: &Document, namespace: &str) {
        if document.namespace.as_deref().is_some_and(|stated| stated != namespace) {
            return;
        }
        let mut object = document.node.to_json();
        // What is written as text in a file is stored as octets.
        if let Some(password) = object.pointer("/stringData/password").and_then(Value::as_str) {
            let octets = serde_json::to_value(ByteString(password.as_bytes().to_vec())).unwrap_or_default();
            let data = object.as_object_mut().map(|map| map.entry("data").or_insert_with(|| json!({})));
            if let Some(Value::Object(data)) = data {
                data.insert("password".to_owned(), octets);
            }
        }
        match decode::<objects::Secret>(object) {
            Ok(secret) => {
                let PasswordRecord(password) = PasswordRecord::cut(&secret);
                self.resources.passwords.insert(document.name.clone(), password);
            }
            // The decoder quotes what it found; a password must not get into reports.
            Err(DecodeError { field, .. }) => {
                let finding = Finding::error("type", field, "cannot be read")
                    .help("write base64 under data, or text under stringData");
                self.findings.push(document.place(finding));
            }
        }
    }
}

fn path(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

fn decode<K: DeserializeOwned>(object: Value) -> Result<K, DecodeError> {
    crd::decode(object)
}

fn world_fact<K: DeserializeOwned, F>(document: &Document, cut: impl Fn(&K) -> Option<F>) -> Option<F> {
    decode(document.node.to_json()).ok().and_then(|object| cut(&object))
}

fn push<K: kube::Resource>(
    objects: &mut Vec<Object<K>>,
    document: &Document,
    index: usize,
    kind: Kind,
    decode: impl Fn(Value) -> Result<K, DecodeError>,
) -> Kind {
    let order = Created(i64::try_from(index).unwrap_or(i64::MAX));
    let object = match decode(document.node.to_json()) {
        Ok(object) => {
            let aged = object.meta().creation_timestamp.is_some();
            let mut object = Object::new(object);
            if !aged {
                object.meta = Meta::new(document.name.clone(), order);
            }
            object
        }
        Err(error) => Object::unreadable(document.name.clone(), order, error),
    };
    objects.push(object);
    kind
}

/// What the API server would fill in, as far as it decides: the namespace, and cluster IPs of the right families.
fn fill_in(object: &mut Value, namespace: Option<&str>) {
    if let (None, Some(Value::Object(meta))) = (namespace, object.get_mut("metadata")) {
        meta.insert("namespace".to_owned(), json!("default"));
    }
    let none = Value::Null;
    let spec = object.get("spec").unwrap_or(&none);
    let has = |name: &str| spec.get(name).is_some_and(|value| !value.is_null());
    if has("clusterIP") || has("clusterIPs") {
        return;
    }
    let families: Vec<_> = spec.get("ipFamilies").and_then(Value::as_array).into_iter().flatten().collect();
    let dual = matches!(
        spec.get("ipFamilyPolicy").and_then(Value::as_str),
        Some("PreferDualStack" | "RequireDualStack")
    );
    let first_v6 = match families.first().and_then(|family| family.as_str()) {
        Some(family) => family == "IPv6",
        None => !dual && wants_v6(object),
    };
    let mut cluster_ips = if first_v6 { vec!["fd00::1"] } else { vec!["10.0.0.1"] };
    if dual || families.len() > 1 {
        cluster_ips.push(if first_v6 { "10.0.0.1" } else { "fd00::1" });
    }
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        spec.insert("clusterIPs".to_owned(), json!(cluster_ips));
    }
}

/// Whether a service that names no family asks for an IPv6 address only.
fn wants_v6(object: &Value) -> bool {
    let annotations = object.pointer("/metadata/annotations");
    let annotation = |name: &str| annotations?.get(name)?.as_str();
    let wanted = annotation(annotations::LOAD_BALANCER_IPS)
        .or_else(|| annotation(OLD_LOAD_BALANCER_IPS))
        .or_else(|| object.pointer("/spec/loadBalancerIP")?.as_str());
    wanted.and_then(|text| text.trim().parse::<IpAddr>().ok()).is_some_and(|address| address.is_ipv6())
}

const OLD_LOAD_BALANCER_IPS: &str = "metallb.universe.tf/loadBalancerIPs";
/// Namespace and name of the slice that says where the API server is reached.
const API_SERVER: (Option<&str>, &str) = (Some("default"), "kubernetes");

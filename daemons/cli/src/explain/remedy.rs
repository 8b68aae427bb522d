//! Commands that can be pasted.

use metallb_core::announce::Rejection;
use metallb_core::facts::RequestError;
use metallb_core::ipam::AllocationError;
use serde_json::{Value, json};

use crate::check::nearest;
use crate::snapshot::{Snapshot, text};
use metallb_k8s::facts::annotations::{ADDRESS_POOL, ALLOW_SHARED_IP, LOAD_BALANCER_IPS, OLD_PREFIX, PREFIX};

/// A service, and the cluster in which commands about it are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) object: &'a Value,
}

impl Subject<'_> {
    fn named(&self) -> String {
        let meta = &self.object["metadata"];
        format!("service {} -n {}", text(meta, "/name"), text(meta, "/namespace"))
    }

    pub(super) fn patch(&self, patch: &Value) -> String {
        format!("kubectl patch {} --type merge -p '{patch}'", self.named())
    }

    pub(super) fn annotate(&self, changes: &str) -> String {
        format!("kubectl annotate {} --overwrite {changes}", self.named())
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.object.pointer("/metadata/annotations")?.get(name)?.as_str()
    }

    /// Takes back an annotation, under the name that it has.
    fn without(&self, name: &str) -> String {
        let old = name.replacen(PREFIX, OLD_PREFIX, 1);
        let written = if self.annotation(name).is_some() { name } else { old.as_str() };
        self.annotate(&format!("{written}-"))
    }

    /// Takes back the wish for certain addresses.
    pub(super) fn without_addresses(&self) -> String {
        if text(self.object, "/spec/loadBalancerIP").is_empty() {
            self.without(LOAD_BALANCER_IPS)
        } else {
            self.patch(&json!({ "spec": { "loadBalancerIP": null } }))
        }
    }

    /// What makes a wish sensible.
    pub(super) fn of_request(&self, error: &RequestError) -> String {
        let policy = |policy: &str| self.patch(&json!({ "spec": { "ipFamilyPolicy": policy } }));
        match error {
            RequestError::DualStackWithoutSecondFamily { .. } => policy("PreferDualStack"),
            RequestError::WantedFamilyMissing { .. } => policy("SingleStack"),
            _ => self.without_addresses(),
        }
    }

    pub(super) fn pods(&self) -> String {
        let selector = self.object.pointer("/spec/selector").and_then(Value::as_object);
        let pairs = selector.into_iter().flatten();
        let labels: Vec<String> =
            pairs.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
        let namespace = text(self.object, "/metadata/namespace");
        if labels.is_empty() {
            return format!("kubectl get endpointslices -n {namespace}");
        }
        format!("kubectl get pods -n {namespace} -l {} -o wide", labels.join(","))
    }

    fn patch_ours(&self, plural: &str, name: &str, patch: &Value) -> String {
        format!("kubectl patch {plural} {name} -n {} --type merge -p '{patch}'", self.snapshot.namespace)
    }

    fn add_range(&self, pool: &str, family: metallb_core::keys::Family) -> String {
        let kept = self.snapshot.find("IPAddressPool", &self.snapshot.namespace, pool);
        let kept = kept.and_then(|pool| pool.pointer("/spec/addresses")?.as_array());
        let mut addresses = kept.cloned().unwrap_or_default();
        addresses.push(json!(match family {
            metallb_core::keys::Family::V4 => "A.B.C.D-A.B.C.E",
            metallb_core::keys::Family::V6 => "IPV6/PREFIX",
        }));
        self.patch_ours("ipaddresspool", pool, &json!({ "spec": { "addresses": addresses } }))
    }

    /// Lets a pool admit the service.
    fn admit(&self, pool: &str) -> String {
        let namespace = text(self.object, "/metadata/namespace");
        let found = self.snapshot.find("IPAddressPool", &self.snapshot.namespace, pool);
        let allocation = found.and_then(|pool| pool.pointer("/spec/serviceAllocation"));
        let list = |name: &str| {
            allocation.and_then(|allocation| allocation.get(name)?.as_array()).cloned().unwrap_or_default()
        };
        let (mut namespaces, selectors) = (list("namespaces"), list("namespaceSelectors"));
        let mut change = serde_json::Map::new();
        let is_for_some = !namespaces.is_empty() || !selectors.is_empty();
        if is_for_some && !namespaces.contains(&json!(namespace)) {
            namespaces.push(json!(namespace));
            change.insert("namespaces".to_owned(), json!(namespaces));
        }
        if !list("serviceSelectors").is_empty() {
            change.insert("serviceSelectors".to_owned(), json!([]));
        }
        self.patch_ours("ipaddresspool", pool, &json!({ "spec": { "serviceAllocation": change } }))
    }

    /// What lets the service have what it asks for.
    pub(super) fn of_allocation(&self, error: &AllocationError) -> String {
        let wants = self.annotation(LOAD_BALANCER_IPS).is_some()
            || !text(self.object, "/spec/loadBalancerIP").is_empty();
        match error {
            AllocationError::NoPool => self.create_pool(),
            AllocationError::NoMatchingPool => self.of_no_match(),
            AllocationError::PoolNotAdmitted { pool, .. } => self.admit(pool.as_str()),
            AllocationError::PoolExhausted { pool, family, .. }
            | AllocationError::PoolLacksFamily { pool, family } => self.add_range(pool.as_str(), *family),
            AllocationError::UnknownPool { pool } => {
                let known = self.our_pools();
                match nearest(pool.as_str(), known.iter().copied()) {
                    Some(near) => self.annotate(&format!("{ADDRESS_POOL}={near}")),
                    None => self.without(ADDRESS_POOL),
                }
            }
            AllocationError::PoolRejected { .. } => self.check(),
            AllocationError::NothingToShare { exhausted, .. } => self.of_allocation(exhausted),
            AllocationError::SharingKeyMismatch { holder, .. } => {
                let holder = self.snapshot.find("Service", holder.namespace(), holder.name());
                let key =
                    holder.map(|object| text(object, "/metadata/annotations/metallb.io~1allow-shared-ip"));
                match key.filter(|key| !key.is_empty()) {
                    Some(key) => self.annotate(&format!("{ALLOW_SHARED_IP}='{key}'")),
                    None => self.without_addresses(),
                }
            }
            _ if wants => self.without_addresses(),
            _ => match self.our_pools().first() {
                Some(pool) => format!("kubectl edit ipaddresspool {pool} -n {}", self.snapshot.namespace),
                None => self.create_pool(),
            },
        }
    }

    fn our_pools(&self) -> Vec<&str> {
        let pools = self.snapshot.of("IPAddressPool");
        let ours = pools.filter(|pool| text(pool, "/metadata/namespace") == self.snapshot.namespace);
        ours.map(|pool| text(pool, "/metadata/name")).collect()
    }

    fn of_no_match(&self) -> String {
        let pools = self.our_pools();
        let find = |name: &&&str| {
            let pool = self.snapshot.find("IPAddressPool", &self.snapshot.namespace, name);
            pool.is_some_and(|pool| pool.pointer("/spec/autoAssign") != Some(&json!(false)))
        };
        match (pools.iter().find(find), pools.first()) {
            (Some(automatic), _) => self.admit(automatic),
            (None, Some(other)) => self.annotate(&format!("{ADDRESS_POOL}={other}")),
            (None, None) => self.create_pool(),
        }
    }

    /// Moves a pool to where it is read, or makes one.
    fn create_pool(&self) -> String {
        let ours = &self.snapshot.namespace;
        let strayed =
            self.snapshot.of("IPAddressPool").find(|pool| text(pool, "/metadata/namespace") != ours);
        let (name, spec) = match strayed {
            Some(pool) => (text(pool, "/metadata/name"), pool["spec"].clone()),
            None => ("first-pool", json!({ "addresses": ["A.B.C.D-A.B.C.E"] })),
        };
        apply("IPAddressPool", ours, name, &spec)
    }

    pub(super) fn check(&self) -> String {
        format!("metallb check --cluster --namespace {}", self.snapshot.namespace)
    }

    /// Advertises a pool by Layer 2; an advertisement of that pool is widened instead.
    pub(super) fn advertise(&self, pool: &str, existing: Option<&str>) -> String {
        match existing {
            Some(name) => {
                self.patch_ours("l2advertisement", name, &json!({ "spec": { "serviceSelectors": [] } }))
            }
            None => {
                apply("L2Advertisement", &self.snapshot.namespace, pool, &json!({ "ipAddressPools": [pool] }))
            }
        }
    }

    /// What is configured about a peer.
    pub(super) fn peer(&self, name: &str) -> String {
        format!("kubectl get bgppeer {name} -n {} -o yaml", self.snapshot.namespace)
    }

    pub(super) fn logs(&self, component: &str) -> String {
        format!("kubectl logs -n {} -l app=metallb,component={component} --tail=20", self.snapshot.namespace)
    }

    pub(super) fn look_at(&self, component: &str) -> String {
        format!("kubectl describe pods -n {} -l app=metallb,component={component}", self.snapshot.namespace)
    }

    /// What makes a node eligible that a rule removed.
    pub(super) fn of_rejection(&self, rule: Rejection, node: &str, advertisement: Option<&str>) -> String {
        let advertisement = advertisement.unwrap_or("NAME");
        match rule {
            Rejection::Excluded => {
                format!("kubectl label node {node} node.kubernetes.io/exclude-from-external-load-balancers-")
            }
            Rejection::OutOfService => {
                format!("kubectl taint node {node} node.kubernetes.io/out-of-service-")
            }
            Rejection::NetworkUnavailable => format!("kubectl describe node {node}"),
            Rejection::NodeNotSelected => {
                self.patch_ours("l2advertisement", advertisement, &json!({ "spec": { "nodeSelectors": [] } }))
            }
            Rejection::ServiceNotSelected => self.advertise("", Some(advertisement)),
            Rejection::NoReadyEndpoint => self.pods(),
            Rejection::NoLocalEndpoint => {
                self.patch(&json!({ "spec": { "externalTrafficPolicy": "Cluster" } }))
            }
            _ => self.look_at("speaker"),
        }
    }
}

fn apply(kind: &str, namespace: &str, name: &str, spec: &Value) -> String {
    let object = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": kind,
        "metadata": { "name": name, "namespace": namespace }, "spec": spec,
    });
    format!("echo '{object}' | kubectl apply -f -")
}

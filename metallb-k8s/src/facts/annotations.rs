//! The annotations on Services that MetalLB reads and writes.

use std::collections::BTreeMap;

/// Takes the addresses from the named pool.
pub const ADDRESS_POOL: &str = "metallb.io/address-pool";
/// Wanted addresses, comma-separated, at most one per family.
pub const LOAD_BALANCER_IPS: &str = "metallb.io/loadBalancerIPs";
/// Sharing key: services with the same key may share an address.
pub const ALLOW_SHARED_IP: &str = "metallb.io/allow-shared-ip";
/// The pools that the addresses came from, comma-separated; written by the controller.
pub const ALLOCATED_FROM_POOL: &str = "metallb.io/ip-allocated-from-pool";

/// Prefix of the annotations' names.
pub const PREFIX: &str = "metallb.io/";
/// Prefix of the annotations' names in old manifests: read, never written.
pub const OLD_PREFIX: &str = "metallb.universe.tf/";

/// The value of an annotation, under its own name or else under the old prefix.
pub fn get<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    if let Some(value) = annotations.get(name) {
        return Some(value);
    }
    let old = format!("{OLD_PREFIX}{}", name.strip_prefix(PREFIX)?);
    annotations.get(&old).map(String::as_str)
}

/// The annotations that are written with the old prefix, in order.
pub fn deprecated(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let inputs = [ADDRESS_POOL, ALLOW_SHARED_IP, LOAD_BALANCER_IPS];
    let old =
        inputs.iter().filter_map(|name| name.strip_prefix(PREFIX)).map(|name| format!("{OLD_PREFIX}{name}"));
    old.filter(|name| annotations.contains_key(name)).collect()
}

pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with(OLD_PREFIX)
}

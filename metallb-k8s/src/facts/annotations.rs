//! The annotations on Services that MetalLB reads and writes.

use std::collections::BTreeMap;

use metallb_core::quote::is_unfilled;

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
    annotations.get(&old_name(name)?).map(String::as_str)
}

/// The annotations that are written with the old prefix, in order.
pub fn deprecated(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let inputs = [ADDRESS_POOL, ALLOW_SHARED_IP, LOAD_BALANCER_IPS];
    let old = inputs.iter().filter_map(|name| old_name(name));
    old.filter(|name| annotations.contains_key(name)).collect()
}

/// The annotations under our prefixes that mean nothing on a Service, each with the known name that is nearest to it, when
/// one is near; in order, at most eight.
pub fn unknown(annotations: &BTreeMap<String, String>) -> Vec<(String, Option<&'static str>)> {
    let known = [ADDRESS_POOL, LOAD_BALANCER_IPS, ALLOW_SHARED_IP, ALLOCATED_FROM_POOL];
    let bare =
        |name: &str| name.strip_prefix(PREFIX).or_else(|| name.strip_prefix(OLD_PREFIX)).map(str::to_owned);
    let unknown = annotations.keys().filter_map(|name| Some((name, bare(name)?)));
    let unknown =
        unknown.filter(|(_, written)| known.iter().all(|known| bare(known).as_ref() != Some(written)));
    let nearest = |written: &str| {
        let distance = |known: &&str| {
            let known = bare(known).unwrap_or_default();
            strsim::damerau_levenshtein(&written.to_lowercase(), &known.to_lowercase())
        };
        known.into_iter().min_by_key(distance).filter(|known| distance(known) <= written.len() / 3)
    };
    unknown
        .filter(|(_, written)| written.len() <= LONGEST_NAME)
        .take(MOST_UNKNOWN)
        .map(|(name, written)| (name.clone(), nearest(&written)))
        .collect()
}

/// The annotations whose value is the place in a template that nobody filled in, each by the name under which it is
/// written; in order. As a sharing key it would join services that have nothing to do with each other.
pub fn unfilled(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let inputs = [ADDRESS_POOL, ALLOW_SHARED_IP, LOAD_BALANCER_IPS];
    let is_input =
        |name: &str| inputs.iter().any(|input| *input == name || old_name(input).as_deref() == Some(name));
    let found = annotations.iter().filter(|(name, value)| is_input(name) && is_unfilled(value));
    found.map(|(name, _)| name.clone()).collect()
}

fn old_name(name: &str) -> Option<String> {
    Some(format!("{OLD_PREFIX}{}", name.strip_prefix(PREFIX)?))
}

/// Kubernetes allows no longer name of an annotation behind its prefix.
const LONGEST_NAME: usize = 63;
/// How many unknown annotations of one Service are named.
const MOST_UNKNOWN: usize = 8;

pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with(OLD_PREFIX)
}

//! MetalLB's words for what is wrong, which people, scripts and tests search for.

use metallb_core::{
    config::{Combination, ConfigError, Kind, Problem, SecretProblem},
    quote::quoted,
    select::SelectorError,
};

use crate::{
    convert::{Object, Resources},
    crd::{BGPPeerSpec, IPAddressPoolSpec},
};

/// An error as it is told to whoever wants the change: object, field, MetalLB's words where it has some,
/// and what would help.
pub(super) fn explained(error: &ConfigError, resources: &Resources) -> String {
    let Some(words) = words(error, resources) else { return error.to_string() };
    let field = if error.field.is_empty() { String::new() } else { format!("{}: ", error.field) };
    format!("{}: {field}{words}: {}", error.object, error.problem)
}

fn words(error: &ConfigError, resources: &Resources) -> Option<String> {
    match error.object.kind {
        Kind::Pool => of_pool(error, resources),
        Kind::Peer => of_peer(error, resources),
        Kind::Community => of_community(error),
        Kind::BgpAdvertisement | Kind::L2Advertisement | Kind::BfdProfile => None,
    }
    .or_else(|| of_any(error))
}

fn of_pool(error: &ConfigError, resources: &Resources) -> Option<String> {
    let pool = quoted(&error.object.name);
    let entry = entry(error, resources).unwrap_or_default();
    let entry = quoted(&entry);
    match &error.problem {
        Problem::Address(_) => Some(format!("invalid CIDR {entry} in pool {pool}")),
        Problem::OverlapInside { other_text, .. } | Problem::OverlapWithPool { other_text, .. } => Some(
            format!("CIDR {entry} in pool {pool} overlaps with already defined CIDR {}", quoted(other_text)),
        ),
        Problem::Missing { .. } if error.field == "spec.addresses" => {
            Some("pool has no prefixes defined".to_owned())
        }
        Problem::Duplicate { .. } if error.field.starts_with("spec.serviceAllocation.namespaces[") => {
            Some("duplicate definition in namespaces field".to_owned())
        }
        _ => None,
    }
}

fn of_peer(error: &ConfigError, resources: &Resources) -> Option<String> {
    let spec = peer(error, resources);
    let written = |field: fn(&BGPPeerSpec) -> &Option<String>| {
        quoted(spec.and_then(|spec| field(spec).as_deref()).unwrap_or_default()).to_string()
    };
    let words = match (error.field.as_str(), &error.problem) {
        ("spec.peerAddress", Problem::NotA { .. } | Problem::Missing { .. }) => {
            format!("invalid BGPPeer address {}", written(|spec| &spec.peer_address))
        }
        ("spec.sourceAddress", Problem::NotA { .. }) => {
            format!("invalid source IP {}", written(|spec| &spec.source_address))
        }
        ("spec.routerID", Problem::NotA { .. }) => {
            format!("invalid router ID {}", written(|spec| &spec.router_id))
        }
        ("spec.dynamicASN", Problem::NotA { text, .. }) => format!("invalid dynamicASN {}", quoted(text)),
        ("spec.myASN", Problem::OutOfRange { value: 0, .. }) => "missing local ASN".to_owned(),
        ("spec.peerASN", Problem::Missing { .. }) => "missing peer ASN and dynamicASN".to_owned(),
        ("spec.dynamicASN", Problem::Exclusive { .. }) => "both peer ASN and dynamicASN specified".to_owned(),
        ("spec.passwordSecret", Problem::Exclusive { .. }) => {
            "can not have both password and secret ref set in peer config".to_owned()
        }
        (_, Problem::Combination(Combination::MultiHopInternal)) => {
            "invalid ebgp-multihop parameter set for an ibgp peer".to_owned()
        }
        (_, Problem::HoldTime { .. }) => {
            format!("invalid hold time {}: must be 0 or >=3s", written(|spec| &spec.hold_time))
        }
        (_, Problem::KeepaliveTime { .. }) => format!(
            "invalid keepaliveTime {}, must be lower than holdTime {}",
            written(|spec| &spec.keepalive_time),
            written(|spec| &spec.hold_time)
        ),
        (_, Problem::Secret { problem: SecretProblem::WrongType, .. }) => "secret type mismatch".to_owned(),
        (_, Problem::Secret { problem: SecretProblem::NoPassword, .. }) => {
            "password not specified in the secret".to_owned()
        }
        (_, Problem::DuplicatePeer { .. }) => {
            let endpoint =
                written(
                    |spec| if spec.peer_address.is_some() { &spec.peer_address } else { &spec.interface },
                );
            format!("peer {} already exists, duplicate BGPPeers", endpoint.trim_matches('"'))
        }
        _ => return None,
    };
    Some(words)
}

fn of_community(error: &ConfigError) -> Option<String> {
    match &error.problem {
        Problem::NotA { text, .. } => Some(community_value(text)),
        Problem::Duplicate { text } => Some(format!("duplicate definition of community {}", quoted(text))),
        Problem::DuplicateAlias { alias, .. } => {
            Some(format!("duplicate definition of community {}", quoted(alias)))
        }
        _ => None,
    }
}

fn community_value(text: &str) -> String {
    match text.split(':').count() {
        4 if !text.starts_with("large:") => {
            "invalid community value: invalid marker for large community, expected community to be of format \
             large:<uint32>:<uint32>:<uint32>"
                .to_owned()
        }
        2 | 4 => format!("invalid community value: invalid section of community {}", quoted(text)),
        _ => format!("invalid community format: {}", quoted(text)),
    }
}

fn of_any(error: &ConfigError) -> Option<String> {
    let words = match &error.problem {
        Problem::NotA { text, .. } if error.field.starts_with("spec.communities[") => community_value(text),
        Problem::AggregationTooShort { length, entry, least, .. } => format!(
            "invalid aggregation length {length}: prefix {least} in this pool is more specific than the \
             aggregation length for addresses {entry}"
        ),
        Problem::Combination(Combination::AggregationWithServiceSelectors) => {
            "serviceSelectors and aggregationLength are mutually exclusive".to_owned()
        }
        Problem::OutOfRange { value, .. } if error.field.starts_with("spec.aggregationLength") => {
            format!("invalid aggregation length {value}")
        }
        Problem::OutOfRange { value, min, max } => {
            format!("invalid value {value}, must be in {min}-{max} range")
        }
        Problem::LocalPrefConflict { .. } => "invalid local preference".to_owned(),
        Problem::Duplicate { text } => {
            format!("duplicate definition of {} {}", list(&error.field), quoted(text))
        }
        Problem::Selector(SelectorError::DuplicateExpression { text }) => {
            format!("duplicate definition of match expressions {}", quoted(text))
        }
        Problem::Selector(SelectorError::DuplicateValue { value, .. }) => {
            format!("duplicate definition of match expression value in label selector {}", quoted(value))
        }
        _ => return None,
    };
    Some(words)
}

/// The list that a field is an element of, as MetalLB calls it.
fn list(field: &str) -> &str {
    let list = field.split('[').next().and_then(|path| path.rsplit('.').next()).unwrap_or(field);
    if list == "communities" { "community" } else { list }
}

/// The entry of a pool that an error speaks of.
fn entry(error: &ConfigError, resources: &Resources) -> Option<String> {
    let index = error.field.strip_prefix("spec.addresses[")?.strip_suffix(']')?.parse::<usize>().ok()?;
    let IPAddressPoolSpec { addresses, .. } =
        find(&resources.pools, &error.object.name).map(|pool| &pool.spec)?;
    addresses.get(index).cloned()
}

fn peer<'a>(error: &ConfigError, resources: &'a Resources) -> Option<&'a BGPPeerSpec> {
    find(&resources.peers, &error.object.name).map(|peer| &peer.spec)
}

fn find<'a, K>(objects: &'a [Object<K>], name: &str) -> Option<&'a K> {
    objects.iter().find(|object| object.meta.name == name)?.object.as_deref().ok()
}

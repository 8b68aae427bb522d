//! Who gets what, for programs: `docs/schema/simulate.json`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use metallb_core::ipam::Usage;
use metallb_core::keys::ServiceKey;
use metallb_core::simulate::{Difference, Outcome, ServiceOutcome};
use serde::Serialize;

use super::render::problems;
use crate::exit::Trouble;
use crate::output;

/// Who would get which address, and who would announce it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Simulation"))]
pub(crate) struct Printed {
    /// What changes by `--kill`, `--drain` and `--add-pool`; `null` without them.
    changes: Option<Vec<String>>,
    pools: BTreeMap<String, PrintedUsage>,
    services: Vec<PrintedService>,
}

/// How full a pool is. Numbers are texts: an IPv6 pool has more addresses than readers of JSON can count.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Usage"))]
struct PrintedUsage {
    #[serde(rename = "assignedIPv4")]
    assigned_v4: String,
    #[serde(rename = "assignedIPv6")]
    assigned_v6: String,
    #[serde(rename = "availableIPv4")]
    available_v4: String,
    #[serde(rename = "availableIPv6")]
    available_v6: String,
}

/// A service of type LoadBalancer.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Service"))]
struct PrintedService {
    addresses: Vec<IpAddr>,
    /// By node, the prefixes that it advertises by BGP.
    bgp: BTreeMap<String, Vec<String>>,
    /// By address, the node that announces it by Layer 2.
    layer2: BTreeMap<String, String>,
    name: String,
    namespace: String,
    pools: Vec<String>,
    /// Why it does not get what it asks for, or is not announced.
    problems: Vec<String>,
}

/// The outcome as JSON.
pub(super) fn json(outcome: &Outcome, differences: Option<&[Difference]>) -> Result<String, Trouble> {
    output::json(&printed(outcome, differences))
}

/// The same as YAML.
pub(super) fn yaml(outcome: &Outcome, differences: Option<&[Difference]>) -> Result<String, Trouble> {
    output::yaml(&printed(outcome, differences))
}

fn printed(outcome: &Outcome, differences: Option<&[Difference]>) -> Printed {
    Printed {
        changes: differences.map(texts),
        pools: outcome.pools.iter().map(|(pool, usage)| (pool.to_string(), usage_of(usage))).collect(),
        services: outcome.services.iter().map(|(key, entry)| service(key, entry)).collect(),
    }
}

fn usage_of(usage: &Usage) -> PrintedUsage {
    PrintedUsage {
        assigned_v4: usage.assigned_v4.to_string(),
        assigned_v6: usage.assigned_v6.to_string(),
        available_v4: usage.available_v4.to_string(),
        available_v6: usage.available_v6.to_string(),
    }
}

fn service(key: &ServiceKey, entry: &ServiceOutcome) -> PrintedService {
    let prefixes = entry.prefixes.iter().map(|(node, prefixes)| (node.to_string(), texts(prefixes)));
    let owners = entry.owners.iter().map(|(address, node)| (address.to_string(), node.to_string()));
    PrintedService {
        addresses: entry.addresses.clone(),
        bgp: prefixes.collect(),
        layer2: owners.collect(),
        name: key.name().to_owned(),
        namespace: key.namespace().to_owned(),
        pools: texts(&entry.pools),
        problems: problems(entry),
    }
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

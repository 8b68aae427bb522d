//! Who gets what, for people and for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use metallb_core::ipam::{Report, Usage};
use metallb_core::keys::NodeName;
use metallb_core::simulate::{Difference, Outcome, ServiceOutcome};

use crate::output::service_name;
use crate::table::{Table, joined};

/// Why a service did not get what it asks for.
fn failures(entry: &ServiceOutcome) -> impl Iterator<Item = String> {
    entry.reports.iter().filter_map(|report| match report {
        Report::Failed(error) | Report::AdditionalFailed(error) => Some(error.to_string()),
        Report::InvalidRequest(error) => Some(error.to_string()),
        Report::Released { reason, .. } => Some(reason.to_string()),
        Report::Held { pool, .. } => {
            Some(format!("keeps its address although pool {pool:?} is not in force"))
        }
        _ => None,
    })
}

/// Everything that is wrong with a service.
pub(super) fn problems(entry: &ServiceOutcome) -> Vec<String> {
    let mut all: Vec<_> = failures(entry).chain(entry.problems.iter().map(ToString::to_string)).collect();
    if all.is_empty() && !entry.addresses.is_empty() && announcers(entry).is_empty() {
        all.push("no node is left to announce it; heal or add one".to_owned());
    }
    all
}

fn announcers(entry: &ServiceOutcome) -> Vec<String> {
    let layer2: BTreeSet<&NodeName> = entry.owners.values().collect();
    let bgp: Vec<&str> = entry
        .prefixes
        .iter()
        .filter(|(_, routes)| !routes.is_empty())
        .map(|(node, _)| node.as_str())
        .collect();
    let mut parts: Vec<String> = layer2.iter().map(|node| format!("layer2 {node}")).collect();
    if !bgp.is_empty() {
        parts.push(format!("bgp {}", bgp.join(",")));
    }
    parts
}

pub(super) fn table(outcome: &Outcome, differences: Option<&[Difference]>, width: usize) -> String {
    let mut out = String::new();
    let mut services = Table::new(&["SERVICE", "ADDRESSES", "POOLS", "ANNOUNCED BY"]);
    for (key, entry) in &outcome.services {
        let by = announcers(entry);
        let by = if by.is_empty() { "-".to_owned() } else { by.join("; ") };
        services.push(vec![key.to_string(), joined(&entry.addresses), joined(&entry.pools), by]);
    }
    let mut pools = Table::new(&["POOL", "IPV4 USED", "IPV6 USED", "SERVICES THAT STILL FIT"]);
    for (pool, usage) in &outcome.pools {
        let (v4, v6) = (
            capacity(usage.assigned_v4, usage.available_v4),
            capacity(usage.assigned_v6, usage.available_v6),
        );
        pools.push(vec![pool.to_string(), v4, v6, fits(usage)]);
    }
    services.lines(width).iter().for_each(|text| line(&mut out, text));
    out.push('\n');
    pools.lines(width).iter().for_each(|text| line(&mut out, text));
    let mut said = String::new();
    for (key, entry) in &outcome.services {
        for problem in problems(entry) {
            line(&mut said, &format!("{key}: {problem}"));
        }
    }
    if !said.is_empty() {
        out.push_str("\nPROBLEMS\n");
        out.push_str(&said);
    }
    if let Some(differences) = differences {
        out.push_str("\nWHAT CHANGED\n");
        out.push_str(&changes(differences));
    }
    out
}

/// The services that do not get what they ask for or are not announced, as kubectl takes them.
pub(super) fn names(outcome: &Outcome) -> String {
    let bad = outcome.services.iter().filter(|(_, entry)| !problems(entry).is_empty());
    bad.map(|(key, _)| service_name(key.namespace(), key.name()) + "\n").collect()
}

/// How many more services a pool has addresses for, each with addresses of its own.
fn fits(usage: &Usage) -> String {
    let has = |assigned: u128, available: u128| assigned.saturating_add(available) > 0;
    let (v4, v6) = (usage.available_v4, usage.available_v6);
    match (has(usage.assigned_v4, v4), has(usage.assigned_v6, v6)) {
        (true, true) => format!("{v4} IPv4, {v6} IPv6, {} dual-stack", v4.min(v6)),
        (true, false) => v4.to_string(),
        (false, true) => v6.to_string(),
        (false, false) => "0".to_owned(),
    }
}

/// One line for each difference.
pub(crate) fn changes(differences: &[Difference]) -> String {
    let mut out = String::new();
    for difference in differences {
        line(&mut out, &difference.to_string());
    }
    if differences.is_empty() { "nothing\n".to_owned() } else { out }
}

fn line(out: &mut String, text: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{text}");
}

fn capacity(used: u128, free: u128) -> String {
    let all = used.saturating_add(free);
    if all == 0 { "-".to_owned() } else { format!("{used} of {all}") }
}

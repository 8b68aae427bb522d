//! `--wire`: asks the segment itself who answers for the service's addresses.

mod ask;
mod route;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use metallb_arp::wire::ethernet::MacAddr;
use metallb_core::keys::Family;
use metallb_k8s::facts::{self, objects};
use serde::Deserialize as _;

use super::chain::{Chain, Step};
use super::remedy::Subject;
use super::statuses::Words;
use crate::snapshot::{Snapshot, text};
use route::Route;

/// Who answered for which address.
type Answers = BTreeMap<IpAddr, BTreeSet<MacAddr>>;

/// What was seen of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    route: Option<Route>,
    /// Why nobody could be asked.
    trouble: Option<String>,
    /// The answers of one second, those for the nodes' own addresses, too.
    answers: Answers,
}

/// Asks about every address of the service, and adds what comes back to the chain. `interface` is the one of the segment,
/// where the route does not say it.
pub(super) async fn wire(
    chain: &mut Chain,
    snapshot: &Snapshot,
    (namespace, name): (&str, &str),
    interface: Option<&str>,
) {
    let Some(object) = snapshot.find("Service", namespace, name) else { return };
    let subject = Subject { snapshot, object };
    let ingress = object.pointer("/status/loadBalancer/ingress").and_then(serde_json::Value::as_array);
    let addresses =
        ingress.into_iter().flatten().filter_map(|entry| text(entry, "/ip").parse::<IpAddr>().ok());
    let nodes = nodes(snapshot);
    let owners = Words::of(snapshot, namespace, name).layer2;
    for address in addresses {
        let route = match interface {
            Some(interface) => Ok(Some(Route { interface: interface.to_owned(), gateway: None })),
            None => route::find(address),
        };
        let seen = match route {
            Ok(Some(route)) if route.gateway.is_none() => ask::ask(address, &nodes, route).await,
            Ok(route) => Seen { route, ..Seen::default() },
            Err(error) => Seen { trouble: Some(error), ..Seen::default() },
        };
        verdict(chain, subject, address, &seen, &nodes, &owners);
    }
}

/// The nodes with their addresses in the segment, perhaps.
fn nodes(snapshot: &Snapshot) -> BTreeMap<IpAddr, String> {
    let nodes = snapshot.of("Node").filter_map(|node| facts::node(&objects::Node::deserialize(node).ok()?));
    nodes
        .flat_map(|node| {
            node.internal_addresses.into_iter().map(move |address| (address, node.name.to_string()))
        })
        .collect()
}

/// What the answers mean. Pure.
fn verdict(
    chain: &mut Chain,
    subject: Subject<'_>,
    address: IpAddr,
    seen: &Seen,
    nodes: &BTreeMap<IpAddr, String>,
    owners: &BTreeSet<&str>,
) {
    let protocol = match Family::of(address) {
        Family::V4 => "ARP",
        Family::V6 => "neighbor discovery",
    };
    if let Some(trouble) = &seen.trouble {
        chain.push(Step::unknown("wire", format!("{address}: {trouble}")));
        return;
    }
    let Some(route) = &seen.route else {
        let step = Step::broken("wire", "no_route", format!("this machine has no route to {address}"));
        chain.push(step.remedy(format!("ip route get {address}")));
        return;
    };
    let interface = &route.interface;
    if let Some(gateway) = route.gateway {
        let text = format!(
            "{address} is reached by the router {gateway} on {interface}: ask from a machine in its own segment"
        );
        chain.push(Step::note("wire", text));
        return;
    }
    let named = |mac: &MacAddr| {
        let of = nodes.iter().find(|(own, _)| seen.answers.get(own).is_some_and(|macs| macs.contains(mac)));
        of.map_or_else(
            || (mac.to_string(), None),
            |(_, node)| (format!("{mac} ({node})"), Some(node.as_str())),
        )
    };
    let answers: Vec<(String, Option<&str>)> =
        seen.answers.get(&address).into_iter().flatten().map(named).collect();
    let said: Vec<&str> = owners.iter().copied().collect();
    match answers.as_slice() {
        [] if said.is_empty() => {
            let text = format!(
                "nobody answers {protocol} for {address} on {interface}, and no speaker says that it does"
            );
            chain.push(Step::note("wire", text));
        }
        [] => {
            let text = format!(
                "nobody answers {protocol} for {address} on {interface} within a second, though {} should",
                said.join(", ")
            );
            chain.push(Step::broken("wire", "no_answer", text).remedy(subject.logs("speaker")));
        }
        [(mac, node)] => {
            let elsewhere = node.is_some_and(|node| !said.is_empty() && !said.contains(&node));
            let text = format!("{mac} answers {protocol} for {address} on {interface}");
            chain.push(if elsewhere {
                let text = format!("{text}, and {} says that it does", said.join(", "));
                Step::broken("wire", "answered_elsewhere", text).remedy("metallb strict-arp check")
            } else {
                Step::good("wire", text)
            });
        }
        several => {
            let macs: Vec<&str> = several.iter().map(|(mac, _)| mac.as_str()).collect();
            let text = format!(
                "{} answer {protocol} for {address} on {interface}: clients reach now one, now another",
                macs.join(" and ")
            );
            chain.push(Step::broken("wire", "duplicate_answers", text).remedy("metallb strict-arp check"));
        }
    }
}

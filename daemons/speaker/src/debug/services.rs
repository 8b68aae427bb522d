//! Why each service is announced as it is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use metallb_core::announce::{
    AddressExplanation, AdvertisementExplanation, BgpExplanation, Explanation, InterfaceScope,
    Layer2Explanation, NodeVerdict,
};
use metallb_core::keys::{NodeName, ServiceKey};
use serde::Serialize;

use crate::translate;

/// A service. In full: with every node and every other service that has to do with it, of which there may be thousands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceState {
    service: String,
    ready_nodes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_on: Option<Vec<String>>,
    ready_here: bool,
    problem: Option<Reason>,
    addresses: Vec<AddressState>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AddressState {
    address: IpAddr,
    pool: Option<String>,
    shared: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_with: Option<Vec<String>>,
    layer2: Layer2State,
    bgp: BgpState,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer2State {
    advertisements: Vec<AdvertisementState>,
    owner: Option<String>,
    decision: Option<Reason>,
    announced_on: Option<Vec<String>>,
    candidates: usize,
    rejected: BTreeMap<&'static str, usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<NodeState>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BgpState {
    advertisements: Vec<AdvertisementState>,
    rejection: Option<Reason>,
    prefixes: Vec<PrefixState>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AdvertisementState {
    name: String,
    selects_service: bool,
    selects_this_node: bool,
}

#[derive(Debug, Serialize)]
struct PrefixState {
    prefix: String,
    peers: Vec<String>,
}

#[derive(Debug, Serialize)]
struct NodeState {
    node: String,
    rejection: Option<Reason>,
}

/// A stable word and a sentence.
#[derive(Debug, Serialize)]
struct Reason {
    reason: &'static str,
    message: String,
}

impl Reason {
    fn new(reason: &'static str, message: &impl ToString) -> Self {
        Self { reason, message: message.to_string() }
    }
}

impl ServiceState {
    pub(super) fn new(explanation: &Explanation, in_full: bool) -> Self {
        let problem = explanation.problem.as_ref();
        let addresses = explanation.addresses.iter();
        Self {
            service: explanation.service.to_string(),
            ready_nodes: explanation.ready_nodes.len(),
            ready_on: in_full.then(|| words(&explanation.ready_nodes)),
            ready_here: explanation.ready_here,
            problem: problem.map(|problem| Reason::new(problem.reason(), problem)),
            addresses: addresses.map(|address| AddressState::new(address, in_full)).collect(),
        }
    }
}

impl AddressState {
    fn new(explanation: &AddressExplanation, in_full: bool) -> Self {
        Self {
            address: explanation.address,
            pool: explanation.pool.as_ref().map(ToString::to_string),
            shared: explanation.shared_with.len(),
            shared_with: in_full.then(|| words(&explanation.shared_with)),
            layer2: Layer2State::new(&explanation.layer2, in_full),
            bgp: BgpState::new(&explanation.bgp),
        }
    }
}

impl Layer2State {
    fn new(explanation: &Layer2Explanation, in_full: bool) -> Self {
        let mut rejected = BTreeMap::new();
        for rejection in explanation.nodes.iter().filter_map(|verdict| verdict.rejection) {
            *rejected.entry(rejection.reason()).or_insert(0) += 1;
        }
        let group: &[ServiceKey] = &explanation.group;
        Self {
            advertisements: advertisements(&explanation.advertisements),
            owner: explanation.owner.as_ref().map(NodeName::to_string),
            decision: explanation.decision.map(|decision| Reason::new(decision.reason(), &decision)),
            announced_on: explanation.announced_on.as_ref().map(listed),
            candidates: explanation.nodes.iter().filter(|verdict| verdict.rejection.is_none()).count(),
            rejected,
            group: in_full.then(|| words(group)),
            nodes: in_full.then(|| explanation.nodes.iter().map(NodeState::new).collect()),
        }
    }
}

impl NodeState {
    fn new(verdict: &NodeVerdict) -> Self {
        let rejection = verdict.rejection.map(|rejection| Reason::new(rejection.reason(), &rejection));
        Self { node: verdict.node.to_string(), rejection }
    }
}

impl BgpState {
    fn new(explanation: &BgpExplanation) -> Self {
        let prefixes = explanation.prefixes.iter();
        let prefix = |(prefix, peers): (&ipnetwork::IpNetwork, _)| PrefixState {
            prefix: prefix.to_string(),
            peers: words(peers),
        };
        Self {
            advertisements: advertisements(&explanation.advertisements),
            rejection: explanation.rejection.map(|rejection| Reason::new(rejection.reason(), &rejection)),
            prefixes: prefixes.map(prefix).collect(),
        }
    }
}

fn advertisements(found: &[AdvertisementExplanation]) -> Vec<AdvertisementState> {
    let state = |found: &AdvertisementExplanation| AdvertisementState {
        name: found.name.to_string(),
        selects_service: found.selects_service,
        selects_this_node: found.selects_this_node,
    };
    found.iter().map(state).collect()
}

/// Names of interfaces; none are all that can.
fn listed(scope: &InterfaceScope) -> Vec<String> {
    words(&translate::listed(scope))
}

fn words<'a, T: ToString + 'a>(items: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    items.into_iter().map(ToString::to_string).collect()
}

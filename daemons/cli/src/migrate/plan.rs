//! Which nodes are to be handed over from frr-k8s, and what stands in the way. Pure.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use metallb_core::config::Config;
use metallb_k8s::convert::{FrrNeighbors, configure, frr_configuration_name};
use metallb_k8s::facts;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::sessions::Witness;
use crate::snapshot::{Snapshot, text};

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Handover>,
    /// FRRConfigurations that MetalLB did not write, which stay.
    pub(super) others: Vec<String>,
}

/// One node's sessions, from FRR to the native speaker.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Handover {
    pub(super) node: String,
    /// The `FRRConfiguration` as it is now.
    pub(super) object: Value,
    /// Peers with which FRR holds sessions, and the native speaker is to.
    pub(super) peers: Vec<String>,
    /// Why it cannot be done.
    pub(super) obstacles: Vec<String>,
}

impl Handover {
    /// Name of the `FRRConfiguration`.
    pub(super) fn name(&self) -> &str {
        text(&self.object, "/metadata/name")
    }

    /// The object as it can be applied again.
    pub(super) fn saved(&self) -> Value {
        let kept: serde_json::Map<String, Value> = ["name", "namespace", "labels", "annotations"]
            .into_iter()
            .filter_map(|field| {
                Some((field.to_owned(), self.object.pointer(&format!("/metadata/{field}"))?.clone()))
            })
            .collect();
        json!({
            "apiVersion": self.object.get("apiVersion"), "kind": self.object.get("kind"),
            "metadata": kept, "spec": self.object.get("spec"),
        })
    }
}

/// The nodes for which an `FRRConfiguration` of MetalLB is left, by name.
pub(super) fn plan(snapshot: &Snapshot, only: &[String]) -> Plan {
    let config = configure(&snapshot.world().resources, &Config::default()).config;
    let witness = Witness::new(snapshot);
    let nodes: BTreeMap<String, _> = snapshot
        .of("Node")
        .filter_map(|node| facts::node(&facts::objects::Node::deserialize(node).ok()?))
        .map(|node| (node.name.to_string(), node.labels))
        .collect();
    let by_name: BTreeMap<String, &String> =
        nodes.keys().map(|node| (frr_configuration_name(node), node)).collect();
    let mut plan = Plan::default();
    for object in snapshot.of("FRRConfiguration") {
        let name = text(object, "/metadata/name");
        let Some(node) = by_name.get(name) else {
            plan.others.push(name.to_owned());
            continue;
        };
        if !only.is_empty() && !only.contains(node) {
            continue;
        }
        let frr = DynamicObject::deserialize(object).ok().map(|object| FrrNeighbors::cut(&object));
        let peers_here = nodes.get(*node).map(|labels| config.peers_on(labels).peers).unwrap_or_default();
        let held = peers_here.values().filter(|peer| frr.as_ref().is_none_or(|frr| frr.holds(peer)));
        let peers: Vec<String> = held.map(|peer| peer.name.to_string()).collect();
        let mut obstacles: Vec<String> = witness.obstacle(node).into_iter().collect();
        if frr.is_none() {
            obstacles.push("the FRRConfiguration cannot be read".to_owned());
        }
        plan.nodes.push(Handover { node: (*node).clone(), object: object.clone(), peers, obstacles });
    }
    plan.nodes.sort_by(|a, b| a.node.cmp(&b.node));
    plan
}

/// The sessions of a node with these peers that are not established, with the reason.
pub(super) fn missing(snapshot: &Snapshot, node: &str, peers: &[String]) -> Vec<String> {
    let config = configure(&snapshot.world().resources, &Config::default()).config;
    let witness = Witness::new(snapshot);
    let mut missing = Vec::new();
    for name in peers {
        let Some(peer) = config.peers().values().find(|peer| peer.name.as_str() == name) else {
            missing.push(format!("{name}: the BGPPeer is gone, or not in force any more"));
            continue;
        };
        let standing = witness.standing(node, peer);
        if !standing.is_up() {
            let state = standing.state.unwrap_or_else(|| "not known".to_owned());
            let why = standing.why.map(|why| format!(", {why}")).unwrap_or_default();
            missing.push(format!("{name}: {state}{why}"));
        }
    }
    missing
}

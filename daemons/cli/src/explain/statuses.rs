//! What the speakers say themselves, in their status resources.

use std::collections::{BTreeMap, BTreeSet};

use metallb_core::keys::NodeName;
use metallb_k8s::facts::{SpeakerPod, objects};
use serde::Deserialize as _;
use serde_json::Value;

use super::announcement::NODES_SHOWN;
use super::chain::{Chain, Step};
use super::remedy::Subject;
use crate::snapshot::{Snapshot, text};

/// The nodes on which a ready speaker runs; `None` when the pods cannot be seen.
pub(super) fn members(snapshot: &Snapshot) -> Option<BTreeSet<NodeName>> {
    let pods = snapshot.pods("speaker").filter_map(|pod| objects::Pod::deserialize(pod).ok());
    let ready = pods.filter_map(|pod| SpeakerPod::cut(&pod)).filter(|pod| pod.ready);
    snapshot.sees("Pod").then(|| ready.map(|pod| pod.node).collect())
}

/// What the speakers that are ready say about a service. What one said that is gone stays until its pod is deleted, and does
/// not count. Where the pods cannot be seen, everything counts.
#[derive(Debug, Default)]
pub(super) struct Words<'a> {
    /// Nodes that say that they announce it by Layer 2.
    pub(super) layer2: BTreeSet<&'a str>,
    /// The peers that have its routes, by node.
    bgp: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Words<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, namespace: &str, name: &str) -> Self {
        let members = members(snapshot);
        let lives = |node: &str| {
            members.as_ref().is_none_or(|alive| alive.iter().any(|known| known.as_str() == node))
        };
        let of = |kind: &'static str| {
            snapshot.of(kind).filter(|object| {
                text(object, "/status/serviceName") == name
                    && text(object, "/status/serviceNamespace") == namespace
                    && lives(text(object, "/status/node"))
            })
        };
        let mut words = Self::default();
        words.layer2.extend(of("ServiceL2Status").map(|object| text(object, "/status/node")));
        for object in of("ServiceBGPStatus") {
            let peers = object.pointer("/status/peers").and_then(Value::as_array);
            let peers = peers.into_iter().flatten().filter_map(Value::as_str);
            words.bgp.entry(text(object, "/status/node")).or_default().extend(peers);
        }
        words
    }

    /// Whether the speaker of a node says that a peer has the service's routes.
    pub(super) fn has_told(&self, node: &str, peer: &str) -> bool {
        self.bgp.get(node).is_some_and(|peers| peers.contains(peer))
    }
}

/// What the speakers say themselves; `owner` is who announces it by Layer 2 by these facts.
pub(super) fn statuses(chain: &mut Chain, subject: Subject<'_>, words: &Words<'_>, owner: Option<&NodeName>) {
    let told = words.bgp.iter().map(|(node, peers)| {
        let peers: Vec<&str> = peers.iter().copied().collect();
        format!("the speaker on {node} has it for {}", peers.join(", "))
    });
    if !words.bgp.is_empty() {
        let text = format!("speakers on {} nodes say that they advertise it by BGP", words.bgp.len());
        chain.push(Step::good("status", text).details(told.take(NODES_SHOWN)));
    }
    let said: Vec<&str> = words.layer2.iter().copied().collect();
    if said.len() > 1 {
        let message = format!(
            "{} nodes announce it at once ({}): their speakers do not hear each other, as when UDP port 7946 is closed \
             between them",
            said.len(),
            said.join(", ")
        );
        chain.push(Step::broken("status", "several_owners", message).remedy(subject.logs("speaker")));
        return;
    }
    let Some(owner) = owner.filter(|_| subject.snapshot.sees("ServiceL2Status")) else {
        if !said.is_empty() {
            let text = format!("the speaker on {} says that it announces it", said.join(", "));
            chain.push(Step::good("status", text));
        }
        return;
    };
    let logs = subject.logs("speaker");
    chain.push(if said.contains(&owner.as_str()) {
        Step::good("status", format!("the speaker on {owner} says that it announces it"))
    } else if let Some(other) = said.first() {
        let message = format!(
            "the speaker on {other} says that it announces it, which by these facts is {owner}'s: what is not seen from here \
             may decide, as its interfaces or that it has just failed"
        );
        Step::note("status", message).remedy(logs)
    } else if chain.first_break().is_some() {
        Step::note("status", "no speaker says that it announces it")
    } else {
        let message = format!("no speaker says that it announces it, though {owner} could");
        Step::broken("status", "not_announced", message).remedy(logs)
    });
}

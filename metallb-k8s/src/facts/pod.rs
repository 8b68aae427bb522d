//! Pods of speakers.

use std::net::IpAddr;

use metallb_core::keys::NodeName;

use super::objects;
use crate::watch::Tracked;

/// A speaker's Pod, for speakers that look for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpeakerPod {
    /// The node it runs on.
    pub node: NodeName,
    /// Its addresses, in the order given.
    pub addresses: Vec<IpAddr>,
    /// Whether it reports to be ready.
    pub ready: bool,
}

impl SpeakerPod {
    /// Cuts a Pod down; `None` while it has no node or no address, and when it has ended.
    pub fn cut(object: &objects::Pod) -> Option<Self> {
        let status = &object.status;
        if matches!(status.phase.as_str(), "Succeeded" | "Failed") {
            return None;
        }
        let node = object.spec.node_name.as_deref().filter(|node| !node.is_empty())?;
        let listed = status.pod_ips.iter().map(|entry| entry.ip.as_str());
        let mut addresses: Vec<IpAddr> = listed.filter_map(|ip| ip.parse().ok()).collect();
        if addresses.is_empty() {
            addresses.extend(status.pod_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()));
        }
        if addresses.is_empty() {
            return None;
        }
        let ready = status.conditions.iter().any(|found| found.type_ == "Ready" && found.status == "True");
        Some(Self { node: NodeName::new(node), addresses, ready })
    }
}

/// A node on which there is a Pod that may be a speaker, for the controller, which does not know how speakers are labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpeakerNode {
    /// The node.
    pub node: NodeName,
}

impl SpeakerNode {
    /// Cuts down a Pod of MetalLB's namespace; `None` while it has no node, when it has ended, and when it is certain to be
    /// no speaker: it belongs to something else than a DaemonSet, or is labelled as another component.
    pub fn cut(object: &objects::Pod) -> Option<Self> {
        if matches!(object.status.phase.as_str(), "Succeeded" | "Failed") {
            return None;
        }
        let mut owners = object.metadata.owner_references.iter().flatten();
        let is_of_others = owners.any(|owner| owner.controller == Some(true) && owner.kind != "DaemonSet");
        let labels = object.metadata.labels.as_ref();
        let component = |name: &str| labels.and_then(|labels| labels.get(name));
        let is_another =
            COMPONENT_LABELS.iter().filter_map(|name| component(name)).any(|label| label != "speaker");
        if is_of_others || is_another {
            return None;
        }
        let node = object.spec.node_name.as_deref().filter(|node| !node.is_empty())?;
        Some(Self { node: NodeName::new(node) })
    }
}

impl Tracked for SpeakerNode {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// Where Pods say which part of something they are: in MetalLB's manifests, and in its chart.
const COMPONENT_LABELS: [&str; 2] = ["component", "app.kubernetes.io/component"];

impl Tracked for SpeakerPod {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

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

impl Tracked for SpeakerPod {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

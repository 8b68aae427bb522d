//! What nodes leave behind: status resources of speakers that are gone, which nobody else would ever take away.
//!
//! [`Leftovers`] decides when a node's resources are nobody's any more; it is a state machine without IO and clocks.
//! [`sweep()`] lists and removes them, a few a second, each only in the version in which it was found.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{facts::SpeakerNode, watch::Store, write::status::label_value};

mod sweep;

pub use sweep::{Sources, sweep};

/// A node as resources name it: its name as the value of a label.
pub type NodeLabel = String;

/// Who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Present {
    /// Nodes.
    pub nodes: BTreeSet<NodeLabel>,
    /// Nodes with a Pod that may be a speaker.
    pub speakers: BTreeSet<NodeLabel>,
}

impl Present {
    /// These nodes, and speakers on those.
    pub fn new<'a>(
        nodes: impl IntoIterator<Item = &'a str>,
        speakers: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            nodes: nodes.into_iter().map(label_value).collect(),
            speakers: speakers.into_iter().map(label_value).collect(),
        }
    }

    fn of<N: Send + Sync + 'static>(nodes: &Store<N>, speakers: &Store<SpeakerNode>) -> Self {
        let (nodes, speakers) = (nodes.all(), speakers.all());
        Self::new(
            nodes.iter().map(|(key, _)| &*key.name),
            speakers.iter().map(|(_, speaker)| speaker.node.as_str()),
        )
    }
}

/// Which nodes' status resources are nobody's any more.
///
/// A resource belongs to the speaker on the node that it names. While there is a Pod that may be that speaker it is left
/// alone; without one it is let be for [`NODE_PATIENCE`] where the node exists, as a Pod that is replaced comes back, and
/// for [`GONE_PATIENCE`] where the node is gone, too.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Nodes that resources name, or may name as there was a speaker.
    named: BTreeSet<NodeLabel>,
    /// Since when there has been no speaker on one of them.
    absent: BTreeMap<NodeLabel, Instant>,
}

impl Leftovers {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// A resource names this node.
    pub fn name(&mut self, node: NodeLabel) {
        self.named.insert(node);
    }

    /// Takes who is there; returns the nodes whose resources are to be removed now. They are returned again until
    /// [`Leftovers::swept`], or until a speaker comes back.
    pub fn observe(&mut self, now: Instant, present: &Present) -> BTreeSet<NodeLabel> {
        self.named.extend(present.speakers.iter().cloned());
        self.absent.retain(|node, _| !present.speakers.contains(node));
        let mut due = BTreeSet::new();
        for node in self.named.difference(&present.speakers) {
            let since = *self.absent.entry(node.clone()).or_insert(now);
            let patience = if present.nodes.contains(node) { NODE_PATIENCE } else { GONE_PATIENCE };
            if now.saturating_duration_since(since) >= patience {
                due.insert(node.clone());
            }
        }
        due
    }

    /// Nothing is left of this node.
    pub fn swept(&mut self, node: &str) {
        self.named.remove(node);
        self.absent.remove(node);
    }
}

/// How long a node that exists may be without a speaker before its resources are removed: longer than it takes to replace
/// a Pod, whose image may have to be pulled.
pub const NODE_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The same for a node that is gone: longer than the watches of nodes and of Pods may be apart.
pub const GONE_PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;

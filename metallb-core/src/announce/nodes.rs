//! What each node can do, whatever the service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::L2Advertisement;
use crate::facts::Node;
use crate::keys::{InterfaceName, NodeName};

use super::coverage::{AdId, Coverage};
use super::reasons::Rejection;

/// How the engine knows on which nodes a speaker lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum Liveness {
    /// There is no membership: a speaker is taken to live on every node, and to have every interface.
    #[default]
    Everyone,
    /// Only on the nodes given by [`set_members`](super::Engine::set_members), and nodes say which
    /// interfaces they have.
    Members,
}

/// Facts about nodes, and what follows from them.
#[derive(Debug)]
pub(super) struct NodeTable {
    liveness: Liveness,
    ignore_exclude: bool,
    facts: BTreeMap<NodeName, Node>,
    members: BTreeSet<NodeName>,
    interfaces: BTreeMap<NodeName, BTreeSet<InterfaceName>>,
    /// Nodes that carry both the exclude label and the control-plane label.
    excluded_control_planes: usize,
    exclusion_ignored: bool,
    states: BTreeMap<NodeName, NodeState>,
    dirty: BTreeSet<NodeName>,
}

/// What one node can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeState {
    pub(super) live: bool,
    /// Whether it may announce by Layer 2 at all.
    pub(super) base: Option<Rejection>,
    /// What each advertisement makes of it.
    pub(super) ads: BTreeMap<AdId, AdOnNode>,
}

/// What [`NodeTable::refresh`] looked at.
#[derive(Debug)]
pub(super) struct Refreshed {
    /// Nodes of which some fact has changed.
    pub(super) touched: BTreeSet<NodeName>,
    /// Those whose standing in elections has changed.
    pub(super) changed: BTreeSet<NodeName>,
}

/// What one advertisement makes of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AdOnNode {
    pub(super) rejection: Option<Rejection>,
    pub(super) score: u64,
}

impl NodeTable {
    pub(super) fn new(liveness: Liveness, ignore_exclude: bool) -> Self {
        Self {
            liveness,
            ignore_exclude,
            facts: BTreeMap::new(),
            members: BTreeSet::new(),
            interfaces: BTreeMap::new(),
            excluded_control_planes: 0,
            exclusion_ignored: ignore_exclude,
            states: BTreeMap::new(),
            dirty: BTreeSet::new(),
        }
    }

    pub(super) fn apply(&mut self, node: Node) {
        if self.facts.get(&node.name) == Some(&node) {
            return;
        }
        self.dirty.insert(node.name.clone());
        let both = usize::from(is_excluded_control_plane(&node));
        let old = self.facts.insert(node.name.clone(), node);
        self.excluded_control_planes += both;
        self.excluded_control_planes -= usize::from(old.as_ref().is_some_and(is_excluded_control_plane));
        self.renew_exclusion();
    }

    pub(super) fn remove(&mut self, name: &NodeName) {
        let Some(old) = self.facts.remove(name) else { return };
        self.dirty.insert(name.clone());
        self.excluded_control_planes -= usize::from(is_excluded_control_plane(&old));
        self.renew_exclusion();
    }

    pub(super) fn set_members(&mut self, members: BTreeSet<NodeName>) {
        self.dirty.extend(self.members.symmetric_difference(&members).cloned());
        self.members = members;
    }

    pub(super) fn set_interfaces(&mut self, node: NodeName, interfaces: Option<BTreeSet<InterfaceName>>) {
        if self.interfaces.get(&node) == interfaces.as_ref() {
            return;
        }
        self.dirty.insert(node.clone());
        match interfaces {
            Some(interfaces) => self.interfaces.insert(node, interfaces),
            None => self.interfaces.remove(&node),
        };
    }

    pub(super) fn all_dirty(&mut self) {
        self.dirty.extend(self.facts.keys().chain(&self.members).chain(self.states.keys()).cloned());
    }

    /// Brings the states up to date.
    pub(super) fn refresh(&mut self, coverage: &Coverage) -> Refreshed {
        let mut changed = BTreeSet::new();
        let touched = std::mem::take(&mut self.dirty);
        for name in touched.iter().cloned() {
            let known = self.facts.contains_key(&name) || self.members.contains(&name);
            let state = known.then(|| self.state_of(&name, coverage));
            if self.states.get(&name) == state.as_ref() {
                continue;
            }
            match state {
                Some(state) => self.states.insert(name.clone(), state),
                None => self.states.remove(&name),
            };
            changed.insert(name);
        }
        Refreshed { touched, changed }
    }

    pub(super) fn states(&self) -> &BTreeMap<NodeName, NodeState> {
        &self.states
    }

    pub(super) fn fact(&self, name: &NodeName) -> Option<&Node> {
        self.facts.get(name)
    }

    pub(super) fn interfaces(&self, name: &NodeName) -> Option<&BTreeSet<InterfaceName>> {
        self.interfaces.get(name)
    }

    pub(super) const fn exclusion_ignored(&self) -> bool {
        self.exclusion_ignored
    }

    /// Whether a node may advertise by BGP at all.
    pub(super) fn bgp_rejection(&self, name: &NodeName) -> Option<Rejection> {
        let Some(node) = self.facts.get(name) else { return Some(Rejection::UnknownNode) };
        self.rejection_of(node)
    }

    fn rejection_of(&self, node: &Node) -> Option<Rejection> {
        if node.network_unavailable {
            return Some(Rejection::NetworkUnavailable);
        }
        (node.excluded && !self.exclusion_ignored).then_some(Rejection::Excluded)
    }

    fn state_of(&self, name: &NodeName, coverage: &Coverage) -> NodeState {
        let live = match self.liveness {
            Liveness::Everyone => true,
            Liveness::Members => self.members.contains(name),
        };
        let Some(node) = self.facts.get(name) else {
            return NodeState { live, base: Some(Rejection::UnknownNode), ads: BTreeMap::new() };
        };
        let base = if live {
            let out_of_service = node.out_of_service.then_some(Rejection::OutOfService);
            self.rejection_of(node).or(out_of_service)
        } else {
            Some(Rejection::NoSpeaker)
        };
        let ads = coverage.all_l2().map(|(id, ad)| (id, self.ad_on(node, ad))).collect();
        NodeState { live, base, ads }
    }

    fn ad_on(&self, node: &Node, ad: &Arc<L2Advertisement>) -> AdOnNode {
        if !ad.selects_node(&node.labels) {
            return AdOnNode { rejection: Some(Rejection::NodeNotSelected), score: 0 };
        }
        let rejection = (!self.has_interface(&node.name, ad)).then_some(Rejection::NoInterface);
        AdOnNode { rejection, score: ad.preference_score(&node.labels) }
    }

    /// A node that has not told its interfaces yet is taken to have what is needed: its speaker knows better
    /// than we do, and two nodes that both leave an address alone are worse than one that tries.
    fn has_interface(&self, name: &NodeName, ad: &L2Advertisement) -> bool {
        match (self.liveness, self.interfaces.get(name)) {
            (Liveness::Everyone, _) | (_, None) => true,
            (Liveness::Members, Some(usable)) if ad.interfaces.is_empty() => !usable.is_empty(),
            (Liveness::Members, Some(usable)) => !usable.is_disjoint(&ad.interfaces),
        }
    }

    /// When every node is an excluded control plane (a cluster of one node made by kubeadm), the label is
    /// ignored: nothing could be announced otherwise.
    fn renew_exclusion(&mut self) {
        let everyone = !self.facts.is_empty() && self.excluded_control_planes == self.facts.len();
        let ignored = self.ignore_exclude || everyone;
        if ignored != self.exclusion_ignored {
            self.exclusion_ignored = ignored;
            self.dirty.extend(self.facts.keys().cloned());
        }
    }
}

const fn is_excluded_control_plane(node: &Node) -> bool {
    node.excluded && node.control_plane
}

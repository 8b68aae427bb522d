//! What each node can do, whatever the service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::L2Advertisement;
use crate::facts::{Interface, Node};
use crate::keys::{Family, InterfaceName, NodeName};

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
    /// Where a speaker is ready that is not heard.
    unheard: BTreeSet<NodeName>,
    interfaces: BTreeMap<NodeName, BTreeMap<InterfaceName, Interface>>,
    exclusion_ignored: bool,
    /// Whether it would be, were it not for speakers that are not heard.
    misses_speakers: bool,
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
    /// Whether what is said of nodes that nobody may choose is to be said anew.
    pub(super) reworded: bool,
}

/// What one advertisement makes of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AdOnNode {
    v4: Option<Rejection>,
    v6: Option<Rejection>,
    pub(super) score: u64,
    /// The subnets of the interfaces that it allows there; `None` when the node has not told its interfaces.
    pub(super) subnets: Option<BTreeSet<IpNetwork>>,
}

impl AdOnNode {
    pub(super) const fn rejection(&self, family: Family) -> Option<Rejection> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

impl NodeTable {
    pub(super) fn new(liveness: Liveness, ignore_exclude: bool) -> Self {
        Self {
            liveness,
            ignore_exclude,
            facts: BTreeMap::new(),
            members: BTreeSet::new(),
            unheard: BTreeSet::new(),
            interfaces: BTreeMap::new(),
            exclusion_ignored: ignore_exclude,
            misses_speakers: false,
            states: BTreeMap::new(),
            dirty: BTreeSet::new(),
        }
    }

    pub(super) fn apply(&mut self, node: Node) {
        if self.facts.get(&node.name) == Some(&node) {
            return;
        }
        self.dirty.insert(node.name.clone());
        self.facts.insert(node.name.clone(), node);
    }

    pub(super) fn remove(&mut self, name: &NodeName) {
        if self.facts.remove(name).is_some() {
            self.dirty.insert(name.clone());
        }
    }

    pub(super) fn set_members(&mut self, members: BTreeSet<NodeName>) {
        self.dirty.extend(self.members.symmetric_difference(&members).cloned());
        self.members = members;
    }

    pub(super) fn set_unheard(&mut self, unheard: BTreeSet<NodeName>) {
        self.dirty.extend(self.unheard.symmetric_difference(&unheard).cloned());
        self.unheard = unheard;
    }

    pub(super) fn set_interfaces(
        &mut self,
        node: NodeName,
        interfaces: Option<BTreeMap<InterfaceName, Interface>>,
    ) {
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
        let missed = self.misses_speakers;
        if !self.dirty.is_empty() {
            self.renew_exclusion();
        }
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
        let reworded = !changed.is_empty() || missed != self.misses_speakers;
        Refreshed { touched, changed, reworded }
    }

    pub(super) fn states(&self) -> &BTreeMap<NodeName, NodeState> {
        &self.states
    }

    pub(super) fn fact(&self, name: &NodeName) -> Option<&Node> {
        self.facts.get(name)
    }

    pub(super) fn interfaces(&self, name: &NodeName) -> Option<&BTreeMap<InterfaceName, Interface>> {
        self.interfaces.get(name)
    }

    pub(super) const fn exclusion_ignored(&self) -> bool {
        self.exclusion_ignored
    }

    /// Whether the label counts only because of speakers that are ready and not heard.
    pub(super) const fn misses_speakers(&self) -> bool {
        self.misses_speakers
    }

    /// Whether it is ignored though nobody asked for that.
    pub(super) const fn exclusion_excepted(&self) -> bool {
        self.exclusion_ignored && !self.ignore_exclude
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
        self.state_with(name, self.is_live(name), coverage)
    }

    /// What a node can do when a speaker lives there, or does not.
    pub(super) fn state_with(&self, name: &NodeName, live: bool, coverage: &Coverage) -> NodeState {
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

    fn is_live(&self, name: &NodeName) -> bool {
        match self.liveness {
            Liveness::Everyone => true,
            Liveness::Members => self.members.contains(name),
        }
    }

    fn ad_on(&self, node: &Node, ad: &Arc<L2Advertisement>) -> AdOnNode {
        if !ad.selects_node(&node.labels) {
            let rejection = Some(Rejection::NodeNotSelected);
            let subnets = Some(BTreeSet::new());
            return AdOnNode { v4: rejection, v6: rejection, score: 0, subnets };
        }
        let score = ad.preference_score(&node.labels);
        // A node that has not told its interfaces yet is taken to have what is needed: its speaker knows better
        // than we do, and two nodes that both leave an address alone are worse than one that tries. Without
        // membership nobody knows those of others, so that nobody may go by them.
        if self.liveness == Liveness::Everyone {
            return AdOnNode { score, subnets: Some(BTreeSet::new()), ..AdOnNode::default() };
        }
        let Some(usable) = self.interfaces.get(&node.name) else {
            return AdOnNode { score, ..AdOnNode::default() };
        };
        let allowed = || {
            let all = ad.interfaces.is_empty();
            usable.iter().filter(move |(name, _)| all || ad.interfaces.contains(*name))
        };
        let rejection = |family, rule| {
            let carries = allowed().any(|(_, interface)| interface.carries(family));
            (!carries).then(|| if allowed().next().is_some() { rule } else { Rejection::NoInterface })
        };
        AdOnNode {
            v4: rejection(Family::V4, Rejection::NoInterface),
            v6: rejection(Family::V6, Rejection::NoIpv6Interface),
            score,
            subnets: Some(allowed().flat_map(|(_, interface)| &interface.subnets).copied().collect()),
        }
    }

    /// When every node with a speaker is an excluded control plane (a small cluster made by kubeadm), the label is ignored:
    /// nothing could be announced otherwise. Nodes without a speaker do not count. One that is ready and not heard does:
    /// where heartbeats are not let through, excluded nodes would announce beside those that are to.
    fn renew_exclusion(&mut self) {
        let (live, others): (Vec<&Node>, Vec<&Node>) =
            self.facts.values().partition(|node| self.is_live(&node.name));
        let heard = !live.is_empty() && live.iter().copied().all(is_excluded_control_plane);
        let mut unheard = others.into_iter().filter(|node| self.unheard.contains(&node.name));
        let everyone = heard && unheard.all(is_excluded_control_plane);
        self.misses_speakers = !self.ignore_exclude && heard && !everyone;
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

//! The election: who announces a group by Layer 2.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::election::{ElectionKey, Rank, Standing};
use crate::keys::NodeName;

use super::groups::{Group, GroupId, Groups, Outcome, Requirement};
use super::nodes::NodeState;
use super::readiness::Readiness;
use super::reasons::{Decision, Rejection};
use super::world::World;

/// Whether the owner of a group changes as soon as a better candidate comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum Ownership {
    /// The best candidate owns the group, as in MetalLB.
    #[default]
    Hash,
    /// The current owner keeps the group as long as it is a candidate.
    Sticky,
}

/// Groups with their owners.
#[derive(Debug)]
pub(super) struct Layer2 {
    ownership: Ownership,
    pub(super) groups: Groups,
    profiles: BTreeMap<Requirement, Profile>,
    /// Who says that it announces an address.
    claims: BTreeMap<IpAddr, BTreeSet<NodeName>>,
}

/// What each node makes of one requirement, with the groups that have it.
#[derive(Debug, Default)]
struct Profile {
    groups: BTreeSet<GroupId>,
    nodes: BTreeMap<NodeName, Result<Offer, Rejection>>,
}

/// What a node that is no worse than its advertisements offers to a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    score: u64,
    /// The subnets of its interfaces that may announce; `None` when it has not told them: it is taken to be in all, so
    /// that it is neither preferred nor passed over until it has.
    subnets: Option<BTreeSet<IpNetwork>>,
}

/// One node in the election of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) node: NodeName,
    pub(super) result: Result<Rank, Rejection>,
}

impl Layer2 {
    pub(super) fn new(ownership: Ownership) -> Self {
        Self { ownership, groups: Groups::default(), profiles: BTreeMap::new(), claims: BTreeMap::new() }
    }

    /// Takes what a node claims and returns the groups for which that may matter.
    pub(super) fn claim(
        &mut self,
        node: &NodeName,
        added: &BTreeSet<IpAddr>,
        removed: &BTreeSet<IpAddr>,
    ) -> BTreeSet<GroupId> {
        for address in removed {
            if let Some(claimants) = self.claims.get_mut(address) {
                claimants.remove(node);
                if claimants.is_empty() {
                    self.claims.remove(address);
                }
            }
        }
        for address in added {
            self.claims.entry(*address).or_default().insert(node.clone());
        }
        if self.ownership == Ownership::Hash {
            return BTreeSet::new();
        }
        added.iter().chain(removed).filter_map(|address| self.groups.id_of(*address)).collect()
    }

    /// Forms groups anew around addresses, elects their owners and returns all addresses concerned.
    pub(super) fn regroup(&mut self, touched: BTreeSet<IpAddr>, world: &World) -> BTreeSet<IpAddr> {
        let mut concerned = touched.clone();
        let (gone, formed) = self.groups.regroup(touched, world);
        for (id, group) in gone {
            concerned.extend(&group.addresses);
            self.leave_profile(id, &group.requirement);
        }
        for id in formed {
            let Some(group) = self.groups.get(id) else { continue };
            concerned.extend(&group.addresses);
            let requirement = group.requirement.clone();
            let profile = self.profiles.entry(requirement).or_insert_with_key(|requirement| {
                let states = world.nodes.states().iter();
                let nodes = states.map(|(node, state)| (node.clone(), judge(state, requirement))).collect();
                Profile { groups: BTreeSet::new(), nodes }
            });
            profile.groups.insert(id);
            self.elect(id, world);
        }
        concerned
    }

    /// Elects the owner of a group from scratch; `true` when it is another one afterwards.
    pub(super) fn elect(&mut self, id: GroupId, world: &World) -> bool {
        let Some(group) = self.groups.get(id) else { return false };
        let readiness = Readiness::of(group, world);
        self.elect_with(id, readiness, world)
    }

    /// As [`Layer2::elect`], when only facts about the group's services have changed: if they leave its
    /// endpoints as they were, so is its owner. That takes as long as the group is large, whatever the number of
    /// nodes.
    pub(super) fn elect_for_services(&mut self, id: GroupId, world: &World) -> bool {
        let Some(group) = self.groups.get(id) else { return false };
        let readiness = Readiness::of(group, world);
        readiness != group.readiness && self.elect_with(id, readiness, world)
    }

    fn elect_with(&mut self, id: GroupId, readiness: Readiness, world: &World) -> bool {
        let Some(group) = self.groups.get(id) else { return false };
        let outcome = self.outcome(group, &readiness, world);
        let Some(group) = self.groups.get_mut(id) else { return false };
        group.readiness = readiness;
        let changed = group.outcome != outcome;
        group.outcome = outcome;
        changed
    }

    /// Follows a change of nodes; returns the groups for which something is different afterwards, or may be
    /// on one of these nodes itself. One hash for each group that a node may newly own, one election for each
    /// that it owned; other groups are not looked at.
    pub(super) fn reconsider(
        &mut self,
        nodes: &BTreeSet<NodeName>,
        this: &NodeName,
        world: &World,
    ) -> BTreeSet<GroupId> {
        let mut concerned = BTreeSet::new();
        let mut affected: Vec<(GroupId, NodeName)> = Vec::new();
        for (requirement, profile) in &mut self.profiles {
            for node in nodes {
                let entry = world.nodes.states().get(node).map(|state| judge(state, requirement));
                // An unknown node may still be live, and then speak for groups that nobody can announce.
                let unknown = entry == Some(Err(Rejection::UnknownNode));
                if unknown || entry.as_ref() != profile.nodes.get(node) {
                    let candidate = matches!(entry, Some(Ok(_)));
                    let groups = &self.groups;
                    let affects = |id: &&GroupId| match groups.get(**id).map(|group| &group.outcome) {
                        Some(Outcome::Owner { node: owner, .. }) => candidate || owner == node,
                        Some(Outcome::Unowned { .. }) => true,
                        None => false,
                    };
                    affected.extend(profile.groups.iter().filter(affects).map(|id| (*id, node.clone())));
                }
                match entry {
                    Some(entry) => profile.nodes.insert(node.clone(), entry),
                    None => profile.nodes.remove(node),
                };
            }
        }
        for (id, node) in affected {
            if self.reconsider_group(id, &node, this, world) {
                concerned.insert(id);
            }
        }
        concerned
    }

    /// Looks at one group after the standing of one node has changed, with as little work as possible: the
    /// others' ranks are as before.
    fn reconsider_group(&mut self, id: GroupId, node: &NodeName, this: &NodeName, world: &World) -> bool {
        let Some(group) = self.groups.get(id) else { return false };
        match &group.outcome {
            Outcome::Owner { node: owner, .. } if owner == node => self.elect(id, world),
            Outcome::Owner { node: owner, rank } => {
                let challenger = self.rank(group, node);
                let mut rank = *rank;
                rank.standing.claims = self.is_claimed_by(group, owner);
                let better = challenger.ok().filter(|challenger| challenger.beats(&rank));
                let Some(rank) = better else { return false };
                let Some(group) = self.groups.get_mut(id) else { return false };
                group.outcome = Outcome::Owner { node: node.clone(), rank };
                true
            }
            Outcome::Unowned { spokesman } => {
                let speaks_here = spokesman.as_ref() == Some(this);
                self.elect(id, world) || speaks_here
            }
        }
    }

    /// Every node's verdict for a group, best candidates first, then the others by name.
    pub(super) fn verdicts(&self, group: &Group) -> Vec<Verdict> {
        let nodes =
            self.profiles.get(&group.requirement).into_iter().flat_map(|profile| profile.nodes.keys());
        let mut verdicts: Vec<Verdict> =
            nodes.map(|node| Verdict { node: node.clone(), result: self.rank(group, node) }).collect();
        verdicts.sort_by(|a, b| match (&a.result, &b.result) {
            (Ok(a), Ok(b)) if a.beats(b) => std::cmp::Ordering::Less,
            (Ok(a), Ok(b)) if b.beats(a) => std::cmp::Ordering::Greater,
            (Ok(_), Err(_)) => std::cmp::Ordering::Less,
            (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
            _ => a.node.cmp(&b.node),
        });
        verdicts
    }

    /// The rule by which the node that came closest was removed; `None` when there is a candidate.
    pub(super) fn closest_rejection(&self, group: &Group) -> Option<(usize, Rejection)> {
        let profile = self.profiles.get(&group.requirement)?;
        let mut closest = None;
        for (node, entry) in &profile.nodes {
            let served =
                entry.as_ref().map_err(|rejection| *rejection).and_then(|_| group.readiness.check(node));
            let rejection = served.err()?;
            closest = closest.max(Some(rejection));
        }
        Some((profile.nodes.len(), closest?))
    }

    /// Looks for the best candidate among `n` nodes, or among the `e` nodes with a ready endpoint when only those
    /// count. Hashes are computed only for those that are equal in everything else, so this is O(n), or O(e log n),
    /// and at most as many hashes.
    fn outcome(&self, group: &Group, readiness: &Readiness, world: &World) -> Outcome {
        let profile = self.profiles.get(&group.requirement);
        let mut best: Option<Standing> = None;
        let mut equals: Vec<&NodeName> = Vec::new();
        for (node, entry) in profile.into_iter().flat_map(|profile| profile.ready_nodes(readiness)) {
            let Ok(offer) = entry else { continue };
            let standing = self.standing(group, readiness, node, offer);
            if best.is_none_or(|best| standing > best) {
                best = Some(standing);
                equals.clear();
            }
            if best == Some(standing) {
                equals.push(node);
            }
        }
        let first = equals.into_iter().map(|node| (group.key.place(node), node)).min();
        match (best, first) {
            (Some(standing), Some((place, node))) => {
                Outcome::Owner { node: node.clone(), rank: Rank::new(standing, place) }
            }
            _ => Outcome::Unowned { spokesman: first_live(&group.key, world) },
        }
    }

    fn rank(&self, group: &Group, node: &NodeName) -> Result<Rank, Rejection> {
        let profile = self.profiles.get(&group.requirement);
        let entry = profile.and_then(|profile| profile.nodes.get(node));
        let offer = entry.ok_or(Rejection::UnknownNode)?.as_ref().map_err(|rejection| *rejection)?;
        group.readiness.check(node)?;
        let standing = self.standing(group, &group.readiness, node, offer);
        Ok(Rank::new(standing, group.key.place(node)))
    }

    /// Whether a node would own a group if a speaker lived there.
    pub(super) fn would_own(&self, group: &Group, node: &NodeName, world: &World) -> bool {
        let state = world.nodes.state_with(node, true, &world.coverage);
        let offer = judge(&state, &group.requirement);
        let (Ok(offer), Ok(())) = (offer, group.readiness.check(node)) else { return false };
        let standing = self.standing(group, &group.readiness, node, &offer);
        let challenger = Rank::new(standing, group.key.place(node));
        match &group.outcome {
            Outcome::Owner { node: owner, rank } => {
                let mut rank = *rank;
                rank.standing.claims = self.is_claimed_by(group, owner);
                owner == node || challenger.beats(&rank)
            }
            Outcome::Unowned { .. } => true,
        }
    }

    fn standing(&self, group: &Group, readiness: &Readiness, node: &NodeName, offer: &Offer) -> Standing {
        let in_subnet = |address: &&IpAddr| {
            offer
                .subnets
                .as_ref()
                .is_none_or(|subnets| subnets.iter().any(|subnet| subnet.contains(**address)))
        };
        let (families, ready) = readiness.families_on(node);
        Standing {
            claims: self.is_claimed_by(group, node),
            subnets: group.addresses.iter().filter(in_subnet).count(),
            families,
            ready,
            score: offer.score,
            local_services: readiness.services_on(node),
        }
    }

    /// Who says that it announces an address.
    pub(super) fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &NodeName> {
        self.claims.get(&address).into_iter().flatten()
    }

    fn is_claimed_by(&self, group: &Group, node: &NodeName) -> bool {
        self.ownership == Ownership::Sticky
            && group
                .addresses
                .iter()
                .any(|address| self.claims.get(address).is_some_and(|claimants| claimants.contains(node)))
    }

    fn leave_profile(&mut self, id: GroupId, requirement: &Requirement) {
        let Some(profile) = self.profiles.get_mut(requirement) else { return };
        profile.groups.remove(&id);
        if profile.groups.is_empty() {
            self.profiles.remove(requirement);
        }
    }
}

impl Profile {
    /// The nodes on which there is a ready endpoint for traffic that enters there.
    fn ready_nodes<'a>(
        &'a self,
        readiness: &'a Readiness,
    ) -> impl Iterator<Item = (&'a NodeName, &'a Result<Offer, Rejection>)> {
        let anywhere = readiness.is_everywhere();
        let everywhere = anywhere.then_some(&self.nodes).into_iter().flatten();
        let local = (!anywhere).then(|| readiness.local_nodes()).into_iter().flatten();
        everywhere.chain(local.filter_map(|node| self.nodes.get_key_value(node)))
    }
}

/// Why the first of two candidates won.
pub(super) fn decision(winner: &Rank, second: Option<&Rank>) -> Decision {
    let Some(second) = second.map(|rank| rank.standing) else { return Decision::OnlyCandidate };
    let winner = winner.standing;
    let rules = [
        (winner.claims != second.claims, Decision::Sticky),
        (winner.subnets != second.subnets, Decision::Subnet),
        (winner.families != second.families, Decision::Families),
        (winner.ready != second.ready, Decision::ReadyEndpoints),
        (winner.score != second.score, Decision::Preference),
        (winner.local_services != second.local_services, Decision::LocalEndpoints),
    ];
    rules.into_iter().find_map(|(differ, rule)| differ.then_some(rule)).unwrap_or(Decision::Hash)
}

/// The first live speaker in hash order: it speaks for what nobody can announce.
pub(super) fn first_live(key: &ElectionKey, world: &World) -> Option<NodeName> {
    let live = world.nodes.states().iter().filter(|(_, state)| state.live).map(|(node, _)| node);
    live.map(|node| (key.place(node), node)).min().map(|(_, node)| node.clone())
}

/// What a node makes of a requirement: what it offers, or why it is no candidate.
fn judge(state: &NodeState, requirement: &Requirement) -> Result<Offer, Rejection> {
    if let Some(rejection) = state.base {
        return Err(rejection);
    }
    let mut all = BTreeSet::new();
    let mut worst = None;
    for (family, ads) in &requirement.any_of {
        if ads.is_empty() {
            return Err(Rejection::ServiceNotSelected);
        }
        let on_node = ads.iter().filter_map(|id| state.ads.get(id));
        let rejections = on_node.map(|ad| ad.rejection(*family));
        // `None` (allowed) is the least, so the best of the set is found by looking for it first.
        let verdict = rejections.reduce(|a, b| if a.is_none() || b.is_none() { None } else { a.max(b) });
        if let Some(rejection) = verdict.unwrap_or(Some(Rejection::NodeNotSelected)) {
            worst = worst.min(Some(rejection)).or(Some(rejection));
        }
        all.extend(ads.iter().copied());
    }
    if let Some(rejection) = worst {
        return Err(rejection);
    }
    let ads = || all.iter().filter_map(|id| state.ads.get(id));
    let mut subnets = Some(BTreeSet::new());
    for ad in ads() {
        subnets = subnets.zip(ad.subnets.as_ref()).map(|(mut all, more)| {
            all.extend(more);
            all
        });
    }
    Ok(Offer { score: ads().map(|ad| ad.score).sum(), subnets })
}

//! Groups: services and addresses that must be announced by one node.
//!
//! Two services belong together when they share an address, and two addresses when one service has both. A
//! group is a connected part of that graph.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::election::{ElectionKey, Rank};
use crate::keys::{Family, NodeName, ServiceKey};

use super::coverage::AdId;
use super::readiness::Readiness;
use super::world::World;

/// Names a group: its lowest address, which no other group has.
pub(super) type GroupId = IpAddr;

/// What a group asks of a node: from each set at least one advertisement must allow it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Requirement {
    pub(super) any_of: BTreeSet<(Family, Vec<AdId>)>,
}

/// Services and addresses that one node announces.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) key: ElectionKey,
    /// Oldest first.
    pub(super) services: Vec<ServiceKey>,
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) requirement: Requirement,
    /// The endpoints by which the owner was elected.
    pub(super) readiness: Readiness,
    pub(super) outcome: Outcome,
}

/// Who announces a group, or who speaks for it when nobody can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Owner { node: NodeName, rank: Rank },
    Unowned { spokesman: Option<NodeName> },
}

impl Outcome {
    pub(super) fn owner(&self) -> Option<&NodeName> {
        match self {
            Self::Owner { node, .. } => Some(node),
            Self::Unowned { .. } => None,
        }
    }

    pub(super) fn spokesman(&self) -> Option<&NodeName> {
        match self {
            Self::Owner { .. } => None,
            Self::Unowned { spokesman } => spokesman.as_ref(),
        }
    }
}

/// All groups. Only addresses that a Layer 2 advertisement covers for at least one of their services take
/// part.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_address: HashMap<IpAddr, BTreeSet<ServiceKey>>,
    groups: HashMap<GroupId, Group>,
    group_of: HashMap<IpAddr, GroupId>,
}

impl Groups {
    pub(super) fn get(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(&id)
    }

    pub(super) fn id_of(&self, address: IpAddr) -> Option<GroupId> {
        self.group_of.get(&address).copied()
    }

    pub(super) fn of(&self, address: IpAddr) -> Option<&Group> {
        self.groups.get(self.group_of.get(&address)?)
    }

    /// The groups of a service's addresses; a service has at most one group.
    pub(super) fn id_of_service(&self, key: &ServiceKey, world: &World) -> Option<GroupId> {
        let entry = world.service(key)?;
        entry.matched.l2.iter().find_map(|(address, _)| self.id_of(*address))
    }

    pub(super) fn services_on(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        self.by_address.get(&address).into_iter().flatten()
    }

    /// A service got or lost addresses.
    pub(super) fn index(&mut self, key: &ServiceKey, before: &[IpAddr], after: &[IpAddr]) {
        for address in before {
            if let Some(services) = self.by_address.get_mut(address) {
                services.remove(key);
                if services.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
        for address in after {
            self.by_address.entry(*address).or_default().insert(key.clone());
        }
    }

    /// Forms the groups anew around `touched` addresses. Returns the groups that are gone and the names of
    /// those that were formed.
    pub(super) fn regroup(
        &mut self,
        touched: BTreeSet<IpAddr>,
        world: &World,
    ) -> (Vec<(GroupId, Group)>, Vec<GroupId>) {
        let mut gone = Vec::new();
        let mut open = touched;
        let mut formed = Vec::new();
        while let Some(start) = open.pop_first() {
            let mut addresses = BTreeSet::new();
            let mut services = BTreeSet::new();
            let mut frontier = vec![start];
            while let Some(address) = frontier.pop() {
                self.dissolve(address, &mut gone, &mut open);
                if !self.is_layer2(address, world) || !addresses.insert(address) {
                    continue;
                }
                for key in self.services_on(address) {
                    let Some(entry) = world.service(key) else { continue };
                    if services.insert(key.clone()) {
                        frontier.extend(entry.matched.l2.iter().map(|(address, _)| *address));
                    }
                }
            }
            for address in &addresses {
                open.remove(address);
            }
            if let Some(id) = self.form(services, addresses, world) {
                formed.push(id);
            }
        }
        (gone, formed)
    }

    /// Ends the group of an address; its other addresses will have to be looked at too.
    fn dissolve(&mut self, address: IpAddr, gone: &mut Vec<(GroupId, Group)>, open: &mut BTreeSet<IpAddr>) {
        let Some(id) = self.group_of.get(&address).copied() else { return };
        let Some(group) = self.groups.remove(&id) else { return };
        for member in &group.addresses {
            self.group_of.remove(member);
            open.insert(*member);
        }
        gone.push((id, group));
    }

    fn is_layer2(&self, address: IpAddr, world: &World) -> bool {
        let mut services = self.services_on(address).filter_map(|key| world.service(key));
        services.any(|entry| !entry.matched.l2_ads(address).is_empty())
    }

    fn form(
        &mut self,
        services: BTreeSet<ServiceKey>,
        addresses: BTreeSet<IpAddr>,
        world: &World,
    ) -> Option<GroupId> {
        let id = addresses.first().copied()?;
        let mut by_age: Vec<_> =
            services.into_iter().filter_map(|key| Some((world.service(&key)?, key))).collect();
        by_age.sort_by(|(a, a_key), (b, b_key)| (a.fact.created, a_key).cmp(&(b.fact.created, b_key)));
        let key = by_age.first().and_then(|(oldest, _)| oldest.fact.assigned.first().copied()).unwrap_or(id);
        let mut requirement = Requirement::default();
        for (entry, _) in &by_age {
            let wanted = entry.matched.l2.iter().filter(|(address, _)| addresses.contains(address));
            requirement.any_of.extend(wanted.map(|(address, ads)| (Family::of(*address), ads.clone())));
        }
        for address in &addresses {
            self.group_of.insert(*address, id);
        }
        let services = by_age.into_iter().map(|(_, key)| key).collect();
        let outcome = Outcome::Unowned { spokesman: None };
        let key = ElectionKey::new(key);
        self.groups.insert(
            id,
            Group { key, services, addresses, requirement, readiness: Readiness::default(), outcome },
        );
        Some(id)
    }
}

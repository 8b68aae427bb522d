//! What the endpoints of a group ask of a node, by address family.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{Endpoints, Serving, TrafficPolicy};
use crate::keys::{Family, NodeName};

use super::groups::Group;
use super::reasons::Rejection;
use super::world::World;

/// What the endpoints of a group ask of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    v4: FamilyReadiness,
    v6: FamilyReadiness,
    /// Endpoints of services that take traffic only where they are: how many services by node.
    local: BTreeMap<NodeName, usize>,
    /// The group has several services.
    shared: bool,
}

/// The same for the addresses of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FamilyReadiness {
    /// How well services are served that take traffic anywhere.
    anywhere: Serving,
    /// Some service has an endpoint somewhere.
    somewhere: bool,
    /// How well services are served that take traffic only where their endpoints are.
    local: BTreeMap<NodeName, Serving>,
}

impl Readiness {
    /// By what is known of the services of a group.
    pub(super) fn of(group: &Group, world: &World) -> Self {
        let mut readiness = Self { shared: group.services.len() > 1, ..Self::default() };
        for key in &group.services {
            let Some(entry) = world.service(key) else { continue };
            let nowhere = world.without_endpoints.then(|| Endpoints::none(key.clone()));
            let Some(endpoints) = world.endpoints.get(key).or(nowhere.as_ref()) else { continue };
            let addresses = entry.matched.l2.iter().map(|(address, _)| *address);
            let families: BTreeSet<Family> =
                addresses.filter(|address| group.addresses.contains(address)).map(Family::of).collect();
            readiness.add(endpoints, &families, entry.fact.traffic_policy);
            if world.without_endpoints {
                readiness.add_unserved(endpoints, &families);
            }
        }
        readiness
    }

    /// What has no endpoint anywhere counts as served everywhere, worse than what has some.
    fn add_unserved(&mut self, endpoints: &Endpoints, families: &BTreeSet<Family>) {
        for family in families.iter().filter(|family| endpoints.of(**family).anywhere() == Serving::Not) {
            let of_family = match family {
                Family::V4 => &mut self.v4,
                Family::V6 => &mut self.v6,
            };
            of_family.anywhere = of_family.anywhere.max(Serving::Terminating);
        }
    }

    fn add(&mut self, endpoints: &Endpoints, families: &BTreeSet<Family>, policy: TrafficPolicy) {
        let mut nodes = BTreeSet::new();
        for family in families {
            let found = endpoints.of(*family);
            let of_family = match family {
                Family::V4 => &mut self.v4,
                Family::V6 => &mut self.v6,
            };
            let anywhere = found.anywhere();
            of_family.somewhere |= anywhere > Serving::Not;
            match policy {
                TrafficPolicy::Cluster => of_family.anywhere = of_family.anywhere.max(anywhere),
                TrafficPolicy::Local => {
                    for node in found.nodes() {
                        let here = of_family.local.entry(node.clone()).or_default();
                        *here = (*here).max(found.on(node));
                        nodes.insert(node);
                    }
                }
            }
        }
        for node in nodes {
            *self.local.entry(node.clone()).or_default() += 1;
        }
    }

    /// Whether a node can serve an address of some family of the group.
    pub(super) fn check(&self, node: &NodeName) -> Result<(), Rejection> {
        let rejections = [self.v4.check(node), self.v6.check(node)];
        if rejections.iter().any(Result::is_ok) {
            return Ok(());
        }
        rejections.into_iter().max().unwrap_or(Ok(()))
    }

    /// Whether a node can serve addresses of one family of the group.
    pub(super) fn check_family(&self, node: &NodeName, family: Family) -> Result<(), Rejection> {
        match family {
            Family::V4 => self.v4.check(node),
            Family::V6 => self.v6.check(node),
        }
    }

    /// How many families a node can serve, and how many of them by ready endpoints.
    pub(super) fn families_on(&self, node: &NodeName) -> (usize, usize) {
        let serving = [self.v4.on(node), self.v6.on(node)];
        let at_least = |least: Serving| serving.iter().filter(|serving| **serving >= least).count();
        (at_least(Serving::Terminating), at_least(Serving::Ready))
    }

    /// Whether any node can serve an address of the group.
    pub(super) fn is_everywhere(&self) -> bool {
        self.v4.anywhere.max(self.v6.anywhere) > Serving::Not
    }

    /// The nodes with endpoints of services that take traffic only there.
    pub(super) fn local_nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.local.keys()
    }

    /// How many services have an endpoint on a node, where that counts.
    pub(super) fn services_on(&self, node: &NodeName) -> usize {
        if self.shared { self.local.get(node).copied().unwrap_or(0) } else { 0 }
    }
}

impl FamilyReadiness {
    fn on(&self, node: &NodeName) -> Serving {
        self.anywhere.max(self.local.get(node).copied().unwrap_or_default())
    }

    fn check(&self, node: &NodeName) -> Result<(), Rejection> {
        if self.on(node) > Serving::Not {
            return Ok(());
        }
        Err(if self.somewhere { Rejection::NoLocalEndpoint } else { Rejection::NoReadyEndpoint })
    }
}

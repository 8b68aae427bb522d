//! Where the pods of a service are, by address family.

use std::collections::BTreeSet;

use crate::keys::{Family, NodeName, ServiceKey};

/// The endpoints of a service. A service without this fact has none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts")]
pub struct Endpoints {
    /// The service.
    pub service: ServiceKey,
    /// Those that take IPv4.
    pub v4: FamilyEndpoints,
    /// Those that take IPv6.
    pub v6: FamilyEndpoints,
}

/// The endpoints of one address family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts")]
pub struct FamilyEndpoints {
    /// Those that are ready.
    pub ready: Places,
    /// Those on their way out that still answer.
    pub terminating: Places,
}

/// Where endpoints are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts")]
pub struct Places {
    /// Nodes with at least one.
    pub nodes: BTreeSet<NodeName>,
    /// There is one that names no node.
    pub elsewhere: bool,
}

/// How well traffic can be served; better is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "consumers must handle each")]
pub enum Serving {
    /// Not at all.
    #[default]
    Not,
    /// By endpoints on their way out.
    Terminating,
    /// By ready endpoints.
    Ready,
}

impl Endpoints {
    /// None at all.
    #[must_use]
    pub fn none(service: ServiceKey) -> Self {
        Self { service, v4: FamilyEndpoints::default(), v6: FamilyEndpoints::default() }
    }

    /// Ready endpoints that take both families.
    #[must_use]
    pub fn ready(service: ServiceKey, nodes: BTreeSet<NodeName>, elsewhere: bool) -> Self {
        let both = FamilyEndpoints { ready: Places { nodes, elsewhere }, ..FamilyEndpoints::default() };
        Self { service, v4: both.clone(), v6: both }
    }

    /// Those of a family.
    #[must_use]
    pub const fn of(&self, family: Family) -> &FamilyEndpoints {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Those of a family, to change them.
    pub const fn of_mut(&mut self, family: Family) -> &mut FamilyEndpoints {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// How well the service is served anywhere, in its best family.
    #[must_use]
    pub fn anywhere(&self) -> Serving {
        self.v4.anywhere().max(self.v6.anywhere())
    }

    /// All nodes with an endpoint.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<NodeName> {
        Family::BOTH.into_iter().flat_map(|family| self.of(family).nodes()).cloned().collect()
    }
}

impl FamilyEndpoints {
    /// How well traffic can be served when it may go to any endpoint.
    #[must_use]
    pub fn anywhere(&self) -> Serving {
        if self.ready.any() {
            Serving::Ready
        } else if self.terminating.any() {
            Serving::Terminating
        } else {
            Serving::Not
        }
    }

    /// How well traffic can be served by the endpoints on a node.
    #[must_use]
    pub fn on(&self, node: &NodeName) -> Serving {
        if self.ready.nodes.contains(node) {
            Serving::Ready
        } else if self.terminating.nodes.contains(node) {
            Serving::Terminating
        } else {
            Serving::Not
        }
    }

    /// The nodes with an endpoint; one may come twice.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.ready.nodes.iter().chain(&self.terminating.nodes)
    }
}

impl Places {
    fn any(&self) -> bool {
        self.elsewhere || !self.nodes.is_empty()
    }
}

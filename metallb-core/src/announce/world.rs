//! The facts that decisions are made from, and what follows from one service alone.

use std::collections::BTreeMap;

use crate::facts::{Endpoints, Service, TrafficPolicy};
use crate::keys::{NodeName, ServiceKey};

use super::coverage::{Coverage, Matched};
use super::nodes::NodeTable;

/// Everything that is known, apart from decisions.
#[derive(Debug)]
pub(super) struct World {
    pub(super) coverage: Coverage,
    pub(super) nodes: NodeTable,
    pub(super) services: BTreeMap<ServiceKey, Entry>,
    pub(super) endpoints: BTreeMap<ServiceKey, Endpoints>,
}

/// A service with the advertisements for it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) fact: Service,
    pub(super) matched: Matched,
}

impl World {
    pub(super) fn service(&self, key: &ServiceKey) -> Option<&Entry> {
        self.services.get(key)
    }

    /// Whether a service has a ready endpoint for traffic that enters at `node`.
    pub(super) fn is_ready_on(&self, key: &ServiceKey, node: &NodeName) -> bool {
        let Some(entry) = self.services.get(key) else { return false };
        self.endpoints.get(key).is_some_and(|endpoints| match entry.fact.traffic_policy {
            TrafficPolicy::Cluster => endpoints.any_ready(),
            TrafficPolicy::Local => endpoints.nodes.contains(node),
        })
    }
}

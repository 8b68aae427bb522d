//! The facts that decisions are made from, and what follows from one service alone.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::facts::{Endpoints, Service, Serving, TrafficPolicy};
use crate::keys::{Family, NodeName, ServiceKey};

use super::coverage::{Coverage, Matched};
use super::nodes::NodeTable;

/// Everything that is known, apart from decisions. Services are found in O(1); who tells about several of them
/// sorts them first.
#[derive(Debug)]
pub(super) struct World {
    pub(super) coverage: Coverage,
    pub(super) nodes: NodeTable,
    pub(super) services: HashMap<ServiceKey, Entry>,
    pub(super) endpoints: HashMap<ServiceKey, Endpoints>,
    /// What has no endpoint anywhere counts as served everywhere.
    pub(super) without_endpoints: bool,
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

    /// Whether a service can serve some address of its own when traffic enters at `node`.
    pub(super) fn is_ready_on(&self, service: &Entry, node: &NodeName) -> bool {
        let mut addresses = service.matched.l2.iter().map(|(address, _)| *address);
        addresses.any(|address| self.serves(service, address, node))
    }

    /// Whether a service can serve an address of its own when traffic enters at `node`.
    pub(super) fn serves(&self, service: &Entry, address: IpAddr, node: &NodeName) -> bool {
        let Some(endpoints) = self.endpoints.get(&service.fact.key) else { return self.without_endpoints };
        let endpoints = endpoints.of(Family::of(address));
        let nowhere = endpoints.anywhere() == Serving::Not;
        let serving = match service.fact.traffic_policy {
            TrafficPolicy::Cluster => endpoints.anywhere(),
            TrafficPolicy::Local => endpoints.on(node),
        };
        serving > Serving::Not || nowhere && self.without_endpoints
    }
}

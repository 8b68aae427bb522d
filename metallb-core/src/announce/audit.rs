//! Looking at decisions from outside a single node.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

use crate::keys::{NodeName, ServiceKey};

use super::bgp::Bgp;
use super::change::Route;
use super::engine::Engine;
use super::reasons::AnnounceProblem;

/// What one node advertises by BGP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advertised {
    /// The routes of each prefix.
    pub routes: BTreeMap<IpNetwork, Vec<Route>>,
    /// The prefixes advertised for each service.
    pub services: BTreeMap<ServiceKey, Vec<IpNetwork>>,
    /// What is wrong with a service on that node.
    pub problems: BTreeMap<ServiceKey, AnnounceProblem>,
}

impl Engine {
    /// What the speaker on `node` advertises by BGP, when it knows the same facts as this one; computed from
    /// scratch, as of the last evaluation.
    #[must_use]
    pub fn advertised_from(&self, node: &NodeName) -> Advertised {
        let mut bgp = Bgp::default();
        bgp.set_node(node, &self.config, &self.world);
        let all = self.world.services.keys().cloned().collect();
        let prefixes = bgp.offer(&all, node, &self.world);
        let concerned = bgp.merge(&prefixes);
        let mut advertised = Advertised::default();
        for prefix in prefixes {
            let routes = bgp.routes(&prefix);
            if !routes.is_empty() {
                advertised.routes.insert(prefix, routes.to_vec());
            }
        }
        for service in concerned {
            if let Some(conflict) = bgp.conflict_of(&service) {
                advertised.problems.insert(service.clone(), conflict.clone());
            }
            let prefixes: Vec<IpNetwork> = bgp.prefixes_of(&service).into_keys().collect();
            if !prefixes.is_empty() {
                advertised.services.insert(service, prefixes);
            }
        }
        advertised
    }

    /// What is wrong with a service wherever it is told: no node can announce it by Layer 2, or it has no
    /// advertisement. Conflicts among BGP advertisements are in [`Engine::advertised_from`].
    #[must_use]
    pub fn audit(&self, service: &ServiceKey) -> Option<AnnounceProblem> {
        let entry = self.world.service(service)?;
        let layer2 = entry.matched.l2.iter().find_map(|(address, _)| {
            let group = self.layer2.groups.of(*address).filter(|group| group.outcome.owner().is_none())?;
            let (nodes, rule) = self.layer2.closest_rejection(group)?;
            Some(AnnounceProblem::NoCandidate { address: *address, nodes, rule })
        });
        layer2.or_else(|| Some(AnnounceProblem::NoAdvertisement { address: entry.matched.unadvertised()? }))
    }
}

//! The whole chain of decisions about one service, with the reason for each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::election::Standing;
use crate::facts::{Endpoints, FamilyEndpoints, Serving};
use crate::keys::{AdvertisementName, Family, NodeName, PeerName, PoolName, ServiceKey};

use super::change::InterfaceScope;
use super::coverage::AdId;
use super::engine::Engine;
use super::l2::{Verdict, decision};
use super::reasons::{AnnounceProblem, Decision, Rejection};

/// Everything that decides how a service is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The service.
    pub service: ServiceKey,
    /// Nodes with a ready endpoint.
    pub ready_nodes: BTreeSet<NodeName>,
    /// It has a ready endpoint for traffic that enters at this node.
    pub ready_here: bool,
    /// Each of its addresses.
    pub addresses: Vec<AddressExplanation>,
    /// What this node says about it.
    pub problem: Option<AnnounceProblem>,
}

/// How one address of a service is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressExplanation {
    /// The address.
    pub address: IpAddr,
    /// Its pool; an address of no pool is not announced.
    pub pool: Option<PoolName>,
    /// Other services that have it too.
    pub shared_with: Vec<ServiceKey>,
    /// Layer 2.
    pub layer2: Layer2Explanation,
    /// BGP, from this node.
    pub bgp: BgpExplanation,
}

/// An advertisement of an address's pool, and whether it is for the service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdvertisementExplanation {
    /// The advertisement.
    pub name: AdvertisementName,
    /// It selects the service.
    pub selects_service: bool,
    /// It selects this node.
    pub selects_this_node: bool,
}

/// The election for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layer2Explanation {
    /// The Layer 2 advertisements of the pool.
    pub advertisements: Vec<AdvertisementExplanation>,
    /// The services that must be announced by the same node, oldest first.
    pub group: Vec<ServiceKey>,
    /// What the hash order is computed from.
    pub key: Option<IpAddr>,
    /// Who announces it.
    pub owner: Option<NodeName>,
    /// Why that node.
    pub decision: Option<Decision>,
    /// Every node's standing, best first.
    pub nodes: Vec<NodeVerdict>,
    /// The interfaces on which this node announces it; `None` when it does not.
    pub announced_on: Option<InterfaceScope>,
}

/// One node's standing in an election.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeVerdict {
    /// The node.
    pub node: NodeName,
    /// Why it is no candidate.
    pub rejection: Option<Rejection>,
    /// What a candidate is compared by before the hash.
    pub standing: Standing,
}

/// What this node advertises for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BgpExplanation {
    /// Why this node advertises nothing for the service.
    pub rejection: Option<Rejection>,
    /// The BGP advertisements of the pool.
    pub advertisements: Vec<AdvertisementExplanation>,
    /// The prefixes that cover the address, with the peers that are told.
    pub prefixes: BTreeMap<IpNetwork, BTreeSet<PeerName>>,
}

impl Engine {
    /// Explains how a service is announced, as of the last evaluation; `None` when it is not known.
    #[must_use]
    pub fn explain(&self, service: &ServiceKey) -> Option<Explanation> {
        let entry = self.world.service(service)?;
        let endpoints = self.world.endpoints.get(service);
        Some(Explanation {
            service: service.clone(),
            ready_nodes: endpoints.map(Endpoints::nodes).unwrap_or_default(),
            ready_here: self.world.is_ready_on(entry, &self.this),
            addresses: entry
                .fact
                .assigned
                .iter()
                .map(|address| self.explain_address(service, *address))
                .collect(),
            problem: self.problem(service).cloned(),
        })
    }

    fn explain_address(&self, service: &ServiceKey, address: IpAddr) -> AddressExplanation {
        let fact = self.world.service(service).map(|entry| &entry.fact);
        let pool = fact.and_then(|fact| self.world.coverage.pool_of(address, fact));
        let others = self.layer2.groups.services_on(address).filter(|other| *other != service);
        AddressExplanation {
            address,
            pool: pool.cloned(),
            shared_with: others.cloned().collect(),
            layer2: self.explain_layer2(service, address, pool),
            bgp: self.explain_bgp(service, address, pool),
        }
    }

    fn explain_layer2(
        &self,
        service: &ServiceKey,
        address: IpAddr,
        pool: Option<&PoolName>,
    ) -> Layer2Explanation {
        let coverage = &self.world.coverage;
        let ids = pool.map_or(&[][..], |pool| coverage.l2_of_pool(pool));
        let node = self.world.nodes.fact(&self.this);
        let labels = self.world.service(service).map(|entry| &entry.fact.labels);
        let mut explanation = Layer2Explanation {
            advertisements: sorted(ids.iter().filter_map(|id| coverage.l2(*id)).map(|ad| {
                AdvertisementExplanation {
                    name: ad.name.clone(),
                    selects_service: labels.is_some_and(|labels| ad.selects_service(labels)),
                    selects_this_node: node.is_some_and(|node| ad.selects_node(&node.labels)),
                }
            })),
            announced_on: self.announced_on(address).cloned(),
            ..Layer2Explanation::default()
        };
        if let Some(group) = self.layer2.groups.of(address) {
            let verdicts = self.layer2.verdicts(group);
            let mut ranks = verdicts.iter().filter_map(|verdict| verdict.result.as_ref().ok());
            explanation.decision = ranks.next().map(|winner| decision(winner, ranks.next()));
            explanation.group.clone_from(&group.services);
            explanation.key = Some(group.key.address());
            explanation.owner = group.outcome.owner().cloned();
            explanation.nodes = verdicts.into_iter().map(NodeVerdict::from).collect();
        }
        explanation
    }

    fn explain_bgp(&self, service: &ServiceKey, address: IpAddr, pool: Option<&PoolName>) -> BgpExplanation {
        let coverage = &self.world.coverage;
        let ids: &[AdId] = pool.map_or(&[], |pool| coverage.bgp_of_pool(pool));
        let node = self.world.nodes.fact(&self.this);
        let entry = self.world.service(service);
        let labels = entry.map(|entry| &entry.fact.labels);
        let ready = entry.is_some_and(|entry| self.world.serves(entry, address, &self.this));
        let not_ready = || (!ready).then(|| self.not_ready(service, address));
        let mut prefixes = self.bgp.prefixes_of(service);
        prefixes.retain(|prefix, _| prefix.contains(address));
        BgpExplanation {
            rejection: self.bgp.rejection.or_else(not_ready),
            advertisements: sorted(ids.iter().filter_map(|id| coverage.bgp(*id)).map(|ad| {
                AdvertisementExplanation {
                    name: ad.name.clone(),
                    selects_service: labels.is_some_and(|labels| ad.selects_service(labels)),
                    selects_this_node: node.is_some_and(|node| ad.selects_node(&node.labels)),
                }
            })),
            prefixes,
        }
    }

    fn not_ready(&self, service: &ServiceKey, address: IpAddr) -> Rejection {
        let endpoints = self.world.endpoints.get(service).map(|found| found.of(Family::of(address)));
        match endpoints.map(FamilyEndpoints::anywhere) {
            Some(Serving::Ready | Serving::Terminating) => Rejection::NoLocalEndpoint,
            Some(Serving::Not) | None => Rejection::NoReadyEndpoint,
        }
    }
}

impl From<Verdict> for NodeVerdict {
    fn from(Verdict { node, result }: Verdict) -> Self {
        match result {
            Ok(rank) => Self { node, rejection: None, standing: rank.standing },
            Err(rejection) => Self { node, rejection: Some(rejection), standing: Standing::default() },
        }
    }
}

fn sorted(advertisements: impl Iterator<Item = AdvertisementExplanation>) -> Vec<AdvertisementExplanation> {
    let mut advertisements: Vec<_> = advertisements.collect();
    advertisements.sort_by(|a, b| a.name.cmp(&b.name));
    advertisements
}

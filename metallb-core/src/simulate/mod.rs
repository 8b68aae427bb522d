//! What a configuration would do, without doing it.
//!
//! [`simulate`] lets the allocator and the announcement engine work on a [`Situation`] and returns who gets
//! which address and who announces it. [`diff`] says what would change between two outcomes.
//!
//! ```
//! use metallb_core::config::{Config, Input, L2AdvertisementInput, Meta, PoolInput};
//! use metallb_core::facts::{Demand, Node, Request, Service};
//! use metallb_core::keys::{Created, Family, NodeName, ServiceKey};
//! use metallb_core::select::Labels;
//! use metallb_core::simulate::{Situation, diff, simulate};
//! use std::sync::Arc;
//!
//! let configured = |addresses: &str| {
//!     let meta = Meta::new("web", Created(0));
//!     let pool = PoolInput { meta: meta.clone(), addresses: vec![addresses.into()], ..PoolInput::default() };
//!     let lan = L2AdvertisementInput { meta, ..L2AdvertisementInput::default() };
//!     let input = Input { pools: vec![pool], l2_advertisements: vec![lan], ..Input::default() };
//!     Arc::new(Config::build(&input, &Config::default()).config)
//! };
//! let key = ServiceKey::new("default", "shop");
//! let mut situation = Situation::new(configured("192.0.2.0/24"));
//! situation.nodes.push(Node::new(NodeName::new("node-a"), Labels::new()));
//! let wish = Demand::Addresses(Request::single(Family::V4));
//! situation.services.push(Service::new(key.clone(), Created(0), wish));
//!
//! let now = std::time::Instant::now();
//! let before = simulate(now, &situation);
//! assert_eq!(before.services[&key].addresses, ["192.0.2.0".parse::<std::net::IpAddr>()?]);
//!
//! // The same services, as they are now, with another pool: the address moves.
//! situation.services = before.adopted(&situation.services);
//! situation.config = configured("198.51.100.0/24");
//! let after = simulate(now, &situation);
//! for difference in diff(&before, &after) {
//!     println!("{difference}");
//! }
//! # assert_eq!(diff(&before, &after).len(), 3);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod diff;

pub use diff::{Difference, diff};

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnetwork::IpNetwork;

use crate::announce::{self, AnnounceProblem, Engine, Route};
use crate::config::{Config, ConfigError, Kind, ObjectId};
use crate::facts::{AddressOwner, Endpoints, Namespace, Node, Service};
use crate::ipam::{self, Action, Assigner, Report, Usage};
use crate::keys::{NodeName, PoolName, ServiceKey};

/// A configuration and the cluster it is for.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Situation {
    /// The configuration.
    pub config: Arc<Config>,
    /// The nodes; on each a speaker is taken to live.
    pub nodes: Vec<Node>,
    /// The namespaces; one that is missing has no labels.
    pub namespaces: Vec<Namespace>,
    /// The services, with the addresses they have already.
    pub services: Vec<Service>,
    /// Their ready endpoints. A service that is missing here is taken to be ready on every node.
    pub endpoints: Vec<Endpoints>,
    /// Settings of the allocator.
    pub allocation: ipam::Options,
    /// Settings of the speakers. Their liveness is not used: all live.
    pub announcement: announce::Options,
}

impl Situation {
    /// A configuration without a cluster.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        Self { config, ..Self::default() }
    }
}

/// What a configuration does in a situation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Every service.
    pub services: BTreeMap<ServiceKey, ServiceOutcome>,
    /// The use of every pool.
    pub pools: BTreeMap<PoolName, Usage>,
    /// What is to be said about pools beside what [`Config::build`] said: that they contain addresses of others.
    pub warnings: Vec<ConfigError>,
    /// The routes that each node advertises.
    pub routes: BTreeMap<NodeName, BTreeMap<IpNetwork, Vec<Route>>>,
}

/// What becomes of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceOutcome {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The pools they come from.
    pub pools: Vec<PoolName>,
    /// What the allocator has to say about it.
    pub reports: Vec<Report>,
    /// The owner of each address that is announced by Layer 2.
    pub owners: BTreeMap<IpAddr, NodeName>,
    /// The prefixes that each node advertises for it.
    pub prefixes: BTreeMap<NodeName, Vec<IpNetwork>>,
    /// Why it is not announced as it should be.
    pub problems: Vec<AnnounceProblem>,
}

impl Outcome {
    /// The services with the addresses of this outcome: the starting point of the next simulation.
    #[must_use]
    pub fn adopted(&self, services: &[Service]) -> Vec<Service> {
        let adopt = |service: &Service| {
            let mut service = service.clone();
            if let Some(outcome) = self.services.get(&service.key) {
                service.assigned.clone_from(&outcome.addresses);
                service.recorded_pools.clone_from(&outcome.pools);
            }
            service
        };
        services.iter().map(adopt).collect()
    }
}

/// Lets a configuration work. `now` is the time of the simulation; any will do.
#[must_use]
pub fn simulate(now: Instant, situation: &Situation) -> Outcome {
    let mut outcome = Outcome::default();
    let mut services: BTreeMap<ServiceKey, Service> =
        situation.services.iter().map(|service| (service.key.clone(), service.clone())).collect();
    for key in services.keys() {
        outcome.services.insert(key.clone(), ServiceOutcome::default());
    }
    assign(now, situation, &mut services, &mut outcome);
    for (key, service) in &services {
        if let Some(entry) = outcome.services.get_mut(key) {
            entry.addresses.clone_from(&service.assigned);
            entry.pools.clone_from(&service.recorded_pools);
        }
    }
    announce(situation, services, &mut outcome);
    outcome
}

fn assign(
    now: Instant,
    situation: &Situation,
    services: &mut BTreeMap<ServiceKey, Service>,
    outcome: &mut Outcome,
) {
    let mut assigner = Assigner::new(situation.allocation);
    assigner.set_config(now, Arc::clone(&situation.config));
    for namespace in &situation.namespaces {
        assigner.apply_namespace(namespace.clone());
    }
    for node in &situation.nodes {
        assigner.reserve(now, &AddressOwner::Node(node.name.clone()), &node.own_addresses());
    }
    for service in services.values() {
        assigner.apply_service(now, service.clone());
    }
    assigner.start(now);
    while let Some(action) = assigner.poll_action() {
        match action {
            Action::Assign { service, addresses, pools } => {
                if let Some(fact) = services.get_mut(&service) {
                    fact.assigned = addresses;
                    fact.recorded_pools = pools;
                    assigner.apply_service(now, fact.clone());
                }
            }
            Action::Clear { service, .. } => {
                if let Some(fact) = services.get_mut(&service) {
                    fact.assigned.clear();
                    fact.recorded_pools.clear();
                    assigner.apply_service(now, fact.clone());
                }
            }
            Action::Report { service, report } => {
                if let Some(entry) = outcome.services.get_mut(&service) {
                    entry.reports.push(report);
                }
            }
            Action::Usage { pool, usage } => {
                outcome.pools.insert(pool, usage);
            }
        }
    }
    let owned = situation.config.pools().keys().filter_map(|pool| {
        let object = ObjectId::new(Kind::Pool, pool.as_str());
        Some(ConfigError::warning(object, "spec.addresses", assigner.owned_in(pool)?))
    });
    outcome.warnings = owned.collect();
}

fn announce(situation: &Situation, services: BTreeMap<ServiceKey, Service>, outcome: &mut Outcome) {
    let this = situation.nodes.first().map_or_else(|| NodeName::new(""), |node| node.name.clone());
    let options = situation.announcement.with_liveness(announce::Liveness::Everyone);
    let mut engine = Engine::new(this, options);
    engine.set_config(Arc::clone(&situation.config));
    for node in &situation.nodes {
        engine.apply_node(node.clone());
    }
    let everywhere: BTreeSet<NodeName> = situation.nodes.iter().map(|node| node.name.clone()).collect();
    for (key, service) in services {
        engine.apply_service(service);
        engine.apply_endpoints(Endpoints::ready(key, everywhere.clone(), true));
    }
    for endpoints in &situation.endpoints {
        engine.apply_endpoints(endpoints.clone());
    }
    drop(engine.evaluate());
    for (key, entry) in &mut outcome.services {
        let owner = |address: &IpAddr| Some((*address, engine.layer2_owner(*address)?.clone()));
        entry.owners = entry.addresses.iter().filter_map(owner).collect();
        entry.problems.extend(engine.audit(key));
    }
    for node in &situation.nodes {
        let advertised = engine.advertised_from(&node.name);
        for (key, prefixes) in advertised.services {
            if let Some(entry) = outcome.services.get_mut(&key) {
                entry.prefixes.insert(node.name.clone(), prefixes);
            }
        }
        for (key, problem) in advertised.problems {
            let entry = outcome.services.get_mut(&key).filter(|entry| !entry.problems.contains(&problem));
            if let Some(entry) = entry {
                entry.problems.push(problem);
            }
        }
        outcome.routes.insert(node.name.clone(), advertised.routes);
    }
}

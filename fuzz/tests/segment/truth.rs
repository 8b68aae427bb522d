//! What the API server says, and what a speaker that knows it would decide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use metallb_core::announce::{self, Liveness};
use metallb_core::config::{Config, Input, L2AdvertisementInput, Meta, PoolInput};
use metallb_core::facts::{Demand, Endpoints, Node, Request, Service, TrafficPolicy};
use metallb_core::keys::{Created, Family, NodeName, ServiceKey};
use metallb_core::membership::View;
use metallb_core::select::{Labels, SelectorInput};
use metallb_core::speaker::{Options, Speaker};

/// Everything that the API server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Newer ones have a greater one.
    pub(crate) version: u64,
    pub(crate) size: usize,
    pub(crate) services: BTreeMap<u8, Backends>,
    /// Nodes with the exclude label.
    pub(crate) excluded: BTreeSet<usize>,
    /// The advertisement is only for nodes of this parity.
    pub(crate) parity: Option<usize>,
}

/// Where the endpoints of a service are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backends {
    /// Anywhere, and traffic is passed on to them.
    Anywhere,
    /// On these nodes, and traffic has to enter there.
    Local(BTreeSet<usize>),
}

pub(crate) fn name(index: usize) -> NodeName {
    NodeName::new(format!("node-{index:03}"))
}

pub(crate) fn index_of(name: &NodeName) -> usize {
    name.as_str().strip_prefix("node-").unwrap().parse().unwrap()
}

pub(crate) fn service_address(service: u8) -> IpAddr {
    [192, 0, 2, service].into()
}

fn key(service: u8) -> ServiceKey {
    ServiceKey::new("default", format!("web-{service}"))
}

impl Truth {
    pub(crate) fn new(size: usize, services: u8) -> Self {
        let services = (1..=services).map(|service| (service, Backends::Anywhere)).collect();
        Self { version: 0, size, services, excluded: BTreeSet::new(), parity: None }
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.services.keys().map(|service| service_address(*service))
    }

    /// Has a speaker that knows `before` know this.
    pub(crate) fn apply(&self, before: Option<&Self>, speaker: &mut Speaker) {
        if before.is_none_or(|before| before.parity != self.parity) {
            speaker.set_config(self.config());
        }
        for node in 0..self.size {
            speaker.apply_node(self.node(node));
        }
        for gone in before.into_iter().flat_map(|before| before.services.keys()) {
            if !self.services.contains_key(gone) {
                speaker.remove_service(&key(*gone));
                speaker.remove_endpoints(&key(*gone));
            }
        }
        for (service, backends) in &self.services {
            let (service, endpoints) = facts(*service, backends);
            speaker.apply_service(service);
            speaker.apply_endpoints(endpoints);
        }
    }

    /// The owner of each address among these nodes.
    pub(crate) fn owners(&self, members: &BTreeSet<usize>) -> BTreeMap<IpAddr, usize> {
        // Somebody who only looks.
        let mut speaker = Speaker::new(NodeName::new("observer"), options());
        self.apply(None, &mut speaker);
        speaker.complete_facts();
        speaker.set_interfaces(BTreeMap::new());
        let mut view = View::default();
        view.settled = true;
        view.members = members.iter().map(|member| name(*member)).collect();
        speaker.set_view(crate::segment::base(), view);
        // Nobody's interfaces are told: everybody has what is needed.
        speaker.evaluate(crate::segment::base());
        let owner = |address| speaker.engine().layer2_owner(address).map(|owner| (address, index_of(owner)));
        self.addresses().filter_map(owner).collect()
    }

    fn node(&self, index: usize) -> Node {
        let parity = if index.is_multiple_of(2) { "even" } else { "odd" };
        let labels: Labels = [("parity", parity)].into_iter().collect();
        let mut node = Node::new(name(index), labels);
        node.excluded = self.excluded.contains(&index);
        node
    }

    fn config(&self) -> Arc<Config> {
        let meta = Meta::new("lan", Created(0));
        let selector = |parity: usize| SelectorInput {
            match_labels: vec![("parity".into(), if parity == 0 { "even" } else { "odd" }.into())],
            ..SelectorInput::default()
        };
        let advertisement = L2AdvertisementInput {
            meta: meta.clone(),
            node_selectors: self.parity.map(selector).into_iter().collect(),
            ..L2AdvertisementInput::default()
        };
        let addresses = vec!["192.0.2.0/24".to_owned()];
        let input = Input {
            pools: vec![PoolInput { meta, addresses, ..PoolInput::default() }],
            l2_advertisements: vec![advertisement],
            ..Input::default()
        };
        Arc::new(Config::build(&input, &Config::default()).config)
    }
}

fn facts(service: u8, backends: &Backends) -> (Service, Endpoints) {
    let demand = Demand::Addresses(Request::single(Family::V4));
    let mut fact = Service::new(key(service), Created(0), demand);
    fact.assigned = vec![service_address(service)];
    let endpoints = match backends {
        Backends::Anywhere => Endpoints::ready(key(service), BTreeSet::new(), true),
        Backends::Local(nodes) => {
            fact.traffic_policy = TrafficPolicy::Local;
            Endpoints::ready(key(service), nodes.iter().map(|node| name(*node)).collect(), false)
        }
    };
    (fact, endpoints)
}

pub(crate) fn options() -> Options {
    let announce = announce::Options::default().with_liveness(Liveness::Members);
    Options::new(announce, "test")
}

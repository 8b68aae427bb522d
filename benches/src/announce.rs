//! An announcement engine of a real cluster: services with two endpoints each, 100 nodes, three BGP peers, as known
//! to one of the nodes.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop when its input is wrong")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use metallb_core::announce::{Engine, Liveness, Options};
use metallb_core::config::{
    BgpAdvertisementInput, Config, Input, L2AdvertisementInput, Meta, PeerInput, PoolInput,
};
use metallb_core::facts::{Demand, Endpoints, Node, Request, Service};
use metallb_core::keys::{Created, Family, NodeName, ServiceKey};
use metallb_core::select::Labels;

use crate::operation::Batch;

/// How many nodes there are, unless said otherwise.
pub const NODES: u32 = 100;
/// The service that changes.
pub const CHANGING: u32 = 77;

/// How addresses are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By ARP and NDP.
    Layer2,
    /// To three routers.
    Bgp,
    /// To three routers, all addresses as one prefix.
    BgpAggregated,
}

fn meta(name: &str) -> Meta {
    Meta::new(name, Created(0))
}

fn config(way: Way) -> Arc<Config> {
    let mut input = Input::default();
    let addresses = vec!["10.0.0.0/8".into()];
    input.pools.push(PoolInput { meta: meta("web"), addresses, ..PoolInput::default() });
    match way {
        Way::Layer2 => {
            let advertisement = L2AdvertisementInput { meta: meta("lan"), ..L2AdvertisementInput::default() };
            input.l2_advertisements.push(advertisement);
        }
        Way::Bgp | Way::BgpAggregated => {
            let mut advertisement =
                BgpAdvertisementInput { meta: meta("all"), ..BgpAdvertisementInput::default() };
            if way == Way::BgpAggregated {
                advertisement.aggregation_length = Some(8);
            }
            input.bgp_advertisements.push(advertisement);
            input.peers.extend((1..=3).map(|number: u8| PeerInput {
                meta: meta(&format!("router-{number}")),
                my_asn: 64_512,
                peer_asn: Some(64_513),
                address: Some(format!("192.0.2.{number}")),
                ..PeerInput::default()
            }));
        }
    }
    let built = Config::build(&input, &Config::default());
    assert!(built.errors.is_empty(), "{:?}", built.errors);
    Arc::new(built.config)
}

/// Name of a node; number 0 is this one.
pub fn node(number: u32) -> NodeName {
    NodeName::new(format!("node-{number:03}.example.internal"))
}

fn key(number: u32) -> ServiceKey {
    ServiceKey::new(format!("team-{}", number % 50), format!("service-{number}"))
}

/// A service with its address.
pub fn service(number: u32) -> Service {
    let wish = Demand::Addresses(Request::single(Family::V4));
    let mut service = Service::new(key(number), Created(number.into()), wish);
    service.assigned = vec![IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))];
    service
}

/// The endpoints of a service, at nodes.
pub fn endpoints(number: u32, at: &[u32]) -> Endpoints {
    let nodes = at.iter().map(|node_number| node(*node_number)).collect();
    Endpoints::ready(key(number), nodes, false)
}

/// An engine that has been told everything about so many services and nodes, and has evaluated nothing.
pub fn told(services: u32, nodes: u32, way: Way) -> Engine {
    let mut engine = Engine::new(node(0), Options::default().with_liveness(Liveness::Members));
    engine.set_config(config(way));
    engine.set_members((0..nodes).map(node).collect());
    for number in 0..nodes {
        engine.apply_node(Node::new(node(number), Labels::new()));
    }
    for number in 0..services {
        engine.apply_service(service(number));
        engine.apply_endpoints(endpoints(number, &[number % nodes, (number + 1) % nodes]));
    }
    engine
}

/// The same, all of it evaluated.
pub fn evaluated(services: u32, nodes: u32, way: Way) -> Engine {
    let mut engine = told(services, nodes, way);
    assert!(!engine.evaluate().is_empty());
    engine
}

/// Facts as they come from the API: each is a value of its own, made before anything is counted.
struct Told<F> {
    engine: Engine,
    facts: Vec<Vec<F>>,
    apply: fn(&mut Engine, F),
}

impl<F> Told<F> {
    /// Enough of the facts for `BATCHES` batches.
    fn new(engine: Engine, operations: u32, fact: impl Fn(u32) -> F, apply: fn(&mut Engine, F)) -> Self {
        let facts = (0..BATCHES).map(|_| (0..operations).map(&fact).collect()).collect();
        Self { engine, facts, apply }
    }
}

impl<F> Batch for Told<F> {
    fn run(&mut self) {
        for fact in self.facts.pop().unwrap() {
            (self.apply)(&mut self.engine, fact);
            black_box(self.engine.evaluate());
        }
    }
}

/// How often a batch of facts can be told: to warm up, and to be counted.
const BATCHES: u32 = 2;

/// The service that changes, with labels that differ from turn to turn.
pub fn relabelled(turn: u32) -> Service {
    let mut changed = service(CHANGING);
    changed.labels = [("turn", if turn.is_multiple_of(2) { "even" } else { "odd" })].into_iter().collect();
    changed
}

fn endpoints_change(services: u32, operations: u32, way: Way) -> Box<dyn Batch> {
    let fact = |turn| endpoints(CHANGING, &[turn % NODES]);
    Box::new(Told::new(evaluated(services, NODES, way), operations, fact, Engine::apply_endpoints))
}

fn labels_change(services: u32, operations: u32, way: Way) -> Box<dyn Batch> {
    Box::new(Told::new(evaluated(services, NODES, way), operations, relabelled, Engine::apply_service))
}

/// One service's endpoints move, announced on layer 2.
pub(crate) fn endpoints_layer2(services: u32, operations: u32) -> Box<dyn Batch> {
    endpoints_change(services, operations, Way::Layer2)
}

/// One service's endpoints move, announced by BGP.
pub(crate) fn endpoints_bgp(services: u32, operations: u32) -> Box<dyn Batch> {
    endpoints_change(services, operations, Way::Bgp)
}

/// One service's labels change, announced on layer 2.
pub(crate) fn labels_layer2(services: u32, operations: u32) -> Box<dyn Batch> {
    labels_change(services, operations, Way::Layer2)
}

/// One service's labels change, announced by BGP.
pub(crate) fn labels_bgp(services: u32, operations: u32) -> Box<dyn Batch> {
    labels_change(services, operations, Way::Bgp)
}

/// A node dies and all its elections are held.
pub(crate) fn node_death(services: u32, operations: u32) -> Box<dyn Batch> {
    let all: BTreeSet<NodeName> = (0..NODES).map(node).collect();
    let mut fewer = all.clone();
    fewer.remove(&node(57));
    let fact = |_| [fewer.clone(), all.clone()];
    let engine = evaluated(services, NODES, Way::Layer2);
    Box::new(Told::new(engine, operations, fact, |engine, [fewer, all]| {
        engine.set_members(fewer);
        black_box(engine.evaluate());
        engine.set_members(all);
    }))
}

//! Properties of the announcement engine under any sequence of facts.
#![expect(clippy::expect_used, reason = "a property that does not hold has to panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use metallb_core::announce::{Engine, Liveness, Options};
use metallb_core::config::{
    BgpAdvertisementInput, Config, Input, L2AdvertisementInput, Meta, PeerInput, PoolInput,
};
use metallb_core::facts::{Demand, Endpoints, Interface, Node, Request, Service, TrafficPolicy};
use metallb_core::keys::{Created, Family, InterfaceName, NodeName, ServiceKey};
use metallb_core::select::SelectorInput;

/// Any sequence of facts, evaluated at any moments: two nodes that know the same agree on every owner, only
/// the owner announces, and what was told in portions is what is told at once.
///
/// # Panics
/// When one of these does not hold.
pub fn facts(data: &[u8]) {
    let mut source = Source(data);
    let mut facts: Vec<Fact> = Vec::new();
    let mut engines = [engine(0), engine(1)];
    while !source.0.is_empty() {
        let fact = source.fact();
        for engine in &mut engines {
            fact.tell(engine);
        }
        if source.octet().is_multiple_of(2) {
            for engine in &mut engines {
                drop(engine.evaluate());
            }
        }
        facts.push(fact);
    }
    let [a, b] = &mut engines;
    drop(a.evaluate());
    drop(b.evaluate());
    for address in ADDRESSES.map(|text| text.parse::<IpAddr>().expect("it is an address")) {
        let owner = a.layer2_owner(address);
        assert_eq!(owner, b.layer2_owner(address), "{address}");
        assert!(a.announced_on(address).is_none() || owner == Some(&node(0)));
        assert!(b.announced_on(address).is_none() || owner == Some(&node(1)));
    }
    let mut at_once = engine(0);
    for fact in &facts {
        fact.tell(&mut at_once);
    }
    drop(at_once.evaluate());
    assert_eq!(a.everything(), at_once.everything());
}

fn engine(number: usize) -> Engine {
    Engine::new(node(number), Options::default().with_liveness(Liveness::Members))
}

fn node(number: usize) -> NodeName {
    NodeName::new(format!("node-{}", number % 3))
}

const ADDRESSES: [&str; 5] = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1", "203.0.113.9"];

enum Fact {
    Config(Arc<Config>),
    Service(Service),
    NoService(ServiceKey),
    Endpoints(Endpoints),
    NoEndpoints(ServiceKey),
    Node(Node),
    NoNode(NodeName),
    Members(BTreeSet<NodeName>),
    Interfaces(NodeName, BTreeMap<InterfaceName, Interface>),
}

impl Fact {
    fn tell(&self, engine: &mut Engine) {
        match self {
            Self::Config(config) => engine.set_config(Arc::clone(config)),
            Self::Service(service) => engine.apply_service(service.clone()),
            Self::NoService(key) => engine.remove_service(key),
            Self::Endpoints(endpoints) => engine.apply_endpoints(endpoints.clone()),
            Self::NoEndpoints(key) => engine.remove_endpoints(key),
            Self::Node(node) => engine.apply_node(node.clone()),
            Self::NoNode(name) => engine.remove_node(name),
            Self::Members(members) => engine.set_members(members.clone()),
            Self::Interfaces(name, interfaces) => engine.set_interfaces(name.clone(), interfaces.clone()),
        }
    }
}

/// Takes values from the input; zeros when it is used up.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.octet()) % bound
    }

    fn fact(&mut self) -> Fact {
        match self.octet() % 12 {
            0 => Fact::Config(self.config()),
            1..=3 => Fact::Service(self.service()),
            4 => Fact::NoService(self.key()),
            5 | 6 => {
                let (service, nodes) = (self.key(), self.nodes());
                Fact::Endpoints(Endpoints::ready(service, nodes, self.octet().is_multiple_of(8)))
            }
            7 => Fact::NoEndpoints(self.key()),
            8 => Fact::Node(self.node()),
            9 => Fact::NoNode(node(self.below(3))),
            10 => Fact::Members(self.nodes()),
            _ => {
                let names = [("eth0", 1, 4), ("eth1", 2, 8)];
                let bits = self.octet();
                let has = names.iter().filter(|(_, bit, _)| bits & bit != 0);
                let interface = |limit| Interface { ipv4_only: bits & limit != 0, ..Interface::default() };
                let interfaces = has.map(|(name, _, limit)| (InterfaceName::new(*name), interface(limit)));
                Fact::Interfaces(node(self.below(3)), interfaces.collect())
            }
        }
    }

    fn key(&mut self) -> ServiceKey {
        ServiceKey::new("default", format!("s{}", self.below(4)))
    }

    fn nodes(&mut self) -> BTreeSet<NodeName> {
        let bits = self.octet();
        (0..3).filter(|number| bits & (1 << number) != 0).map(node).collect()
    }

    fn node(&mut self) -> Node {
        let (name, bits) = (node(self.below(3)), self.octet());
        let zone = if bits & 1 == 0 { "x" } else { "y" };
        Node {
            network_unavailable: bits & 0x0e == 0x0e,
            excluded: bits & 0x10 != 0,
            control_plane: bits & 0x20 != 0,
            out_of_service: bits & 0xc0 == 0xc0,
            ..Node::new(name, [("zone", zone)].into_iter().collect())
        }
    }

    fn service(&mut self) -> Service {
        let (key, bits, chosen) = (self.key(), self.octet(), self.octet());
        let wish = Demand::Addresses(Request::single(Family::V4));
        let demand = if bits & 0xf0 == 0xf0 { Demand::None } else { wish };
        let mut service = Service::new(key, Created((bits & 1).into()), demand);
        let chosen = ADDRESSES.iter().enumerate().filter(|(index, _)| chosen & (1 << index) != 0);
        service.assigned = chosen.filter_map(|(_, text)| text.parse().ok()).take(2).collect();
        if bits & 2 != 0 {
            service.traffic_policy = TrafficPolicy::Local;
        }
        let app = if bits & 4 == 0 { "web" } else { "db" };
        service.labels = [("app", app)].into_iter().collect();
        service
    }

    fn config(&mut self) -> Arc<Config> {
        let (l2, bgp) = (self.octet(), self.octet());
        let meta = |name: &str| Meta::new(name, Created(0));
        let select = |key: &str, value: &str| {
            vec![SelectorInput { match_labels: vec![(key.into(), value.into())], ..SelectorInput::default() }]
        };
        let lan = |name: &str| L2AdvertisementInput { meta: meta(name), ..L2AdvertisementInput::default() };
        let all = |name: &str| BgpAdvertisementInput { meta: meta(name), ..BgpAdvertisementInput::default() };
        let menu = [
            lan("all"),
            L2AdvertisementInput { node_selectors: select("zone", "x"), ..lan("x") },
            L2AdvertisementInput { service_selectors: select("app", "web"), ..lan("web") },
            L2AdvertisementInput { interfaces: vec!["eth1".into()], ..lan("eth1") },
        ];
        let routes = [
            all("all"),
            BgpAdvertisementInput { aggregation_length: Some(24), ..all("aggregated") },
            BgpAdvertisementInput {
                local_pref: Some(7),
                service_selectors: select("app", "db"),
                ..all("db")
            },
        ];
        let mut input = Input::default();
        for (name, addresses) in
            [("a", ["192.0.2.0/24", "2001:db8::/64"]), ("b", ["198.51.100.0/25", "198.51.100.128/25"])]
        {
            let addresses = addresses.map(str::to_owned).to_vec();
            input.pools.push(PoolInput { meta: meta(name), addresses, ..PoolInput::default() });
        }
        let chosen = |bits: u8, index: usize| bits & (1 << index) != 0;
        input
            .l2_advertisements
            .extend(menu.into_iter().enumerate().filter(|(i, _)| chosen(l2, *i)).map(|(_, ad)| ad));
        input
            .bgp_advertisements
            .extend(routes.into_iter().enumerate().filter(|(i, _)| chosen(bgp, *i)).map(|(_, ad)| ad));
        input.peers.push(PeerInput {
            meta: meta("router"),
            my_asn: 64_512,
            peer_asn: Some(64_513),
            address: Some("192.0.2.254".into()),
            node_selectors: if chosen(bgp, 7) { select("zone", "x") } else { Vec::new() },
            ..PeerInput::default()
        });
        Arc::new(Config::build(&input, &Config::default()).config)
    }
}

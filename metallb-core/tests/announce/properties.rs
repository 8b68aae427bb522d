//! What must hold whatever the facts are and however they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use metallb_core::announce::Ownership;
use metallb_core::config::{
    BgpAdvertisementInput, Config, Input, L2AdvertisementInput, Meta, PeerInput, PoolInput, PreferenceInput,
};
use metallb_core::facts::{
    Demand, Endpoints, FamilyEndpoints, Interface, Node, Places, Request, Service, TrafficPolicy,
};
use metallb_core::keys::{Created, Family, InterfaceName, NodeName, ServiceKey};
use metallb_core::select::{Labels, SelectorInput};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::world::{Fact, Folded, World, engine, tell};

const NODES: [&str; 4] = ["node-a", "node-b", "node-c", "node-d"];
const INTERFACES: [&str; 2] = ["eth0", "eth1"];
const ADDRESSES: [&str; 7] =
    ["192.0.2.1", "192.0.2.2", "192.0.2.0", "198.51.100.1", "2001:db8::1", "2001:db8::2", "203.0.113.1"];

fn label(key: &str, value: &str) -> Vec<SelectorInput> {
    vec![SelectorInput { match_labels: vec![(key.into(), value.into())], ..SelectorInput::default() }]
}

fn meta(name: &str) -> Meta {
    Meta::new(name, Created(0))
}

fn l2_menu() -> Vec<L2AdvertisementInput> {
    let ad = |name: &str| L2AdvertisementInput { meta: meta(name), ..L2AdvertisementInput::default() };
    vec![
        ad("all"),
        L2AdvertisementInput { pools: vec!["a".into()], ..ad("pool-a") },
        L2AdvertisementInput {
            pools: vec!["b".into()],
            interfaces: vec!["eth1".into()],
            ..ad("pool-b-eth1")
        },
        L2AdvertisementInput { node_selectors: label("zone", "x"), ..ad("zone-x") },
        L2AdvertisementInput { service_selectors: label("app", "web"), ..ad("web") },
        L2AdvertisementInput {
            interfaces: vec!["eth0".into()],
            node_selectors: label("zone", "y"),
            ..ad("y-eth0")
        },
        L2AdvertisementInput {
            preferred_nodes: vec![PreferenceInput { weight: 7, preference: label("zone", "y").remove(0) }],
            ..ad("prefer-y")
        },
        L2AdvertisementInput {
            node_selectors: label("zone", "x"),
            preferred_nodes: vec![PreferenceInput { weight: 9, preference: label("zone", "y").remove(0) }],
            ..ad("x-prefers-y")
        },
    ]
}

fn bgp_menu() -> Vec<BgpAdvertisementInput> {
    let ad = |name: &str| BgpAdvertisementInput { meta: meta(name), ..BgpAdvertisementInput::default() };
    vec![
        ad("plain"),
        BgpAdvertisementInput {
            communities: vec!["65000:1".into()],
            pools: vec!["a".into()],
            ..ad("tagged")
        },
        BgpAdvertisementInput { aggregation_length: Some(30), ..ad("aggregated") },
        BgpAdvertisementInput {
            local_pref: Some(200),
            peers: vec!["first".into()],
            service_selectors: label("app", "web"),
            ..ad("preferred")
        },
        BgpAdvertisementInput {
            node_selectors: label("zone", "x"),
            communities: vec!["large:1:2:3".into()],
            ..ad("x")
        },
    ]
}

fn peer_menu() -> Vec<PeerInput> {
    let peer = |name: &str, address: &str, created| PeerInput {
        meta: Meta::new(name, Created(created)),
        my_asn: 64_512,
        peer_asn: Some(64_513),
        address: Some(address.into()),
        ..PeerInput::default()
    };
    vec![
        peer("first", "192.0.2.254", 1),
        PeerInput { node_selectors: label("zone", "x"), ..peer("second", "192.0.2.253", 2) },
        peer("same-as-first", "192.0.2.254", 3),
    ]
}

fn config() -> impl Strategy<Value = Arc<Config>> {
    let pool = |name: &str, addresses: &[&str]| PoolInput {
        meta: meta(name),
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        ..PoolInput::default()
    };
    let pools = vec![pool("a", &["192.0.2.0/24", "2001:db8::/64"]), pool("b", &["198.51.100.0/24"])];
    let menus = (
        subsequence(pools, 1..=2),
        subsequence(l2_menu(), 0..=7),
        subsequence(bgp_menu(), 0..=5),
        subsequence(peer_menu(), 0..=3),
    );
    menus.prop_map(|(pools, l2_advertisements, bgp_advertisements, peers)| {
        let input = Input { pools, l2_advertisements, bgp_advertisements, peers, ..Input::default() };
        Arc::new(Config::build(&input, &Config::default()).config)
    })
}

fn node_name() -> impl Strategy<Value = NodeName> {
    select(&NODES[..]).prop_map(NodeName::new)
}

fn service_key() -> impl Strategy<Value = ServiceKey> {
    (0..5).prop_map(|number| ServiceKey::new("default", format!("s{number}")))
}

fn service() -> impl Strategy<Value = Service> {
    let addresses = subsequence(&ADDRESSES[..], 0..=2).prop_shuffle();
    (service_key(), addresses, 0..3_i64, any::<bool>(), any::<bool>(), prop::bool::weighted(0.9)).prop_map(
        |(key, assigned, created, web, local, wanted)| {
            let demand = if wanted { Demand::Addresses(Request::single(Family::V4)) } else { Demand::None };
            let mut service = Service::new(key, Created(created), demand);
            service.assigned = assigned.iter().map(|address| address.parse().unwrap()).collect();
            service.labels = [("app", if web { "web" } else { "other" })].into_iter().collect();
            service.traffic_policy = if local { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
            service
        },
    )
}

fn node() -> impl Strategy<Value = Node> {
    let flags =
        (prop::bool::weighted(0.1), prop::bool::weighted(0.3), any::<bool>(), prop::bool::weighted(0.1));
    (node_name(), select(vec!["x", "y"]), flags).prop_map(
        |(name, zone, (down, excluded, control_plane, out))| {
            let labels: Labels = [("zone", zone)].into_iter().collect();
            Node {
                network_unavailable: down,
                excluded,
                control_plane,
                out_of_service: out,
                ..Node::new(name, labels)
            }
        },
    )
}

fn endpoints() -> impl Strategy<Value = Endpoints> {
    let places = || {
        (btree_set(node_name(), 0..=3), prop::bool::weighted(0.1))
            .prop_map(|(nodes, elsewhere)| Places { nodes, elsewhere })
    };
    let of_family =
        move || (places(), places()).prop_map(|(ready, terminating)| FamilyEndpoints { ready, terminating });
    let equal = (service_key(), btree_set(node_name(), 0..=3), prop::bool::weighted(0.1))
        .prop_map(|(service, nodes, elsewhere)| Endpoints::ready(service, nodes, elsewhere));
    let different =
        (service_key(), of_family(), of_family()).prop_map(|(service, v4, v6)| Endpoints { service, v4, v6 });
    prop_oneof![equal, different]
}

fn interfaces() -> impl Strategy<Value = BTreeMap<InterfaceName, Interface>> {
    let subnets = ["192.0.2.0/25", "198.51.100.0/24", "2001:db8::/64"];
    let subnets = subnets.map(|subnet| subnet.parse().unwrap()).to_vec();
    let interface = (prop::bool::weighted(0.3), subsequence(subnets, 0..=3))
        .prop_map(|(ipv4_only, subnets)| Interface { ipv4_only, subnets: subnets.into_iter().collect() });
    (subsequence(&INTERFACES[..], 0..=2), vec(interface, 2))
        .prop_map(|(names, interfaces)| names.into_iter().map(InterfaceName::new).zip(interfaces).collect())
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        2 => config().prop_map(Fact::Config),
        5 => service().prop_map(|service| Fact::Service(service.key.clone(), Some(service))),
        1 => service_key().prop_map(|key| Fact::Service(key, None)),
        5 => endpoints().prop_map(|endpoints| Fact::Endpoints(endpoints.service.clone(), Some(endpoints))),
        1 => service_key().prop_map(|key| Fact::Endpoints(key, None)),
        4 => node().prop_map(|node| Fact::Node(node.name.clone(), Some(node))),
        1 => node_name().prop_map(|name| Fact::Node(name, None)),
        2 => btree_set(node_name(), 1..=4).prop_map(Fact::Members),
        1 => btree_set(node_name(), 0..=2).prop_map(Fact::Unheard),
        2 => (node_name(), prop::option::of(interfaces())).prop_map(|(name, names)| Fact::Interfaces(name, names)),
    ]
}

/// A world in which something can happen, before the random changes.
fn start() -> impl Strategy<Value = World> {
    (config(), vec(service(), 3..6), vec(endpoints(), 3..8), vec(node(), 4..7)).prop_map(
        |(config, services, endpoints, nodes)| {
            let mut world = World { config, ..World::default() };
            world.members = NODES.iter().map(|name| NodeName::new(*name)).collect();
            world.services = services.into_iter().map(|service| (service.key.clone(), service)).collect();
            world.endpoints = endpoints.into_iter().map(|ends| (ends.service.clone(), ends)).collect();
            world.nodes = nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
            world
        },
    )
}

proptest! {
    #![proptest_config(crate::config())]

    /// However facts came, in whatever portions they were evaluated: the end state is that of an engine that
    /// got the last facts at once and in another order, and the differences add up to it.
    #[test]
    fn differences_add_up_to_what_the_last_facts_give(
        start in start(),
        steps in vec((fact(), any::<bool>()), 0..25),
        order in vec(any::<Index>(), 40),
    ) {
        let mut world = start;
        let mut running = engine("node-a", Ownership::Hash);
        for fact in world.facts() {
            tell(&mut running, &fact);
        }
        let mut folded = Folded::of(running.evaluate());
        for (fact, evaluate) in steps {
            world.take(&fact);
            tell(&mut running, &fact);
            if evaluate {
                folded.add(running.evaluate());
            }
        }
        folded.add(running.evaluate());
        prop_assert_eq!(running.evaluate(), vec![]);

        let mut facts = world.facts();
        let mut fresh = engine("node-a", Ownership::Hash);
        for index in order.iter().cycle() {
            if facts.is_empty() {
                break;
            }
            tell(&mut fresh, &facts.swap_remove(index.index(facts.len())));
        }
        prop_assert_eq!(&folded, &Folded::of(fresh.evaluate()));
        prop_assert_eq!(&folded, &Folded::of(running.everything()));
        for key in world.services.keys() {
            prop_assert_eq!(running.explain(key), fresh.explain(key));
        }
        prop_assert_eq!(running.announced().collect::<BTreeSet<_>>(), fresh.announced().collect::<BTreeSet<_>>());
    }

    /// All nodes that know the same compute the same owner, the one that the plain rules give, and it alone
    /// announces the address; of what nobody can announce, at most one speaks.
    #[test]
    fn all_nodes_agree_with_the_plain_rules(start in start(), steps in vec(fact(), 0..25)) {
        let mut world = start;
        let mut engines: Vec<_> = NODES.iter().map(|name| engine(name, Ownership::Hash)).collect();
        let facts = world.facts();
        for running in &mut engines {
            for fact in &facts {
                tell(running, fact);
            }
            running.evaluate();
        }
        for fact in steps {
            world.take(&fact);
            for running in &mut engines {
                tell(running, &fact);
                running.evaluate();
            }
            let told: Vec<Folded> = engines.iter().map(|running| Folded::of(running.everything())).collect();
            for (name, told) in NODES.iter().zip(&told) {
                prop_assert_eq!(told.routes(), world.routes(&NodeName::new(*name)), "routes of {}", name);
            }
            for address in world.addresses() {
                let owner = world.owner(address);
                for running in &engines {
                    prop_assert_eq!(running.layer2_owner(address), owner.as_ref(), "owner of {}", address);
                }
                let announcing: Vec<&str> = announcing(&told, address);
                let serves = |owner: &&NodeName| {
                    world.holders(address).any(|service| world.serves(service, address, owner))
                };
                let expected: Vec<&str> = owner.iter().filter(serves).map(NodeName::as_str).collect();
                prop_assert_eq!(announcing, expected, "who announces {}", address);
            }
        }
    }

    /// With sticky ownership, once everybody knows what everybody claims, all agree, and nobody takes an
    /// address from a node that is still a candidate.
    #[test]
    fn sticky_owners_stay_as_long_as_they_may(start in start(), steps in vec(fact(), 0..20)) {
        let mut world = start;
        let mut engines: Vec<_> = NODES.iter().map(|name| engine(name, Ownership::Sticky)).collect();
        for fact in world.facts() {
            tell_all(&mut engines, &fact);
        }
        let mut before = settle(&mut engines);
        for fact in steps {
            world.take(&fact);
            tell_all(&mut engines, &fact);
            let after = settle(&mut engines);
            for (address, owner) in &after {
                let Some(old) = before.get(address).filter(|old| *old != owner) else { continue };
                let others: BTreeSet<_> = before.values().collect();
                let explained = engines[0].explain(holder(&world, *address)).unwrap();
                let verdicts = explained.addresses.iter().find(|a| a.address == *address).unwrap();
                let candidate = verdicts.layer2.nodes.iter().any(|v| v.node == *old && v.rejection.is_none());
                // A node may lose an address to another owner only when their groups have become one.
                prop_assert!(!candidate || others.contains(owner), "{} moved from {} to {}", address, old, owner);
            }
            before = after;
        }
    }
}

fn tell_all(engines: &mut [metallb_core::announce::Engine], fact: &Fact) {
    for running in engines {
        tell(running, fact);
    }
}

fn holder(world: &World, address: IpAddr) -> &ServiceKey {
    let mut holders = world.services.values().filter(|service| service.assigned.contains(&address));
    &holders.find(|service| service.demand != Demand::None).unwrap().key
}

fn announcing<'a>(told: &[Folded], address: IpAddr) -> Vec<&'a str> {
    let nodes = NODES.iter().zip(told).filter(|(_, told)| told.addresses().contains(&address));
    nodes.map(|(node, _)| *node).collect()
}

/// Evaluates and exchanges claims until nothing changes, then returns who announces what,
/// on which all agree.
fn settle(engines: &mut [metallb_core::announce::Engine]) -> BTreeMap<IpAddr, NodeName> {
    for _ in 0..20 {
        let changes: usize = engines.iter_mut().map(|running| running.evaluate().len()).sum();
        let claims: Vec<_> = engines.iter().map(metallb_core::announce::Engine::claims).collect();
        for running in engines.iter_mut() {
            for (name, claims) in NODES.iter().zip(&claims) {
                running.set_claims(NodeName::new(*name), claims.clone());
            }
        }
        if changes == 0 {
            return agreed(engines);
        }
    }
    panic!("owners never settle");
}

fn agreed(engines: &[metallb_core::announce::Engine]) -> BTreeMap<IpAddr, NodeName> {
    let mut owners = BTreeMap::new();
    for address in ADDRESSES.iter().map(|address| address.parse().unwrap()) {
        let views: BTreeSet<_> = engines.iter().map(|running| running.layer2_owner(address)).collect();
        assert_eq!(views.len(), 1, "different owners of {address}: {views:?}");
        // An owner that has nothing ready behind the address does not announce it, and claims nothing.
        if engines.iter().any(|running| running.announced_on(address).is_some()) {
            owners.extend(engines[0].layer2_owner(address).map(|owner| (address, owner.clone())));
        }
    }
    owners
}

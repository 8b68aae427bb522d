//! Simulated configurations.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests; any instant will do")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use metallb_core::announce::AnnounceProblem;
use metallb_core::config::{
    BgpAdvertisementInput, Config, Input, L2AdvertisementInput, Meta, PeerInput, PoolInput,
};
use metallb_core::facts::{Demand, Endpoints, Node, Request, Service, TrafficPolicy};
use metallb_core::ipam::Report;
use metallb_core::keys::{Created, Family, NodeName, ServiceKey};
use metallb_core::simulate::{Difference, Situation, diff, simulate};

fn meta(name: &str) -> Meta {
    Meta::new(name, Created(0))
}

fn pool(name: &str, addresses: &str) -> PoolInput {
    PoolInput { meta: meta(name), addresses: vec![addresses.to_owned()], ..PoolInput::default() }
}

fn input() -> Input {
    Input {
        pools: vec![pool("web", "192.0.2.0/30")],
        l2_advertisements: vec![L2AdvertisementInput {
            meta: meta("lan"),
            ..L2AdvertisementInput::default()
        }],
        bgp_advertisements: vec![BgpAdvertisementInput {
            meta: meta("all"),
            ..BgpAdvertisementInput::default()
        }],
        peers: vec![PeerInput {
            meta: meta("router"),
            my_asn: 64_512,
            peer_asn: Some(64_513),
            address: Some("203.0.113.1".to_owned()),
            ..PeerInput::default()
        }],
        ..Input::default()
    }
}

fn configured(input: &Input) -> Arc<Config> {
    let built = Config::build(input, &Config::default());
    assert_eq!(built.errors, []);
    Arc::new(built.config)
}

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("default", name)
}

fn situation(services: &[&str]) -> Situation {
    let mut situation = Situation::new(configured(&input()));
    situation.nodes = ["a", "b", "c"]
        .map(|name| Node::new(NodeName::new(name), [("zone", name)].into_iter().collect()))
        .to_vec();
    let new = |(age, name): (i64, &&str)| {
        Service::new(key(name), Created(age), Demand::Addresses(Request::single(Family::V4)))
    };
    situation.services = (0..).zip(services).map(new).collect();
    situation
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_service_gets_an_address_an_owner_and_routes_until_the_pool_is_exhausted() {
    let outcome = simulate(Instant::now(), &situation(&["s0", "s1", "s2", "s3", "s4"]));
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    for name in ["s0", "s1", "s2", "s3"] {
        let service = &outcome.services[&key(name)];
        assert_eq!(service.addresses.len(), 1);
        assert_eq!(service.owners.len(), 1);
        assert_eq!(service.prefixes.len(), 3, "from every node");
        addresses.extend(&service.addresses);
    }
    assert_eq!(addresses.len(), 4);
    let late = &outcome.services[&key("s4")];
    assert!(late.addresses.is_empty() && late.owners.is_empty());
    assert!(matches!(late.reports[..], [Report::Failed(_)]), "{:?}", late.reports);
    assert_eq!(
        outcome.pools.values().map(|usage| (usage.assigned_v4, usage.available_v4)).collect::<Vec<_>>(),
        [(4, 0)]
    );
}

#[test]
fn nothing_differs_from_itself_and_addresses_stay_when_the_pool_grows() {
    let mut situation = situation(&["s0", "s1"]);
    let before = simulate(Instant::now(), &situation);
    situation.services = before.adopted(&situation.services);
    let again = simulate(Instant::now(), &situation);
    assert_eq!(diff(&before, &again), []);
    let mut grown = input();
    grown.pools.insert(0, pool("another", "198.51.100.0/24"));
    situation.config = configured(&grown);
    assert_eq!(diff(&before, &simulate(Instant::now(), &situation)), []);
}

#[test]
fn a_difference_names_what_moves() {
    let mut situation = situation(&["s0"]);
    let before = simulate(Instant::now(), &situation);
    let owner = before.services[&key("s0")].owners[&address("192.0.2.0")].clone();
    situation.nodes.retain(|node| node.name != owner);
    let after = simulate(Instant::now(), &situation);
    let differences = diff(&before, &after);
    let moved = Difference::Owner {
        address: address("192.0.2.0"),
        before: Some(owner.clone()),
        after: after.services[&key("s0")].owners.get(&address("192.0.2.0")).cloned(),
    };
    assert!(differences.contains(&moved), "{differences:?}");
    assert!(differences.iter().any(|difference| matches!(
        difference,
        Difference::Routes { node, after, .. } if *node == owner && after.is_empty()
    )));
    assert_eq!(differences.len(), 2);
    assert_eq!(differences[1].to_string(), format!("192.0.2.0/32 from {owner} to router -> none"));
}

#[test]
fn a_local_service_is_announced_only_where_it_is_ready() {
    let mut situation = situation(&["s0"]);
    situation.services[0].traffic_policy = TrafficPolicy::Local;
    let b = NodeName::new("b");
    situation.endpoints = vec![Endpoints::ready(key("s0"), [b.clone()].into(), false)];
    let outcome = simulate(Instant::now(), &situation);
    let service = &outcome.services[&key("s0")];
    assert_eq!(service.owners.values().collect::<Vec<_>>(), [&b]);
    assert_eq!(service.prefixes.keys().collect::<Vec<_>>(), [&b]);
}

#[test]
fn what_nobody_announces_is_a_problem_whichever_node_would_speak() {
    let mut situation = situation(&["s0"]);
    situation.config = configured(&Input { pools: vec![pool("web", "192.0.2.0/24")], ..Input::default() });
    let before = simulate(Instant::now(), &situation);
    let reasons: Vec<_> = before.services[&key("s0")].problems.iter().map(AnnounceProblem::reason).collect();
    assert_eq!(reasons, ["no_advertisement"]);
    situation.config = configured(&input());
    for node in &mut situation.nodes {
        node.network_unavailable = true;
    }
    let after = simulate(Instant::now(), &situation);
    let reasons: Vec<_> = after.services[&key("s0")].problems.iter().map(AnnounceProblem::reason).collect();
    assert_eq!(reasons, ["network_unavailable"]);
    assert!(diff(&before, &after).iter().any(|difference| matches!(difference, Difference::Problems { .. })));
}

#[test]
fn an_empty_cluster_is_no_accident() {
    let outcome = simulate(Instant::now(), &Situation::default());
    assert_eq!(diff(&outcome, &outcome), []);
    assert!(outcome.services.is_empty());
}

//! Announcement decisions and membership, with inputs of the size of a real cluster.
//!
//! 10 000 services on as many addresses, 100 nodes, three BGP peers, as known to one of the nodes.
#![expect(clippy::disallowed_methods, reason = "measuring takes a clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark may stop when its input is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use metallb_core::announce::{Engine, Liveness, Options};
use metallb_core::config::{
    BgpAdvertisementInput, Config, Input, L2AdvertisementInput, Meta, PeerInput, PoolInput,
};
use metallb_core::facts::{Demand, Endpoints, Node, Request, Service};
use metallb_core::keys::{Created, Family, NodeName, ServiceKey};
use metallb_core::membership::{self, Epoch, Membership, Peer};
use metallb_core::select::Labels;

const SERVICES: u32 = 10_000;
const NODES: u32 = 100;

fn meta(name: &str) -> Meta {
    Meta::new(name, Created(0))
}

fn input(layer2: bool, bgp: bool) -> Input {
    let mut input = Input::default();
    input.pools.push(PoolInput {
        meta: meta("web"),
        addresses: vec!["10.0.0.0/8".into()],
        ..PoolInput::default()
    });
    if layer2 {
        input
            .l2_advertisements
            .push(L2AdvertisementInput { meta: meta("lan"), ..L2AdvertisementInput::default() });
    }
    if bgp {
        input
            .bgp_advertisements
            .push(BgpAdvertisementInput { meta: meta("all"), ..BgpAdvertisementInput::default() });
        for number in 1..=3_u8 {
            input.peers.push(PeerInput {
                meta: meta(&format!("router-{number}")),
                my_asn: 64_512,
                peer_asn: Some(64_513),
                address: Some(format!("192.0.2.{number}")),
                ..PeerInput::default()
            });
        }
    }
    input
}

fn config(layer2: bool, bgp: bool) -> Arc<Config> {
    Arc::new(Config::build(&input(layer2, bgp), &Config::default()).config)
}

fn node(number: u32) -> NodeName {
    NodeName::new(format!("node-{number:03}.example.internal"))
}

fn nodes(count: u32) -> BTreeSet<NodeName> {
    (0..count).map(node).collect()
}

fn key(number: u32) -> ServiceKey {
    ServiceKey::new(format!("team-{}", number % 50), format!("service-{number}"))
}

fn service(number: u32) -> Service {
    let wish = Demand::Addresses(Request::single(Family::V4));
    let mut service = Service::new(key(number), Created(number.into()), wish);
    service.assigned = vec![IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))];
    service
}

fn endpoints(number: u32, at: &[u32]) -> Endpoints {
    let nodes = at.iter().map(|node_number| node(*node_number)).collect();
    Endpoints { service: key(number), nodes, elsewhere: false }
}

/// An engine that has been told everything and has evaluated nothing.
fn told(layer2: bool, bgp: bool) -> Engine {
    told_of(SERVICES, NODES, config(layer2, bgp))
}

fn told_of(services: u32, node_count: u32, config: Arc<Config>) -> Engine {
    let mut engine = Engine::new(node(0), Options::default().with_liveness(Liveness::Members));
    engine.set_config(config);
    engine.set_members(nodes(node_count));
    for number in 0..node_count {
        engine.apply_node(Node::new(node(number), Labels::new()));
    }
    for number in 0..services {
        engine.apply_service(service(number));
        engine.apply_endpoints(endpoints(number, &[number % node_count, (number + 1) % node_count]));
    }
    engine
}

fn evaluated(layer2: bool, bgp: bool) -> Engine {
    let mut engine = told(layer2, bgp);
    assert!(!engine.evaluate().is_empty());
    engine
}

fn from_scratch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10k services, 100 nodes: first evaluation");
    group.sample_size(10);
    for (name, layer2, bgp) in [("layer2", true, false), ("bgp", false, true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || told(layer2, bgp),
                |engine| black_box(engine.evaluate().len()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Every other step is measured: the node that died comes back in between.
fn node_death(criterion: &mut Criterion) {
    let mut engine = evaluated(true, false);
    let all = nodes(NODES);
    let mut fewer = all.clone();
    fewer.remove(&node(57));
    criterion.bench_function("10k services, 100 nodes: one node dies", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                engine.set_members(fewer.clone());
                let start = Instant::now();
                black_box(engine.evaluate());
                time += start.elapsed();
                engine.set_members(all.clone());
                engine.evaluate();
            }
            time
        });
    });
}

fn one_change(criterion: &mut Criterion) {
    for (name, layer2, bgp) in [("layer2", true, false), ("bgp", false, true)] {
        let mut engine = evaluated(layer2, bgp);
        let mut turn = 0_u32;
        criterion.bench_function(
            &format!("10k services, 100 nodes: endpoints of one change, {name}"),
            |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    engine.apply_endpoints(endpoints(77, &[turn % NODES]));
                    black_box(engine.evaluate().len())
                });
            },
        );
        criterion.bench_function(
            &format!("10k services, 100 nodes: labels of one change, {name}"),
            |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    let mut changed = service(77);
                    changed.labels =
                        [("turn", if turn.is_multiple_of(2) { "even" } else { "odd" })].into_iter().collect();
                    engine.apply_service(changed);
                    black_box(engine.evaluate().len())
                });
            },
        );
        criterion.bench_function(
            &format!("10k services, 100 nodes: one gets another address, {name}"),
            |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    let mut changed = service(77);
                    changed.assigned = vec![IpAddr::V4(Ipv4Addr::from_bits(0x0a80_0000 + turn % 2))];
                    engine.apply_service(changed);
                    black_box(engine.evaluate().len())
                });
            },
        );
    }
}

/// One endpoint change must not know how much else there is: services, nodes, services under one prefix.
fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoints of one change");
    let sizes = [(1_000, 100), (10_000, 100), (100_000, 100), (10_000, 10), (10_000, 1_000)];
    for (name, layer2, bgp) in [("layer2", true, false), ("bgp", false, true)] {
        for (services, node_count) in sizes {
            let mut engine = told_of(services, node_count, config(layer2, bgp));
            assert!(!engine.evaluate().is_empty());
            let mut turn = 0_u32;
            group.bench_function(format!("{name}, {services} services, {node_count} nodes"), |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    engine.apply_endpoints(endpoints(77, &[turn % node_count]));
                    black_box(engine.evaluate().len())
                });
            });
        }
    }
    for services in [100_u32, 10_000] {
        let mut engine = told_of(services, NODES, aggregated());
        assert!(!engine.evaluate().is_empty());
        let mut turn = 0_u32;
        group.bench_function(format!("bgp, one of {services} under a prefix comes or goes"), |bencher| {
            bencher.iter(|| {
                turn = turn.wrapping_add(1);
                engine.apply_endpoints(endpoints(77, if turn.is_multiple_of(2) { &[1] } else { &[] }));
                black_box(engine.evaluate().len())
            });
        });
    }
    group.finish();
}

/// All addresses under one prefix.
fn aggregated() -> Arc<Config> {
    let mut input = input(false, true);
    for ad in &mut input.bgp_advertisements {
        ad.aggregation_length = Some(8);
    }
    Arc::new(Config::build(&input, &Config::default()).config)
}

/// A member among `size`, and what the others send to it in one interval.
fn member(size: u32) -> (Membership, Vec<Vec<u8>>, Instant) {
    let start = Instant::now();
    let address = |number: u32| SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + number), 7946));
    let peers: BTreeMap<NodeName, Peer> =
        (0..size).map(|number| (node(number), Peer::new(address(number), true))).collect();
    let new = |number: u32| {
        let config = membership::Config::new(node(number), Epoch::new(1), number.into());
        let mut machine = Membership::new(start, config).unwrap();
        machine.set_peers(start, peers.clone());
        machine
    };
    let to = address(0);
    let mut round = Vec::new();
    let mut octets = Vec::new();
    for number in 1..size {
        let mut other = new(number);
        while let Some(receiver) = other.poll_transmit(&mut octets) {
            if receiver == to {
                round.push(octets.clone());
            }
        }
    }
    (new(0), round, start)
}

fn heartbeats(criterion: &mut Criterion) {
    let (mut machine, round, start) = member(100);
    let mut octets = Vec::new();
    for datagram in &round {
        machine.handle_datagram(start, datagram).unwrap();
    }
    // The sequence number is at a fixed place: every round is a later one.
    let mut sequence = 1_000_u64;
    let mut now = start;
    criterion.bench_function("100 members: one interval, everything received and sent", |bencher| {
        let mut round = round.clone();
        bencher.iter(|| {
            now += Duration::from_millis(50);
            sequence += 1;
            for datagram in &mut round {
                datagram.get_mut(18..26).unwrap().copy_from_slice(&sequence.to_be_bytes());
                machine.handle_datagram(now, datagram).unwrap();
            }
            let end = now + Duration::from_millis(50);
            while let Some(at) = machine.next_timeout().filter(|at| *at < end) {
                machine.handle_timeout(at.max(now));
                while machine.poll_transmit(&mut octets).is_some() {
                    black_box(&octets);
                }
            }
            while machine.poll_event().is_some() {}
        });
    });
    assert_eq!(machine.members().len(), 100);
}

criterion_group!(benches, from_scratch, node_death, one_change, growth, heartbeats);
criterion_main!(benches);

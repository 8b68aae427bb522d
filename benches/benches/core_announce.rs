//! Announcement decisions and membership, with inputs of the size of a real cluster.
//!
//! 10 000 services on as many addresses, 100 nodes, three BGP peers, as known to one of the nodes.
#![expect(clippy::disallowed_methods, reason = "measuring takes a clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark may stop when its input is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use metallb_benches::announce::{
    CHANGING, NODES, Way, endpoints, evaluated, node, relabelled, service, told,
};
use metallb_core::keys::NodeName;
use metallb_core::membership::wire::Header;
use metallb_core::membership::{self, Arrival, Epoch, Membership, Peer};

const SERVICES: u32 = 10_000;
const WAYS: [(&str, Way); 2] = [("layer2", Way::Layer2), ("bgp", Way::Bgp)];

fn from_scratch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10k services, 100 nodes: first evaluation");
    group.sample_size(10);
    for (name, way) in WAYS {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || told(SERVICES, NODES, way),
                |engine| black_box(engine.evaluate().len()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Every other step is measured: the node that died comes back in between.
fn node_death(criterion: &mut Criterion) {
    let mut engine = evaluated(SERVICES, NODES, Way::Layer2);
    let all: BTreeSet<NodeName> = (0..NODES).map(node).collect();
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
    for (name, way) in WAYS {
        let mut engine = evaluated(SERVICES, NODES, way);
        let mut turn = 0_u32;
        criterion.bench_function(
            &format!("10k services, 100 nodes: endpoints of one change, {name}"),
            |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    engine.apply_endpoints(endpoints(CHANGING, &[turn % NODES]));
                    black_box(engine.evaluate().len())
                });
            },
        );
        criterion.bench_function(
            &format!("10k services, 100 nodes: labels of one change, {name}"),
            |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    engine.apply_service(relabelled(turn));
                    black_box(engine.evaluate().len())
                });
            },
        );
        criterion.bench_function(
            &format!("10k services, 100 nodes: one gets another address, {name}"),
            |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    let mut changed = service(CHANGING);
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
    for (name, way) in WAYS {
        for (services, node_count) in sizes {
            let mut engine = evaluated(services, node_count, way);
            let mut turn = 0_u32;
            group.bench_function(format!("{name}, {services} services, {node_count} nodes"), |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    engine.apply_endpoints(endpoints(CHANGING, &[turn % node_count]));
                    black_box(engine.evaluate().len())
                });
            });
        }
    }
    for services in [100_u32, 10_000] {
        let mut engine = evaluated(services, NODES, Way::BgpAggregated);
        let mut turn = 0_u32;
        group.bench_function(format!("bgp, one of {services} under a prefix comes or goes"), |bencher| {
            bencher.iter(|| {
                turn = turn.wrapping_add(1);
                engine.apply_endpoints(endpoints(CHANGING, if turn.is_multiple_of(2) { &[1] } else { &[] }));
                black_box(engine.evaluate().len())
            });
        });
    }
    group.finish();
}

/// A member among `size` whom all know, and what each of the others sends to it in one interval.
fn member(size: u32) -> (Membership, Vec<(Arrival, Vec<u8>)>, Instant) {
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
    let arrival = |number| Arrival::new(address(number).ip(), CLOCK);
    let (mut us, mut octets) = (new(0), Vec::new());
    let mut others: Vec<Membership> = (1..size).map(new).collect();
    // Introductions, answers, and answers to those.
    for _ in 0..3 {
        while let Some(to) = us.poll_transmit(&mut octets) {
            if let Some((other, _)) =
                others.iter_mut().zip(1..).find(|(_, number)| node(*number) == to.receiver)
            {
                other.handle_datagram(start, arrival(0), &octets).unwrap();
            }
        }
        for (other, number) in others.iter_mut().zip(1..) {
            while let Some(to) = other.poll_transmit(&mut octets) {
                if to.receiver == node(0) {
                    us.handle_datagram(start, arrival(number), &octets).unwrap();
                }
            }
        }
    }
    let mut round = Vec::new();
    for (other, number) in others.iter_mut().zip(1..) {
        // A round is spread over an interval.
        for part in 1..=60 {
            other.handle_timeout(start + Duration::from_millis(part));
            while let Some(to) = other.poll_transmit(&mut octets) {
                if to.receiver == node(0) && round.len() < number as usize {
                    round.push((arrival(number), octets.clone()));
                }
            }
        }
    }
    (us, round, start)
}

/// What the clocks say.
const CLOCK: Duration = Duration::from_secs(1_800_000_000);

fn heartbeats(criterion: &mut Criterion) {
    let (mut machine, mut round, start) = member(100);
    let mut octets = Vec::new();
    // The sequence number is at a fixed place behind the header, the flags and the interval: every round is a later one.
    let mut sequence = 1_000_u64;
    let mut now = start;
    let place = Header::parse(&round.first().unwrap().1).unwrap().1 + 5;
    criterion.bench_function("100 members: one interval, everything received and sent", |bencher| {
        bencher.iter(|| {
            now += Duration::from_millis(50);
            sequence += 1;
            for (arrival, datagram) in &mut round {
                datagram.get_mut(place..place + 8).unwrap().copy_from_slice(&sequence.to_be_bytes());
                machine.handle_datagram(now, *arrival, datagram).unwrap();
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

//! Encoding and decoding BGP UPDATEs: 100 000 host routes, as many attribute groups as named.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ipnetwork::IpNetwork;
use metallb_benches::bgp::{announce, block, context, decode, ipv4_hosts, ipv4_mixed, ipv6_hosts, withdraw};
use metallb_bgp::types::Family;
use metallb_bgp::wire::header::MessageLimit;
use metallb_bgp::wire::pack::Announcements;

const PREFIXES: u32 = 100_000;

fn encode_benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("bgp_encode");
    group.throughput(Throughput::Elements(u64::from(PREFIXES)));
    let (ipv4, ipv6) = (ipv4_hosts(PREFIXES), ipv6_hosts(PREFIXES));
    let general: Vec<IpNetwork> = ipv4.iter().copied().map(IpNetwork::V4).collect();
    let mut out = Vec::with_capacity(4 << 20);
    for groups in [1_u32, 64] {
        let blocks: Vec<_> = (0..groups).map(|i| block(Family::Ipv4Unicast, i)).collect();
        group.bench_function(format!("ipv4 {groups} groups"), |b| {
            b.iter(|| {
                out.clear();
                announce(&blocks, black_box(&ipv4), &mut out);
            });
        });
        group.bench_function(format!("ipv4 as IpNetwork {groups} groups"), |b| {
            b.iter(|| {
                out.clear();
                announce(&blocks, black_box(&general), &mut out);
            });
        });
    }
    let (blocks, mixed) = ([block(Family::Ipv4Unicast, 0)], ipv4_mixed(PREFIXES, &[16, 20, 22, 24, 28, 32]));
    group.bench_function("ipv4 mixed lengths", |b| {
        b.iter(|| {
            out.clear();
            announce(&blocks, black_box(&mixed), &mut out);
        });
    });
    let blocks = [block(Family::Ipv6Unicast, 0)];
    group.bench_function("ipv6 1 groups", |b| {
        b.iter(|| {
            out.clear();
            announce(&blocks, black_box(&ipv6), &mut out);
        });
    });
    group.bench_function("ipv4 withdrawals", |b| {
        b.iter(|| {
            out.clear();
            withdraw(Family::Ipv4Unicast, black_box(&ipv4), &mut out);
        });
    });
    group.finish();
    c.bench_function("bgp_encode one attribute block", |b| {
        b.iter(|| block(Family::Ipv4Unicast, black_box(7)));
    });
    let one = ipv4.get(..1).unwrap_or_default();
    let block = block(Family::Ipv4Unicast, 0);
    c.bench_function("bgp_encode one prefix", |b| {
        b.iter(|| {
            out.clear();
            Announcements::new(&block, black_box(one), MessageLimit::Extended).write_next(&mut out)
        });
    });
}

fn decode_benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("bgp_decode");
    group.throughput(Throughput::Elements(u64::from(PREFIXES)));
    let context = context();
    let mut ipv4 = Vec::new();
    announce(&[block(Family::Ipv4Unicast, 0)], &ipv4_hosts(PREFIXES), &mut ipv4);
    group.bench_function("ipv4", |b| b.iter(|| decode(black_box(&ipv4), &context)));
    for (name, lengths) in [("16 to 32", (16..=32).collect()), ("24 and 32", vec![24, 32])] {
        let mut mixed = Vec::new();
        announce(&[block(Family::Ipv4Unicast, 0)], &ipv4_mixed(PREFIXES, &lengths), &mut mixed);
        group.bench_function(format!("ipv4 lengths {name}"), |b| {
            b.iter(|| decode(black_box(&mixed), &context));
        });
    }
    let mut ipv6 = Vec::new();
    announce(&[block(Family::Ipv6Unicast, 0)], &ipv6_hosts(PREFIXES), &mut ipv6);
    group.bench_function("ipv6", |b| b.iter(|| decode(black_box(&ipv6), &context)));
    group.finish();
    let mut one = Vec::new();
    announce(&[block(Family::Ipv4Unicast, 0)], &ipv4_hosts(1), &mut one);
    c.bench_function("bgp_decode one prefix", |b| b.iter(|| decode(black_box(&one), &context)));
}

criterion_group!(benches, encode_benches, decode_benches);
criterion_main!(benches);

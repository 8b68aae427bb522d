//! Encoding and decoding BGP UPDATEs: 100 000 host routes, as many attribute groups as named.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use metallb_bgp::types::{
    AsPath, Asn, AsnWidth, Attributes, Community, Families, Family, LargeCommunity, PeerKind,
};
use metallb_bgp::wire::header::{Framer, MessageLimit};
use metallb_bgp::wire::pack::{Announcements, AttributeBlock, PathEncoding, WirePrefix, Withdrawals};
use metallb_bgp::wire::update::{UpdateContext, UpdateView};

const PREFIXES: u32 = 100_000;
const LOCAL: Asn = Asn::new(64513);
const ENCODING: PathEncoding = PathEncoding { peer: PeerKind::External, asn_width: AsnWidth::Four };

fn ipv4_hosts() -> Vec<Ipv4Network> {
    (0..PREFIXES).filter_map(|i| Ipv4Network::new(Ipv4Addr::from_bits(0x0a00_0000 + i), 32).ok()).collect()
}

/// Prefixes whose lengths follow each other in no order.
fn ipv4_mixed(lengths: &[u8]) -> Vec<Ipv4Network> {
    let mut state = 1_u32;
    let prefix = |host: Ipv4Network| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = lengths.get((state >> 16) as usize % lengths.len()).copied().unwrap_or(32);
        Ipv4Network::new(host.ip(), length).ok()
    };
    ipv4_hosts().into_iter().filter_map(prefix).collect()
}

fn ipv6_hosts() -> Vec<Ipv6Network> {
    let base = 0x2001_0db8_u128 << 96;
    (0..PREFIXES)
        .filter_map(|i| Ipv6Network::new(Ipv6Addr::from_bits(base + u128::from(i)), 128).ok())
        .collect()
}

/// What a node sends: a path, a community of each kind; the MED tells groups apart.
fn block(family: Family, group: u32) -> AttributeBlock {
    let next_hop: IpAddr = match family {
        Family::Ipv4Unicast => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::Ipv6Unicast => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let mut attributes = Attributes::originate(next_hop.into());
    attributes.as_path = AsPath::sequence([LOCAL]);
    attributes.communities = vec![Community::new(64512, 100)];
    attributes.large_communities = vec![LargeCommunity::new(64512, 1, 2)];
    attributes.med = Some(group);
    AttributeBlock::encode(&attributes, family, ENCODING).unwrap_or_else(|error| fail(&error))
}

#[expect(clippy::panic, reason = "a bench that cannot be set up has to stop")]
fn fail(error: &dyn std::error::Error) -> ! {
    panic!("{error}")
}

/// Packs all prefixes, `per_group` to a group, and returns the number of messages.
fn announce<P: WirePrefix>(blocks: &[AttributeBlock], prefixes: &[P], out: &mut Vec<u8>) -> usize {
    let per_group = prefixes.len().div_ceil(blocks.len());
    let mut count = 0;
    for (block, prefixes) in blocks.iter().zip(prefixes.chunks(per_group)) {
        let mut messages = Announcements::new(block, prefixes, MessageLimit::Standard);
        while messages.write_next(out).unwrap_or_else(|error| fail(&error)) > 0 {
            count += 1;
        }
    }
    count
}

fn withdraw<P: WirePrefix>(family: Family, prefixes: &[P], out: &mut Vec<u8>) {
    let mut messages = Withdrawals::new(family, prefixes, MessageLimit::Standard);
    while messages.write_next(out).unwrap_or_else(|error| fail(&error)) > 0 {}
}

/// Cuts, judges and reads everything; the result depends on every prefix.
fn decode(mut stream: &[u8], context: &UpdateContext) -> usize {
    let mut framer = Framer::new();
    let mut sum = 0_usize;
    while let Ok(Some(frame)) = framer.next_frame(&mut stream) {
        let Ok(view) = UpdateView::parse(frame) else { continue };
        let classified = view.classify(context);
        for reach in classified.reach() {
            for prefix in reach.prefixes {
                sum = sum.wrapping_add(match prefix {
                    IpNetwork::V4(network) => network.ip().to_bits() as usize,
                    IpNetwork::V6(network) => usize::from(network.ip().octets()[15]),
                });
            }
        }
    }
    sum
}

fn context() -> UpdateContext {
    UpdateContext::new(PeerKind::External, LOCAL, AsnWidth::Four, Families::BOTH)
}

fn encode_benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("bgp_encode");
    group.throughput(Throughput::Elements(u64::from(PREFIXES)));
    let (ipv4, ipv6) = (ipv4_hosts(), ipv6_hosts());
    let general: Vec<IpNetwork> = ipv4.iter().copied().map(IpNetwork::V4).collect();
    let mut out = Vec::with_capacity(4 << 20);
    for groups in [1_u32, 64] {
        let blocks: Vec<_> = (0..groups).map(|i| block(Family::Ipv4Unicast, i)).collect();
        group.bench_function(format!("ipv4 {groups} groups"), |b| {
            b.iter(|| {
                out.clear();
                announce(&blocks, black_box(&ipv4), &mut out)
            });
        });
        group.bench_function(format!("ipv4 as IpNetwork {groups} groups"), |b| {
            b.iter(|| {
                out.clear();
                announce(&blocks, black_box(&general), &mut out)
            });
        });
    }
    let (blocks, mixed) = ([block(Family::Ipv4Unicast, 0)], ipv4_mixed(&[16, 20, 22, 24, 28, 32]));
    group.bench_function("ipv4 mixed lengths", |b| {
        b.iter(|| {
            out.clear();
            announce(&blocks, black_box(&mixed), &mut out)
        });
    });
    let blocks = [block(Family::Ipv6Unicast, 0)];
    group.bench_function("ipv6 1 groups", |b| {
        b.iter(|| {
            out.clear();
            announce(&blocks, black_box(&ipv6), &mut out)
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
    announce(&[block(Family::Ipv4Unicast, 0)], &ipv4_hosts(), &mut ipv4);
    group.bench_function("ipv4", |b| b.iter(|| decode(black_box(&ipv4), &context)));
    // Lengths in no order, so that nothing can be guessed.
    for (name, lengths) in [("16 to 32", (16..=32).collect()), ("24 and 32", vec![24, 32])] {
        let mut mixed = Vec::new();
        announce(&[block(Family::Ipv4Unicast, 0)], &ipv4_mixed(&lengths), &mut mixed);
        group.bench_function(format!("ipv4 lengths {name}"), |b| {
            b.iter(|| decode(black_box(&mixed), &context));
        });
    }
    let mut ipv6 = Vec::new();
    announce(&[block(Family::Ipv6Unicast, 0)], &ipv6_hosts(), &mut ipv6);
    group.bench_function("ipv6", |b| b.iter(|| decode(black_box(&ipv6), &context)));
    group.finish();
    let mut one = Vec::new();
    announce(&[block(Family::Ipv4Unicast, 0)], ipv4_hosts().get(..1).unwrap_or_default(), &mut one);
    c.bench_function("bgp_decode one prefix", |b| b.iter(|| decode(black_box(&one), &context)));
}

criterion_group!(benches, encode_benches, decode_benches);
criterion_main!(benches);

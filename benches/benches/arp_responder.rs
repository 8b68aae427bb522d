//! From a request to its answer: codec and decision, with few and with many announced addresses.
#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "benchmarks")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use metallb_arp::responder::Outcome;
use metallb_arp::wire::arp::PacketView;
use metallb_arp::wire::ethernet::Frame;
use metallb_arp::wire::ndp::Message;
use metallb_benches::arp::{ETH0, request_frame, responder, solicitation_frame, v4, v6};

const SIZES: [u32; 3] = [10, 1_000, 65_536];

fn answer(criterion: &mut Criterion) {
    let now = Instant::now();
    let mut group = criterion.benchmark_group("arp_answer");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        // Many different questions, so that a table larger than the caches shows as such.
        let arp: Vec<Vec<u8>> = (0..1024).map(|n| request_frame(v4(n * 61 % size))).collect();
        let ndp: Vec<Vec<u8>> = (0..1024).map(|n| solicitation_frame(v6(n * 61 % size))).collect();
        let unknown: Vec<Vec<u8>> = (0..1024).map(|n| request_frame(v4(1 << 20 | n))).collect();
        let v4s = responder(now, (0..size).map(|host| v4(host).into()));
        let v6s = responder(now, (0..size).map(|host| v6(host).into()));
        for (name, mut responder, frames, answered) in
            [("request", v4s, arp, true), ("solicitation", v6s, ndp, true)]
        {
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                let mut out = Vec::with_capacity(128);
                let mut frames = frames.iter().cycle();
                bencher.iter(|| {
                    let frame = frames.next().expect("cycles");
                    let outcome = responder.handle_frame(now, ETH0, black_box(frame));
                    assert!(!answered || matches!(outcome, Outcome::Answered(_)));
                    responder.poll_transmit(black_box(&mut out))
                });
            });
        }
        let mut none = responder(now, (0..size).map(|host| v4(host).into()));
        group.bench_function(BenchmarkId::new("request_for_another", size), |bencher| {
            let mut frames = unknown.iter().cycle();
            bencher.iter(|| none.handle_frame(now, ETH0, black_box(frames.next().expect("cycles"))));
        });
    }
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("arp_codec");
    let request = request_frame(v4(1));
    let solicitation = solicitation_frame(v6(1));
    group.bench_function("parse_request", |bencher| {
        bencher.iter(|| {
            let frame = Frame::parse(black_box(&request)).expect("a frame");
            PacketView::parse(frame.payload).map(PacketView::target)
        });
    });
    group.bench_function("parse_solicitation", |bencher| {
        bencher.iter(|| {
            let frame = Frame::parse(black_box(&solicitation)).expect("a frame");
            match Message::parse(frame.payload) {
                Ok(Some(Message::NeighborSolicitation(message))) => Some(message.target()),
                _ => None,
            }
        });
    });
    group.finish();
}

/// Taking over many addresses at once, as after the failure of another node.
fn takeover(criterion: &mut Criterion) {
    let now = Instant::now();
    let mut group = criterion.benchmark_group("arp_takeover");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for size in [1_000, 65_536_u32] {
        group.throughput(Throughput::Elements(size.into()));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| responder(now, (0..size).map(|host| v4(host).into())));
        });
    }
    group.finish();
}

criterion_group!(benches, answer, codec, takeover);
criterion_main!(benches);

//! The advertisement table and the sessions that read it: filling, first dump, one change for eight peers.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark, not a library")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use metallb_benches::bgp::{Speaker, drain, routes, session, table};

const PREFIXES: u32 = 100_000;

fn bench(c: &mut Criterion) {
    let now = Instant::now();
    let mut group = c.benchmark_group("bgp_table");
    group.throughput(Throughput::Elements(PREFIXES.into())).sample_size(20);
    group.bench_function("fill, 100k prefixes", |b| b.iter(|| black_box(table(PREFIXES, 1))));
    for groups in [1, 64] {
        let mut table = table(PREFIXES, groups);
        group.bench_function(format!("first dump, 100k prefixes, {groups} attribute sets"), |b| {
            let mut out = Vec::new();
            b.iter_batched(
                || (),
                |()| {
                    let (mut session, id) = session(0, now, &mut table);
                    let octets = drain(&mut session, id, now, &mut table, &mut out);
                    let updates = session.snapshot(&table).counters.updates_sent;
                    if groups == 1 {
                        assert_eq!(updates, 124 + 1, "full messages, then End-of-RIB");
                    }
                    session.handle_closed(now, id, None);
                    while session.poll_effect(&mut table).is_some() {}
                    black_box(octets)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();

    // Each time round the prefixes get the other of two values.
    let mut speaker = Speaker::new(PREFIXES);
    let values = [routes(2), routes(3)];
    let mut changes = values.iter().cycle().flat_map(|value| (0..PREFIXES).map(move |n| (n, value)));
    c.bench_function("bgp_table/one change of 100k prefixes to 8 peers", |b| {
        b.iter(|| {
            let (n, value) = changes.next().unwrap();
            speaker.change(n, value);
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);

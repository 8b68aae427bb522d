//! The allocator: how long each operation takes, and that it does not grow with the number of services.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use metallb_benches::core::{config, filled, service, sharing_services, with_claim, with_one_pool_changed};
use metallb_core::facts::Service;
use metallb_core::ipam::{Allocator, Options};
use metallb_core::keys::{Family, PoolName};

/// Time of one allocation when `services` have an address already; what was allocated is released off the clock.
fn time_allocations(allocator: &mut Allocator, fresh: &[Service], rounds: u64) -> Duration {
    let now = Instant::now();
    let mut total = Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        let batch = fresh.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let start = Instant::now();
        for service in fresh.iter().take(batch) {
            black_box(with_claim(service, |claim| allocator.allocate(now, claim).is_ok()));
        }
        total += start.elapsed();
        for service in fresh.iter().take(batch).rev() {
            allocator.release(now, &service.key);
        }
        left -= u64::try_from(batch).unwrap_or(left);
    }
    total
}

fn allocate_first_free(c: &mut Criterion) {
    let mut group = c.benchmark_group("core/allocate_first_free");
    let slash28: Vec<Vec<String>> = vec![vec!["192.0.2.0/28".into()]];
    let slash64: Vec<Vec<String>> = vec![vec!["2001:db8::/64".into()]];
    for (name, pools, family, count) in [
        ("/28", &slash28, Family::V4, 0),
        ("/64", &slash64, Family::V6, 0),
        ("/64", &slash64, Family::V6, 1_000),
        ("/64", &slash64, Family::V6, 10_000),
        ("/64", &slash64, Family::V6, 100_000),
        ("/64", &slash64, Family::V6, 1_000_000),
    ] {
        let old: Vec<Service> = (0..count).map(|number| service(number, family)).collect();
        let fresh: Vec<Service> = (count..count + 14).map(|number| service(number, family)).collect();
        let mut allocator = filled(&config(pools), &old, Instant::now());
        group.bench_function(BenchmarkId::new(name, count), |b| {
            b.iter_custom(|rounds| time_allocations(&mut allocator, &fresh, rounds));
        });
    }
    group.finish();
}

fn allocate_shared(c: &mut Criterion) {
    let mut group = c.benchmark_group("core/allocate_shared");
    for (name, keys, count) in
        [("own_keys", 1_000, 10_000), ("own_keys", 10_000, 100_000), ("one_key", 1, 100_000)]
    {
        let now = Instant::now();
        let (all, fresh) = sharing_services(count, keys, 10);
        let mut allocator = filled(&config(&[vec!["10.0.0.0/8".into()]]), &all, now);
        for service in &fresh {
            allocator.release(now, &service.key);
        }
        let used = |allocator: &Allocator| allocator.pool_usage(&PoolName::new("p0000"));
        let before = used(&allocator);
        for service in &fresh {
            assert!(with_claim(service, |claim| allocator.allocate(now, claim).is_ok()) == Some(true));
        }
        assert_eq!(used(&allocator), before, "they join");
        for service in fresh.iter().rev() {
            allocator.release(now, &service.key);
        }
        group.bench_function(BenchmarkId::new(name, count), |b| {
            b.iter_custom(|rounds| time_allocations(&mut allocator, &fresh, rounds));
        });
    }
    group.finish();
}

fn restore(c: &mut Criterion) {
    let mut group = c.benchmark_group("core/restore");
    group.sample_size(10);
    for count in [1_000_usize, 100_000, 1_000_000] {
        let config = config(&[vec!["10.0.0.0/8".into()]]);
        let services: Vec<Service> = (0..count).map(|number| service(number, Family::V4)).collect();
        let recorded = [PoolName::new("p0000")];
        let addresses: Vec<std::net::IpAddr> = (0..count)
            .map(|number| {
                std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap_or(0)).into()
            })
            .collect();
        group.throughput(Throughput::Elements(u64::try_from(count).unwrap_or(u64::MAX)));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter_with_large_drop(|| {
                let mut allocator = Allocator::new(Options::default());
                allocator.set_pools(&config);
                for (service, address) in services.iter().zip(&addresses) {
                    let refused =
                        with_claim(service, |claim| allocator.restore(claim, &[*address], &recorded));
                    debug_assert!(refused.is_some_and(|refused| refused.is_empty()));
                }
                allocator
            });
        });
    }
    group.finish();
}

fn set_pools(c: &mut Criterion) {
    let mut group = c.benchmark_group("core/set_pools");
    for (pools, count) in [(10_usize, 1_000_usize), (100, 10_000), (1_000, 100_000)] {
        let ranges: Vec<Vec<String>> =
            (0..pools).map(|number| vec![format!("10.{}.{}.0/25", number / 250, number % 250)]).collect();
        let services: Vec<Service> = (0..count).map(|number| service(number, Family::V4)).collect();
        let before = config(&ranges);
        let after = with_one_pool_changed(&ranges, pools / 2, "192.0.2.0/24", &before);
        let mut allocator = filled(&before, &services, Instant::now());
        let mut flip = false;
        group.bench_function(BenchmarkId::new(format!("one_of_{pools}"), count), |b| {
            b.iter(|| {
                flip = !flip;
                black_box(allocator.set_pools(if flip { &after } else { &before }).len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, allocate_first_free, allocate_shared, restore, set_pools);
criterion_main!(benches);

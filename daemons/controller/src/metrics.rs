//! The controller's metrics, computed from its state.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use metallb_core::ipam::Usage;
use metallb_core::keys::{PoolName, ServiceKey};
use metallb_k8s::write::Stats;
use metallb_runtime::common_metrics;
use metallb_runtime::metrics::{Family, Kind, Sample, number};

use crate::configured::Configured;
use crate::inputs::Inputs;
use crate::leader::Leader;

/// Everything the controller exports. Allocation is exported by the leader only, so that sums over controllers are right.
/// No configuration: the caches are not synced yet.
pub(crate) fn families(
    leader: Option<&Leader>,
    configured: Option<&Configured>,
    inputs: &Inputs,
    stats: &Arc<Stats>,
) -> Vec<Family> {
    let mut families = common_metrics::api_client(stats);
    let problems = configured.map(|configured| &*configured.problems).unwrap_or_default();
    let objects = configured.map(|_| inputs.configuration.object_ids()).unwrap_or_default();
    let judgement = configured.map(Configured::judgement);
    families.extend(common_metrics::configuration(judgement.as_ref(), &objects, problems));
    families.extend(common_metrics::process(inputs.queue.depth(), inputs.queue.oldest()));
    let leads = f64::from(u8::from(leader.is_some()));
    families.push(Family::single(
        "metallb_controller_leader",
        Kind::Gauge,
        "1 if this controller leads",
        leads,
    ));
    if let Some(leader) = leader {
        families.extend(pools(leader));
        families.push(errors(leader));
        families.push(durations(leader));
    }
    families
}

/// A count of addresses in one family or both.
type Count = fn(&Usage) -> u128;

fn pools(leader: &Leader) -> Vec<Family> {
    let counts: [(&'static str, &'static str, Count); 6] = [
        ("metallb_allocator_addresses_total", "Usable addresses per pool", |usage| {
            total_v4(usage).saturating_add(total_v6(usage))
        }),
        ("metallb_allocator_ipv4_addresses_total", "Usable IPv4 addresses per pool", total_v4),
        ("metallb_allocator_ipv6_addresses_total", "Usable IPv6 addresses per pool", total_v6),
        ("metallb_allocator_addresses_in_use_total", "Addresses in use per pool", |usage| {
            usage.assigned_v4.saturating_add(usage.assigned_v6)
        }),
        ("metallb_allocator_ipv4_addresses_in_use_total", "IPv4 addresses in use per pool", |usage| {
            usage.assigned_v4
        }),
        ("metallb_allocator_ipv6_addresses_in_use_total", "IPv6 addresses in use per pool", |usage| {
            usage.assigned_v6
        }),
    ];
    counts
        .into_iter()
        .map(|(name, help, count)| {
            let mut family = Family::new(name, Kind::Gauge, help);
            for pool in leader.config().pools().keys() {
                let usage = leader.assigner().usage(pool).unwrap_or_default();
                family.push(vec![("pool", pool.to_string())], wide(count(&usage)));
            }
            family
        })
        .collect()
}

fn total_v4(usage: &Usage) -> u128 {
    usage.assigned_v4.saturating_add(usage.available_v4)
}

fn total_v6(usage: &Usage) -> u128 {
    usage.assigned_v6.saturating_add(usage.available_v6)
}

/// How many addresses a service holds of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    service: ServiceKey,
    pool: PoolName,
    addresses: usize,
}

/// What every service holds: one look at each, as all other services wait meanwhile.
pub(crate) fn held(leader: &Leader) -> Vec<Held> {
    let pools = leader.config().pools();
    let mut held = Vec::new();
    for (service, allocation) in leader.assigner().allocations() {
        let only = allocation.pools.len() == 1;
        for pool in allocation.pools {
            let of_pool = pools.get(&pool);
            let kept = |address: &IpAddr| allocation.held.iter().any(|(at, of)| at == address && *of == pool);
            let inside = |address: &&IpAddr| {
                only || of_pool.is_some_and(|pool| pool.contains(**address)) || kept(address)
            };
            let addresses = allocation.addresses.iter().filter(inside).count();
            held.push(Held { service: service.clone(), pool, addresses });
        }
    }
    held
}

/// The pools that are in force.
pub(crate) fn pool_names(leader: &Leader) -> Vec<PoolName> {
    leader.config().pools().keys().cloned().collect()
}

/// How many services have addresses of each pool.
pub(crate) fn services(pools: Vec<PoolName>, held: &[Held]) -> Family {
    let mut allocated = Family::new(
        "metallb_allocator_services_allocated_total",
        Kind::Gauge,
        "Services that have addresses of the pool",
    );
    let mut per_pool: BTreeMap<PoolName, u64> = pools.into_iter().map(|pool| (pool, 0)).collect();
    for Held { pool, .. } in held {
        *per_pool.entry(pool.clone()).or_insert(0) += 1;
    }
    for (pool, count) in per_pool {
        allocated.push(vec![("pool", pool.to_string())], number(count));
    }
    allocated
}

/// The series of every service.
pub(crate) fn per_service(held: &[Held]) -> Family {
    let name = "metallb_allocator_ip_addresses_in_use_total";
    let mut family = Family::new(name, Kind::Gauge, "Addresses held per service");
    for Held { service, pool, addresses } in held {
        let labels = vec![
            ("pool", pool.to_string()),
            ("namespace", service.namespace().to_owned()),
            ("service", service.name().to_owned()),
        ];
        family.push(labels, number(u64::try_from(*addresses).unwrap_or(u64::MAX)));
    }
    family
}

fn durations(leader: &Leader) -> Family {
    let name = "metallb_allocator_allocation_duration_seconds";
    let help = "Time from when a service is seen to want addresses until it has got them";
    let mut family = Family::new(name, Kind::Histogram, help);
    family.samples.push(Sample { labels: Vec::new(), value: leader.waits().durations().value() });
    family
}

fn errors(leader: &Leader) -> Family {
    let mut family = Family::new(
        "metallb_allocator_addresses_errors_total",
        Kind::Counter,
        "Failed allocations by reason",
    );
    for (reason, count) in leader.failures() {
        family.push(vec![("reason", (*reason).to_owned())], number(*count));
    }
    family
}

#[expect(clippy::cast_precision_loss, reason = "a Prometheus sample is an f64 by definition")]
fn wide(value: u128) -> f64 {
    value as f64
}

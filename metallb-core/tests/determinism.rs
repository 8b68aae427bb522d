//! Equal facts give equal decisions, in whatever order they arrive; what was decided is stable.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PoolInput};
use metallb_core::facts::{Demand, FamilyPolicy, Request, RequestedFamilies, Service};
use metallb_core::ipam::{Action, Assigner, Options};
use metallb_core::keys::{Created, Family, Port, Protocol, ServiceKey, SharingKey};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u8..6).prop_map(|host| IpAddr::from([10, 0, 0, host])),
        (0_u16..4).prop_map(|host| IpAddr::from([0xfc00, 0, 0, 0, 0, 0, 0, host])),
    ]
}

prop_compose! {
    fn service()(
        number in 0_u8..12, created in 0_i64..4, dual: bool, v6: bool, require: bool, none in prop::bool::weighted(0.1),
        assigned in vec(address(), 0..3), recorded in option::of("[pq]"), key in option::of("[ab]"),
        ports in btree_set(80_u16..83, 0..3),
    ) -> Service {
        let preferred = if v6 { Family::V6 } else { Family::V4 };
        let families = if dual { RequestedFamilies::both(preferred) } else { RequestedFamilies::one(preferred) };
        let policy = if dual && require { FamilyPolicy::RequireDual } else { FamilyPolicy::PreferDual };
        let request = Request::new(families, policy, Vec::new(), None).unwrap();
        let demand = if none { Demand::None } else { Demand::Addresses(request) };
        let key_of = ServiceKey::new(format!("n{}", number % 2), format!("s{number}"));
        let mut service = Service::new(key_of, Created(created), demand);
        service.assigned = assigned;
        service.recorded_pools = recorded.into_iter().map(Into::into).collect();
        service.sharing_key = key.map(SharingKey::from);
        service.ports = ports.into_iter().map(|number| Port::new(Protocol::Tcp, number)).collect();
        service
    }
}

fn config(last: u8) -> Arc<Config> {
    let pool = |name: &str, addresses: Vec<String>| PoolInput {
        meta: Meta::new(name, Created(0)),
        addresses,
        ..PoolInput::default()
    };
    let p = pool("p", vec![format!("10.0.0.0-10.0.0.{last}"), "fc00::-fc00::1".into()]);
    let q = pool("q", vec!["10.0.0.5".into(), "fc00::3".into()]);
    Arc::new(Config::build(&Input { pools: vec![p, q], ..Input::default() }, &Config::default()).config)
}

fn unique(services: Vec<Service>) -> Vec<Service> {
    let mut seen = std::collections::BTreeSet::new();
    services.into_iter().filter(|service| seen.insert(service.key.clone())).collect()
}

fn decide(services: &[Service], config: &Arc<Config>, config_first: bool) -> (Assigner, Vec<Action>) {
    let now = Instant::now();
    let mut engine = Assigner::new(Options::default());
    if config_first {
        engine.set_config(now, Arc::clone(config));
    }
    for service in services {
        engine.apply_service(now, service.clone());
    }
    if !config_first {
        engine.set_config(now, Arc::clone(config));
    }
    engine.start(now);
    let actions = std::iter::from_fn(|| engine.poll_action()).collect();
    (engine, actions)
}

/// What the API would show after all was written.
fn written(services: &[Service], actions: &[Action]) -> Vec<Service> {
    let mut services = services.to_vec();
    for action in actions {
        let (key, addresses, pools) = match action {
            Action::Assign { service, addresses, pools } => (service, addresses.clone(), pools.clone()),
            Action::Clear { service, .. } => (service, Vec::new(), Vec::new()),
            _ => continue,
        };
        for service in services.iter_mut().filter(|service| service.key == *key) {
            service.assigned.clone_from(&addresses);
            service.recorded_pools.clone_from(&pools);
        }
    }
    services
}

proptest! {
    #[test]
    fn the_order_in_which_facts_arrive_does_not_matter(
        services in vec(service(), 0..12), last in 1_u8..5, seed: u64, config_first: bool,
    ) {
        let services = unique(services);
        let mut shuffled = services.clone();
        shuffled.sort_by_key(|service| {
            service.key.as_str().bytes().fold(seed, |hash, byte| hash.rotate_left(5).wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte))
        });
        let (_, one) = decide(&services, &config(last), true);
        let (_, other) = decide(&shuffled, &config(last), config_first);
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_was_written_is_right_after_a_restart(services in vec(service(), 0..12), last in 1_u8..5) {
        let services = unique(services);
        let (_, actions) = decide(&services, &config(last), true);
        let after = written(&services, &actions);
        let (_, again) = decide(&after, &config(last), true);
        let writes = again.iter().filter(|a| matches!(a, Action::Assign { .. } | Action::Clear { .. })).count();
        prop_assert_eq!(writes, 0, "{:?}", again);
    }

    #[test]
    fn an_edit_of_a_pool_moves_nobody_whose_address_is_still_valid(services in vec(service(), 0..12), last in 1_u8..4) {
        let services = unique(services);
        let (mut engine, actions) = decide(&services, &config(last + 1), true);
        let now = Instant::now();
        let after = written(&services, &actions);
        for service in &after {
            engine.apply_service(now, service.clone());
        }
        engine.set_config(now, config(last));
        let still_valid = |address: &IpAddr| *address != IpAddr::from([10, 0, 0, last + 1]);
        while engine.poll_action().is_some() {}
        // Where both families are required, the loss of one may take the other along.
        let loses_half = |service: &Service| match &service.demand {
            Demand::Addresses(request) if request.policy() == FamilyPolicy::RequireDual => {
                !service.assigned.iter().all(still_valid)
            }
            _ => false,
        };
        for service in after.iter().filter(|service| !loses_half(service)) {
            let now_has = engine.allocation(&service.key).map(|a| a.addresses).unwrap_or_default();
            for address in service.assigned.iter().filter(|address| still_valid(address)) {
                prop_assert!(now_has.contains(address), "{} lost {address}: {now_has:?}", service.key);
            }
        }
    }
}

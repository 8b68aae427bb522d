//! Fixtures of the size of a real cluster for the address allocator.

use std::collections::BTreeSet;
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PoolInput};
use metallb_core::facts::{Demand, Request, Service};
use metallb_core::ipam::{Allocator, Claim, Options};
use metallb_core::keys::{Created, Family, Port, Protocol, ServiceKey, SharingKey};
use metallb_core::select::Labels;

/// A valid configuration of these pools, named `p0000`, `p0001`, ….
///
/// # Panics
/// When a pool is not valid.
pub fn config(pools: &[Vec<String>]) -> Config {
    let pools = pools.iter().enumerate().map(|(index, addresses)| PoolInput {
        meta: Meta::new(format!("p{index:04}"), Created(0)),
        addresses: addresses.clone(),
        ..PoolInput::default()
    });
    let built = Config::build(&Input { pools: pools.collect(), ..Input::default() }, &Config::default());
    assert!(built.errors.is_empty(), "{:?}", built.errors);
    built.config
}

/// Service number `number`, with one TCP port, asking for one address of the family.
pub fn service(number: usize, family: Family) -> Service {
    let key = ServiceKey::new(format!("team-{}", number % 100), format!("service-{number}"));
    let created = Created(i64::try_from(number).unwrap_or(i64::MAX));
    let mut service = Service::new(key, created, Demand::Addresses(Request::single(family)));
    service.ports = BTreeSet::from([Port::new(Protocol::Tcp, 443)]);
    service
}

/// Services that share: ten to an address, each with a port of its own, under `keys` different keys.
pub fn sharing_service(number: usize, keys: usize) -> Service {
    let mut service = service(number, Family::V4);
    service.sharing_key = Some(SharingKey::new(format!("key-{}", number % keys)));
    let port = u16::try_from(1000 + (number / keys) % 10).unwrap_or(u16::MAX);
    service.ports = BTreeSet::from([Port::new(Protocol::Tcp, port)]);
    service
}

/// The claim of a service that asks for addresses.
pub fn with_claim<R>(service: &Service, act: impl FnOnce(&Claim<'_>) -> R) -> Option<R> {
    match &service.demand {
        Demand::Addresses(request) => Some(act(&Claim::new(service, request, &Labels::new()))),
        _ => None,
    }
}

/// An allocator in which each of the services has been given an address.
///
/// # Panics
/// When one gets none.
pub fn filled(config: &Config, services: &[Service], now: Instant) -> Allocator {
    let mut allocator = Allocator::new(Options::default());
    allocator.set_pools(config);
    for service in services {
        let result = with_claim(service, |claim| allocator.allocate(now, claim));
        assert!(matches!(result, Some(Ok(_))), "{result:?}");
    }
    allocator
}

/// The same configuration with one more entry in one pool.
pub fn with_one_pool_changed(pools: &[Vec<String>], index: usize, entry: &str, previous: &Config) -> Config {
    let inputs = pools.iter().enumerate().map(|(number, addresses)| {
        let mut addresses = addresses.clone();
        if number == index {
            addresses.push(entry.to_owned());
        }
        let meta = Meta::new(format!("p{number:04}"), Created(0));
        PoolInput { meta, addresses, ..PoolInput::default() }
    });
    Config::build(&Input { pools: inputs.collect(), ..Input::default() }, previous).config
}

//! Fixtures of the size of a real cluster for the address allocator.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PoolInput};
use metallb_core::facts::{Demand, Request, Service};
use metallb_core::ipam::{Allocator, Claim, Options};
use metallb_core::keys::{Created, Family, PoolName, Port, Protocol, ServiceKey, SharingKey};
use metallb_core::select::Labels;

use crate::operation::Batch;

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

fn sharing_service(number: usize, keys: usize) -> Service {
    let mut service = service(number, Family::V4);
    service.sharing_key = Some(SharingKey::new(format!("key-{}", number % keys)));
    let port = u16::try_from(1000 + (number / keys) % 10).unwrap_or(u16::MAX);
    service.ports = BTreeSet::from([Port::new(Protocol::Tcp, port)]);
    service
}

/// Services that share: ten to an address, each with a port of its own, under `keys` different keys; and the last `fresh`
/// of those that join nine others each.
pub fn sharing_services(count: usize, keys: usize, fresh: usize) -> (Vec<Service>, Vec<Service>) {
    let all = (0..count).map(|number| sharing_service(number, keys)).collect();
    let tenth = (0..count).rev().filter(|number| (number / keys) % 10 == 9);
    (all, tenth.take(fresh).map(|number| sharing_service(number, keys)).collect())
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

/// Gives addresses to services that have none.
struct Fresh {
    allocator: Allocator,
    now: Instant,
    fresh: Vec<Service>,
}

impl Fresh {
    /// The allocator has had all services, the fresh ones as well, so nothing grows any more.
    fn boxed(pool: &str, services: &[Service], fresh: Vec<Service>) -> Box<dyn Batch> {
        let now = base();
        let allocator = filled(&config(&[vec![pool.to_owned()]]), services, now);
        let mut batch = Self { allocator, now, fresh };
        batch.undo();
        Box::new(batch)
    }
}

impl Batch for Fresh {
    fn run(&mut self) {
        for service in &self.fresh {
            let given = with_claim(service, |claim| self.allocator.allocate(self.now, claim));
            assert!(matches!(black_box(given), Some(Ok(_))));
        }
    }

    fn undo(&mut self) {
        for service in self.fresh.iter().rev() {
            self.allocator.release(self.now, &service.key);
        }
    }
}

fn first_free(pool: &str, family: Family, services: u32, operations: u32) -> Box<dyn Batch> {
    let all: Vec<Service> =
        (0..services + operations).map(|number| service(number as usize, family)).collect();
    let fresh = all.iter().skip(services as usize).cloned().collect();
    Fresh::boxed(pool, &all, fresh)
}

/// The first free address of a pool that is never exhausted.
pub(crate) fn first_free_64(services: u32, operations: u32) -> Box<dyn Batch> {
    first_free("2001:db8::/64", Family::V6, services, operations)
}

/// The first free address of a pool that is nearly exhausted in the end.
pub(crate) fn first_free_28(services: u32, operations: u32) -> Box<dyn Batch> {
    first_free("192.0.2.0/28", Family::V4, services, operations)
}

fn joining(services: u32, keys: u32, operations: u32) -> Box<dyn Batch> {
    let (all, fresh) = sharing_services(services as usize, keys as usize, operations as usize);
    Fresh::boxed("10.0.0.0/8", &all, fresh)
}

/// Ten services to an address, each address with a key of its own; the fresh ones join the others.
pub(crate) fn shared_own_keys(services: u32, operations: u32) -> Box<dyn Batch> {
    joining(services, services / 10, operations)
}

/// The same with one key for all: a place with a free port has to be found.
pub(crate) fn shared_one_key(services: u32, operations: u32) -> Box<dyn Batch> {
    joining(services, 1, operations)
}

/// What is read when the controller starts.
struct Restore {
    config: Config,
    services: Vec<(Service, IpAddr)>,
    allocator: Option<Allocator>,
}

impl Batch for Restore {
    fn run(&mut self) {
        let recorded = [PoolName::new("p0000")];
        let mut allocator = Allocator::new(Options::default());
        allocator.set_pools(&self.config);
        for (service, address) in &self.services {
            let refused = with_claim(service, |claim| allocator.restore(claim, &[*address], &recorded));
            assert!(refused.is_some_and(|refused| refused.is_empty()));
        }
        assert_eq!(allocator.len(), self.services.len());
        self.allocator = Some(allocator);
    }

    fn undo(&mut self) {
        self.allocator = None;
    }
}

/// Services that have their addresses already are entered into an empty allocator.
pub(crate) fn restore(services: u32, _: u32) -> Box<dyn Batch> {
    let config = config(&[vec!["10.0.0.0/8".into()]]);
    let address = |number| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
    let services = (0..services).map(|number| (service(number as usize, Family::V4), address(number)));
    Box::new(Restore { config, services: services.collect(), allocator: None })
}

/// One of many pools of 100 services gets another range, and loses it again.
pub(crate) fn set_pools(pools: u32, _: u32) -> Box<dyn Batch> {
    let range = |number: u32| vec![format!("10.{}.{}.0/25", number / 250, number % 250)];
    let ranges: Vec<Vec<String>> = (0..pools).map(range).collect();
    let services: Vec<Service> =
        (0..pools * 100).map(|number| service(number as usize, Family::V4)).collect();
    let before = config(&ranges);
    let after = with_one_pool_changed(&ranges, ranges.len() / 2, "192.0.2.0/24", &before);
    let mut allocator = filled(&before, &services, base());
    Box::new(move || {
        for config in [&after, &before] {
            assert!(!black_box(allocator.set_pools(config)).is_empty());
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "an allocator takes a time to start from")]
fn base() -> Instant {
    Instant::now()
}

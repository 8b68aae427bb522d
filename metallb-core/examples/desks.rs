//! Addresses for the phones on the desks of an office: no cluster, no load balancer.
//!
//! Phones of visitors get an address of the visitors' pool only; a desk with two phones shares one address between them
//! as long as they use different ports; after a restart every phone has the address that it had.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example talks to people and has a clock"
)]

use std::error::Error;
use std::net::IpAddr;
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PoolInput, ServiceAllocationInput};
use metallb_core::facts::{Demand, Request, Service};
use metallb_core::ipam::{Allocator, Claim, Options};
use metallb_core::keys::{Created, Family, PoolName, Port, Protocol, ServiceKey, SharingKey};
use metallb_core::select::Labels;

fn main() -> Result<(), Box<dyn Error>> {
    let config = configuration()?;
    let now = Instant::now();
    let wish = Request::single(Family::V4);
    let anywhere = Labels::new();

    let mut book = Allocator::new(Options::default());
    book.set_pools(&config);

    let mut written_down: Vec<(Service, Vec<IpAddr>, Vec<PoolName>)> = Vec::new();
    for phone in phones(&wish) {
        match book.allocate(now, &Claim::new(&phone, &wish, &anywhere)) {
            Ok(lease) => {
                println!("{:<20} {:?} of {:?}", phone.key.to_string(), lease.addresses, lease.pools);
                written_down.push((phone, lease.addresses, lease.pools));
            }
            Err(error) => {
                println!("{:<20} nothing: {error} [{}]", phone.key.to_string(), error.reason());
                for (pool, verdict) in book.explain(&Claim::new(&phone, &wish, &anywhere)).pools {
                    println!("{:<20} pool {pool} {verdict}", "");
                }
            }
        }
    }

    // A phone that asks for what it cannot have still holds what it has.
    if let Some((phone, addresses, _)) = written_down.first() {
        let outside =
            Request::new(wish.families(), wish.policy(), vec![IpAddr::from([203, 0, 113, 1])], None)?;
        let refused = book.allocate(now, &Claim::new(phone, &outside, &anywhere));
        assert_eq!(book.allocation(&phone.key).map(|lease| lease.addresses).as_ref(), Some(addresses));
        println!("{:<20} stays at {addresses:?}: {refused:?}", phone.key.to_string());
    }

    // A restart: a new book gets back what was written down, in any order.
    let mut book = Allocator::new(Options::default());
    book.set_pools(&config);
    for (phone, addresses, pools) in written_down.iter().rev() {
        let refused = book.restore(&Claim::new(phone, &wish, &anywhere), addresses, pools);
        assert!(refused.is_empty(), "{refused:?}");
    }
    println!("after a restart {} phones have the addresses that they had", book.len());
    Ok(())
}

fn configuration() -> Result<Config, Box<dyn Error>> {
    let pool = |name: &str, addresses: &str, groups: &[&str]| PoolInput {
        meta: Meta::new(name, Created(0)),
        addresses: vec![addresses.into()],
        service_allocation: (!groups.is_empty()).then(|| ServiceAllocationInput {
            namespaces: groups.iter().map(|&group| group.into()).collect(),
            ..ServiceAllocationInput::default()
        }),
        ..PoolInput::default()
    };
    let pools = vec![
        pool("staff", "192.0.2.0/30", &["floor-1", "floor-2"]),
        pool("visitors", "198.51.100.7", &["lobby"]),
    ];
    let built = Config::build(&Input { pools, ..Input::default() }, &Config::default());
    match built.errors.into_iter().next() {
        Some(error) => Err(error.into()),
        None => Ok(built.config),
    }
}

fn phones(wish: &Request) -> Vec<Service> {
    let phone = |group: &str, name: &str, age: i64| {
        Service::new(ServiceKey::new(group, name), Created(age), Demand::Addresses(wish.clone()))
    };
    let two_on_a_desk = |name: &str, age, port| {
        let mut phone = phone("floor-2", name, age);
        phone.sharing_key = Some(SharingKey::new("desk-7"));
        phone.ports = [Port::new(Protocol::Udp, port)].into();
        phone
    };
    vec![
        phone("floor-1", "reception", 1),
        two_on_a_desk("desk-7-left", 2, 5060),
        two_on_a_desk("desk-7-right", 3, 5062),
        phone("lobby", "guest-1", 4),
        phone("lobby", "guest-2", 5),
    ]
}

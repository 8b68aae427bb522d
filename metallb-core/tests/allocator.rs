//! The book of addresses as a program uses it that has no cluster.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PoolInput};
use metallb_core::facts::{Demand, FamilyPolicy, Request, RequestedFamilies, Service};
use metallb_core::ipam::{AllocationError, Allocator, Claim, Options};
use metallb_core::keys::{Created, Family, ServiceKey};
use metallb_core::select::Labels;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mk_book(options: Options, addresses: &[&str]) -> Allocator {
    let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    let pool = PoolInput { meta: Meta::new("p", Created(0)), addresses, ..PoolInput::default() };
    let mut book = Allocator::new(options);
    book.set_pools(
        &Config::build(&Input { pools: vec![pool], ..Input::default() }, &Config::default()).config,
    );
    book
}

fn mk_machine(namespace: &str, name: &str, wanted: &[&str]) -> (Service, Request) {
    let wanted = wanted.iter().map(|address| ip(address)).collect();
    let request =
        Request::new(RequestedFamilies::one(Family::V4), FamilyPolicy::Single, wanted, None).unwrap();
    let demand = Demand::Addresses(request.clone());
    (Service::new(ServiceKey::new(namespace, name), Created(0), demand), request)
}

fn allocate(
    book: &mut Allocator,
    now: Instant,
    (machine, request): &(Service, Request),
) -> Result<Vec<IpAddr>, AllocationError> {
    book.allocate(now, &Claim::new(machine, request, &Labels::new())).map(|allocation| allocation.addresses)
}

#[test]
fn whoever_is_refused_another_address_still_holds_the_one_it_has() {
    let (now, mut book) = (Instant::now(), mk_book(Options::default(), &["192.0.2.0/31"]));
    let first = ip("192.0.2.0");
    assert_eq!(allocate(&mut book, now, &mk_machine("lab", "a", &[])), Ok(vec![first]));
    let refused = allocate(&mut book, now, &mk_machine("lab", "a", &["203.0.113.1"]));
    assert_eq!(refused, Err(AllocationError::AddressNotInPool { address: ip("203.0.113.1") }));
    assert_eq!(book.allocation(&ServiceKey::new("lab", "a")).unwrap().addresses, [first]);
    // So nobody else is given it, whether it asks for it or takes what comes.
    assert!(allocate(&mut book, now, &mk_machine("lab", "b", &["192.0.2.0"])).is_err());
    assert_eq!(allocate(&mut book, now, &mk_machine("lab", "c", &[])), Ok(vec![ip("192.0.2.1")]));
}

#[test]
fn whoever_is_given_another_address_leaves_the_one_it_had_to_others() {
    let (now, mut book) = (Instant::now(), mk_book(Options::default(), &["192.0.2.0/31"]));
    assert_eq!(allocate(&mut book, now, &mk_machine("lab", "a", &[])), Ok(vec![ip("192.0.2.0")]));
    assert_eq!(allocate(&mut book, now, &mk_machine("lab", "a", &["192.0.2.1"])), Ok(vec![ip("192.0.2.1")]));
    assert_eq!(allocate(&mut book, now, &mk_machine("lab", "b", &[])), Ok(vec![ip("192.0.2.0")]));
}

#[test]
fn names_with_slashes_never_stand_for_one_another() {
    let (now, mut book) = (Instant::now(), mk_book(Options::default(), &["192.0.2.0/29"]));
    let names = [("a/b", "x"), ("a_b", "x"), ("a", "b/x"), ("a%2Fb", "x"), ("a/b/x", ""), ("", "a/b/x")];
    let given: BTreeSet<IpAddr> = names
        .iter()
        .map(|(namespace, name)| allocate(&mut book, now, &mk_machine(namespace, name, &[])).unwrap()[0])
        .collect();
    assert_eq!(given.len(), names.len());
    let namespaces: Vec<&str> = book.allocations().map(|(key, _)| key.namespace()).collect();
    assert_eq!(namespaces, ["", "a", "a%2Fb", "a/b", "a/b/x", "a_b"]);
}

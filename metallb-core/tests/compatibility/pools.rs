//! Pools.

use metallb_core::config::{Config, Input, PoolInput, ServiceAllocationInput};
use metallb_core::ipam::{Allocator, Options, Usage};
use metallb_core::select::Labels;

use crate::support::{
    Case, build, expressions, label, labels, mk_pool, pool, refused, strings, taken, texts, twice,
};

#[test]
fn an_empty_configuration_is_one() {
    let built = Config::build(&Input::default(), &Config::default());
    assert_eq!((built.errors.len(), built.warnings.len(), built.config), (0, 0, Config::default()));
}

#[test]
fn pools_have_metallbs_entries_and_defaults() {
    let config = taken(|input| {
        let ranges = ["192.0.2.150-192.0.2.200", "192.0.2.210 - 192.0.2.240", "192.0.2.250-192.0.2.250"];
        pool(input, |p| p.addresses = strings(&ranges));
        input.pools.push(PoolInput {
            auto_assign: false,
            avoid_buggy_ips: true,
            ..mk_pool("y", &["203.0.113.77/24"])
        });
    });
    let (x, y) = (&config.pools()["x"], &config.pools()["y"]);
    assert_eq!((x.auto_assign, x.avoid_buggy_ips, x.service_allocation.is_none()), (true, false, true));
    assert_eq!((y.auto_assign, y.avoid_buggy_ips), (false, true));
    let cover = |index: usize| x.entries[index].cover().map(|network| network.to_string());
    assert_eq!(
        cover(0).collect::<Vec<_>>(),
        ["192.0.2.150/31", "192.0.2.152/29", "192.0.2.160/27", "192.0.2.192/29", "192.0.2.200/32"]
    );
    assert_eq!(cover(1).count(), 5);
    assert_eq!(cover(2).collect::<Vec<_>>(), ["192.0.2.250/32"]);
    assert_eq!(y.entries[0].to_string(), "203.0.113.0/24", "host bits are masked");
}

const REFUSED: &[Case<PoolInput>] = &[
    ("no address", |p| p.addresses.clear(), "spec.addresses", "list at least one"),
    (
        "no such address",
        |p| p.addresses = strings(&["192.0.2.400/24"]),
        "spec.addresses[0]",
        "write for example",
    ),
    ("no such length", |p| p.addresses = strings(&["192.0.2.0/33"]), "spec.addresses[0]", "use 0 to 32"),
    ("backwards", |p| p.addresses = strings(&["192.0.2.9-192.0.2.1"]), "spec.addresses[0]", "swap them"),
    (
        "a blank",
        |p| p.addresses = strings(&[" 192.0.2.0/24"]),
        "spec.addresses[0]",
        "remove the blanks around it",
    ),
    ("twice", |p| p.addresses.push("192.0.2.9-192.0.2.9".into()), "spec.addresses[1]", "remove one"),
    (
        "inside another",
        |p| p.addresses = strings(&["198.18.7.0/24"]),
        "spec.addresses[0]",
        "remove the common",
    ),
    (
        "into another",
        |p| p.addresses = strings(&["198.18.255.9-198.19.0.3"]),
        "spec.addresses[0]",
        "remove the common addresses",
    ),
    (
        "a namespace twice",
        |p| allocation(p).namespaces = strings(&["n", "n"]),
        "spec.serviceAllocation.namespaces[1]",
        "remove one",
    ),
    (
        "a namespace selector twice",
        |p| allocation(p).namespace_selectors = twice(),
        "spec.serviceAllocation.namespaceSelectors[1]",
        "remove one",
    ),
    (
        "a service selector twice",
        |p| allocation(p).service_selectors = twice(),
        "spec.serviceAllocation.serviceSelectors[1]",
        "remove one",
    ),
    (
        "a value twice",
        |p| allocation(p).service_selectors = expressions(&[("app", "In", &["x", "x"])]),
        "spec.serviceAllocation.serviceSelectors[0]",
        "remove one",
    ),
];

fn allocation(pool: &mut PoolInput) -> &mut ServiceAllocationInput {
    pool.service_allocation.get_or_insert_default()
}

#[test]
fn pools_that_metallb_refuses_are_refused() {
    refused("IPAddressPool", pool, REFUSED);
}

#[test]
fn a_pool_needs_a_name_of_its_own() {
    let nameless = build(|input| pool(input, |p| p.meta.name.clear()));
    assert_eq!(
        texts(&nameless.errors),
        ["IPAddressPool \"\": metadata.name: is missing; give the object a name"]
    );
    let two = build(|input| {
        pool(input, |_| ());
        pool(input, |p| p.addresses = strings(&["203.0.113.0/24"]));
    });
    assert_eq!(
        texts(&two.errors),
        ["IPAddressPool \"x\": metadata.name: another IPAddressPool has the same name; rename one"]
    );
}

#[test]
fn a_pool_admits_the_namespaces_and_services_that_it_is_for() {
    let admits = |allocation: &ServiceAllocationInput, namespace: &str, team: &str, app: &str| {
        let config = taken(|input| pool(input, |p| p.service_allocation = Some(allocation.clone())));
        config.pools()["x"].admits(namespace, &labels(&[("team", team)]), &labels(&[("app", app)]))
    };
    let by_name = ServiceAllocationInput { namespaces: strings(&["n1"]), ..Default::default() };
    assert!(admits(&by_name, "n1", "any", "any"));
    assert!(!admits(&by_name, "n2", "any", "any"));
    let by_label =
        ServiceAllocationInput { namespace_selectors: vec![label("team", "a")], ..Default::default() };
    assert!(admits(&by_label, "n2", "a", "any"));
    assert!(!admits(&by_label, "n2", "b", "any"), "also when no namespace has the label");
    let both = ServiceAllocationInput { service_selectors: vec![label("app", "x")], ..by_name };
    assert!(admits(&both, "n1", "any", "x"));
    assert!(!admits(&both, "n1", "any", "y"));
    assert!(!admits(&both, "n2", "any", "x"));
}

#[test]
fn an_allocation_that_only_has_a_priority_is_for_every_service() {
    let config = taken(|input| pool(input, |p| allocation(p).priority = 7));
    let pool = &config.pools()["x"];
    assert_eq!(pool.service_allocation.as_ref().unwrap().priority, Some(7));
    assert!(pool.admits("anywhere", &Labels::new(), &Labels::new()));
}

#[test]
fn entries_that_metallb_takes_for_something_else_are_refused() {
    let cases: &[Case<PoolInput>] = &[
        (
            "two families",
            |p| p.addresses = strings(&["192.0.2.1-2001:db8::1"]),
            "spec.addresses[0]",
            "use one family per range",
        ),
        (
            "IPv4 as IPv6",
            |p| p.addresses = strings(&["::ffff:192.0.2.0/120"]),
            "spec.addresses[0]",
            "write it as IPv4",
        ),
    ];
    refused("IPAddressPool", pool, cases);
}

#[test]
fn an_address_that_is_avoided_is_a_pool_of_none() {
    for address in ["192.0.2.0", "192.0.2.255"] {
        let config = taken(|input| {
            pool(input, |p| p.avoid_buggy_ips = true);
            input.pools.last_mut().unwrap().addresses = strings(&[address]);
        });
        let mut allocator = Allocator::new(Options::default());
        allocator.set_pools(&config);
        assert_eq!(allocator.pool_usage(&"x".into()), Some(Usage::default()), "{address}");
    }
}

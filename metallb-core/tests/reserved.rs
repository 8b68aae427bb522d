//! Addresses that are never given out: excluded ones, and those that visibly are somebody's own.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PeerInput, PoolInput};
use metallb_core::facts::{AddressOwner, Demand, FamilyPolicy, Request, RequestedFamilies, Service};
use metallb_core::ipam::{Action, AllocationError, Assigner, Options, Report};
use metallb_core::keys::{Created, Family, NodeName, PeerName, PoolName, ServiceKey, SharingKey};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mk_pool(addresses: &[&str], excluded: &[&str]) -> PoolInput {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    PoolInput {
        meta: Meta::new("p", Created(0)),
        addresses: texts(addresses),
        exclude_addresses: texts(excluded),
        ..PoolInput::default()
    }
}

fn mk_config(pool: PoolInput, peers: &[&str]) -> Arc<Config> {
    let peer = |(number, address): (usize, &&str)| PeerInput {
        meta: Meta::new(format!("tor-{number}"), Created(0)),
        my_asn: 64512,
        peer_asn: Some(64513),
        address: Some((*address).to_owned()),
        ..PeerInput::default()
    };
    let peers = peers.iter().enumerate().map(peer).collect();
    let built = Config::build(&Input { pools: vec![pool], peers, ..Input::default() }, &Config::default());
    assert_eq!(built.errors, []);
    Arc::new(built.config)
}

fn mk_service(name: &str, wanted: &[&str], has: &[&str]) -> Service {
    let wanted = wanted.iter().map(|address| ip(address)).collect();
    let request =
        Request::new(RequestedFamilies::one(Family::V4), FamilyPolicy::Single, wanted, None).unwrap();
    let mut service = Service::new(ServiceKey::new("ns", name), Created(0), Demand::Addresses(request));
    service.assigned = has.iter().map(|address| ip(address)).collect();
    service.recorded_pools = if has.is_empty() { Vec::new() } else { vec!["p".into()] };
    service
}

fn node(name: &str) -> AddressOwner {
    AddressOwner::Node(NodeName::new(name))
}

struct Bench {
    engine: Assigner,
    now: Instant,
}

impl Bench {
    fn new(config: &Arc<Config>, owners: &[(AddressOwner, &[&str])], services: &[Service]) -> Self {
        let now = Instant::now();
        let mut bench = Self { engine: Assigner::new(Options::default()), now };
        bench.engine.set_config(now, Arc::clone(config));
        for (owner, addresses) in owners {
            bench.own(owner, addresses);
        }
        for service in services {
            bench.engine.apply_service(now, service.clone());
        }
        bench.engine.start(now);
        bench
    }

    fn own(&mut self, owner: &AddressOwner, addresses: &[&str]) {
        let addresses: BTreeSet<IpAddr> = addresses.iter().map(|address| ip(address)).collect();
        self.engine.reserve(self.now, owner, &addresses);
    }

    fn drain(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.engine.poll_action()).collect()
    }

    fn reports(&mut self) -> Vec<Report> {
        let report = |action| match action {
            Action::Report { report, .. } => Some(report),
            _ => None,
        };
        self.drain().into_iter().filter_map(report).collect()
    }

    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        self.engine.allocation(&ServiceKey::new("ns", name)).map(|a| a.addresses).unwrap_or_default()
    }

    fn warning(&self) -> String {
        self.engine.owned_in(&PoolName::new("p")).map(|problem| problem.to_string()).unwrap_or_default()
    }
}

#[test]
fn addresses_of_nodes_peers_and_the_api_server_are_skipped_and_named_on_the_pool() {
    let config = mk_config(mk_pool(&["192.0.2.0/29"], &["192.0.2.4-192.0.2.5"]), &["192.0.2.2"]);
    let owners = [(node("n1"), &["192.0.2.0", "2001:db8::1"][..]), (AddressOwner::ApiServer, &["192.0.2.1"])];
    let mut bench =
        Bench::new(&config, &owners, &["a", "b", "c", "d"].map(|name| mk_service(name, &[], &[])));
    let reports = bench.reports();
    assert_eq!(
        ["a", "b", "c"].map(|name| bench.addresses(name)),
        [[ip("192.0.2.3")], [ip("192.0.2.6")], [ip("192.0.2.7")]]
    );
    let failed = reports.iter().find_map(|report| match report {
        Report::Failed(error) => Some(error.to_string()),
        _ => None,
    });
    assert_eq!(
        failed.unwrap(),
        "pool \"p\" has no free IPv4 address: 0 of 3 (5 more are avoided, excluded or somebody's own); free one or \
         add a range"
    );
    assert_eq!(
        bench.warning(),
        "the pool contains addresses of others: 192.0.2.0 (node \"n1\"), 192.0.2.1 (the API server), 192.0.2.2 \
         (BGPPeer \"tor-0\"); services do not get them; list them in spec.excludeAddresses or take them out of the \
         pool"
    );
    let usage = bench.engine.usage(&PoolName::new("p")).unwrap();
    assert_eq!((usage.assigned_v4, usage.available_v4), (3, 0));
}

#[test]
fn who_followed_the_warning_is_not_warned_again() {
    let config = mk_config(mk_pool(&["192.0.2.0/29"], &["192.0.2.1"]), &[]);
    let mut bench = Bench::new(&config, &[(node("n1"), &["192.0.2.1"])], &[]);
    assert_eq!(bench.warning(), "");
    bench.own(&node("n2"), &["192.0.2.2"]);
    assert!(bench.warning().starts_with("the pool contains addresses of others: 192.0.2.2 (node \"n2\");"));
    let config = mk_config(mk_pool(&["192.0.2.0/29"], &["192.0.2.1", "192.0.2.2"]), &[]);
    bench.engine.set_config(bench.now, config);
    assert_eq!(bench.warning(), "");
}

#[test]
fn who_asks_for_one_by_name_is_told_whose_it_is_and_gets_it_when_it_is_nobodys() {
    let config = mk_config(mk_pool(&["192.0.2.0/29"], &["192.0.2.5"]), &[]);
    let services = [mk_service("a", &["192.0.2.3"], &[]), mk_service("b", &["192.0.2.5"], &[])];
    let mut bench = Bench::new(&config, &[(node("n1"), &["192.0.2.3"])], &services);
    let failures: Vec<String> = bench
        .reports()
        .into_iter()
        .filter_map(|report| match report {
            Report::Failed(error) => Some(format!("{}: {error}", error.reason())),
            _ => None,
        })
        .collect();
    assert_eq!(
        failures,
        [
            "address_reserved: 192.0.2.3 is an address of node \"n1\"; ask for another",
            "address_not_in_pool: pool \"p\" excludes 192.0.2.5 (excludeAddresses); ask for another address or take it \
         out of there"
        ]
    );
    bench.own(&node("n1"), &[]);
    bench.drain();
    assert_eq!(bench.addresses("a"), [ip("192.0.2.3")]);
    bench.engine.set_config(bench.now, mk_config(mk_pool(&["192.0.2.0/29"], &[]), &[]));
    bench.drain();
    assert_eq!(bench.addresses("b"), [ip("192.0.2.5")]);
}

#[test]
fn who_holds_one_keeps_it_is_told_and_is_told_nothing_twice() {
    let config = mk_config(mk_pool(&["192.0.2.0/29"], &["192.0.2.5"]), &[]);
    let services = [mk_service("a", &[], &["192.0.2.3"]), mk_service("b", &[], &["192.0.2.5"])];
    let mut bench = Bench::new(&config, &[(node("n1"), &["192.0.2.3"])], &services);
    let kept = |address, barrier| Report::KeptBarred { address, barrier };
    let of_node = AllocationError::AddressReserved { address: ip("192.0.2.3"), owner: node("n1") };
    let excluded = AllocationError::AddressExcluded { address: ip("192.0.2.5"), pool: PoolName::new("p") };
    assert_eq!(bench.reports(), [kept(ip("192.0.2.3"), of_node), kept(ip("192.0.2.5"), excluded)]);
    bench.own(&node("n1"), &["192.0.2.3"]);
    assert_eq!(bench.drain(), [], "the same fact again");
    bench.own(&node("n1"), &["192.0.2.3", "192.0.2.77"]);
    assert_eq!(bench.reports(), [], "an address elsewhere");
    let other = AllocationError::AddressReserved { address: ip("192.0.2.3"), owner: node("n0") };
    bench.own(&node("n0"), &["192.0.2.3"]);
    assert_eq!(bench.reports(), [kept(ip("192.0.2.3"), other)], "another owner comes first by name");
    bench.own(&node("n0"), &[]);
    bench.own(&node("n1"), &[]);
    assert_eq!(bench.reports(), []);
    assert_eq!(bench.warning(), "");
    assert_eq!(["a", "b"].map(|name| bench.addresses(name)), [[ip("192.0.2.3")], [ip("192.0.2.5")]]);
}

#[test]
fn nobody_joins_at_an_address_that_became_somebodys_own() {
    let config = mk_config(mk_pool(&["192.0.2.0/29"], &[]), &[]);
    let shared = |name: &str| {
        let mut service = mk_service(name, &[], &[]);
        service.sharing_key = Some(SharingKey::new("k"));
        service
    };
    let mut bench = Bench::new(&config, &[], &[shared("a"), shared("b")]);
    bench.drain();
    assert_eq!(["a", "b"].map(|name| bench.addresses(name)), [[ip("192.0.2.0")], [ip("192.0.2.0")]]);
    bench.own(&node("n1"), &["192.0.2.0"]);
    bench.engine.apply_service(bench.now, shared("c"));
    bench.drain();
    assert_eq!(bench.addresses("c"), [ip("192.0.2.1")]);
    bench.engine.remove_service(bench.now, &ServiceKey::new("ns", "a"));
    bench.engine.remove_service(bench.now, &ServiceKey::new("ns", "b"));
    bench.engine.apply_service(bench.now, mk_service("d", &[], &[]));
    bench.drain();
    assert_eq!(bench.addresses("d"), [ip("192.0.2.2")], "given back, it is still the node's");
}

#[test]
fn a_node_costs_the_work_of_that_node() {
    let services: Vec<Service> = (0..100).map(|n| mk_service(&format!("s{n:03}"), &[], &[])).collect();
    let config = mk_config(mk_pool(&["192.0.2.0/24"], &[]), &[]);
    let mut bench = Bench::new(&config, &[], &services);
    bench.drain();
    let before = bench.engine.stats().evaluations;
    bench.own(&node("n1"), &["192.0.2.9", "192.0.2.200"]);
    bench.drain();
    assert_eq!(
        bench.engine.stats().evaluations - before,
        1,
        "only who holds one of its addresses is looked at"
    );
}

#[test]
fn a_pool_of_sixteen_million_with_thousands_of_owned_addresses_gives_out_the_next_free_one() {
    let config = mk_config(mk_pool(&["10.0.0.0/8"], &["10.0.8.0/21"]), &[]);
    let mut bench = Bench::new(&config, &[], &[]);
    for number in 0..2_048_u32 {
        let address = IpAddr::V4((0x0a00_0000 + number).into());
        bench.engine.reserve(bench.now, &node(&format!("n{number}")), &BTreeSet::from([address]));
    }
    bench.engine.apply_service(bench.now, mk_service("a", &[], &[]));
    bench.drain();
    assert_eq!(bench.addresses("a"), [ip("10.0.16.0")]);
    assert!(bench.warning().contains("(node \"n4\") and 2043 more;"), "{}", bench.warning());
}

#[test]
fn the_peers_addresses_follow_the_configuration() {
    let with = |peers: &[&str]| mk_config(mk_pool(&["192.0.2.0/30"], &[]), peers);
    let mut bench = Bench::new(&with(&["192.0.2.0"]), &[], &[mk_service("a", &["192.0.2.0"], &[])]);
    let owner = AddressOwner::Peer(PeerName::new("tor-0"));
    let refused = AllocationError::AddressReserved { address: ip("192.0.2.0"), owner };
    assert_eq!(bench.reports(), [Report::Failed(refused)]);
    bench.engine.set_config(bench.now, with(&["192.0.2.1"]));
    bench.drain();
    assert_eq!(bench.addresses("a"), [ip("192.0.2.0")]);
    bench.engine.set_config(bench.now, with(&[]));
    bench.drain();
    assert_eq!(bench.warning(), "");
}

#[test]
fn what_a_service_lost_does_not_come_back_to_it_when_it_is_a_nodes_by_now() {
    let config = mk_config(mk_pool(&["192.0.2.0/30"], &[]), &[]);
    let mut bench = Bench::new(&config, &[], &[mk_service("a", &[], &[])]);
    bench.drain();
    bench.engine.set_config(bench.now, Arc::default());
    bench.drain();
    bench.own(&node("n1"), &["192.0.2.0"]);
    bench.engine.set_config(bench.now, config);
    bench.drain();
    assert_eq!(bench.addresses("a"), [ip("192.0.2.1")]);
}

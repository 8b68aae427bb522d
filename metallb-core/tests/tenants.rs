//! What one namespace may have, and what it cannot do to another.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PoolInput, ServiceAllocationInput, SharingScope};
use metallb_core::facts::{Demand, FamilyPolicy, Request, RequestedFamilies, Service, TrafficPolicy};
use metallb_core::ipam::{Action, AllocationError, Allocator, Assigner, Claim, ClearReason, Options, Report};
use metallb_core::keys::{Created, Family, PoolName, Port, Protocol, ServiceKey, SharingKey};
use metallb_core::select::Labels;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mk_config(addresses: &[&str], max: Option<i64>, sharing: Option<&str>) -> Arc<Config> {
    let allocation = ServiceAllocationInput {
        max_per_namespace: max,
        sharing: sharing.map(str::to_owned),
        ..ServiceAllocationInput::default()
    };
    let pool = PoolInput {
        meta: Meta::new("p", Created(0)),
        addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
        service_allocation: (max.is_some() || sharing.is_some()).then_some(allocation),
        ..PoolInput::default()
    };
    let built = Config::build(&Input { pools: vec![pool], ..Input::default() }, &Config::default());
    assert_eq!(built.errors, []);
    Arc::new(built.config)
}

/// A service as `namespace/name`.
fn mk_service(key: &str, created: i64) -> Service {
    let (namespace, name) = key.split_once('/').unwrap();
    let demand = Demand::Addresses(Request::single(Family::V4));
    Service::new(ServiceKey::new(namespace, name), Created(created), demand)
}

fn shared(key: &str, created: i64, port: u16) -> Service {
    let mut service = mk_service(key, created);
    service.sharing_key = Some(SharingKey::new("guessed"));
    service.ports.insert(Port::new(Protocol::Tcp, port));
    service
}

struct Bench {
    engine: Assigner,
    now: Instant,
}

impl Bench {
    fn new(options: Options, config: &Arc<Config>) -> Self {
        let now = Instant::now();
        let mut engine = Assigner::new(options);
        engine.set_config(now, Arc::clone(config));
        engine.start(now);
        Self { engine, now }
    }

    /// Applies a service and returns what is reported about others and it.
    fn apply(&mut self, service: &Service) -> Vec<(String, Report)> {
        self.engine.apply_service(self.now, service.clone());
        self.reports()
    }

    fn remove(&mut self, key: &str) {
        let (namespace, name) = key.split_once('/').unwrap();
        self.engine.remove_service(self.now, &ServiceKey::new(namespace, name));
        self.reports();
    }

    fn reports(&mut self) -> Vec<(String, Report)> {
        let report = |action| match action {
            Action::Report { service, report } => Some((service.to_string(), report)),
            _ => None,
        };
        std::iter::from_fn(|| self.engine.poll_action()).filter_map(report).collect()
    }

    fn address(&self, key: &str) -> Option<IpAddr> {
        self.addresses(key).first().copied()
    }

    fn addresses(&self, key: &str) -> Vec<IpAddr> {
        let (namespace, name) = key.split_once('/').unwrap();
        let allocation = self.engine.allocation(&ServiceKey::new(namespace, name));
        allocation.map(|allocation| allocation.addresses).unwrap_or_default()
    }
}

#[test]
fn who_guesses_a_sharing_key_cannot_take_an_address_over() {
    type Change = fn(&mut Service);
    let changes: [Change; 3] = [
        |victim| victim.ports.extend([Port::new(Protocol::Tcp, 443)]),
        |victim| victim.sharing_key = Some(SharingKey::new("another")),
        |victim| victim.traffic_policy = TrafficPolicy::Local,
    ];
    for change in changes {
        let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], None, None));
        // Even an older service is the later holder when it joins later.
        let mut victim = shared("a/victim", 9, 80);
        bench.apply(&victim);
        let told = bench.apply(&shared("b/hostile", 1, 443));
        assert_eq!(bench.address("b/hostile"), Some(ip("192.0.2.0")));
        let by = ServiceKey::new("b", "hostile");
        assert!(told.contains(&("a/victim".to_owned(), Report::Joined { address: ip("192.0.2.0"), by })));
        change(&mut victim);
        let told = bench.apply(&victim);
        assert_eq!(bench.address("a/victim"), Some(ip("192.0.2.0")));
        assert_eq!(bench.address("b/hostile"), Some(ip("192.0.2.1")));
        let reason = ClearReason::GaveWay { address: ip("192.0.2.0"), to: ServiceKey::new("a", "victim") };
        let lost = Report::Released { addresses: vec![ip("192.0.2.0")], reason };
        assert!(told.contains(&("b/hostile".to_owned(), lost)), "{told:?}");
    }
}

#[test]
fn whoever_had_to_give_way_for_nothing_has_its_addresses_back_in_their_order() {
    for (first, second) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        let (now, labels) = (Instant::now(), Labels::new());
        let mut allocator = Allocator::new(Options::default());
        allocator.set_pools(&mk_config(&["192.0.2.0/32", "2001:db8::/128"], None, None));
        let request = |policy| {
            let families = RequestedFamilies::from_order([first, second]).unwrap();
            Request::new(families, policy, Vec::new(), None).unwrap()
        };
        let mut victim = shared("a/victim", 1, 80);
        let one = Request::single(first);
        let held = allocator.allocate(now, &Claim::new(&victim, &one, &labels)).unwrap().addresses;
        let neighbour = shared("b/neighbour", 2, 443);
        let both = request(FamilyPolicy::PreferDual);
        let claim = Claim::new(&neighbour, &both, &labels);
        // Whatever its order is, however it came about.
        allocator.restore(&claim, &[held[0]], &[]);
        let before = allocator.allocate(now, &claim).unwrap().addresses;
        assert_eq!((before.len(), before[0]), (2, held[0]), "the shared one comes first");
        victim.ports.insert(Port::new(Protocol::Tcp, 443));
        let both = request(FamilyPolicy::RequireDual);
        let refused = allocator.allocate(now, &Claim::new(&victim, &both, &labels));
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(allocator.allocation(&neighbour.key).unwrap().addresses, before);
        assert_eq!(allocator.allocation(&victim.key).unwrap().addresses, held);
        assert_eq!(allocator.take_displaced(), []);
    }
}

#[test]
fn within_one_namespace_the_one_that_changes_gives_way_as_ever() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], None, None));
    let mut first = shared("a/first", 1, 80);
    bench.apply(&first);
    let told = bench.apply(&shared("a/second", 2, 443));
    assert!(!told.iter().any(|(_, report)| matches!(report, Report::Joined { .. })), "{told:?}");
    first.ports.insert(Port::new(Protocol::Tcp, 443));
    bench.apply(&first);
    assert_eq!(bench.address("a/first"), Some(ip("192.0.2.1")));
    assert_eq!(bench.address("a/second"), Some(ip("192.0.2.0")));
}

#[test]
fn the_later_one_that_changes_does_not_move_the_earlier_one() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], None, None));
    bench.apply(&shared("a/earlier", 1, 80));
    let mut later = shared("b/later", 2, 443);
    bench.apply(&later);
    later.ports.insert(Port::new(Protocol::Tcp, 80));
    bench.apply(&later);
    assert_eq!(bench.address("a/earlier"), Some(ip("192.0.2.0")));
    assert_eq!(bench.address("b/later"), Some(ip("192.0.2.1")));
}

#[test]
fn only_the_first_of_a_namespace_that_joins_is_told_of() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], None, None));
    bench.apply(&shared("a/s", 1, 80));
    let joined = |told: Vec<(String, Report)>| {
        told.into_iter().filter(|(_, report)| matches!(report, Report::Joined { .. })).count()
    };
    assert_eq!(joined(bench.apply(&shared("b/s", 2, 81))), 1);
    assert_eq!(joined(bench.apply(&shared("b/t", 3, 82))), 0);
    assert_eq!(joined(bench.apply(&shared("a/t", 4, 83))), 0);
    assert_eq!(joined(bench.apply(&shared("c/s", 5, 84))), 1);
}

#[test]
fn after_a_restart_nobody_is_told_again_and_the_older_service_is_the_earlier_one() {
    let now = Instant::now();
    let mut engine = Assigner::new(Options::default());
    engine.set_config(now, mk_config(&["192.0.2.0/24"], None, None));
    let restored = |key, created, port| {
        let mut service = shared(key, created, port);
        service.assigned = vec![ip("192.0.2.7")];
        service.recorded_pools = vec!["p".into()];
        service
    };
    let (mut a, b) = (restored("a/s", 1, 80), restored("b/s", 2, 443));
    engine.apply_service(now, b);
    engine.apply_service(now, a.clone());
    engine.start(now);
    let mut bench = Bench { engine, now };
    assert_eq!(bench.reports(), []);
    a.ports.insert(Port::new(Protocol::Tcp, 443));
    bench.apply(&a);
    assert_eq!(bench.address("a/s"), Some(ip("192.0.2.7")));
    assert_eq!(bench.address("b/s"), Some(ip("192.0.2.0")));
}

#[test]
fn where_sharing_ends_at_the_namespace_others_get_an_address_of_their_own() {
    let within = Options { sharing_scope: SharingScope::Namespace, ..Options::default() };
    for (options, sharing, shares) in [
        (within, None, false),
        (within, Some("Cluster"), true),
        (Options::default(), Some("Namespace"), false),
        (Options::default(), None, true),
    ] {
        let mut bench = Bench::new(options, &mk_config(&["192.0.2.0/24"], None, sharing));
        for (number, key) in ["a/s", "a/t", "b/s", "b/t"].into_iter().enumerate() {
            bench.apply(&shared(key, 0, 80 + u16::try_from(number).unwrap()));
        }
        assert_eq!(bench.address("a/s"), bench.address("a/t"));
        assert_eq!(bench.address("b/s"), bench.address("b/t"));
        assert_eq!(bench.address("a/s") == bench.address("b/s"), shares, "{sharing:?}");
    }
}

#[test]
fn who_asks_by_name_for_an_address_of_another_namespace_is_told_that_it_is_not_shared() {
    let within = Options { sharing_scope: SharingScope::Namespace, ..Options::default() };
    let mut bench = Bench::new(within, &mk_config(&["192.0.2.0/24"], None, None));
    bench.apply(&shared("a/s", 0, 80));
    let mut other = shared("b/s", 0, 81);
    let wanted = vec![ip("192.0.2.0")];
    let request = Request::new(RequestedFamilies::one(Family::V4), FamilyPolicy::Single, wanted, None);
    other.demand = Demand::Addresses(request.unwrap());
    let holder = ServiceKey::new("a", "s");
    let refused = AllocationError::OtherNamespace { address: ip("192.0.2.0"), holder };
    assert_eq!(bench.apply(&other), [("b/s".to_owned(), Report::Failed(refused))]);
}

#[test]
fn sharing_between_namespaces_stays_when_it_is_forbidden_later_and_nobody_joins_it() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], None, Some("Cluster")));
    bench.apply(&shared("a/s", 0, 80));
    bench.apply(&shared("b/s", 0, 81));
    bench.engine.set_config(bench.now, mk_config(&["192.0.2.0/24"], None, Some("Namespace")));
    let told = bench.reports();
    assert!(told.iter().all(|(_, report)| matches!(report, Report::SharingKept { .. })), "{told:?}");
    bench.apply(&shared("a/t", 0, 82));
    assert_eq!(
        ["a/s", "b/s", "a/t"].map(|key| bench.address(key)),
        [Some(ip("192.0.2.0")), Some(ip("192.0.2.0")), Some(ip("192.0.2.1"))]
    );
}

#[test]
fn a_namespace_gets_as_many_addresses_as_the_pool_allows_and_the_rest_when_one_is_free() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], Some(2), None));
    bench.apply(&mk_service("a/1", 1));
    bench.apply(&mk_service("a/2", 2));
    let told = bench.apply(&mk_service("a/3", 3));
    let [(_, Report::Failed(error))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(error.reason(), "namespace_quota");
    assert_eq!(
        error.to_string(),
        "namespace \"a\" may hold 2 addresses of pool \"p\" (maxPerNamespace) and has no room for more; free one or \
         raise the limit"
    );
    bench.apply(&mk_service("b/1", 4));
    assert_eq!(bench.address("b/1"), Some(ip("192.0.2.2")), "others are not affected");
    let before = bench.engine.stats().evaluations;
    bench.remove("b/1");
    assert_eq!(bench.engine.stats().evaluations, before, "that does not help");
    bench.remove("a/1");
    assert_eq!(bench.address("a/3"), Some(ip("192.0.2.0")));
    bench.apply(&mk_service("a/4", 5));
    bench.engine.set_config(bench.now, mk_config(&["192.0.2.0/24"], Some(3), None));
    bench.reports();
    assert_eq!(bench.address("a/4"), Some(ip("192.0.2.2")));
}

#[test]
fn a_shared_address_counts_once_and_can_be_joined_when_there_is_no_room_for_another() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], Some(1), None));
    bench.apply(&shared("b/s", 0, 79));
    bench.apply(&mk_service("a/alone", 0));
    bench.apply(&shared("a/s", 0, 80));
    assert_eq!(bench.address("a/s"), None, "joining that of another namespace would be a second one");
    bench.remove("a/alone");
    assert_eq!(bench.address("a/s"), Some(ip("192.0.2.0")));
    bench.apply(&shared("a/t", 0, 81));
    assert_eq!(bench.address("a/t"), Some(ip("192.0.2.0")));
    bench.apply(&shared("a/u", 0, 81));
    assert_eq!(bench.address("a/u"), None);
}

#[test]
fn a_limit_that_comes_later_takes_nothing_away_and_two_families_are_two_addresses() {
    let pool = ["192.0.2.0/24", "2001:db8::/120"];
    let mut bench = Bench::new(Options::default(), &mk_config(&pool, None, None));
    let dual = |key: &str, policy| {
        let mut service = mk_service(key, 0);
        let families = RequestedFamilies::both(Family::V4);
        service.demand = Demand::Addresses(Request::new(families, policy, Vec::new(), None).unwrap());
        service
    };
    bench.apply(&dual("a/s", FamilyPolicy::RequireDual));
    bench.engine.set_config(bench.now, mk_config(&pool, Some(1), None));
    bench.reports();
    assert_eq!(bench.addresses("a/s").len(), 2);
    bench.apply(&dual("b/s", FamilyPolicy::PreferDual));
    assert_eq!(bench.addresses("b/s"), [ip("192.0.2.1")]);
    let told = bench.apply(&dual("c/s", FamilyPolicy::RequireDual));
    let [(_, Report::Failed(AllocationError::QuotaReached { max: 1, .. }))] = &told[..] else {
        panic!("{told:?}")
    };
    bench.engine.set_config(bench.now, mk_config(&pool, Some(2), None));
    bench.reports();
    assert_eq!(["b/s", "c/s"].map(|key| bench.addresses(key).len()), [2, 2]);
}

#[test]
fn a_pool_names_its_users_in_order_and_each_once() {
    let mut bench =
        Bench::new(Options::default(), &mk_config(&["192.0.2.0/24", "2001:db8::/120"], None, None));
    for number in (0..5).rev() {
        let mut service = mk_service(&format!("n/s{number}"), number);
        let families = RequestedFamilies::both(Family::V6);
        let request = Request::new(families, FamilyPolicy::PreferDual, Vec::new(), None).unwrap();
        service.demand = Demand::Addresses(request);
        bench.apply(&service);
    }
    let pool = PoolName::new("p");
    let names = |(users, count): (Vec<ServiceKey>, usize)| {
        (users.iter().map(ToString::to_string).collect::<Vec<_>>(), count)
    };
    assert_eq!(names(bench.engine.users(&pool, 2)), (vec!["n/s0".to_owned(), "n/s1".to_owned()], 5));
    assert_eq!(bench.engine.users(&pool, 20).0.len(), 5);
    assert_eq!(bench.engine.users(&PoolName::new("other"), 20), (Vec::new(), 0));
}

#[test]
fn a_pool_is_named_again_when_its_users_change_and_its_numbers_do_not() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], None, None));
    bench.apply(&shared("a/s", 0, 80));
    bench.engine.apply_service(bench.now, shared("a/t", 0, 81));
    let actions: Vec<Action> = std::iter::from_fn(|| bench.engine.poll_action()).collect();
    assert!(actions.iter().any(|action| matches!(action, Action::Usage { .. })), "{actions:?}");
    bench.engine.apply_service(bench.now, shared("a/t", 0, 81));
    assert!(
        !std::iter::from_fn(|| bench.engine.poll_action())
            .any(|action| matches!(action, Action::Usage { .. }))
    );
}

#[test]
fn who_waits_for_a_certain_address_gets_it_when_the_namespace_has_room_again() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.0/24"], Some(1), None));
    bench.apply(&mk_service("a/first", 1));
    let mut asks = mk_service("a/asks", 2);
    let wanted = vec![ip("192.0.2.9")];
    let request = Request::new(RequestedFamilies::one(Family::V4), FamilyPolicy::Single, wanted, None);
    asks.demand = Demand::Addresses(request.unwrap());
    bench.apply(&asks);
    assert_eq!(bench.address("a/asks"), None);
    bench.remove("a/first");
    assert_eq!(bench.address("a/asks"), Some(ip("192.0.2.9")));
}

#[test]
fn who_waits_for_a_place_beside_another_namespace_gets_it_in_a_full_pool_when_there_is_room_again() {
    let mut bench = Bench::new(Options::default(), &mk_config(&["192.0.2.1-192.0.2.2"], Some(1), None));
    bench.apply(&shared("b/s", 1, 80));
    bench.apply(&shared("a/first", 2, 80));
    bench.apply(&shared("c/beside-first", 3, 81));
    assert_eq!(bench.address("c/beside-first"), Some(ip("192.0.2.1")));
    bench.apply(&shared("a/second", 4, 80));
    assert_eq!(bench.address("a/second"), None);
    bench.remove("a/first");
    assert_eq!(bench.address("a/second"), Some(ip("192.0.2.2")));
}

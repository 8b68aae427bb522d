//! The engine of a controller, from facts to actions.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metallb_core::config::{Config, Input, Meta, PoolInput, ServiceAllocationInput};
use metallb_core::facts::{Demand, FamilyPolicy, Namespace, Request, RequestedFamilies, Service};
use metallb_core::ipam::{Action, Assigner, ClearReason, Options, Report};
use metallb_core::keys::{Created, Family, NamespaceName, PoolName, Port, Protocol, ServiceKey, SharingKey};
use metallb_core::select::SelectorInput;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mk_pool(name: &str, addresses: &[&str]) -> PoolInput {
    PoolInput {
        meta: Meta::new(name, Created(0)),
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        ..PoolInput::default()
    }
}

fn mk_config(pools: Vec<PoolInput>) -> Arc<Config> {
    let built = Config::build(&Input { pools, ..Input::default() }, &Config::default());
    assert_eq!(built.errors, []);
    Arc::new(built.config)
}

fn mk_service(name: &str, created: i64) -> Service {
    Service::new(
        ServiceKey::new("ns", name),
        Created(created),
        Demand::Addresses(Request::single(Family::V4)),
    )
}

fn dual(policy: FamilyPolicy) -> Demand {
    Demand::Addresses(Request::new(RequestedFamilies::both(Family::V4), policy, Vec::new(), None).unwrap())
}

struct Bench {
    engine: Assigner,
    now: Instant,
}

impl Bench {
    fn new(options: Options, pools: Vec<PoolInput>) -> Self {
        let now = Instant::now();
        let mut engine = Assigner::new(options);
        engine.set_config(now, mk_config(pools));
        Self { engine, now }
    }

    fn started(pools: Vec<PoolInput>) -> Self {
        let mut bench = Self::new(Options::default(), pools);
        bench.engine.start(bench.now);
        bench.drain();
        bench
    }

    fn apply(&mut self, service: &Service) {
        self.engine.apply_service(self.now, service.clone());
    }

    fn config(&mut self, pools: Vec<PoolInput>) {
        self.engine.set_config(self.now, mk_config(pools));
    }

    fn drain(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.engine.poll_action()).collect()
    }

    /// What would be written, as `name=addresses`, and the reports.
    fn writes(&mut self) -> Vec<String> {
        let text =
            |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.drain()
            .into_iter()
            .filter_map(|action| match action {
                Action::Assign { service, addresses, .. } => {
                    Some(format!("{}={}", service.name(), text(&addresses)))
                }
                Action::Clear { service, .. } => Some(format!("{}=", service.name())),
                _ => None,
            })
            .collect()
    }

    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        self.engine.allocation(&ServiceKey::new("ns", name)).map(|a| a.addresses).unwrap_or_default()
    }
}

#[test]
fn nothing_is_decided_before_the_facts_are_complete() {
    let mut bench = Bench::new(Options::default(), vec![mk_pool("a", &["192.0.2.0/30"])]);
    bench.apply(&mk_service("s", 1));
    assert_eq!(bench.drain(), []);
    bench.engine.start(bench.now);
    assert_eq!(bench.writes(), ["s=192.0.2.0"]);
}

#[test]
fn addresses_in_status_are_given_back_before_anything_new_is_given_out() {
    let mut bench = Bench::new(Options::default(), vec![mk_pool("a", &["192.0.2.0/30", "2001:db8::/126"])]);
    let mut old = mk_service("new-but-assigned", 9);
    old.assigned = vec![ip("192.0.2.0"), ip("2001:db8::")];
    old.recorded_pools = vec!["a".into()];
    old.demand = dual(FamilyPolicy::PreferDual);
    let mut half = mk_service("half", 1);
    half.assigned = vec![ip("192.0.2.2")];
    half.recorded_pools = vec!["a".into()];
    half.demand = dual(FamilyPolicy::PreferDual);
    bench.apply(&mk_service("older", 1));
    bench.apply(&half);
    bench.apply(&old);
    bench.engine.start(bench.now);
    assert_eq!(bench.writes(), ["half=192.0.2.2,2001:db8::1", "older=192.0.2.1"]);
}

#[test]
fn a_second_start_with_everything_in_place_writes_nothing() {
    let mut bench = Bench::new(Options::default(), vec![mk_pool("a", &["192.0.2.0/30"])]);
    let mut service = mk_service("s", 1);
    service.assigned = vec![ip("192.0.2.3")];
    service.recorded_pools = vec!["a".into()];
    bench.apply(&service);
    bench.engine.start(bench.now);
    let actions = bench.drain();
    assert!(actions.iter().all(|action| matches!(action, Action::Usage { .. })), "{actions:?}");
}

#[test]
fn of_two_claims_the_recorded_one_wins_then_the_older_then_the_name() {
    for (recorded, created, winner) in [
        ([true, false], [9, 1], "a"),
        ([false, true], [1, 9], "b"),
        ([true, true], [2, 1], "b"),
        ([false, false], [1, 1], "a"),
    ] {
        let mut bench = Bench::new(Options::default(), vec![mk_pool("p", &["192.0.2.0/30"])]);
        for (index, name) in ["a", "b"].into_iter().enumerate() {
            let mut service = mk_service(name, created[index]);
            service.assigned = vec![ip("192.0.2.3")];
            service.recorded_pools = if recorded[index] { vec!["p".into()] } else { Vec::new() };
            bench.apply(&service);
        }
        bench.engine.start(bench.now);
        let actions = bench.drain();
        let loser = if winner == "a" { "b" } else { "a" };
        assert_eq!(bench.addresses(winner), [ip("192.0.2.3")]);
        assert_eq!(bench.addresses(loser), [ip("192.0.2.0")]);
        assert!(
            actions
                .iter()
                .any(|action| matches!(action, Action::Report { service, report: Report::Released { .. } }
                if service.name() == loser)),
            "the loser is told why"
        );
    }
}

#[test]
fn waiting_services_are_served_oldest_first_when_an_address_is_freed() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.1"])]);
    bench.apply(&mk_service("holder", 1));
    bench.apply(&mk_service("young", 9));
    bench.apply(&mk_service("old", 5));
    assert_eq!(bench.writes(), ["holder=192.0.2.1"]);
    bench.engine.remove_service(bench.now, &ServiceKey::new("ns", "holder"));
    assert_eq!(bench.writes(), ["old=192.0.2.1"]);
    assert_eq!(bench.engine.stats().waiting, 1);
}

#[test]
fn only_as_many_waiting_services_are_looked_at_as_can_be_helped() {
    let mut bench =
        Bench::started(vec![mk_pool("a", &["192.0.2.1-192.0.2.2"]), mk_pool("b", &["2001:db8::1"])]);
    for number in 0..100 {
        bench.apply(&mk_service(&format!("s{number:03}"), number));
    }
    bench.drain();
    let before = bench.engine.stats().evaluations;
    bench.engine.remove_service(bench.now, &ServiceKey::new("ns", "s001"));
    assert_eq!(bench.writes(), ["s002=192.0.2.1"].map(|_| "s002=192.0.2.2"));
    assert_eq!(bench.engine.stats().evaluations - before, 1);
}

#[test]
fn a_new_pool_wakes_only_those_that_it_may_serve() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.1"])]);
    for number in 0..10 {
        bench.apply(&mk_service(&format!("s{number}"), number));
    }
    bench.drain();
    let mut other = mk_pool("b", &["198.51.100.0/24"]);
    other.service_allocation = Some(ServiceAllocationInput {
        namespaces: vec!["elsewhere".into()],
        ..ServiceAllocationInput::default()
    });
    let before = bench.engine.stats().evaluations;
    bench.config(vec![mk_pool("a", &["192.0.2.1"]), other]);
    assert_eq!(bench.writes(), [""; 0]);
    assert_eq!(bench.engine.stats().evaluations, before);
    bench.config(vec![mk_pool("a", &["192.0.2.1"]), mk_pool("b", &["198.51.100.0/30"])]);
    assert_eq!(bench.writes(), ["s1=198.51.100.0", "s2=198.51.100.1", "s3=198.51.100.2", "s4=198.51.100.3"]);
}

#[test]
fn a_missing_family_is_added_later_and_stands_last() {
    let mut bench = Bench::started(vec![mk_pool("a", &["2001:db8::/126"])]);
    let mut service = mk_service("s", 1);
    service.demand = dual(FamilyPolicy::PreferDual);
    bench.apply(&service);
    assert_eq!(bench.writes(), ["s=2001:db8::"]);
    bench.config(vec![mk_pool("a", &["2001:db8::/126", "192.0.2.0/30"])]);
    assert_eq!(bench.writes(), ["s=2001:db8::,192.0.2.0"]);
}

#[test]
fn dual_stack_required_means_both_or_none() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.0/30"]), mk_pool("b", &["2001:db8::/126"])]);
    let mut service = mk_service("s", 1);
    service.demand = dual(FamilyPolicy::RequireDual);
    bench.apply(&service);
    assert_eq!(bench.writes(), [""; 0]);
    bench
        .config(vec![mk_pool("a", &["192.0.2.0/30", "2001:db8:1::/126"]), mk_pool("b", &["2001:db8::/126"])]);
    assert_eq!(bench.writes(), ["s=192.0.2.0,2001:db8:1::"]);
}

#[test]
fn with_two_pools_allowed_each_family_may_come_from_another() {
    let pools = vec![mk_pool("a", &["192.0.2.0/30"]), mk_pool("b", &["2001:db8::/126"])];
    let mut bench = Bench::new(Options { dual_stack_two_pools: true, ..Options::default() }, pools);
    bench.engine.start(bench.now);
    let mut service = mk_service("s", 1);
    service.demand = dual(FamilyPolicy::RequireDual);
    bench.apply(&service);
    let actions = bench.drain();
    let assign = actions.iter().find_map(|action| match action {
        Action::Assign { addresses, pools, .. } => Some((addresses.clone(), pools.clone())),
        _ => None,
    });
    let pools: Vec<PoolName> = vec!["a".into(), "b".into()];
    assert_eq!(assign, Some((vec![ip("192.0.2.0"), ip("2001:db8::")], pools)));
}

#[test]
fn services_with_one_sharing_key_and_different_ports_share_an_address() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.1-192.0.2.2"])]);
    for (name, port) in [("http", 80), ("dns", 53), ("http2", 80)] {
        let mut service = mk_service(name, 1);
        service.ports = BTreeSet::from([Port::new(Protocol::Tcp, port)]);
        service.sharing_key = Some(SharingKey::new("k"));
        bench.apply(&service);
    }
    assert_eq!(bench.writes(), ["dns=192.0.2.1", "http=192.0.2.1", "http2=192.0.2.2"]);
    bench.apply(&mk_service("alone", 1));
    assert_eq!(bench.writes(), [""; 0]);
}

#[test]
fn a_changed_sharing_key_lets_a_waiting_service_in() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.1"])]);
    let mut first = mk_service("first", 1);
    bench.apply(&first);
    let mut second = mk_service("second", 2);
    second.sharing_key = Some(SharingKey::new("k"));
    bench.apply(&second);
    assert_eq!(bench.writes(), ["first=192.0.2.1"]);
    first.assigned = vec![ip("192.0.2.1")];
    first.recorded_pools = vec!["a".into()];
    first.sharing_key = Some(SharingKey::new("k"));
    bench.apply(&first);
    assert_eq!(bench.writes(), ["second=192.0.2.1"]);
}

#[test]
fn a_change_that_breaks_sharing_costs_the_changing_service_its_address() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.1-192.0.2.2"])]);
    let mut one = mk_service("one", 1);
    one.ports = BTreeSet::from([Port::new(Protocol::Tcp, 80)]);
    one.sharing_key = Some(SharingKey::new("k"));
    let mut two = mk_service("two", 2);
    two.ports = BTreeSet::from([Port::new(Protocol::Tcp, 81)]);
    two.sharing_key = Some(SharingKey::new("k"));
    bench.apply(&one);
    bench.apply(&two);
    bench.drain();
    one.ports = BTreeSet::from([Port::new(Protocol::Tcp, 81)]);
    bench.apply(&one);
    assert!(bench.writes().contains(&"one=192.0.2.2".to_owned()));
    assert_eq!(bench.addresses("two"), [ip("192.0.2.1")]);
}

#[test]
fn a_service_alone_on_its_address_may_change_in_place() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.1-192.0.2.2"])]);
    let mut service = mk_service("s", 1);
    service.sharing_key = Some(SharingKey::new("k"));
    service.ports = BTreeSet::from([Port::new(Protocol::Tcp, 80)]);
    bench.apply(&service);
    bench.drain();
    service.assigned = vec![ip("192.0.2.1")];
    service.recorded_pools = vec!["a".into()];
    service.sharing_key = None;
    service.ports = BTreeSet::new();
    bench.apply(&service);
    assert_eq!(bench.writes(), [""; 0]);
    assert_eq!(bench.addresses("s"), [ip("192.0.2.1")]);
}

#[test]
fn a_service_that_wants_nothing_any_more_is_cleared_and_its_address_is_free() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.1"])]);
    let mut service = mk_service("s", 1);
    service.assigned = vec![ip("192.0.2.1")];
    service.recorded_pools = vec!["a".into()];
    bench.apply(&service);
    bench.apply(&mk_service("next", 2));
    assert_eq!(bench.writes(), [""; 0]);
    service.demand = Demand::None;
    bench.apply(&service);
    assert_eq!(bench.writes(), ["s=", "next=192.0.2.1"]);
}

#[test]
fn what_is_cleared_is_cleared_for_a_reason_also_after_a_restart() {
    let mut bench = Bench::new(Options::default(), vec![mk_pool("a", &["192.0.2.1"])]);
    let mut lost = mk_service("lost", 1);
    lost.assigned = vec![ip("198.51.100.1")];
    let mut other = mk_service("other", 2);
    other.assigned = vec![ip("192.0.2.1")];
    bench.apply(&lost);
    bench.apply(&other);
    bench.engine.start(bench.now);
    let clears = |actions: &[Action]| -> Vec<Option<&'static str>> {
        let reason = |action: &Action| match action {
            Action::Clear { reason, .. } => Some(reason.as_ref().map(ClearReason::reason)),
            _ => None,
        };
        actions.iter().filter_map(reason).collect()
    };
    assert_eq!(clears(&bench.drain()), [Some("address_not_in_pool")]);
    bench.config(Vec::new());
    assert_eq!(clears(&bench.drain()), [Some("address_not_in_pool")], "while it runs");
    other.assigned = vec![ip("192.0.2.1")];
    other.demand = Demand::None;
    bench.apply(&other);
    assert_eq!(clears(&bench.drain()), [None], "it does not want any");
}

#[test]
fn namespace_labels_decide_who_may_use_a_pool() {
    let mut pool = mk_pool("a", &["192.0.2.1"]);
    pool.service_allocation = Some(ServiceAllocationInput {
        namespace_selectors: vec![SelectorInput {
            match_labels: vec![("team".into(), "web".into())],
            ..SelectorInput::default()
        }],
        ..ServiceAllocationInput::default()
    });
    let mut bench = Bench::started(vec![pool]);
    bench.apply(&mk_service("s", 1));
    assert_eq!(bench.writes(), [""; 0]);
    let namespace = |team: &str| Namespace {
        name: NamespaceName::new("ns"),
        labels: [("team", team)].into_iter().collect(),
    };
    bench.engine.apply_namespace(namespace("web"));
    assert_eq!(bench.writes(), ["s=192.0.2.1"]);
    bench.engine.apply_namespace(namespace("db"));
    assert!(bench.addresses("s").len() == 1, "nothing happens before it is polled");
    bench.drain();
    assert!(bench.addresses("s").is_empty(), "the pool no longer admits the service");
}

#[test]
fn a_failure_is_told_once_and_the_write_is_asked_for_until_it_is_done() {
    let mut bench = Bench::started(vec![mk_pool("a", &["192.0.2.1"])]);
    let holder = mk_service("a", 1);
    let waiter = mk_service("b", 2);
    bench.apply(&holder);
    bench.apply(&waiter);
    let first = bench.drain();
    let failures = |actions: &[Action]| {
        actions.iter().filter(|a| matches!(a, Action::Report { report: Report::Failed(_), .. })).count()
    };
    assert_eq!(failures(&first), 1);
    bench.apply(&holder);
    bench.apply(&waiter);
    let again = bench.drain();
    assert_eq!(failures(&again), 0);
    assert!(matches!(&again[..], [Action::Assign { service, .. }] if service.name() == "a"), "{again:?}");
    assert_eq!(bench.engine.stats().errors["pool_exhausted"], 1);
}

#[test]
fn a_released_address_rests_before_another_service_gets_it() {
    let options = Options { quarantine: Duration::from_secs(60), ..Options::default() };
    let mut bench = Bench::new(options, vec![mk_pool("a", &["192.0.2.1-192.0.2.2"])]);
    bench.engine.start(bench.now);
    bench.apply(&mk_service("a", 1));
    bench.drain();
    bench.engine.remove_service(bench.now, &ServiceKey::new("ns", "a"));
    bench.apply(&mk_service("b", 1));
    assert_eq!(bench.writes(), ["b=192.0.2.2"]);
    bench.apply(&mk_service("c", 2));
    assert_eq!(bench.writes(), ["c=192.0.2.1"], "nothing else is free");
    bench.engine.remove_service(bench.now, &ServiceKey::new("ns", "b"));
    assert_eq!(bench.engine.next_timeout(), Some(bench.now + Duration::from_secs(60)));
    bench.engine.handle_timeout(bench.now + Duration::from_secs(60));
    assert_eq!(bench.engine.next_timeout(), None);
}

#[test]
fn whoever_takes_over_says_only_what_has_changed() {
    let pools = || vec![mk_pool("p", &["192.0.2.0/32"])];
    let mut bench = Bench::started(pools());
    let services = ["has", "waits", "gone"].map(|name| mk_service(name, 1));
    for service in &services {
        bench.apply(service);
    }
    let failed = |actions: &[Action]| -> Vec<String> {
        let failed = actions.iter().filter_map(|action| match action {
            Action::Report { service, report: Report::Failed(_) } => Some(service.name().to_owned()),
            _ => None,
        });
        failed.collect()
    };
    let [has, waits, ..] = services;
    assert_eq!(failed(&bench.drain()), ["has", "waits"], "the first by name has got it");
    let told: Vec<_> = bench.engine.told().map(|(service, told)| (service.clone(), told.to_vec())).collect();
    let mut next = Bench::new(Options::default(), pools());
    let mut new = mk_service("gone", 1);
    new.assigned = vec![ip("192.0.2.0")];
    for service in [&has, &waits, &new, &mk_service("late", 2)] {
        next.apply(service);
    }
    for (service, told) in told {
        next.engine.remember_told(&service, told);
    }
    next.engine.remember_told(&ServiceKey::new("ns", "unknown"), Vec::new());
    next.engine.start(next.now);
    assert_eq!(failed(&next.drain()), ["late"]);
    next.config(vec![]);
    assert!(failed(&next.drain()).contains(&"waits".to_owned()), "for another reason");
}

#[test]
fn an_address_that_another_controller_published_first_stays() {
    let pools = || vec![mk_pool("p", &["192.0.2.0/28"])];
    let mut bench = Bench::started(pools());
    let mut web = mk_service("web", 1);
    bench.apply(&web);
    assert_eq!(bench.writes(), ["web=192.0.2.0"]);
    web.assigned = vec![ip("192.0.2.7")];
    web.recorded_pools = vec![PoolName::new("p")];
    bench.apply(&web);
    assert_eq!(bench.writes(), [""; 0], "there is nothing to write");
    let mut next = mk_service("next", 2);
    bench.apply(&next);
    assert_eq!(bench.writes(), ["next=192.0.2.0"], "what was never published is free");
    // Once it was published, whoever changes it is put right, however often.
    next.assigned = vec![ip("192.0.2.0")];
    next.recorded_pools = vec![PoolName::new("p")];
    bench.apply(&next);
    for other in ["192.0.2.8", "192.0.2.9", "203.0.113.1"] {
        next.assigned = vec![ip(other)];
        bench.apply(&next);
        assert_eq!(bench.writes(), ["next=192.0.2.0"]);
    }
    // Addresses in no pool are nobody's promise.
    let mut odd = mk_service("odd", 3);
    bench.apply(&odd);
    bench.drain();
    odd.assigned = vec![ip("203.0.113.1")];
    bench.apply(&odd);
    assert_eq!(bench.writes(), ["odd=192.0.2.1"]);
}

#[test]
fn an_address_that_somebody_else_holds_is_not_taken_over_from_a_status() {
    let mut bench = Bench::started(vec![mk_pool("p", &["192.0.2.0/31"])]);
    let holder = mk_service("holder", 2);
    bench.apply(&holder);
    assert_eq!(bench.writes(), ["holder=192.0.2.0"]);
    let mut web = mk_service("web", 3);
    bench.apply(&web);
    assert_eq!(bench.writes(), ["web=192.0.2.1"]);
    // It is older and would be served first, if anything was free for a moment.
    bench.apply(&mk_service("waiting", 1));
    bench.drain();
    web.assigned = vec![ip("192.0.2.0")];
    web.recorded_pools = vec![PoolName::new("p")];
    bench.apply(&web);
    assert_eq!(bench.writes(), ["web=192.0.2.1"], "what it holds stays its own");
}

#[test]
fn our_own_write_that_shows_late_is_nobody_elses() {
    let mut bench = Bench::started(vec![mk_pool("p", &["192.0.2.0/28"])]);
    let mut web = mk_service("web", 1);
    bench.apply(&web);
    bench.drain();
    let other =
        Request::new(RequestedFamilies::one(Family::V4), FamilyPolicy::Single, vec![ip("192.0.2.5")], None);
    web.demand = Demand::Addresses(other.unwrap());
    bench.apply(&web);
    assert_eq!(bench.writes(), ["web=192.0.2.5"]);
    web.assigned = vec![ip("192.0.2.0")];
    bench.apply(&web);
    let actions = bench.drain();
    assert!(!actions.iter().any(|action| matches!(action, Action::Report { .. })), "{actions:?}");
    assert_eq!(bench.engine.allocation(&web.key).unwrap().addresses, [ip("192.0.2.5")]);
}

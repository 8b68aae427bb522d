//! Only the API remembers: whoever starts anew from what was written decides as the one who has been running all along.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PoolInput, ServiceAllocationInput};
use metallb_core::facts::{
    Demand, FamilyPolicy, Namespace, Request, RequestError, RequestedFamilies, Service, TrafficPolicy,
};
use metallb_core::ipam::{Action, Assigner, Options};
use metallb_core::keys::{Created, Family, NamespaceName, PoolName, Port, Protocol, ServiceKey, SharingKey};
use metallb_core::select::SelectorInput;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

#[derive(Clone, Debug)]
enum Event {
    Pools(Vec<PoolInput>),
    Namespace(Namespace),
    /// Comes, or has changed.
    Service(Box<Service>),
    /// It asks for something else.
    Demand(ServiceKey, Demand),
    Gone(ServiceKey),
}

/// What the API knows, and the configuration in force.
#[derive(Clone, Debug, Default)]
struct World {
    pools: Vec<PoolInput>,
    config: Config,
    namespaces: BTreeMap<NamespaceName, Namespace>,
    services: BTreeMap<ServiceKey, Service>,
}

struct Running {
    now: Instant,
    options: Options,
    world: World,
    engine: Assigner,
}

impl Running {
    /// A new engine that gets the facts, newest names first, and decides.
    fn started(options: Options, world: World) -> Self {
        let now = Instant::now();
        let mut engine = Assigner::new(options);
        for service in world.services.values().rev() {
            engine.apply_service(now, service.clone());
        }
        for namespace in world.namespaces.values() {
            engine.apply_namespace(namespace.clone());
        }
        engine.set_config(now, Arc::new(world.config.clone()));
        engine.start(now);
        Self { now, options, world, engine }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Pools(pools) => {
                let input = Input { pools: pools.clone(), ..Input::default() };
                let config = Config::build(&input, &self.world.config).config;
                self.world.pools = pools;
                self.world.config = config.clone();
                self.engine.set_config(self.now, Arc::new(config));
            }
            Event::Namespace(namespace) => {
                self.world.namespaces.insert(namespace.name.clone(), namespace.clone());
                self.engine.apply_namespace(namespace);
            }
            Event::Service(mut service) => {
                if let Some(known) = self.world.services.get(&service.key) {
                    service.created = known.created;
                    service.assigned.clone_from(&known.assigned);
                    service.recorded_pools.clone_from(&known.recorded_pools);
                }
                self.change(*service);
            }
            Event::Demand(key, demand) => {
                if let Some(known) = self.world.services.get(&key).cloned() {
                    self.change(Service { demand, ..known });
                }
            }
            Event::Gone(key) => {
                self.world.services.remove(&key);
                self.engine.remove_service(self.now, &key);
            }
        }
    }

    fn change(&mut self, service: Service) {
        self.world.services.insert(service.key.clone(), service.clone());
        self.engine.apply_service(self.now, service);
    }

    /// Writes down what the engine wants written, until it wants nothing more. Returns how much that was.
    fn settle(&mut self) -> usize {
        let mut writes = 0;
        while let Some(action) = self.engine.poll_action() {
            let (key, addresses, pools) = match action {
                Action::Assign { service, addresses, pools } => (service, addresses, pools),
                Action::Clear { service, .. } => (service, Vec::new(), Vec::new()),
                Action::Report { .. } | Action::Usage { .. } => continue,
            };
            writes += 1;
            let service = self.world.services.get_mut(&key).unwrap();
            (service.assigned, service.recorded_pools) = (addresses, pools);
            self.engine.apply_service(self.now, service.clone());
        }
        writes
    }

    fn allocations(&self) -> BTreeMap<ServiceKey, Vec<IpAddr>> {
        self.engine.allocations().map(|(key, held)| (key.clone(), held.addresses)).collect()
    }
}

fn v4() -> impl Strategy<Value = IpAddr> {
    select(
        [[0, 254], [0, 255], [1, 0], [1, 1], [1, 2], [1, 3]]
            .map(|[c, d]| IpAddr::from([10, 0, c, d]))
            .to_vec(),
    )
}

fn v6() -> impl Strategy<Value = IpAddr> {
    (0_u16..5).prop_map(|host| IpAddr::from([0xfc00, 0, 0, 0, 0, 0, 0, host]))
}

fn range() -> impl Strategy<Value = String> {
    let range = |(a, b): (IpAddr, IpAddr)| format!("{}-{}", a.min(b), a.max(b));
    prop_oneof![
        4 => (v4(), v4()).prop_map(range),
        3 => (v6(), v6()).prop_map(range),
        1 => Just("nonsense".to_owned()),
    ]
}

fn label(value: &str) -> SelectorInput {
    SelectorInput { match_labels: vec![("is".into(), value.into())], ..SelectorInput::default() }
}

prop_compose! {
    fn pool()(
        name in "[pqr]", created in 0_i64..3, addresses in vec(range(), 1..3), auto in prop::bool::weighted(0.8), avoid: bool,
        allocation in option::weighted(0.4, (0_i32..3, option::of("n[01]"), option::of("[xy]"), option::of("[xy]"))),
    ) -> PoolInput {
        PoolInput {
            meta: Meta::new(name, Created(created)),
            addresses,
            auto_assign: auto,
            avoid_buggy_ips: avoid,
            service_allocation: allocation.map(|(priority, namespace, labels, service)| ServiceAllocationInput {
                priority,
                namespaces: namespace.into_iter().collect(),
                namespace_selectors: labels.iter().map(|value| label(value)).collect(),
                service_selectors: service.iter().map(|value| label(value)).collect(),
                ..ServiceAllocationInput::default()
            }),
            ..PoolInput::default()
        }
    }
}

fn key() -> impl Strategy<Value = ServiceKey> {
    (0_u8..8).prop_map(|number| ServiceKey::new(format!("n{}", number % 2), format!("s{number}")))
}

fn policy() -> impl Strategy<Value = FamilyPolicy> {
    select(vec![FamilyPolicy::PreferDual, FamilyPolicy::RequireDual, FamilyPolicy::Single])
}

prop_compose! {
    fn demand()(
        dual: bool, v6_first: bool, policy in policy(), wanted in option::weighted(0.2, (v4(), v6())),
        pool in option::weighted(0.2, "[pqr]"), odd in 0..12,
    ) -> Demand {
        let preferred = if v6_first { Family::V6 } else { Family::V4 };
        let families = if dual { RequestedFamilies::both(preferred) } else { RequestedFamilies::one(preferred) };
        let taken = if policy == FamilyPolicy::Single { RequestedFamilies::one(preferred) } else { families };
        let wanted = wanted.map(|(v4, v6)| taken.iter().map(|f| if f == Family::V4 { v4 } else { v6 }).collect());
        match odd {
            0 => Demand::None,
            1 => Demand::Invalid(RequestError::WantedTwice),
            _ => Request::new(families, policy, wanted.unwrap_or_default(), pool.map(PoolName::from))
                .map_or_else(Demand::Invalid, Demand::Addresses),
        }
    }
}

prop_compose! {
    fn service()(
        key in key(), created in 0_i64..4, demand in demand(), sharing in option::weighted(0.6, "[ab]"),
        ports in btree_set(80_u16..83, 0..3), local in option::weighted(0.3, "[xy]"), is in "[xy]",
    ) -> Service {
        let mut service = Service::new(key, Created(created), demand);
        service.ports = ports.into_iter().map(|number| Port::new(Protocol::Tcp, number)).collect();
        service.sharing_key = sharing.map(SharingKey::from);
        service.labels = [("is", is)].into_iter().collect();
        if let Some(app) = local {
            service.traffic_policy = TrafficPolicy::Local;
            service.backend = [("app", app)].into_iter().collect();
        }
        service
    }
}

fn namespace() -> impl Strategy<Value = Namespace> {
    ("n[01]", "[xy]").prop_map(|(name, is)| Namespace {
        name: NamespaceName::from(name),
        labels: [("is", is)].into_iter().collect(),
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => vec(pool(), 0..4).prop_map(Event::Pools),
        2 => namespace().prop_map(Event::Namespace),
        8 => service().prop_map(|service| Event::Service(Box::new(service))),
        3 => (key(), demand()).prop_map(|(key, demand)| Event::Demand(key, demand)),
        2 => key().prop_map(Event::Gone),
    ]
}

fn running(two_pools: bool, pools: Vec<PoolInput>, services: Vec<Service>) -> Running {
    let options = Options { dual_stack_two_pools: two_pools, ..Options::default() };
    let mut running = Running::started(options, World::default());
    running.apply(Event::Pools(pools));
    for service in services {
        running.apply(Event::Service(Box::new(service)));
    }
    running.settle();
    running
}

proptest! {
    #[test]
    fn a_restart_writes_nothing(
        two_pools: bool, pools in vec(pool(), 1..4), services in vec(service(), 0..8), events in vec(vec(event(), 1..4), 0..12),
    ) {
        let mut running = running(two_pools, pools, services);
        for batch in events {
            for event in batch {
                running.apply(event);
            }
            running.settle();
            let mut again = Running::started(running.options, running.world.clone());
            prop_assert_eq!(again.settle(), 0, "{:#?}\n{:#?}", running.world.services, again.world.services);
            prop_assert_eq!(again.allocations(), running.allocations());
        }
    }

    /// Pools that were in force in an earlier version are not any more then; what they gave is held. Only a pool that
    /// could not come into force while such a version was in its way may give up what it no longer lists.
    #[test]
    fn a_restart_takes_no_address_away(
        pools in vec(pool(), 1..4), services in vec(service(), 0..8), events in vec(event(), 0..20),
    ) {
        let mut running = running(false, pools, services);
        for event in events {
            running.apply(event);
            running.settle();
        }
        let before = running.world.config.clone();
        let mut world = running.world.clone();
        let input = Input { pools: world.pools.clone(), ..Input::default() };
        world.config = Config::build(&input, &Config::default()).config;
        let freed = |pool: &PoolName| before.rejected_pools().contains_key(pool) && world.config.pools().contains_key(pool);
        let held = running.allocations();
        let expected = held.into_iter().filter(|(key, _)| !running.world.services[key].recorded_pools.iter().any(freed));
        let mut again = Running::started(running.options, world.clone());
        again.settle();
        let after = again.allocations();
        for (key, addresses) in expected {
            let kept = after.get(&key).is_some_and(|now| addresses.iter().all(|address| now.contains(address)));
            prop_assert!(kept, "{key} had {addresses:?}: {after:?}");
        }
    }

    /// Who is served, and with what, does not depend on whether somebody was there when it happened, except that who was
    /// there remembers which addresses were lost. Changes that may
    /// break sharing are left out: then the one that changes yields, and after a restart nobody knows who that was.
    #[test]
    fn what_happens_while_running_ends_as_if_it_had_happened_before_the_start(
        two_pools: bool, pools in vec(pool(), 1..4), services in vec(service(), 0..8), before in vec(event(), 0..10),
        demands in vec((key(), demand()), 0..3), gone in vec(key(), 0..3), new in vec(service(), 0..3),
        labels in option::of(namespace()), next in option::of(vec(pool(), 0..4)),
    ) {
        let mut running = running(two_pools, pools, services);
        for event in before {
            running.apply(event);
            running.settle();
        }
        if running.engine.stats().remembered > 0 {
            return Ok(());
        }
        let known = running.world.services.clone();
        let new = new.into_iter().filter(|service| !known.contains_key(&service.key)).map(|s| Event::Service(Box::new(s)));
        let changes = demands.into_iter().map(|(key, demand)| Event::Demand(key, demand));
        let gone = gone.into_iter().filter(|key| known.contains_key(key)).map(Event::Gone);
        for event in changes.chain(gone).chain(new).chain(labels.map(Event::Namespace)).chain(next.map(Event::Pools)) {
            running.apply(event);
        }
        let mut again = Running::started(running.options, running.world.clone());
        running.settle();
        again.settle();
        if running.engine.stats().remembered > 0 {
            return Ok(());
        }
        prop_assert_eq!(running.allocations(), again.allocations(), "{:#?}", running.world);
    }
}

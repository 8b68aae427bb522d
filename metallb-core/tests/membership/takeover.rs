//! Membership and announcements together: who announces an address while members die, return and part.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metallb_core::announce::{Engine, Liveness, Options};
use metallb_core::config::{Config, Input, L2AdvertisementInput, Meta, PoolInput};
use metallb_core::facts::{Demand, Endpoints, Node, Request, Service};
use metallb_core::keys::{Created, Family, ServiceKey};
use metallb_core::select::Labels;

use crate::simulation::{LAN, Simulation, name};

const STEP: Duration = Duration::from_millis(5);

fn engine(index: usize, size: usize) -> Engine {
    let meta = Meta::new("lan", Created(0));
    let addresses = vec!["192.0.2.0/24".to_owned()];
    let input = Input {
        pools: vec![PoolInput { meta: meta.clone(), addresses, ..PoolInput::default() }],
        l2_advertisements: vec![L2AdvertisementInput { meta, ..L2AdvertisementInput::default() }],
        ..Input::default()
    };
    let mut engine = Engine::new(name(index), Options::default().with_liveness(Liveness::Members));
    engine.set_config(Arc::new(Config::build(&input, &Config::default()).config));
    for node in 0..size {
        engine.apply_node(Node::new(name(node), Labels::new()));
    }
    let key = ServiceKey::new("default", "web");
    let wish = Demand::Addresses(Request::single(Family::V4));
    let mut service = Service::new(key.clone(), Created(0), wish);
    service.assigned = vec![address()];
    engine.apply_service(service);
    engine.apply_endpoints(Endpoints::ready(key, BTreeSet::new(), true));
    engine
}

fn address() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

/// Speakers on simulated nodes.
struct Cluster {
    sim: Simulation,
    engines: Vec<Engine>,
}

impl Cluster {
    fn started(size: usize, seed: u64) -> Self {
        let mut sim = Simulation::new(size, LAN, seed);
        sim.start_all();
        let mut cluster = Self { sim, engines: (0..size).map(|index| engine(index, size)).collect() };
        cluster.step();
        cluster
    }

    /// Lets time pass; a speaker evaluates when it is settled.
    fn step(&mut self) {
        self.sim.run_for(STEP);
        for (index, engine) in self.engines.iter_mut().enumerate() {
            if self.sim.is_running(index) && self.sim.machine(index).is_settled() {
                engine.set_members(self.sim.machine(index).members().clone());
                drop(engine.evaluate());
            }
        }
    }

    fn announcing(&self) -> Vec<usize> {
        let announces = |index: &usize| {
            self.sim.is_running(*index) && self.engines[*index].announced_on(address()).is_some()
        };
        (0..self.engines.len()).filter(announces).collect()
    }

    fn owner(&self) -> usize {
        let announcing = self.announcing();
        assert_eq!(announcing.len(), 1, "{announcing:?}");
        announcing[0]
    }

    /// Runs for a while; returns how long nobody and how long more than one announced.
    fn watch(&mut self, time: Duration) -> (Duration, Duration) {
        let (mut nobody, mut several) = (Duration::ZERO, Duration::ZERO);
        let end = self.sim.now() + time;
        while self.sim.now() < end {
            self.step();
            match self.announcing().len() {
                0 => nobody += STEP,
                1 => {}
                _ => several += STEP,
            }
        }
        (nobody, several)
    }

    fn restart(&mut self, index: usize) {
        self.engines[index] = engine(index, self.engines.len());
        self.sim.start(index);
    }
}

#[test]
fn a_dead_owner_is_replaced_within_half_a_second_by_one_node_only() {
    for seed in 0..8 {
        let mut cluster = Cluster::started(5, seed);
        let owner = cluster.owner();
        cluster.sim.kill(owner);
        let (nobody, several) = cluster.watch(Duration::from_secs(2));
        assert!(nobody <= Duration::from_millis(450), "seed {seed}: nobody for {nobody:?}");
        assert_eq!(several, Duration::ZERO, "seed {seed}");
        assert_ne!(cluster.owner(), owner);
    }
}

#[test]
fn a_returning_owner_takes_over_without_a_gap() {
    for seed in 0..8 {
        let mut cluster = Cluster::started(5, seed);
        let owner = cluster.owner();
        cluster.sim.kill(owner);
        cluster.watch(Duration::from_secs(1));
        cluster.restart(owner);
        let (nobody, several) = cluster.watch(Duration::from_secs(2));
        assert_eq!(nobody, Duration::ZERO, "seed {seed}");
        assert!(several <= Duration::from_millis(60), "seed {seed}: several for {several:?}");
        assert_eq!(cluster.owner(), owner);
    }
}

#[test]
fn a_restart_of_another_node_touches_nothing() {
    for seed in 0..8 {
        let mut cluster = Cluster::started(5, seed);
        let owner = cluster.owner();
        let other = (owner + 1) % 5;
        cluster.sim.kill(other);
        cluster.watch(Duration::from_millis(50 + 20 * seed));
        cluster.restart(other);
        let (nobody, several) = cluster.watch(Duration::from_secs(2));
        assert_eq!((nobody, several), (Duration::ZERO, Duration::ZERO), "seed {seed}");
        assert_eq!(cluster.owner(), owner);
    }
}

#[test]
fn after_a_partition_one_of_two_owners_stops_at_once() {
    let mut cluster = Cluster::started(4, 3);
    let owner = cluster.owner();
    for other in (0..4).filter(|other| *other != owner) {
        cluster.sim.cut(owner, other);
    }
    cluster.watch(Duration::from_secs(1));
    assert_eq!(cluster.announcing().len(), 2, "each side has its own");
    cluster.sim.heal();
    let (_, several) = cluster.watch(Duration::from_secs(1));
    assert!(several <= Duration::from_millis(60), "several for {several:?}");
    assert_eq!(cluster.owner(), owner);
}

#[test]
fn a_link_that_loses_everything_one_way_makes_neither_two_owners_nor_none() {
    for (size, seed) in [(3, 5), (4, 6), (5, 7)] {
        for (from, to) in (0..size).flat_map(|from| (0..size).map(move |to| (from, to))) {
            if from == to {
                continue;
            }
            let mut cluster = Cluster::started(size, seed);
            let owner = cluster.owner();
            cluster.sim.cut_one_way(from, to);
            let lost = cluster.watch(Duration::from_secs(2));
            cluster.sim.heal();
            let healed = cluster.watch(Duration::from_secs(1));
            let never = (Duration::ZERO, Duration::ZERO);
            assert_eq!((lost, healed), (never, never), "{from} to {to} of {size}");
            assert_eq!(cluster.owner(), owner);
        }
    }
}

#[test]
fn of_two_nodes_the_one_that_is_not_heard_gives_way() {
    for seed in 0..8 {
        let mut cluster = Cluster::started(2, seed);
        let owner = cluster.owner();
        cluster.sim.cut_one_way(owner, 1 - owner);
        let (nobody, several) = cluster.watch(Duration::from_secs(2));
        assert!(nobody.max(several) <= Duration::from_millis(60), "{nobody:?}, {several:?}, seed {seed}");
        assert_ne!(cluster.owner(), owner);
        cluster.sim.heal();
        let (nobody, several) = cluster.watch(Duration::from_secs(1));
        assert!(nobody.max(several) <= Duration::from_millis(60), "{nobody:?}, {several:?}, seed {seed}");
        assert_eq!(cluster.owner(), owner);
    }
}

#[test]
fn a_leaving_owner_is_replaced_at_once() {
    let mut cluster = Cluster::started(4, 4);
    let owner = cluster.owner();
    cluster.sim.leave(owner);
    cluster.step();
    assert_ne!(cluster.owner(), owner);
}

//! From facts to actions.

mod away;
mod patience;
mod settle;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::action::{Action, ClearReason, Report, Usage};
use super::allocator::{Allocation, Allocator, Options};
use super::claim::Claim;
use super::explain::Explanation;
use super::journal::Journal;
use crate::config::{Config, Problem};
use crate::facts::{AddressOwner, Demand, Namespace, Service};
use crate::keys::{Created, NamespaceName, PoolName, ServiceKey};
use crate::select::Labels;
use away::Away;
use patience::Patience;
use waiting::Waiting;
pub(super) use waiting::{Class, Need};

/// The engine of a controller: facts in, [`Action`]s out.
///
/// Facts may come at any time and in any order; nothing is decided before [`Assigner::start`] was called *and* a
/// configuration was set. After every call, ask [`Assigner::poll_action`] until it returns `None`: each call does the
/// work of one service. What is read in between ([`Assigner::usage`], [`Assigner::explain`], …) may be behind.
///
/// Level-triggered: an [`Action::Assign`] or [`Action::Clear`] comes again with every fact of the service that still
/// differs from what was decided, so a write that failed is repeated when the service is read again, and whoever writes
/// may drop one that is equal to one in flight.
#[derive(Debug)]
pub struct Assigner {
    allocator: Allocator,
    config: Option<Arc<Config>>,
    started: bool,
    /// The latest time anybody told.
    now: Option<Instant>,
    namespaces: BTreeMap<NamespaceName, Labels>,
    services: BTreeMap<ServiceKey, Entry>,
    dirty: BTreeSet<(Turn, Created, ServiceKey)>,
    waiting: Waiting,
    away: Away,
    patience: Patience,
    actions: VecDeque<Action>,
    usage_told: BTreeMap<PoolName, Usage>,
    stats: Stats,
}

/// One service.
#[derive(Debug)]
struct Entry {
    fact: Service,
    /// When it is its turn to be looked at.
    queued: Option<Turn>,
    /// What was asked to be written since the last fact; empty: nothing at all is to be there.
    asked: Option<(Vec<IpAddr>, Vec<PoolName>)>,
    /// The addresses by its status that were looked at last: they are given back once, not again after they were lost.
    considered: Vec<IpAddr>,
    /// One of the addresses that it holds has been seen in its status.
    is_published: bool,
    /// What was asked to be written, the latest last, until its status says what it holds.
    requests: Vec<Vec<IpAddr>>,
    /// What has been told about its condition, so that it is told on change only.
    told: Vec<Report>,
    /// Why it has lost an address, until that has been written down.
    lost: Option<ClearReason>,
}

/// In which order services are looked at: those with addresses before those that miss some, and among those with
/// addresses first the ones that were given them by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Has addresses by its status, and a record of the pools they come from.
    Recorded,
    /// Has addresses by its status.
    Assigned,
    /// Has addresses in the book; something about it has changed.
    Holding,
    /// Has lost an address that it may have again.
    Recalled,
    /// Misses an address. Only here addresses are given out, to the oldest first.
    Without,
}

/// Counters since the start, and how many there are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Services that are known.
    pub services: usize,
    /// Services that hold an address.
    pub allocated: usize,
    /// Services that wait for an address, or for their second one.
    pub waiting: usize,
    /// Lost addresses that are kept for the services that had them.
    pub remembered: usize,
    /// Services that were looked at.
    pub evaluations: u64,
    /// Failed allocations by reason, counted when they are reported. Every reason is there from the start.
    pub errors: BTreeMap<&'static str, u64>,
}

impl Assigner {
    /// An engine that knows nothing.
    pub fn new(options: Options) -> Self {
        let mut allocator = Allocator::new(options);
        allocator.journal = Journal::keep();
        let errors = super::AllocationError::REASONS.into_iter().map(|reason| (reason, 0)).collect();
        Self {
            allocator,
            config: None,
            started: false,
            now: None,
            namespaces: BTreeMap::new(),
            services: BTreeMap::new(),
            dirty: BTreeSet::new(),
            waiting: Waiting::default(),
            away: Away::new(options),
            patience: Patience::new(options.report_delay),
            actions: VecDeque::new(),
            usage_told: BTreeMap::new(),
            stats: Stats { errors, ..Stats::default() },
        }
    }

    /// From now on decisions are made: all facts that exist at this moment have been applied.
    ///
    /// Services that have addresses get them back, oldest first, before anything new is given out.
    pub fn start(&mut self, now: Instant) {
        self.advance(now);
        if self.started {
            return;
        }
        self.started = true;
        self.away.hold_back(now);
        let keys: Vec<ServiceKey> = self.services.keys().cloned().collect();
        for key in keys {
            self.enqueue(&key);
        }
    }

    /// Takes over a configuration.
    pub fn set_config(&mut self, now: Instant, config: Arc<Config>) {
        self.advance(now);
        let before = self.config.replace(config);
        let nothing = Config::default();
        if let Some(after) = &self.config {
            self.away.compare(now, before.as_deref().unwrap_or(&nothing), after, self.started);
        }
        self.take_over_pools();

        let (before, after) =
            (before.as_deref().unwrap_or(&nothing), self.config.as_deref().unwrap_or(&nothing));
        let concerned = self.waiting.concerned(before, after, |service| self.claimant(service));
        self.usage_told.retain(|pool, _| after.pools().contains_key(pool));
        for service in concerned {
            self.enqueue(&service);
        }
    }

    /// Looks again at services whose pools have changed, have come or are gone for good.
    fn take_over_pools(&mut self) {
        let Some(config) = &self.config else { return };
        let mut concerned = self.allocator.set_pools_beside(config, self.away.leaving());
        concerned.extend(self.away.held_back().cloned());
        for service in concerned {
            self.enqueue(&service);
        }
    }

    /// Takes note that these, and no others, are addresses of `owner`, and of no service; none when it is gone. The
    /// addresses of BGP peers come with the configuration.
    pub fn reserve(&mut self, now: Instant, owner: &AddressOwner, addresses: &BTreeSet<IpAddr>) {
        self.advance(now);
        for service in self.allocator.reserve(owner, addresses) {
            self.enqueue(&service);
        }
    }

    /// Takes over the labels of a namespace.
    pub fn apply_namespace(&mut self, namespace: Namespace) {
        let Namespace { name, labels } = namespace;
        if self.namespaces.get(&name) == Some(&labels) {
            return;
        }
        self.namespaces.insert(name.clone(), labels);
        self.enqueue_namespace(&name);
    }

    /// The namespace is gone; services that are still said to be in it are treated as if it had no labels.
    pub fn remove_namespace(&mut self, name: &NamespaceName) {
        if self.namespaces.remove(name).is_some_and(|labels| !labels.is_empty()) {
            self.enqueue_namespace(name);
        }
    }

    /// Takes over what is known about a service.
    ///
    /// When its status says that somebody else has given it addresses that it may have, and those that it was given here have never
    /// stood there, it keeps what it says: another controller was faster, and users may know these addresses already.
    pub fn apply_service(&mut self, now: Instant, service: Service) {
        self.advance(now);
        let key = service.key.clone();
        if let Some(entry) = self.services.get_mut(&key) {
            entry.asked = None;
            if entry.fact == service {
                // The same fact again: only a write that is still missing is asked for once more.
                if entry.queued.is_none() && !self.away.holds_back(&key) {
                    self.emit_difference(&key);
                }
                return;
            }
            if let Some(turn) = entry.queued.take() {
                self.dirty.remove(&(turn, entry.fact.created, key.clone()));
            }
            let is_overtaken = entry.is_overtaken(&service, self.allocator.allocation(&key));
            if entry.fact.created != service.created {
                self.waiting.remove(&key);
            }
            let can_keep = is_overtaken && self.can_keep(&service);
            if can_keep {
                self.allocator.release(now, &key);
            }
            if let Some(entry) = self.services.get_mut(&key) {
                entry.fact = service;
            }
        } else {
            self.services.insert(
                key.clone(),
                Entry {
                    fact: service,
                    queued: None,
                    asked: None,
                    considered: Vec::new(),
                    is_published: false,
                    requests: Vec::new(),
                    told: Vec::new(),
                    lost: None,
                },
            );
        }
        self.enqueue(&key);
    }

    /// The service is gone. What it held is free, and nothing is to be written for it.
    pub fn remove_service(&mut self, now: Instant, service: &ServiceKey) {
        self.advance(now);
        let Some(entry) = self.services.remove(service) else { return };
        if let Some(turn) = entry.queued {
            self.dirty.remove(&(turn, entry.fact.created, service.clone()));
        }
        self.waiting.remove(service);
        self.away.let_go(service);
        self.patience.forget(service);
        self.allocator.release(now, service);
    }

    /// The next thing to do; `None` when everything is decided. Does the work of one service per call.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            if !self.is_running() {
                return None;
            }
            match self.next_turn() {
                Some((turn, service)) => self.settle(&service, turn),
                None => return self.next_usage(),
            }
        }
    }

    /// When to call [`Assigner::handle_timeout`] next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let all = [self.allocator.next_timeout(), self.away.next_timeout(), self.patience.next_timeout()];
        all.into_iter().flatten().min()
    }

    /// Does what is due; does nothing when called too early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.allocator.handle_timeout(now);
        if self.away.handle_timeout(now) {
            self.take_over_pools();
        }
        self.tell_late(now);
    }

    /// What was decided for a service and why, pool by pool. `None` when the service is not known.
    pub fn explain(&self, service: &ServiceKey) -> Option<Explanation> {
        let fact = &self.services.get(service)?.fact;
        Some(match &fact.demand {
            Demand::None => Explanation::not_wanted(),
            Demand::Invalid(error) => Explanation::invalid(error.clone(), self.allocator.allocation(service)),
            Demand::Addresses(request) => {
                self.allocator.explain(&Claim::new(fact, request, self.labels_of_namespace(service)))
            }
        })
    }

    /// What a service holds.
    pub fn allocation(&self, service: &ServiceKey) -> Option<Allocation> {
        self.allocator.allocation(service)
    }

    /// What everybody holds, in the order of the services.
    pub fn allocations(&self) -> impl Iterator<Item = (&ServiceKey, Allocation)> {
        self.allocator.allocations()
    }

    /// How much of a pool is in use; `None` when it is not in force.
    pub fn usage(&self, pool: &PoolName) -> Option<Usage> {
        self.allocator.pool_usage(pool)
    }

    /// What is to be said about a pool that contains addresses of others, if it does.
    pub fn owned_in(&self, pool: &PoolName) -> Option<Problem> {
        self.allocator.owned_in(pool)
    }

    /// The services that use a pool: the first `most` by name, and how many there are.
    pub fn users(&self, pool: &PoolName, most: usize) -> (Vec<ServiceKey>, usize) {
        self.allocator.users(pool, most)
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            services: self.services.len(),
            allocated: self.allocator.len(),
            waiting: self.waiting.len(),
            remembered: self.allocator.quarantine.remembered(),
            ..self.stats.clone()
        }
    }

    /// The configuration that was set last.
    pub fn config(&self) -> Option<&Arc<Config>> {
        self.config.as_ref()
    }

    fn is_running(&self) -> bool {
        self.started && self.config.is_some()
    }

    /// Time never goes backwards.
    fn advance(&mut self, now: Instant) {
        self.now = Some(self.now.map_or(now, |latest| latest.max(now)));
    }

    fn enqueue_namespace(&mut self, name: &NamespaceName) {
        let lowest = ServiceKey::new(name.as_str(), "");
        let services = self.services.range(lowest..).map(|(key, _)| key);
        let concerned: Vec<ServiceKey> =
            services.take_while(|key| key.namespace() == name.as_str()).cloned().collect();
        for service in concerned {
            self.enqueue(&service);
        }
    }

    fn enqueue(&mut self, service: &ServiceKey) {
        let Some(entry) = self.services.get(service) else { return };
        let nothing_new = entry.fact.assigned == entry.considered;
        let turn = match (self.allocator.holds_any(service), nothing_new) {
            _ if self.away.holds_back(service) => Turn::Recorded,
            (true, _) => Turn::Holding,
            (false, true) if self.allocator.remembers(service) => Turn::Recalled,
            (false, true) => Turn::Without,
            (false, false) if entry.fact.recorded_pools.is_empty() => Turn::Assigned,
            (false, false) => Turn::Recorded,
        };
        self.enqueue_for(service, turn);
    }

    fn enqueue_for(&mut self, service: &ServiceKey, turn: Turn) {
        let Some(entry) = self.services.get_mut(service) else { return };
        if entry.queued == Some(turn) {
            return;
        }
        if let Some(earlier) = entry.queued.replace(turn) {
            self.dirty.remove(&(earlier, entry.fact.created, service.clone()));
        }
        self.dirty.insert((turn, entry.fact.created, service.clone()));
    }

    /// Who is to be looked at next. Among those that miss an address the oldest comes first, whether it is new, has
    /// changed, or waits for what has become free.
    fn next_turn(&mut self) -> Option<(Turn, ServiceKey)> {
        if self.dirty.first().is_none_or(|(turn, ..)| *turn == Turn::Without) {
            let queued = self.dirty.first().map(|(_, created, service)| (*created, service.clone()));
            let woken = self.next_waiting();
            let next = [queued.as_ref(), woken.as_ref()].into_iter().flatten().min()?.clone();
            self.waiting.tried(&next);
            if queued.as_ref() != Some(&next) {
                return Some((Turn::Without, next.1));
            }
        }
        self.dirty.pop_first().map(|(turn, _, service)| (turn, service))
    }

    fn next_usage(&mut self) -> Option<Action> {
        while let Some((pool, more)) = self.allocator.journal.pop_usage() {
            let Some(usage) = self.allocator.pool_usage(&pool) else { continue };
            if self.usage_told.insert(pool.clone(), usage) != Some(usage) || more {
                return Some(Action::Usage { pool, usage });
            }
        }
        None
    }

    fn labels_of_namespace(&self, service: &ServiceKey) -> &Labels {
        self.namespaces.get(service.namespace()).unwrap_or(&NO_LABELS)
    }

    /// What decides whether a pool admits a waiting service.
    fn claimant(&self, service: &ServiceKey) -> Option<(&Service, &Labels)> {
        self.services.get(service).map(|entry| (&entry.fact, self.labels_of_namespace(service)))
    }
}

static NO_LABELS: Labels = Labels::new();

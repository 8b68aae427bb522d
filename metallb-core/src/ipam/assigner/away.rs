//! Pools that are not there: just deleted, or not seen yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::allocator::Options;
use crate::config::{Config, RejectedPool};
use crate::keys::{PoolName, ServiceKey};

/// See the module.
#[derive(Debug)]
pub(super) struct Away {
    grace: Duration,
    hold: Duration,
    /// Deleted pools that count as existing, and the time at which that ends.
    leaving: BTreeMap<PoolName, RejectedPool>,
    ends: BTreeMap<PoolName, Instant>,
    /// Pools that have been there once.
    seen: BTreeSet<PoolName>,
    /// Until when services whose addresses are in no pool wait for one.
    hold_until: Option<Instant>,
    held_back: BTreeSet<ServiceKey>,
}

impl Away {
    pub(super) const fn new(options: Options) -> Self {
        Self {
            grace: options.deletion_grace,
            hold: options.startup_hold,
            leaving: BTreeMap::new(),
            ends: BTreeMap::new(),
            seen: BTreeSet::new(),
            hold_until: None,
            held_back: BTreeSet::new(),
        }
    }

    /// From now on services wait for pools that may still appear.
    pub(super) fn hold_back(&mut self, now: Instant) {
        if !self.hold.is_zero() {
            self.hold_until = now.checked_add(self.hold).max(self.hold_until);
        }
    }

    /// Takes note of pools that have appeared or are gone.
    pub(super) fn compare(&mut self, now: Instant, before: &Config, after: &Config, started: bool) {
        let exists =
            |name: &PoolName| after.pools().contains_key(name) || after.rejected_pools().contains_key(name);
        self.leaving.retain(|name, _| !exists(name));
        self.ends.retain(|name, _| !exists(name));
        if let Some(end) = now.checked_add(self.grace).filter(|_| !self.grace.is_zero()) {
            for pool in before.pools().values().filter(|pool| !exists(&pool.name)) {
                self.leaving.insert(pool.name.clone(), RejectedPool::of(pool));
                self.ends.insert(pool.name.clone(), end);
            }
        }
        let mut any_new = false;
        for name in after.pools().keys().chain(after.rejected_pools().keys()) {
            any_new |= !self.seen.contains(name) && self.seen.insert(name.clone());
        }
        if self.seen.len() > MOST_SEEN {
            self.seen.retain(exists);
        }
        if any_new && started {
            self.hold_back(now);
        }
    }

    /// Deleted pools that count as existing.
    pub(super) const fn leaving(&self) -> &BTreeMap<PoolName, RejectedPool> {
        &self.leaving
    }

    /// True while services wait for pools.
    pub(super) fn is_holding_back(&self, now: Instant) -> bool {
        self.hold_until.is_some_and(|until| now < until)
    }

    /// The service waits for a pool.
    pub(super) fn keep_back(&mut self, service: &ServiceKey) {
        self.held_back.insert(service.clone());
    }

    /// The service no longer waits for a pool.
    pub(super) fn let_go(&mut self, service: &ServiceKey) {
        self.held_back.remove(service);
    }

    pub(super) fn holds_back(&self, service: &ServiceKey) -> bool {
        self.held_back.contains(service)
    }

    pub(super) fn held_back(&self) -> impl Iterator<Item = &ServiceKey> {
        self.held_back.iter()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let hold = self.hold_until.filter(|_| !self.held_back.is_empty());
        self.ends.values().copied().chain(hold).min()
    }

    /// True when pools are gone for good, or nobody waits for them any longer.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.ends.len();
        self.ends.retain(|_, end| *end > now);
        let Self { leaving, ends, .. } = self;
        leaving.retain(|name, _| ends.contains_key(name));
        let over = self.hold_until.is_some_and(|until| until <= now);
        if over {
            self.hold_until = None;
        }
        over || self.ends.len() < before
    }
}

/// How many names of pools are remembered beside those that exist.
const MOST_SEEN: usize = 10_000;

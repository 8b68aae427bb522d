//! Deciding about one service.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Instant;

use super::super::action::{Action, ClearReason, Report};
use super::super::allocator::Allocation;
use super::super::claim::Claim;
use super::super::error::AllocationError;
use super::waiting::Need;
use super::{Assigner, Entry, NO_LABELS, Turn};
use crate::facts::{Demand, Request, Service};
use crate::keys::{PoolName, ServiceKey};

/// What came out for one service.
#[derive(Debug, Default)]
struct Outcome {
    /// Its condition, told when it has changed.
    condition: Vec<Report>,
    /// What it waits for.
    need: Option<Need>,
}

impl Assigner {
    /// Looks at one service and queues what is to be done about it.
    ///
    /// A service that has addresses only keeps them, or gets them back, at first. When something is missing it comes
    /// again after all others have got theirs, so that nobody is given what somebody else still has to get back, and the
    /// oldest that misses something is served first.
    pub(super) fn settle(&mut self, service: &ServiceKey, turn: Turn) {
        let Some(now) = self.now else { return };
        let Some(mut entry) = self.services.remove(service) else { return };
        entry.queued = None;
        if self.waits_for_pool(now, &entry, turn) {
            // What can be given back already is, so that nobody else gets it; for the rest a pool may still appear.
            drop(self.give_back(&entry.fact));
            self.away.keep_back(service);
            self.services.insert(service.clone(), entry);
            return;
        }
        self.away.let_go(service);
        entry.considered.clone_from(&entry.fact.assigned);
        self.stats.evaluations += 1;
        let before: Vec<IpAddr> = self.allocator.allocation(service).map(|a| a.addresses).unwrap_or_default();
        let lost = match turn {
            Turn::Recorded | Turn::Assigned => self.give_back(&entry.fact),
            Turn::Holding => self.keep(now, &entry.fact),
            Turn::Recalled => self.recall(&entry.fact),
            Turn::Without => {
                let mut lost = self.keep(now, &entry.fact);
                lost.extend(self.give_up_half(now, &entry.fact));
                lost
            }
        };
        entry.lost = entry.lost.take().or_else(|| lost.first().cloned());
        self.tell_lost(service, lost);
        self.follow_displaced();
        if turn != Turn::Without && !self.is_complete(&entry.fact) {
            self.services.insert(service.clone(), entry);
            self.enqueue_for(service, Turn::Without);
            return;
        }
        let outcome = match &entry.fact.demand {
            Demand::None => {
                self.allocator.release(now, service);
                Outcome::default()
            }
            Demand::Invalid(error) => {
                let condition = vec![Report::InvalidRequest(error.clone())];
                Outcome { condition, ..Outcome::default() }
            }
            Demand::Addresses(request) => self.serve(&entry.fact, request),
        };
        self.tell(now, &mut entry, &before, outcome);
        self.services.insert(service.clone(), entry);
        self.write(service);
    }

    /// Asks again for what the last fact lacks.
    pub(super) fn emit_difference(&mut self, service: &ServiceKey) {
        if self.is_running() {
            self.write(service);
        }
    }

    fn serve(&mut self, fact: &Service, request: &Request) -> Outcome {
        let labels = self.namespaces.get(fact.key.namespace()).unwrap_or(&NO_LABELS);
        let claim = Claim::new(fact, request, labels);
        let mut condition = Vec::new();
        let result = self.allocator.fill(&claim);
        let failure = match &result {
            Err(error) => {
                condition.push(Report::Failed(error.clone()));
                Some(error)
            }
            Ok(allocation) => {
                condition.extend(held_report(allocation));
                condition.extend(self.allocator.kept_sharing(&fact.key));
                condition.extend(self.allocator.kept_barred(&fact.key));
                if let Some(error) = &allocation.missing {
                    condition.push(Report::AdditionalFailed(error.clone()));
                }
                allocation.missing.as_ref()
            }
        };
        let need = failure.map(|_| self.allocator.need(&claim));
        Outcome { condition, need }
    }

    /// Gives a service back what it has by its status.
    fn give_back(&mut self, fact: &Service) -> Vec<ClearReason> {
        let Some(request) = effective(fact, &fact.assigned) else { return Vec::new() };
        let labels = self.namespaces.get(fact.key.namespace()).unwrap_or(&NO_LABELS);
        let claim = Claim::new(fact, &request, labels);
        self.allocator.restore(&claim, &fact.assigned, &fact.recorded_pools)
    }

    /// Whether a service may have all that its status says it has.
    pub(super) fn can_keep(&self, fact: &Service) -> bool {
        let Some(request) = effective(fact, &fact.assigned) else { return false };
        let labels = self.namespaces.get(fact.key.namespace()).unwrap_or(&NO_LABELS);
        let claim = Claim::new(fact, &request, labels);
        fact.assigned.iter().all(|&address| {
            self.allocator.may_keep(&claim, address, &fact.recorded_pools).is_ok_and(|held| held.is_none())
                && self.allocator.may_join(&claim, address, true).is_ok()
        })
    }

    /// True when the service has an address by its status, or is said to have had one of a pool, and the pool may still
    /// appear.
    fn waits_for_pool(&self, now: Instant, entry: &Entry, turn: Turn) -> bool {
        let Some(config) = self.config.as_deref() else { return false };
        let settled = matches!(turn, Turn::Holding | Turn::Recalled);
        if settled || !self.away.is_holding_back(now) || entry.fact.demand == Demand::None {
            return false;
        }
        let in_pool = |address: &IpAddr| {
            config.pools().values().any(|pool| pool.entry_of(*address).is_some())
                || config.rejected_pools().values().any(|pool| pool.contains(*address))
        };
        let exists =
            |pool: &PoolName| config.pools().contains_key(pool) || config.rejected_pools().contains_key(pool);
        match (entry.fact.assigned.is_empty(), turn) {
            (true, _) => !entry.fact.recorded_pools.iter().all(exists),
            (false, Turn::Without) => false,
            (false, _) => !entry.fact.assigned.iter().all(in_pool),
        }
    }

    /// Gives a service what it lost and may have again.
    fn recall(&mut self, fact: &Service) -> Vec<ClearReason> {
        if let Demand::Addresses(request) = &fact.demand {
            let labels = self.namespaces.get(fact.key.namespace()).unwrap_or(&NO_LABELS);
            self.allocator.recall(&Claim::new(fact, request, labels));
        }
        Vec::new()
    }

    /// Takes from a service what it may no longer have.
    fn keep(&mut self, now: Instant, fact: &Service) -> Vec<ClearReason> {
        let Some(held) = self.allocator.allocation(&fact.key) else { return Vec::new() };
        let Some(request) = effective(fact, &held.addresses) else { return Vec::new() };
        let labels = self.namespaces.get(fact.key.namespace()).unwrap_or(&NO_LABELS);
        let claim = Claim::new(fact, &request, labels);
        self.allocator.revise(now, &claim, &fact.recorded_pools)
    }

    /// Takes the only address of a service that must have two and cannot get the other beside it.
    fn give_up_half(&mut self, now: Instant, fact: &Service) -> Option<ClearReason> {
        let Demand::Addresses(request) = &fact.demand else { return None };
        let labels = self.namespaces.get(fact.key.namespace()).unwrap_or(&NO_LABELS);
        self.allocator.give_up_half(now, &Claim::new(fact, request, labels))
    }

    /// True when the service holds all that it wants.
    fn is_complete(&self, fact: &Service) -> bool {
        match &fact.demand {
            Demand::None | Demand::Invalid(_) => true,
            Demand::Addresses(request) => self.allocator.has_families(&fact.key, request.families()),
        }
    }

    fn tell_lost(&mut self, service: &ServiceKey, lost: Vec<ClearReason>) {
        for reason in lost {
            let addresses = reason.address().into_iter().collect();
            let report = Report::Released { addresses, reason };
            self.actions.push_back(Action::Report { service: service.clone(), report });
        }
    }

    /// Looks again at services that had to give way.
    fn follow_displaced(&mut self) {
        for (service, reason) in self.allocator.take_displaced() {
            if let Some(entry) = self.services.get_mut(&service) {
                entry.lost.get_or_insert_with(|| reason.clone());
            }
            self.tell_lost(&service, vec![reason]);
            self.enqueue(&service);
        }
    }

    /// Tells those that have held an address for the longest time of one from another namespace that has joined.
    fn tell_hosts(&mut self, service: &ServiceKey, joined: impl Iterator<Item = IpAddr>) {
        for address in joined {
            if let Some(host) = self.allocator.host_of(service, address).cloned() {
                let report = Report::Joined { address, by: service.clone() };
                self.actions.push_back(Action::Report { service: host, report });
            }
        }
    }

    /// Queues what is new about a service.
    fn tell(&mut self, now: Instant, entry: &mut Entry, before: &[IpAddr], outcome: Outcome) {
        let service = &entry.fact.key;
        let known = |address: &IpAddr| before.contains(address) || entry.fact.assigned.contains(address);
        let after: Vec<IpAddr> = self.allocator.allocation(service).map(|a| a.addresses).unwrap_or_default();
        let stays = before.iter().any(|address| after.contains(address));
        let is_shown = after.iter().any(|address| entry.fact.assigned.contains(address));
        entry.is_published = is_shown || (entry.is_published && stays);
        let joined: Vec<IpAddr> = after.iter().copied().filter(|address| !known(address)).collect();
        if !joined.is_empty() {
            let report = Report::Allocated { addresses: after };
            self.actions.push_back(Action::Report { service: service.clone(), report });
            self.tell_hosts(service, joined.into_iter());
        }
        let (known, news): (Vec<Report>, Vec<Report>) =
            outcome.condition.into_iter().partition(|news| entry.told.contains(news));
        let news = self.patience.sift(now, service, news);
        for news in &news {
            self.count_failure(news);
            self.actions.push_back(Action::Report { service: service.clone(), report: news.clone() });
        }
        entry.told = known.into_iter().chain(news).collect();
        match outcome.need {
            Some(need) => self.waiting.insert(service, entry.fact.created, need),
            None => self.waiting.remove(service),
        }
    }

    pub(super) fn count_failure(&mut self, report: &Report) {
        if let Some(reason) = failure_reason(report) {
            *self.stats.errors.entry(reason).or_default() += 1;
        }
    }

    /// Queues the write that the fact lacks, once for each fact.
    fn write(&mut self, service: &ServiceKey) {
        let Some(entry) = self.services.get_mut(service) else { return };
        let reason = entry.lost.take();
        let allocation = self.allocator.allocation(service);
        let (addresses, pools) =
            allocation.map_or_else(Default::default, |known| (known.addresses, known.pools));
        if addresses == entry.fact.assigned && pools == entry.fact.recorded_pools {
            entry.asked = None;
            entry.requests = Vec::new();
            return;
        }
        entry.remember_request(&addresses);
        let wanted = Some((addresses, pools));
        if entry.asked == wanted {
            return;
        }
        entry.asked.clone_from(&wanted);
        let service = service.clone();
        self.actions.push_back(match wanted {
            Some((addresses, pools)) if !addresses.is_empty() => Action::Assign { service, addresses, pools },
            _ => Action::Clear { service, reason },
        });
    }
}

impl Entry {
    /// Whether somebody else has given the service other addresses before those that it `holds` were ever written. Takes note of
    /// what `newer` shows.
    pub(super) fn is_overtaken(&mut self, newer: &Service, holds: Option<Allocation>) -> bool {
        let Some(holds) = holds else { return false };
        let stood_there = |fact: &Service| holds.addresses.iter().any(|held| fact.assigned.contains(held));
        self.is_published |= stood_there(newer) || stood_there(&self.fact);
        !self.is_published
            && !newer.assigned.is_empty()
            && newer.assigned != self.fact.assigned
            && !self.requests.contains(&newer.assigned)
    }

    fn remember_request(&mut self, addresses: &[IpAddr]) {
        if self.requests.last().is_some_and(|last| last == addresses) {
            return;
        }
        if self.requests.len() >= MOST_REQUESTS {
            self.requests.remove(0);
        }
        self.requests.push(addresses.to_vec());
    }
}

/// How many requests are told from what somebody else wrote.
const MOST_REQUESTS: usize = 4;

fn held_report(allocation: &Allocation) -> Option<Report> {
    let (_, pool) = allocation.held.first()?;
    let addresses = allocation.held.iter().map(|&(address, _)| address).collect();
    Some(Report::Held { addresses, pool: pool.clone() })
}

fn failure_reason(report: &Report) -> Option<&'static str> {
    match report {
        Report::Failed(error) | Report::AdditionalFailed(error) => Some(AllocationError::reason(error)),
        Report::InvalidRequest(error) => Some(error.reason()),
        _ => None,
    }
}

/// What a service wants. One whose wish makes no sense keeps what it has. `None`: it wants nothing.
fn effective<'a>(fact: &'a Service, has: &[IpAddr]) -> Option<Cow<'a, Request>> {
    match &fact.demand {
        Demand::None => None,
        Demand::Addresses(request) => Some(Cow::Borrowed(request)),
        Demand::Invalid(_) => as_assigned(has).map(Cow::Owned),
    }
}

/// A wish for exactly the families that are there.
fn as_assigned(assigned: &[IpAddr]) -> Option<Request> {
    use crate::facts::{FamilyPolicy, RequestedFamilies};
    use crate::keys::Family;
    let families = RequestedFamilies::from_order(assigned.iter().map(|&address| Family::of(address)))?;
    let policy = if families.second().is_some() { FamilyPolicy::PreferDual } else { FamilyPolicy::Single };
    Request::new(families, policy, Vec::new(), None).ok()
}

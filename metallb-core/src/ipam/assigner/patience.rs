//! Failures that may only be the order in which facts arrive: reported when they last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::action::{Action, Report};
use super::super::error::AllocationError;
use super::Assigner;
use crate::keys::ServiceKey;

/// See the module.
#[derive(Debug)]
pub(super) struct Patience {
    delay: Duration,
    pending: BTreeMap<ServiceKey, Vec<(Instant, Report)>>,
    by_time: BTreeSet<(Instant, ServiceKey)>,
}

impl Patience {
    pub(super) const fn new(delay: Duration) -> Self {
        Self { delay, pending: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Of what is new about a service, what is to be reported at once. The rest waits; what no longer holds is forgotten.
    pub(super) fn sift(&mut self, now: Instant, service: &ServiceKey, news: Vec<Report>) -> Vec<Report> {
        let before = self.forget(service);
        let end = now.checked_add(self.delay).filter(|_| !self.delay.is_zero());
        let Some(end) = end else { return news };
        let (later, at_once): (Vec<Report>, Vec<Report>) = news.into_iter().partition(may_pass);
        let pending = later.into_iter().map(|report| {
            let known = before.iter().find(|(_, known)| *known == report).map(|(end, _)| *end);
            (known.unwrap_or(end), report)
        });
        let pending: Vec<(Instant, Report)> = pending.collect();
        if !pending.is_empty() {
            self.by_time.extend(pending.iter().map(|(end, _)| (*end, service.clone())));
            self.pending.insert(service.clone(), pending);
        }
        at_once
    }

    /// Nothing is to be reported about the service any more. Returns what was pending.
    pub(super) fn forget(&mut self, service: &ServiceKey) -> Vec<(Instant, Report)> {
        let pending = self.pending.remove(service).unwrap_or_default();
        for (end, _) in &pending {
            self.by_time.remove(&(*end, service.clone()));
        }
        pending
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.by_time.first().map(|(end, _)| *end)
    }

    /// A service with the reports whose time has come.
    fn pop_due(&mut self, now: Instant) -> Option<(ServiceKey, Vec<Report>)> {
        let service = self.by_time.first().filter(|(end, _)| *end <= now)?.1.clone();
        let (due, later): (Vec<_>, Vec<_>) =
            self.forget(&service).into_iter().partition(|(end, _)| *end <= now);
        if !later.is_empty() {
            self.by_time.extend(later.iter().map(|(end, _)| (*end, service.clone())));
            self.pending.insert(service.clone(), later);
        }
        Some((service, due.into_iter().map(|(_, report)| report).collect()))
    }
}

impl Assigner {
    /// What has been reported of the present condition of services, for one that takes over.
    pub fn told(&self) -> impl Iterator<Item = (&ServiceKey, &[Report])> {
        let told = self.services.iter().map(|(service, entry)| (service, entry.told.as_slice()));
        told.filter(|(_, told)| !told.is_empty())
    }

    /// Takes note that this has been reported of a service, which is known already; it is not reported again while it
    /// holds. For one that takes over, before [`Assigner::start`].
    pub fn remember_told(&mut self, service: &ServiceKey, told: Vec<Report>) {
        if let Some(entry) = self.services.get_mut(service) {
            entry.told = told;
        }
    }

    /// Reports what has lasted long enough.
    pub(super) fn tell_late(&mut self, now: Instant) {
        while let Some((service, reports)) = self.patience.pop_due(now) {
            for report in reports {
                self.count_failure(&report);
                if let Some(entry) = self.services.get_mut(&service) {
                    entry.told.push(report.clone());
                }
                self.actions.push_back(Action::Report { service: service.clone(), report });
            }
        }
    }
}

/// Whether another fact, of a pool or a namespace, may mend it at once.
const fn may_pass(report: &Report) -> bool {
    matches!(
        report,
        Report::Failed(error) | Report::AdditionalFailed(error) if matches!(
            error,
            AllocationError::NoPool
                | AllocationError::NoMatchingPool
                | AllocationError::NoPoolOfFamily { .. }
                | AllocationError::NoPoolOfBothFamilies
                | AllocationError::PoolLacksFamily { .. }
                | AllocationError::UnknownPool { .. }
                | AllocationError::PoolNotAdmitted { .. }
                | AllocationError::AddressNotInPool { .. }
                | AllocationError::AddressNotInWantedPool { .. }
        )
    )
}

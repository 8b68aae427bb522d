//! What was asked of the API server, and how it went.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Counters of everything that goes to and comes from the API server. Shared by all watches and
/// writers of a process.
#[derive(Debug, Default)]
pub struct Stats {
    updates: AtomicU64,
    errors: AtomicU64,
    newest: AtomicU64,
    calls: Mutex<BTreeMap<(&'static str, String), Call>>,
}

/// Upper bounds of the buckets of call durations, in seconds.
pub const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, Default)]
struct Call {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

impl Stats {
    /// Zero everywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// A changed object was taken from a watch, or a write was tried.
    pub fn object_processed(&self) {
        self.updates.fetch_add(1, Ordering::Relaxed);
    }

    /// Something counted by [`Stats::object_processed`] failed.
    pub fn object_failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// An object or a list with this `resourceVersion` came from the server. Versions that are no numbers are left out.
    pub fn saw_version(&self, version: Option<&str>) {
        if let Some(version) = version.and_then(|version| version.parse().ok()) {
            self.newest.fetch_max(version, Ordering::Relaxed);
        }
    }

    /// The newest version of [`Stats::saw_version`]; 0 before the first.
    pub fn newest_version(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// A call took this long until its answer began.
    pub fn observe(&self, verb: &'static str, resource: &str, took: Duration) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let call = calls.entry((verb, resource.to_owned())).or_default();
        call.count += 1;
        call.sum = call.sum.saturating_add(took);
        for (bucket, bound) in call.buckets.iter_mut().zip(BUCKETS) {
            if took.as_secs_f64() <= bound {
                *bucket += 1;
            }
        }
    }

    /// The present values.
    pub fn snapshot(&self) -> StatsSnapshot {
        // Errors first: a failure counted in between must not exceed the updates.
        let errors = self.errors.load(Ordering::Relaxed);
        let updates = self.updates.load(Ordering::Relaxed);
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.iter().map(|((verb, resource), call)| CallStats {
            verb,
            resource: resource.clone(),
            count: call.count,
            sum: call.sum,
            buckets: BUCKETS.into_iter().zip(call.buckets).collect(),
        });
        StatsSnapshot { updates, errors, calls: calls.collect() }
    }
}

/// The values of [`Stats`] at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// Objects taken from watches, and writes tried (`metallb_k8s_client_updates_total`).
    pub updates: u64,
    /// Those of them that failed (`metallb_k8s_client_update_errors_total`).
    pub errors: u64,
    /// Calls by verb and resource (`metallb_k8s_client_api_duration_seconds`).
    pub calls: Vec<CallStats>,
}

/// Durations of the calls of one verb on one resource.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CallStats {
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    /// Plural name of the resource, for example `services`.
    pub resource: String,
    /// How many calls.
    pub count: u64,
    /// How long they took in all.
    pub sum: Duration,
    /// How many took at most so many seconds.
    pub buckets: Vec<(f64, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_cumulative_buckets() {
        let stats = Stats::new();
        stats.observe("get", "services", Duration::from_millis(30));
        stats.observe("get", "services", Duration::from_secs(60));
        let snapshot = stats.snapshot();
        let call = &snapshot.calls[0];
        assert_eq!((call.verb, call.count), ("get", 2));
        let within =
            |seconds: f64| call.buckets.iter().find(|(bound, _)| *bound >= seconds).map(|bucket| bucket.1);
        assert_eq!((within(0.025), within(0.05), within(10.0)), (Some(0), Some(1), Some(1)));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let stats = Stats::new();
        for version in [Some("9"), Some("10"), Some("2"), Some("x99"), None] {
            stats.saw_version(version);
        }
        assert_eq!(stats.newest_version(), 10);
    }
}

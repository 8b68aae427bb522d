//! How long services wait for their addresses.

use std::collections::HashMap;
use std::time::Instant;

use metallb_core::keys::ServiceKey;
use metallb_runtime::histogram::Histogram;

/// Upper bounds of the buckets in seconds: a decision takes microseconds, a pool that is full may take days.
const BOUNDS: [f64; 14] =
    [0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 3600.0, 86_400.0];

/// Services without the addresses that they want, and how long those waited that have got them.
#[derive(Debug)]
pub(crate) struct Waits {
    since: HashMap<ServiceKey, Instant>,
    durations: Histogram,
}

impl Waits {
    /// Nobody has waited.
    pub(crate) fn new() -> Self {
        Self { since: HashMap::new(), durations: Histogram::new(&BOUNDS) }
    }

    /// A service wants addresses and has none, or another number than it has.
    pub(crate) fn begin(&mut self, now: Instant, service: &ServiceKey) {
        self.since.entry(service.clone()).or_insert(now);
    }

    /// It wants none any more.
    pub(crate) fn forget(&mut self, service: &ServiceKey) {
        self.since.remove(service);
    }

    /// It has got some.
    pub(crate) fn end(&mut self, now: Instant, service: &ServiceKey) {
        let since = self.since.remove(service).unwrap_or(now);
        self.durations.observe(now.saturating_duration_since(since));
    }

    /// Somebody else may serve them now, and nobody sees when.
    pub(crate) fn stop(&mut self) {
        self.since.clear();
    }

    /// How long those waited that have got addresses.
    pub(crate) const fn durations(&self) -> &Histogram {
        &self.durations
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metallb_runtime::metrics::Value;

    use super::*;

    #[test]
    fn a_wait_lasts_from_the_first_wish_to_the_addresses_and_counts_once() {
        let (mut waits, now) = (Waits::new(), Instant::now());
        let [web, gone] = ["web", "gone"].map(|name| ServiceKey::new("default", name));
        waits.begin(now, &web);
        waits.begin(now, &gone);
        waits.begin(now + Duration::from_secs(3), &web);
        waits.forget(&gone);
        waits.end(now + Duration::from_secs(4), &web);
        let Value::Histogram { sum, count, .. } = waits.durations().value() else { panic!("a histogram") };
        assert_eq!((sum, count), (4.0, 1));
    }
}

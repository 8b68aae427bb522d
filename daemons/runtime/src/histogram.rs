//! Durations that are counted as they happen.

use std::time::Duration;

use crate::metrics::Value;

/// How often something took how long.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Per bound the observations that are not above it but above the one before; last those above all.
    buckets: Vec<u64>,
    count: u64,
    sum: Duration,
}

impl Histogram {
    /// Nothing was observed. `bounds` are upper bounds in seconds, in ascending order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, buckets: vec![0; bounds.len().saturating_add(1)], count: 0, sum: Duration::ZERO }
    }

    /// Something took this long.
    pub fn observe(&mut self, took: Duration) {
        let bucket = self.bounds.partition_point(|bound| *bound < took.as_secs_f64());
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket = bucket.saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(took);
    }

    /// What to show.
    #[must_use]
    pub fn value(&self) -> Value {
        let bounds = self.bounds.iter().copied().chain(std::iter::once(f64::INFINITY));
        let buckets = bounds.zip(self.buckets.iter().copied()).collect();
        Value::Histogram { sum: self.sum.as_secs_f64(), count: self.count, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_nothing_is_lost_above_the_last() {
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        for millis in [0, 100, 101, 1000, 5000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let buckets = vec![(0.1, 2), (1.0, 2), (f64::INFINITY, 1)];
        assert_eq!(histogram.value(), Value::Histogram { sum: 6.201, count: 5, buckets });
    }
}

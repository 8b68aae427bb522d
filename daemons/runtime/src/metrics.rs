//! Metric families computed at scrape time and rendered under their exact names.
//!
//! The owner of the state answers a [`Scrape`] with families of samples; nothing is registered or
//! kept, so a pool or peer that goes away takes its series with it. Counters keep the names that
//! dashboards know, with or without `_total`: the classic text format is the only one served.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

/// A request for the current samples; the owner of the state answers it.
pub type Scrape = oneshot::Sender<Vec<Family>>;

/// What kind of series a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, except when the process restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

/// All series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name as it is exposed, suffix included.
    pub name: &'static str,
    /// One sentence of help, without a full stop.
    pub help: &'static str,
    /// Kind of its series.
    pub kind: Kind,
    /// The series; empty families are not rendered.
    pub samples: Vec<Sample>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Label names and values, in the order in which they are exposed.
    pub labels: Vec<(&'static str, String)>,
    /// Its value now.
    pub value: Value,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter or gauge.
    Number(f64),
    /// A histogram: sum, count, and per upper bound the observations in that bucket alone.
    Histogram {
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: u64,
        /// (upper bound, observations at most that large and larger than the bound before).
        buckets: Vec<(f64, u64)>,
    },
}

impl Family {
    /// A family without series.
    #[must_use]
    pub fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, help, kind, samples: Vec::new() }
    }

    /// A gauge or counter without labels.
    #[must_use]
    pub fn single(name: &'static str, kind: Kind, help: &'static str, value: f64) -> Self {
        let mut family = Self::new(name, kind, help);
        family.push(Vec::new(), value);
        family
    }

    /// Adds one series.
    pub fn push(&mut self, labels: Vec<(&'static str, String)>, value: f64) {
        self.samples.push(Sample { labels, value: Value::Number(value) });
    }
}

/// The families in Prometheus' classic text format 0.0.4.
///
/// # Errors
/// Only if a value cannot be formatted.
pub fn render(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(families)));
    let mut out = String::new();
    text::encode_registry(&mut out, &registry)?;
    Ok(out)
}

/// The count of a `u64` as a sample value; exact up to 2^53.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a Prometheus sample is an f64 by definition")]
pub fn number(value: u64) -> f64 {
    value as f64
}

#[derive(Debug)]
struct Snapshot(Vec<Family>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let help = format!("{}.", family.help);
            let mut metric = encoder.encode_descriptor(family.name, &help, None, kind)?;
            for sample in &family.samples {
                encode_sample(&mut metric, sample)?;
            }
        }
        Ok(())
    }
}

fn encode_sample(metric: &mut MetricEncoder<'_>, sample: &Sample) -> Result<(), fmt::Error> {
    if sample.labels.is_empty() {
        return encode_value(metric, &sample.value);
    }
    let labels = sample.labels.as_slice();
    encode_value(&mut metric.encode_family(&labels)?, &sample.value)
}

/// Counters go through the gauge encoder: it writes the name as it is, without a second `_total`.
fn encode_value(metric: &mut MetricEncoder<'_>, value: &Value) -> Result<(), fmt::Error> {
    match value {
        Value::Number(number) => metric.encode_gauge(number),
        Value::Histogram { sum, count, buckets } => {
            metric.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_keep_their_names_with_and_without_total() {
        let mut requests = Family::new("metallb_layer2_requests_received", Kind::Counter, "Requests");
        requests.push(vec![("ip", "192.0.2.1".into()), ("node", "a \"b\"".into())], 3.0);
        let updates = Family::single("metallb_bgp_updates_total", Kind::Counter, "Updates", 7.0);
        assert_eq!(
            render(vec![requests, updates]).unwrap(),
            "# HELP metallb_layer2_requests_received Requests.\n\
             # TYPE metallb_layer2_requests_received counter\n\
             metallb_layer2_requests_received{ip=\"192.0.2.1\",node=\"a \\\"b\\\"\"} 3.0\n\
             # HELP metallb_bgp_updates_total Updates.\n\
             # TYPE metallb_bgp_updates_total counter\n\
             metallb_bgp_updates_total 7.0\n"
        );
    }

    #[test]
    fn a_family_without_series_is_not_rendered() {
        let empty = Family::new("metallb_bgp_session_up", Kind::Gauge, "Sessions");
        assert_eq!(render(vec![empty]).unwrap(), "");
    }

    #[test]
    fn histogram_buckets_are_cumulative_in_the_output() {
        let value =
            Value::Histogram { sum: 1.5, count: 3, buckets: vec![(0.1, 1), (1.0, 2), (f64::INFINITY, 0)] };
        let mut family = Family::new("x_seconds", Kind::Histogram, "X");
        family.samples.push(Sample { labels: vec![("verb", "get".into())], value });
        let text = render(vec![family]).unwrap();
        assert!(text.contains("x_seconds_bucket{le=\"1.0\",verb=\"get\"} 3"), "{text}");
        assert!(text.contains("x_seconds_count{verb=\"get\"} 3"), "{text}");
    }
}

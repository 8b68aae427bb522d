//! Families that both daemons export.

use std::collections::BTreeSet;

use metallb_core::config::{ConfigError, InForce, ObjectId};
use metallb_k8s::convert::Judgement;
use metallb_k8s::write::{CallStats, Stats};

use crate::metrics::{Family, Kind, Sample, Value, number};

/// The commit that was built, where the build was told: `METALLB_COMMIT` of its environment.
pub const COMMIT: &str = match option_env!("METALLB_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    _ => "unknown",
};

/// What the API client did: updates, errors and call durations.
#[must_use]
pub fn api_client(stats: &Stats) -> Vec<Family> {
    let snapshot = stats.snapshot();
    let mut durations = Family::new(
        "metallb_k8s_client_api_duration_seconds",
        Kind::Histogram,
        "Time until the API server's answer began",
    );
    durations.samples = snapshot.calls.iter().map(call).collect();
    vec![
        Family::single(
            "metallb_k8s_client_updates_total",
            Kind::Counter,
            "Object updates processed and API writes tried",
            number(snapshot.updates),
        ),
        Family::single(
            "metallb_k8s_client_update_errors_total",
            Kind::Counter,
            "Updates and writes that failed",
            number(snapshot.errors),
        ),
        durations,
    ]
}

/// Whether a configuration is in force, whether the program judges it to be right, as its `ConfigurationState` says, and which
/// of its objects are not in force as they are written. No judgement: nothing has been read yet.
#[must_use]
pub fn configuration(
    judgement: Option<&Judgement>,
    objects: &[ObjectId],
    problems: &[ConfigError],
) -> Vec<Family> {
    let problems = problems.iter().filter(|problem| problem.in_force != InForce::Fully);
    let wrong: BTreeSet<&ObjectId> = problems.map(|problem| &problem.object).collect();
    let mut accepted = Family::new(
        "metallb_config_object_accepted",
        Kind::Gauge,
        "1 if the object is in force as it is written",
    );
    for object in objects {
        let labels = vec![("kind", object.kind.to_string()), ("name", object.name.to_string())];
        accepted.push(labels, f64::from(u8::from(!wrong.contains(object))));
    }
    vec![
        accepted,
        Family::single(
            "metallb_k8s_client_config_loaded_bool",
            Kind::Gauge,
            "1 if a configuration is in force",
            f64::from(u8::from(judgement.is_some())),
        ),
        Family::single(
            "metallb_k8s_client_config_stale_bool",
            Kind::Gauge,
            "1 if an object is rejected or held at its last good version",
            f64::from(u8::from(judgement.is_some_and(|judgement| !judgement.is_valid()))),
        ),
    ]
}

/// Which program this is, and how much waits in its queue.
#[must_use]
pub fn process(depth: usize, oldest: std::time::Duration) -> Vec<Family> {
    let mut build = Family::new("metallb_build_info", Kind::Gauge, "Version of the program");
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)];
    build.push(labels.map(|(name, value)| (name, value.to_owned())).to_vec(), 1.0);
    let depth = u64::try_from(depth).unwrap_or(u64::MAX);
    vec![
        build,
        Family::single("metallb_queue_depth", Kind::Gauge, "Keys that wait to be looked at", number(depth)),
        Family::single(
            "metallb_queue_oldest_seconds",
            Kind::Gauge,
            "How long the oldest of them has waited",
            oldest.as_secs_f64(),
        ),
    ]
}

fn call(call: &CallStats) -> Sample {
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = call
        .buckets
        .iter()
        .map(|&(bound, cumulative)| {
            let own = cumulative.saturating_sub(below);
            below = cumulative;
            (bound, own)
        })
        .collect();
    buckets.push((f64::INFINITY, call.count.saturating_sub(below)));
    Sample {
        labels: vec![("verb", call.verb.to_owned()), ("resource", call.resource.clone())],
        value: Value::Histogram { sum: call.sum.as_secs_f64(), count: call.count, buckets },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::render;

    #[test]
    fn call_durations_are_rendered_as_a_histogram_that_adds_up() {
        let stats = Stats::new();
        stats.observe("list", "services", Duration::from_millis(20));
        stats.observe("list", "services", Duration::from_secs(30));
        let text = render(api_client(&stats)).unwrap();
        let series = "metallb_k8s_client_api_duration_seconds_bucket";
        for (bound, count) in [("0.01", 0), ("0.025", 1), ("10.0", 1), ("+Inf", 2)] {
            let line = format!("{series}{{le=\"{bound}\",verb=\"list\",resource=\"services\"}} {count}");
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
    }
}

//! How often it is told that other machines claim addresses of this node.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Anybody on the segment can claim as many addresses as often as he likes, and no more is told of that than somebody can
/// read: [`EVERY_SECOND`] one by one, the others by a summary at the beginning and every [`SUMMARY`] after it.
#[derive(Debug, Default)]
pub(super) struct ConflictReports {
    /// When those were told that were told one by one in the last second.
    told: VecDeque<Instant>,
    untold: u64,
    summed: Option<Instant>,
}

/// What is told of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConflictReport {
    /// It, on the service that has the address.
    One,
    /// On the node, that there are too many; as many as this were not told since the last time, this one included.
    Many(u64),
    /// Nothing; it is counted.
    Nothing,
}

/// How many claims are told one by one in any second.
pub const EVERY_SECOND: usize = 5;
/// Least time between two summaries.
pub const SUMMARY: Duration = Duration::from_secs(60);

impl ConflictReports {
    /// Takes a claim of another machine to an address of a service.
    pub(super) fn handle_conflict(&mut self, now: Instant) -> ConflictReport {
        let within = |at: Instant, time| now.saturating_duration_since(at) < time;
        while self.told.front().is_some_and(|at| !within(*at, Duration::from_secs(1))) {
            self.told.pop_front();
        }
        if self.told.len() < EVERY_SECOND {
            self.told.push_back(now);
            return ConflictReport::One;
        }
        self.untold = self.untold.saturating_add(1);
        if self.summed.is_some_and(|at| within(at, SUMMARY)) {
            return ConflictReport::Nothing;
        }
        self.summed = Some(now);
        ConflictReport::Many(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of claims this far apart.
    fn told(count: u32, pause: Duration) -> Vec<ConflictReport> {
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time needs a beginning; only differences matter"
        )]
        let begin = Instant::now();
        let mut reports = ConflictReports::default();
        (0..count).map(|number| reports.handle_conflict(begin + pause * number)).collect()
    }

    #[test]
    fn what_happens_now_and_then_is_told_each_time() {
        let all = told(100, Duration::from_millis(200));
        assert!(all.iter().all(|report| *report == ConflictReport::One));
    }

    #[test]
    fn a_flood_is_told_by_five_a_second_and_a_summary_a_minute() {
        // Two minutes of a claim in every millisecond.
        let all = told(120_000, Duration::from_millis(1));
        assert_eq!(
            all[..7],
            [[ConflictReport::One; 5].as_slice(), &[ConflictReport::Many(1), ConflictReport::Nothing]]
                .concat()
        );
        for second in all.windows(1000) {
            assert!(second.iter().filter(|report| **report == ConflictReport::One).count() <= EVERY_SECOND);
        }
        let summaries: Vec<u64> = all
            .iter()
            .filter_map(|report| if let ConflictReport::Many(untold) = report { Some(*untold) } else { None })
            .collect();
        assert_eq!(summaries.len(), 2, "{summaries:?}");
        assert!((59_000..60_000).contains(&summaries[1]), "{summaries:?}");
    }
}

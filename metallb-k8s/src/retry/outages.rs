//! Which outages there are, and when to say so. No clock, no requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::fault::{Cause, Fault};

/// A loop that asks the API server for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TaskId(pub u64);

/// Something to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// An outage has begun, or still goes on after `lasted`.
    Out { cause: Cause, text: String, lasted: Duration },
    /// It is over.
    Over { cause: Cause, lasted: Duration },
}

/// All outages, each by its cause, with the loops that it concerns.
#[derive(Debug, Default)]
pub(super) struct Outages {
    causes: BTreeMap<Cause, Outage>,
}

#[derive(Debug)]
struct Outage {
    /// The loops concerned, and whether their work is needed. Nobody: it is over, and remembered so that one that comes
    /// and goes is not logged each time.
    tasks: BTreeMap<TaskId, bool>,
    began: Instant,
    /// Whether this time was logged.
    reported: bool,
    next_report: Instant,
    interval: Duration,
}

impl Outages {
    /// A request of `task` failed.
    pub(super) fn failed(&mut self, now: Instant, task: TaskId, needed: bool, fault: &Fault) -> Vec<Notice> {
        let mut notices = self.end(now, task, |cause| *cause != fault.cause);
        if fault.cause == Cause::Expired {
            return notices;
        }
        self.forget(now);
        let outage = self.causes.entry(fault.cause.clone()).or_insert_with(|| Outage {
            tasks: BTreeMap::new(),
            began: now,
            reported: false,
            next_report: now,
            interval: FIRST_INTERVAL,
        });
        if outage.tasks.is_empty() {
            outage.began = now;
            outage.reported = false;
        }
        outage.tasks.insert(task, needed);
        if now >= outage.next_report {
            outage.reported = true;
            outage.next_report = now.checked_add(outage.interval).unwrap_or(now);
            outage.interval = outage.interval.saturating_mul(2).min(LONGEST_INTERVAL);
            let lasted = now.saturating_duration_since(outage.began);
            notices.push(Notice::Out { cause: fault.cause.clone(), text: fault.text.clone(), lasted });
        }
        notices
    }

    /// The server answers `task`, whatever it says: what lies with the server as a whole is over for it.
    pub(super) fn answered(&mut self, now: Instant, task: TaskId) -> Vec<Notice> {
        self.end(now, task, Cause::is_of_server)
    }

    /// `task` got what it asked for, or does not ask any more.
    pub(super) fn succeeded(&mut self, now: Instant, task: TaskId) -> Vec<Notice> {
        self.end(now, task, |_| true)
    }

    /// What somebody has to mend before needed work can be done.
    pub(super) fn lacks(&self) -> BTreeSet<&Cause> {
        let needed = |outage: &Outage| outage.tasks.values().any(|needed| *needed);
        self.causes
            .iter()
            .filter(|(cause, outage)| cause.is_lasting() && needed(outage))
            .map(|(cause, _)| cause)
            .collect()
    }

    fn end(&mut self, now: Instant, task: TaskId, which: impl Fn(&Cause) -> bool) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (cause, outage) in &mut self.causes {
            if which(cause)
                && outage.tasks.remove(&task).is_some()
                && outage.tasks.is_empty()
                && outage.reported
            {
                let lasted = now.saturating_duration_since(outage.began);
                notices.push(Notice::Over { cause: cause.clone(), lasted });
            }
        }
        notices
    }

    /// What has been over for long begins anew with a warning at once.
    fn forget(&mut self, now: Instant) {
        self.causes.retain(|_, outage| {
            let quiet_until = outage.next_report.checked_add(outage.interval);
            !outage.tasks.is_empty() || quiet_until.is_none_or(|until| now < until)
        });
    }
}

/// After this time an outage that goes on, or comes again, is logged again; doubles each time.
const FIRST_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        base: Instant,
        outages: Outages,
        log: Vec<(u64, Notice)>,
    }

    impl World {
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "the base of virtual time")]
            let base = Instant::now();
            Self { base, outages: Outages::default(), log: Vec::new() }
        }

        fn at(&self, second: u64) -> Instant {
            self.base + Duration::from_secs(second)
        }

        fn fails(&mut self, second: u64, task: u64, cause: Cause) {
            let fault = Fault { cause, text: "text".to_owned(), retry_after: None };
            let notices = self.outages.failed(self.at(second), TaskId(task), true, &fault);
            self.log.extend(notices.into_iter().map(|notice| (second, notice)));
        }

        fn succeeds(&mut self, second: u64, task: u64) {
            let notices = self.outages.succeeded(self.at(second), TaskId(task));
            self.log.extend(notices.into_iter().map(|notice| (second, notice)));
        }

        fn seconds(&self) -> Vec<(u64, bool)> {
            self.log.iter().map(|(second, notice)| (*second, matches!(notice, Notice::Out { .. }))).collect()
        }
    }

    fn forbidden(resource: &str) -> Cause {
        Cause::Forbidden { verb: "list".to_owned(), resource: resource.to_owned() }
    }

    #[test]
    fn a_server_that_is_gone_is_one_outage_however_many_ask() {
        let mut world = World::new();
        for task in 0..9 {
            world.fails(0, task, Cause::Unreachable);
            world.fails(1, task, Cause::Unreachable);
        }
        for task in 0..9 {
            world.succeeds(20 + task, task);
        }
        assert_eq!(world.seconds(), [(0, true), (28, false)]);
    }

    #[test]
    fn an_outage_that_lasts_is_repeated_at_growing_intervals() {
        let mut world = World::new();
        for second in (0..4 * 3600).step_by(20) {
            world.fails(second, 1, forbidden("services"));
        }
        let seconds: Vec<u64> = world.log.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [0, 60, 180, 420, 900, 1860, 3780, 7380, 10980]);
    }

    #[test]
    fn one_that_comes_and_goes_every_second_is_not_logged_every_second() {
        let mut world = World::new();
        for second in 0..3600 {
            world.fails(second, 1, Cause::Overloaded);
            world.succeeds(second, 1);
        }
        assert!(world.log.len() <= 14, "{:?}", world.seconds());
        let silent = 6 * 3600;
        world.fails(silent, 1, Cause::Overloaded);
        assert_eq!(world.seconds().last(), Some(&(silent, true)), "after a quiet time it is new");
    }

    #[test]
    fn another_cause_ends_the_first_and_what_has_expired_is_none() {
        let mut world = World::new();
        world.fails(0, 1, Cause::Unreachable);
        world.fails(5, 1, forbidden("services"));
        world.fails(6, 1, Cause::Expired);
        assert_eq!(world.seconds(), [(0, true), (5, false), (5, true), (6, false)]);
    }

    #[test]
    fn only_lasting_causes_of_needed_work_are_lacks() {
        let mut world = World::new();
        world.fails(0, 1, Cause::Unreachable);
        world.fails(0, 2, forbidden("services"));
        let fault = Fault { cause: forbidden("events"), text: String::new(), retry_after: None };
        world.outages.failed(world.at(0), TaskId(3), false, &fault);
        assert_eq!(world.outages.lacks().into_iter().collect::<Vec<_>>(), [&forbidden("services")]);
        world.succeeds(1, 2);
        assert!(world.outages.lacks().is_empty());
    }

    #[test]
    fn an_answer_ends_what_lies_with_the_server_and_nothing_else() {
        let mut world = World::new();
        world.fails(0, 1, Cause::Unreachable);
        world.fails(0, 2, forbidden("services"));
        let (now, both) = (world.at(1), [1, 2]);
        let ended: Vec<Notice> =
            both.into_iter().flat_map(|task| world.outages.answered(now, TaskId(task))).collect();
        assert!(matches!(&ended[..], [Notice::Over { cause: Cause::Unreachable, .. }]), "{ended:?}");
    }
}

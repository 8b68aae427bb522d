//! Elections in virtual time.

use std::time::{Duration, Instant};

use super::{Election, Record, Step, Timing, TimingError};

/// A lease in a pretended cluster.
#[derive(Default)]
struct Cluster {
    lease: Option<Record>,
    version: u64,
    down: bool,
}

impl Cluster {
    fn write(&mut self, holder: &str, duration: Duration, transitions: i32) -> Record {
        self.version += 1;
        let record = Record::new(Some(holder.to_owned()), duration, self.version.to_string(), transitions);
        self.lease = Some(record.clone());
        record
    }

    /// Lets a candidate do everything that it can do at this moment.
    fn turn(&mut self, name: &str, election: &mut Election, now: Instant) {
        for _ in 0..4 {
            let step = election.step(now);
            if self.down && !matches!(step, Step::Wait(_)) {
                election.failed(now, Timing::default().retry);
                continue;
            }
            let duration = Timing::default().duration;
            match step {
                Step::Wait(until) => {
                    assert!(until > now);
                    return;
                }
                Step::Read => election.read(now, self.lease.clone()),
                Step::Create if self.lease.is_none() => {
                    let record = self.write(name, duration, 0);
                    election.written(now, now, record);
                }
                Step::Replace { resource_version, transitions, .. }
                    if self
                        .lease
                        .as_ref()
                        .is_some_and(|lease| lease.resource_version == resource_version) =>
                {
                    let record = self.write(name, duration, transitions);
                    election.written(now, now, record);
                }
                Step::Create | Step::Replace { .. } => election.failed(now, Timing::default().retry),
            }
        }
    }
}

struct World {
    base: Instant,
    cluster: Cluster,
    a: Election,
    b: Election,
}

impl World {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the base of virtual time")]
        let base = Instant::now();
        let candidate = |name: &str| Election::new(name, Timing::default());
        Self { base, cluster: Cluster::default(), a: candidate("a"), b: candidate("b") }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.base + Duration::from_secs(seconds)
    }

    /// Runs the candidates that are alive, every second, and checks that there are never two leaders.
    fn run(&mut self, seconds: std::ops::Range<u64>, a: bool, b: bool) {
        for second in seconds {
            let now = self.at(second);
            if a {
                self.cluster.turn("a", &mut self.a, now);
            }
            if b {
                self.cluster.turn("b", &mut self.b, now);
            }
            assert!(!(self.a.leads(now) && self.b.leads(now)), "two leaders after {second} s");
        }
    }
}

#[test]
fn the_first_candidate_leads_and_goes_on_leading() {
    let mut world = World::new();
    world.run(0..60, true, true);
    assert!(world.a.leads(world.at(59)));
    assert_eq!(world.b.holder(), Some("a"));
    assert_eq!(world.cluster.lease.as_ref().map(|lease| lease.transitions), Some(0));
}

#[test]
fn a_dead_leader_is_succeeded_after_the_lease_ran_out_and_not_before() {
    let mut world = World::new();
    world.run(0..20, true, true);
    world.run(20..34, false, true);
    assert!(!world.b.leads(world.at(33)));
    world.run(34..40, false, true);
    assert!(world.b.leads(world.at(39)));
    assert_eq!(world.cluster.lease.as_ref().map(|lease| lease.transitions), Some(1));
}

#[test]
fn a_leader_that_cannot_renew_stops_before_another_can_start() {
    let mut world = World::new();
    world.run(0..5, true, true);
    world.cluster.down = true;
    world.run(5..15, true, true);
    assert!(!world.a.leads(world.at(15)));
    world.cluster.down = false;
    // Nobody else took it, so the old leader may renew.
    world.run(15..20, true, false);
    assert!(world.a.leads(world.at(19)));
}

#[test]
fn a_lease_that_was_given_back_is_taken_at_once() {
    let mut world = World::new();
    world.run(0..10, true, true);
    let ours = world.a.resign().unwrap();
    assert!(!world.a.leads(world.at(10)));
    world.cluster.lease = Some(Record::new(None, Duration::from_secs(1), ours.resource_version, 0));
    world.run(10..13, false, true);
    assert!(world.b.leads(world.at(12)));
}

#[test]
fn a_late_candidate_waits_a_full_period_whatever_the_lease_says_about_time() {
    let mut world = World::new();
    world.cluster.write("somebody long dead", Duration::from_secs(15), 7);
    world.run(0..15, false, true);
    assert!(!world.b.leads(world.at(14)));
    world.run(15..20, false, true);
    assert!(world.b.leads(world.at(19)));
    assert_eq!(world.cluster.lease.as_ref().map(|lease| lease.transitions), Some(8));
}

#[test]
fn a_restarted_leader_with_the_same_name_goes_on_at_once() {
    let mut world = World::new();
    world.run(0..10, true, false);
    world.a = Election::new("a", Timing::default());
    world.run(10..11, true, false);
    assert!(world.a.leads(world.at(10)));
}

#[test]
fn a_leader_whose_lease_was_taken_by_hand_stops() {
    let mut world = World::new();
    world.run(0..10, true, false);
    world.cluster.write("b", Duration::from_secs(15), 1);
    world.run(10..16, true, false);
    assert!(!world.a.leads(world.at(15)));
}

#[test]
fn leadership_counts_from_the_begin_of_a_slow_renewal() {
    let mut world = World::new();
    let record = world.cluster.write("a", Duration::from_secs(15), 0);
    world.a.written(world.at(0), world.at(4), record);
    assert!(world.a.leads(world.at(9)));
    assert!(!world.a.leads(world.at(10)));
}

#[test]
fn periods_that_allow_two_leaders_are_refused() {
    let seconds = Duration::from_secs;
    assert!(Timing::new(seconds(15), seconds(10), seconds(2)).is_ok());
    assert!(matches!(
        Timing::new(seconds(10), seconds(10), seconds(2)),
        Err(TimingError::DeadlineTooLong { .. })
    ));
    assert!(matches!(
        Timing::new(seconds(15), seconds(10), seconds(6)),
        Err(TimingError::RetryTooLong { .. })
    ));
    assert!(matches!(
        Timing::new(Duration::from_millis(1500), seconds(1), seconds(0)),
        Err(TimingError::NotWholeSeconds { .. })
    ));
}

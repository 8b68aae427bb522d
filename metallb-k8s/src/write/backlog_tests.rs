use metallb_core::{
    config::Kind,
    keys::{NodeName, ServiceKey},
};
use proptest::prelude::*;
use serde_json::json;

use super::{
    super::{
        pace::INTERVAL,
        status::{OwnKind, ServiceStatus, StatusKind},
    },
    *,
};

const SEED: Seed = Seed::new(3);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the base of virtual time")]
    Instant::now()
}

fn pool(name: &str, version: u64, count: u64) -> Write {
    Write::ObjectStatus {
        kind: Kind::Pool,
        name: name.to_owned(),
        based_on: identity(version),
        rewritten_by: None,
        status: json!({ "assignedIPv4": count }),
    }
}

fn identity(version: u64) -> Identity {
    Identity::new("u", &version.to_string())
}

fn layer2(service: &str) -> Write {
    let service = ServiceKey::new("web", service);
    let status = ServiceStatus::layer2(service, NodeName::new("n"), [].into());
    Write::ServiceStatus { status, based_on: None }
}

fn bgp(service: &str) -> Write {
    let service = ServiceKey::new("web", service);
    Write::ServiceStatus {
        status: ServiceStatus::bgp(service, NodeName::new("n"), [].into()),
        based_on: None,
    }
}

fn event(name: &str) -> Write {
    use super::super::events::{Event, Events, Regarding, Severity};
    let regarding = Regarding::service("web", name, "u");
    let (reason, message) = ("Reason".to_owned(), name.to_owned());
    let event = Event { regarding, severity: Severity::Normal, reason, message };
    Write::Event(Events::new("c", "").record(start(), jiff::Timestamp::UNIX_EPOCH, event).unwrap())
}

fn begin(backlog: &mut Backlog, now: Instant) -> Option<Begun> {
    match backlog.next(now)? {
        Next::Write(begun) => Some(begun),
        Next::Outdated(slot) => panic!("nothing was given up: {slot}"),
    }
}

/// Carries out everything that may be at this moment; returns in which order.
fn drain(backlog: &mut Backlog, now: Instant) -> Vec<Slot> {
    let mut order = Vec::new();
    while let Some(begun) = begin(backlog, now) {
        order.push((*begun.slot).clone());
        backlog.ended(now, &begun.slot, Ended::Done(None));
    }
    order
}

#[test]
fn what_users_wait_for_comes_before_events_and_these_before_the_rest() {
    let (mut backlog, now) = (Backlog::new(SEED), start());
    for number in 0..100 {
        let name = format!("s{number}");
        for write in [pool(&name, 1, 0), bgp(&name), event(&name), layer2(&name)] {
            backlog.submit(now, write);
        }
    }
    assert_eq!((backlog.busy(), backlog.has_events()), (400, true));
    let order: Vec<Lane> = drain(&mut backlog, now).iter().map(Slot::lane).collect();
    assert_eq!((order.len(), order.is_sorted(), backlog.busy()), (400, true, 0));
    assert_eq!(order.iter().filter(|lane| **lane == Lane::Wanted).count(), 100);
    assert!(!backlog.has_events());
    backlog.submit(now, pool("p", 1, 0));
    assert_eq!((backlog.busy(), backlog.has_events()), (1, false));
}

#[test]
fn within_a_lane_the_first_comes_first_and_a_newer_write_keeps_the_place_of_the_older() {
    let (mut backlog, now) = (Backlog::new(SEED), start());
    for (name, count) in [("a", 1), ("b", 2), ("a", 3)] {
        backlog.submit(now, pool(name, 1, count));
    }
    let first = begin(&mut backlog, now).unwrap();
    assert_eq!(*first.write, pool("a", 1, 3));
    assert_eq!(*begin(&mut backlog, now).unwrap().write, pool("b", 1, 2));
    assert!(backlog.next(now).is_none());
}

#[test]
fn one_object_is_never_written_twice_at_once_and_at_most_once_a_second() {
    let (mut backlog, mut now) = (Backlog::new(SEED), start());
    let mut begun = Vec::new();
    for step in 0..1000_u64 {
        backlog.submit(now, pool("p", 1, step));
        if let Some(write) = begin(&mut backlog, now) {
            assert!(begin(&mut backlog, now).is_none());
            begun.push(now);
            backlog.ended(now, &write.slot, Ended::Done(Some(identity(step + 2))));
        }
        now += Duration::from_millis(10);
    }
    assert!(begun.windows(2).all(|pair| pair[1] - pair[0] >= INTERVAL));
    assert_eq!(begun.len(), 10);
}

#[test]
fn a_flip_and_back_within_a_second_costs_nothing() {
    let (mut backlog, now) = (Backlog::new(SEED), start());
    backlog.submit(now, layer2("a"));
    let write = begin(&mut backlog, now).unwrap();
    backlog.ended(now, &write.slot, Ended::Done(Some(identity(5))));
    let kind = OwnKind::Service(StatusKind::Layer2);
    let Slot::Own(_, name) = &*write.slot else { panic!("a status") };
    backlog.submit(now, Write::Remove { kind, name: name.to_string(), based_on: Some(identity(5)) });
    assert!(backlog.next(now).is_none(), "not before a second has passed");
    let mut again = layer2("a");
    again.rebase(&identity(5));
    backlog.submit(now, again);
    assert!(backlog.next(now + INTERVAL).is_none());
    assert_eq!(backlog.busy(), 0);
}

#[test]
fn a_write_that_was_decided_before_our_own_last_one_was_seen_builds_on_it() {
    let (mut backlog, now) = (Backlog::new(SEED), start());
    backlog.submit(now, layer2("a"));
    let first = begin(&mut backlog, now).unwrap();
    // Withdrawn while the watch shows nothing yet.
    let Slot::Own(kind, name) = &*first.slot else { panic!("a status") };
    backlog.submit(now, Write::Remove { kind: *kind, name: name.to_string(), based_on: None });
    backlog.ended(now, &first.slot, Ended::Done(Some(identity(7))));
    let later = now + INTERVAL;
    let removal = begin(&mut backlog, later).unwrap();
    let expected = Write::Remove { kind: *kind, name: name.to_string(), based_on: Some(identity(7)) };
    assert_eq!(*removal.write, expected);
    backlog.ended(later, &removal.slot, Ended::Done(None));
    assert!(backlog.next(later + INTERVAL).is_none());
}

#[test]
fn what_somebody_else_changed_or_deleted_since_is_written_again() {
    let (mut backlog, now) = (Backlog::new(SEED), start());
    for (wanted, version) in [(pool("p", 1, 0), 2), (layer2("a"), 3)] {
        backlog.submit(now, wanted.clone());
        let write = begin(&mut backlog, now).unwrap();
        backlog.ended(now, &write.slot, Ended::Done(Some(identity(version))));
        let mut again = wanted;
        if let Write::ObjectStatus { .. } = &again {
            again.rebase(&identity(version + 1));
        }
        let later = now + INTERVAL;
        backlog.submit(later, again.clone());
        assert_eq!(begin(&mut backlog, later).map(|begun| *begun.write), Some(again));
    }
}

#[test]
fn a_contest_is_told_once_and_only_slows_down_what_is_contested() {
    let (mut backlog, mut now) = (Backlog::new(SEED), start());
    let (mut told, mut writes) = (0, 0);
    for version in 0..600 {
        backlog.submit(now, pool("contested", version * 2 + 1, 0));
        backlog.submit(now, pool("quiet", version * 2 + 1, version));
        while let Some(begun) = begin(&mut backlog, now) {
            let is_contested = *begun.slot == Slot::Object(Kind::Pool, "contested".into());
            writes += usize::from(is_contested);
            let made = Some(identity(version * 2 + 2));
            told += usize::from(backlog.ended(now, &begun.slot, Ended::Done(made)));
        }
        now += INTERVAL;
    }
    assert_eq!(told, 1);
    assert!((8..=30).contains(&writes), "{writes} in ten minutes");
}

#[test]
fn an_object_that_is_made_anew_starts_afresh_whatever_became_of_the_one_before() {
    let (mut backlog, mut now) = (Backlog::new(SEED), start());
    for number in 0..20 {
        let mut write = pool("p", 1, 0);
        write.rebase(&Identity::new(&format!("uid-{number}"), "1"));
        backlog.submit(now, write.clone());
        let begun = begin(&mut backlog, now).unwrap();
        assert_eq!(*begun.write, write, "without a pause");
        let ended = if number % 5 == 4 {
            Ended::Again(begun.write, Failing::default(), Duration::from_secs(60))
        } else {
            Ended::Done(Some(Identity::new(&format!("uid-{number}"), "2")))
        };
        if number % 2 == 1 {
            let mut next = pool("p", 1, 0);
            next.rebase(&Identity::new(&format!("uid-{}", number + 1), "1"));
            backlog.submit(now, next);
        }
        assert!(!backlog.ended(now, &begun.slot, ended), "nobody undoes anything");
        now += Duration::from_millis(300);
    }
}

#[test]
fn a_failed_write_is_tried_again_later_with_what_is_newest_and_others_go_on() {
    let (mut backlog, now) = (Backlog::new(SEED), start());
    backlog.submit(now, pool("a", 1, 1));
    let failed = begin(&mut backlog, now).unwrap();
    let pause = Duration::from_secs(5);
    backlog.ended(now, &failed.slot, Ended::Again(failed.write, Failing::default(), pause));
    backlog.submit(now, pool("b", 1, 1));
    backlog.submit(now, pool("a", 1, 2));
    assert_eq!(*begin(&mut backlog, now).unwrap().write, pool("b", 1, 1));
    assert!(backlog.next(now).is_none(), "the server is not asked before the pause is over");
    assert_eq!(*begin(&mut backlog, now + pause).unwrap().write, pool("a", 1, 2));
}

#[test]
fn what_is_given_up_is_decided_on_anew_unless_that_has_happened() {
    let (mut backlog, now) = (Backlog::new(SEED), start());
    let pause = Duration::from_millis(200);
    backlog.submit(now, pool("a", 1, 1));
    let begun = begin(&mut backlog, now).unwrap();
    backlog.ended(now, &begun.slot, Ended::Moot(pause));
    assert_eq!(backlog.busy(), 1);
    assert!(backlog.next(now).is_none());
    assert!(matches!(backlog.next(now + pause), Some(Next::Outdated(_))));
    assert_eq!(backlog.busy(), 0);
    backlog.submit(now, pool("a", 1, 1));
    let begun = begin(&mut backlog, now).unwrap();
    backlog.submit(now, pool("a", 2, 1));
    backlog.ended(now, &begun.slot, Ended::Moot(pause));
    assert_eq!(begin(&mut backlog, now + pause).map(|begun| *begun.write), Some(pool("a", 2, 1)));
}

#[test]
fn what_is_not_needed_any_more_is_not_written() {
    let (mut backlog, now) = (Backlog::new(SEED), start());
    backlog.submit(now, pool("p", 1, 0));
    let begun = begin(&mut backlog, now).unwrap();
    backlog.submit(now, pool("p", 1, 1));
    backlog.cancel(now, (*begun.slot).clone());
    backlog.ended(now, &begun.slot, Ended::Done(Some(identity(2))));
    for wait in [Duration::ZERO, INTERVAL] {
        backlog.submit(now + wait, pool("p", 2, 2));
        backlog.cancel(now + wait, (*begun.slot).clone());
        assert_eq!(backlog.busy(), 0);
        assert!(begin(&mut backlog, now + INTERVAL).is_none());
    }
    assert_eq!(drain(&mut backlog, now + Duration::from_secs(600)), []);
    assert!(backlog.entries.is_empty() && backlog.timers.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u8, u64),
    Begin,
    End(u8, u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..4, 0_u64..3).prop_map(|(name, count)| Step::Submit(name, count)),
        Just(Step::Begin),
        (0_u8..4, 0_u8..4).prop_map(|(which, how)| Step::End(which, how)),
        (0_u64..3000).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn everything_is_written_in_the_end_and_nothing_is_remembered_for_ever(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let (mut backlog, mut now) = (Backlog::new(SEED), start());
        let (mut under_way, mut version) = (Vec::<Begun>::new(), 1);
        let mut newest = BTreeMap::new();
        let mut written = BTreeMap::new();
        for step in steps {
            match step {
                Step::Submit(name, count) => {
                    version += 1;
                    newest.insert(name, count);
                    backlog.submit(now, pool(&name.to_string(), version, count));
                }
                Step::Begin => under_way.extend(begin_any(&mut backlog, now)),
                Step::End(which, how) if !under_way.is_empty() => {
                    let begun = under_way.remove(usize::from(which) % under_way.len());
                    version += 1;
                    end(&mut backlog, now, begun, how, version, &mut written);
                }
                Step::End(..) => {}
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
            }
            let slots: std::collections::BTreeSet<String> = under_way.iter().map(|begun| begun.slot.to_string()).collect();
            prop_assert_eq!(slots.len(), under_way.len(), "one write at a time for each object");
            let waiting = backlog.entries.values().filter(|entry| entry.is_busy()).count();
            prop_assert_eq!(waiting, backlog.busy());
        }
        while let Some(begun) = under_way.pop() {
            version += 1;
            end(&mut backlog, now, begun, 0, version, &mut written);
        }
        for _ in 0..10_000 {
            while let Some(begun) = begin_any(&mut backlog, now) {
                version += 1;
                end(&mut backlog, now, begun, 0, version, &mut written);
            }
            let Some(next) = backlog.next_timeout() else { break };
            now = now.max(next);
        }
        prop_assert_eq!(backlog.busy(), 0);
        prop_assert!(backlog.entries.is_empty() && backlog.timers.is_empty());
        prop_assert_eq!(written, newest);
    }
}

/// The next write; what is to be decided on anew is decided as before.
fn begin_any(backlog: &mut Backlog, now: Instant) -> Option<Begun> {
    loop {
        match backlog.next(now)? {
            Next::Write(begun) => return Some(begun),
            Next::Outdated(_) => {}
        }
    }
}

fn end(
    backlog: &mut Backlog,
    now: Instant,
    begun: Begun,
    how: u8,
    version: u64,
    written: &mut BTreeMap<u8, u64>,
) {
    let pause = Duration::from_millis(500);
    let how = match how {
        0 | 1 => {
            let Write::ObjectStatus { name, status, .. } = &*begun.write else { panic!("a pool") };
            written.insert(name.parse().unwrap(), status["assignedIPv4"].as_u64().unwrap());
            Ended::Done(Some(identity(version)))
        }
        2 => Ended::Again(begun.write, Failing::default(), pause),
        _ => Ended::Again(begun.write, begun.failing.unwrap_or_default(), Duration::ZERO),
    };
    backlog.ended(now, &begun.slot, how);
}

//! Events, the core/v1 kind that `kubectl describe` shows.
//!
//! [`Events`] decides which are written: repetitions are counted on the first one, at growing
//! intervals, and no object gets more than a burst of different ones.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event as CoreEvent, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use super::short_hash;

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "plain reference")]
pub struct Regarding {
    /// For example `v1`.
    pub api_version: String,
    /// For example `Service`.
    pub kind: String,
    /// Namespace of the object; `None` for cluster-wide ones.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: String,
    /// Identity of the object, where known.
    pub uid: Option<String>,
}

impl Regarding {
    /// A Service.
    pub fn service(namespace: impl Into<String>, name: impl Into<String>, uid: impl Into<String>) -> Self {
        Self {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            namespace: Some(namespace.into()),
            name: name.into(),
            uid: Some(uid.into()),
        }
    }

    /// A Node. `kubectl describe node` finds events by a uid that equals the name.
    pub fn node(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            namespace: None,
            uid: Some(name.clone()),
            name,
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "Kubernetes knows these two")]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "plain event")]
pub struct Event {
    /// What it is about.
    pub regarding: Regarding,
    /// How bad it is.
    pub severity: Severity,
    /// A single word, for example `IPAllocated`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// An event to write: new, or a further repetition of one that was written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EventWrite {
    /// The whole event.
    pub event: Box<CoreEvent>,
    /// Whether it was written before, so that only its count and last time change.
    pub repeated: bool,
}

impl EventWrite {
    pub(super) fn name(&self) -> &str {
        self.event.metadata.name.as_deref().unwrap_or_default()
    }
}

/// Which events are written.
#[derive(Clone, Debug)]
pub struct Events {
    component: String,
    host: String,
    seen: BTreeMap<Event, Seen>,
    budgets: BTreeMap<Regarding, Budget>,
}

#[derive(Clone, Debug)]
struct Seen {
    name: String,
    first: Timestamp,
    count: i32,
    last: Instant,
    next_write: Instant,
    interval: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Budget {
    tokens: u32,
    refilled: Instant,
}

/// Different events that an object may get at once.
const BURST: u32 = 25;
/// Time after which it may get one more.
const REFILL: Duration = Duration::from_secs(300);
/// Time after which a repetition is written; doubles with each.
const FIRST_REPEAT: Duration = Duration::from_secs(10);
const LONGEST_REPEAT: Duration = Duration::from_secs(1280);
/// After this time without repetition an event is forgotten; the server keeps events as long.
const FORGET: Duration = Duration::from_secs(3600);
/// Events remembered at most.
const REMEMBERED: usize = 4096;

impl Events {
    /// Events from this component (for example `metallb-controller`) on this host (empty: none).
    pub fn new(component: impl Into<String>, host: impl Into<String>) -> Self {
        Self {
            component: component.into(),
            host: host.into(),
            seen: BTreeMap::new(),
            budgets: BTreeMap::new(),
        }
    }

    /// Takes note of an event; returns what to write, if anything.
    pub fn record(&mut self, now: Instant, wall: Timestamp, event: Event) -> Option<EventWrite> {
        self.forget(now);
        if let Some(seen) = self.seen.get_mut(&event) {
            seen.count = seen.count.saturating_add(1);
            seen.last = now;
            if now < seen.next_write {
                return None;
            }
            seen.interval = seen.interval.saturating_mul(2).min(LONGEST_REPEAT);
            seen.next_write = now.checked_add(seen.interval).unwrap_or(now);
            let seen = seen.clone();
            return Some(EventWrite { event: Box::new(self.body(&event, &seen, wall)), repeated: true });
        }
        if !self.spend(&event.regarding, now) {
            return None;
        }
        let seen = Seen {
            name: name(&event, wall),
            first: wall,
            count: 1,
            last: now,
            next_write: now.checked_add(FIRST_REPEAT).unwrap_or(now),
            interval: FIRST_REPEAT,
        };
        let body = self.body(&event, &seen, wall);
        self.seen.insert(event, seen);
        Some(EventWrite { event: Box::new(body), repeated: false })
    }

    fn body(&self, event: &Event, seen: &Seen, wall: Timestamp) -> CoreEvent {
        let regarding = &event.regarding;
        let severity = match event.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        CoreEvent {
            metadata: ObjectMeta {
                name: Some(seen.name.clone()),
                namespace: Some(regarding.namespace.clone().unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(regarding.api_version.clone()),
                kind: Some(regarding.kind.clone()),
                namespace: regarding.namespace.clone(),
                name: Some(regarding.name.clone()),
                uid: regarding.uid.clone(),
                ..ObjectReference::default()
            },
            reason: Some(event.reason.clone()),
            message: Some(event.message.clone()),
            type_: Some(severity.to_owned()),
            count: Some(seen.count),
            first_timestamp: Some(Time(seen.first)),
            last_timestamp: Some(Time(wall)),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: Some(self.host.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()).filter(|host| !host.is_empty()),
            ..CoreEvent::default()
        }
    }

    fn spend(&mut self, regarding: &Regarding, now: Instant) -> bool {
        let budget = self.budgets.entry(regarding.clone()).or_insert(Budget { tokens: BURST, refilled: now });
        let periods = now.saturating_duration_since(budget.refilled).as_secs() / REFILL.as_secs();
        let earned = u32::try_from(periods).unwrap_or(BURST).min(BURST);
        if earned > 0 {
            budget.tokens = budget.tokens.saturating_add(earned).min(BURST);
            budget.refilled = now;
        }
        if budget.tokens == 0 {
            return false;
        }
        budget.tokens -= 1;
        true
    }

    fn forget(&mut self, now: Instant) {
        let stale = |last: Instant| now.saturating_duration_since(last) >= FORGET;
        if self.seen.len() >= REMEMBERED {
            self.seen.retain(|_, seen| !stale(seen.last));
            self.budgets.retain(|_, budget| budget.tokens < BURST && !stale(budget.refilled));
        }
        if self.seen.len() >= REMEMBERED {
            // Too many at once: start over. At worst some events are written twice.
            self.seen.clear();
        }
    }
}

/// Unique per event and moment, and a valid object name.
fn name(event: &Event, wall: Timestamp) -> String {
    let suffix = short_hash(&format!("{event:?} {}", wall.as_nanosecond()));
    let base: String = event.regarding.name.chars().take(200).collect();
    format!("{}.{suffix}", base.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock(Instant);

    impl Clock {
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "the base of virtual time")]
            Self(Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }
    }

    fn event(message: &str) -> Event {
        Event {
            regarding: Regarding::service("web", "a", "uid"),
            severity: Severity::Warning,
            reason: "AllocationFailed".to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_service_stuck_for_an_hour_gets_a_handful_of_writes_on_one_event() {
        let (clock, mut events) = (Clock::new(), Events::new("metallb-controller", "host"));
        let writes: Vec<_> = (0..3600)
            .filter_map(|second| events.record(clock.at(second), Timestamp::UNIX_EPOCH, event("no address")))
            .collect();
        assert!((5..=12).contains(&writes.len()), "{}", writes.len());
        assert!(writes.iter().skip(1).all(|write| write.repeated));
        assert!(writes.iter().all(|write| write.name() == writes[0].name()));
        assert!(writes.last().unwrap().event.count > Some(2000), "suppressed repetitions are counted");
    }

    #[test]
    fn different_events_of_one_object_are_limited_and_others_are_not_affected() {
        let (clock, mut events) = (Clock::new(), Events::new("c", ""));
        let mut write = |second: u64, event: Event| {
            events.record(clock.at(second), Timestamp::UNIX_EPOCH, event).is_some()
        };
        let written = (0..100).filter(|number| write(0, event(&number.to_string()))).count();
        assert_eq!(written, 25);
        assert!(write(0, Event { regarding: Regarding::node("n1"), ..event("x") }));
        assert!(!write(299, event("later")));
        assert!(write(300, event("later")));
    }

    #[test]
    fn an_event_has_what_kubectl_shows() {
        let (clock, mut events) = (Clock::new(), Events::new("metallb-speaker", "n1"));
        let written = events.record(clock.at(0), Timestamp::UNIX_EPOCH, event("m")).unwrap().event;
        assert_eq!(written.metadata.namespace.as_deref(), Some("web"));
        assert_eq!(written.involved_object.uid.as_deref(), Some("uid"));
        let source = written.source.unwrap();
        assert_eq!(
            (source.component.as_deref(), source.host.as_deref()),
            (Some("metallb-speaker"), Some("n1"))
        );
        let node = events.record(
            clock.at(0),
            Timestamp::UNIX_EPOCH,
            Event { regarding: Regarding::node("n1"), ..event("m") },
        );
        assert_eq!(node.unwrap().event.metadata.namespace.as_deref(), Some("default"));
    }

    #[test]
    fn memory_is_bounded() {
        let (clock, mut events) = (Clock::new(), Events::new("c", ""));
        for number in 0..10_000 {
            let regarding = Regarding::service("web", format!("s{number}"), "u");
            events.record(clock.at(number), Timestamp::UNIX_EPOCH, Event { regarding, ..event("m") });
        }
        assert!(events.seen.len() <= REMEMBERED && events.budgets.len() <= 2 * REMEMBERED);
    }
}

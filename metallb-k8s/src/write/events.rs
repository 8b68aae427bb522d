//! Events, the core/v1 kind that `kubectl describe` shows.
//!
//! [`Events`] decides which are written: repetitions are counted on the first one, at growing
//! intervals; no object gets more than a burst of different ones, and no namespace more than a burst of warnings for one
//! reason, however many objects it makes.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event as CoreEvent, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use sha2::{Digest, Sha256};

use super::short_hash;
use crate::crd::GROUP;

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

    /// An object of MetalLB in its namespace.
    pub fn metallb(version: &str, kind: &str, namespace: &str, name: &str, uid: Option<String>) -> Self {
        Self {
            api_version: format!("{GROUP}/{version}"),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
            uid,
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

/// An event to write: new, or a further repetition of one that was written. Small, as many may wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventWrite {
    /// What happened.
    pub event: Box<Event>,
    /// How often.
    pub count: i32,
    /// Whether it was written before, so that only its count and last time change.
    pub repeated: bool,
    origin: Arc<Origin>,
    name: Box<str>,
    first: Timestamp,
    last: Timestamp,
}

/// Whom events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    component: String,
    host: String,
}

impl EventWrite {
    /// Name of the event's object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole event, as Kubernetes has it.
    pub fn body(&self) -> CoreEvent {
        let (event, origin) = (&self.event, &self.origin);
        let regarding = &event.regarding;
        let severity = match event.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        let host = Some(origin.host.clone()).filter(|host| !host.is_empty());
        CoreEvent {
            metadata: ObjectMeta {
                name: Some(self.name.to_string()),
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
            count: Some(self.count),
            first_timestamp: Some(Time(self.first)),
            last_timestamp: Some(Time(self.last)),
            source: Some(EventSource { component: Some(origin.component.clone()), host: host.clone() }),
            reporting_component: Some(origin.component.clone()),
            reporting_instance: host,
            ..CoreEvent::default()
        }
    }
}

/// Which events are written.
#[derive(Clone, Debug)]
pub struct Events {
    origin: Arc<Origin>,
    /// By the hash of the event.
    seen: BTreeMap<[u8; 32], Seen>,
    budgets: BTreeMap<Regarding, Budget>,
    /// Warnings by namespace and reason.
    warnings: BTreeMap<(String, String), Budget>,
}

#[derive(Clone, Debug)]
struct Seen {
    name: Box<str>,
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

/// How many events there may be at once, and after which time there may be one more.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    burst: u32,
    refill: Duration,
}

/// Different events of one object.
const PER_OBJECT: Allowance = Allowance { burst: 25, refill: Duration::from_secs(300) };
/// Different warnings in one namespace for one reason.
const PER_REASON: Allowance = Allowance { burst: 1000, refill: Duration::from_secs(1) };
/// Characters of a message, as the API server allows them.
const LONGEST_MESSAGE: usize = 1024;
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
        let origin = Arc::new(Origin { component: component.into(), host: host.into() });
        Self { origin, seen: BTreeMap::new(), budgets: BTreeMap::new(), warnings: BTreeMap::new() }
    }

    /// Takes note of an event; returns what to write, if anything.
    pub fn record(&mut self, now: Instant, wall: Timestamp, mut event: Event) -> Option<EventWrite> {
        self.forget(now);
        shorten(&mut event.message);
        let hash = hash(&event);
        if let Some(seen) = self.seen.get_mut(&hash) {
            seen.count = seen.count.saturating_add(1);
            seen.last = now;
            if now < seen.next_write {
                return None;
            }
            seen.interval = seen.interval.saturating_mul(2).min(LONGEST_REPEAT);
            seen.next_write = now.checked_add(seen.interval).unwrap_or(now);
            let seen = seen.clone();
            return Some(self.write(event, &seen, wall, true));
        }
        if !self.spend(&event, now) {
            return None;
        }
        let seen = Seen {
            name: name(&event, wall).into(),
            first: wall,
            count: 1,
            last: now,
            next_write: now.checked_add(FIRST_REPEAT).unwrap_or(now),
            interval: FIRST_REPEAT,
        };
        let write = self.write(event, &seen, wall, false);
        self.seen.insert(hash, seen);
        Some(write)
    }

    fn write(&self, event: Event, seen: &Seen, wall: Timestamp, repeated: bool) -> EventWrite {
        EventWrite {
            event: Box::new(event),
            count: seen.count,
            repeated,
            origin: Arc::clone(&self.origin),
            name: seen.name.clone(),
            first: seen.first,
            last: wall,
        }
    }

    /// Whether there may be one more: for its object, and for its namespace when it is a warning.
    fn spend(&mut self, event: &Event, now: Instant) -> bool {
        let namespace = event.regarding.namespace.clone().filter(|_| event.severity == Severity::Warning);
        let fresh = |allowance: Allowance| Budget { tokens: allowance.burst, refilled: now };
        let own = self.budgets.entry(event.regarding.clone()).or_insert_with(|| fresh(PER_OBJECT));
        own.refill(PER_OBJECT, now);
        if own.tokens == 0 {
            return false;
        }
        if let Some(namespace) = namespace {
            let slot = (namespace, event.reason.clone());
            let shared = self.warnings.entry(slot).or_insert_with(|| fresh(PER_REASON));
            shared.refill(PER_REASON, now);
            if shared.tokens == 0 {
                return false;
            }
            shared.tokens -= 1;
        }
        own.tokens -= 1;
        true
    }

    fn forget(&mut self, now: Instant) {
        let stale = |last: Instant| now.saturating_duration_since(last) >= FORGET;
        if self.seen.len() >= REMEMBERED {
            self.seen.retain(|_, seen| !stale(seen.last));
            self.budgets.retain(|_, budget| budget.tokens < PER_OBJECT.burst && !stale(budget.refilled));
            self.warnings.retain(|_, budget| budget.tokens < PER_REASON.burst && !stale(budget.refilled));
        }
        if self.budgets.len().max(self.warnings.len()) >= 2 * REMEMBERED {
            // Somebody makes objects or namespaces faster than events are forgotten.
            self.budgets.clear();
            self.warnings.clear();
        }
        if self.seen.len() >= REMEMBERED {
            // Too many at once: start over. At worst some events are written twice.
            self.seen.clear();
        }
    }
}

impl Budget {
    fn refill(&mut self, allowance: Allowance, now: Instant) {
        let periods = now.saturating_duration_since(self.refilled).as_secs() / allowance.refill.as_secs();
        let earned = u32::try_from(periods).unwrap_or(allowance.burst).min(allowance.burst);
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(allowance.burst);
            self.refilled = now;
        }
    }
}

/// At most as many characters as the API server allows.
fn shorten(message: &mut String) {
    if message.chars().nth(LONGEST_MESSAGE).is_some() {
        let end = message.char_indices().nth(LONGEST_MESSAGE - 3).map_or(0, |(index, _)| index);
        message.truncate(end);
        message.push_str("...");
    }
}

/// What is remembered of an event: its text may be long.
fn hash(event: &Event) -> [u8; 32] {
    Sha256::digest(format!("{event:?}").as_bytes()).into()
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
        assert!(writes.last().unwrap().count > 2000, "suppressed repetitions are counted");
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
    fn a_namespace_that_makes_object_after_object_gets_no_more_than_a_burst_of_warnings_for_a_reason() {
        let (clock, mut events) = (Clock::new(), Events::new("c", ""));
        let mut write = |second: u64, namespace: &str, number: u32, severity| {
            let regarding = Regarding::service(namespace, format!("s{number}"), format!("u{number}"));
            let event = Event { regarding, severity, ..event("m") };
            events.record(clock.at(second), Timestamp::UNIX_EPOCH, event).is_some()
        };
        let written = (0..3000).filter(|number| write(0, "hostile", *number, Severity::Warning)).count();
        assert_eq!(written, 1000);
        assert!(write(0, "other", 0, Severity::Warning), "other namespaces are not affected");
        assert!(write(0, "hostile", 5000, Severity::Normal), "nor is what is as it should be");
        assert!(write(1, "hostile", 5001, Severity::Warning));
        assert!(!write(1, "hostile", 5002, Severity::Warning), "one more a second");
    }

    #[test]
    fn a_message_is_cut_to_what_the_server_takes_and_only_its_hash_is_remembered() {
        let (clock, mut events) = (Clock::new(), Events::new("c", ""));
        let mut message = |message: &str| {
            let write = events.record(clock.at(0), Timestamp::UNIX_EPOCH, event(message));
            write.map(|write| write.event.message)
        };
        assert_eq!(message(&"ä".repeat(1024)).unwrap(), "ä".repeat(1024));
        assert_eq!(message(&"ä".repeat(240_000)).unwrap(), format!("{}...", "ä".repeat(1021)));
        assert_eq!(message(&"ä".repeat(239_999)), None, "the same event, as far as anybody sees");
    }

    #[test]
    fn an_event_has_what_kubectl_shows() {
        let (clock, mut events) = (Clock::new(), Events::new("metallb-speaker", "n1"));
        let written = events.record(clock.at(0), Timestamp::UNIX_EPOCH, event("m")).unwrap().body();
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
        assert_eq!(node.unwrap().body().metadata.namespace.as_deref(), Some("default"));
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

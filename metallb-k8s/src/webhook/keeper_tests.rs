use serde_json::json;

use super::{
    super::bundle::{CONVERTED, Service, WEBHOOKS},
    *,
};

const HOST: &str = "metallb-webhook-service.metallb-system.svc";

/// A keeper, the cluster it writes to, and a clock.
struct World {
    keeper: Keeper,
    start: Instant,
    elapsed: Duration,
    bundle: Option<String>,
    version: u32,
}

impl World {
    fn new() -> Self {
        let mut keeper = Keeper::new(HOST.to_owned(), 7);
        keeper.set_active(true);
        #[expect(clippy::disallowed_methods, reason = "only differences matter")]
        let start = Instant::now();
        Self { keeper, start, elapsed: Duration::ZERO, bundle: None, version: 1 }
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    fn wall(&self) -> Timestamp {
        let start: Timestamp = "2026-12-01T08:00:00Z".parse().unwrap();
        start + self.elapsed
    }

    fn pass(&mut self, time: Duration) {
        self.elapsed += time;
    }

    fn poll(&mut self) -> Vec<Action> {
        let (now, wall) = (self.now(), self.wall());
        self.keeper.poll(now, wall).unwrap()
    }

    fn done(&mut self, subject: Subject, written: Written) -> Notable {
        let now = self.now();
        self.keeper.done(now, subject, written)
    }

    /// The watch shows the webhook configuration with this bundle.
    fn show_webhooks(&mut self, bundle: Option<&str>) {
        self.version += 1;
        self.bundle = bundle.map(str::to_owned);
        let bundle = bundle.map(|bundle| k8s_openapi::ByteString(bundle.as_bytes().to_vec()));
        let service = json!({ "namespace": "metallb-system", "name": "metallb-webhook-service" });
        let object = json!({
            "metadata": { "name": WEBHOOKS, "resourceVersion": self.version.to_string() },
            "webhooks": [{
                "name": "w", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": { "service": service, "caBundle": bundle },
            }],
        });
        let service = Service { namespace: "metallb-system".into(), name: "metallb-webhook-service".into() };
        let object = serde_json::from_value(object).unwrap();
        self.keeper.set_bundles(Place::Webhooks, Bundles::of_webhooks(&object, &service));
    }

    /// Everything that is wanted is written and seen at once; returns what that was.
    fn write_all(&mut self) -> Vec<Action> {
        let mut all = Vec::new();
        loop {
            let actions = self.poll();
            if actions.is_empty() {
                return all;
            }
            for action in &actions {
                let written = self.write(action);
                self.done(action.subject(), Written::Made(written));
            }
            all.extend(actions);
        }
    }

    fn write(&mut self, action: &Action) -> Option<SecretRecord> {
        match action {
            Action::Create { material } | Action::Replace { material, .. } => Some(mk_record(material)),
            Action::Trust { patch, .. } => {
                let bundle = &patch["webhooks"][0]["clientConfig"]["caBundle"];
                let octets: k8s_openapi::ByteString = serde_json::from_value(bundle.clone()).unwrap();
                self.show_webhooks(Some(&String::from_utf8(octets.0).unwrap()));
                None
            }
        }
    }

    fn authority(&self) -> String {
        self.keeper.secret.as_ref().unwrap().material.as_ref().unwrap().authority.clone()
    }
}

fn mk_record(material: &Material) -> SecretRecord {
    SecretRecord { resource_version: Some("9".to_owned()), material: Some(material.clone()) }
}

fn subjects(actions: &[Action]) -> Vec<Subject> {
    actions.iter().map(Action::subject).collect()
}

const WEBHOOKS_TRUST: Subject = Subject::Trust(Place::Webhooks);

#[test]
fn a_new_cluster_gets_a_secret_and_trusts_it() {
    let mut world = World::new();
    world.show_webhooks(None);
    let written = world.write_all();
    assert_eq!(subjects(&written), [Subject::Secret, WEBHOOKS_TRUST]);
    assert!(matches!(written[0], Action::Create { .. }));
    assert_eq!(world.bundle, Some(world.authority()));
    assert!(world.keeper.usable(world.wall()).is_some());
}

#[test]
fn who_does_not_lead_writes_nothing_but_shows_what_is_there() {
    let mut world = World::new();
    world.keeper.set_active(false);
    world.show_webhooks(None);
    assert_eq!(world.poll(), []);
    let material = issue(world.wall(), HOST, None).unwrap();
    world.keeper.set_secret(Some(mk_record(&material)));
    assert_eq!(world.poll(), []);
    assert_eq!(world.keeper.usable(world.wall()), Some(&material));
}

#[test]
fn who_comes_second_waits_for_what_the_first_wrote() {
    let mut world = World::new();
    assert_eq!(subjects(&world.poll()), [Subject::Secret]);
    assert_eq!(world.done(Subject::Secret, Written::Overtaken), Notable::Nothing);
    assert_eq!(world.poll(), []);
    let material = issue(world.wall(), HOST, None).unwrap();
    world.keeper.set_secret(Some(mk_record(&material)));
    world.pass(Duration::from_secs(60));
    assert_eq!(world.poll(), []);
}

#[test]
fn an_empty_secret_is_filled_and_a_broken_one_replaced() {
    let mut world = World::new();
    let empty = SecretRecord { resource_version: Some("3".to_owned()), material: None };
    world.keeper.set_secret(Some(empty));
    let actions = world.poll();
    assert!(matches!(&actions[..], [Action::Replace { resource_version, flaw: None, .. }]
            if resource_version.as_deref() == Some("3")));
    let mut broken = issue(world.wall(), HOST, None).unwrap();
    broken.key = "rubbish".to_owned();
    world.keeper.set_secret(Some(mk_record(&broken)));
    let actions = world.poll();
    assert!(matches!(&actions[..], [Action::Replace { flaw: Some(Flaw::Unreadable), .. }]));
    assert_eq!(world.keeper.usable(world.wall()), None);
}

#[test]
fn a_deleted_secret_is_made_anew_with_another_authority() {
    let mut world = World::new();
    world.show_webhooks(None);
    world.write_all();
    let before = world.authority();
    world.keeper.set_secret(None);
    world.pass(Duration::from_secs(600));
    assert_eq!(subjects(&world.write_all()), [Subject::Secret, WEBHOOKS_TRUST]);
    assert_ne!(world.authority(), before);
    assert_eq!(world.bundle, Some(world.authority()));
}

#[test]
fn a_certificate_is_renewed_in_time_and_nobody_has_to_trust_another_authority() {
    let mut world = World::new();
    world.show_webhooks(None);
    world.write_all();
    let authority = world.authority();
    let mut writes = Vec::new();
    for _ in 0..366 {
        let due = world.keeper.next_timeout().unwrap();
        assert!(due > world.now() && due <= world.now() + LONGEST_SLEEP);
        world.elapsed = due.duration_since(world.start);
        writes.extend(world.write_all());
        assert!(world.keeper.usable(world.wall()).is_some());
    }
    world.pass(Duration::from_secs(200 * 24 * 3600));
    writes.extend(world.write_all());
    assert_eq!(subjects(&writes), [Subject::Secret]);
    assert_eq!(world.authority(), authority);
}

#[test]
fn a_new_authority_is_trusted_before_its_certificate_is_shown() {
    let mut world = World::new();
    let mut foreign = issue(world.wall(), HOST, None).unwrap();
    foreign.authority_key.clear();
    world.keeper.set_secret(Some(mk_record(&foreign)));
    world.show_webhooks(Some(&foreign.authority));
    assert_eq!(world.poll(), []);
    world.pass(Duration::from_secs(300 * 24 * 3600));
    let actions = world.write_all();
    assert_eq!(subjects(&actions), [WEBHOOKS_TRUST, Subject::Secret]);
    assert!(world.authority().ends_with(&foreign.authority), "the old certificate is trusted meanwhile");
    assert_eq!(world.bundle, Some(world.authority()));
}

#[test]
fn what_is_not_there_is_waited_for() {
    let mut world = World::new();
    assert_eq!(subjects(&world.write_all()), [Subject::Secret]);
    world.keeper.set_bundles(Place::Webhooks, None);
    assert_eq!(world.poll(), []);
    world.show_webhooks(None);
    assert_eq!(subjects(&world.poll()), [WEBHOOKS_TRUST]);
}

#[test]
fn a_refused_write_is_tried_again_with_growing_pauses_and_the_rest_goes_on() {
    let mut world = World::new();
    world.show_webhooks(None);
    let first = world.poll();
    let written = world.write(&first[0]);
    world.done(Subject::Secret, Written::Made(written));
    assert_eq!(subjects(&world.poll()), [WEBHOOKS_TRUST]);
    assert_eq!(world.done(WEBHOOKS_TRUST, Written::Failed), Notable::Fails);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        assert_eq!(world.poll(), []);
        let due = world.keeper.next_timeout().unwrap();
        pauses.push(due - world.now());
        world.elapsed = due.duration_since(world.start);
        assert_eq!(subjects(&world.poll()), [WEBHOOKS_TRUST]);
        assert_eq!(world.done(WEBHOOKS_TRUST, Written::Failed), Notable::Nothing, "told once");
    }
    assert!(pauses[0] < Duration::from_secs(1) && pauses[11] > Duration::from_secs(14), "{pauses:?}");
    world.pass(LONGEST_PAUSE);
    assert_eq!(subjects(&world.poll()), [WEBHOOKS_TRUST]);
    assert_eq!(world.done(WEBHOOKS_TRUST, Written::Made(None)), Notable::Works);
}

#[test]
fn what_somebody_else_keeps_undoing_is_written_ever_more_rarely_and_told_once() {
    let mut world = World::new();
    world.show_webhooks(None);
    world.write_all();
    let mut told = Vec::new();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        world.show_webhooks(None);
        while world.poll().is_empty() {
            let due = world.keeper.next_timeout().unwrap();
            pauses.push(due - world.now());
            world.elapsed = due.duration_since(world.start);
        }
        told.push(world.done(WEBHOOKS_TRUST, Written::Made(None)));
    }
    assert_eq!(told.iter().filter(|told| **told == Notable::Contested).count(), 1, "{told:?}");
    assert!(pauses.last().unwrap() > &Duration::from_secs(14), "{pauses:?}");
    world.show_webhooks(Some(&world.authority()));
    world.pass(QUIET);
    world.show_webhooks(None);
    assert_eq!(subjects(&world.poll()), [WEBHOOKS_TRUST], "after a quiet time at once");
}

#[test]
fn the_names_in_messages_are_those_to_look_for() {
    assert_eq!(Place::Webhooks.to_string(), format!("ValidatingWebhookConfiguration {WEBHOOKS}"));
    assert!(Place::Conversion.to_string().contains(CONVERTED));
}

#[test]
fn a_name_that_is_none_is_an_error() {
    let mut keeper = Keeper::new("ä".to_owned(), 0);
    keeper.set_active(true);
    let world = World::new();
    assert!(matches!(keeper.poll(world.now(), world.wall()), Err(IssueError::Name { .. })));
}

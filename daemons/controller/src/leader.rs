//! What a controller does while it leads: feeds the assigner and carries out its actions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use metallb_core::config::{Config, ConfigError, Kind, ObjectId};
use metallb_core::facts::{AddressOwner, Demand};
use metallb_core::ipam::{Action, Assigner, Options, Report};
use metallb_core::keys::{NamespaceName, PoolName, ServiceKey};
use metallb_k8s::facts::{SeenService, ServiceRecord};
use metallb_k8s::watch::{ObjectKey, StatusTarget};
use metallb_k8s::write::conditions::Verdict;
use metallb_k8s::write::events::{Event, Events, Regarding, Severity};
use metallb_k8s::write::state::StateKeeper;
use metallb_k8s::write::status::{Component, MOST_USERS, PoolUse, plan_object_status, resource};
use metallb_k8s::write::{CONTESTED, Contest, ServiceWrite, Target, Write, Writer};

use crate::configured::Configured;
use crate::inputs::{Inputs, Key};
use crate::memory::Memory;
use crate::reports::{Notice, notice, unfilled_annotation, unknown_annotation};
use crate::waits::Waits;

/// The state of a leading controller. Built anew from the watches each time it starts to lead.
#[derive(Debug)]
pub(crate) struct Leader {
    assigner: Assigner,
    writer: Writer,
    events: Events,
    configured: Configured,
    /// Each Service as the assigner knows it, so that a write names the version it was decided on.
    records: HashMap<ServiceKey, Arc<ServiceRecord>>,
    touched_pools: BTreeSet<PoolName>,
    /// When the status of these was looked at last.
    flushed: Instant,
    state: StateKeeper,
    /// What was last said about pools that contain addresses of others.
    owned: BTreeMap<PoolName, ConfigError>,
    /// The state of the whole does not tell all of that yet.
    untold: bool,
    failures: BTreeMap<&'static str, u64>,
    waits: Waits,
}

impl Leader {
    /// Starts to lead: everything the watches know goes into a new assigner, addresses found in status are restored,
    /// then services without addresses get theirs. What was said when it led before is not said again.
    pub(crate) fn start(
        inputs: &Inputs,
        configured: Configured,
        writer: Writer,
        options: Options,
        memory: Memory,
    ) -> Self {
        let now = Instant::now();
        let Memory { events, records, told, owned, failures, waits } = memory;
        let mut leader = Self {
            assigner: Assigner::new(options),
            writer,
            events,
            configured,
            records,
            touched_pools: BTreeSet::new(),
            flushed: now,
            state: StateKeeper::new(Component::Controller, &inputs.namespace, inputs.state.clone()),
            owned,
            untold: false,
            failures,
            waits,
        };
        for (_, namespace) in inputs.namespaces.all() {
            leader.assigner.apply_namespace((*namespace).clone());
        }
        leader.assigner.set_config(now, Arc::clone(&leader.configured.config));
        for (owner, addresses) in inputs.owners() {
            leader.assigner.reserve(now, &owner, &addresses);
        }
        leader.forget_missing(inputs);
        for (key, seen) in inputs.services.all() {
            leader.seen(&key, Some(&seen), now);
        }
        for (service, uid, told) in told {
            if leader.records.get(&service).is_some_and(|record| record.uid == uid) {
                leader.assigner.remember_told(&service, told);
            }
        }
        leader.assigner.start(now);
        leader.perform();
        leader.report_configuration(inputs);
        leader.touched_pools.clear();
        leader
    }

    /// Ends; what it has said is remembered. Where an event was still to be written, that may never be: it is all said again by
    /// the next. What else is missing is found by comparison.
    pub(crate) fn end(self) -> Memory {
        let Self { assigner, writer, events, records, owned, failures, mut waits, .. } = self;
        waits.stop();
        if writer.has_events() {
            return Memory { failures, waits, ..Memory::new() };
        }
        let uid = |service: &ServiceKey| records.get(service).map(|record| record.uid.clone());
        let told = assigner.told();
        let told = told.filter_map(|(service, told)| Some((service.clone(), uid(service)?, told.to_vec())));
        let told = told.collect();
        Memory { events, records, told, owned, failures, waits }
    }

    /// Services that went while somebody else led.
    fn forget_missing(&mut self, inputs: &Inputs) {
        let is_there = |service: &ServiceKey| {
            let key = ObjectKey::namespaced(service.namespace(), service.name());
            matches!(inputs.services.get(&key).as_deref(), Some(SeenService::Ours(_)))
        };
        let gone: Vec<ServiceKey> =
            self.records.keys().filter(|service| !is_there(service)).cloned().collect();
        for service in gone {
            self.forget(&service, self.flushed);
        }
    }

    /// Looks at something that changed; the configuration as it is now comes along.
    pub(crate) fn look(&mut self, inputs: &Inputs, configured: &Configured, key: &Key) {
        let now = Instant::now();
        match key {
            Key::Service(key) => {
                let seen = inputs.services.get(key);
                if !seen.as_ref().is_some_and(|seen| self.knows(seen)) {
                    self.seen(key, seen.as_deref(), now);
                }
            }
            Key::Outdated(key) => self.seen(key, inputs.services.get(key).as_deref(), now),
            Key::Namespace(key) => match inputs.namespaces.get(key) {
                Some(namespace) => self.assigner.apply_namespace((*namespace).clone()),
                None => self.assigner.remove_namespace(&NamespaceName::new(&*key.name)),
            },
            Key::Node(key) => self.reserve(now, &inputs.node(key)),
            Key::ApiServer => self.reserve(now, &inputs.api_server()),
            Key::Configuration => {
                self.configured = configured.clone();
                self.assigner.set_config(now, Arc::clone(&configured.config));
            }
            Key::Status(kind, key) => {
                if let Some(target) = inputs.configuration.status_target(*kind, key) {
                    self.report_object(&target);
                }
            }
            Key::State => self.settle_state(),
            Key::Contest(contest) => self.contested(inputs, contest),
        }
        self.perform();
        if *key == Key::Configuration {
            self.report_configuration(inputs);
        }
    }

    /// Whether the status of pools that are in use all the time has to be looked at, although something else waits.
    pub(crate) fn is_overdue(&self) -> bool {
        self.flushed.elapsed() >= LONGEST_BURST
    }

    /// Writes the status of the pools whose use changed. Called when nothing else is waiting, so that a burst of
    /// services costs one write per pool, once a second in a burst that does not end, and before the end.
    pub(crate) fn flush(&mut self, inputs: &Inputs) {
        self.flushed = Instant::now();
        for pool in std::mem::take(&mut self.touched_pools) {
            let key = ObjectKey::namespaced(inputs.namespace.as_str(), pool.as_str());
            if let Some(target) = inputs.configuration.status_target(Kind::Pool, &key) {
                self.report_object(&target);
            }
        }
        if self.untold {
            self.settle_state();
        }
    }

    /// When [`Leader::tick`] wants to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.assigner.next_timeout()
    }

    /// Does what time asks for.
    pub(crate) fn tick(&mut self, inputs: &Inputs) {
        self.assigner.handle_timeout(Instant::now());
        self.perform();
        self.flush(inputs);
    }

    /// The assigner, for metrics and debugging.
    pub(crate) const fn assigner(&self) -> &Assigner {
        &self.assigner
    }

    /// The services that are ours to give addresses to.
    pub(crate) fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.records.keys()
    }

    /// Configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.configured.config
    }

    /// Failed allocations by reason.
    pub(crate) const fn failures(&self) -> &BTreeMap<&'static str, u64> {
        &self.failures
    }

    /// How long services waited for their addresses.
    pub(crate) const fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Whether this very version was looked at, as are all at the start that the queue then names again. Looking at it
    /// twice would ask for its write twice.
    fn knows(&self, seen: &SeenService) -> bool {
        let SeenService::Ours(record) = seen else { return false };
        self.records.get(&record.fact.key).is_some_and(|known| Arc::ptr_eq(known, record))
    }

    fn reserve(&mut self, now: Instant, (owner, addresses): &(AddressOwner, BTreeSet<IpAddr>)) {
        self.assigner.reserve(now, owner, addresses);
    }

    /// A Service as it is now: ours, or somebody else's whose addresses are not to be given out.
    fn seen(&mut self, key: &ObjectKey, seen: Option<&SeenService>, now: Instant) {
        let service = ServiceKey::new(key.namespace.as_deref().unwrap_or_default(), &*key.name);
        let foreign = match seen {
            Some(SeenService::Foreign(addresses)) => addresses.clone(),
            _ => BTreeSet::new(),
        };
        let ours = match seen {
            Some(SeenService::Ours(record)) => Some(record),
            _ => None,
        };
        if ours.is_none_or(|record| !self.is_same(&service, record)) {
            self.forget(&service, now);
        }
        self.assigner.reserve(now, &AddressOwner::Service(service), &foreign);
        if let Some(record) = ours {
            self.service(record, now);
        }
    }

    /// Whether this is the Service that was known by this name, if one was, and not one that was made anew.
    fn is_same(&self, service: &ServiceKey, record: &ServiceRecord) -> bool {
        self.records.get(service).is_none_or(|known| known.uid == record.uid)
    }

    fn forget(&mut self, service: &ServiceKey, now: Instant) {
        self.records.remove(service);
        self.waits.forget(service);
        self.assigner.remove_service(now, service);
    }

    fn service(&mut self, record: &Arc<ServiceRecord>, now: Instant) {
        let service = record.fact.key.clone();
        let before = self.records.insert(service.clone(), Arc::clone(record));
        if before.as_ref().is_none_or(|before| before.unknown != record.unknown) {
            for (annotation, meant) in &record.unknown {
                self.tell(&service, unknown_annotation(annotation, *meant));
            }
        }
        if before.as_ref().is_none_or(|before| before.unfilled != record.unfilled) {
            for annotation in &record.unfilled {
                self.tell(&service, unfilled_annotation(annotation));
            }
        }
        if before.is_none_or(|before| before.deprecated != record.deprecated) {
            for annotation in &record.deprecated {
                let message = format!("annotation {annotation} is deprecated; use the prefix metallb.io/");
                let severity = Severity::Warning;
                self.tell(&service, Notice { severity, reason: "deprecatedAnnotation", message });
            }
        }
        match &record.fact.demand {
            Demand::None => self.waits.forget(&service),
            _ if record.fact.assigned.is_empty() => self.waits.begin(now, &service),
            _ => {}
        }
        self.assigner.apply_service(now, (*record.fact).clone());
    }

    /// Tells every configuration object what became of it, and the state of the whole.
    fn report_configuration(&mut self, inputs: &Inputs) {
        for target in inputs.configuration.status_targets() {
            self.report_object(&target);
        }
        self.settle_state();
    }

    fn settle_state(&mut self) {
        self.untold = false;
        let pools = self.configured.config.pools();
        self.owned.retain(|pool, _| pools.contains_key(pool));
        let mut judgement = self.configured.judgement();
        judgement.warnings.extend(self.owned.values().map(ToString::to_string));
        self.state.settle(&self.writer, &judgement, Timestamp::now());
    }

    /// Compares the status of an object with what the watch shows of it, whoever wrote that, and writes the difference.
    fn report_object(&mut self, target: &StatusTarget) {
        let about =
            |error: &&ConfigError| error.object.kind == target.kind && *error.object.name == *target.name;
        let owned = (target.kind == Kind::Pool).then(|| self.owned_in(&target.name)).flatten();
        let verdict = Verdict::accepted(self.configured.problems.iter().filter(about).chain(&owned));
        let usage = (target.kind == Kind::Pool).then(|| self.use_of(&PoolName::new(target.name.as_str())));
        match plan_object_status(target, &verdict, usage, Timestamp::now()) {
            Some(write) => self.writer.submit(write),
            None => self.writer.cancel(&Target::Object(target.kind, target.name.clone())),
        }
    }

    /// Somebody else undoes what is written: told on the object that is contested.
    fn contested(&mut self, inputs: &Inputs, contest: &Contest) {
        let message = contest.to_string();
        let system = inputs.namespace.as_str();
        let regarding = match &contest.object {
            Target::Service(service) => {
                let notice = Notice { severity: Severity::Warning, reason: CONTESTED, message };
                return self.tell(service, notice);
            }
            Target::Object(kind, name) => {
                let key = ObjectKey::namespaced(system, name.as_str());
                let found = inputs.configuration.status_target(*kind, &key);
                let uid = found.map(|found| found.identity.uid().to_owned());
                let (_, version) = resource(*kind);
                Regarding::metallb(version, &kind.to_string(), system, name, uid)
            }
            Target::Own(kind, name) => Regarding::metallb("v1beta1", &kind.to_string(), system, name, None),
        };
        tracing::warn!(error = message, "contested");
        let event = Event { regarding, severity: Severity::Warning, reason: CONTESTED.to_owned(), message };
        if let Some(write) = self.events.record(Instant::now(), Timestamp::now(), event) {
            self.writer.submit(Write::Event(write));
        }
    }

    fn use_of(&self, pool: &PoolName) -> PoolUse {
        let (users, services) = self.assigner.users(pool, MOST_USERS);
        PoolUse { usage: self.assigner.usage(pool).unwrap_or_default(), users, services }
    }

    /// The warning on a pool that contains addresses of others, logged when it is new.
    fn owned_in(&mut self, pool: &str) -> Option<ConfigError> {
        let name = PoolName::new(pool);
        let problem = self.assigner.owned_in(&name);
        let warning = problem
            .map(|problem| ConfigError::warning(ObjectId::new(Kind::Pool, pool), "spec.addresses", problem));
        if self.owned.get(&name) != warning.as_ref() {
            if let Some(warning) = &warning {
                tracing::warn!(error = %warning, "configuration");
            }
            self.owned.remove(&name);
            self.owned.extend(warning.clone().map(|warning| (name, warning)));
            self.untold = true;
        }
        warning
    }

    fn perform(&mut self) {
        while let Some(action) = self.assigner.poll_action() {
            match action {
                Action::Assign { service, addresses, pools } => {
                    tracing::info!(%service, ?addresses, ?pools, "addresses assigned");
                    if let Some(record) = self.records.get(&service) {
                        self.writer.submit(Write::Service(ServiceWrite::assign(record, addresses, pools)));
                    }
                }
                Action::Clear { service, reason } => {
                    let reason = reason.map(|reason| reason.to_string());
                    tracing::info!(%service, reason, "addresses cleared");
                    if let Some(record) = self.records.get(&service) {
                        self.writer.submit(Write::Service(ServiceWrite::clear(record)));
                    }
                }
                Action::Report { service, report } => self.report(&service, &report),
                Action::Usage { pool, .. } => {
                    self.touched_pools.insert(pool);
                }
            }
        }
    }

    fn report(&mut self, service: &ServiceKey, report: &Report) {
        let failed = match report {
            Report::Failed(error) | Report::AdditionalFailed(error) => Some(error.reason()),
            Report::InvalidRequest(error) => Some(error.reason()),
            _ => None,
        };
        match report {
            Report::Allocated { .. } => self.waits.end(Instant::now(), service),
            Report::Released { .. } => self.waits.begin(Instant::now(), service),
            _ => {}
        }
        if let Some(reason) = failed {
            *self.failures.entry(reason).or_insert(0) += 1;
        }
        self.tell(service, notice(service, report));
    }

    fn tell(&mut self, service: &ServiceKey, notice: Notice) {
        let Notice { severity, reason, message } = notice;
        let Some(record) = self.records.get(service) else { return };
        let regarding = Regarding::service(service.namespace(), service.name(), record.uid.as_str());
        let event = Event { regarding, severity, reason: reason.to_owned(), message: message.clone() };
        let write = self.events.record(Instant::now(), Timestamp::now(), event);
        // What a tenant can bring about again and again is logged as seldom as it is told.
        match severity {
            Severity::Warning if write.is_some() => {
                tracing::warn!(%service, reason, error = message, "service");
            }
            _ => tracing::debug!(%service, reason, message, "event"),
        }
        if let Some(write) = write {
            self.writer.submit(Write::Event(write));
        }
    }
}

/// For how long the status of pools may be behind while services change all the time.
const LONGEST_BURST: Duration = Duration::from_secs(1);

//! Carries out writes.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use metallb_core::{config::Kind, keys::ServiceKey};
use tokio::sync::{Semaphore, watch};

use super::{
    Slot, Stats, Write,
    perform::{Attempt, attempt},
};
use crate::{
    facts::ClassFilter,
    retry::{Backoff, Cause, Fault, Retries, Subject, Task},
};

/// How a [`Writer`] writes.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// MetalLB's namespace, where its resources are.
    pub namespace: String,
    /// Which Services are ours, to read one again after a conflict.
    pub class: ClassFilter,
    /// Field manager of server-side apply.
    pub manager: String,
    /// Owner of the objects we make: the DaemonSet or Deployment. `None`: they own themselves.
    pub owner: Option<OwnerReference>,
    /// Writes under way at once. Default 32.
    pub in_flight: usize,
    /// Bound on one attempt, all its requests together. Default 30 s.
    pub timeout: Duration,
    /// Least time between two writes of a pool's status. Default 1 s.
    pub pool_interval: Duration,
    /// Pauses after failures.
    pub backoff: Backoff,
    /// Where writes are counted.
    pub stats: Arc<Stats>,
    /// Where failures are reported.
    pub retries: Retries,
    /// Told when a write to a Service was given up because the Service changed: decide again.
    pub outdated: Arc<dyn Fn(ServiceKey) + Send + Sync>,
}

impl Options {
    /// The defaults.
    pub fn new(
        namespace: impl Into<String>,
        manager: impl Into<String>,
        stats: Arc<Stats>,
        retries: Retries,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            class: ClassFilter::default(),
            manager: manager.into(),
            owner: None,
            in_flight: 32,
            timeout: Duration::from_secs(30),
            pool_interval: Duration::from_secs(1),
            backoff: Backoff::default(),
            stats,
            retries,
            outdated: Arc::new(|_| {}),
        }
    }

    /// For Services of this class.
    #[must_use]
    pub fn class(self, class: ClassFilter) -> Self {
        Self { class, ..self }
    }

    /// With an owner for the objects we make.
    #[must_use]
    pub fn owner(self, owner: Option<OwnerReference>) -> Self {
        Self { owner, ..self }
    }

    /// With somebody to tell when a Service has to be decided on again.
    #[must_use]
    pub fn outdated(self, outdated: impl Fn(ServiceKey) + Send + Sync + 'static) -> Self {
        Self { outdated: Arc::new(outdated), ..self }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("namespace", &self.namespace)
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}

/// Carries out writes, each on a task of its own. Clones share everything.
///
/// Writes to one object follow each other; while one waits, a newer replaces it. A failed write is
/// tried again with growing pauses until it succeeds, is replaced, or has become moot.
#[derive(Clone)]
pub struct Writer(Arc<Inner>);

struct Inner {
    client: Client,
    options: Options,
    permits: Semaphore,
    state: Mutex<State>,
    /// Counts up when writing is allowed and when it is forbidden: odd means allowed.
    era: watch::Sender<u64>,
    busy: watch::Sender<usize>,
    /// Events that are not allowed are dropped, so that they do not pile up; that is reported all the same.
    events: Mutex<Task>,
}

#[derive(Default)]
struct State {
    /// Objects that a task is at work for, with the write that follows.
    slots: HashMap<Slot, Option<Write>>,
}

impl Writer {
    /// A writer that may write at once.
    pub fn new(client: Client, options: Options) -> Self {
        let permits = Semaphore::new(options.in_flight.max(1));
        let events = options.retries.task(Subject::extra("create", "events"), options.backoff);
        Self(Arc::new(Inner {
            client,
            options,
            permits,
            state: Mutex::default(),
            era: watch::Sender::new(1),
            busy: watch::Sender::new(0),
            events: Mutex::new(events),
        }))
    }

    /// A writer that drops everything until [`Writer::allow`].
    pub fn new_forbidden(client: Client, options: Options) -> Self {
        let writer = Self::new(client, options);
        writer.forbid();
        writer
    }

    /// Writes from now on.
    pub fn allow(&self) {
        self.0.era.send_if_modified(|era| (!allowed(*era)).then(|| *era += 1).is_some());
    }

    /// Stops at once: writes under way are cut off, waiting ones and those submitted from now on are
    /// dropped.
    pub fn forbid(&self) {
        let mut state = self.0.lock();
        self.0.era.send_if_modified(|era| allowed(*era).then(|| *era += 1).is_some());
        state.slots.clear();
        self.0.busy.send_replace(0);
    }

    /// Hands over a write; never waits. Dropped while writing is forbidden. Must be called on a tokio
    /// runtime.
    pub fn submit(&self, write: Write) {
        let slot = write.slot();
        let mut state = self.0.lock();
        let era = *self.0.era.borrow();
        if !allowed(era) {
            return;
        }
        let at_work = state.slots.contains_key(&slot);
        state.slots.insert(slot.clone(), Some(write));
        self.0.busy.send_replace(state.slots.len());
        drop(state);
        if !at_work {
            let inner = Arc::clone(&self.0);
            #[expect(clippy::disallowed_methods, reason = "one task for each object that is written")]
            tokio::spawn(inner.work(slot, era));
        }
    }

    /// Waits until everything submitted is done. After writing was forbidden: returns at once.
    pub async fn idle(&self) {
        let mut busy = self.0.busy.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _always_ok = busy.wait_for(|busy| *busy == 0).await;
    }

    /// How many objects are being written.
    pub fn busy(&self) -> usize {
        *self.0.busy.borrow()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("busy", &self.busy()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Carries out the writes to one object until none is left, or the era ends.
    async fn work(self: Arc<Self>, slot: Slot, era: u64) {
        let mut eras = self.era.subscribe();
        let writes = async {
            while let Some(write) = self.next(&slot, era) {
                self.carry_out(&slot, era, write).await;
                if let Slot::Object(Kind::Pool, _) = slot {
                    tokio::time::sleep(self.options.pool_interval).await;
                }
            }
        };
        tokio::select! {
            () = writes => {}
            // The sender lives in `self`, so this ends only with the era.
            _ = eras.wait_for(|now| *now != era) => {}
        }
    }

    async fn carry_out(&self, slot: &Slot, era: u64, mut write: Write) {
        let retries = &self.options.retries;
        let mut task: Option<Task> = None;
        let (mut conflicts, mut pauses) = (0_u32, self.options.backoff.pauses(retries.spread()));
        loop {
            match self.once(slot, &write).await {
                Ok(Attempt::Done) => break,
                Ok(Attempt::Moot) => {
                    if let Write::Service(write) = &write {
                        // Usually the watch is faster. Where it lags, asking at once would only bring
                        // the same answer again.
                        tokio::time::sleep(self.options.backoff.first).await;
                        (self.options.outdated)(write.key.clone());
                    }
                    break;
                }
                Ok(Attempt::Again(newer)) => {
                    conflicts = conflicts.saturating_add(1);
                    if conflicts > PATIENCE {
                        tokio::time::sleep(pauses.next_pause()).await;
                    }
                    write = self.newer(slot, era).unwrap_or(*newer);
                }
                Err(fault)
                    if matches!(slot, Slot::Event(_)) && matches!(fault.cause, Cause::Forbidden { .. }) =>
                {
                    self.event_task().report(&fault);
                    return;
                }
                Err(fault) => {
                    let task = task.get_or_insert_with(|| retries.task(slot.subject(), self.options.backoff));
                    tokio::time::sleep(task.fault(&fault)).await;
                    write = self.newer(slot, era).unwrap_or(write);
                }
            }
        }
        if matches!(slot, Slot::Event(_)) {
            self.event_task().succeeded();
        }
    }

    async fn once(&self, slot: &Slot, write: &Write) -> Result<Attempt, Fault> {
        // The semaphore is never closed; without a permit the write would go ahead all the same.
        let _permit = self.permits.acquire().await.ok();
        self.options.stats.object_processed();
        let outcome =
            tokio::time::timeout(self.options.timeout, attempt(&self.client, &self.options, write)).await;
        let mut fault = match outcome {
            Ok(Ok(attempt)) => return Ok(attempt),
            Ok(Err(error)) => {
                if !throttled(&error) {
                    self.options.stats.object_failed();
                }
                Fault::of(&error, &slot.subject())
            }
            Err(_) => {
                self.options.stats.object_failed();
                Fault::no_answer(self.options.timeout)
            }
        };
        if let Cause::Refused { what } = &mut fault.cause {
            *what = slot.to_string();
        }
        Err(fault)
    }

    fn event_task(&self) -> MutexGuard<'_, Task> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The write that waits for this object; when there is none, the object is free again.
    fn next(&self, slot: &Slot, era: u64) -> Option<Write> {
        let mut state = self.lock();
        if *self.era.borrow() != era {
            return None;
        }
        let write = state.slots.get_mut(slot).and_then(Option::take);
        if write.is_none() {
            state.slots.remove(slot);
            self.busy.send_replace(state.slots.len());
        }
        write
    }

    /// A newer write to the same object, if one came meanwhile.
    fn newer(&self, slot: &Slot, era: u64) -> Option<Write> {
        let mut state = self.lock();
        if *self.era.borrow() != era {
            return None;
        }
        state.slots.get_mut(slot).and_then(Option::take)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Conflicts in a row that are answered at once.
const PATIENCE: u32 = 3;

/// Whether writing is allowed in an era.
const fn allowed(era: u64) -> bool {
    era % 2 == 1
}

/// The server asks for patience; no error of ours.
fn throttled(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 429)
}

//! Carries out writes.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Client, api::PatchParams};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};

use super::{
    Contest, Slot, Stats, Target, Write,
    backlog::{Backlog, Begun, Ended, Failing, Next},
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
    /// Pauses after failures.
    pub backoff: Backoff,
    /// Where writes are counted.
    pub stats: Arc<Stats>,
    /// Where failures are reported.
    pub retries: Retries,
    /// Told when a write was given up because its object changed: decide again.
    pub outdated: Arc<dyn Fn(Target) + Send + Sync>,
    /// Told once when somebody else is found to undo what is written again and again.
    pub contested: Arc<dyn Fn(Contest) + Send + Sync>,
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
            backoff: Backoff::default(),
            stats,
            retries,
            outdated: Arc::new(|_| {}),
            contested: Arc::new(|_| {}),
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

    /// For patches that are no applies: without a name the server would take the client's.
    pub(super) fn params(&self) -> PatchParams {
        PatchParams { field_manager: Some(self.manager.clone()), ..PatchParams::default() }
    }

    /// With somebody to tell when something has to be decided on again.
    #[must_use]
    pub fn outdated(self, outdated: impl Fn(Target) + Send + Sync + 'static) -> Self {
        Self { outdated: Arc::new(outdated), ..self }
    }

    /// With somebody to tell when something is contested.
    #[must_use]
    pub fn contested(self, contested: impl Fn(Contest) + Send + Sync + 'static) -> Self {
        Self { contested: Arc::new(contested), ..self }
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

/// Carries out writes. Clones share everything; when the last is dropped, writing ends.
///
/// Writes to one object follow each other; while one waits, a newer replaces it. A failed write is
/// tried again with growing pauses until it succeeds, is replaced, or has become moot. What users wait for goes first,
/// then events, then the other statuses.
#[derive(Clone)]
pub struct Writer(Arc<Handle>);

struct Handle {
    inner: Arc<Inner>,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Inner {
    client: Client,
    options: Options,
    state: Mutex<State>,
    /// There is something new to do, or writing is forbidden now.
    wake: Notify,
    busy: watch::Sender<usize>,
    /// Events that are not allowed are dropped, so that they do not pile up; that is reported all the same.
    events: Mutex<Task>,
}

struct State {
    backlog: Backlog,
    /// Counts up when writing is allowed and when it is forbidden: odd means allowed.
    era: u64,
}

impl Writer {
    /// A writer that may write at once. Must be called on a tokio runtime.
    pub fn new(client: Client, options: Options) -> Self {
        let events = options.retries.task(Subject::extra("create", "events"), options.backoff);
        let state = State { backlog: Backlog::new(options.retries.spread()), era: 1 };
        let inner = Arc::new(Inner {
            client,
            options,
            state: Mutex::new(state),
            wake: Notify::new(),
            busy: watch::Sender::new(0),
            events: Mutex::new(events),
        });
        #[expect(clippy::disallowed_methods, reason = "one task that writes, ended with its writer")]
        let task = tokio::spawn(Arc::clone(&inner).run()).abort_handle();
        Self(Arc::new(Handle { inner, task }))
    }

    /// A writer that drops everything until [`Writer::allow`].
    pub fn new_forbidden(client: Client, options: Options) -> Self {
        let writer = Self::new(client, options);
        writer.forbid();
        writer
    }

    /// Writes from now on.
    pub fn allow(&self) {
        let mut state = self.0.inner.lock();
        if !allowed(state.era) {
            state.era += 1;
        }
    }

    /// Stops at once: writes under way are cut off, waiting ones and those submitted from now on are
    /// dropped.
    pub fn forbid(&self) {
        let mut state = self.0.inner.lock();
        if allowed(state.era) {
            state.era += 1;
        }
        state.backlog.clear();
        self.0.inner.tell(&state);
        self.0.inner.wake.notify_one();
    }

    /// Hands over a write; never waits. Dropped while writing is forbidden.
    pub fn submit(&self, write: Write) {
        let mut state = self.0.inner.lock();
        if !allowed(state.era) {
            return;
        }
        state.backlog.submit(now(), write);
        self.0.inner.tell(&state);
        drop(state);
        self.0.inner.wake.notify_one();
    }

    /// The object is as it shall be: what waits to be written to it is dropped. A write under way is not cut off.
    pub fn cancel(&self, target: &Target) {
        let mut state = self.0.inner.lock();
        state.backlog.cancel(now(), target.slot());
        self.0.inner.tell(&state);
    }

    /// Waits until everything submitted is done. After writing was forbidden: returns at once.
    pub async fn idle(&self) {
        let mut busy = self.0.inner.busy.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _always_ok = busy.wait_for(|busy| *busy == 0).await;
    }

    /// How many objects are being written, or wait for that.
    pub fn busy(&self) -> usize {
        *self.0.inner.busy.borrow()
    }

    /// Whether an event is being written, or waits for that.
    pub fn has_events(&self) -> bool {
        self.0.inner.lock().backlog.has_events()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("busy", &self.busy()).finish_non_exhaustive()
    }
}

/// How an attempt went.
type Outcome = (Begun, Result<Attempt, Fault>);

impl Inner {
    /// Carries out what is submitted, for ever.
    async fn run(self: Arc<Self>) {
        let mut era = 0;
        let mut under_way: FuturesUnordered<BoxFuture<'_, Outcome>> = FuturesUnordered::new();
        loop {
            let mut outdated = Vec::new();
            let timeout = {
                let mut state = self.lock();
                if era != state.era {
                    // What was begun in another era is cut off.
                    under_way.clear();
                    era = state.era;
                }
                while under_way.len() < self.options.in_flight.max(1) {
                    match state.backlog.next(now()) {
                        Some(Next::Write(begun)) => under_way.push(Box::pin(self.once(begun))),
                        Some(Next::Outdated(slot)) => outdated.extend(slot.target()),
                        None => break,
                    }
                }
                self.tell(&state);
                // Only what may be begun is waited for.
                state.backlog.next_timeout().filter(|_| under_way.len() < self.options.in_flight.max(1))
            };
            for target in outdated {
                (self.options.outdated)(target);
            }
            tokio::select! {
                () = self.wake.notified() => {}
                Some((begun, outcome)) = under_way.next() => self.finish(era, begun, outcome),
                () = sleep_until(timeout) => {}
            }
        }
    }

    async fn once(&self, begun: Begun) -> Outcome {
        let slot = &begun.slot;
        self.options.stats.object_processed();
        let attempt = attempt(&self.client, &self.options, &begun.write);
        let mut fault = match tokio::time::timeout(self.options.timeout, attempt).await {
            Ok(Ok(attempt)) => return (begun, Ok(attempt)),
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
        (begun, Err(fault))
    }

    /// Takes how an attempt of this era went.
    fn finish(&self, era: u64, begun: Begun, outcome: Result<Attempt, Fault>) {
        let mut state = self.lock();
        if era != state.era {
            return;
        }
        let Begun { slot, write, failing } = begun;
        let by = write.rewritten_by();
        let is_event = matches!(*slot, Slot::Event(_));
        if is_event && outcome.is_ok() {
            self.event_task().succeeded();
        }
        let ended = match outcome {
            Ok(Attempt::Done(made)) => Ended::Done(made),
            // Usually the watch is faster. Where it lags, asking at once would only bring the same answer again.
            Ok(Attempt::Moot) if slot.target().is_some() => Ended::Moot(self.options.backoff.first),
            Ok(Attempt::Moot) => Ended::Dropped,
            Ok(Attempt::Again(newer)) => self.conflict(newer, failing.unwrap_or_default()),
            Err(fault) if is_event && matches!(fault.cause, Cause::Forbidden { .. }) => {
                self.event_task().report(&fault);
                Ended::Dropped
            }
            Err(fault) => {
                let mut failing = failing.unwrap_or_default();
                let (retries, backoff) = (&self.options.retries, self.options.backoff);
                let new = || Box::new(retries.task(slot.subject(), backoff));
                let pause = failing.task.get_or_insert_with(new).fault(&fault);
                Ended::Again(write, failing, pause)
            }
        };
        let is_contested = state.backlog.ended(now(), &slot, ended);
        self.tell(&state);
        drop(state);
        if let Some(object) = slot.target().filter(|_| is_contested) {
            (self.options.contested)(Contest { object, by });
        }
    }

    /// The object was newer than thought, and the decision still holds.
    fn conflict(&self, newer: Box<Write>, mut failing: Failing) -> Ended {
        failing.conflicts = failing.conflicts.saturating_add(1);
        let pause = failing.conflicts.checked_sub(PATIENCE + 1).map_or(Duration::ZERO, |surplus| {
            self.options.backoff.pause(self.options.retries.spread(), surplus)
        });
        Ended::Again(newer, failing, pause)
    }

    fn tell(&self, state: &State) {
        let busy = state.backlog.busy();
        self.busy.send_if_modified(|told| std::mem::replace(told, busy) != busy);
    }

    fn event_task(&self) -> MutexGuard<'_, Task> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The moment, in the time of the runtime.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
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

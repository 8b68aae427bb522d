//! Trying again, as all loops that ask the API server do: with pauses that grow until something was achieved, that honour
//! what the server asks for, and with one warning per outage.
//!
//! [`Retries`] is shared by everything in a process that talks to one API server. Each loop is a [`Task`] of it: it reports
//! what fails and what succeeds, and is told how long to wait.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

mod fault;
mod outages;
mod pauses;

pub use fault::{Cause, Fault, Subject, describe, is_final};
pub use pauses::{Backoff, Pauses, Seed};

use outages::{Notice, Outages, TaskId};

/// What all loops of a process know about the API server. Clones share it.
#[derive(Clone)]
pub struct Retries(Arc<Shared>);

struct Shared {
    seed: Seed,
    tasks: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outages: Outages,
    /// The server asked to be left alone until then.
    hold: Option<Instant>,
}

impl Retries {
    /// Nothing is known yet.
    pub fn new(seed: Seed) -> Self {
        Self(Arc::new(Shared { seed, tasks: AtomicU64::new(0), state: Mutex::default() }))
    }

    /// A loop that asks for `subject`.
    pub fn task(&self, subject: Subject, backoff: Backoff) -> Task {
        let number = self.0.tasks.fetch_add(1, Ordering::Relaxed);
        let pauses = backoff.pauses(self.0.seed.nth(number));
        Task { retries: self.clone(), id: TaskId(number), subject, pauses, failing: false }
    }

    /// A seed of its own, to spread something that is no failure.
    pub(crate) fn spread(&self) -> Seed {
        self.0.seed.nth(self.0.tasks.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks again and again until there is an answer. Only for what may be asked any number of times.
    pub async fn until_done<T, F>(&self, subject: Subject, mut request: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let mut task = self.task(subject, Backoff::default());
        loop {
            match request().await {
                Ok(done) => {
                    task.succeeded();
                    return done;
                }
                Err(error) => tokio::time::sleep(task.failed(&error)).await,
            }
        }
    }

    /// The server asks to be left alone for this long; more than some minutes are not believed.
    pub fn hold(&self, asked: Duration) {
        let until = Instant::now() + asked.min(LONGEST_HOLD);
        let mut state = self.lock();
        state.hold = Some(state.hold.map_or(until, |hold| hold.max(until)));
    }

    /// What needs somebody's help before the process can do its work: rules of RBAC and definitions that are missing. Empty:
    /// it is able to do all of it.
    pub fn lacks(&self) -> Vec<String> {
        self.lock().outages.lacks().into_iter().map(ToString::to_string).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries").field("lacks", &self.lacks()).finish_non_exhaustive()
    }
}

/// One loop. Dropped, it counts as ended.
#[derive(Debug)]
pub struct Task {
    retries: Retries,
    id: TaskId,
    subject: Subject,
    pauses: Pauses,
    failing: bool,
}

impl Task {
    /// What it asks for.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// A request failed; returns how long to wait before the next.
    #[must_use = "the server is not asked again before"]
    pub fn failed(&mut self, error: &kube::Error) -> Duration {
        self.fault(&Fault::of(error, &self.subject))
    }

    /// A request failed in a way that is known already; returns how long to wait before the next.
    #[must_use = "the server is not asked again before"]
    pub fn fault(&mut self, fault: &Fault) -> Duration {
        self.report(fault);
        let pause = self.pauses.next_pause();
        let hold = self.retries.lock().hold;
        let left = hold.map(|until| until.saturating_duration_since(Instant::now()));
        match left.filter(|left| !left.is_zero()) {
            // Not all in the moment that the server named.
            Some(left) => pause.max(left.saturating_add(pause.min(HOLD_SPREAD))),
            None => pause,
        }
    }

    /// Like [`Task::fault`] for what is not tried again.
    pub fn report(&mut self, fault: &Fault) {
        self.failing = true;
        if let Some(asked) = fault.retry_after {
            self.retries.hold(asked);
        }
        let now = Instant::now().into_std();
        let notices = self.retries.lock().outages.failed(now, self.id, self.subject.needed, fault);
        log(&self.subject, notices);
    }

    /// The server answers, although not with what was asked for.
    pub fn answered(&self) {
        if self.failing {
            let notices = self.retries.lock().outages.answered(Instant::now().into_std(), self.id);
            log(&self.subject, notices);
        }
    }

    /// What was asked for came: the next pauses are short again.
    pub fn succeeded(&mut self) {
        if std::mem::take(&mut self.failing) {
            self.pauses.reset();
            self.end();
        }
    }

    /// Whether the latest request failed.
    pub const fn is_failing(&self) -> bool {
        self.failing
    }

    fn end(&self) {
        let notices = self.retries.lock().outages.succeeded(Instant::now().into_std(), self.id);
        log(&self.subject, notices);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.failing {
            self.end();
        }
    }
}

fn log(subject: &Subject, notices: Vec<Notice>) {
    let (verb, resource) = (subject.verb, subject.resource.as_str());
    for notice in notices {
        match notice {
            Notice::Out { cause, text, lasted } => {
                let lasted = (!lasted.is_zero()).then_some(lasted.as_secs());
                let remedy = cause.remedy();
                warn!(verb, resource, lasted, error = text, remedy, "{cause}, trying again");
            }
            Notice::Over { cause, lasted } => {
                info!(verb, resource, lasted = lasted.as_secs(), "over: {cause}");
            }
        }
    }
}

/// The longest time for which the server is left alone because it asks for it.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// By how much loops come apart after that.
const HOLD_SPREAD: Duration = Duration::from_secs(2);

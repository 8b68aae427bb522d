//! Leader election by a `Lease`: at most one controller writes at a time.
//!
//! [`Election`] decides; [`spawn`] drives it against the API server.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tracing::{info, warn};

use crate::{
    retry::{Backoff, Fault, Retries, Subject, Task, describe},
    write::Stats,
};

mod election;
#[cfg(test)]
mod tests;

pub use election::{Election, Record, Step, Timing, TimingError};

/// Name of the controllers' lease.
pub const CONTROLLER_LEASE: &str = "metallb-controller";

/// A running candidacy. Dropping it stops the candidacy without giving the lease back.
#[derive(Debug)]
pub struct Candidacy {
    leading: watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Candidacy {
    /// Whether we lead, to be watched. Turns false before the lease can run out elsewhere.
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Ends the candidacy and gives the lease back, so that another can take over at once. Stop
    /// writing before.
    pub async fn release(mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails only when the task has ended, which is what is wanted.
            let _ended = stop.send(());
        }
        if let Err(error) = (&mut self.task).await {
            warn!(error = describe(&error), "leader election ended unexpectedly");
        }
    }
}

impl Drop for Candidacy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a candidate needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub name: String,
    /// Unique among all candidates, also over restarts; the Pod's name.
    pub identity: String,
    /// The periods.
    pub timing: Timing,
    /// Where writes are counted.
    pub stats: Arc<Stats>,
    /// Where failures are reported.
    pub retries: Retries,
}

impl Options {
    /// A candidate for [`CONTROLLER_LEASE`] with the default periods.
    pub fn new(
        namespace: impl Into<String>,
        identity: impl Into<String>,
        stats: Arc<Stats>,
        retries: Retries,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            name: CONTROLLER_LEASE.to_owned(),
            identity: identity.into(),
            timing: Timing::default(),
            stats,
            retries,
        }
    }
}

/// Starts to compete for the lease, on a task of the current runtime.
pub fn spawn(client: Client, options: Options) -> Candidacy {
    let (sender, leading) = watch::channel(false);
    let (stop, stopped) = oneshot::channel();
    let driver = Driver {
        api: Api::namespaced(client, &options.namespace),
        election: Election::new(options.identity.clone(), options.timing),
        task: options.retries.task(Subject::needed("update", LEASES), Backoff::default()),
        options,
        leading: sender,
        is_write_failing: false,
        acquired: None,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the candidacy is a task of its own, ended with its handle"
    )]
    let task = tokio::spawn(driver.run(stopped));
    Candidacy { leading, stop: Some(stop), task }
}

struct Driver {
    api: Api<Lease>,
    election: Election,
    options: Options,
    leading: watch::Sender<bool>,
    task: Task,
    is_write_failing: bool,
    acquired: Option<Timestamp>,
}

impl Driver {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                // Both a stop and a dropped handle end the candidacy.
                _ = &mut stopped => break,
                () = self.turn() => {}
            }
        }
        self.leading.send_replace(false);
        self.give_back().await;
    }

    /// One step, then the state is told.
    async fn turn(&mut self) {
        let now = clock();
        let step = self.election.step(now);
        let deadline = self.election.leads_until();
        match step {
            Step::Wait(until) => {
                let until =
                    deadline.filter(|deadline| *deadline > now).map_or(until, |deadline| until.min(deadline));
                tokio::time::sleep_until(until.into()).await;
            }
            Step::Read => {
                let outcome = self.bounded(self.api.get_opt(&self.options.name)).await;
                match outcome {
                    Ok(lease) => {
                        // Whoever may read it may not be allowed to write it.
                        if self.is_write_failing {
                            self.task.answered();
                        } else {
                            self.task.succeeded();
                        }
                        self.election.read(clock(), lease.as_ref().map(record));
                    }
                    Err(failure) => self.failed(failure),
                }
            }
            Step::Create => {
                let wall = Timestamp::now();
                let lease = self.lease(None, 0, wall);
                self.write(now, wall, async |api: &Api<Lease>| {
                    api.create(&PostParams::default(), &lease).await
                })
                .await;
            }
            Step::Replace { resource_version, transitions, renewal } => {
                let wall = Timestamp::now();
                if !renewal {
                    self.acquired = None;
                }
                let lease = self.lease(Some(resource_version), transitions, wall);
                let name = self.options.name.clone();
                let replace =
                    async |api: &Api<Lease>| api.replace(&name, &PostParams::default(), &lease).await;
                self.write(now, wall, replace).await;
            }
        }
        self.tell();
    }

    async fn write(
        &mut self,
        started: Instant,
        wall: Timestamp,
        request: impl AsyncFnOnce(&Api<Lease>) -> Result<Lease, kube::Error>,
    ) {
        self.options.stats.object_processed();
        match self.bounded(request(&self.api)).await {
            Ok(lease) => {
                self.is_write_failing = false;
                self.task.succeeded();
                self.options.stats.saw_version(lease.metadata.resource_version.as_deref());
                self.acquired.get_or_insert(wall);
                self.election.written(started, clock(), record(&lease));
            }
            Err(Failure::Refused) => self.failed(Failure::Refused),
            Err(failure) => {
                self.options.stats.object_failed();
                self.is_write_failing = true;
                self.failed(failure);
            }
        }
    }

    /// A request that ends before our leadership does.
    async fn bounded<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
        let bound = self.options.timing.renew_deadline / 2;
        let now = clock();
        let left = self.election.leads_until().map(|until| until.saturating_duration_since(now));
        let bound = left.filter(|left| !left.is_zero()).map_or(bound, |left| bound.min(left));
        match tokio::time::timeout(bound, request).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
                Err(Failure::Refused)
            }
            Ok(Err(error)) => Err(Failure::Other(Fault::of(&error, self.task.subject()))),
            Err(_) => Err(Failure::Other(Fault::no_answer(bound))),
        }
    }

    /// Whoever leads tries again soon, while it still does; whoever does not has time.
    fn failed(&mut self, failure: Failure) {
        let now = clock();
        let retry = self.options.timing.retry;
        let pause = match failure {
            Failure::Refused => retry,
            Failure::Other(fault) => {
                let pause = self.task.fault(&fault).max(retry);
                if self.election.leads(now) { retry } else { pause }
            }
        };
        self.election.failed(now, pause);
    }

    fn tell(&self) {
        let leads = self.election.leads(clock());
        let changed = self.leading.send_if_modified(|leading| std::mem::replace(leading, leads) != leads);
        if changed {
            let holder = self.election.holder().unwrap_or("nobody");
            info!(lease = self.options.name, leads, holder, "leadership changed");
        }
    }

    async fn give_back(&mut self) {
        let Some(record) = self.election.resign() else { return };
        let error = match tokio::time::timeout(GIVE_BACK_LIMIT, self.hand_over(record)).await {
            Ok(Ok(())) => {
                info!(lease = self.options.name, "lease given back");
                return;
            }
            Ok(Err(error)) => describe(&error),
            Err(_) => "no answer".to_owned(),
        };
        warn!(lease = self.options.name, error, "lease not given back, it will run out");
    }

    /// Empties the lease. A renewal that was cut off may have been carried out all the same, so a conflict is looked at.
    async fn hand_over(&self, mut record: Record) -> Result<(), kube::Error> {
        loop {
            let mut lease = self.lease(Some(record.resource_version), record.transitions, Timestamp::now());
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
            }
            match self.api.replace(&self.options.name, &PostParams::default(), &lease).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => return Err(error),
            }
            record = self::record(&self.api.get(&self.options.name).await?);
            if record.holder.as_deref() != Some(self.options.identity.as_str()) {
                return Ok(());
            }
        }
    }

    fn lease(&self, resource_version: Option<String>, transitions: i32, now: Timestamp) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.options.name.clone()),
                namespace: Some(self.options.namespace.clone()),
                resource_version,
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.options.identity.clone()),
                lease_duration_seconds: i32::try_from(self.options.timing.duration.as_secs()).ok(),
                acquire_time: Some(MicroTime(self.acquired.unwrap_or(now))),
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

/// How rules of RBAC name leases.
const LEASES: &str = "leases.coordination.k8s.io";

/// How long the lease may take to be given back.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Failure {
    /// The lease is not as we thought.
    Refused,
    Other(Fault),
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Record::new(
        spec.and_then(|spec| spec.holder_identity.clone()),
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        lease.metadata.resource_version.clone().unwrap_or_default(),
        spec.and_then(|spec| spec.lease_transitions).unwrap_or(0),
    )
}

fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

//! Watches: one task per kind keeps a [`Store`] current and reports the keys that changed.
//!
//! The task lists, then watches, and goes on for ever: it reconnects with pauses that grow until data
//! comes, and when the server no longer remembers where the watch stood (410 Gone), it lists again and
//! reports what vanished in between; so it does when the server has gone back to an earlier state. While
//! the server is away the store keeps what was last known. A kind that may not be listed, or that the
//! server does not know, leaves its store [settled](Store::settled) but not synced, so that others can go
//! on without it; it is asked for until it is there.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    retry::{Backoff, Cause, Fault, Retries, Subject, describe},
    write::Stats,
};

mod config;
mod key;
mod resume;
mod sources;
mod store;

pub use config::{ConfigObject, spawn_config};
pub use key::ObjectKey;
pub use sources::{
    Configuration, Source, StatusTarget, Touched, Unlisted, all_services, api_server, bgp_statuses,
    configuration_state, endpoint_slices, frr_configuration, layer2_statuses, namespaces, nodes, services,
    speaker_nodes, speaker_pods,
};
pub use store::{Change, Store, Tracked};

use resume::must_list;
use store::Index;

/// How a kind is watched.
#[derive(Clone, Debug)]
pub struct Options {
    /// Field selector the server applies, for example `spec.type=LoadBalancer`. Default: none.
    pub fields: Option<String>,
    /// Label selector the server applies. Default: none.
    pub labels: Option<String>,
    /// After how long the server ends a watch, which is then taken up again where it stood. Default 120 s, at most 295 s.
    pub timeout: Duration,
    /// Objects per page of a list. Default 500.
    pub page_size: u32,
    /// Pauses between attempts after failures.
    pub backoff: Backoff,
    /// How much the kind matters. Default: needed.
    pub need: Need,
    /// Where processed objects are counted.
    pub stats: Arc<Stats>,
    /// Where failures are reported.
    pub retries: Retries,
}

/// How much a kind matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between")]
pub enum Need {
    /// The process is not able to do all of its work without it.
    Needed,
    /// The process does its work without it. That it may not be had is said all the same.
    Extra,
    /// The process does its work without it, and the API server may not even know the kind: nothing is said then, and it is
    /// asked for again after minutes.
    Optional,
}

impl Options {
    /// The defaults, counting in `stats` and reporting to `retries`.
    pub fn new(stats: Arc<Stats>, retries: Retries) -> Self {
        Self {
            fields: None,
            labels: None,
            timeout: Duration::from_secs(120),
            page_size: 500,
            backoff: Backoff::default(),
            need: Need::Needed,
            stats,
            retries,
        }
    }

    /// For a kind that is of use, but not needed.
    #[must_use]
    pub fn extra(self) -> Self {
        Self { need: Need::Extra, ..self }
    }

    /// For a kind that may be missing.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { need: Need::Optional, ..self }
    }

    /// With a field selector.
    #[must_use]
    pub fn fields(self, selector: impl Into<String>) -> Self {
        Self { fields: Some(selector.into()), ..self }
    }

    /// With a label selector.
    #[must_use]
    pub fn labels(self, selector: impl Into<String>) -> Self {
        Self { labels: Some(selector.into()), ..self }
    }

    /// How long to wait before an optional kind that is not there is asked for again: seldom, as it may never come, and
    /// spread by chance.
    fn absent_pause(&self) -> Duration {
        let longest = self.backoff.longest.saturating_mul(4);
        let spread = Backoff { first: longest, longest };
        spread.pauses(self.retries.spread()).next_pause()
    }

    fn watcher(&self) -> watcher::Config {
        let seconds = self.timeout.as_secs().clamp(1, 295);
        watcher::Config {
            field_selector: self.fields.clone(),
            label_selector: self.labels.clone(),
            timeout: u32::try_from(seconds).ok(),
            page_size: Some(self.page_size),
            ..watcher::Config::default()
        }
    }
}

/// Starts a task on the current runtime that watches a kind until the last [`Store`] is dropped.
///
/// `cut` reduces an object to what is needed; it is given what was kept of the previous version, and
/// returns `None` for objects of no interest. `changed` is called with the key of every object that
/// appeared, changed or went; read the store to see which.
pub fn spawn<K, T>(
    api: Api<K>,
    options: Options,
    cut: impl Fn(K, Option<&T>) -> Option<T> + Send + 'static,
    changed: impl Fn(ObjectKey) + Send + 'static,
) -> Store<T>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Tracked,
{
    spawn_telling(api, options, cut, move |key, _| changed(key))
}

/// Like [`spawn`], and says what of an object changed.
fn spawn_telling<K, T>(
    api: Api<K>,
    options: Options,
    cut: impl Fn(K, Option<&T>) -> Option<T> + Send + 'static,
    changed: impl Fn(ObjectKey, Change) + Send + 'static,
) -> Store<T>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Tracked,
{
    let subject = Subject::of_url("list", api.resource_url(), options.need == Need::Needed);
    let (store, index) = Index::new();
    let feed = Feed { index, options, cut, changed };
    #[expect(clippy::disallowed_methods, reason = "the watch is a task of its own, ended with its store")]
    let task = tokio::spawn(feed.run(api, subject));
    store.own(task.abort_handle());
    store
}

struct Feed<T, C, N> {
    index: Index<T>,
    options: Options,
    cut: C,
    changed: N,
}

impl<T: Tracked, C, N: Fn(ObjectKey, Change)> Feed<T, C, N> {
    async fn run<K>(mut self, api: Api<K>, subject: Subject)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        C: Fn(K, Option<&T>) -> Option<T>,
    {
        let mut task = self.options.retries.task(subject, self.options.backoff);
        let mut events = watcher(api.clone(), self.options.watcher()).boxed();
        // A watch that has expired is no failure and begins anew at once, unless it expires again and again.
        let mut expiries = self.options.backoff.pauses(self.options.retries.spread());
        // Since when the kind is forbidden or unknown, and whether it was the list that failed last.
        let (mut barred_since, mut listing) = (None, true);
        loop {
            let next = events.next();
            let event = if task.is_failing() {
                // A watch that stays up without a word has succeeded too.
                let Ok(event) = tokio::time::timeout(self.options.backoff.longest, next).await else {
                    task.succeeded();
                    expiries.reset();
                    continue;
                };
                event
            } else {
                next.await
            };
            match event {
                None => return,
                Some(Ok(event)) => {
                    match &event {
                        Event::Apply(_) | Event::Delete(_) if task.is_failing() => {
                            task.succeeded();
                            expiries.reset();
                        }
                        Event::InitDone if listing => task.succeeded(),
                        Event::InitDone => task.answered(),
                        Event::Init | Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
                    }
                    self.handle(event);
                }
                Some(Err(error)) => {
                    listing = matches!(error, watcher::Error::InitialListFailed(_));
                    let fault = Fault::of_watch(&error, task.subject());
                    debug!(resource = task.subject().resource, error = describe(&error), "watch failed");
                    if self.options.need == Need::Optional && matches!(fault.cause, Cause::Missing { .. }) {
                        // Where there is no definition there are no objects.
                        task.succeeded();
                        self.handle(Event::<K>::Init);
                        self.handle(Event::<K>::InitDone);
                        tokio::time::sleep(self.options.absent_pause()).await;
                        events = watcher(api.clone(), self.options.watcher()).boxed();
                        continue;
                    }
                    if fault.cause == Cause::Expired && !listing {
                        task.report(&fault);
                        tokio::time::sleep(expiries.next_pause()).await;
                        events = watcher(api.clone(), self.options.watcher()).boxed();
                        continue;
                    }
                    let is_barred = matches!(fault.cause, Cause::Missing { .. } | Cause::Forbidden { .. });
                    barred_since = is_barred.then(|| barred_since.unwrap_or_else(Instant::now));
                    if barred_since.is_some_and(|since| since.elapsed() >= BAR_PATIENCE) {
                        self.index.bar();
                    }
                    if must_list(&api, &self.options, (listing, fault), &mut task).await {
                        events = watcher(api.clone(), self.options.watcher()).boxed();
                    }
                }
            }
        }
    }

    fn handle<K: Resource>(&mut self, event: Event<K>)
    where
        C: Fn(K, Option<&T>) -> Option<T>,
    {
        if let Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) = &event {
            self.options.stats.saw_version(object.meta().resource_version.as_deref());
        }
        match event {
            Event::Init => self.index.begin(),
            Event::InitApply(object) => {
                if let Some(key) = ObjectKey::of(&object) {
                    let cut = self.cut(&key, object);
                    self.index.listed(key, cut);
                }
            }
            Event::InitDone => {
                for (key, change) in self.index.complete() {
                    self.report(key, change);
                }
            }
            Event::Apply(object) => {
                if let Some(key) = ObjectKey::of(&object) {
                    let cut = self.cut(&key, object);
                    if let Some(change) = self.index.apply(&key, cut) {
                        self.report(key, change);
                    }
                }
            }
            Event::Delete(object) => {
                if let Some(key) = ObjectKey::of(&object)
                    && let Some(change) = self.index.apply(&key, None)
                {
                    self.report(key, change);
                }
            }
        }
    }

    fn cut<K>(&self, key: &ObjectKey, object: K) -> Option<T>
    where
        C: Fn(K, Option<&T>) -> Option<T>,
    {
        let previous = self.index.previous(key);
        (self.cut)(object, previous.as_deref())
    }

    fn report(&self, key: ObjectKey, change: Change) {
        self.options.stats.object_processed();
        (self.changed)(key, change);
    }
}

/// How long a kind may be forbidden or unknown before others go on without it: rules and definitions often come a moment
/// after what needs them.
const BAR_PATIENCE: Duration = Duration::from_secs(5);

//! Watches: one task per kind keeps a [`Store`] current and reports the keys that changed.
//!
//! The task lists, then watches, and goes on for ever: it reconnects with growing pauses, and when
//! the server no longer remembers where the watch stood (410 Gone), it lists again and reports what
//! vanished in between; so it does when the server has gone back to an earlier state. While the
//! server is away the store keeps what was last known.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use crate::write::Stats;

mod backoff;
mod config;
mod key;
mod resume;
mod sources;
mod store;

pub use backoff::Backoff;
pub use config::{ConfigObject, spawn_config};
pub use key::ObjectKey;
pub use sources::{
    Configuration, StatusTarget, bgp_statuses, endpoint_slices, layer2_statuses, namespaces, nodes, services,
    speaker_pods,
};
pub use store::{Store, Tracked};

use resume::must_list;
use store::Index;

/// How a kind is watched.
#[derive(Clone, Debug)]
pub struct Options {
    /// Field selector the server applies, for example `spec.type=LoadBalancer`. Default: none.
    pub fields: Option<String>,
    /// Label selector the server applies. Default: none.
    pub labels: Option<String>,
    /// After how long the server ends a watch, which is then taken up again where it stood; a dead
    /// connection is noticed shortly after. Default 120 s, at most 295 s.
    pub timeout: Duration,
    /// Objects per page of a list. Default 500.
    pub page_size: u32,
    /// Pauses between attempts after failures.
    pub backoff: Backoff,
    /// Where processed objects are counted.
    pub stats: Arc<Stats>,
}

impl Options {
    /// The defaults, counting in `stats`; `seed` spreads the pauses and differs from process to process.
    pub fn new(stats: Arc<Stats>, seed: u64) -> Self {
        Self {
            fields: None,
            labels: None,
            timeout: Duration::from_secs(120),
            page_size: 500,
            backoff: Backoff::new(seed),
            stats,
        }
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
    let (store, index) = Index::new();
    let options = Options { backoff: options.backoff.named(api.resource_url()), ..options };
    let feed = Feed { index, options, cut, changed };
    #[expect(clippy::disallowed_methods, reason = "the watch is a task of its own, ended with its store")]
    let task = tokio::spawn(feed.run(api));
    store.own(task.abort_handle());
    store
}

struct Feed<T, C, N> {
    index: Index<T>,
    options: Options,
    cut: C,
    changed: N,
}

impl<T: Tracked, C, N: Fn(ObjectKey)> Feed<T, C, N> {
    async fn run<K>(mut self, api: Api<K>)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        C: Fn(K, Option<&T>) -> Option<T>,
    {
        let url = api.resource_url().to_owned();
        let mut events = watcher(api.clone(), self.options.watcher()).boxed();
        let mut failures = 0_u32;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if failures > 0 {
                        info!(resource = url, failures, "watching again");
                        failures = 0;
                    }
                    self.handle(event);
                }
                Err(error) => {
                    if failures == 0 {
                        warn!(resource = url, error = chain(&error), "watch failed, trying again");
                    } else {
                        debug!(resource = url, error = chain(&error), failures, "watch still fails");
                    }
                    let list = must_list(&api, &self.options, &error, &mut failures).await;
                    if list {
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
                for key in self.index.complete() {
                    self.report(key);
                }
            }
            Event::Apply(object) => {
                if let Some(key) = ObjectKey::of(&object) {
                    let cut = self.cut(&key, object);
                    if self.index.apply(&key, cut) {
                        self.report(key);
                    }
                }
            }
            Event::Delete(object) => {
                if let Some(key) = ObjectKey::of(&object)
                    && self.index.apply(&key, None)
                {
                    self.report(key);
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

    fn report(&self, key: ObjectKey) {
        self.options.stats.object_processed();
        (self.changed)(key);
    }
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

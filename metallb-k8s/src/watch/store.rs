//! What a watch knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use tokio::{sync::watch, task::AbortHandle};

use super::ObjectKey;

/// Something cut from a watched object, that can tell whether a newer version matters.
pub trait Tracked: Send + Sync + 'static {
    /// Whether the change from `previous` to `self` is worth looking at.
    ///
    /// The newest version is stored in any case; this only decides whether the key is reported.
    fn differs(&self, previous: &Self) -> bool;
}

/// The objects of one kind as last seen, kept current by a watch.
///
/// Clones share the content. The watch ends when the last clone is dropped.
#[derive(Debug)]
pub struct Store<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    objects: RwLock<BTreeMap<ObjectKey, Arc<T>>>,
    synced: watch::Sender<bool>,
    task: OnceLock<AbortHandle>,
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl<T> Store<T> {
    /// The object, if it exists and was not dropped by the cut.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.0.objects.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// All objects in the order of their keys.
    pub fn all(&self) -> Vec<(ObjectKey, Arc<T>)> {
        let objects = self.0.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.iter().map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.0.objects.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the first full list has arrived.
    pub fn is_synced(&self) -> bool {
        *self.0.synced.borrow()
    }

    /// Waits for the first full list. Returns at once when it has arrived already.
    pub async fn synced(&self) {
        let mut synced = self.0.synced.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _always_ok = synced.wait_for(|synced| *synced).await;
    }

    /// Ties the task that feeds the store to the store's life.
    pub(super) fn own(&self, task: AbortHandle) {
        // Called once per store, by the function that made both.
        let _first = self.0.task.set(task);
    }
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The writing side: turns what the watch reports into changed keys.
///
/// A full list is collected aside and compared with what was known, so that objects which vanished
/// while nobody was watching are reported like deleted ones.
#[derive(Debug)]
pub(super) struct Index<T> {
    shared: std::sync::Weak<Shared<T>>,
    incoming: Option<BTreeMap<ObjectKey, Arc<T>>>,
}

impl<T: Tracked> Index<T> {
    pub(super) fn new() -> (Store<T>, Self) {
        let shared = Arc::new(Shared {
            objects: RwLock::new(BTreeMap::new()),
            synced: watch::Sender::new(false),
            task: OnceLock::new(),
        });
        let index = Self { shared: Arc::downgrade(&shared), incoming: None };
        (Store(shared), index)
    }

    /// A full list begins; what was known stays visible until it is complete.
    pub(super) fn begin(&mut self) {
        self.incoming = Some(BTreeMap::new());
    }

    /// One object of the full list. `None`: it exists but is of no interest.
    pub(super) fn listed(&mut self, key: ObjectKey, object: Option<T>) {
        if let (Some(incoming), Some(object)) = (&mut self.incoming, object) {
            incoming.insert(key, Arc::new(object));
        }
    }

    /// The full list is complete; returns every key whose object differs from before.
    pub(super) fn complete(&mut self) -> BTreeSet<ObjectKey> {
        let (Some(shared), Some(incoming)) = (self.shared.upgrade(), self.incoming.take()) else {
            return BTreeSet::new();
        };
        let mut objects = shared.objects.write().unwrap_or_else(PoisonError::into_inner);
        let previous = std::mem::replace(&mut *objects, incoming);
        let mut changed: BTreeSet<_> =
            previous.keys().filter(|key| !objects.contains_key(*key)).cloned().collect();
        for (key, object) in objects.iter() {
            if previous.get(key).is_none_or(|previous| object.differs(previous)) {
                changed.insert(key.clone());
            }
        }
        drop(objects);
        shared.synced.send_replace(true);
        changed
    }

    /// An object appeared, changed, or (`None`) is of no interest any more; returns whether that
    /// matters.
    pub(super) fn apply(&mut self, key: &ObjectKey, object: Option<T>) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        let mut objects = shared.objects.write().unwrap_or_else(PoisonError::into_inner);
        let Some(object) = object else { return objects.remove(key).is_some() };
        let object = Arc::new(object);
        match objects.insert(key.clone(), Arc::clone(&object)) {
            Some(previous) => object.differs(&previous),
            None => true,
        }
    }

    /// What is known of an object, for cuts that build on the previous version.
    pub(super) fn previous(&self, key: &ObjectKey) -> Option<Arc<T>> {
        let shared = self.shared.upgrade()?;
        let objects = shared.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.get(key).cloned()
    }
}

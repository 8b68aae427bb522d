//! What a watch knows.

use std::{
    collections::BTreeMap,
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

    /// Whether, where that is not so, something beside it changed that is reported as [`Change::Aside`]. Default: never.
    fn differs_aside(&self, _previous: &Self) -> bool {
        false
    }
}

/// What changed of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between")]
pub enum Change {
    /// What [`Tracked::differs`] compares, or whether it exists.
    Content,
    /// Something beside that, such as the status of a configuration object.
    Aside,
}

impl Change {
    fn between<T: Tracked>(object: &T, previous: Option<&T>) -> Option<Self> {
        match previous {
            Some(previous) if !object.differs(previous) => {
                object.differs_aside(previous).then_some(Self::Aside)
            }
            _ => Some(Self::Content),
        }
    }
}

/// The objects of one kind as last seen, kept current by a watch.
///
/// Clones share the content. The watch ends when the last clone is dropped.
#[derive(Debug)]
pub struct Store<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    objects: RwLock<BTreeMap<ObjectKey, Arc<T>>>,
    progress: watch::Sender<Progress>,
    task: OnceLock<AbortHandle>,
}

/// How far the first list has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// It is on its way.
    Waiting,
    /// It is forbidden, or the server does not know the kind.
    Barred,
    /// It has arrived.
    Listed,
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
        *self.0.progress.borrow() == Progress::Listed
    }

    /// Whether the first full list has arrived, or has been refused for some seconds; see [`Store::settled`].
    pub fn is_settled(&self) -> bool {
        *self.0.progress.borrow() >= Progress::Barred
    }

    /// Waits for the first full list. Returns at once when it has arrived already.
    pub async fn synced(&self) {
        self.reached(Progress::Listed).await;
    }

    /// Waits until the first full list has arrived, or has been refused for some seconds because it is forbidden or because
    /// the server does not know the kind. It may still arrive after that.
    pub async fn settled(&self) {
        self.reached(Progress::Barred).await;
    }

    async fn reached(&self, least: Progress) {
        let mut progress = self.0.progress.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _always_ok = progress.wait_for(|progress| *progress >= least).await;
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
            progress: watch::Sender::new(Progress::Waiting),
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
    pub(super) fn complete(&mut self) -> BTreeMap<ObjectKey, Change> {
        let (Some(shared), Some(incoming)) = (self.shared.upgrade(), self.incoming.take()) else {
            return BTreeMap::new();
        };
        let mut objects = shared.objects.write().unwrap_or_else(PoisonError::into_inner);
        let previous = std::mem::replace(&mut *objects, incoming);
        let gone = previous.keys().filter(|key| !objects.contains_key(*key)).cloned();
        let mut changed: BTreeMap<_, _> = gone.map(|key| (key, Change::Content)).collect();
        for (key, object) in objects.iter() {
            let before = previous.get(key).map(AsRef::as_ref);
            changed.extend(Change::between(object.as_ref(), before).map(|change| (key.clone(), change)));
        }
        drop(objects);
        shared.progress.send_replace(Progress::Listed);
        changed
    }

    /// There is no list to be had for now.
    pub(super) fn bar(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.progress.send_if_modified(|progress| {
                let waiting = *progress == Progress::Waiting;
                if waiting {
                    *progress = Progress::Barred;
                }
                waiting
            });
        }
    }

    /// An object appeared, changed, or (`None`) is of no interest any more; returns what of that
    /// matters.
    pub(super) fn apply(&mut self, key: &ObjectKey, object: Option<T>) -> Option<Change> {
        let shared = self.shared.upgrade()?;
        let mut objects = shared.objects.write().unwrap_or_else(PoisonError::into_inner);
        let Some(object) = object else { return objects.remove(key).map(|_| Change::Content) };
        let object = Arc::new(object);
        let previous = objects.insert(key.clone(), Arc::clone(&object));
        Change::between(object.as_ref(), previous.as_deref())
    }

    /// What is known of an object, for cuts that build on the previous version.
    pub(super) fn previous(&self, key: &ObjectKey) -> Option<Arc<T>> {
        let shared = self.shared.upgrade()?;
        let objects = shared.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first number matters, the second lies aside.
    #[derive(Clone, Debug, PartialEq)]
    struct Thing(u8, u8);

    impl Tracked for Thing {
        fn differs(&self, previous: &Self) -> bool {
            self.0 != previous.0
        }

        fn differs_aside(&self, previous: &Self) -> bool {
            self.1 != previous.1
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Apply(u8, Option<Thing>),
        Relist(BTreeMap<u8, Option<Thing>>),
    }

    fn thing() -> impl Strategy<Value = Option<Thing>> {
        proptest::option::weighted(0.8, (0_u8..3, 0_u8..3).prop_map(|(a, b)| Thing(a, b)))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..5, thing()).prop_map(|(key, thing)| Step::Apply(key, thing)),
            proptest::collection::btree_map(0_u8..5, thing(), 0..5).prop_map(Step::Relist),
        ]
    }

    fn key(number: u8) -> ObjectKey {
        ObjectKey::cluster(number.to_string())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn exactly_what_matters_is_reported_and_the_newest_is_stored(steps in proptest::collection::vec(step(), 0..30)) {
            let (store, mut index) = Index::new();
            let mut model: BTreeMap<ObjectKey, Thing> = BTreeMap::new();
            for step in steps {
                let before = model.clone();
                let mut reported = BTreeMap::new();
                match step {
                    Step::Apply(number, thing) => {
                        let key = key(number);
                        reported.extend(index.apply(&key, thing.clone()).map(|change| (key.clone(), change)));
                        model.remove(&key);
                        model.extend(thing.map(|thing| (key, thing)));
                    }
                    Step::Relist(things) => {
                        index.begin();
                        for (number, thing) in &things {
                            index.listed(key(*number), thing.clone());
                            prop_assert_eq!(store.len(), before.len(), "the old content stays until the end");
                        }
                        reported = index.complete();
                        let kept = things.into_iter().filter_map(|(number, thing)| Some((key(number), thing?)));
                        model = kept.collect();
                    }
                }
                let keys = before.keys().chain(model.keys());
                let change = |key: &ObjectKey| match (before.get(key), model.get(key)) {
                    (before, now) if before == now => None,
                    (Some(before), Some(now)) if before.0 == now.0 => Some(Change::Aside),
                    _ => Some(Change::Content),
                };
                let expected = keys.filter_map(|key| Some((key.clone(), change(key)?)));
                prop_assert_eq!(reported, expected.collect());
                let stored: BTreeMap<_, _> = store.all().into_iter().map(|(key, thing)| (key, (*thing).clone())).collect();
                prop_assert_eq!(&stored, &model);
            }
        }
    }

    #[tokio::test]
    async fn synced_means_that_a_list_was_complete() {
        let (store, mut index) = Index::<Thing>::new();
        index.begin();
        index.listed(key(1), Some(Thing(1, 1)));
        assert!(!store.is_synced() && store.is_empty());
        index.complete();
        store.synced().await;
        assert_eq!(store.len(), 1);
    }

    #[tokio::test]
    async fn a_kind_that_is_barred_is_settled_and_a_list_that_comes_later_counts() {
        let (store, mut index) = Index::<Thing>::new();
        assert!(futures::poll!(std::pin::pin!(store.settled())).is_pending());
        index.bar();
        store.settled().await;
        assert!(!store.is_synced() && futures::poll!(std::pin::pin!(store.synced())).is_pending());
        index.begin();
        index.complete();
        index.bar();
        store.synced().await;
    }
}

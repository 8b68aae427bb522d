//! Objects, their versions, the history of changes and those who watch.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Place of an object within its resource. The namespace of cluster-wide objects is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One committed change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) store: Arc<str>,
    pub(crate) key: Key,
    pub(crate) old: Option<Arc<Value>>,
    /// The object after the change; for a deletion its last state with the version of the deletion.
    pub(crate) new: Arc<Value>,
    pub(crate) deleted: bool,
}

/// Where changes of one resource arrive, until the sender is gone: then the watcher was too slow, or the resource
/// is no longer served.
pub(crate) type Changes = mpsc::Receiver<Arc<Change>>;

/// All objects.
#[derive(Debug)]
pub(crate) struct Store {
    version: u64,
    /// Changes up to this version are no longer in the history.
    floor: u64,
    objects: BTreeMap<Arc<str>, BTreeMap<Key, Arc<Value>>>,
    history: VecDeque<Arc<Change>>,
    history_limit: usize,
    watchers: HashMap<Arc<str>, Vec<mpsc::Sender<Arc<Change>>>>,
    uids: HashMap<String, (Arc<str>, Key)>,
    /// Objects by the uids of their owners.
    owned: HashMap<String, BTreeSet<(Arc<str>, Key)>>,
}

impl Store {
    pub(crate) fn new(history_limit: usize) -> Self {
        Self {
            version: 1,
            floor: 0,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_limit,
            watchers: HashMap::new(),
            uids: HashMap::new(),
            owned: HashMap::new(),
        }
    }

    /// Version of the latest change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, store: &str, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(store)?.get(key)
    }

    /// Objects of a resource, in order of namespace and name; of one namespace unless it is `None`.
    pub(crate) fn scan<'a>(
        &'a self,
        store: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let from = Key { namespace: namespace.unwrap_or_default().to_owned(), name: String::new() };
        let objects =
            self.objects.get(store).into_iter().flat_map(move |objects| objects.range(from.clone()..));
        objects.take_while(move |(key, _)| namespace.is_none_or(|namespace| key.namespace == namespace))
    }

    /// Who has this uid.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<&(Arc<str>, Key)> {
        self.uids.get(uid)
    }

    /// Objects that name a uid as their owner.
    pub(crate) fn owned_by(&self, uid: &str) -> impl Iterator<Item = &(Arc<str>, Key)> {
        self.owned.get(uid).into_iter().flatten()
    }

    /// Stores an object and stamps it with a new version, which the result carries.
    pub(crate) fn put(&mut self, store: &Arc<str>, key: Key, mut object: Value) -> Arc<Value> {
        self.version = self.version.saturating_add(1);
        stamp(&mut object, self.version);
        if let Some(uid) = object.pointer("/metadata/uid").and_then(Value::as_str) {
            self.uids.insert(uid.to_owned(), (Arc::clone(store), key.clone()));
        }
        let new = Arc::new(object);
        if let Some(old) = self.get(store, &key).map(Arc::clone) {
            self.forget_owners(store, &key, &old);
        }
        for uid in owner_uids(&new) {
            self.owned.entry(uid.to_owned()).or_default().insert((Arc::clone(store), key.clone()));
        }
        let old = self.objects.entry(Arc::clone(store)).or_default().insert(key.clone(), Arc::clone(&new));
        self.commit(Change {
            version: self.version,
            store: Arc::clone(store),
            key,
            old,
            new: Arc::clone(&new),
            deleted: false,
        });
        new
    }

    /// Removes an object. Returns its last state with the version of the removal.
    pub(crate) fn remove(&mut self, store: &Arc<str>, key: &Key) -> Option<Arc<Value>> {
        let old = self.objects.get_mut(store)?.remove(key)?;
        self.version = self.version.saturating_add(1);
        self.forget_owners(store, key, &old);
        if let Some(uid) = old.pointer("/metadata/uid").and_then(Value::as_str) {
            self.uids.remove(uid);
        }
        let mut last = (*old).clone();
        stamp(&mut last, self.version);
        let new = Arc::new(last);
        self.commit(Change {
            version: self.version,
            store: Arc::clone(store),
            key: key.clone(),
            old: Some(old),
            new: Arc::clone(&new),
            deleted: true,
        });
        Some(new)
    }

    /// Changes after `version`, and all that follow, without a gap.
    ///
    /// # Errors
    /// 410 when the version is older than the history.
    pub(crate) fn watch(
        &mut self,
        store: &Arc<str>,
        version: u64,
        buffer: usize,
    ) -> Result<(Vec<Arc<Change>>, Changes), Failure> {
        self.check_version(version)?;
        let past = self.history.iter().filter(|change| change.version > version && change.store == *store);
        let past = past.map(Arc::clone).collect();
        let (sender, receiver) = mpsc::channel(buffer);
        let watchers = self.watchers.entry(Arc::clone(store)).or_default();
        watchers.retain(|watcher| !watcher.is_closed());
        watchers.push(sender);
        Ok((past, receiver))
    }

    /// Ends all watches of a resource that is no longer served.
    pub(crate) fn end_watches(&mut self, store: &str) {
        self.watchers.remove(store);
    }

    /// The objects of a resource as they were at a version: the present with later changes undone.
    ///
    /// # Errors
    /// 410 when the version is older than the history.
    pub(crate) fn snapshot(
        &self,
        store: &str,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<BTreeMap<Key, Arc<Value>>, Failure> {
        self.check_version(version)?;
        if version > self.version {
            return Err(Failure::expired(format!("unknown resource version: {version} ({})", self.version)));
        }
        let mut objects: BTreeMap<_, _> =
            self.scan(store, namespace).map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
        let later = self.history.iter().rev().take_while(|change| change.version > version);
        for change in later.filter(|change| &*change.store == store) {
            if namespace.is_some_and(|namespace| change.key.namespace != namespace) {
                continue;
            }
            match &change.old {
                Some(old) => objects.insert(change.key.clone(), Arc::clone(old)),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects)
    }

    fn forget_owners(&mut self, store: &Arc<str>, key: &Key, object: &Value) {
        for uid in owner_uids(object) {
            if let Some(owned) = self.owned.get_mut(uid) {
                owned.remove(&(Arc::clone(store), key.clone()));
                if owned.is_empty() {
                    self.owned.remove(uid);
                }
            }
        }
    }

    fn check_version(&self, version: u64) -> Result<(), Failure> {
        if version < self.floor {
            return Err(Failure::expired(format!("too old resource version: {version} ({})", self.floor)));
        }
        Ok(())
    }

    fn commit(&mut self, change: Change) {
        let change = Arc::new(change);
        if let Some(watchers) = self.watchers.get_mut(&change.store) {
            watchers.retain(|watcher| watcher.try_send(Arc::clone(&change)).is_ok());
        }
        self.history.push_back(change);
        while self.history.len() > self.history_limit {
            if let Some(gone) = self.history.pop_front() {
                self.floor = gone.version;
            }
        }
    }
}

fn stamp(object: &mut Value, version: u64) {
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        meta.insert("resourceVersion".to_owned(), Value::from(version.to_string()));
    }
}

fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().filter_map(|owner| owner.get("uid")?.as_str())
}

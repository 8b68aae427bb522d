//! GET, lists, and where a watch begins.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::Target;
use crate::failure::Failure;
use crate::selector::Selection;
use crate::state::State;
use crate::store::{Change, Changes, Key};

/// Parameters of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    /// 0: all at once.
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
    pub(crate) resource_version: String,
    /// The list must be that of `resource_version`, not a newer one.
    pub(crate) exact: bool,
}

/// Objects of a list, as stored, and its metadata.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) objects: Vec<Arc<Value>>,
    pub(crate) metadata: Value,
}

/// Where a watch begins.
#[derive(Debug)]
pub(crate) struct Start {
    /// Objects that are there already, to be sent as ADDED.
    pub(crate) initial: Vec<Arc<Value>>,
    /// Version of `initial`.
    pub(crate) version: u64,
    /// Version that the watcher named; the present one when it named none.
    pub(crate) known: u64,
    /// Changes after the version asked for.
    pub(crate) past: Vec<Arc<Change>>,
    pub(crate) changes: Changes,
}

impl State {
    /// An object as it is stored.
    pub(crate) fn get(&self, target: &Target) -> Result<Arc<Value>, Failure> {
        self.stored(target).ok_or_else(|| target.not_found())
    }

    pub(crate) fn stored(&self, target: &Target) -> Option<Arc<Value>> {
        self.store.get(&target.resource.store, &target.key()).map(Arc::clone)
    }

    /// The keys of what a selection covers.
    pub(crate) fn selected(&self, target: &Target, selection: &Selection) -> Vec<Key> {
        let all = self.store.scan(&target.resource.store, selection.namespace.as_deref());
        all.filter(|(_, object)| selection.matches(object)).map(|(key, _)| key.clone()).collect()
    }

    /// Lists what is selected. Pages of one list all show the version of its first page.
    pub(crate) fn list(
        &self,
        target: &Target,
        selection: &Selection,
        options: &ListOptions,
    ) -> Result<Listed, Failure> {
        let store = &target.resource.store;
        let namespace = selection.namespace.as_deref();
        let (version, after) = self.list_position(options)?;
        let snapshot;
        let all: Box<dyn Iterator<Item = (&Key, &Arc<Value>)> + '_> = if version == self.store.version() {
            Box::new(self.store.scan(store, namespace))
        } else {
            snapshot = self.store.snapshot(store, namespace, version).map_err(|failure| {
                if options.continue_token.is_empty() { failure } else { Failure::expired(TOKEN_EXPIRED) }
            })?;
            Box::new(snapshot.iter())
        };
        let mut matching = all.filter(|(key, object)| {
            after.as_ref().is_none_or(|after| *key > after) && selection.matches(object)
        });
        let limit = if options.limit == 0 { usize::MAX } else { options.limit };
        let mut last = None;
        let mut objects = Vec::new();
        for (key, object) in matching.by_ref().take(limit) {
            last = Some(key);
            objects.push(Arc::clone(object));
        }
        let mut metadata = json!({"resourceVersion": version.to_string()});
        let remaining = matching.count();
        if remaining > 0
            && let (Some(last), Value::Object(map)) = (last, &mut metadata)
        {
            map.insert("continue".to_owned(), Value::from(token(version, last)));
            if selection.is_everything() {
                map.insert("remainingItemCount".to_owned(), Value::from(remaining));
            }
        }
        Ok(Listed { objects, metadata })
    }

    /// Starts a watch: at a version, or with everything that is there.
    pub(crate) fn watch(
        &mut self,
        target: &Target,
        selection: &Selection,
        version: &str,
        send_initial: bool,
        buffer: usize,
    ) -> Result<Start, Failure> {
        let store = Arc::clone(&target.resource.store);
        let current = self.store.version();
        let asked = parse_version(version)?;
        if !send_initial && asked != 0 {
            let (past, changes) = self.store.watch(&store, asked, buffer)?;
            return Ok(Start {
                initial: Vec::new(),
                version: current.max(asked),
                known: asked,
                past,
                changes,
            });
        }
        if asked > current {
            return Err(Failure::too_large_version(asked, current));
        }
        let (past, changes) = self.store.watch(&store, current, buffer)?;
        let matching = self.store.scan(&store, selection.namespace.as_deref());
        let initial =
            matching.filter(|(_, object)| selection.matches(object)).map(|(_, object)| Arc::clone(object));
        Ok(Start { initial: initial.collect(), version: current, known: current, past, changes })
    }

    fn list_position(&self, options: &ListOptions) -> Result<(u64, Option<Key>), Failure> {
        let current = self.store.version();
        if !options.continue_token.is_empty() {
            if !matches!(options.resource_version.as_str(), "" | "0") {
                return Err(Failure::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let (version, key) = parse_token(&options.continue_token)?;
            return Ok((version, Some(key)));
        }
        let asked = parse_version(&options.resource_version)?;
        if asked > current {
            return Err(Failure::too_large_version(asked, current));
        }
        Ok((if options.exact { asked } else { current }, None))
    }
}

/// A version in a query; absent is 0.
fn parse_version(text: &str) -> Result<u64, Failure> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| Failure::bad_request(format!("invalid resource version {text:?}: not a number")))
}

fn token(version: u64, last: &Key) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": version, "ns": last.namespace, "name": last.name});
    BASE64.encode(token.to_string())
}

fn parse_token(token: &str) -> Result<(u64, Key), Failure> {
    let invalid = || Failure::bad_request("continue key is not valid: it must be one that this server gave");
    let bytes = BASE64.decode(token).map_err(|_| invalid())?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    let text = |name: &str| token.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(invalid);
    let version = token.get("rv").and_then(Value::as_u64).ok_or_else(invalid)?;
    Ok((version, Key { namespace: text("ns")?, name: text("name")? }))
}

const TOKEN_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You must \
    start a new list without the continue parameter.";

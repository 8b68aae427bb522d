//! What would change if other objects were applied over those that are there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use metallb_core::facts::Service;
use metallb_core::simulate::{Difference, diff, simulate};

use super::situation;
use crate::check::{Checked, Scope, check};
use crate::document::{Document, documents};
use crate::exit::Trouble;
use crate::input::{Entry, Node, Value, read};

/// `metallb check --diff`: what would change if the new objects were applied over the old ones.
pub(crate) fn differences(
    old: &[Document],
    new: &[PathBuf],
    scope: &Scope,
) -> Result<(Checked, Vec<Difference>), Trouble> {
    let sources = read(new).map_err(Trouble::read)?;
    let (fresh, findings) = documents(&sources);
    let mut all = old.to_vec();
    let namespace = scope.namespace(&all);
    let id = |document: &Document| {
        let place = document.namespace.clone();
        let place = if document.version().is_some() {
            place.unwrap_or_else(|| namespace.clone())
        } else {
            place.unwrap_or_else(|| "default".to_owned())
        };
        let group = document.api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        (group, document.kind.clone(), place, document.name.clone())
    };
    let mut known: BTreeMap<_, usize> =
        all.iter().enumerate().map(|(index, object)| (id(object), index)).collect();
    for document in fresh {
        let index = *known.entry(id(&document)).or_insert(all.len());
        match all.get_mut(index) {
            Some(earlier) => *earlier = over(earlier, document),
            None => all.push(document),
        }
    }
    let checked = check(sources, &all, findings, scope, false);
    let now = Instant::now();
    let mut before = situation(old, scope);
    let outcome = simulate(now, &before);
    let mut after = situation(&all, scope);
    before.services = outcome.adopted(&before.services);
    let changed: Vec<Service> = after.services.drain(..).collect();
    after.services = outcome.adopted(&changed);
    if before.nodes.len() != after.nodes.len()
        && before.nodes.iter().all(|node| node.name.as_str().starts_with("node-"))
    {
        before.nodes.clone_from(&after.nodes);
    }
    let outcome = simulate(now, &before);
    Ok((checked, diff(&outcome, &simulate(now, &after))))
}

/// The new object with the age and the status of the one that it replaces.
fn over(old: &Document, mut new: Document) -> Document {
    let kept = |name: &str, from: Option<&Node>| from?.get(name).cloned();
    let created = kept("creationTimestamp", old.node.get("metadata"));
    let status = old.node.get("status").cloned();
    let entry = |key: &str, node| Entry { key: key.to_owned(), key_span: None, node, merged: true };
    if let Value::Map(fields) = &mut new.node.value {
        let meta = fields.iter_mut().find(|field| field.key == "metadata").map(|field| &mut field.node.value);
        if let (Some(Value::Map(meta)), Some(created)) = (meta, created) {
            meta.retain(|field| field.key != "creationTimestamp");
            meta.push(entry("creationTimestamp", created));
        }
        if let Some(status) = status {
            fields.retain(|field| field.key != "status");
            fields.push(entry("status", status));
        }
    }
    new
}

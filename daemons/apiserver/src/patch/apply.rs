//! Server-side apply.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{Difference, FieldSet, element_name, parts};
use super::managers::{Manager, Operation, Writer, owned_part};
use crate::failure::{Cause, Failure};
use metallb_schema::{ListType, Node};

/// What an apply makes of an object.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The merged object.
    pub(crate) object: Value,
    /// Ownership after it.
    pub(crate) managers: Vec<Manager>,
}

/// Merges a configuration into the live object (or into nothing), removes what the manager applied earlier and no
/// longer says, and settles ownership.
///
/// # Errors
/// 409 with every field that another manager owns with another value, unless `force`.
pub(crate) fn apply(
    node: Node<'_>,
    live: &Value,
    managers: Vec<Manager>,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Applied, Failure> {
    let set = FieldSet::of(Some(node), &owned_part(config));
    let mut object = live.clone();
    merge(Some(node), &mut object, config);

    let mut others = FieldSet::default();
    let mut gone = FieldSet::default();
    for manager in &managers {
        if manager.is(writer, Operation::Apply) {
            gone.union(&manager.fields);
        } else {
            others.union(&manager.fields);
        }
    }
    gone.subtract(&set);
    remove(Some(node), &mut object, &gone, &Keep { others: Some(&others), set: Some(&set) });

    let difference = Difference::between(Some(node), &owned_part(live), &owned_part(&object));
    if !force {
        check_conflicts(&managers, &difference, writer)?;
    }
    let managers = settle(managers, &difference, writer, set);
    Ok(Applied { object, managers })
}

fn settle(
    mut managers: Vec<Manager>,
    difference: &Difference,
    writer: &Writer<'_>,
    set: FieldSet,
) -> Vec<Manager> {
    for manager in managers.iter_mut().filter(|manager| !manager.is(writer, Operation::Apply)) {
        manager.fields.subtract(&difference.touched);
        manager.fields.subtract(&difference.removed);
    }
    match managers.iter_mut().find(|manager| manager.is(writer, Operation::Apply)) {
        Some(own) => {
            let changed = !difference.touched.is_empty() || !difference.removed.is_empty();
            if changed || own.fields != set {
                writer.now.clone_into(&mut own.time);
            }
            own.fields = set;
        }
        None => managers.push(Manager::new(writer, Operation::Apply, set)),
    }
    managers.retain(|manager| !manager.fields.is_empty());
    managers
}

fn check_conflicts(
    managers: &[Manager],
    difference: &Difference,
    writer: &Writer<'_>,
) -> Result<(), Failure> {
    let mut causes = Vec::new();
    let mut texts = Vec::new();
    for manager in managers.iter().filter(|manager| !manager.is(writer, Operation::Apply)) {
        let paths = manager.fields.intersection(&difference.touched).paths();
        if paths.is_empty() {
            continue;
        }
        let subresource = match manager.subresource.as_str() {
            "" => String::new(),
            name => format!(" with subresource {name:?}"),
        };
        let who = format!("conflict with {:?}{subresource} using {}", manager.name, manager.api_version);
        texts.push(match paths.as_slice() {
            [one] => format!("{who}: {one}"),
            many => format!("{}:\n- {}", who.replacen("conflict", "conflicts", 1), many.join("\n- ")),
        });
        causes.extend(paths.into_iter().map(|field| Cause {
            reason: "FieldManagerConflict",
            message: who.clone(),
            field,
        }));
    }
    if causes.is_empty() {
        return Ok(());
    }
    let noun = if causes.len() == 1 { "conflict" } else { "conflicts" };
    let message = format!("Apply failed with {} {noun}: {}", causes.len(), texts.join("\n"));
    Err(Failure::apply_conflict(causes, message))
}

/// Merges by schema: objects by field, lists by their list type, the rest is replaced.
fn merge(node: Option<Node<'_>>, target: &mut Value, config: &Value) {
    match (&mut *target, config) {
        (Value::Object(into), Value::Object(from)) if !node.is_some_and(Node::is_atomic_map) => {
            for (name, value) in from {
                match into.get_mut(name) {
                    Some(existing) => merge(node.and_then(|node| node.field(name)), existing, value),
                    None => {
                        into.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(into), Value::Array(from)) => match node.map(|node| (node, node.list_type())) {
            Some((node, list_type)) if list_type != ListType::Atomic => {
                merge_list(node, &list_type, into, from);
            }
            _ => from.clone_into(into),
        },
        _ => config.clone_into(target),
    }
}

fn merge_list(node: Node<'_>, list_type: &ListType, into: &mut Vec<Value>, from: &[Value]) {
    for item in from {
        let name = element_name(node, list_type, item);
        match into.iter_mut().find(|existing| element_name(node, list_type, existing) == name) {
            Some(existing) => merge(node.items(), existing, item),
            None => into.push(item.clone()),
        }
    }
}

/// What forbids a removal: fields of other managers, and fields that the configuration still has.
#[derive(Clone, Copy)]
struct Keep<'a> {
    others: Option<&'a FieldSet>,
    set: Option<&'a FieldSet>,
}

impl<'a> Keep<'a> {
    fn child(self, name: &str) -> Self {
        let of = |set: Option<&'a FieldSet>| set.and_then(|set| set.children.get(name));
        Self { others: of(self.others), set: of(self.set) }
    }

    fn nothing(self) -> bool {
        self.others.is_none() && self.set.is_none()
    }
}

fn remove(node: Option<Node<'_>>, value: &mut Value, gone: &FieldSet, keep: &Keep<'_>) {
    let names: BTreeMap<String, usize> = parts(node, value)
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(at, part)| (part.name, at))
        .collect();
    let mut dropped = Vec::new();
    for (name, child) in &gone.children {
        let Some(&at) = names.get(name) else { continue };
        let inner = keep.child(name);
        if child.own && inner.nothing() {
            dropped.push((name, at));
        } else if let Some((schema, part)) = part_mut(node, value, name, at) {
            remove(schema, part, child, &inner);
            if inner.nothing() && is_hollow(part) {
                dropped.push((name, at));
            }
        }
    }
    match value {
        Value::Object(map) => dropped.iter().for_each(|(name, _)| forget(map, name)),
        Value::Array(items) => {
            let mut at = 0;
            items.retain(|_| {
                let stays = !dropped.iter().any(|(_, gone)| *gone == at);
                at += 1;
                stays
            });
        }
        _ => {}
    }
}

fn forget(map: &mut Map<String, Value>, name: &str) {
    if let Some(field) = name.strip_prefix("f:") {
        map.remove(field);
    }
}

fn part_mut<'v, 's>(
    node: Option<Node<'s>>,
    value: &'v mut Value,
    name: &str,
    at: usize,
) -> Option<(Option<Node<'s>>, &'v mut Value)> {
    match value {
        Value::Object(map) => {
            let field = name.strip_prefix("f:")?;
            Some((node.and_then(|node| node.field(field)), map.get_mut(field)?))
        }
        Value::Array(items) => Some((node.and_then(Node::items), items.get_mut(at)?)),
        _ => None,
    }
}

fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

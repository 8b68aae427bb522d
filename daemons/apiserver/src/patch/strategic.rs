//! Strategic merge patch, as `kubectl` makes it for the built-in kinds.

use serde_json::{Map, Value};

use crate::failure::Failure;
use metallb_schema::Node;

/// Applies a patch with its directives (`$patch`, `$retainKeys`, `$setElementOrder/…`,
/// `$deleteFromPrimitiveList/…`).
///
/// # Errors
/// 400 for directives that are malformed or elements without their merge key.
pub(crate) fn strategic_merge(node: Node<'_>, target: &mut Value, patch: &Value) -> Result<(), Failure> {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => merge_map(Some(node), target, patch),
        _ => Err(Failure::bad_request("a strategic merge patch must be an object")),
    }
}

fn merge_map(
    node: Option<Node<'_>>,
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), Failure> {
    match patch.get("$patch").map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = patch.iter().filter(|(name, _)| !is_directive(name)).map(cleaned).collect();
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(Failure::bad_request(format!("unknown $patch directive {other:?}"))),
    }
    if let Some(keep) = patch.get("$retainKeys") {
        let keep = keep.as_array().ok_or_else(|| Failure::bad_request("$retainKeys must be a list"))?;
        target.retain(|name, _| keep.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix("$deleteFromPrimitiveList/") {
            delete_primitives(target, field, value)?;
        } else if !is_directive(name) {
            merge_field(node.and_then(|node| node.field(name)), target, name, value)?;
        }
    }
    for (name, order) in patch {
        if let Some(field) = name.strip_prefix("$setElementOrder/") {
            set_order(node.and_then(|node| node.field(field)), target, field, order)?;
        }
    }
    Ok(())
}

fn merge_field(
    node: Option<Node<'_>>,
    target: &mut Map<String, Value>,
    name: &str,
    value: &Value,
) -> Result<(), Failure> {
    match (value, target.get_mut(name)) {
        (Value::Null, _) => {
            target.remove(name);
        }
        (Value::Object(patch), Some(Value::Object(into))) => {
            if node.is_some_and(|node| node.patch_strategy().replace) {
                into.clear();
            }
            merge_map(node, into, patch)?;
        }
        (Value::Object(patch), _) => {
            let mut fresh = Map::new();
            merge_map(node, &mut fresh, patch)?;
            target.insert(name.to_owned(), Value::Object(fresh));
        }
        (Value::Array(patch), existing) => {
            let strategy = node.map(Node::patch_strategy).unwrap_or_default();
            if !strategy.merge {
                target.insert(name.to_owned(), Value::Array(patch.clone()));
                return Ok(());
            }
            let mut into = match existing {
                Some(Value::Array(items)) => std::mem::take(items),
                _ => Vec::new(),
            };
            match strategy.merge_key {
                Some(key) => merge_objects(node.and_then(Node::items), key, &mut into, patch)?,
                None => patch.iter().for_each(|item| {
                    if !into.contains(item) {
                        into.push(item.clone());
                    }
                }),
            }
            target.insert(name.to_owned(), Value::Array(into));
        }
        _ => {
            target.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn merge_objects(
    node: Option<Node<'_>>,
    key: &str,
    into: &mut Vec<Value>,
    patch: &[Value],
) -> Result<(), Failure> {
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        into.clear();
    }
    for item in patch {
        let directive = directive(item);
        if directive.as_deref() == Some("replace") {
            continue;
        }
        let Some(identity) = item.get(key) else {
            return Err(Failure::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        if directive.as_deref() == Some("delete") {
            into.retain(|existing| existing.get(key) != Some(identity));
            continue;
        }
        let Value::Object(fields) = item else { continue };
        let existing = into.iter_mut().find(|existing| existing.get(key) == Some(identity));
        if let Some(Value::Object(existing)) = existing {
            merge_map(node, existing, fields)?;
        } else {
            let mut fresh = Map::new();
            merge_map(node, &mut fresh, fields)?;
            into.push(Value::Object(fresh));
        }
    }
    Ok(())
}

fn delete_primitives(target: &mut Map<String, Value>, field: &str, value: &Value) -> Result<(), Failure> {
    let gone = value
        .as_array()
        .ok_or_else(|| Failure::bad_request(format!("$deleteFromPrimitiveList/{field} must be a list")))?;
    if let Some(Value::Array(items)) = target.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

/// Sorts the elements that the order names; others stay behind the element they followed.
fn set_order(
    node: Option<Node<'_>>,
    target: &mut Map<String, Value>,
    field: &str,
    order: &Value,
) -> Result<(), Failure> {
    let order = order
        .as_array()
        .ok_or_else(|| Failure::bad_request(format!("$setElementOrder/{field} must be a list")))?;
    let Some(Value::Array(items)) = target.get_mut(field) else { return Ok(()) };
    let key = node.and_then(|node| node.patch_strategy().merge_key);
    let rank = |item: &Value| {
        order.iter().position(|wanted| match key {
            Some(key) => wanted.get(key).is_some() && wanted.get(key) == item.get(key),
            None => wanted == item,
        })
    };
    let mut groups: Vec<(Option<usize>, Vec<Value>)> = Vec::new();
    for item in std::mem::take(items) {
        match (rank(&item), groups.last_mut()) {
            (None, Some((_, group))) => group.push(item),
            (rank, _) => groups.push((rank, vec![item])),
        }
    }
    // Elements before the first named one have no rank and stay in front.
    groups.sort_by_key(|(rank, _)| rank.map_or(0, |rank| rank + 1));
    *items = groups.into_iter().flat_map(|(_, group)| group).collect();
    Ok(())
}

fn cleaned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

fn is_directive(name: &str) -> bool {
    name == "$patch"
        || name == "$retainKeys"
        || name.starts_with("$setElementOrder/")
        || name.starts_with("$deleteFromPrimitiveList/")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::strategic_merge;
    use metallb_schema::{Node, reference};

    fn patched(kind: &str, mut target: Value, patch: &Value) -> Value {
        let schema = reference(&format!("io.k8s.api.core.v1.{kind}"));
        strategic_merge(Node::new(&schema), &mut target, patch).unwrap();
        target
    }

    #[test]
    fn elements_are_merged_deleted_and_ordered_by_their_key() {
        let target =
            json!({"spec": {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}, {"port": 3}]}});
        let patch = json!({"spec": {
            "$setElementOrder/ports": [{"port": 4}, {"port": 1}],
            "ports": [{"port": 1, "name": "z"}, {"$patch": "delete", "port": 2}, {"port": 4}],
        }});
        assert_eq!(
            patched("Service", target, &patch),
            json!({"spec": {"ports": [{"port": 4}, {"port": 1, "name": "z"}, {"port": 3}]}})
        );
    }

    #[test]
    fn directives_replace_retain_and_delete_primitives() {
        let target = json!({
            "metadata": {"finalizers": ["a", "b"], "labels": {"x": "1", "y": "2"}},
            "spec": {"volumes": [{"name": "v", "emptyDir": {}}], "tolerations": [{"key": "old"}]},
        });
        let patch = json!({
            "metadata": {
                "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b", "c"],
                "labels": {"$patch": "replace", "z": "3"},
            },
            "spec": {
                "volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}}],
                "tolerations": [{"key": "new"}],
            },
        });
        assert_eq!(
            patched("Pod", target, &patch),
            json!({
                "metadata": {"finalizers": ["b", "c"], "labels": {"z": "3"}},
                "spec": {
                    "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
                    "tolerations": [{"key": "new"}],
                },
            })
        );
    }
}

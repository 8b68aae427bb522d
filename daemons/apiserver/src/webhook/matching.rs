//! Which webhooks a write concerns.

use serde_json::Value;

use super::admission::Operation;
use crate::admission::{list, text};
use crate::ops::Target;
use crate::selector::label_selector_matches;
use crate::state::State;
use crate::store::Key;

/// A webhook that is to be called, with the version in which it wants to see the object.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) hook: Value,
    pub(super) version: String,
}

impl State {
    /// Whether any webhook has a rule for a write, whatever its selectors say.
    pub(crate) fn has_hooks(&self, target: &Target, operation: Operation) -> bool {
        let mut all = self.validating_hooks();
        all.any(|hook| version_of(hook, target, operation).is_some()) && !is_exempt(target)
    }

    pub(super) fn matching_hooks(
        &self,
        target: &Target,
        operation: Operation,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Vec<Match> {
        if is_exempt(target) {
            return Vec::new();
        }
        let mut matches = Vec::new();
        for hook in self.validating_hooks() {
            let Some(version) = version_of(hook, target, operation) else { continue };
            let selector = hook.get("objectSelector").unwrap_or(&Value::Null);
            let objects = [object, old].into_iter().flatten();
            let selected = objects.map(labels).any(|labels| label_selector_matches(selector, labels));
            if selected && self.namespace_selected(hook, target, object.or(old)) {
                matches.push(Match { hook: hook.clone(), version });
            }
        }
        matches
    }

    fn validating_hooks(&self) -> impl Iterator<Item = &Value> {
        let configurations = self.store.scan(CONFIGURATIONS, None);
        configurations.flat_map(|(_, configuration)| list(configuration, "/webhooks"))
    }

    /// Objects without a namespace are always selected; a namespace is selected by its own labels.
    fn namespace_selected(&self, hook: &Value, target: &Target, object: Option<&Value>) -> bool {
        let selector = hook.get("namespaceSelector").unwrap_or(&Value::Null);
        if target.resource.is("namespaces") {
            return label_selector_matches(selector, object.and_then(labels));
        }
        if target.namespace.is_empty() {
            return true;
        }
        let key = Key { namespace: String::new(), name: target.namespace.clone() };
        let namespace = self.store.get("namespaces", &key);
        label_selector_matches(selector, namespace.and_then(|namespace| labels(namespace)))
    }
}

fn labels(object: &Value) -> Option<&Value> {
    object.pointer("/metadata/labels")
}

/// Webhooks are not asked about webhooks: nobody could mend them otherwise.
fn is_exempt(target: &Target) -> bool {
    target.resource.group == "admissionregistration.k8s.io"
}

/// The version in which a webhook sees the object: that of the request, or another that it has a rule for.
fn version_of(hook: &Value, target: &Target, operation: Operation) -> Option<String> {
    let rules = list(hook, "/rules");
    let fits = |version: &str| rules.iter().any(|rule| rule_matches(rule, target, version, operation));
    if fits(&target.version) {
        return Some(target.version.clone());
    }
    if text(hook, "/matchPolicy") == "Exact" {
        return None;
    }
    let mut others = target.resource.versions.iter().map(|version| version.name.as_str());
    others.find(|version| fits(version)).map(str::to_owned)
}

fn rule_matches(rule: &Value, target: &Target, version: &str, operation: Operation) -> bool {
    let contains = |pointer: &str, wanted: &str| {
        list(rule, pointer).iter().filter_map(Value::as_str).any(|one| one == "*" || one == wanted)
    };
    let scope = match text(rule, "/scope") {
        "Cluster" => !target.resource.namespaced,
        "Namespaced" => target.resource.namespaced,
        _ => true,
    };
    let resources = list(rule, "/resources").iter().filter_map(Value::as_str);
    let mut resources = resources.map(|resource| resource.split_once('/').unwrap_or((resource, "")));
    scope
        && contains("/operations", operation.name())
        && contains("/apiGroups", &target.resource.group)
        && contains("/apiVersions", version)
        && resources.any(|(resource, sub)| {
            (resource == "*" || resource == target.resource.plural)
                && (sub == "*" || sub == target.subresource())
        })
}

const CONFIGURATIONS: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{rule_matches, version_of};
    use crate::kinds::Kinds;
    use crate::ops::Target;
    use crate::webhook::Operation;

    fn target(group: &str, plural: &str, status: bool) -> Target {
        let kinds = Kinds::new();
        let resource = Arc::clone(kinds.find(group, "v1", plural).unwrap());
        let namespace = if resource.namespaced { "n".to_owned() } else { String::new() };
        Target { resource, version: "v1".to_owned(), namespace, name: "x".to_owned(), status }
    }

    fn rule(change: &Value) -> Value {
        let mut rule = json!({
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "DELETE"],
            "resources": ["deployments"], "scope": "*",
        });
        json_patch::merge(&mut rule, change);
        rule
    }

    #[test]
    fn a_rule_matches_when_all_of_its_lists_do() {
        let deployment = target("apps", "deployments", false);
        let status = target("apps", "deployments", true);
        let node = target("", "nodes", false);
        for (change, target, operation, expected) in [
            (json!({}), &deployment, Operation::Create, true),
            (json!({}), &deployment, Operation::Delete, true),
            (json!({}), &deployment, Operation::Update, false),
            (json!({"operations": ["*"]}), &deployment, Operation::Update, true),
            (json!({"apiGroups": [""]}), &deployment, Operation::Create, false),
            (json!({"apiGroups": ["*"]}), &deployment, Operation::Create, true),
            (json!({"apiVersions": ["v2"]}), &deployment, Operation::Create, false),
            (json!({}), &status, Operation::Create, false),
            (json!({"resources": ["deployments/status"]}), &status, Operation::Create, true),
            (json!({"resources": ["deployments/*"]}), &status, Operation::Create, true),
            (json!({"resources": ["*/status"]}), &status, Operation::Create, true),
            (json!({"resources": ["*"]}), &status, Operation::Create, false),
            (json!({"resources": ["*"]}), &deployment, Operation::Create, true),
            (json!({"resources": ["*/*"]}), &deployment, Operation::Create, true),
            (json!({"scope": "Cluster"}), &deployment, Operation::Create, false),
            (json!({"scope": "Namespaced"}), &deployment, Operation::Create, true),
            (
                json!({"apiGroups": [""], "resources": ["nodes"], "scope": "Cluster"}),
                &node,
                Operation::Create,
                true,
            ),
            (
                json!({"apiGroups": [""], "resources": ["nodes"], "scope": "Namespaced"}),
                &node,
                Operation::Create,
                false,
            ),
        ] {
            assert_eq!(
                rule_matches(&rule(&change), target, "v1", operation),
                expected,
                "{change} {operation:?}"
            );
        }
    }

    #[test]
    fn the_version_of_the_request_is_the_first_choice() {
        let deployment = target("apps", "deployments", false);
        let hook = json!({"rules": [rule(&json!({}))]});
        assert_eq!(version_of(&hook, &deployment, Operation::Create).as_deref(), Some("v1"));
        let other = json!({"rules": [rule(&json!({"apiVersions": ["v9"]}))]});
        assert_eq!(version_of(&other, &deployment, Operation::Create), None);
    }
}

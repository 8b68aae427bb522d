//! Roles and their bindings: defaults and rules.

use serde_json::{Map, Value};

use super::{default_to, list, text};
use crate::failure::Cause;

/// API group of the four kinds.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// Groups that a binding may leave out.
pub(super) fn binding(object: &mut Value) {
    if let Some(Value::Object(role)) = object.get_mut("roleRef") {
        default_to(role, "apiGroup", GROUP);
    }
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        let Value::Object(subject) = subject else { continue };
        if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
            default_to(subject, "apiGroup", GROUP);
        }
    }
}

/// What is wrong with a `Role` (namespaced) or a `ClusterRole`.
pub(super) fn role_rules(object: &Value, namespaced: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (index, rule) in list(object, "/rules").iter().enumerate() {
        policy_rule(rule, namespaced, &format!("rules[{index}]"), &mut causes);
    }
    if object.get("aggregationRule").is_some()
        && list(object, "/aggregationRule/clusterRoleSelectors").is_empty()
    {
        causes.push(Cause::required(
            "aggregationRule.clusterRoleSelectors",
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
        ));
    }
    causes
}

fn policy_rule(rule: &Value, namespaced: bool, path: &str, causes: &mut Vec<Cause>) {
    if list(rule, "/verbs").is_empty() {
        causes.push(Cause::required(format!("{path}.verbs"), "verbs must contain at least one value"));
    }
    let given = |field: &str| !list(rule, &format!("/{field}")).is_empty();
    if given("nonResourceURLs") {
        let urls = rule.get("nonResourceURLs").unwrap_or(&Value::Null);
        let field = format!("{path}.nonResourceURLs");
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            causes.push(Cause::invalid(field.as_str(), urls, why));
        }
        if given("apiGroups") || given("resources") || given("resourceNames") {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            causes.push(Cause::invalid(field, urls, why));
        }
        return;
    }
    for (field, what) in [("apiGroups", "api group"), ("resources", "resource")] {
        if !given(field) {
            let why = format!("resource rules must supply at least one {what}");
            causes.push(Cause::required(format!("{path}.{field}"), &why));
        }
    }
}

/// What is wrong with a `RoleBinding` (namespaced) or a `ClusterRoleBinding`.
pub(super) fn binding_rules(object: &Value, old: Option<&Value>, namespaced: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let group = text(object, "/roleRef/apiGroup");
    if group != GROUP {
        causes.push(Cause::not_supported("roleRef.apiGroup", &Value::from(group), &[GROUP.to_owned()]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = text(object, "/roleRef/kind");
    if !kinds.contains(&kind) {
        let supported: Vec<_> = kinds.iter().map(|&kind| kind.to_owned()).collect();
        causes.push(Cause::not_supported("roleRef.kind", &Value::from(kind), &supported));
    }
    if text(object, "/roleRef/name").is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    for (index, subject) in list(object, "/subjects").iter().enumerate() {
        subject_rules(subject, namespaced, &format!("subjects[{index}]"), &mut causes);
    }
    if let Some(old) = old
        && old.get("roleRef") != object.get("roleRef")
    {
        let role = object.get("roleRef").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        causes.push(Cause::invalid("roleRef", &role, "cannot change roleRef"));
    }
    causes
}

fn subject_rules(subject: &Value, namespaced: bool, path: &str, causes: &mut Vec<Cause>) {
    if text(subject, "/name").is_empty() {
        causes.push(Cause::required(format!("{path}.name"), ""));
    }
    let group = text(subject, "/apiGroup");
    let wanted = match text(subject, "/kind") {
        "ServiceAccount" => {
            if !namespaced && text(subject, "/namespace").is_empty() {
                causes.push(Cause::required(format!("{path}.namespace"), ""));
            }
            ""
        }
        "User" | "Group" => GROUP,
        other => {
            let supported = ["Group", "ServiceAccount", "User"].map(str::to_owned);
            causes.push(Cause::not_supported(format!("{path}.kind"), &Value::from(other), &supported));
            return;
        }
    };
    if group != wanted {
        let supported = [wanted.to_owned()];
        causes.push(Cause::not_supported(format!("{path}.apiGroup"), &Value::from(group), &supported));
    }
}

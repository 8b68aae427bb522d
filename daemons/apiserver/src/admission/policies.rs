//! Network policies, disruption budgets and priority classes.

use serde_json::{Value, json};

use super::{default_to, list, object_mut, text};
use crate::failure::Cause;

pub(super) fn network_policy(object: &mut Value) {
    let Some(spec) = object_mut(object, "spec") else { return };
    default_to(spec, "podSelector", json!({}));
    let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
    for direction in ["ingress", "egress"] {
        for rule in spec.get_mut(direction).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Value::Object(port) = port {
                    default_to(port, "protocol", "TCP");
                }
            }
        }
    }
}

pub(super) fn priority_class(object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        default_to(map, "preemptionPolicy", "PreemptLowerPriority");
    }
}

pub(super) fn network_policy_rules(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (index, ty) in list(object, "/spec/policyTypes").iter().enumerate() {
        if !matches!(ty.as_str(), Some("Ingress" | "Egress")) {
            let supported = ["Egress", "Ingress"].map(str::to_owned);
            causes.push(Cause::not_supported(format!("spec.policyTypes[{index}]"), ty, &supported));
        }
    }
    causes
}

pub(super) fn budget_rules(object: &Value) -> Vec<Cause> {
    let given = |field: &str| object.pointer(&format!("/spec/{field}"));
    match (given("minAvailable"), given("maxUnavailable")) {
        (Some(_), Some(_)) => {
            let why = "minAvailable and maxUnavailable cannot be both set";
            vec![Cause::invalid("spec", object.get("spec").unwrap_or(&Value::Null), why)]
        }
        _ => Vec::new(),
    }
}

pub(super) fn priority_class_rules(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let value = object.get("value").cloned().unwrap_or_else(|| Value::from(0));
    let system = text(object, "/metadata/name").starts_with("system-");
    if !system && value.as_i64().is_some_and(|value| value > HIGHEST_USER_PRIORITY) {
        let why = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
        causes.push(Cause::forbidden("value", &why));
    }
    for field in ["value", "preemptionPolicy"] {
        if old.is_some_and(|old| old.get(field) != object.get(field)) {
            causes.push(Cause::forbidden(field, "may not be changed in an update."));
        }
    }
    causes
}

const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;

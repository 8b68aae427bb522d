//! Columns of roles, bindings, webhook configurations, policies and jobs.

use serde_json::Value;

use super::columns::Column;
use super::nodes_pods::{containers, images, number, selector};
use super::plain::pairs;
use crate::admission::{list, text};

/// Columns after the name, or `None` for other kinds.
pub(super) fn columns(id: &str) -> Option<Vec<Column>> {
    let columns = match id {
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => {
            vec![Column::made("Created At", |object| {
                Value::from(text(object, "/metadata/creationTimestamp"))
            })]
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            bindings()
        }
        "validatingwebhookconfigurations.admissionregistration.k8s.io"
        | "mutatingwebhookconfigurations.admissionregistration.k8s.io" => vec![
            Column::made("Webhooks", |object| Value::from(list(object, "/webhooks").len())).number(),
            Column::age(),
        ],
        "jobs.batch" => jobs(),
        "networkpolicies.networking.k8s.io" => vec![
            Column::made("Pod-Selector", |object| Value::from(label_selector(object, "/spec/podSelector"))),
            Column::age(),
        ],
        "poddisruptionbudgets.policy" => vec![
            Column::made("Min Available", |object| amount(object, "/spec/minAvailable")),
            Column::made("Max Unavailable", |object| amount(object, "/spec/maxUnavailable")),
            Column::made("Allowed Disruptions", |object| {
                Value::from(number(object, "/status/disruptionsAllowed"))
            })
            .number(),
            Column::age(),
        ],
        "priorityclasses.scheduling.k8s.io" => vec![
            Column::made("Value", |object| Value::from(number(object, "/value"))).number(),
            Column::made("Global-Default", |object| {
                Value::from(object.get("globalDefault").and_then(Value::as_bool).unwrap_or(false))
            })
            .boolean(),
            Column::age(),
            Column::made("PreemptionPolicy", |object| Value::from(text(object, "/preemptionPolicy"))).wide(),
        ],
        _ => return None,
    };
    Some(columns)
}

fn bindings() -> Vec<Column> {
    vec![
        Column::made("Role", |object| {
            Value::from(format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name")))
        }),
        Column::age(),
        Column::made("Users", |object| subjects(object, "User")).wide(),
        Column::made("Groups", |object| subjects(object, "Group")).wide(),
        Column::made("ServiceAccounts", |object| subjects(object, "ServiceAccount")).wide(),
    ]
}

fn jobs() -> Vec<Column> {
    vec![
        Column::made("Status", job_status),
        Column::made("Completions", completions),
        Column::made("Duration", job_duration),
        Column::age(),
        Column::made("Containers", containers).wide(),
        Column::made("Images", images).wide(),
        Column::made("Selector", selector).wide(),
    ]
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let named = list(binding, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
    let names: Vec<_> = named
        .map(|subject| match text(subject, "/namespace") {
            namespace if kind == "ServiceAccount" => format!("{namespace}/{}", text(subject, "/name")),
            _ => text(subject, "/name").to_owned(),
        })
        .collect();
    Value::from(names.join(", "))
}

fn job_status(job: &Value) -> Value {
    let has = |kind: &str| {
        let mut conditions = list(job, "/status/conditions").iter();
        conditions.any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
    };
    let status = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if job.pointer("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    Value::from(status)
}

fn completions(job: &Value) -> Value {
    let done = number(job, "/status/succeeded");
    let shown = match job.pointer("/spec/completions") {
        Some(wanted) => format!("{done}/{wanted}"),
        None if number(job, "/spec/parallelism") > 1 => {
            format!("{done}/1 of {}", number(job, "/spec/parallelism"))
        }
        None => format!("{done}/1"),
    };
    Value::from(shown)
}

fn job_duration(job: &Value) -> Value {
    let time = |pointer| text(job, pointer).parse::<jiff::Timestamp>().ok();
    let Some(start) = time("/status/startTime") else { return Value::from("") };
    let end = time("/status/completionTime").unwrap_or_else(jiff::Timestamp::now);
    Value::from(super::age::between(start, end))
}

/// A count or a share.
fn amount(object: &Value, pointer: &str) -> Value {
    Value::from(match object.pointer(pointer) {
        Some(Value::String(share)) => share.clone(),
        Some(count) => count.to_string(),
        None => "N/A".to_owned(),
    })
}

/// `a=b,c in (d,e)`, or `<none>` for the selector that selects everything.
fn label_selector(object: &Value, pointer: &str) -> String {
    let labels = object.pointer(&format!("{pointer}/matchLabels"));
    let mut parts = Vec::new();
    if labels.and_then(Value::as_object).is_some_and(|labels| !labels.is_empty()) {
        parts.push(pairs(labels));
    }
    for expression in list(object, &format!("{pointer}/matchExpressions")) {
        let key = text(expression, "/key");
        let values: Vec<_> = list(expression, "/values").iter().filter_map(Value::as_str).collect();
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    if parts.is_empty() { "<none>".to_owned() } else { parts.join(",") }
}

//! What makes pods: deployments, daemon sets, replica sets and jobs.

use serde_json::{Map, Value, json};

use super::{default_to, list, object_mut, pod_template, text};
use crate::failure::Cause;

/// Defaults of a workload with a pod template.
pub(super) fn defaults(id: &str, object: &mut Value) {
    let Some(spec) = object_mut(object, "spec") else { return };
    match id {
        "deployments.apps" => deployment(spec),
        "daemonsets.apps" => {
            default_to(spec, "revisionHistoryLimit", 10);
            rolling_update(spec, "updateStrategy", &[("maxSurge", json!(0)), ("maxUnavailable", json!(1))]);
        }
        "replicasets.apps" => default_to(spec, "replicas", 1),
        _ => job(spec),
    }
    let template = spec.get_mut("template").and_then(|template| template.get_mut("spec"));
    if let Some(Value::Object(template)) = template {
        pod_template::pod_spec(template);
    }
}

fn deployment(spec: &mut Map<String, Value>) {
    default_to(spec, "replicas", 1);
    default_to(spec, "revisionHistoryLimit", 10);
    default_to(spec, "progressDeadlineSeconds", 600);
    let quarter = json!("25%");
    rolling_update(spec, "strategy", &[("maxSurge", quarter.clone()), ("maxUnavailable", quarter)]);
}

fn rolling_update(spec: &mut Map<String, Value>, field: &str, limits: &[(&str, Value)]) {
    default_to(spec, field, json!({}));
    let Some(Value::Object(strategy)) = spec.get_mut(field) else { return };
    default_to(strategy, "type", "RollingUpdate");
    if strategy.get("type").and_then(Value::as_str) != Some("RollingUpdate") {
        return;
    }
    default_to(strategy, "rollingUpdate", json!({}));
    if let Some(Value::Object(rolling)) = strategy.get_mut("rollingUpdate") {
        for (name, value) in limits {
            default_to(rolling, name, value.clone());
        }
    }
}

fn job(spec: &mut Map<String, Value>) {
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        default_to(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    default_to(spec, "backoffLimit", 6);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    default_to(spec, "manualSelector", false);
    let failed = spec.contains_key("podFailurePolicy");
    default_to(spec, "podReplacementPolicy", if failed { "Failed" } else { "TerminatingOrFailed" });
}

/// The labels by which a new job knows its pods.
pub(super) fn select_own_pods(job: &mut Value) {
    if job.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let name = text(job, "/metadata/name").to_owned();
    let uid = text(job, "/metadata/uid").to_owned();
    // Without a template there is nothing to label; the rules refuse that.
    let Some(template) = job.pointer_mut("/spec/template") else { return };
    if object_mut(template, "metadata").is_some()
        && let Some(labels) = template.get_mut("metadata").and_then(|metadata| object_mut(metadata, "labels"))
    {
        for (label, value) in
            [("job-name", &name), (JOB_NAME, &name), ("controller-uid", &uid), (CONTROLLER_UID, &uid)]
        {
            default_to(labels, label, value.as_str());
        }
    }
    let Some(spec) = job.get_mut("spec") else { return };
    if object_mut(spec, "selector").is_some()
        && let Some(labels) =
            spec.get_mut("selector").and_then(|selector| object_mut(selector, "matchLabels"))
    {
        default_to(labels, CONTROLLER_UID, uid);
    }
}

/// What is wrong with a workload that its owner gave a selector.
pub(super) fn rules(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = pod_rules(object, "spec.template.spec");
    let Some(selector) = object.pointer("/spec/selector") else {
        causes.push(Cause::required("spec.selector", ""));
        return causes;
    };
    let labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
    for (name, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        if labels.get(name) != Some(value) {
            let why = "`selector` does not match template `labels`";
            causes.push(Cause::invalid("spec.template.metadata.labels", &labels, why));
            break;
        }
    }
    immutable(object, old, "selector", &mut causes);
    causes
}

/// What is wrong with a job.
pub(super) fn job_rules(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = pod_rules(object, "spec.template.spec");
    let policy = text(object, "/spec/template/spec/restartPolicy");
    if !matches!(policy, "OnFailure" | "Never") {
        let field = "spec.template.spec.restartPolicy";
        let supported = ["OnFailure", "Never"].map(str::to_owned);
        causes.push(Cause::not_supported(field, &Value::from(policy), &supported));
    }
    for field in ["selector", "template", "completions"] {
        immutable(object, old, field, &mut causes);
    }
    causes
}

fn immutable(object: &Value, old: Option<&Value>, field: &str, causes: &mut Vec<Cause>) {
    let pointer = format!("/spec/{field}");
    let value = object.pointer(&pointer);
    if old.is_some_and(|old| old.pointer(&pointer) != value) {
        let shown = value.unwrap_or(&Value::Null);
        causes.push(Cause::invalid(format!("spec.{field}"), shown, "field is immutable"));
    }
}

/// What is wrong with a pod's specification.
pub(super) fn pod_rules(object: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let containers = list(object, &format!("/{}/containers", path.replace('.', "/")));
    if containers.is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    for (index, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if text(container, &format!("/{field}")).is_empty() {
                causes.push(Cause::required(format!("{path}.containers[{index}].{field}"), ""));
            }
        }
    }
    causes
}

const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

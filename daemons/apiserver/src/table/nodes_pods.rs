//! Columns of nodes, pods and what makes pods.

use serde_json::Value;

use super::columns::Column;
use super::plain::pairs;
use crate::admission::{list, text};

pub(super) fn nodes() -> Vec<Column> {
    vec![
        Column::made("Status", node_status),
        Column::made("Roles", roles),
        Column::age(),
        Column::made("Version", |node| Value::from(text(node, "/status/nodeInfo/kubeletVersion"))),
        Column::made("Internal-IP", |node| Value::from(node_address(node, "InternalIP"))).wide(),
        Column::made("External-IP", |node| Value::from(node_address(node, "ExternalIP"))).wide(),
        Column::made("OS-Image", |node| unknown(text(node, "/status/nodeInfo/osImage"))).wide(),
        Column::made("Kernel-Version", |node| unknown(text(node, "/status/nodeInfo/kernelVersion"))).wide(),
        Column::made("Container-Runtime", |node| {
            unknown(text(node, "/status/nodeInfo/containerRuntimeVersion"))
        })
        .wide(),
    ]
}

pub(super) fn pods() -> Vec<Column> {
    vec![
        Column::made("Ready", pod_ready),
        Column::made("Status", pod_status),
        Column::made("Restarts", |pod| Value::from(restarts(pod).to_string())),
        Column::age(),
        Column::made("IP", |pod| none(text(pod, "/status/podIP"))).wide(),
        Column::made("Node", |pod| none(text(pod, "/spec/nodeName"))).wide(),
        Column::made("Nominated Node", |pod| none(text(pod, "/status/nominatedNodeName"))).wide(),
        Column::made("Readiness Gates", |_| Value::from("<none>")).wide(),
    ]
}

pub(super) fn deployments() -> Vec<Column> {
    vec![
        Column::made("Ready", |object| {
            let ready = number(object, "/status/readyReplicas");
            Value::from(format!("{ready}/{}", number(object, "/spec/replicas")))
        }),
        Column::made("Up-to-date", |object| Value::from(number(object, "/status/updatedReplicas"))).number(),
        Column::made("Available", |object| Value::from(number(object, "/status/availableReplicas"))).number(),
        Column::age(),
        Column::made("Containers", containers).wide(),
        Column::made("Images", images).wide(),
        Column::made("Selector", selector).wide(),
    ]
}

pub(super) fn daemon_sets() -> Vec<Column> {
    let count = |name, content| Column::made(name, content).number();
    vec![
        count("Desired", |object| Value::from(number(object, "/status/desiredNumberScheduled"))),
        count("Current", |object| Value::from(number(object, "/status/currentNumberScheduled"))),
        count("Ready", |object| Value::from(number(object, "/status/numberReady"))),
        count("Up-to-date", |object| Value::from(number(object, "/status/updatedNumberScheduled"))),
        count("Available", |object| Value::from(number(object, "/status/numberAvailable"))),
        Column::made("Node Selector", |object| {
            Value::from(pairs(object.pointer("/spec/template/spec/nodeSelector")))
        }),
        Column::age(),
        Column::made("Containers", containers).wide(),
        Column::made("Images", images).wide(),
        Column::made("Selector", selector).wide(),
    ]
}

pub(super) fn replica_sets() -> Vec<Column> {
    vec![
        Column::made("Desired", |object| Value::from(number(object, "/spec/replicas"))).number(),
        Column::made("Current", |object| Value::from(number(object, "/status/replicas"))).number(),
        Column::made("Ready", |object| Value::from(number(object, "/status/readyReplicas"))).number(),
        Column::age(),
        Column::made("Containers", containers).wide(),
        Column::made("Images", images).wide(),
        Column::made("Selector", selector).wide(),
    ]
}

fn node_status(node: &Value) -> Value {
    let ready = list(node, "/status/conditions").iter().find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    Value::from(status)
}

fn roles(node: &Value) -> Value {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let roles: Vec<_> = labels
        .filter_map(|(name, value)| match name.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => Some(role),
            _ if name == "kubernetes.io/role" => value.as_str().filter(|role| !role.is_empty()),
            _ => None,
        })
        .collect();
    Value::from(if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") })
}

fn node_address(node: &Value, kind: &str) -> String {
    let found = list(node, "/status/addresses").iter().find(|address| text(address, "/type") == kind);
    found.map_or("<none>", |address| text(address, "/address")).to_owned()
}

fn pod_ready(pod: &Value) -> Value {
    let ready = list(pod, "/status/containerStatuses")
        .iter()
        .filter(|container| container.get("ready") == Some(&Value::Bool(true)))
        .count();
    Value::from(format!("{ready}/{}", list(pod, "/spec/containers").len()))
}

fn pod_status(pod: &Value) -> Value {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Value::from("Terminating");
    }
    let reason = text(pod, "/status/reason");
    let waiting = list(pod, "/status/containerStatuses").iter().find_map(|container| {
        let waiting = text(container, "/state/waiting/reason");
        (!waiting.is_empty()).then_some(waiting)
    });
    let phase = text(pod, "/status/phase");
    Value::from(waiting.unwrap_or(if reason.is_empty() { phase } else { reason }))
}

fn restarts(pod: &Value) -> i64 {
    list(pod, "/status/containerStatuses").iter().map(|container| number(container, "/restartCount")).sum()
}

pub(super) fn containers(object: &Value) -> Value {
    of_containers(object, "/name")
}

pub(super) fn images(object: &Value) -> Value {
    of_containers(object, "/image")
}

fn of_containers(object: &Value, pointer: &str) -> Value {
    let containers = list(object, "/spec/template/spec/containers").iter();
    let texts: Vec<_> = containers.map(|container| text(container, pointer)).collect();
    Value::from(texts.join(","))
}

pub(super) fn selector(object: &Value) -> Value {
    Value::from(pairs(object.pointer("/spec/selector/matchLabels")))
}

pub(super) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

fn none(text: &str) -> Value {
    Value::from(if text.is_empty() { "<none>" } else { text })
}

fn unknown(text: &str) -> Value {
    Value::from(if text.is_empty() { "<unknown>" } else { text })
}

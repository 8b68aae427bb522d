//! Objects that a cluster would have: its nodes and the load balancer's own workloads. And the
//! services that the tour shows.

use serde_json::{Value, json};

use super::{Place, SYSTEM_NAMESPACE};

/// Labels of the speakers' pods, by which they find each other.
pub(crate) const SPEAKER_LABELS: &str = "app=metallb,component=speaker";
/// The Secret with the key of the speakers' messages, made by the controller.
pub(crate) const MEMBERLIST_SECRET: &str = "memberlist";
/// The controller's Deployment, owner of that Secret.
pub(crate) const CONTROLLER: &str = "controller";
/// Annotation that asks for a pool.
const POOL_ANNOTATION: &str = "metallb.io/address-pool";

/// A namespace.
pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A node, ready, with both its addresses.
pub(crate) fn node(place: &Place) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": place.name, "labels": {
            "kubernetes.io/hostname": place.name, "kubernetes.io/os": "linux",
        }},
        "spec": {},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": place.v4.to_string()},
                {"type": "InternalIP", "address": place.v6.to_string()},
                {"type": "Hostname", "address": place.name},
            ],
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "LabIsUp", "message": "the lab's node is up"},
                {"type": "NetworkUnavailable", "status": "False", "reason": "LabIsUp", "message": "the segment is there"},
            ],
            "nodeInfo": {
                "architecture": std::env::consts::ARCH, "bootID": "", "containerRuntimeVersion": "lab://",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "lab", "machineID": "",
                "operatingSystem": "linux", "osImage": "network namespace", "systemUUID": "",
            },
        },
    })
}

/// The controller's Deployment; there is no controller for it, its one pod is a process of the lab.
pub(crate) fn controller_deployment() -> Value {
    workload("Deployment", CONTROLLER, "controller")
}

/// The speakers' DaemonSet.
pub(crate) fn speaker_daemon_set() -> Value {
    workload("DaemonSet", "speaker", "speaker")
}

fn workload(kind: &str, name: &str, component: &str) -> Value {
    let labels = json!({"app": "metallb", "component": component});
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": component, "image": "metallb"}]},
            },
        },
    })
}

/// The controller's pod, which is ready: it runs beside the nodes, on none of them.
pub(crate) fn controller_pod(place: &Place) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "controller", "namespace": SYSTEM_NAMESPACE,
            "labels": {"app": "metallb", "component": "controller"},
        },
        "spec": {"containers": [{"name": "controller", "image": "metallb"}]},
        "status": {
            "phase": "Running",
            "podIP": place.v4.to_string(),
            "podIPs": [{"ip": place.v4.to_string()}, {"ip": place.v6.to_string()}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "controller", "ready": true, "started": true, "restartCount": 0, "image": "metallb", "imageID": "",
            }],
        },
    })
}

/// The name of a node's speaker pod.
pub(crate) fn speaker_pod_name(node: &str) -> String {
    format!("speaker-{node}")
}

/// A node's speaker pod.
pub(crate) fn speaker_pod(place: &Place, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": speaker_pod_name(&place.name), "namespace": SYSTEM_NAMESPACE,
            "labels": {"app": "metallb", "component": "speaker"},
        },
        "spec": {
            "nodeName": place.name, "hostNetwork": true,
            "containers": [{"name": "speaker", "image": "metallb"}],
        },
        "status": {
            "phase": "Running",
            "podIP": place.v4.to_string(), "hostIP": place.v4.to_string(),
            "podIPs": [{"ip": place.v4.to_string()}, {"ip": place.v6.to_string()}],
            "hostIPs": [{"ip": place.v4.to_string()}, {"ip": place.v6.to_string()}],
            "conditions": [{"type": "Ready", "status": status}, {"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{
                "name": "speaker", "ready": ready, "started": ready, "restartCount": 0, "image": "metallb", "imageID": "",
            }],
        },
    })
}

/// A load balancer service from `pool`, of both families where the pool has both.
pub(crate) fn service(name: &str, pool: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "annotations": {POOL_ANNOTATION: pool}},
        "spec": {
            "type": "LoadBalancer", "ipFamilyPolicy": "PreferDualStack",
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    })
}

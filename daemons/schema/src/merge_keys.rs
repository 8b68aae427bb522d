//! How the lists and maps of the built-in kinds merge: the markers of the Kubernetes API types
//! (`+listType`, `+listMapKey`, `+mapType`, `patchStrategy`, `patchMergeKey`).

use serde_json::{Map, Value, json};

/// A list of objects that merges by key: definition, field, keys for server-side apply, key for strategic merge
/// patches, strategy.
type Keyed = (&'static str, &'static str, &'static [&'static str], &'static str, &'static str);

/// Writes the markers into the definitions.
pub(super) fn decorate(definitions: &mut Map<String, Value>) {
    for (definition, field, keys, merge_key, strategy) in KEYED {
        mark(definitions, definition, field, "x-kubernetes-list-type", json!("map"));
        mark(definitions, definition, field, "x-kubernetes-list-map-keys", json!(keys));
        mark(definitions, definition, field, "x-kubernetes-patch-merge-key", json!(merge_key));
        mark(definitions, definition, field, "x-kubernetes-patch-strategy", json!(strategy));
    }
    for (definition, field) in SETS {
        mark(definitions, definition, field, "x-kubernetes-list-type", json!("set"));
        mark(definitions, definition, field, "x-kubernetes-patch-strategy", json!("merge"));
    }
    // Elements are the same whether they state this part of their key or leave it to its default.
    for definition in ["io.k8s.api.core.v1.ServicePort", "io.k8s.api.core.v1.ContainerPort"] {
        mark(definitions, definition, "protocol", "default", json!("TCP"));
    }
    for (definition, field) in ATOMIC_MAPS {
        mark(definitions, definition, field, "x-kubernetes-map-type", json!("atomic"));
    }
    for (definition, field, strategy) in STRATEGIES {
        mark(definitions, definition, field, "x-kubernetes-patch-strategy", json!(strategy));
    }
    for definition in ATOMIC_STRUCTS {
        if let Some(Value::Object(schema)) = definitions.get_mut(*definition) {
            schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
    }
}

fn mark(definitions: &mut Map<String, Value>, definition: &str, field: &str, name: &str, value: Value) {
    let property = definitions
        .get_mut(definition)
        .and_then(|schema| schema.get_mut("properties"))
        .and_then(|properties| properties.get_mut(field));
    if let Some(Value::Object(property)) = property {
        property.insert(name.to_owned(), value);
    }
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const SERVICE_SPEC: &str = "io.k8s.api.core.v1.ServiceSpec";
const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const POD_STATUS: &str = "io.k8s.api.core.v1.PodStatus";
const CONTAINER: &str = "io.k8s.api.core.v1.Container";
const EPHEMERAL: &str = "io.k8s.api.core.v1.EphemeralContainer";
const NODE_STATUS: &str = "io.k8s.api.core.v1.NodeStatus";

const VALIDATING: &str = "io.k8s.api.admissionregistration.v1.ValidatingWebhook";
const MUTATING: &str = "io.k8s.api.admissionregistration.v1.MutatingWebhook";

const KEYED: &[Keyed] = &[
    (VALIDATING, "matchConditions", &["name"], "name", "merge"),
    (MUTATING, "matchConditions", &["name"], "name", "merge"),
    (
        "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
        "webhooks",
        &["name"],
        "name",
        "merge",
    ),
    (
        "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
        "webhooks",
        &["name"],
        "name",
        "merge",
    ),
    (META, "ownerReferences", &["uid"], "uid", "merge"),
    (SERVICE_SPEC, "ports", &["port", "protocol"], "port", "merge"),
    ("io.k8s.api.core.v1.ServiceStatus", "conditions", &["type"], "type", "merge"),
    ("io.k8s.api.core.v1.NamespaceStatus", "conditions", &["type"], "type", "merge"),
    ("io.k8s.api.core.v1.ServiceAccount", "secrets", &["name"], "name", "merge"),
    (NODE_STATUS, "conditions", &["type"], "type", "merge"),
    (NODE_STATUS, "addresses", &["type"], "type", "merge"),
    (POD_SPEC, "containers", &["name"], "name", "merge"),
    (POD_SPEC, "initContainers", &["name"], "name", "merge"),
    (POD_SPEC, "ephemeralContainers", &["name"], "name", "merge"),
    (POD_SPEC, "volumes", &["name"], "name", "merge,retainKeys"),
    (POD_SPEC, "imagePullSecrets", &["name"], "name", "merge"),
    (POD_SPEC, "hostAliases", &["ip"], "ip", "merge"),
    (POD_SPEC, "schedulingGates", &["name"], "name", "merge"),
    (POD_SPEC, "resourceClaims", &["name"], "name", "merge,retainKeys"),
    (POD_SPEC, "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], "topologyKey", "merge"),
    (POD_STATUS, "conditions", &["type"], "type", "merge"),
    (POD_STATUS, "podIPs", &["ip"], "ip", "merge"),
    (POD_STATUS, "resourceClaimStatuses", &["name"], "name", "merge,retainKeys"),
    (CONTAINER, "env", &["name"], "name", "merge"),
    (CONTAINER, "ports", &["containerPort", "protocol"], "containerPort", "merge"),
    (CONTAINER, "volumeMounts", &["mountPath"], "mountPath", "merge"),
    (CONTAINER, "volumeDevices", &["devicePath"], "devicePath", "merge"),
    (EPHEMERAL, "env", &["name"], "name", "merge"),
    (EPHEMERAL, "ports", &["containerPort", "protocol"], "containerPort", "merge"),
    (EPHEMERAL, "volumeMounts", &["mountPath"], "mountPath", "merge"),
    (EPHEMERAL, "volumeDevices", &["devicePath"], "devicePath", "merge"),
    ("io.k8s.api.apps.v1.DeploymentStatus", "conditions", &["type"], "type", "merge"),
    ("io.k8s.api.apps.v1.DaemonSetStatus", "conditions", &["type"], "type", "merge"),
    ("io.k8s.api.apps.v1.ReplicaSetStatus", "conditions", &["type"], "type", "merge"),
    ("io.k8s.api.policy.v1.PodDisruptionBudgetStatus", "conditions", &["type"], "type", "merge"),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        "conditions",
        &["type"],
        "type",
        "merge",
    ),
];

/// Fields that a strategic merge patch treats in another way than by merging.
const STRATEGIES: &[(&str, &str, &str)] = &[
    ("io.k8s.api.apps.v1.DeploymentSpec", "strategy", "retainKeys"),
    ("io.k8s.api.policy.v1.PodDisruptionBudgetSpec", "selector", "replace"),
];

const SETS: &[(&str, &str)] = &[
    (META, "finalizers"),
    ("io.k8s.api.core.v1.NodeSpec", "podCIDRs"),
    ("io.k8s.api.discovery.v1.Endpoint", "addresses"),
];

const ATOMIC_MAPS: &[(&str, &str)] = &[
    (SERVICE_SPEC, "selector"),
    (POD_SPEC, "nodeSelector"),
    ("io.k8s.api.core.v1.CSIPersistentVolumeSource", "volumeAttributes"),
];

const ATOMIC_STRUCTS: &[&str] = &[
    "io.k8s.api.core.v1.ConfigMapKeySelector",
    "io.k8s.api.core.v1.LocalObjectReference",
    "io.k8s.api.core.v1.NodeSelector",
    "io.k8s.api.core.v1.NodeSelectorTerm",
    "io.k8s.api.core.v1.ObjectFieldSelector",
    "io.k8s.api.core.v1.ObjectReference",
    "io.k8s.api.core.v1.ResourceFieldSelector",
    "io.k8s.api.core.v1.SecretKeySelector",
    "io.k8s.api.core.v1.SecretReference",
    "io.k8s.api.core.v1.TypedLocalObjectReference",
    "io.k8s.api.discovery.v1.EndpointPort",
    "io.k8s.api.rbac.v1.RoleRef",
    "io.k8s.api.rbac.v1.Subject",
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
];

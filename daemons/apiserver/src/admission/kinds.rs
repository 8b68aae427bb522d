//! Kind by kind: what creation and update do to an object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::addresses::Addresses;
use super::{
    default_to, list, object_mut, pod_template, policies, rbac, service, service_rules, text, webhook_config,
    workloads,
};
use crate::failure::Cause;

/// Whether a new object of the kind may bring its status along.
pub(crate) fn tracks_status_on_create(id: &str) -> bool {
    matches!(id, "nodes")
}

/// Defaults of a new object: what its writer is taken to have said. Allocations come later and belong to nobody.
pub(crate) fn default_kind(id: &str, object: &mut Value) {
    match id {
        "services" => service::defaults(object),
        "namespaces" => namespace(object),
        "pods" => pod(object),
        _ => common(id, object),
    }
}

/// Defaults and allocation for a new object.
pub(crate) fn prepare_create(id: &str, object: &mut Value, addresses: &mut Addresses) -> Vec<Cause> {
    match id {
        "services" => return service::prepare(object, None, addresses),
        "namespaces" => {
            namespace(object);
            if let Some(status) = object_mut(object, "status") {
                default_to(status, "phase", "Active");
            }
        }
        "pods" => {
            pod(object);
            if let Some(status) = object_mut(object, "status") {
                default_to(status, "phase", "Pending");
                default_to(status, "qosClass", "BestEffort");
            }
        }
        "jobs.batch" => {
            common(id, object);
            workloads::select_own_pods(object);
        }
        _ => common(id, object),
    }
    Vec::new()
}

/// Defaults and allocation for a changed object.
pub(crate) fn prepare_update(
    id: &str,
    object: &mut Value,
    old: &Value,
    addresses: &mut Addresses,
) -> Vec<Cause> {
    match id {
        "services" => return service::prepare(object, Some(old), addresses),
        "namespaces" => namespace(object),
        "pods" => pod(object),
        _ => common(id, object),
    }
    Vec::new()
}

/// What the server refuses.
pub(crate) fn validate_kind(id: &str, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    match id {
        "services" => service_rules::validate(object, old),
        "secrets" => secret_rules(object, old),
        "configmaps" => immutable_rules(object, old),
        "endpointslices.discovery.k8s.io" => slice_rules(object, old),
        "events" => event_rules(object),
        "leases.coordination.k8s.io" => lease_rules(object),
        "pods" => workloads::pod_rules(object, "spec"),
        "deployments.apps" | "daemonsets.apps" | "replicasets.apps" => workloads::rules(object, old),
        "jobs.batch" => workloads::job_rules(object, old),
        "networkpolicies.networking.k8s.io" => policies::network_policy_rules(object),
        "poddisruptionbudgets.policy" => policies::budget_rules(object),
        "priorityclasses.scheduling.k8s.io" => policies::priority_class_rules(object, old),
        "roles.rbac.authorization.k8s.io" => rbac::role_rules(object, true),
        "clusterroles.rbac.authorization.k8s.io" => rbac::role_rules(object, false),
        "rolebindings.rbac.authorization.k8s.io" => rbac::binding_rules(object, old, true),
        "clusterrolebindings.rbac.authorization.k8s.io" => rbac::binding_rules(object, old, false),
        "validatingwebhookconfigurations.admissionregistration.k8s.io"
        | "mutatingwebhookconfigurations.admissionregistration.k8s.io" => webhook_config::rules(object),
        "customresourcedefinitions.apiextensions.k8s.io" => crate::kinds::check_definition(object),
        _ => Vec::new(),
    }
}

fn common(id: &str, object: &mut Value) {
    match id {
        "secrets" => secret(object),
        "endpointslices.discovery.k8s.io" => slice(object),
        "deployments.apps" | "daemonsets.apps" | "replicasets.apps" | "jobs.batch" => {
            workloads::defaults(id, object);
        }
        "networkpolicies.networking.k8s.io" => policies::network_policy(object),
        "priorityclasses.scheduling.k8s.io" => policies::priority_class(object),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            rbac::binding(object);
        }
        "validatingwebhookconfigurations.admissionregistration.k8s.io" => {
            webhook_config::defaults(object, false);
        }
        "mutatingwebhookconfigurations.admissionregistration.k8s.io" => {
            webhook_config::defaults(object, true);
        }
        _ => {}
    }
}

fn namespace(object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    if let Some(metadata) = object.get_mut("metadata")
        && let Some(labels) = object_mut(metadata, "labels")
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), Value::from(name));
    }
    if let Some(spec) = object_mut(object, "spec") {
        default_to(spec, "finalizers", json!(["kubernetes"]));
    }
}

fn pod(object: &mut Value) {
    let Some(spec) = object_mut(object, "spec") else { return };
    default_to(spec, "enableServiceLinks", true);
    default_to(spec, "serviceAccountName", "default");
    pod_template::pod_spec(spec);
}

fn secret(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    default_to(map, "type", "Opaque");
    let Some(Value::Object(plain)) = map.remove("stringData") else { return };
    let data = map.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(data) = data {
        for (name, value) in plain {
            let encoded = BASE64.encode(value.as_str().unwrap_or_default());
            data.insert(name, Value::from(encoded));
        }
    }
}

fn slice(object: &mut Value) {
    for port in object.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(port) = port {
            default_to(port, "protocol", "TCP");
            if !port.contains_key("name") {
                port.insert("name".to_owned(), Value::from(""));
            }
        }
    }
    if let Some(map) = object.as_object_mut()
        && map.get("endpoints").is_none_or(Value::is_null)
    {
        map.insert("endpoints".to_owned(), json!([]));
    }
}

fn secret_rules(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = immutable_rules(object, old);
    for (name, value) in object.get("data").and_then(Value::as_object).into_iter().flatten() {
        if value.as_str().is_none_or(|text| BASE64.decode(text).is_err()) {
            causes.push(Cause::invalid(
                format!("data[{name}]"),
                &Value::from("<redacted>"),
                "must be base64",
            ));
        }
    }
    if let Some(old) = old
        && old.get("type") != object.get("type")
    {
        causes.push(Cause::invalid("type", &object["type"], "field is immutable"));
    }
    if text(object, "/type") == "kubernetes.io/basic-auth"
        && object.pointer("/data/username").is_none()
        && object.pointer("/data/password").is_none()
    {
        causes.push(Cause::required("data[username]", ""));
        causes.push(Cause::required("data[password]", ""));
    }
    causes
}

fn immutable_rules(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) else { return causes };
    for field in ["immutable", "data", "binaryData"] {
        if old.get(field) != object.get(field) {
            causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
        }
    }
    causes
}

fn slice_rules(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let ty = text(object, "/addressType");
    if ty.is_empty() {
        causes.push(Cause::required("addressType", ""));
    } else if !matches!(ty, "IPv4" | "IPv6" | "FQDN") {
        let supported = ["FQDN", "IPv4", "IPv6"].map(str::to_owned);
        causes.push(Cause::not_supported("addressType", &Value::from(ty), &supported));
    }
    if let Some(old) = old
        && text(old, "/addressType") != ty
    {
        causes.push(Cause::invalid("addressType", &Value::from(ty), "field is immutable"));
    }
    for (index, endpoint) in list(object, "/endpoints").iter().enumerate() {
        let addresses = list(endpoint, "/addresses");
        if addresses.is_empty() {
            let field = format!("endpoints[{index}].addresses");
            causes.push(Cause::required(field, "must contain at least 1 address"));
        }
        for (at, address) in addresses.iter().enumerate() {
            let text = address.as_str().unwrap_or_default();
            let (valid, why) = match ty {
                "IPv4" => (text.parse::<std::net::Ipv4Addr>().is_ok(), "must be a valid IPv4 address"),
                "IPv6" => (text.parse::<std::net::Ipv6Addr>().is_ok(), "must be a valid IPv6 address"),
                _ => (true, ""),
            };
            if !valid {
                causes.push(Cause::invalid(format!("endpoints[{index}].addresses[{at}]"), address, why));
            }
        }
    }
    causes
}

fn event_rules(object: &Value) -> Vec<Cause> {
    let own = text(object, "/metadata/namespace");
    let involved = text(object, "/involvedObject/namespace");
    // Events about cluster-wide objects live in `default` (or `kube-system`, which the real server takes too).
    let fits = if involved.is_empty() { matches!(own, "default" | "kube-system") } else { involved == own };
    if fits {
        return Vec::new();
    }
    vec![Cause::invalid("involvedObject.namespace", &Value::from(involved), "does not match event.namespace")]
}

fn lease_rules(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in ["leaseDurationSeconds", "leaseTransitions"] {
        let Some(value) = object.pointer(&format!("/spec/{field}")) else { continue };
        let least = i64::from(field == "leaseDurationSeconds");
        if value.as_i64().is_some_and(|number| number < least) {
            let why =
                if least == 1 { "must be greater than 0" } else { "must be greater than or equal to 0" };
            causes.push(Cause::invalid(format!("spec.{field}"), value, why));
        }
    }
    causes
}

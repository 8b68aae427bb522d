//! Services: defaults, fields that follow the type, node ports.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::addresses::{Addresses, FIRST_PORT, LAST_PORT, node_ports};
use super::{default_to, families, list, object_mut, text};
use crate::failure::Cause;

/// Brings a service into the form in which it is stored. `old` is its stored form on an update.
pub(super) fn prepare(service: &mut Value, old: Option<&Value>, addresses: &mut Addresses) -> Vec<Cause> {
    if let Some(old) = old {
        keep_allocated(service, old);
        drop_by_type(service, old);
    }
    defaults(service);
    let mut causes = families::settle(service, old, addresses);
    causes.extend(ports(service, old, addresses));
    status(service);
    causes
}

/// Status follows the type; an address is of mode VIP unless stated otherwise.
pub(super) fn status(service: &mut Value) {
    let balanced = text(service, "/spec/type") == "LoadBalancer";
    let Some(status) = object_mut(service, "status") else { return };
    if !balanced {
        status.insert("loadBalancer".to_owned(), json!({}));
        return;
    }
    default_to(status, "loadBalancer", json!({}));
    let ingress = status.get_mut("loadBalancer").and_then(|balancer| balancer.get_mut("ingress"));
    for entry in ingress.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(entry) = entry
            && entry.contains_key("ip")
        {
            default_to(entry, "ipMode", "VIP");
        }
    }
}

/// What a service is taken to say where it says nothing.
pub(super) fn defaults(service: &mut Value) {
    let Some(spec) = object_mut(service, "spec") else { return };
    default_to(spec, "sessionAffinity", "None");
    default_to(spec, "type", "ClusterIP");
    if spec.get("sessionAffinity").and_then(Value::as_str) == Some("ClientIP") {
        default_to(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
    } else {
        spec.remove("sessionAffinityConfig");
    }
    let ty = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let external = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if is_exposed(&ty) || (ty == "ClusterIP" && external) {
        default_to(spec, "externalTrafficPolicy", "Cluster");
    }
    if ty == "LoadBalancer" && !spec.contains_key("allocateLoadBalancerNodePorts") {
        spec.insert("allocateLoadBalancerNodePorts".to_owned(), Value::Bool(true));
    }
    if ty != "ExternalName" {
        default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Value::Object(port) = port else { continue };
        default_to(port, "protocol", "TCP");
        let unset = matches!(port.get("targetPort"), None | Some(Value::Null))
            || port.get("targetPort").and_then(Value::as_u64) == Some(0)
            || port.get("targetPort").and_then(Value::as_str) == Some("");
        if unset && let Some(number) = port.get("port").cloned() {
            port.insert("targetPort".to_owned(), number);
        }
    }
}

/// Node ports and the health check port that the client does not mention stay as they are.
fn keep_allocated(service: &mut Value, old: &Value) {
    let exposed = |object: &Value| is_exposed(text(object, "/spec/type"));
    if !(exposed(service) && exposed(old)) {
        return;
    }
    let before: Vec<_> = list(old, "/spec/ports").to_vec();
    let taken = node_ports(service);
    let keeps_health = needs_health_port(service);
    let Some(spec) = object_mut(service, "spec") else { return };
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Value::Object(port) = port else { continue };
        if port.get("nodePort").and_then(Value::as_u64).unwrap_or(0) != 0 {
            continue;
        }
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned();
        let same = before
            .iter()
            .find(|entry| entry.get("port") == port.get("port") && text(entry, "/protocol") == protocol);
        if let Some(number) = same.and_then(|entry| entry.get("nodePort")).filter(|number| {
            let number = number.as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0);
            number != 0 && !taken.contains(&(number, protocol.clone()))
        }) {
            port.insert("nodePort".to_owned(), number.clone());
        }
    }
    if keeps_health
        && !spec.contains_key("healthCheckNodePort")
        && let Some(number) = old.pointer("/spec/healthCheckNodePort")
    {
        spec.insert("healthCheckNodePort".to_owned(), number.clone());
    }
}

/// Fields of a type that the service no longer has go, if the client left them as they were.
fn drop_by_type(service: &mut Value, old: &Value) {
    let before = text(old, "/spec/type").to_owned();
    let ty = text(service, "/spec/type").to_owned();
    let same_ports = node_ports(service) == node_ports(old);
    let needs_health = needs_health_port(service);
    let unchanged =
        |spec: &Map<String, Value>, name: &str| spec.get(name) == old.pointer(&format!("/spec/{name}"));
    let Some(spec) = object_mut(service, "spec") else { return };
    if is_exposed(&before) && !is_exposed(&ty) {
        if same_ports {
            for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Value::Object(port) = port {
                    port.remove("nodePort");
                }
            }
        }
        if unchanged(spec, "externalTrafficPolicy") {
            spec.remove("externalTrafficPolicy");
        }
    }
    if !needs_health && unchanged(spec, "healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    if before == "LoadBalancer" && ty != "LoadBalancer" {
        for name in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if unchanged(spec, name) {
                spec.remove(name);
            }
        }
    }
}

/// Allocates what is missing and checks what the client asks for.
fn ports(service: &mut Value, old: Option<&Value>, addresses: &mut Addresses) -> Vec<Cause> {
    let ty = text(service, "/spec/type").to_owned();
    if !is_exposed(&ty) {
        return Vec::new();
    }
    let automatic = ty != "LoadBalancer"
        || service.pointer("/spec/allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true);
    let before = old.map(node_ports).unwrap_or_default();
    let mut taken = node_ports(service);
    let mut causes = Vec::new();
    let wants_health = needs_health_port(service);
    let Some(spec) = object_mut(service, "spec") else { return causes };
    for (index, port) in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
    {
        let Value::Object(port) = port else { continue };
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned();
        let path = format!("spec.ports[{index}].nodePort");
        match port.get("nodePort").and_then(Value::as_i64).filter(|number| *number != 0) {
            Some(number) => causes.extend(check_port(number, &protocol, &before, addresses, &path)),
            None if automatic => match addresses.free_port(&protocol, &taken) {
                Some(number) => {
                    taken.insert((number, protocol));
                    port.insert("nodePort".to_owned(), Value::from(number));
                }
                None => causes.push(Cause::invalid(path, &Value::Null, "no node port is left")),
            },
            None => {}
        }
    }
    if wants_health && !spec.contains_key("healthCheckNodePort") {
        match addresses.free_port("TCP", &taken) {
            Some(number) => {
                spec.insert("healthCheckNodePort".to_owned(), Value::from(number));
            }
            None => {
                causes.push(Cause::invalid("spec.healthCheckNodePort", &Value::Null, "no node port is left"));
            }
        }
    }
    causes
}

fn check_port(
    number: i64,
    protocol: &str,
    before: &BTreeSet<(u16, String)>,
    addresses: &Addresses,
    path: &str,
) -> Option<Cause> {
    let value = Value::from(number);
    match u16::try_from(number) {
        Ok(port) if (FIRST_PORT..=LAST_PORT).contains(&port) => {
            let taken = addresses.has_port(port, protocol) && !before.contains(&(port, protocol.to_owned()));
            taken.then(|| Cause::invalid(path, &value, "provided port is already allocated"))
        }
        _ => {
            let why = format!(
                "provided port is not in the valid range. The range of valid ports is {FIRST_PORT}-{LAST_PORT}"
            );
            Some(Cause::invalid(path, &value, &why))
        }
    }
}

pub(super) fn is_exposed(ty: &str) -> bool {
    matches!(ty, "NodePort" | "LoadBalancer")
}

fn needs_health_port(service: &Value) -> bool {
    text(service, "/spec/type") == "LoadBalancer" && text(service, "/spec/externalTrafficPolicy") == "Local"
}

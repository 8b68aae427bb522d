//! Services: what the server refuses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::families::NONE;
use super::metadata::is_dns_subdomain;
use super::service::is_exposed;
use super::{list, text};
use crate::failure::Cause;

pub(super) fn validate(service: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    one_of(service, "type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], &mut causes);
    one_of(service, "sessionAffinity", &["ClientIP", "None"], &mut causes);
    one_of(service, "externalTrafficPolicy", &["Cluster", "Local"], &mut causes);
    one_of(service, "internalTrafficPolicy", &["Cluster", "Local"], &mut causes);
    let ty = text(service, "/spec/type");
    let headless = text(service, "/spec/clusterIP") == NONE;
    if ty == "ExternalName" && !is_dns_subdomain(text(service, "/spec/externalName").trim_end_matches('.')) {
        let value = Value::from(text(service, "/spec/externalName"));
        causes.push(Cause::invalid(
            "spec.externalName",
            &value,
            "a lowercase RFC 1123 subdomain is required",
        ));
    }
    if is_exposed(ty) && headless {
        let why = format!("may not be set to 'None' for {ty} services");
        causes.push(Cause::invalid("spec.clusterIPs[0]", &Value::from(NONE), &why));
    }
    ports(service, ty, headless, &mut causes);
    addresses(service, ty, &mut causes);
    class(service, old, ty, &mut causes);
    ingress(service, &mut causes);
    causes
}

fn one_of(service: &Value, name: &str, allowed: &[&str], causes: &mut Vec<Cause>) {
    let Some(value) = service.pointer(&format!("/spec/{name}")) else { return };
    if !value.as_str().is_some_and(|text| allowed.contains(&text)) {
        let allowed: Vec<_> = allowed.iter().map(|&one| one.to_owned()).collect();
        causes.push(Cause::not_supported(format!("spec.{name}"), value, &allowed));
    }
}

fn ports(service: &Value, ty: &str, headless: bool, causes: &mut Vec<Cause>) {
    let ports = list(service, "/spec/ports");
    if ports.is_empty() && !headless && ty != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let name = text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(format!("{path}.name"), ""));
        }
        if !name.is_empty() && !names.insert(name) {
            causes.push(Cause::duplicate(format!("{path}.name"), &Value::from(name)));
        }
        let number = port.get("port").cloned().unwrap_or_else(|| Value::from(0));
        if !in_port_range(&number) {
            causes.push(Cause::invalid(format!("{path}.port"), &number, PORT_RANGE));
        }
        let protocol = text(port, "/protocol");
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            let supported = ["SCTP", "TCP", "UDP"].map(str::to_owned);
            causes.push(Cause::not_supported(format!("{path}.protocol"), &Value::from(protocol), &supported));
        }
        if !numbers.insert((number.as_i64(), protocol)) {
            causes.push(Cause::duplicate(path.clone(), port));
        }
        match port.get("targetPort") {
            Some(target) if target.is_number() && !in_port_range(target) => {
                causes.push(Cause::invalid(format!("{path}.targetPort"), target, PORT_RANGE));
            }
            Some(Value::String(name)) if !is_port_name(name) => causes.push(Cause::invalid(
                format!("{path}.targetPort"),
                &Value::from(name.as_str()),
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), at most 15 and at least \
                 one letter",
            )),
            _ => {}
        }
        let node_port = port.get("nodePort").and_then(Value::as_i64).unwrap_or(0);
        if node_port != 0 && !is_exposed(ty) {
            let why = format!("may not be used when `type` is '{ty}'");
            causes.push(Cause::forbidden(format!("{path}.nodePort"), &why));
        }
    }
}

fn addresses(service: &Value, ty: &str, causes: &mut Vec<Cause>) {
    for (index, address) in list(service, "/spec/externalIPs").iter().enumerate() {
        if address.as_str().is_none_or(|text| text.parse::<IpAddr>().is_err()) {
            let path = format!("spec.externalIPs[{index}]");
            causes.push(Cause::invalid(
                path,
                address,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ));
        }
    }
    let ranges = list(service, "/spec/loadBalancerSourceRanges");
    if !ranges.is_empty() && ty != "LoadBalancer" {
        let why = "may only be used when `type` is 'LoadBalancer'";
        causes.push(Cause::forbidden("spec.loadBalancerSourceRanges", why));
    }
    for (index, range) in ranges.iter().enumerate() {
        let parsed = range
            .as_str()
            .map(str::trim)
            .map(|text| text.contains('/') && text.parse::<ipnetwork::IpNetwork>().is_ok());
        if parsed != Some(true) {
            let path = format!("spec.loadBalancerSourceRanges[{index}]");
            causes.push(Cause::invalid(
                path,
                range,
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ));
        }
    }
}

fn class(service: &Value, old: Option<&Value>, ty: &str, causes: &mut Vec<Cause>) {
    let class = service.pointer("/spec/loadBalancerClass");
    if let Some(class) = class
        && ty != "LoadBalancer"
    {
        let why = format!("may only be used when `type` is 'LoadBalancer' (got {class})");
        causes.push(Cause::forbidden("spec.loadBalancerClass", &why));
    }
    if service.pointer("/spec/allocateLoadBalancerNodePorts").is_some() && ty != "LoadBalancer" {
        let why = "may only be used when `type` is 'LoadBalancer'";
        causes.push(Cause::forbidden("spec.allocateLoadBalancerNodePorts", why));
    }
    if let Some(old) = old
        && text(old, "/spec/type") == "LoadBalancer"
        && ty == "LoadBalancer"
        && old.pointer("/spec/loadBalancerClass") != class
    {
        let value = class.cloned().unwrap_or_default();
        causes.push(Cause::invalid("spec.loadBalancerClass", &value, "may not change once set"));
    }
}

fn ingress(service: &Value, causes: &mut Vec<Cause>) {
    for (index, entry) in list(service, "/status/loadBalancer/ingress").iter().enumerate() {
        let path = format!("status.loadBalancer.ingress[{index}]");
        if let Some(address) = entry.get("ip")
            && address.as_str().is_none_or(|text| text.parse::<IpAddr>().is_err())
        {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            causes.push(Cause::invalid(format!("{path}.ip"), address, why));
        }
        match entry.get("ipMode") {
            Some(mode) if entry.get("ip").is_none() => {
                let why = format!("may not be specified when `ip` is not set (got {mode})");
                causes.push(Cause::forbidden(format!("{path}.ipMode"), &why));
            }
            Some(mode) if !matches!(mode.as_str(), Some("VIP" | "Proxy")) => {
                let supported = ["Proxy", "VIP"].map(str::to_owned);
                causes.push(Cause::not_supported(format!("{path}.ipMode"), mode, &supported));
            }
            _ => {}
        }
    }
}

fn in_port_range(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| (1..=65_535).contains(&number))
}

fn is_port_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
}

const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";

//! The links that the service itself makes up.

use std::collections::BTreeMap;

use metallb_core::facts::{Demand, Service};
use metallb_core::quote::quoted;
use metallb_k8s::facts::annotations;
use serde_json::json;

use super::chain::{Chain, Step};
use super::remedy::Subject;
use crate::check::{nearest, split_remedy};
use crate::snapshot::{Snapshot, text};

/// The service that does not exist, with what was perhaps meant.
pub(super) fn missing(snapshot: &Snapshot, namespace: &str, name: &str) -> Step {
    if !snapshot.sees("Service") {
        let words =
            snapshot.refused.iter().find(|(kind, _)| kind == "Service").map(|(_, words)| words.as_str());
        return Step::unknown("service", format!("services cannot be seen: {}", words.unwrap_or_default()))
            .remedy("kubectl auth can-i list services -A");
    }
    let same = snapshot.of("Service").filter(|object| text(object, "/metadata/name") == name);
    let mut elsewhere: Vec<&str> = same.map(|object| text(object, "/metadata/namespace")).collect();
    elsewhere.sort_unstable();
    if let Some(first) = elsewhere.first() {
        let shown: Vec<String> = elsewhere.iter().take(SHOWN).map(|found| format!("{found:?}")).collect();
        let more = match elsewhere.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!(
            "there is no service {name:?} in namespace {namespace:?}; it is in {}{more}",
            shown.join(", ")
        );
        let remedy = if elsewhere.len() == 1 {
            format!("metallb explain {name} -n {first}")
        } else {
            format!("kubectl get services -A --field-selector metadata.name={name}")
        };
        return Step::broken("service", "no_service", message).remedy(remedy);
    }
    let here = snapshot.of("Service").filter(|object| text(object, "/metadata/namespace") == namespace);
    let near = nearest(name, here.map(|object| text(object, "/metadata/name")));
    let message = format!("there is no service {name:?} in namespace {namespace:?}");
    match near {
        Some(near) => Step::broken("service", "no_service", format!("{message}; did you mean {near:?}?"))
            .remedy(format!("metallb explain {near} -n {namespace}")),
        None => Step::broken("service", "no_service", message).remedy("kubectl get services -A"),
    }
}

/// MetalLB's definitions. False when there is no need to go on.
pub(super) fn installation(chain: &mut Chain, snapshot: &Snapshot) -> bool {
    let needed = ["IPAddressPool", "L2Advertisement", "BGPAdvertisement"];
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|kind| snapshot.undefined.iter().any(|undefined| undefined == kind))
        .collect();
    if missing.is_empty() {
        return true;
    }
    let message = format!("the cluster does not know {}: MetalLB is not installed", missing.join(", "));
    chain.push(
        Step::broken("installation", "no_definitions", message)
            .remedy("metallb manifests | kubectl apply -f -"),
    );
    false
}

/// Type, class and cluster address. False when it is no service of ours.
pub(super) fn kind(chain: &mut Chain, subject: Subject<'_>) -> bool {
    let Subject { snapshot, object } = subject;
    if !text(object, "/metadata/deletionTimestamp").is_empty() {
        let message = "it is being deleted, and has given its address back";
        chain.push(Step::broken("service", "being_deleted", message).remedy(format!(
            "kubectl get service {} -n {} -o jsonpath='{{.metadata.finalizers}}'",
            text(object, "/metadata/name"),
            text(object, "/metadata/namespace"),
        )));
        return false;
    }
    let type_ = Some(text(object, "/spec/type")).filter(|type_| !type_.is_empty()).unwrap_or("ClusterIP");
    if type_ != "LoadBalancer" {
        let message = format!("it is of type {type_}; only services of type LoadBalancer get an address");
        let patch = subject.patch(&json!({ "spec": { "type": "LoadBalancer" } }));
        chain.push(Step::broken("type", "not_a_load_balancer", message).remedy(patch));
        return false;
    }
    chain.push(Step::good("type", "LoadBalancer"));
    let (class, served) = (text(object, "/spec/loadBalancerClass"), snapshot.served_class());
    if class == served {
        let shown = if class.is_empty() { "none, which MetalLB serves here" } else { class };
        chain.push(Step::good("class", shown));
        return true;
    }
    let name =
        |class: &str| if class.is_empty() { "no class".to_owned() } else { format!("class {class:?}") };
    let message =
        format!("it asks for {}, and MetalLB here serves services of {}", name(class), name(&served));
    let new = if served.is_empty() { json!(null) } else { json!(served) };
    // The class of a load balancer cannot change; that of another service does not matter.
    let away = subject.patch(&json!({ "spec": { "type": "ClusterIP", "loadBalancerClass": null } }));
    let back = subject.patch(&json!({ "spec": { "type": "LoadBalancer", "loadBalancerClass": new } }));
    chain.push(Step::broken("class", "other_class", message).remedy(format!("{away} && {back}")));
    false
}

/// Annotations that mean nothing or are old.
pub(super) fn annotations(chain: &mut Chain, subject: Subject<'_>) {
    let found = subject.object.pointer("/metadata/annotations").and_then(serde_json::Value::as_object);
    let found: BTreeMap<String, String> = found
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    for (name, near) in annotations::unknown(&found) {
        let value = found.get(&name).map(String::as_str).unwrap_or_default();
        let step = match near {
            Some(near) => {
                Step::note("annotations", format!("{name:?} means nothing; did you mean {near:?}?"))
                    .remedy(subject.annotate(&format!("{name}- {near}='{value}'")))
            }
            None => Step::note("annotations", format!("{name:?} means nothing"))
                .remedy(subject.annotate(&format!("{name}-"))),
        };
        chain.push(step);
    }
    for name in annotations::unfilled(&found) {
        let value = found.get(&name).map(String::as_str).unwrap_or_default();
        let text = format!("{name:?} is a template that was not filled in: {}", quoted(value));
        chain.push(Step::note("annotations", text).remedy(subject.annotate(&format!("{name}-"))));
    }
    for old in annotations::deprecated(&found) {
        let value = found.get(&old).map(String::as_str).unwrap_or_default();
        let new = old.replacen(annotations::OLD_PREFIX, annotations::PREFIX, 1);
        let step = Step::note("annotations", format!("{old:?} has the old prefix"));
        chain.push(step.remedy(subject.annotate(&format!("{old}- {new}='{value}'"))));
    }
}

/// What it asks for. False when that makes no sense.
pub(super) fn request(chain: &mut Chain, subject: Subject<'_>, fact: &Service) -> bool {
    match &fact.demand {
        Demand::None => {
            let message = "it has no cluster IP (clusterIP: None), so that it has no address family";
            let name = text(subject.object, "/metadata/name");
            let namespace = text(subject.object, "/metadata/namespace");
            chain.push(Step::broken("request", "no_cluster_ip", message).remedy(format!(
                "kubectl get service {name} -n {namespace} -o yaml | sed '/clusterIP/d; /- None/d' | kubectl replace --force -f -"
            )));
            false
        }
        Demand::Invalid(error) => {
            let (message, help) = split_remedy(&error.to_string());
            let step = Step::broken("request", error.reason(), message).details(help);
            chain.push(step.remedy(subject.of_request(error)));
            false
        }
        Demand::Addresses(request) => {
            let mut asked = vec![request.families().to_string()];
            asked.extend(request.wanted_pool().map(|pool| format!("pool {pool}")));
            asked.extend(request.wanted_addresses().iter().map(|address| format!("address {address}")));
            asked.extend(fact.sharing_key.as_ref().map(|key| format!("sharing key {key:?}")));
            chain.push(Step::good("request", asked.join(", ")));
            true
        }
    }
}

/// How many namespaces are named.
const SHOWN: usize = 5;

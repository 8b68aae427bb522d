//! In place of the EndpointSlice controller: every load balancer service with a selector has one
//! ready endpoint on every node. Slices that somebody else made are left alone, and then the lab
//! makes none for that service.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::proxy::SERVICE_NAME;
use super::{Host, Key, World};

/// Label with the owner of a slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The lab, as owner of a slice.
const OWNER: &str = "metallb-lab";

/// Makes and removes slices until they are as the services want them.
pub(super) async fn update(client: &Client, world: &World, hosts: &[Host]) {
    let wanted = wanted(world, hosts);
    for ((namespace, name), slice) in &wanted {
        if world.slices.get(&(namespace.clone(), name.clone())).is_some_and(|found| same(found, slice)) {
            continue;
        }
        let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
        let params = PatchParams::apply(OWNER).force();
        if let Err(error) = api.patch(name, &params, &Patch::Apply(slice)).await {
            tracing::warn!(%error, slice = %name, "endpoints stand-in");
        }
    }
    let ours = world.slices.iter().filter(|(_, slice)| managed_by(slice) == OWNER);
    for ((namespace, name), _) in ours.filter(|(key, _)| !wanted.contains_key(*key)) {
        let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
        match api.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => tracing::warn!(%error, slice = %name, "endpoints stand-in"),
            Ok(_) => {}
        }
    }
}

fn wanted(world: &World, hosts: &[Host]) -> BTreeMap<Key, Value> {
    let foreign: BTreeSet<Key> = world
        .slices
        .iter()
        .filter(|(_, slice)| managed_by(slice) != OWNER)
        .filter_map(|((namespace, _), slice)| {
            let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
            Some((namespace.clone(), service.clone()))
        })
        .collect();
    let mut wanted = BTreeMap::new();
    for (key, service) in &world.services {
        if foreign.contains(key) || !wants_endpoints(service) {
            continue;
        }
        for family in families(service) {
            let name = format!("{}-{}", key.1, family.to_ascii_lowercase());
            wanted.insert((key.0.clone(), name.clone()), slice(key, &name, &family, hosts));
        }
    }
    wanted
}

fn wants_endpoints(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        spec.type_.as_deref() == Some("LoadBalancer") && spec.selector.as_ref().is_some_and(|s| !s.is_empty())
    })
}

fn families(service: &Service) -> Vec<String> {
    let given = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    if given.is_empty() { vec!["IPv4".to_owned()] } else { given }
}

fn slice(service: &Key, name: &str, family: &str, hosts: &[Host]) -> Value {
    let endpoints: Vec<_> = hosts
        .iter()
        .map(|host| {
            let place = &host.place;
            let address = if family == "IPv6" { place.v6.to_string() } else { place.v4.to_string() };
            json!({
                "addresses": [address], "nodeName": place.name,
                "conditions": {"ready": true, "serving": true, "terminating": false},
            })
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": service.0,
            "labels": {SERVICE_NAME: service.1, MANAGED_BY: OWNER},
        },
        "addressType": family, "endpoints": endpoints,
    })
}

fn managed_by(slice: &EndpointSlice) -> &str {
    slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).map_or("", String::as_str)
}

fn same(found: &EndpointSlice, wanted: &Value) -> bool {
    serde_json::to_value(found).is_ok_and(|found| {
        ["/addressType", "/endpoints"].iter().all(|field| found.pointer(field) == wanted.pointer(field))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_service(selector: &Value) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"type": "LoadBalancer", "selector": selector, "ipFamilies": ["IPv4", "IPv6"]},
        }))
        .unwrap()
    }

    #[test]
    fn a_dual_stack_service_gets_a_slice_of_each_family() {
        let mut world = World::default();
        world.services.insert(("default".into(), "web".into()), mk_service(&json!({"app": "web"})));
        let names: Vec<_> = wanted(&world, &[]).into_keys().map(|(_, name)| name).collect();
        assert_eq!(names, ["web-ipv4", "web-ipv6"]);
    }

    #[test]
    fn without_a_selector_or_with_a_foreign_slice_the_lab_makes_none() {
        let mut world = World::default();
        world.services.insert(("default".into(), "web".into()), mk_service(&json!({})));
        assert!(wanted(&world, &[]).is_empty());
        world.services.insert(("default".into(), "web".into()), mk_service(&json!({"app": "web"})));
        let foreign: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": "mine", "namespace": "default", "labels": {SERVICE_NAME: "web"}},
            "addressType": "IPv4", "endpoints": [],
        }))
        .unwrap();
        world.slices.insert(("default".into(), "mine".into()), foreign);
        assert!(wanted(&world, &[]).is_empty());
    }
}

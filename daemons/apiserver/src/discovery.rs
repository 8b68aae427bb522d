//! Discovery: which groups, versions and resources there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::kinds::{Kinds, Resource, Version, join_api_version};

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const REVIEW_VERBS: &[&str] = &["create"];
const STATUS_VERBS: &[&str] = &["get", "patch", "update"];

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    })
}

/// `/apis`.
pub(crate) fn groups(kinds: &Kinds) -> Value {
    let groups: Vec<_> = versions(kinds)
        .into_iter()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, versions)| api_group(name, &versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(crate) fn group(kinds: &Kinds, name: &str) -> Result<Value, Failure> {
    let versions =
        versions(kinds).remove(name).filter(|_| !name.is_empty()).ok_or_else(Failure::no_resource)?;
    let mut group = api_group(name, &versions);
    if let Value::Object(map) = &mut group {
        map.insert("kind".to_owned(), Value::from("APIGroup"));
        map.insert("apiVersion".to_owned(), Value::from("v1"));
    }
    Ok(group)
}

/// `/api/v1`, `/apis/GROUP/VERSION`.
pub(crate) fn resources(kinds: &Kinds, group: &str, version: &str) -> Result<Value, Failure> {
    let mut list = Vec::new();
    for (resource, served) in in_version(kinds, group, version) {
        list.push(json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": verbs(resource), "shortNames": resource.short_names,
            "categories": resource.categories,
        }));
        if served.status {
            list.push(json!({
                "name": format!("{}/status", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": resource.kind, "verbs": STATUS_VERBS,
            }));
        }
    }
    if list.is_empty() {
        return Err(Failure::no_resource());
    }
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": join_api_version(group, version),
        "resources": list,
    }))
}

/// `/api` and `/apis` in the aggregated form.
pub(crate) fn aggregated(kinds: &Kinds, core: bool, api: &str) -> Value {
    let items: Vec<_> = versions(kinds)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<_> =
                versions.iter().map(|version| aggregated_version(kinds, group, version)).collect();
            let metadata = if core {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{api}"), "metadata": {},
        "items": items,
    })
}

fn aggregated_version(kinds: &Kinds, group: &str, version: &str) -> Value {
    let kind = |name: &str| json!({"group": group, "version": version, "kind": name});
    let mut resources = Vec::new();
    for (resource, served) in in_version(kinds, group, version) {
        let status = json!([{
            "subresource": "status", "responseKind": kind(&resource.kind), "verbs": STATUS_VERBS,
        }]);
        let mut entry = json!({
            "resource": resource.plural, "responseKind": kind(&resource.kind),
            "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": resource.singular, "verbs": verbs(resource), "shortNames": resource.short_names,
            "categories": resource.categories,
        });
        if served.status
            && let Value::Object(map) = &mut entry
        {
            map.insert("subresources".to_owned(), status);
        }
        resources.push(entry);
    }
    json!({"version": version, "freshness": "Current", "resources": resources})
}

fn api_group(name: &str, versions: &[String]) -> Value {
    let entry =
        |version: &String| json!({"groupVersion": join_api_version(name, version), "version": version});
    let all: Vec<_> = versions.iter().map(entry).collect();
    json!({"name": name, "versions": all, "preferredVersion": all.first()})
}

/// Groups with their versions, the preferred first.
pub(crate) fn versions(kinds: &Kinds) -> BTreeMap<&str, Vec<String>> {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for resource in kinds.all() {
        let versions = groups.entry(&resource.group).or_default();
        for version in &resource.versions {
            if !versions.contains(&version.name) {
                versions.push(version.name.clone());
            }
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|version| std::cmp::Reverse(crate::kinds::priority(version)));
    }
    groups
}

/// Resources of one version.
pub(crate) fn in_version<'a>(
    kinds: &'a Kinds,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = (&'a Resource, &'a Version)> {
    kinds
        .all()
        .filter(move |resource| resource.group == group)
        .filter_map(move |resource| Some((&**resource, resource.version(version)?)))
}

fn verbs(resource: &Resource) -> &'static [&'static str] {
    if resource.stored { VERBS } else { REVIEW_VERBS }
}

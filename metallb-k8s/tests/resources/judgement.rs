//! Manifests, and what is said about them. `UPDATE_GOLDEN=1` writes the expected texts anew.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use kube::Resource;
use metallb_core::{
    config::{Built, Config, Secret, SecretProblem},
    keys::Created,
};
use metallb_k8s::{
    convert::{Object, Resources, configure},
    crd,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata").join(name)
}

fn manifests(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(directory(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn resources(text: &str) -> Resources {
    let mut resources = Resources::default();
    resources.passwords.insert("good".to_owned(), Ok(Secret::new("secret")));
    resources.passwords.insert("two-lines".to_owned(), Ok(Secret::new("sec\r\nret")));
    resources.passwords.insert("opaque".to_owned(), Err(SecretProblem::WrongType));
    for (age, document) in text.split("\n---\n").enumerate() {
        let object: Value = serde_saphyr::from_str(document).unwrap();
        let created = Created(i64::try_from(age).unwrap());
        match object["kind"].as_str().unwrap() {
            "IPAddressPool" => resources.pools.push(read(object, created)),
            "L2Advertisement" => resources.l2_advertisements.push(read(object, created)),
            "BGPAdvertisement" => resources.bgp_advertisements.push(read(object, created)),
            "BGPPeer" => resources.peers.push(read(object, created)),
            "Community" => resources.communities.push(read(object, created)),
            "BFDProfile" => resources.bfd_profiles.push(read(object, created)),
            other => panic!("{other}"),
        }
    }
    resources
}

fn read<K: Resource + DeserializeOwned>(object: Value, created: Created) -> Object<K> {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    match crd::decode::<K>(object) {
        Ok(object) => {
            let mut object = Object::new(object);
            object.meta.created = created;
            object
        }
        Err(error) => Object::unreadable(name, created, error),
    }
}

fn judge(file: &Path) -> Built {
    configure(&resources(&fs::read_to_string(file).unwrap()), &Config::default())
}

fn said(built: &Built) -> String {
    let lines =
        built.errors.iter().chain(&built.warnings).map(|error| format!("{error} [{}]\n", error.reason()));
    lines.collect()
}

#[test]
fn good_manifests_are_accepted_as_a_whole() {
    for file in manifests("pass") {
        let built = judge(&file);
        assert_eq!(said(&built), "", "{}", file.display());
        assert!(!built.config.pools().is_empty(), "{}", file.display());
    }
}

/// Paths of all values in a document, list items as `[]`.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                paths(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// Paths of all properties of a schema, list items as `[]`.
fn properties(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        properties(property, &format!("{path}.{name}"), found);
    }
    if schema["items"].is_object() {
        properties(&schema["items"], &format!("{path}[]"), found);
    }
}

#[test]
fn every_field_stands_in_a_manifest_that_is_accepted() {
    let text = fs::read_to_string(directory("pass/every-field.yaml")).unwrap();
    let documents: Vec<Value> =
        text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect();
    for crd in crd::all() {
        let version = crd.spec.versions.last().unwrap();
        let schema = serde_json::to_value(version.schema.as_ref().unwrap()).unwrap();
        let kind = crd.spec.names.kind.as_str();
        let mut written = BTreeSet::new();
        for document in documents.iter().filter(|document| document["kind"] == kind) {
            assert_eq!(document["apiVersion"], format!("{}/{}", crd.spec.group, version.name));
            paths(&document["spec"], "spec", &mut written);
        }
        let mut known = BTreeSet::new();
        properties(&schema["openAPIV3Schema"]["properties"]["spec"], "spec", &mut known);
        // Selectors are all alike; each of their fields stands somewhere.
        known.retain(|path| !path.contains("electors[].") && !path.contains("preference."));
        if written.is_empty() {
            assert_eq!(known.len(), 1, "{kind} only has a status");
            continue;
        }
        let missing: Vec<_> = known.difference(&written).collect();
        assert!(missing.is_empty(), "{kind}: {missing:?}");
    }
}

#[test]
fn bad_manifests_are_told_what_is_wrong() {
    for file in manifests("fail") {
        let found = said(&judge(&file));
        let expected = file.with_extension("expected");
        #[expect(clippy::disallowed_methods, reason = "a switch for people who change the texts")]
        let update = std::env::var("UPDATE_GOLDEN").is_ok();
        if update {
            fs::write(&expected, &found).unwrap();
        }
        assert_ne!(found, "", "{}", file.display());
        assert_eq!(found, fs::read_to_string(&expected).unwrap(), "{}", file.display());
    }
}

#[test]
fn next_hops_and_segment_size_of_a_peer_are_those_of_its_session() {
    let fields = "nextHop: {ipv4: 192.0.2.77, ipv6: self}, tcpMSS: 1200";
    let peer = format!(
        "kind: BGPPeer\nmetadata: {{name: p}}\nspec: {{myASN: 1, peerASN: 2, peerAddress: 192.0.2.1, {fields}}}"
    );
    let built = configure(&resources(&peer), &Config::default());
    let peer = built.config.peers().values().next().unwrap();
    assert_eq!((peer.next_hop_v4, peer.next_hop_v6), ("192.0.2.77".parse().ok(), None));
    assert_eq!(peer.tcp_mss, Some(1200));
}

#[test]
fn an_object_that_becomes_unreadable_stays_in_force_as_it_was() {
    let good = "kind: IPAddressPool\nmetadata: {name: p}\nspec: {addresses: [192.0.2.0/24]}";
    let first = configure(&resources(good), &Config::default());
    let bad = "kind: IPAddressPool\nmetadata: {name: p}\nspec: {addresses: 5}";
    let second = configure(&resources(bad), &first.config);
    assert_eq!(second.config.pools(), first.config.pools());
    assert!(second.errors[0].kept_previous());
    assert_eq!(second.errors[0].field, "spec.addresses");
}

#[test]
fn a_null_counts_as_absent_and_a_missing_spec_as_empty() {
    let advertisement: crd::L2Advertisement =
        crd::decode(serde_json::json!({ "metadata": { "name": "a" } })).unwrap();
    assert_eq!(advertisement.spec, crd::L2AdvertisementSpec::default());
    let pool =
        serde_json::json!({ "metadata": { "name": "p" }, "spec": { "addresses": [], "autoAssign": null } });
    let pool: crd::IPAddressPool = crd::decode(pool).unwrap();
    assert!(pool.spec.auto_assign);
}

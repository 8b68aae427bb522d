//! Checks of the user's objects: shape, schema, and what they mean together.

use std::collections::BTreeMap;

use kube::Resource;
use metallb_apiserver::Server;
use metallb_core::config::{Config, ConfigError};
use metallb_core::keys::Created;
use metallb_k8s::convert::{self, Object, PasswordRecord, Resources};
use metallb_k8s::crd;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Document, FileFault};
use crate::api;
use crate::error::Error;
use crate::scenario::SYSTEM_NAMESPACE;

/// Kinds of Kubernetes itself that make sense in a lab.
const BUILT_IN: &[(&str, &str)] = &[
    ("v1", "ConfigMap"),
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
];

/// Checks that each object is of a kind that the lab knows and has a name; puts what belongs to
/// the load balancer into its namespace.
pub(super) fn shapes(documents: &mut [Document]) -> Vec<FileFault> {
    let known = known_kinds();
    let mut faults = Vec::new();
    let mut seen: BTreeMap<(String, String, String), String> = BTreeMap::new();
    for document in documents {
        let ours = document.text("/apiVersion").starts_with("metallb.io/");
        match shape(document, &known) {
            Err(problem) => faults.push(document.fault(problem)),
            Ok(()) if ours => adopt(document),
            Ok(()) => {}
        }
        let key = (
            document.kind().to_owned(),
            document.text("/metadata/namespace").to_owned(),
            document.name().to_owned(),
        );
        let place = format!("{}:{}", document.file.display(), document.line);
        if let Some(first) = seen.insert(key, place) {
            faults.push(document.fault(format!("stands in the files twice, first at {first}; remove one")));
        }
    }
    faults
}

fn shape(document: &Document, known: &[(String, String)]) -> Result<(), String> {
    let (version, kind) = (document.text("/apiVersion"), document.kind());
    if kind.is_empty() {
        return Err("kind: is missing; every object needs apiVersion, kind and metadata.name".to_owned());
    }
    if !known.iter().any(|(v, k)| v == version && k == kind) {
        return Err(unknown_kind(version, kind, known));
    }
    if document.name().is_empty() {
        return Err("metadata.name: is missing or not text; give the object a name".to_owned());
    }
    let namespace = document.text("/metadata/namespace");
    if version.starts_with("metallb.io/") && !["", SYSTEM_NAMESPACE].contains(&namespace) {
        return Err(format!(
            "metadata.namespace: is {namespace:?}, where the daemons do not look; leave it away or use {SYSTEM_NAMESPACE:?}"
        ));
    }
    Ok(())
}

fn unknown_kind(version: &str, kind: &str, known: &[(String, String)]) -> String {
    let same = known.iter().filter(|(_, k)| k.eq_ignore_ascii_case(kind));
    let versions: Vec<_> = same.map(|(v, k)| format!("{v} {k}")).collect();
    if !versions.is_empty() {
        return format!("apiVersion: {version:?} has no kind {kind:?}; write {}", versions.join(" or "));
    }
    let mut kinds: Vec<_> = known.iter().map(|(_, k)| k.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    format!("kind: {kind:?} is unknown to the lab; it knows {}", kinds.join(", "))
}

fn known_kinds() -> Vec<(String, String)> {
    let mut known: Vec<_> = BUILT_IN.iter().map(|(v, k)| ((*v).to_owned(), (*k).to_owned())).collect();
    for definition in metallb_k8s::crd::all() {
        for version in definition.spec.versions.iter().filter(|version| version.storage) {
            let api_version = format!("{}/{}", definition.spec.group, version.name);
            known.push((api_version, definition.spec.names.kind.clone()));
        }
    }
    known
}

fn adopt(document: &mut Document) {
    if let Some(metadata) = document.value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), json!(SYSTEM_NAMESPACE));
    }
}

/// Puts the objects into an API server of their own, which refuses what the real one would; keeps
/// what it made of them.
pub(super) fn schemas(documents: &mut [Document]) -> Result<Vec<FileFault>, Error> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let server: Server = api::server()?;
    for namespace in namespaces(documents) {
        api::put(
            &server,
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        )?;
    }
    let mut faults = Vec::new();
    for document in documents {
        match api::put(&server, &document.value) {
            Ok(stored) => document.stored = stored,
            Err(Error::Server { reason, .. }) => {
                // The object is named already.
                let problem = reason.split_once(" is invalid: ").map_or(reason.as_str(), |(_, what)| what);
                faults.push(document.fault(problem));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(faults)
}

fn namespaces(documents: &[Document]) -> std::collections::BTreeSet<String> {
    documents
        .iter()
        .map(|document| document.text("/metadata/namespace").to_owned())
        .filter(|namespace| !namespace.is_empty())
        .chain([SYSTEM_NAMESPACE.to_owned(), "default".to_owned()])
        .collect()
}

/// Checks what the objects mean together, with the very validator of the daemons.
pub(super) fn meaning(documents: &[Document]) -> Result<Config, Vec<FileFault>> {
    let mut resources = Resources::default();
    for document in documents {
        match document.kind() {
            "IPAddressPool" => resources.pools.push(object(document)),
            "L2Advertisement" => resources.l2_advertisements.push(object(document)),
            "BGPAdvertisement" => resources.bgp_advertisements.push(object(document)),
            "BGPPeer" => resources.peers.push(object(document)),
            "Community" => resources.communities.push(object(document)),
            "BFDProfile" => resources.bfd_profiles.push(object(document)),
            "Secret" if document.text("/metadata/namespace") == SYSTEM_NAMESPACE => {
                if let Ok(secret) = crd::decode(document.stored.clone()) {
                    let PasswordRecord(password) = PasswordRecord::cut(&secret);
                    resources.passwords.insert(document.name().to_owned(), password);
                }
            }
            _ => {}
        }
    }
    let built = convert::configure(&resources, &Config::default());
    if built.errors.is_empty() {
        return Ok(built.config);
    }
    let fault = |error: &ConfigError| {
        let kind = error.object.kind.to_string();
        let about = |document: &&Document| document.kind() == kind && document.name() == &*error.object.name;
        let problem = match error.field.as_str() {
            "" => error.problem.to_string(),
            field => format!("{field}: {}", error.problem),
        };
        documents.iter().find(about).map(|document| document.fault(problem))
    };
    Err(built.errors.iter().filter_map(fault).collect())
}

fn object<K: Resource + DeserializeOwned>(document: &Document) -> Object<K> {
    crd::decode(document.stored.clone())
        .map_or_else(|error| Object::unreadable(document.name(), Created(i64::MAX), error), Object::new)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{load, parse};
    use super::*;
    use crate::options::Options;
    use crate::scenario::{DEFAULT_CONFIGURATION, watched_configuration};

    fn faults(text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file: PathBuf = dir.path().join("a.yaml");
        std::fs::write(&file, text).unwrap();
        match load(&Options { files: vec![file], ..Options::default() }) {
            Err(Error::Files(faults)) => {
                let prefix = format!("{}/", dir.path().display());
                faults.iter().map(|fault| fault.to_string().replace(&prefix, "")).collect()
            }
            Ok(_) => Vec::new(),
            Err(other) => panic!("{}", other.report()),
        }
    }

    #[test]
    fn the_built_in_configuration_is_good() {
        assert_eq!(faults(DEFAULT_CONFIGURATION), Vec::<String>::new());
        assert!(!parse::documents("a".as_ref(), DEFAULT_CONFIGURATION).unwrap().is_empty());
    }

    #[test]
    fn the_built_in_configuration_with_bfd_is_good_and_watches_every_peer() {
        let loaded = load(&Options { bfd: true, ..Options::default() }).unwrap();
        assert_eq!(faults(&watched_configuration()), Vec::<String>::new());
        assert_eq!(loaded.config.peers().len(), 2);
        assert!(loaded.config.peers().values().all(|peer| peer.bfd.is_some()));
        assert_eq!(loaded.config.bfd_profiles().len(), 1);
    }

    #[test]
    fn an_unknown_kind_is_named_with_those_that_exist() {
        let found = faults("apiVersion: metallb.io/v1beta1\nkind: AddressPool\nmetadata: {name: x}\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.yaml:1: document 1: AddressPool \"x\": kind: "), "{found:?}");
        assert!(found[0].contains("IPAddressPool"), "{found:?}");
    }

    #[test]
    fn a_kind_of_another_version_is_told_the_right_one() {
        let found = faults("apiVersion: metallb.io/v1beta1\nkind: BGPPeer\nmetadata: {name: x}\n");
        assert!(found[0].contains("metallb.io/v1beta2 BGPPeer"), "{found:?}");
    }

    #[test]
    fn an_invalid_address_is_reported_with_its_field() {
        let pool = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: x}\nspec:\n  addresses: [192.0.2.300/32]\n";
        let found =
            faults(&format!("kind: Namespace\napiVersion: v1\nmetadata: {{name: other}}\n---\n{pool}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("a.yaml:4: document 2: IPAddressPool \"x\": spec.addresses[0]"),
            "{found:?}"
        );
    }

    #[test]
    fn errors_of_different_kinds_are_reported_together() {
        let found = faults(concat!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: x}\n",
            "spec: {addresses: [192.0.2.9-192.0.2.5]}\n---\n",
            "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: p}\n",
            "spec: {myASN: 1, peerASN: 2, peerAddress: 192.0.2.1, peerPort: 99999}\n---\n",
            "apiVersion: metallb.io/v1beta1\nkind: Pool\nmetadata: {name: y}\n",
        ));
        assert_eq!(found.len(), 3, "{found:?}");
        for part in ["spec.addresses[0]", "BGPPeer \"p\": spec.peerPort", "kind: \"Pool\" is unknown"] {
            assert!(found.iter().any(|fault| fault.contains(part)), "{part}: {found:?}");
        }
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let found = faults(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: x}\nspec:\n  adresses: [192.0.2.100/32]\n  addresses: [192.0.2.100/32]\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("spec.adresses"), "{found:?}");
    }

    #[test]
    fn an_object_in_a_namespace_where_nobody_looks_is_refused() {
        let found = faults(
            "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: x, namespace: default}\n",
        );
        assert!(found[0].contains("metadata.namespace"), "{found:?}");
    }

    #[test]
    fn the_same_object_twice_is_refused() {
        let one = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n";
        assert_eq!(faults(&format!("{one}---\n{one}")).len(), 1);
    }
}

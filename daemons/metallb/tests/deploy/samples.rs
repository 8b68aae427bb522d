//! The samples of `deploy/samples`.

use std::collections::{BTreeMap, BTreeSet};

use metallb_core::config::Config;
use metallb_k8s::convert::{self, Object, PasswordRecord, Resources, warnings};
use metallb_k8s::crd;
use serde_json::Value;

use crate::cluster::server;
use crate::support::{objects, read, samples, title};

/// The objects of a sample, as the daemons read what an API server has stored.
fn resources(stored: Vec<Value>) -> Resources {
    let mut all = Resources::default();
    for object in stored {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        match object["kind"].as_str().unwrap() {
            "IPAddressPool" => all.pools.push(Object::new(crd::decode(object).unwrap())),
            "L2Advertisement" => all.l2_advertisements.push(Object::new(crd::decode(object).unwrap())),
            "BGPAdvertisement" => all.bgp_advertisements.push(Object::new(crd::decode(object).unwrap())),
            "BGPPeer" => all.peers.push(Object::new(crd::decode(object).unwrap())),
            "Community" => all.communities.push(Object::new(crd::decode(object).unwrap())),
            "BFDProfile" => all.bfd_profiles.push(Object::new(crd::decode(object).unwrap())),
            "Secret" => {
                let PasswordRecord(password) = PasswordRecord::cut(&crd::decode(object).unwrap());
                all.passwords.insert(name, password);
            }
            _ => {}
        }
    }
    all
}

#[test]
fn every_sample_is_taken_without_an_error_or_a_warning() {
    for (name, text) in samples() {
        let server = server();
        server.apply(&read("deploy/manifests/metallb-native.yaml")).unwrap();
        let stored = objects(&text).into_iter().map(|object| server.apply_object(&object).unwrap());
        let resources = resources(stored.collect());
        let built = convert::configure(&resources, &Config::default());
        assert_eq!(built.errors, [], "{name}");
        assert_eq!(built.warnings, [], "{name}");
        for peer in &resources.peers {
            assert_eq!(warnings(peer.object.as_ref().unwrap()), [], "{name}");
        }
    }
}

#[test]
fn samples_get_along_with_each_other() {
    let mut seen: BTreeMap<String, (String, Value)> = BTreeMap::new();
    let server = server();
    server.apply(&read("deploy/manifests/metallb-native.yaml")).unwrap();
    for (name, text) in samples() {
        for object in objects(&text) {
            let title = title(&object);
            if let Some((other, before)) = seen.get(&title) {
                assert_eq!(*before, object, "{title} in {other} and {name}");
            }
            seen.insert(title, (name.clone(), object));
        }
    }
    let stored = seen.values().map(|(_, object)| server.apply_object(object).unwrap());
    let built = convert::configure(&resources(stored.collect()), &Config::default());
    assert_eq!(built.errors, []);
    assert_eq!(built.warnings, []);
}

#[test]
fn configuration_is_where_the_daemons_look() {
    for (name, text) in samples() {
        for object in objects(&text) {
            let ours = object["apiVersion"].as_str().unwrap().starts_with("metallb.io/");
            let expected = if ours || object["kind"] == "Secret" { "metallb-system" } else { "default" };
            assert_eq!(object["metadata"]["namespace"], expected, "{name}: {}", title(&object));
        }
    }
}

#[test]
fn the_table_lists_every_sample() {
    let files: BTreeSet<_> = samples().into_iter().map(|(name, _)| name).collect();
    let readme = read("deploy/samples/README.md");
    let rows =
        readme.lines().filter_map(|line| line.strip_prefix("| [")?.split_once(']').map(|(name, _)| name));
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), files);
}

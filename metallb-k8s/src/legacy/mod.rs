//! What earlier versions of MetalLB left behind and is not read any more.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use crate::retry::{Retries, Subject, describe, is_final};

mod convert;
#[cfg(test)]
mod convert_tests;
mod format;

pub use convert::{Converted, Remark, convert};

/// Names of the ConfigMaps in which MetalLB before 0.13 found its configuration: by its manifests, and by its chart.
pub const OLD_CONFIG_MAPS: [&str; 2] = ["config", "metallb"];

/// The ConfigMaps of MetalLB's namespace that hold a configuration in the old format. An API server that cannot be reached
/// is waited for; one that does not show them leaves a word in the log.
pub async fn old_config_maps(client: &Client, namespace: &str, retries: &Retries) -> Vec<&'static str> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut found = Vec::new();
    for name in OLD_CONFIG_MAPS {
        let get = || async {
            match api.get_opt(name).await {
                Err(error) if is_final(&error) => {
                    let error = describe(&error);
                    tracing::warn!(name, error, "cannot see whether there is a ConfigMap in the old format");
                    Ok(None)
                }
                other => other,
            }
        };
        let object = retries.until_done(Subject::extra("get", "configmaps"), get).await;
        if object.and_then(|object| object.data).is_some_and(|data| is_old_format(&data)) {
            found.push(name);
        }
    }
    found
}

/// Warns once about each ConfigMap in the old format.
pub async fn warn_about_old_config_maps(client: Client, namespace: String, retries: Retries) {
    for name in old_config_maps(&client, &namespace, &retries).await {
        let error = "a configuration in the format of MetalLB before 0.13 is not read";
        let remedy =
            "`metallb convert` turns it into resources (docs/migration.md); apply them, then delete it";
        tracing::warn!(config_map = format!("{namespace}/{name}"), error, remedy, "old configuration");
    }
}

/// Whether the data of a ConfigMap are a configuration in the old format: a document under `config` with one of its
/// sections.
pub fn is_old_format(data: &BTreeMap<String, String>) -> bool {
    let Some(document) = data.get("config") else { return false };
    let is_section = |line: &str| {
        SECTIONS
            .iter()
            .any(|section| line.strip_prefix(section).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    document.lines().any(is_section)
}

/// What the old format has at its top level.
const SECTIONS: [&str; 5] =
    ["address-pools", "peers", "bgp-communities", "bfd-profiles", "peer-autodiscovery"];

#[cfg(test)]
mod tests {
    use super::*;

    fn is_old(key: &str, document: &str) -> bool {
        is_old_format(&BTreeMap::from([(key.to_owned(), document.to_owned())]))
    }

    #[test]
    fn a_document_with_a_section_of_the_old_format_is_one() {
        assert!(is_old("config", "address-pools:\n- name: default\n  protocol: layer2\n"));
        assert!(is_old("config", "# routers\npeers :\n- my-asn: 64500\n"));
    }

    #[test]
    fn configurations_of_others_are_none() {
        assert!(!is_old("config", "level: debug\nnested:\n  peers: []\n"));
        assert!(!is_old("excludel2.yaml", "address-pools: []"));
        assert!(!is_old_format(&BTreeMap::new()));
    }
}

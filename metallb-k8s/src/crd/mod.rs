//! The custom resources of `metallb.io`, field by field as MetalLB has them.
//!
//! The types only carry what is written in YAML: the same names, defaults, columns and short
//! validation, unknown fields ignored. What it means is decided by [`crate::convert`].
//! The manifests in `deploy/crds/` are generated from these types.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

mod bfd_profile;
mod bgp_advertisement;
mod bgp_peer;
mod bgp_peer_v1beta1;
mod community;
mod condition;
mod configuration_state;
mod ip_address_pool;
mod l2_advertisement;
mod schema;
mod selector;
mod service_bgp_status;
mod service_l2_status;

pub use bfd_profile::{BFDProfile, BFDProfileSpec};
pub use bgp_advertisement::{BGPAdvertisement, BGPAdvertisementSpec};
pub use bgp_peer::{BGPPeer, BGPPeerSpec, Password, PeerNextHop, SecretReference};
pub use community::{Community, CommunityAlias, CommunitySpec};
pub use condition::{Condition, ConditionStatus, ConfigurationStatus};
pub use configuration_state::{
    ConfigurationResult, ConfigurationState, ConfigurationStateSpec, ConfigurationStateStatus,
};
pub use ip_address_pool::{IPAddressPool, IPAddressPoolSpec, IPAddressPoolStatus, ServiceAllocation};
pub use l2_advertisement::{L2Advertisement, L2AdvertisementSpec, PreferredNodeSelector};
pub use selector::{LabelExpression, LabelSelector};
pub use service_bgp_status::{ServiceBGPStatus, ServiceBGPStatusSpec, ServiceBGPStatusStatus};
pub use service_l2_status::{InterfaceInfo, ServiceL2Status, ServiceL2StatusSpec, ServiceL2StatusStatus};

/// The first version of `BGPPeer`, still served.
pub mod v1beta1 {
    pub use super::bgp_peer_v1beta1::{BGPPeer, BGPPeerSpec, NodeExpression, NodeSelector};
}

/// The API group of all resources.
pub const GROUP: &str = "metallb.io";

/// The definitions of all resources, as they are installed in a cluster.
///
/// ```
/// let names: Vec<_> = metallb_k8s::crd::all().into_iter().filter_map(|crd| crd.metadata.name).collect();
/// assert!(names.contains(&"ipaddresspools.metallb.io".to_owned()));
/// ```
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut peers = schema::normalized(BGPPeer::crd(), false);
    let old = schema::normalized(v1beta1::BGPPeer::crd(), false);
    let stored = std::mem::take(&mut peers.spec.versions);
    peers.spec.versions = old
        .spec
        .versions
        .into_iter()
        .map(|mut version| {
            version.storage = false;
            version
        })
        .chain(stored)
        .collect();
    vec![
        schema::normalized(BFDProfile::crd(), false),
        schema::normalized(BGPAdvertisement::crd(), false),
        peers,
        schema::normalized(Community::crd(), false),
        schema::normalized(ConfigurationState::crd(), false),
        schema::normalized(IPAddressPool::crd(), true),
        schema::normalized(L2Advertisement::crd(), false),
        schema::with_empty_spec(schema::normalized(ServiceBGPStatus::crd(), false)),
        schema::with_empty_spec(schema::normalized(ServiceL2Status::crd(), false)),
    ]
}

/// Reads one object.
///
/// Forgiving where Go's decoder is: a `null` counts as absent, and so does a missing `spec`.
///
/// # Errors
/// [`DecodeError`] with the field at fault when a value has the wrong type or a required field is
/// missing.
pub fn decode<K: DeserializeOwned>(mut object: Value) -> Result<K, DecodeError> {
    drop_nulls(&mut object);
    if let Value::Object(map) = &mut object {
        map.entry("spec").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    serde_path_to_error::deserialize(object).map_err(|error| {
        let field = error.path().to_string();
        // The decoder quotes what it found; a password must not get into reports.
        let secret = field.ends_with("password");
        let message = if secret { "not a text".to_owned() } else { error.inner().to_string() };
        DecodeError { field, message }
    })
}

/// An object that does not have the form its kind demands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// Path of the field at fault, for example `spec.addresses[1]`.
    pub field: String,
    /// What was found and what was expected there.
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for DecodeError {}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

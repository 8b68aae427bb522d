//! `BGPPeer`, `metallb.io/v1beta1`: served for old manifests, stored as v1beta2.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigurationStatus, Password};

/// A router that the selected nodes hold a BGP session with, as first written.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BGPPeer",
    plural = "bgppeers",
    namespaced,
    status = "ConfigurationStatus",
    derive = "PartialEq",
    deprecated = "metallb.io/v1beta1 BGPPeer is deprecated, use v1beta2",
    doc = "A BGP session between the selected nodes and a router (old form).",
    printcolumn = r#"{"name": "Address", "type": "string", "jsonPath": ".spec.peerAddress"}"#,
    printcolumn = r#"{"name": "ASN", "type": "string", "jsonPath": ".spec.peerASN"}"#,
    printcolumn = r#"{"name": "BFD Profile", "type": "string", "jsonPath": ".spec.bfdProfile"}"#,
    printcolumn = r#"{"name": "Multi Hops", "type": "string", "jsonPath": ".spec.ebgpMultiHop"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BGPPeerSpec {
    /// Our AS number.
    #[serde(rename = "myASN")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub my_asn: i64,
    /// The router's AS number.
    #[serde(rename = "peerASN")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub peer_asn: i64,
    /// The router's address.
    pub peer_address: String,
    /// Address of the node to connect from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// TCP port of the router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub peer_port: Option<i32>,
    /// Hold time to propose, for example 90s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<String>,
    /// Interval between KEEPALIVE messages, for example 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive_time: Option<String>,
    /// BGP identifier to show to this router, written as an IPv4 address.
    #[serde(default, rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,
    /// Selects the nodes that hold the session. Empty: every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<NodeSelector>,
    /// Password of the session (TCP MD5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub password: Option<Password>,
    /// Name of the BFDProfile with which BFD guards the session. Absent: no BFD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd_profile: Option<String>,
    /// The router is more than one hop away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<bool>,
}

/// Chooses nodes by their labels, in the old form whose expressions always have values.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector {
    /// Labels that must be present with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions that must all hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<NodeExpression>,
}

/// One demand on the labels.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NodeExpression {
    /// The label that the expression speaks of.
    pub key: String,
    /// In or NotIn.
    pub operator: String,
    /// The values that the label is compared with.
    #[schemars(length(min = 1))]
    pub values: Vec<String>,
}

//! `BGPPeer`, `metallb.io/v1beta2`, the stored version.

use std::fmt;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigurationStatus, LabelSelector};

/// A router that the selected nodes hold a BGP session with.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "metallb.io",
    version = "v1beta2",
    kind = "BGPPeer",
    plural = "bgppeers",
    namespaced,
    status = "ConfigurationStatus",
    derive = "PartialEq",
    doc = "A BGP session between the selected nodes and a router.",
    printcolumn = r#"{"name": "Address", "type": "string", "jsonPath": ".spec.peerAddress"}"#,
    printcolumn = r#"{"name": "ASN", "type": "string", "jsonPath": ".spec.peerASN"}"#,
    printcolumn = r#"{"name": "BFD Profile", "type": "string", "jsonPath": ".spec.bfdProfile"}"#,
    printcolumn = r#"{"name": "Multi Hops", "type": "string", "jsonPath": ".spec.ebgpMultiHop"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "(has(self.peerASN) && self.peerASN != 0) != has(self.dynamicASN)",
        "message": "exactly one of peerASN and dynamicASN must be given"
    },
    {
        "rule": "(has(self.peerAddress) && self.peerAddress != '') != (has(self.interface) && \
        self.interface != '')",
        "message": "exactly one of peerAddress and interface must be given"
    },
    {
        "rule": "!(has(self.password) && self.password != '' && has(self.passwordSecret) && \
        has(self.passwordSecret.name) && self.passwordSecret.name != '')",
        "message": "password and passwordSecret exclude each other"
    },
    {
        "rule": "!(has(self.ebgpMultiHop) && self.ebgpMultiHop) || !has(self.peerASN) || \
        self.peerASN != self.myASN",
        "message": "ebgpMultiHop is only for external peers"
    },
    {
        "rule": "!has(self.holdTime) || !has(self.keepaliveTime) || duration(self.keepaliveTime) <= \
        duration(self.holdTime)",
        "message": "keepaliveTime must not be longer than holdTime"
    }
]))]
#[serde(rename_all = "camelCase")]
pub struct BGPPeerSpec {
    /// Our AS number.
    #[serde(rename = "myASN")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub my_asn: i64,
    /// The router's AS number. Give either this or dynamicASN.
    #[serde(default, rename = "peerASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub peer_asn: Option<i64>,
    /// Takes the AS number that the router names: internal demands our own, external any other.
    #[serde(default, rename = "dynamicASN", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["internal", "external"]))]
    pub dynamic_asn: Option<String>,
    /// AS number to show to this router in place of myASN.
    #[serde(default, rename = "localASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub local_asn: Option<i64>,
    /// The router's address. Give either this or interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_address: Option<String>,
    /// Interface of the node over which to find the router, for sessions without configured
    /// addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Address of the node to connect from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// TCP port of the router.
    #[serde(default = "bgp_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub peer_port: Option<i32>,
    /// Hold time to propose, for example 90s; 0s or at least 3s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "duration(self) == duration('0s') || (duration(self) >= duration('3s') && duration(self) < duration('65536s'))", "message": "the hold time must be 0s or between 3s and 65535s" }]))]
    #[schemars(length(max = 64))]
    pub hold_time: Option<String>,
    /// Interval between KEEPALIVE messages, for example 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub keepalive_time: Option<String>,
    /// How long to wait between attempts to connect, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "duration(self) >= duration('1s') && duration(self) <= duration('65535s')", "message": "the connect time must be between 1s and 65535s" },
    { "rule": "duration(self).getMilliseconds() % 1000 == 0", "message": "the connect time must be a whole number of seconds" }]))]
    #[schemars(length(max = 64))]
    pub connect_time: Option<String>,
    /// BGP identifier to show to this router, written as an IPv4 address.
    #[serde(default, rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,
    /// Next hops to announce to this router in place of the node's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<PeerNextHop>,
    /// Maximum size of TCP segments, for paths that lose big packets. Absent: the system's.
    #[serde(default, rename = "tcpMSS", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 88, max = 32767))]
    pub tcp_mss: Option<i32>,
    /// Selects the nodes that hold the session. Empty: every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,
    /// Password of the session (TCP MD5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub password: Option<Password>,
    /// Secret of type kubernetes.io/basic-auth with the password of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<SecretReference>,
    /// Name of the BFDProfile with which BFD guards the session. Absent: no BFD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd_profile: Option<String>,
    /// Lets the router keep forwarding while the session restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": "enableGracefulRestart cannot be changed; create the peer anew" }]))]
    pub enable_graceful_restart: Option<bool>,
    /// The router is more than one hop away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<bool>,
    /// Holds the session in this VRF of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
    /// Carries IPv4 and IPv6 routes on this session, whatever the family of its address.
    #[serde(default)]
    pub dual_stack_address_family: bool,
    /// Without effect; dualStackAddressFamily decides which families a session carries.
    #[serde(default, rename = "disableMP")]
    pub disable_mp: bool,
}

/// A password as it stands in a resource. Its `Debug` form is redacted.
#[derive(Serialize, Deserialize, Clone, Default, PartialEq, Eq)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes the password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// The password in the clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// Next hops of the routes that a router gets.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PeerNextHop {
    /// Next hop of IPv4 routes. Absent or self: an address of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15))]
    pub ipv4: Option<String>,
    /// Next hop of IPv6 routes. Absent or self: an address of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    pub ipv6: Option<String>,
}

/// Names the Secret with a peer's password.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretReference {
    /// Name of the Secret, in MetalLB's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Without effect; Secrets are read from MetalLB's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn bgp_port() -> Option<i32> {
    Some(179)
}

//! The old format, field by field. Unknown fields are refused, as the old controller refused them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The document under the key `config`.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Document {
    pub(super) peers: Vec<Peer>,
    /// `communities` in versions before 0.3.
    #[serde(alias = "communities")]
    pub(super) bgp_communities: BTreeMap<String, Text>,
    pub(super) address_pools: Vec<Pool>,
    pub(super) bfd_profiles: Vec<BfdProfile>,
    pub(super) peer_autodiscovery: Option<de::IgnoredAny>,
}

/// An element of `address-pools`.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Pool {
    pub(super) name: Text,
    /// Absent in versions before 0.3, where everything was BGP.
    pub(super) protocol: Option<String>,
    /// `cidr` in versions before 0.5.
    #[serde(alias = "cidr")]
    pub(super) addresses: Vec<String>,
    pub(super) avoid_buggy_ips: bool,
    pub(super) auto_assign: Option<bool>,
    /// `advertisements` in versions before 0.3.
    #[serde(alias = "advertisements")]
    pub(super) bgp_advertisements: Vec<BgpAdvertisement>,
    /// Versions 0.3 and 0.4: the network whose first and last address were not to be used.
    pub(super) arp_network: Option<String>,
}

/// An element of `bgp-advertisements`.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BgpAdvertisement {
    pub(super) name: Option<Text>,
    pub(super) aggregation_length: Option<i64>,
    pub(super) aggregation_length_v6: Option<i64>,
    pub(super) localpref: Option<u32>,
    pub(super) communities: Vec<Text>,
}

/// An element of `peers`.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Peer {
    pub(super) my_asn: Option<u32>,
    pub(super) peer_asn: Option<u32>,
    pub(super) peer_address: Option<String>,
    pub(super) source_address: Option<String>,
    pub(super) peer_port: Option<u16>,
    pub(super) hold_time: Option<Text>,
    pub(super) keepalive_time: Option<Text>,
    pub(super) router_id: Option<String>,
    pub(super) node_selectors: Vec<NodeSelector>,
    pub(super) password: Option<Text>,
    pub(super) bfd_profile: Option<Text>,
    pub(super) ebgp_multihop: bool,
}

/// An element of `node-selectors`.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NodeSelector {
    pub(super) match_labels: BTreeMap<String, Text>,
    pub(super) match_expressions: Vec<Expression>,
}

/// An element of `match-expressions`.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Expression {
    pub(super) key: String,
    pub(super) operator: String,
    pub(super) values: Vec<Text>,
}

/// An element of `bfd-profiles`.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BfdProfile {
    pub(super) name: Text,
    pub(super) receive_interval: Option<u32>,
    pub(super) transmit_interval: Option<u32>,
    pub(super) detect_multiplier: Option<u32>,
    pub(super) echo_interval: Option<u32>,
    pub(super) echo_mode: bool,
    pub(super) passive_mode: bool,
    pub(super) minimum_ttl: Option<u32>,
}

/// A text, or what YAML takes for a number or a truth although a text is meant (`password: 12345`).
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

/// Some texts are passwords.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(..)")
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Text, E> {
        Ok(Text(truth.to_string()))
    }
}

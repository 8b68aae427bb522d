//! From the old format to resources.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::format::{BfdProfile, BgpAdvertisement, Document, NodeSelector, Peer, Pool, Text};
use crate::crd::GROUP;

/// Something to say about one field of a document in the old format.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remark {
    /// Path of the field, for example `address-pools[0].protocol`.
    pub field: String,
    /// What is to be said, and what would help.
    pub message: String,
}

/// The resources that mean what a document in the old format meant.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Converted {
    /// The objects, in an order in which they can be applied.
    pub objects: Vec<Value>,
    /// What is not the same as it was, although everything has been taken over.
    pub remarks: Vec<Remark>,
}

/// Turns a configuration in the old format, as it stands under the key `config` of the ConfigMap, into resources of
/// the namespace. All versions of the format are read: `cidr`, `advertisements`, `communities`, `protocol: arp` and
/// `arp-network` too, which versions up to 0.5 had.
///
/// Whether the values are good is for [`configure`](crate::convert::configure) to say, once they are resources.
///
/// # Errors
/// Everything that has no place in the format, or cannot be expressed by resources.
pub fn convert(document: &Value, namespace: &str) -> Result<Converted, Vec<Remark>> {
    let document: Document = if document.is_null() {
        Document::default()
    } else {
        serde_path_to_error::deserialize(document).map_err(|error| {
            let field = error.path().to_string();
            vec![remark(if field == "." { String::new() } else { field }, error.inner().to_string())]
        })?
    };
    let mut writer = Writer { namespace, converted: Converted::default(), errors: Vec::new() };
    if document.peer_autodiscovery.is_some() {
        let message =
            "peers that nodes name in their labels are not supported; write one peer for each router";
        writer.errors.push(remark("peer-autodiscovery", message));
    }
    let profiles = writer.profiles(&document.bfd_profiles);
    writer.communities(&document.bgp_communities);
    writer.peers(&document.peers, &profiles);
    writer.pools(&document.address_pools);
    if writer.errors.is_empty() { Ok(writer.converted) } else { Err(writer.errors) }
}

fn remark(field: impl Into<String>, message: impl Into<String>) -> Remark {
    Remark { field: field.into(), message: message.into() }
}

struct Writer<'a> {
    namespace: &'a str,
    converted: Converted,
    errors: Vec<Remark>,
}

/// New names by old ones.
type Names = BTreeMap<String, String>;

impl Writer<'_> {
    fn push(&mut self, version: &str, kind: &str, name: &str, spec: Map<String, Value>) {
        let spec = Value::Object(spec);
        self.converted.objects.push(json!({
            "apiVersion": format!("{GROUP}/{version}"), "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        }));
    }

    fn profiles(&mut self, profiles: &[BfdProfile]) -> Names {
        let names = profiles.iter().map(|profile| profile.name.0.as_str());
        let names = self.rename(names, "bfd-profiles", "");
        for profile in profiles {
            let mut spec = Map::new();
            put(&mut spec, "receiveInterval", profile.receive_interval);
            put(&mut spec, "transmitInterval", profile.transmit_interval);
            put(&mut spec, "detectMultiplier", profile.detect_multiplier);
            put(&mut spec, "echoInterval", profile.echo_interval);
            put(&mut spec, "echoMode", profile.echo_mode.then_some(true));
            put(&mut spec, "passiveMode", profile.passive_mode.then_some(true));
            put(&mut spec, "minimumTtl", profile.minimum_ttl);
            if let Some(name) = names.get(&profile.name.0) {
                self.push("v1beta1", "BFDProfile", name, spec);
            }
        }
        names
    }

    fn communities(&mut self, communities: &BTreeMap<String, Text>) {
        if communities.is_empty() {
            return;
        }
        let list: Vec<_> =
            communities.iter().map(|(name, Text(value))| json!({"name": name, "value": value})).collect();
        self.push(
            "v1beta1",
            "Community",
            "communities",
            Map::from_iter([("communities".to_owned(), list.into())]),
        );
    }

    fn peers(&mut self, peers: &[Peer], profiles: &Names) {
        let mut taken = BTreeSet::new();
        for (index, peer) in peers.iter().enumerate() {
            let field = format!("peers[{index}]");
            let Some(address) = self.required(peer.peer_address.as_ref(), &field, "peer-address") else {
                continue;
            };
            let Some(my_asn) = self.required(peer.my_asn.as_ref(), &field, "my-asn") else { continue };
            let Some(peer_asn) = self.required(peer.peer_asn.as_ref(), &field, "peer-asn") else { continue };
            let name = unique(&format!("peer-{}", slug(address)), &mut taken);
            let mut spec = Map::new();
            put(&mut spec, "myASN", Some(*my_asn));
            put(&mut spec, "peerASN", Some(*peer_asn));
            put(&mut spec, "peerAddress", Some(address.as_str()));
            put(&mut spec, "peerPort", peer.peer_port.filter(|port| *port != 0));
            put(&mut spec, "sourceAddress", given(peer.source_address.as_deref()));
            put(&mut spec, "holdTime", peer.hold_time.as_ref().and_then(duration));
            put(&mut spec, "keepaliveTime", peer.keepalive_time.as_ref().and_then(duration));
            put(&mut spec, "routerID", given(peer.router_id.as_deref()));
            put(&mut spec, "ebgpMultiHop", peer.ebgp_multihop.then_some(true));
            let selectors: Vec<_> = peer.node_selectors.iter().map(selector).collect();
            put(&mut spec, "nodeSelectors", Some(selectors).filter(|selectors| !selectors.is_empty()));
            self.profile_of(peer, profiles, &field, &mut spec);
            if let Some(password) = given(peer.password.as_ref().map(|Text(text)| text.as_str())) {
                let secret = format!("{name}-password");
                self.secret(&secret, password);
                put(&mut spec, "passwordSecret", Some(json!({"name": secret})));
            }
            self.push("v1beta2", "BGPPeer", &name, spec);
        }
    }

    fn profile_of(&mut self, peer: &Peer, profiles: &Names, field: &str, spec: &mut Map<String, Value>) {
        let Some(profile) = given(peer.bfd_profile.as_ref().map(|Text(text)| text.as_str())) else { return };
        match profiles.get(profile) {
            Some(name) => put(spec, "bfdProfile", Some(name.as_str())),
            None => self.errors.push(remark(
                format!("{field}.bfd-profile"),
                format!("bfd-profiles has no profile {profile:?}; write it there or correct the name"),
            )),
        }
    }

    fn secret(&mut self, name: &str, password: &str) {
        self.converted.objects.push(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth",
            "metadata": {"name": name, "namespace": self.namespace}, "stringData": {"password": password},
        }));
    }

    fn pools(&mut self, pools: &[Pool]) {
        let names = self.rename(pools.iter().map(|pool| pool.name.0.as_str()), "address-pools", POOL_RENAMED);
        let mut layer2 = Vec::new();
        let mut advertisements = BTreeSet::new();
        for (index, pool) in pools.iter().enumerate() {
            let field = format!("address-pools[{index}]");
            let Some(name) = names.get(&pool.name.0) else { continue };
            let mut spec = Map::from_iter([("addresses".to_owned(), json!(pool.addresses))]);
            put(&mut spec, "autoAssign", pool.auto_assign.filter(|auto| !auto));
            put(&mut spec, "avoidBuggyIPs", pool.avoid_buggy_ips.then_some(true));
            self.push("v1beta1", "IPAddressPool", name, spec);
            if pool.arp_network.is_some() {
                let message = "has had no effect since MetalLB 0.5; if addresses of the pool are the first or last of your network, leave them out of addresses";
                self.converted.remarks.push(remark(format!("{field}.arp-network"), message));
            }
            match pool.protocol.as_deref() {
                Some("layer2" | "arp" | "ndp") => {
                    if !pool.bgp_advertisements.is_empty() {
                        let message = "a pool of protocol layer2 has none; remove them or set protocol: bgp";
                        self.errors.push(remark(format!("{field}.bgp-advertisements"), message));
                    }
                    layer2.push(name.clone());
                }
                Some("bgp") | None => self.advertisements(pool, name, &field, &mut advertisements),
                Some(other) => self.errors.push(remark(
                    format!("{field}.protocol"),
                    format!("{other:?} is not a protocol; write layer2 or bgp"),
                )),
            }
        }
        if !layer2.is_empty() {
            let spec = Map::from_iter([("ipAddressPools".to_owned(), json!(layer2))]);
            self.push("v1beta1", "L2Advertisement", "layer2", spec);
        }
    }

    fn advertisements(&mut self, pool: &Pool, name: &str, field: &str, taken: &mut BTreeSet<String>) {
        let default = [BgpAdvertisement::default()];
        let listed = if pool.bgp_advertisements.is_empty() { &default[..] } else { &pool.bgp_advertisements };
        for (index, advertisement) in listed.iter().enumerate() {
            let mut spec = Map::from_iter([("ipAddressPools".to_owned(), json!([name]))]);
            put(&mut spec, "aggregationLength", advertisement.aggregation_length);
            put(&mut spec, "aggregationLengthV6", advertisement.aggregation_length_v6);
            put(&mut spec, "localPref", advertisement.localpref);
            let communities: Vec<_> =
                advertisement.communities.iter().map(|Text(text)| text.as_str()).collect();
            put(&mut spec, "communities", Some(communities).filter(|communities| !communities.is_empty()));
            let own = advertisement.name.as_ref().map(|Text(text)| text.as_str());
            let wanted = own.map_or_else(|| name.to_owned(), slug);
            if wanted.is_empty() {
                let field = format!("{field}.bgp-advertisements[{index}].name");
                self.errors.push(remark(field, "no name can be made of it; write letters or digits"));
                continue;
            }
            let unique = unique(&wanted, taken);
            self.push("v1beta1", "BGPAdvertisement", &unique, spec);
        }
    }

    /// A value that must be there.
    fn required<'v, T>(&mut self, value: Option<&'v T>, field: &str, name: &str) -> Option<&'v T> {
        if value.is_none() {
            self.errors.push(remark(format!("{field}.{name}"), "is missing; write it"));
        }
        value
    }

    /// Names that Kubernetes takes, with a remark on every one that had to change.
    fn rename<'n>(
        &mut self,
        names: impl Iterator<Item = &'n str>,
        section: &str,
        consequence: &str,
    ) -> Names {
        let mut renamed = Names::new();
        let mut taken = BTreeSet::new();
        for (index, name) in names.enumerate() {
            let field = format!("{section}[{index}].name");
            let wanted = slug(name);
            if name.is_empty() {
                self.errors.push(remark(field, "is missing; write it"));
            } else if wanted.is_empty() {
                self.errors.push(remark(field, "no name can be made of it; write letters or digits"));
            } else if renamed.contains_key(name) {
                self.errors.push(remark(field, format!("{name:?} is there twice; rename one")));
            } else {
                let new = unique(&wanted, &mut taken);
                if new != name {
                    let message =
                        format!("{name:?} is not a name of an object; it becomes {new:?}{consequence}");
                    self.converted.remarks.push(remark(field, message));
                }
                renamed.insert(name.to_owned(), new);
            }
        }
        renamed
    }
}

fn put(spec: &mut Map<String, Value>, name: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        spec.insert(name.to_owned(), json!(value));
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// A duration; a bare number meant seconds in the first versions.
fn duration(Text(text): &Text) -> Option<String> {
    let text = text.trim();
    let bare = text != "0" && text.bytes().all(|octet| octet.is_ascii_digit());
    given(Some(text)).map(|text| if bare { format!("{text}s") } else { text.to_owned() })
}

fn selector(old: &NodeSelector) -> Value {
    let mut new = Map::new();
    let labels: BTreeMap<_, _> = old.match_labels.iter().map(|(key, Text(value))| (key, value)).collect();
    put(&mut new, "matchLabels", Some(labels).filter(|labels| !labels.is_empty()));
    let expressions = old.match_expressions.iter().map(|expression| {
        let mut new = Map::new();
        put(&mut new, "key", Some(&expression.key));
        put(&mut new, "operator", Some(&expression.operator));
        let values: Vec<_> = expression.values.iter().map(|Text(value)| value).collect();
        put(&mut new, "values", Some(values).filter(|values| !values.is_empty()));
        Value::Object(new)
    });
    let expressions: Vec<_> = expressions.collect();
    put(&mut new, "matchExpressions", Some(expressions).filter(|expressions| !expressions.is_empty()));
    Value::Object(new)
}

/// The nearest name that Kubernetes takes for an object: small letters, digits, dashes and dots.
fn slug(text: &str) -> String {
    if let Ok(IpAddr::V6(address)) = text.parse() {
        return address.to_string().replace("::", "-x-").replace(':', "-").trim_matches('-').to_owned();
    }
    let replaced = text.chars().map(|character| match character {
        'a'..='z' | '0'..='9' | '.' | '-' => character,
        'A'..='Z' => character.to_ascii_lowercase(),
        _ => '-',
    });
    let replaced: String = replaced.take(LONGEST_NAME).collect();
    replaced.trim_matches(['-', '.']).to_owned()
}

/// The name, or the first with a number behind it that is free.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 1_u32;
    while !taken.insert(candidate.clone()) {
        number = number.saturating_add(1);
        candidate = format!("{name}-{number}");
    }
    candidate
}

const POOL_RENAMED: &str = ", and services that ask for the pool in an annotation must name it so";
/// Kubernetes allows 253; a number and a word may follow.
const LONGEST_NAME: usize = 230;

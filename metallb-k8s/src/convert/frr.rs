//! Sessions that an FRR daemon may still hold, because a default installation of MetalLB told it to.
//!
//! MetalLB's speaker in that mode writes one `FRRConfiguration` per node, `metallb-NODE`, which outlives it: two speakers
//! with one identity would then fight for each session.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use kube::{ResourceExt, api::DynamicObject};
use metallb_core::{
    config::{Config, Peer, PeerEndpoint},
    keys::PeerName,
};
use serde_json::Value;

use crate::watch::Tracked;

/// Name of the `FRRConfiguration` in which MetalLB configured the sessions of a node.
pub fn frr_configuration_name(node: &str) -> String {
    format!("metallb-{node}")
}

/// With whom an `FRRConfiguration` holds sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrrNeighbors {
    name: String,
    namespace: String,
    /// `None`: it cannot be read, so that it may be anybody.
    neighbors: Option<BTreeSet<Neighbor>>,
}

/// Address or interface, and VRF (empty: none).
type Neighbor = (String, String);

impl FrrNeighbors {
    /// Takes the neighbours out of an `FRRConfiguration`.
    pub fn cut(object: &DynamicObject) -> Self {
        Self {
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
            neighbors: neighbors(&object.data),
        }
    }

    /// Whether it holds the session with this peer.
    pub fn holds(&self, peer: &Peer) -> bool {
        let Some(neighbors) = &self.neighbors else { return true };
        let endpoint = match &peer.endpoint {
            PeerEndpoint::Address(address) => address.to_string(),
            PeerEndpoint::Interface(interface) => interface.to_string(),
        };
        let vrf = peer.vrf.as_ref().map_or_else(String::new, ToString::to_string);
        neighbors.contains(&(endpoint, vrf))
    }
}

impl Tracked for FrrNeighbors {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// The peers to open no session with, each with the reason, given the `FRRConfiguration`s of this node.
pub fn held_back<'a>(
    config: &Config,
    found: impl IntoIterator<Item = &'a FrrNeighbors>,
) -> BTreeMap<PeerName, String> {
    let mut held = BTreeMap::new();
    for frr in found {
        for peer in config.peers().values().filter(|peer| frr.holds(peer)) {
            let reason = format!(
                "no session while FRRConfiguration {}/{} of an earlier MetalLB lets frr-k8s hold it; delete that object \
                 (docs/migration.md)",
                frr.namespace, frr.name
            );
            held.entry(peer.name.clone()).or_insert(reason);
        }
    }
    held
}

fn neighbors(data: &Value) -> Option<BTreeSet<Neighbor>> {
    let mut neighbors = BTreeSet::new();
    let spec = data.get("spec")?.as_object()?;
    let Some(routers) = spec.get("bgp").and_then(|bgp| bgp.get("routers")) else { return Some(neighbors) };
    for router in routers.as_array()? {
        let vrf = text(router, "vrf").unwrap_or_default();
        let Some(listed) = router.get("neighbors") else { continue };
        for neighbor in listed.as_array()? {
            let endpoint = text(neighbor, "address").or_else(|| text(neighbor, "interface"))?;
            // As our own configuration writes it.
            let endpoint =
                endpoint.parse::<IpAddr>().map_or_else(|_| endpoint.to_owned(), |ip| ip.to_string());
            neighbors.insert((endpoint, vrf.to_owned()));
        }
    }
    Some(neighbors)
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use metallb_core::config::{Input, Meta, PeerInput};
    use serde_json::json;

    use super::*;

    fn mk_config() -> Config {
        let peer =
            |name: &str, address: Option<&str>, interface: Option<&str>, vrf: Option<&str>| PeerInput {
                meta: Meta { name: name.to_owned(), ..Meta::default() },
                my_asn: 64500,
                peer_asn: Some(64512),
                address: address.map(str::to_owned),
                interface: interface.map(str::to_owned),
                vrf: vrf.map(str::to_owned),
                ..PeerInput::default()
            };
        let peers = vec![
            peer("four", Some("192.0.2.1"), None, None),
            peer("four-red", Some("192.0.2.1"), None, Some("red")),
            peer("six", Some("2001:db8::1"), None, None),
            peer("unnumbered", None, Some("eth0"), None),
        ];
        let built = Config::build(&Input { peers, ..Input::default() }, &Config::default());
        assert!(built.errors.is_empty(), "{:?}", built.errors);
        built.config
    }

    fn held(spec: &Value) -> Vec<String> {
        let object = json!({
            "apiVersion": "frrk8s.metallb.io/v1beta1", "kind": "FRRConfiguration",
            "metadata": { "name": "metallb-n1", "namespace": "metallb-system" }, "spec": spec,
        });
        let frr = FrrNeighbors::cut(&serde_json::from_value(object).unwrap());
        held_back(&mk_config(), [&frr]).into_keys().map(|name| name.to_string()).collect()
    }

    fn router(vrf: &str, neighbors: &Value) -> Value {
        json!({ "bgp": { "routers": [{ "asn": 64500, "vrf": vrf, "neighbors": neighbors }] } })
    }

    #[test]
    fn exactly_the_neighbours_of_the_same_vrf_are_held_back() {
        let address = |address: &str| json!([{ "address": address, "asn": 64512, "port": 179 }]);
        assert_eq!(held(&router("", &address("192.0.2.1"))), ["four"]);
        assert_eq!(held(&router("red", &address("192.0.2.1"))), ["four-red"]);
        assert_eq!(held(&router("", &address("2001:0DB8:0::1"))), ["six"], "however it is written");
        assert_eq!(held(&router("", &json!([{ "interface": "eth0", "asn": 64512 }]))), ["unnumbered"]);
        assert!(held(&router("", &address("192.0.2.99"))).is_empty());
    }

    #[test]
    fn one_without_sessions_holds_nothing_back() {
        assert!(held(&json!({})).is_empty());
        assert!(held(&json!({ "bgp": { "routers": [] } })).is_empty());
        assert!(held(&json!({ "bgp": { "routers": [{ "asn": 64500 }] } })).is_empty());
    }

    #[test]
    fn one_that_cannot_be_read_may_hold_any() {
        for spec in [json!(7), json!({ "bgp": { "routers": "x" } }), router("", &json!([{ "asn": 1 }]))] {
            assert_eq!(held(&spec).len(), 4, "{spec}");
        }
    }

    #[test]
    fn the_reason_names_the_object_and_what_to_do() {
        let object = json!({ "metadata": { "name": "metallb-n1", "namespace": "frr" }, "spec": 1 });
        let frr = FrrNeighbors::cut(&serde_json::from_value(object).unwrap());
        let held = held_back(&mk_config(), [&frr]);
        let reason = held.values().next().unwrap();
        assert!(reason.contains("frr/metallb-n1") && reason.contains("docs/migration.md"), "{reason}");
    }
}

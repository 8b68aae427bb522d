use serde_json::{Value, json};

use metallb_core::config::Config;

use super::convert::{Converted, Remark, convert};
use crate::convert::{Object, Resources, configure};
use crate::crd;

fn read(document: &str) -> Result<Converted, Vec<Remark>> {
    let document: Value = serde_saphyr::from_str(document).unwrap();
    convert(&document, "metallb-system")
}

fn spec<'a>(converted: &'a Converted, kind: &str, name: &str) -> &'a Value {
    let object = converted
        .objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name} in {:#?}", converted.objects));
    &object["spec"]
}

fn errors(document: &str) -> Vec<String> {
    let remarks = read(document).unwrap_err();
    remarks.iter().map(|remark| format!("{}: {}", remark.field, remark.message)).collect()
}

/// Every field of the last version of the format.
const FULL: &str = r#"
peers:
- my-asn: 64500
  peer-asn: 64501
  peer-address: 10.0.0.1
  peer-port: 1179
  source-address: 10.0.0.2
  hold-time: 120s
  keepalive-time: 40s
  router-id: 10.10.10.10
  password: 12345
  bfd-profile: fast
  ebgp-multihop: true
  node-selectors:
  - match-labels: {rack: "1"}
    match-expressions:
    - {key: zone, operator: In, values: [a, b]}
- {my-asn: 64500, peer-asn: 64501, peer-address: "2001:db8::1"}
- {my-asn: 64500, peer-asn: 64502, peer-address: 10.0.0.1, node-selectors: [{match-labels: {rack: "2"}}]}
bgp-communities:
  quiet: 65535:65281
bfd-profiles:
- name: fast
  receive-interval: 200
  transmit-interval: 210
  detect-multiplier: 4
  echo-interval: 60
  echo-mode: true
  passive-mode: true
  minimum-ttl: 250
address-pools:
- name: Office_LAN
  protocol: layer2
  auto-assign: false
  addresses: [192.0.2.0/26, 192.0.2.128-192.0.2.140]
- name: public
  protocol: bgp
  avoid-buggy-ips: true
  addresses: [198.51.100.0/24, "2001:db8:1::/64"]
  bgp-advertisements:
  - {aggregation-length: 24, aggregation-length-v6: 64, localpref: 200, communities: [quiet, "64500:1"]}
  - {name: each}
- {name: plain, protocol: bgp, addresses: [203.0.113.0/24]}
"#;

#[test]
fn every_field_of_the_old_format_has_its_place_in_the_resources() {
    let converted = read(FULL).unwrap();
    assert_eq!(
        *spec(&converted, "BGPPeer", "peer-10.0.0.1"),
        json!({
            "myASN": 64500, "peerASN": 64501, "peerAddress": "10.0.0.1", "peerPort": 1179,
            "sourceAddress": "10.0.0.2", "holdTime": "120s", "keepaliveTime": "40s",
            "routerID": "10.10.10.10", "passwordSecret": {"name": "peer-10.0.0.1-password"},
            "bfdProfile": "fast", "ebgpMultiHop": true,
            "nodeSelectors": [{
                "matchLabels": {"rack": "1"},
                "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}],
            }],
        })
    );
    spec(&converted, "BGPPeer", "peer-2001-db8-x-1");
    spec(&converted, "BGPPeer", "peer-10.0.0.1-2");
    let secret = converted.objects.iter().find(|object| object["kind"] == "Secret").unwrap();
    assert_eq!(secret["type"], "kubernetes.io/basic-auth");
    assert_eq!(secret["stringData"], json!({"password": "12345"}));
    assert_eq!(
        *spec(&converted, "BFDProfile", "fast"),
        json!({
            "receiveInterval": 200, "transmitInterval": 210, "detectMultiplier": 4, "echoInterval": 60,
            "echoMode": true, "passiveMode": true, "minimumTtl": 250,
        })
    );
    assert_eq!(
        *spec(&converted, "Community", "communities"),
        json!({"communities": [{"name": "quiet", "value": "65535:65281"}]})
    );
    assert_eq!(
        *spec(&converted, "IPAddressPool", "office-lan"),
        json!({"addresses": ["192.0.2.0/26", "192.0.2.128-192.0.2.140"], "autoAssign": false})
    );
    assert_eq!(spec(&converted, "IPAddressPool", "public")["avoidBuggyIPs"], true);
    assert_eq!(*spec(&converted, "L2Advertisement", "layer2"), json!({"ipAddressPools": ["office-lan"]}));
    assert_eq!(
        *spec(&converted, "BGPAdvertisement", "public"),
        json!({
            "ipAddressPools": ["public"], "aggregationLength": 24, "aggregationLengthV6": 64,
            "localPref": 200, "communities": ["quiet", "64500:1"],
        })
    );
    assert_eq!(*spec(&converted, "BGPAdvertisement", "each"), json!({"ipAddressPools": ["public"]}));
    assert_eq!(*spec(&converted, "BGPAdvertisement", "plain"), json!({"ipAddressPools": ["plain"]}));
    let remark = &converted.remarks[0];
    assert_eq!(remark.field, "address-pools[0].name");
    assert!(remark.message.contains("\"office-lan\"") && remark.message.contains("annotation"), "{remark:?}");
}

#[test]
fn versions_before_0_5_are_read_too() {
    let first = "peers: [{my-asn: 64500, peer-asn: 64500, peer-address: 10.0.0.1, hold-time: 120}]\n\
        communities: {quiet: 65535:65281}\n\
        address-pools:\n- name: a\n  cidr: [192.0.2.0/24]\n  advertisements: [{localpref: 100, communities: [quiet]}]";
    let converted = read(first).unwrap();
    assert_eq!(spec(&converted, "BGPPeer", "peer-10.0.0.1")["holdTime"], "120s");
    assert_eq!(spec(&converted, "IPAddressPool", "a")["addresses"], json!(["192.0.2.0/24"]));
    assert_eq!(spec(&converted, "BGPAdvertisement", "a")["localPref"], 100);
    for protocol in ["arp", "ndp"] {
        let pool = format!(
            "address-pools: [{{name: a, protocol: {protocol}, cidr: [192.0.2.0/24], arp-network: 192.0.2.0/24}}]"
        );
        let converted = read(&pool).unwrap();
        spec(&converted, "L2Advertisement", "layer2");
        assert_eq!(converted.remarks[0].field, "address-pools[0].arp-network");
    }
}

#[test]
fn what_has_no_place_is_named_with_its_field() {
    for (document, expected) in [
        (
            "address-pools: [{name: a, protocol: ospf}]",
            "address-pools[0].protocol: \"ospf\" is not a protocol",
        ),
        (
            "address-pools: [{name: a, protocol: layer2, bgp-advertisements: [{}]}]",
            "address-pools[0].bgp-advertisements: a pool of protocol layer2 has none",
        ),
        ("address-pools: [{protocol: bgp}]", "address-pools[0].name: is missing"),
        ("address-pools: [{name: '!?'}]", "address-pools[0].name: no name can be made of it"),
        ("address-pools: [{name: a}, {name: a}]", "address-pools[1].name: \"a\" is there twice"),
        ("address-pools: [{name: a, auto-asign: true}]", "address-pools[0].auto-asign: unknown field"),
        ("address-pools: [{name: a, addresses: 1}]", "address-pools[0].addresses: invalid type"),
        ("adress-pools: []", "adress-pools: unknown field"),
        ("peers: [{my-asn: 1, peer-asn: 2}]", "peers[0].peer-address: is missing"),
        ("peers: [{peer-asn: 2, peer-address: 10.0.0.1}]", "peers[0].my-asn: is missing"),
        ("peers: [{my-asn: 2, peer-address: 10.0.0.1}]", "peers[0].peer-asn: is missing"),
        (
            "peers: [{my-asn: 1, peer-asn: 2, peer-address: 10.0.0.1, bfd-profile: x}]",
            "peers[0].bfd-profile: bfd-profiles has no profile \"x\"",
        ),
        ("peer-autodiscovery: {}", "peer-autodiscovery: peers that nodes name in their labels"),
    ] {
        let found = errors(document);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{document}: {found:?}");
    }
}

#[test]
fn an_empty_document_becomes_nothing() {
    assert_eq!(convert(&Value::Null, "metallb-system"), Ok(Converted::default()));
}

#[test]
fn a_password_is_in_no_report() {
    for document in ["peers: [{password: [hush]}]", "peers: [{password: {hush: 1}}]"] {
        let found = errors(document);
        assert!(!found[0].contains("hush"), "{found:?}");
    }
}

#[test]
fn the_daemons_accept_what_comes_out() {
    let converted = read(FULL).unwrap();
    let mut resources = Resources::default();
    for object in &converted.objects {
        let object = object.clone();
        match object["kind"].as_str().unwrap() {
            "IPAddressPool" => resources.pools.push(Object::new(crd::decode(object).unwrap())),
            "L2Advertisement" => resources.l2_advertisements.push(Object::new(crd::decode(object).unwrap())),
            "BGPAdvertisement" => {
                resources.bgp_advertisements.push(Object::new(crd::decode(object).unwrap()));
            }
            "BGPPeer" => resources.peers.push(Object::new(crd::decode(object).unwrap())),
            "Community" => resources.communities.push(Object::new(crd::decode(object).unwrap())),
            "BFDProfile" => resources.bfd_profiles.push(Object::new(crd::decode(object).unwrap())),
            "Secret" => {
                let password = object["stringData"]["password"].as_str().unwrap();
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                resources.passwords.insert(name, Ok(metallb_core::config::Secret::new(password)));
            }
            other => panic!("{other}"),
        }
    }
    let built = configure(&resources, &Config::default());
    assert_eq!(built.errors, []);
    assert_eq!(built.config.peers().len(), 3);
    assert_eq!(built.config.pools().len(), 3);
}

//! Peers between their two versions.

use std::collections::BTreeMap;

use metallb_k8s::{
    convert::versions::{KEPT, to_v1beta1, to_v1beta2},
    crd::{self, BGPPeer, v1beta1},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn new(spec: &Value) -> BGPPeer {
    crd::decode(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap()
}

fn old(spec: &Value) -> v1beta1::BGPPeer {
    crd::decode(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap()
}

#[test]
fn a_plain_peer_needs_no_annotation() {
    let peer =
        new(&json!({ "myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1", "holdTime": "90s" }));
    let converted = to_v1beta1(peer.clone());
    assert_eq!(converted.metadata.annotations, None);
    assert_eq!(converted.spec.peer_asn, 64513);
    assert_eq!(to_v1beta2(converted).unwrap(), peer);
}

#[test]
fn an_absent_hold_time_stays_absent_and_zero_stays_zero() {
    let base = json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1" });
    assert_eq!(to_v1beta2(old(&base)).unwrap().spec.hold_time, None);
    let mut zero = base;
    zero["holdTime"] = json!("0s");
    assert_eq!(to_v1beta2(old(&zero)).unwrap().spec.hold_time.as_deref(), Some("0s"));
}

#[test]
fn what_only_the_new_form_can_say_survives_a_visit_to_the_old_one() {
    let peer = new(&json!({
        "myASN": 64512, "dynamicASN": "external", "interface": "eth1", "vrf": "red", "localASN": 64999,
        "connectTime": "10s", "enableGracefulRestart": true, "dualStackAddressFamily": true,
        "passwordSecret": { "name": "s" },
        "nextHop": { "ipv4": "192.0.2.77", "ipv6": "2001:db8::77" }, "tcpMSS": 1200,
        "nodeSelectors": [{ "matchExpressions": [{ "key": "rack", "operator": "Exists" }] }],
    }));
    let converted = to_v1beta1(peer.clone());
    assert!(converted.metadata.annotations.as_ref().unwrap().contains_key(KEPT));
    assert!(
        converted.spec.node_selectors[0].match_expressions[0].values.len() == 1,
        "the old schema wants a value"
    );
    assert_eq!(to_v1beta2(converted).unwrap(), peer);
}

#[test]
fn a_password_is_not_printed_with_its_peer() {
    let peer = new(&json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", "password": "hunter2" }));
    assert!(!format!("{peer:?} {:?}", to_v1beta1(peer.clone())).contains("hunter2"));
}

#[test]
fn a_password_that_is_no_text_is_not_quoted_in_the_error() {
    let spec = json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", "password": 271_828 });
    let error = crd::decode::<BGPPeer>(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap_err();
    assert_eq!(error.to_string(), "spec.password: not a text");
}

#[test]
fn a_password_never_gets_into_an_annotation() {
    let peer = new(&json!({
        "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", "vrf": "red", "password": "hunter2",
    }));
    let converted = to_v1beta1(peer.clone());
    assert!(!converted.metadata.annotations.as_ref().unwrap()[KEPT].contains("hunter2"));
    assert_eq!(to_v1beta2(converted).unwrap(), peer);
}

#[test]
fn an_edit_in_the_old_form_wins_over_what_was_kept() {
    let peer = new(&json!({
        "myASN": 1, "dynamicASN": "internal", "peerAddress": "192.0.2.1", "vrf": "red",
        "nodeSelectors": [{ "matchLabels": { "a": "b" } }],
    }));
    let mut converted = to_v1beta1(peer);
    converted.spec.peer_asn = 7;
    converted.spec.node_selectors.clear();
    let back = to_v1beta2(converted).unwrap();
    assert_eq!((back.spec.peer_asn, back.spec.dynamic_asn), (Some(7), None));
    assert!(back.spec.node_selectors.is_empty());
    assert_eq!(back.spec.vrf.as_deref(), Some("red"));
}

#[test]
fn an_annotation_that_was_tampered_with_is_an_error() {
    let mut peer = old(&json!({ "myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1" }));
    peer.metadata.annotations = Some(BTreeMap::from([(KEPT.to_owned(), "{".to_owned())]));
    assert!(to_v1beta2(peer).unwrap_err().field.contains(KEPT));
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[a-z0-9.]{1,6}")
}

prop_compose! {
    fn selectors()(list in proptest::collection::vec(
        (proptest::collection::btree_map("[a-c]", "[x-z]", 0..2),
         proptest::collection::vec(("[a-c]", "(In|Exists)", proptest::collection::vec("[x-z]", 0..2)), 0..2)),
        0..3,
    )) -> Value {
        list.into_iter().map(|(labels, expressions)| {
            let expressions: Vec<_> = expressions.into_iter()
                .map(|(key, operator, values)| json!({ "key": key, "operator": operator, "values": values }))
                .collect();
            json!({ "matchLabels": labels, "matchExpressions": expressions })
        }).collect()
    }
}

prop_compose! {
    fn spec()(
        asns in (1_i64..100, proptest::option::of(1_i64..100), proptest::option::of(1_i64..100)),
        texts in proptest::collection::vec(text(), 10),
        flags in proptest::collection::vec(proptest::option::of(any::<bool>()), 2),
        both in any::<(bool, bool)>(),
        port in 1_i32..65535,
        selectors in selectors(),
    ) -> Value {
        let texts: Vec<_> = texts.into_iter().map(|text| json!(text)).collect();
        json!({
            "myASN": asns.0, "peerASN": asns.1, "localASN": asns.2, "peerPort": port,
            "peerAddress": texts[0], "interface": texts[1], "sourceAddress": texts[2], "holdTime": texts[3],
            "keepaliveTime": texts[4], "connectTime": texts[5], "routerID": texts[6], "bfdProfile": texts[7],
            "vrf": texts[8], "password": texts[9],
            "dynamicASN": if asns.1.is_none() { json!("external") } else { Value::Null },
            "enableGracefulRestart": flags[0], "ebgpMultiHop": flags[1],
            "dualStackAddressFamily": both.0, "disableMP": both.1,
            "nodeSelectors": selectors,
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_on_the_way_there_and_back(spec in spec()) {
        // Exactly one of address and interface, as the schema demands.
        let mut spec = spec;
        if !spec["peerAddress"].is_null() {
            spec["interface"] = Value::Null;
        }
        let peer = new(&spec);
        prop_assert_eq!(to_v1beta2(to_v1beta1(peer.clone())).unwrap(), peer);
    }
}

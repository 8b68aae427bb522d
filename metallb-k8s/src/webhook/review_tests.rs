use std::collections::BTreeSet;

use metallb_core::keys::Created;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::scope::others, *};
use crate::{convert::Object, crd};

pub(in crate::webhook) const NAMESPACE: &str = "metallb-system";

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is used")]
pub(in crate::webhook) fn mk(kind: &str, name: &str, spec: Value) -> Value {
    let version = if kind == "BGPPeer" { "v1beta2" } else { "v1beta1" };
    json!({
        "apiVersion": format!("metallb.io/{version}"), "kind": kind,
        "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec,
    })
}

pub(in crate::webhook) fn pool(name: &str, addresses: &[&str]) -> Value {
    mk("IPAddressPool", name, json!({ "addresses": addresses }))
}

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is used")]
pub(in crate::webhook) fn peer(name: &str, more: Value) -> Value {
    let mut spec = json!({ "myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1" });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    mk("BGPPeer", name, spec)
}

pub(in crate::webhook) fn mk_request(
    operation: &str,
    object: &Value,
    old: Option<&Value>,
) -> AdmissionRequest<DynamicObject> {
    let subject = if operation == "DELETE" { old.unwrap() } else { object };
    let version = subject["apiVersion"].as_str().unwrap().split_once('/').unwrap().1;
    serde_json::from_value(json!({
        "uid": "u", "operation": operation, "userInfo": {},
        "kind": { "group": "metallb.io", "version": version, "kind": subject["kind"] },
        "resource": { "group": "metallb.io", "version": version, "resource": "things" },
        "name": subject["metadata"]["name"].as_str().unwrap_or_default(), "namespace": subject["metadata"]["namespace"],
        "object": object, "oldObject": old,
    }))
    .unwrap()
}

/// What there is, the first being the oldest.
pub(in crate::webhook) fn existing(objects: &[Value]) -> Resources {
    let mut resources = Resources::default();
    for (age, object) in objects.iter().enumerate() {
        let created = Created(i64::try_from(age).unwrap());
        match object["kind"].as_str().unwrap() {
            "IPAddressPool" => resources.pools.push(read(object, created)),
            "L2Advertisement" => resources.l2_advertisements.push(read(object, created)),
            "BGPAdvertisement" => resources.bgp_advertisements.push(read(object, created)),
            "BGPPeer" => resources.peers.push(read(object, created)),
            "Community" => resources.communities.push(read(object, created)),
            "BFDProfile" => resources.bfd_profiles.push(read(object, created)),
            other => panic!("{other}"),
        }
    }
    resources
}

fn read<K: kube::Resource + serde::de::DeserializeOwned>(object: &Value, created: Created) -> Object<K> {
    match crd::decode::<K>(object.clone()) {
        Ok(read) => {
            let mut read = Object::new(read);
            read.meta.created = created;
            read
        }
        Err(error) => Object::unreadable(object["metadata"]["name"].as_str().unwrap(), created, error),
    }
}

fn decide(request: &AdmissionRequest<DynamicObject>, objects: &[Value]) -> AdmissionResponse {
    review(request, &State::new(NAMESPACE, &existing(objects)))
}

fn create(object: &Value, objects: &[Value]) -> AdmissionResponse {
    decide(&mk_request("CREATE", object, None), objects)
}

fn update(old: &Value, new: &Value, objects: &[Value]) -> AdmissionResponse {
    decide(&mk_request("UPDATE", new, Some(old)), objects)
}

fn delete(object: &Value, objects: &[Value]) -> AdmissionResponse {
    decide(&mk_request("DELETE", &Value::Null, Some(object)), objects)
}

#[track_caller]
fn assert_refused(response: &AdmissionResponse, words: &[&str]) {
    assert!(!response.allowed);
    for words in words {
        assert!(response.result.message.contains(words), "{:?} lacks {words:?}", response.result.message);
    }
    assert_eq!((response.result.code, response.result.reason.as_str()), (403, "Forbidden"));
}

/// What there is, what is to be made, and the words of its refusal.
type Refused<'a> = (Vec<Value>, Value, &'a [&'a str]);

fn assert_all_refused<const N: usize>(cases: [Refused<'_>; N]) {
    for (objects, object, words) in cases {
        assert_refused(&create(&object, &objects), words);
    }
}

#[track_caller]
fn assert_warned(response: &AdmissionResponse, words: &str) {
    assert!(response.allowed, "{}", response.result.message);
    let warnings = response.warnings.clone().unwrap_or_default();
    assert!(warnings.iter().any(|warning| warning.contains(words)), "{warnings:?} lacks {words:?}");
}

#[test]
fn what_is_refused_has_metallbs_words_and_a_remedy() {
    let advertisement = |spec| mk("BGPAdvertisement", "adv", spec);
    let cases: [Refused<'_>; 11] = [
        (
            vec![pool("a", &["1.1.1.1-1.1.1.100"])],
            pool("b", &["1.1.1.15-1.1.1.20"]),
            &[
                "CIDR \"1.1.1.15-1.1.1.20\" in pool \"b\" overlaps with already defined CIDR \"1.1.1.1-1.1.1.100\"",
                "remove the common addresses from one",
            ],
        ),
        (
            vec![],
            pool("a", &["10.0.0.0/8", "10.1.0.0/16"]),
            &["overlaps with already defined CIDR \"10.0.0.0/8\""],
        ),
        (vec![], pool("a", &["1.2.3.4/33"]), &["invalid CIDR \"1.2.3.4/33\" in pool \"a\""]),
        (
            vec![],
            pool("a", &["1.2.3.9-1.2.3.4"]),
            &["invalid CIDR \"1.2.3.9-1.2.3.4\" in pool \"a\"", "swap them"],
        ),
        (vec![], pool("a", &[]), &["pool has no prefixes defined"]),
        (
            vec![pool("p", &["1.1.1.0/28"])],
            advertisement(json!({ "aggregationLength": 26, "ipAddressPools": ["p"] })),
            &[
                "invalid aggregation length 26: prefix 28 in this pool is more specific than the aggregation length \
               for addresses 1.1.1.0/28",
            ],
        ),
        (
            vec![advertisement(json!({ "aggregationLength": 26 }))],
            pool("p", &["1.1.1.0/28"]),
            &["BGPAdvertisement \"adv\"", "invalid aggregation length 26: prefix 28"],
        ),
        (
            vec![],
            advertisement(
                json!({ "aggregationLength": 24, "serviceSelectors": [{ "matchLabels": { "a": "b" } }] }),
            ),
            &["serviceSelectors and aggregationLength are mutually exclusive"],
        ),
        (
            vec![pool("p", &["10.0.0.0/24"]), mk("BGPAdvertisement", "one", json!({ "localPref": 1 }))],
            advertisement(json!({ "localPref": 2 })),
            &["invalid local preference", "BGPAdvertisement \"one\" is older"],
        ),
        (
            vec![],
            advertisement(json!({ "communities": ["70000:1"] })),
            &["invalid community value: invalid section"],
        ),
        (vec![], advertisement(json!({ "peers": ["a", "a"] })), &["duplicate definition of peers \"a\""]),
    ];
    assert_all_refused(cases);
}

#[test]
fn what_is_refused_of_a_peer_or_a_community_has_metallbs_words() {
    let community =
        |value: &str| mk("Community", "c", json!({ "communities": [{ "name": "n", "value": value }] }));
    let twice = json!({ "communities": [{ "name": "n", "value": "1:2" }, { "name": "n", "value": "1:2" }] });
    let cases: [Refused<'_>; 15] = [
        (vec![], peer("r", json!({ "peerAddress": "1.1.1" })), &["invalid BGPPeer address \"1.1.1\""]),
        (vec![], peer("r", json!({ "sourceAddress": "x" })), &["invalid source IP \"x\""]),
        (vec![], peer("r", json!({ "routerID": "x" })), &["invalid router ID \"x\""]),
        (vec![], peer("r", json!({ "peerASN": null })), &["missing peer ASN and dynamicASN"]),
        (vec![], peer("r", json!({ "dynamicASN": "internal" })), &["both peer ASN and dynamicASN specified"]),
        (
            vec![],
            peer("r", json!({ "peerASN": 64512, "ebgpMultiHop": true })),
            &["invalid ebgp-multihop parameter set for an ibgp peer"],
        ),
        (vec![], peer("r", json!({ "holdTime": "2s" })), &["invalid hold time \"2s\": must be 0 or >=3s"]),
        (
            vec![],
            peer("r", json!({ "holdTime": "9s", "keepaliveTime": "10s" })),
            &["invalid keepaliveTime \"10s\", must be lower than holdTime \"9s\""],
        ),
        (
            vec![],
            peer("r", json!({ "password": "a", "passwordSecret": { "name": "s" } })),
            &["can not have both password and secret ref set in peer config"],
        ),
        (
            vec![peer("r", json!({}))],
            peer("s", json!({})),
            &["peer 192.0.2.1 already exists, duplicate BGPPeers", "BGPPeer \"r\" is older"],
        ),
        (vec![], community("99999999:1"), &["invalid community value: invalid section"]),
        (vec![], community("lar:123:9999:123"), &["expected community to be of format large"]),
        (vec![], mk("Community", "c", twice), &["duplicate definition of community \"n\""]),
        (
            vec![community("1:2")],
            mk("Community", "d", json!({ "communities": [{ "name": "n", "value": "3:4" }] })),
            &["duplicate definition of community \"n\"", "rename one"],
        ),
        (
            vec![],
            mk("BFDProfile", "b", json!({ "receiveInterval": 5 })),
            &["invalid value 5, must be in 10-60000 range"],
        ),
    ];
    assert_all_refused(cases);
}

#[test]
fn peers_at_one_address_on_other_nodes_are_fine() {
    let on = |name: &str, rack: &str| {
        peer(name, json!({ "nodeSelectors": [{ "matchLabels": { "rack": rack } }] }))
    };
    assert!(create(&on("b", "two"), &[on("a", "one")]).allowed);
    assert_refused(&create(&on("b", "one"), &[on("a", "one")]), &["already exists"]);
}

#[test]
fn an_object_that_is_wrong_already_stands_in_nobodys_way() {
    let bad = pool("bad", &["nonsense", "10.0.0.0/24"]);
    assert!(create(&pool("other", &["10.1.0.0/24"]), std::slice::from_ref(&bad)).allowed);
    let mut labelled = bad.clone();
    labelled["metadata"]["labels"] = json!({ "tier": "web" });
    let response = update(&bad, &labelled, std::slice::from_ref(&bad));
    assert_warned(&response, "\"nonsense\" is not an IP address");
}

#[test]
fn an_error_that_is_added_to_another_is_refused_alone() {
    let bad = pool("bad", &["nonsense", "10.0.0.0/24"]);
    let worse = pool("bad", &["nonsense", "10.0.0.0/24", "rubbish"]);
    let response = update(&bad, &worse, std::slice::from_ref(&bad));
    assert_refused(&response, &["\"rubbish\""]);
    assert!(!response.result.message.contains("nonsense"));
}

#[test]
fn a_pool_that_grows_into_a_younger_one_is_refused() {
    let (old, new) = (pool("a", &["10.0.0.0/25"]), pool("a", &["10.0.0.0/24"]));
    let objects = [old.clone(), pool("b", &["10.0.0.128/25"])];
    assert_refused(
        &update(&old, &new, &objects),
        &["IPAddressPool \"b\"", "overlaps with already defined CIDR"],
    );
}

#[test]
fn what_is_compared_is_the_object_before_the_change_however_late_the_watch() {
    let (seen, now) = (pool("a", &["nonsense"]), pool("a", &["10.0.0.0/24"]));
    let response = update(&now, &seen, std::slice::from_ref(&seen));
    assert_refused(&response, &["\"nonsense\""]);
}

#[test]
fn references_to_what_does_not_exist_yet_are_allowed_with_a_warning() {
    let response = create(&mk("BGPAdvertisement", "a", json!({ "communities": ["alias"] })), &[]);
    assert_warned(&response, "\"alias\" is not a community");
    let refers = json!({ "ipAddressPools": ["later"], "peers": ["router"] });
    let response = create(&mk("BGPAdvertisement", "a", refers), &[]);
    assert_warned(&response, "there is no IPAddressPool \"later\"");
    assert_warned(&response, "there is no BGPPeer \"router\"");
    let response = create(&peer("r", json!({ "passwordSecret": { "name": "s" } })), &[]);
    assert_warned(&response, "secret \"s\" does not exist");
    let response = create(&peer("r", json!({ "bfdProfile": "fast" })), &[]);
    assert_warned(&response, "there is no BFDProfile \"fast\"");
    let response = create(&mk("L2Advertisement", "a", json!({ "ipAddressPools": ["later"] })), &[]);
    assert_warned(&response, "there is no IPAddressPool \"later\"");
    let fine = mk("L2Advertisement", "a", json!({ "ipAddressPools": ["p"] }));
    assert_eq!(create(&fine, &[pool("p", &["10.0.0.0/24"])]).warnings, None);
}

#[test]
fn what_has_no_effect_or_another_than_it_seems_is_remarked_upon() {
    let masked = create(&pool("p", &["192.0.2.200/28"]), &[]);
    assert_warned(&masked, "means 192.0.2.192-192.0.2.207");
    let response = create(&peer("r", json!({ "disableMP": true, "holdTime": "9500ms" })), &[]);
    assert_warned(&response, "spec.disableMP: has no effect; use dualStackAddressFamily");
    assert_warned(&response, "fractions of a second are ignored");
}

#[test]
fn a_peer_in_its_old_form_is_read_and_called_deprecated() {
    let old = |address: &str| {
        json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "BGPPeer",
            "metadata": { "name": "r", "namespace": NAMESPACE },
            "spec": { "myASN": 1, "peerASN": 2, "peerAddress": address },
        })
    };
    assert_warned(&create(&old("192.0.2.1"), &[]), "metallb.io/v1beta1 BGPPeer is deprecated, use v1beta2");
    assert_refused(&create(&old("192.0.2"), &[]), &["invalid BGPPeer address \"192.0.2\""]);
    let mut converted = mk_request("CREATE", &peer("r", json!({})), None);
    let written = kube::core::gvk::GroupVersionKind::gvk("metallb.io", "v1beta1", "BGPPeer");
    converted.request_kind = Some(written);
    assert_warned(&decide(&converted, &[]), "is deprecated");
}

#[test]
fn a_profile_in_use_stays() {
    let profile = mk("BFDProfile", "fast", json!({}));
    let users = [peer("r1", json!({ "bfdProfile": "fast" })), peer("r0", json!({ "bfdProfile": "fast" }))];
    let response = delete(&profile, &users);
    assert_refused(&response, &["failed to delete BFDProfile fast, used by BGPPeer r0 and 1 more"]);
    assert!(delete(&profile, &[peer("r", json!({ "bfdProfile": "slow" }))]).allowed);
    assert!(delete(&pool("p", &["10.0.0.0/24"]), &users).allowed);
}

#[test]
fn an_object_is_created_in_metallbs_namespace_or_not_at_all() {
    let mut stray = pool("p", &["10.0.0.0/24"]);
    stray["metadata"]["namespace"] = json!("default");
    let words = "resource must be created in metallb-system namespace";
    assert_refused(&create(&stray, &[]), &[words]);
    assert_warned(&update(&stray, &stray, &[]), words);
    assert!(delete(&stray, &[]).allowed);
}

#[test]
fn an_object_on_its_way_out_and_a_status_are_never_held_up() {
    let mut leaving = pool("p", &["nonsense"]);
    let request = |object: &Value| mk_request("UPDATE", object, Some(&pool("p", &["10.0.0.0/24"])));
    assert!(!decide(&request(&leaving), &[]).allowed);
    let mut status = request(&leaving);
    status.sub_resource = Some("status".to_owned());
    assert!(decide(&status, &[]).allowed);
    leaving["metadata"]["deletionTimestamp"] = json!("2025-01-01T00:00:00Z");
    assert!(decide(&request(&leaving), &[]).allowed);
}

#[test]
fn a_name_that_the_server_makes_up_is_no_error() {
    let mut generated = pool("", &["10.0.0.0/24"]);
    generated["metadata"] = json!({ "generateName": "pool-", "namespace": NAMESPACE });
    assert!(create(&generated, &[]).allowed);
}

#[test]
fn a_kind_of_another_group_is_not_reviewed() {
    let mut request = mk_request("CREATE", &pool("p", &["10.0.0.0/24"]), None);
    request.kind.group = "example.com".to_owned();
    assert_refused(&decide(&request, &[]), &["\"example.com\" \"IPAddressPool\" is not reviewed here"]);
}

#[test]
fn an_object_that_cannot_be_read_is_refused_with_the_field() {
    let unreadable = mk("IPAddressPool", "p", json!({ "addresses": 5 }));
    assert_refused(&create(&unreadable, &[]), &["spec.addresses: cannot be read"]);
}

#[test]
fn an_answer_is_bounded_however_long_and_many_the_texts() {
    let addresses: Vec<String> =
        (0..1000).map(|number| format!("{number}\u{7}{}", "x".repeat(2000))).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let response = create(&pool("p", &addresses), &[]);
    assert_refused(&response, &["and 990 more", "\\u{7}"]);
    assert!(response.result.message.len() < 6000, "{}", response.result.message.len());
    assert!(!response.result.message.contains(&"x".repeat(128)));
}

#[test]
fn a_dry_run_gets_the_same_answer() {
    let mut request = mk_request("CREATE", &pool("p", &["nonsense"]), None);
    let answer = decide(&request, &[]);
    request.dry_run = true;
    assert_eq!(decide(&request, &[]), answer);
}

#[test]
fn one_pool_among_ten_thousand_is_read_with_its_neighbours_only() {
    let address = |number: usize| format!("10.{}.{}.0/24", number / 256, number % 256);
    let objects: Vec<Value> =
        (0..10_000).map(|number| pool(&format!("pool-{number}"), &[&address(number)])).collect();
    let resources = existing(&objects);
    let request = mk_request("CREATE", &pool("new", &["10.3.7.128-10.3.8.5", "192.0.2.0/24"]), None);
    let change = Change::of(Kind::Pool, &request).unwrap();
    let names: Vec<String> =
        related(&resources, &change).pools.into_iter().map(|pool| pool.meta.name).collect();
    assert_eq!(names, ["pool-775", "pool-776"]);
}

/// Texts from which small worlds are made, in which things often meet.
const ADDRESSES: [&str; 9] = [
    "10.0.0.0/24",
    "10.0.0.128/25",
    "10.0.0.200-10.0.1.9",
    "10.0.1.0/24",
    "10.0.2.0/28",
    "fc00::/120",
    "fc00::80",
    "10.0.0.77/24",
    "nonsense",
];

fn some<T: std::fmt::Debug + Clone + 'static>(list: Vec<T>, most: usize) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(proptest::sample::select(list), 0..=most)
}

fn texts(list: &[&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> + use<> {
    some(list.to_vec(), most)
}

fn selectors() -> impl Strategy<Value = Value> {
    let selector = |tier| json!({ "matchLabels": { "tier": tier } });
    texts(&["a", "b"], 1).prop_map(move |tiers| tiers.into_iter().map(selector).collect())
}

fn option(list: &[Value]) -> impl Strategy<Value = Value> + use<> {
    let list: Vec<Value> = list.iter().cloned().chain([Value::Null]).collect();
    proptest::sample::select(list)
}

fn mk_pool() -> impl Strategy<Value = Value> {
    let labels = option(&[json!({ "tier": "a" }), json!({ "tier": "b" })]);
    (0..5_usize, texts(&ADDRESSES, 3), labels).prop_map(|(number, addresses, labels)| {
        let mut object = pool(&format!("p{number}"), &addresses);
        object["metadata"]["labels"] = labels;
        object
    })
}

fn mk_bgp_advertisement() -> impl Strategy<Value = Value> {
    let numbers = (option(&[json!(24), json!(25)]), option(&[json!(1), json!(2)]));
    let lists = (
        texts(&["p0", "p1", "p9"], 2),
        texts(&["1:2", "n0", "n1", "x:y"], 2),
        texts(&["r0", "r9"], 1),
        (selectors(), selectors()),
    );
    (0..4_usize, numbers, lists).prop_map(|(number, numbers, (pools, communities, peers, selectors))| {
        let spec = json!({
            "aggregationLength": numbers.0, "localPref": numbers.1, "ipAddressPools": pools,
            "communities": communities, "peers": peers, "ipAddressPoolSelectors": selectors.0,
            "nodeSelectors": selectors.1,
        });
        mk("BGPAdvertisement", &format!("a{number}"), spec)
    })
}

fn mk_l2_advertisement() -> impl Strategy<Value = Value> {
    let lists = (texts(&["p0", "p1", "p9"], 3), selectors());
    (0..2_usize, lists).prop_map(|(number, (pools, selectors))| {
        let spec = json!({ "ipAddressPools": pools, "nodeSelectors": selectors });
        mk("L2Advertisement", &format!("l{number}"), spec)
    })
}

fn mk_peer() -> impl Strategy<Value = Value> {
    let address = option(&[json!("192.0.2.1"), json!("::ffff:192.0.2.1"), json!("192.0.2")]);
    let more = (option(&[json!("red")]), option(&[json!("b0"), json!("b9")]), selectors());
    (0..4_usize, address, more).prop_map(|(number, address, (vrf, profile, selectors))| {
        let more = json!({
            "peerAddress": address, "vrf": vrf, "bfdProfile": profile, "nodeSelectors": selectors,
        });
        peer(&format!("r{number}"), more)
    })
}

fn mk_community() -> impl Strategy<Value = Value> {
    let alias = (
        proptest::sample::select(vec!["n0", "n1", "n2"]),
        proptest::sample::select(vec!["1:2", "3:4", "x:y"]),
    );
    let aliases = proptest::collection::vec(alias, 0..3);
    (0..3_usize, aliases).prop_map(|(number, aliases)| {
        let aliases: Vec<Value> =
            aliases.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        mk("Community", &format!("c{number}"), json!({ "communities": aliases }))
    })
}

fn mk_profile() -> impl Strategy<Value = Value> {
    (0..2_usize, option(&[json!(5), json!(300)])).prop_map(|(number, interval)| {
        mk("BFDProfile", &format!("b{number}"), json!({ "receiveInterval": interval }))
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => mk_pool(),
        4 => mk_bgp_advertisement(),
        1 => mk_l2_advertisement(),
        3 => mk_peer(),
        2 => mk_community(),
        1 => mk_profile(),
    ]
}

/// What there is, no two of one kind and name, and an object that is to be.
fn world() -> impl Strategy<Value = (Vec<Value>, Value)> {
    (proptest::collection::vec(any_object(), 0..12), any_object()).prop_map(|(objects, new)| {
        let mut distinct: Vec<Value> = Vec::new();
        for object in objects {
            if !distinct.iter().any(|other| is_same(other, &object)) {
                distinct.push(object);
            }
        }
        (distinct, new)
    })
}

fn is_same(a: &Value, b: &Value) -> bool {
    a["kind"] == b["kind"] && a["metadata"]["name"] == b["metadata"]["name"]
}

fn request_for(objects: &[Value], new: &Value) -> AdmissionRequest<DynamicObject> {
    match objects.iter().find(|object| is_same(object, new)) {
        Some(old) => mk_request("UPDATE", new, Some(old)),
        None => mk_request("CREATE", new, None),
    }
}

/// As the review, but with every object there is.
fn by_reading_everything(
    request: &AdmissionRequest<DynamicObject>,
    resources: &Resources,
) -> (bool, Vec<String>) {
    let change = Change::of(kind(&request.kind).unwrap(), request).unwrap();
    let object = ObjectId::new(change.kind, change.name.as_str());
    let all = others(resources, &change);
    let Outcome { without, with, .. } = evaluate(&change, all);
    let new = introduced(&object, &without.errors, &with.errors);
    (new.is_empty(), new.iter().map(ToString::to_string).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_review_finds_what_reading_everything_finds((objects, new) in world()) {
        let resources = existing(&objects);
        let request = request_for(&objects, &new);
        let (allowed, errors) = by_reading_everything(&request, &resources);
        let change = Change::of(kind(&request.kind).unwrap(), &request).unwrap();
        let mut verdict = Verdict::default();
        compare(&change, &State::new(NAMESPACE, &resources), &mut verdict);
        prop_assert_eq!(verdict.refusals.is_empty(), allowed, "{:?} but {:?}", &verdict.refusals, &errors);
        prop_assert_eq!(verdict.refusals.len(), errors.len());
        let Outcome { with, .. } = evaluate(&change, others(&resources, &change));
        let own = ObjectId::new(change.kind, change.name.as_str());
        for warning in with.warnings.iter().filter(|warning| warning.object == own) {
            prop_assert!(verdict.warnings.contains(&warning.to_string()), "{warning}");
        }
    }

    #[test]
    fn an_update_that_changes_nothing_is_allowed((objects, _) in world()) {
        for object in &objects {
            let response = update(object, object, &objects);
            prop_assert!(response.allowed, "{}", response.result.message);
        }
    }

    #[test]
    fn the_order_of_objects_does_not_matter((objects, new) in world()) {
        let request = request_for(&objects, &new);
        let mut resources = existing(&objects);
        let answer = review(&request, &State::new(NAMESPACE, &resources));
        resources.pools.reverse();
        resources.bgp_advertisements.reverse();
        resources.peers.reverse();
        resources.communities.reverse();
        let reversed = review(&request, &State::new(NAMESPACE, &resources));
        prop_assert_eq!(answer, reversed);
    }

    #[test]
    fn what_was_allowed_step_by_step_is_in_force((objects, _) in world()) {
        let mut there: Vec<Value> = Vec::new();
        // A reference that is missing keeps an object out of force, and what else is wrong with it may only be found once
        // the reference is there: that must not hold up the object that it refers to.
        let mut waited = BTreeSet::new();
        for object in &objects {
            if create(object, &there).allowed {
                there.push(object.clone());
                let built = configure(&existing(&there), &Config::default());
                let missing = built.errors.iter().filter(|error| error.problem.is_missing_reference());
                waited.extend(missing.map(|error| error.object.clone()));
            }
        }
        let built = configure(&existing(&there), &Config::default());
        let wrong = built.errors.iter().filter(|error| !waited.contains(&error.object));
        prop_assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&ConfigError>::new());
    }
}

#[test]
fn a_pool_with_addresses_of_nodes_and_peers_is_allowed_and_they_are_named() {
    let node: crate::facts::objects::Node = serde_json::from_value(json!({
        "metadata": { "name": "n1" },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.9" }] },
    }))
    .unwrap();
    let nodes = [Arc::new(crate::facts::node(&node).unwrap())];
    let resources = existing(&[peer("tor", json!({}))]);
    let review = |object: &Value| {
        let state = State { nodes: &nodes, ..State::new(NAMESPACE, &resources) };
        super::review(&mk_request("CREATE", object, None), &state)
    };
    let response = review(&pool("p", &["192.0.2.0/24"]));
    assert_warned(&response, "192.0.2.1 (BGPPeer \"tor\"), 192.0.2.9 (node \"n1\")");
    let response = review(&pool("p", &["198.51.100.0/24"]));
    assert!(response.allowed && response.warnings.is_none(), "{response:?}");
}

//! Layer 2 advertisements.

use metallb_core::config::{L2AdvertisementInput, PreferenceInput};
use metallb_core::select::{Labels, SelectorInput};

use crate::support::{
    Case, build, expressions, label, labels, layer2, mk_l2, refused, repeated, strings, taken, texts, twice,
};

#[test]
fn advertisements_have_metallbs_meaning() {
    let config = taken(|input| {
        layer2(input, |_| ());
        input.l2_advertisements.push(L2AdvertisementInput {
            interfaces: strings(&["eth0"]),
            node_selectors: vec![label("rack", "1"), label("rack", "2")],
            service_selectors: vec![label("app", "web")],
            ..mk_l2("y")
        });
    });
    let (x, y) = (&config.l2_advertisements()["x"], &config.l2_advertisements()["y"]);
    assert!(x.interfaces.is_empty() && x.selects_node(&Labels::new()) && x.selects_service(&Labels::new()));
    assert_eq!(y.interfaces.iter().map(ToString::to_string).collect::<Vec<_>>(), ["eth0"]);
    assert!(y.selects_node(&labels(&[("rack", "2")])) && !y.selects_node(&labels(&[("rack", "3")])));
    assert!(y.selects_service(&labels(&[("app", "web")])) && !y.selects_service(&Labels::new()));
}

#[test]
fn preferences_add_up_and_an_empty_one_is_for_every_node() {
    let score = |terms: &[(i32, SelectorInput)], node: &[(&str, &str)]| {
        let of = |(weight, preference): &(i32, SelectorInput)| PreferenceInput {
            weight: *weight,
            preference: preference.clone(),
        };
        let preferred_nodes = terms.iter().map(of).collect();
        let config = taken(|input| layer2(input, |a| a.preferred_nodes = preferred_nodes));
        config.l2_advertisements()["x"].preference_score(&labels(node))
    };
    let edge = [("role", "edge"), ("zone", "a")];
    assert_eq!(score(&[], &edge), 0);
    assert_eq!(score(&[(100, label("role", "edge"))], &edge), 100);
    let two = [(60, label("zone", "a")), (50, label("role", "edge"))];
    assert_eq!((score(&two, &edge), score(&two, &[("zone", "a")])), (110, 60));
    let same = [(40, label("role", "edge")), (40, label("role", "edge"))];
    assert_eq!(score(&same, &edge), 80, "one that stands twice counts twice");
    assert_eq!(score(&[(50, label("role", "gpu"))], &edge), 0);
    assert_eq!(score(&[(10, SelectorInput::default())], &[]), 10);
}

#[test]
fn a_preference_that_says_something_twice_is_only_remarked_upon() {
    let mut preference = repeated().remove(0);
    preference
        .match_expressions
        .extend(expressions(&[("b", "NotIn", &["y", "y"])]).remove(0).match_expressions);
    let built = build(|input| layer2(input, |a| a.preferred_nodes = prefer(7, preference)));
    assert_eq!(built.errors, []);
    assert_eq!(
        texts(&built.warnings),
        [
            "L2Advertisement \"x\": spec.preferredNodeSelectors[0].preference: expression \"a in (x,y)\" is listed twice; remove one"
        ]
    );
    let advertisement = &built.config.l2_advertisements()["x"];
    assert_eq!(advertisement.preference_score(&labels(&[("a", "y"), ("b", "z")])), 7);
    assert_eq!(advertisement.preference_score(&labels(&[("a", "y"), ("b", "y")])), 0);
}

const REFUSED: &[Case<L2AdvertisementInput>] = &[
    ("a pool twice", |a| a.pools = strings(&["by", "by"]), "spec.ipAddressPools[1]", "remove one"),
    ("a pool selector twice", |a| a.pool_selectors = twice(), "spec.ipAddressPoolSelectors[1]", "remove one"),
    ("a node selector twice", |a| a.node_selectors = twice(), "spec.nodeSelectors[1]", "remove one"),
    ("an expression twice", |a| a.node_selectors = repeated(), "spec.nodeSelectors[0]", "remove one"),
    ("a service selector twice", |a| a.service_selectors = twice(), "spec.serviceSelectors[1]", "remove one"),
    (
        "a wrong operator in a preference",
        |a| a.preferred_nodes = prefer(10, expressions(&[("a", "Near", &[])]).remove(0)),
        "spec.preferredNodeSelectors[0].preference",
        "use In, NotIn",
    ),
    (
        "a wrong operator besides",
        |a| {
            a.preferred_nodes =
                prefer(10, expressions(&[("b", "In", &["x", "x"]), ("a", "", &[])]).remove(0));
        },
        "spec.preferredNodeSelectors[0].preference",
        "use In, NotIn",
    ),
    (
        "no weight",
        |a| a.preferred_nodes = prefer(0, label("a", "x")),
        "spec.preferredNodeSelectors[0].weight",
        "use 1 to 100",
    ),
];

fn prefer(weight: i32, preference: SelectorInput) -> Vec<PreferenceInput> {
    vec![PreferenceInput { weight, preference }]
}

#[test]
fn advertisements_that_metallb_refuses_are_refused() {
    refused("L2Advertisement", layer2, REFUSED);
}

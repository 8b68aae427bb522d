//! BGP advertisements and communities.

use metallb_core::config::{BgpAdvertisementInput, Community, CommunityInput, PoolInput};
use metallb_core::keys::Created;
use metallb_core::select::{Labels, SelectorInput};

use crate::support::{
    Case, aliases, bgp, build, expressions, label, labels, layer2, mk_aliases, mk_bgp, mk_pool, refused,
    repeated, strings, taken, texts, twice,
};

#[test]
fn advertisements_have_metallbs_meaning_and_defaults() {
    let config = taken(|input| {
        let names = [("small", "64512:1234"), ("big", "large:123:64512:1234")];
        input.communities.push(mk_aliases("x", &names));
        bgp(input, |_| ());
        input.bgp_advertisements.push(BgpAdvertisementInput {
            aggregation_length: Some(24),
            aggregation_length_v6: Some(64),
            local_pref: Some(100),
            communities: strings(&["small", "big", "1:2"]),
            pools: strings(&["x"]),
            peers: strings(&["by"]),
            ..mk_bgp("y")
        });
    });
    let (x, y) = (&config.bgp_advertisements()["x"], &config.bgp_advertisements()["y"]);
    assert_eq!((x.aggregation_length, x.aggregation_length_v6, x.local_pref), (32, 128, None));
    assert!(x.communities.is_empty() && x.selects_peer(&"any".into()) && x.selects_node(&Labels::new()));
    assert_eq!((y.aggregation_length, y.aggregation_length_v6, y.local_pref), (24, 64, Some(100)));
    let expected = ["1:2", "64512:1234", "large:123:64512:1234"].map(|text| Community::parse(text).unwrap());
    assert_eq!(y.communities.iter().copied().collect::<Vec<_>>(), expected);
    assert!(y.selects_peer(&"by".into()) && !y.selects_peer(&"other".into()));
}

#[test]
fn advertisements_choose_pools_by_name_or_label() {
    let with = |pools: &[&str], pool_selectors: Vec<SelectorInput>| {
        let config = taken(|input| {
            for (name, address) in [("one", "192.0.2.1"), ("two", "192.0.2.2")] {
                input
                    .pools
                    .push(PoolInput { labels: labels(&[("kind", name)]), ..mk_pool(name, &[address]) });
            }
            let pools = strings(pools);
            layer2(input, |a| (a.pools, a.pool_selectors) = (pools.clone(), pool_selectors.clone()));
            input.bgp_advertisements.push(BgpAdvertisementInput { pools, pool_selectors, ..mk_bgp("x") });
        });
        let pools = ["one", "two"].map(|name| &config.pools()[name]);
        let found = pools.map(|pool| config.bgp_advertisements()["x"].applies_to(pool));
        assert_eq!(found, pools.map(|pool| config.l2_advertisements()["x"].applies_to(pool)));
        found
    };
    assert_eq!(with(&[], vec![]), [true, true], "neither: all");
    assert_eq!(with(&["two"], vec![]), [false, true]);
    assert_eq!(with(&[], vec![label("kind", "one")]), [true, false]);
    assert_eq!(with(&["two"], vec![label("kind", "one")]), [true, true], "either is enough");
    assert_eq!(with(&["one"], vec![label("kind", "one")]), [true, false], "and both at once are no mistake");
    assert_eq!(with(&[], vec![label("kind", "none")]), [false, false], "one that finds none is not all");
}

const REFUSED: &[Case<BgpAdvertisementInput>] = &[
    ("a long prefix", |a| a.aggregation_length = Some(34), "spec.aggregationLength", "use 1 to 32"),
    ("a long v6 prefix", |a| a.aggregation_length_v6 = Some(129), "spec.aggregationLengthV6", "use 1 to 128"),
    ("a short prefix", |a| a.aggregation_length = Some(23), "spec.aggregationLength", "use at least /24"),
    ("a pool twice", |a| a.pools = strings(&["x", "x"]), "spec.ipAddressPools[1]", "remove one"),
    ("a peer twice", |a| a.peers = strings(&["by", "by"]), "spec.peers[1]", "remove one"),
    ("a community twice", |a| a.communities = strings(&["1:2", "1:2"]), "spec.communities[1]", "remove one"),
    ("an old community", |a| a.communities = strings(&["1234"]), "spec.communities[0]", "write A:B"),
    ("a large upper half", |a| a.communities = strings(&["65536:1"]), "spec.communities[0]", "write A:B"),
    ("a large lower half", |a| a.communities = strings(&["1:65536"]), "spec.communities[0]", "write A:B"),
    ("no such kind", |a| a.communities = strings(&["larger:1:2:3"]), "spec.communities[0]", "large:A:B:C"),
    ("no number", |a| a.communities = strings(&["large:1:two:3"]), "spec.communities[0]", "large:A:B:C"),
    ("three parts", |a| a.communities = strings(&["1:2:3"]), "spec.communities[0]", "large:A:B:C"),
    (
        "no alias",
        |a| a.communities = strings(&["nobody"]),
        "spec.communities[0]",
        "a Community object defines",
    ),
    ("a pool selector twice", |a| a.pool_selectors = twice(), "spec.ipAddressPoolSelectors[1]", "remove one"),
    (
        "a value twice",
        |a| a.pool_selectors = expressions(&[("a", "In", &["x", "x"])]),
        "spec.ipAddressPoolSelectors[0]",
        "remove one",
    ),
    ("a node selector twice", |a| a.node_selectors = twice(), "spec.nodeSelectors[1]", "remove one"),
    ("an expression twice", |a| a.node_selectors = repeated(), "spec.nodeSelectors[0]", "remove one"),
    ("a service selector twice", |a| a.service_selectors = twice(), "spec.serviceSelectors[1]", "remove one"),
    (
        "some services of an aggregate",
        |a| some_services(a).aggregation_length = Some(24),
        "spec.aggregationLength",
        "remove one",
    ),
    (
        "some services of a v6 aggregate",
        |a| some_services(a).aggregation_length_v6 = Some(64),
        "spec.aggregationLengthV6",
        "remove one",
    ),
];

fn some_services(advertisement: &mut BgpAdvertisementInput) -> &mut BgpAdvertisementInput {
    advertisement.service_selectors = vec![label("app", "web"), label("app", "shop")];
    advertisement
}

#[test]
fn advertisements_that_metallb_refuses_are_refused() {
    refused("BGPAdvertisement", bgp, REFUSED);
}

#[test]
fn only_a_name_may_be_an_alias_that_is_defined_later() {
    let waits = |text: &str| {
        let built = build(|input| bgp(input, |a| a.communities = strings(&[text])));
        built.errors[0].problem.is_missing_reference()
    };
    assert!(waits("later"));
    assert!(waits("12345"), "the old form of a community could be a name");
    for text in ["11111:11aaaa", "65536:1", "larger:1:2:3", "large:1:two:3", "1:2:3"] {
        assert!(!waits(text), "{text}");
    }
}

#[test]
fn an_aggregate_needs_a_network_that_is_large_enough_in_every_entry() {
    let with = |addresses: &[&str], length| {
        let built = build(|input| {
            input.pools.push(mk_pool("x", addresses));
            let (aggregation_length, pools) = (Some(length), strings(&["x"]));
            input.bgp_advertisements.push(BgpAdvertisementInput { aggregation_length, pools, ..mk_bgp("x") });
        });
        texts(&built.errors).concat()
    };
    assert_eq!(with(&["192.0.2.2-192.0.2.254"], 26), "");
    assert!(with(&["192.0.2.2-192.0.2.254"], 24).ends_with("use at least /26"));
    assert!(with(&["203.0.113.0/24", "192.0.2.0/28"], 26).ends_with("use at least /28"));
}

#[test]
fn some_services_go_with_the_lengths_that_do_not_roll_up() {
    for (v4, v6) in [(None, None), (Some(32), None), (None, Some(128)), (Some(32), Some(128))] {
        let config = taken(|input| {
            bgp(input, |a| {
                (a.aggregation_length, a.aggregation_length_v6) = (v4, v6);
                some_services(a);
            });
        });
        let advertisement = &config.bgp_advertisements()["x"];
        assert!(advertisement.selects_service(&labels(&[("app", "shop")])), "any selector is enough");
        assert!(!advertisement.selects_service(&labels(&[("app", "mail")])));
    }
}

/// Changes to the older and to the younger advertisement.
type Both = fn(&mut BgpAdvertisementInput, &mut BgpAdvertisementInput);

fn collide(addresses: &[&str], change: Both) -> bool {
    let mk = |name, local_pref| BgpAdvertisementInput {
        local_pref: Some(local_pref),
        pools: strings(&["x"]),
        ..mk_bgp(name)
    };
    let (mut old, mut young) = (mk("old", 100), mk("young", 200));
    young.meta.created = Created(2);
    change(&mut old, &mut young);
    let built = build(|input| {
        input.pools.push(mk_pool("x", addresses));
        input.bgp_advertisements.extend([young, old]);
    });
    let found = texts(&built.errors);
    let place = "BGPAdvertisement \"young\": spec.localPref: ";
    assert!(found.iter().all(|text| text.starts_with(place)), "{found:?}");
    !found.is_empty()
}

#[test]
fn local_preferences_collide_where_metallb_says_so() {
    let (v4, v6) = ("192.0.2.0/24", "2001:db8::/64");
    assert!(collide(&[v4], |_, _| ()), "same peers, same nodes");
    assert!(collide(&[v4], |old, _| old.local_pref = None), "given here, not given there");
    assert!(collide(&[v4], |old, _| old.peers = strings(&["by"])), "all peers include that one");
    assert!(
        collide(&[v4], |old, _| old.aggregation_length_v6 = Some(120)),
        "the other family does not count"
    );
    assert!(collide(&[v4, v6], |old, _| old.aggregation_length = Some(24)), "one family is enough");
    assert!(!collide(&[v4], |old, _| old.local_pref = Some(200)), "equal");
    assert!(!collide(&[v4], |_, young| young.local_pref = None), "100 is what none means");
    assert!(!collide(&[v4], |old, _| old.aggregation_length = Some(24)), "other prefixes");
    assert!(!collide(&[v6], |old, _| old.aggregation_length_v6 = Some(64)), "other prefixes");
    assert!(!collide(&[v4, v6], |old, _| {
        (old.aggregation_length, old.aggregation_length_v6) = (Some(24), Some(64));
    }));
    assert!(!collide(&[v4], |old, young| (old.peers, young.peers) = (strings(&["by"]), strings(&["p2"]))));
    assert!(!collide(&[v4], |old, young| {
        (old.node_selectors, young.node_selectors) = (vec![label("node", "a")], vec![label("node", "b")]);
    }));
    assert!(!collide(&[v4], |old, _| old.service_selectors = twice().split_off(1)), "decided per service");
}

const REFUSED_ALIASES: &[Case<CommunityInput>] = &[
    ("an old community", |c| c.aliases = one("1234"), "spec.communities[0].value", "write A:B"),
    ("a large upper half", |c| c.aliases = one("65536:1"), "spec.communities[0].value", "write A:B"),
    ("a large lower half", |c| c.aliases = one("1:65536"), "spec.communities[0].value", "write A:B"),
    ("no such kind", |c| c.aliases = one("lar:1:2:3"), "spec.communities[0].value", "large:A:B:C"),
    ("twice", |c| c.aliases = [one("1:2"), one("1:2")].concat(), "spec.communities[1].name", "remove one"),
    (
        "another's",
        |c| c.aliases = vec![("by".into(), "large:1:2:3".into())],
        "spec.communities",
        "rename one",
    ),
];

fn one(value: &str) -> Vec<(String, String)> {
    vec![("x".into(), value.into())]
}

#[test]
fn aliases_that_metallb_refuses_are_refused() {
    refused("Community", aliases, REFUSED_ALIASES);
    assert_eq!(taken(|input| aliases(input, |_| ())).communities().len(), 2, "no alias is no mistake");
}

fn communities(define: &[(&str, &str)], name: &str) -> Vec<String> {
    let config = taken(|input| {
        let define: Vec<_> = define.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        input.communities.push(CommunityInput { aliases: define, ..mk_aliases("more", &[]) });
        input.bgp_advertisements.push(BgpAdvertisementInput { communities: strings(&[name]), ..mk_bgp("x") });
    });
    config.bgp_advertisements()["x"].communities.iter().map(ToString::to_string).collect()
}

#[test]
fn well_known_communities_have_names() {
    for (name, value) in [("no-export", "65535:65281"), ("blackhole", "65535:666")] {
        assert_eq!(communities(&[], name), communities(&[], value));
    }
    assert_eq!(communities(&[("no-export", "1:2")], "no-export"), ["1:2"]);
}

#[test]
fn an_alias_that_is_named_like_a_value_does_not_hide_it() {
    assert_eq!(communities(&[("64500:1", "64500:2")], "64500:1"), ["64500:1"]);
}

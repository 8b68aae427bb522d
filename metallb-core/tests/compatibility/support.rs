//! One object of each kind that nothing is wrong with, and what is added to them.

use metallb_core::config::{
    BfdProfileInput, BgpAdvertisementInput, Built, CommunityInput, Config, ConfigError, Input,
    L2AdvertisementInput, Meta, PeerInput, PoolInput,
};
use metallb_core::keys::Created;
use metallb_core::select::{ExpressionInput, Labels, SelectorInput};

/// Name of the case, the change that makes an object wrong, the field at fault and a part of the remedy.
pub(crate) type Case<T> = (&'static str, fn(&mut T), &'static str, &'static str);

/// Every case is refused with one error that names the object `x`, the field and the remedy.
#[track_caller]
pub(crate) fn refused<T>(kind: &str, add: fn(&mut Input, fn(&mut T)), cases: &[Case<T>]) {
    for (case, change, field, remedy) in cases {
        let found = texts(&build(|input| add(input, *change)).errors);
        assert_eq!(found.len(), 1, "{case}: {found:?}");
        let place = format!("{kind} \"x\": {field}: ");
        assert!(found.concat().starts_with(&place), "{case}: {found:?} should be about {place}");
        assert!(found.concat().contains(remedy), "{case}: {found:?} should advise {remedy:?}");
    }
}

/// The configuration, in which nothing is wrong.
#[track_caller]
pub(crate) fn taken(change: impl FnOnce(&mut Input)) -> Config {
    let built = build(change);
    assert_eq!(texts(&built.errors), [""; 0]);
    built.config
}

/// What becomes of the bystanders and the change; the former stay in force whatever the latter is.
#[track_caller]
pub(crate) fn build(change: impl FnOnce(&mut Input)) -> Built {
    let mut input = Input {
        pools: vec![mk_pool("by", &["198.18.0.0/16", "2001:db8:b::/64"])],
        l2_advertisements: vec![L2AdvertisementInput { pools: strings(&["by"]), ..mk_l2("by") }],
        bgp_advertisements: vec![BgpAdvertisementInput { pools: strings(&["by"]), ..mk_bgp("by") }],
        peers: vec![PeerInput { address: Some("198.51.100.99".into()), ..mk_peer("by") }],
        communities: vec![mk_aliases("by", &[("by", "64500:99")])],
        bfd_profiles: vec![mk_bfd("by")],
        ..Input::default()
    };
    change(&mut input);
    let built = Config::build(&input, &Config::default());
    let config = &built.config;
    assert!(config.pools().contains_key("by"));
    assert!(config.l2_advertisements().contains_key("by"));
    assert!(config.bgp_advertisements().contains_key("by"));
    assert!(config.peers().contains_key("by"));
    assert!(config.communities().contains_key("by"));
    assert!(config.bfd_profiles().contains_key("by"));
    built
}

pub(crate) fn texts(errors: &[ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

pub(crate) fn pool(input: &mut Input, change: impl FnOnce(&mut PoolInput)) {
    let mut pool = mk_pool("x", &["192.0.2.0/24"]);
    change(&mut pool);
    input.pools.push(pool);
}

pub(crate) fn peer(input: &mut Input, change: impl FnOnce(&mut PeerInput)) {
    let mut peer = mk_peer("x");
    change(&mut peer);
    input.peers.push(peer);
}

pub(crate) fn layer2(input: &mut Input, change: impl FnOnce(&mut L2AdvertisementInput)) {
    let mut advertisement = mk_l2("x");
    change(&mut advertisement);
    input.l2_advertisements.push(advertisement);
}

/// An advertisement of a pool of its own.
pub(crate) fn bgp(input: &mut Input, change: impl FnOnce(&mut BgpAdvertisementInput)) {
    pool(input, |_| ());
    let mut advertisement = BgpAdvertisementInput { pools: strings(&["x"]), ..mk_bgp("x") };
    change(&mut advertisement);
    input.bgp_advertisements.push(advertisement);
}

pub(crate) fn aliases(input: &mut Input, change: impl FnOnce(&mut CommunityInput)) {
    let mut object = mk_aliases("x", &[]);
    change(&mut object);
    input.communities.push(object);
}

pub(crate) fn mk_pool(name: &str, addresses: &[&str]) -> PoolInput {
    PoolInput { meta: meta(name), addresses: strings(addresses), ..PoolInput::default() }
}

pub(crate) fn mk_peer(name: &str) -> PeerInput {
    PeerInput {
        meta: meta(name),
        my_asn: 64500,
        peer_asn: Some(64501),
        address: Some("192.0.2.1".into()),
        ..PeerInput::default()
    }
}

pub(crate) fn mk_l2(name: &str) -> L2AdvertisementInput {
    L2AdvertisementInput { meta: meta(name), ..L2AdvertisementInput::default() }
}

pub(crate) fn mk_bgp(name: &str) -> BgpAdvertisementInput {
    BgpAdvertisementInput { meta: meta(name), ..BgpAdvertisementInput::default() }
}

pub(crate) fn mk_bfd(name: &str) -> BfdProfileInput {
    BfdProfileInput { meta: meta(name), ..BfdProfileInput::default() }
}

pub(crate) fn mk_aliases(name: &str, aliases: &[(&str, &str)]) -> CommunityInput {
    let aliases = aliases.iter().map(|(alias, value)| ((*alias).into(), (*value).into())).collect();
    CommunityInput { meta: meta(name), aliases }
}

fn meta(name: &str) -> Meta {
    Meta::new(name, Created(1))
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

pub(crate) fn label(key: &str, value: &str) -> SelectorInput {
    SelectorInput { match_labels: vec![(key.into(), value.into())], ..SelectorInput::default() }
}

/// The same selector twice.
pub(crate) fn twice() -> Vec<SelectorInput> {
    vec![label("a", "x"), label("a", "x")]
}

pub(crate) fn expressions(expressions: &[(&str, &str, &[&str])]) -> Vec<SelectorInput> {
    let of = |(key, operator, values): &(&str, &str, &[&str])| ExpressionInput {
        key: (*key).into(),
        operator: (*operator).into(),
        values: strings(values),
    };
    let match_expressions = expressions.iter().map(of).collect();
    vec![SelectorInput { match_expressions, ..SelectorInput::default() }]
}

/// A selector with one expression twice, its values in another order.
pub(crate) fn repeated() -> Vec<SelectorInput> {
    expressions(&[("a", "In", &["x", "y"]), ("a", "In", &["y", "x"])])
}

//! What people write, what is accepted, and what they are told.

use std::time::Duration;

use metallb_core::config::{
    BfdProfileInput, BgpAdvertisementInput, Built, Community, CommunityInput, Config, ConfigError, InForce,
    Input, Kind, L2AdvertisementInput, Meta, PasswordInput, PeerInput, PoolInput, PreferenceInput, Secret,
    SecretProblem, ServiceAllocationInput, UnreadableInput,
};
use metallb_core::keys::{AdvertisementName, Created, PeerName, PoolName};
use metallb_core::select::{ExpressionInput, Labels, SelectorInput};
use proptest::prelude::*;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn mk_pool(name: &str, created: i64, addresses: &[&str]) -> PoolInput {
    PoolInput {
        meta: Meta::new(name, Created(created)),
        addresses: strings(addresses),
        ..PoolInput::default()
    }
}

fn mk_peer(name: &str, created: i64) -> PeerInput {
    PeerInput {
        meta: Meta::new(name, Created(created)),
        my_asn: 64500,
        peer_asn: Some(64501),
        address: Some("192.0.2.1".into()),
        ..PeerInput::default()
    }
}

fn mk_bgp(name: &str, created: i64) -> BgpAdvertisementInput {
    BgpAdvertisementInput { meta: Meta::new(name, Created(created)), ..BgpAdvertisementInput::default() }
}

fn selector(key: &str, value: &str) -> SelectorInput {
    SelectorInput { match_labels: vec![(key.into(), value.into())], ..SelectorInput::default() }
}

fn pools(pools: Vec<PoolInput>) -> Input {
    Input { pools, ..Input::default() }
}

fn peers(peers: Vec<PeerInput>) -> Input {
    Input { peers, ..Input::default() }
}

fn build(input: &Input) -> Built {
    Config::build(input, &Config::default())
}

fn texts(errors: &[ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Exactly one error, which contains the text.
#[track_caller]
fn assert_only_error(input: &Input, expected: &str) {
    let built = build(input);
    let texts = texts(&built.errors);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts.concat().contains(expected), "{texts:?} should contain {expected:?}");
}

#[test]
fn all_errors_of_all_objects_are_reported_with_object_field_and_remedy() {
    let mut bad = mk_pool("bad", 1, &["10.0.0.0/33", "10.0.0.1", "10.0.0.0-fc00::1"]);
    bad.service_allocation =
        Some(ServiceAllocationInput { namespaces: strings(&["a", "a"]), ..Default::default() });
    let mut input = pools(vec![bad, mk_pool("good", 2, &["192.0.2.0/24"])]);
    input.peers = vec![PeerInput { my_asn: 0, ..mk_peer("peer", 1) }];
    let built = build(&input);
    assert_eq!(
        texts(&built.errors),
        [
            "IPAddressPool \"bad\": spec.addresses[0]: \"33\" is not a prefix length; use 0 to 32 without sign and leading zeros",
            "IPAddressPool \"bad\": spec.addresses[2]: 10.0.0.0 and fc00::1 are of different families; use one family per range",
            "IPAddressPool \"bad\": spec.serviceAllocation.namespaces[1]: \"a\" is listed twice; remove one",
            "BGPPeer \"peer\": spec.myASN: 0 is out of range; use 1 to 4294967295",
        ]
    );
    assert!(built.config.pools().contains_key("good"), "one bad object never takes down the rest");
    assert!(!built.config.pools().contains_key("bad"));
}

#[test]
fn of_two_overlapping_pools_the_older_wins_and_names_break_ties() {
    for (created_a, created_b, winner) in [(1, 2, "a"), (2, 1, "b"), (1, 1, "a")] {
        let input = pools(vec![
            mk_pool("b", created_b, &["10.0.0.128-10.0.1.5"]),
            mk_pool("a", created_a, &["198.51.100.0/24", "10.0.0.0/24"]),
        ]);
        let built = build(&input);
        let accepted: Vec<&str> = built.config.pools().keys().map(PoolName::as_str).collect();
        assert_eq!(accepted, [winner]);
        assert_eq!(built.errors.len(), 1);
        assert_eq!(built.errors.first().unwrap().reason(), "overlap");
    }
}

#[test]
fn entries_of_one_pool_must_not_overlap() {
    assert_only_error(
        &pools(vec![mk_pool("a", 1, &["10.0.0.0/24", "fc00::1", "10.0.0.7"])]),
        "spec.addresses[2]: overlaps with spec.addresses[0] (10.0.0.0/24)",
    );
}

#[test]
fn masked_host_bits_are_remarked_upon_with_the_range_meant() {
    let built = build(&pools(vec![mk_pool(
        "a",
        1,
        &["192.0.2.200/28", "192.0.2.0/25", "198.51.100.7", "2001:db8::1/64"],
    )]));
    assert_eq!(built.errors, []);
    let expected = [
        "IPAddressPool \"a\": spec.addresses[0]: \"192.0.2.200/28\" means 192.0.2.192-192.0.2.207; \
         write 192.0.2.192/28 to say so",
        "IPAddressPool \"a\": spec.addresses[3]: \"2001:db8::1/64\" means \
         2001:db8::-2001:db8::ffff:ffff:ffff:ffff; write 2001:db8::/64 to say so",
    ];
    assert_eq!(texts(&built.warnings), expected);
}

#[test]
fn only_the_beginning_of_a_long_text_is_shown() {
    let long = "x".repeat(1000);
    let text = texts(&build(&pools(vec![mk_pool("a", 1, &[&long])])).errors).remove(0);
    assert!(text.contains(&format!("\"{}\"...", "x".repeat(128))), "{text}");
}

#[test]
fn a_rejected_object_keeps_its_last_good_version() {
    let good = build(&pools(vec![mk_pool("a", 1, &["10.0.0.0/24"])])).config;
    let bad = pools(vec![mk_pool("a", 1, &["10.0.0.0/24", "nonsense"])]);
    let built = Config::build(&bad, &good);
    assert_eq!(built.config.pools(), good.pools());
    assert!(built.errors.first().unwrap().kept_previous());
    assert!(built.config.rejected_pools().get("a").unwrap().contains("10.0.0.9".parse().unwrap()));
    let after_restart = Config::build(&bad, &Config::default());
    assert!(after_restart.config.pools().is_empty());
    assert_eq!(after_restart.errors.first().unwrap().in_force, InForce::Nothing);
    let healed = Config::build(&pools(vec![mk_pool("a", 1, &["10.0.0.0/24"])]), &built.config);
    assert_eq!((healed.errors.len(), healed.config.rejected_pools().len()), (0, 0));
}

#[test]
fn a_last_good_version_does_not_stand_in_the_way_of_an_older_object() {
    let before = build(&pools(vec![mk_pool("young", 2, &["10.0.0.0/24"])])).config;
    let input = pools(vec![mk_pool("young", 2, &["broken"]), mk_pool("old", 1, &["10.0.0.0/25"])]);
    let built = Config::build(&input, &before);
    assert_eq!(built.config.pools().keys().map(PoolName::as_str).collect::<Vec<_>>(), ["old"]);
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_last_good_version_too() {
    let before = build(&pools(vec![mk_pool("a", 1, &["10.0.0.0/24"])])).config;
    let unreadable = UnreadableInput {
        kind: Kind::Pool,
        meta: Meta::new("a", Created(1)),
        field: "spec.autoAssign".into(),
        message: "expected a boolean".into(),
    };
    let built = Config::build(&Input { unreadable: vec![unreadable], ..Input::default() }, &before);
    assert!(built.config.pools().contains_key("a"));
    assert_eq!(
        texts(&built.errors),
        ["IPAddressPool \"a\": spec.autoAssign: cannot be read: expected a boolean; correct the object"]
    );
}

#[test]
fn an_unchanged_object_is_the_same_value_as_before() {
    let input = pools(vec![mk_pool("a", 1, &["10.0.0.0/24"])]);
    let before = build(&input).config;
    let after = Config::build(&input, &before).config;
    assert!(std::sync::Arc::ptr_eq(before.pools().get("a").unwrap(), after.pools().get("a").unwrap()));
}

#[test]
fn peers_say_what_is_missing_and_what_excludes_each_other() {
    type Case = (fn(&mut PeerInput), &'static str);
    let cases: [Case; 31] = [
        (|p| p.peer_asn = None, "spec.peerASN: is missing"),
        (|p| p.dynamic_asn = Some("internal".into()), "spec.dynamicASN: cannot be set together with peerASN"),
        (|p| (p.peer_asn, p.dynamic_asn) = (None, Some("both".into())), "write internal or external"),
        (|p| p.address = None, "spec.peerAddress: is missing"),
        (|p| p.interface = Some("eth0".into()), "spec.interface: cannot be set together with peerAddress"),
        (|p| (p.address, p.interface) = (None, Some("a/b".into())), "network device"),
        (|p| p.address = Some("router".into()), "spec.peerAddress: \"router\" is not a unicast IP address"),
        (|p| p.address = Some("224.0.0.1".into()), "not a unicast IP address"),
        (|p| p.local_asn = Some(0), "spec.localASN"),
        (|p| p.source_address = Some("2001:db8::1".into()), "not of the family of peerAddress 192.0.2.1"),
        (|p| p.port = Some(0), "use 1 to 65535"),
        (|p| p.hold_time = Some("2s".into()), "hold time of 2 s"),
        (|p| p.hold_time = Some("65536s".into()), "hold time of 65536 s"),
        (|p| p.hold_time = Some("90".into()), "write 90s for seconds"),
        (
            |p| (p.hold_time, p.keepalive_time) = (Some("9s".into()), Some("10s".into())),
            "keepalive 10 s does not fit",
        ),
        (
            |p| p.hold_time = Some("900ms".into()),
            "spec.holdTime: \"900ms\" is not a hold time of whole seconds",
        ),
        (
            |p| (p.hold_time, p.keepalive_time) = (Some("0.5s".into()), Some("1s".into())),
            "write 3s to 65535s, or 0s for none",
        ),
        (|p| p.keepalive_time = Some("500ms".into()), "write 1s to 21845s, or give holdTime too"),
        (|p| p.keepalive_time = Some("30000s".into()), "spec.keepaliveTime: a hold time of 90000 s"),
        (|p| p.connect_time = Some("1500ms".into()), "whole number of seconds"),
        (|p| p.connect_time = Some("0s".into()), "use 1 to 65535"),
        (|p| p.router_id = Some("0.0.0.0".into()), "BGP identifier"),
        (
            |p| p.next_hop_v4 = Some("2001:db8::1".into()),
            "spec.nextHop.ipv4: \"2001:db8::1\" is not an address",
        ),
        (|p| p.next_hop_v4 = Some("127.0.0.1".into()), "write one like 192.0.2.1 for ipv4"),
        (|p| p.next_hop_v6 = Some("fe80::1".into()), "spec.nextHop.ipv6: \"fe80::1\" is not an address"),
        (|p| p.next_hop_v6 = Some("::ffff:192.0.2.1".into()), "2001:db8::1 for ipv6, or self"),
        (|p| p.tcp_mss = Some(87), "spec.tcpMSS: 87 is out of range; use 88 to 32767"),
        (|p| p.tcp_mss = Some(32_768), "use 88 to 32767"),
        (|p| p.password = PasswordInput::Both, "spec.passwordSecret: cannot be set together with password"),
        (|p| p.password = PasswordInput::Plain(Secret::new("x".repeat(81))), "81 octets"),
        (|p| (p.ebgp_multi_hop, p.peer_asn) = (true, Some(64500)), "only for external peers"),
    ];
    for (change, expected) in cases {
        let mut peer = mk_peer("p", 1);
        change(&mut peer);
        assert_only_error(&peers(vec![peer]), expected);
    }
}

#[test]
fn a_missing_secret_is_reported_and_heals() {
    let with = |value| {
        let password = PasswordInput::Reference { name: "key".into(), value };
        peers(vec![PeerInput { password, ..mk_peer("p", 1) }])
    };
    let built = build(&with(Err(SecretProblem::Missing)));
    assert!(built.errors.first().unwrap().problem.is_missing_reference());
    assert!(built.config.peers().is_empty());
    let built = build(&with(Ok(Secret::new("s3cret"))));
    assert_eq!(built.errors, []);
    assert!(!format!("{:?}", built.config).contains("s3cret"), "passwords are never printed");
}

#[test]
fn a_password_with_a_line_break_inside_is_refused_wherever_it_comes_from() {
    let reference =
        |password| PasswordInput::Reference { name: "key".into(), value: Ok(Secret::new(password)) };
    let cases = [
        (PasswordInput::Plain(Secret::new("s3cret\n")), "spec.password: "),
        (PasswordInput::Plain(Secret::new("s3\rcret")), "spec.password: "),
        (reference("s3\r\ncret"), "spec.passwordSecret: "),
        (reference("s3cret\r"), "spec.passwordSecret: "),
    ];
    for (password, field) in cases {
        let input = peers(vec![PeerInput { password, ..mk_peer("p", 1) }]);
        assert_only_error(
            &input,
            &format!("BGPPeer \"p\": {field}the password contains a line break; remove it"),
        );
        assert!(!texts(&build(&input).errors).concat().contains("s3"), "passwords are never printed");
    }
    let blank = PasswordInput::Plain(Secret::new(" with\tblanks "));
    assert_eq!(build(&peers(vec![PeerInput { password: blank, ..mk_peer("p", 1) }])).errors, []);
}

#[test]
fn a_password_secret_is_taken_without_the_line_break_at_its_end_and_an_empty_one_means_no_password() {
    for (written, used, remark) in [
        ("s3cret\n", Some("s3cret"), "ends with a line break; it is used without"),
        ("s3cret\r\n", Some("s3cret"), "ends with a line break; it is used without"),
        ("", None, "is empty: the session runs without password"),
        ("\n", None, "is empty: the session runs without password"),
    ] {
        let password = PasswordInput::Reference { name: "key".into(), value: Ok(Secret::new(written)) };
        let built = build(&peers(vec![PeerInput { password, ..mk_peer("p", 1) }]));
        assert_eq!(built.errors, [], "{written:?}");
        let warnings = texts(&built.warnings).concat();
        assert!(warnings.contains(remark) && !warnings.contains("s3"), "{warnings}");
        assert_eq!(built.config.peers()["p"].password.as_ref().map(Secret::reveal), used);
    }
}

#[test]
fn multihop_is_refused_by_the_own_number_only_and_else_remarked_upon() {
    let peer = |peer_asn: Option<u32>, dynamic_asn: Option<&str>, local_asn| {
        let dynamic_asn = dynamic_asn.map(str::to_owned);
        let peer = PeerInput { peer_asn, dynamic_asn, local_asn, ebgp_multi_hop: true, ..mk_peer("p", 1) };
        let built = build(&peers(vec![peer]));
        (built.errors.len(), texts(&built.warnings).concat())
    };
    let own = mk_peer("p", 1).my_asn;
    assert_eq!(peer(Some(own), None, None).0, 1);
    assert_eq!(peer(Some(own), None, Some(64_999)).0, 1, "judged by myASN, as MetalLB");
    for (errors, warnings) in [peer(None, Some("internal"), None), peer(Some(64_999), None, Some(64_999))] {
        assert_eq!((errors, warnings.contains("has no effect: the session is internal")), (0, true));
    }
    assert_eq!(peer(None, Some("external"), None), (0, String::new()));
}

#[test]
fn an_empty_name_in_a_list_is_left_out_with_a_warning_and_never_widens_it() {
    let advertised = |pools: &[&str]| {
        let pools = pools.iter().map(|name| (*name).to_owned()).collect();
        let advertisement =
            L2AdvertisementInput { meta: Meta::new("a", Created(1)), pools, ..Default::default() };
        let input = Input {
            pools: vec![mk_pool("web", 1, &["192.0.2.0/24"])],
            l2_advertisements: vec![advertisement],
            ..Input::default()
        };
        let built = build(&input);
        assert_eq!(built.errors, []);
        let warnings = texts(&built.warnings).iter().filter(|text| text.contains("is an empty name")).count();
        let l2 = &built.config.l2_advertisements()["a"];
        (l2.applies_to(&built.config.pools()["web"]), warnings)
    };
    assert_eq!(advertised(&["web", ""]), (true, 1));
    assert_eq!(advertised(&["", ""]), (false, 2));
    assert_eq!(advertised(&[]), (true, 0));
}

#[test]
fn hold_and_keepalive_complete_each_other() {
    let cases = [
        (None, None, 90, 30),
        (Some("0s"), None, 0, 0),
        (Some("180s"), None, 180, 60),
        (Some("3s"), None, 3, 1),
        (None, Some("10s"), 30, 10),
        (Some("1m30s"), Some("90s"), 90, 90),
        (Some("9500ms"), None, 9, 3),
        (Some("0s"), Some("0s"), 0, 0),
        (None, Some("0s"), 0, 0),
        (Some("60s"), Some("0s"), 60, 20),
        (Some("5s"), Some("500ms"), 5, 1),
    ];
    for (hold, keepalive, expected_hold, expected_keepalive) in cases {
        let mut peer = mk_peer("p", 1);
        (peer.hold_time, peer.keepalive_time) = (hold.map(str::to_owned), keepalive.map(str::to_owned));
        let built = build(&peers(vec![peer]));
        assert_eq!(built.errors, [], "{hold:?} {keepalive:?}");
        let warnings = match (hold, keepalive) {
            (Some("5s"), _) => 2,
            (Some("9500ms" | "60s"), _) => 1,
            _ => 0,
        };
        assert_eq!(built.warnings.len(), warnings, "{hold:?} {keepalive:?}");
        let peer = built.config.peers().get("p").unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(
            (peer.hold_time, peer.keepalive_time),
            (seconds(expected_hold), seconds(expected_keepalive))
        );
    }
}

#[test]
fn two_peers_with_one_session_conflict_only_where_both_are_selected() {
    let on = |name: &str, created, selectors: Vec<SelectorInput>| PeerInput {
        node_selectors: selectors,
        ..mk_peer(name, created)
    };
    let same = build(&peers(vec![on("young", 2, vec![]), on("old", 1, vec![])]));
    assert_eq!(same.errors.first().unwrap().reason(), "duplicate_peer");
    assert_eq!(same.config.peers().keys().map(PeerName::as_str).collect::<Vec<_>>(), ["old"]);
    let disjoint =
        build(&peers(vec![on("a", 1, vec![selector("rack", "1")]), on("b", 2, vec![selector("rack", "2")])]));
    assert_eq!((disjoint.errors.len(), disjoint.warnings.len(), disjoint.config.peers().len()), (0, 0, 2));
    let overlapping = build(&peers(vec![on("a", 2, vec![]), on("b", 1, vec![selector("rack", "1")])]));
    assert_eq!((overlapping.errors.len(), overlapping.warnings.len()), (0, 1));
    let rack1: Labels = [("rack", "1")].into_iter().collect();
    let here = overlapping.config.peers_on(&rack1);
    assert_eq!(here.peers.keys().map(PeerName::as_str).collect::<Vec<_>>(), ["b"]);
    assert_eq!(here.shadowed.keys().map(PeerName::as_str).collect::<Vec<_>>(), ["a"]);
    let there = overlapping.config.peers_on(&Labels::new());
    assert_eq!(there.peers.keys().map(PeerName::as_str).collect::<Vec<_>>(), ["a"]);
    let other_vrf = PeerInput { vrf: Some("red".into()), ..mk_peer("c", 3) };
    assert_eq!(build(&peers(vec![mk_peer("a", 1), other_vrf])).errors, []);
}

#[test]
fn an_aggregate_must_not_cover_more_than_its_pool() {
    let with = |addresses: &[&str], length| {
        let mut input = pools(vec![mk_pool("p", 1, addresses), mk_pool("other", 1, &["198.51.100.0/24"])]);
        input.bgp_advertisements =
            vec![BgpAdvertisementInput { aggregation_length: Some(length), ..mk_bgp("a", 1) }];
        build(&input)
    };
    assert_eq!(with(&["192.0.2.0/24"], 24).errors, []);
    assert_eq!(with(&["192.0.2.0/26"], 26).errors, []);
    let built = with(&["192.0.2.0/26"], 24);
    let error = built.errors.first().unwrap();
    assert!(error.to_string().contains("/24 would announce more than 192.0.2.0/26 of IPAddressPool \"p\""));
    assert_eq!(error.in_force, InForce::Partly, "the other pool is announced nevertheless");
    let advertisement = built.config.bgp_advertisements().get("a").unwrap();
    let applies = |pool: &str| advertisement.applies_to(built.config.pools().get(pool).unwrap());
    assert_eq!((applies("p"), applies("other")), (false, true));
    assert_eq!(with(&["192.0.2.64-192.0.2.200"], 26).errors, [], "one network of the range is large enough");
    assert_eq!(with(&["192.0.2.1-192.0.2.9"], 26).errors.len(), 1, "none is");
    assert_eq!(with(&["2001:db8::/64"], 24).errors, [], "the other family has its own length");
}

#[test]
fn aggregation_and_service_selectors_exclude_each_other() {
    let input = Input {
        bgp_advertisements: vec![BgpAdvertisementInput {
            aggregation_length_v6: Some(64),
            service_selectors: vec![selector("a", "b")],
            ..mk_bgp("a", 1)
        }],
        ..Input::default()
    };
    assert_only_error(&input, "spec.aggregationLengthV6: cannot be combined with serviceSelectors");
}

#[test]
fn different_local_preferences_for_the_same_prefixes_are_refused() {
    let with = |change: fn(&mut BgpAdvertisementInput)| {
        let mut young = BgpAdvertisementInput { local_pref: Some(200), ..mk_bgp("young", 2) };
        change(&mut young);
        let old =
            BgpAdvertisementInput { local_pref: Some(100), peers: strings(&["r1"]), ..mk_bgp("old", 1) };
        let mut input = pools(vec![mk_pool("p", 1, &["192.0.2.0/24"])]);
        input.bgp_advertisements = vec![young, old];
        build(&input)
    };
    let conflict = with(|_| {});
    let error = conflict.errors.first().unwrap();
    assert_eq!(
        (error.reason(), &*error.object.name, error.in_force),
        ("local_pref_conflict", "young", InForce::Nothing)
    );
    let errors = |change| with(change).errors.len();
    assert_eq!(errors(|a| a.local_pref = Some(100)), 0, "equal");
    assert_eq!(errors(|a| a.peers = strings(&["r2"])), 0, "other peers");
    assert_eq!(errors(|a| a.peers = strings(&["r2", "r1"])), 1, "a common peer");
    assert_eq!(errors(|a| a.aggregation_length = Some(25)), 0, "other prefixes");
    assert_eq!(errors(|a| a.service_selectors = vec![selector("a", "b")]), 0, "decided per service");
    assert_eq!(errors(|a| a.pools = strings(&["elsewhere"])), 0, "other pools");
}

#[test]
fn local_preferences_on_nodes_that_may_differ_are_only_a_warning() {
    let on = |name: &str, created, pref, key: &str, value: &str| BgpAdvertisementInput {
        local_pref: Some(pref),
        node_selectors: vec![selector(key, value)],
        ..mk_bgp(name, created)
    };
    let with = |other: BgpAdvertisementInput| {
        let mut input = pools(vec![mk_pool("p", 1, &["192.0.2.0/24"])]);
        input.bgp_advertisements = vec![on("old", 1, 100, "rack", "1"), other];
        let built = build(&input);
        (built.errors.len(), built.warnings.len())
    };
    assert_eq!(with(on("young", 2, 200, "rack", "1")), (1, 0));
    assert_eq!(with(on("young", 2, 200, "rack", "2")), (0, 0));
    assert_eq!(with(on("young", 2, 200, "zone", "x")), (0, 1));
}

#[test]
fn community_aliases_are_resolved_and_heal_when_they_appear() {
    let alias = |name: &str, created, aliases: &[(&str, &str)]| CommunityInput {
        meta: Meta::new(name, Created(created)),
        aliases: aliases.iter().map(|(a, v)| ((*a).into(), (*v).into())).collect(),
    };
    let mut input = Input {
        bgp_advertisements: vec![BgpAdvertisementInput {
            communities: strings(&["vpn", "no-export", "large:1:2:3", "7:9"]),
            ..mk_bgp("a", 1)
        }],
        ..Input::default()
    };
    let missing = build(&input);
    assert!(
        missing
            .errors
            .first()
            .unwrap()
            .to_string()
            .contains("spec.communities[0]: \"vpn\" is not a community")
    );
    assert!(missing.config.bgp_advertisements().is_empty());
    input.communities = vec![alias("c", 1, &[("vpn", "64500:7")])];
    let healed = Config::build(&input, &missing.config);
    assert_eq!(healed.errors, []);
    let communities = &healed.config.bgp_advertisements().get("a").unwrap().communities;
    let expected = ["7:9", "64500:7", "no-export", "large:1:2:3"].map(|text| Community::parse(text).unwrap());
    assert_eq!(communities.iter().copied().collect::<Vec<_>>(), expected);
    input.communities.clear();
    let removed = Config::build(&input, &healed.config);
    assert!(removed.errors.first().unwrap().kept_previous(), "still announced with the community it had");
    input.communities = vec![alias("c", 2, &[("vpn", "1:1")]), alias("b", 1, &[("vpn", "2:2")])];
    let twice = build(&input);
    assert!(
        twice.errors.first().unwrap().to_string().contains(
            "Community \"c\": spec.communities: alias \"vpn\" is already defined by Community \"b\""
        )
    );
}

#[test]
fn missing_references_are_warnings_where_the_rest_can_work() {
    let mut input = peers(vec![PeerInput { bfd_profile: Some("fast".into()), ..mk_peer("p", 1) }]);
    input.l2_advertisements = vec![L2AdvertisementInput {
        meta: Meta::new("l2", Created(1)),
        pools: strings(&["nowhere"]),
        ..Default::default()
    }];
    input.bgp_advertisements = vec![BgpAdvertisementInput { peers: strings(&["p", "q"]), ..mk_bgp("b", 1) }];
    let built = build(&input);
    assert_eq!(built.errors, []);
    assert_eq!(
        texts(&built.warnings),
        [
            "BGPPeer \"p\": spec.bfdProfile: there is no BFDProfile \"fast\"; the session runs without BFD until it is created",
            "L2Advertisement \"l2\": spec.ipAddressPools[0]: there is no IPAddressPool \"nowhere\"; create it or correct the name",
            "BGPAdvertisement \"b\": spec.peers[1]: there is no BGPPeer \"q\"; create it or correct the name",
        ]
    );
}

#[test]
fn layer_2_advertisements_check_lists_weights_and_selectors() {
    let mut input = Input::default();
    let preference = |weight| PreferenceInput { weight, preference: selector("a", "b") };
    input.l2_advertisements = vec![L2AdvertisementInput {
        meta: Meta::new("x", Created(0)),
        interfaces: strings(&["eth0", ""]),
        preferred_nodes: vec![preference(0), preference(100), preference(101)],
        node_selectors: vec![SelectorInput {
            match_expressions: vec![ExpressionInput {
                key: "a".into(),
                operator: "Like".into(),
                values: vec![],
            }],
            ..SelectorInput::default()
        }],
        ..L2AdvertisementInput::default()
    }];
    let fields: Vec<String> = build(&input).errors.into_iter().map(|error| error.field).collect();
    assert_eq!(
        fields,
        [
            "spec.preferredNodeSelectors[0].weight",
            "spec.preferredNodeSelectors[2].weight",
            "spec.nodeSelectors[0]",
        ]
    );
}

#[test]
fn an_interface_listed_twice_is_only_remarked_upon() {
    let advertisement = L2AdvertisementInput {
        meta: Meta::new("x", Created(0)),
        interfaces: strings(&["eth0", "eth1", "eth0"]),
        ..L2AdvertisementInput::default()
    };
    let input = Input { l2_advertisements: vec![advertisement], ..Input::default() };
    let built = build(&input);
    assert_eq!(built.errors, []);
    assert_eq!(
        texts(&built.warnings),
        ["L2Advertisement \"x\": spec.interfaces[2]: \"eth0\" is listed twice; remove one"]
    );
    assert_eq!(built.config.l2_advertisements().get("x").unwrap().interfaces.len(), 2);
}

#[test]
fn bfd_profiles_have_defaults_and_limits() {
    let mut input = Input::default();
    let profile =
        |name: &str| BfdProfileInput { meta: Meta::new(name, Created(0)), ..BfdProfileInput::default() };
    input.bfd_profiles = vec![
        profile("default"),
        BfdProfileInput {
            receive_interval: Some(9),
            detect_multiplier: Some(256),
            minimum_ttl: Some(255),
            ..profile("bad")
        },
    ];
    let built = build(&input);
    assert_eq!(built.errors.len(), 3);
    let default = built.config.bfd_profiles().get("default").unwrap();
    assert_eq!((default.receive_interval, default.detect_multiplier), (Duration::from_millis(300), 3));
    assert_eq!((default.echo_interval, default.minimum_ttl), (Duration::from_millis(50), 254));
}

#[test]
fn two_objects_with_one_name_are_reported_and_the_older_is_used() {
    let built = build(&pools(vec![mk_pool("a", 2, &["10.0.0.1"]), mk_pool("a", 1, &["10.0.0.2"])]));
    assert_eq!(built.errors.first().unwrap().reason(), "duplicate_name");
    assert!(built.config.pools().get("a").unwrap().contains("10.0.0.2".parse().unwrap()));
}

#[test]
fn every_bgp_list_refuses_duplicates() {
    let input = Input {
        bgp_advertisements: vec![BgpAdvertisementInput {
            communities: strings(&["1:1", "1:1"]),
            pools: strings(&["p", "p"]),
            peers: strings(&["r", "r"]),
            pool_selectors: vec![selector("a", "b"), selector("a", "b")],
            node_selectors: vec![selector("a", "b"), selector("a", "b")],
            service_selectors: vec![selector("a", "b"), selector("a", "b")],
            ..mk_bgp("a", 1)
        }],
        ..Input::default()
    };
    let built = build(&input);
    assert_eq!(built.errors.iter().filter(|error| error.reason() == "duplicate_element").count(), 6);
    assert!(built.config.bgp_advertisements().get(&AdvertisementName::new("a")).is_none());
}

#[test]
fn a_selector_in_other_words_is_only_remarked_upon() {
    let expression = |key: &str, values: &[&str]| ExpressionInput {
        key: key.into(),
        operator: "In".into(),
        values: strings(values),
    };
    let of = |match_expressions: &[ExpressionInput]| SelectorInput {
        match_expressions: match_expressions.to_vec(),
        ..SelectorInput::default()
    };
    let with = |node_selectors: &[SelectorInput]| {
        let peer = PeerInput { node_selectors: node_selectors.to_vec(), ..mk_peer("p", 1) };
        let built = build(&peers(vec![peer]));
        (texts(&built.errors), texts(&built.warnings), built.config.peers().get("p").cloned())
    };
    let (errors, warnings, peer) = with(&[selector("a", "x"), of(&[expression("a", &["x"])])]);
    assert_eq!(errors, [""; 0]);
    assert_eq!(warnings, ["BGPPeer \"p\": spec.nodeSelectors[1]: \"a=x\" is listed twice; remove one"]);
    assert_eq!(peer.unwrap().node_selectors.len(), 1);
    let (ab, ba) = (
        [expression("a", &["x"]), expression("b", &["y"])],
        [expression("b", &["y"]), expression("a", &["x"])],
    );
    assert_eq!(with(&[of(&ab), of(&ba)]).1.len(), 1, "expressions in another order");
    let (errors, _, peer) = with(&[of(&[expression("a", &["x", "y"])]), of(&[expression("a", &["y", "x"])])]);
    assert_eq!(errors, ["BGPPeer \"p\": spec.nodeSelectors[1]: \"a in (x,y)\" is listed twice; remove one"]);
    assert!(peer.is_none(), "the order of values is no other wording");
}

#[test]
fn an_address_is_found_in_the_pool_that_may_give_it_out() {
    let mut avoiding = mk_pool("avoiding", 1, &["198.51.100.0/24"]);
    avoiding.avoid_buggy_ips = true;
    let config = build(&pools(vec![mk_pool("a", 1, &["10.0.0.5", "10.0.0.8/29"]), avoiding])).config;
    let pool_of =
        |text: &str| config.pool_of(text.parse().unwrap()).map(|pool| pool.name.as_str().to_owned());
    assert_eq!(pool_of("10.0.0.5").as_deref(), Some("a"));
    assert_eq!(pool_of("10.0.0.15").as_deref(), Some("a"));
    for outside in ["10.0.0.4", "10.0.0.6", "10.0.0.16", "::5", "198.51.100.0"] {
        assert_eq!(pool_of(outside), None, "{outside}");
    }
    assert_eq!(pool_of("198.51.100.1").as_deref(), Some("avoiding"));
}

#[cfg(feature = "serde")]
#[test]
fn input_is_read_back_as_it_was_written_except_for_passwords() {
    let mut input = pools(vec![mk_pool("a", 1, &["10.0.0.0/24"])]);
    input.bgp_advertisements = vec![mk_bgp("b", 2)];
    input.peers = vec![mk_peer("p", 3)];
    let text = serde_json::to_string(&input).unwrap();
    assert_eq!(serde_json::from_str::<Input>(&text).unwrap(), input);
    let password = PasswordInput::Plain(Secret::new("s3cret"));
    let text = serde_json::to_string(&PeerInput { password, ..mk_peer("p", 3) }).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9./:-]{0,12}",
        Just("10.0.0.0/24".to_owned()),
        Just("10.0.0.0-10.0.0.9".to_owned()),
        Just("fc00::/64".to_owned()),
        Just("90s".to_owned()),
        "\\PC{0,8}",
    ]
}

fn names() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(prop_oneof![Just("a".to_owned()), Just("b".to_owned()), text()], 0..4)
}

prop_compose! {
    fn any_input()(
        pools in proptest::collection::vec((text(), -2_i64..2, proptest::collection::vec(text(), 0..4)), 0..4),
        peers in proptest::collection::vec((text(), any::<u32>(), proptest::option::of(any::<u32>()), text(), text()), 0..4),
        advertisements in proptest::collection::vec((names(), names(), proptest::option::of(any::<i32>()), names()), 0..4),
        aliases in proptest::collection::vec((text(), text()), 0..3),
    ) -> Input {
        Input {
            pools: pools.into_iter().map(|(name, created, addresses)| PoolInput {
                meta: Meta::new(name, Created(created)), addresses, ..PoolInput::default()
            }).collect(),
            peers: peers.into_iter().map(|(name, my_asn, peer_asn, address, hold)| PeerInput {
                meta: Meta::new(name, Created(0)), my_asn, peer_asn, address: Some(address), hold_time: Some(hold),
                ..PeerInput::default()
            }).collect(),
            bgp_advertisements: advertisements.into_iter().map(|(pools, peers, length, communities)| BgpAdvertisementInput {
                meta: Meta::new(pools.concat(), Created(0)), pools, peers, aggregation_length: length, communities,
                ..BgpAdvertisementInput::default()
            }).collect(),
            communities: vec![CommunityInput { meta: Meta::new("c", Created(0)), aliases }],
            ..Input::default()
        }
    }
}

proptest! {
    #[test]
    fn building_never_panics_and_what_is_in_force_never_overlaps(first in any_input(), second in any_input()) {
        let before = build(&first).config;
        let built = Config::build(&second, &before);
        let entries: Vec<_> = built.config.pools().values().flat_map(|pool| pool.entries.iter()).collect();
        for (index, a) in entries.iter().enumerate() {
            for b in entries.iter().skip(index + 1) {
                prop_assert!(!a.overlaps(b), "{a} and {b}");
            }
        }
        // Nothing is dropped in silence: a pool is in force as written, or there is an error about it.
        for pool in &second.pools {
            let reported = built.errors.iter().any(|error| *error.object.name == *pool.meta.name);
            prop_assert!(reported || built.config.pools().contains_key(pool.meta.name.as_str()));
        }
    }

    #[test]
    fn the_order_of_objects_does_not_matter(mut input in any_input()) {
        // Of two objects with one name and one age the first is used, so there the order does matter.
        keep_first(&mut input.pools, |pool| &pool.meta);
        keep_first(&mut input.peers, |peer| &peer.meta);
        keep_first(&mut input.bgp_advertisements, |advertisement| &advertisement.meta);
        let mut reversed = input.clone();
        reversed.pools.reverse();
        reversed.peers.reverse();
        reversed.bgp_advertisements.reverse();
        prop_assert_eq!(build(&input), build(&reversed));
    }
}

/// Leaves one object of each name.
fn keep_first<T>(objects: &mut Vec<T>, meta: fn(&T) -> &Meta) {
    let mut names = std::collections::BTreeSet::new();
    objects.retain(|object| names.insert(meta(object).name.clone()));
}

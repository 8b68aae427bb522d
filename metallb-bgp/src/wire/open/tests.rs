use proptest::prelude::*;

use super::*;
use crate::types::{AfiSafi, Family};
use crate::wire::capability::{AddPath, ExtendedNextHop, GracefulFamily, GracefulRestart, LongLived};
use crate::wire::header::Frame;
use crate::wire::testing::hex;

const FIXED: &str = "04 fc00 005a c0000201";

/// The body of an OPEN of AS 64512 with these optional parameters, length octet included.
fn with_parameters(parameters: &str) -> Vec<u8> {
    hex(&format!("{FIXED} {parameters}"))
}

fn id(text: &str) -> RouterId {
    RouterId::new(text.parse().unwrap()).unwrap()
}

fn open(capabilities: Vec<Capability>) -> Open {
    Open::new(Asn::new(64512), HoldTime::DEFAULT, id("192.0.2.1"), capabilities)
}

fn policy() -> OpenPolicy {
    OpenPolicy {
        local_asn: Asn::new(64513),
        local_id: id("192.0.2.2"),
        remote: RemoteAs::Asn(Asn::new(64512)),
        minimum_hold_time: None,
        required: Vec::new(),
        role: None,
    }
}

fn encoded(open: &Open) -> Vec<u8> {
    let mut out = Vec::new();
    open.encode(&mut out).unwrap();
    out
}

fn assert_notification(error: &OpenError, subcode: u8, data: &[u8]) {
    let notification = error.notification();
    assert_eq!((notification.code, notification.subcode, &notification.data[..]), (2, subcode, data));
}

#[test]
fn an_open_without_parameters_is_twenty_nine_octets() {
    let open = Open { capabilities: Vec::new(), ..open(Vec::new()) };
    assert_eq!(encoded(&open), hex("ffffffffffffffffffffffffffffffff 001d 01 04 fc00 005a c0000201 00"));
    assert_eq!(Open::parse(&with_parameters("00")), Ok(open));
}

// req: !O1
#[test]
fn another_version_is_answered_with_ours() {
    for version in [0, 3, 5, 255] {
        let mut body = with_parameters("00");
        body[0] = version;
        let error = Open::parse(&body).unwrap_err();
        assert_eq!(error, OpenError::UnsupportedVersion(version));
        assert_notification(&error, 1, &[0, 4]);
    }
}

// req: !O2
#[test]
fn reserved_and_contradicting_as_numbers_are_bad_peers() {
    let bodies = [
        "04 0000 005a c0000201 00",                      // AS 0
        "04 5ba0 005a c0000201 00",                      // AS_TRANS without the capability
        "04 fc00 005a c0000201 08 02 06 41 04 00000000", // capability with AS 0
        "04 5ba0 005a c0000201 08 02 06 41 04 00005ba0", // capability with AS_TRANS
        "04 fc00 005a c0000201 08 02 06 41 04 0000fc01", // two different numbers
        "04 0000 005a c0000201 08 02 06 41 04 0000fc00", // AS 0 in the fixed part only
    ];
    for body in bodies {
        let error = Open::parse(&hex(body)).unwrap_err();
        assert!(matches!(error, OpenError::BadPeerAs(_)), "{body}: {error:?}");
        assert_notification(&error, 2, &[]);
    }
}

// req: C3, O2
#[test]
fn the_number_of_the_capability_is_used() {
    let body = hex("04 5ba0 005a c0000201 08 02 06 41 04 fa56ea01");
    assert_eq!(Open::parse(&body).unwrap().asn, Asn::new(4_200_000_001));
    let mappable = hex("04 5ba0 005a c0000201 08 02 06 41 04 0000fc00");
    assert_eq!(Open::parse(&mappable).unwrap().asn, Asn::new(64512));
}

// req: !O2, T7
#[test]
fn the_peer_must_have_the_as_that_is_expected() {
    let received = open(Vec::new());
    let with = |remote, local| OpenPolicy { remote, local_asn: Asn::new(local), ..policy() };
    let accepted = [
        (RemoteAs::Asn(Asn::new(64512)), 64513, PeerKind::External),
        (RemoteAs::Asn(Asn::new(64512)), 64512, PeerKind::Internal),
        (RemoteAs::Internal, 64512, PeerKind::Internal),
        (RemoteAs::External, 64513, PeerKind::External),
    ];
    for (remote, local, kind) in accepted {
        assert_eq!(received.check(&with(remote, local)), Ok(kind));
    }
    let refused =
        [(RemoteAs::Asn(Asn::new(64514)), 64513), (RemoteAs::Internal, 64513), (RemoteAs::External, 64512)];
    for (remote, local) in refused {
        let error = received.check(&with(remote, local)).unwrap_err();
        assert_eq!(error, OpenError::BadPeerAs(Asn::new(64512)));
        assert_notification(&error, 2, &[]);
    }
}

// req: !O3
#[test]
fn a_hold_time_of_one_or_two_seconds_is_unacceptable() {
    for seconds in [1_u16, 2] {
        let mut body = with_parameters("00");
        body[3..5].copy_from_slice(&seconds.to_be_bytes());
        let error = Open::parse(&body).unwrap_err();
        assert_eq!(error, OpenError::UnacceptableHoldTime(seconds));
        assert_notification(&error, 6, &[]);
    }
    for seconds in [0_u16, 3, 65535] {
        let mut body = with_parameters("00");
        body[3..5].copy_from_slice(&seconds.to_be_bytes());
        assert_eq!(Open::parse(&body).unwrap().hold_time.seconds(), seconds);
    }
}

// req: !O3
#[test]
fn a_hold_time_below_the_local_minimum_is_unacceptable_but_zero_is_not() {
    let least =
        |seconds| OpenPolicy { minimum_hold_time: Some(HoldTime::from_secs(seconds).unwrap()), ..policy() };
    let received = open(Vec::new());
    assert_eq!(received.check(&least(90)), Ok(PeerKind::External));
    let error = received.check(&least(91)).unwrap_err();
    assert_eq!(error, OpenError::UnacceptableHoldTime(90));
    let never = Open { hold_time: HoldTime::DISABLED, ..received };
    assert_eq!(never.check(&least(91)), Ok(PeerKind::External));
}

// req: !O4
#[test]
fn an_identifier_of_zero_or_ours_inside_the_as_is_bad() {
    let mut body = with_parameters("00");
    body[5..9].fill(0);
    let error = Open::parse(&body).unwrap_err();
    assert_eq!(error, OpenError::BadIdentifier(Ipv4Addr::UNSPECIFIED));
    assert_notification(&error, 3, &[]);

    let received = Open { router_id: id("192.0.2.2"), ..open(Vec::new()) };
    assert_eq!(received.check(&policy()), Ok(PeerKind::External));
    let inside = OpenPolicy { local_asn: Asn::new(64512), ..policy() };
    let error = received.check(&inside).unwrap_err();
    assert_eq!(error, OpenError::BadIdentifier(Ipv4Addr::new(192, 0, 2, 2)));
    assert_notification(&error, 3, &[]);
}

// req: O4
#[test]
fn an_identifier_need_not_be_a_unicast_address() {
    for octets in [[255, 255, 255, 255], [224, 0, 0, 1], [0, 0, 0, 1], [127, 0, 0, 1]] {
        let mut body = with_parameters("00");
        body[5..9].copy_from_slice(&octets);
        assert_eq!(Open::parse(&body).unwrap().router_id.address().octets(), octets);
    }
}

// req: !O5
#[test]
fn an_unknown_parameter_is_unsupported() {
    for parameters in ["03 01 01 00", "02 03 00", "05 02 00 09 01 00", "07 ff 0004 01 0001 00"] {
        let error = Open::parse(&with_parameters(parameters)).unwrap_err();
        assert!(matches!(error, OpenError::UnsupportedParameter(1 | 3 | 9)), "{parameters}: {error:?}");
        assert_notification(&error, 4, &[]);
    }
}

// req: !O5, !O6
#[test]
fn truncated_parameters_and_capabilities_are_malformed() {
    let bad = [
        "01",                      // a length without parameters
        "00 02 00",                // parameters without a length
        "01 02",                   // no parameter length
        "02 02 01",                // parameter overruns
        "03 02 01 41",             // capability without length
        "04 02 02 41 04",          // capability overruns the parameter
        "07 02 05 41 04 00 00 fc", // capability overruns the message
        "07 02 05 41 03 00 fc 00", // four-octet AS of three octets
        "07 02 05 01 03 00 01 00", // multiprotocol of three octets
        "04 02 02 02 00 00",       // octets behind the parameters
    ];
    for parameters in bad {
        let error = Open::parse(&with_parameters(parameters)).unwrap_err();
        assert_eq!(error, OpenError::Malformed, "{parameters}");
        assert_notification(&error, 0, &[]);
    }
    for length in 0..10 {
        assert_eq!(Open::parse(&with_parameters("00")[..length]), Err(OpenError::Malformed));
    }
}

// req: O6
#[test]
fn several_parameters_with_several_capabilities_each_are_read_in_order() {
    let parsed = Open::parse(&with_parameters("10 02 08 02 00 01 04 0001 00 01 02 04 06 00 02 00")).unwrap();
    let ipv4 = Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi());
    let expected = [Capability::RouteRefresh, ipv4, Capability::ExtendedMessage, Capability::RouteRefresh];
    assert_eq!(parsed.capabilities, expected);
}

// req: !O6
#[test]
fn unknown_and_oddly_shaped_capabilities_are_kept_and_count_as_absent() {
    let parsed = Open::parse(&with_parameters("0d 02 0b 80 00 40 01 00 45 04 0001 01 07")).unwrap();
    let unknown = |code, value: &[u8]| Capability::Unknown { code, value: value.to_vec() };
    let expected = [unknown(128, &[]), unknown(64, &[0]), unknown(69, &[0, 1, 1, 7])];
    assert_eq!(parsed.capabilities, expected);
    assert!(!parsed.announces(&Capability::GracefulRestart(GracefulRestart::default())));
    assert!(!parsed.announces(&Capability::AddPath(Vec::new())));
}

// req: O7
#[test]
fn the_extended_form_is_read_even_when_it_is_short() {
    let short = Open::parse(&with_parameters("ff ff 0005 02 0002 02 00")).unwrap();
    assert_eq!(short.capabilities, [Capability::RouteRefresh]);
    let other_length = Open::parse(&with_parameters("07 ff 0005 02 0002 02 00")).unwrap();
    assert_eq!(other_length.capabilities, [Capability::RouteRefresh]);
    assert_eq!(Open::parse(&with_parameters("ff ff 0000")).unwrap().capabilities, []);
}

// req: !O7
#[test]
fn a_broken_extended_form_is_malformed_and_never_over_read() {
    for parameters in
        ["01 ff", "02 ff 00", "ff ff 0001", "ff ff 0003 02 0001", "03 ff 0002 02", "ff ff 0002 02 00 00"]
    {
        assert_eq!(Open::parse(&with_parameters(parameters)), Err(OpenError::Malformed), "{parameters}");
    }
    assert_eq!(Open::parse(&with_parameters("00 ff 0000")), Err(OpenError::Malformed));
}

// req: O7
#[test]
fn the_extended_form_is_sent_only_above_255_octets() {
    let with = |octets: usize| Open {
        capabilities: vec![
            Capability::Unknown { code: 200, value: vec![1; 200] },
            Capability::Unknown { code: 201, value: vec![1; octets] },
        ],
        ..open(Vec::new())
    };
    // 2 octets of parameter header and 2 of each capability header: 200 + 49 + 6 = 255.
    let fits = encoded(&with(49));
    assert_eq!(fits[28..31], [255, 2, 253]);
    let needs = encoded(&with(50));
    assert_eq!(needs[28..35], [255, 255, 1, 1, 2, 0, 254]);
    for open in [with(49), with(50), with(255)] {
        assert_eq!(Open::parse(&encoded(&open)[19..]), Ok(open));
    }
}

#[test]
fn an_open_above_4096_octets_is_not_written() {
    let capabilities = vec![Capability::Unknown { code: 200, value: vec![0; 255] }; 16];
    let mut out = vec![1, 2, 3];
    let error = open(capabilities).encode(&mut out).unwrap_err();
    assert!(matches!(error, EncodeError::TooLarge { limit: 4096, .. }), "{error:?}");
    assert_eq!(out, [1, 2, 3]);
}

// req: !O8
#[test]
fn missing_required_capabilities_are_listed_in_the_data() {
    let ipv6 = Capability::Multiprotocol(Family::Ipv6Unicast.afi_safi());
    let required = vec![ipv6.clone(), Capability::RouteRefresh, Capability::ExtendedMessage];
    let policy = OpenPolicy { required, ..policy() };
    let ipv4 = Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi());
    let error = open(vec![ipv4, Capability::RouteRefresh]).check(&policy).unwrap_err();
    assert_eq!(error, OpenError::MissingCapabilities(vec![ipv6.clone(), Capability::ExtendedMessage]));
    assert_notification(&error, 7, &hex("01 04 0002 00 01 06 00"));
    let all = open(vec![ipv6, Capability::RouteRefresh, Capability::ExtendedMessage]);
    assert_eq!(all.check(&policy), Ok(PeerKind::External));
}

// req: C3
#[test]
fn the_four_octet_capability_is_always_announced() {
    let open = Open::new(Asn::new(4_200_000_001), HoldTime::DEFAULT, id("192.0.2.1"), Vec::new());
    assert_eq!(encoded(&open)[20..22], 23456_u16.to_be_bytes());
    assert_eq!(encoded(&open)[28..], hex("08 02 06 41 04 fa56ea01"));
}

fn afi_safi() -> impl Strategy<Value = AfiSafi> {
    prop_oneof![
        Just(Family::Ipv4Unicast.afi_safi()),
        Just(Family::Ipv6Unicast.afi_safi()),
        (any::<u16>(), any::<u8>()).prop_map(|(afi, safi)| AfiSafi { afi, safi }),
    ]
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

fn capability() -> impl Strategy<Value = Capability> {
    let next_hop = any::<(u16, u16, u16)>();
    let next_hop = next_hop.prop_map(|(afi, safi, next_hop_afi)| ExtendedNextHop { afi, safi, next_hop_afi });
    let graceful =
        (afi_safi(), any::<bool>()).prop_map(|(family, forwarding)| GracefulFamily { family, forwarding });
    let graceful = (any::<(bool, bool)>(), 0..=4095_u16, prop::collection::vec(graceful, 0..4)).prop_map(
        |((restarting, notification), restart_time, families)| {
            Capability::GracefulRestart(GracefulRestart { restarting, notification, restart_time, families })
        },
    );
    let long_lived = (afi_safi(), any::<bool>(), 0..1_u32 << 24)
        .prop_map(|(family, forwarding, stale_time)| LongLived { family, forwarding, stale_time });
    let add_path = (afi_safi(), 1..=3_u8).prop_map(|(family, mode)| AddPath {
        family,
        receive: mode & 1 != 0,
        send: mode & 2 != 0,
    });
    prop_oneof![
        afi_safi().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        prop::collection::vec(next_hop, 0..4).prop_map(Capability::ExtendedNextHop),
        Just(Capability::ExtendedMessage),
        any::<u8>().prop_map(Capability::Role),
        graceful,
        prop::collection::vec(add_path, 0..4).prop_map(Capability::AddPath),
        Just(Capability::EnhancedRouteRefresh),
        prop::collection::vec(long_lived, 0..4).prop_map(Capability::LongLivedGracefulRestart),
        (octets(), octets()).prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        octets().prop_map(Capability::SoftwareVersion),
        (128..=255_u8, octets()).prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

proptest! {
    #[test]
    fn opens_round_trip(
        asn in (1..=u32::MAX).prop_filter("AS_TRANS", |asn| *asn != 23456),
        hold in prop_oneof![Just(0_u16), 3..=65535_u16],
        identifier in 1..=u32::MAX,
        capabilities in prop::collection::vec(capability(), 0..12),
    ) {
        let (hold_time, router_id) = (HoldTime::from_secs(hold).unwrap(), RouterId::new(identifier.into()).unwrap());
        let open = Open::new(Asn::new(asn), hold_time, router_id, capabilities);
        let octets = encoded(&open);
        let frame = Frame::parse(&octets, MessageLimit::Standard).unwrap();
        prop_assert_eq!(Open::parse(frame.body()), Ok(open));
    }

    #[test]
    fn no_octets_make_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Err(error) = Open::parse(&body) {
            prop_assert_eq!(error.notification().code, 2);
        }
    }

    // Exact consumption: every octet less or more than the message is an error.
    #[test]
    fn a_cut_or_padded_open_is_refused(
        capabilities in prop::collection::vec(capability(), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let octets = encoded(&open(capabilities));
        let body = &octets[Header::LEN..];
        prop_assert!(Open::parse(&body[..cut.index(body.len())]).is_err());
        prop_assert!(Open::parse(&[body, &[0]].concat()).is_err());
    }
}

// req: C9, !C9
#[test]
fn roles_must_belong_to_each_other_on_external_sessions() {
    let roles = |roles: &[u8]| open(roles.iter().map(|role| Capability::Role(*role)).collect());
    let checked = |role, strict, said: &[u8]| {
        let policy = OpenPolicy { role: Some(RolePolicy { role, strict }), ..policy() };
        roles(said).check(&policy).map(|_| ())
    };
    for strict in [false, true] {
        assert_eq!(checked(Role::Customer, strict, &[0]), Ok(()));
        assert_eq!(checked(Role::Customer, strict, &[0, 0]), Ok(()), "said twice is said once");
        assert_eq!(checked(Role::RouteServerClient, strict, &[1]), Ok(()));
        for wrong in [1, 2, 3, 4, 9] {
            let error = checked(Role::Customer, strict, &[wrong]).unwrap_err();
            assert_eq!(error, OpenError::RoleMismatch(Some(wrong)));
            assert_notification(&error, 11, &[]);
        }
        assert_eq!(checked(Role::Customer, strict, &[0, 4]), Err(OpenError::RoleMismatch(Some(4))));
        assert_eq!(checked(Role::RouteServerClient, strict, &[0]), Err(OpenError::RoleMismatch(Some(0))));
    }
    assert_eq!(checked(Role::Customer, false, &[]), Ok(()));
    assert_eq!(checked(Role::Customer, true, &[]), Err(OpenError::RoleMismatch(None)));
    // Not our business: we have none, or the session is inside the AS.
    assert!(roles(&[4]).check(&policy()).is_ok());
    let strict = Some(RolePolicy { role: Role::Customer, strict: true });
    let inside = OpenPolicy { local_asn: Asn::new(64512), role: strict, ..policy() };
    assert!(roles(&[4]).check(&inside).is_ok());
}

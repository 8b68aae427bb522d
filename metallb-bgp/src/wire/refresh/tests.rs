use proptest::prelude::*;

use super::*;
use crate::types::Family;
use crate::wire::header::{Frame, MessageLimit};
use crate::wire::testing::{hex, message};

// req: C5
#[test]
fn a_request_is_the_octets_of_rfc2918() {
    let mut out = Vec::new();
    RouteRefresh::request(Family::Ipv6Unicast).encode(&mut out);
    assert_eq!(out, hex("ffffffffffffffffffffffffffffffff 0017 05 0002 00 01"));
}

// req: !C5
#[test]
fn begin_and_end_of_a_refresh_must_have_exactly_four_octets() {
    for body in [&[0, 1, 1][..], &[0, 1, 1, 1, 0], &[0, 1, 2, 1, 0, 0], &[0, 1], &[]] {
        let whole = message(MessageType::RouteRefresh, body);
        let error = RouteRefresh::parse(body, &whole).unwrap_err();
        let notification = error.notification();
        assert_eq!((notification.code, notification.subcode), (7, 1));
        assert_eq!(notification.data, whole);
    }
}

// req: C5
#[test]
fn a_request_with_filters_behind_it_is_a_request() {
    let body = [0, 1, 0, 1, 1, 64, 0, 0];
    let refresh = RouteRefresh::parse(&body, &message(MessageType::RouteRefresh, &body)).unwrap();
    assert_eq!(refresh, RouteRefresh::request(Family::Ipv4Unicast));
}

// req: !C5
#[test]
fn an_unknown_subtype_is_kept_to_be_ignored() {
    let body = [0, 1, 77, 1];
    let refresh = RouteRefresh::parse(&body, &message(MessageType::RouteRefresh, &body)).unwrap();
    assert_eq!(refresh.subtype, RefreshSubtype::Unknown(77));
}

proptest! {
    #[test]
    fn refreshes_round_trip(afi: u16, safi: u8, subtype: u8) {
        let refresh =
            RouteRefresh { family: AfiSafi { afi, safi }, subtype: RefreshSubtype::from_code(subtype) };
        let mut out = Vec::new();
        refresh.encode(&mut out);
        let frame = Frame::parse(&out, MessageLimit::Standard).unwrap();
        prop_assert_eq!(RouteRefresh::parse(frame.body(), frame.octets()), Ok(refresh));
    }
}

//! What the peer says: judged as the user wants, counted, told.

use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::{ConnectionId, Event, OfferedFamilies, PeerConfig};
use metallb_bgp::types::{AfiSafi, Family};
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::refresh::RouteRefresh;
use metallb_bgp::wire::update::{Action, Fault, OnUnreadable};

use crate::support::{Bench, kinds, mk_config, mk_message, mk_route, mk_update};

fn importing(change: impl FnOnce(&mut PeerConfig)) -> (Bench, ConnectionId) {
    let mut config = mk_config();
    config.import = true;
    config.families = OfferedFamilies::Both;
    change(&mut config);
    let both = Family::ALL.iter().map(|family| Capability::from(*family)).collect();
    Bench::established(config, 90, both)
}

fn malformed(bench: &Bench) -> Vec<(Action, Fault)> {
    let of = |event: &Event| match event {
        Event::Malformed { action, fault, .. } => Some((*action, *fault)),
        _ => None,
    };
    bench.events.iter().filter_map(of).collect()
}

fn received(bench: &Bench) -> usize {
    let of = |event: &Event| match event {
        Event::Received { update, .. } => update.announced.len(),
        _ => 0,
    };
    bench.events.iter().map(of).sum()
}

/// 10.0.0.1/32 with this AS_PATH value.
fn with_path(path: &[u8]) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    let attributes = [&[0x40, 1, 1, 0, 0x40, 2, length], path, &[0x40, 3, 4, 192, 0, 2, 1]].concat();
    let length = u8::try_from(attributes.len()).unwrap();
    mk_update(&[&[0, 0, 0, length], attributes.as_slice(), &[32, 10, 0, 0, 1]].concat())
}

const FOREIGN_FIRST: [u8; 6] = [2, 1, 0, 0, 0, 99];
const WITH_SET: [u8; 12] = [2, 1, 0, 0, 0xfc, 0, 1, 1, 0, 0, 0, 99];

#[test]
fn a_first_as_that_is_not_the_peers_is_accepted_only_where_the_user_says_so() {
    let (mut bench, id) = importing(|_| {});
    bench.say(id, &with_path(&FOREIGN_FIRST));
    assert_eq!(malformed(&bench), [(Action::TreatAsWithdraw, Fault::FirstAs)]);
    assert_eq!(received(&bench), 0);
    let (mut bench, id) = importing(|config| config.enforce_first_as = false);
    bench.say(id, &with_path(&FOREIGN_FIRST));
    assert_eq!((malformed(&bench), received(&bench)), (Vec::new(), 1));
}

#[test]
fn sets_in_a_path_are_refused_only_where_the_user_says_so() {
    let (mut bench, id) = importing(|_| {});
    bench.say(id, &with_path(&WITH_SET));
    assert_eq!(received(&bench), 1);
    let (mut bench, id) = importing(|config| config.refuse_as_sets = true);
    bench.say(id, &with_path(&WITH_SET));
    assert_eq!((malformed(&bench), received(&bench)), (vec![(Action::TreatAsWithdraw, Fault::AsSet)], 0));
    assert_eq!(bench.snapshot().counters.treated_as_withdraw, 1);
}

// req: E1
#[test]
fn faults_in_routes_that_nobody_wants_are_shown_once_for_each_kind_in_a_session() {
    let (mut bench, id) = importing(|config| config.import = false);
    for _ in 0..3 {
        for path in [FOREIGN_FIRST.as_slice(), &[2, 1, 0, 0, 0, 0]] {
            bench.say(id, &with_path(path));
            bench.now += Duration::from_secs(2);
        }
    }
    assert_eq!(
        malformed(&bench),
        [(Action::TreatAsWithdraw, Fault::FirstAs), (Action::TreatAsWithdraw, Fault::AsZero(2))]
    );
    assert_eq!(bench.snapshot().counters.treated_as_withdraw, 6, "all are counted");
}

// req: !A1
#[test]
fn routes_of_the_peer_that_lead_to_ourselves_are_treated_as_withdrawn() {
    let (mut bench, id) = importing(|_| {});
    let route = mk_route(1);
    let through_us: Vec<u8> = {
        let at = route.windows(4).position(|octets| octets == [192, 0, 2, 1]).unwrap() + 3;
        route.iter().enumerate().map(|(place, octet)| if place == at { 2 } else { *octet }).collect()
    };
    bench.say(id, &through_us);
    assert_eq!(malformed(&bench), [(Action::TreatAsWithdraw, Fault::OwnNextHop)]);
    assert_eq!(received(&bench), 0);
    assert_eq!(bench.session.state(), State::Established);
    bench.say(id, &route);
    assert_eq!(received(&bench), 1);
}

/// MP_REACH_NLRI of IPv6 with a prefix that is cut off.
fn unreadable() -> Vec<u8> {
    let mut value = vec![0, 2, 1, 16];
    value.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    value.extend([0, 64, 0x20]);
    let length = u8::try_from(value.len()).unwrap();
    let attributes = [&[0x80, 14, length], value.as_slice()].concat();
    let length = u8::try_from(attributes.len()).unwrap();
    mk_update(&[&[0, 0, 0, length], attributes.as_slice()].concat())
}

// req: E2
#[test]
fn unreadable_routes_end_the_session_and_are_counted() {
    let (mut bench, id) = importing(|_| {});
    bench.say(id, &unreadable());
    assert_eq!(bench.session.state(), State::Idle);
    assert_eq!(bench.snapshot().counters.sessions_reset, 1);
    assert!(matches!(malformed(&bench)[..], [(Action::ResetSession, Fault::MultiprotocolNlri(14))]));
}

// req: E2
#[test]
fn unreadable_routes_disable_their_family_where_the_user_says_so() {
    let (mut bench, id) = importing(|config| config.on_unreadable = OnUnreadable::DisableFamily);
    bench.say(id, &unreadable());
    bench.say(id, &unreadable());
    assert_eq!(bench.session.state(), State::Established);
    assert_eq!(bench.snapshot().counters.families_disabled, 2);
    let disabled =
        |event: &&Event| matches!(event, Event::FamilyDisabled { family: Family::Ipv6Unicast, .. });
    assert_eq!(bench.events.iter().filter(disabled).count(), 1, "told once");
    bench.say(id, &mk_route(1));
    assert_eq!(received(&bench), 1, "the other family goes on");
}

// req: !E2
#[test]
fn a_clean_update_counts_as_no_verdict() {
    let (mut bench, id) = importing(|_| {});
    bench.say(id, &mk_route(1));
    let counters = bench.snapshot().counters;
    let verdicts = [
        counters.attributes_discarded,
        counters.treated_as_withdraw,
        counters.families_disabled,
        counters.sessions_reset,
    ];
    assert_eq!((verdicts, malformed(&bench).len()), ([0; 4], 0));
}

// req: E1
#[test]
fn lengths_that_contradict_each_other_are_shown_with_the_message() {
    let (mut bench, id) = importing(|_| {});
    bench.say(id, &mk_update(&[0, 9, 0, 0]));
    let shown: Vec<_> =
        bench.events.iter().filter(|event| matches!(event, Event::Malformed { .. })).collect();
    let [Event::Malformed { action, fault, message, .. }] = shown[..] else { panic!("{shown:?}") };
    assert_eq!((*action, *fault), (Action::ResetSession, Fault::Lengths));
    assert!(message.ends_with("001702") || message.ends_with("00170200090000"), "{message}");
    assert_eq!(bench.snapshot().counters.sessions_reset, 1);
}

// req: C5
#[test]
fn a_refresh_of_a_foreign_family_is_told_not_more_often_than_once_a_second() {
    let (mut bench, id) = importing(|_| {});
    let foreign = AfiSafi { afi: 25, safi: 70 };
    let mut request = Vec::new();
    RouteRefresh::request(foreign).encode(&mut request);
    for _ in 0..5 {
        bench.say(id, &request);
    }
    bench.now += Duration::from_secs(1);
    bench.say(id, &request);
    let told = |event: &&Event| matches!(event, Event::RefreshIgnored { family, .. } if *family == foreign);
    assert_eq!(bench.events.iter().filter(told).count(), 2);
    assert_eq!(bench.session.state(), State::Established);
    assert_eq!(kinds(&bench.transmit(id)), [0_u8; 0]);
}

// req: !C5
#[test]
fn a_refresh_of_an_own_family_is_answered_and_not_told() {
    let (mut bench, id) = importing(|_| {});
    bench.say(id, &mk_message(5, &[0, 1, 0, 1]));
    assert!(!bench.events.iter().any(|event| matches!(event, Event::RefreshIgnored { .. })));
}

#[test]
fn marks_around_a_refresh_are_counted() {
    let list = vec![Capability::RouteRefresh, Capability::EnhancedRouteRefresh];
    let (mut bench, id) = Bench::established(mk_config(), 90, list);
    bench.say(id, &mk_message(5, &[0, 1, 0, 1]));
    assert_eq!(kinds(&bench.transmit(id)), [5, 5]);
    assert_eq!(bench.snapshot().counters.refreshes_sent, 2);
}

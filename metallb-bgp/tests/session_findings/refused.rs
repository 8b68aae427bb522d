//! Peers that refuse what we announce, and peers that speak at the same time.

use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::{CloseReason, Event, OfferedFamilies, PeerConfig, StopReason};
use metallb_bgp::types::{Asn, Family};
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::notification::Notification;

use crate::support::{
    Bench, graceful, kinds, mk_config, mk_endpoints, mk_keepalive, mk_notification, mk_open,
};
use crate::support::{mk_route, with_graceful_restart};

/// The capability codes of the OPEN that the next attempt sends.
fn codes(bench: &mut Bench) -> Vec<u8> {
    let id = bench.connect();
    let open = bench.transmit(id);
    let mut rest = &open[29..];
    let mut codes = Vec::new();
    if rest.is_empty() {
        return codes;
    }
    assert_eq!(usize::from(rest[1]) + 2, rest.len(), "one parameter");
    rest = &rest[2..];
    while let [code, length, ..] = rest {
        codes.push(*code);
        rest = &rest[2 + usize::from(*length)..];
    }
    codes
}

/// A session whose first OPEN was answered so; its next attempt is under way.
fn mk_refused(config: PeerConfig, subcode: u8, data: &[u8]) -> Bench {
    let mut bench = Bench::new(config);
    bench.start();
    let id = bench.connect();
    bench.transmit(id);
    bench.say(id, &mk_notification(&Notification::with_data(2, subcode, data)));
    assert_eq!(bench.session.state(), State::Idle);
    while bench.dials.is_empty() {
        bench.wait();
    }
    bench
}

fn given_up(bench: &Bench) -> Vec<Capability> {
    let of = |event: &Event| match event {
        Event::CapabilitiesGivenUp { capabilities, .. } => capabilities.clone(),
        _ => Vec::new(),
    };
    bench.events.iter().flat_map(of).collect()
}

fn both() -> PeerConfig {
    let mut config = mk_config();
    config.families = OfferedFamilies::Both;
    config
}

/// How many families are announced.
fn families(codes: &[u8]) -> usize {
    codes.split(|code| *code == 1).count() - 1
}

const IPV4: &[u8] = &[1, 4, 0, 1, 0, 1];
const IPV6: &[u8] = &[1, 4, 0, 2, 0, 1];

// req: N3
#[test]
fn a_peer_without_optional_parameters_is_tried_again_without_any() {
    let mut bench = mk_refused(mk_config(), 4, &[]);
    assert_eq!(codes(&mut bench), Vec::<u8>::new());
    assert!(given_up(&bench).contains(&Capability::RouteRefresh));
    assert_eq!(bench.snapshot().given_up, ["all capabilities"]);
}

// req: N3
#[test]
fn a_session_without_any_capability_carries_ipv4() {
    let mut bench = mk_refused(mk_config(), 4, &[]);
    let id = bench.connect();
    bench.establish(id, 90, Vec::new());
    assert_eq!(bench.snapshot().negotiated.unwrap().families, [Family::Ipv4Unicast]);
}

// req: !N3
#[test]
fn a_session_that_needs_capabilities_keeps_them() {
    let mut long = mk_config();
    long.local_asn = Asn::new(4_200_000_000);
    let mut longer = mk_config();
    longer.remote_asn = metallb_bgp::types::RemoteAs::Asn(Asn::new(4_200_000_000));
    let mut required = mk_config();
    required.required_capabilities = vec![Capability::RouteRefresh];
    for config in [both(), long, longer, required] {
        let mut bench = mk_refused(config, 4, &[]);
        assert!(codes(&mut bench).contains(&65));
        assert_eq!(given_up(&bench), []);
    }
}

// req: N3
#[test]
fn a_capability_that_the_peer_names_is_left_out() {
    let mut bench = mk_refused(mk_config(), 7, &[6, 0, 70, 0]);
    let codes = codes(&mut bench);
    assert!(!codes.contains(&6) && !codes.contains(&70), "{codes:?}");
    assert!(codes.contains(&1) && codes.contains(&2) && codes.contains(&65), "{codes:?}");
    assert_eq!(given_up(&bench).len(), 2);
}

// req: N3
#[test]
fn a_family_that_the_router_has_not_activated_is_left_out_and_the_other_goes_on() {
    let mut bench = mk_refused(both(), 7, IPV6);
    assert_eq!(families(&codes(&mut bench)), 1);
    assert_eq!(given_up(&bench), [Capability::from(Family::Ipv6Unicast)]);
}

// req: !N3
#[test]
fn the_last_family_is_not_left_out() {
    let mut bench = mk_refused(both(), 7, &[IPV6, IPV4].concat());
    assert_eq!(families(&codes(&mut bench)), 1);
    let mut config = mk_config();
    config.families = OfferedFamilies::Ipv6;
    let mut bench = mk_refused(config, 7, IPV6);
    assert!(codes(&mut bench).contains(&1));
}

// req: !N3
#[test]
fn a_refusal_that_names_nothing_or_cannot_be_read_changes_nothing() {
    for data in [&[][..], &[1], &[1, 4, 0], &[99, 0], &[6, 200, 1]] {
        let mut bench = mk_refused(mk_config(), 7, data);
        assert_eq!(given_up(&bench), [], "{data:?}");
        assert!(codes(&mut bench).contains(&6));
    }
}

// req: N3
#[test]
fn everything_is_announced_again_after_a_change_or_a_reset() {
    let mut bench = mk_refused(mk_config(), 7, &[6, 0]);
    bench.stop(&StopReason::Reset(String::new()));
    while bench.dials.is_empty() {
        bench.wait();
    }
    assert!(codes(&mut bench).contains(&6));
    let mut bench = mk_refused(mk_config(), 7, &[6, 0]);
    let mut config = mk_config();
    config.keepalive_time = Some(std::time::Duration::from_secs(7));
    bench.reconfigure(config);
    assert!(codes(&mut bench).contains(&6));
}

/// Our OPEN is sent; the peer says these octets at once.
fn mk_answered(octets: &[u8]) -> Bench {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let id = bench.connect();
    bench.transmit(id);
    bench.say(id, octets);
    bench
}

// req: N4
#[test]
fn a_notification_behind_what_we_refuse_is_reported() {
    let theirs = Notification::new(2, 2);
    let mut bench = mk_answered(&[mk_keepalive(), mk_notification(&theirs)].concat());
    assert!(matches!(bench.snapshot().last_error, Some(CloseReason::Sent(_))));
    assert_eq!(bench.snapshot().crossed, Some(theirs.clone()));
    let crossed = |bench: &Bench| {
        bench.events.iter().filter(|event| matches!(event, Event::NotificationCrossed { .. })).count()
    };
    assert_eq!(crossed(&bench), 1);
    while bench.dials.is_empty() {
        bench.wait();
    }
    let id = bench.connect();
    bench.transmit(id);
    bench.say(id, &[mk_keepalive(), mk_notification(&theirs)].concat());
    assert_eq!(crossed(&bench), 1, "told once");
}

// req: N4
#[test]
fn a_refusal_behind_what_we_refuse_counts_too() {
    let bench =
        mk_answered(&[mk_keepalive(), mk_notification(&Notification::with_data(2, 7, [6, 0]))].concat());
    assert_eq!(given_up(&bench), [Capability::ExtendedMessage]);
}

// req: !N4
#[test]
fn what_follows_is_not_reported_where_it_is_none_or_not_whole() {
    let notification = mk_notification(&Notification::new(2, 2));
    for rest in [&[][..], &mk_route(1), &notification[..20], &[0; 64]] {
        let bench = mk_answered(&[&mk_keepalive(), rest].concat());
        assert_eq!(bench.snapshot().crossed, None);
    }
}

/// An established session of a peer with graceful restart, over a connection that it opened or that we did.
fn mk_restartable(opened_by_peer: bool) -> Bench {
    let mut config = with_graceful_restart();
    config.passive = opened_by_peer;
    let mut bench = Bench::new(config);
    bench.table.complete();
    bench.start();
    let id = if opened_by_peer {
        bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap()
    } else {
        bench.connect()
    };
    bench.establish(id, 90, graceful());
    bench.events.clear();
    bench
}

// req: G7, !G7
#[test]
fn a_connection_that_says_nothing_does_not_end_a_session() {
    for opened_by_peer in [false, true] {
        let mut bench = mk_restartable(opened_by_peer);
        for _ in 0..3 {
            let silent = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
            bench.effects();
            bench.transmit(silent);
            assert_eq!(bench.session.state(), State::Established);
            // One that follows at once would not be taken.
            bench.now += Duration::from_secs(1);
        }
        let garbage = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
        bench.say(garbage, b"GET / HTTP/1.1\r\nHost: router\r\n\r\n");
        assert_eq!(bench.session.state(), State::Established);
        assert_eq!(bench.session.connections().count(), 1);
        assert_eq!(bench.snapshot().counters.established, 1);
    }
}

// req: G7
#[test]
fn a_connection_replaces_an_established_one_when_its_open_comes() {
    for opened_by_peer in [false, true] {
        let mut bench = mk_restartable(opened_by_peer);
        let closed = bench.closed.len();
        let new = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
        bench.effects();
        bench.transmit(new);
        assert_eq!(bench.closed.len(), closed, "the old one stays until then");
        bench.say(new, &mk_open(90, graceful()));
        let (_, last) = &bench.closed[closed];
        assert_eq!(kinds(last), Vec::<u8>::new(), "without a word");
        bench.say(new, &mk_keepalive());
        assert_eq!(bench.session.state(), State::Established);
        assert_eq!(bench.session.connections().count(), 1);
    }
}

// req: !G7
#[test]
fn another_as_does_not_replace_a_session() {
    let mut bench = mk_restartable(true);
    let new = bench.session.handle_accepted(bench.now, mk_endpoints()).unwrap();
    bench.effects();
    bench.transmit(new);
    let mut open = mk_open(90, Vec::new());
    let asn = open.len() - 4;
    open[asn..].copy_from_slice(&64999u32.to_be_bytes());
    open[20..22].copy_from_slice(&64999u16.to_be_bytes());
    bench.say(new, &open);
    assert_eq!(bench.session.state(), State::Established);
    assert_eq!(bench.session.connections().count(), 1);
}

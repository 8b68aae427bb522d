//! What ends the wait for the next attempt.

use std::io::ErrorKind;
use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::{Authentication, GracefulRestart, Md5Key, OfferedFamilies, PeerConfig, TtlPolicy};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Asn, HoldTime, RemoteAs};

use crate::support::{Bench, graceful, kinds, mk_config, mk_id, with_graceful_restart};

/// A session whose attempts have failed for a quarter of an hour, waiting for the next one.
fn mk_waiting() -> Bench {
    let mut bench = Bench::new(mk_config());
    bench.start();
    while bench.elapsed() < Duration::from_secs(900) || bench.dials.is_empty() {
        if let Some(id) = bench.dials.pop() {
            bench.session.handle_closed(bench.now, id, Some(ErrorKind::ConnectionRefused));
            bench.effects();
        }
        bench.wait();
    }
    let id = bench.dials.pop().unwrap();
    bench.session.handle_closed(bench.now, id, Some(ErrorKind::ConnectionRefused));
    bench.effects();
    assert!(bench.session.next_timeout() > Some(bench.now + Duration::from_secs(60)));
    bench
}

/// One in the middle of an attempt that nobody answers.
fn mk_unanswered() -> Bench {
    let mut bench = Bench::new(mk_config());
    bench.start();
    bench.now += Duration::from_millis(10);
    bench
}

/// One whose peer ended the connection instead of saying its OPEN.
fn mk_active() -> Bench {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let id = bench.connect();
    bench.transmit(id);
    bench.session.handle_closed(bench.now, id, None);
    bench.effects();
    assert_eq!((bench.session.state(), bench.dials.len()), (State::Active, 0));
    bench
}

type Change = fn(&mut PeerConfig);

const MENDING: [(&str, Change); 14] = [
    ("password", |c| c.authentication = Authentication::Md5(Md5Key::new("another").unwrap())),
    ("peer's ASN", |c| c.remote_asn = RemoteAs::Asn(Asn::new(64999))),
    ("own ASN", |c| c.local_asn = Asn::new(64998)),
    ("address", |c| c.remote = "192.0.2.77:179".parse().unwrap()),
    ("port", |c| c.remote.set_port(1790)),
    ("source", |c| c.local_address = "192.0.2.3".parse().ok()),
    ("VRF", |c| c.bind_device = Some("red".to_owned())),
    ("TTL", |c| c.ttl = TtlPolicy::Multihop(255)),
    ("hold time", |c| c.hold_time = HoldTime::from_secs(30).unwrap()),
    ("connect time", |c| c.connect_time = Some(Duration::from_secs(60))),
    ("router ID", |c| c.router_id = Some(mk_id(77))),
    ("families", |c| c.families = OfferedFamilies::Both),
    ("segment size", |c| c.tcp_mss = Some(1200)),
    ("graceful restart", |c| c.graceful_restart = Some(GracefulRestart::default())),
];

// req: F4
#[test]
fn a_setting_that_may_be_what_was_missing_ends_the_wait() {
    for (name, change) in MENDING {
        for (kind, mut bench) in
            [("waiting", mk_waiting()), ("unanswered", mk_unanswered()), ("active", mk_active())]
        {
            let (before, old) = (bench.now, bench.dials.clone());
            let mut config = mk_config();
            change(&mut config);
            bench.reconfigure(config);
            if kind == "unanswered" && ["hold time", "connect time", "router ID"].contains(&name) {
                assert_eq!(bench.dials, old, "{name}: the attempt goes on");
                continue;
            }
            bench.wait();
            assert_eq!(bench.now, before, "{name} of a session that is {kind}");
            assert!(bench.dials.len() == 1 && bench.dials != old, "{name} of a session that is {kind}");
        }
        if name == "connect time" {
            continue;
        }
        // The next failures count from the beginning.
        let mut bench = mk_waiting();
        let mut config = mk_config();
        change(&mut config);
        bench.reconfigure(config);
        bench.wait();
        let id = bench.dials.pop().unwrap();
        bench.session.handle_closed(bench.now, id, Some(ErrorKind::ConnectionRefused));
        bench.effects();
        assert!(bench.session.next_timeout() <= Some(bench.now + Duration::from_secs(2)), "{name}");
    }
}

// req: !F4
#[test]
fn a_setting_of_routes_does_not_end_the_wait() {
    let changes: [Change; 4] = [
        |c| c.next_hops.v4 = "192.0.2.3".parse().ok(),
        |c| c.graceful_shutdown = true,
        |c| c.keepalive_time = Some(Duration::from_secs(5)),
        |_| {},
    ];
    for change in changes {
        let mut bench = mk_waiting();
        let next = bench.session.next_timeout();
        let mut config = mk_config();
        change(&mut config);
        bench.reconfigure(config);
        assert_eq!(bench.session.next_timeout(), next);
    }
}

// req: G5
#[test]
fn a_session_from_another_address_or_vrf_is_a_new_one_and_leaves_nothing_behind() {
    let changes: [Change; 2] =
        [|c| c.local_address = "192.0.2.3".parse().ok(), |c| c.bind_device = Some("red".to_owned())];
    for change in changes {
        let (mut bench, id) = Bench::established(with_graceful_restart(), 90, graceful());
        bench.announce("198.51.100.1/32", RouteAttributes::new());
        bench.transmit(id);
        let mut config = with_graceful_restart();
        change(&mut config);
        bench.reconfigure(config);
        let (closed, last) = bench.closed.pop().unwrap();
        assert_eq!((closed, kinds(&last)), (id, vec![2, 3]), "a withdrawal and the end");
        let notification = &last[last.len() - 4..];
        assert_eq!(notification, [6, 9, 6, 6], "a Hard Reset: nobody is to wait for the old one");
        bench.wait();
        assert_eq!((bench.dials.len(), bench.elapsed()), (1, Duration::ZERO));
    }
}

// req: X3
#[test]
fn a_session_that_is_told_to_retry_does_whatever_it_failed_for() {
    for mut bench in [mk_waiting(), mk_unanswered(), mk_active()] {
        let (before, old) = (bench.now, bench.dials.clone());
        bench.session.retry_now(bench.now);
        bench.wait();
        assert!(bench.now == before && bench.dials.len() == 1 && bench.dials != old);
    }
    let (mut bench, _) = Bench::established(mk_config(), 90, Vec::new());
    bench.session.retry_now(bench.now);
    assert_eq!((bench.session.state(), bench.closed.len()), (State::Established, 0));
}

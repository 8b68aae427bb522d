//! What the user is told of a session that does not come up.

use std::io::{self, ErrorKind};
use std::time::Duration;

use metallb_bgp::fsm::State;
use metallb_bgp::session::{
    CloseReason, ConfigError, Event, PeerConfig, SocketError, SocketStep, StopReason,
};
use metallb_bgp::types::Asn;
use metallb_bgp::wire::iana;
use metallb_bgp::wire::notification::Notification;

use crate::support::{Bench, mk_config, mk_endpoints, mk_notification};

/// The failures told so far.
fn failures(bench: &Bench) -> Vec<CloseReason> {
    let reason = |event: &Event| match event {
        Event::AttemptFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    bench.events.iter().filter_map(reason).collect()
}

fn ends(bench: &Bench) -> usize {
    let ended = |event: &&Event| matches!(event, Event::StateChanged { reason: Some(_), .. });
    bench.events.iter().filter(ended).count()
}

/// An hour with a peer whose attempts end so, or never.
fn an_hour(config: PeerConfig, outcome: Option<ErrorKind>) -> Bench {
    let mut bench = Bench::new(config);
    bench.start();
    while bench.elapsed() < Duration::from_secs(3600) {
        if let (Some(kind), Some(id)) = (outcome, bench.dials.last().copied()) {
            bench.dials.clear();
            bench.session.handle_closed(bench.now, id, Some(kind));
            bench.effects();
        }
        bench.wait();
    }
    bench
}

// req: F4
#[test]
fn a_refused_connection_is_told_once_and_not_as_the_end_of_a_session() {
    let bench = an_hour(mk_config(), Some(ErrorKind::ConnectionRefused));
    assert!(bench.snapshot().counters.connect_attempts > 10);
    assert_eq!(failures(&bench), [CloseReason::ConnectFailed(ErrorKind::ConnectionRefused.into())]);
    assert_eq!(ends(&bench), 0);
}

// req: F4
#[test]
fn a_failure_is_told_with_the_time_of_the_next_attempt_and_again_when_it_is_another_one() {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let mut expected = Vec::new();
    for kind in [ErrorKind::ConnectionRefused, ErrorKind::NetworkUnreachable, ErrorKind::NetworkUnreachable] {
        let id = bench.dials.pop().unwrap();
        bench.session.handle_closed(bench.now, id, Some(kind));
        bench.effects();
        expected.push((CloseReason::ConnectFailed(kind.into()), bench.session.next_timeout()));
        bench.wait();
    }
    let told = |event: &Event| match event {
        Event::AttemptFailed { reason, next, .. } => Some((reason.clone(), *next)),
        _ => None,
    };
    expected.pop();
    assert_eq!(bench.events.iter().filter_map(told).collect::<Vec<_>>(), expected);
    assert!(expected.iter().all(|(_, next)| next.is_some()));
}

// req: F4
#[test]
fn a_peer_that_never_answers_is_told_once_also_with_a_short_connect_time() {
    for connect_time in [None, Some(1), Some(5), Some(60)] {
        let mut config = mk_config();
        config.connect_time = connect_time.map(Duration::from_secs);
        let bench = an_hour(config, None);
        assert_eq!(failures(&bench), [CloseReason::ConnectTimeout], "{connect_time:?}");
        assert_eq!(ends(&bench), 0);
    }
}

// req: !F4
#[test]
fn another_reason_and_one_that_comes_back_after_a_session_are_told() {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let fail = |bench: &mut Bench, kind: ErrorKind| {
        let id = bench.dials.pop().unwrap();
        bench.session.handle_closed(bench.now, id, Some(kind));
        bench.effects();
        bench.wait();
    };
    fail(&mut bench, ErrorKind::ConnectionRefused);
    fail(&mut bench, ErrorKind::ConnectionRefused);
    fail(&mut bench, ErrorKind::HostUnreachable);
    fail(&mut bench, ErrorKind::HostUnreachable);
    assert_eq!(failures(&bench).len(), 2);
    let id = bench.connect();
    bench.establish(id, 90, Vec::new());
    bench.say(id, &mk_notification(&Notification::cease(iana::CEASE_ADMIN_RESET)));
    assert_eq!(ends(&bench), 1, "this one was up");
    assert_eq!(failures(&bench).len(), 2);
    bench.wait();
    fail(&mut bench, ErrorKind::HostUnreachable);
    assert_eq!(failures(&bench).len(), 3);
}

// req: !F4
#[test]
fn what_the_user_does_is_no_failure() {
    let reasons = [StopReason::Reset(String::new()), StopReason::Shutdown(String::new())];
    for reason in reasons {
        let mut bench = Bench::new(mk_config());
        bench.start();
        let id = bench.connect();
        bench.transmit(id);
        assert_eq!(bench.session.state(), State::OpenSent);
        bench.stop(&reason);
        assert_eq!((failures(&bench), ends(&bench)), (Vec::new(), 0));
    }
}

#[test]
fn a_socket_error_keeps_its_step_and_the_words_of_the_system() {
    let mut bench = Bench::new(mk_config());
    bench.start();
    let id = bench.dials.pop().unwrap();
    let no_such_device = io::Error::from_raw_os_error(19);
    let error = SocketError::new(SocketStep::BindDevice, &no_such_device);
    bench.session.handle_failed(bench.now, id, error);
    bench.effects();
    let reason = failures(&bench).remove(0);
    assert_eq!(reason, CloseReason::ConnectFailed(error));
    let words = reason.to_string();
    assert!(words.contains("binding to the interface or VRF") && words.contains("os error 19"), "{words}");
    assert_eq!(
        CloseReason::ConnectFailed(ErrorKind::TimedOut.into()).to_string(),
        "no connection: timed out"
    );
}

#[test]
fn an_impossible_configuration_is_told_and_not_tried() {
    let mut zero_as = mk_config();
    zero_as.local_asn = Asn::new(0);
    let mut trans = mk_config();
    trans.local_asn = Asn::TRANS;
    let mut hot = mk_config();
    hot.connect_time = Some(Duration::ZERO);
    let mut tiny = mk_config();
    tiny.tcp_mss = Some(87);
    let errors = [
        (tiny, ConfigError::SegmentSize(87)),
        (zero_as, ConfigError::ReservedAsn(Asn::new(0))),
        (trans, ConfigError::ReservedAsn(Asn::TRANS)),
        (hot, ConfigError::ConnectTimeTooShort(Duration::ZERO)),
    ];
    for (config, error) in errors {
        assert_eq!(config.check(), Err(error));
        let mut bench = Bench::new(config);
        bench.start();
        assert_eq!(failures(&bench), [CloseReason::Invalid(error)]);
        assert_eq!((bench.dials.len(), bench.session.next_timeout()), (0, None));
        assert_eq!(bench.session.handle_accepted(bench.now, mk_endpoints()), None);
        bench.reconfigure(mk_config());
        bench.wait();
        assert_eq!(bench.dials.len(), 1, "as soon as it is possible");
    }
}

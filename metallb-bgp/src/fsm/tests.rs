use std::fmt::Write as _;
use std::path::Path;

use super::*;

/// Conditions that change a transition, in words.
const CONDITIONS: [(&str, Conditions); 5] = [
    ("", NONE),
    ("DelayOpen", Conditions { delay_open: true, ..NONE }),
    ("DelayOpenTimer runs", Conditions { delay_open_running: true, ..NONE }),
    ("passive", Conditions { passive: true, ..NONE }),
    ("peer's graceful restart", Conditions { peer_graceful_restart: true, ..NONE }),
];

const NONE: Conditions =
    Conditions { delay_open: false, delay_open_running: false, passive: false, peer_graceful_restart: false };

const HEAD: &str = "# State machine

Every state and event of `metallb_bgp::fsm`, as its test prints it: run `UPDATE_GOLDEN=1 cargo test -p metallb-bgp fsm`
after a change. Numbers are those of RFC 4271 §8.1, 29 is RFC 9687. A condition stands in front of a transition that
differs because of it. `–` is: nothing happens.
";

fn table() -> String {
    let mut text = HEAD.to_owned();
    for state in State::ALL {
        let _ = write!(text, "\n## {state}\n\n| event | next | actions |\n|---|---|---|\n");
        for event in Event::ALL {
            let plain = step(state, event, NONE);
            for (words, conditions) in CONDITIONS {
                let transition = step(state, event, conditions);
                if !words.is_empty() && transition == plain {
                    continue;
                }
                let condition = if words.is_empty() { String::new() } else { format!("{words}: ") };
                let actions: Vec<_> = transition.actions.iter().map(|a| format!("{a:?}")).collect();
                let actions = if actions.is_empty() { "–".to_owned() } else { actions.join(", ") };
                let _ = writeln!(text, "| {event} | {condition}{} | {actions} |", transition.next);
            }
        }
    }
    text
}

// req: F1
#[test]
fn the_documented_table_is_the_one_in_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compliance/bgp-fsm.md");
    let table = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &table).unwrap();
    }
    let Ok(documented) = std::fs::read_to_string(&path) else {
        // The published crate comes without the repository's documentation.
        return;
    };
    assert_eq!(documented, table, "run with UPDATE_GOLDEN=1 and review the difference");
}

fn every(mut check: impl FnMut(State, Event, Conditions, Transition)) {
    for state in State::ALL {
        for event in Event::ALL {
            for (_, conditions) in CONDITIONS {
                check(state, event, conditions, step(state, event, conditions));
            }
        }
    }
}

fn notices(transition: Transition) -> Vec<Notice> {
    let notice = |action: &Action| match action {
        Action::Notify(notice) => Some(*notice),
        _ => None,
    };
    transition.actions.iter().filter_map(notice).collect()
}

// req: F3
#[test]
fn whatever_falls_back_to_idle_drops_the_connection() {
    every(|state, event, _, transition| {
        if state != State::Idle && transition.next == State::Idle {
            assert!(transition.actions.contains(&Action::Drop), "{state} {event}");
        }
    });
}

// req: !F2, !N2
#[test]
fn a_notification_is_sent_once_then_the_connection_is_dropped() {
    every(|state, event, _, transition| {
        let notices = notices(transition);
        assert!(notices.len() <= 1, "{state} {event}");
        if !notices.is_empty() {
            assert_eq!(transition.next, State::Idle, "{state} {event}");
            let place = |wanted: fn(&Action) -> bool| transition.actions.iter().position(wanted);
            let notify = place(|action| matches!(action, Action::Notify(_)));
            assert!(notify < place(|action| *action == Action::Drop), "{state} {event}");
        }
    });
}

// req: N1
#[test]
fn a_received_notification_is_never_answered() {
    every(|_, event, _, transition| {
        if matches!(event, Event::Notification | Event::NotificationVersion) {
            assert_eq!(notices(transition), []);
        }
    });
}

// req: !F1
#[test]
fn no_notification_is_sent_before_our_open() {
    every(|state, event, _, transition| {
        if state < State::OpenSent {
            assert_eq!(notices(transition), [], "{state} {event}");
        }
    });
}

// req: !F6
#[test]
fn unexpected_messages_are_told_the_state_they_came_in() {
    let messages = [Event::OpenReceivedDelayed, Event::UpdateError, Event::RouteRefreshError];
    for (state, notice) in
        [(State::OpenSent, Notice::FsmOpenSent), (State::OpenConfirm, Notice::FsmOpenConfirm)]
    {
        for event in messages {
            assert_eq!(notices(step(state, event, NONE)), [notice], "{state} {event}");
        }
    }
    let again = step(State::Established, Event::OpenReceived, NONE);
    assert_eq!(notices(again), [Notice::FsmEstablished]);
    // Events that are not messages have no subcode.
    for state in [State::OpenSent, State::OpenConfirm, State::Established] {
        assert_eq!(notices(step(state, Event::ConnectRetryExpires, NONE)), [Notice::Fsm], "{state}");
    }
}

// req: F8
#[test]
fn the_send_hold_timer_runs_from_established_on() {
    every(|state, event, _, transition| {
        let starts = transition.actions.contains(&Action::StartSendHold);
        assert_eq!(starts, transition.actions.contains(&Action::Establish), "{state} {event}");
    });
    let expired = step(State::Established, Event::SendHoldExpires, NONE);
    assert_eq!(notices(expired), [Notice::SendHoldTimerExpired]);
    assert_eq!(expired.next, State::Idle);
}

// req: F1
#[test]
fn only_a_keepalive_in_open_confirm_establishes() {
    every(|state, event, _, transition| {
        let established = state != State::Established && transition.next == State::Established;
        assert_eq!(established, (state, event) == (State::OpenConfirm, Event::Keepalive));
    });
}

// req: G7
#[test]
fn a_restarted_peer_replaces_its_connection_without_a_word() {
    let graceful = Conditions { peer_graceful_restart: true, ..NONE };
    let replaced = step(State::Established, Event::TcpConfirmed, graceful);
    assert_eq!(replaced.next, State::Idle);
    assert_eq!(notices(replaced), []);
    assert!(!replaced.actions.contains(&Action::ReleaseRoutes), "the peer's routes stay");
    assert_eq!(step(State::Established, Event::TcpConfirmed, NONE).next, State::Established);
}

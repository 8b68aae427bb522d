//! Every transition: one function per state, one arm per clause of RFC 4271 §8.2.2.

use super::Action::{
    ClearRetryCounter, Connect, CountRetry, Drop, Establish, Notify, Process, Refresh, Refuse, ReleaseRoutes,
    RestartHold, RestartKeepalive, SendKeepalive, SendOpen, StartConnectRetry, StartDelayOpen,
    StartLargeHold, StartNegotiatedTimers, StartSendHold, StopConnectRetry, StopDelayOpen, Track,
};
use super::{Action, Event, Notice, State};

/// What the RFC makes a transition depend on besides the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent session attribute of RFC 4271 §8.1"
)]
pub struct Conditions {
    /// DelayOpen: wait for the peer's OPEN before sending ours.
    pub delay_open: bool,
    /// DelayOpenTimer is running.
    pub delay_open_running: bool,
    /// PassiveTcpEstablishment: never dial.
    pub passive: bool,
    /// The peer's graceful restart capability named at least one family (RFC 4724 §5).
    pub peer_graceful_restart: bool,
}

/// Where an event leads and what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state afterwards.
    pub next: State,
    /// What to do, in this order.
    pub actions: &'static [Action],
}

/// The transition for `event` in `state`.
#[must_use]
pub fn step(state: State, event: Event, conditions: Conditions) -> Transition {
    match state {
        State::Idle => idle(event, conditions),
        State::Connect => connect(event, conditions),
        State::Active => active(event, conditions),
        State::OpenSent => open_sent(event),
        State::OpenConfirm => open_confirm(event),
        State::Established => established(event, conditions),
    }
}

const fn to(next: State, actions: &'static [Action]) -> Transition {
    Transition { next, actions }
}

/// §8.2.2 "Idle state": all incoming connections are refused, no resources are held.
fn idle(event: Event, on: Conditions) -> Transition {
    match event {
        // "ManualStart event (Event 1) or an AutomaticStart event (Event 3)"
        Event::ManualStart | Event::AutomaticStart => {
            to(State::Connect, &[ClearRetryCounter, StartConnectRetry, Connect])
        }
        // "ManualStart_with_PassiveTcpEstablishment (Event 4) or AutomaticStart_with_… (Event 5)"
        Event::ManualStartPassive | Event::AutomaticStartPassive => {
            to(State::Active, &[ClearRetryCounter, StartConnectRetry])
        }
        // "the local system … prevents peer oscillations" until IdleHoldTimer_Expires (Event 13)
        Event::IdleHoldExpires if on.passive => to(State::Active, &[StartConnectRetry]),
        Event::IdleHoldExpires => to(State::Connect, &[StartConnectRetry, Connect]),
        // "the local system … refuses all incoming BGP connections for this peer"
        Event::TcpValid | Event::TcpInvalid | Event::TcpAcked | Event::TcpConfirmed => {
            to(State::Idle, &[Refuse])
        }
        // "The ManualStop event (Event 2) and AutomaticStop (Event 8) event are ignored in the
        // Idle state" and "Any other event (Events 9-12, 15-28) received in the Idle state does
        // not cause change in the state"
        Event::ManualStop
        | Event::AutomaticStop
        | Event::ConnectRetryExpires
        | Event::HoldExpires
        | Event::KeepaliveExpires
        | Event::DelayOpenExpires
        | Event::TcpFails
        | Event::OpenReceived
        | Event::OpenReceivedDelayed
        | Event::HeaderError
        | Event::OpenError
        | Event::CollisionDump
        | Event::NotificationVersion
        | Event::Notification
        | Event::Keepalive
        | Event::Update
        | Event::UpdateError
        | Event::SendHoldExpires
        | Event::RouteRefresh
        | Event::RouteRefreshError => to(State::Idle, &[]),
    }
}

/// §8.2.2 "Connect state": waiting for the TCP connection to be completed.
fn connect(event: Event, on: Conditions) -> Transition {
    match event {
        // "The start events (Events 1, 3-7) are ignored in the Connect state"; RFC 9687 §3.1: SendHoldTimer does
        // not run before Established
        Event::ManualStart
        | Event::AutomaticStart
        | Event::ManualStartPassive
        | Event::AutomaticStartPassive
        | Event::IdleHoldExpires
        | Event::SendHoldExpires => to(State::Connect, &[]),
        // "ManualStop event (Event 2): drops the TCP connection, … sets ConnectRetryCounter to zero"
        Event::ManualStop => to(State::Idle, &[Drop, ClearRetryCounter, StopConnectRetry]),
        // "ConnectRetryTimer_Expires event (Event 9)"
        Event::ConnectRetryExpires => to(State::Connect, &[Drop, StartConnectRetry, StopDelayOpen, Connect]),
        // "DelayOpenTimer_Expires event (Event 12)"
        Event::DelayOpenExpires => to(State::OpenSent, &[SendOpen, StartLargeHold]),
        // "TcpConnection_Valid (Event 14): the TCP connection is processed"
        Event::TcpValid => to(State::Connect, &[Track]),
        // "Tcp_CR_Invalid (Event 15): the TCP connection is rejected"
        Event::TcpInvalid => to(State::Connect, &[Refuse]),
        // "If the TCP connection succeeds (Event 16 or Event 17)" and DelayOpen is TRUE
        Event::TcpAcked | Event::TcpConfirmed if on.delay_open => {
            to(State::Connect, &[StopConnectRetry, StartDelayOpen])
        }
        // … and DelayOpen is FALSE
        Event::TcpAcked | Event::TcpConfirmed => {
            to(State::OpenSent, &[StopConnectRetry, SendOpen, StartLargeHold])
        }
        // "If the TCP connection fails (Event 18)" and "the DelayOpenTimer is running"
        Event::TcpFails if on.delay_open_running => {
            to(State::Active, &[Drop, StartConnectRetry, StopDelayOpen])
        }
        // … "is not running"
        Event::TcpFails => to(State::Idle, &[StopConnectRetry, Drop]),
        // "BGPOpen with the DelayOpenTimer running (Event 20)"
        Event::OpenReceivedDelayed => to(
            State::OpenConfirm,
            &[StopConnectRetry, StopDelayOpen, SendOpen, SendKeepalive, StartNegotiatedTimers],
        ),
        // "NOTIFICATION message with a version error (Event 24)" and "the DelayOpenTimer is running"
        Event::NotificationVersion if on.delay_open_running => {
            to(State::Idle, &[StopConnectRetry, StopDelayOpen, Drop])
        }
        // "header checking detects an error (Event 21) or OPEN … (Event 22)", "Event 24" without
        // the timer, and "any other events (Events 8, 10-11, 13, 19, 23, 25-28)"
        Event::AutomaticStop
        | Event::HoldExpires
        | Event::KeepaliveExpires
        | Event::OpenReceived
        | Event::HeaderError
        | Event::OpenError
        | Event::CollisionDump
        | Event::NotificationVersion
        | Event::Notification
        | Event::Keepalive
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh
        | Event::RouteRefreshError => to(State::Idle, &[StopConnectRetry, StopDelayOpen, Drop, CountRetry]),
    }
}

/// §8.2.2 "Active state": waiting for a TCP connection from the peer, or for the next attempt.
fn active(event: Event, on: Conditions) -> Transition {
    match event {
        // "The start events (Events 1, 3-7) are ignored in the Active state"; RFC 9687 §3.1 as above
        Event::ManualStart
        | Event::AutomaticStart
        | Event::ManualStartPassive
        | Event::AutomaticStartPassive
        | Event::IdleHoldExpires
        | Event::SendHoldExpires => to(State::Active, &[]),
        // "ManualStop event (Event 2)"
        Event::ManualStop => to(State::Idle, &[StopDelayOpen, Drop, ClearRetryCounter, StopConnectRetry]),
        // "ConnectRetryTimer_Expires event (Event 9)"; a passive speaker goes on waiting
        Event::ConnectRetryExpires if on.passive => to(State::Active, &[StartConnectRetry]),
        Event::ConnectRetryExpires => to(State::Connect, &[StartConnectRetry, Connect]),
        // "DelayOpenTimer_Expires event (Event 12)"
        Event::DelayOpenExpires => {
            to(State::OpenSent, &[StopConnectRetry, StopDelayOpen, SendOpen, StartLargeHold])
        }
        // "TcpConnection_Valid event (Event 14)"
        Event::TcpValid => to(State::Active, &[Track]),
        // "Tcp_CR_Invalid event (Event 15)"
        Event::TcpInvalid => to(State::Active, &[Refuse]),
        // "the success of a TCP connection (Event 16 or Event 17)" and DelayOpen is TRUE
        Event::TcpAcked | Event::TcpConfirmed if on.delay_open => {
            to(State::Active, &[StopConnectRetry, StartDelayOpen])
        }
        // … and DelayOpen is FALSE
        Event::TcpAcked | Event::TcpConfirmed => {
            to(State::OpenSent, &[StopConnectRetry, SendOpen, StartLargeHold])
        }
        // "TcpConnectionFails event (Event 18)"
        Event::TcpFails => to(State::Idle, &[StartConnectRetry, StopDelayOpen, Drop, CountRetry]),
        // "BGPOpen with the DelayOpenTimer running (Event 20)"
        Event::OpenReceivedDelayed => to(
            State::OpenConfirm,
            &[StopConnectRetry, StopDelayOpen, SendOpen, SendKeepalive, StartNegotiatedTimers],
        ),
        // "NOTIFICATION message with a version error (Event 24)" and "the DelayOpenTimer is running"
        Event::NotificationVersion if on.delay_open_running => {
            to(State::Idle, &[StopConnectRetry, StopDelayOpen, Drop])
        }
        // "Event 21 or Event 22", "Event 24" without the timer, and "any other event (Events 8,
        // 10-11, 13, 19, 23, 25-28)"
        Event::AutomaticStop
        | Event::HoldExpires
        | Event::KeepaliveExpires
        | Event::OpenReceived
        | Event::HeaderError
        | Event::OpenError
        | Event::CollisionDump
        | Event::NotificationVersion
        | Event::Notification
        | Event::Keepalive
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh
        | Event::RouteRefreshError => to(State::Idle, &[StopConnectRetry, StopDelayOpen, Drop, CountRetry]),
    }
}

/// §8.2.2 "OpenSent": our OPEN is sent, the peer's is awaited.
fn open_sent(event: Event) -> Transition {
    match event {
        // "The start events (Events 1, 3-7) are ignored in the OpenSent state"
        Event::ManualStart
        | Event::AutomaticStart
        | Event::ManualStartPassive
        | Event::AutomaticStartPassive
        | Event::IdleHoldExpires => to(State::OpenSent, &[]),
        // "ManualStop event (Event 2)"
        Event::ManualStop => to(State::Idle, CEASE_BY_HAND),
        // "AutomaticStop event (Event 8)"
        Event::AutomaticStop => to(State::Idle, CEASE),
        // "HoldTimer_Expires (Event 10)"
        Event::HoldExpires => to(State::Idle, HOLD_EXPIRED),
        // "TcpConnection_Valid (Event 14), Tcp_CR_Acked (Event 16), or TcpConnectionConfirmed
        // (Event 17): a second TCP connection may be in progress … is tracked"
        Event::TcpValid | Event::TcpAcked | Event::TcpConfirmed => to(State::OpenSent, &[Track]),
        // "a TCP Connection Invalid (Tcp_CR_Invalid, Event 15) is ignored"
        Event::TcpInvalid => to(State::OpenSent, &[Refuse]),
        // "TcpConnectionFails event (Event 18)"
        Event::TcpFails => to(State::Active, &[Drop, StartConnectRetry]),
        // "BGPOpen message (Event 19)": sends KEEPALIVE, sets the timers to the negotiated values
        Event::OpenReceived => {
            to(State::OpenConfirm, &[StopDelayOpen, StopConnectRetry, SendKeepalive, StartNegotiatedTimers])
        }
        // "header checking (Event 21) or OPEN message error (Event 22)"
        Event::HeaderError | Event::OpenError => to(State::Idle, ERROR_OF_MESSAGE),
        // "Event 23: collision detection needs to dump this connection"
        Event::CollisionDump => to(State::Idle, COLLISION),
        // "NOTIFICATION message with a version error (Event 24)"
        Event::NotificationVersion => to(State::Idle, &[StopConnectRetry, Drop]),
        // The clause asks for an FSM error, but §6.4 forbids to answer a NOTIFICATION
        Event::Notification => to(State::Idle, &[StopConnectRetry, Drop, CountRetry]),
        // "any other event (Events 9, 11-13, 20, 25-28)": not a message, subcode 0
        Event::ConnectRetryExpires
        | Event::KeepaliveExpires
        | Event::DelayOpenExpires
        | Event::SendHoldExpires => to(State::Idle, FSM_ERROR),
        // … a message: RFC 6608 subcode 1
        Event::OpenReceivedDelayed
        | Event::Keepalive
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh
        | Event::RouteRefreshError => {
            to(State::Idle, &[Notify(Notice::FsmOpenSent), StopConnectRetry, Drop, CountRetry])
        }
    }
}

/// §8.2.2 "OpenConfirm state": a KEEPALIVE or NOTIFICATION is awaited.
fn open_confirm(event: Event) -> Transition {
    match event {
        // "Any start event (Events 1, 3-7) is ignored in the OpenConfirm state"
        Event::ManualStart
        | Event::AutomaticStart
        | Event::ManualStartPassive
        | Event::AutomaticStartPassive
        | Event::IdleHoldExpires => to(State::OpenConfirm, &[]),
        // "ManualStop event (Event 2)"
        Event::ManualStop => to(State::Idle, CEASE_BY_HAND),
        // "AutomaticStop event (Event 8)"
        Event::AutomaticStop => to(State::Idle, CEASE),
        // "HoldTimer_Expires event (Event 10)"
        Event::HoldExpires => to(State::Idle, HOLD_EXPIRED),
        // "KeepaliveTimer_Expires event (Event 11)"
        Event::KeepaliveExpires => to(State::OpenConfirm, &[SendKeepalive, RestartKeepalive]),
        // "TcpConnection_Valid event (Event 14), or … (Event 16 or Event 17)": tracked
        Event::TcpValid | Event::TcpAcked | Event::TcpConfirmed => to(State::OpenConfirm, &[Track]),
        // "an invalid TCP connection (Tcp_CR_Invalid, Event 15) is ignored"
        Event::TcpInvalid => to(State::OpenConfirm, &[Refuse]),
        // "TcpConnectionFails event (Event 18)" or "NOTIFICATION message (Event 25)"
        Event::TcpFails | Event::Notification => to(State::Idle, &[StopConnectRetry, Drop, CountRetry]),
        // "NOTIFICATION message with a version error (Event 24)"
        Event::NotificationVersion => to(State::Idle, &[StopConnectRetry, Drop]),
        // "a valid OPEN message (Event 19)": a collision this connection lost comes as Event 23;
        // a second OPEN on the same connection is an unexpected message (RFC 6608)
        // and "any other event (Events 9, 12-13, 20, 27-28)", a message: RFC 6608 subcode 2
        Event::OpenReceived
        | Event::OpenReceivedDelayed
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh
        | Event::RouteRefreshError => {
            to(State::Idle, &[Notify(Notice::FsmOpenConfirm), StopConnectRetry, Drop, CountRetry])
        }
        // "header checking (Event 21) or OPEN message error (Event 22)"
        Event::HeaderError | Event::OpenError => to(State::Idle, ERROR_OF_MESSAGE),
        // "OpenCollisionDump event (Event 23)"
        Event::CollisionDump => to(State::Idle, COLLISION),
        // "KEEPALIVE message (Event 26)"; RFC 9687 §3.1 starts the send-hold timer here
        Event::Keepalive => to(State::Established, &[RestartHold, StartSendHold, Establish]),
        // … not a message: subcode 0
        Event::ConnectRetryExpires | Event::DelayOpenExpires | Event::SendHoldExpires => {
            to(State::Idle, FSM_ERROR)
        }
    }
}

/// §8.2.2 "Established state": UPDATE, NOTIFICATION and KEEPALIVE messages are exchanged.
fn established(event: Event, on: Conditions) -> Transition {
    match event {
        // "Any Start event (Events 1, 3-7) is ignored in the Established state"
        Event::ManualStart
        | Event::AutomaticStart
        | Event::ManualStartPassive
        | Event::AutomaticStartPassive
        | Event::IdleHoldExpires => to(State::Established, &[]),
        // "ManualStop event (Event 2)"
        Event::ManualStop => to(
            State::Idle,
            &[Notify(Notice::Cease), StopConnectRetry, ReleaseRoutes, Drop, ClearRetryCounter],
        ),
        // "AutomaticStop event (Event 8)"
        Event::AutomaticStop => to(State::Idle, UP_CEASE),
        // "HoldTimer_Expires event (Event 10)"
        Event::HoldExpires => to(State::Idle, UP_HOLD_EXPIRED),
        // "KeepaliveTimer_Expires event (Event 11)"
        Event::KeepaliveExpires => to(State::Established, &[SendKeepalive, RestartKeepalive]),
        // RFC 4724 §5 instead of RFC 4271: a peer that restarted opens a new connection; the old
        // one is dropped without a word and its routes are kept
        Event::TcpConfirmed if on.peer_graceful_restart => to(State::Idle, &[Drop, Track]),
        // "TcpConnection_Valid (Event 14) … Tcp_CR_Acked (Event 16) or TcpConnectionConfirmed
        // (Event 17): the second connection SHALL be tracked until it sends an OPEN message"
        Event::TcpValid | Event::TcpAcked | Event::TcpConfirmed => to(State::Established, &[Track]),
        // "an invalid TCP connection (Tcp_CR_Invalid, Event 15) will be ignored"
        Event::TcpInvalid => to(State::Established, &[Refuse]),
        // "TcpConnectionFails (Event 18)" or "NOTIFICATION message (Event 24 or Event 25)"
        Event::TcpFails | Event::NotificationVersion | Event::Notification => {
            to(State::Idle, &[StopConnectRetry, ReleaseRoutes, Drop, CountRetry])
        }
        // "valid OPEN (Event 19) if the CollisionDetectEstablishedState is TRUE": checked for a
        // collision; one that this connection lost comes as Event 23. Otherwise, and for "any
        // other event (Events 9, 12-13, 20-22)" that is a message: RFC 6608 subcode 3
        Event::OpenReceived | Event::OpenReceivedDelayed | Event::OpenError => to(State::Idle, UP_UNEXPECTED),
        // "OpenCollisionDump event (Event 23)": only with CollisionDetectEstablishedState
        Event::CollisionDump => to(State::Idle, UP_COLLISION),
        // "KEEPALIVE message (Event 26)"
        Event::Keepalive => to(State::Established, &[RestartHold]),
        // "UPDATE message (Event 27)"
        Event::Update => to(State::Established, &[Process, RestartHold]),
        // RFC 2918 §4; like every message it shows that the peer is alive
        Event::RouteRefresh => to(State::Established, &[Refresh, RestartHold]),
        // §6.1 asks for the header's own code (Event 21), "UPDATE … error (Event 28)" for the
        // UPDATE's, RFC 7313 §5 for 7/1
        Event::HeaderError | Event::UpdateError | Event::RouteRefreshError => {
            to(State::Idle, UP_ERROR_OF_MESSAGE)
        }
        // RFC 9687 §3.2
        Event::SendHoldExpires => to(State::Idle, UP_SEND_HOLD_EXPIRED),
        // "any other event (Events 9, 12-13)": not a message, subcode 0
        Event::ConnectRetryExpires | Event::DelayOpenExpires => to(State::Idle, UP_FSM_ERROR),
    }
}

const CEASE_BY_HAND: &[Action] = &[Notify(Notice::Cease), StopConnectRetry, Drop, ClearRetryCounter];
const CEASE: &[Action] = &[Notify(Notice::Cease), StopConnectRetry, Drop, CountRetry];
const COLLISION: &[Action] = &[Notify(Notice::Collision), StopConnectRetry, Drop, CountRetry];
const HOLD_EXPIRED: &[Action] = &[Notify(Notice::HoldTimerExpired), StopConnectRetry, Drop, CountRetry];
const ERROR_OF_MESSAGE: &[Action] = &[Notify(Notice::OfMessage), StopConnectRetry, Drop, CountRetry];
const FSM_ERROR: &[Action] = &[Notify(Notice::Fsm), StopConnectRetry, Drop, CountRetry];
const UP_CEASE: &[Action] = &[Notify(Notice::Cease), StopConnectRetry, ReleaseRoutes, Drop, CountRetry];
const UP_HOLD_EXPIRED: &[Action] =
    &[Notify(Notice::HoldTimerExpired), StopConnectRetry, ReleaseRoutes, Drop, CountRetry];
const UP_UNEXPECTED: &[Action] =
    &[Notify(Notice::FsmEstablished), StopConnectRetry, ReleaseRoutes, Drop, CountRetry];
const UP_ERROR_OF_MESSAGE: &[Action] =
    &[Notify(Notice::OfMessage), StopConnectRetry, ReleaseRoutes, Drop, CountRetry];
const UP_SEND_HOLD_EXPIRED: &[Action] =
    &[Notify(Notice::SendHoldTimerExpired), StopConnectRetry, ReleaseRoutes, Drop, CountRetry];
const UP_FSM_ERROR: &[Action] = &[Notify(Notice::Fsm), StopConnectRetry, ReleaseRoutes, Drop, CountRetry];
const UP_COLLISION: &[Action] =
    &[Notify(Notice::Collision), StopConnectRetry, ReleaseRoutes, Drop, CountRetry];

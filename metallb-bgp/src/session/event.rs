//! What a session tells its user.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnetwork::IpNetwork;

use super::{
    AuthenticationError, ConfigError, NegotiatedSnapshot, PeerKey, SocketError, Unacknowledged,
    WithheldReason,
};
use crate::fsm::State;
use crate::types::{AfiSafi, Attributes, Family};
use crate::unnumbered::NoNeighbor;
use crate::wire::capability::Capability;
use crate::wire::iana;
use crate::wire::notification::Notification;
use crate::wire::open::OpenError;
use crate::wire::update::{Action, Fault};

/// Something a user may want to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The session moved to another state. Where a user of the driver is behind, only the last of several moves is told:
    /// `Established` after `Established` is another session. Of a peer that was added and is gone meanwhile nothing is.
    StateChanged {
        /// Whose session.
        peer: PeerKey,
        /// The state it is in now.
        state: State,
        /// Why the session ended; only when it was established.
        reason: Option<CloseReason>,
    },
    /// What both sides agreed on. Told right after `Established`.
    Negotiated {
        /// Whose session.
        peer: PeerKey,
        /// All of it.
        session: Box<NegotiatedSnapshot>,
    },
    /// Everything there is for the peer has been handed out for the first time in its session, End-of-RIB and all. What it
    /// does not get has been told before in [`RoutesWithheld`](Self::RoutesWithheld).
    Advertised {
        /// Whose session.
        peer: PeerKey,
    },
    /// The session does not come up. Told once, and again when the reason changes or the session was up meanwhile.
    AttemptFailed {
        /// Whose session.
        peer: PeerKey,
        /// Why.
        reason: CloseReason,
        /// When the next attempt starts, if one is planned.
        next: Option<Instant>,
    },
    /// The peer sent routes; only with [`PeerConfig::import`](super::PeerConfig::import).
    Received {
        /// Who sent them.
        peer: PeerKey,
        /// Its address.
        remote: SocketAddr,
        /// The routes.
        update: ReceivedUpdate,
    },
    /// The peer has sent all it has for a family (RFC 4724 §2). Told once in a session.
    EndOfRib {
        /// Who sent it.
        peer: PeerKey,
        /// For which family.
        family: Family,
    },
    /// The peer sent an UPDATE with errors (RFC 7606 §6). Told once a second at most; where routes are not imported
    /// ([`PeerConfig::import`](super::PeerConfig::import)) and the session goes on, once in it for each kind of fault.
    Malformed {
        /// Who sent it.
        peer: PeerKey,
        /// What was done about it.
        action: Action,
        /// What is wrong with it: the first fault that asks for that.
        fault: Fault,
        /// The beginning of the message as hexadecimal, for the log.
        message: String,
    },
    /// The peer's routes of a family cannot be read: those received are to be forgotten, and those that follow are
    /// ignored until the next session (RFC 4760 §7; only with
    /// [`OnUnreadable::DisableFamily`](crate::wire::update::OnUnreadable::DisableFamily)).
    FamilyDisabled {
        /// Who sent them.
        peer: PeerKey,
        /// Which family.
        family: Family,
    },
    /// The peer asked for a family again that this session does not have (RFC 2918 §4). Told once a second at most.
    RefreshIgnored {
        /// Who asked.
        peer: PeerKey,
        /// For which family.
        family: AfiSafi,
    },
    /// Routes of a family are not sent, because there is no next hop for them; or there is one again. Told once for each
    /// reason in a session, when there are such routes.
    RoutesWithheld {
        /// Who does not get them.
        peer: PeerKey,
        /// Which family.
        family: Family,
        /// Why; `None` when they are sent again.
        reason: Option<WithheldReason>,
    },
    /// A session ended within two hold times, and TCP had sent in vain what the peer did not acknowledge: the path may
    /// lose packets that are as big as those of routes. Comes after the [`StateChanged`](Self::StateChanged) of the end.
    Unacknowledged {
        /// Whose session.
        peer: PeerKey,
        /// What was sent in vain.
        segments: Unacknowledged,
    },
    /// The peer refuses capabilities of ours (2/4, 2/7); the attempts that follow leave them out, until the peer is
    /// configured anew or reset.
    CapabilitiesGivenUp {
        /// Who refused them.
        peer: PeerKey,
        /// What is not announced any more.
        capabilities: Vec<Capability>,
    },
    /// When we ended a connection with a NOTIFICATION, this one of the peer was there already. Told once until the
    /// peer sends another or the session was up.
    NotificationCrossed {
        /// Who sent it.
        peer: PeerKey,
        /// What it says.
        notification: Notification,
    },
}

impl Event {
    /// The peer the event is about.
    pub const fn peer(&self) -> &PeerKey {
        match self {
            Self::StateChanged { peer, .. }
            | Self::AttemptFailed { peer, .. }
            | Self::Negotiated { peer, .. }
            | Self::Advertised { peer }
            | Self::Received { peer, .. }
            | Self::EndOfRib { peer, .. }
            | Self::Malformed { peer, .. }
            | Self::FamilyDisabled { peer, .. }
            | Self::RoutesWithheld { peer, .. }
            | Self::Unacknowledged { peer, .. }
            | Self::CapabilitiesGivenUp { peer, .. }
            | Self::NotificationCrossed { peer, .. }
            | Self::RefreshIgnored { peer, .. } => peer,
        }
    }
}

/// The routes of one received UPDATE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedUpdate {
    /// Prefixes that are reachable now, with their attributes.
    pub announced: Vec<(IpNetwork, Arc<Attributes>)>,
    /// Prefixes that are not reachable any more.
    pub withdrawn: Vec<IpNetwork>,
}

/// Why a session or a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// We sent this NOTIFICATION.
    Sent(Notification),
    /// We refused the peer's OPEN, with the NOTIFICATION that follows from it.
    RefusedOpen(OpenError),
    /// The peer sent this NOTIFICATION.
    Received(Notification),
    /// The TCP connection could not be opened.
    ConnectFailed(SocketError),
    /// No answer to the attempt: an unreachable peer, a filter, or TCP MD5 or TCP-AO keys that differ.
    ConnectTimeout,
    /// The TCP connection cannot be authenticated as configured.
    Unauthenticated(AuthenticationError),
    /// The peer closed the TCP connection without a NOTIFICATION.
    ConnectionClosed,
    /// The TCP connection failed.
    ConnectionFailed(SocketError),
    /// The peer did not read what we sent for the whole send-hold time (RFC 9687).
    SendHoldExpired,
    /// The peer opened a new connection after a restart (RFC 4724 §5).
    ReplacedByPeer,
    /// Stopped from our side without a NOTIFICATION.
    Stopped,
    /// There was nobody to connect to behind the interface of an unnumbered peer.
    NoNeighbor(NoNeighbor),
    /// There can be no session with this configuration.
    Invalid(ConfigError),
}

impl CloseReason {
    /// Code and subcode of the NOTIFICATION that was sent or received (RFC 4271 §4.5); `None` when it ended without.
    pub fn error_code(&self) -> Option<(u8, u8)> {
        match self {
            Self::Sent(notification) | Self::Received(notification) => {
                Some((notification.code, notification.subcode))
            }
            Self::RefusedOpen(error) => {
                let notification = error.notification();
                Some((notification.code, notification.subcode))
            }
            _ => None,
        }
    }

    /// Whether it is something that went wrong, and not what the user or a peer that has another connection wanted.
    pub(super) const fn is_failure(&self) -> bool {
        match self {
            Self::Stopped | Self::ReplacedByPeer => false,
            Self::Sent(notification) => notification.code != iana::ERR_CEASE,
            _ => true,
        }
    }

    /// Whether packets that got lost may have been the cause, and not what a side wants.
    pub(super) const fn is_of_path(&self) -> bool {
        match self {
            Self::ConnectFailed(_)
            | Self::ConnectTimeout
            | Self::NoNeighbor(_)
            | Self::ConnectionFailed(_)
            | Self::ConnectionClosed
            | Self::SendHoldExpired => true,
            Self::Sent(notification) | Self::Received(notification) => {
                matches!(notification.code, iana::ERR_HOLD_TIMER | iana::ERR_SEND_HOLD_TIMER)
            }
            Self::RefusedOpen(_)
            | Self::Unauthenticated(_)
            | Self::ReplacedByPeer
            | Self::Stopped
            | Self::Invalid(_) => false,
        }
    }

    /// Whether one side does not want the session for now, however long it was up (RFC 4486 §4).
    pub(super) const fn is_unwelcome(&self) -> bool {
        match self {
            Self::Received(notification) if notification.code == iana::ERR_CEASE => matches!(
                notification.subcode,
                iana::CEASE_MAX_PREFIXES
                    | iana::CEASE_ADMIN_SHUTDOWN
                    | iana::CEASE_PEER_DECONFIGURED
                    | iana::CEASE_CONNECTION_REJECTED
                    | iana::CEASE_OUT_OF_RESOURCES
                    | iana::CEASE_HARD_RESET
            ),
            Self::Sent(notification) => {
                notification.code == iana::ERR_CEASE && notification.subcode == iana::CEASE_MAX_PREFIXES
            }
            _ => false,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(notification) => write!(f, "sent {notification}"),
            Self::RefusedOpen(error) => write!(f, "sent {}", error.notification()),
            Self::Received(notification) => write!(f, "received {notification}"),
            Self::ConnectFailed(error) => write!(f, "no connection: {error}"),
            Self::ConnectTimeout => {
                f.write_str("connecting timed out (peer unreachable, filtered, or other TCP keys)")
            }
            Self::Unauthenticated(error) => write!(f, "no authenticated connection: {error}"),
            Self::ConnectionClosed => f.write_str("the peer closed the connection"),
            Self::ConnectionFailed(error) => write!(f, "the connection failed: {error}"),
            Self::SendHoldExpired => f.write_str("the peer stopped reading: send-hold time over"),
            Self::ReplacedByPeer => f.write_str("replaced by a new connection of the peer"),
            Self::Stopped => f.write_str("stopped"),
            Self::NoNeighbor(reason) => write!(f, "no neighbor: {reason}"),
            Self::Invalid(error) => write!(f, "not possible as configured: {error}"),
        }
    }
}

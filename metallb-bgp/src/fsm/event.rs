//! What can happen to a connection.

use std::fmt;

/// An event of RFC 4271 §8.1 (numbers there), RFC 9687 (29) or RFC 2918 (ROUTE-REFRESH, which has
/// no number).
///
/// Events 6 and 7 (starts under damping) are [`Event::IdleHoldExpires`] here: a session that fell
/// back to Idle always waits before it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// 1: the operator starts the session.
    ManualStart,
    /// 2: the operator stops the session.
    ManualStop,
    /// 3: the session starts itself.
    AutomaticStart,
    /// 4: the operator starts the session, and the peer is to connect.
    ManualStartPassive,
    /// 5: the session starts itself, and the peer is to connect.
    AutomaticStartPassive,
    /// 8: the session stops itself.
    AutomaticStop,
    /// 9: ConnectRetryTimer expires.
    ConnectRetryExpires,
    /// 10: HoldTimer expires.
    HoldExpires,
    /// 11: KeepaliveTimer expires.
    KeepaliveExpires,
    /// 12: DelayOpenTimer expires.
    DelayOpenExpires,
    /// 13: IdleHoldTimer expires.
    IdleHoldExpires,
    /// 14: the peer asks for a TCP connection, and it is one we expect.
    TcpValid,
    /// 15: the peer asks for a TCP connection from where none is expected.
    TcpInvalid,
    /// 16: the TCP connection we asked for is open.
    TcpAcked,
    /// 17: the TCP connection the peer asked for is open.
    TcpConfirmed,
    /// 18: the TCP connection failed or was closed by the peer.
    TcpFails,
    /// 19: a valid OPEN.
    OpenReceived,
    /// 20: a valid OPEN while DelayOpenTimer runs.
    OpenReceivedDelayed,
    /// 21: a message header with an error.
    HeaderError,
    /// 22: an OPEN with an error.
    OpenError,
    /// 23: this connection loses a collision (§6.8).
    CollisionDump,
    /// 24: NOTIFICATION with a version error.
    NotificationVersion,
    /// 25: any other NOTIFICATION.
    Notification,
    /// 26: KEEPALIVE.
    Keepalive,
    /// 27: a valid UPDATE.
    Update,
    /// 28: an UPDATE with an error that ends the session.
    UpdateError,
    /// 29: SendHoldTimer expires (RFC 9687).
    SendHoldExpires,
    /// ROUTE-REFRESH (RFC 2918), valid.
    RouteRefresh,
    /// ROUTE-REFRESH with an error that ends the session (RFC 7313 §5).
    RouteRefreshError,
}

impl Event {
    /// Every event, in the RFC's order.
    pub const ALL: [Self; 29] = [
        Self::ManualStart,
        Self::ManualStop,
        Self::AutomaticStart,
        Self::ManualStartPassive,
        Self::AutomaticStartPassive,
        Self::AutomaticStop,
        Self::ConnectRetryExpires,
        Self::HoldExpires,
        Self::KeepaliveExpires,
        Self::DelayOpenExpires,
        Self::IdleHoldExpires,
        Self::TcpValid,
        Self::TcpInvalid,
        Self::TcpAcked,
        Self::TcpConfirmed,
        Self::TcpFails,
        Self::OpenReceived,
        Self::OpenReceivedDelayed,
        Self::HeaderError,
        Self::OpenError,
        Self::CollisionDump,
        Self::NotificationVersion,
        Self::Notification,
        Self::Keepalive,
        Self::Update,
        Self::UpdateError,
        Self::SendHoldExpires,
        Self::RouteRefresh,
        Self::RouteRefreshError,
    ];

    /// The RFC's number, where it has one.
    pub const fn number(self) -> Option<u8> {
        Some(match self {
            Self::ManualStart => 1,
            Self::ManualStop => 2,
            Self::AutomaticStart => 3,
            Self::ManualStartPassive => 4,
            Self::AutomaticStartPassive => 5,
            Self::AutomaticStop => 8,
            Self::ConnectRetryExpires => 9,
            Self::HoldExpires => 10,
            Self::KeepaliveExpires => 11,
            Self::DelayOpenExpires => 12,
            Self::IdleHoldExpires => 13,
            Self::TcpValid => 14,
            Self::TcpInvalid => 15,
            Self::TcpAcked => 16,
            Self::TcpConfirmed => 17,
            Self::TcpFails => 18,
            Self::OpenReceived => 19,
            Self::OpenReceivedDelayed => 20,
            Self::HeaderError => 21,
            Self::OpenError => 22,
            Self::CollisionDump => 23,
            Self::NotificationVersion => 24,
            Self::Notification => 25,
            Self::Keepalive => 26,
            Self::Update => 27,
            Self::UpdateError => 28,
            Self::SendHoldExpires => 29,
            Self::RouteRefresh | Self::RouteRefreshError => return None,
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => write!(f, "{number} {self:?}"),
            None => write!(f, "{self:?}"),
        }
    }
}

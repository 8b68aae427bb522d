//! What a transition asks for.

/// Something the owner of a connection does because of a [`Transition`](super::Transition), in
/// the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// ConnectRetryCounter becomes zero.
    ClearRetryCounter,
    /// ConnectRetryCounter grows by one.
    CountRetry,
    /// ConnectRetryTimer starts anew with its initial value.
    StartConnectRetry,
    /// ConnectRetryTimer stops.
    StopConnectRetry,
    /// DelayOpenTimer starts with DelayOpenTime.
    StartDelayOpen,
    /// DelayOpenTimer stops.
    StopDelayOpen,
    /// Open a TCP connection to the peer.
    Connect,
    /// Send OPEN.
    SendOpen,
    /// Send KEEPALIVE.
    SendKeepalive,
    /// HoldTimer starts with the large value of §8.2.2 (4 minutes).
    StartLargeHold,
    /// HoldTimer and KeepaliveTimer start with the negotiated values; none if the hold time is 0.
    StartNegotiatedTimers,
    /// HoldTimer restarts, unless the hold time is zero.
    RestartHold,
    /// KeepaliveTimer restarts, unless the hold time is zero.
    RestartKeepalive,
    /// SendHoldTimer starts (RFC 9687), unless it or the hold time is zero.
    StartSendHold,
    /// Send this NOTIFICATION; nothing is sent on the connection after it.
    Notify(Notice),
    /// Drop the TCP connection (after the NOTIFICATION, if one was asked for).
    Drop,
    /// Refuse the TCP connection that was asked for.
    Refuse,
    /// Follow the new TCP connection as a connection of its own until its OPEN decides (§6.8).
    Track,
    /// The session is up: start the initial dump of the table.
    Establish,
    /// Take in the UPDATE.
    Process,
    /// Send the family's routes again.
    Refresh,
    /// The peer's routes are gone.
    ReleaseRoutes,
}

/// Which NOTIFICATION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// 5/0: an event that is not a message came in the wrong state.
    Fsm,
    /// 5/1, data = type of the message: unexpected message in OpenSent (RFC 6608).
    FsmOpenSent,
    /// 5/2, data = type of the message: unexpected message in OpenConfirm (RFC 6608).
    FsmOpenConfirm,
    /// 5/3, data = type of the message: unexpected message in Established (RFC 6608).
    FsmEstablished,
    /// 4/0: the hold time is over.
    HoldTimerExpired,
    /// 8/0: the send-hold time is over (RFC 9687).
    SendHoldTimerExpired,
    /// 6/x: Cease with the subcode of the reason given with the stop.
    Cease,
    /// 6/7: the connection lost a collision (RFC 4486).
    Collision,
    /// The code, subcode and data that the message's error calls for.
    OfMessage,
}

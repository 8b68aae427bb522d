//! Whether the path to a peer may lose big packets: what TCP has sent in vain on a connection that did not last.

use std::time::Duration;

use super::{CloseReason, ConnectionId};

/// The connection of the session that is or was established last, and how it ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathWatch {
    connection: Option<ConnectionId>,
    hold_time: Duration,
    is_suspect: bool,
}

/// Segments that a peer did not acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unacknowledged {
    /// How many segments.
    pub segments: u32,
    /// How many octets one has at most.
    pub size: u32,
}

impl PathWatch {
    /// A session is established on this connection, with this hold time.
    pub(super) fn established(connection: Option<ConnectionId>, hold_time: Option<Duration>) -> Self {
        Self { connection, hold_time: hold_time.unwrap_or_default(), is_suspect: false }
    }

    /// The session ended after this time, for this reason. Without a hold time nothing is suspected.
    pub(super) fn ended(&mut self, after: Duration, reason: Option<&CloseReason>) {
        let is_of_path = reason.is_some_and(CloseReason::is_of_path);
        self.is_suspect = is_of_path && after < self.hold_time.saturating_mul(2);
    }

    /// Whether what a connection that is closed had sent in vain is to be told; once.
    pub(super) fn take(&mut self, connection: ConnectionId) -> bool {
        self.connection == Some(connection) && std::mem::take(&mut self.is_suspect)
    }
}

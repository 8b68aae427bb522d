//! The six states.

use std::fmt;

/// State of a BGP connection (RFC 4271 §8.2.2), in the RFC's order: a later state is closer to
/// an established session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is held and nothing is accepted.
    #[default]
    Idle,
    /// A TCP connection is being opened.
    Connect,
    /// Waiting for the peer to connect, or for the next attempt.
    Active,
    /// Our OPEN is sent, the peer's is awaited.
    OpenSent,
    /// Both OPENs are exchanged, a KEEPALIVE or NOTIFICATION is awaited.
    OpenConfirm,
    /// Routes may be exchanged.
    Established,
}

impl State {
    /// Every state, in order.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Connect, Self::Active, Self::OpenSent, Self::OpenConfirm, Self::Established];

    /// The RFC's name of the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

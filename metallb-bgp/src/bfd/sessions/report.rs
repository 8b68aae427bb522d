//! What the sessions of a node say.

use super::{Change, Discriminator, LENGTH, Path, Profile, User};
use crate::bfd::SessionSnapshot;
use crate::bfd::wire::Malformed;

/// A change of state, for one of those who watch the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who is to know.
    pub user: User,
    /// The change.
    pub change: Change,
}

/// A packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// By which session; its socket has a source port of its own.
    pub session: Discriminator,
    /// The packet.
    pub octets: [u8; LENGTH],
}

/// Something to do with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A session was made.
    Open(Discriminator),
    /// A session is gone.
    Close(Discriminator),
}

/// Why a datagram means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// It is no packet.
    #[error("no control packet")]
    Malformed(#[source] Malformed),
    /// There is no session for it.
    #[error("no session has this discriminator or neighbor")]
    Unknown,
    /// It came over more hops than the session allows.
    #[error("it comes from too far away")]
    TooFar,
    /// It is authenticated, and the session is not.
    #[error("it is authenticated, which no session here is")]
    Authenticated,
}

/// How many datagrams meant nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Those that were no packets.
    pub malformed: u64,
    /// Those without a session.
    pub unknown: u64,
    /// Those from too far away.
    pub too_far: u64,
    /// Those with authentication.
    pub authenticated: u64,
}

impl Stats {
    pub(super) const fn count(&mut self, reason: Ignored) {
        match reason {
            Ignored::Malformed(_) => self.malformed += 1,
            Ignored::Unknown => self.unknown += 1,
            Ignored::TooFar => self.too_far += 1,
            Ignored::Authenticated => self.authenticated += 1,
        }
    }
}

/// A session, as one of those who watch it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathSnapshot {
    /// Who watches.
    pub user: User,
    /// What.
    pub path: Path,
    /// How: what is fastest and strictest of all users' profiles.
    pub profile: Profile,
    /// The session.
    pub session: SessionSnapshot,
}

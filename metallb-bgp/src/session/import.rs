//! Routes the peer sends.

use super::Session;
use super::connection::Direction;
use crate::wire::notification::Notification;
use crate::wire::update::UpdateView;

/// What became of an UPDATE.
pub(super) enum Verdict {
    /// It was taken in, whole or in part.
    Taken,
    /// The session cannot go on.
    Reset(Notification),
    /// The peer has announced more prefixes than it may.
    TooMany(Notification),
}

impl Session {
    /// Judges an UPDATE and hands its routes to the user.
    pub(super) fn import(&mut self, _direction: Direction, _view: &UpdateView<'_>) -> Verdict {
        Verdict::Taken
    }
}

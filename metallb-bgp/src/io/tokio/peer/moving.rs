//! Our address of a session, which may be on its way from one interface to another.

use std::time::{Duration, Instant};

/// Where it is.
#[derive(Debug, Default)]
pub(super) enum OwnAddress {
    /// On an interface, or not known.
    #[default]
    Here,
    /// Nowhere for now. Until then nothing is said of it: without the address a withdrawal would hardly reach the peer
    /// before it is back.
    Moving(Instant),
    /// Nowhere for longer than a move takes.
    Gone,
}

impl OwnAddress {
    /// Takes note of whether it is missing.
    pub(super) fn note(&mut self, now: Instant, is_missing: bool) {
        match (&self, is_missing) {
            (_, false) => *self = Self::Here,
            (Self::Here, true) => *self = now.checked_add(MOVE).map_or(Self::Gone, Self::Moving),
            (Self::Moving(_) | Self::Gone, true) => {}
        }
    }

    pub(super) const fn is_moving(&self) -> bool {
        matches!(self, Self::Moving(_))
    }

    /// Whether it has just been missing for too long.
    pub(super) fn give_up(&mut self, now: Instant) -> bool {
        let is_over = matches!(self, Self::Moving(until) if *until <= now);
        if is_over {
            *self = Self::Gone;
        }
        is_over
    }

    pub(super) const fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Moving(until) => Some(*until),
            Self::Here | Self::Gone => None,
        }
    }
}

/// How long an address may be nowhere while it moves: whoever moves it takes it away first, and an IPv6 address is tentative
/// for two seconds after it came (RFC 4862 §5.4.2).
const MOVE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_gone_when_it_was_missing_for_longer_than_a_move() {
        let start = crate::io::tokio::engine::now();
        let mut own = OwnAddress::default();
        own.note(start, false);
        assert!(!own.is_moving() && own.next_timeout().is_none());
        own.note(start, true);
        own.note(start + Duration::from_secs(1), true);
        assert!(own.is_moving() && own.next_timeout() == Some(start + MOVE));
        assert!(!own.give_up(start + Duration::from_secs(1)));
        own.note(start, false);
        assert!(!own.give_up(start + MOVE), "it is back");
        own.note(start, true);
        assert!(own.give_up(start + MOVE) && !own.is_moving());
        own.note(start + MOVE, true);
        assert!(!own.give_up(start + MOVE) && !own.is_moving(), "once");
    }
}

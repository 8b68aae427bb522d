//! Proof that a datagram is not a recording: what a receiver asks to be told back.

use std::time::{Duration, Instant};

use super::config::Epoch;

/// What a member asks another one to name in its datagrams: the run of the member that asks, and a number that it changes
/// whenever it stops believing the other one. A recording names a number that is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The run of the receiver.
    pub epoch: Epoch,
    /// The receiver's number for the sender; never zero but in [`Token::NONE`].
    pub challenge: u32,
}

impl Token {
    /// What an introduction names: nothing is known of the receiver yet, so nothing is proved.
    pub const NONE: Self = Self { epoch: Epoch::new(0), challenge: 0 };
}

/// The number that one peer has to name. It stands still while a run of that peer is believed, and moves on with every
/// detection time while none is, so that what was held back for longer than that proves nothing either.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenge {
    base: u32,
    /// Since when no run is believed, and how long a number lasts then.
    moving: Option<(Instant, Duration)>,
}

impl Challenge {
    pub(super) const fn new(now: Instant, lasts: Duration) -> Self {
        Self { base: 1, moving: Some((now, lasts)) }
    }

    /// The number to ask for.
    pub(super) fn current(self, now: Instant) -> u32 {
        plus(self.base, self.steps(now))
    }

    /// Whether `named` was asked for a short while ago.
    pub(super) fn accepts(self, named: u32, now: Instant) -> bool {
        let steps = self.steps(now);
        named == plus(self.base, steps) || steps > 0 && named == plus(self.base, steps - 1)
    }

    /// A run is believed: no other one can have named the number that comes now.
    pub(super) fn stand(&mut self, now: Instant) {
        *self = Self { base: plus(self.current(now), 1), moving: None };
    }

    /// No run is believed any more.
    pub(super) fn renew(&mut self, now: Instant, lasts: Duration) {
        *self = Self { base: plus(self.current(now), 1), moving: Some((now, lasts)) };
    }

    fn steps(self, now: Instant) -> u32 {
        let Some((since, lasts)) = self.moving else { return 0 };
        let passed = now.saturating_duration_since(since).as_nanos();
        let steps = passed.checked_div(lasts.as_nanos()).unwrap_or(0);
        u32::try_from(steps % u128::from(u32::MAX)).unwrap_or(0)
    }
}

/// Goes round without ever being zero.
fn plus(number: u32, steps: u32) -> u32 {
    let sum = (u64::from(number) + u64::from(steps) - 1) % u64::from(u32::MAX) + 1;
    u32::try_from(sum).unwrap_or(1)
}

/// Runs that have introduced themselves and not proved anything yet. They are told their tokens for a while, next to the
/// run that is believed; few, because anybody can repeat an introduction.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates(Vec<Candidate>);

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: Token,
    /// When it last said that it takes no part yet.
    starting: Option<Instant>,
    seen: Instant,
}

impl Candidate {
    fn has_started(&self, now: Instant, lasts: Duration) -> bool {
        self.starting.is_some_and(|at| now.saturating_duration_since(at) < lasts)
    }
}

impl Candidates {
    /// Takes an introduction; whether it is a new one. When there are too many, the one with the lowest epoch goes:
    /// recordings are older than what they imitate. The last place is for whoever came last, so that a clock that was
    /// set back keeps nobody out.
    pub(super) fn note(&mut self, token: Token, starting: bool, now: Instant, lasts: Duration) -> bool {
        self.0.retain(|known| now.saturating_duration_since(known.seen) < lasts);
        if let Some(known) = self.0.iter_mut().find(|known| known.token == token) {
            known.seen = now;
            if starting {
                known.starting = Some(now);
            }
            return false;
        }
        if self.0.len() >= MAX_CANDIDATES {
            let lowest = self.0.iter().enumerate().min_by_key(|(_, known)| known.token);
            if let Some(index) = lowest.map(|(index, _)| index) {
                self.0.swap_remove(index);
            }
        }
        self.0.push(Candidate { token, starting: starting.then_some(now), seen: now });
        true
    }

    /// Forgets who has proved itself, and earlier runs than that; whether it was seen starting, `lasts` ago at most: since
    /// then it cannot have lived without us for long.
    pub(super) fn proved(&mut self, token: Token, now: Instant, lasts: Duration) -> bool {
        let started =
            self.0.iter().any(|known| known.token.epoch == token.epoch && known.has_started(now, lasts));
        self.0.retain(|known| known.token != token && known.token.epoch > token.epoch);
        started
    }

    /// Whether a run after `epoch` was seen starting, `lasts` ago at most.
    pub(super) fn saw_start_after(&self, epoch: Option<Epoch>, now: Instant, lasts: Duration) -> bool {
        self.0.iter().any(|known| Some(known.token.epoch) > epoch && known.has_started(now, lasts))
    }

    /// Who is still waiting.
    pub(super) fn waiting(&self, now: Instant, lasts: Duration) -> impl Iterator<Item = Token> + '_ {
        let recent = move |seen: Instant| now.saturating_duration_since(seen) < lasts;
        self.0.iter().filter(move |known| recent(known.seen)).map(|known| known.token)
    }
}

/// How many introductions of one peer are answered at a time.
pub(super) const MAX_CANDIDATES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(400);

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn token(epoch: u64) -> Token {
        Token { epoch: Epoch::new(epoch), challenge: 1 }
    }

    #[test]
    fn a_number_is_accepted_for_one_to_two_of_its_times_while_nobody_is_believed() {
        let start = start();
        let challenge = Challenge::new(start, STEP);
        let asked = challenge.current(start);
        assert!(challenge.accepts(asked, start + STEP));
        assert!(!challenge.accepts(asked, start + STEP * 2));
        assert!(!challenge.accepts(asked + 1, start), "what was not asked for yet");
        assert!(!challenge.accepts(0, start));
    }

    #[test]
    fn a_number_stands_while_a_run_is_believed_and_is_of_no_use_afterwards() {
        let start = start();
        let mut challenge = Challenge::new(start, STEP);
        let first = challenge.current(start);
        challenge.stand(start);
        assert!(!challenge.accepts(first, start));
        let second = challenge.current(start + STEP * 100);
        assert!(challenge.accepts(second, start + STEP * 100));
        challenge.renew(start + STEP * 100, STEP);
        assert!(!challenge.accepts(second, start + STEP * 100));
    }

    #[test]
    fn numbers_go_round_without_a_zero() {
        assert_eq!(plus(u32::MAX, 1), 1);
        assert_eq!(plus(u32::MAX - 1, 1), u32::MAX);
        assert_eq!(plus(1, 0), 1);
        assert_eq!(plus(u32::MAX, u32::MAX), u32::MAX);
    }

    #[test]
    fn the_latest_run_keeps_its_place_among_many_repeated_introductions() {
        let (start, mut candidates) = (start(), Candidates::default());
        assert!(candidates.note(token(100), true, start, STEP));
        for epoch in 1..50 {
            assert!(candidates.note(token(epoch), false, start, STEP));
            assert!(!candidates.note(token(100), true, start, STEP));
        }
        let waiting: Vec<Token> = candidates.waiting(start, STEP).collect();
        assert_eq!(waiting, [token(100), token(49)]);
        assert_eq!(candidates.waiting(start + STEP, STEP).count(), 0, "and not for ever");
        let mut later = candidates.clone();
        assert!(!later.proved(token(100), start + STEP, STEP), "it may have lived on since");
        assert!(candidates.proved(token(100), start, STEP), "it was seen starting");
        assert!(!candidates.proved(token(49), start, STEP));
        assert_eq!(candidates.waiting(start, STEP).count(), 0);
    }
}

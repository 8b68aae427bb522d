//! When to advertise (RFC 4861 §6.2).

use std::time::{Duration, Instant};

use crate::session::rng::Pcg;

/// The times of our advertisements on one link.
#[derive(Debug)]
pub(super) struct Advertiser {
    next: Option<Instant>,
    last: Option<Instant>,
    /// How many of the first ones are left.
    initial: u8,
}

impl Advertiser {
    /// Silent until it is started.
    pub(super) const fn new() -> Self {
        Self { next: None, last: None, initial: 0 }
    }

    /// The link has come up, or our address on it is another: a few advertisements in quick succession.
    pub(super) fn start(&mut self, now: Instant) {
        self.initial = INITIAL;
        self.next = Some(self.not_before(now));
    }

    /// The link is down.
    pub(super) const fn stop(&mut self) {
        self.next = None;
    }

    /// Somebody asks, or has not heard us yet: an answer to all, soon, but not sooner than the least time after the last
    /// one.
    pub(super) fn answer(&mut self, now: Instant, rng: &mut Pcg) {
        let Some(next) = self.next else { return };
        let delay = rng.between(Duration::ZERO, ANSWER_DELAY);
        let at = now.checked_add(delay).map(|at| self.not_before(at));
        self.next = Some(at.map_or(next, |at| at.min(next)));
    }

    /// Whether one is to be sent now; the next one is planned then.
    pub(super) fn is_due(&mut self, now: Instant, rng: &mut Pcg) -> bool {
        if self.next.is_none_or(|at| at > now) {
            return false;
        }
        self.last = Some(now);
        self.initial = self.initial.saturating_sub(1);
        let wait = if self.initial > 0 { LEAST } else { rng.between(LEAST, MOST) };
        self.next = now.checked_add(wait);
        true
    }

    pub(super) const fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    fn not_before(&self, at: Instant) -> Instant {
        self.last.and_then(|last| last.checked_add(LEAST)).map_or(at, |least| at.max(least))
    }
}

/// MAX_INITIAL_RTR_ADVERTISEMENTS.
const INITIAL: u8 = 3;
/// MIN_DELAY_BETWEEN_RAS, which is MinRtrAdvInterval, too.
const LEAST: Duration = Duration::from_secs(3);
/// MaxRtrAdvInterval: what FRR takes for unnumbered peers.
const MOST: Duration = Duration::from_secs(10);
/// MAX_RA_DELAY_TIME.
const ANSWER_DELAY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of all that is sent from `start` for `span`, in milliseconds, where `ask` comes every `pause`.
    fn sent(span: u64, pause: Option<u64>) -> Vec<u64> {
        #[expect(clippy::disallowed_methods, reason = "one base for all times")]
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let (mut advertiser, mut rng) = (Advertiser::new(), Pcg::new(7));
        advertiser.start(start);
        let step = |millis: u64| {
            if pause.is_some_and(|pause| millis.is_multiple_of(pause)) {
                advertiser.answer(at(millis), &mut rng);
            }
            advertiser.is_due(at(millis), &mut rng).then_some(millis)
        };
        (0..span).filter_map(step).collect()
    }

    // req: J2
    #[test]
    fn three_come_at_once_and_then_one_every_three_to_ten_seconds() {
        let sent = sent(400_000, None);
        assert_eq!(sent[..3], [0, 3000, 6000]);
        let waits: Vec<u64> = sent[2..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.len() > 40 && waits.iter().all(|wait| (3000..=10_001).contains(wait)), "{waits:?}");
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*least < 4000 && *most > 9000, "spread: {least} to {most}");
    }

    // req: J2, !J2
    #[test]
    fn a_question_is_answered_within_half_a_second_and_a_flood_of_them_every_three_seconds() {
        let flooded = sent(60_000, Some(1));
        assert!(flooded.windows(2).all(|pair| pair[1] - pair[0] >= 3000), "{flooded:?}");
        assert!(flooded.len() >= 17, "{flooded:?}");
        let asked = sent(60_000, Some(20_000));
        let answer = asked.iter().find(|at| **at >= 20_000).unwrap();
        assert!(*answer <= 23_500, "{asked:?}");
    }

    // req: !J2
    #[test]
    fn a_link_that_flaps_is_not_flooded() {
        #[expect(clippy::disallowed_methods, reason = "one base for all times")]
        let start = Instant::now();
        let (mut advertiser, mut rng) = (Advertiser::new(), Pcg::new(7));
        let mut count = 0;
        for millis in 0..9000 {
            let now = start + Duration::from_millis(millis);
            advertiser.stop();
            advertiser.answer(now, &mut rng);
            assert!(!advertiser.is_due(now, &mut rng), "a link that is down");
            advertiser.start(now);
            count += u32::from(advertiser.is_due(now, &mut rng));
        }
        assert_eq!(count, 3);
    }
}

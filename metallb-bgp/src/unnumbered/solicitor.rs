//! When to ask for the routers of a link (RFC 4861 §6.3.7, RFC 7559).

use std::time::{Duration, Instant};

use crate::session::rng::Pcg;

/// The times of our solicitations on one link, while no router is known there.
#[derive(Debug)]
pub(super) struct Solicitor {
    next: Option<Instant>,
    wait: Duration,
}

impl Solicitor {
    /// Silent until it is started.
    pub(super) const fn new() -> Self {
        Self { next: None, wait: FIRST }
    }

    /// No router is known (any more): asks soon, then ever later.
    pub(super) fn start(&mut self, now: Instant, rng: &mut Pcg) {
        self.wait = FIRST;
        self.next = now.checked_add(rng.between(Duration::ZERO, DELAY));
    }

    /// A router is known, or the link is down.
    pub(super) const fn stop(&mut self) {
        self.next = None;
    }

    /// Whether one is to be sent now; the next one is planned then.
    pub(super) fn is_due(&mut self, now: Instant, rng: &mut Pcg) -> bool {
        if self.next.is_none_or(|at| at > now) {
            return false;
        }
        let tenth = self.wait / 10;
        let wait = rng.between(self.wait.saturating_sub(tenth), self.wait.saturating_add(tenth));
        self.next = now.checked_add(wait);
        self.wait = self.wait.saturating_mul(2).min(LONGEST);
        true
    }

    pub(super) const fn next_timeout(&self) -> Option<Instant> {
        self.next
    }
}

/// MAX_RTR_SOLICITATION_DELAY.
const DELAY: Duration = Duration::from_secs(1);
/// IRT of RFC 7559, RTR_SOLICITATION_INTERVAL.
const FIRST: Duration = Duration::from_secs(4);
/// MRT of RFC 7559.
const LONGEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    // req: J3
    #[test]
    fn solicitations_come_ever_later_until_a_router_is_known() {
        #[expect(clippy::disallowed_methods, reason = "one base for all times")]
        let start = Instant::now();
        let (mut solicitor, mut rng) = (Solicitor::new(), Pcg::new(7));
        assert!(!solicitor.is_due(start, &mut rng));
        solicitor.start(start, &mut rng);
        let mut last = start;
        for expected in [0, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600] {
            let at = solicitor.next_timeout().unwrap();
            let wait = (at - last).as_secs_f64();
            let near =
                f64::from(expected) * 0.9..=f64::from(expected) * 1.1 + f64::from(u8::from(expected == 0));
            assert!(near.contains(&wait), "{wait} is not about {expected}");
            let before = at.checked_sub(Duration::from_millis(1)).unwrap();
            assert!(!solicitor.is_due(before, &mut rng));
            assert!(solicitor.is_due(at, &mut rng));
            last = at;
        }
        solicitor.stop();
        assert_eq!(solicitor.next_timeout(), None);
    }
}

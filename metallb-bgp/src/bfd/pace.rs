//! The intervals of a session, and the Poll Sequences by which they change (RFC 5880 §6.5, §6.8.3).

use std::time::Duration;

/// The two intervals that one side chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// DesiredMinTxInterval.
    pub(super) transmit: Duration,
    /// RequiredMinRxInterval.
    pub(super) receive: Duration,
}

/// What is wanted, what the neighbour is told, and what is done meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    wanted: Timing,
    /// What packets say.
    announced: Timing,
    /// What holds until the neighbour has confirmed that.
    used: Timing,
    polling: bool,
}

/// What a change has to mind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The session is up: a slower pace has to be confirmed first.
    pub(super) is_up: bool,
    /// There is a neighbour who could confirm.
    pub(super) is_heard: bool,
}

impl Pace {
    pub(super) const fn new(timing: Timing) -> Self {
        Self { wanted: timing, announced: timing, used: timing, polling: false }
    }

    /// Wants other intervals. While a Poll Sequence runs they wait for its end: there is one at a time.
    pub(super) fn want(&mut self, timing: Timing, standing: Standing) {
        self.wanted = timing;
        if !standing.is_up && !standing.is_heard {
            self.polling = false;
        }
        if !self.polling {
            self.announce(standing);
        }
    }

    /// The neighbour has confirmed what is announced.
    pub(super) fn finish(&mut self, standing: Standing) {
        if std::mem::take(&mut self.polling) {
            self.used = self.announced;
            self.announce(standing);
        }
    }

    /// Nobody is there any more to confirm anything.
    pub(super) fn abandon(&mut self) {
        self.polling = false;
        (self.announced, self.used) = (self.wanted, self.wanted);
    }

    /// Whether packets carry P.
    pub(super) const fn is_polling(&self) -> bool {
        self.polling
    }

    /// What packets say.
    pub(super) const fn announced(&self) -> Timing {
        self.announced
    }

    /// What is done.
    pub(super) const fn used(&self) -> Timing {
        self.used
    }

    fn announce(&mut self, standing: Standing) {
        if self.wanted == self.announced {
            return;
        }
        self.announced = self.wanted;
        self.polling = standing.is_heard;
        // Sending less often, or expecting packets more often, before the neighbour knows would take the session down.
        self.used = if standing.is_up && standing.is_heard {
            Timing {
                transmit: self.used.transmit.min(self.wanted.transmit),
                receive: self.used.receive.max(self.wanted.receive),
            }
        } else {
            self.wanted
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(transmit: u64, receive: u64) -> Timing {
        Timing { transmit: Duration::from_millis(transmit), receive: Duration::from_millis(receive) }
    }

    const UP: Standing = Standing { is_up: true, is_heard: true };
    const ALONE: Standing = Standing { is_up: false, is_heard: false };

    // req: B4
    #[test]
    fn what_is_slower_waits_for_the_neighbour() {
        let mut pace = Pace::new(ms(100, 100));
        pace.want(ms(500, 50), UP);
        assert!(pace.is_polling());
        assert_eq!(pace.announced(), ms(500, 50));
        assert_eq!(pace.used(), ms(100, 100));
        pace.finish(UP);
        assert!(!pace.is_polling());
        assert_eq!(pace.used(), ms(500, 50));
    }

    // req: B4
    #[test]
    fn what_is_faster_holds_at_once() {
        let mut pace = Pace::new(ms(500, 50));
        pace.want(ms(100, 200), UP);
        assert_eq!(pace.used(), ms(100, 200));
        assert!(pace.is_polling());
    }

    // req: !B4
    #[test]
    fn polls_do_not_overlap() {
        let mut pace = Pace::new(ms(100, 100));
        pace.want(ms(200, 100), UP);
        pace.want(ms(300, 100), UP);
        assert_eq!(pace.announced(), ms(200, 100), "an answer could be to either");
        pace.finish(UP);
        assert!(pace.is_polling());
        assert_eq!((pace.announced(), pace.used()), (ms(300, 100), ms(200, 100)));
        pace.finish(UP);
        assert_eq!((pace.is_polling(), pace.used()), (false, ms(300, 100)));
    }

    // req: !B4
    #[test]
    fn an_answer_without_a_poll_means_nothing() {
        let mut pace = Pace::new(ms(100, 100));
        pace.finish(UP);
        assert_eq!((pace.is_polling(), pace.used()), (false, ms(100, 100)));
        pace.want(ms(100, 100), UP);
        assert!(!pace.is_polling(), "nothing changed");
    }

    // req: B4
    #[test]
    fn without_a_neighbour_everything_holds_at_once() {
        let mut pace = Pace::new(ms(100, 100));
        pace.want(ms(1000, 10), ALONE);
        assert_eq!((pace.is_polling(), pace.used()), (false, ms(1000, 10)));
        pace.want(ms(100, 100), UP);
        pace.abandon();
        assert_eq!((pace.is_polling(), pace.announced(), pace.used()), (false, ms(100, 100), ms(100, 100)));
    }
}

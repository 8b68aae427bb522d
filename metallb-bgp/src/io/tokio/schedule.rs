//! Who has something to do.
//!
//! Every peer and every connection that lingers has a [`Seat`]: a number, a waker that knows it, and a deadline. So a
//! wake-up of the one task costs what those it is about have to do, however many others there are.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use tokio::sync::mpsc;

/// The number of a seat; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(u64);

/// Who is to be looked at, and when the next one is due.
pub(super) struct Schedule {
    wake: mpsc::UnboundedSender<Token>,
    woken: mpsc::UnboundedReceiver<Token>,
    /// Those to look at, each once.
    marked: VecDeque<Token>,
    deadlines: BTreeSet<(Instant, Token)>,
    last: u64,
}

/// A place in the schedule.
pub(super) struct Seat {
    alarm: Arc<Alarm>,
    waker: Waker,
    deadline: Option<Instant>,
}

struct Alarm {
    token: Token,
    /// The number is in the queue or on its way there.
    rung: AtomicBool,
    wake: mpsc::UnboundedSender<Token>,
}

impl Schedule {
    pub(super) fn new() -> Self {
        let (wake, woken) = mpsc::unbounded_channel();
        Self { wake, woken, marked: VecDeque::new(), deadlines: BTreeSet::new(), last: 0 }
    }

    /// A seat that is to be looked at.
    pub(super) fn seat(&mut self) -> Seat {
        self.last += 1;
        let token = Token(self.last);
        let alarm = Arc::new(Alarm { token, rung: AtomicBool::new(false), wake: self.wake.clone() });
        let waker = Waker::from(Arc::clone(&alarm));
        let seat = Seat { alarm, waker, deadline: None };
        self.mark(&seat);
        seat
    }

    /// Has a seat looked at in this or the next round.
    pub(super) fn mark(&mut self, seat: &Seat) {
        if !seat.alarm.rung.swap(true, Ordering::AcqRel) {
            self.marked.push_back(seat.alarm.token);
        }
    }

    /// Takes in who was woken; returns how many are to be looked at. The task is woken when there are more.
    pub(super) fn take_woken(&mut self, cx: &mut Context<'_>) -> usize {
        loop {
            // This does not count against what the runtime lets a task do in one turn; the sockets need that.
            while let Ok(token) = self.woken.try_recv() {
                self.marked.push_back(token);
            }
            match self.woken.poll_recv(cx) {
                Poll::Ready(Some(token)) => self.marked.push_back(token),
                Poll::Ready(None) | Poll::Pending => return self.marked.len(),
            }
        }
    }

    /// The next to look at, if that is still there.
    pub(super) fn next(&mut self) -> Option<Token> {
        self.marked.pop_front()
    }

    /// Says when a seat is due.
    pub(super) fn set_deadline(&mut self, seat: &mut Seat, deadline: Option<Instant>) {
        if seat.deadline == deadline {
            return;
        }
        if let Some(old) = seat.deadline {
            self.deadlines.remove(&(old, seat.alarm.token));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, seat.alarm.token));
        }
        seat.deadline = deadline;
    }

    /// When the next seat is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A seat that is due; its deadline is to be said anew.
    pub(super) fn due(&self, now: Instant) -> Option<Token> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, token)| *token)
    }
}

impl Seat {
    pub(super) fn token(&self) -> Token {
        self.alarm.token
    }

    /// Before it is looked at: what happens from now on is another reason to look.
    pub(super) fn begin(&self) {
        self.alarm.rung.swap(false, Ordering::AcqRel);
    }

    /// What wakes this seat.
    pub(super) const fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It fails when the speaker has ended.
            let _ = self.wake.send(self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn marked(schedule: &mut Schedule) -> Vec<Token> {
        let count = schedule.take_woken(&mut Context::from_waker(Waker::noop()));
        (0..count).filter_map(|_| schedule.next()).collect()
    }

    #[test]
    fn only_who_was_woken_is_looked_at_and_once() {
        let mut schedule = Schedule::new();
        let seats = [schedule.seat(), schedule.seat(), schedule.seat()];
        assert_eq!(marked(&mut schedule), [Token(1), Token(2), Token(3)], "new ones");
        for seat in &seats {
            seat.begin();
        }
        assert!(marked(&mut schedule).is_empty());
        seats[2].waker.wake_by_ref();
        schedule.mark(&seats[2]);
        seats[0].waker.wake_by_ref();
        assert_eq!(marked(&mut schedule), [Token(3), Token(1)]);
        seats[2].waker.wake_by_ref();
        assert!(marked(&mut schedule).is_empty(), "it was not looked at since");
        seats[2].begin();
        seats[2].waker.wake_by_ref();
        assert_eq!(marked(&mut schedule), [Token(3)]);
    }

    #[test]
    fn the_first_deadline_is_the_one_that_was_said_last_for_its_seat() {
        let mut schedule = Schedule::new();
        let now = crate::io::tokio::engine::now();
        let at = |seconds| Some(now + Duration::from_secs(seconds));
        let (mut a, mut b) = (schedule.seat(), schedule.seat());
        schedule.set_deadline(&mut a, at(1));
        schedule.set_deadline(&mut b, at(2));
        schedule.set_deadline(&mut a, at(3));
        assert_eq!((schedule.next_deadline(), schedule.due(now)), (at(2), None));
        assert_eq!(schedule.due(at(4).unwrap()), Some(b.token()));
        schedule.set_deadline(&mut b, None);
        assert_eq!(schedule.due(at(4).unwrap()), Some(a.token()));
        schedule.set_deadline(&mut a, None);
        assert_eq!(schedule.next_deadline(), None);
    }
}

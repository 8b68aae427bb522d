//! When announcements are due: at once, a few times soon after, then every now and then, and never more
//! per second than allowed.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::BTreeSet;
use std::time::Instant;

use crate::responder::{InterfaceIndex, Key};

/// One address on one interface.
pub(crate) type Place = (Key, InterfaceIndex);

/// Which announcements go first, and which may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// First announcements, defences and probes: never held back by the rate limit.
    Urgent,
    /// The repetitions of the first seconds: before refreshes.
    Repeat,
    /// The announcements that keep switches and neighbors fresh.
    Refresh,
}

/// What is due when. Every place is due at most once; whoever holds the places remembers where.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    urgent: BTreeSet<(Instant, Key, InterfaceIndex)>,
    repeat: BTreeSet<(Instant, Key, InterfaceIndex)>,
    refresh: BTreeSet<(Instant, Key, InterfaceIndex)>,
}

impl Schedule {
    pub(crate) fn insert(&mut self, (class, at): (Class, Instant), (key, interface): Place) {
        self.class(class).insert((at, key, interface));
    }

    pub(crate) fn remove(&mut self, (class, at): (Class, Instant), (key, interface): Place) {
        self.class(class).remove(&(at, key, interface));
    }

    /// Takes out the first urgent place that is due.
    pub(crate) fn pop_urgent(&mut self, now: Instant) -> Option<(Instant, Place)> {
        pop_due(&mut self.urgent, now)
    }

    /// Takes out the first other place that is due, repetitions before refreshes.
    pub(crate) fn pop_limited(&mut self, now: Instant) -> Option<(Instant, Place)> {
        pop_due(&mut self.repeat, now).or_else(|| pop_due(&mut self.refresh, now))
    }

    /// When the first urgent place is due.
    pub(crate) fn next_urgent(&self) -> Option<Instant> {
        self.urgent.first().map(|(at, ..)| *at)
    }

    /// When the first other place is due.
    pub(crate) fn next_limited(&self) -> Option<Instant> {
        let repeat = self.repeat.first().map(|(at, ..)| *at);
        let refresh = self.refresh.first().map(|(at, ..)| *at);
        repeat.into_iter().chain(refresh).min()
    }

    fn class(&mut self, class: Class) -> &mut BTreeSet<(Instant, Key, InterfaceIndex)> {
        match class {
            Class::Urgent => &mut self.urgent,
            Class::Repeat => &mut self.repeat,
            Class::Refresh => &mut self.refresh,
        }
    }
}

fn pop_due(set: &mut BTreeSet<(Instant, Key, InterfaceIndex)>, now: Instant) -> Option<(Instant, Place)> {
    if set.first()?.0 > now {
        return None;
    }
    set.pop_first().map(|(at, key, interface)| (at, (key, interface)))
}

/// The rate limit over all announcements: frames are spaced by the inverse of the rate, a tenth of a
/// second's worth may go together, and urgent frames delay the others by one second at most.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_frame: Duration,
    /// When all frames let through so far have used up their time.
    paid_until: Option<Instant>,
}

impl Limiter {
    pub(crate) fn new(max_pps: NonZeroU32) -> Self {
        Self { per_frame: Duration::from_secs(1) / max_pps.get(), paid_until: None }
    }

    /// When the next frame that may wait is allowed; `None`: at once.
    pub(crate) fn ready_at(&self) -> Option<Instant> {
        self.paid_until?.checked_sub(BURST)
    }

    /// Accounts for frames that are being sent.
    pub(crate) fn charge(&mut self, now: Instant, frames: u32) {
        let from = self.paid_until.map_or(now, |paid| paid.max(now));
        let paid = from.checked_add(self.per_frame.saturating_mul(frames));
        let most = now.checked_add(MAX_DEBT);
        self.paid_until = paid.into_iter().chain(most).min();
    }
}

/// Splits the time between two refreshes of an address evenly over addresses: the `n`-th gets the
/// fractional part of `n` times the golden ratio, which leaves no large gap for any number of addresses.
pub(crate) fn phase(n: u32, refresh: Duration) -> Duration {
    let fraction = n.wrapping_mul(GOLDEN_RATIO);
    refresh.mul_f64((f64::from(fraction) + 1.0) / (f64::from(u32::MAX) + 1.0))
}

/// Announcements after the first one, while the address is new ([`REPEAT_INTERVAL`] apart: MetalLB
/// announces every 1.1 s for 5 s).
pub(crate) const REPEATS: u8 = 4;
/// Time between the announcements of a new address.
pub(crate) const REPEAT_INTERVAL: Duration = Duration::from_millis(1100);
const BURST: Duration = Duration::from_millis(100);
const MAX_DEBT: Duration = Duration::from_secs(1);
/// 2^32 divided by the golden ratio.
const GOLDEN_RATIO: u32 = 0x9e37_79b9;

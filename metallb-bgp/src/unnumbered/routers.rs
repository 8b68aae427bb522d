//! The routers of a link.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

/// Who has advertised on a link, at most [`MAX_ROUTERS`].
#[derive(Debug, Default)]
pub(super) struct Routers(BTreeMap<Ipv6Addr, Router>);

#[derive(Clone, Copy, Debug)]
struct Router {
    /// How often it was heard.
    count: u32,
    heard: Instant,
    /// Until when it counts without being heard again.
    until: Instant,
}

impl Routers {
    /// Takes note of an advertisement. Returns whether its router is new or has been silent for a while.
    ///
    /// Where there are too many, the one goes that was heard the fewest times, of those the one that was heard longest
    /// ago: a flood of invented addresses displaces its own, and not a router that goes on advertising.
    pub(super) fn hear(&mut self, now: Instant, source: Ipv6Addr, lifetime: Duration) -> bool {
        let until = now.checked_add(lifetime.max(LEAST_LIFETIME)).unwrap_or(now);
        if let Some(router) = self.0.get_mut(&source) {
            let is_back = now.saturating_duration_since(router.heard) >= SILENCE;
            *router = Router { count: router.count.saturating_add(1), heard: now, until };
            return is_back;
        }
        if self.0.len() >= MAX_ROUTERS {
            let least = self.0.iter().min_by_key(|(_, router)| (router.count, router.heard));
            if let Some(least) = least.map(|(address, _)| *address) {
                self.0.remove(&least);
            }
        }
        self.0.insert(source, Router { count: 1, heard: now, until });
        true
    }

    /// Forgets those that have not been heard for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, router| router.until > now);
    }

    /// When the next one is to be forgotten.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.0.values().map(|router| router.until).min()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them; first those that were heard most often.
    pub(super) fn addresses(&self) -> Vec<Ipv6Addr> {
        let mut all: Vec<(&Ipv6Addr, &Router)> = self.0.iter().collect();
        all.sort_by_key(|(_, router)| Reverse(router.count.min(OFTEN)));
        all.into_iter().map(|(address, _)| *address).collect()
    }
}

/// How many routers of one link are remembered.
pub const MAX_ROUTERS: usize = 16;
/// A router counts for as long as it says it may be a default router, and at least for three times the longest interval
/// of advertisements (RFC 4861 §6.2.1): routers of unnumbered links often say 0.
const LEAST_LIFETIME: Duration = Duration::from_secs(3 * 1800);
/// A router that was not heard for this long may have been away.
const SILENCE: Duration = Duration::from_secs(30);
/// Who was heard this often is no invention; from here on all are equal.
const OFTEN: u32 = 3;

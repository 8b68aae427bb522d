//! The hardware addresses of other speakers, also of those that were away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::keys::NodeName;

/// The hardware addresses by which other speakers answer. A speaker that comes back after a time apart is no stranger:
/// its addresses are remembered for [`MEMORY`].
#[derive(Debug, Default)]
pub struct Partners {
    present: BTreeMap<NodeName, BTreeSet<[u8; 6]>>,
    /// Addresses that no speaker has said for a while, and until when they are remembered.
    past: BTreeMap<[u8; 6], Instant>,
}

/// How long hardware addresses of speakers are remembered.
pub const MEMORY: Duration = Duration::from_secs(3600);

impl Partners {
    /// What a speaker says are its addresses; none when it is gone.
    pub fn set(&mut self, now: Instant, node: &NodeName, addresses: BTreeSet<[u8; 6]>) {
        let before = if addresses.is_empty() {
            self.present.remove(node)
        } else {
            self.present.insert(node.clone(), addresses)
        };
        self.past.retain(|_, until| *until > now);
        let until = now.checked_add(MEMORY).unwrap_or(now);
        self.past.extend(before.into_iter().flatten().map(|address| (address, until)));
    }

    /// All addresses of speakers, and of those that were here within [`MEMORY`].
    #[must_use]
    pub fn addresses(&self, now: Instant) -> BTreeSet<[u8; 6]> {
        let past = self.past.iter().filter(|(_, until)| **until > now).map(|(address, _)| *address);
        self.present.values().flatten().copied().chain(past).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time needs a beginning; only differences matter")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_speaker_that_was_away_is_known_for_an_hour() {
        let (mut partners, now, node) = (Partners::default(), begin(), NodeName::new("b"));
        partners.set(now, &node, [[1; 6], [2; 6]].into());
        partners.set(now, &node, [[2; 6]].into());
        assert_eq!(partners.addresses(now), [[1; 6], [2; 6]].into());
        partners.set(now, &node, BTreeSet::new());
        let nearly = now + MEMORY.saturating_sub(Duration::from_secs(1));
        assert_eq!(partners.addresses(nearly), [[1; 6], [2; 6]].into());
        assert_eq!(partners.addresses(now + MEMORY), [].into());
        partners.set(nearly, &node, [[2; 6]].into());
        assert_eq!(partners.addresses(now + MEMORY * 3), [[2; 6]].into(), "who is here is not forgotten");
    }
}

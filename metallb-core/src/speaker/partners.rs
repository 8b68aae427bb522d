//! The hardware addresses of other speakers, also of those that were away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::keys::NodeName;

/// The hardware addresses by which other speakers answer. A speaker that comes back after a time apart is no stranger:
/// its addresses are remembered for [`MEMORY`].
#[derive(Debug, Default)]
pub(super) struct Partners {
    present: BTreeMap<NodeName, BTreeSet<[u8; 6]>>,
    /// Addresses that no speaker has claimed for a while: whose they were, and until when they are remembered.
    past: BTreeMap<[u8; 6], (NodeName, Instant)>,
    /// What was told may have changed.
    touched: bool,
    told: BTreeSet<[u8; 6]>,
}

/// How long hardware addresses of speakers are remembered.
pub const MEMORY: Duration = Duration::from_secs(3600);

impl Partners {
    /// What a speaker says are its addresses; none when it is gone.
    pub(super) fn set(&mut self, now: Instant, node: &NodeName, addresses: BTreeSet<[u8; 6]>) {
        let remembered = self.past.len();
        self.past.retain(|_, (_, until)| *until > now);
        self.touched |= self.past.len() != remembered;
        if self.present.get(node).unwrap_or(&BTreeSet::new()) == &addresses {
            return;
        }
        self.touched = true;
        let before = if addresses.is_empty() {
            self.present.remove(node)
        } else {
            self.present.insert(node.clone(), addresses)
        };
        let until = now.checked_add(MEMORY).unwrap_or(now);
        self.past.extend(before.into_iter().flatten().map(|address| (address, (node.clone(), until))));
    }

    /// All addresses, when they are others than the last time.
    pub(super) fn take_changed(&mut self, now: Instant) -> Option<BTreeSet<[u8; 6]>> {
        let addresses = std::mem::take(&mut self.touched).then(|| self.addresses(now));
        let changed = addresses.filter(|addresses| *addresses != self.told)?;
        self.told.clone_from(&changed);
        Some(changed)
    }

    /// All addresses of speakers, and of those that were here within [`MEMORY`].
    fn addresses(&self, now: Instant) -> BTreeSet<[u8; 6]> {
        let past = self.past.iter().filter(|(_, (_, until))| *until > now).map(|(address, _)| *address);
        self.present.values().flatten().copied().chain(past).collect()
    }

    /// The node whose speaker has a hardware address, or had it within [`MEMORY`].
    pub(super) fn node_of(&self, now: Instant, address: [u8; 6]) -> Option<&NodeName> {
        let present = self.present.iter().find(|(_, addresses)| addresses.contains(&address));
        let past = || self.past.get(&address).filter(|(_, until)| *until > now);
        present.map(|(node, _)| node).or_else(|| past().map(|(node, _)| node))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::begin;
    use super::*;

    #[test]
    fn a_speaker_that_was_away_is_known_for_an_hour() {
        let (mut partners, now, node) = (Partners::default(), begin(), NodeName::new("b"));
        partners.set(now, &node, [[1; 6], [2; 6]].into());
        partners.set(now, &node, [[2; 6]].into());
        assert_eq!(partners.addresses(now), [[1; 6], [2; 6]].into());
        partners.set(now, &node, BTreeSet::new());
        let nearly = now + MEMORY.saturating_sub(Duration::from_secs(1));
        assert_eq!(partners.addresses(nearly), [[1; 6], [2; 6]].into());
        assert_eq!(partners.node_of(nearly, [1; 6]), Some(&node));
        assert_eq!(partners.addresses(now + MEMORY), [].into());
        assert_eq!(partners.node_of(now + MEMORY, [1; 6]), None);
        partners.set(nearly, &node, [[2; 6]].into());
        assert_eq!(partners.addresses(now + MEMORY * 3), [[2; 6]].into(), "who is here is not forgotten");
        assert_eq!(partners.node_of(now + MEMORY * 3, [2; 6]), Some(&node));
    }
}

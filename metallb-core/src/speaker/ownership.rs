//! How often addresses came to this node and left it.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The Layer 2 addresses that this node has or had.
#[derive(Debug, Default)]
pub(super) struct Ownership(BTreeMap<IpAddr, Turns>);

#[derive(Debug, Default)]
struct Turns {
    owned: bool,
    changes: u64,
}

impl Ownership {
    /// This node owns an address now, or does not. The same again is no change: it may be on other interfaces.
    pub(super) fn set(&mut self, address: IpAddr, owned: bool) {
        let turns = self.0.entry(address).or_default();
        if turns.owned != owned {
            turns.owned = owned;
            turns.changes = turns.changes.saturating_add(1);
        }
    }

    /// Forgets the addresses that are nobody's any more.
    pub(super) fn retain(&mut self, exists: impl Fn(IpAddr) -> bool) {
        self.0.retain(|address, _| exists(*address));
    }

    /// How often each address came or left.
    pub(super) fn changes(&self) -> impl Iterator<Item = (IpAddr, u64)> + '_ {
        self.0.iter().map(|(address, turns)| (*address, turns.changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coming_and_leaving_count_and_staying_does_not() {
        let mut ownership = Ownership::default();
        let [kept, gone] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        for (address, owned) in [(kept, true), (kept, true), (gone, true), (kept, false), (kept, true)] {
            ownership.set(address, owned);
        }
        ownership.retain(|address| address == kept);
        assert_eq!(ownership.changes().collect::<Vec<_>>(), [(kept, 3)]);
    }
}

//! Who answers, who defends, and where the client looks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::node::{LAG, mac};
use crate::segment::Segment;

use super::{MOMENT, Rule, Watch};

impl Watch {
    /// Remembers who answers for an address beside others that it does not hear. If it ends, nobody knows what the client
    /// learnt of it last; if it lives on, it and the others tell each other, once they can.
    pub(super) fn note_unheard(&mut self, segment: &Segment, address: IpAddr, answering: &BTreeSet<usize>) {
        let unheard = self.unheard.entry(address).or_default();
        let is_apart = |host: &usize| answering.iter().any(|other| !segment.reach(*host, *other));
        unheard.retain(|host, run| {
            let has_ended = segment.run(*host) != Some(*run) && !answering.contains(host);
            is_apart(host) || has_ended
        });
        let apart = answering.iter().filter(|host| is_apart(host));
        unheard.extend(apart.filter_map(|host| Some((*host, segment.run(*host)?))));
    }

    pub(super) fn check_number(&mut self, segment: &Segment, address: IpAddr, answering: &BTreeSet<usize>) {
        let mut sides: BTreeMap<u64, usize> = BTreeMap::new();
        for node in answering {
            *sides.entry(segment.hosts[*node].side).or_default() += 1;
        }
        for (side, number) in sides {
            let most = self.classes.get(&side).copied().unwrap_or_default();
            if number > most {
                let text =
                    format!("{address} is answered for by {answering:?}, at most by {most} on side {side}");
                self.violate(segment, Rule::OneAnswers, &text);
            }
        }
    }

    pub(super) fn check_cache(&mut self, segment: &Segment, address: IpAddr) {
        let (Some(owner), Some(found)) = (self.owners.get(&address), segment.client.cache.get(&address))
        else {
            return;
        };
        let unheard =
            self.unheard.get(&address).is_some_and(|hosts| hosts.keys().any(|host| mac(*host) == *found));
        if *found != mac(*owner) && !unheard {
            let text = format!("the client looks for {address} at {found}, it is at {}", mac(*owner));
            self.violate(segment, Rule::TheCacheIsRight, &text);
        }
    }

    pub(super) fn check_gap(&mut self, segment: &Segment, address: IpAddr) {
        let Some((until, addresses)) = &self.no_gap else { return };
        if segment.now > *until {
            self.no_gap = None;
        } else if addresses.contains(&address) && segment.answering(address).is_empty() {
            self.violate(segment, Rule::NoGap, &format!("nobody answers for {address}"));
        }
    }

    /// A node that knows the same as others does not take caches from the owner.
    pub(super) fn check_defence(&mut self, segment: &Segment, node: usize, address: IpAddr) {
        let host = &segment.hosts[node];
        let owners = self.side_owners.get(&host.side);
        let Some(owner) = owners.and_then(|owners| owners.get(&address)).copied() else { return };
        let Some(process) = &host.process else { return };
        let just_now = |at: Duration| segment.now.saturating_sub(at) <= MOMENT;
        let recent = self.announced_at.get(&(owner, address)).copied().is_some_and(just_now);
        let cut_off = host.cut_off || segment.hosts[owner].cut_off;
        let knows = !cut_off && process.lag <= LAG && !just_now(self.last_event);
        let hears =
            segment.reach(node, owner) || process.heard_claim(segment.clock(node), address, mac(owner));
        if owner != node && knows && hears && !recent && segment.answering(address).contains(&owner) {
            let text = format!("{node} defends {address} against {owner}, the owner");
            self.violate(segment, Rule::NoDefenceAgainstTheOwner, &text);
        }
    }
}

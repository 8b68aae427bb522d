//! Addresses of this node that another speaker claims on the segment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::keys::NodeName;

use super::machine::Claim;

/// How long another speaker may claim an address before that is a conflict: ample for both to learn what moves the address.
pub const HANDOVER: Duration = Duration::from_secs(2);
/// A speaker that has not claimed an address for this long is given [`HANDOVER`] anew; and least time between two reports of
/// one conflict (RFC 5227 §1.1, DEFEND_INTERVAL).
pub const QUIET: Duration = Duration::from_secs(10);

/// The addresses that are contested: at most those of this node.
#[derive(Debug, Default)]
pub(super) struct Contests {
    open: BTreeMap<IpAddr, Contest>,
    /// When the time for a hand-over ends.
    due: BTreeSet<(Instant, IpAddr)>,
}

#[derive(Debug)]
struct Contest {
    /// By node, with the last claim of each.
    claimants: BTreeMap<NodeName, Claim>,
    last: Instant,
    /// When the time for a hand-over ends, until it has.
    handover: Option<Instant>,
    /// When that the claims go on was last acted on.
    acted: Option<Instant>,
}

impl Contests {
    /// A speaker claims an address of this node. True when it has had its time and it is time to act again.
    pub(super) fn add(&mut self, now: Instant, speaker: NodeName, claim: Claim) -> bool {
        let before = |at: Instant| now.saturating_duration_since(at) < QUIET;
        let address = claim.address;
        if let Some(contest) = self.open.get_mut(&address).filter(|contest| before(contest.last)) {
            contest.claimants.insert(speaker, claim);
            contest.last = now;
            if contest.handover.is_some() || contest.acted.is_some_and(before) {
                return false;
            }
            contest.acted = Some(now);
            return true;
        }
        self.remove(address);
        let until = now.checked_add(HANDOVER).unwrap_or(now);
        self.due.insert((until, address));
        let claimants = BTreeMap::from([(speaker, claim)]);
        self.open.insert(address, Contest { claimants, last: now, handover: Some(until), acted: None });
        false
    }

    /// The address is not this node's any more, or is announced anew.
    pub(super) fn remove(&mut self, address: IpAddr) {
        if let Some(until) = self.open.remove(&address).and_then(|contest| contest.handover) {
            self.due.remove(&(until, address));
        }
    }

    /// The speakers that claim an address, with the last claim of each.
    pub(super) fn claimants(&self, address: IpAddr) -> impl Iterator<Item = (&NodeName, &Claim)> {
        self.open.get(&address).into_iter().flat_map(|contest| &contest.claimants)
    }

    /// A speaker has let go of the addresses for which `released` holds, or is gone: those that it had contested.
    pub(super) fn release(&mut self, speaker: &NodeName, released: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
        let contested = self.open.iter().filter(|(_, contest)| contest.claimants.contains_key(speaker));
        let addresses: Vec<IpAddr> =
            contested.map(|(address, _)| *address).filter(|at| released(*at)).collect();
        for address in &addresses {
            let others = self.open.get_mut(address).map(|contest| {
                contest.claimants.remove(speaker);
                contest.claimants.len()
            });
            if others == Some(0) {
                self.remove(*address);
            }
        }
        addresses
    }

    /// The next address for the hand-over of which there was enough time.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<IpAddr> {
        let (_, address) = self.due.first().copied().filter(|(until, _)| *until <= now)?;
        self.due.pop_first();
        if let Some(contest) = self.open.get_mut(&address) {
            contest.handover = None;
        }
        Some(address)
    }

    /// When [`Contests::pop_due`] has something.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }
}

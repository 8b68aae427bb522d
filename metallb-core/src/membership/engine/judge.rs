//! Who counts: from what was heard, told and waited for.

use std::time::Instant;

use crate::keys::NodeName;

use super::super::peer::{PeerState, Status};
use super::{Membership, Settling, SettlingByPeers, is_direct, later};

impl Membership {
    /// Judges every peer, and finds when time alone may change a judgement next.
    pub(super) fn judge_all(&mut self) {
        self.next_check = None;
        let names: Vec<NodeName> = self.peers.keys().cloned().collect();
        for name in names {
            self.judge(&name);
        }
    }

    /// Judges one peer.
    pub(super) fn judge(&mut self, name: &NodeName) {
        let Some(state) = self.peers.get(name.as_str()) else { return };
        let silent = is_direct(state.status) && !state.is_heard(self.now, self.timing, self.interval);
        let word = if silent { self.word_of_others(name) } else { None };
        let Some(state) = self.peers.get_mut(name.as_str()) else { return };
        if silent {
            state.vouched_until = word;
            state.retire(self.now, self.interval.saturating_mul(self.timing.misses()));
        }
        let before = state.status;
        let status = state.judge(self.now, self.timing, self.interval);
        state.status = status;
        self.stats.suspicions += u64::from(silent && matches!(status, Status::Vouched | Status::Down));
        let next = state.next_change(self.timing, self.interval).filter(|at| *at > self.now);
        self.next_check = self.next_check.into_iter().chain(next).min();
        if before != status {
            self.note_status(name, status);
            self.note_return(name, before, status);
            self.judge_self();
        }
    }

    fn note_status(&mut self, name: &NodeName, status: Status) {
        if is_direct(status) {
            self.unheard.remove(name.as_str());
        } else {
            self.unheard.insert(name.clone());
        }
        let changed = if status.is_member() {
            self.members.insert(name.clone())
        } else {
            self.members.remove(name.as_str())
        };
        self.pending.members |= changed;
    }

    /// Until when the members that are heard here vouch for `name`, from what they said last.
    fn word_of_others(&self, name: &NodeName) -> Option<Instant> {
        let others = self.peers.iter().filter(|(other, _)| *other != name);
        others
            .filter_map(|(_, state)| state.run.as_ref().filter(|run| !run.has_left() && !run.recalled))
            .filter(|run| {
                run.bits.as_ref().is_some_and(|bits| self.rosters.says(&bits.as_wire(), name) == Some(true))
            })
            .map(|run| later(run.last_heard, run.patience(self.interval).saturating_mul(self.timing.hold())))
            .filter(|until| *until > self.now)
            .max()
    }

    /// Ends the cautious start when everybody who is ready was heard and, if this node tells what it has, has told the same
    /// of itself; or at the latest possible moment. Those who are not ready are waited for a little, so that members that
    /// start together do not each take everything first.
    pub(super) fn settle(&mut self) {
        if self.settling.settled || self.leaving.is_some() {
            return;
        }
        let Some(by_peers) = self.settling.by_peers else { return };
        let tells = self.metadata_version > 0;
        let missing = |state: &PeerState| match state.status {
            Status::Unknown | Status::Down => true,
            Status::Starting | Status::Heard | Status::Vouched => tells && !state.has_told(),
            Status::Left => false,
        };
        let soon = self.now < by_peers.soon;
        let waits = |state: &PeerState| (state.peer.ready || soon) && missing(state);
        if self.now < by_peers.last && self.peers.values().any(waits) {
            return;
        }
        self.settling.settled = true;
        self.settling.takes_part = !self.settling.confirms;
        self.pending.settled = true;
        self.sending.next = self.now;
        let starting: Vec<NodeName> = self
            .peers
            .iter_mut()
            .filter(|(_, state)| state.status == Status::Starting)
            .map(|(name, state)| {
                state.started_together = true;
                name.clone()
            })
            .collect();
        for name in starting {
            self.judge(&name);
        }
    }
}

impl Settling {
    /// The next moment at which the passing of time alone may end the start.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let SettlingByPeers { soon, last } = self.by_peers?;
        Some(if now < soon { soon.min(last) } else { last })
    }
}

//! Living without each other: whether the others hear this node, and what follows when they did not.

use std::time::Instant;

use crate::keys::NodeName;

use super::super::peer::Status;
use super::super::wire::Datagram;
use super::Membership;

impl Membership {
    /// Takes what a member says about hearing this node. Who does not take part yet says nothing about it, and is not heard.
    pub(super) fn note_hearing(&mut self, sender: &NodeName, datagram: &Datagram<'_>) {
        let Some(bitmap) = datagram.bitmap.filter(|_| datagram.settled && self.settling.takes_part) else {
            return;
        };
        let Some(hears) = self.rosters.says(&bitmap, &self.this) else { return };
        let Some(run) = self.peers.get_mut(sender.as_str()).and_then(|state| state.run.as_mut()) else {
            return;
        };
        let was_deaf = run.deafness.is_some();
        if hears {
            self.pending.reunited |= run.end_deafness(self.now, self.timing, self.interval);
        } else {
            run.note_deafness(self.now, self.timing, self.interval);
        }
        // Nothing is due yet, and this may be the word that was missing.
        let awaited = !hears && self.dropped_at.is_none();
        if was_deaf == hears || awaited {
            self.judge_self();
        }
    }

    /// A member that comes back without a start of its own has lived on, and may have owned what we own.
    pub(super) fn note_return(&mut self, name: &NodeName, before: Status, now: Status) {
        let was_missing = matches!(before, Status::Unknown | Status::Down | Status::Left);
        let Some(state) = self.peers.get(name.as_str()) else { return };
        let started_here = if now == Status::Heard {
            state.run.as_ref().is_some_and(|run| run.started_here)
        } else {
            let epoch = state.run.as_ref().map(|run| run.epoch);
            state.candidates.saw_start_after(epoch, self.now, self.detection())
        };
        self.pending.reunited |= self.settling.settled && was_missing && now.is_member() && !started_here;
    }

    /// Whether this node takes part.
    pub(super) fn judge_self(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.dropped_at = self.dropped_by_all_at();
        let changed = if self.dropped_at.is_some_and(|at| at <= self.now) {
            self.members.remove(&self.this)
        } else {
            self.members.insert(self.this.clone())
        };
        self.pending.members |= changed;
    }

    /// When all members will have dropped this node. `None` while one of them may hear it: one that says so, or
    /// one that is not heard here, and may say so to others.
    fn dropped_by_all_at(&self) -> Option<Instant> {
        let mut at = None;
        for state in self.peers.values().filter(|state| state.status.is_member()) {
            let run = state.run.as_ref().filter(|_| state.status == Status::Heard)?;
            at = at.max(Some(run.drops_us_at(self.timing, self.interval)?));
        }
        at
    }
}

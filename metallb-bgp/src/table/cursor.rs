//! How far one session has come in one family.

use std::collections::BTreeSet;

use super::pull::Announced;
use super::rib::GroupId;

/// A session's place in one family's routes.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether one thing is still to be sent")]
pub(super) struct Cursor<N> {
    /// Changes up to this version are done.
    pub(super) seen: u64,
    /// The walk over the whole family that is under way.
    pub(super) dump: Option<Dump<N>>,
    /// End-of-RIB is still to be sent.
    pub(super) end_of_rib_owed: bool,
    /// End-of-RIB need not wait for the table to be complete any more.
    pub(super) end_of_rib_released: bool,
    /// The peer asked for everything again.
    pub(super) refresh_wanted: bool,
    /// A refresh has been walked and its end is still to be marked.
    pub(super) refresh_running: bool,
    /// The peer understands the marks around a refresh (RFC 7313).
    pub(super) enhanced: bool,
    /// Prefixes that cannot be sent to this peer, which therefore does not hold them.
    pub(super) rejected: BTreeSet<N>,
    /// Prefixes the peer holds.
    pub(super) advertised: u64,
}

/// A walk in the order of groups and prefixes.
#[derive(Debug)]
pub(super) struct Dump<N> {
    /// The last route that was sent.
    pub(super) after: Option<(GroupId, N)>,
    /// The first walk of a session: what it has not reached, the peer does not hold.
    pub(super) initial: bool,
}

impl<N: Copy + Ord> Cursor<N> {
    /// The place of a session that has just been established.
    pub(super) const fn new(version: u64, enhanced: bool) -> Self {
        Self {
            seen: version,
            dump: Some(Dump { after: None, initial: true }),
            end_of_rib_owed: true,
            end_of_rib_released: false,
            refresh_wanted: false,
            refresh_running: false,
            enhanced,
            rejected: BTreeSet::new(),
            advertised: 0,
        }
    }

    /// Whether an unchanged route of `group` has been sent.
    pub(super) fn has_sent(&self, group: GroupId, prefix: N) -> bool {
        if self.rejected.contains(&prefix) {
            return false;
        }
        match &self.dump {
            Some(Dump { initial: true, after }) => *after >= Some((group, prefix)),
            _ => true,
        }
    }

    /// Takes note of what became of routes in the first walk.
    pub(super) fn note_first(&mut self, prefixes: &[N], announced: &Announced) {
        self.advertised += announced.sent() as u64;
        self.rejected.extend(announced.unsendable.iter().filter_map(|place| prefixes.get(*place)));
    }

    /// Takes note of what became of routes in a later walk; returns those the peer holds and cannot be told any more.
    pub(super) fn note_again(&mut self, prefixes: &[N], announced: &Announced) -> Vec<N> {
        let mut unsendable = announced.unsendable.iter().copied().peekable();
        if unsendable.peek().is_none() && self.rejected.is_empty() {
            return Vec::new();
        }
        let mut lost = Vec::new();
        for (place, prefix) in prefixes.iter().enumerate().take(announced.done) {
            if unsendable.next_if_eq(&place).is_none() {
                self.advertised += u64::from(self.rejected.remove(prefix));
            } else if self.rejected.insert(*prefix) {
                self.advertised = self.advertised.saturating_sub(1);
                lost.push(*prefix);
            }
        }
        lost
    }

    /// Whether a refresh may begin: not before the family's End-of-RIB if it is marked (RFC 7313 §4).
    pub(super) const fn may_refresh(&self) -> bool {
        self.refresh_wanted && !self.refresh_running && !(self.enhanced && self.end_of_rib_owed)
    }

    /// Whether End-of-RIB may be sent now.
    pub(super) const fn may_end(&self, complete: bool) -> bool {
        self.end_of_rib_owed && (complete || self.end_of_rib_released)
    }
}

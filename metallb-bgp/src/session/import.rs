//! Routes the peer sends.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use ipnetwork::IpNetwork;

use super::connection::Direction;
use super::receive::is_due;
use super::{Event, ReceivedUpdate, Session};
use crate::types::{Families, Family};
use crate::wire::iana;
use crate::wire::notification::Notification;
use crate::wire::update::{Action, Classified, Fault, UpdateContext, UpdateView};

/// What became of an UPDATE.
pub(super) enum Verdict {
    /// It was taken in, whole or in part.
    Taken,
    /// The session cannot go on.
    Reset(Notification),
    /// The peer has announced more prefixes than it may.
    TooMany(Notification),
}

impl Session {
    /// Judges an UPDATE (RFC 7606) and hands its routes to the user.
    pub(super) fn import(&mut self, now: Instant, direction: Direction, view: &UpdateView<'_>) -> Verdict {
        let Some(context) = self.update_context(direction) else { return Verdict::Taken };
        let update = view.classify(&context);
        if let Some(fault) = update.fault() {
            self.report(now, update.action(), fault, view.message());
        }
        let disabled = self.disable(direction, update.disabled_families());
        if let Some(error) = update.error() {
            return Verdict::Reset(error.notification());
        }
        if let Some(family) = update.end_of_rib() {
            let usable = |family: &Family| context.families.contains(*family) && !disabled.contains(*family);
            if let Some(family) = family.family().filter(usable) {
                self.end_of_rib(direction, family);
            }
            return Verdict::Taken;
        }
        if let Some(family) = self.count_prefixes(&update, disabled) {
            let limit = self.config.max_prefixes.unwrap_or(0);
            let mut data = family.afi_safi().afi.to_be_bytes().to_vec();
            data.push(family.afi_safi().safi);
            data.extend_from_slice(&limit.to_be_bytes());
            let (code, subcode) = (iana::ERR_CEASE, iana::CEASE_MAX_PREFIXES);
            return Verdict::TooMany(Notification::with_data(code, subcode, data));
        }
        if self.config.import {
            self.deliver(direction, &update, disabled);
        }
        Verdict::Taken
    }

    /// How the peer's UPDATEs are judged: what was agreed on, and what the user wants.
    fn update_context(&self, direction: Direction) -> Option<UpdateContext> {
        let connection = self.connection(direction)?;
        let mut context = connection.negotiated.as_ref()?.update_context();
        context.own_address = connection.endpoints.map(|endpoints| endpoints.local.ip());
        context.enforce_first_as = self.config.enforce_first_as;
        context.refuse_as_sets = self.config.refuse_as_sets;
        context.unreadable = self.config.on_unreadable;
        Some(context)
    }

    /// Takes note of families that are ignored from now on; returns all of them.
    fn disable(&mut self, direction: Direction, families: Families) -> Families {
        let Some(connection) = self.connection_mut(direction) else { return families };
        let before = connection.disabled;
        connection.disabled = families.iter().fold(before, Families::with);
        let disabled = connection.disabled;
        for family in families.iter().filter(|family| !before.contains(*family)) {
            self.received.retain(|prefix| Family::of(prefix) != family);
            self.events.push_back(Event::FamilyDisabled { peer: self.key.clone(), family });
        }
        disabled
    }

    /// Counts the verdict and shows the message, though not more often than once a second; what nobody needs to care
    /// about, because the routes are not imported and the session goes on, once in it for each kind of fault.
    pub(super) fn report(&mut self, now: Instant, action: Action, fault: Fault, message: &[u8]) {
        match action {
            Action::Accept => return,
            Action::DiscardAttribute => self.counters.attributes_discarded += 1,
            Action::TreatAsWithdraw => self.counters.treated_as_withdraw += 1,
            Action::DisableFamily => self.counters.families_disabled += 1,
            Action::ResetSession => self.counters.sessions_reset += 1,
        }
        let matters = self.config.import || action == Action::ResetSession;
        let kind = std::mem::discriminant(&fault);
        if (!matters && self.reported.contains(&kind)) || !is_due(now, &mut self.last_malformed) {
            return;
        }
        if !matters {
            self.reported.push(kind);
        }
        let shown = message.get(..REPORT_SIZE).unwrap_or(message);
        let mut hex = String::with_capacity(shown.len() * 2);
        for octet in shown {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{octet:02x}");
        }
        self.events.push_back(Event::Malformed { peer: self.key.clone(), action, fault, message: hex });
    }

    /// Hands on a family's End-of-RIB, the first of the session: a peer can send any number.
    fn end_of_rib(&mut self, direction: Direction, family: Family) {
        let Some(connection) = self.connection_mut(direction) else { return };
        if !connection.ended.contains(family) {
            connection.ended = connection.ended.with(family);
            self.events.push_back(Event::EndOfRib { peer: self.key.clone(), family });
        }
    }

    /// Keeps track of what the peer has announced; returns the family of the prefix that is one too many.
    fn count_prefixes(&mut self, update: &Classified<'_>, disabled: Families) -> Option<Family> {
        let limit = usize::try_from(self.config.max_prefixes?).unwrap_or(usize::MAX);
        for prefix in update.withdrawn() {
            self.received.remove(&prefix);
        }
        let announced = update.reach().flat_map(|reach| reach.prefixes);
        for prefix in announced.filter(|prefix| !disabled.contains(Family::of(prefix))) {
            self.received.insert(prefix);
            if self.received.len() > limit {
                return Some(Family::of(&prefix));
            }
        }
        None
    }

    fn deliver(&mut self, direction: Direction, update: &Classified<'_>, disabled: Families) {
        let endpoints = self.connection(direction).and_then(|c| c.endpoints);
        let remote = endpoints.map_or(self.config.remote, |endpoints| endpoints.remote);
        let mut announced: Vec<(IpNetwork, _)> = Vec::new();
        let usable = |prefix: &IpNetwork| !disabled.contains(Family::of(prefix));
        for reach in update.reach() {
            let attributes = Arc::new(update.attributes(reach.next_hop));
            announced.extend(reach.prefixes.filter(usable).map(|prefix| (prefix, Arc::clone(&attributes))));
        }
        let withdrawn: Vec<IpNetwork> = update.withdrawn().filter(usable).collect();
        if !announced.is_empty() || !withdrawn.is_empty() {
            let update = ReceivedUpdate { announced, withdrawn };
            self.events.push_back(Event::Received { peer: self.key.clone(), remote, update });
        }
    }
}

/// Octets of a malformed UPDATE that are shown.
const REPORT_SIZE: usize = 4096;

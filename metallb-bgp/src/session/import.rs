//! Routes the peer sends.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

use super::connection::Direction;
use super::{Event, ReceivedUpdate, Session};
use crate::types::Family;
use crate::wire::iana;
use crate::wire::negotiate::Negotiated;
use crate::wire::notification::Notification;
use crate::wire::update::{Action, Classified, UpdateView};

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
        let negotiated = self.connection(direction).and_then(|c| c.negotiated.as_ref());
        let Some(context) = negotiated.map(Negotiated::update_context) else { return Verdict::Taken };
        let update = view.classify(&context);
        self.report(now, &update, view.message());
        if let Some(error) = update.error() {
            return Verdict::Reset(error.notification());
        }
        if let Some(family) = update.end_of_rib() {
            if let Some(family) = family.family().filter(|family| context.families.contains(*family)) {
                self.events.push_back(Event::EndOfRib { peer: self.key.clone(), family });
            }
            return Verdict::Taken;
        }
        if let Some(family) = self.count_prefixes(&update) {
            let limit = self.config.max_prefixes.unwrap_or(0);
            let mut data = family.afi_safi().afi.to_be_bytes().to_vec();
            data.push(family.afi_safi().safi);
            data.extend_from_slice(&limit.to_be_bytes());
            let (code, subcode) = (iana::ERR_CEASE, iana::CEASE_MAX_PREFIXES);
            return Verdict::TooMany(Notification::with_data(code, subcode, data));
        }
        if self.config.import {
            self.deliver(direction, &update);
        }
        Verdict::Taken
    }

    /// Counts the verdict and shows the message, though not more often than once a second.
    fn report(&mut self, now: Instant, update: &Classified<'_>, message: &[u8]) {
        match update.action() {
            Action::Accept => return,
            Action::DiscardAttribute => self.counters.attributes_discarded += 1,
            Action::TreatAsWithdraw => self.counters.treated_as_withdraw += 1,
            Action::DisableFamily | Action::ResetSession => {}
        }
        if self.last_malformed.is_some_and(|last| now.duration_since(last) < REPORT_INTERVAL) {
            return;
        }
        self.last_malformed = Some(now);
        let shown = message.get(..REPORT_SIZE).unwrap_or(message);
        let mut hex = String::with_capacity(shown.len() * 2);
        for octet in shown {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{octet:02x}");
        }
        self.events.push_back(Event::Malformed {
            peer: self.key.clone(),
            verdict: update.action().name(),
            message: hex,
        });
    }

    /// Keeps track of what the peer has announced; returns the family of the prefix that is one too many.
    fn count_prefixes(&mut self, update: &Classified<'_>) -> Option<Family> {
        let limit = usize::try_from(self.config.max_prefixes?).unwrap_or(usize::MAX);
        for prefix in update.withdrawn() {
            self.received.remove(&prefix);
        }
        for prefix in update.reach().flat_map(|reach| reach.prefixes) {
            self.received.insert(prefix);
            if self.received.len() > limit {
                return Some(Family::of(&prefix));
            }
        }
        None
    }

    fn deliver(&mut self, direction: Direction, update: &Classified<'_>) {
        let endpoints = self.connection(direction).and_then(|c| c.endpoints);
        let remote = endpoints.map_or(self.config.remote, |endpoints| endpoints.remote);
        let mut announced: Vec<(IpNetwork, _)> = Vec::new();
        for reach in update.reach() {
            let attributes = Arc::new(update.attributes(reach.next_hop));
            announced.extend(reach.prefixes.map(|prefix| (prefix, Arc::clone(&attributes))));
        }
        let withdrawn: Vec<IpNetwork> = update.withdrawn().collect();
        if !announced.is_empty() || !withdrawn.is_empty() {
            let update = ReceivedUpdate { announced, withdrawn };
            self.events.push_back(Event::Received { peer: self.key.clone(), remote, update });
        }
    }
}

/// Malformed UPDATEs are shown this often at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Octets of a malformed UPDATE that are shown.
const REPORT_SIZE: usize = 4096;

//! Taking a snapshot.

use std::time::Duration;

use super::connection::{Connection, Direction};
use super::withheld::missing_families;
use super::{Event, NegotiatedSnapshot, PeerSnapshot, Session};
use crate::fsm::State;
use crate::table::{AdvTable, Advertised};

impl Session {
    /// The session as it is now.
    pub fn snapshot(&self, table: &AdvTable) -> PeerSnapshot {
        let established = self.established();
        let slot = established.and_then(|c| c.slot);
        let advertised = slot.map_or_else(Advertised::default, |slot| table.advertised(slot));
        let furthest = established.unwrap_or_else(|| self.furthest());
        let endpoints = furthest.endpoints;
        let sent_open = furthest.sent_open.as_ref();
        PeerSnapshot {
            peer: self.key.clone(),
            remote: endpoints.map_or(self.config.remote, |e| e.remote),
            interface: self.config.interface.clone(),
            local: endpoints.map(|e| e.local),
            state: self.state(),
            since: self.since,
            local_asn: self.config.local_asn,
            router_id: sent_open.map(|open| open.router_id).or(self.derived_id),
            negotiated: established.and_then(|c| self.negotiated_snapshot(c)),
            last_error: self.last_error.as_ref().map(|(_, reason)| reason.clone()),
            last_error_at: self.last_error.as_ref().map(|(at, _)| *at),
            unacknowledged: self.unacknowledged,
            next_hops: endpoints.map(|e| e.next_hops),
            withheld: self.withheld(table),
            crossed: self.crossed.clone(),
            given_up: self.given_up.words(),
            pending: self.pending(),
            next_attempt: self.next_attempt(),
            counters: self.counters,
            advertised_v4: advertised.v4,
            advertised_v6: advertised.v6,
            unsendable: advertised.unsendable,
            queued_changes: slot.map_or(0, |slot| table.behind(slot)),
            queued_octets: furthest.in_flight_octets + furthest.out.len(),
            received_prefixes: self.received.len() as u64,
        }
    }

    /// Tells what was agreed on, if the session is established.
    pub(super) fn show_negotiated(&mut self) {
        let session = self.established().and_then(|connection| self.negotiated_snapshot(connection));
        if let Some(session) = session.map(Box::new) {
            self.events.push_back(Event::Negotiated { peer: self.key.clone(), session });
        }
    }

    /// The established connection.
    pub(super) fn established(&self) -> Option<&Connection> {
        [Direction::Outgoing, Direction::Incoming]
            .into_iter()
            .filter_map(|direction| self.connection(direction))
            .find(|connection| connection.state == State::Established)
    }

    fn furthest(&self) -> &Connection {
        match &self.incoming {
            Some(incoming) if incoming.state > self.outgoing.state => incoming,
            _ => &self.outgoing,
        }
    }

    /// When the next attempt starts, while waiting for it.
    pub(super) const fn next_attempt(&self) -> Option<std::time::Instant> {
        match self.outgoing.state {
            State::Idle => self.idle_hold,
            State::Active => self.outgoing.timers.connect_retry,
            _ => None,
        }
    }

    fn negotiated_snapshot(&self, connection: &Connection) -> Option<NegotiatedSnapshot> {
        let negotiated = connection.negotiated.as_ref()?;
        let open = connection.received_open.as_ref()?;
        let keepalive = negotiated.hold_time.keepalive(self.config.keepalive_time);
        let graceful = self.config.graceful_restart.filter(|_| negotiated.graceful_restart.is_some());
        let long_lived = graceful.and_then(|graceful| graceful.long_lived_stale_time);
        Some(NegotiatedSnapshot {
            remote_asn: negotiated.remote_asn,
            remote_router_id: open.router_id,
            hold_time: negotiated.hold_time.duration().unwrap_or(Duration::ZERO),
            keepalive_time: keepalive.unwrap_or(Duration::ZERO),
            families: negotiated.families.iter().collect(),
            missing_families: missing_families(connection, &self.config).iter().collect(),
            peer_capabilities: open.capabilities.iter().map(ToString::to_string).collect(),
            extended_messages: negotiated.send_limit.octets() > 4096,
            route_refresh: negotiated.route_refresh,
            enhanced_route_refresh: negotiated.enhanced_refresh,
            extended_next_hop: negotiated.extended_next_hop,
            graceful_restart: graceful.is_some(),
            long_lived_graceful_restart: long_lived.is_some() && !negotiated.long_lived.is_empty(),
        })
    }
}

//! Changing a peer while its session runs.

use std::time::Instant;

use super::connection::Direction;
use super::refused::GivenUp;
use super::{FIRST_BACKOFF, PeerConfig, Session, StopReason};
use crate::fsm::State;
use crate::table::AdvTable;
use crate::types::Families;
use crate::wire::refresh::RouteRefresh;

/// What a change of configuration meant for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconfigured {
    /// Nothing is different.
    Unchanged,
    /// It is in effect, or will be at the next establishment; the session goes on.
    Live,
    /// The session was ended with Cease 6/6 and starts again.
    Reset,
}

impl Session {
    /// Takes a new configuration. Only what is fixed by the TCP connection or by the OPENs resets the session:
    /// addresses, AS numbers, keys that cannot roll over, bound device, families and other capabilities. Hold time, BGP
    /// identifier and the times of graceful restart wait for the next establishment; the snapshot lists them as
    /// pending. A session that waits for its next attempt tries at once, unless the change cannot be what it needs.
    pub fn reconfigure(&mut self, now: Instant, config: PeerConfig, table: &mut AdvTable) -> Reconfigured {
        let config = config.with_neighbor_of(&self.config);
        if config == self.config {
            return Reconfigured::Unchanged;
        }
        let now = self.tick(now);
        self.given_up = GivenUp::default();
        if self.needs_reset(&config) {
            let running = self.running;
            // Whoever had a session with the old address, or from it, will not see that again: it must not wait for it.
            let moved = ends_of(&self.config) != ends_of(&config);
            // Without graceful restart it must not keep the routes either.
            let plain = self.config.graceful_restart.is_some() && config.graceful_restart.is_none();
            self.stop_for(now, &StopReason::ConfigChanged, moved || plain, table);
            self.config = config;
            self.derived_id = None;
            return if running { Reconfigured::Reset } else { Reconfigured::Live };
        }
        let old = std::mem::replace(&mut self.config, config);
        self.apply_live(now, &old);
        Reconfigured::Live
    }

    fn needs_reset(&self, new: &PeerConfig) -> bool {
        let old = &self.config;
        let peer_asn = self.established().and_then(|c| c.negotiated.as_ref()).map(|n| n.remote_asn);
        let other_as = match peer_asn {
            Some(asn) => !new.remote_asn.accepts(new.local_asn, asn),
            None => old.remote_asn != new.remote_asn,
        };
        other_as
            || old.remote != new.remote
            || old.interface != new.interface
            || old.local_address != new.local_address
            || old.local_asn != new.local_asn
            || !old.authentication.rolls_over(&new.authentication)
            || old.bind_device != new.bind_device
            || old.families != new.families
            || old.extended_messages != new.extended_messages
            || old.role.map(|policy| policy.role) != new.role.map(|policy| policy.role)
            || restarts(old) != restarts(new)
            || old.check().is_err()
    }

    fn apply_live(&mut self, now: Instant, old: &PeerConfig) {
        for direction in [Direction::Outgoing, Direction::Incoming] {
            let Some(connection) = self.connection(direction) else { continue };
            if connection.state == State::Established {
                if old.keepalive_time != self.config.keepalive_time {
                    self.restart_keepalive(now, direction);
                }
                if old.send_hold_time != self.config.send_hold_time {
                    self.start_send_hold(now, direction);
                }
                if old.next_hops != self.config.next_hops
                    || old.graceful_shutdown != self.config.graceful_shutdown
                {
                    self.resend(direction);
                    self.release_those_with_next_hop(direction);
                }
            }
        }
        if old.max_prefixes.is_some() != self.config.max_prefixes.is_some() {
            self.recount();
        }
        if may_mend(old, &self.config) {
            (self.damping, self.backoff) = (FIRST_BACKOFF, FIRST_BACKOFF);
            // An attempt that is under way is as good as another one, unless its packets are to be others.
            if self.outgoing.state != State::Connect || packets_of(old) != packets_of(&self.config) {
                self.retry_now(now);
            }
        }
    }

    /// The attributes of every route changed: send all families again.
    fn resend(&mut self, direction: Direction) {
        if let Some(connection) = self.connection_mut(direction) {
            let families = connection.negotiated.as_ref().map_or(Families::EMPTY, |n| n.families);
            connection.refresh = families;
        }
    }

    /// A limit of prefixes came or went. What came before it was not counted: the peer is asked to say it again. One
    /// that cannot is counted from the next session on.
    fn recount(&mut self) {
        self.received.clear();
        let limited = self.config.max_prefixes.is_some();
        for direction in [Direction::Outgoing, Direction::Incoming] {
            let Some(connection) = self.connection_mut(direction) else { continue };
            let Some(negotiated) = &connection.negotiated else { continue };
            if connection.state != State::Established {
                continue;
            }
            connection.counted = limited && negotiated.route_refresh;
            if connection.counted {
                for family in negotiated.families.iter() {
                    RouteRefresh::request(family).encode(&mut connection.out);
                }
            }
        }
    }

    /// Changes that apply at the next establishment, in words.
    pub(super) fn pending(&self) -> Vec<&'static str> {
        let Some(connection) = self.established() else { return Vec::new() };
        let Some((open, endpoints)) = connection.sent_open.as_ref().zip(connection.endpoints) else {
            return Vec::new();
        };
        let mut pending = Vec::new();
        if open.hold_time != self.config.hold_time {
            pending.push("hold time");
        }
        if self.identifier(&endpoints) != open.router_id {
            pending.push("router ID");
        }
        if connection.tcp_mss != self.config.tcp_mss {
            pending.push("segment size");
        }
        if self.config.max_prefixes.is_some() && !connection.counted {
            pending.push("limit of prefixes");
        }
        pending.extend(self.pending_capabilities(open));
        pending
    }
}

/// Where a session is between.
fn ends_of(config: &PeerConfig) -> impl PartialEq {
    (config.remote, config.interface.clone(), config.local_address, config.bind_device.clone())
}

/// What an attempt has taken with it that can change without a reset.
fn packets_of(config: &PeerConfig) -> impl PartialEq {
    (config.ttl, config.tcp_mss, config.authentication.clone())
}

/// Whether a change can be what a session needs to come up: not if it is about routes or about what is done with them.
fn may_mend(old: &PeerConfig, new: &PeerConfig) -> bool {
    let mut rest = new.clone();
    (rest.next_hops, rest.graceful_shutdown, rest.import) =
        (old.next_hops, old.graceful_shutdown, old.import);
    (rest.enforce_first_as, rest.refuse_as_sets) = (old.enforce_first_as, old.refuse_as_sets);
    (rest.keepalive_time, rest.seed) = (old.keepalive_time, old.seed);
    rest != *old
}

/// Whether graceful restart is offered, and whether its long-lived form is.
fn restarts(config: &PeerConfig) -> Option<bool> {
    config.graceful_restart.map(|graceful| graceful.long_lived_stale_time.is_some())
}

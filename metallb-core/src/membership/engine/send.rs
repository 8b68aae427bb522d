//! When to send to whom, and what.

use std::net::SocketAddr;

use crate::keys::NodeName;

use super::super::transfer::Outgoing;
use super::super::wire::{Acknowledgement, Datagram};
use super::{Membership, later};

impl Membership {
    /// Puts the next batch into the outbox. A round over all peers takes one interval and is spread over it
    /// in a few batches, so that large clusters do not burst.
    pub(super) fn send_batch(&mut self) {
        self.renew_bits();
        let peers = self.sending.order.len();
        if let Some(rounds) = self.leaving {
            if rounds > 0 {
                self.leaving = Some(rounds - 1);
                self.sending.outbox.extend(self.sending.order.iter().cloned());
            }
            self.sending.next = later(self.now, self.interval);
            return;
        }
        let batches = (peers / PEERS_PER_BATCH).clamp(1, MAX_BATCHES);
        let batch = self.sending.order.iter().skip(self.sending.cursor).take(peers.div_ceil(batches));
        let before = self.sending.outbox.len();
        self.sending.outbox.extend(batch.cloned());
        self.sending.cursor += self.sending.outbox.len() - before;
        if self.sending.cursor >= peers {
            self.sending.cursor = 0;
        }
        let step = self.interval / u32::try_from(batches).unwrap_or(1);
        self.sending.next = later(self.now, self.jitter.apply(step));
    }

    /// Follows a change of the list of peers.
    pub(super) fn renew_order(&mut self) {
        self.sending.order = self.peers.keys().cloned().collect();
        self.sending.cursor = 0;
        self.sending.outbox.retain(|name| self.peers.contains_key(name.as_str()));
        self.renew_bits();
    }

    /// Writes the datagram for `name`; `None` when it is no peer any more.
    pub(super) fn write(&mut self, name: &NodeName, out: &mut Vec<u8>) -> Option<SocketAddr> {
        let state = self.peers.get_mut(name.as_str())?;
        let leaving = self.leaving.is_some();
        if state.outgoing.is_none() && state.acknowledged < self.metadata_version {
            state.outgoing = Some(Outgoing::new(self.metadata_version, self.metadata_octets.clone()));
        }
        self.sequence = self.sequence.saturating_add(1);
        let datagram = Datagram {
            name: self.this.as_str(),
            epoch: self.epoch,
            sequence: self.sequence,
            interval: self.interval,
            leaving,
            settled: self.settling.settled,
            metadata_version: self.metadata_version,
            acknowledgement: state
                .run
                .as_ref()
                .map(|run| Acknowledgement { epoch: run.epoch, metadata_version: run.metadata_version }),
            bitmap: self.sending.bits.as_ref().map(super::Bits::as_wire),
            chunk: state.outgoing.as_mut().filter(|_| !leaving).and_then(Outgoing::next_chunk),
        };
        // The parts are within the limits by construction: the name is checked in `new`, the bitmap by the
        // roster, the chunk by the transfer.
        datagram.encode(out).ok().map(|()| state.peer.address)
    }

    fn renew_bits(&mut self) {
        let heard = |name: &NodeName| {
            *name == self.this
                || self
                    .peers
                    .get(name.as_str())
                    .is_some_and(|state| state.is_recent(self.now, self.timing, self.interval))
        };
        self.sending.bits = self.rosters.current().bits(heard);
    }
}

/// A round is split when there are more peers than this.
const PEERS_PER_BATCH: usize = 16;
/// Most batches of a round.
const MAX_BATCHES: usize = 16;

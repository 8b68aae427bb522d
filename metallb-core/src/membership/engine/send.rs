//! When to send to whom, and what.

use std::net::SocketAddr;

use crate::keys::NodeName;

use super::super::transfer::Outgoing;
use super::super::wire::Datagram;
use super::{Membership, Queued, later};

impl Membership {
    /// Puts the next batch into the outbox. A round over all peers takes one interval and is spread over it
    /// in a few batches, so that large clusters do not burst.
    pub(super) fn send_batch(&mut self) {
        self.renew_bits();
        let peers = self.sending.order.len();
        if let Some(rounds) = self.leaving {
            if rounds > 0 {
                self.leaving = Some(rounds - 1);
                let everybody = self.sending.order.iter().map(|name| Queued { name: name.clone(), to: None });
                self.sending.outbox.extend(everybody);
            }
            self.sending.next = later(self.now, self.interval);
            return;
        }
        let batches = (peers / PEERS_PER_BATCH).clamp(1, MAX_BATCHES);
        let batch = self.sending.order.iter().skip(self.sending.cursor).take(peers.div_ceil(batches));
        self.sending.cursor += batch.len();
        let (now, detection) = (self.now, self.detection());
        for name in batch {
            let queued = |to| Queued { name: name.clone(), to };
            self.sending.outbox.push_back(queued(None));
            let waiting = self.peers.get(name.as_str()).map(|state| state.candidates.waiting(now, detection));
            self.sending.outbox.extend(waiting.into_iter().flatten().map(|token| queued(Some(token))));
        }
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
        self.sending.outbox.retain(|queued| self.peers.contains_key(queued.name.as_str()));
        self.renew_bits();
    }

    /// Writes a datagram; `None` when its receiver is no peer any more.
    pub(super) fn write(&mut self, queued: &Queued, out: &mut Vec<u8>) -> Option<SocketAddr> {
        let state = self.peers.get_mut(queued.name.as_str())?;
        let to = queued.to.unwrap_or_else(|| state.token());
        // Metadata goes to who is believed to read it.
        let told = self.leaving.is_none() && to == state.token();
        let outdated = self.metadata_version != 0 && state.acknowledged != self.metadata_version;
        if told && outdated && state.outgoing.is_none() {
            state.outgoing = Some(Outgoing::new(self.metadata_version, self.metadata_octets.clone()));
        }
        self.sequence = self.sequence.saturating_add(1);
        let datagram = Datagram {
            name: self.this.as_str(),
            epoch: self.epoch,
            to,
            sequence: self.sequence,
            interval: self.interval,
            leaving: self.leaving.is_some(),
            settled: self.settling.takes_part,
            challenge: state.challenge.current(self.now),
            metadata_version: self.metadata_version,
            held: state.run.as_ref().map_or(0, |run| run.metadata_version),
            bitmap: self.sending.bits.as_ref().map(super::Bits::as_wire),
            chunk: state.outgoing.as_mut().filter(|_| told).and_then(Outgoing::next_chunk),
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

//! What a datagram changes.

use std::sync::Arc;

use crate::keys::NodeName;

use super::super::metadata::{Metadata, MetadataError};
use super::super::peer::{PeerState, Run};
use super::super::roster::Bits;
use super::super::transfer::Incoming;
use super::super::wire::{Acknowledgement, Datagram};
use super::{Membership, Rejected, later};

impl Membership {
    pub(super) fn receive(&mut self, octets: &[u8]) -> Result<(), Rejected> {
        let datagram = Datagram::parse(octets)?;
        if datagram.name == self.this.as_str() {
            return Err(Rejected::OwnName);
        }
        let Some((name, _)) = self.peers.get_key_value(datagram.name) else {
            return Err(Rejected::UnknownMember { name: NodeName::new(datagram.name) });
        };
        let name = name.clone();
        self.note_run(&name, &datagram)?;
        self.note_acknowledgement(&name, datagram.acknowledgement);
        let metadata = self.note_chunk(&name, &datagram);
        self.judge(&name);
        self.note_hearing(&name, &datagram);
        self.note_words(&name, &datagram);
        self.settle();
        metadata.map_err(|error| Rejected::Metadata { member: name, error })
    }

    /// Checks epoch and sequence, then takes over what the header says.
    fn note_run(&mut self, name: &NodeName, datagram: &Datagram<'_>) -> Result<(), Rejected> {
        let now = self.now;
        let silence_after_leaving = self.detection().saturating_mul(2);
        let Some(state) = self.peers.get_mut(name.as_str()) else { return Ok(()) };
        let run = match &mut state.run {
            Some(run) if datagram.epoch < run.epoch => {
                return Err(Rejected::StaleEpoch { member: name.clone(), epoch: datagram.epoch });
            }
            Some(run) if datagram.epoch == run.epoch => {
                if datagram.sequence <= run.sequence || run.left {
                    return Err(Rejected::StaleSequence {
                        member: name.clone(),
                        sequence: datagram.sequence,
                    });
                }
                run
            }
            slot => {
                state.acknowledged = 0;
                state.outgoing = None;
                state.left_until = None;
                state.vouched_until = None;
                state.started_together = false;
                slot.insert(new_run(datagram, now))
            }
        };
        run.sequence = datagram.sequence;
        run.last_heard = now;
        run.interval = datagram.interval;
        run.settled |= datagram.settled;
        Bits::store(&mut run.bits, datagram.bitmap);
        if datagram.leaving {
            run.left = true;
            state.vouched_until = None;
            state.left_until = Some(later(now, silence_after_leaving));
        }
        Ok(())
    }

    /// What the sender holds of us: our metadata, and perhaps a later epoch than ours.
    fn note_acknowledgement(&mut self, name: &NodeName, held: Option<Acknowledgement>) {
        let Some(state) = self.peers.get_mut(name.as_str()) else { return };
        let held = held.unwrap_or(Acknowledgement { epoch: self.epoch, metadata_version: 0 });
        let remembers_more = held.epoch > self.epoch
            || (held.epoch == self.epoch && held.metadata_version > self.metadata_version);
        if remembers_more {
            // Another run of ours had this epoch or a later one: only a greater one will be listened to.
            self.epoch = held.epoch.successor().unwrap_or(self.epoch);
        }
        state.acknowledged = if held.epoch == self.epoch { held.metadata_version } else { 0 };
        let acknowledged = state.acknowledged;
        state.outgoing.take_if(|outgoing| outgoing.version() <= acknowledged);
    }

    fn note_chunk(&mut self, name: &NodeName, datagram: &Datagram<'_>) -> Result<(), MetadataError> {
        let Some(chunk) = &datagram.chunk else { return Ok(()) };
        let Some(PeerState { run: Some(run), metadata, .. }) = self.peers.get_mut(name.as_str()) else {
            return Ok(());
        };
        if chunk.version <= run.metadata_version {
            return Ok(());
        }
        let Some(whole) = Incoming::accept(&mut run.incoming, chunk) else { return Ok(()) };
        let told = Metadata::decode(&whole)?;
        run.metadata_version = chunk.version;
        if metadata.as_deref() != Some(&told) {
            *metadata = Some(Arc::new(told));
            self.pending.metadata.insert(name.clone());
        }
        Ok(())
    }

    /// The sender's word for those that are not heard here.
    fn note_words(&mut self, sender: &NodeName, datagram: &Datagram<'_>) {
        let Some(bitmap) = datagram.bitmap.filter(|_| !datagram.leaving) else { return };
        if self.unheard.is_empty() {
            return;
        }
        let Some(run) = self.peers.get(sender.as_str()).and_then(|state| state.run.as_ref()) else { return };
        let until = later(self.now, run.patience(self.interval).saturating_mul(self.timing.hold()));
        let rosters = &self.rosters;
        let heard = |name: &&NodeName| *name != sender && rosters.says(&bitmap, name) == Some(true);
        let heard: Vec<NodeName> = self.unheard.iter().filter(heard).cloned().collect();
        for name in heard {
            if let Some(state) = self.peers.get_mut(name.as_str()) {
                state.vouched_until = Some(until);
            }
            self.judge(&name);
        }
    }
}

fn new_run(datagram: &Datagram<'_>, now: std::time::Instant) -> Run {
    Run {
        epoch: datagram.epoch,
        sequence: datagram.sequence,
        last_heard: now,
        interval: datagram.interval,
        settled: datagram.settled,
        left: false,
        metadata_version: 0,
        incoming: None,
        bits: None,
        deaf_since: None,
    }
}

//! What a datagram changes.

use std::sync::Arc;
use std::time::Instant;

use crate::keys::NodeName;

use super::super::metadata::{Metadata, MetadataError, version_of};
use super::super::peer::{PeerState, Run, Standing};
use super::super::rejected::Rejected;
use super::super::roster::Bits;
use super::super::transfer::Incoming;
use super::super::wire::Datagram;
use super::{Arrival, Membership, later};

impl Membership {
    pub(super) fn receive(&mut self, arrival: Arrival, octets: &[u8]) -> Result<(), Rejected> {
        let datagram = Datagram::parse(octets)?;
        let name = self.admit(arrival, &datagram.header())?;
        if !self.prove(&name, &datagram)? {
            return Ok(());
        }
        self.note_run(&name, &datagram);
        let metadata = self.note_chunk(&name, &datagram);
        self.judge(&name);
        self.note_hearing(&name, &datagram);
        self.note_words(&name, &datagram);
        self.settle();
        metadata.map_err(|error| Rejected::Metadata { member: name, error })
    }

    /// Takes over what the header says.
    fn note_run(&mut self, name: &NodeName, datagram: &Datagram<'_>) {
        let (now, detection) = (self.now, self.detection());
        let Some(state) = self.peers.get_mut(name.as_str()) else { return };
        let Some(run) = state.run.as_mut() else { return };
        run.sequence = datagram.sequence;
        run.challenge = datagram.challenge;
        run.last_heard = now;
        run.recalled = false;
        run.interval = datagram.interval;
        run.settled |= datagram.settled;
        Bits::store(&mut run.bits, datagram.bitmap);
        state.acknowledged = datagram.held;
        state.outgoing.take_if(|outgoing| outgoing.version() == datagram.held);
        if datagram.leaving {
            run.standing = Standing::Left;
            state.vouched_until = None;
            state.left_until = Some(later(now, detection.saturating_mul(2)));
            // Should it not be true, the member proves the contrary after a detection time.
            state.challenge.renew(now, detection);
        }
    }

    fn note_chunk(&mut self, name: &NodeName, datagram: &Datagram<'_>) -> Result<(), MetadataError> {
        let Some(chunk) = &datagram.chunk else { return Ok(()) };
        let Some(PeerState { run: Some(run), metadata, .. }) = self.peers.get_mut(name.as_str()) else {
            return Ok(());
        };
        if chunk.version == run.metadata_version {
            return Ok(());
        }
        let Some(whole) = Incoming::accept(&mut run.incoming, chunk) else { return Ok(()) };
        if version_of(&whole) != chunk.version {
            return Err(MetadataError::Digest);
        }
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

impl Run {
    /// What the first datagram that is believed says.
    pub(super) fn new(datagram: &Datagram<'_>, now: Instant) -> Self {
        Self {
            epoch: datagram.epoch,
            challenge: datagram.challenge,
            standing: Standing::Believed,
            started_here: !datagram.settled,
            sequence: datagram.sequence,
            last_heard: now,
            recalled: false,
            interval: datagram.interval,
            settled: datagram.settled,
            metadata_version: 0,
            incoming: None,
            bits: None,
            deafness: None,
        }
    }
}

//! Metadata in parts: one chunk per datagram, sent in turn until the whole is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::metadata::MAX_METADATA_LEN;
use super::wire::{CHUNK_LEN, Chunk};

/// Metadata on its way to one member. It stays the same until acknowledged, even when newer metadata waits:
/// otherwise frequent changes would keep a long transfer from ever ending.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    version: u64,
    octets: Arc<[u8]>,
    next: usize,
}

impl Outgoing {
    pub(super) const fn new(version: u64, octets: Arc<[u8]>) -> Self {
        Self { version, octets, next: 0 }
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// The next chunk; after the last one it begins again.
    pub(super) fn next_chunk(&mut self) -> Option<Chunk<'_>> {
        let offset = self.next;
        let octets = self.octets.get(offset..)?;
        let octets = octets.get(..CHUNK_LEN).unwrap_or(octets);
        let end = offset.saturating_add(octets.len());
        self.next = if end >= self.octets.len() { 0 } else { end };
        Some(Chunk {
            version: self.version,
            total: u32::try_from(self.octets.len()).ok()?,
            offset: u32::try_from(offset).ok()?,
            octets,
        })
    }
}

/// Metadata coming in from one member. Memory grows only with octets that have arrived.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    version: u64,
    total: usize,
    parts: BTreeMap<usize, Box<[u8]>>,
}

impl Incoming {
    /// Takes a chunk into `slot`; the whole when it is complete. A chunk of another version or length
    /// begins anew; one that does not fit the rules is left out. The caller compares the whole with its digest.
    pub(super) fn accept(slot: &mut Option<Self>, chunk: &Chunk<'_>) -> Option<Vec<u8>> {
        let total = usize::try_from(chunk.total).ok()?;
        let offset = usize::try_from(chunk.offset).ok()?;
        let expected = total.checked_sub(offset)?.min(CHUNK_LEN);
        if total > MAX_METADATA_LEN || offset % CHUNK_LEN != 0 || chunk.octets.len() != expected {
            return None;
        }
        let same = |incoming: &Self| incoming.version == chunk.version && incoming.total == total;
        if !slot.as_ref().is_some_and(same) {
            *slot = Some(Self { version: chunk.version, total, parts: BTreeMap::new() });
        }
        let incoming = slot.as_mut()?;
        incoming.parts.entry(offset).or_insert_with(|| chunk.octets.into());
        if incoming.parts.len() < total.div_ceil(CHUNK_LEN).max(1) {
            return None;
        }
        let whole = incoming.parts.values().flat_map(|part| part.iter().copied()).collect();
        *slot = None;
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(octets: Vec<u8>, lost: impl Fn(usize) -> bool) -> (Vec<u8>, usize) {
        let mut outgoing = Outgoing::new(3, octets.into());
        let mut slot = None;
        for sent in 0..10_000 {
            let chunk = outgoing.next_chunk().unwrap();
            if lost(sent) {
                continue;
            }
            if let Some(whole) = Incoming::accept(&mut slot, &chunk) {
                return (whole, sent + 1);
            }
        }
        panic!("never complete");
    }

    #[test]
    fn every_length_arrives_whole() {
        for length in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 5 * CHUNK_LEN, 5 * CHUNK_LEN + 7] {
            let octets: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let (whole, sent) = transfer(octets.clone(), |_| false);
            assert_eq!(whole, octets);
            assert_eq!(sent, length.div_ceil(CHUNK_LEN).max(1));
        }
    }

    #[test]
    fn a_lost_chunk_comes_again_in_its_turn() {
        let octets = vec![9; 3 * CHUNK_LEN];
        let (whole, sent) = transfer(octets.clone(), |sent| sent == 1);
        assert_eq!((whole, sent), (octets, 5));
    }

    #[test]
    fn a_chunk_that_breaks_the_rules_is_left_out() {
        let mut slot = None;
        let chunk = Chunk { version: 1, total: 10, offset: 0, octets: &[0; 10] };
        for bad in [
            Chunk { total: u32::MAX, ..chunk },
            Chunk { offset: 1, ..chunk },
            Chunk { offset: 2_000, ..chunk },
            Chunk { octets: &[0; 9], ..chunk },
        ] {
            assert_eq!(Incoming::accept(&mut slot, &bad), None);
            assert!(slot.is_none());
        }
        assert_eq!(Incoming::accept(&mut slot, &chunk), Some(vec![0; 10]));
    }
}

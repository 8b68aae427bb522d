//! The announced addresses, found by hash in constant time.

use core::hash::{BuildHasherDefault, Hasher};
use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::time::Instant;

use super::types::{AnnounceError, Counters, InterfaceIndex, Scope};
use crate::gratuitous::{Class, Schedule};
use crate::wire::ndp::Nonce;

/// An address as one number: IPv4 as IPv4-mapped IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u128);

impl From<IpAddr> for Key {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits()),
        }
    }
}

impl From<Key> for IpAddr {
    fn from(key: Key) -> Self {
        Self::V6(Ipv6Addr::from_bits(key.0)).to_canonical()
    }
}

/// Checks that an address can belong to a machine; IPv4-mapped IPv6 becomes IPv4.
pub(crate) fn validate(address: IpAddr) -> Result<IpAddr, AnnounceError> {
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast {
        return Err(AnnounceError::NotUnicast { address });
    }
    Ok(address)
}

/// All announced addresses. Only the user adds keys, so the hash needs no protection against peers.
#[derive(Debug, Default)]
pub(super) struct Table(HashMap<Key, Entry, BuildHasherDefault<FoldHasher>>);

impl Table {
    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.0.get_mut(&key)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.0.get(&key)
    }

    pub(super) fn insert(&mut self, key: Key, entry: Entry) {
        self.0.insert(key, entry);
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry> {
        self.0.remove(&key)
    }

    /// All keys, in order: what is done to each may reach an output.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.0.keys().copied().collect();
        keys.sort_unstable();
        keys
    }
}

/// One announced address.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) scope: Scope,
    pub(super) counters: Counters,
    /// The interfaces it lives on: those in scope that can carry its family.
    pub(super) presences: Vec<Presence>,
}

impl Entry {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, counters: Counters::default(), presences: Vec::new() }
    }

    #[inline]
    pub(super) fn presence(&mut self, interface: InterfaceIndex) -> Option<&mut Presence> {
        self.presences.iter_mut().find(|presence| presence.interface == interface)
    }
}

/// One announced address on one interface.
#[derive(Debug)]
pub(super) struct Presence {
    pub(super) interface: InterfaceIndex,
    pub(super) phase: Phase,
    /// Where it stands in the schedule.
    due: Option<(Class, Instant)>,
    /// Its place among all, for spreading refreshes.
    pub(super) number: u32,
    /// When the last conflict was reported.
    pub(super) conflict_at: Option<Instant>,
}

impl Presence {
    pub(super) fn new(interface: InterfaceIndex, number: u32) -> Self {
        Self { interface, phase: Phase::Steady, due: None, number, conflict_at: None }
    }

    /// Makes it due at another time, or not at all.
    pub(super) fn reschedule(&mut self, schedule: &mut Schedule, key: Key, due: Option<(Class, Instant)>) {
        if let Some(old) = self.due {
            schedule.remove(old, (key, self.interface));
        }
        if let Some(new) = due {
            schedule.insert(new, (key, self.interface));
        }
        self.due = due;
    }

    /// Notes that the schedule has handed it out.
    pub(super) fn taken(&mut self) {
        self.due = None;
    }

    /// Whether requests for it are answered.
    #[inline]
    pub(super) fn answers(&self) -> bool {
        matches!(self.phase, Phase::Announcing { .. } | Phase::Steady)
    }

    /// When it is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due.map(|(_, at)| at)
    }
}

/// How far an address has come on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Asking whether anybody else uses it.
    Probing {
        /// Probes still to be sent.
        left: u8,
        /// Nonce of the newest probe (IPv6).
        nonce: Option<Nonce>,
    },
    /// Left to another machine until the next round of probes.
    Yielded,
    /// New: announced often.
    Announcing {
        /// Repetitions after the next announcement.
        left: u8,
    },
    /// Announced now and then.
    Steady,
}

/// Folds a 128-bit key with two multiplications.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(*byte));
        }
    }

    #[inline]
    fn write_u128(&mut self, key: u128) {
        let folded = fold(key ^ u128::from(self.0) ^ OFFSET, MULTIPLIER_HIGH);
        self.0 = fold(u128::from(folded), MULTIPLIER_LOW);
    }
}

/// Both halves times an odd number, mixed: every bit of the key reaches the upper bits of the result,
/// which the hash table's tags are taken from, and the lower ones, which its buckets are taken from.
#[inline]
fn fold(key: u128, by: u128) -> u64 {
    let product = key.wrapping_mul(by);
    let bytes = (product ^ (product >> 64) ^ (product >> 32)).to_le_bytes();
    let (low, _) = bytes.split_at(8);
    low.iter().rev().fold(0, |all, byte| (all << 8) | u64::from(*byte))
}

const OFFSET: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344;
const MULTIPLIER_HIGH: u128 = 0xa409_3822_299f_31d0_082e_fa98_ec4e_6c89;
const MULTIPLIER_LOW: u128 = 0x4528_21e6_38d0_1377;

//! The announced addresses, found by hash in constant time.

use core::hash::{BuildHasherDefault, Hasher};
use core::net::{IpAddr, Ipv6Addr};
use core::ops::{Deref, DerefMut};
use std::collections::HashMap;
use std::time::Instant;

use super::types::{AnnounceError, CLAIM_INTERVAL, Counters, DEFEND_INTERVAL, InterfaceIndex, Scope};
use crate::gratuitous::{Class, REPEATS, Schedule};
use crate::wire::MacAddr;
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
///
/// What a request needs stands in the table itself, in less than a cache line; the rest of an address is
/// behind a pointer.
#[derive(Debug, Default)]
pub(super) struct Table(HashMap<Key, Slot, BuildHasherDefault<FoldHasher>>);

impl Table {
    /// What a request needs of an address.
    #[inline]
    pub(super) fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.0.get_mut(&key)
    }

    /// An address, to be changed.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<EntryMut<'_>> {
        self.0.get_mut(&key).map(EntryMut)
    }

    /// The counters of an address.
    pub(super) fn counters(&self, key: Key) -> Option<Counters> {
        self.0.get(&key).map(|slot| Counters {
            requests: slot.requests,
            responses: slot.responses,
            gratuitous: slot.entry.gratuitous,
            conflicts: slot.entry.conflicts,
            handovers: slot.entry.handovers,
        })
    }

    /// Adds an address or changes its scope; `false` when nothing changes.
    pub(super) fn set_scope(&mut self, key: Key, scope: Scope) -> bool {
        if let Some(slot) = self.0.get_mut(&key) {
            let changes = slot.entry.scope != scope;
            slot.entry.scope = scope;
            return changes;
        }
        let entry = Entry { scope, gratuitous: 0, conflicts: 0, handovers: 0, presences: Vec::new() };
        let slot = Slot { requests: 0, responses: 0, answering: Answering::Nowhere, entry: Box::new(entry) };
        self.0.insert(key, slot);
        true
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.0.remove(&key);
    }

    /// All keys, in order: what is done to each may reach an output.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.0.keys().copied().collect();
        keys.sort_unstable();
        keys
    }
}

/// What a request needs of an announced address.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) requests: u64,
    pub(super) responses: u64,
    answering: Answering,
    entry: Box<Entry>,
}

/// Where an address answers, kept in step by [`EntryMut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answering {
    Nowhere,
    Only(InterfaceIndex),
    Several,
}

/// How an address stands on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does not live there.
    Absent,
    /// It is being probed for, or left to another machine.
    Quiet {
        /// Probes are being sent.
        probing: bool,
    },
    /// Requests are answered.
    Answers,
}

impl Slot {
    #[inline]
    pub(super) fn standing(&self, interface: InterfaceIndex) -> Standing {
        if self.answering == Answering::Only(interface) { Standing::Answers } else { self.look_up(interface) }
    }

    fn look_up(&self, interface: InterfaceIndex) -> Standing {
        match self.entry.presences.iter().find(|presence| presence.interface == interface) {
            None => Standing::Absent,
            Some(presence) if presence.answers() => Standing::Answers,
            Some(presence) => Standing::Quiet { probing: matches!(presence.phase, Phase::Probing { .. }) },
        }
    }
}

/// An announced address being changed.
pub(super) struct EntryMut<'a>(&'a mut Slot);

impl Deref for EntryMut<'_> {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0.entry
    }
}

impl DerefMut for EntryMut<'_> {
    fn deref_mut(&mut self) -> &mut Entry {
        &mut self.0.entry
    }
}

impl Drop for EntryMut<'_> {
    fn drop(&mut self) {
        let mut answering = self.0.entry.presences.iter().filter(|presence| presence.answers());
        self.0.answering = match (answering.next(), answering.next()) {
            (None, _) => Answering::Nowhere,
            (Some(only), None) => Answering::Only(only.interface),
            (Some(_), Some(_)) => Answering::Several,
        };
    }
}

/// One announced address.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) scope: Scope,
    /// See [`Counters::gratuitous`].
    pub(super) gratuitous: u64,
    /// See [`Counters::conflicts`].
    pub(super) conflicts: u64,
    /// See [`Counters::handovers`].
    pub(super) handovers: u64,
    /// The interfaces it lives on: those in scope that can carry its family.
    pub(super) presences: Vec<Presence>,
}

impl Entry {
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
    /// When the last conflict that was acted on began.
    pub(super) conflict_at: Option<Instant>,
    /// Who claims the address, until that is reported.
    pub(super) claimant: Option<MacAddr>,
    /// The partner whose claim was last reported, and when.
    partner: Option<(MacAddr, Instant)>,
}

impl Presence {
    pub(super) fn new(interface: InterfaceIndex, number: u32) -> Self {
        Self {
            interface,
            phase: Phase::Steady,
            due: None,
            number,
            conflict_at: None,
            claimant: None,
            partner: None,
        }
    }

    /// A partner claims the address: whether that is to be reported.
    pub(super) fn is_new_claim(&mut self, now: Instant, mac: MacAddr) -> bool {
        let recent = |(by, at)| by == mac && now.saturating_duration_since(at) < CLAIM_INTERVAL;
        let new = !self.partner.is_some_and(recent);
        if new {
            self.partner = Some((mac, now));
        }
        new
    }

    /// Whether it was defended a short while ago.
    pub(super) fn has_defended(&self, now: Instant) -> bool {
        self.conflict_at.and_then(|at| at.checked_add(DEFEND_INTERVAL)).is_some_and(|end| now < end)
    }

    /// Announces it as if it were new, where it is answered for.
    pub(super) fn announce_again(&mut self, now: Instant, key: Key, schedule: &mut Schedule) {
        if self.answers() {
            self.phase = Phase::Announcing { left: REPEATS };
            self.reschedule(schedule, key, Some((Class::Urgent, now)));
        }
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

/// Folds a 128-bit key with one multiplication: every bit of it reaches the upper bits of the result,
/// which the hash table's tags are taken from, and the lower ones, which its buckets are taken from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FoldHasher(u64);

impl Hasher for FoldHasher {
    #[inline]
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
        let (high, low) = halves(key);
        let (above, below) = halves(u128::from(low ^ self.0 ^ LOW_MASK) * u128::from(high ^ HIGH_MASK));
        self.0 = above ^ below;
    }
}

#[inline]
fn halves(whole: u128) -> (u64, u64) {
    let high = u64::try_from(whole >> 64).unwrap_or_default();
    let low = u64::try_from(whole & u128::from(u64::MAX)).unwrap_or_default();
    (high, low)
}

const LOW_MASK: u64 = 0x243f_6a88_85a3_08d3;
const HIGH_MASK: u64 = 0xa409_3822_299f_31d1;

//! Prefixes of the Withdrawn Routes and NLRI fields and of the multiprotocol attributes.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::walk::{self, Head};
use crate::types::Family;
use crate::wire::reader::Short;

/// Prefixes of one family out of an UPDATE, already known to be well-formed.
///
/// Host bits are zero whatever the peer sent.
#[derive(Clone, Debug)]
pub struct Prefixes<'a> {
    family: Family,
    path_ids: bool,
    lengths: Lengths,
    head: Head,
    octets: &'a [u8],
    count: usize,
}

/// What the lengths of the prefixes of one list have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    /// All are single addresses.
    Host,
    /// All have the length of the first.
    Same,
    /// Nothing that is known.
    Mixed,
}

impl<'a> Prefixes<'a> {
    /// Checks that `octets` are a list of prefixes of `family` (RFC 4271 §4.3, RFC 7606 §5.3), each with a path
    /// identifier before it if `path_ids` (RFC 7911 §3).
    pub(super) fn new(family: Family, path_ids: bool, octets: &'a [u8]) -> Result<Self, Short> {
        let before = if path_ids { PATH_ID_LEN } else { 0 };
        let Some(bits) = octets.get(before).copied() else {
            return if octets.is_empty() { Ok(Self::empty(family)) } else { Err(Short) };
        };
        let (alike, rest) = run(bits, family, before, octets)?;
        let others = match family {
            _ if rest.is_empty() => 0,
            Family::Ipv4Unicast if !path_ids => walk::count(rest)?,
            _ => count(family, before, rest)?,
        };
        let lengths = match bits {
            _ if path_ids || !rest.is_empty() => Lengths::Mixed,
            bits if bits == family.max_prefix_len() => Lengths::Host,
            _ => Lengths::Same,
        };
        let count = alike.wrapping_add(others);
        Ok(Self { family, path_ids, lengths, head: Head::of(octets), octets, count })
    }

    pub(super) const fn empty(family: Family) -> Self {
        let lengths = Lengths::Mixed;
        Self { family, path_ids: false, lengths, head: Head::NONE, octets: &[], count: 0 }
    }

    /// The family of all the prefixes.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The next prefix with its path identifier, `None` inside where the session has none (RFC 7911).
    #[inline]
    pub fn next_path(&mut self) -> Option<(Option<u32>, IpNetwork)> {
        let path_id = if self.path_ids {
            let (id, rest) = self.octets.split_first_chunk::<PATH_ID_LEN>()?;
            self.octets = rest;
            self.head = Head::of(rest);
            Some(u32::from_be_bytes(*id))
        } else {
            None
        };
        let prefix = match self.family {
            Family::Ipv4Unicast => IpNetwork::V4(self.next_ipv4()?),
            Family::Ipv6Unicast => IpNetwork::V6(self.next_ipv6()?),
        };
        self.count = self.count.saturating_sub(1);
        Some((path_id, prefix))
    }

    /// Without a branch that depends on one prefix's length, which would go wrong too often where lengths differ.
    #[inline]
    fn next_ipv4(&mut self) -> Option<Ipv4Network> {
        if self.lengths == Lengths::Host {
            let ([_, address @ ..], rest) = self.octets.split_first_chunk::<IPV4_HOST>()?;
            self.octets = rest;
            return Ipv4Network::new(Ipv4Addr::from(*address), IPV4_MAX).ok();
        }
        let Some(window) = self.octets.first_chunk() else {
            let (prefix, rest) = last_ipv4(self.octets)?;
            self.octets = rest;
            return Some(prefix);
        };
        let bits = self.head.bits();
        let step = match self.lengths {
            Lengths::Mixed => self.head.advance(u64::from_le_bytes(*window)),
            _ => octets_of(bits),
        };
        self.octets = self.octets.get(step..)?;
        let [_, a, b, c, d, ..] = *window;
        ipv4(bits, [a, b, c, d])
    }

    #[inline]
    fn next_ipv6(&mut self) -> Option<Ipv6Network> {
        let Some([bits, address @ ..]) = self.octets.first_chunk::<IPV6_HOST>() else {
            let (prefix, rest) = last_ipv6(self.octets)?;
            self.octets = rest;
            return Some(prefix);
        };
        if self.lengths == Lengths::Host {
            self.octets = self.octets.get(IPV6_HOST..)?;
            return Ipv6Network::new(Ipv6Addr::from(*address), IPV6_MAX).ok();
        }
        let bits = if self.lengths == Lengths::Same { self.head.bits() } else { *bits };
        self.octets = self.octets.get(octets_of(bits)..)?;
        ipv6(bits, *address)
    }
}

impl Iterator for Prefixes<'_> {
    type Item = IpNetwork;

    #[inline]
    fn next(&mut self) -> Option<IpNetwork> {
        self.next_path().map(|(_, prefix)| prefix)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Prefixes<'_> {}

/// Counts the prefixes at the front that are as long as the first, and returns what follows them. With a step that
/// does not depend on what is read, the processor need not wait for one prefix to find the next.
fn run(bits: u8, family: Family, before: usize, octets: &[u8]) -> Result<(usize, &[u8]), Short> {
    if bits > family.max_prefix_len() {
        return Err(Short);
    }
    let step = octets_of(bits).wrapping_add(before);
    let mut rest = octets;
    let mut count = 0_usize;
    loop {
        rest = rest.get(step..).ok_or(Short)?;
        count = count.wrapping_add(1);
        if rest.get(before) != Some(&bits) {
            return Ok((count, rest));
        }
    }
}

/// Counts the prefixes in `octets`, each with `before` octets before it.
pub(super) fn count(family: Family, before: usize, octets: &[u8]) -> Result<usize, Short> {
    let mut rest = octets;
    let mut count = 0_usize;
    while let Some(bits) = rest.get(before).copied() {
        if bits > family.max_prefix_len() {
            return Err(Short);
        }
        rest = rest.get(octets_of(bits).wrapping_add(before)..).ok_or(Short)?;
        count = count.wrapping_add(1);
    }
    if rest.is_empty() { Ok(count) } else { Err(Short) }
}

#[inline]
fn ipv4(bits: u8, octets: [u8; 4]) -> Option<Ipv4Network> {
    let mask = u32::MAX.checked_shl(32_u32.checked_sub(u32::from(bits))?).unwrap_or(0);
    Ipv4Network::new(Ipv4Addr::from_bits(u32::from_be_bytes(octets) & mask), bits).ok()
}

#[inline]
fn ipv6(bits: u8, octets: [u8; 16]) -> Option<Ipv6Network> {
    let mask = u128::MAX.checked_shl(128_u32.checked_sub(u32::from(bits))?).unwrap_or(0);
    Ipv6Network::new(Ipv6Addr::from_bits(u128::from_be_bytes(octets) & mask), bits).ok()
}

/// The prefix at the front of less than a window.
fn last_ipv4(octets: &[u8]) -> Option<(Ipv4Network, &[u8])> {
    let (bits, rest) = octets.split_first()?;
    let (address, rest) = rest.split_at_checked(octets_of(*bits).wrapping_sub(1))?;
    Some((ipv4(*bits, padded(address))?, rest))
}

/// The prefix at the front of less than a window.
fn last_ipv6(octets: &[u8]) -> Option<(Ipv6Network, &[u8])> {
    let (bits, rest) = octets.split_first()?;
    let (address, rest) = rest.split_at_checked(octets_of(*bits).wrapping_sub(1))?;
    Some((ipv6(*bits, padded(address))?, rest))
}

/// `octets` with zeros after them.
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    padded.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    padded
}

/// Octets a prefix of `bits` takes, its length octet included.
#[inline]
pub(super) const fn octets_of(bits: u8) -> usize {
    // A shift instead of a rounding division: the way to the next prefix depends on it.
    ((bits as usize).wrapping_add(15)) >> 3
}

/// The longest IPv4 prefix in bits.
pub(super) const IPV4_MAX: u8 = 32;
/// The longest IPv6 prefix in bits.
const IPV6_MAX: u8 = 128;
/// Octets of the longest IPv4 prefix, its length octet included.
const IPV4_HOST: usize = 5;
/// Octets of the longest IPv6 prefix, its length octet included.
const IPV6_HOST: usize = 17;
const PATH_ID_LEN: usize = 4;

//! Prefixes of the Withdrawn Routes and NLRI fields and of the multiprotocol attributes.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use crate::types::Family;
use crate::wire::reader::Short;

/// Prefixes of one family out of an UPDATE, already known to be well-formed.
///
/// Host bits are zero whatever the peer sent.
#[derive(Clone, Debug)]
pub struct Prefixes<'a> {
    family: Family,
    path_ids: bool,
    octets: &'a [u8],
    count: usize,
}

impl<'a> Prefixes<'a> {
    /// Checks that `octets` are a list of prefixes of `family` (RFC 4271 §4.3, RFC 7606 §5.3), each with a path
    /// identifier before it if `path_ids` (RFC 7911 §3).
    pub(super) fn new(family: Family, path_ids: bool, octets: &'a [u8]) -> Result<Self, Short> {
        let before = if path_ids { PATH_ID_LEN } else { 0 };
        let mut rest = octets;
        let mut count = 0_usize;
        while let Some(bits) = rest.get(before).copied() {
            if bits > family.max_prefix_len() {
                return Err(Short);
            }
            // Neighbours mostly have equal lengths; with a step that does not depend on what is read, the
            // processor need not wait for one prefix to find the next.
            let step = octets_of(bits).wrapping_add(before);
            loop {
                rest = rest.get(step..).ok_or(Short)?;
                count = count.wrapping_add(1);
                if rest.get(before) != Some(&bits) {
                    break;
                }
            }
        }
        if rest.is_empty() { Ok(Self { family, path_ids, octets, count }) } else { Err(Short) }
    }

    pub(super) const fn empty(family: Family) -> Self {
        Self { family, path_ids: false, octets: &[], count: 0 }
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
            Some(u32::from_be_bytes(*id))
        } else {
            None
        };
        let (bits, rest) = self.octets.split_first()?;
        self.count = self.count.saturating_sub(1);
        let prefix = match self.family {
            Family::Ipv4Unicast => IpNetwork::V4(self.take_ipv4(*bits, rest)?),
            Family::Ipv6Unicast => IpNetwork::V6(self.take_ipv6(*bits, rest)?),
        };
        Some((path_id, prefix))
    }

    /// A single address moves on by a constant, so that the processor need not wait for the length it reads.
    #[inline]
    fn take_ipv4(&mut self, bits: u8, rest: &'a [u8]) -> Option<Ipv4Network> {
        if bits == 32 {
            let (address, rest) = rest.split_first_chunk::<4>()?;
            self.octets = rest;
            return Ipv4Network::new(Ipv4Addr::from(*address), 32).ok();
        }
        self.octets = rest.get(usize::from(bits).div_ceil(8)..)?;
        ipv4(bits, rest)
    }

    #[inline]
    fn take_ipv6(&mut self, bits: u8, rest: &'a [u8]) -> Option<Ipv6Network> {
        if bits == 128 {
            let (address, rest) = rest.split_first_chunk::<16>()?;
            self.octets = rest;
            return Ipv6Network::new(Ipv6Addr::from(*address), 128).ok();
        }
        self.octets = rest.get(usize::from(bits).div_ceil(8)..)?;
        ipv6(bits, rest)
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

#[inline]
fn ipv4(bits: u8, octets: &[u8]) -> Option<Ipv4Network> {
    let address = u32::from_be_bytes(padded(octets));
    let mask = u32::MAX.checked_shl(32_u32.checked_sub(u32::from(bits))?).unwrap_or(0);
    Ipv4Network::new(Ipv4Addr::from_bits(address & mask), bits).ok()
}

#[inline]
fn ipv6(bits: u8, octets: &[u8]) -> Option<Ipv6Network> {
    let address = u128::from_be_bytes(padded(octets));
    let mask = u128::MAX.checked_shl(128_u32.checked_sub(u32::from(bits))?).unwrap_or(0);
    Ipv6Network::new(Ipv6Addr::from_bits(address & mask), bits).ok()
}

/// The first `N` octets, with zeros where there are fewer.
#[inline]
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    octets.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; N];
        padded.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        padded
    })
}

/// Octets a prefix of `bits` takes, its length octet included.
#[inline]
fn octets_of(bits: u8) -> usize {
    usize::from(bits).div_ceil(8).wrapping_add(1)
}

const PATH_ID_LEN: usize = 4;

//! Prefixes as the NLRI fields carry them.

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use crate::types::Family;

/// The room [`WirePrefix::put`] is given: more than the longest prefix needs.
pub(super) const SLOT: usize = 17;

/// A prefix that can be written into an NLRI field: the network types of `ipnetwork` and references to them.
///
/// Host bits are written as zero, so `10.0.0.5/8` becomes `10.0.0.0/8`.
pub trait WirePrefix: std::fmt::Debug + sealed::Sealed {
    /// The octets of the address when the prefix is a single IPv4 address; most tables have nothing else.
    #[doc(hidden)]
    fn ipv4_host(&self) -> Option<[u8; 4]>;

    /// The octets of the address when the prefix is a single IPv6 address.
    #[doc(hidden)]
    fn ipv6_host(&self) -> Option<[u8; 16]>;

    /// Writes length and octets to the front of `slot` and returns how many that are; `None` when the prefix is
    /// not of `family`. What follows in the slot is undefined.
    #[doc(hidden)]
    fn put(&self, family: Family, slot: &mut [u8; SLOT]) -> Option<usize>;
}

impl WirePrefix for Ipv4Network {
    #[inline]
    fn ipv4_host(&self) -> Option<[u8; 4]> {
        (self.prefix() == 32).then(|| self.ip().octets())
    }

    #[inline]
    fn ipv6_host(&self) -> Option<[u8; 16]> {
        None
    }

    #[inline]
    fn put(&self, family: Family, slot: &mut [u8; SLOT]) -> Option<usize> {
        if family != Family::Ipv4Unicast {
            return None;
        }
        let host_bits = 32_u32.wrapping_sub(u32::from(self.prefix()));
        let network = (u64::from(self.ip().to_bits()) >> (host_bits & 63)) << (host_bits & 63);
        let octets = (u64::from(self.prefix()) << 56) | (network << 24);
        if let Some(front) = slot.first_chunk_mut() {
            *front = octets.to_be_bytes();
        }
        Some(octets_of(self.prefix()))
    }
}

impl WirePrefix for Ipv6Network {
    #[inline]
    fn ipv4_host(&self) -> Option<[u8; 4]> {
        None
    }

    #[inline]
    fn ipv6_host(&self) -> Option<[u8; 16]> {
        (self.prefix() == 128).then(|| self.ip().octets())
    }

    #[inline]
    fn put(&self, family: Family, slot: &mut [u8; SLOT]) -> Option<usize> {
        if family != Family::Ipv6Unicast {
            return None;
        }
        let host_bits = 128_u32.wrapping_sub(u32::from(self.prefix()));
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        let (length, network) = slot.split_first_mut()?;
        *length = self.prefix();
        *network.first_chunk_mut()? = (self.ip().to_bits() & mask).to_be_bytes();
        Some(octets_of(self.prefix()))
    }
}

impl WirePrefix for IpNetwork {
    #[inline]
    fn ipv4_host(&self) -> Option<[u8; 4]> {
        match self {
            Self::V4(network) => network.ipv4_host(),
            Self::V6(_) => None,
        }
    }

    #[inline]
    fn ipv6_host(&self) -> Option<[u8; 16]> {
        match self {
            Self::V4(_) => None,
            Self::V6(network) => network.ipv6_host(),
        }
    }

    #[inline]
    fn put(&self, family: Family, slot: &mut [u8; SLOT]) -> Option<usize> {
        match self {
            Self::V4(network) => network.put(family, slot),
            Self::V6(network) => network.put(family, slot),
        }
    }
}

impl<P: WirePrefix> WirePrefix for &P {
    #[inline]
    fn ipv4_host(&self) -> Option<[u8; 4]> {
        (*self).ipv4_host()
    }

    #[inline]
    fn ipv6_host(&self) -> Option<[u8; 16]> {
        (*self).ipv6_host()
    }

    #[inline]
    fn put(&self, family: Family, slot: &mut [u8; SLOT]) -> Option<usize> {
        (*self).put(family, slot)
    }
}

/// The most octets a prefix of `family` takes, its length octet included.
pub(super) const fn max_octets(family: Family) -> usize {
    match family {
        Family::Ipv4Unicast => IPV4_HOST,
        Family::Ipv6Unicast => IPV6_HOST,
    }
}

/// Octets of an IPv4 host route.
pub(super) const IPV4_HOST: usize = 5;
/// Octets of an IPv6 host route.
pub(super) const IPV6_HOST: usize = 17;

/// Octets a prefix of `bits` takes, its length octet included.
#[inline]
fn octets_of(bits: u8) -> usize {
    usize::from(bits).div_ceil(8).wrapping_add(1)
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for ipnetwork::IpNetwork {}
    impl Sealed for ipnetwork::Ipv4Network {}
    impl Sealed for ipnetwork::Ipv6Network {}
    impl<T: Sealed> Sealed for &T {}
}

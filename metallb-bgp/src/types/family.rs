//! Address families.

use std::fmt;

use ipnetwork::IpNetwork;

use crate::wire::iana;

/// An address family this crate can announce and understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 unicast (AFI 1, SAFI 1).
    Ipv4Unicast,
    /// IPv6 unicast (AFI 2, SAFI 1).
    Ipv6Unicast,
}

impl Family {
    /// Every family, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Ipv4Unicast, Self::Ipv6Unicast];

    /// The family `prefix` belongs to.
    pub const fn of(prefix: &IpNetwork) -> Self {
        match prefix {
            IpNetwork::V4(_) => Self::Ipv4Unicast,
            IpNetwork::V6(_) => Self::Ipv6Unicast,
        }
    }

    /// The family's code points.
    pub const fn afi_safi(self) -> AfiSafi {
        match self {
            Self::Ipv4Unicast => AfiSafi { afi: iana::AFI_IPV4, safi: iana::SAFI_UNICAST },
            Self::Ipv6Unicast => AfiSafi { afi: iana::AFI_IPV6, safi: iana::SAFI_UNICAST },
        }
    }

    /// The longest prefix of the family in bits.
    pub const fn max_prefix_len(self) -> u8 {
        match self {
            Self::Ipv4Unicast => 32,
            Self::Ipv6Unicast => 128,
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Ipv4Unicast => 1,
            Self::Ipv6Unicast => 2,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Unicast => "IPv4 unicast",
            Self::Ipv6Unicast => "IPv6 unicast",
        })
    }
}

/// AFI and SAFI as they stand on the wire, known to this crate or not (RFC 4760 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AfiSafi {
    /// Address Family Identifier.
    pub afi: u16,
    /// Subsequent Address Family Identifier.
    pub safi: u8,
}

impl AfiSafi {
    /// The family these code points name, if this crate knows it.
    pub const fn family(self) -> Option<Family> {
        match (self.afi, self.safi) {
            (iana::AFI_IPV4, iana::SAFI_UNICAST) => Some(Family::Ipv4Unicast),
            (iana::AFI_IPV6, iana::SAFI_UNICAST) => Some(Family::Ipv6Unicast),
            _ => None,
        }
    }
}

impl From<Family> for AfiSafi {
    fn from(family: Family) -> Self {
        family.afi_safi()
    }
}

impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family() {
            Some(family) => family.fmt(f),
            None => write!(f, "AFI {} SAFI {}", self.afi, self.safi),
        }
    }
}

/// A set of families.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Families(u8);

impl Families {
    /// No family.
    pub const EMPTY: Self = Self(0);
    /// Every family this crate knows.
    pub const BOTH: Self = Self(3);

    /// The set of one family.
    pub const fn only(family: Family) -> Self {
        Self(family.bit())
    }

    /// The set with `family` in it.
    #[must_use]
    pub const fn with(self, family: Family) -> Self {
        Self(self.0 | family.bit())
    }

    /// The set with `family` taken out.
    #[must_use]
    pub const fn without(self, family: Family) -> Self {
        Self(self.0 & !family.bit())
    }

    /// What both sets hold.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `family` is in the set.
    pub const fn contains(self, family: Family) -> bool {
        self.0 & family.bit() != 0
    }

    /// Whether there is nothing in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The families of the set in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.contains(*family))
    }
}

impl FromIterator<Family> for Families {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        families.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

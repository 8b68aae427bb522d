//! Options of neighbor discovery messages (RFC 4861 §4.6, RFC 8106, RFC 7527).

use core::net::Ipv6Addr;

use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::wire::MacAddr;

/// The options of a message: checked once, then read as often as needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// Checks that every option has a length, ends inside the message, and is long enough for its type.
    ///
    /// # Errors
    /// The first option that does not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OptionError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (_, behind) = NdpOption::split(rest)?;
            rest = behind;
        }
        Ok(Self(bytes))
    }

    /// The options in the order of the message.
    pub fn iter(self) -> impl Iterator<Item = NdpOption<'a>> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (option, behind) = NdpOption::split(rest).ok()?;
            rest = behind;
            Some(option)
        })
    }

    /// The first source link-layer address.
    pub fn source_link_layer(self) -> Option<MacAddr> {
        self.iter().find_map(|option| match option {
            NdpOption::SourceLinkLayer(mac) => Some(mac),
            _ => None,
        })
    }

    /// The first target link-layer address.
    pub fn target_link_layer(self) -> Option<MacAddr> {
        self.iter().find_map(|option| match option {
            NdpOption::TargetLinkLayer(mac) => Some(mac),
            _ => None,
        })
    }

    /// The first nonce, whatever its length (RFC 3971 §5.3.2, RFC 7527 §4.1).
    pub fn nonce(self) -> Option<&'a [u8]> {
        self.iter().find_map(|option| match option {
            NdpOption::Nonce(nonce) => Some(nonce),
            _ => None,
        })
    }
}

/// One option of a neighbor discovery message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NdpOption<'a> {
    /// Hardware address of the sender (RFC 4861 §4.6.1).
    SourceLinkLayer(MacAddr),
    /// Hardware address of the target (RFC 4861 §4.6.1).
    TargetLinkLayer(MacAddr),
    /// A prefix on the link (RFC 4861 §4.6.2).
    Prefix(PrefixInformation),
    /// The MTU of the link (RFC 4861 §4.6.4).
    Mtu(u32),
    /// Ties an answer to a question; at least six octets (RFC 3971 §5.3.2, RFC 7527).
    Nonce(&'a [u8]),
    /// Recursive DNS servers, undecoded: everything behind the length octet (RFC 8106 §5.1).
    RecursiveDns(&'a [u8]),
    /// Any other option, kept: everything behind the length octet.
    Unknown(OptionKind, &'a [u8]),
}

impl<'a> NdpOption<'a> {
    /// The first option in `bytes`, and what stands behind it.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), OptionError> {
        let cut_short = OptionError::Truncated { octets: bytes.len() };
        let (head, rest) = Head::ref_from_prefix(bytes).map_err(|_| cut_short)?;
        let body_len = (usize::from(head.length) * UNIT)
            .checked_sub(size_of::<Head>())
            .ok_or(OptionError::ZeroLength(OptionKind(head.kind)))?;
        let (body, rest) = rest.split_at_checked(body_len).ok_or(cut_short)?;
        Ok((Self::read(OptionKind(head.kind), body)?, rest))
    }

    fn read(kind: OptionKind, body: &'a [u8]) -> Result<Self, OptionError> {
        let too_short = OptionError::TooShort { kind, octets: body.len() };
        let mac = || MacAddr::read_from_prefix(body).map(|(mac, _)| mac).map_err(|_| too_short);
        Ok(match kind {
            OptionKind::SOURCE_LINK_LAYER => Self::SourceLinkLayer(mac()?),
            OptionKind::TARGET_LINK_LAYER => Self::TargetLinkLayer(mac()?),
            OptionKind::PREFIX_INFORMATION => {
                let (raw, _) = RawPrefix::ref_from_prefix(body).map_err(|_| too_short)?;
                Self::Prefix(PrefixInformation::from_raw(raw))
            }
            OptionKind::MTU => {
                let (raw, _) = RawMtu::ref_from_prefix(body).map_err(|_| too_short)?;
                Self::Mtu(raw.mtu.get())
            }
            OptionKind::NONCE => Self::Nonce(body),
            OptionKind::RECURSIVE_DNS => Self::RecursiveDns(body),
            unknown => Self::Unknown(unknown, body),
        })
    }
}

/// The type of an option ([registry](https://www.iana.org/assignments/icmpv6-parameters)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionKind(pub u8);

impl OptionKind {
    /// Source link-layer address.
    pub const SOURCE_LINK_LAYER: Self = Self(1);
    /// Target link-layer address.
    pub const TARGET_LINK_LAYER: Self = Self(2);
    /// Prefix information.
    pub const PREFIX_INFORMATION: Self = Self(3);
    /// MTU.
    pub const MTU: Self = Self(5);
    /// Nonce.
    pub const NONCE: Self = Self(14);
    /// Recursive DNS server.
    pub const RECURSIVE_DNS: Self = Self(25);
}

/// A prefix on the link (RFC 4861 §4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInformation {
    /// The prefix; bits behind `length` have no meaning.
    pub prefix: Ipv6Addr,
    /// Leading bits of the prefix that are valid, 0 to 128. Larger values are kept and mean nothing.
    pub length: u8,
    /// The L flag: addresses under the prefix are on the link.
    pub on_link: bool,
    /// The A flag: hosts may make addresses under the prefix (RFC 4862).
    pub autonomous: bool,
    /// Seconds the prefix is valid for on-link determination; `u32::MAX` is forever.
    pub valid_lifetime: u32,
    /// Seconds addresses made from the prefix stay preferred; `u32::MAX` is forever.
    pub preferred_lifetime: u32,
}

impl PrefixInformation {
    fn from_raw(raw: &RawPrefix) -> Self {
        Self {
            prefix: Ipv6Addr::from(raw.prefix),
            length: raw.length,
            on_link: raw.flags & FLAG_ON_LINK != 0,
            autonomous: raw.flags & FLAG_AUTONOMOUS != 0,
            valid_lifetime: raw.valid_lifetime.get(),
            preferred_lifetime: raw.preferred_lifetime.get(),
        }
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let on_link = if self.on_link { FLAG_ON_LINK } else { 0 };
        let autonomous = if self.autonomous { FLAG_AUTONOMOUS } else { 0 };
        let raw = RawPrefix {
            length: self.length,
            flags: on_link | autonomous,
            valid_lifetime: U32::new(self.valid_lifetime),
            preferred_lifetime: U32::new(self.preferred_lifetime),
            reserved: U32::ZERO,
            prefix: self.prefix.octets(),
        };
        emit(OptionKind::PREFIX_INFORMATION, &raw, out);
    }
}

/// A nonce of the least length, six octets (RFC 3971 §5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 6]);

impl Nonce {
    pub(super) fn emit(self, out: &mut Vec<u8>) {
        emit(OptionKind::NONCE, &self.0, out);
    }
}

pub(super) fn emit_mac(kind: OptionKind, mac: MacAddr, out: &mut Vec<u8>) {
    emit(kind, &mac, out);
}

pub(super) fn emit_mtu(mtu: u32, out: &mut Vec<u8>) {
    emit(OptionKind::MTU, &RawMtu { reserved: U16::ZERO, mtu: U32::new(mtu) }, out);
}

/// Appends an option whose length is known to the compiler.
fn emit<T: IntoBytes + Immutable>(kind: OptionKind, body: &T, out: &mut Vec<u8>) {
    const {
        assert!(
            (size_of::<Head>() + size_of::<T>()).is_multiple_of(UNIT),
            "options are multiples of eight octets"
        );
        assert!(size_of::<T>() < UNIT * 8, "options of this crate are short");
    }
    let units = (size_of::<Head>() + size_of::<T>()) / UNIT;
    let [length, ..] = units.to_le_bytes();
    out.extend_from_slice(Head { kind: kind.0, length }.as_bytes());
    out.extend_from_slice(body.as_bytes());
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    kind: u8,
    length: u8,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawPrefix {
    length: u8,
    flags: u8,
    valid_lifetime: U32,
    preferred_lifetime: U32,
    reserved: U32,
    prefix: [u8; 16],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawMtu {
    reserved: U16,
    mtu: U32,
}

/// Why the options of a message cannot be read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// An option ends behind the message.
    #[error("an option ends behind the message, which has {octets} octets left")]
    Truncated {
        /// Octets left from the option's first on.
        octets: usize,
    },
    /// An option of length zero (RFC 4861 §4.6: such packets are silently discarded).
    #[error("option {} of length zero", .0.0)]
    ZeroLength(OptionKind),
    /// An option too short for what its type holds.
    #[error("option {} with only {octets} octets", kind.0)]
    TooShort {
        /// The type.
        kind: OptionKind,
        /// Octets behind the length octet.
        octets: usize,
    },
}

/// Options are counted in units of this many octets (RFC 4861 §4.6).
const UNIT: usize = 8;
const FLAG_ON_LINK: u8 = 0x80;
const FLAG_AUTONOMOUS: u8 = 0x40;

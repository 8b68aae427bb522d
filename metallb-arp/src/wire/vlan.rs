//! VLAN tags (IEEE 802.1Q): enough to tell which frames belong to the untagged network.

use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::EtherType;

/// The tag control information of a VLAN tag: priority, drop eligibility, VLAN identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u16);

impl Tag {
    /// The tag with this control information, all 16 bits of it.
    pub const fn new(control: u16) -> Self {
        Self(control)
    }

    /// Reads a tag that stands behind its type field: the tag, the type that follows, and the rest.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, EtherType, &[u8])> {
        let (raw, rest) = Raw::ref_from_prefix(bytes).ok()?;
        Some((Self(raw.control.get()), EtherType(raw.ethertype.get()), rest))
    }

    /// VLAN identifier, 0 to 4095. 0 means that the frame has a priority but belongs to no VLAN.
    pub const fn identifier(self) -> u16 {
        self.0 & IDENTIFIER_MASK
    }

    /// Priority code point, 0 to 7.
    pub const fn priority(self) -> u8 {
        (self.0 >> PRIORITY_SHIFT).to_be_bytes()[1]
    }

    /// Whether the frame may be dropped first under congestion.
    pub const fn drop_eligible(self) -> bool {
        self.0 & DROP_ELIGIBLE_BIT != 0
    }

    /// Whether the frame belongs to the untagged network all the same (identifier 0).
    pub const fn is_priority_only(self) -> bool {
        self.identifier() == 0
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    control: U16,
    ethertype: U16,
}

const IDENTIFIER_MASK: u16 = 0x0fff;
const DROP_ELIGIBLE_BIT: u16 = 0x1000;
const PRIORITY_SHIFT: u16 = 13;

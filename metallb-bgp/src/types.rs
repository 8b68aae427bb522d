//! Values of the domain: AS numbers, identifiers, hold times, families, communities, path attributes.
//!
//! Each type can only hold what the protocol allows; judging a value that came from a peer is done where it is
//! decoded, so that the right NOTIFICATION can be sent.

mod asn;
mod attributes;
mod community;
mod family;
mod hold_time;
mod named;

pub use asn::{Asn, AsnWidth, ParseAsnError, PeerKind, RemoteAs, RouterId, ZeroRouterId};
pub use attributes::{
    Aggregator, AsPath, AsPathSegment, Attributes, NextHop, Origin, OtherAttribute, SegmentKind,
};
pub use community::{
    Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity, ParseCommunityError,
};
pub use family::{AfiSafi, Families, Family};
pub use hold_time::{HoldTime, HoldTimeError};
pub use named::NamedRouterId;

#[cfg(test)]
mod tests;

//! The frames on the wire: borrowed views that check lengths and checksums, owned values that hold
//! valid states only, and encoders that append to the caller's buffer.
//!
//! Every module has the same anatomy: a view with `parse` (no copy, no judgement about meaning), an
//! owned type with `emit` (no allocation besides growing the caller's `Vec`), and an `Error` that says
//! what is wrong with the bytes.

pub mod arp;
pub mod ethernet;
pub mod icmpv6;
pub mod ipv6;
pub mod ndp;
pub mod vlan;

pub use ethernet::MacAddr;

/// Why the bytes of a frame are not a packet this crate can read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The Ethernet header or one of its VLAN tags is cut short.
    #[error("not an Ethernet frame")]
    Ethernet(#[from] ethernet::Error),
    /// The ARP packet is cut short or not of the kind RFC 826 defines for Ethernet and IPv4.
    #[error("not an ARP packet for IPv4 over Ethernet")]
    Arp(#[from] arp::Error),
    /// The IPv6 header is cut short or inconsistent.
    #[error("not an IPv6 packet")]
    Ipv6(#[from] ipv6::Error),
    /// The ICMPv6 message is cut short or its checksum is wrong.
    #[error("not an ICMPv6 message")]
    Icmpv6(#[from] icmpv6::Error),
    /// The neighbor discovery message breaks a validity rule of RFC 4861.
    #[error("not a valid neighbor discovery message")]
    Ndp(#[from] ndp::Error),
}

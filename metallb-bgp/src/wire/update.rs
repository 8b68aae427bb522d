//! UPDATE: the borrowed view of a received message and its judgement (RFC 4271 §4.3, §6.3, RFC 7606).

mod attribute;
mod classified;
mod fault;
mod judge;
mod multiprotocol;
mod next_hop;
mod nlri;
mod path;
mod walk;

pub use attribute::{AttributeOverrun, RawAttribute, RawAttributes};
pub use classified::{Classified, Reach};
pub use fault::{Action, Fault, UpdateError};
pub use nlri::Prefixes;

use std::net::IpAddr;

use super::header::Frame;
use super::reader::{Reader, Short};
use crate::types::{Asn, AsnWidth, Families, PeerKind};

/// The three parts of an UPDATE, located but not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateView<'a> {
    message: &'a [u8],
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    nlri: &'a [u8],
}

impl<'a> UpdateView<'a> {
    /// Locates the parts of an UPDATE.
    ///
    /// # Errors
    /// An [`UpdateError`] with [`Fault::Lengths`] when the lengths inside contradict that of the message, which
    /// RFC 7606 §3 (b) leaves fatal.
    pub fn parse(frame: Frame<'a>) -> Result<Self, UpdateError> {
        Self::locate(frame).map_err(|Short| UpdateError::new(Fault::Lengths, &[]))
    }

    fn locate(frame: Frame<'a>) -> Result<Self, Short> {
        let mut reader = Reader::new(frame.body());
        let withdrawn_len = reader.u16()?;
        let withdrawn = reader.take(usize::from(withdrawn_len))?;
        let attributes_len = reader.u16()?;
        let attributes = reader.take(usize::from(attributes_len))?;
        Ok(Self { message: frame.octets(), withdrawn, attributes, nlri: reader.rest() })
    }

    /// The attributes as they stand, not judged.
    pub const fn attributes(&self) -> RawAttributes<'a> {
        RawAttributes::new(self.attributes)
    }

    /// Judges the message by RFC 7606. Total: every message gets an answer, and none allocates.
    pub fn classify(&self, context: &UpdateContext) -> Classified<'a> {
        judge::judge(self, context)
    }

    /// The whole message, for a log.
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }
}

/// What a session knows that decides how an UPDATE is read and judged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateContext {
    /// Internal or external.
    pub peer: PeerKind,
    /// The peer's AS number.
    pub remote_asn: Asn,
    /// Width of AS numbers in AS_PATH and AGGREGATOR.
    pub asn_width: AsnWidth,
    /// The negotiated families; routes of others are ignored.
    pub families: Families,
    /// IPv4 unicast routes may have an IPv6 next hop (RFC 8950); off by default.
    pub extended_next_hop: bool,
    /// Families in which the peer sends path identifiers (RFC 7911); none by default.
    pub add_path: Families,
    /// Routes from an external peer must begin with its AS (RFC 4271 §6.3); on by default.
    pub enforce_first_as: bool,
    /// Routes with an AS_SET or AS_CONFED_SET are treated as withdrawn (RFC 9774 §3); off by default.
    pub refuse_as_sets: bool,
    /// What an unreadable MP_REACH_NLRI or MP_UNREACH_NLRI leads to; a reset by default.
    pub unreadable: OnUnreadable,
    /// Our own address on the session, which is no next hop of the peer's routes (RFC 4271 §6.3); not known by default.
    pub own_address: Option<IpAddr>,
}

impl UpdateContext {
    /// The context of a session with these properties and the defaults named at the fields.
    pub const fn new(peer: PeerKind, remote_asn: Asn, asn_width: AsnWidth, families: Families) -> Self {
        Self {
            peer,
            remote_asn,
            asn_width,
            families,
            extended_next_hop: false,
            add_path: Families::EMPTY,
            enforce_first_as: true,
            refuse_as_sets: false,
            unreadable: OnUnreadable::ResetSession,
            own_address: None,
        }
    }
}

/// The two ways RFC 7606 §7.11 leaves open when multiprotocol routes cannot be located.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnUnreadable {
    /// End the session.
    #[default]
    ResetSession,
    /// Ignore the family from now on ("AFI/SAFI disable") if it can be told.
    DisableFamily,
}

#[cfg(test)]
mod tests;

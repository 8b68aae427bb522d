//! What can be wrong with an UPDATE, and what is done about it.

use thiserror::Error;

use crate::wire::iana;
use crate::wire::notification::Notification;

/// What RFC 7606 §2 does about an error, weakest first; the strongest in a message counts (§3 (h)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Nothing is wrong.
    Accept,
    /// The attribute is ignored, the routes are used.
    DiscardAttribute,
    /// All routes of the message are handled as if they had been withdrawn.
    TreatAsWithdraw,
    /// Routes of one family are ignored from now on.
    DisableFamily,
    /// The session ends with a NOTIFICATION.
    ResetSession,
}

impl Action {
    /// A short name for logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::DiscardAttribute => "attribute-discard",
            Self::TreatAsWithdraw => "treat-as-withdraw",
            Self::DisableFamily => "afi-safi-disable",
            Self::ResetSession => "session-reset",
        }
    }
}

/// One thing wrong with an UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The lengths of the parts contradict the length of the message.
    #[error("the lengths of the parts do not fit the message")]
    Lengths,
    /// An attribute overruns the attribute section, or the section ends inside an attribute's header.
    #[error("an attribute does not fit the attribute section")]
    AttributeOverrun,
    /// The Optional or Transitive flag contradicts the attribute's definition.
    #[error("attribute {0} has wrong flags")]
    Flags(u8),
    /// The attribute has a length its definition does not allow.
    #[error("attribute {0} has a wrong length")]
    Length(u8),
    /// A mandatory attribute is missing.
    #[error("attribute {0} is missing")]
    Missing(u8),
    /// An attribute that claims to be well-known is not known.
    #[error("well-known attribute {0} is not known")]
    UnrecognizedWellKnown(u8),
    /// MP_REACH_NLRI or MP_UNREACH_NLRI appears twice.
    #[error("attribute {0} appears twice where it must not")]
    DuplicateMultiprotocol(u8),
    /// Another attribute appears twice.
    #[error("attribute {0} appears twice")]
    Duplicate(u8),
    /// ORIGIN has an undefined value.
    #[error("ORIGIN has the undefined value {0}")]
    Origin(u8),
    /// AS_PATH or AS4_PATH is not a list of valid segments.
    #[error("attribute {0} has malformed segments")]
    PathSegments(u8),
    /// An attribute carries AS 0 (RFC 7607).
    #[error("attribute {0} contains AS 0")]
    AsZero(u8),
    /// The path does not begin with the AS of the external peer.
    #[error("AS_PATH does not begin with the AS of the peer")]
    FirstAs,
    /// The path has confederation segments though the peer is external (RFC 5065 §5).
    #[error("AS_PATH from an external peer has confederation segments")]
    Confederation,
    /// The path has a set (RFC 9774).
    #[error("AS_PATH contains a set")]
    AsSet,
    /// NEXT_HOP is no address of a host.
    #[error("NEXT_HOP is not the address of a host")]
    NextHop,
    /// The next hop in MP_REACH_NLRI is no address of a host.
    #[error("the next hop in MP_REACH_NLRI is not the address of a host")]
    MultiprotocolNextHop,
    /// The second address of the next hop in MP_REACH_NLRI is not link-local (RFC 2545 §3).
    #[error("the second next hop in MP_REACH_NLRI is not link-local")]
    SecondNextHop,
    /// The next hop, in NEXT_HOP or MP_REACH_NLRI, is our own address (RFC 4271 §6.3).
    #[error("the next hop is our own address")]
    OwnNextHop,
    /// The attribute must not come from this kind of peer.
    #[error("attribute {0} does not belong on this session")]
    NotForSession(u8),
    /// Prefixes in the attribute cannot be read.
    #[error("the prefixes in attribute {0} are malformed")]
    MultiprotocolNlri(u8),
    /// The next hop in MP_REACH_NLRI has an unexpected length.
    #[error("the next hop in MP_REACH_NLRI has the unexpected length {0}")]
    NextHopLength(u8),
    /// Routes of a family that was not negotiated.
    #[error("routes of a family that was not negotiated")]
    Family,
    /// A prefix of the NLRI or Withdrawn Routes field cannot be read.
    #[error("a prefix is malformed")]
    Network,
}

impl Fault {
    /// The UPDATE Message Error subcode that describes the fault (RFC 4271 §6.3).
    pub const fn subcode(self) -> u8 {
        match self {
            Self::Lengths
            | Self::AttributeOverrun
            | Self::DuplicateMultiprotocol(_)
            | Self::Duplicate(_)
            | Self::NotForSession(_) => iana::UPDATE_MALFORMED_ATTRIBUTE_LIST,
            Self::Flags(code) => match code {
                iana::ATTR_MP_REACH | iana::ATTR_MP_UNREACH => iana::UPDATE_OPTIONAL_ATTRIBUTE,
                _ => iana::UPDATE_ATTRIBUTE_FLAGS,
            },
            Self::Length(code) => match code {
                iana::ATTR_MP_REACH | iana::ATTR_MP_UNREACH => iana::UPDATE_OPTIONAL_ATTRIBUTE,
                _ => iana::UPDATE_ATTRIBUTE_LENGTH,
            },
            Self::Missing(_) => iana::UPDATE_MISSING_WELL_KNOWN,
            Self::UnrecognizedWellKnown(_) => iana::UPDATE_UNRECOGNIZED_WELL_KNOWN,
            Self::Origin(_) => iana::UPDATE_INVALID_ORIGIN,
            Self::PathSegments(_) | Self::FirstAs | Self::Confederation | Self::AsSet => {
                iana::UPDATE_MALFORMED_AS_PATH
            }
            Self::AsZero(code) => match code {
                iana::ATTR_AS_PATH => iana::UPDATE_MALFORMED_AS_PATH,
                _ => iana::UPDATE_OPTIONAL_ATTRIBUTE,
            },
            Self::NextHop | Self::OwnNextHop => iana::UPDATE_INVALID_NEXT_HOP,
            Self::MultiprotocolNlri(_)
            | Self::NextHopLength(_)
            | Self::MultiprotocolNextHop
            | Self::SecondNextHop
            | Self::Family => iana::UPDATE_OPTIONAL_ATTRIBUTE,
            Self::Network => iana::UPDATE_INVALID_NETWORK,
        }
    }
}

/// An UPDATE that ends the session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct UpdateError {
    fault: Fault,
    data: Vec<u8>,
}

impl UpdateError {
    /// The error for `fault`; `data` is the erroneous attribute or empty.
    pub(crate) fn new(fault: Fault, data: &[u8]) -> Self {
        let data = data.get(..MAX_DATA).unwrap_or(data);
        Self { fault, data: data.to_vec() }
    }

    /// What is wrong.
    pub const fn fault(&self) -> Fault {
        self.fault
    }

    /// The NOTIFICATION to send before closing; its data is the erroneous attribute where RFC 4271 §6.3 wants it.
    pub fn notification(&self) -> Notification {
        Notification::with_data(iana::ERR_UPDATE, self.fault.subcode(), self.data.as_slice())
    }
}

/// The most data that fits a NOTIFICATION of 4096 octets.
const MAX_DATA: usize = 4096 - 21;

//! Errors of the codecs: what a peer sent wrong, and what a caller asked for that cannot be encoded.

use thiserror::Error;

use super::header::HeaderError;
use super::iana;
use super::notification::Notification;
use super::open::OpenError;
use super::refresh::RefreshError;
use super::update::UpdateError;
use crate::types::Family;

/// A message that ends the session. Each has exactly one NOTIFICATION.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// The header is invalid (RFC 4271 §6.1).
    #[error("invalid message header")]
    Header(#[from] HeaderError),
    /// The OPEN is not acceptable (RFC 4271 §6.2).
    #[error("unacceptable OPEN")]
    Open(#[from] OpenError),
    /// The UPDATE is so malformed that the session cannot go on (RFC 4271 §6.3, RFC 7606).
    #[error("malformed UPDATE")]
    Update(#[from] UpdateError),
    /// The ROUTE-REFRESH has the wrong length (RFC 7313 §5).
    #[error("malformed ROUTE-REFRESH")]
    Refresh(#[from] RefreshError),
}

impl WireError {
    /// The NOTIFICATION to send before closing.
    pub fn notification(&self) -> Notification {
        match self {
            Self::Header(error) => error.notification(),
            Self::Open(error) => error.notification(),
            Self::Update(error) => error.notification(),
            Self::Refresh(error) => error.notification(),
        }
    }
}

impl HeaderError {
    /// The NOTIFICATION to send before closing (RFC 4271 §6.1).
    pub fn notification(&self) -> Notification {
        match *self {
            Self::NotSynchronized => Notification::new(iana::ERR_HEADER, iana::HEADER_NOT_SYNCHRONIZED),
            Self::BadLength(field) => {
                Notification::with_data(iana::ERR_HEADER, iana::HEADER_BAD_LENGTH, field.to_be_bytes())
            }
            Self::BadType(kind) => Notification::with_data(iana::ERR_HEADER, iana::HEADER_BAD_TYPE, [kind]),
        }
    }
}

impl RefreshError {
    /// The NOTIFICATION to send before closing; its data is the whole message (RFC 7313 §5).
    pub fn notification(&self) -> Notification {
        let (code, subcode) = (iana::ERR_ROUTE_REFRESH, iana::REFRESH_INVALID_LENGTH);
        Notification::with_data(code, subcode, self.message.as_slice())
    }
}

/// A message that cannot be encoded. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message would be longer than the session allows; a route with such attributes must not be announced
    /// and must be withdrawn if it was (RFC 4271 §9.2, RFC 8654 §4).
    #[error("a message of {size} octets is needed, the limit is {limit}")]
    TooLarge {
        /// Octets needed.
        size: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// A path attribute would be longer than its length field can say.
    #[error("path attribute {code} is {length} octets long, the limit is 65535")]
    Attribute {
        /// Attribute type code.
        code: u8,
        /// Octets of its value.
        length: usize,
    },
    /// A capability's value would be longer than its length field can say.
    #[error("capability {code} is {length} octets long, the limit is 255")]
    Capability {
        /// Capability code.
        code: u8,
        /// Octets of its value.
        length: usize,
    },
    /// A restart time above 4095 seconds (RFC 4724 §3).
    #[error("a restart time of {0} s is too long, the most is 4095 s")]
    RestartTime(u16),
    /// A long-lived stale time above 24 bits (RFC 9494 §3.1).
    #[error("a stale time of {0} s is too long, the most is 16777215 s")]
    StaleTime(u32),
    /// The next hop cannot stand with routes of the family.
    #[error("{0} routes cannot have an IPv4 next hop")]
    NextHop(Family),
    /// An AS_SET or AS_CONFED_SET, which must not be originated (RFC 9774).
    #[error("an AS_PATH with a set must not be sent")]
    AsSet,
    /// A confederation segment towards an external peer (RFC 5065 §4).
    #[error("an AS_PATH with a confederation segment must not be sent to an external peer")]
    Confederation,
    /// AS 0 in the path (RFC 7607).
    #[error("an AS_PATH with AS 0 must not be sent")]
    AsZero,
    /// A prefix of another family than the message's.
    #[error("a prefix is not of the family {0}")]
    WrongFamily(Family),
    /// An unknown attribute with the code of a known one.
    #[error("path attribute {0} is known and must not be sent as an unknown one")]
    KnownAttribute(u8),
}

//! ROUTE-REFRESH (RFC 2918) and its enhanced form (RFC 7313).

use thiserror::Error;
use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::header::{Header, MessageType};
use super::iana;
use crate::types::AfiSafi;

/// A ROUTE-REFRESH message.
///
/// Octets after the four fixed ones, such as outbound route filters (RFC 5291), are accepted and ignored: that
/// capability is never announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// The family to send again.
    pub family: AfiSafi,
    /// What the message says about it.
    pub subtype: RefreshSubtype,
}

impl RouteRefresh {
    /// A request to send `family` again.
    pub fn request(family: impl Into<AfiSafi>) -> Self {
        Self { family: family.into(), subtype: RefreshSubtype::Request }
    }

    /// Reads the body of a message; `message` is the whole of it.
    ///
    /// # Errors
    /// [`RefreshError`] when the body has fewer than four octets, or not exactly four and a subtype of RFC 7313.
    pub fn parse(body: &[u8], message: &[u8]) -> Result<Self, RefreshError> {
        let bad_length = || RefreshError { message: message.to_vec() };
        let (fixed, rest) = Body::ref_from_prefix(body).map_err(|_| bad_length())?;
        let subtype = RefreshSubtype::from_code(fixed.subtype);
        let exact = matches!(subtype, RefreshSubtype::Begin | RefreshSubtype::End);
        if exact && !rest.is_empty() {
            return Err(bad_length());
        }
        Ok(Self { family: AfiSafi { afi: fixed.afi.get(), safi: fixed.safi }, subtype })
    }

    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        const LENGTH: u16 = 23;
        out.extend_from_slice(Header::new(MessageType::RouteRefresh, LENGTH).as_bytes());
        let afi = U16::new(self.family.afi);
        out.extend_from_slice(Body { afi, subtype: self.subtype.code(), safi: self.family.safi }.as_bytes());
    }
}

/// The message subtype (RFC 7313 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshSubtype {
    /// A request.
    Request,
    /// BoRR: the sender begins to send the family again.
    Begin,
    /// EoRR: the sender has sent all of the family.
    End,
    /// Any other; to be ignored (RFC 7313 §5).
    Unknown(u8),
}

impl RefreshSubtype {
    /// The code point.
    pub const fn code(self) -> u8 {
        match self {
            Self::Request => iana::REFRESH_REQUEST,
            Self::Begin => iana::REFRESH_BEGIN,
            Self::End => iana::REFRESH_END,
            Self::Unknown(code) => code,
        }
    }

    /// The subtype a code point names.
    pub const fn from_code(code: u8) -> Self {
        match code {
            iana::REFRESH_REQUEST => Self::Request,
            iana::REFRESH_BEGIN => Self::Begin,
            iana::REFRESH_END => Self::End,
            _ => Self::Unknown(code),
        }
    }
}

/// A ROUTE-REFRESH of the wrong length (RFC 7313 §5).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a ROUTE-REFRESH message has a bad length of {}", self.message.len())]
pub struct RefreshError {
    /// The whole message, which is the data of the NOTIFICATION.
    pub message: Vec<u8>,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Body {
    afi: U16,
    subtype: u8,
    safi: u8,
}

#[cfg(test)]
mod tests;

//! The message header, and cutting a stream of octets into messages (RFC 4271 §4.1, §6.1).

use std::fmt;

use thiserror::Error;
use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::iana;

/// The 19 octets every message begins with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    marker: [u8; 16],
    length: U16,
    kind: u8,
}

impl Header {
    /// Size of the header in octets.
    pub const LEN: usize = size_of::<Self>();

    /// The header of a message of `length` octets in all.
    pub const fn new(kind: MessageType, length: u16) -> Self {
        Self { marker: MARKER, length: U16::new(length), kind: kind.code() }
    }

    /// Length of the whole message in octets, header included.
    pub fn message_len(&self) -> u16 {
        self.length.get()
    }
}

/// The types of message (RFC 4271 §4.1, RFC 2918).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageType {
    /// OPEN.
    Open,
    /// UPDATE.
    Update,
    /// NOTIFICATION.
    Notification,
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh,
}

impl MessageType {
    /// The type's code point.
    pub const fn code(self) -> u8 {
        match self {
            Self::Open => iana::MSG_OPEN,
            Self::Update => iana::MSG_UPDATE,
            Self::Notification => iana::MSG_NOTIFICATION,
            Self::Keepalive => iana::MSG_KEEPALIVE,
            Self::RouteRefresh => iana::MSG_ROUTE_REFRESH,
        }
    }

    /// The type a code point names.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            iana::MSG_OPEN => Self::Open,
            iana::MSG_UPDATE => Self::Update,
            iana::MSG_NOTIFICATION => Self::Notification,
            iana::MSG_KEEPALIVE => Self::Keepalive,
            iana::MSG_ROUTE_REFRESH => Self::RouteRefresh,
            _ => return None,
        })
    }

    /// The lengths a message of this type may have on a session limited to `limit`.
    ///
    /// A ROUTE-REFRESH that is too short is not a header error: RFC 7313 §5 has its own code for it.
    const fn lengths(self, limit: MessageLimit) -> (usize, usize) {
        match self {
            Self::Open => (29, MessageLimit::Standard.octets()),
            Self::Update => (23, limit.octets()),
            Self::Notification => (21, limit.octets()),
            Self::Keepalive => (Header::LEN, Header::LEN),
            Self::RouteRefresh => (Header::LEN, limit.octets()),
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "OPEN",
            Self::Update => "UPDATE",
            Self::Notification => "NOTIFICATION",
            Self::Keepalive => "KEEPALIVE",
            Self::RouteRefresh => "ROUTE-REFRESH",
        })
    }
}

/// The longest message one direction of a session allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageLimit {
    /// 4096 octets (RFC 4271 §4.1).
    #[default]
    Standard,
    /// 65535 octets (RFC 8654); OPEN and KEEPALIVE stay below 4096.
    Extended,
}

impl MessageLimit {
    /// The limit in octets.
    pub const fn octets(self) -> usize {
        match self {
            Self::Standard => 4096,
            Self::Extended => 65535,
        }
    }
}

/// One whole message with a valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    kind: MessageType,
    octets: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Checks that `octets` are exactly one message with a valid header.
    ///
    /// # Errors
    /// [`HeaderError`] as from [`Framer::next_frame`]; octets that are less or more than one message are
    /// [`HeaderError::BadLength`].
    pub fn parse(octets: &'a [u8], limit: MessageLimit) -> Result<Self, HeaderError> {
        let actual = u16::try_from(octets.len()).unwrap_or(u16::MAX);
        match check(octets, limit)? {
            Some((kind, length)) if length == octets.len() => Ok(Self { kind, octets }),
            _ => Err(HeaderError::BadLength(actual)),
        }
    }

    /// The message's type.
    pub const fn kind(&self) -> MessageType {
        self.kind
    }

    /// The whole message.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// What follows the header.
    pub fn body(&self) -> &'a [u8] {
        self.octets.get(Header::LEN..).unwrap_or_default()
    }
}

/// Cuts a stream into messages, however it was split in transit.
///
/// At most one message is ever buffered, so a peer cannot make a framer hold more than the limit. A message that
/// arrives whole is not copied. Once the stream is invalid it stays so: there is no resynchronisation.
#[derive(Debug, Default)]
pub struct Framer {
    limit: MessageLimit,
    /// The beginning of a message, or a whole one that was handed out by the last call.
    partial: Vec<u8>,
    handed_out: bool,
    failed: Option<HeaderError>,
}

impl Framer {
    /// A framer for a new connection, with [`MessageLimit::Standard`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the limit for the messages that follow, once capabilities are agreed.
    pub fn set_limit(&mut self, limit: MessageLimit) {
        self.limit = limit;
    }

    /// Octets held back because their message is not complete.
    pub fn buffered(&self) -> usize {
        if self.handed_out { 0 } else { self.partial.len() }
    }

    /// Takes octets off the front of `input` until a message is complete.
    ///
    /// Call it until it returns `Ok(None)`; then `input` is empty and more has to be read.
    ///
    /// # Errors
    /// [`HeaderError`] as soon as the octets seen cannot begin a valid message; every later call returns the same.
    pub fn next_frame<'f, 'i: 'f>(
        &'f mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'f>>, HeaderError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.handed_out {
            self.partial.clear();
            self.handed_out = false;
        }
        let result = if self.partial.is_empty() { self.direct(input) } else { self.buffer(input) };
        match result {
            Ok(Some(kind)) if self.handed_out => Ok(Some(Frame { kind, octets: &self.partial })),
            Ok(Some(kind)) => {
                let length = check(input, self.limit)?.map_or(0, |(_, length)| length);
                let (octets, rest) = input.split_at_checked(length).unwrap_or((input, &[]));
                *input = rest;
                Ok(Some(Frame { kind, octets }))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    /// Looks for a whole message at the front of `input`; keeps the beginning of one that is not whole.
    fn direct(&mut self, input: &mut &[u8]) -> Result<Option<MessageType>, HeaderError> {
        match check(input, self.limit)? {
            Some((kind, length)) if length <= input.len() => Ok(Some(kind)),
            found => {
                if let Some((_, length)) = found {
                    self.partial.reserve_exact(length);
                }
                self.partial.extend_from_slice(input);
                *input = &[];
                Ok(None)
            }
        }
    }

    /// Completes the message begun earlier.
    fn buffer(&mut self, input: &mut &[u8]) -> Result<Option<MessageType>, HeaderError> {
        if self.partial.len() < Header::LEN {
            self.fill(input, Header::LEN);
        }
        let Some((kind, length)) = check(&self.partial, self.limit)? else { return Ok(None) };
        self.fill(input, length);
        self.handed_out = self.partial.len() == length;
        Ok(self.handed_out.then_some(kind))
    }

    /// Moves octets from `input` until `length` are buffered or nothing is left.
    fn fill(&mut self, input: &mut &[u8], length: usize) {
        let missing = length.saturating_sub(self.partial.len());
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.partial.reserve_exact(missing);
        self.partial.extend_from_slice(taken);
        *input = rest;
    }
}

/// Why a stream cannot be cut into messages (RFC 4271 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The marker is not all ones.
    #[error("the marker of a message is not all ones")]
    NotSynchronized,
    /// The length is outside what the type and the session allow; the value is the length field.
    #[error("a message has a bad length of {0}")]
    BadLength(u16),
    /// The type is none this crate knows.
    #[error("a message has the unknown type {0}")]
    BadType(u8),
}

/// Judges the octets seen of a message: its type and length, or `None` while the header is not complete.
fn check(octets: &[u8], limit: MessageLimit) -> Result<Option<(MessageType, usize)>, HeaderError> {
    let Ok((header, _)) = Header::ref_from_prefix(octets) else {
        return check_partial(octets, limit).map(|()| None);
    };
    if header.marker != MARKER {
        return Err(HeaderError::NotSynchronized);
    }
    let length = check_length(header.length.get(), limit)?;
    let kind = MessageType::from_code(header.kind).ok_or(HeaderError::BadType(header.kind))?;
    let (least, most) = kind.lengths(limit);
    if length < least || length > most {
        return Err(HeaderError::BadLength(header.length.get()));
    }
    Ok(Some((kind, length)))
}

/// Rejects a header of which fewer than 19 octets are there as early as possible.
fn check_partial(octets: &[u8], limit: MessageLimit) -> Result<(), HeaderError> {
    let (marker, rest) = octets.split_at_checked(MARKER.len()).unwrap_or((octets, &[]));
    if marker.iter().any(|octet| *octet != 0xff) {
        return Err(HeaderError::NotSynchronized);
    }
    if let Some(length) = rest.first_chunk() {
        check_length(u16::from_be_bytes(*length), limit)?;
    }
    Ok(())
}

fn check_length(field: u16, limit: MessageLimit) -> Result<usize, HeaderError> {
    let length = usize::from(field);
    if length < Header::LEN || length > limit.octets() {
        return Err(HeaderError::BadLength(field));
    }
    Ok(length)
}

const MARKER: [u8; 16] = [0xff; 16];

#[cfg(test)]
mod tests;

//! NOTIFICATION (RFC 4271 §4.5), its words, and the payloads of RFC 9003 and RFC 8538.

use std::fmt;

use zerocopy::IntoBytes;

use super::header::{Header, MessageLimit, MessageType};
use super::iana;
use super::reader::Reader;

/// Why a session ends. Unknown codes are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode; 0 when there is none.
    pub subcode: u8,
    /// What the code says it is; may be empty.
    pub data: Vec<u8>,
}

impl Notification {
    /// A NOTIFICATION without data.
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Vec::new() }
    }

    /// A NOTIFICATION with data.
    pub fn with_data(code: u8, subcode: u8, data: impl Into<Vec<u8>>) -> Self {
        Self { code, subcode, data: data.into() }
    }

    /// A Cease without data (RFC 4486).
    pub const fn cease(subcode: u8) -> Self {
        Self::new(iana::ERR_CEASE, subcode)
    }

    /// An FSM error for a message that came in a state that does not expect it (RFC 6608 §3).
    pub fn unexpected_message(subcode: u8, received: MessageType) -> Self {
        Self::with_data(iana::ERR_FSM, subcode, [received.code()])
    }

    /// An administrative Cease (`CEASE_ADMIN_SHUTDOWN` or `CEASE_ADMIN_RESET`) with a text for the other
    /// side's operator (RFC 9003 §2).
    ///
    /// At most 255 octets of UTF-8 can be sent; a longer text is cut after the last whole character that fits.
    /// An empty text sends no data at all. Keep to 128 octets for peers that only know RFC 8203.
    pub fn cease_with_text(subcode: u8, text: &str) -> Self {
        let end = (0..=usize::from(u8::MAX).min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        let text = text.get(..end.unwrap_or(0)).unwrap_or_default();
        let Ok(length) = u8::try_from(text.len()) else { return Self::cease(subcode) };
        if length == 0 {
            return Self::cease(subcode);
        }
        let mut data = Vec::with_capacity(text.len().saturating_add(1));
        data.push(length);
        data.extend_from_slice(text.as_bytes());
        Self { code: iana::ERR_CEASE, subcode, data }
    }

    /// A Hard Reset around this NOTIFICATION: the peer must not keep the routes (RFC 8538 §3.1).
    #[must_use]
    pub fn into_hard_reset(self) -> Self {
        let mut data = Vec::with_capacity(self.data.len().saturating_add(2));
        data.extend_from_slice(&[self.code, self.subcode]);
        data.extend_from_slice(&self.data);
        Self { code: iana::ERR_CEASE, subcode: iana::CEASE_HARD_RESET, data }
    }

    /// The NOTIFICATION inside a Hard Reset; `None` when this is none or it carries nothing.
    pub fn hard_reset_inner(&self) -> Option<Self> {
        if !self.is_hard_reset() {
            return None;
        }
        let mut reader = Reader::new(&self.data);
        let (code, subcode) = (reader.u8().ok()?, reader.u8().ok()?);
        Some(Self::with_data(code, subcode, reader.rest()))
    }

    /// Whether this is a Hard Reset (RFC 8538 §3).
    pub const fn is_hard_reset(&self) -> bool {
        self.code == iana::ERR_CEASE && self.subcode == iana::CEASE_HARD_RESET
    }

    /// The text of an administrative Cease, `None` when there is none (RFC 9003 §2).
    pub fn shutdown_text(&self) -> Option<ShutdownText> {
        let administrative = matches!(self.subcode, iana::CEASE_ADMIN_SHUTDOWN | iana::CEASE_ADMIN_RESET);
        if self.code != iana::ERR_CEASE || !administrative {
            return None;
        }
        let (length, text) = self.data.split_first()?;
        if *length == 0 {
            return None;
        }
        let text = text.get(..usize::from(*length)).map(<[u8]>::to_vec);
        let text = text.and_then(|octets| String::from_utf8(octets).ok());
        Some(text.map_or_else(|| ShutdownText::Invalid(self.data.clone()), ShutdownText::Text))
    }

    /// Reads the body of a message. Nothing about it can be wrong: a header that promises fewer than two octets
    /// is refused before.
    pub fn parse(body: &[u8]) -> Self {
        let mut reader = Reader::new(body);
        let code = reader.u8().unwrap_or(iana::SUB_UNSPECIFIC);
        let subcode = reader.u8().unwrap_or(iana::SUB_UNSPECIFIC);
        Self::with_data(code, subcode, reader.rest())
    }

    /// Appends the message to `out`. Data that would make it longer than `limit` is cut.
    pub fn encode(&self, limit: MessageLimit, out: &mut Vec<u8>) {
        const FIXED: usize = Header::LEN + 2;
        let room = limit.octets().saturating_sub(FIXED);
        let data = self.data.get(..room).unwrap_or(&self.data);
        let length = u16::try_from(data.len().saturating_add(FIXED)).unwrap_or(u16::MAX);
        out.extend_from_slice(Header::new(MessageType::Notification, length).as_bytes());
        out.extend_from_slice(&[self.code, self.subcode]);
        out.extend_from_slice(data);
    }

    /// The code in the words of its RFC, `None` when unknown.
    pub const fn code_name(&self) -> Option<&'static str> {
        Some(match self.code {
            iana::ERR_HEADER => "Message Header Error",
            iana::ERR_OPEN => "OPEN Message Error",
            iana::ERR_UPDATE => "UPDATE Message Error",
            iana::ERR_HOLD_TIMER => "Hold Timer Expired",
            iana::ERR_FSM => "Finite State Machine Error",
            iana::ERR_CEASE => "Cease",
            iana::ERR_ROUTE_REFRESH => "ROUTE-REFRESH Message Error",
            iana::ERR_SEND_HOLD_TIMER => "Send Hold Timer Expired",
            _ => return None,
        })
    }

    /// The subcode in the words of its RFC, `None` when unknown or 0.
    pub const fn subcode_name(&self) -> Option<&'static str> {
        match self.code {
            iana::ERR_HEADER => header_name(self.subcode),
            iana::ERR_OPEN => open_name(self.subcode),
            iana::ERR_UPDATE => update_name(self.subcode),
            iana::ERR_FSM => fsm_name(self.subcode),
            iana::ERR_CEASE => cease_name(self.subcode),
            iana::ERR_ROUTE_REFRESH => match self.subcode {
                iana::REFRESH_INVALID_LENGTH => Some("Invalid Message Length"),
                _ => None,
            },
            _ => None,
        }
    }

    fn fmt_one(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code_name().unwrap_or("unknown error"))?;
        if let Some(name) = self.subcode_name() {
            write!(f, "/{name}")?;
        }
        write!(f, " ({}/{})", self.code, self.subcode)?;
        match self.shutdown_text() {
            Some(text) => write!(f, " {text}"),
            None if self.data.is_empty() || self.is_hard_reset() => Ok(()),
            None => {
                f.write_str(" ")?;
                fmt_hex(&self.data, f)
            }
        }
    }
}

impl fmt::Display for Notification {
    /// The words with the numbers behind them, e.g. `Cease/Administrative Shutdown (6/2)`, then a text for the
    /// operator if there is one, in quotes and escaped; other data in hexadecimal, at most 64 octets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_one(f)?;
        // One level only: a peer may nest as deep as its message is long.
        self.hard_reset_inner().map_or(Ok(()), |inner| {
            f.write_str(" of ")?;
            inner.fmt_one(f)
        })
    }
}

/// What a peer's operator wrote (RFC 9003). Display is safe to log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ShutdownText {
    /// Valid UTF-8, as received; may hold control characters.
    Text(String),
    /// Not UTF-8, or shorter than its length octet says: the whole data of the NOTIFICATION.
    Invalid(Vec<u8>),
}

impl fmt::Display for ShutdownText {
    /// The text in quotes with control characters escaped, or the octets in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Invalid(octets) => fmt_hex(octets, f),
        }
    }
}

/// Octets in hexadecimal, not more than a line of them.
fn fmt_hex(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("0x")?;
    let shown = octets.get(..MAX_SHOWN).unwrap_or(octets);
    shown.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
    if shown.len() < octets.len() { write!(f, "… ({} octets)", octets.len()) } else { Ok(()) }
}

/// Octets of data that are shown.
const MAX_SHOWN: usize = 64;

const fn header_name(subcode: u8) -> Option<&'static str> {
    Some(match subcode {
        iana::HEADER_NOT_SYNCHRONIZED => "Connection Not Synchronized",
        iana::HEADER_BAD_LENGTH => "Bad Message Length",
        iana::HEADER_BAD_TYPE => "Bad Message Type",
        _ => return None,
    })
}

const fn open_name(subcode: u8) -> Option<&'static str> {
    Some(match subcode {
        iana::OPEN_UNSUPPORTED_VERSION => "Unsupported Version Number",
        iana::OPEN_BAD_PEER_AS => "Bad Peer AS",
        iana::OPEN_BAD_IDENTIFIER => "Bad BGP Identifier",
        iana::OPEN_UNSUPPORTED_PARAMETER => "Unsupported Optional Parameter",
        iana::OPEN_UNACCEPTABLE_HOLD_TIME => "Unacceptable Hold Time",
        iana::OPEN_UNSUPPORTED_CAPABILITY => "Unsupported Capability",
        iana::OPEN_ROLE_MISMATCH => "Role Mismatch",
        _ => return None,
    })
}

const fn update_name(subcode: u8) -> Option<&'static str> {
    Some(match subcode {
        iana::UPDATE_MALFORMED_ATTRIBUTE_LIST => "Malformed Attribute List",
        iana::UPDATE_UNRECOGNIZED_WELL_KNOWN => "Unrecognized Well-known Attribute",
        iana::UPDATE_MISSING_WELL_KNOWN => "Missing Well-known Attribute",
        iana::UPDATE_ATTRIBUTE_FLAGS => "Attribute Flags Error",
        iana::UPDATE_ATTRIBUTE_LENGTH => "Attribute Length Error",
        iana::UPDATE_INVALID_ORIGIN => "Invalid ORIGIN Attribute",
        iana::UPDATE_INVALID_NEXT_HOP => "Invalid NEXT_HOP Attribute",
        iana::UPDATE_OPTIONAL_ATTRIBUTE => "Optional Attribute Error",
        iana::UPDATE_INVALID_NETWORK => "Invalid Network Field",
        iana::UPDATE_MALFORMED_AS_PATH => "Malformed AS_PATH",
        _ => return None,
    })
}

const fn fsm_name(subcode: u8) -> Option<&'static str> {
    Some(match subcode {
        iana::FSM_IN_OPEN_SENT => "Receive Unexpected Message in OpenSent State",
        iana::FSM_IN_OPEN_CONFIRM => "Receive Unexpected Message in OpenConfirm State",
        iana::FSM_IN_ESTABLISHED => "Receive Unexpected Message in Established State",
        _ => return None,
    })
}

const fn cease_name(subcode: u8) -> Option<&'static str> {
    Some(match subcode {
        iana::CEASE_MAX_PREFIXES => "Maximum Number of Prefixes Reached",
        iana::CEASE_ADMIN_SHUTDOWN => "Administrative Shutdown",
        iana::CEASE_PEER_DECONFIGURED => "Peer De-configured",
        iana::CEASE_ADMIN_RESET => "Administrative Reset",
        iana::CEASE_CONNECTION_REJECTED => "Connection Rejected",
        iana::CEASE_OTHER_CONFIG_CHANGE => "Other Configuration Change",
        iana::CEASE_COLLISION => "Connection Collision Resolution",
        iana::CEASE_OUT_OF_RESOURCES => "Out of Resources",
        iana::CEASE_HARD_RESET => "Hard Reset",
        iana::CEASE_BFD_DOWN => "BFD Down",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

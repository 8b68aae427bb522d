//! KEEPALIVE: a header and nothing else (RFC 4271 §4.4).

use zerocopy::IntoBytes;

use super::header::{Header, MessageType};

/// Appends a KEEPALIVE to `out`.
pub fn encode(out: &mut Vec<u8>) {
    const LENGTH: u16 = 19;
    out.extend_from_slice(Header::new(MessageType::Keepalive, LENGTH).as_bytes());
}

//! What stands around the prefixes of an UPDATE.

use zerocopy::IntoBytes;

use crate::types::Family;
use crate::wire::header::{Header, MessageLimit, MessageType};
use crate::wire::iana;

/// Everything of a message but its prefixes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template<'a> {
    /// From the header to the first prefix; lengths that depend on the prefixes are zero.
    pub(super) head: &'a [u8],
    /// From the last prefix to the end of the message.
    pub(super) tail: &'a [u8],
    pub(super) place: Place,
}

/// Which field the prefixes stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Withdrawn Routes.
    Withdrawn,
    /// Network Layer Reachability Information.
    Nlri,
    /// MP_REACH_NLRI or MP_UNREACH_NLRI, as the first attribute.
    Multiprotocol,
}

impl Template<'_> {
    /// Octets that prefixes may take in a message of at most `limit`, `None` if not even the rest fits.
    pub(super) fn room(&self, limit: MessageLimit) -> Option<usize> {
        let around = self.head.len().checked_add(self.tail.len())?;
        if self.place != Place::Multiprotocol {
            return limit.octets().checked_sub(around);
        }
        // An attribute of at most 255 octets has a header one octet shorter than the head allows for.
        let short_form = limit.octets().checked_add(1)?.checked_sub(around)?;
        let before = self.head.len().saturating_sub(VALUE_AT);
        if before.saturating_add(short_form) <= SHORT_FORM_MAX {
            Some(short_form)
        } else {
            short_form.checked_sub(1)
        }
    }

    /// Octets of a whole message with `nlri` octets of prefixes.
    pub(super) fn size_with(&self, nlri: usize) -> usize {
        let value = self.head.len().saturating_sub(VALUE_AT).saturating_add(nlri);
        let short = self.place == Place::Multiprotocol && value <= SHORT_FORM_MAX;
        let around = self.head.len().saturating_add(self.tail.len()).saturating_sub(usize::from(short));
        around.saturating_add(nlri)
    }

    /// Completes the message that begins at `start` of `out` and ends with `nlri` octets of prefixes.
    pub(super) fn finish(&self, out: &mut Vec<u8>, start: usize, nlri: usize) {
        match self.place {
            Place::Nlri => {}
            Place::Withdrawn => put_u16(out, start, WITHDRAWN_LEN_AT, nlri),
            Place::Multiprotocol => self.finish_multiprotocol(out, start, nlri),
        }
        out.extend_from_slice(self.tail);
        let length = out.len().saturating_sub(start);
        put_u16(out, start, MESSAGE_LEN_AT, length);
    }

    fn finish_multiprotocol(&self, out: &mut Vec<u8>, start: usize, nlri: usize) {
        let value = self.head.len().saturating_sub(VALUE_AT).saturating_add(nlri);
        let at = |offset: usize| start.saturating_add(offset);
        let header = if let Ok(length) = u8::try_from(value) {
            if let Some(flags) = out.get_mut(at(FLAGS_AT)) {
                *flags &= !iana::FLAG_EXTENDED_LENGTH;
            }
            if let Some(field) = out.get_mut(at(VALUE_LEN_AT)) {
                *field = length;
            }
            out.copy_within(at(VALUE_AT).., at(VALUE_AT).saturating_sub(1));
            out.truncate(out.len().saturating_sub(1));
            SHORT_HEADER
        } else {
            put_u16(out, start, VALUE_LEN_AT, value);
            EXTENDED_HEADER
        };
        let section = value.saturating_add(header).saturating_add(self.tail.len());
        put_u16(out, start, ATTRIBUTES_LEN_AT, section);
    }
}

/// The template for withdrawals of `family`.
pub(super) const fn withdrawals(family: Family) -> Template<'static> {
    match family {
        Family::Ipv4Unicast => Template { head: &WITHDRAW_HEAD, tail: &[0, 0], place: Place::Withdrawn },
        Family::Ipv6Unicast => Template { head: &UNREACH_IPV6_HEAD, tail: &[], place: Place::Multiprotocol },
    }
}

/// Appends an End-of-RIB marker (RFC 4724 §2).
pub(super) fn end_of_rib(family: Family, out: &mut Vec<u8>) {
    let template = withdrawals(family);
    let start = out.len();
    out.extend_from_slice(template.head);
    template.finish(out, start, 0);
}

/// Appends the beginning of every UPDATE: a header without length and a Withdrawn Routes length of zero.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(Header::new(MessageType::Update, 0).as_bytes());
    out.extend_from_slice(&[0, 0]);
}

fn put_u16(out: &mut [u8], start: usize, offset: usize, value: usize) {
    // Every value is bounded by the message limit, which fits.
    let value = u16::try_from(value).unwrap_or(u16::MAX);
    let field = out.get_mut(start.saturating_add(offset)..).and_then(|rest| rest.first_chunk_mut());
    if let Some(field) = field {
        *field = value.to_be_bytes();
    }
}

const MESSAGE_LEN_AT: usize = 16;
const WITHDRAWN_LEN_AT: usize = Header::LEN;
pub(super) const ATTRIBUTES_LEN_AT: usize = Header::LEN + 2;
const FLAGS_AT: usize = Header::LEN + 4;
const VALUE_LEN_AT: usize = FLAGS_AT + 2;
const VALUE_AT: usize = VALUE_LEN_AT + 2;
const SHORT_FORM_MAX: usize = 255;
const SHORT_HEADER: usize = 3;
const EXTENDED_HEADER: usize = 4;

const F: u8 = 0xff;
const U: u8 = iana::MSG_UPDATE;
const WITHDRAW_HEAD: [u8; 21] = [F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, 0, 0, U, 0, 0];
const UNREACH_FLAGS: u8 = iana::FLAG_OPTIONAL | iana::FLAG_EXTENDED_LENGTH;
#[rustfmt::skip]
const UNREACH_IPV6_HEAD: [u8; 30] = [
    F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, 0, 0, U, 0, 0, 0, 0,
    UNREACH_FLAGS, iana::ATTR_MP_UNREACH, 0, 0,
    0, 2, iana::SAFI_UNICAST,
];

//! The attribute section as a list of attributes, not judged.

use crate::wire::iana;
use crate::wire::reader::{Reader, Short};

/// One path attribute as it stands in an UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    flags: u8,
    code: u8,
    value: &'a [u8],
    octets: &'a [u8],
}

impl<'a> RawAttribute<'a> {
    /// The type code.
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// The flag octet.
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// The value.
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The whole attribute: flags, code, length and value.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The Optional bit.
    pub const fn is_optional(&self) -> bool {
        self.flags & iana::FLAG_OPTIONAL != 0
    }

    /// The Transitive bit.
    pub const fn is_transitive(&self) -> bool {
        self.flags & iana::FLAG_TRANSITIVE != 0
    }

    fn read(octets: &'a [u8]) -> Result<(Self, &'a [u8]), Short> {
        let mut reader = Reader::new(octets);
        let (flags, code) = (reader.u8()?, reader.u8()?);
        let extended = flags & iana::FLAG_EXTENDED_LENGTH != 0;
        let length = if extended { usize::from(reader.u16()?) } else { usize::from(reader.u8()?) };
        let value = reader.take(length)?;
        let used = octets.len().saturating_sub(reader.len());
        let (octets, rest) = octets.split_at_checked(used).ok_or(Short)?;
        Ok((Self { flags, code, value, octets }, rest))
    }
}

/// The attributes of an UPDATE in the order of the message.
#[derive(Clone, Debug)]
pub struct RawAttributes<'a> {
    rest: &'a [u8],
}

impl<'a> RawAttributes<'a> {
    pub(super) const fn new(section: &'a [u8]) -> Self {
        Self { rest: section }
    }
}

impl<'a> Iterator for RawAttributes<'a> {
    type Item = Result<RawAttribute<'a>, AttributeOverrun<'a>>;

    /// The next attribute; an overrun is the last item.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match RawAttribute::read(self.rest) {
            Ok((attribute, rest)) => {
                self.rest = rest;
                Some(Ok(attribute))
            }
            Err(Short) => Some(Err(AttributeOverrun(std::mem::take(&mut self.rest)))),
        }
    }
}

/// What is left of the attribute section is not a whole attribute (RFC 7606 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeOverrun<'a>(pub &'a [u8]);

//! Writing prefixes into messages.

use crate::types::Family;
use crate::wire::error::EncodeError;
use crate::wire::header::MessageLimit;

use super::attributes::AttributeBlock;
use super::prefix::{SLOT, WirePrefix};
use super::template::{self, Template};

/// UPDATEs that announce prefixes sharing one set of attributes.
#[derive(Debug)]
pub struct Announcements<'a, I: Iterator<Item: WirePrefix>>(Writer<'a, I>);

impl<'a, I: Iterator<Item: WirePrefix>> Announcements<'a, I> {
    /// Messages of at most `limit` that announce `prefixes` with the attributes of `block`, in their order.
    pub fn new(
        block: &'a AttributeBlock,
        prefixes: impl IntoIterator<IntoIter = I>,
        limit: MessageLimit,
    ) -> Self {
        Self(Writer::new(block.template(), block.family(), prefixes.into_iter(), limit))
    }

    /// Appends one message with as many prefixes as fit and returns their number; 0 when none are left.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`] when the next prefix does not even fit alone, now and at every later call;
    /// [`EncodeError::WrongFamily`] for a prefix of another family, which is then skipped together with the
    /// prefixes gathered for the same message. Nothing is appended in either case.
    pub fn write_next(&mut self, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        self.0.write_next(out)
    }
}

/// UPDATEs that withdraw prefixes of one family.
#[derive(Debug)]
pub struct Withdrawals<I: Iterator<Item: WirePrefix>>(Writer<'static, I>);

impl<I: Iterator<Item: WirePrefix>> Withdrawals<I> {
    /// Messages of at most `limit` that withdraw `prefixes`, in their order.
    pub fn new(family: Family, prefixes: impl IntoIterator<IntoIter = I>, limit: MessageLimit) -> Self {
        Self(Writer::new(template::withdrawals(family), family, prefixes.into_iter(), limit))
    }

    /// Appends one message with as many prefixes as fit and returns their number; 0 when none are left.
    ///
    /// # Errors
    /// [`EncodeError::WrongFamily`] as for [`Announcements::write_next`].
    pub fn write_next(&mut self, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        self.0.write_next(out)
    }
}

#[derive(Debug)]
struct Writer<'a, I: Iterator<Item: WirePrefix>> {
    template: Template<'a>,
    family: Family,
    limit: MessageLimit,
    prefixes: I,
    /// A prefix that did not fit the last message.
    pending: Option<I::Item>,
}

impl<'a, I: Iterator<Item: WirePrefix>> Writer<'a, I> {
    const fn new(template: Template<'a>, family: Family, prefixes: I, limit: MessageLimit) -> Self {
        Self { template, family, limit, prefixes, pending: None }
    }

    fn write_next(&mut self, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        let start = out.len();
        out.extend_from_slice(self.template.head);
        match self.fill(out) {
            Ok(0) => {
                out.truncate(start);
                Ok(0)
            }
            Ok(count) => {
                let nlri = out.len().saturating_sub(start).saturating_sub(self.template.head.len());
                self.template.finish(out, start, nlri);
                Ok(count)
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }

    /// Appends prefixes until the message is full and returns their number.
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        let room = self.template.room(self.limit);
        let mut left = room.unwrap_or(0);
        let mut count = 0_usize;
        if let Some(prefix) = self.pending.take() {
            if !self.fill_one(prefix, &mut left, out)? {
                return Err(self.too_large());
            }
            count = 1;
        }
        while left >= <I::Item as WirePrefix>::MAX_OCTETS {
            let before = out.len();
            let added = self.fill_chunk(left, out)?;
            left = left.saturating_sub(out.len().saturating_sub(before));
            count = count.wrapping_add(added);
            if added == 0 {
                return Ok(count);
            }
        }
        while let Some(prefix) = self.prefixes.next() {
            if !self.fill_one(prefix, &mut left, out)? {
                return if count == 0 { Err(self.too_large()) } else { Ok(count) };
            }
            count = count.wrapping_add(1);
        }
        Ok(count)
    }

    /// The fast path: appends prefixes as long as any prefix fits into `left` and into the chunk.
    #[inline]
    fn fill_chunk(&mut self, left: usize, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        let mut chunk = [0_u8; CHUNK];
        let last_start = left.min(CHUNK).saturating_sub(<I::Item as WirePrefix>::MAX_OCTETS);
        let mut used = 0_usize;
        let mut count = 0_usize;
        while used <= last_start {
            let Some(slot) = chunk.get_mut(used..).and_then(|rest| rest.first_chunk_mut::<SLOT>()) else {
                break;
            };
            let Some(prefix) = self.prefixes.next() else { break };
            let Some(octets) = prefix.put(self.family, slot) else {
                return Err(EncodeError::WrongFamily(self.family));
            };
            used = used.wrapping_add(octets);
            count = count.wrapping_add(1);
        }
        out.extend_from_slice(chunk.get(..used).unwrap_or_default());
        Ok(count)
    }

    /// Appends `prefix` if it fits into `left`, else keeps it for the next message.
    fn fill_one(
        &mut self,
        prefix: I::Item,
        left: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        let mut slot = [0; SLOT];
        let octets = prefix.put(self.family, &mut slot).ok_or(EncodeError::WrongFamily(self.family))?;
        let rest = self.template.room(self.limit).and_then(|_| left.checked_sub(octets));
        let Some(rest) = rest else {
            self.pending = Some(prefix);
            return Ok(false);
        };
        *left = rest;
        out.extend_from_slice(slot.get(..octets).unwrap_or_default());
        Ok(true)
    }

    fn too_large(&self) -> EncodeError {
        let mut slot = [0; SLOT];
        let octets = self.pending.as_ref().and_then(|prefix| prefix.put(self.family, &mut slot));
        let size = self.template.size_with(octets.unwrap_or(0));
        EncodeError::TooLarge { size, limit: self.limit.octets() }
    }
}

/// Prefixes are gathered in pieces of this many octets before they are appended.
const CHUNK: usize = 512;

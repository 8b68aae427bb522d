//! Writing prefixes into messages.

use crate::types::Family;
use crate::wire::error::EncodeError;
use crate::wire::header::MessageLimit;

use super::attributes::AttributeBlock;
use super::prefix::{IPV4_HOST, IPV6_HOST, SLOT, WirePrefix, max_octets};
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
        let mut left = self.template.room(self.limit).unwrap_or(0);
        let mut count = 0_usize;
        let mut chunk = [0_u8; CHUNK];
        loop {
            let gathered = self.gather(left, &mut chunk)?;
            if gathered.count == 0 {
                break;
            }
            out.extend_from_slice(chunk.get(..gathered.octets).unwrap_or_default());
            left = left.saturating_sub(gathered.octets);
            count = count.wrapping_add(gathered.count);
        }
        while let Some(prefix) = self.next() {
            if !self.fill_one(prefix, &mut left, out)? {
                return if count == 0 { Err(self.too_large()) } else { Ok(count) };
            }
            count = count.wrapping_add(1);
        }
        Ok(count)
    }

    fn next(&mut self) -> Option<I::Item> {
        self.pending.take().or_else(|| self.prefixes.next())
    }

    /// Gathers prefixes as long as any prefix fits into `left` and into the chunk.
    #[inline]
    fn gather(&mut self, left: usize, chunk: &mut [u8; CHUNK]) -> Result<Gathered, EncodeError> {
        let longest = max_octets(self.family);
        let room = left.min(CHUNK.saturating_sub(SLOT));
        let mut gathered = Gathered { count: 0, octets: 0 };
        let Some(last_start) = room.checked_sub(longest) else { return Ok(gathered) };
        // One long prefix among others is no sign of more, two are.
        let mut run_ahead = self.pending.is_none();
        let mut host_before = false;
        while gathered.octets <= last_start {
            if run_ahead {
                let hosts = self.gather_hosts(chunk.get_mut(gathered.octets..room).unwrap_or_default());
                gathered.add(hosts, hosts.wrapping_mul(longest));
                run_ahead = false;
                continue;
            }
            let rest = chunk.get_mut(gathered.octets..).unwrap_or_default();
            let Some(slot) = rest.first_chunk_mut::<SLOT>() else { break };
            let Some(prefix) = self.next() else { break };
            let octets = prefix.put(self.family, slot).ok_or(EncodeError::WrongFamily(self.family))?;
            gathered.add(1, octets);
            let host = octets == longest;
            run_ahead = host && host_before;
            host_before = host && !run_ahead;
        }
        Ok(gathered)
    }

    /// Fills `room` with single addresses until it is full or another prefix comes, and returns their number.
    #[inline]
    fn gather_hosts(&mut self, room: &mut [u8]) -> usize {
        match self.family {
            Family::Ipv4Unicast => self.gather_run::<IPV4_HOST>(room, |prefix, slot| {
                let [a, b, c, d] = prefix.ipv4_host()?;
                *slot = [32, a, b, c, d];
                Some(())
            }),
            Family::Ipv6Unicast => self.gather_run::<IPV6_HOST>(room, |prefix, slot| {
                let (length, address) = slot.split_first_mut()?;
                *address.first_chunk_mut()? = prefix.ipv6_host()?;
                *length = 128;
                Some(())
            }),
        }
    }

    /// With slots of one size nothing has to be computed to find the next, nor checked to stay inside; in groups of
    /// slots, their end is looked for less often.
    #[inline]
    fn gather_run<const N: usize>(
        &mut self,
        room: &mut [u8],
        put: impl Fn(&I::Item, &mut [u8; N]) -> Option<()>,
    ) -> usize {
        let (slots, _) = room.as_chunks_mut::<N>();
        let (groups, _) = slots.as_chunks_mut::<GROUP>();
        let mut count = 0_usize;
        for group in groups {
            for slot in group {
                let Some(prefix) = self.prefixes.next() else { return count };
                if put(&prefix, slot).is_none() {
                    self.pending = Some(prefix);
                    return count;
                }
                count = count.wrapping_add(1);
            }
        }
        count
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

/// What stands in a chunk.
struct Gathered {
    count: usize,
    octets: usize,
}

impl Gathered {
    const fn add(&mut self, count: usize, octets: usize) {
        self.count = self.count.wrapping_add(count);
        self.octets = self.octets.wrapping_add(octets);
    }
}

/// Prefixes are gathered in pieces of this many octets before they are appended: groups of single addresses of either
/// family, and room for a slot that begins at the end of them.
const CHUNK: usize = 680 + SLOT;
/// Single addresses that are written between two looks at the room.
const GROUP: usize = 4;

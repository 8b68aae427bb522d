//! The datagram: what members tell each other, as octets.
//!
//! All integers are big endian.
//!
//! | octets | field |
//! |---|---|
//! | 1 | format, [`FORMAT`] |
//! | 8 + 4 | the sender's epoch: start, counter |
//! | 8 + 4 + 4 | the receiver's token: epoch (start, counter), challenge; zeros in an introduction |
//! | 1 + n | node name of the sender, 1 to [`MAX_NAME_LEN`] octets of UTF-8 |
//! | | *here the header ends, which a seal leaves readable, and the body begins, which it hides* |
//! | 1 | flags: 1 leaving, 2 settled, 8 bitmap follows, 16 chunk follows |
//! | 4 | the sender's interval in microseconds |
//! | 8 | sequence number within the epoch, at most [`MAX_SEQUENCE`] |
//! | 4 | the challenge that the sender wants to be told back |
//! | 8 | version of the sender's metadata, a digest of it; 0 = none |
//! | 8 | version of the receiver's metadata that the sender holds; 0 = none |
//! | 8 + 2 + n | bitmap: digest of the sender's roster, number of bits, ⌈bits / 8⌉ octets |
//! | 8 + 4 + 4 + 2 + n | chunk: metadata version, length of the whole, offset, length, octets |

use std::time::Duration;

use super::config::Epoch;
use super::token::Token;

/// The format this code writes and reads.
pub const FORMAT: u8 = 2;
/// Longest node name, as in Kubernetes (RFC 1123 subdomain).
pub const MAX_NAME_LEN: usize = 253;
/// Most members that a bitmap covers. Larger clusters go without: a member is then down for a node as soon
/// as that node does not hear it.
pub const MAX_ROSTER: usize = 16_384;
/// Octets of metadata that one datagram carries at most.
pub const CHUNK_LEN: usize = 1_000;
/// Longest datagram that can be valid.
pub const MAX_DATAGRAM_LEN: usize = MAX_HEADER_LEN + 33 + 10 + MAX_ROSTER / 8 + 18 + CHUNK_LEN;
/// Longest header that can be valid.
pub const MAX_HEADER_LEN: usize = 30 + MAX_NAME_LEN;
/// Highest sequence number that can be valid; at 2 500 datagrams a second it lasts for 3 500 years.
pub const MAX_SEQUENCE: u64 = 1 << 48;

const LEAVING: u8 = 1;
const SETTLED: u8 = 1 << 1;
const BITMAP: u8 = 1 << 3;
const CHUNK: u8 = 1 << 4;
const KNOWN_FLAGS: u8 = LEAVING | SETTLED | BITMAP | CHUNK;

/// One datagram, borrowed from the octets it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The node name of the sender.
    pub name: &'a str,
    /// The run of the sender.
    pub epoch: Epoch,
    /// What the sender knows of the receiver, and proves by it that it sends now.
    pub to: Token,
    /// What the sender wants to be told back, together with its epoch.
    pub challenge: u32,
    /// Grows with every datagram of an epoch, whoever receives it.
    pub sequence: u64,
    /// The interval at which the sender sends to each member.
    pub interval: Duration,
    /// The sender is going and sends no more.
    pub leaving: bool,
    /// The sender takes part in elections (it has heard the others, or waited long enough).
    pub settled: bool,
    /// Version of the sender's metadata; 0 = it has none.
    pub metadata_version: u64,
    /// Version of the receiver's metadata that the sender holds completely; 0 = none.
    pub held: u64,
    /// Whom the sender hears.
    pub bitmap: Option<Bitmap<'a>>,
    /// A part of the sender's metadata.
    pub chunk: Option<Chunk<'a>>,
}

/// The part of a datagram that a seal leaves readable: which key opens it, and whether to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The node name of the sender.
    pub name: &'a str,
    /// The run of the sender.
    pub epoch: Epoch,
    /// What the sender knows of the receiver.
    pub to: Token,
}

impl<'a> Header<'a> {
    /// Reads the header of a datagram; also says how many octets it has.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] says which rule of the format is broken.
    pub fn parse(octets: &'a [u8]) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(octets);
        let header = Self::read(&mut reader)?;
        Ok((header, reader.offset))
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let format = reader.u8()?;
        if format != FORMAT {
            return Err(DecodeError::Format { format });
        }
        let epoch = reader.epoch()?;
        let to = Token { epoch: reader.epoch()?, challenge: reader.u32()? };
        let length = usize::from(reader.u8()?);
        if length == 0 || length > MAX_NAME_LEN {
            return Err(DecodeError::Name);
        }
        let name = std::str::from_utf8(reader.take(length)?).map_err(|_| DecodeError::Name)?;
        Ok(Self { name, epoch, to })
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let length = u8::try_from(self.name.len()).map_err(|_| EncodeError::Name)?;
        out.push(FORMAT);
        put_epoch(out, self.epoch);
        put_epoch(out, self.to.epoch);
        out.extend_from_slice(&self.to.challenge.to_be_bytes());
        out.push(length);
        out.extend_from_slice(self.name.as_bytes());
        Ok(())
    }
}

/// Whom a sender hears: one bit per name of its roster, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bitmap<'a> {
    /// Digest of the roster that the bits refer to.
    pub digest: u64,
    /// Number of bits.
    pub members: u16,
    /// The bits, least significant bit first.
    pub bits: &'a [u8],
}

/// A part of a sender's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The version this is a part of.
    pub version: u64,
    /// Octets of the whole.
    pub total: u32,
    /// Where this part begins.
    pub offset: u32,
    /// The part, at most [`CHUNK_LEN`] octets.
    pub octets: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a datagram. Every octet must belong to it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] says which rule of the format is broken.
    pub fn parse(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let Header { name, epoch, to } = Header::read(&mut reader)?;
        let flags = reader.u8()?;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(DecodeError::Flags { flags });
        }
        let interval = Duration::from_micros(u64::from(reader.u32()?));
        let sequence = reader.u64()?;
        if sequence > MAX_SEQUENCE {
            return Err(DecodeError::Sequence { sequence });
        }
        let datagram = Self {
            name,
            epoch,
            to,
            sequence,
            interval,
            leaving: flags & LEAVING != 0,
            settled: flags & SETTLED != 0,
            challenge: reader.u32()?,
            metadata_version: reader.u64()?,
            held: reader.u64()?,
            bitmap: if flags & BITMAP == 0 { None } else { Some(Bitmap::read(&mut reader)?) },
            chunk: if flags & CHUNK == 0 { None } else { Some(Chunk::read(&mut reader)?) },
        };
        reader.finish()?;
        Ok(datagram)
    }

    /// Appends the octets of this datagram to `out`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when a part is longer than the format allows; `out` is then as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check()?;
        let flags = flag(self.leaving, LEAVING)
            | flag(self.settled, SETTLED)
            | flag(self.bitmap.is_some(), BITMAP)
            | flag(self.chunk.is_some(), CHUNK);
        let interval = u32::try_from(self.interval.as_micros()).unwrap_or(u32::MAX);
        self.header().write(out)?;
        out.push(flags);
        out.extend_from_slice(&interval.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.challenge.to_be_bytes());
        out.extend_from_slice(&self.metadata_version.to_be_bytes());
        out.extend_from_slice(&self.held.to_be_bytes());
        if let Some(bitmap) = &self.bitmap {
            out.extend_from_slice(&bitmap.digest.to_be_bytes());
            out.extend_from_slice(&bitmap.members.to_be_bytes());
            out.extend_from_slice(bitmap.bits);
        }
        if let Some(chunk) = &self.chunk {
            chunk.write(out)?;
        }
        Ok(())
    }

    /// The part that a seal leaves readable.
    #[must_use]
    pub const fn header(&self) -> Header<'a> {
        Header { name: self.name, epoch: self.epoch, to: self.to }
    }

    /// What the sender wants to be told back.
    pub(super) const fn asks(&self) -> Token {
        Token { epoch: self.epoch, challenge: self.challenge }
    }

    fn check(&self) -> Result<(), EncodeError> {
        if self.sequence > MAX_SEQUENCE {
            return Err(EncodeError::Sequence);
        }
        if self.name.is_empty() || self.name.len() > MAX_NAME_LEN {
            return Err(EncodeError::Name);
        }
        if self.bitmap.is_some_and(|bitmap| !bitmap.is_consistent()) {
            return Err(EncodeError::Bitmap);
        }
        if self.chunk.is_some_and(|chunk| chunk.octets.len() > CHUNK_LEN) {
            return Err(EncodeError::Chunk);
        }
        Ok(())
    }
}

impl<'a> Bitmap<'a> {
    /// Whether bit `index` is set; bits beyond the end are not.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        index < usize::from(self.members)
            && self.bits.get(index / 8).is_some_and(|octet| octet & (1 << (index % 8)) != 0)
    }

    fn is_consistent(&self) -> bool {
        let members = usize::from(self.members);
        members <= MAX_ROSTER && self.bits.len() == members.div_ceil(8)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let digest = reader.u64()?;
        let members = reader.u16()?;
        if usize::from(members) > MAX_ROSTER {
            return Err(DecodeError::Bitmap { members });
        }
        let bits = reader.take(usize::from(members).div_ceil(8))?;
        Ok(Self { digest, members, bits })
    }
}

impl<'a> Chunk<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.u64()?;
        let total = reader.u32()?;
        let offset = reader.u32()?;
        let length = usize::from(reader.u16()?);
        if length > CHUNK_LEN {
            return Err(DecodeError::Chunk { length });
        }
        Ok(Self { version, total, offset, octets: reader.take(length)? })
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let length = u16::try_from(self.octets.len()).map_err(|_| EncodeError::Chunk)?;
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.total.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(self.octets);
        Ok(())
    }
}

/// Why octets are not a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The octets end too early.
    #[error("{missing} octets are missing at offset {offset}")]
    Truncated {
        /// Where reading stopped.
        offset: usize,
        /// How many more were needed there.
        missing: usize,
    },
    /// Octets are left over.
    #[error("{count} octets are left over")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A format this code does not know.
    #[error("unknown format {format}")]
    Format {
        /// The format found.
        format: u8,
    },
    /// A flag this code does not know.
    #[error("unknown flags {flags:#04x}")]
    Flags {
        /// The flags found.
        flags: u8,
    },
    /// The sequence number is higher than any run can count.
    #[error("sequence number {sequence} is out of range")]
    Sequence {
        /// The number found.
        sequence: u64,
    },
    /// The node name is empty, too long or not UTF-8.
    #[error("the node name is empty, too long or not utf-8")]
    Name,
    /// The bitmap covers more members than allowed.
    #[error("a bitmap of {members} members is too long")]
    Bitmap {
        /// The number of members claimed.
        members: u16,
    },
    /// The chunk of metadata is longer than allowed.
    #[error("a chunk of {length} octets is too long")]
    Chunk {
        /// The length claimed.
        length: usize,
    },
}

/// Why a datagram cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The node name is empty or too long.
    #[error("the node name is empty or longer than {MAX_NAME_LEN} octets")]
    Name,
    /// The run has counted further than the format allows.
    #[error("the sequence number is out of range")]
    Sequence,
    /// The bitmap is too long, or its octets do not fit its number of bits.
    #[error("the bitmap covers more than {MAX_ROSTER} members or has the wrong length")]
    Bitmap,
    /// The chunk is too long.
    #[error("the chunk has more than {CHUNK_LEN} octets")]
    Chunk,
}

/// Takes octets from the front of a slice, without ever indexing.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets, offset: 0 }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.rest.split_at_checked(count) else {
            let missing = count - self.rest.len();
            return Err(DecodeError::Truncated { offset: self.offset, missing });
        };
        self.rest = tail;
        self.offset += count;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut octets = [0; N];
        octets.copy_from_slice(self.take(N)?);
        Ok(octets)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { count: self.rest.len() }) }
    }

    fn epoch(&mut self) -> Result<Epoch, DecodeError> {
        Ok(Epoch::from_wire(self.u64()?, self.u32()?))
    }
}

fn put_epoch(out: &mut Vec<u8>, epoch: Epoch) {
    out.extend_from_slice(&epoch.started().to_be_bytes());
    out.extend_from_slice(&epoch.counter().to_be_bytes());
}

const fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

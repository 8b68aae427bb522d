//! What a member tells the others about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use sha2::{Digest, Sha256};

use crate::facts::Interface;
use crate::keys::InterfaceName;

use super::wire::{DecodeError, Reader};

/// What a member tells the others about itself: sent when it changes, until acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The interfaces on which this node can answer for Layer 2 addresses.
    pub interfaces: BTreeMap<InterfaceName, InterfaceFacts>,
    /// The groups this node says it owns, by group key (for sticky ownership).
    pub claims: BTreeSet<IpAddr>,
    /// The version of the program, for people.
    pub version: Arc<str>,
}

/// What is told about an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// The hardware address, by which others recognise this node's answers.
    pub mac: Option<[u8; 6]>,
    /// What it can carry.
    pub interface: Interface,
}

/// Why metadata cannot be sent or understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// There is too much of it.
    #[error("{length} octets of metadata are more than {MAX_METADATA_LEN}; claim fewer groups on one node")]
    TooLong {
        /// Octets it would take.
        length: usize,
    },
    /// A text in it (interface name, version) is longer than 255 octets.
    #[error("a text of {length} octets in the metadata is longer than 255")]
    TextTooLong {
        /// Octets of the text.
        length: usize,
    },
    /// An interface has more subnets than fit.
    #[error("an interface has {count} subnets, more than 65535")]
    TooManySubnets {
        /// How many.
        count: usize,
    },
    /// Octets received do not follow the format.
    #[error("metadata cannot be read")]
    Octets(#[source] DecodeError),
    /// What was received is not what the sender announced.
    #[error("the metadata does not match its digest")]
    Digest,
    /// A text received is not UTF-8 or empty where it must not be.
    #[error("a text in the metadata is empty or not utf-8")]
    Text,
    /// An address or subnet received is not one.
    #[error("an address in the metadata is malformed")]
    Address,
}

/// Longest encoded metadata: room for about 200 000 IPv4 or 60 000 IPv6 claims.
pub const MAX_METADATA_LEN: usize = 1 << 20;

/// The version of encoded metadata: a digest, so that nobody can pass off anything else as it, and no version is higher
/// than another. Never zero.
pub(super) fn version_of(octets: &[u8]) -> u64 {
    let mut head = [0; 8];
    for (to, from) in head.iter_mut().zip(Sha256::digest(octets)) {
        *to = from;
    }
    u64::from_be_bytes(head).max(1)
}

impl Metadata {
    /// The interfaces as the election needs them.
    #[must_use]
    pub fn interfaces(&self) -> BTreeMap<InterfaceName, Interface> {
        let interface = |facts: &InterfaceFacts| facts.interface.clone();
        self.interfaces.iter().map(|(name, facts)| (name.clone(), interface(facts))).collect()
    }

    /// The octets of this metadata. Equal metadata has equal octets.
    ///
    /// # Errors
    ///
    /// [`MetadataError::TooLong`], [`MetadataError::TextTooLong`] and [`MetadataError::TooManySubnets`].
    pub fn encode(&self) -> Result<Vec<u8>, MetadataError> {
        let mut out = Vec::new();
        let mut value = Vec::new();
        put_text(&mut value, &self.version)?;
        put_field(&mut out, VERSION, &mut value)?;
        for (name, facts) in &self.interfaces {
            put_text(&mut value, name.as_str())?;
            facts.encode(&mut value)?;
            put_field(&mut out, INTERFACE, &mut value)?;
        }
        // In fields of their own, which earlier versions skip.
        for (name, _) in self.interfaces.iter().filter(|(_, facts)| facts.interface.ipv4_only) {
            put_text(&mut value, name.as_str())?;
            put_field(&mut out, IPV4_ONLY, &mut value)?;
        }
        for claim in &self.claims {
            if let IpAddr::V4(address) = claim {
                value.extend_from_slice(&address.octets());
            }
        }
        put_field(&mut out, CLAIMS_V4, &mut value)?;
        for claim in &self.claims {
            if let IpAddr::V6(address) = claim {
                value.extend_from_slice(&address.octets());
            }
        }
        put_field(&mut out, CLAIMS_V6, &mut value)?;
        if out.len() > MAX_METADATA_LEN {
            return Err(MetadataError::TooLong { length: out.len() });
        }
        Ok(out)
    }

    /// Reads metadata. Fields of later versions are skipped.
    ///
    /// # Errors
    ///
    /// [`MetadataError::TooLong`], [`MetadataError::Octets`], [`MetadataError::Text`] and
    /// [`MetadataError::Address`].
    pub fn decode(octets: &[u8]) -> Result<Self, MetadataError> {
        if octets.len() > MAX_METADATA_LEN {
            return Err(MetadataError::TooLong { length: octets.len() });
        }
        let mut metadata = Self::default();
        let mut reader = Reader::new(octets);
        while !reader.is_empty() {
            let tag = reader.u8()?;
            let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
            let mut field = Reader::new(reader.take(length)?);
            match tag {
                VERSION => metadata.version = text(&mut field)?.into(),
                INTERFACE => {
                    let name = text(&mut field)?;
                    if name.is_empty() {
                        return Err(MetadataError::Text);
                    }
                    let facts = InterfaceFacts::decode(&mut field)?;
                    metadata.interfaces.insert(InterfaceName::new(name), facts);
                }
                IPV4_ONLY => {
                    if let Some(facts) = metadata.interfaces.get_mut(text(&mut field)?) {
                        facts.interface.ipv4_only = true;
                    }
                }
                CLAIMS_V4 => {
                    while !field.is_empty() {
                        metadata.claims.insert(Ipv4Addr::from(field.array::<4>()?).into());
                    }
                }
                CLAIMS_V6 => {
                    while !field.is_empty() {
                        metadata.claims.insert(Ipv6Addr::from(field.array::<16>()?).into());
                    }
                }
                _ => continue,
            }
            field.finish()?;
        }
        Ok(metadata)
    }
}

impl InterfaceFacts {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), MetadataError> {
        match self.mac {
            None => out.push(0),
            Some(mac) => {
                out.push(1);
                out.extend_from_slice(&mac);
            }
        }
        let subnets = &self.interface.subnets;
        let count = subnets.len();
        let wire_count = u16::try_from(count).map_err(|_| MetadataError::TooManySubnets { count })?;
        out.extend_from_slice(&wire_count.to_be_bytes());
        for subnet in subnets {
            match subnet.ip() {
                IpAddr::V4(address) => {
                    out.push(4);
                    out.extend_from_slice(&address.octets());
                }
                IpAddr::V6(address) => {
                    out.push(6);
                    out.extend_from_slice(&address.octets());
                }
            }
            out.push(subnet.prefix());
        }
        Ok(())
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, MetadataError> {
        let mac = match reader.u8()? {
            0 => None,
            1 => Some(reader.array::<6>()?),
            _ => return Err(MetadataError::Address),
        };
        let mut subnets = BTreeSet::new();
        for _ in 0..reader.u16()? {
            let address: IpAddr = match reader.u8()? {
                4 => Ipv4Addr::from(reader.array::<4>()?).into(),
                6 => Ipv6Addr::from(reader.array::<16>()?).into(),
                _ => return Err(MetadataError::Address),
            };
            let prefix = reader.u8()?;
            subnets.insert(IpNetwork::new(address, prefix).map_err(|_| MetadataError::Address)?);
        }
        Ok(Self { mac, interface: Interface { subnets, ..Interface::default() } })
    }
}

impl From<DecodeError> for MetadataError {
    fn from(error: DecodeError) -> Self {
        Self::Octets(error)
    }
}

fn put_field(out: &mut Vec<u8>, tag: u8, value: &mut Vec<u8>) -> Result<(), MetadataError> {
    if value.is_empty() {
        return Ok(());
    }
    let length = u32::try_from(value.len()).map_err(|_| MetadataError::TooLong { length: value.len() })?;
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
    out.append(value);
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Result<(), MetadataError> {
    let length = u8::try_from(text.len()).map_err(|_| MetadataError::TextTooLong { length: text.len() })?;
    out.push(length);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, MetadataError> {
    let length = usize::from(reader.u8()?);
    std::str::from_utf8(reader.take(length)?).map_err(|_| MetadataError::Text)
}

const VERSION: u8 = 1;
const INTERFACE: u8 = 2;
const CLAIMS_V4: u8 = 3;
const CLAIMS_V6: u8 = 4;
const IPV4_ONLY: u8 = 5;

//! Capabilities of an OPEN (RFC 5492).

use std::fmt;

use super::error::EncodeError;
use super::iana;
use super::open::OpenError;
use super::reader::{Reader, Short};
use crate::types::{AfiSafi, Asn, Families, Family};

/// One capability a speaker announces.
///
/// A capability this crate does not know, or whose value does not have the form its RFC gives, is
/// [`Capability::Unknown`] and counts as not announced (RFC 5492 §3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Routes of a family can be exchanged (RFC 4760 §8).
    Multiprotocol(AfiSafi),
    /// ROUTE-REFRESH is understood (RFC 2918).
    RouteRefresh,
    /// Families whose next hop may be of another protocol (RFC 8950 §4).
    ExtendedNextHop(Vec<ExtendedNextHop>),
    /// Messages up to 65535 octets are accepted (RFC 8654).
    ExtendedMessage,
    /// The speaker's role towards its peer (RFC 9234 §4.1).
    Role(u8),
    /// Graceful restart (RFC 4724 §3).
    GracefulRestart(GracefulRestart),
    /// The speaker's AS number in four octets (RFC 6793 §3).
    FourOctetAsn(Asn),
    /// Several paths per prefix (RFC 7911 §4).
    AddPath(Vec<AddPath>),
    /// BoRR and EoRR are understood (RFC 7313).
    EnhancedRouteRefresh,
    /// Long-lived graceful restart (RFC 9494 §3.1).
    LongLivedGracefulRestart(Vec<LongLived>),
    /// Host and domain name, as octets that may not be text.
    Fqdn {
        /// The host name.
        host: Vec<u8>,
        /// The domain name.
        domain: Vec<u8>,
    },
    /// Name and version of the software, as octets that may not be text.
    SoftwareVersion(Vec<u8>),
    /// Any other.
    Unknown {
        /// The capability code.
        code: u8,
        /// Its value.
        value: Vec<u8>,
    },
}

/// One entry of the Extended Next Hop Encoding capability (RFC 8950 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedNextHop {
    /// AFI of the routes.
    pub afi: u16,
    /// SAFI of the routes; two octets in this capability.
    pub safi: u16,
    /// AFI of the next hop.
    pub next_hop_afi: u16,
}

impl ExtendedNextHop {
    /// IPv4 unicast routes with an IPv6 next hop.
    pub const IPV4_OVER_IPV6: Self =
        Self { afi: iana::AFI_IPV4, safi: iana::SAFI_UNICAST as u16, next_hop_afi: iana::AFI_IPV6 };
}

/// The Graceful Restart capability (RFC 4724 §3, RFC 8538 §2).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GracefulRestart {
    /// R: the speaker has restarted and will send End-of-RIB when it is ready.
    pub restarting: bool,
    /// N: NOTIFICATIONs other than Hard Reset keep the routes, too.
    pub notification: bool,
    /// Seconds until the speaker is back, at most 4095.
    pub restart_time: u16,
    /// The families whose routes may be kept; empty for a speaker that only helps.
    pub families: Vec<GracefulFamily>,
}

impl GracefulRestart {
    /// The longest restart time the twelve bits can say, in seconds.
    pub const MAX_RESTART_TIME: u16 = 0x0fff;
}

/// One family of a [`GracefulRestart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GracefulFamily {
    /// The family.
    pub family: AfiSafi,
    /// F: forwarding went on while the speaker restarted.
    pub forwarding: bool,
}

/// One family of ADD-PATH (RFC 7911 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddPath {
    /// The family.
    pub family: AfiSafi,
    /// The speaker can receive several paths.
    pub receive: bool,
    /// The speaker can send several paths.
    pub send: bool,
}

/// One family of long-lived graceful restart (RFC 9494 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LongLived {
    /// The family.
    pub family: AfiSafi,
    /// F: forwarding went on while the speaker restarted.
    pub forwarding: bool,
    /// Seconds the routes may stay stale, 24 bits.
    pub stale_time: u32,
}

impl LongLived {
    /// The longest stale time the 24 bits can say, in seconds.
    pub const MAX_STALE_TIME: u32 = 0x00ff_ffff;
}

impl Capability {
    /// The capability code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol(_) => iana::CAP_MULTIPROTOCOL,
            Self::RouteRefresh => iana::CAP_ROUTE_REFRESH,
            Self::ExtendedNextHop(_) => iana::CAP_EXTENDED_NEXT_HOP,
            Self::ExtendedMessage => iana::CAP_EXTENDED_MESSAGE,
            Self::Role(_) => iana::CAP_ROLE,
            Self::GracefulRestart(_) => iana::CAP_GRACEFUL_RESTART,
            Self::FourOctetAsn(_) => iana::CAP_FOUR_OCTET_ASN,
            Self::AddPath(_) => iana::CAP_ADD_PATH,
            Self::EnhancedRouteRefresh => iana::CAP_ENHANCED_ROUTE_REFRESH,
            Self::LongLivedGracefulRestart(_) => iana::CAP_LONG_LIVED_GRACEFUL_RESTART,
            Self::Fqdn { .. } => iana::CAP_FQDN,
            Self::SoftwareVersion(_) => iana::CAP_SOFTWARE_VERSION,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Reads all capabilities of one Capabilities parameter and appends them to `into`.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] when a capability overruns the parameter, or when one without which the session
    /// would be misunderstood (multiprotocol, four-octet AS) does not have its length.
    pub(crate) fn parse_all(parameter: &[u8], into: &mut Vec<Self>) -> Result<(), OpenError> {
        let mut reader = Reader::new(parameter);
        while !reader.is_empty() {
            let code = reader.u8().map_err(|Short| OpenError::Malformed)?;
            let length = reader.u8().map_err(|Short| OpenError::Malformed)?;
            let value = reader.take(usize::from(length)).map_err(|Short| OpenError::Malformed)?;
            into.push(Self::parse(code, value)?);
        }
        Ok(())
    }

    fn parse(code: u8, value: &[u8]) -> Result<Self, OpenError> {
        match Self::parse_known(code, value) {
            Ok(Some(capability)) => Ok(capability),
            Err(Short) if matches!(code, iana::CAP_MULTIPROTOCOL | iana::CAP_FOUR_OCTET_ASN) => {
                Err(OpenError::Malformed)
            }
            Ok(None) | Err(Short) => Ok(Self::Unknown { code, value: value.to_vec() }),
        }
    }

    fn parse_known(code: u8, value: &[u8]) -> Result<Option<Self>, Short> {
        let mut reader = Reader::new(value);
        let capability = match code {
            iana::CAP_MULTIPROTOCOL => {
                let (afi, _reserved, safi) = (reader.u16()?, reader.u8()?, reader.u8()?);
                Self::Multiprotocol(AfiSafi { afi, safi })
            }
            iana::CAP_ROUTE_REFRESH => Self::RouteRefresh,
            iana::CAP_EXTENDED_NEXT_HOP => Self::ExtendedNextHop(list(&mut reader, extended_next_hop)?),
            iana::CAP_EXTENDED_MESSAGE => Self::ExtendedMessage,
            iana::CAP_ROLE => Self::Role(reader.u8()?),
            iana::CAP_GRACEFUL_RESTART => Self::GracefulRestart(graceful_restart(&mut reader)?),
            iana::CAP_FOUR_OCTET_ASN => Self::FourOctetAsn(Asn::new(reader.u32()?)),
            iana::CAP_ADD_PATH => Self::AddPath(list(&mut reader, add_path)?),
            iana::CAP_ENHANCED_ROUTE_REFRESH => Self::EnhancedRouteRefresh,
            iana::CAP_LONG_LIVED_GRACEFUL_RESTART => {
                Self::LongLivedGracefulRestart(list(&mut reader, long_lived)?)
            }
            iana::CAP_FQDN => {
                let host = text(&mut reader)?;
                Self::Fqdn { host, domain: text(&mut reader)? }
            }
            iana::CAP_SOFTWARE_VERSION => Self::SoftwareVersion(text(&mut reader)?),
            _ => return Ok(None),
        };
        reader.finish()?;
        Ok(Some(capability))
    }

    /// Appends code, length and value to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.extend_from_slice(&[self.code(), 0]);
        let value_start = out.len();
        self.encode_value(out)?;
        let length = out.len().saturating_sub(value_start);
        let length =
            u8::try_from(length).map_err(|_| EncodeError::Capability { code: self.code(), length })?;
        if let Some(field) = out.get_mut(start.saturating_add(1)) {
            *field = length;
        }
        Ok(())
    }

    fn encode_value(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Multiprotocol(family) => {
                out.extend_from_slice(&family.afi.to_be_bytes());
                out.extend_from_slice(&[0, family.safi]);
            }
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::ExtendedNextHop(entries) => {
                for entry in entries {
                    for field in [entry.afi, entry.safi, entry.next_hop_afi] {
                        out.extend_from_slice(&field.to_be_bytes());
                    }
                }
            }
            Self::Role(role) => out.push(*role),
            Self::GracefulRestart(restart) => encode_graceful_restart(restart, out)?,
            Self::FourOctetAsn(asn) => out.extend_from_slice(&asn.value().to_be_bytes()),
            Self::AddPath(entries) => {
                for entry in entries {
                    put_family(entry.family, out);
                    out.push(u8::from(entry.receive) | (u8::from(entry.send) << 1));
                }
            }
            Self::LongLivedGracefulRestart(entries) => {
                for entry in entries {
                    put_family(entry.family, out);
                    out.push(flag(entry.forwarding));
                    let [high, octets @ ..] = entry.stale_time.to_be_bytes();
                    if high != 0 {
                        return Err(EncodeError::StaleTime(entry.stale_time));
                    }
                    out.extend_from_slice(&octets);
                }
            }
            Self::Fqdn { host, domain } => {
                put_text(self.code(), host, out)?;
                put_text(self.code(), domain, out)?;
            }
            Self::SoftwareVersion(version) => put_text(self.code(), version, out)?,
            Self::Unknown { value, .. } => out.extend_from_slice(value),
        }
        Ok(())
    }
}

impl fmt::Display for Capability {
    /// In words, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiprotocol(family) => family.fmt(f),
            Self::RouteRefresh => f.write_str("route refresh"),
            Self::ExtendedNextHop(_) => f.write_str("extended next hop"),
            Self::ExtendedMessage => f.write_str("extended message"),
            Self::Role(role) => match role_name(*role) {
                Some(name) => write!(f, "role {name}"),
                None => write!(f, "role {role}"),
            },
            Self::GracefulRestart(restart) => write!(f, "graceful restart ({} s)", restart.restart_time),
            Self::FourOctetAsn(asn) => write!(f, "four-octet AS {asn}"),
            Self::AddPath(_) => f.write_str("additional paths"),
            Self::EnhancedRouteRefresh => f.write_str("enhanced route refresh"),
            Self::LongLivedGracefulRestart(entries) => {
                let longest = entries.iter().map(|entry| entry.stale_time).max().unwrap_or(0);
                write!(f, "long-lived graceful restart ({longest} s)")
            }
            Self::Fqdn { host, .. } => write!(f, "host name {:?}", String::from_utf8_lossy(host)),
            Self::SoftwareVersion(version) => write!(f, "software {:?}", String::from_utf8_lossy(version)),
            Self::Unknown { code, .. } => write!(f, "capability {code}"),
        }
    }
}

const fn role_name(role: u8) -> Option<&'static str> {
    Some(match role {
        iana::ROLE_PROVIDER => "provider",
        iana::ROLE_ROUTE_SERVER => "route server",
        iana::ROLE_ROUTE_SERVER_CLIENT => "route server client",
        iana::ROLE_CUSTOMER => "customer",
        iana::ROLE_PEER => "peer",
        _ => return None,
    })
}

/// The families of this crate for which a list of ADD-PATH entries satisfies `wanted`.
pub(crate) fn add_path_families(entries: &[AddPath], wanted: fn(&AddPath) -> bool) -> Families {
    let known = |entry: &AddPath| entry.family.family();
    entries.iter().filter(|entry| wanted(entry)).filter_map(known).collect::<Families>()
}

impl From<Family> for Capability {
    fn from(family: Family) -> Self {
        Self::Multiprotocol(family.afi_safi())
    }
}

fn list<T>(
    reader: &mut Reader<'_>,
    mut entry: impl FnMut(&mut Reader<'_>) -> Result<T, Short>,
) -> Result<Vec<T>, Short> {
    let mut entries = Vec::new();
    while !reader.is_empty() {
        entries.push(entry(reader)?);
    }
    Ok(entries)
}

fn extended_next_hop(reader: &mut Reader<'_>) -> Result<ExtendedNextHop, Short> {
    Ok(ExtendedNextHop { afi: reader.u16()?, safi: reader.u16()?, next_hop_afi: reader.u16()? })
}

fn afi_safi(reader: &mut Reader<'_>) -> Result<AfiSafi, Short> {
    Ok(AfiSafi { afi: reader.u16()?, safi: reader.u8()? })
}

fn add_path(reader: &mut Reader<'_>) -> Result<AddPath, Short> {
    let family = afi_safi(reader)?;
    match reader.u8()? {
        mode @ 1..=3 => Ok(AddPath { family, receive: mode & 1 != 0, send: mode & 2 != 0 }),
        _ => Err(Short),
    }
}

fn long_lived(reader: &mut Reader<'_>) -> Result<LongLived, Short> {
    let family = afi_safi(reader)?;
    let forwarding = reader.u8()? & FLAG_FORWARDING != 0;
    let [a, b, c] = reader.array()?;
    Ok(LongLived { family, forwarding, stale_time: u32::from_be_bytes([0, a, b, c]) })
}

fn graceful_restart(reader: &mut Reader<'_>) -> Result<GracefulRestart, Short> {
    let fixed = reader.u16()?;
    let families = list(reader, |reader| {
        let family = afi_safi(reader)?;
        Ok(GracefulFamily { family, forwarding: reader.u8()? & FLAG_FORWARDING != 0 })
    })?;
    Ok(GracefulRestart {
        restarting: fixed & FLAG_RESTARTING != 0,
        notification: fixed & FLAG_NOTIFICATION != 0,
        restart_time: fixed & GracefulRestart::MAX_RESTART_TIME,
        families,
    })
}

fn encode_graceful_restart(restart: &GracefulRestart, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if restart.restart_time > GracefulRestart::MAX_RESTART_TIME {
        return Err(EncodeError::RestartTime(restart.restart_time));
    }
    let restarting = if restart.restarting { FLAG_RESTARTING } else { 0 };
    let notification = if restart.notification { FLAG_NOTIFICATION } else { 0 };
    out.extend_from_slice(&(restart.restart_time | restarting | notification).to_be_bytes());
    for entry in &restart.families {
        put_family(entry.family, out);
        out.push(flag(entry.forwarding));
    }
    Ok(())
}

fn text(reader: &mut Reader<'_>) -> Result<Vec<u8>, Short> {
    let length = reader.u8()?;
    reader.take(usize::from(length)).map(<[u8]>::to_vec)
}

fn put_text(code: u8, text: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length =
        u8::try_from(text.len()).map_err(|_| EncodeError::Capability { code, length: text.len() })?;
    out.push(length);
    out.extend_from_slice(text);
    Ok(())
}

fn put_family(family: AfiSafi, out: &mut Vec<u8>) {
    out.extend_from_slice(&family.afi.to_be_bytes());
    out.push(family.safi);
}

const fn flag(forwarding: bool) -> u8 {
    if forwarding { FLAG_FORWARDING } else { 0 }
}

const FLAG_FORWARDING: u8 = 0x80;
const FLAG_RESTARTING: u16 = 0x8000;
const FLAG_NOTIFICATION: u16 = 0x4000;

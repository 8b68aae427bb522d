//! OPEN (RFC 4271 §4.2, §6.2) with optional parameters in both forms (RFC 5492, RFC 9072).

use std::net::Ipv4Addr;

use thiserror::Error;
use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::capability::Capability;
use super::error::EncodeError;
use super::header::{Header, MessageLimit, MessageType};
use super::iana;
use super::notification::Notification;
use super::reader::{Reader, Short};
use crate::types::{Asn, HoldTime, PeerKind, RemoteAs, RouterId};

/// An OPEN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS number: that of the four-octet capability if there is one, else My Autonomous System.
    pub asn: Asn,
    /// The hold time offered.
    pub hold_time: HoldTime,
    /// The sender's BGP Identifier.
    pub router_id: RouterId,
    /// Everything announced, in the order of the message, repetitions included.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// An OPEN of a speaker with AS number `asn`. The four-octet AS capability is added if it is not in
    /// `capabilities`.
    pub fn new(
        asn: Asn,
        hold_time: HoldTime,
        router_id: RouterId,
        mut capabilities: Vec<Capability>,
    ) -> Self {
        if !capabilities.iter().any(|capability| matches!(capability, Capability::FourOctetAsn(_))) {
            capabilities.push(Capability::FourOctetAsn(asn));
        }
        Self { asn, hold_time, router_id, capabilities }
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    /// Every [`OpenError`] that does not depend on who the peer should be; those are [`Open::check`]'s.
    pub fn parse(body: &[u8]) -> Result<Self, OpenError> {
        let (fixed, parameters) = Fixed::ref_from_prefix(body).map_err(|_| OpenError::Malformed)?;
        if fixed.version != iana::BGP_VERSION {
            return Err(OpenError::UnsupportedVersion(fixed.version));
        }
        let capabilities = parse_parameters(fixed.parameters_len, parameters)?;
        let asn = agree_asn(fixed.my_as.get(), &capabilities)?;
        let hold_time = HoldTime::from_secs(fixed.hold_time.get())
            .map_err(|_| OpenError::UnacceptableHoldTime(fixed.hold_time.get()))?;
        let router_id = Ipv4Addr::from(fixed.router_id);
        let router_id = RouterId::new(router_id).map_err(|_| OpenError::BadIdentifier(router_id))?;
        Ok(Self { asn, hold_time, router_id, capabilities })
    }

    /// Judges a received OPEN by what is expected of the peer; tells whether the session is internal.
    ///
    /// # Errors
    /// [`OpenError::BadPeerAs`], [`OpenError::BadIdentifier`] (ours, on an internal session: RFC 6286 §2.2),
    /// [`OpenError::UnacceptableHoldTime`], [`OpenError::RoleMismatch`] (on an external session) and
    /// [`OpenError::MissingCapabilities`].
    pub fn check(&self, policy: &OpenPolicy) -> Result<PeerKind, OpenError> {
        if !policy.remote.accepts(policy.local_asn, self.asn) {
            return Err(OpenError::BadPeerAs(self.asn));
        }
        let kind = PeerKind::between(policy.local_asn, self.asn);
        if kind == PeerKind::Internal && self.router_id == policy.local_id {
            return Err(OpenError::BadIdentifier(self.router_id.address()));
        }
        let least = policy.minimum_hold_time.unwrap_or(HoldTime::DISABLED);
        if self.hold_time != HoldTime::DISABLED && self.hold_time < least {
            return Err(OpenError::UnacceptableHoldTime(self.hold_time.seconds()));
        }
        if let (PeerKind::External, Some(role)) = (kind, policy.role) {
            self.check_role(role)?;
        }
        let missing = |required: &&Capability| !self.announces(required);
        let missing: Vec<Capability> = policy.required.iter().filter(missing).cloned().collect();
        if missing.is_empty() { Ok(kind) } else { Err(OpenError::MissingCapabilities(missing)) }
    }

    /// RFC 9234 §4.2: all instances must say what belongs to ours; none at all is wrong if we insist.
    fn check_role(&self, ours: RolePolicy) -> Result<(), OpenError> {
        let said = self.capabilities.iter().filter_map(|capability| match capability {
            Capability::Role(role) => Some(*role),
            _ => None,
        });
        let mut wrong = said.clone().filter(|role| *role != ours.role.counterpart());
        match (wrong.next(), said.count()) {
            (Some(role), _) => Err(OpenError::RoleMismatch(Some(role))),
            (None, 0) if ours.strict => Err(OpenError::RoleMismatch(None)),
            (None, _) => Ok(()),
        }
    }

    /// Whether the sender announced `capability`: the same family for multiprotocol, the same code for others.
    pub fn announces(&self, capability: &Capability) -> bool {
        self.capabilities.iter().any(|announced| match capability {
            Capability::Multiprotocol(_) => announced == capability,
            Capability::Unknown { .. } => announced.code() == capability.code(),
            _ => std::mem::discriminant(announced) == std::mem::discriminant(capability),
        })
    }

    /// Appends the message to `out`.
    ///
    /// All capabilities stand in one parameter (RFC 5492 §4); the extended form is used only when they need more
    /// than 255 octets (RFC 9072 §2).
    ///
    /// # Errors
    /// [`EncodeError`] when a capability or the whole message is too long; `out` is then as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = self.try_encode(out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn try_encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            capability.encode(&mut capabilities)?;
        }
        let parameters = encode_parameters(&capabilities)?;
        let size = size_of::<Fixed>().saturating_add(parameters.bytes.len()).saturating_add(Header::LEN);
        let limit = MessageLimit::Standard.octets();
        let length = u16::try_from(size).ok().filter(|_| size <= limit);
        let length = length.ok_or(EncodeError::TooLarge { size, limit })?;
        out.extend_from_slice(Header::new(MessageType::Open, length).as_bytes());
        let fixed = Fixed {
            version: iana::BGP_VERSION,
            my_as: U16::new(self.asn.two_octet()),
            hold_time: U16::new(self.hold_time.seconds()),
            router_id: self.router_id.address().octets(),
            parameters_len: parameters.short_len,
        };
        out.extend_from_slice(fixed.as_bytes());
        out.extend_from_slice(&parameters.bytes);
        Ok(())
    }
}

/// What a speaker expects of its peer's OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPolicy {
    /// Our AS number on this session.
    pub local_asn: Asn,
    /// Our BGP Identifier on this session.
    pub local_id: RouterId,
    /// The AS number the peer must have.
    pub remote: RemoteAs,
    /// The shortest non-zero hold time we accept; `None` for any.
    pub minimum_hold_time: Option<HoldTime>,
    /// Capabilities without which there shall be no session (RFC 5492 §3).
    pub required: Vec<Capability>,
    /// Our role on an external session; `None` takes any of the peer.
    pub role: Option<RolePolicy>,
}

/// Our role towards a peer, and whether the peer must say its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RolePolicy {
    /// What we are to the peer.
    pub role: Role,
    /// Refuse a peer that does not say what it is to us (RFC 9234 §4.2, strict mode).
    pub strict: bool,
}

/// What we are to a peer (RFC 9234 §3): the roles of a speaker that only sends routes of its own upwards. The
/// others, whose routes would have to carry the OTC attribute, are not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The peer is our provider.
    Customer,
    /// The peer is a route server.
    RouteServerClient,
}

impl Role {
    /// The value of the capability.
    pub const fn code(self) -> u8 {
        match self {
            Self::Customer => iana::ROLE_CUSTOMER,
            Self::RouteServerClient => iana::ROLE_ROUTE_SERVER_CLIENT,
        }
    }

    /// What the peer must be.
    const fn counterpart(self) -> u8 {
        match self {
            Self::Customer => iana::ROLE_PROVIDER,
            Self::RouteServerClient => iana::ROLE_ROUTE_SERVER,
        }
    }
}

/// What is wrong with an OPEN (RFC 4271 §6.2).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The version is not 4.
    #[error("version {0} is not supported, only 4")]
    UnsupportedVersion(u8),
    /// The AS number is reserved, contradicts itself, or is not the one configured.
    #[error("AS {0} is not acceptable")]
    BadPeerAs(Asn),
    /// The BGP Identifier is zero, or ours on an internal session.
    #[error("BGP identifier {0} is not acceptable")]
    BadIdentifier(Ipv4Addr),
    /// An optional parameter is not known.
    #[error("optional parameter {0} is not supported")]
    UnsupportedParameter(u8),
    /// The hold time is 1 or 2 seconds, or less than we accept.
    #[error("a hold time of {0} s is not acceptable")]
    UnacceptableHoldTime(u16),
    /// The peer's role does not belong to ours, or it says none.
    #[error("the peer's role does not fit ours")]
    RoleMismatch(Option<u8>),
    /// We require capabilities the peer did not announce.
    #[error("the peer does not announce {} required capabilities", .0.len())]
    MissingCapabilities(Vec<Capability>),
    /// Lengths contradict each other, or a known parameter or capability does not have its form.
    #[error("the optional parameters are malformed")]
    Malformed,
}

impl OpenError {
    /// The NOTIFICATION that answers the OPEN.
    pub fn notification(&self) -> Notification {
        let open = |subcode| Notification::new(iana::ERR_OPEN, subcode);
        match self {
            Self::UnsupportedVersion(_) => Notification::with_data(
                iana::ERR_OPEN,
                iana::OPEN_UNSUPPORTED_VERSION,
                u16::from(iana::BGP_VERSION).to_be_bytes(),
            ),
            Self::BadPeerAs(_) => open(iana::OPEN_BAD_PEER_AS),
            Self::BadIdentifier(_) => open(iana::OPEN_BAD_IDENTIFIER),
            Self::UnsupportedParameter(_) => open(iana::OPEN_UNSUPPORTED_PARAMETER),
            Self::UnacceptableHoldTime(_) => open(iana::OPEN_UNACCEPTABLE_HOLD_TIME),
            Self::RoleMismatch(_) => open(iana::OPEN_ROLE_MISMATCH),
            Self::MissingCapabilities(missing) => missing_notification(missing),
            Self::Malformed => open(iana::SUB_UNSPECIFIC),
        }
    }
}

fn missing_notification(missing: &[Capability]) -> Notification {
    let mut data = Vec::new();
    for capability in missing {
        let start = data.len();
        if capability.encode(&mut data).is_err() {
            data.truncate(start);
        }
    }
    Notification::with_data(iana::ERR_OPEN, iana::OPEN_UNSUPPORTED_CAPABILITY, data)
}

/// The AS number of the sender (RFC 6793 §4.1, RFC 7607).
///
/// My Autonomous System must be the four-octet number or AS_TRANS; neither may be 0, and AS_TRANS is nobody's own.
fn agree_asn(my_as: u16, capabilities: &[Capability]) -> Result<Asn, OpenError> {
    let short = Asn::new(u32::from(my_as));
    let long = capabilities.iter().find_map(|capability| match capability {
        Capability::FourOctetAsn(asn) => Some(*asn),
        _ => None,
    });
    let asn = long.unwrap_or(short);
    let consistent = short == Asn::TRANS || short == asn;
    if short.is_zero() || asn.is_zero() || asn == Asn::TRANS || !consistent {
        return Err(OpenError::BadPeerAs(asn));
    }
    Ok(asn)
}

fn parse_parameters(short_len: u8, octets: &[u8]) -> Result<Vec<Capability>, OpenError> {
    let mut reader = Reader::new(octets);
    let extended = short_len != 0 && octets.first() == Some(&iana::PARAM_EXTENDED_LENGTH);
    let length = if extended {
        reader.u8().and_then(|_| reader.u16()).map_err(|Short| OpenError::Malformed)?
    } else {
        u16::from(short_len)
    };
    if reader.len() != usize::from(length) {
        return Err(OpenError::Malformed);
    }
    let mut capabilities = Vec::new();
    while !reader.is_empty() {
        let kind = reader.u8().map_err(|Short| OpenError::Malformed)?;
        let length = if extended { reader.u16() } else { reader.u8().map(u16::from) };
        let length = length.map_err(|Short| OpenError::Malformed)?;
        let value = reader.take(usize::from(length)).map_err(|Short| OpenError::Malformed)?;
        if kind != iana::PARAM_CAPABILITIES {
            return Err(OpenError::UnsupportedParameter(kind));
        }
        Capability::parse_all(value, &mut capabilities)?;
    }
    Ok(capabilities)
}

struct Parameters {
    /// The length octet of the fixed part.
    short_len: u8,
    bytes: Vec<u8>,
}

fn encode_parameters(capabilities: &[u8]) -> Result<Parameters, EncodeError> {
    if capabilities.is_empty() {
        return Ok(Parameters { short_len: 0, bytes: Vec::new() });
    }
    let too_large = |_| EncodeError::TooLarge { size: capabilities.len(), limit: usize::from(u16::MAX) };
    let inner = u16::try_from(capabilities.len()).map_err(too_large)?;
    let parameter = u16::try_from(capabilities.len().saturating_add(2)).map_err(too_large)?;
    let short = u8::try_from(parameter).ok().zip(u8::try_from(inner).ok());
    let (short_len, mut bytes) = if let Some((parameter, inner)) = short {
        (parameter, vec![iana::PARAM_CAPABILITIES, inner])
    } else {
        let [high, low] = inner.saturating_add(3).to_be_bytes();
        let [inner_high, inner_low] = inner.to_be_bytes();
        let long = iana::PARAM_EXTENDED_LENGTH;
        (u8::MAX, vec![long, high, low, iana::PARAM_CAPABILITIES, inner_high, inner_low])
    };
    bytes.extend_from_slice(capabilities);
    Ok(Parameters { short_len, bytes })
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Fixed {
    version: u8,
    my_as: U16,
    hold_time: U16,
    router_id: [u8; 4],
    parameters_len: u8,
}

#[cfg(test)]
mod tests;

//! Why a session ended or does not come up, as a sentence with the values of both sides.

mod received;

use std::fmt;

use self::received::Received;
use super::{CloseReason, NegotiatedSnapshot, PeerConfig, SocketStep, Unacknowledged};
use crate::types::{AfiSafi, Family, RemoteAs};
use crate::unnumbered::NoNeighbor;
use crate::wire::iana;
use crate::wire::notification::Notification;
use crate::wire::open::OpenError;

/// What the user calls the settings of a peer, so that a sentence can name the one to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever names settings names all of them")]
pub struct SettingNames {
    /// [`PeerConfig::remote_asn`].
    pub remote_asn: &'static str,
    /// [`PeerConfig::local_asn`].
    pub local_asn: &'static str,
    /// [`PeerConfig::router_id`].
    pub router_id: &'static str,
    /// [`PeerConfig::hold_time`].
    pub hold_time: &'static str,
    /// [`PeerConfig::families`].
    pub families: &'static str,
    /// [`PeerConfig::authentication`].
    pub authentication: &'static str,
    /// [`PeerConfig::local_address`].
    pub local_address: &'static str,
    /// [`PeerConfig::interface`].
    pub interface: &'static str,
    /// [`PeerConfig::tcp_mss`].
    pub tcp_mss: &'static str,
}

impl SettingNames {
    /// The names of this crate.
    pub const LIBRARY: Self = Self {
        remote_asn: "remote_asn",
        local_asn: "local_asn",
        router_id: "router_id",
        hold_time: "hold_time",
        families: "families",
        authentication: "authentication",
        local_address: "local_address",
        interface: "interface",
        tcp_mss: "tcp_mss",
    };
}

/// A reason as a sentence: made by [`CloseReason::explain`].
#[derive(Clone, Copy, Debug)]
pub struct Sentence<'a> {
    reason: &'a CloseReason,
    config: &'a PeerConfig,
    names: &'a SettingNames,
}

impl CloseReason {
    /// The reason as a sentence, with the values of both sides and the setting that may have to change. Texts of the peer
    /// are quoted and escaped.
    #[must_use]
    pub const fn explain<'a>(&'a self, config: &'a PeerConfig, names: &'a SettingNames) -> Sentence<'a> {
        Sentence { reason: self, config, names }
    }
}

impl Unacknowledged {
    /// What it may mean, as a sentence with the remedy.
    #[must_use]
    pub fn explain(&self, names: &SettingNames) -> String {
        format!(
            "the router has not acknowledged {} segments of up to {} octets, though they were sent more than once: the path \
             may lose big packets; compare the MTU of both ends and of what is between them, or set {}",
            self.segments, self.size, names.tcp_mss
        )
    }
}

impl NegotiatedSnapshot {
    /// Which of the families that are wanted were not agreed on, as a sentence with the remedy; `None` when all were.
    #[must_use]
    pub fn explain_missing(&self, names: &SettingNames) -> Option<String> {
        if self.missing_families.is_empty() {
            return None;
        }
        let all =
            |families: &[Family]| families.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let missing = all(&self.missing_families);
        let (agreed, alternative) = if self.families.is_empty() {
            ("no family".to_owned(), String::new())
        } else {
            (all(&self.families), format!(", or change {} here", names.families))
        };
        Some(format!(
            "the router has not activated {missing} for this session (agreed on: {agreed}), so such routes are not sent: \
             activate {missing} on the router{alternative}"
        ))
    }
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names;
        match self.reason {
            CloseReason::RefusedOpen(error) => self.refused_open(error, f)?,
            CloseReason::Sent(notification) => sent(notification, f)?,
            CloseReason::Received(notification) => {
                Received { config: self.config, names }.write(notification, f)?;
            }
            CloseReason::ConnectFailed(error) => {
                write!(f, "no connection to {}: {error}", self.config.remote_name())?;
                if let (Some(SocketStep::BindAddress), Some(own)) = (error.step, self.config.local_address) {
                    write!(f, "; {} is {own}", names.local_address)?;
                }
            }
            CloseReason::ConnectTimeout => write!(
                f,
                "{} does not answer: it is unreachable, a filter is in between, or {} is another than its key",
                self.config.remote_name(),
                names.authentication
            )?,
            CloseReason::Unauthenticated(error) => {
                write!(f, "{} cannot be used: {error}", names.authentication)?;
            }
            CloseReason::ConnectionClosed => {
                f.write_str("the router closed the connection and said nothing")?;
            }
            CloseReason::ConnectionFailed(error) => write!(f, "the connection failed: {error}")?,
            CloseReason::SendHoldExpired => {
                f.write_str("the router has not read what we sent for the send-hold time (8/0)")?;
            }
            CloseReason::ReplacedByPeer => f.write_str("the router restarted and opened a new connection")?,
            CloseReason::Stopped => f.write_str("stopped from this side")?,
            CloseReason::NoNeighbor(reason) => self.no_neighbor(*reason, f)?,
            CloseReason::Invalid(error) => write!(f, "not possible as configured: {error}")?,
        }
        Ok(())
    }
}

impl Sentence<'_> {
    fn no_neighbor(&self, reason: NoNeighbor, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = self.names.interface;
        let interface = self.config.interface.as_deref().unwrap_or_default();
        match reason {
            NoNeighbor::NoInterface => write!(f, "this node has no interface {interface}; see {setting}"),
            NoNeighbor::Down => write!(f, "interface {interface} is down or has no carrier"),
            NoNeighbor::NoAddress => write!(
                f,
                "interface {interface} has neither an IPv6 link-local address nor an IPv4 address with a prefix \
                 of 30 or 31: give it one of both, or {setting} another name"
            ),
            NoNeighbor::Silent => write!(
                f,
                "no router has advertised itself on interface {interface}: have the router send router \
                 advertisements there"
            ),
            NoNeighbor::Deaf(Some(NOT_PERMITTED)) => {
                write!(f, "interface {interface}: {reason}; that takes CAP_NET_RAW")
            }
            NoNeighbor::Deaf(_) => write!(f, "interface {interface}: {reason}"),
        }
    }

    fn refused_open(&self, error: &OpenError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names;
        match error {
            OpenError::UnsupportedVersion(version) => {
                write!(f, "the router speaks BGP version {version}, not 4")?;
            }
            OpenError::BadPeerAs(asn) => {
                write!(f, "the router says AS {asn}, ")?;
                match self.config.remote_asn {
                    RemoteAs::Asn(expected) => write!(f, "{} is {expected}", names.remote_asn)?,
                    RemoteAs::Internal => {
                        write!(f, "{} wants our own, {}", names.remote_asn, self.config.local_asn)?;
                    }
                    RemoteAs::External => {
                        write!(
                            f,
                            "{} wants another than our own, {}",
                            names.remote_asn, self.config.local_asn
                        )?;
                    }
                    RemoteAs::Any => f.write_str("which nobody can have")?,
                }
            }
            OpenError::BadIdentifier(id) if id.is_unspecified() => {
                f.write_str("the router has the BGP identifier 0.0.0.0")?;
            }
            OpenError::BadIdentifier(id) => {
                write!(f, "the router has the BGP identifier {id}, and so have we: set {}", names.router_id)?;
            }
            OpenError::UnsupportedParameter(kind) => {
                write!(f, "the router sends the optional parameter {kind}, which is not known here")?;
            }
            OpenError::UnacceptableHoldTime(seconds) => match self.config.minimum_hold_time {
                Some(least) if *seconds > 2 => {
                    write!(
                        f,
                        "the router wants a hold time of {seconds} s, at least {} s are wanted",
                        least.seconds()
                    )?;
                }
                _ => write!(f, "the router wants a hold time of {seconds} s, which is none")?,
            },
            OpenError::RoleMismatch(Some(role)) => write!(f, "the router's role {role} does not fit ours")?,
            OpenError::RoleMismatch(None) => f.write_str("the router does not say its role")?,
            OpenError::MissingCapabilities(missing) => {
                f.write_str("the router does not have what is required: ")?;
                list(missing, f)?;
            }
            OpenError::Malformed => f.write_str("the OPEN of the router cannot be read")?,
        }
        numbers(&error.notification(), f)
    }
}

/// Why we ended a session, where it was not its OPEN.
fn sent(notification: &Notification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match notification.code {
        iana::ERR_HEADER => f.write_str("the router sent what is no BGP message")?,
        iana::ERR_UPDATE => f.write_str("the router sent an UPDATE that cannot be read")?,
        iana::ERR_HOLD_TIMER => f.write_str("nothing came from the router for the hold time")?,
        iana::ERR_FSM => match notification.data.first() {
            Some(kind) => {
                write!(f, "the router sent a message of type {} too early or too late", message(*kind))?;
            }
            None => f.write_str("a timer ran out of order")?,
        },
        iana::ERR_CEASE => match limit(notification) {
            Some((family, limit)) => {
                write!(f, "the router announces more than {limit} prefixes of {family}")?;
            }
            None => {
                write!(f, "ended from this side: {}", notification.subcode_name().unwrap_or("no reason"))?;
            }
        },
        iana::ERR_ROUTE_REFRESH => f.write_str("the router sent a ROUTE-REFRESH that cannot be read")?,
        _ => f.write_str("ended from this side")?,
    }
    if let Some(name) = notification.subcode_name().filter(|_| notification.code != iana::ERR_CEASE) {
        write!(f, ": {name}")?;
    }
    numbers(notification, f)
}

/// Family and number of a Cease for too many prefixes (RFC 4486 §4).
fn limit(notification: &Notification) -> Option<(AfiSafi, u32)> {
    if notification.code != iana::ERR_CEASE || notification.subcode != iana::CEASE_MAX_PREFIXES {
        return None;
    }
    let &[high, low, safi, a, b, c, d] = notification.data.as_slice() else { return None };
    let family = AfiSafi { afi: u16::from_be_bytes([high, low]), safi };
    Some((family, u32::from_be_bytes([a, b, c, d])))
}

fn numbers(notification: &Notification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, " ({}/{})", notification.code, notification.subcode)
}

/// The name of a message type (RFC 4271 §4.1).
fn message(kind: u8) -> String {
    let names = ["OPEN", "UPDATE", "NOTIFICATION", "KEEPALIVE", "ROUTE-REFRESH"];
    let name = usize::from(kind).checked_sub(1).and_then(|index| names.get(index));
    name.map_or_else(|| kind.to_string(), |name| (*name).to_owned())
}

fn list(items: &[impl fmt::Display], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

/// EPERM.
const NOT_PERMITTED: i32 = 1;

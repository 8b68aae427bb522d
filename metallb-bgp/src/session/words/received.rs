//! What a NOTIFICATION of the peer says.

use std::fmt;

use super::{SettingNames, limit, list, message, numbers};
use crate::session::PeerConfig;
use crate::wire::capability::Capability;
use crate::wire::iana;
use crate::wire::notification::Notification;

/// What a sentence about the peer's NOTIFICATION is made with.
pub(super) struct Received<'a> {
    pub(super) config: &'a PeerConfig,
    pub(super) names: &'a SettingNames,
}

impl Received<'_> {
    /// The sentence, with the numbers at its end.
    pub(super) fn write(&self, notification: &Notification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(inner) = notification.hard_reset_inner().filter(|inner| !inner.is_hard_reset()) {
            self.one(&inner, f)?;
            numbers(&inner, f)?;
            f.write_str(", and forgets our routes")?;
            return numbers(notification, f);
        }
        self.one(notification, f)?;
        numbers(notification, f)
    }

    fn one(&self, notification: &Notification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = notification.subcode_name();
        match notification.code {
            iana::ERR_HEADER => {
                write!(f, "the router cannot read the header of a message of ours")?;
                detail(name, f)
            }
            iana::ERR_OPEN => self.open(notification, f),
            iana::ERR_UPDATE => {
                f.write_str("the router cannot read an UPDATE of ours")?;
                detail(name, f)?;
                attribute(notification).map_or(Ok(()), |attribute| write!(f, ", in {attribute}"))
            }
            iana::ERR_HOLD_TIMER => {
                let hold = self.config.hold_time.seconds();
                write!(
                    f,
                    "nothing of ours came to the router for the hold time; {} is {hold} s",
                    self.names.hold_time
                )
            }
            iana::ERR_FSM => match notification.data.first() {
                Some(kind) => write!(f, "the router does not expect a {} of ours now", message(*kind)),
                None => f.write_str("the router does not expect a message of ours now"),
            },
            iana::ERR_CEASE => cease(notification, f),
            iana::ERR_ROUTE_REFRESH => {
                f.write_str("the router cannot read a ROUTE-REFRESH of ours")?;
                detail(name, f)
            }
            iana::ERR_SEND_HOLD_TIMER => {
                f.write_str("the router could not send to us for its send-hold time")
            }
            code => write!(f, "the router ended the session with the error {code}, which is not known here"),
        }
    }

    fn open(&self, notification: &Notification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names;
        match notification.subcode {
            iana::OPEN_UNSUPPORTED_VERSION => match notification.data.as_slice() {
                &[high, low] => {
                    write!(f, "the router speaks BGP version {}, we speak 4", u16::from_be_bytes([high, low]))
                }
                _ => f.write_str("the router does not speak BGP version 4"),
            },
            iana::OPEN_BAD_PEER_AS => write!(
                f,
                "the router expects another AS of us than {}: see {}, and what the router has for this node",
                self.config.local_asn, names.local_asn
            ),
            iana::OPEN_BAD_IDENTIFIER => {
                f.write_str("the router refuses our BGP identifier")?;
                if let Some(id) = self.config.router_id {
                    write!(f, " {id}")?;
                }
                write!(f, ": set {} to an address that no other router has", names.router_id)
            }
            iana::OPEN_UNSUPPORTED_PARAMETER => f.write_str("the router does not know capabilities"),
            OPEN_AUTHENTICATION => f.write_str("the router wants an authentication that is obsolete"),
            iana::OPEN_UNACCEPTABLE_HOLD_TIME => {
                let hold = self.config.hold_time.seconds();
                write!(f, "the router refuses our hold time: {} is {hold} s", names.hold_time)
            }
            iana::OPEN_UNSUPPORTED_CAPABILITY => self.capability(notification, f),
            iana::OPEN_ROLE_MISMATCH => f.write_str("our role does not fit the router's"),
            _ => {
                f.write_str("the router does not accept our OPEN")?;
                detail(notification.subcode_name(), f)
            }
        }
    }

    /// A refused capability: a family is one that the router's configuration does not have for us.
    fn capability(&self, notification: &Notification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = Vec::new();
        let readable = Capability::parse_all(&notification.data, &mut named).is_ok();
        if !readable || named.is_empty() {
            return f.write_str("the router refuses a capability of ours and does not say which");
        }
        let is_family = |capability: &Capability| matches!(capability, Capability::Multiprotocol(_));
        let (families, others): (Vec<_>, Vec<_>) = named.into_iter().partition(is_family);
        if !families.is_empty() {
            f.write_str("the router has not activated ")?;
            list(&families, f)?;
            write!(f, " for us; see {}", self.names.families)?;
        }
        if !others.is_empty() {
            f.write_str(if families.is_empty() { "the router refuses " } else { ", and refuses " })?;
            list(&others, f)?;
        }
        Ok(())
    }
}

fn cease(notification: &Notification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match notification.subcode {
        iana::CEASE_MAX_PREFIXES => match limit(notification) {
            Some((family, limit)) => {
                write!(f, "the router takes at most {limit} prefixes of {family} from us")?;
            }
            None => f.write_str("we announce more prefixes than the router takes from us")?,
        },
        iana::CEASE_ADMIN_SHUTDOWN => f.write_str("an operator has shut the session down at the router")?,
        iana::CEASE_PEER_DECONFIGURED => {
            f.write_str("the router has this session not configured any more")?;
        }
        iana::CEASE_ADMIN_RESET => f.write_str("an operator has reset the session at the router")?,
        iana::CEASE_CONNECTION_REJECTED => {
            f.write_str("the router takes no session from this address for now")?;
        }
        iana::CEASE_OTHER_CONFIG_CHANGE => f.write_str("the configuration of the router has changed")?,
        iana::CEASE_COLLISION => f.write_str("the router keeps another connection with us")?,
        iana::CEASE_OUT_OF_RESOURCES => f.write_str("the router is out of resources")?,
        iana::CEASE_HARD_RESET => f.write_str("the router resets the session and forgets our routes")?,
        iana::CEASE_BFD_DOWN => f.write_str("BFD at the router says that we do not answer")?,
        _ => f.write_str("the router ended the session")?,
    }
    match notification.shutdown_text() {
        Some(text) => write!(f, ": {text}"),
        None => Ok(()),
    }
}

fn detail(name: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    name.map_or(Ok(()), |name| write!(f, ": {name}"))
}

/// The attribute that the data begins with: flags, then the type (RFC 4271 §6.3).
fn attribute(notification: &Notification) -> Option<String> {
    let of_missing = notification.subcode == iana::UPDATE_MISSING_WELL_KNOWN;
    let code = *match notification.data.as_slice() {
        // Of one that is missing there is the type alone.
        [code] if of_missing => Some(code),
        [_, code, ..] => Some(code),
        _ => None,
    }?;
    Some(attribute_name(code).map_or_else(|| format!("attribute {code}"), str::to_owned))
}

const fn attribute_name(code: u8) -> Option<&'static str> {
    Some(match code {
        iana::ATTR_ORIGIN => "ORIGIN",
        iana::ATTR_AS_PATH => "AS_PATH",
        iana::ATTR_NEXT_HOP => "NEXT_HOP",
        iana::ATTR_MED => "MULTI_EXIT_DISC",
        iana::ATTR_LOCAL_PREF => "LOCAL_PREF",
        iana::ATTR_ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
        iana::ATTR_AGGREGATOR => "AGGREGATOR",
        iana::ATTR_COMMUNITIES => "COMMUNITIES",
        iana::ATTR_MP_REACH => "MP_REACH_NLRI",
        iana::ATTR_MP_UNREACH => "MP_UNREACH_NLRI",
        iana::ATTR_EXTENDED_COMMUNITIES => "EXTENDED COMMUNITIES",
        iana::ATTR_AS4_PATH => "AS4_PATH",
        iana::ATTR_LARGE_COMMUNITIES => "LARGE_COMMUNITY",
        _ => return None,
    })
}

/// Authentication Failure (RFC 4271 deprecates it).
const OPEN_AUTHENTICATION: u8 = 5;

//! Capabilities that the peer refuses: the next attempts leave them out, where the session can do without.

use super::connection::{Connection, Direction};
use super::{CloseReason, Event, PeerConfig, Session};
use crate::fsm::State;
use crate::types::{Families, Family, RemoteAs};
use crate::wire::Message;
use crate::wire::capability::Capability;
use crate::wire::header::{Framer, MessageType};
use crate::wire::iana;
use crate::wire::notification::Notification;
use crate::wire::open::Open;
use crate::wire::reader::Reader;

/// What our OPENs leave out because the peer refused it.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// All optional parameters: the peer knows none.
    everything: bool,
    /// Single capabilities.
    capabilities: Vec<Capability>,
}

impl GivenUp {
    /// Leaves out of an OPEN what was given up.
    pub(super) fn apply(&self, open: &mut Open) {
        open.capabilities.retain(|capability| !self.covers(capability));
    }

    /// Whether a capability is not announced any more.
    pub(super) fn covers(&self, capability: &Capability) -> bool {
        self.everything || self.capabilities.iter().any(|given_up| is_same(given_up, capability))
    }

    /// What was given up, in words.
    pub(super) fn words(&self) -> Vec<String> {
        if self.everything {
            return vec!["all capabilities".to_owned()];
        }
        self.capabilities.iter().map(ToString::to_string).collect()
    }
}

impl Session {
    /// Takes note of a NOTIFICATION 2/4, or 2/7 that names capabilities (RFC 5492 §3, §5). The user is told what the next
    /// attempt leaves out.
    pub(super) fn note_refusal(&mut self, sent: Option<&Open>, notification: &Notification) {
        let Some(sent) = sent.filter(|_| notification.code == iana::ERR_OPEN) else { return };
        let refused = match notification.subcode {
            iana::OPEN_UNSUPPORTED_PARAMETER if can_do_without_any(&self.config, sent) => {
                self.given_up.everything = true;
                sent.capabilities.clone()
            }
            iana::OPEN_UNSUPPORTED_CAPABILITY => self.give_up(sent, &notification.data),
            _ => Vec::new(),
        };
        if !refused.is_empty() {
            let event = Event::CapabilitiesGivenUp { peer: self.key.clone(), capabilities: refused };
            self.events.push_back(event);
        }
    }

    fn give_up(&mut self, sent: &Open, named: &[u8]) -> Vec<Capability> {
        let mut left = sent.clone();
        let mut refused = Vec::new();
        for capability in sent.capabilities.iter().filter(|capability| names(named, capability)) {
            if can_do_without(&self.config, &left, capability) {
                left.capabilities.retain(|left| left != capability);
                refused.push(capability.clone());
            }
        }
        self.given_up.capabilities.extend_from_slice(&refused);
        refused
    }

    /// Finds the NOTIFICATION of the peer in what was read behind the message that we ended the connection for.
    pub(super) fn read_crossed(&mut self, mut framer: Framer, mut rest: &[u8], sent: Option<&Open>) {
        let ours = self.last_error.as_ref().map(|(_, reason)| reason);
        let sent_one = matches!(ours, Some(CloseReason::Sent(_) | CloseReason::RefusedOpen(_)));
        // Where one side does not want the connection, as after a collision, that both say so is nothing new.
        if !sent_one || !ours.is_some_and(CloseReason::is_failure) {
            return;
        }
        // What comes before it does not matter any more.
        while let Ok(Some(frame)) = framer.next_frame(&mut rest) {
            if frame.kind() != MessageType::Notification {
                continue;
            }
            let Ok(Message::Notification(notification)) = Message::parse(frame) else { return };
            self.counters.messages_received += 1;
            self.counters.notifications_received += 1;
            self.note_refusal(sent, &notification);
            if self.crossed.as_ref() != Some(&notification) {
                let peer = self.key.clone();
                self.crossed = Some(notification.clone());
                self.events.push_back(Event::NotificationCrossed { peer, notification });
            }
            return;
        }
    }

    /// The OPEN we sent on a connection, while its session is not established: only then can it be refused.
    pub(super) fn open_in_question(&self, direction: Direction) -> Option<Open> {
        let is_young = |connection: &&Connection| connection.state < State::Established;
        self.connection(direction).filter(is_young)?.sent_open.clone()
    }
}

/// Whether two capabilities are the same promise: for routes of one family, or of one kind.
fn is_same(a: &Capability, b: &Capability) -> bool {
    match (a, b) {
        (Capability::Multiprotocol(a), Capability::Multiprotocol(b)) => a == b,
        _ => a.code() == b.code(),
    }
}

/// Whether the data of a NOTIFICATION 2/7 names a capability.
fn names(mut data: &[u8], capability: &Capability) -> bool {
    let mut ours = Vec::new();
    if capability.encode(&mut ours).is_err() {
        return false;
    }
    while !data.is_empty() {
        let mut reader = Reader::new(data);
        let (Ok(code), Ok(length)) = (reader.u8(), reader.u8()) else { return false };
        let Ok(value) = reader.take(usize::from(length)) else { return false };
        let same_value = ours.get(2..).is_some_and(|ours| ours == value);
        if code == capability.code() && (same_value || code != iana::CAP_MULTIPROTOCOL) {
            return true;
        }
        data = reader.rest();
    }
    false
}

/// Whether a session is of use without one more capability.
fn can_do_without(config: &PeerConfig, left: &Open, capability: &Capability) -> bool {
    if config.required_capabilities.iter().any(|required| is_same(required, capability)) {
        return false;
    }
    match capability {
        Capability::FourOctetAsn(asn) => asn.is_mappable() && expects_short_asn(config),
        Capability::Role(_) => config.role.is_none_or(|role| !role.strict),
        Capability::Multiprotocol(family) => {
            let wanted = families(left);
            let others = wanted.iter().any(|wanted| wanted.afi_safi() != *family);
            // Who announces no family at all means IPv4 unicast (RFC 4760 §8).
            others || wanted == Families::only(Family::Ipv4Unicast)
        }
        _ => true,
    }
}

/// Whether a session is of use as RFC 4271 alone has it: IPv4 unicast, AS numbers of two octets.
fn can_do_without_any(config: &PeerConfig, sent: &Open) -> bool {
    families(sent) == Families::only(Family::Ipv4Unicast)
        && sent.capabilities.iter().all(|capability| can_do_without(config, sent, capability))
}

fn expects_short_asn(config: &PeerConfig) -> bool {
    !matches!(config.remote_asn, RemoteAs::Asn(asn) if !asn.is_mappable())
}

/// The families that an OPEN announces by name.
fn families(open: &Open) -> Families {
    let family = |capability: &Capability| match capability {
        Capability::Multiprotocol(family) => family.family(),
        _ => None,
    };
    open.capabilities.iter().filter_map(family).collect()
}

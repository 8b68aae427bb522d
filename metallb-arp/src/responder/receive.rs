//! What the responder does with received frames.

use core::net::IpAddr;
use std::time::Instant;

use super::send::Reply;
use super::table::{Key, Phase, Standing};
use super::types::{
    DEFENCE_DELAY, Event, Ignored, InterfaceIndex, MAX_PENDING_REPLIES, Outcome, PROBE_RETRY, Reaction,
};
use super::{Interface, Responder};
use crate::gratuitous::Class;
use crate::wire::arp::{self, Operation, PacketView};
use crate::wire::ethernet::{EtherType, Frame, MacAddr};
use crate::wire::ndp::{Message, NeighborAdvertisementView, NeighborSolicitationView};

impl Responder {
    /// Looks at a frame received on an interface. Does not allocate.
    ///
    /// An answer waits in [`Responder::poll_transmit`] afterwards when the outcome is
    /// [`Outcome::Answered`].
    #[inline]
    pub fn handle_frame(&mut self, now: Instant, index: InterfaceIndex, frame: &[u8]) -> Outcome {
        let now = self.advance(now);
        let outcome = self.receive(now, index, frame);
        match outcome {
            Outcome::Ignored(Ignored::Busy) => self.stats.busy += 1,
            Outcome::Ignored(_) => self.stats.ignored += 1,
            Outcome::Malformed(_) => self.stats.malformed += 1,
            Outcome::Answered(_) | Outcome::Conflict(_) => {}
        }
        outcome
    }

    fn receive(&mut self, now: Instant, index: InterfaceIndex, bytes: &[u8]) -> Outcome {
        let Some(interface) = self.interfaces.get(&index) else {
            return Outcome::Ignored(Ignored::UnknownInterface);
        };
        let frame = match Frame::parse(bytes) {
            Ok(frame) => frame,
            Err(error) => return Outcome::Malformed(error.into()),
        };
        if let Some(reason) = not_for(interface, &frame) {
            return Outcome::Ignored(reason);
        }
        match frame.ethertype {
            EtherType::ARP => self.receive_arp(now, index, frame.payload),
            EtherType::IPV6 => match Message::parse(frame.payload) {
                Ok(Some(Message::NeighborSolicitation(message))) => {
                    self.receive_solicitation(now, index, frame.source(), &message)
                }
                Ok(Some(Message::NeighborAdvertisement(message))) => {
                    self.receive_advertisement(now, index, frame.source(), &message)
                }
                Ok(_) => Outcome::Ignored(Ignored::NotNeighborDiscovery),
                Err(error) => Outcome::Malformed(error),
            },
            _ => Outcome::Ignored(Ignored::OtherProtocol),
        }
    }

    /// RFC 826 "Packet Reception", RFC 5227 §2.1.1 and §2.4.
    fn receive_arp(&mut self, now: Instant, index: InterfaceIndex, payload: &[u8]) -> Outcome {
        let packet = match PacketView::parse(payload) {
            Ok(packet) => packet,
            Err(arp::Error::Hardware(_) | arp::Error::Protocol(_)) => {
                return Outcome::Ignored(Ignored::OtherProtocol);
            }
            Err(error) => return Outcome::Malformed(error.into()),
        };
        let mac = packet.sender_mac();
        if !mac.is_unicast() {
            return Outcome::Ignored(Ignored::GroupSender);
        }
        let is_request = match packet.operation() {
            Operation::Request => true,
            Operation::Reply => false,
            Operation::Unknown(_) => return Outcome::Ignored(Ignored::NotARequest),
        };
        if self.is_own(mac) {
            return Outcome::Ignored(Ignored::Own);
        }
        if let Some(conflict) = self.claimed(now, index, IpAddr::V4(packet.sender()), mac) {
            return conflict;
        }
        if !is_request {
            return Outcome::Ignored(Ignored::NotARequest);
        }
        let address = packet.target();
        let probes = packet.sender().is_unspecified();
        let reply = Reply::Arp { interface: index, address, to_mac: mac, to: packet.sender() };
        self.asked(now, Asked { index, address: address.into(), by: mac, takes: probes, reply })
    }

    /// RFC 4861 §7.2.3, RFC 4862 §5.4.3, RFC 7527 §4.2.
    fn receive_solicitation(
        &mut self,
        now: Instant,
        index: InterfaceIndex,
        source_mac: MacAddr,
        message: &NeighborSolicitationView<'_>,
    ) -> Outcome {
        let option = message.options.source_link_layer().filter(|mac| mac.is_unicast());
        let mac = option.unwrap_or(source_mac);
        if !mac.is_unicast() {
            return Outcome::Ignored(Ignored::GroupSender);
        }
        if self.is_own(mac) || self.is_own_nonce(index, message) {
            return Outcome::Ignored(Ignored::Own);
        }
        let address = message.target();
        let takes = message.is_duplicate_address_detection();
        let reply = Reply::Ndp { interface: index, address, to_mac: mac, to: message.ip.source() };
        self.asked(now, Asked { index, address: address.into(), by: mac, takes, reply })
    }

    /// RFC 4861 §7.2.5, RFC 4862 §5.4.4: an advertisement is a claim to its target.
    fn receive_advertisement(
        &mut self,
        now: Instant,
        index: InterfaceIndex,
        source_mac: MacAddr,
        message: &NeighborAdvertisementView<'_>,
    ) -> Outcome {
        let mac = message.options.target_link_layer().unwrap_or(source_mac);
        if self.is_own(mac) {
            return Outcome::Ignored(Ignored::Own);
        }
        let claimed = self.claimed(now, index, message.target().into(), mac);
        claimed.unwrap_or(Outcome::Ignored(Ignored::NotARequest))
    }

    fn asked(&mut self, now: Instant, asked: Asked) -> Outcome {
        let Some(slot) = self.addresses.slot(Key::from(asked.address)) else {
            return Outcome::Ignored(Ignored::NotAnnounced);
        };
        let standing = slot.standing(asked.index);
        if standing == Standing::Absent {
            return Outcome::Ignored(Ignored::OtherInterface);
        }
        slot.requests += 1;
        if let Standing::Quiet { probing } = standing {
            let taken = probing && asked.takes;
            let claimed = taken.then(|| self.claimed(now, asked.index, asked.address, asked.by));
            return claimed.flatten().unwrap_or(Outcome::Ignored(Ignored::Probing));
        }
        if self.replies.len() >= MAX_PENDING_REPLIES {
            return Outcome::Ignored(Ignored::Busy);
        }
        self.replies.push_back(asked.reply);
        Outcome::Answered(asked.address)
    }

    /// Another machine says that `address` is its own; `None` when it is not ours on this interface.
    fn claimed(
        &mut self,
        now: Instant,
        index: InterfaceIndex,
        address: IpAddr,
        mac: MacAddr,
    ) -> Option<Outcome> {
        let key = Key::from(address);
        if self.addresses.slot(key)?.standing(index) == Standing::Absent {
            return None;
        }
        let is_partner = self.partners.contains(&mac);
        let mut entry = self.addresses.get_mut(key)?;
        entry.conflicts += 1;
        entry.handovers += u64::from(is_partner);
        let presence = entry.presence(index)?;
        if is_partner && presence.answers() {
            if presence.is_new_claim(now, mac) {
                drop(entry);
                self.emit_event(Event::Claimed { address, interface: index, mac });
            }
            return Some(Outcome::Conflict(address));
        }
        let recent = presence.has_defended(now);
        match presence.phase {
            Phase::Probing { .. } => {
                presence.phase = Phase::Yielded;
                presence.conflict_at = Some(now);
                let retry = now.checked_add(PROBE_RETRY).map(|at| (Class::Urgent, at));
                presence.reschedule(&mut self.schedule, key, retry);
                drop(entry);
                let reaction = Reaction::Yield;
                self.emit_event(Event::Conflict { address, interface: index, mac, reaction });
            }
            Phase::Announcing { .. } | Phase::Steady if !recent => {
                presence.conflict_at = Some(now);
                presence.claimant = Some(mac);
                let defence = now.checked_add(DEFENCE_DELAY).into_iter().chain(presence.due_at()).min();
                presence.reschedule(&mut self.schedule, key, defence.map(|at| (Class::Urgent, at)));
            }
            Phase::Yielded | Phase::Announcing { .. } | Phase::Steady => {}
        }
        Some(Outcome::Conflict(address))
    }

    /// Whether one of our interfaces has this hardware address.
    #[inline]
    fn is_own(&self, mac: MacAddr) -> bool {
        self.own.contains(&mac)
    }

    /// Whether the network has handed back our own duplicate address detection (RFC 7527 §4.2).
    fn is_own_nonce(&mut self, index: InterfaceIndex, message: &NeighborSolicitationView<'_>) -> bool {
        let Some(nonce) = message.options.nonce() else { return false };
        let key = Key::from(IpAddr::V6(message.target()));
        let Some(mut entry) = self.addresses.get_mut(key) else { return false };
        match entry.presence(index).map(|presence| presence.phase) {
            Some(Phase::Probing { nonce: Some(own), .. }) => own.0 == nonce,
            _ => false,
        }
    }
}

/// A question for an address.
#[derive(Clone, Copy)]
struct Asked {
    index: InterfaceIndex,
    address: IpAddr,
    by: MacAddr,
    /// The sender wants to take the address itself.
    takes: bool,
    reply: Reply,
}

/// Why a frame on `interface` is none of our business.
#[inline]
fn not_for(interface: &Interface, frame: &Frame<'_>) -> Option<Ignored> {
    let destination = frame.destination();
    if frame.vlan.is_some_and(|tag| !tag.is_priority_only()) {
        Some(Ignored::Vlan)
    } else if frame.source() == interface.mac {
        Some(Ignored::Own)
    } else if destination != interface.mac && !destination.is_group() {
        Some(Ignored::OtherStation)
    } else {
        None
    }
}

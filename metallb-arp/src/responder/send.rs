//! What the responder sends: answers, announcements, probes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use std::time::Instant;

use super::random::Random;
use super::table::{Key, Phase, Presence, Standing};
use super::types::{Event, InterfaceIndex, MAX_DUE_PER_TIMEOUT, Reaction};
use super::{Interface, Responder};
use crate::gratuitous::{self, Class, Place, REPEAT_INTERVAL, REPEATS};
use crate::wire::ipv6::{ALL_NODES, solicited_node_group};
use crate::wire::ndp::{Envelope, NeighborAdvertisement, NeighborSolicitation, Nonce};
use crate::wire::{MacAddr, arp};

/// An answer that waits to be sent; it is written as late as possible, with what is known then.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Arp {
        interface: InterfaceIndex,
        address: Ipv4Addr,
        to_mac: MacAddr,
        to: Ipv4Addr,
    },
    /// `to` is `::` for the answer to duplicate address detection.
    Ndp {
        interface: InterfaceIndex,
        address: Ipv6Addr,
        to_mac: MacAddr,
        to: Ipv6Addr,
    },
}

/// An announcement or probe that waits to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcement {
    place: Place,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    ArpRequest,
    ArpReply,
    Advertisement,
    Probe,
}

impl Responder {
    /// Writes the next frame to send into `out` (replacing what is there) and returns the interface to
    /// send it on. `None`: nothing to send until the next timeout.
    ///
    /// Does not allocate once `out` has room for 86 octets.
    #[must_use]
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<InterfaceIndex> {
        out.clear();
        loop {
            let sent = if let Some(reply) = self.replies.pop_front() {
                self.write_reply(&reply, out)
            } else if let Some(announcement) = self.ready.pop_front() {
                self.write_announcement(&announcement, out)
            } else {
                let now = self.now?;
                let (due, place) = self.schedule.pop_urgent(now)?;
                let frames = self.fire(now, due, place);
                self.limiter.charge(now, frames);
                continue;
            };
            if sent.is_some() {
                return sent;
            }
        }
    }

    /// Moves announcements that are due and allowed by the rate limit to the ready ones.
    pub(super) fn make_ready(&mut self, now: Instant) {
        while self.ready.len() < MAX_DUE_PER_TIMEOUT && self.limiter.ready_at().is_none_or(|at| at <= now) {
            let Some((due, place)) = self.schedule.pop_limited(now) else { return };
            let frames = self.fire(now, due, place);
            self.limiter.charge(now, frames);
        }
    }

    /// Sends what is due at a place and decides what comes next there; returns the number of frames.
    fn fire(&mut self, now: Instant, due: Instant, place: Place) -> u32 {
        let (key, index) = place;
        let Some(mut entry) = self.addresses.get_mut(key) else { return 0 };
        let Some(presence) = entry.presence(index) else { return 0 };
        presence.taken();
        let claimant = presence.claimant.take();
        // Known as a partner by now: what becomes of the address is the user's to decide.
        let is_partner = claimant.is_some_and(|mac| self.partners.contains(&mac));
        let (frames, next) = match presence.phase {
            Phase::Yielded => {
                presence.phase = first_probe(key);
                (0, probe_delay(&mut self.random, now).map(|at| (Class::Urgent, at)))
            }
            Phase::Probing { left, .. } if left > 0 => {
                let nonce = IpAddr::from(key).is_ipv6().then(|| Nonce(self.random.octets()));
                presence.phase = Phase::Probing { left: left - 1, nonce };
                self.ready.push_back(Announcement { place, form: Form::Probe });
                let wait = probe_wait(&mut self.random, key, left - 1);
                (1, now.checked_add(wait).map(|at| (Class::Urgent, at)))
            }
            Phase::Probing { .. } => {
                presence.phase = Phase::Announcing { left: REPEATS };
                (0, Some((Class::Urgent, now)))
            }
            Phase::Announcing { left } => {
                let next = if let Some(left) = left.checked_sub(1) {
                    presence.phase = Phase::Announcing { left };
                    now.checked_add(REPEAT_INTERVAL).map(|at| (Class::Repeat, at))
                } else {
                    presence.phase = Phase::Steady;
                    first_refresh(presence, now, self.options.refresh)
                };
                (announce(&mut self.ready, place), next)
            }
            Phase::Steady => {
                let next = self.options.refresh.and_then(|refresh| next_refresh(due, now, refresh));
                let frames = if is_partner { 0 } else { announce(&mut self.ready, place) };
                (frames, next)
            }
        };
        presence.reschedule(&mut self.schedule, key, next);
        if is_partner {
            presence.conflict_at = None;
        }
        drop(entry);
        if let Some(mac) = claimant {
            let (address, interface, reaction) = (key.into(), index, Reaction::Defend);
            self.emit_event(if is_partner {
                Event::Claimed { address, interface, mac }
            } else {
                Event::Conflict { address, interface, mac, reaction }
            });
        }
        frames
    }

    fn write_reply(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Option<InterfaceIndex> {
        let (index, address) = match *reply {
            Reply::Arp { interface, address, .. } => (interface, IpAddr::V4(address)),
            Reply::Ndp { interface, address, .. } => (interface, IpAddr::V6(address)),
        };
        let interface = self.interfaces.get(&index)?;
        let slot = self.addresses.slot(Key::from(address))?;
        if slot.standing(index) != Standing::Answers {
            return None;
        }
        match *reply {
            Reply::Arp { address, to_mac, to, .. } => {
                arp::Packet::reply(interface.mac, address, to_mac, to).emit_frame(to_mac, out);
            }
            Reply::Ndp { address, to, .. } if to.is_unspecified() => {
                write_unsolicited(interface, address, out)?;
            }
            Reply::Ndp { address, to_mac, to, .. } => {
                let envelope = Envelope {
                    source_mac: interface.mac,
                    destination_mac: to_mac,
                    source: interface.link_local?,
                    destination: to,
                };
                NeighborAdvertisement::answer(address, interface.mac).emit_frame(&envelope, out);
            }
        }
        slot.responses += 1;
        Some(index)
    }

    fn write_announcement(
        &mut self,
        announcement: &Announcement,
        out: &mut Vec<u8>,
    ) -> Option<InterfaceIndex> {
        let (key, index) = announcement.place;
        let interface = self.interfaces.get(&index)?;
        let mut entry = self.addresses.get_mut(key)?;
        let presence = entry.presence(index)?;
        match (IpAddr::from(key), announcement.form) {
            (IpAddr::V4(address), Form::Probe) => {
                arp::Packet::probe(interface.mac, address).emit_frame(MacAddr::BROADCAST, out);
            }
            (IpAddr::V6(address), Form::Probe) => {
                let Phase::Probing { nonce: Some(nonce), .. } = presence.phase else { return None };
                let group = solicited_node_group(address);
                let envelope = Envelope::to_group(interface.mac, Ipv6Addr::UNSPECIFIED, group);
                NeighborSolicitation::detect_duplicate(address, nonce).emit_frame(&envelope, out);
            }
            (IpAddr::V4(address), Form::ArpReply) if presence.answers() => {
                arp::Packet::gratuitous_reply(interface.mac, address).emit_frame(MacAddr::BROADCAST, out);
                entry.gratuitous += 1;
            }
            (IpAddr::V4(address), _) if presence.answers() => {
                arp::Packet::announcement(interface.mac, address).emit_frame(MacAddr::BROADCAST, out);
                entry.gratuitous += 1;
            }
            (IpAddr::V6(address), _) if presence.answers() => {
                write_unsolicited(interface, address, out)?;
                entry.gratuitous += 1;
            }
            _ => return None,
        }
        Some(index)
    }
}

fn write_unsolicited(interface: &Interface, address: Ipv6Addr, out: &mut Vec<u8>) -> Option<()> {
    let envelope = Envelope::to_group(interface.mac, interface.link_local?, ALL_NODES);
    NeighborAdvertisement::unsolicited(address, interface.mac).emit_frame(&envelope, out);
    Some(())
}

/// Makes one announcement ready; returns its number of frames.
fn announce(ready: &mut std::collections::VecDeque<Announcement>, place: Place) -> u32 {
    let forms: &[Form] = match IpAddr::from(place.0) {
        IpAddr::V4(_) => &[Form::ArpRequest, Form::ArpReply],
        IpAddr::V6(_) => &[Form::Advertisement],
    };
    let before = ready.len();
    ready.extend(forms.iter().map(|form| Announcement { place, form: *form }));
    u32::try_from(ready.len() - before).unwrap_or(u32::MAX)
}

/// The first refresh comes after a part of the period that differs from address to address.
fn first_refresh(presence: &Presence, now: Instant, refresh: Option<Duration>) -> Option<(Class, Instant)> {
    let wait = gratuitous::phase(presence.number, refresh?);
    Some((Class::Refresh, now.checked_add(wait)?))
}

/// Later refreshes keep their distance from the time they were due, so that they stay spread.
fn next_refresh(due: Instant, now: Instant, refresh: Duration) -> Option<(Class, Instant)> {
    let on_time = due.checked_add(refresh).filter(|at| *at > now);
    Some((Class::Refresh, on_time.or_else(|| now.checked_add(refresh))?))
}

pub(super) fn first_probe(key: Key) -> Phase {
    let left = if IpAddr::from(key).is_ipv4() { PROBE_NUM } else { DUP_ADDR_DETECT_TRANSMITS };
    Phase::Probing { left, nonce: None }
}

pub(super) fn probe_delay(random: &mut Random, now: Instant) -> Option<Instant> {
    now.checked_add(random.between(Duration::ZERO, PROBE_WAIT))
}

/// How long to wait after a probe when `left` probes are still to be sent.
fn probe_wait(random: &mut Random, key: Key, left: u8) -> Duration {
    match (IpAddr::from(key), left) {
        (IpAddr::V4(_), 0) => ANNOUNCE_WAIT,
        (IpAddr::V4(_), _) => random.between(PROBE_MIN, PROBE_MAX),
        (IpAddr::V6(_), _) => RETRANS_TIMER,
    }
}

/// RFC 5227 §1.1, and MAX_RTR_SOLICITATION_DELAY of RFC 4862 §5.4.2.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// RFC 5227 §1.1.
const PROBE_NUM: u8 = 3;
/// RFC 5227 §1.1.
const PROBE_MIN: Duration = Duration::from_secs(1);
/// RFC 5227 §1.1.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// RFC 5227 §1.1.
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
/// RFC 4862 §5.1.
const DUP_ADDR_DETECT_TRANSMITS: u8 = 1;
/// RFC 4861 §10.
const RETRANS_TIMER: Duration = Duration::from_secs(1);

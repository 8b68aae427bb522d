//! One interface with unnumbered peers.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::advertiser::Advertiser;
use super::routers::Routers;
use super::solicitor::Solicitor;
use super::wire::{Envelope, Message, MessageError, RouterAdvertisement};
use crate::addresses::{InterfaceFacts, InterfaceIndex};
use crate::session::rng::Pcg;

#[cfg(test)]
mod tests;

/// An interface with unnumbered peers: makes us known there, and knows who is there.
///
/// A driver tells it of the interface ([`handle_interface`](Self::handle_interface)), of messages and of time, sends what
/// [`poll_transmit`](Self::poll_transmit) gives to the message's group on that interface with the hop limit
/// [`HOP_LIMIT`](super::wire::HOP_LIMIT), and asks for [`neighbors`](Self::neighbors). Earlier times count as the latest
/// one seen. However many messages come: at most [`MAX_ROUTERS`](super::MAX_ROUTERS) routers are remembered, and one
/// advertisement is sent in three seconds.
#[derive(Debug)]
pub struct Link {
    clock: Option<Instant>,
    rng: Pcg,
    interface: Option<InterfaceFacts>,
    advertiser: Advertiser,
    solicitor: Solicitor,
    routers: Routers,
    /// When sessions were called last because of a router.
    called: Option<Instant>,
    out: VecDeque<Message>,
}

/// A message that came in through the interface.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "all there is to know of a message")]
pub struct Received<'a> {
    /// Its IPv6 header.
    pub envelope: Envelope,
    /// Whether its source is an address of this machine.
    pub is_own: bool,
    /// What is behind the IPv6 header.
    pub octets: &'a [u8],
}

/// What a message meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Somebody asked for routers, and will get an answer.
    Solicited,
    /// A router was heard.
    Heard {
        /// Sessions that wait should try it now: it is new or was silent. Not more often than every ten seconds, whatever
        /// is heard.
        calls: bool,
    },
}

/// Why there is nobody to have a session with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NoNeighbor {
    /// There is no interface of this name.
    #[error("there is no such interface")]
    NoInterface,
    /// The interface is down or has no carrier.
    #[error("the interface is down")]
    Down,
    /// The interface has no address that a neighbour could be known by.
    #[error(
        "the interface has neither an IPv6 link-local address nor an IPv4 address with a prefix of 30 or 31"
    )]
    NoAddress,
    /// Nobody has advertised.
    #[error("no router has advertised itself on the interface")]
    Silent,
    /// Nobody can be heard: the socket could not be opened, with this number of the system's error, if it has one.
    #[error("router advertisements cannot be received{}", words(*.0))]
    Deaf(Option<i32>),
}

fn words(os: Option<i32>) -> String {
    os.map(|number| format!(": {}", std::io::Error::from_raw_os_error(number))).unwrap_or_default()
}

impl Link {
    /// An interface that is not known yet. The times of its messages come from `seed`, which should differ from that of
    /// other machines.
    pub fn new(seed: u64) -> Self {
        Self {
            clock: None,
            rng: Pcg::new(seed),
            interface: None,
            advertiser: Advertiser::new(),
            solicitor: Solicitor::new(),
            routers: Routers::default(),
            called: None,
            out: VecDeque::new(),
        }
    }

    /// The interface as it is now; `None` when there is none. One of another index is another one: nobody is known there.
    /// One that goes down and comes back is made known again, and keeps whom it knew.
    pub fn handle_interface(&mut self, now: Instant, interface: Option<InterfaceFacts>) {
        let now = self.tick(now);
        let before = std::mem::replace(&mut self.interface, interface);
        if before.map(|before| before.index) != interface.map(|interface| interface.index) {
            self.routers.clear();
            (self.called, self.out) = (None, VecDeque::new());
        }
        let own = |facts: Option<InterfaceFacts>| {
            let facts = facts.filter(|facts| facts.running)?;
            Some((facts.index, facts.link_local?))
        };
        if own(before) == own(interface) {
            return;
        }
        if own(interface).is_none() {
            self.advertiser.stop();
            self.solicitor.stop();
            self.out.clear();
            return;
        }
        self.advertiser.start(now);
        // Also where somebody is known: it may be another one by now.
        self.solicitor.start(now, &mut self.rng);
        self.handle_timeout(now);
    }

    /// Takes a message that came in through the interface.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn handle_message(&mut self, now: Instant, received: &Received<'_>) -> Result<Outcome, MessageError> {
        let now = self.tick(now);
        if received.is_own {
            return Err(MessageError::Own);
        }
        match Message::parse(received.envelope, received.octets)? {
            Message::Solicitation => {
                self.advertiser.answer(now, &mut self.rng);
                Ok(Outcome::Solicited)
            }
            Message::Advertisement(says) => {
                self.solicitor.stop();
                let is_new = self.routers.hear(now, received.envelope.source, says.lifetime());
                if is_new {
                    // Whoever has just come has not heard us.
                    self.advertiser.answer(now, &mut self.rng);
                }
                Ok(Outcome::Heard { calls: is_new && self.may_call(now) })
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let own = [self.advertiser.next_timeout(), self.solicitor.next_timeout()];
        own.into_iter().flatten().chain(self.routers.next_timeout()).min()
    }

    /// Does what is due. Calls without anything due do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        let knew_somebody = !self.routers.is_empty();
        self.routers.expire(now);
        if knew_somebody && self.routers.is_empty() && self.listens_on().is_some() {
            self.solicitor.start(now, &mut self.rng);
        }
        if self.advertiser.is_due(now, &mut self.rng) {
            self.out.push_back(Message::Advertisement(OURS));
        }
        if self.solicitor.is_due(now, &mut self.rng) {
            self.out.push_back(Message::Solicitation);
        }
        // Where nobody takes them the latest ones are enough.
        while self.out.len() > MAX_WAITING {
            self.out.pop_front();
        }
    }

    /// The next message to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Message> {
        self.out.pop_front()
    }

    /// The interface on which messages are to be received and sent, while it is up with a link-local address.
    #[must_use]
    pub fn listens_on(&self) -> Option<InterfaceIndex> {
        let facts = self.interface.filter(|facts| facts.running && facts.link_local.is_some())?;
        Some(facts.index)
    }

    /// The interface, if there is one.
    pub fn index(&self) -> Option<InterfaceIndex> {
        Some(self.interface?.index)
    }

    /// With whom there may be a session: as with FRR the other host of an IPv4 prefix of 30 or 31, then the routers that
    /// have advertised, those first that did so repeatedly.
    ///
    /// # Errors
    /// Why there is nobody.
    pub fn neighbors(&self) -> Result<Vec<IpAddr>, NoNeighbor> {
        let facts = self.interface.ok_or(NoNeighbor::NoInterface)?;
        if !facts.running {
            return Err(NoNeighbor::Down);
        }
        if facts.link_local.is_none() && facts.partner.is_none() {
            return Err(NoNeighbor::NoAddress);
        }
        let routers = self.routers.addresses().into_iter().filter(|_| facts.link_local.is_some());
        let all: Vec<IpAddr> =
            facts.partner.map(IpAddr::V4).into_iter().chain(routers.map(IpAddr::V6)).collect();
        if all.is_empty() { Err(NoNeighbor::Silent) } else { Ok(all) }
    }

    fn may_call(&mut self, now: Instant) -> bool {
        let waits = |called: Instant| now.saturating_duration_since(called) < CALL_PAUSE;
        if self.called.is_some_and(waits) {
            return false;
        }
        self.called = Some(now);
        true
    }

    fn tick(&mut self, now: Instant) -> Instant {
        let now = self.clock.map_or(now, |clock| clock.max(now));
        self.clock = Some(now);
        now
    }
}

/// What we say: we are here, and no default router. Nothing else is said that hosts could take from it.
const OURS: RouterAdvertisement =
    RouterAdvertisement { hop_limit: 0, flags: 0, lifetime: 0, reachable_time: 0, retransmit_time: 0 };
/// The least time between two calls of sessions.
const CALL_PAUSE: Duration = Duration::from_secs(10);
/// How many messages may wait.
const MAX_WAITING: usize = 4;

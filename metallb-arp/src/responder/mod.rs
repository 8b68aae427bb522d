//! The responder: who asks for which address on which interface, and what to send when.
//!
//! [`Responder`] does no IO and reads no clock. Its user (a driver) gives it frames, interfaces and the
//! time, and takes out frames, events and effects:
//!
//! * after every call that takes a time, take out [`Responder::poll_transmit`],
//!   [`Responder::poll_effect`] and [`Responder::poll_event`] until they return `None`;
//! * call [`Responder::handle_timeout`] when [`Responder::next_timeout`] has come.
//!
//! Any order of calls is safe, a spurious timeout does nothing, and a time earlier than one seen before
//! counts as that one.

mod random;
mod receive;
mod send;
mod table;
mod types;

#[cfg(test)]
mod tests;

use core::net::{IpAddr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use crate::gratuitous::{Class, Limiter, REPEATS, Schedule};
use crate::wire::MacAddr;
use crate::wire::ipv6::solicited_node_group;
use random::Random;
use send::{Announcement, Reply};
pub(crate) use table::{Key, validate};
use table::{Phase, Presence, Table};
pub use types::{
    AnnounceError, CLAIM_INTERVAL, Counters, DEFAULT_MAX_PPS, DEFAULT_REFRESH, DEFENCE_DELAY,
    DEFEND_INTERVAL, Effect, Event, Ignored, Interface, InterfaceIndex, MAX_DUE_PER_TIMEOUT,
    MAX_PENDING_EVENTS, MAX_PENDING_REPLIES, Options, Outcome, PROBE_RETRY, Reaction, Scope, Stats, Subnet,
};

/// Answers ARP requests and neighbor solicitations, and announces, for a set of addresses.
///
/// ```
/// use std::time::Instant;
/// use metallb_arp::responder::{Interface, InterfaceIndex, Options, Responder, Scope};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[expect(clippy::disallowed_methods, reason = "an example is a driver")]
/// let now = Instant::now();
/// let mut responder = Responder::new(Options::new(0));
/// responder.upsert_interface(now, Interface {
///     index: InterfaceIndex(2),
///     name: "eth0".into(),
///     mac: "02:00:00:00:00:01".parse()?,
///     link_local: None,
///     subnets: Default::default(),
/// });
/// responder.announce(now, "192.0.2.1".parse()?, Scope::All)?;
///
/// let mut frame = Vec::new();
/// assert_eq!(responder.poll_transmit(&mut frame), Some(InterfaceIndex(2)));
/// assert_eq!(frame.len(), 42); // a gratuitous ARP request
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Responder {
    options: Options,
    /// The latest time seen.
    now: Option<Instant>,
    interfaces: BTreeMap<InterfaceIndex, Interface>,
    /// The hardware addresses of `interfaces`.
    own: Vec<MacAddr>,
    /// Those of machines with which addresses are exchanged.
    partners: BTreeSet<MacAddr>,
    addresses: Table,
    /// How many addresses need a group on an interface.
    groups: BTreeMap<(InterfaceIndex, Ipv6Addr), usize>,
    schedule: Schedule,
    limiter: Limiter,
    random: Random,
    /// Number of the next presence.
    next_number: u32,
    replies: VecDeque<Reply>,
    ready: VecDeque<Announcement>,
    events: VecDeque<Event>,
    effects: VecDeque<Effect>,
    stats: Stats,
}

impl Responder {
    /// A responder without interfaces and addresses.
    pub fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        Self {
            limiter: Limiter::new(options.max_pps),
            next_number: random.next(),
            random,
            options,
            now: None,
            interfaces: BTreeMap::new(),
            own: Vec::new(),
            partners: BTreeSet::new(),
            addresses: Table::default(),
            groups: BTreeMap::new(),
            schedule: Schedule::default(),
            replies: VecDeque::with_capacity(MAX_PENDING_REPLIES),
            ready: VecDeque::with_capacity(MAX_DUE_PER_TIMEOUT * 2 + 2),
            events: VecDeque::new(),
            effects: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Replaces the hardware addresses of partners: machines that run a responder for the same addresses, of which the
    /// user decides who announces each. A claim of theirs is no conflict but a question to the user
    /// ([`Event::Claimed`]), and nothing is done about it here.
    pub fn set_partners(&mut self, partners: BTreeSet<MacAddr>) {
        self.partners = partners;
    }

    /// Adds an interface or replaces what is known of it.
    ///
    /// What is announced on a new interface is announced there at once, and its groups are joined. After
    /// a change of the hardware address everything is announced again; a link-local address that appears
    /// or vanishes, or another name, adds or removes the addresses concerned.
    pub fn upsert_interface(&mut self, now: Instant, interface: Interface) {
        let now = self.advance(now);
        let index = interface.index;
        let old = self.interfaces.get(&index);
        if old == Some(&interface) {
            return;
        }
        let moved = old.is_some_and(|old| old.mac != interface.mac);
        for key in self.addresses.keys() {
            self.settle(now, key, &interface);
        }
        self.interfaces.insert(index, interface);
        self.own = self.interfaces.values().map(|interface| interface.mac).collect();
        if moved {
            self.reannounce(now, index);
        }
    }

    /// Removes an interface that is gone or no longer usable. Its groups need not be left: no
    /// [`Effect`] is emitted, and a driver drops what it holds for the interface.
    pub fn remove_interface(&mut self, now: Instant, index: InterfaceIndex) {
        self.advance(now);
        if self.interfaces.remove(&index).is_none() {
            return;
        }
        self.own = self.interfaces.values().map(|interface| interface.mac).collect();
        for key in self.addresses.keys() {
            self.leave(key, index);
        }
        self.groups.retain(|(interface, _), _| *interface != index);
        self.effects.retain(|effect| effect.interface() != index);
    }

    /// Announces everything that lives on an interface again, as if it were new there: for a driver that
    /// sees an address appear on the interface, or its link come back.
    pub fn reannounce(&mut self, now: Instant, index: InterfaceIndex) {
        let now = self.advance(now);
        for key in self.addresses.keys() {
            let Some(mut entry) = self.addresses.get_mut(key) else { continue };
            let Some(presence) = entry.presence(index) else { continue };
            presence.announce_again(now, key, &mut self.schedule);
        }
    }

    /// Announces one address again wherever it is answered for, as if it were new there: for a user that knows that another
    /// machine answered for it as well, and has stopped.
    pub fn announce_again(&mut self, now: Instant, address: IpAddr) {
        let now = self.advance(now);
        let key = Key::from(address);
        let Some(mut entry) = self.addresses.get_mut(key) else { return };
        for presence in &mut entry.presences {
            presence.announce_again(now, key, &mut self.schedule);
        }
    }

    /// Announces `address` on the interfaces of `scope` from now on. Repeating the same announcement
    /// changes nothing; another scope adds and removes interfaces without touching the others.
    ///
    /// # Errors
    /// [`AnnounceError::NotUnicast`] when the address cannot belong to a machine.
    pub fn announce(&mut self, now: Instant, address: IpAddr, scope: Scope) -> Result<(), AnnounceError> {
        self.set(now, Key::from(validate(address)?), scope);
        Ok(())
    }

    /// [`Responder::announce`] for an address that has been checked.
    pub(crate) fn set(&mut self, now: Instant, key: Key, scope: Scope) {
        let now = self.advance(now);
        if !self.addresses.set_scope(key, scope) {
            return;
        }
        let interfaces: Vec<Interface> = self.interfaces.values().cloned().collect();
        for interface in &interfaces {
            self.settle(now, key, interface);
        }
    }

    /// Stops answering for `address` and announcing it; also answers that wait in
    /// [`Responder::poll_transmit`] are not sent any more. Its counters are gone.
    pub fn withdraw(&mut self, now: Instant, address: IpAddr) {
        self.advance(now);
        let key = Key::from(address);
        let indices: Vec<InterfaceIndex> = self.interfaces.keys().copied().collect();
        for index in indices {
            self.leave(key, index);
        }
        self.addresses.remove(key);
    }

    /// Announces `address` once, wherever it is answered for, unless that was done against another machine there within
    /// [`DEFEND_INTERVAL`] (RFC 5227 §2.4 (c)): for a user that has decided that the address is not a partner's.
    pub fn defend(&mut self, now: Instant, address: IpAddr) {
        let now = self.advance(now);
        let key = Key::from(address);
        let Some(mut entry) = self.addresses.get_mut(key) else { return };
        for presence in entry.presences.iter_mut().filter(|presence| presence.answers()) {
            if !presence.has_defended(now) {
                presence.conflict_at = Some(now);
                presence.reschedule(&mut self.schedule, key, Some((Class::Urgent, now)));
            }
        }
    }

    /// Makes announcements ready that are due by `now`: [`MAX_DUE_PER_TIMEOUT`] of them at most, and no
    /// more than the rate limit lets through.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.make_ready(now);
    }

    /// When [`Responder::handle_timeout`] is to be called next; a time in the past means at once.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let limited =
            self.schedule.next_limited().map(|at| self.limiter.ready_at().map_or(at, |ready| at.max(ready)));
        limited.into_iter().chain(self.schedule.next_urgent()).min()
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing the driver has to do.
    #[must_use]
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What happened to `address` since it was announced; `None` when it is not.
    pub fn counters(&self, address: IpAddr) -> Option<Counters> {
        self.addresses.counters(Key::from(address))
    }

    /// Every announced address with its counters.
    pub fn addresses(&self) -> BTreeMap<IpAddr, Counters> {
        let counters = |key| self.addresses.counters(key).map(|counters| (IpAddr::from(key), counters));
        self.addresses.keys().into_iter().filter_map(counters).collect()
    }

    /// The interfaces, by index.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.values()
    }

    /// What happened to frames over all addresses.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Time never goes backwards.
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |seen| seen.max(now));
        self.now = Some(now);
        now
    }

    /// Makes an address live on an interface, or not, as its scope and family say.
    fn settle(&mut self, now: Instant, key: Key, interface: &Interface) {
        let Some(mut entry) = self.addresses.get_mut(key) else { return };
        let carried = IpAddr::from(key).is_ipv4() || interface.link_local.is_some();
        let wanted = carried && entry.scope.contains(&interface.name);
        let lives = entry.presence(interface.index).is_some();
        drop(entry);
        match (wanted, lives) {
            (true, false) => self.enter(now, key, interface.index),
            (false, true) => self.leave(key, interface.index),
            (true, true) | (false, false) => {}
        }
    }

    fn enter(&mut self, now: Instant, key: Key, index: InterfaceIndex) {
        let Some(mut entry) = self.addresses.get_mut(key) else { return };
        let mut presence = Presence::new(index, self.next_number);
        self.next_number = self.next_number.wrapping_add(1);
        let at = if self.options.probe {
            presence.phase = send::first_probe(key);
            send::probe_delay(&mut self.random, now)
        } else {
            presence.phase = Phase::Announcing { left: REPEATS };
            Some(now)
        };
        presence.reschedule(&mut self.schedule, key, at.map(|at| (Class::Urgent, at)));
        entry.presences.push(presence);
        if let IpAddr::V6(address) = key.into() {
            let group = solicited_node_group(address);
            let users = self.groups.entry((index, group)).or_insert(0);
            *users += 1;
            if *users == 1 {
                self.effects.push_back(Effect::Join { interface: index, group });
            }
        }
    }

    fn leave(&mut self, key: Key, index: InterfaceIndex) {
        let Some(mut entry) = self.addresses.get_mut(key) else { return };
        let Some(at) = entry.presences.iter().position(|presence| presence.interface == index) else {
            return;
        };
        entry.presences.swap_remove(at).reschedule(&mut self.schedule, key, None);
        if let IpAddr::V6(address) = key.into() {
            let group = solicited_node_group(address);
            let Some(users) = self.groups.get_mut(&(index, group)) else { return };
            *users = users.saturating_sub(1);
            if *users == 0 {
                self.groups.remove(&(index, group));
                self.effects.push_back(Effect::Leave { interface: index, group });
            }
        }
    }

    fn emit_event(&mut self, event: Event) {
        if self.events.len() == MAX_PENDING_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Effect {
    /// The interface it concerns.
    pub fn interface(&self) -> InterfaceIndex {
        match self {
            Self::Join { interface, .. } | Self::Leave { interface, .. } => *interface,
        }
    }
}

//! All sessions of a node.

mod path;
mod report;
mod slot;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use self::slot::Slot;
use super::wire::{ControlPacket, Discriminator, LENGTH, State};
use super::{Cause, Change, Profile, Session};
use crate::session::rng::Pcg;

pub use path::{Arrival, Hops, Path, User};
pub use report::{Effect, Event, Ignored, PathSnapshot, Stats, Transmit};

/// The sessions of a node: one for each path, shared by all who watch it.
///
/// After every call [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event) and
/// [`poll_effect`](Self::poll_effect) are to be called until they have nothing more; [`next_timeout`](Self::next_timeout)
/// says when to call [`handle_timeout`](Self::handle_timeout).
#[derive(Debug)]
pub struct Sessions {
    rng: Pcg,
    users: BTreeMap<User, Path>,
    paths: BTreeMap<Path, Discriminator>,
    /// The sessions with each neighbour, for packets that do not say whom they are for.
    neighbors: BTreeMap<IpAddr, Vec<Discriminator>>,
    slots: BTreeMap<Discriminator, Slot>,
    /// When each session is to be looked at; the earliest is right, later ones may be too early.
    deadlines: BTreeSet<(Instant, Discriminator)>,
    /// Sessions that may have something to send.
    ready: VecDeque<Discriminator>,
    events: VecDeque<Event>,
    effects: VecDeque<Effect>,
    stats: Stats,
}

impl Sessions {
    /// No sessions; discriminators and jitter come from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Pcg::new(seed),
            users: BTreeMap::new(),
            paths: BTreeMap::new(),
            neighbors: BTreeMap::new(),
            slots: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            effects: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Has a user watch a path, instead of what it watched before. Another profile changes the session without an
    /// interruption; whoever joins one that is not down is told its state.
    pub fn watch(&mut self, now: Instant, user: User, path: Path, profile: Profile) {
        if self.users.get(&user).is_some_and(|watched| *watched != path) {
            self.release(now, &user);
        }
        let discriminator = self.session_for(now, &path, profile);
        self.users.insert(user.clone(), path);
        let Some(slot) = self.slots.get_mut(&discriminator) else { return };
        if let Some(change) = slot.join(now, user.clone(), profile) {
            self.events.push_back(Event { user, change });
        }
        self.settle(now, discriminator);
    }

    /// A user watches nothing any more. The session of its last user is switched off, so that the neighbour takes no
    /// action.
    pub fn release(&mut self, now: Instant, user: &User) {
        let Some(path) = self.users.remove(user) else { return };
        let Some(discriminator) = self.paths.get(&path).copied() else { return };
        if let Some(slot) = self.slots.get_mut(&discriminator) {
            slot.leave(now, user);
        }
        self.settle(now, discriminator);
    }

    /// Switches everything off, for a planned stop.
    pub fn release_all(&mut self, now: Instant) {
        let users: Vec<User> = self.users.keys().cloned().collect();
        for user in users {
            self.release(now, &user);
        }
    }

    /// Whether there is no session any more, not even one that still says that it is switched off.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// Why it means nothing to any session.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        arrival: &Arrival<'_>,
        payload: &[u8],
    ) -> Result<Discriminator, Ignored> {
        let found = self.find(arrival, payload);
        let (discriminator, packet) = found.inspect_err(|reason| self.stats.count(*reason))?;
        let Some(slot) = self.slots.get_mut(&discriminator) else { return Err(Ignored::Unknown) };
        let taken = slot.session.handle_packet(now, &packet);
        self.settle(now, discriminator);
        if taken {
            return Ok(discriminator);
        }
        self.stats.count(Ignored::Authenticated);
        Err(Ignored::Authenticated)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, discriminator)) = self.deadlines.first().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop_first();
            if let Some(slot) = self.slots.get_mut(&discriminator) {
                slot.deadline = None;
                slot.session.handle_timeout(now);
                self.settle(now, discriminator);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next packet to send.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(discriminator) = self.ready.front().copied() {
            let Some(slot) = self.slots.get_mut(&discriminator) else {
                self.ready.pop_front();
                continue;
            };
            slot.session.handle_timeout(now);
            if let Some(packet) = slot.session.poll_transmit(now) {
                return Some(Transmit { session: discriminator, octets: packet.encode() });
            }
            slot.is_ready = false;
            self.ready.pop_front();
            self.settle(now, discriminator);
        }
        None
    }

    /// The next thing that somebody is to know.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing to do with a socket.
    #[must_use]
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The path of a session.
    pub fn path(&self, session: Discriminator) -> Option<&Path> {
        self.slots.get(&session).map(|slot| &slot.path)
    }

    /// The least TTL that any session of this kind takes over several hops; `None` without such a session.
    pub fn minimum_ttl(&self, wanted: impl Fn(&Path) -> bool) -> Option<u8> {
        let slots = self.slots.values().filter(|slot| slot.path.hops == Hops::Several && wanted(&slot.path));
        slots.map(|slot| slot.session.profile().minimum_ttl()).min()
    }

    /// What was ignored.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Every session that somebody watches, in the order of the users.
    pub fn snapshot(&self) -> Vec<PathSnapshot> {
        let one = |(user, path): (&User, &Path)| {
            let slot = self.slots.get(self.paths.get(path)?)?;
            let session = slot.session.snapshot();
            Some(PathSnapshot {
                user: user.clone(),
                path: path.clone(),
                profile: *slot.session.profile(),
                session,
            })
        };
        self.users.iter().filter_map(one).collect()
    }

    /// Which session a datagram is for (RFC 5880 §6.8.6, RFC 5881 §3, RFC 5883 §3).
    fn find(&self, arrival: &Arrival<'_>, payload: &[u8]) -> Result<(Discriminator, ControlPacket), Ignored> {
        let packet = ControlPacket::decode(payload).map_err(Ignored::Malformed)?;
        let found = match packet.your_discriminator {
            Some(own) => self.slots.contains_key(&own).then_some(own),
            None => self.first_contact(arrival),
        };
        let discriminator = found.ok_or(Ignored::Unknown)?;
        let slot = self.slots.get(&discriminator).ok_or(Ignored::Unknown)?;
        if slot.path.hops != arrival.hops || slot.path.device.as_deref() != arrival.device {
            return Err(Ignored::Unknown);
        }
        let far = arrival.hops == Hops::Several && arrival.ttl < slot.session.profile().minimum_ttl();
        if far { Err(Ignored::TooFar) } else { Ok((discriminator, packet)) }
    }

    fn first_contact(&self, arrival: &Arrival<'_>) -> Option<Discriminator> {
        let candidates = self.neighbors.get(&arrival.remote)?.iter();
        let fitting =
            candidates.filter(|one| self.slots.get(one).is_some_and(|slot| slot.path.fits(arrival)));
        // One that is for this interface or address comes before one that is for any.
        fitting.copied().max_by_key(|one| self.slots.get(one).map(|slot| slot.path.specificity()))
    }

    fn session_for(&mut self, now: Instant, path: &Path, profile: Profile) -> Discriminator {
        if let Some(discriminator) = self.paths.get(path) {
            return *discriminator;
        }
        let discriminator = self.unused();
        let seed = u64::from(self.rng.next()) << 32 | u64::from(self.rng.next());
        let session = Session::new(now, discriminator, profile, seed);
        self.slots.insert(discriminator, Slot::new(path.clone(), session));
        self.paths.insert(path.clone(), discriminator);
        self.neighbors.entry(path.remote).or_default().push(discriminator);
        self.effects.push_back(Effect::Open(discriminator));
        discriminator
    }

    fn unused(&mut self) -> Discriminator {
        loop {
            let drawn = Discriminator::new(self.rng.next());
            if let Some(discriminator) = drawn.filter(|drawn| !self.slots.contains_key(drawn)) {
                return discriminator;
            }
        }
    }

    /// Hands on what a session has to say, and finds out when to look at it again.
    fn settle(&mut self, now: Instant, discriminator: Discriminator) {
        let Some(slot) = self.slots.get_mut(&discriminator) else { return };
        while let Some(change) = slot.session.poll_change() {
            let told = slot.users.keys().map(|user| Event { user: user.clone(), change });
            self.events.extend(told);
        }
        if slot.users.is_empty() && slot.session.has_left(now) {
            self.remove(discriminator);
            return;
        }
        let next = slot.session.next_timeout();
        if next.is_some_and(|at| at <= now) && !slot.is_ready {
            slot.is_ready = true;
            self.ready.push_back(discriminator);
            return;
        }
        let earlier = next.filter(|next| slot.deadline.is_none_or(|deadline| *next < deadline));
        if let Some(next) = earlier.filter(|_| !slot.is_ready) {
            if let Some(old) = slot.deadline.replace(next) {
                self.deadlines.remove(&(old, discriminator));
            }
            self.deadlines.insert((next, discriminator));
        }
    }

    fn remove(&mut self, discriminator: Discriminator) {
        let Some(slot) = self.slots.remove(&discriminator) else { return };
        if let Some(at) = slot.deadline {
            self.deadlines.remove(&(at, discriminator));
        }
        self.paths.remove(&slot.path);
        if let Some(sessions) = self.neighbors.get_mut(&slot.path.remote) {
            sessions.retain(|other| *other != discriminator);
            if sessions.is_empty() {
                self.neighbors.remove(&slot.path.remote);
            }
        }
        self.effects.push_back(Effect::Close(discriminator));
    }
}

#[cfg(test)]
mod tests;

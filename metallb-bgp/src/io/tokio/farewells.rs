//! Connections that linger, and how many of them may.
//!
//! A lingering connection costs a descriptor and memory for seconds, and whoever reaches the listener can make more: what
//! a peer opens without ever having a session is limited in all, and every peer has [`OF_A_PEER`] in any case. One that has had
//! its [`YOUTH`] gives way to the next; before that the next one is closed without waiting for the peer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::linger::Lingering;
use super::schedule::{Schedule, Seat, Token};
use crate::session::PeerKey;

/// All connections that linger.
#[derive(Default)]
pub(super) struct Farewells(BTreeMap<Token, Farewell>);

struct Farewell {
    lingering: Lingering,
    seat: Seat,
    place: Place,
}

/// What counts when there is not room for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) peer: PeerKey,
    pub(super) rank: Rank,
    pub(super) since: Instant,
}

/// Whose last words matter more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Somebody opened it, and no session came of it.
    Opened,
    /// It was a session, or we opened it: there are only as many as our own pace allows.
    Ours,
}

/// What becomes of one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room<T> {
    Free,
    /// Instead of that one.
    Displace(T),
    None,
}

impl Farewells {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets a connection linger, or closes it or another one.
    pub(super) fn add(&mut self, mut lingering: Lingering, place: Place, schedule: &mut Schedule) {
        let places = self.0.iter().map(|(token, farewell)| (*token, &farewell.place));
        match room(places, &place) {
            Room::Free => {}
            Room::Displace(token) => self.remove(token, schedule),
            Room::None => return lingering.say(),
        }
        let mut seat = schedule.seat();
        schedule.set_deadline(&mut seat, Some(lingering.next_timeout().into_std()));
        self.0.insert(seat.token(), Farewell { lingering, seat, place });
    }

    /// Looks at one of them, if it is one.
    pub(super) fn poll(&mut self, token: Token, now: tokio::time::Instant, schedule: &mut Schedule) {
        let Some(Farewell { lingering, seat, .. }) = self.0.get_mut(&token) else { return };
        seat.begin();
        if lingering.poll(&mut seat.context(), now).is_ready() {
            self.remove(token, schedule);
        } else {
            schedule.set_deadline(seat, Some(lingering.next_timeout().into_std()));
        }
    }

    /// Its deadline is over: it is to be looked at.
    pub(super) fn handle_timeout(&mut self, token: Token, schedule: &mut Schedule) {
        if let Some(Farewell { seat, .. }) = self.0.get_mut(&token) {
            schedule.set_deadline(seat, None);
            schedule.mark(seat);
        }
    }

    /// Waits less, because the program wants to end.
    pub(super) fn hurry(&mut self, schedule: &mut Schedule) {
        for Farewell { lingering, seat, .. } in self.0.values_mut() {
            lingering.hurry();
            schedule.set_deadline(seat, Some(lingering.next_timeout().into_std()));
        }
    }

    fn remove(&mut self, token: Token, schedule: &mut Schedule) {
        if let Some(mut farewell) = self.0.remove(&token) {
            schedule.set_deadline(&mut farewell.seat, None);
        }
    }
}

/// Whether there is room for `new` beside those that are there.
fn room<'a, T: Copy>(present: impl Iterator<Item = (T, &'a Place)> + Clone, new: &Place) -> Room<T> {
    let old_enough = |place: &Place| new.since.saturating_duration_since(place.since) >= YOUTH;
    let gives_way = |place: &Place| place.rank < new.rank || (place.rank == new.rank && old_enough(place));
    let first = |all: &mut dyn Iterator<Item = (T, &'a Place)>| {
        let all = all.filter(|(_, place)| gives_way(place));
        all.min_by_key(|(_, place)| (place.rank, place.since))
            .map_or(Room::None, |(at, _)| Room::Displace(at))
    };
    let of_peer = present.clone().filter(|(_, place)| place.peer == new.peer);
    if of_peer.clone().count() >= OF_A_PEER {
        return first(&mut of_peer.into_iter());
    }
    let opened = present.filter(|(_, place)| place.rank == Rank::Opened);
    if new.rank == Rank::Opened && opened.clone().count() >= OPENED {
        return first(&mut opened.into_iter());
    }
    Room::Free
}

/// How many of one peer linger.
const OF_A_PEER: usize = 2;
/// How many linger of which no session came.
const OPENED: usize = 64;
/// How long a connection stays, whoever comes after it.
const YOUTH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets these peers' connections come one after another, `pause` apart; returns who stays.
    fn crowd(pause: Duration, all: impl Iterator<Item = (String, Rank)>) -> Vec<Place> {
        let mut since = super::super::engine::now();
        let mut present: Vec<Place> = Vec::new();
        for (peer, rank) in all {
            since += pause;
            let new = Place { peer: PeerKey::new(peer), rank, since };
            match room(present.iter().enumerate(), &new) {
                Room::Free => present.push(new),
                Room::Displace(at) => present[at] = new,
                Room::None => {}
            }
        }
        present
    }

    fn ranks(present: &[Place]) -> Vec<Rank> {
        present.iter().map(|place| place.rank).collect()
    }

    #[test]
    fn a_peer_has_two_and_the_first_two_while_they_are_young() {
        let same = || std::iter::repeat_n(("a".to_owned(), Rank::Opened), 500);
        let at_once = crowd(Duration::from_millis(1), same());
        assert_eq!(at_once.len(), 2);
        assert_eq!(at_once[1].since.duration_since(at_once[0].since), Duration::from_millis(1));
        let slowly = crowd(Duration::from_secs(1), same());
        assert_eq!(slowly.len(), 2);
        assert_eq!(slowly[1].since.duration_since(slowly[0].since), Duration::from_secs(1), "the last two");
    }

    #[test]
    fn sixty_four_linger_of_which_no_session_came() {
        let of_many = |rank| (0..500).map(move |number| (format!("peer {number}"), rank));
        assert_eq!(crowd(Duration::from_micros(1), of_many(Rank::Opened)).len(), 64);
        let later = crowd(Duration::from_millis(20), of_many(Rank::Opened));
        assert_eq!(later.len(), 64);
        assert!(later.iter().any(|place| place.peer.as_str() == "peer 499"), "the old give way");
        assert_eq!(crowd(Duration::ZERO, of_many(Rank::Ours)).len(), 500, "a stop tells every peer");
    }

    #[test]
    fn the_end_of_a_session_goes_before_those_who_only_knock() {
        let flood = || std::iter::repeat_n(("a".to_owned(), Rank::Opened), 10);
        let session = || std::iter::once(("a".to_owned(), Rank::Ours));
        let all = flood().chain(session()).chain(flood());
        assert_eq!(ranks(&crowd(Duration::ZERO, all)), [Rank::Ours, Rank::Opened]);
        let twice = session().chain(session()).chain(flood());
        assert_eq!(ranks(&crowd(Duration::from_secs(1), twice)), [Rank::Ours, Rank::Ours]);
    }
}

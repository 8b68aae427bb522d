//! All peers, by name and by number.

use std::collections::BTreeMap;

use super::peer::Peer;
use super::schedule::{Schedule, Seat, Token};
use crate::session::PeerKey;

/// The peers of a speaker.
#[derive(Default)]
pub(super) struct Peers {
    tokens: BTreeMap<PeerKey, Token>,
    members: BTreeMap<Token, Member>,
}

/// A peer with its place in the schedule.
pub(super) struct Member {
    pub(super) peer: Peer,
    pub(super) seat: Seat,
}

impl Peers {
    /// Adds a peer, whose name no other has.
    pub(super) fn insert(&mut self, peer: Peer, schedule: &mut Schedule) {
        let seat = schedule.seat();
        self.tokens.insert(peer.session.key().clone(), seat.token());
        self.members.insert(seat.token(), Member { peer, seat });
    }

    pub(super) fn remove(&mut self, key: &PeerKey, schedule: &mut Schedule) -> Option<Peer> {
        let token = self.tokens.remove(key)?;
        let Member { peer, mut seat } = self.members.remove(&token)?;
        schedule.set_deadline(&mut seat, None);
        Some(peer)
    }

    pub(super) fn get(&self, key: &PeerKey) -> Option<&Peer> {
        Some(&self.members.get(self.tokens.get(key)?)?.peer)
    }

    /// A peer that is to be changed; it is looked at afterwards.
    pub(super) fn get_mut(&mut self, key: &PeerKey, schedule: &mut Schedule) -> Option<&mut Peer> {
        let member = self.members.get_mut(self.tokens.get(key)?)?;
        schedule.mark(&member.seat);
        Some(&mut member.peer)
    }

    pub(super) fn member(&mut self, token: Token) -> Option<&mut Member> {
        self.members.get_mut(&token)
    }

    /// In the order in which they were added.
    pub(super) fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    /// In the order in which they were added.
    pub(super) fn values(&self) -> impl Iterator<Item = &Peer> {
        self.members.values().map(|member| &member.peer)
    }

    /// In the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerKey, &Peer)> {
        self.tokens.iter().filter_map(|(key, token)| Some((key, &self.members.get(token)?.peer)))
    }
}

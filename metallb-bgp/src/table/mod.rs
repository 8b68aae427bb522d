//! What this speaker announces: one table for all its sessions.
//!
//! [`AdvTable`] holds, for every prefix, which peers get it with which attributes. Sessions keep no
//! copy: each is a cursor into the table and takes what it has not seen yet when its socket has room.
//! A session that is slow gets the latest state of each prefix once, however often it changed.

mod attributes;
mod cursor;
mod interner;
mod peers;
mod pull;
mod rib;

#[cfg(test)]
mod tests;

pub use attributes::{Announcement, RouteAttributes};
pub(crate) use peers::PeerSlot;
pub(crate) use pull::{Announced, Mark, Prefixes, Sink};

use std::net::IpAddr;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use self::interner::Interner;
use self::peers::{PeerSet, Peers};
use self::pull::{Pieces, Shared};
use self::rib::{GroupId, Rib};
use crate::session::PeerKey;
use crate::types::{Families, Family};

/// The routes of a speaker.
#[derive(Debug)]
pub struct AdvTable {
    attributes: Interner<RouteAttributes>,
    sets: Interner<PeerSet>,
    peers: Peers,
    v4: Rib<Ipv4Network>,
    v6: Rib<Ipv6Network>,
    complete: bool,
    pieces: Pieces,
}

impl Default for AdvTable {
    fn default() -> Self {
        Self::new()
    }
}

impl AdvTable {
    /// An empty table that is not complete.
    pub const fn new() -> Self {
        Self {
            attributes: Interner::new(),
            sets: Interner::new(),
            peers: Peers::new(),
            v4: Rib::new(),
            v6: Rib::new(),
            complete: false,
            pieces: Pieces::DEFAULT,
        }
    }

    /// Whether an address is announced to anybody by itself, as those of services are.
    pub fn announces(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                Ipv4Network::new(v4, 32).is_ok_and(|prefix| !self.v4.groups_of(&prefix).is_empty())
            }
            IpAddr::V6(v6) => {
                Ipv6Network::new(v6, 128).is_ok_and(|prefix| !self.v6.groups_of(&prefix).is_empty())
            }
        }
    }

    /// Says everything about one prefix; no routes is a withdrawal. Host bits are cleared. Returns whether
    /// anything changed.
    ///
    /// Where several routes name the same peer, it gets the first of them.
    pub fn set(&mut self, prefix: IpNetwork, routes: &[Announcement]) -> bool {
        let groups = self.hold_groups(routes);
        let (changed, old) = match prefix {
            IpNetwork::V4(prefix) => {
                let prefix = canonical_v4(prefix);
                let old = self.v4.groups_of(&prefix).to_vec();
                (self.v4.set(prefix, &groups, &self.sets), old)
            }
            IpNetwork::V6(prefix) => {
                let prefix = canonical_v6(prefix);
                let old = self.v6.groups_of(&prefix).to_vec();
                (self.v6.set(prefix, &groups, &self.sets), old)
            }
        };
        self.release_groups(if changed { &old } else { &groups });
        changed
    }

    /// Says that everything there is to announce has been set: End-of-RIB may be sent (RFC 4724 §4.1).
    pub const fn complete(&mut self) {
        self.complete = true;
    }

    /// Whether [`AdvTable::complete`] was called.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Prefixes with at least one route.
    pub fn len(&self) -> usize {
        let v4: usize = self.v4.groups.values().map(std::collections::BTreeSet::len).sum();
        let v6: usize = self.v6.groups.values().map(std::collections::BTreeSet::len).sum();
        v4 + v6
    }

    /// Whether nothing is announced.
    pub fn is_empty(&self) -> bool {
        self.v4.groups.is_empty() && self.v6.groups.is_empty()
    }

    /// What `peer` is to be told about `prefix`.
    pub fn route(&self, peer: &PeerKey, prefix: IpNetwork) -> Option<&RouteAttributes> {
        let slot = self.peers.slot(peer)?;
        let groups = match prefix {
            IpNetwork::V4(prefix) => self.v4.groups_of(&canonical_v4(prefix)),
            IpNetwork::V6(prefix) => self.v6.groups_of(&canonical_v6(prefix)),
        };
        let group = Rib::<Ipv4Network>::group_for(groups, slot, &self.sets)?;
        self.attributes.value(group.0).map(AsRef::as_ref)
    }

    /// Starts a session's place at the beginning; `None` when there are 65536 peers already.
    pub(crate) fn attach(&mut self, peer: &PeerKey, families: Families, enhanced: bool) -> Option<PeerSlot> {
        let slot = self.peers.hold(peer)?;
        if families.contains(Family::Ipv4Unicast) {
            self.v4.attach(slot, enhanced);
        }
        if families.contains(Family::Ipv6Unicast) {
            self.v6.attach(slot, enhanced);
        }
        Some(slot)
    }

    /// Ends a session's place.
    pub(crate) fn detach(&mut self, slot: PeerSlot) {
        self.v4.detach(slot);
        self.v6.detach(slot);
        self.peers.release(slot);
    }

    /// The peer asked for a family again.
    pub(crate) fn refresh(&mut self, slot: PeerSlot, family: Family) {
        let wanted = match family {
            Family::Ipv4Unicast => self.v4.cursors.get_mut(&slot).map(|c| &mut c.refresh_wanted),
            Family::Ipv6Unicast => self.v6.cursors.get_mut(&slot).map(|c| &mut c.refresh_wanted),
        };
        if let Some(wanted) = wanted {
            *wanted = true;
        }
    }

    /// End-of-RIB need not wait for the table to be complete any more (Selection_Deferral_Timer).
    pub(crate) fn release_end_of_rib(&mut self, slot: PeerSlot) {
        if let Some(cursor) = self.v4.cursors.get_mut(&slot) {
            cursor.end_of_rib_released = true;
        }
        if let Some(cursor) = self.v6.cursors.get_mut(&slot) {
            cursor.end_of_rib_released = true;
        }
    }

    /// Whether [`AdvTable::pull`] would write something.
    pub(crate) fn has_work(&self, slot: PeerSlot) -> bool {
        self.v4.has_work(slot, self.complete) || self.v6.has_work(slot, self.complete)
    }

    /// Whether the session still owes the peer an End-of-RIB.
    pub(crate) fn owes_end_of_rib(&self, slot: PeerSlot) -> bool {
        self.v4.cursors.get(&slot).is_some_and(|c| c.end_of_rib_owed)
            || self.v6.cursors.get(&slot).is_some_and(|c| c.end_of_rib_owed)
    }

    /// Changes the session has not taken.
    pub(crate) fn behind(&self, slot: PeerSlot) -> u64 {
        self.v4.behind(slot) + self.v6.behind(slot)
    }

    /// Prefixes the peer holds, and prefixes it should hold but cannot be sent.
    pub(crate) fn advertised(&self, slot: PeerSlot) -> Advertised {
        let v4 = self.v4.cursors.get(&slot);
        let v6 = self.v6.cursors.get(&slot);
        Advertised {
            v4: v4.map_or(0, |c| c.advertised),
            v6: v6.map_or(0, |c| c.advertised),
            unsendable: (v4.map_or(0, |c| c.rejected.len()) + v6.map_or(0, |c| c.rejected.len())) as u64,
        }
    }

    /// How many prefixes of a family the session's peer should hold but cannot be sent.
    pub(crate) fn unsendable(&self, slot: PeerSlot, family: Family) -> u64 {
        let rejected = match family {
            Family::Ipv4Unicast => self.v4.cursors.get(&slot).map(|c| c.rejected.len()),
            Family::Ipv6Unicast => self.v6.cursors.get(&slot).map(|c| c.rejected.len()),
        };
        rejected.unwrap_or(0) as u64
    }

    /// How many prefixes of a family are for a peer, whether or not its session has the family.
    pub(crate) fn routes_of(&self, peer: &PeerKey, family: Family) -> u64 {
        let Some(slot) = self.peers.slot(peer) else { return 0 };
        let routes = match family {
            Family::Ipv4Unicast => self.v4.routes_for(slot, &self.sets),
            Family::Ipv6Unicast => self.v6.routes_for(slot, &self.sets),
        };
        routes as u64
    }

    /// Writes one piece of bounded size of a family for the session; returns whether there was anything to do.
    pub(crate) fn pull(&mut self, slot: PeerSlot, family: Family, sink: &mut dyn Sink) -> bool {
        let shared = shared(&self.attributes, &self.sets, self.complete, self.pieces);
        match family {
            Family::Ipv4Unicast => self.v4.pull(slot, &shared, sink),
            Family::Ipv6Unicast => self.v6.pull(slot, &shared, sink),
        }
    }

    /// Writes a withdrawal of every prefix of a family that the session's peer holds.
    pub(crate) fn withdraw_all(&self, slot: PeerSlot, family: Family, sink: &mut dyn Sink) {
        let shared = shared(&self.attributes, &self.sets, self.complete, self.pieces);
        match family {
            Family::Ipv4Unicast => self.v4.withdraw_all(slot, &shared, sink),
            Family::Ipv6Unicast => self.v6.withdraw_all(slot, &shared, sink),
        }
    }

    /// Interns routes as groups of disjoint peers, with one more holder each.
    fn hold_groups(&mut self, routes: &[Announcement]) -> Vec<GroupId> {
        let mut taken = PeerSet::default();
        let mut groups: Vec<GroupId> = Vec::new();
        for route in routes {
            let mut set = PeerSet::default();
            for peer in &route.peers {
                let Some(slot) = self.peers.hold(peer) else { continue };
                if taken.insert(slot) {
                    set.insert(slot);
                } else {
                    self.peers.release(slot);
                }
            }
            if !set.is_empty() {
                groups.push((self.attributes.hold(route.attributes.clone()), self.sets.hold(set)));
            }
        }
        groups.sort_unstable();
        groups
    }

    fn release_groups(&mut self, groups: &[GroupId]) {
        for (attributes, set) in groups {
            self.attributes.release(*attributes);
            if let Some(members) = self.sets.value(*set) {
                for slot in members.iter() {
                    self.peers.release(slot);
                }
            }
            self.sets.release(*set);
        }
    }
}

const fn shared<'a>(
    attributes: &'a Interner<RouteAttributes>,
    sets: &'a Interner<PeerSet>,
    complete: bool,
    pieces: Pieces,
) -> Shared<'a> {
    Shared { attributes, sets, complete, pieces }
}

/// How much of the table a peer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advertised {
    pub(crate) v4: u64,
    pub(crate) v6: u64,
    pub(crate) unsendable: u64,
}

fn canonical_v4(prefix: Ipv4Network) -> Ipv4Network {
    Ipv4Network::new(prefix.network(), prefix.prefix()).unwrap_or(prefix)
}

fn canonical_v6(prefix: Ipv6Network) -> Ipv6Network {
    Ipv6Network::new(prefix.network(), prefix.prefix()).unwrap_or(prefix)
}

//! The addresses of the machine, and which of them a session announces as next hops.
//!
//! An [`AddressTable`] is fed with what the kernel says of interfaces and addresses, by [`apply`](AddressTable::apply).
//! [`choose`](AddressTable::choose) gives the next hops of one session by it, each with its [`Basis`], or why there is
//! none. Nothing is looked up anywhere else, so that one table serves all sessions and every change of it.

mod choose;
mod interface;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

pub use choose::{Basis, Choice, Chosen, NoNextHop, Query};
pub use interface::InterfaceFacts;

/// The number by which the kernel knows an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceIndex(pub u32);

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// It is a loopback: addresses on it belong to the machine and not to a network.
    pub loopback: bool,
    /// Up, and with a carrier.
    pub running: bool,
    /// How often its carrier has come up.
    pub carrier_ups: u32,
}

/// One address on an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressState {
    /// Length of the prefix that is on the link.
    pub prefix: u8,
    /// Tentative, or found to be a duplicate: not to be used.
    pub unusable: bool,
    /// Deprecated: not to be used for anything new (RFC 4862 §5.5.4).
    pub deprecated: bool,
    /// IPv6: temporary (RFC 8981). IPv4: beside another one of the same prefix. The kernel has one flag for both.
    pub secondary: bool,
    /// How long it is valid, counted from when the kernel said so; `None` for ever.
    pub valid_for: Option<Duration>,
}

/// Something that the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressFact {
    /// An interface is there, or is another than it was.
    Link(InterfaceIndex, Link),
    /// An interface is gone, with its addresses.
    LinkGone(InterfaceIndex),
    /// An address is there, or is another than it was.
    Address(InterfaceIndex, IpAddr, AddressState),
    /// An address is gone.
    AddressGone(InterfaceIndex, IpAddr),
}

/// Addresses of the node that do not depend on an interface: Kubernetes' `InternalIP`, one of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InternalAddresses {
    /// Of IPv4.
    pub v4: Option<Ipv4Addr>,
    /// Of IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl InternalAddresses {
    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.v4.is_some_and(|v4| IpAddr::V4(v4) == address)
            || self.v6.is_some_and(|v6| IpAddr::V6(v6) == address)
    }
}

/// The interfaces and addresses of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressTable {
    links: BTreeMap<InterfaceIndex, Link>,
    addresses: BTreeMap<InterfaceIndex, BTreeMap<IpAddr, AddressState>>,
}

impl AddressTable {
    /// Takes note of a fact. The same fact twice changes nothing; an address may come before its interface.
    pub fn apply(&mut self, fact: AddressFact) {
        match fact {
            AddressFact::Link(index, link) => {
                self.links.insert(index, link);
            }
            AddressFact::LinkGone(index) => {
                self.links.remove(&index);
                self.addresses.remove(&index);
            }
            AddressFact::Address(index, address, state) => {
                self.addresses.entry(index).or_default().insert(address.to_canonical(), state);
            }
            AddressFact::AddressGone(index, address) => {
                let Some(addresses) = self.addresses.get_mut(&index) else { return };
                addresses.remove(&address.to_canonical());
                if addresses.is_empty() {
                    self.addresses.remove(&index);
                }
            }
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.addresses.is_empty()
    }

    /// The interface that holds an address; of several one where it can be used, then the one whose prefix the peer is in,
    /// then the first.
    pub fn holder(&self, address: IpAddr, peer: IpAddr) -> Option<InterfaceIndex> {
        self.follow(address, peer, None)
    }

    /// The interface of a session that has this address here, and that was on the interface `before` until now: the one
    /// that holds the address. It is the same one as long as the address is there as well as elsewhere, and while no
    /// interface holds it.
    #[must_use]
    pub fn follow(
        &self,
        address: IpAddr,
        peer: IpAddr,
        before: Option<InterfaceIndex>,
    ) -> Option<InterfaceIndex> {
        let (address, peer) = (address.to_canonical(), peer.to_canonical());
        let holders = self.addresses.iter().filter_map(|(index, addresses)| {
            let state = addresses.get(&address)?;
            let is_far = !shares_prefix(address, peer, state.prefix);
            Some((state.unusable, Some(*index) != before, is_far, *index))
        });
        holders.min().map(|(.., index)| index).or(before)
    }

    /// Whether a machine is on a subnet of this one.
    pub fn is_neighbour(&self, peer: IpAddr) -> bool {
        self.neighbours(peer.to_canonical()).next().is_some()
    }

    /// The interfaces on which a machine is a neighbour, because it is in the prefix of an address there.
    fn neighbours(&self, peer: IpAddr) -> impl Iterator<Item = InterfaceIndex> {
        let all = self.addresses.iter();
        let of = move |addresses: &BTreeMap<IpAddr, AddressState>| {
            addresses.iter().any(|(address, state)| shares_prefix(*address, peer, state.prefix))
        };
        all.filter(move |(_, addresses)| of(addresses)).map(|(index, _)| *index)
    }

    /// Whether a path to `peer` may have come up since `before`: the carrier of an interface came, or an address, or `own`
    /// that the session is bound to. Where the peer is a neighbour, or its interface is given, other interfaces do not
    /// count.
    #[must_use]
    pub fn has_new_path(
        &self,
        before: &Self,
        peer: IpAddr,
        interface: Option<InterfaceIndex>,
        own: Option<IpAddr>,
    ) -> bool {
        if own.is_some_and(|own| self.has_usable(own) && !before.has_usable(own)) {
            return true;
        }
        let peer = peer.to_canonical();
        let mut near: Vec<InterfaceIndex> = interface.into_iter().collect();
        if near.is_empty() {
            near.extend(self.neighbours(peer));
        }
        let counts = |index: &InterfaceIndex| near.is_empty() || near.contains(index);
        self.links.keys().filter(|index| counts(index)).any(|index| self.came_up(before, *index))
    }

    /// Whether this interface holds an address.
    #[must_use]
    pub fn is_on(&self, index: InterfaceIndex, address: IpAddr) -> bool {
        self.addresses.get(&index).is_some_and(|all| all.contains_key(&address.to_canonical()))
    }

    /// Whether an interface holds an address that can be used.
    pub(crate) fn has_usable(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.addresses.values().any(|all| all.get(&address).is_some_and(|state| !state.unusable))
    }

    fn came_up(&self, before: &Self, index: InterfaceIndex) -> bool {
        let Some(link) = self.links.get(&index).filter(|link| link.running && !link.loopback) else {
            return false;
        };
        let Some(old) = before.links.get(&index).filter(|old| old.running) else { return true };
        let usable = |table: &Self, address: &IpAddr| {
            table.addresses.get(&index).and_then(|all| all.get(address)).is_some_and(|state| !state.unusable)
        };
        let addresses = self.addresses.get(&index).into_iter().flatten().map(|(address, _)| address);
        let mut new = addresses.filter(|address| usable(self, address) && !usable(before, address));
        old.carrier_ups != link.carrier_ups || new.next().is_some()
    }

    /// The number of the interface of this name.
    pub fn index_of(&self, name: &str) -> Option<InterfaceIndex> {
        self.links.iter().find(|(_, link)| link.name == name).map(|(index, _)| *index)
    }
}

/// Whether both addresses begin with the same `prefix` bits.
fn shares_prefix(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let differs = a.to_bits() ^ b.to_bits();
            differs.leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let differs = a.to_bits() ^ b.to_bits();
            differs.leading_zeros() >= u32::from(prefix)
        }
        _ => false,
    }
}

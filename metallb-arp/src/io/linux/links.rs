//! The interfaces of the machine as netlink reports them, and which of them can carry announcements.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};

use crate::responder::{Interface, InterfaceIndex};
use crate::wire::MacAddr;

/// What is known of the machine's interfaces.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<InterfaceIndex, Link>,
    /// Addresses that are not tentative and not duplicates.
    addresses: BTreeMap<InterfaceIndex, BTreeSet<IpAddr>>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    /// `None` when it is not an Ethernet address, or all zero.
    pub(super) mac: Option<MacAddr>,
    /// Up, with a carrier, neither loopback nor NOARP.
    pub(super) running: bool,
    /// Enslaved to a bridge, bond or team, which takes its place.
    pub(super) enslaved: bool,
}

/// One change that netlink reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Link(InterfaceIndex, Link),
    LinkGone(InterfaceIndex),
    /// An address, and whether it can be used.
    Address(InterfaceIndex, IpAddr, bool),
    AddressGone(InterfaceIndex, IpAddr),
}

impl Fact {
    /// The interface it is about.
    pub(super) fn interface(&self) -> InterfaceIndex {
        match self {
            Self::Link(index, _)
            | Self::LinkGone(index)
            | Self::Address(index, ..)
            | Self::AddressGone(index, _) => *index,
        }
    }
}

impl Links {
    /// Takes note of a change; returns the interface that has got another address by it.
    pub(super) fn apply(&mut self, fact: Fact) -> Option<InterfaceIndex> {
        match fact {
            Fact::Link(index, link) => {
                self.links.insert(index, link);
            }
            Fact::LinkGone(index) => {
                self.links.remove(&index);
                self.addresses.remove(&index);
            }
            Fact::Address(index, address, true) => {
                return self.addresses.entry(index).or_default().insert(address).then_some(index);
            }
            Fact::Address(index, address, false) | Fact::AddressGone(index, address) => {
                if let Some(addresses) = self.addresses.get_mut(&index) {
                    addresses.remove(&address);
                }
            }
        }
        None
    }

    /// All interfaces there are.
    pub(super) fn indices(&self) -> impl Iterator<Item = InterfaceIndex> {
        self.links.keys().copied()
    }

    /// An interface, if it can carry announcements and is not excluded by name.
    pub(super) fn usable(&self, index: InterfaceIndex, exclude: &dyn Fn(&str) -> bool) -> Option<Interface> {
        let link = self.links.get(&index)?;
        let mac = link.mac.filter(|_| link.running && !link.enslaved && !exclude(&link.name))?;
        Some(Interface { index, name: link.name.clone(), mac, link_local: self.link_local(index) })
    }

    fn link_local(&self, index: InterfaceIndex) -> Option<Ipv6Addr> {
        self.addresses.get(&index)?.iter().find_map(|address| match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(*v6),
            _ => None,
        })
    }
}

//! The interfaces of the machine as netlink reports them, and which of them can carry announcements.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};

use crate::responder::{Interface, InterfaceIndex, Subnet};
use crate::wire::MacAddr;

/// What is known of the machine's interfaces.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<InterfaceIndex, Link>,
    /// Addresses that are not tentative and not duplicates.
    addresses: BTreeMap<InterfaceIndex, BTreeMap<IpAddr, u8>>,
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
    /// How often its carrier has come up.
    pub(super) carrier_ups: u32,
    /// The kernel asks to tell the neighbors again where they find the machine: a bond uses another port, a
    /// virtual machine has been moved.
    pub(super) notify_peers: bool,
}

/// One change that netlink reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Link(InterfaceIndex, Link),
    LinkGone(InterfaceIndex),
    /// An address with its subnet, and whether it can be used.
    Address(InterfaceIndex, Subnet, bool),
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
    /// Takes note of a change; returns whether the neighbors on the interface should be told anew: it has
    /// got another address, its carrier was away for too short a time to be seen, or the kernel asks for
    /// it.
    pub(super) fn apply(&mut self, fact: Fact) -> bool {
        match fact {
            Fact::Link(index, link) => {
                let (notify_peers, carrier_ups) = (link.notify_peers, link.carrier_ups);
                let old = self.links.insert(index, link);
                return notify_peers || old.is_some_and(|old| old.carrier_ups != carrier_ups);
            }
            Fact::LinkGone(index) => {
                self.links.remove(&index);
                self.addresses.remove(&index);
            }
            Fact::Address(index, Subnet { address, prefix }, true) => {
                return self.addresses.entry(index).or_default().insert(address, prefix).is_none();
            }
            Fact::Address(index, Subnet { address, .. }, false) | Fact::AddressGone(index, address) => {
                if let Some(addresses) = self.addresses.get_mut(&index) {
                    addresses.remove(&address);
                }
            }
        }
        false
    }

    /// All interfaces there are.
    pub(super) fn indices(&self) -> impl Iterator<Item = InterfaceIndex> {
        self.links.keys().copied()
    }

    /// An interface, if it can carry announcements and is not excluded by name.
    pub(super) fn usable(&self, index: InterfaceIndex, exclude: &dyn Fn(&str) -> bool) -> Option<Interface> {
        let link = self.links.get(&index)?;
        let mac = link.mac.filter(|_| link.running && !link.enslaved && !exclude(&link.name))?;
        let (link_local, subnets) = (self.link_local(index), self.subnets(index));
        Some(Interface { index, name: link.name.clone(), mac, link_local, subnets })
    }

    /// The subnets with room for more than the interface's own address.
    fn subnets(&self, index: InterfaceIndex) -> BTreeSet<Subnet> {
        let all = self.addresses.get(&index).into_iter().flatten();
        let subnets = all.map(|(address, prefix)| Subnet { address: *address, prefix: *prefix });
        subnets
            .filter(|subnet| match subnet.address {
                IpAddr::V4(_) => subnet.prefix < 32,
                IpAddr::V6(address) => subnet.prefix < 128 && !address.is_unicast_link_local(),
            })
            .collect()
    }

    fn link_local(&self, index: InterfaceIndex) -> Option<Ipv6Addr> {
        self.addresses.get(&index)?.keys().find_map(|address| match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(*v6),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: InterfaceIndex = InterfaceIndex(2);

    fn link() -> Link {
        Link {
            name: "eth0".into(),
            mac: Some(MacAddr::new([2, 0, 0, 0, 0, 1])),
            running: true,
            enslaved: false,
            carrier_ups: 1,
            notify_peers: false,
        }
    }

    fn address(text: &str, usable: bool) -> Fact {
        Fact::Address(ETH0, Subnet { address: text.parse().unwrap(), prefix: 24 }, usable)
    }

    #[test]
    fn a_carrier_that_was_away_unseen_is_told_anew() {
        let mut links = Links::default();
        assert!(!links.apply(Fact::Link(ETH0, link())));
        assert!(!links.apply(Fact::Link(ETH0, link())));
        assert!(links.apply(Fact::Link(ETH0, Link { carrier_ups: 2, ..link() })));
    }

    #[test]
    fn a_bond_that_fails_over_is_told_anew() {
        let mut links = Links::default();
        links.apply(Fact::Link(ETH0, link()));
        assert!(links.apply(Fact::Link(ETH0, Link { notify_peers: true, ..link() })));
        assert!(!links.apply(Fact::Link(ETH0, link())));
    }

    #[test]
    fn only_another_address_is_told_anew() {
        let mut links = Links::default();
        assert!(links.apply(address("192.0.2.10", true)));
        assert!(!links.apply(address("192.0.2.10", true)), "its lifetime was extended");
        assert!(!links.apply(Fact::AddressGone(ETH0, "192.0.2.10".parse().unwrap())));
    }

    #[test]
    fn subnets_are_those_of_usable_addresses_with_room_for_others() {
        let mut links = Links::default();
        links.apply(Fact::Link(ETH0, link()));
        links.apply(address("192.0.2.10", true));
        links.apply(address("198.51.100.10", false));
        links.apply(address("fe80::1", true));
        let alone = Subnet { address: "203.0.113.1".parse().unwrap(), prefix: 32 };
        links.apply(Fact::Address(ETH0, alone, true));
        let subnets = |links: &Links| links.usable(ETH0, &|_| false).unwrap().subnets;
        let expected = Subnet { address: "192.0.2.10".parse().unwrap(), prefix: 24 };
        assert_eq!(subnets(&links), [expected].into());
        links.apply(Fact::AddressGone(ETH0, expected.address));
        assert_eq!(subnets(&links), [].into());
    }

    #[test]
    fn ipv6_waits_for_a_link_local_address_that_is_neither_tentative_nor_a_duplicate() {
        let mut links = Links::default();
        links.apply(Fact::Link(ETH0, link()));
        let carries = |links: &Links| links.usable(ETH0, &|_| false).unwrap().link_local.is_some();
        for fact in [address("fe80::1", false), address("2001:db8::10", true)] {
            links.apply(fact);
            assert!(!carries(&links));
        }
        assert!(links.apply(address("fe80::1", true)));
        assert!(carries(&links));
        links.apply(address("fe80::1", false));
        assert!(!carries(&links));
    }

    #[test]
    fn ports_of_bridges_idle_and_excluded_interfaces_and_those_without_a_hardware_address_are_not_used() {
        let unusable = [
            Link { enslaved: true, ..link() },
            Link { running: false, ..link() },
            Link { mac: None, ..link() },
            Link { name: "docker0".into(), ..link() },
        ];
        let mut links = Links::default();
        let exclude = |name: &str| name.starts_with("docker");
        for link in unusable {
            links.apply(Fact::Link(ETH0, link));
            assert_eq!(links.usable(ETH0, &exclude), None);
        }
        links.apply(Fact::Link(ETH0, link()));
        assert!(links.usable(ETH0, &exclude).is_some());
        links.apply(Fact::LinkGone(ETH0));
        assert_eq!(links.usable(ETH0, &exclude), None);
    }
}

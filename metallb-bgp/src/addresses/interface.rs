//! An interface as it matters to unnumbered peers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{AddressTable, InterfaceIndex};

/// What is known of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "all that unnumbered peers ask for")]
pub struct InterfaceFacts {
    /// The kernel's number of it.
    pub index: InterfaceIndex,
    /// Up, and with a carrier.
    pub running: bool,
    /// Its link-local address, if it has one that can be used; the least of several.
    pub link_local: Option<Ipv6Addr>,
    /// The other host of its IPv4 prefix, if that has no more than two: its length is 30 or 31 (RFC 3021).
    pub partner: Option<Ipv4Addr>,
}

impl AddressTable {
    /// The interface of this name.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<InterfaceFacts> {
        let index = self.index_of(name)?;
        let own = self.addresses.get(&index);
        let usable = || own.into_iter().flatten().filter(|(_, state)| !state.unusable);
        Some(InterfaceFacts {
            index,
            running: self.links.get(&index)?.running,
            link_local: usable().find_map(|(address, _)| match address {
                IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(*v6),
                _ => None,
            }),
            partner: usable().find_map(|(address, state)| match address {
                IpAddr::V4(v4) => partner(*v4, state.prefix),
                IpAddr::V6(_) => None,
            }),
        })
    }
}

/// The other host of a prefix with two.
fn partner(own: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    let bits = own.to_bits();
    match (prefix, bits & 3) {
        (31, _) => Some((bits ^ 1).into()),
        (30, 1 | 2) => Some((bits ^ 3).into()),
        _ => None,
    }
}

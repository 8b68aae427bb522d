//! What is known of the machine that sessions run on.

use std::net::{IpAddr, SocketAddr};

use crate::addresses::{AddressTable, InterfaceIndex, InternalAddresses, Query};
use crate::session::{Endpoints, PeerConfig};
use crate::table::AdvTable;

/// The machine's addresses.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Those that the kernel reports.
    pub(super) addresses: AddressTable,
    /// Those that the user gave.
    pub(super) internal: InternalAddresses,
}

impl Node {
    /// The ends of a new connection with its next hops.
    pub(super) fn endpoints(&self, local: SocketAddr, remote: SocketAddr, table: &AdvTable) -> Endpoints {
        self.with_next_hops(Endpoints::new(local, remote), table)
    }

    /// The same ends with the next hops of now. An address may have moved to another interface, such as a bridge that the
    /// first one is a port of.
    pub(super) fn with_next_hops(&self, ends: Endpoints, table: &AdvTable) -> Endpoints {
        let (local, remote) = (ends.local.ip(), ends.remote.ip());
        let interface = scope(ends.local).or_else(|| self.addresses.follow(local, remote, ends.interface));
        let next_hops = self.addresses.choose(&Query {
            local: ends.local,
            remote: ends.remote,
            interface,
            internal: self.internal,
            current: ends.next_hops.addresses(),
            announced: &|address| table.announces(address),
        });
        let identifier = next_hops.addresses().v4.or(self.internal.v4);
        Endpoints { interface, next_hops, identifier, ..ends }
    }

    /// Whether an attempt that failed may succeed now, where `before` are the addresses of before.
    pub(super) fn has_new_path(&self, before: &AddressTable, config: &PeerConfig) -> bool {
        let device = config.interface.as_deref().or(config.bind_device.as_deref());
        let device = device.and_then(|name| self.addresses.index_of(name));
        let interface = scope(config.remote).or(device);
        let own = config.local_address;
        self.addresses.has_new_path(before, config.remote.ip(), interface, own)
    }

    /// Whether an interface held our address of a connection, and none has one that can be used now.
    pub(super) fn lacks(&self, ends: &Endpoints) -> bool {
        ends.interface.is_some() && !self.addresses.has_usable(ends.local.ip())
    }

    /// Whether the machine holds an address.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.addresses.holder(address, address).is_some() || self.internal.contains(address)
    }
}

/// The interface that an address names.
fn scope(address: SocketAddr) -> Option<InterfaceIndex> {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(InterfaceIndex(v6.scope_id())),
        _ => None,
    }
}

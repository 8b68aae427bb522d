//! Memberships in solicited-node groups, spread over as many sockets as they need.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv6Addr;

use socket2::{Domain, Socket, Type};

use crate::responder::InterfaceIndex;

/// The groups joined on one interface. Dropping it leaves them all.
///
/// A socket holds a limited number of memberships (`net.core.optmem_max`, some 2300 by default), so that
/// further ones go to another socket.
#[derive(Debug)]
pub(super) struct Groups {
    interface: InterfaceIndex,
    sockets: Vec<Socket>,
    /// Sockets below this number are known to be full, save for groups left since.
    open: usize,
    members: BTreeMap<Ipv6Addr, usize>,
}

impl Groups {
    pub(super) fn new(interface: InterfaceIndex) -> Self {
        Self { interface, sockets: Vec::new(), open: 0, members: BTreeMap::new() }
    }

    /// Joins a group; joining twice is once.
    pub(super) fn join(&mut self, group: Ipv6Addr) -> io::Result<()> {
        if self.members.contains_key(&group) {
            return Ok(());
        }
        loop {
            let fresh = self.open >= self.sockets.len();
            if fresh {
                self.sockets.push(Socket::new(Domain::IPV6, Type::DGRAM, None)?);
            }
            let Some(socket) = self.sockets.get(self.open) else { return Ok(()) };
            match socket.join_multicast_v6(&group, self.interface.0) {
                Ok(()) => {
                    self.members.insert(group, self.open);
                    return Ok(());
                }
                Err(error) if is_full(&error) && !fresh => self.open += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Leaves a group; one that was never joined is no error.
    pub(super) fn leave(&mut self, group: Ipv6Addr) -> io::Result<()> {
        let Some(number) = self.members.remove(&group) else { return Ok(()) };
        let Some(socket) = self.sockets.get(number) else { return Ok(()) };
        self.open = self.open.min(number);
        socket.leave_multicast_v6(&group, self.interface.0)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS))
}

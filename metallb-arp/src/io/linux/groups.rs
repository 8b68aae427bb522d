//! Memberships in solicited-node groups, spread over as many sockets as they need.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Groups that could not be joined.
    unjoined: BTreeSet<Ipv6Addr>,
    /// Those of them that are to be tried again now.
    again: BTreeSet<Ipv6Addr>,
}

impl Groups {
    pub(super) fn new(interface: InterfaceIndex) -> Self {
        Self {
            interface,
            sockets: Vec::new(),
            open: 0,
            members: BTreeMap::new(),
            unjoined: BTreeSet::new(),
            again: BTreeSet::new(),
        }
    }

    /// Joins a group; joining twice is once. One that cannot be joined is remembered until it is left.
    pub(super) fn join(&mut self, group: Ipv6Addr) -> io::Result<()> {
        self.try_join(group).inspect_err(|_| {
            self.unjoined.insert(group);
        })
    }

    /// Makes [`Groups::next_again`] go through all groups that could not be joined.
    pub(super) fn join_again(&mut self) {
        self.again.append(&mut self.unjoined);
    }

    /// A group to be joined again.
    pub(super) fn next_again(&mut self) -> Option<Ipv6Addr> {
        self.again.pop_first()
    }

    fn try_join(&mut self, group: Ipv6Addr) -> io::Result<()> {
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
                Err(error) => {
                    if fresh {
                        self.sockets.pop();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Leaves a group; one that was never joined is no error.
    pub(super) fn leave(&mut self, group: Ipv6Addr) -> io::Result<()> {
        self.unjoined.remove(&group);
        self.again.remove(&group);
        let Some(number) = self.members.remove(&group) else { return Ok(()) };
        let Some(socket) = self.sockets.get(number) else { return Ok(()) };
        self.open = self.open.min(number);
        socket.leave_multicast_v6(&group, self.interface.0)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS))
}

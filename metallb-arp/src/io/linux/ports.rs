//! The sockets of the interfaces in use.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv6Addr;
use std::task::{Context, Poll};

use super::Error;
use super::filter::Filter;
use super::groups::Groups;
use super::socket::PacketSocket;
use super::sys::ReceiveBuffer;
use crate::responder::InterfaceIndex;
use crate::wire::ethernet::EtherType;

/// The sockets of all interfaces in use.
#[derive(Debug, Default)]
pub(super) struct Ports {
    ports: BTreeMap<InterfaceIndex, Port>,
    /// Sockets that had their turn since the first of all; no flood on one keeps the others waiting.
    turn: usize,
}

/// The sockets of one interface.
#[derive(Debug)]
struct Port {
    arp: PacketSocket,
    ndp: PacketSocket,
    groups: Groups,
}

/// One of the two sockets of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) interface: InterfaceIndex,
    protocol: EtherType,
}

impl Ports {
    /// Opens the sockets of an interface, unless they are open.
    pub(super) fn open(&mut self, interface: InterfaceIndex) -> Result<(), Error> {
        if self.ports.contains_key(&interface) {
            return Ok(());
        }
        let arp = PacketSocket::open(interface, Filter::Arp)?;
        let ndp = PacketSocket::open(interface, Filter::Ndp)?;
        self.ports.insert(interface, Port { arp, ndp, groups: Groups::new(interface) });
        Ok(())
    }

    /// Closes the sockets of an interface and leaves its groups.
    pub(super) fn close(&mut self, interface: InterfaceIndex) {
        self.ports.remove(&interface);
    }

    pub(super) fn join(&mut self, interface: InterfaceIndex, group: Ipv6Addr) -> io::Result<()> {
        self.ports.get_mut(&interface).map_or(Ok(()), |port| port.groups.join(group))
    }

    pub(super) fn leave(&mut self, interface: InterfaceIndex, group: Ipv6Addr) -> io::Result<()> {
        self.ports.get_mut(&interface).map_or(Ok(()), |port| port.groups.leave(group))
    }

    /// Makes [`Ports::next_join_again`] go through all groups that could not be joined.
    pub(super) fn join_again(&mut self) {
        self.ports.values_mut().for_each(|port| port.groups.join_again());
    }

    /// A group to be joined again.
    pub(super) fn next_join_again(&mut self) -> Option<(InterfaceIndex, Ipv6Addr)> {
        self.ports.iter_mut().find_map(|(interface, port)| Some((*interface, port.groups.next_again()?)))
    }

    /// The socket that sends `frame`: the kernel tells others of the protocol it is bound to.
    pub(super) fn sender(&self, interface: InterfaceIndex, frame: &[u8]) -> Option<&PacketSocket> {
        let port = self.ports.get(&interface)?;
        let is_ipv6 = frame.get(12..14) == Some(&EtherType::IPV6.0.to_be_bytes());
        Some(if is_ipv6 { &port.ndp } else { &port.arp })
    }

    /// Receives a batch from the next socket that has frames.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReceiveBuffer,
    ) -> Poll<(Source, io::Result<usize>)> {
        let count = self.ports.len() * 2;
        let sockets = self.ports.iter().flat_map(|(interface, port)| {
            let source = |protocol| Source { interface: *interface, protocol };
            [(source(EtherType::ARP), &port.arp), (source(EtherType::IPV6), &port.ndp)]
        });
        let first = if self.turn < count { self.turn } else { 0 };
        for (number, (source, socket)) in sockets.enumerate().cycle().skip(first).take(count) {
            if let Poll::Ready(result) = socket.poll_receive(cx, buffer) {
                self.turn = number + 1;
                return Poll::Ready((source, result));
            }
        }
        Poll::Pending
    }

    /// Receives what is there on one socket.
    pub(super) fn try_receive(&self, source: Source, buffer: &mut ReceiveBuffer) -> io::Result<usize> {
        let port = self.ports.get(&source.interface).ok_or(io::ErrorKind::NotConnected)?;
        let socket = if source.protocol == EtherType::ARP { &port.arp } else { &port.ndp };
        socket.try_receive(buffer)
    }
}

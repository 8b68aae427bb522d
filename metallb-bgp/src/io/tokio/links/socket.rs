//! A socket for router solicitations and advertisements on one interface.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::task::{Context, Poll, ready};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::super::sys;
use crate::addresses::InterfaceIndex;
use crate::unnumbered::wire::{self, Envelope, Message};

/// A raw ICMPv6 socket that is bound to an interface. The kernel checks and writes the checksums, hands up routers'
/// messages alone, and not those that we send.
#[derive(Debug)]
pub(super) struct LinkSocket {
    socket: AsyncFd<Socket>,
    index: InterfaceIndex,
    /// Room for what the kernel says about a packet.
    control: Vec<u8>,
    buffer: Box<[u8; LONGEST]>,
}

/// A message with what its IPv6 header says.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) envelope: Envelope,
    pub(super) octets: &'a [u8],
}

impl LinkSocket {
    /// Opens a socket on the interface of this index, which takes CAP_NET_RAW.
    pub(super) fn open(index: InterfaceIndex) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.set_nonblocking(true)?;
        let types = [wire::ROUTER_SOLICITATION, wire::ROUTER_ADVERTISEMENT];
        sys::pass_icmpv6(socket.as_fd(), &types)?;
        sys::bind_interface(socket.as_fd(), index.0)?;
        socket.set_recv_hoplimit_v6(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_multicast_if_v6(index.0)?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_multicast_hops_v6(u32::from(wire::HOP_LIMIT))?;
        socket.join_multicast_v6(&wire::ALL_ROUTERS, index.0)?;
        let mut opened = Self {
            socket: sys::register(socket)?,
            index,
            control: nix::cmsg_space!(libc::c_int),
            buffer: Box::new([0; LONGEST]),
        };
        // What came before it was bound may be from other interfaces.
        for _ in 0..MAX_STRAY {
            if opened.receive().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
        }
        Ok(opened)
    }

    pub(super) const fn index(&self) -> InterfaceIndex {
        self.index
    }

    /// The next message.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Packet<'_>>> {
        let (envelope, length) = loop {
            let mut ready = match ready!(self.socket.poll_read_ready(cx)) {
                Ok(ready) => ready,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let parts = (&mut self.control, &mut *self.buffer);
            match ready.try_io(|socket| receive(socket.get_ref(), parts)) {
                Ok(Ok(received)) => break received,
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        };
        Poll::Ready(Ok(Packet { envelope, octets: self.buffer.get(..length).unwrap_or_default() }))
    }

    fn receive(&mut self) -> io::Result<(Envelope, usize)> {
        receive(self.socket.get_ref(), (&mut self.control, &mut *self.buffer))
    }

    /// Sends a message to its group. A full queue drops it: the next one comes.
    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        let to = SocketAddrV6::new(message.group(), 0, 0, self.index.0);
        self.socket.get_ref().send_to(&message.encode(), &to.into()).map(drop)
    }
}

/// Reads a message; returns its IPv6 header and how long it is.
fn receive(
    socket: &Socket,
    (control, buffer): (&mut Vec<u8>, &mut [u8; LONGEST]),
) -> io::Result<(Envelope, usize)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(control), MsgFlags::MSG_DONTWAIT)?;
    let hop_limit = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv6HopLimit(value) => u8::try_from(value).ok(),
        _ => None,
    });
    let source = message.address.map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip());
    // Where the kernel does not say it, the message may be from anywhere.
    Ok((Envelope { source, hop_limit: hop_limit.unwrap_or_default() }, message.bytes))
}

/// Octets of a message that are read; routers keep to the least MTU of IPv6.
const LONGEST: usize = 1500;
/// Messages that may wait in the kernel, in octets: a burst of routers, and not a flood.
const RECEIVE_BUFFER: usize = 1 << 16;
/// How many messages can be there before the socket is bound.
const MAX_STRAY: usize = 256;

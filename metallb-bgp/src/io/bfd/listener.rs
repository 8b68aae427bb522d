//! Receiving: one socket for each family, number of hops and device.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::{PORT_ONE_HOP, PORT_SEVERAL_HOPS};
use crate::bfd::{Arrival, Hops, Path};

/// Which sessions a socket is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    is_v4: bool,
    hops: Hops,
    device: Option<Arc<str>>,
}

impl Kind {
    pub(super) fn of(path: &Path) -> Self {
        Self { is_v4: path.remote.is_ipv4(), hops: path.hops, device: path.device.clone() }
    }

    pub(super) fn is_for(&self, path: &Path) -> bool {
        *self == Self::of(path)
    }

    /// The address to listen on.
    pub(super) const fn address(&self) -> SocketAddr {
        let port = match self.hops {
            Hops::One => PORT_ONE_HOP,
            Hops::Several => PORT_SEVERAL_HOPS,
        };
        let any =
            if self.is_v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        SocketAddr::new(any, port)
    }
}

/// A socket that packets come to.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    kind: Kind,
    least_ttl: u8,
    /// Room for what the kernel says about a packet.
    control: Vec<u8>,
}

impl Listener {
    /// Listens for packets of this kind. The kernel drops those with a lower TTL or hop limit than `least_ttl`; over
    /// one hop that is 255, whatever is said.
    pub(super) fn open(kind: Kind, least_ttl: u8) -> io::Result<Self> {
        let address = kind.address();
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if let Some(device) = &kind.device {
            socket.bind_device(Some(device.as_bytes()))?;
            // Beside the socket for all devices.
            socket.set_reuse_address(true)?;
        }
        if kind.is_v4 {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
        } else {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            socket.set_recv_hoplimit_v6(true)?;
        }
        let control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int, libc::timespec);
        let mut listener = Self { socket, kind, least_ttl: 0, control };
        // Before there is an address, so that no packet comes unseen.
        listener.set_least_ttl(least_ttl)?;
        listener.socket.bind(&address.into())?;
        if listener.kind.device.is_none() {
            // So that sockets of devices may come beside it. Before it was bound this would have hidden that somebody
            // else uses the port.
            listener.socket.set_reuse_address(true)?;
        }
        Ok(listener)
    }

    /// Changes the TTL below which the kernel drops packets.
    pub(super) fn set_least_ttl(&mut self, least: u8) -> io::Result<()> {
        let least = if self.kind.hops == Hops::One { u8::MAX } else { least };
        if least != self.least_ttl {
            self.socket.attach_filter(&ttl_filter(self.kind.is_v4, least))?;
            self.least_ttl = least;
        }
        Ok(())
    }

    /// Takes the next packet, if there is one, and has `handle` see it. Returns whether there was one.
    pub(super) fn receive(&mut self, handle: impl FnOnce(&Arrival<'_>, &[u8])) -> io::Result<bool> {
        let mut buffer = [0; LONGEST];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let descriptor = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(&mut self.control), flags);
        let message = match message {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut to = None;
        let mut ttl = None;
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    let local = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                    to = Some((IpAddr::V4(local), u32::try_from(info.ipi_ifindex).unwrap_or_default()));
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    to = Some((IpAddr::V6(info.ipi6_addr.s6_addr.into()), info.ipi6_ifindex));
                }
                ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) => {
                    ttl = u8::try_from(value).ok();
                }
                _ => {}
            }
        }
        let remote = message.address.as_ref().and_then(ip_of);
        let length = message.bytes;
        // Without these it cannot be told what the packet is for; the kernel has been asked for all of them.
        if let (Some(remote), Some((local, interface)), Some(ttl)) = (remote, to, ttl) {
            let device = self.kind.device.as_deref();
            let arrival = Arrival { remote, local, interface, device, hops: self.kind.hops, ttl };
            handle(&arrival, buffer.get(..length).unwrap_or_default());
        }
        Ok(true)
    }

    pub(super) const fn kind(&self) -> &Kind {
        &self.kind
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// Lets packets through whose TTL or hop limit is at least this. `IP_MINTTL` means nothing to UDP.
fn ttl_filter(is_v4: bool, least: u8) -> [SockFilter; 4] {
    let at = if is_v4 { TTL_AT } else { HOP_LIMIT_AT };
    [
        SockFilter::new(LOAD_OCTET, 0, 0, NETWORK_HEADER.wrapping_add(at)),
        SockFilter::new(JUMP_IF_AT_LEAST, 0, 1, u32::from(least)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// The opcodes of classic BPF that this needs (`linux/bpf_common.h`).
const LOAD_OCTET: u16 = 0x30;
const JUMP_IF_AT_LEAST: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;
/// `SKF_NET_OFF`: offsets from here on count from the network header.
const NETWORK_HEADER: u32 = (-0x10_0000_i32).cast_unsigned();
const TTL_AT: u32 = 8;
const HOP_LIMIT_AT: u32 = 7;
/// Octets of a datagram that are read: a control packet and the longest authentication section.
const LONGEST: usize = 64;

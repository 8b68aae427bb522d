//! Sending: a socket with a source port of its own for each session.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::listener::RETURN;
use super::{PORT_ONE_HOP, PORT_SEVERAL_HOPS};
use crate::bfd::{Hops, Path};

/// The socket of a session.
#[derive(Debug)]
pub(super) struct Sender {
    socket: Socket,
    port: u16,
    to: SockAddr,
}

impl Sender {
    /// A socket for this path, with a source port that no other session of this node has (RFC 5881 §4).
    pub(super) fn open(path: &Path, ports: &mut Ports) -> io::Result<Self> {
        let remote = destination(path);
        let socket = Socket::new(Domain::for_address(remote), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Nothing is to come here.
        socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?;
        if let Some(device) = &path.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        if remote.is_ipv4() {
            socket.set_ttl_v4(255)?;
            socket.set_tos_v4(CS6)?;
        } else {
            socket.set_unicast_hops_v6(255)?;
            socket.set_tclass_v6(CS6)?;
        }
        let port = ports.bind(&socket, |port| source(path, port))?;
        Ok(Self { socket, port, to: remote.into() })
    }

    /// Sends a packet.
    pub(super) fn send(&self, octets: &[u8]) -> io::Result<()> {
        self.socket.send_to(octets, &self.to).map(drop)
    }

    /// Gives the port back.
    pub(super) fn close(self, ports: &mut Ports) {
        ports.used.remove(&self.port);
    }
}

/// The source ports in use.
#[derive(Debug)]
pub(super) struct Ports {
    used: BTreeSet<u16>,
    next: u16,
}

impl Ports {
    /// None in use; the first one comes from the seed.
    pub(super) fn new(seed: u64) -> Self {
        let [low, high, ..] = seed.to_le_bytes();
        Self { used: BTreeSet::new(), next: u16::from_le_bytes([low, high]) | FIRST_PORT }
    }

    fn bind(&mut self, socket: &Socket, source: impl Fn(u16) -> SocketAddr) -> io::Result<u16> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..TRIES {
            let port = self.next;
            self.next = self.next.wrapping_add(1) | FIRST_PORT;
            if self.used.contains(&port) {
                continue;
            }
            match socket.bind(&source(port).into()) {
                Ok(()) => {
                    self.used.insert(port);
                    return Ok(port);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

fn destination(path: &Path) -> SocketAddr {
    let port = match path.hops {
        Hops::One => PORT_ONE_HOP,
        Hops::Several => PORT_SEVERAL_HOPS,
    };
    with_scope(path.remote, port, path)
}

fn source(path: &Path, port: u16) -> SocketAddr {
    let any = match path.remote {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    with_scope(path.local.unwrap_or(any), port, path)
}

/// A link-local address means something on its interface only.
fn with_scope(ip: IpAddr, port: u16, path: &Path) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, path.interface.unwrap_or_default()).into()
        }
        _ => SocketAddr::new(ip, port),
    }
}

/// The first of the ports of RFC 5881 §4; the last is 65535, so all of them have these bits.
const FIRST_PORT: u16 = 0xc000;
/// How many ports are tried.
const TRIES: usize = 0x4000;
/// DSCP CS6, network control (RFC 4594 §3.2).
const CS6: u32 = 48 << 2;

//! Opening connections and setting what BGP wants of them.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::SockaddrStorage;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use super::sys;
use crate::session::{Endpoints, PeerConfig, TtlPolicy};

/// Opens a connection as the peer's configuration says. The session limits how long that may take.
pub(super) async fn dial(config: PeerConfig) -> io::Result<TcpStream> {
    let remote = with_scope(&config)?;
    let socket = prepare(&config, remote)?;
    let stream = TcpSocket::from_std_stream(socket.into()).connect(remote).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn prepare(config: &PeerConfig, remote: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(device) = &config.bind_device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if let Some(key) = &config.md5 {
        sys::set_md5(socket.as_fd(), &remote.ip().into(), key.as_bytes())?;
    }
    mark_traffic(&socket, remote)?;
    configure(&SockRef::from(&socket), remote, config)?;
    if let Some(local) = config.local_address {
        let scope = match remote {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let local = match local {
            IpAddr::V4(_) => SocketAddr::new(local, 0),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, scope).into(),
        };
        socket.bind(&local.into())?;
    }
    Ok(socket)
}

/// Sets the options of a connection that is open, as far as they can be set then.
pub(super) fn configure_accepted(stream: &TcpStream, config: &PeerConfig) -> io::Result<()> {
    stream.set_nodelay(true)?;
    configure(&SockRef::from(stream), stream.peer_addr()?, config)
}

fn configure(socket: &SockRef<'_>, remote: SocketAddr, config: &PeerConfig) -> io::Result<()> {
    // A last resort (RFC 5482). Linux also counts the time a peer's window is closed, so it must be longer than
    // the send-hold time, which tells the peer why.
    let hold = config.hold_time.duration();
    let timeout = hold.and_then(|hold| Some(config.send_hold(hold)?.saturating_add(hold)));
    socket.set_tcp_user_timeout(timeout)?;
    let (send, least) = match config.ttl {
        TtlPolicy::System => return Ok(()),
        TtlPolicy::Exact(ttl) | TtlPolicy::Multihop(ttl) => (ttl, 0),
        TtlPolicy::Gtsm { hops } => (u8::MAX, u8::MAX - hops.max(1) + 1),
    };
    if remote.is_ipv4() {
        socket.set_ttl_v4(send.into())?;
    } else {
        socket.set_unicast_hops_v6(send.into())?;
    }
    sys::set_least_ttl(socket.as_fd(), remote.is_ipv4(), least)
}

/// DSCP CS6, network control (RFC 4594 §3.2).
pub(super) fn mark_traffic(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() { socket.set_tos_v4(CS6) } else { socket.set_tclass_v6(CS6) }
}

/// The peer's address; a link-local one without interface gets that of the bound device.
fn with_scope(config: &PeerConfig) -> io::Result<SocketAddr> {
    let SocketAddr::V6(v6) = config.remote else { return Ok(config.remote) };
    match &config.bind_device {
        Some(device) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            let index = if_nametoindex(device.as_str())?;
            Ok(SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into())
        }
        _ => Ok(config.remote),
    }
}

/// The ends of a connection, and the other addresses of the interface below it.
pub(super) fn endpoints(stream: &TcpStream, remote: SocketAddr) -> io::Result<Endpoints> {
    let local = stream.local_addr()?;
    let mut endpoints = Endpoints::new(local, remote);
    let addresses: Vec<_> = interface_addresses()?;
    let ip = local.ip().to_canonical();
    let Some(own) = addresses.iter().find(|address| address.ip == ip) else { return Ok(endpoints) };
    let same = |address: &&InterfaceAddress| address.interface == own.interface;
    for address in addresses.iter().filter(same) {
        match address.ip {
            IpAddr::V4(v4) if !v4.is_link_local() => {
                endpoints.interface_v4 = endpoints.interface_v4.or(Some(v4));
            }
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                // Only on IPv6 sessions: elsewhere routers do not know which link it belongs to, and FRR resets
                // the session.
                let on_link = ip.is_ipv6() && own.contains(remote.ip().to_canonical());
                endpoints.link_local = endpoints.link_local.or(Some(v6)).filter(|_| on_link);
            }
            IpAddr::V6(v6) if !v6.is_loopback() => {
                endpoints.interface_v6 = endpoints.interface_v6.or(Some(v6));
            }
            _ => {}
        }
    }
    Ok(endpoints)
}

struct InterfaceAddress {
    interface: String,
    ip: IpAddr,
    prefix: u32,
}

impl InterfaceAddress {
    fn contains(&self, other: IpAddr) -> bool {
        match (self.ip, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix.min(32)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix.min(128)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            _ => false,
        }
    }
}

fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let addresses = getifaddrs()?.filter_map(|entry| {
        let ip = ip_of(entry.address.as_ref()?)?;
        let prefix = match ip_of(entry.netmask.as_ref()?)? {
            IpAddr::V4(mask) => mask.to_bits().count_ones(),
            IpAddr::V6(mask) => mask.to_bits().count_ones(),
        };
        Some(InterfaceAddress { interface: entry.interface_name, ip, prefix })
    });
    Ok(addresses.collect())
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

const CS6: u32 = 48 << 2;

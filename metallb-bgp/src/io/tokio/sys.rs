//! The socket options that no safe crate has.

pub(super) mod ao;

use std::io;
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnetwork::IpNetwork;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct TcpMd5Sig {
    address: [u8; 128],
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    interface: i32,
    key: [u8; MAX_KEY],
}

/// Sets the TCP MD5 key for every host of a prefix (RFC 2385); an empty key removes it.
///
/// # Errors
/// What the kernel says; [`io::ErrorKind::InvalidInput`] for a key that is too long.
pub(super) fn set_md5(socket: BorrowedFd<'_>, hosts: &IpNetwork, key: &[u8]) -> io::Result<()> {
    let mut option = TcpMd5Sig {
        address: socket_address(hosts.ip()),
        flags: 0,
        prefix_len: 0,
        key_len: u16::try_from(key.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        interface: 0,
        key: [0; MAX_KEY],
    };
    let target = option.key.get_mut(..key.len()).ok_or(io::ErrorKind::InvalidInput)?;
    target.copy_from_slice(key);
    if is_host(hosts) {
        return set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &option);
    }
    option.flags = FLAG_PREFIX;
    option.prefix_len = hosts.prefix();
    set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG_EXT, &option)
}

/// Drops packets that arrive with a lower TTL or hop limit (RFC 5082).
///
/// # Errors
/// What the kernel says.
pub(super) fn set_least_ttl(socket: BorrowedFd<'_>, v4: bool, least: u8) -> io::Result<()> {
    let value = libc::c_int::from(least);
    if v4 {
        set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &value)
    } else {
        set(socket, libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT, &value)
    }
}

/// Sends packets with this TTL or hop limit; `None` is what the system uses by default.
///
/// # Errors
/// What the kernel says.
pub(super) fn set_ttl(socket: BorrowedFd<'_>, v4: bool, ttl: Option<u8>) -> io::Result<()> {
    let value = ttl.map_or(SYSTEM_DEFAULT, libc::c_int::from);
    if v4 {
        set(socket, libc::IPPROTO_IP, libc::IP_TTL, &value)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &value)
    }
}

/// Keeps the first packet of every connection that is accepted, for [`first_ttl`].
///
/// # Errors
/// What the kernel says.
pub(super) fn keep_first_packets(listener: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    set(listener, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, &on)
}

/// The TTL or hop limit with which the first packet of an accepted connection arrived; `None` when it was not kept:
/// under a flood of connections the kernel has no room for it.
///
/// # Errors
/// What the kernel says.
pub(super) fn first_ttl(socket: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let mut headers = [[0_u8; FIRST_PACKET]];
    get(socket, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, &mut headers)?;
    let [header] = headers;
    Ok(match header[0] >> 4 {
        4 => Some(header[8]),
        6 => Some(header[7]),
        _ => None,
    })
}

/// Whether the other end of a connection has closed it, or it has failed; there may be more to read.
pub(super) fn is_ended(socket: BorrowedFd<'_>) -> bool {
    let asked = PollFlags::from_bits_retain(libc::POLLRDHUP);
    let mut asked = [PollFd::new(socket, asked)];
    // When the kernel does not say, it is found out by reading, later.
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// The beginning of `struct tcp_info` of `linux/tcp.h`.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
struct TcpInfo {
    state: u8,
    congestion_state: u8,
    /// Times the retransmission timer has expired since the peer last acknowledged something.
    retransmits: u8,
    rest: [u8; 5],
    timeouts: [u32; 2],
    segment_size: u32,
    received_segment_size: u32,
    unacknowledged: u32,
}

/// How many segments the peer has not acknowledged though they were sent again, and how long one may be; `None` where
/// nothing has been sent in vain.
///
/// # Errors
/// What the kernel says.
pub(super) fn sent_in_vain(socket: BorrowedFd<'_>) -> io::Result<Option<(u32, u32)>> {
    let mut infos = [TcpInfo::default()];
    get(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut infos)?;
    let [info] = infos;
    let in_vain = info.retransmits > 0 && info.unacknowledged > 0;
    Ok(in_vain.then_some((info.unacknowledged, info.segment_size)))
}

/// `struct cmsghdr` with the `struct in_pktinfo` that follows it.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
struct PacketInfo {
    length: libc::size_t,
    level: i32,
    kind: i32,
    interface: i32,
    /// Two addresses, and on machines of 64 bits the padding behind them.
    rest: [i32; PACKET_INFO_REST],
}

/// The index of the interface through which an accepted connection was opened, of an interface of a VRF that of the
/// VRF; 0 where the kernel does not say. It keeps that as the interface for multicasts, which TCP has no other use for.
///
/// # Errors
/// What the kernel says.
pub(super) fn arrival(socket: BorrowedFd<'_>, v4: bool) -> io::Result<u32> {
    let interface = if v4 {
        let on: libc::c_int = 1;
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, &on)?;
        let mut infos =
            [PacketInfo { length: 0, level: 0, kind: 0, interface: 0, rest: [0; PACKET_INFO_REST] }];
        get(socket, libc::IPPROTO_IP, libc::IP_PKTOPTIONS, &mut infos)?;
        let [info] = infos;
        let is_told = info.level == libc::IPPROTO_IP && info.kind == libc::IP_PKTINFO;
        if is_told { info.interface } else { 0 }
    } else {
        let mut interface = [0_i32];
        get(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, &mut interface)?;
        interface[0]
    };
    Ok(u32::try_from(interface).unwrap_or_default())
}

/// Has the runtime say when a socket can be read.
///
/// # Errors
/// What the system says.
pub(super) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a socket owns its descriptor and gives the same one as long as it lives; nothing takes it out of `AsyncFd`
    // or closes it in there.
    unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }.map_err(io::Error::from)
}

/// Has an ICMPv6 socket receive these types of messages only (RFC 3542 §3.2).
///
/// # Errors
/// What the kernel says.
pub(super) fn pass_icmpv6(socket: BorrowedFd<'_>, types: &[u8]) -> io::Result<()> {
    // A set bit keeps a type out.
    let mut filter = [u32::MAX; 8];
    for kind in types {
        if let Some(word) = filter.get_mut(usize::from(kind >> 5)) {
            *word &= !(1 << (kind & 31));
        }
    }
    set(socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter)
}

/// Binds a socket to the interface of this index (`SO_BINDTOIFINDEX`), whatever its name is or becomes.
///
/// # Errors
/// What the kernel says.
pub(super) fn bind_interface(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let index = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    set(socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &index)
}

fn is_host(hosts: &IpNetwork) -> bool {
    hosts.prefix() == if hosts.is_ipv4() { 32 } else { 128 }
}

/// An address in the form of `struct sockaddr_storage`: family in the byte order of the machine, port 0.
fn socket_address(ip: IpAddr) -> [u8; 128] {
    let mut storage = [0; 128];
    let (family, at, octets) = match ip {
        IpAddr::V4(v4) => (libc::AF_INET, 4, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, 8, v6.octets().to_vec()),
    };
    let family = u16::try_from(family).unwrap_or_default().to_ne_bytes();
    let parts = [(0, family.as_slice()), (at, octets.as_slice())];
    for (at, part) in parts {
        if let Some(target) = storage.get_mut(at..at + part.len()) {
            target.copy_from_slice(part);
        }
    }
    storage
}

fn set<T>(socket: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: `value` points to a live `T` of `length` octets for the whole call, `T` is one of the structures
    // the option takes, and the kernel only reads it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for an option that is a list of `T`, with `values` as the question. The kernel takes the length of one for
/// the length of the option.
///
/// The kernel writes one `T`, or as many as a count in the first one says: the caller must not let it say more than
/// there are.
fn get<T>(socket: BorrowedFd<'_>, level: i32, name: i32, values: &mut [T]) -> io::Result<()>
where
    T: FromBytes + IntoBytes + Immutable,
{
    let mut length = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    if values.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let place = values.as_mut_ptr().cast();
    // SAFETY: `place` points to at least one `T`, and to as many as the caller lets the kernel write, for the whole
    // call; any octets are a `T`. `length` is the length of one `T`.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, place, &raw mut length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `linux/icmpv6.h`.
const ICMP6_FILTER: i32 = 1;
const MAX_KEY: usize = 80;
/// Room for the headers of a first packet: 60 octets of IPv4 or 40 of IPv6 with extensions, 60 of TCP.
const FIRST_PACKET: usize = 512;
/// The words of a [`PacketInfo`] behind the interface: there is no padding inside it.
const PACKET_INFO_REST: usize = if size_of::<libc::size_t>() == 8 { 3 } else { 2 };
/// A TTL of −1.
const SYSTEM_DEFAULT: libc::c_int = -1;
const FLAG_PREFIX: u8 = 1;
const IPV6_MINHOPCOUNT: i32 = 73;

//! The socket options that no safe crate has.

use std::io;
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnetwork::IpNetwork;

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
    let single = hosts.prefix() == if hosts.is_ipv4() { 32 } else { 128 };
    if single {
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

const MAX_KEY: usize = 80;
const FLAG_PREFIX: u8 = 1;
const IPV6_MINHOPCOUNT: i32 = 73;

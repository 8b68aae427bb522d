//! TCP-AO (RFC 5925), as `linux/tcp.h` has it since Linux 6.7.

use std::io;
use std::os::fd::BorrowedFd;

use ipnetwork::IpNetwork;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::{MAX_KEY, get, set, socket_address};
use crate::session::{AoAlgorithm, AoKey};

/// `struct tcp_ao_add`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C, align(8))]
struct Add {
    address: [u8; 128],
    algorithm: [u8; 64],
    interface: i32,
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    mac_len: u8,
    key_flags: u8,
    key_len: u8,
    key: [u8; MAX_KEY],
}

/// `struct tcp_ao_del`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C, align(8))]
struct Delete {
    address: [u8; 128],
    interface: i32,
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    current: u8,
    next: u8,
    key_flags: u8,
}

/// `struct tcp_ao_info_opt`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C, align(8))]
struct Info {
    flags: u32,
    reserved: u16,
    current: u8,
    next: u8,
    good: u64,
    bad: u64,
    key_not_found: u64,
    unsigned: u64,
    dropped_icmp: u64,
}

/// `struct tcp_ao_getsockopt`.
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(8))]
struct Listed {
    address: [u8; 128],
    algorithm: [u8; 64],
    key: [u8; MAX_KEY],
    count: u32,
    flags: u16,
    send_id: u8,
    receive_id: u8,
    prefix_len: u8,
    mac_len: u8,
    key_flags: u8,
    key_len: u8,
    interface: i32,
    good: u64,
    bad: u64,
}

/// A key that is on a socket.
#[derive(Clone)]
pub(in super::super) struct Present {
    address: [u8; 128],
    prefix_len: u8,
    pub(in super::super) send_id: u8,
    pub(in super::super) receive_id: u8,
}

impl Present {
    /// The key as it was added for these hosts.
    pub(in super::super) fn of(hosts: &IpNetwork, key: &AoKey) -> Self {
        Self {
            address: socket_address(hosts.network()),
            prefix_len: hosts.prefix(),
            send_id: key.send_id(),
            receive_id: key.receive_id(),
        }
    }
}

/// How a key is deleted.
pub(in super::super) enum Deletion<'a> {
    /// From a listener, without waiting for packets that are just being verified.
    Listener,
    /// From a connection that does not use it.
    Unused,
    /// From a connection even if it uses it: from now on it uses this one.
    Forced(&'a AoKey),
}

/// Adds a key for every host of a prefix; `first` makes it the one a connection begins with, which a listener cannot
/// be told.
///
/// # Errors
/// What the kernel says.
pub(in super::super) fn add(
    socket: BorrowedFd<'_>,
    hosts: &IpNetwork,
    key: &AoKey,
    first: bool,
) -> io::Result<()> {
    let mut option = Add::new_zeroed();
    option.address = socket_address(hosts.network());
    option.prefix_len = hosts.prefix();
    let name = match key.algorithm() {
        AoAlgorithm::HmacSha1 => "hmac(sha1)",
        AoAlgorithm::Aes128Cmac => "cmac(aes128)",
    };
    fill(&mut option.algorithm, name.as_bytes())?;
    if first {
        option.flags = SET_CURRENT | SET_NEXT;
    }
    option.send_id = key.send_id();
    option.receive_id = key.receive_id();
    option.mac_len = MAC_LEN;
    option.key_len = u8::try_from(key.secret().len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    fill(&mut option.key, key.secret())?;
    set(socket, libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &option)
}

/// Deletes a key.
///
/// # Errors
/// What the kernel says; [`io::ErrorKind::ResourceBusy`] when a connection uses it.
pub(in super::super) fn delete(socket: BorrowedFd<'_>, key: &Present, how: &Deletion<'_>) -> io::Result<()> {
    let mut option = Delete::new_zeroed();
    option.address = key.address;
    option.prefix_len = key.prefix_len;
    option.send_id = key.send_id;
    option.receive_id = key.receive_id;
    match how {
        Deletion::Listener => option.flags = DELETE_ASYNC,
        Deletion::Unused => {}
        Deletion::Forced(other) => {
            option.flags = SET_CURRENT | SET_NEXT;
            option.current = other.send_id();
            option.next = other.receive_id();
        }
    }
    set(socket, libc::IPPROTO_TCP, TCP_AO_DEL_KEY, &option)
}

/// Whether the socket has TCP-AO keys.
///
/// # Errors
/// What the kernel says: `ENOPROTOOPT` when it has no TCP-AO.
pub(in super::super) fn is_on(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut info = [Info::new_zeroed()];
    match get(socket, libc::IPPROTO_TCP, TCP_AO_INFO, &mut info) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks the peer of a connection to sign with this key (RNextKeyID).
///
/// # Errors
/// What the kernel says.
pub(in super::super) fn ask_for(socket: BorrowedFd<'_>, key: &AoKey) -> io::Result<()> {
    let mut info = Info::new_zeroed();
    info.flags = SET_NEXT;
    info.next = key.receive_id();
    set(socket, libc::IPPROTO_TCP, TCP_AO_INFO, &info)
}

/// The keys of a socket.
///
/// # Errors
/// What the kernel says.
pub(in super::super) fn keys(socket: BorrowedFd<'_>) -> io::Result<Vec<Present>> {
    let mut room = EXPECTED_KEYS;
    loop {
        let mut list = vec![Listed::new_zeroed(); room];
        let first = list.first_mut().ok_or(io::ErrorKind::InvalidInput)?;
        first.count = u32::try_from(room).map_err(|_| io::ErrorKind::InvalidInput)?;
        first.flags = GET_ALL;
        get(socket, libc::IPPROTO_TCP, TCP_AO_GET_KEYS, &mut list)?;
        let matched = list.first().map_or(0, |first| first.count as usize);
        if matched <= room {
            list.truncate(matched);
            return Ok(list.iter().map(present).collect());
        }
        room = matched;
    }
}

fn present(listed: &Listed) -> Present {
    Present {
        address: listed.address,
        prefix_len: listed.prefix_len,
        send_id: listed.send_id,
        receive_id: listed.receive_id,
    }
}

fn fill(field: &mut [u8], value: &[u8]) -> io::Result<()> {
    field.get_mut(..value.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(value);
    Ok(())
}

/// The flag for the `n`th bit field of a `__u32`: compilers begin at the low end on little-endian machines, at the
/// high end on others.
const fn bit(n: u32) -> u32 {
    if cfg!(target_endian = "little") { 1 << n } else { 1 << (31 - n) }
}

const TCP_AO_ADD_KEY: i32 = 38;
const TCP_AO_DEL_KEY: i32 = 39;
const TCP_AO_INFO: i32 = 40;
const TCP_AO_GET_KEYS: i32 = 41;

const SET_CURRENT: u32 = bit(0);
const SET_NEXT: u32 = bit(1);
const DELETE_ASYNC: u32 = bit(2);
/// The third bit field of a `__u16`.
const GET_ALL: u16 = if cfg!(target_endian = "little") { 1 << 2 } else { 1 << 13 };
/// 96 bits (RFC 5926 §3.2).
const MAC_LEN: u8 = 12;
/// Room for the keys of one peer, usually; more are asked for again.
const EXPECTED_KEYS: usize = 4;

#[cfg(test)]
mod tests {
    use std::mem::{align_of, offset_of, size_of};

    use super::*;

    // req: T2
    #[test]
    fn the_structures_are_laid_out_as_in_the_kernels_header() {
        assert_eq!((size_of::<Add>(), align_of::<Add>()), (288, 8));
        assert_eq!(
            [
                offset_of!(Add, algorithm),
                offset_of!(Add, interface),
                offset_of!(Add, flags),
                offset_of!(Add, reserved),
                offset_of!(Add, prefix_len),
                offset_of!(Add, send_id),
                offset_of!(Add, receive_id),
                offset_of!(Add, mac_len),
                offset_of!(Add, key_flags),
                offset_of!(Add, key_len),
                offset_of!(Add, key),
            ],
            [128, 192, 196, 200, 202, 203, 204, 205, 206, 207, 208]
        );
        assert_eq!((size_of::<Delete>(), align_of::<Delete>()), (144, 8));
        assert_eq!(
            [
                offset_of!(Delete, interface),
                offset_of!(Delete, flags),
                offset_of!(Delete, reserved),
                offset_of!(Delete, prefix_len),
                offset_of!(Delete, send_id),
                offset_of!(Delete, receive_id),
                offset_of!(Delete, current),
                offset_of!(Delete, next),
                offset_of!(Delete, key_flags),
            ],
            [128, 132, 136, 138, 139, 140, 141, 142, 143]
        );
        assert_eq!((size_of::<Info>(), align_of::<Info>()), (48, 8));
        assert_eq!(
            [
                offset_of!(Info, reserved),
                offset_of!(Info, current),
                offset_of!(Info, next),
                offset_of!(Info, good),
                offset_of!(Info, bad),
                offset_of!(Info, key_not_found),
                offset_of!(Info, unsigned),
                offset_of!(Info, dropped_icmp),
            ],
            [4, 6, 7, 8, 16, 24, 32, 40]
        );
        assert_eq!((size_of::<Listed>(), align_of::<Listed>()), (304, 8));
        assert_eq!(
            [
                offset_of!(Listed, algorithm),
                offset_of!(Listed, key),
                offset_of!(Listed, count),
                offset_of!(Listed, flags),
                offset_of!(Listed, send_id),
                offset_of!(Listed, receive_id),
                offset_of!(Listed, prefix_len),
                offset_of!(Listed, mac_len),
                offset_of!(Listed, key_flags),
                offset_of!(Listed, key_len),
                offset_of!(Listed, interface),
                offset_of!(Listed, good),
                offset_of!(Listed, bad),
            ],
            [128, 192, 272, 276, 278, 279, 280, 281, 282, 283, 284, 288, 296]
        );
    }
}

//! The only unsafe code of the crate: system calls that neither the standard library nor `socket2`
//! offers in safe form.
#![expect(unsafe_code, reason = "batched packet socket calls and link-layer addresses have no safe wrapper")]

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, c_uint, iovec, mmsghdr, sockaddr_ll, socklen_t};
use socket2::{SockAddr, SockAddrStorage, Socket};
use tokio::io::unix::AsyncFd;

/// Frames that one call receives or sends at most.
pub(super) const BATCH: usize = 32;
/// Octets kept of a received frame: the largest Ethernet frame without jumbo frames, and tags.
pub(super) const FRAME_ROOM: usize = 1536;

/// Registers a socket with the runtime.
pub(super) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: `Socket` owns its descriptor, always returns the same one, and closes it when dropped; the
    // only access to it is through shared references handed out by `AsyncFd`, which cannot replace it.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

/// The address that binds a packet socket to one protocol (host byte order) on one interface.
pub(super) fn link_layer_address(protocol: u16, index: u32) -> io::Result<SockAddr> {
    let index = c_int::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is a plain C structure and smaller than `sockaddr_storage`, of which all
    // octets are initialised; nothing else refers to `storage`.
    let address = unsafe { storage.view_as::<sockaddr_ll>() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index;
    let length = socklen_t::try_from(mem::size_of::<sockaddr_ll>()).unwrap_or_default();
    // SAFETY: `storage` holds a `sockaddr_ll` of this length, with its family set.
    Ok(unsafe { SockAddr::new(storage, length) })
}

/// Room for one batch of received frames.
#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    room: Vec<[u8; FRAME_ROOM]>,
    lengths: [usize; BATCH],
}

impl ReceiveBuffer {
    pub(super) fn new() -> Self {
        Self { room: vec![[0; FRAME_ROOM]; BATCH], lengths: [0; BATCH] }
    }

    /// Receives the frames that are there, without waiting; at least one, or an error.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut parts = NO_PARTS;
        for (part, room) in parts.iter_mut().zip(&mut self.room) {
            *part = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        }
        let mut headers = parts.each_mut().map(header);
        let count = c_uint::try_from(self.room.len().min(BATCH)).unwrap_or(0);
        // SAFETY: the first `count` headers point to elements of `parts`, which point to elements of `room`
        // with their true length; all of them outlive the call. No name, control data or timeout is given.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(received) {
            *length = usize::try_from(header.msg_len).unwrap_or(FRAME_ROOM).min(FRAME_ROOM);
        }
        Ok(received)
    }

    /// One of the frames received last; longer ones are cut at [`FRAME_ROOM`].
    pub(super) fn frame(&self, number: usize) -> &[u8] {
        let room = self.room.get(number).map_or(&[][..], |room| &room[..]);
        let length = self.lengths.get(number).copied().unwrap_or(0);
        room.get(..length).unwrap_or_default()
    }
}

/// Sends frames until one cannot be sent now; returns how many were sent. An error only when the first
/// one failed.
pub(super) fn send_batch(socket: BorrowedFd<'_>, frames: &[Vec<u8>]) -> io::Result<usize> {
    if let [frame] = frames {
        return send(socket, frame).map(|()| 1);
    }
    let mut parts = NO_PARTS;
    for (part, frame) in parts.iter_mut().zip(frames) {
        *part = iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
    }
    let mut headers = parts.each_mut().map(header);
    let count = c_uint::try_from(frames.len().min(BATCH)).unwrap_or(0);
    // SAFETY: the first `count` headers point to elements of `parts` that describe `frames`, which the
    // kernel only reads; all of them outlive the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn send(socket: BorrowedFd<'_>, frame: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `frame.len()` octets of `frame`.
    let sent =
        unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn header(part: &mut iovec) -> mmsghdr {
    // SAFETY: a message header of zeroes is valid: no name, no parts, no control data.
    let mut header: mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

const NO_PARTS: [iovec; BATCH] = [iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];

//! Packet sockets: whole Ethernet frames of one interface.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::filter::Filter;
use super::sys::{self, ReceiveBuffer};
use super::{Error, Operation};
use crate::responder::InterfaceIndex;

/// A packet socket on one interface, with its filter in the kernel.
///
/// The filter is attached before the socket is bound, so that not one unwanted frame comes through.
/// Needs a tokio runtime with IO enabled, and `CAP_NET_RAW` in the user namespace that owns the network
/// namespace.
#[derive(Debug)]
pub struct PacketSocket {
    fd: AsyncFd<Socket>,
}

impl PacketSocket {
    /// Opens a socket on the interface with this index.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] without `CAP_NET_RAW`, otherwise [`Error::Io`] with the step that
    /// failed.
    pub fn open(interface: InterfaceIndex, filter: Filter) -> Result<Self, Error> {
        let socket = open_unbound()?;
        let step = |operation| move |error: io::Error| Error::io(operation, &error);
        socket.attach_filter(&filter.program()).map_err(step(Operation::AttachFilter))?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER).map_err(step(Operation::OpenSocket))?;
        let address =
            sys::link_layer_address(filter.protocol(), interface.0).map_err(step(Operation::Bind))?;
        socket.bind(&address).map_err(step(Operation::Bind))?;
        let fd = sys::register(socket).map_err(step(Operation::OpenSocket))?;
        Ok(Self { fd })
    }

    /// Waits for the next frame and copies it into `room`; a longer frame is cut. Safe to cancel.
    ///
    /// # Errors
    /// Those of `recv(2)`; `ENETDOWN` once after the interface went down.
    pub async fn recv(&self, room: &mut [u8]) -> io::Result<usize> {
        self.fd
            .async_io(tokio::io::Interest::READABLE, |socket| {
                use std::io::Read;
                let mut socket: &Socket = socket;
                socket.read(room)
            })
            .await
    }

    /// Sends one whole Ethernet frame. Safe to cancel.
    ///
    /// # Errors
    /// Those of `send(2)`.
    pub async fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.fd.async_io(tokio::io::Interest::WRITABLE, |socket| socket.send(frame)).await.map(|_| ())
    }

    /// Copies the next frame into `room`, without waiting for one; a longer frame is cut.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none, otherwise those of [`PacketSocket::recv`].
    pub fn try_recv(&self, room: &mut [u8]) -> io::Result<usize> {
        use std::io::Read;
        let mut socket = self.fd.get_ref();
        socket.read(room)
    }

    /// Sends one whole Ethernet frame, without waiting for room in the queue.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the queue is full, otherwise those of `send(2)`.
    pub fn try_send(&self, frame: &[u8]) -> io::Result<()> {
        self.fd.get_ref().send(frame).map(|_| ())
    }

    /// Receives the frames that are there.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReceiveBuffer,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            match buffer.receive(self.fd.get_ref().as_fd()) {
                Ok(count) => {
                    // Fewer than there is room for: the queue was empty then, and a later frame makes the
                    // socket ready anew.
                    if count < sys::BATCH {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Receives the frames that are there, without telling the runtime.
    pub(super) fn try_receive(&self, buffer: &mut ReceiveBuffer) -> io::Result<usize> {
        buffer.receive(self.fd.get_ref().as_fd())
    }

    /// Sends as many frames as the kernel takes now.
    pub(super) fn send_batch(&self, frames: &[Vec<u8>]) -> io::Result<usize> {
        sys::send_batch(self.fd.get_ref().as_fd(), frames)
    }
}

/// A packet socket that receives nothing yet.
pub(super) fn open_unbound() -> Result<Socket, Error> {
    let kind = Type::RAW.nonblocking().cloexec();
    Socket::new(Domain::PACKET, kind, Some(Protocol::from(0))).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Error::MissingCapability { capability: "CAP_NET_RAW" },
        _ => Error::io(Operation::OpenSocket, &error),
    })
}

/// Octets of kernel memory for received frames: some thousand requests that arrive at once.
const RECEIVE_BUFFER: usize = 2 << 20;

//! Listening sockets.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ipnetwork::IpNetwork;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use super::sys;
use super::{StartError, socket};
use crate::session::Md5Key;

/// All listening sockets of a speaker.
pub(super) struct Listeners {
    sockets: Vec<TcpListener>,
    /// Nothing is accepted before its end.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Listeners {
    /// Listens on these addresses.
    pub(super) fn open(addresses: &[SocketAddr]) -> Result<Self, StartError> {
        let open = |address: &SocketAddr| {
            listen(*address).map_err(|source| StartError::Listen { address: *address, source })
        };
        let sockets = addresses.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { sockets, pause: None })
    }

    /// The addresses with the ports the system chose.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    pub(super) fn close(&mut self) {
        self.sockets.clear();
    }

    /// The next connection somebody opened.
    pub(super) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(TcpStream, SocketAddr)> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        for listener in &self.sockets {
            while let Poll::Ready(accepted) = listener.poll_accept(cx) {
                match accepted {
                    Ok(accepted) => return Poll::Ready(accepted),
                    Err(error) if is_about_the_connection(&error) => {}
                    Err(error) => {
                        // Most likely there are too many open files, which may pass.
                        tracing::warn!(%error, "no connection can be accepted for now");
                        let pause = self.pause.insert(Box::pin(sleep(PAUSE)));
                        ready!(pause.as_mut().poll(cx));
                    }
                }
            }
        }
        Poll::Pending
    }

    /// Demands this key from a peer; returns what went wrong.
    pub(super) fn set_key(&self, peer: IpAddr, key: Option<&Md5Key>) -> Option<io::ErrorKind> {
        key.and_then(|key| self.each(&IpNetwork::from(peer), Some(key)))
    }

    /// Demands no key from a peer any more.
    pub(super) fn remove_key(&self, peer: IpAddr, key: Option<&Md5Key>) {
        if key.is_some() {
            self.log_removal(&IpNetwork::from(peer));
        }
    }

    /// Demands this key from every host of a prefix; returns what went wrong.
    pub(super) fn set_range_key(&self, prefix: IpNetwork, key: Option<&Md5Key>) -> Option<io::ErrorKind> {
        key.and_then(|key| self.each(&prefix, Some(key)))
    }

    /// Demands no key from the hosts of a prefix any more.
    pub(super) fn remove_range_key(&self, prefix: IpNetwork, key: Option<&Md5Key>) {
        if key.is_some() {
            self.log_removal(&prefix);
        }
    }

    fn log_removal(&self, prefix: &IpNetwork) {
        if let Some(kind) = self.each(prefix, None) {
            tracing::warn!(%prefix, error = %kind, "a TCP MD5 key could not be removed from a listener");
        }
    }

    /// Sets a key on the listeners of the prefix's family.
    fn each(&self, prefix: &IpNetwork, key: Option<&Md5Key>) -> Option<io::ErrorKind> {
        self.sockets
            .iter()
            .filter(|listener| {
                listener.local_addr().is_ok_and(|address| address.is_ipv4() == prefix.is_ipv4())
            })
            .find_map(|listener| {
                sys::set_md5(listener.as_fd(), prefix, key.map_or(&[], Md5Key::as_bytes)).err()
            })
            .map(|error| error.kind())
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // One socket per family: a peer's address and its key then have one form only.
        socket.set_only_v6(true)?;
    }
    socket::mark_traffic(&socket, address)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether accepting failed because of the connection, not of the listener, so that the next one may work.
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

const BACKLOG: i32 = 128;
/// How long to wait after accepting failed.
const PAUSE: Duration = Duration::from_millis(100);

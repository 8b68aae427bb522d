//! Listening sockets.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ipnetwork::IpNetwork;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use super::authenticate::{self, Use};
use super::demand::{Change, Demands, Owner};
use super::{StartError, socket, sys};
use crate::session::{Authentication, AuthenticationError};

/// All listening sockets of a speaker.
pub(super) struct Listeners {
    sockets: Vec<TcpListener>,
    /// Who demands which keys.
    demands: Demands,
    /// How long segments may be, for those that limit them. Who connects is known too late: the smallest size counts.
    segments: BTreeMap<Owner, u16>,
    /// Nothing is accepted before its end.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Listeners {
    /// Listens on these addresses.
    pub(super) fn open(addresses: &[SocketAddr]) -> Result<Self, StartError> {
        let open = |address: &SocketAddr| {
            listen(*address).map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied => StartError::Privileged { address: *address },
                _ => StartError::Listen { address: *address, source },
            })
        };
        let sockets = addresses.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { sockets, demands: Demands::default(), segments: BTreeMap::new(), pause: None })
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

    /// Connections that wait to be accepted now, as many as can have waited, whether or not the runtime has noticed them.
    pub(super) fn waiting(&self) -> Vec<(TcpStream, SocketAddr)> {
        let mut all = Vec::new();
        for listener in &self.sockets {
            // An error ends it: if it lasts, the next turn of accepting meets it, too.
            all.extend(std::iter::from_fn(|| accept(listener).ok()).take(WAITING));
        }
        all
    }

    /// Limits the segments of connections that are accepted from now on, instead of how the owner did before; `None`
    /// leaves them to the others and the system.
    pub(super) fn limit_segments(&mut self, owner: &Owner, largest: Option<u16>) {
        let before = self.segments.values().min().copied();
        match largest {
            Some(size) => self.segments.insert(owner.clone(), size),
            None => self.segments.remove(owner),
        };
        let now = self.segments.values().min().copied();
        if now == before {
            return;
        }
        for listener in &self.sockets {
            // Zero is what a socket begins with.
            if let Err(error) = SockRef::from(listener).set_tcp_mss(now.unwrap_or(0).into()) {
                tracing::warn!(%error, "the size of TCP segments cannot be set, peers connect without the limit");
            }
        }
    }

    /// Demands that the hosts of a prefix are authenticated like this, instead of what the owner demanded before.
    /// Without listeners there is nobody who could disagree about it.
    pub(super) fn demand(
        &mut self,
        owner: &Owner,
        hosts: IpNetwork,
        authentication: &Authentication,
    ) -> Result<(), AuthenticationError> {
        if self.sockets.is_empty() {
            return Ok(());
        }
        let sockets = &self.sockets;
        self.demands.demand(owner, hosts, authentication, |change| apply(sockets, change))
    }

    /// The owner demands nothing any more.
    pub(super) fn release(&mut self, owner: &Owner) {
        self.limit_segments(owner, None);
        let sockets = &self.sockets;
        self.demands.release(owner, |change| apply(sockets, change));
    }

    /// Why connections to an owner cannot be accepted.
    pub(super) fn refusal(&self, owner: &Owner) -> Option<AuthenticationError> {
        self.demands.refusal(owner)
    }
}

fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, address) = SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    let address = address.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((TcpStream::from_std(socket.into())?, address))
}

/// Does a change on the listeners of the prefix's family.
fn apply(sockets: &[TcpListener], change: &Change<'_>) -> Result<(), AuthenticationError> {
    let of_family = |listener: &&TcpListener| {
        listener.local_addr().is_ok_and(|address| address.is_ipv4() == change.hosts.is_ipv4())
    };
    sockets.iter().filter(of_family).try_for_each(|listener| {
        let socket = listener.as_fd();
        if change.install {
            return authenticate::install(socket, &change.hosts, change.authentication, Use::Listen);
        }
        authenticate::remove(socket, &change.hosts, change.authentication)
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // One socket per family: a peer's address and its key then have one form only.
        socket.set_only_v6(true)?;
    }
    socket::mark_traffic(&socket, address)?;
    sys::keep_first_packets(socket.as_fd())?;
    // The answer to a peer's first packet is on its way before it is known which peer that is, and one with TTL
    // security takes nothing less.
    sys::set_ttl(socket.as_fd(), address.is_ipv4(), Some(u8::MAX))?;
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
/// As many as that, and the one that the kernel takes beyond it.
const WAITING: usize = 129;
/// How long to wait after accepting failed.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    // req: X5
    #[tokio::test]
    async fn the_smallest_size_of_segments_counts_for_those_who_connect() {
        let mut listeners = Listeners::open(&[SocketAddr::from(([127, 0, 0, 1], 0))]).unwrap();
        let address = listeners.addresses()[0];
        let size = || {
            let stream = std::net::TcpStream::connect(address).unwrap();
            SockRef::from(&stream).tcp_mss().unwrap()
        };
        let owners = ["a", "b"].map(|name| Owner::Peer(name.into()));
        listeners.limit_segments(&owners[0], Some(900));
        listeners.limit_segments(&owners[1], Some(600));
        assert!(size() <= 600);
        listeners.release(&owners[1]);
        assert!((601..=900).contains(&size()));
        listeners.release(&owners[0]);
        assert!(size() > 900, "as the system wants it");
    }
}

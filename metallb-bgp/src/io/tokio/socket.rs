//! Opening connections and setting what BGP wants of them.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use super::authenticate::{self, Use};
use super::sys;
use crate::session::{PeerConfig, SocketError, SocketStep, TtlPolicy};

/// Opens a connection as the peer's configuration says. The session limits how long that may take. Errors are
/// [`SocketError`] or [`AuthenticationError`](crate::session::AuthenticationError) inside.
pub(super) async fn dial(config: PeerConfig) -> io::Result<TcpStream> {
    let remote = with_scope(&config).map_err(at(SocketStep::FindInterface))?;
    let socket = prepare(&config, remote)?;
    let connection = TcpSocket::from_std_stream(socket.into()).connect(remote).await;
    let stream = connection.map_err(at(SocketStep::Connect))?;
    stream.set_nodelay(true).map_err(at(SocketStep::SetOptions))?;
    Ok(stream)
}

/// The error with the step it came in.
pub(super) fn at(step: SocketStep) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), SocketError::new(step, &error))
}

fn prepare(config: &PeerConfig, remote: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP));
    let socket = socket.map_err(at(SocketStep::Open))?;
    socket.set_nonblocking(true).map_err(at(SocketStep::Open))?;
    if let Some(device) = &config.bind_device {
        socket.bind_device(Some(device.as_bytes())).map_err(at(SocketStep::BindDevice))?;
    }
    authenticate::install(socket.as_fd(), &remote.ip().into(), &config.authentication, Use::Dial)
        .map_err(io::Error::other)?;
    let options = mark_traffic(&socket, remote);
    let options = options.and_then(|()| configure(&SockRef::from(&socket), remote, config));
    options.map_err(at(SocketStep::SetOptions))?;
    if let Some(mss) = config.tcp_mss {
        socket.set_tcp_mss(mss.into()).map_err(at(SocketStep::SetOptions))?;
    }
    if let Some(local) = config.local_address {
        let scope = match remote {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let local = match local {
            IpAddr::V4(_) => SocketAddr::new(local, 0),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, scope).into(),
        };
        socket.bind(&local.into()).map_err(at(SocketStep::BindAddress))?;
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
        TtlPolicy::System => (None, 0),
        TtlPolicy::Exact(ttl) | TtlPolicy::Multihop(ttl) => (Some(ttl), 0),
        TtlPolicy::Gtsm { hops } => (Some(u8::MAX), least_ttl(hops)),
    };
    sys::set_ttl(socket.as_fd(), remote.is_ipv4(), send)?;
    sys::set_least_ttl(socket.as_fd(), remote.is_ipv4(), least)
}

/// Whether an accepted connection began near enough for TTL security: what came before its options were set could
/// have come from anywhere. Where that is not known it did not.
pub(super) fn came_near_enough(stream: &TcpStream, config: &PeerConfig) -> bool {
    let TtlPolicy::Gtsm { hops } = config.ttl else { return true };
    sys::first_ttl(stream.as_fd()).is_ok_and(|ttl| ttl.is_some_and(|ttl| ttl >= least_ttl(hops)))
}

/// Whether an accepted connection was opened through the device its peer is bound to, if to any. Where that is not
/// known it was not.
pub(super) fn came_through_device(stream: &TcpStream, remote: SocketAddr, config: &PeerConfig) -> bool {
    let Some(device) = &config.bind_device else { return true };
    let arrival = sys::arrival(stream.as_fd(), remote.is_ipv4());
    if_nametoindex(device.as_str()).is_ok_and(|device| arrival.is_ok_and(|arrival| arrival == device))
}

/// Has an accepted connection use the device of the peer from now on, as one that we open does.
pub(super) fn keep_to_device(stream: &TcpStream, config: &PeerConfig) -> io::Result<()> {
    let Some(device) = &config.bind_device else { return Ok(()) };
    let socket = SockRef::from(stream);
    // The kernel has bound some itself: link-local ones, and those of VRFs. Without privileges that is final.
    if socket.device()?.as_deref() == Some(device.as_bytes()) {
        return Ok(());
    }
    socket.bind_device(Some(device.as_bytes()))
}

/// RFC 5082 §3: 256 − hops.
const fn least_ttl(hops: u8) -> u8 {
    if hops == 0 { u8::MAX } else { u8::MAX - hops + 1 }
}

/// DSCP CS6, network control (RFC 4594 §3.2).
pub(super) fn mark_traffic(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() { socket.set_tos_v4(CS6) } else { socket.set_tclass_v6(CS6) }
}

/// The peer's address: one of IPv4 in its own form; a link-local one without interface gets that of the bound device.
fn with_scope(config: &PeerConfig) -> io::Result<SocketAddr> {
    let remote = SocketAddr::new(config.remote.ip().to_canonical(), config.remote.port());
    let (SocketAddr::V6(v6), SocketAddr::V6(_)) = (config.remote, remote) else { return Ok(remote) };
    match &config.bind_device {
        Some(device) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            let index = if_nametoindex(device.as_str())?;
            Ok(SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into())
        }
        _ => Ok(config.remote),
    }
}

const CS6: u32 = 48 << 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::{Asn, HoldTime, RemoteAs};

    fn mk_config(remote: &str) -> PeerConfig {
        PeerConfig::new(remote.parse().unwrap(), Asn::new(64513), RemoteAs::External, 0)
    }

    fn mk_socket(config: &PeerConfig) -> Socket {
        prepare(config, with_scope(config).unwrap()).unwrap()
    }

    // req: T5
    #[test]
    fn traffic_is_marked_as_network_control() {
        assert_eq!(mk_socket(&mk_config("127.0.0.1:179")).tos_v4().unwrap(), 0xc0);
        assert_eq!(mk_socket(&mk_config("[::1]:179")).tclass_v6().unwrap(), 0xc0);
    }

    // req: T5, !T5
    #[test]
    fn the_user_timeout_leaves_room_for_hold_and_send_hold_time() {
        let mut config = mk_config("127.0.0.1:179");
        config.hold_time = HoldTime::from_secs(9).unwrap();
        let timeout = mk_socket(&config).tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(Duration::from_secs(480 + 9)));
        config.hold_time = HoldTime::DISABLED;
        assert_eq!(
            mk_socket(&config).tcp_user_timeout().unwrap(),
            None,
            "without a hold time a peer may be silent"
        );
    }

    // req: T3, T4
    #[test]
    fn the_ttl_is_what_the_policy_says() {
        for (policy, ttl) in [
            (TtlPolicy::Exact(1), 1),
            (TtlPolicy::Multihop(255), 255),
            (TtlPolicy::Gtsm { hops: 1 }, 255),
            (TtlPolicy::Gtsm { hops: 3 }, 255),
        ] {
            let mut config = mk_config("127.0.0.1:179");
            config.ttl = policy;
            assert_eq!(mk_socket(&config).ttl_v4().unwrap(), ttl);
            let socket = mk_socket(&config);
            config.remote = "[::1]:179".parse().unwrap();
            assert_eq!(mk_socket(&config).unicast_hops_v6().unwrap(), ttl);
            // Back to the default on a connection that is open.
            let default = mk_socket(&mk_config("127.0.0.1:179")).ttl_v4().unwrap();
            configure(&SockRef::from(&socket), "127.0.0.1:179".parse().unwrap(), &mk_config("127.0.0.1:179"))
                .unwrap();
            assert_eq!(socket.ttl_v4().unwrap(), default);
        }
        assert_eq!([0, 1, 2, 255].map(least_ttl), [255, 255, 254, 1]);
    }

    // req: T5, !T5
    #[test]
    fn a_link_local_peer_without_scope_gets_that_of_the_bound_device() {
        let mut config = mk_config("[fe80::1]:179");
        config.bind_device = Some("lo".to_owned());
        let SocketAddr::V6(remote) = with_scope(&config).unwrap() else { panic!("IPv6") };
        assert_eq!(remote.scope_id(), if_nametoindex("lo").unwrap());
        config.bind_device = Some("no-such-device".to_owned());
        assert!(with_scope(&config).is_err(), "not over whatever interface there is");
        config.bind_device = None;
        config.remote = "[::ffff:192.0.2.1]:1179".parse().unwrap();
        assert_eq!(with_scope(&config).unwrap(), "192.0.2.1:1179".parse().unwrap());
    }

    /// The size of the segments that both ends of a connection send.
    async fn segment_sizes(mss: Option<u16>) -> [u32; 2] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = mk_config(&listener.local_addr().unwrap().to_string());
        config.tcp_mss = mss;
        let ours = dial(config).await.unwrap();
        let (theirs, _) = listener.accept().unwrap();
        [SockRef::from(&ours).tcp_mss().unwrap(), SockRef::from(&theirs).tcp_mss().unwrap()]
    }

    // req: X5
    #[tokio::test]
    async fn segments_are_no_longer_than_configured() {
        assert!(segment_sizes(Some(600)).await.iter().all(|size| *size <= 600));
        assert!(segment_sizes(None).await.iter().all(|size| *size > 600));
    }
}

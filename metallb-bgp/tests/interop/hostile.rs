//! Somebody who reaches the listener, and opens connections without end.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use metallb_bgp::io::tokio::ListenRange;
use metallb_bgp::session::{Authentication, Md5Key, PeerConfig};
use metallb_bgp::types::{Asn, RemoteAs};
use socket2::{Domain, Socket, Type};

use crate::lab::{Lab, PATIENCE, eventually};
use crate::support::{mk_speaker, snapshot_until};

const LISTENER: &str = "192.0.2.2:179";

/// Connections to the listener, from this address; what becomes of them is another matter.
fn attack(from: Ipv4Addr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        let to: SocketAddr = LISTENER.parse().unwrap();
        socket.connect_timeout(&to.into(), PATIENCE).unwrap();
        TcpStream::from(socket)
    };
    (0..count).map(connect).collect()
}

/// Waits until the listener has done something about a connection: an OPEN, or an end.
fn await_answer(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // How many octets does not matter: none is an end.
    match stream.read(&mut [0]).map(drop) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

/// How many connections at port 179 belong to a process in this thread's namespace.
fn held() -> usize {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let columns = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = columns.filter(|row| row[1].ends_with(":00B3") && row[3] != "0A" && row[9] != "0");
    ours.count()
}

fn mk_passive() -> PeerConfig {
    let mut peer =
        PeerConfig::new("192.0.2.1:179".parse().unwrap(), Asn::new(64513), RemoteAs::Asn(Asn::new(64512)), 0);
    peer.passive = true;
    peer
}

// req: !N2
#[test]
fn a_flood_of_connections_of_a_peer_holds_three_of_them() {
    let Some(mut lab) = Lab::new(&["ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let (speaker, _events) = mk_speaker(2, &[LISTENER]);
        speaker.set_peer("router".into(), mk_passive());
        snapshot_until(&speaker, "router", "is there", |_| true).await;
        let attacked = async || {
            let flood = lab.at_router(|| attack(Ipv4Addr::new(192, 0, 2, 1), 100));
            // The kernel hands them out in their order: when the last one is answered, all are.
            tokio::task::spawn_blocking(move || {
                await_answer(flood.last().unwrap());
                flood
            })
            .await
            .unwrap()
        };
        let mut floods = Vec::new();
        for _ in 0..4 {
            floods.push(attacked().await);
        }
        let held = held();
        println!("400 connections of a peer: {held} held");
        assert!(held <= 3, "{held}: one that is followed, two that linger");
        assert_eq!(speaker.snapshot().await.len(), 1);
    });
}

// req: !N2
#[test]
fn a_flood_of_a_whole_range_holds_sixty_four_beside_its_peers() {
    const HOSTS: u8 = 100;
    const PEERS: usize = 8;
    let Some(mut lab) = Lab::new(&["ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        for host in 0..HOSTS {
            lab.router_ip(&["addr", "add", &format!("192.0.2.{}/24", 100 + host), "dev", "vrouter"]).unwrap();
        }
        let (speaker, _events) = mk_speaker(2, &[LISTENER]);
        let mut range = ListenRange::new("192.0.2.0/24".parse().unwrap(), mk_passive());
        range.limit = PEERS;
        speaker.set_listen_range("routers".into(), range);
        let mut floods = Vec::new();
        for host in 0..HOSTS {
            let from = Ipv4Addr::new(192, 0, 2, 100 + host);
            let flood = lab.at_router(|| attack(from, 3));
            let waiting = tokio::task::spawn_blocking(move || {
                await_answer(flood.last().unwrap());
                flood
            });
            floods.push(waiting.await.unwrap());
        }
        let held = held();
        println!("300 connections of 100 hosts: {held} held");
        assert!(held <= PEERS + 64, "{held}");
    });
}

// req: T1
#[test]
fn a_flood_without_the_key_reaches_nothing() {
    let Some(mut lab) = Lab::new(&["ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let (speaker, _events) = mk_speaker(2, &[LISTENER]);
        let mut peer = mk_passive();
        peer.authentication = Authentication::Md5(Md5Key::new("s3cret").unwrap());
        speaker.set_peer("router".into(), peer);
        snapshot_until(&speaker, "router", "is there", |_| true).await;
        let before = lab.speaker_netstat("TCPMD5NotFound");
        let flood = lab.at_router(|| {
            let attempt = |_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let to: SocketAddr = LISTENER.parse().unwrap();
                // It goes on in the background.
                let _ = socket.connect(&to.into());
                socket
            };
            (0..400).map(attempt).collect::<Vec<_>>()
        });
        eventually("the kernel drops them", async || {
            (lab.speaker_netstat("TCPMD5NotFound") >= before + 400).then_some(())
        })
        .await;
        assert_eq!(held(), 0);
        drop(flood);
    });
}

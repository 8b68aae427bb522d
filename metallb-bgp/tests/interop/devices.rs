//! Connections through the device a peer is bound to, and through another one.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use metallb_bgp::io::tokio::{ListenRange, Speaker};
use metallb_bgp::types::{Asn, HoldTime};
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::open::Open;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::lab::{Lab, ROUTER, SPEAKER};
use crate::support::{PATIENCE, mk_id, mk_peer, mk_speaker, snapshot_until, up};

/// The speaker's addresses on a second link.
const SECOND: [&str; 2] = ["198.51.100.2", "2001:db8:fe::2"];

/// A second link between the two.
fn connect_again(lab: &Lab) {
    lab.link("vrouter2", "vspeaker2").unwrap();
    for address in ["198.51.100.1/24", "2001:db8:fe::1/64"] {
        lab.router_ip(&["addr", "add", address, "dev", "vrouter2", "nodad"]).unwrap();
    }
    for address in ["198.51.100.2/24", "2001:db8:fe::2/64"] {
        lab.speaker_ip(&["addr", "add", address, "dev", "vspeaker2", "nodad"]).unwrap();
    }
    lab.router_ip(&["link", "set", "vrouter2", "up"]).unwrap();
    lab.speaker_ip(&["link", "set", "vspeaker2", "up"]).unwrap();
}

/// A connection from the router's first address to one of ours, over the link that this is on; it says all that a
/// session needs.
fn dial(lab: &Lab, from: &str, to: &str, port: u16) -> TcpStream {
    let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let mut said = Vec::new();
    Open::new(Asn::new(64513), HoldTime::DEFAULT, mk_id(9), Vec::new()).encode(&mut said).unwrap();
    keepalive::encode(&mut said);
    let stream = lab.at_router(|| {
        let domain = if from.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect_timeout(&SockAddr::from(SocketAddr::new(to, port)), PATIENCE).unwrap();
        let mut stream = std::net::TcpStream::from(socket);
        stream.write_all(&said).unwrap();
        stream
    });
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

/// Whether a connection is closed without a word.
async fn is_refused(mut stream: TcpStream) -> bool {
    let mut first = [0];
    // A reset is as good as a close.
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut first)).await.unwrap();
    read.map_or(true, |count| count == 0)
}

fn set_passive(collector: &Speaker, name: &str, remote: &str, device: &str) {
    let mut peer = mk_peer(SocketAddr::new(remote.parse().unwrap(), 179), 64512, 64513);
    peer.passive = true;
    peer.bind_device = Some(device.to_owned());
    collector.set_peer(name.into(), peer);
}

/// A lab with two links and a collector that listens on all addresses of both families; its ports.
fn with_two_links(test: impl AsyncFnOnce(&Lab, &Speaker, [u16; 2]) + Send) {
    let Some(mut lab) = Lab::new(&["ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        connect_again(lab);
        let (collector, _events) = mk_speaker(200, &["0.0.0.0:0", "[::]:0"]);
        let ports = [0, 1].map(|family| collector.listening()[family].port());
        test(lab, &collector, ports).await;
    });
}

// req: T5, !T5
#[test]
fn a_peer_that_is_bound_to_a_device_is_not_accepted_through_another() {
    with_two_links(async |lab, collector, ports| {
        for (family, port) in ports.into_iter().enumerate() {
            let name = ["v4", "v6"][family];
            set_passive(collector, name, ROUTER[family], "vspeaker");
            snapshot_until(collector, name, "configured", |_| true).await;
            let astray = dial(lab, ROUTER[family], SECOND[family], port);
            assert!(is_refused(astray).await, "{name}");
            let refused = snapshot_until(collector, name, "a snapshot", |_| true).await;
            assert_eq!((refused.counters.opens_sent, refused.counters.opens_received), (0, 0));
            let _right = dial(lab, ROUTER[family], SPEAKER[family], port);
            snapshot_until(collector, name, "established", up).await;
        }
    });
}

// req: T5
#[test]
fn of_two_peers_with_the_same_address_each_gets_what_comes_through_its_device() {
    with_two_links(async |lab, collector, [port, _]| {
        set_passive(collector, "first", ROUTER[0], "vspeaker");
        set_passive(collector, "second", ROUTER[0], "vspeaker2");
        snapshot_until(collector, "second", "configured", |_| true).await;
        let _second = dial(lab, ROUTER[0], SECOND[0], port);
        let second = snapshot_until(collector, "second", "established", up).await;
        assert_eq!(second.local, Some(SocketAddr::new(SECOND[0].parse().unwrap(), port)));
        assert!(!up(&snapshot_until(collector, "first", "a snapshot", |_| true).await));
        let _first = dial(lab, ROUTER[0], SPEAKER[0], port);
        snapshot_until(collector, "first", "established", up).await;
    });
}

// req: !T5
#[test]
fn a_range_that_is_bound_to_a_device_takes_nobody_through_another() {
    with_two_links(async |lab, collector, [port, _]| {
        let mut template = mk_peer(SocketAddr::from(([0; 4], 0)), 64512, 64513);
        template.bind_device = Some("vspeaker".to_owned());
        let range = ListenRange::new("192.0.2.0/24".parse().unwrap(), template);
        collector.set_listen_range("nodes".into(), range);
        assert!(collector.snapshot().await.is_empty());
        assert!(is_refused(dial(lab, ROUTER[0], SECOND[0], port)).await);
        assert!(collector.snapshot().await.is_empty());
        let _right = dial(lab, ROUTER[0], SPEAKER[0], port);
        snapshot_until(collector, "nodes/192.0.2.1", "established", up).await;
    });
}

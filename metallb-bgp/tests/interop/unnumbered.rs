//! Peers that are known by their interface: links without any address but the link-local ones.

use std::io::Read;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use metallb_bgp::bfd::Profile;
use metallb_bgp::bfd::wire::State as PathState;
use metallb_bgp::io::tokio::Speaker;
use metallb_bgp::session::{Authentication, CloseReason, Md5Key, PeerBfd, PeerConfig, PeerSnapshot};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Asn, HoldTime, RemoteAs};
use metallb_bgp::unnumbered::NoNeighbor;
use metallb_bgp::unnumbered::wire::{Message, RouterAdvertisement};
use nix::net::if_::if_nametoindex;
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::{Lab, within};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, prefix, to, up};

const FRR_TOOLS: [&str; 7] = ["zebra", "bfdd", "bgpd", "vtysh", "ip", "nsenter", "setpriv"];
const BIRD_TOOLS: [&str; 4] = ["bird", "ip", "nsenter", "setpriv"];
const V4: &str = "198.51.100.1/32";
const V6: &str = "2001:db8:1::1/128";
/// Routers advertise themselves every ten seconds and sessions are tried ever later.
const LONG: Duration = Duration::from_secs(60);

/// Takes all addresses from the link but one of each side, which is link-local.
fn bare(lab: &Lab) {
    for device in ["vrouter", "vspeaker"] {
        let ip = |arguments: &[&str]| {
            if device == "vrouter" { lab.router_ip(arguments) } else { lab.speaker_ip(arguments) }
        };
        let own = if device == "vrouter" { "fe80::1/64" } else { "fe80::2/64" };
        ip(&["addr", "flush", "dev", device]).unwrap();
        ip(&["addr", "add", own, "dev", device, "nodad"]).unwrap();
    }
}

fn frr_config(more: &str) -> String {
    format!(
        "router bgp 64512
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 timers bgp 3 9
 neighbor vrouter interface remote-as external
 neighbor vrouter timers connect 1
 neighbor vrouter capability extended-nexthop
{more} address-family ipv4 unicast
  neighbor vrouter activate
 exit-address-family
 address-family ipv6 unicast
  neighbor vrouter activate
 exit-address-family
"
    )
}

fn mk_peer() -> PeerConfig {
    let mut peer = PeerConfig::unnumbered("vspeaker", 179, Asn::new(64513), RemoteAs::External, 7);
    peer.hold_time = HoldTime::from_secs(9).unwrap();
    peer.connect_time = Some(Duration::from_secs(1));
    peer
}

/// A speaker with a route of each family for the peer `router`.
fn mk_announcing() -> Speaker {
    let (speaker, mut events) = mk_speaker(2, &[]);
    // Nobody is interested in them, and they must not fill the queue.
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    for route in [V4, V6] {
        speaker.set_prefix(prefix(route), to("router", RouteAttributes::new()));
    }
    speaker.table_complete();
    speaker
}

async fn until(speaker: &Speaker, what: &str, done: impl Fn(&PeerSnapshot) -> bool) -> PeerSnapshot {
    within(LONG, what, async || speaker.snapshot().await.pop().filter(|snapshot| done(snapshot))).await
}

/// The session is up with this address.
async fn until_with(speaker: &Speaker, address: &str) -> PeerSnapshot {
    let there = |s: &PeerSnapshot| up(s) && s.remote.ip().to_string() == address;
    until(speaker, address, there).await
}

/// FRR has both routes, over the link-local address of this.
async fn until_routes(frr: &Frr, via: &str) {
    for route in [V4, V6] {
        let there = async || {
            let path = frr.route(route);
            (path["valid"] == true && path["nexthops"].to_string().contains(via)).then_some(())
        };
        within(LONG, route, there).await;
    }
}

fn has_default_route(lab: &Lab) -> bool {
    !lab.router_says("ip", &["-6", "route", "show", "default"]).unwrap().trim().is_empty()
}

/// A packet from the router to an address that we announce arrives.
async fn assert_forwarded(lab: &Lab) {
    lab.router_ip(&["addr", "replace", "203.0.113.1/32", "dev", "lo"]).unwrap();
    lab.speaker_ip(&["addr", "replace", V4, "dev", "lo"]).unwrap();
    lab.speaker_ip(&["route", "replace", "203.0.113.1/32", "via", "inet6", "fe80::1", "dev", "vspeaker"])
        .unwrap();
    let service = tokio::net::UdpSocket::bind("198.51.100.1:7777").await.unwrap();
    let client = lab.at_router(|| {
        let client = UdpSocket::bind("203.0.113.1:0").unwrap();
        client.set_nonblocking(true).unwrap();
        client
    });
    let mut buffer = [0; 16];
    let arrives = async || {
        // Until the route is in the router's kernel there is none.
        let _ = client.send_to(b"hello", "198.51.100.1:7777");
        let pause = tokio::time::sleep(Duration::from_millis(20));
        tokio::select! {
            received = service.recv_from(&mut buffer) => Some(received.unwrap()),
            () = pause => None,
        }
    };
    let (length, from) = within(LONG, "a packet", arrives).await;
    assert_eq!((length, from.ip().to_string()), (5, "203.0.113.1".to_owned()));
    let way = lab.router_says("ip", &["route", "get", "198.51.100.1"]).unwrap();
    assert!(way.contains("via inet6 fe80::"), "{way}");
}

// req: T8, C6
#[test]
fn frr_and_we_find_each_other_and_ipv4_packets_go_over_a_link_without_ipv4() {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        bare(lab);
        let (frr, _) = Frr::start_with_bfd(lab, &frr_config("")).await;
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_peer());
        let snapshot = until_with(&speaker, "fe80::1").await;
        assert!(snapshot.negotiated.unwrap().extended_next_hop);
        assert_eq!((snapshot.interface.as_deref(), snapshot.withheld.len()), (Some("vspeaker"), 0));
        until_routes(&frr, "fe80::2").await;
        assert_forwarded(lab).await;
        assert_eq!(frr.neighbour("vrouter")["connectionsEstablished"], 1);
        // Something that has nothing to do with it changes.
        let mut peer = mk_peer();
        peer.connect_time = Some(Duration::from_secs(2));
        speaker.set_peer("router".into(), peer);
        // A global address comes, and goes.
        lab.speaker_ip(&["addr", "add", "2001:db8:ff::2/64", "dev", "vspeaker", "nodad"]).unwrap();
        until_routes(&frr, "2001:db8:ff::2").await;
        lab.speaker_ip(&["addr", "del", "2001:db8:ff::2/64", "dev", "vspeaker"]).unwrap();
        let only_local =
            async || (!frr.route(V6)["nexthops"].to_string().contains("2001:db8:ff::2")).then_some(());
        within(LONG, "without a global address", only_local).await;
        assert_eq!(until_with(&speaker, "fe80::1").await.counters.established, 1);
    });
}

// req: T8, J5
#[test]
fn frr_may_come_later_and_go_and_come_back_with_another_address() {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        bare(lab);
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_peer());
        let alone = until(&speaker, "silence", |s| s.last_error.is_some()).await;
        assert_eq!(alone.last_error, Some(CloseReason::NoNeighbor(NoNeighbor::Silent)));
        assert!(alone.remote.ip().is_unspecified());
        let (frr, _) = Frr::start_with_bfd(lab, &frr_config("")).await;
        until_with(&speaker, "fe80::1").await;
        until_routes(&frr, "fe80::2").await;
        for daemon in ["bgpd", "bfdd", "zebra"] {
            lab.signal(daemon, Signal::SIGKILL);
        }
        until(&speaker, "down", |s| !up(s)).await;
        // Whoever comes back has another address.
        lab.router_ip(&["addr", "flush", "dev", "vrouter"]).unwrap();
        lab.router_ip(&["addr", "add", "fe80::11/64", "dev", "vrouter", "nodad"]).unwrap();
        let (frr, _) = Frr::start_with_bfd(lab, &frr_config("")).await;
        until_with(&speaker, "fe80::11").await;
        until_routes(&frr, "fe80::2").await;
        // The link goes down for longer than the hold time and comes up again.
        lab.router_ip(&["link", "set", "vrouter", "down"]).unwrap();
        let down = until(&speaker, "down", |s| !up(s)).await;
        assert!(!down.remote.ip().is_unspecified(), "the neighbour is remembered");
        lab.router_ip(&["link", "set", "vrouter", "up"]).unwrap();
        until(&speaker, "up again", up).await;
    });
}

// req: J7, !J7
#[test]
fn an_interface_may_come_later_and_be_renamed_and_be_made_anew() {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        lab.speaker_ip(&["link", "del", "vspeaker"]).unwrap();
        let (_frr, _) = Frr::start_with_bfd(lab, &frr_config("")).await;
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_peer());
        let without =
            |s: &PeerSnapshot| s.last_error == Some(CloseReason::NoNeighbor(NoNeighbor::NoInterface));
        until(&speaker, "no interface", without).await;
        let connect = |lab: &Lab| {
            lab.link("vrouter", "vspeaker").unwrap();
            lab.router_ip(&["link", "set", "vrouter", "up"]).unwrap();
            lab.speaker_ip(&["link", "set", "vspeaker", "up"]).unwrap();
            bare(lab);
            if_nametoindex("vspeaker").unwrap()
        };
        let first = connect(lab);
        until_with(&speaker, "fe80::1").await;
        // Renamed: it is another interface, and the session ends at once.
        for (from, name) in [("vspeaker", "vother"), ("vother", "vspeaker")] {
            lab.speaker_ip(&["link", "set", from, "down"]).unwrap();
            lab.speaker_ip(&["link", "set", from, "name", name]).unwrap();
            lab.speaker_ip(&["link", "set", name, "up"]).unwrap();
            lab.speaker_ip(&["addr", "replace", "fe80::2/64", "dev", name, "nodad"]).unwrap();
            match name {
                "vother" => drop(until(&speaker, "renamed", |s| !up(s) && without(s)).await),
                _ => drop(until_with(&speaker, "fe80::1").await),
            }
        }
        lab.speaker_ip(&["link", "del", "vspeaker"]).unwrap();
        until(&speaker, "gone", |s| !up(s) && without(s) && s.remote.ip().is_unspecified()).await;
        let second = connect(lab);
        assert_ne!(first, second);
        let snapshot = until_with(&speaker, "fe80::1").await;
        assert!(snapshot.remote.to_string().contains(&format!("%{second}")), "{}", snapshot.remote);
    });
}

// req: B7, T8
#[test]
fn bfd_watches_the_link_of_an_unnumbered_peer() {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        bare(lab);
        let profile = "bfd\n profile fast\n  transmit-interval 100\n  receive-interval 100\n  detect-multiplier 3\n exit\nexit\n";
        let bfd = " neighbor vrouter bfd\n neighbor vrouter bfd profile fast\n";
        let (_frr, _bfdd) = Frr::start_with_bfd(lab, &format!("{}{profile}", frr_config(bfd))).await;
        let speaker = mk_announcing();
        let mut peer = mk_peer();
        let fast = Profile::new(Duration::from_millis(100), Duration::from_millis(100), 3).unwrap();
        // The hold time would take longer than this test.
        peer.hold_time = HoldTime::from_secs(600).unwrap();
        peer.bfd = Some(PeerBfd::new(fast));
        speaker.set_peer("router".into(), peer);
        until_with(&speaker, "fe80::1").await;
        // FRR makes its session anew once BGP is established.
        let lasting = async || {
            let path = speaker.bfd_snapshot().await.sessions.pop()?;
            let old = path.session.since.elapsed() > Duration::from_secs(1);
            (path.session.state == PathState::Up && old).then_some(path)
        };
        let path = within(LONG, "BFD up", lasting).await;
        assert_eq!(path.path.remote.to_string(), "fe80::1");
        assert_eq!(path.path.interface, if_nametoindex("vspeaker").ok());
        until_with(&speaker, "fe80::1").await;
        // The router is still there, its packets are not.
        lab.signal("bfdd", Signal::SIGSTOP);
        let down = until(&speaker, "down", |s| !up(s)).await;
        assert!(down.last_error.unwrap().to_string().contains("6/10"));
        lab.signal("bfdd", Signal::SIGCONT);
        until_with(&speaker, "fe80::1").await;
        // The address moves: BFD follows.
        lab.router_ip(&["addr", "add", "fe80::11/64", "dev", "vrouter", "nodad"]).unwrap();
        lab.router_ip(&["addr", "del", "fe80::1/64", "dev", "vrouter"]).unwrap();
        let moved = async || {
            let path = speaker.bfd_snapshot().await.sessions.pop()?;
            (path.path.remote.to_string() == "fe80::11").then_some(())
        };
        within(LONG, "BFD at the new address", moved).await;
        until_with(&speaker, "fe80::11").await;
    });
}

// req: T1, T8
#[test]
fn bird_with_a_key_and_its_router_advertisements_is_found() {
    let Some(mut lab) = Lab::new(&BIRD_TOOLS) else { return };
    lab.run(async |lab| {
        bare(lab);
        let config = "protocol radv { interface \"vrouter\" { min ra interval 3; max ra interval 4; }; }
protocol bgp node { local fe80::1 as 64512; neighbor fe80::2 % 'vrouter' as 64513; passive on; direct;
  password \"s3cret\";
  ipv4 { import all; export none; extended next hop on; }; ipv6 { import all; export none; };
  connect delay time 1; connect retry time 1; error wait time 1,1; }\n";
        let bird = Bird::start(lab, config).await;
        let speaker = mk_announcing();
        let mut peer = mk_peer();
        peer.authentication = Authentication::Md5(Md5Key::new("s3cret").unwrap());
        speaker.set_peer("router".into(), peer);
        until_with(&speaker, "fe80::1").await;
        for route in [V4, V6] {
            within(LONG, route, async || bird.has_route(route, &["via fe80::2 on vrouter"])).await;
        }
    });
}

// req: T8
#[test]
fn on_a_link_of_two_ipv4_hosts_without_ipv6_the_other_host_is_the_peer() {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        // FRR itself wants a link-local address for its own end, whatever the session goes over.
        bare(lab);
        lab.speaker_says("sysctl", &["-w", "net.ipv6.conf.vspeaker.disable_ipv6=1"]).unwrap();
        lab.router_ip(&["addr", "add", "192.0.2.8/31", "dev", "vrouter"]).unwrap();
        lab.speaker_ip(&["addr", "add", "192.0.2.9/31", "dev", "vspeaker"]).unwrap();
        let (frr, _) = Frr::start_with_bfd(lab, &frr_config("")).await;
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_peer());
        until_with(&speaker, "192.0.2.8").await;
        let there = async || (frr.route(V4)["nexthops"][0]["ip"] == "192.0.2.9").then_some(());
        within(LONG, "the IPv4 route", there).await;
    });
}

/// A raw socket for router messages in the namespace of this thread.
fn raw(device: &str) -> Socket {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap();
    let index = if_nametoindex(device).unwrap();
    socket.set_multicast_hops_v6(255).unwrap();
    socket.set_multicast_if_v6(index).unwrap();
    socket.join_multicast_v6(&"ff02::2".parse().unwrap(), index).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn say(socket: &Socket, device: u32, message: &Message) {
    let to = SocketAddrV6::new(message.group(), 0, 0, device);
    socket.send_to(&message.encode(), &to.into()).unwrap();
}

/// Waits for a message of this type; returns all of it.
async fn hear(mut socket: &Socket, kind: u8) -> Vec<u8> {
    within(LONG, "a message", async || {
        let mut buffer = [0; 1500];
        let length = socket.read(&mut buffer).ok()?;
        (buffer[0] == kind).then(|| buffer[..length].to_vec())
    })
    .await
}

// req: J2, J6, !J6
#[test]
fn no_router_becomes_our_default_route_nor_we_a_router_s() {
    let Some(mut lab) = Lab::new(&["ip", "nsenter", "setpriv", "sysctl"]) else { return };
    lab.run(async |lab| {
        bare(lab);
        lab.router_says("sysctl", &["-w", "net.ipv6.conf.vrouter.accept_ra=2"]).unwrap();
        let (router, index) = lab.at_router(|| (raw("vrouter"), if_nametoindex("vrouter").unwrap()));
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_peer());
        // We ask, and are asked.
        hear(&router, 133).await;
        say(&router, index, &Message::Solicitation);
        for _ in 0..2 {
            let heard = hear(&router, 134).await;
            assert_eq!(heard[4..], [0; 12], "neither hop limit nor lifetime nor anything else: {heard:?}");
        }
        assert!(!has_default_route(lab));
        // The same from the same address with a lifetime: this router would believe it.
        let liar = raw("vspeaker");
        let says = RouterAdvertisement { lifetime: 1800, ..RouterAdvertisement::default() };
        say(&liar, if_nametoindex("vspeaker").unwrap(), &Message::Advertisement(says));
        within(LONG, "the lie is believed", async || has_default_route(lab).then_some(())).await;
        // What we say ourselves takes it back.
        let back = async || (!has_default_route(lab)).then_some(());
        within(LONG, "no default route again", back).await;
    });
}

// req: J4, J7
#[test]
fn a_router_may_have_the_link_local_address_that_another_interface_of_ours_has() {
    let Some(mut lab) = Lab::new(&["ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        bare(lab);
        // As bridges of containers often do.
        lab.speaker_ip(&["link", "add", "bridge", "type", "bridge"]).unwrap();
        lab.speaker_ip(&["addr", "add", "fe80::1/64", "dev", "bridge", "nodad"]).unwrap();
        lab.speaker_ip(&["link", "set", "bridge", "up"]).unwrap();
        let (router, index) = lab.at_router(|| (raw("vrouter"), if_nametoindex("vrouter").unwrap()));
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_peer());
        hear(&router, 133).await;
        let says = Message::Advertisement(RouterAdvertisement::default());
        // The kernel solicits routers, too: who asked may not listen yet.
        let found = async || {
            say(&router, index, &says);
            speaker.snapshot().await.pop().filter(|s| s.remote.ip().to_string() == "fe80::1")
        };
        within(Duration::from_secs(10), "the router", found).await;
    });
}

// req: J4, !J4, J5
#[test]
fn among_invented_routers_the_one_that_answers_is_found() {
    let Some(mut lab) = Lab::new(&FRR_TOOLS) else { return };
    lab.run(async |lab| {
        bare(lab);
        let (router, index) = lab.at_router(|| (raw("vrouter"), if_nametoindex("vrouter").unwrap()));
        let sources: Vec<Ipv6Addr> = (0..40).map(|n| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x66, n)).collect();
        for source in &sources {
            lab.router_ip(&["addr", "add", &format!("{source}/64"), "dev", "vrouter", "nodad"]).unwrap();
        }
        let speaker = mk_announcing();
        speaker.set_peer("router".into(), mk_peer());
        hear(&router, 133).await;
        let says = Message::Advertisement(RouterAdvertisement::default());
        let (sockets, to) = lab.at_router(|| {
            let of = |source: &Ipv6Addr| {
                let socket = raw("vrouter");
                socket.bind(&SocketAddrV6::new(*source, 0, 0, index).into()).unwrap();
                socket
            };
            (sources.iter().map(of).collect::<Vec<_>>(), index)
        });
        // The kernel solicits routers, too: who asked may not listen yet.
        let mut again = tokio::time::interval(Duration::from_millis(500));
        let saying = async {
            loop {
                again.tick().await;
                for socket in &sockets {
                    say(socket, to, &says);
                }
            }
        };
        let tried = |s: &PeerSnapshot| s.counters.connect_attempts >= 2 && !s.remote.ip().is_unspecified();
        tokio::select! {
            () = saying => {}
            _ = until(&speaker, "some are tried", tried) => {}
        }
        for source in &sources {
            lab.router_ip(&["addr", "del", &format!("{source}/64"), "dev", "vrouter"]).unwrap();
        }
        let (_frr, _) = Frr::start_with_bfd(lab, &frr_config("")).await;
        until_with(&speaker, "fe80::1").await;
    });
}

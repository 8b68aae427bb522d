//! Every capability on and off, at both ends where both can switch it. What was agreed on is asked of both, and
//! routes go in both directions whatever it is.

use metallb_bgp::session::{GracefulRestart, NegotiatedSnapshot, PeerConfig, PeerSnapshot};
use metallb_bgp::table::RouteAttributes;

use crate::lab::{Lab, eventually};
use crate::matrix::{Kind, OURS, exchange};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, prefix, snapshot_until, to};

/// Whether we offer a capability.
#[derive(Clone, Copy)]
enum Ours {
    Always,
    Never,
    Switch(fn(&mut PeerConfig, bool)),
}

/// One capability.
#[derive(Clone, Copy)]
struct Row {
    /// In our words, as the snapshot lists what the peer offers.
    name: &'static str,
    /// The router's lines with which it offers it, and those with which it does not.
    lines: [&'static str; 2],
    /// Where the router says so: a JSON pointer for FRR, the words of both of its lists for BIRD.
    said: [&'static str; 2],
    ours: Ours,
    /// Over IPv6.
    v6: bool,
    /// Whether it is in use, and what that follows from: whether they and we offer it.
    agreed: fn(&NegotiatedSnapshot) -> bool,
    follows: fn(bool, bool) -> bool,
}

/// A capability that only the peer can offer and that changes nothing.
const PLAIN: Row = Row {
    name: "",
    lines: [""; 2],
    said: [""; 2],
    ours: Ours::Never,
    v6: false,
    agreed: |_| false,
    follows: |_, _| false,
};

const EXTENDED_MESSAGE: Row = Row {
    name: "extended message",
    ours: Ours::Switch(|peer, on| peer.extended_messages = on),
    agreed: |n| n.extended_messages,
    follows: |they, _| they,
    ..PLAIN
};
const GRACEFUL_RESTART: Row = Row {
    name: "graceful restart (",
    ours: Ours::Switch(|peer, on| peer.graceful_restart = on.then(GracefulRestart::default)),
    agreed: |n| n.graceful_restart,
    follows: |they, we| they && we,
    ..PLAIN
};
const EXTENDED_NEXT_HOP: Row = Row {
    name: "extended next hop",
    ours: Ours::Always,
    v6: true,
    agreed: |n| n.extended_next_hop,
    follows: |they, _| they,
    ..PLAIN
};
const ROUTE_REFRESH: Row = Row {
    name: "route refresh",
    ours: Ours::Always,
    agreed: |n| n.route_refresh,
    follows: |they, _| they,
    ..PLAIN
};
const ENHANCED_REFRESH: Row =
    Row { name: "enhanced route refresh", agreed: |n| n.enhanced_route_refresh, ..ROUTE_REFRESH };

const BIRD: [Row; 11] = [
    Row { lines: ["", "enable route refresh off;"], said: ["Route refresh"; 2], ..ROUTE_REFRESH },
    Row { lines: ["", "enable route refresh off;"], said: ["Enhanced refresh"; 2], ..ENHANCED_REFRESH },
    Row { lines: ["enable extended messages on;", ""], said: ["Extended message"; 2], ..EXTENDED_MESSAGE },
    Row {
        lines: ["graceful restart on;", "graceful restart off;"],
        said: ["Graceful restart", "AF supported: ipv4 ipv6"],
        ..GRACEFUL_RESTART
    },
    Row { lines: ["extended next hop on;|", ""], said: ["Extended next hop"; 2], ..EXTENDED_NEXT_HOP },
    Row {
        name: "four-octet AS",
        lines: ["", "enable as4 off;"],
        said: ["4-octet AS numbers"; 2],
        ours: Ours::Always,
        ..PLAIN
    },
    Row {
        name: "long-lived graceful restart",
        lines: ["long lived graceful restart on;", "long lived graceful restart off;"],
        said: ["Long-lived graceful restart"; 2],
        ..PLAIN
    },
    Row { name: "additional paths", lines: ["add paths rx;|", ""], said: ["ADD-PATH"; 2], ..PLAIN },
    Row { name: "additional paths", lines: ["add paths tx;|", ""], said: ["ADD-PATH"; 2], ..PLAIN },
    Row { name: "role", lines: ["local role provider;", ""], said: ["Role"; 2], ..PLAIN },
    Row { name: "host name", lines: ["advertise hostname on;", ""], said: ["Hostname"; 2], ..PLAIN },
];

const FRR: [Row; 8] = [
    Row { said: ["/neighborCapabilities/extendedMessage"; 2], ..EXTENDED_MESSAGE },
    Row {
        lines: [" neighbor @ graceful-restart\n", " neighbor @ graceful-restart-disable\n"],
        said: ["/neighborCapabilities/gracefulRestart", "/neighborCapabilities/addressFamiliesByPeer"],
        ..GRACEFUL_RESTART
    },
    Row {
        name: "additional paths",
        lines: ["", "  neighbor @ disable-addpath-rx\n|"],
        said: ["/neighborCapabilities/addPath/ipv4Unicast/rxAdvertised"; 2],
        ..PLAIN
    },
    Row {
        name: "additional paths",
        lines: ["  neighbor @ addpath-tx-all-paths\n|", "  neighbor @ disable-addpath-rx\n|"],
        said: ["/neighborCapabilities/addPath/ipv6Unicast/txAdvertised"; 2],
        ..PLAIN
    },
    Row {
        name: "capability 3",
        lines: ["  neighbor @ capability orf prefix-list both\n|", ""],
        said: ["/addressFamilyInfo/ipv4Unicast/afDependentCap"; 2],
        ..PLAIN
    },
    Row {
        name: "role",
        lines: [" neighbor @ local-role customer\n", ""],
        said: ["/neighborCapabilities/role"; 2],
        ..PLAIN
    },
    Row {
        name: "capability 67",
        lines: [" neighbor @ capability dynamic\n", ""],
        said: ["/neighborCapabilities/dynamic"; 2],
        ..PLAIN
    },
    Row {
        name: "four-octet AS",
        lines: ["", " neighbor @ dont-capability-negotiate\n"],
        said: ["/neighborCapabilities/4byteAs"; 2],
        ours: Ours::Always,
        ..PLAIN
    },
];

impl Row {
    /// The router's switch and ours in all positions they have.
    fn positions(&self) -> Vec<(bool, bool)> {
        let theirs: &[bool] = if self.lines[0] == self.lines[1] { &[true] } else { &[true, false] };
        let ours: &[bool] = match self.ours {
            Ours::Always => &[true],
            Ours::Never => &[false],
            Ours::Switch(_) => &[true, false],
        };
        theirs.iter().flat_map(|they| ours.iter().map(|we| (*they, *we))).collect()
    }

    fn kind(&self, they: bool) -> Kind {
        Kind { neighbour: self.lines[usize::from(!they)], ..Kind::new(self.v6) }
    }

    fn peer(&self, kind: &Kind, on: bool) -> PeerConfig {
        let mut peer = kind.peer();
        if let Ours::Switch(switch) = self.ours {
            switch(&mut peer, on);
        }
        peer
    }

    fn check(&self, they: bool, we: bool, agreed: &NegotiatedSnapshot) {
        let offered = agreed.peer_capabilities.iter().any(|said| said.starts_with(self.name));
        assert_eq!(offered, they, "{:?}", agreed.peer_capabilities);
        assert_eq!((self.agreed)(agreed), (self.follows)(they, we), "{agreed:?}");
    }
}

// req: C1, C3, C4, C5, C6, C7, G1, O6
#[test]
fn every_capability_is_agreed_on_or_done_without_with_bird() {
    for row in BIRD {
        for (they, we) in row.positions() {
            let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
            eprintln!("{}: BIRD {they}, we {we}", row.name);
            lab.run(async |lab| {
                let kind = row.kind(they);
                let bird = Bird::start(lab, &kind.bird()).await;
                let arrived = async |route: &str| bird.has_route(route, &[]);
                let snapshot = exchange(&kind, row.peer(&kind, we), arrived).await;
                row.check(they, we, &snapshot.negotiated.unwrap());
                let said = bird.ask("show protocols all node");
                let (_, said) = said.split_once("Local capabilities").unwrap();
                let (local, said) = said.split_once("Neighbor capabilities").unwrap();
                let (neighbour, _) = said.split_once("Session:").unwrap();
                assert_eq!((local.contains(row.said[0]), neighbour.contains(row.said[1])), (they, we));
            });
        }
    }
}

// req: C1, C3, C4, C6, C7, G1, O6
#[test]
fn every_capability_is_agreed_on_or_done_without_with_frr() {
    for row in FRR {
        for (they, we) in row.positions() {
            let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
            eprintln!("{}: FRR {they}, we {we}", row.name);
            lab.run(async |lab| {
                let mut kind = row.kind(they);
                if kind.neighbour.contains("dont-capability") {
                    (kind.families, kind.agreed) = ([true, false], [true, false]);
                }
                let frr = Frr::start(lab, &kind.frr()).await;
                let arrived =
                    async |route: &str| frr.route(route)["valid"].as_bool().filter(|v| *v).map(|_| ());
                let snapshot = exchange(&kind, row.peer(&kind, we), arrived).await;
                row.check(they, we, &snapshot.negotiated.unwrap());
                let said = frr.neighbour(kind.us());
                let words = |pointer| said.pointer(pointer).map(ToString::to_string).unwrap_or_default();
                let (sent, received) = (words(row.said[0]), words(row.said[1]));
                let received = received.contains("eceived") || received.contains("preserved");
                let sent = sent.contains("dvertised") || sent == "true";
                assert_eq!((sent, received), (they, we), "{said}");
            });
        }
    }
}

/// A speaker without IPv4 on its link, with a route of each family, and what it says of an IPv6 session.
async fn over_ipv6(lab: &Lab, arrived: impl AsyncFn(&str) -> Option<()>) -> PeerSnapshot {
    lab.speaker_ip(&["-4", "addr", "flush", "dev", "vspeaker"]).unwrap();
    let (speaker, _events) = mk_speaker(2, &[]);
    for route in OURS {
        speaker.set_prefix(prefix(route), to("router", RouteAttributes::new()));
    }
    speaker.table_complete();
    speaker.set_peer("router".into(), Kind::new(true).peer());
    eventually("the IPv6 route", async || arrived(OURS[1]).await).await;
    let counted = |s: &PeerSnapshot| s.advertised_v4 + s.unsendable == 1;
    snapshot_until(&speaker, "router", "the IPv4 route sent or counted", counted).await
}

fn check_next_hop(on: bool, snapshot: &PeerSnapshot) {
    assert_eq!((snapshot.advertised_v4, snapshot.unsendable), (u64::from(on), u64::from(!on)));
    assert_eq!(snapshot.negotiated.as_ref().unwrap().extended_next_hop, on);
}

// req: C6
#[test]
fn ipv4_routes_go_over_ipv6_only_where_the_router_takes_that() {
    for on in [true, false] {
        let kind = |line| Kind { neighbour: if on { line } else { "" }, ..Kind::new(true) };
        let Some(mut lab) = Lab::new(&["bgpd", "bird", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let kind = kind(" neighbor @ capability extended-nexthop\n");
            let frr = Frr::start(lab, &kind.frr()).await;
            let arrived = async |route: &str| frr.route(route)["valid"].as_bool().filter(|v| *v).map(|_| ());
            check_next_hop(on, &over_ipv6(lab, arrived).await);
            if on {
                eventually("the IPv4 route", async || arrived(OURS[0]).await).await;
                assert_eq!(frr.route(OURS[0])["nexthops"][0]["ip"], "2001:db8:ff::2");
            }
            assert_eq!(frr.route(OURS[0]).is_null(), !on);
        });
        let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let bird = Bird::start(lab, &kind("extended next hop on;|").bird()).await;
            let arrived = async |route: &str| bird.has_route(route, &["BGP.next_hop: 2001:db8:ff::2"]);
            check_next_hop(on, &over_ipv6(lab, arrived).await);
            if on {
                eventually("the IPv4 route", async || arrived(OURS[0]).await).await;
            }
            assert_eq!(bird.has_route(OURS[0], &[]).is_some(), on);
        });
    }
}

// req: C4
#[test]
fn long_messages_go_only_to_a_router_that_takes_them() {
    const COUNT: u32 = 3000;
    for (line, messages) in [("enable extended messages on;", 1), ("", 4)] {
        let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let kind = Kind { neighbour: line, ..Kind::new(false) };
            let bird = Bird::start(lab, &kind.bird()).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            for n in 0..COUNT {
                let route = format!("{}/32", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
                speaker.set_prefix(prefix(&route), to("router", RouteAttributes::new()));
            }
            speaker.table_complete();
            speaker.set_peer("router".into(), kind.peer());
            let all = format!("{COUNT} imported");
            let arrived = async || bird.ask("show protocols all node").contains(&all).then_some(());
            eventually("all routes", arrived).await;
            let snapshot = snapshot_until(&speaker, "router", "sent", |s| s.queued_octets == 0).await;
            // An End-of-RIB of each family besides.
            assert_eq!(snapshot.counters.updates_sent, messages + 2);
        });
    }
}

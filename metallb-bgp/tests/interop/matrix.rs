//! Every kind of session with FRR and BIRD: inside and outside the AS, over IPv4 and IPv6, with one family and
//! with both, with short and long AS numbers, with routers that know no long ones. Routes in both directions.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use metallb_bgp::session::{OfferedFamilies, PeerConfig, PeerSnapshot};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::Family;
use serde_json::Value;

use crate::basics::mk_router;
use crate::lab::{Lab, eventually, router};
use crate::routers::{Bird, Frr};
use crate::support::{Routes, mk_speaker, prefix, snapshot_until, to};

/// Our routes and the router's, one of each family.
pub(crate) const OURS: [&str; 2] = ["198.51.100.1/32", "2001:db8:1::1/128"];
pub(crate) const THEIRS: [&str; 2] = ["203.0.113.0/24", "2001:db8:77::/48"];
const FAMILIES: [Family; 2] = [Family::Ipv4Unicast, Family::Ipv6Unicast];
const SHORT: u32 = 64513;
const LONG: u32 = 4_200_000_001;
/// What BIRD expects of a neighbour with a long number when it takes no notice of capabilities.
const AS_TRANS: &str = "as 23456";
/// The router's number outside our AS.
const OTHER: u32 = 64512;

/// What makes bgpd send IPv4 routes with an IPv6 next hop.
const HOPS: &str = " neighbor @ capability extended-nexthop\n";

/// One session between the router and the speaker.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// Over IPv6.
    pub(crate) v6: bool,
    pub(crate) internal: bool,
    /// Our AS number.
    pub(crate) asn: u32,
    /// IPv4 unicast, IPv6 unicast: what the router is configured for.
    pub(crate) families: [bool; 2],
    /// Lines for the neighbour in the router's configuration; `@` is its address. What stands before a `|` is for
    /// each of the neighbour's families.
    pub(crate) neighbour: &'static str,
    /// Our number as BIRD is told it, if that is other than [`Self::asn`].
    pub(crate) expected: Option<&'static str>,
    /// What we offer, if that is other than [`Self::families`].
    pub(crate) offered: Option<OfferedFamilies>,
    /// The families of both ends.
    pub(crate) agreed: [bool; 2],
}

impl Kind {
    pub(crate) const fn new(v6: bool) -> Self {
        Self {
            v6,
            internal: false,
            asn: SHORT,
            families: [true, true],
            neighbour: "",
            expected: None,
            offered: None,
            agreed: [true, true],
        }
    }

    pub(crate) const fn us(&self) -> &'static str {
        if self.v6 { "2001:db8:ff::2" } else { "192.0.2.2" }
    }

    pub(crate) const fn them(&self) -> &'static str {
        if self.v6 { "2001:db8:ff::1" } else { "192.0.2.1" }
    }

    pub(crate) const fn router_as(&self) -> u32 {
        if self.internal { self.asn } else { OTHER }
    }

    pub(crate) fn frr(&self) -> String {
        let (us, router_as) = (self.us(), self.router_as());
        let asn = self.asn;
        let lines = self.neighbour.replace('@', us);
        let (family_lines, lines) = lines.split_once('|').unwrap_or(("", &lines));
        let family = |n: usize, name: &str| {
            let activate = format!("  neighbor {us} activate\n{family_lines}");
            let activate = if self.families[n] { activate } else { String::new() };
            format!(
                " address-family {name} unicast\n  network {}\n{activate} exit-address-family\n",
                THEIRS[n]
            )
        };
        format!(
            "router bgp {router_as}\n bgp router-id 192.0.2.1\n no bgp ebgp-requires-policy
 no bgp default ipv4-unicast\n no bgp network import-check\n coalesce-time 1
 neighbor {us} remote-as {asn}\n neighbor {us} timers connect 1\n neighbor {us} passive\n{lines}\n{}{}",
            family(0, "ipv4"),
            family(1, "ipv6"),
        )
    }

    pub(crate) fn bird(&self) -> String {
        let (us, them, router_as) = (self.us(), self.them(), self.router_as());
        let expected = self.expected.map_or_else(|| format!("as {}", self.asn), str::to_owned);
        let (channels, lines) = self.neighbour.split_once('|').unwrap_or(("", self.neighbour));
        let channel = |n: usize, name: &str| {
            let channel = format!("{name} {{ import all; export all; {channels} }}; ");
            if self.families[n] { channel } else { String::new() }
        };
        format!(
            "protocol static {{ ipv4; route {} blackhole; }}\nprotocol static {{ ipv6; route {} blackhole; }}
protocol bgp node {{ local {them} as {router_as}; neighbor {us} {expected}; passive on; direct; {}{}
  connect delay time 1; connect retry time 1; error wait time 1,1; {lines} }}\n",
            THEIRS[0],
            THEIRS[1],
            channel(0, "ipv4"),
            channel(1, "ipv6"),
        )
    }

    /// Whether the router offers four-octet AS numbers.
    fn knows_long_numbers(&self) -> bool {
        !["dont-capability", "as4 off", "capabilities off"].iter().any(|line| self.neighbour.contains(line))
    }

    pub(crate) fn peer(&self) -> PeerConfig {
        let address: IpAddr = router(self.v6);
        let mut peer = mk_router(address, self.asn);
        peer.remote_asn = metallb_bgp::types::RemoteAs::Asn(metallb_bgp::types::Asn::new(self.router_as()));
        let same = match self.families {
            [true, true] => OfferedFamilies::Both,
            [true, false] => OfferedFamilies::Ipv4,
            _ => OfferedFamilies::Ipv6,
        };
        peer.families = self.offered.unwrap_or(same);
        // A bgpd without zebra knows no interfaces and refuses link-local next hops.
        peer.next_hops.v6 = Some("2001:db8:ff::2".parse().unwrap());
        peer.import = true;
        peer
    }
}

/// Every kind of session with a router that knows long AS numbers.
pub(crate) fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for v6 in [false, true] {
        for internal in [false, true] {
            for asn in [SHORT, LONG] {
                for families in [[true, false], [false, true], [true, true]] {
                    kinds.push(Kind { internal, asn, families, agreed: families, ..Kind::new(v6) });
                }
            }
        }
    }
    kinds
}

/// Brings the session up and hands over what both ends say: waits for our routes at the router and for the
/// router's routes here.
pub(crate) async fn exchange(
    kind: &Kind,
    peer: PeerConfig,
    arrived: impl AsyncFn(&str) -> Option<()>,
) -> PeerSnapshot {
    let (speaker, mut events) = mk_speaker(2, &[]);
    for route in OURS {
        speaker.set_prefix(prefix(route), to("router", RouteAttributes::new()));
    }
    speaker.table_complete();
    speaker.set_peer("router".into(), peer);
    let expected = |routes: &[&'static str; 2]| -> Vec<&'static str> {
        (0..2).filter(|n| kind.agreed[*n]).map(|n| routes[n]).collect()
    };
    for route in expected(&OURS) {
        eventually(route, async || arrived(route).await).await;
    }
    let theirs: Vec<IpNetwork> = expected(&THEIRS).into_iter().map(prefix).collect();
    let mut routes = Routes::default();
    routes.until(&mut events, "the router's routes", |r| theirs.iter().all(|p| r.held.contains_key(p))).await;
    for attributes in theirs.iter().map(|prefix| &routes.held[prefix]) {
        let path = if kind.internal { String::new() } else { OTHER.to_string() };
        assert_eq!(attributes.as_path.to_string(), path);
        assert_eq!(attributes.local_pref, kind.internal.then_some(100));
    }
    let agreed: Vec<Family> =
        FAMILIES.into_iter().zip(kind.agreed).filter(|(_, on)| *on).map(|(family, _)| family).collect();
    let snapshot = snapshot_until(&speaker, "router", "all sent", |s| s.queued_octets == 0).await;
    assert_eq!(snapshot.negotiated.as_ref().unwrap().families, agreed);
    assert_eq!((snapshot.unsendable, snapshot.counters.established), (0, 1));
    let advertised = [snapshot.advertised_v4, snapshot.advertised_v6];
    assert_eq!(advertised, kind.agreed.map(u64::from));
    snapshot
}

/// What FRR has of one of our routes is what it should be.
fn check_frr_route(kind: &Kind, path: &Value) {
    let route = path.to_string();
    // FRR disregards the AS4_PATH of a neighbour that offers long numbers, whether or not it does so itself.
    let short = kind.asn > u32::from(u16::MAX) && !kind.knows_long_numbers();
    let asn = if short { 23456 } else { kind.asn };
    let as_path = if kind.internal { "Local".to_owned() } else { asn.to_string() };
    assert_eq!(path["aspath"]["string"], as_path, "{route}");
    assert_eq!(path["origin"], "IGP");
    assert_eq!(path["locPrf"].as_u64(), kind.internal.then_some(100), "{route}");
    assert_eq!(path["peer"]["type"], if kind.internal { "internal" } else { "external" });
    assert_eq!(path["peer"]["routerId"], "192.0.2.2");
}

fn with_frr(kind: &Kind) -> bool {
    let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return false };
    eprintln!("FRR, {kind:?}");
    lab.run(async |lab| {
        // Without zebra bgpd has no IPv4 next hop to send on an IPv6 session.
        let line = if kind.v6 { HOPS } else { kind.neighbour };
        let frr = Frr::start(lab, &Kind { neighbour: line, ..kind.clone() }.frr()).await;
        let arrived = async |route: &str| frr.route(route)["valid"].as_bool().filter(|v| *v).map(|_| ());
        exchange(kind, kind.peer(), arrived).await;
        for (n, route) in OURS.into_iter().enumerate() {
            let path = frr.route(route);
            assert_eq!(!path.is_null(), kind.agreed[n], "{path}");
            if kind.agreed[n] {
                check_frr_route(kind, &path);
                let hop = ["192.0.2.2", "2001:db8:ff::2"][n];
                assert_eq!(path["nexthops"][0]["ip"], hop, "{path}");
            }
        }
        let state = frr.neighbour(kind.us());
        if kind.knows_long_numbers() {
            check_frr_agreement(kind, &state);
        } else {
            assert_eq!(state["neighborCapabilities"]["4byteAs"], "received");
        }
        assert_eq!((&state["remoteAs"], &state["connectionsEstablished"]), (&kind.asn.into(), &1.into()));
    });
    true
}

fn with_bird(kind: &Kind) -> bool {
    let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return false };
    eprintln!("BIRD, {kind:?}");
    lab.run(async |lab| {
        let bird = Bird::start(lab, &kind.bird()).await;
        exchange(kind, kind.peer(), async |route| bird.has_route(route, &[])).await;
        let path = if kind.internal { String::new() } else { kind.asn.to_string() };
        for (n, route) in OURS.into_iter().enumerate().filter(|(n, _)| kind.agreed[*n]) {
            let hop = ["BGP.next_hop: 192.0.2.2", "BGP.next_hop: 2001:db8:ff::2"][n];
            let as_path = format!("BGP.as_path: {path}\n");
            let words = ["BGP.origin: IGP", "BGP.local_pref: 100", hop, &as_path];
            let said = bird.ask(&format!("show route {route} all"));
            assert!(bird.has_route(route, &words).is_some(), "{words:?} in {said}");
        }
        let said = bird.ask("show protocols all node");
        let side = if kind.internal { "internal" } else { "external" };
        let width = if kind.knows_long_numbers() { " AS4" } else { "" };
        assert!(said.contains(&format!("Session:          {side}{width}\n")), "{said}");
        let neighbour = if kind.expected == Some(AS_TRANS) { 23456 } else { kind.asn };
        assert!(said.contains(&format!("Neighbor AS:      {neighbour}\n")), "{said}");
    });
    true
}

fn check_frr_agreement(kind: &Kind, state: &Value) {
    let capabilities = &state["neighborCapabilities"];
    for (n, family) in ["ipv4Unicast", "ipv6Unicast"].into_iter().enumerate() {
        let agreed = &capabilities["multiprotocolExtensions"][family]["advertisedAndReceived"];
        assert_eq!(agreed.as_bool().unwrap_or(false), kind.agreed[n], "{capabilities}");
        let ended = &state["gracefulRestartInfo"]["endOfRibRecv"][family];
        assert_eq!(ended.as_bool().unwrap_or(false), kind.agreed[n], "End-of-RIB of {family}");
    }
    assert_eq!(capabilities["4byteAs"], "advertisedAndReceived");
}

// req: A1, A2, C1, C3, T7
#[test]
fn every_kind_of_session_works_with_frr() {
    // All until one says that it was skipped.
    let _ = kinds().iter().all(with_frr);
}

// req: A1, A2, C1, C3, T7
#[test]
fn every_kind_of_session_works_with_bird() {
    let _ = kinds().iter().all(with_bird);
}

/// Short and long numbers, and an internal session, with a router that knows short ones only.
fn old(neighbour: &'static str, families: [bool; 2], expected: Option<&'static str>) -> [Kind; 3] {
    let kind = Kind { neighbour, families, agreed: families, ..Kind::new(false) };
    let internal = Kind { internal: true, ..kind.clone() };
    [internal, kind.clone(), Kind { asn: LONG, expected, ..kind }]
}

// req: C3
#[test]
fn an_old_frr_gets_as_trans() {
    let _ = old(" neighbor @ dont-capability-negotiate\n", [true, false], None).iter().all(with_frr);
}

// req: C3
#[test]
fn an_old_bird_gets_as_trans_and_the_path_beside_it() {
    let without_anything = old("capabilities off;", [true, false], Some(AS_TRANS));
    let without_long_numbers = old("enable as4 off;", [true, true], Some("external"));
    let _ = without_long_numbers.iter().chain(&without_anything).all(with_bird);
}

// req: !C1
#[test]
fn a_family_that_one_end_does_not_offer_is_left_alone() {
    for v6 in [false, true] {
        for (families, offered, agreed) in [
            ([true, true], OfferedFamilies::Ipv4, [true, false]),
            ([true, true], OfferedFamilies::Ipv6, [false, true]),
            ([true, false], OfferedFamilies::Both, [true, false]),
            ([false, true], OfferedFamilies::Both, [false, true]),
        ] {
            let kind = Kind { families, offered: Some(offered), agreed, ..Kind::new(v6) };
            if !(with_frr(&kind) && with_bird(&kind)) {
                return;
            }
        }
    }
}

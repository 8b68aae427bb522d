//! Host routes as a node announces them: packed, read and judged, and kept in a table for eight peers.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark may stop when its input is wrong; a session takes a time to start from"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use metallb_bgp::session::{ConnectionId, Effect, Endpoints, PeerConfig, PeerKey, Session};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{
    AsPath, Asn, AsnWidth, Attributes, Community, Families, Family, HoldTime, LargeCommunity, PeerKind,
    RemoteAs, RouterId,
};
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::header::{Framer, MessageLimit};
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::open::Open;
use metallb_bgp::wire::pack::{Announcements, AttributeBlock, PathEncoding, WirePrefix, Withdrawals};
use metallb_bgp::wire::update::{UpdateContext, UpdateView};

use crate::operation::Batch;

const LOCAL: Asn = Asn::new(64513);
const REMOTE: Asn = Asn::new(64512);
const PEERS: u32 = 8;

fn ipv4_host(n: u32) -> Ipv4Network {
    Ipv4Network::new(Ipv4Addr::from_bits(0x0a00_0000 + n), 32).unwrap()
}

fn ipv4_hosts(count: u32) -> Vec<Ipv4Network> {
    (0..count).map(ipv4_host).collect()
}

fn ipv6_hosts(count: u32) -> Vec<Ipv6Network> {
    let base = 0x2001_0db8_u128 << 96;
    (0..count).map(|n| Ipv6Network::new(Ipv6Addr::from_bits(base + u128::from(n)), 128).unwrap()).collect()
}

/// What a node sends: a path, a community of each kind; the MED tells groups apart.
fn block(family: Family, group: u32) -> AttributeBlock {
    let next_hop: IpAddr = match family {
        Family::Ipv4Unicast => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::Ipv6Unicast => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let mut attributes = Attributes::originate(next_hop.into());
    attributes.as_path = AsPath::sequence([LOCAL]);
    attributes.communities = vec![Community::new(64512, 100)];
    attributes.large_communities = vec![LargeCommunity::new(64512, 1, 2)];
    attributes.med = Some(group);
    let encoding = PathEncoding { peer: PeerKind::External, asn_width: AsnWidth::Four };
    AttributeBlock::encode(&attributes, family, encoding).unwrap()
}

/// Packs all prefixes, evenly shared out among the groups.
fn announce<P: WirePrefix>(blocks: &[AttributeBlock], prefixes: &[P], out: &mut Vec<u8>) {
    let per_group = prefixes.len().div_ceil(blocks.len());
    for (block, prefixes) in blocks.iter().zip(prefixes.chunks(per_group)) {
        let mut messages = Announcements::new(block, prefixes, MessageLimit::Standard);
        while messages.write_next(out).unwrap() > 0 {}
    }
}

fn encoding<P: WirePrefix + 'static>(blocks: Vec<AttributeBlock>, prefixes: Vec<P>) -> Box<dyn Batch> {
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        announce(&blocks, black_box(&prefixes), &mut out);
        black_box(&out);
    })
}

/// All prefixes with the same attributes.
pub(crate) fn encode_one_group(prefixes: u32, _: u32) -> Box<dyn Batch> {
    encoding(vec![block(Family::Ipv4Unicast, 0)], ipv4_hosts(prefixes))
}

/// Attributes of 64 kinds.
pub(crate) fn encode_64_groups(prefixes: u32, _: u32) -> Box<dyn Batch> {
    encoding((0..64).map(|group| block(Family::Ipv4Unicast, group)).collect(), ipv4_hosts(prefixes))
}

/// Prefixes whose type leaves open of which family they are.
pub(crate) fn encode_general(prefixes: u32, _: u32) -> Box<dyn Batch> {
    let prefixes: Vec<IpNetwork> = ipv4_hosts(prefixes).into_iter().map(IpNetwork::V4).collect();
    encoding(vec![block(Family::Ipv4Unicast, 0)], prefixes)
}

/// IPv6, in MP_REACH_NLRI.
pub(crate) fn encode_ipv6(prefixes: u32, _: u32) -> Box<dyn Batch> {
    encoding(vec![block(Family::Ipv6Unicast, 0)], ipv6_hosts(prefixes))
}

/// Everything is withdrawn.
pub(crate) fn encode_withdrawals(prefixes: u32, _: u32) -> Box<dyn Batch> {
    let (prefixes, mut out) = (ipv4_hosts(prefixes), Vec::new());
    Box::new(move || {
        out.clear();
        let mut messages =
            Withdrawals::new(Family::Ipv4Unicast, black_box(&prefixes), MessageLimit::Standard);
        while messages.write_next(&mut out).unwrap() > 0 {}
        black_box(&out);
    })
}

/// Cuts, judges and reads everything; the result depends on every prefix.
fn decode(mut stream: &[u8], context: &UpdateContext) -> (usize, u32) {
    let mut framer = Framer::new();
    let (mut count, mut sum) = (0, 0_u32);
    while let Some(frame) = framer.next_frame(&mut stream).unwrap() {
        let classified = UpdateView::parse(frame).unwrap().classify(context);
        for reach in classified.reach() {
            for prefix in reach.prefixes {
                count += 1;
                sum = sum.wrapping_add(match prefix {
                    IpNetwork::V4(network) => network.ip().to_bits(),
                    IpNetwork::V6(network) => u32::from(network.ip().octets()[15]),
                });
            }
        }
    }
    (count, sum)
}

fn decoding<P: WirePrefix>(family: Family, prefixes: &[P]) -> Box<dyn Batch> {
    let context = UpdateContext::new(PeerKind::External, LOCAL, AsnWidth::Four, Families::BOTH);
    let mut stream = Vec::new();
    announce(&[block(family, 0)], prefixes, &mut stream);
    let expected = prefixes.len();
    Box::new(move || {
        let (count, sum) = decode(black_box(&stream), &context);
        assert_eq!(count, expected);
        black_box(sum);
    })
}

/// Host routes.
pub(crate) fn decode_ipv4(prefixes: u32, _: u32) -> Box<dyn Batch> {
    decoding(Family::Ipv4Unicast, &ipv4_hosts(prefixes))
}

/// Lengths from 16 to 32, in no order.
pub(crate) fn decode_mixed(prefixes: u32, _: u32) -> Box<dyn Batch> {
    let mixed: Vec<Ipv4Network> = (0..prefixes)
        .map(|n| Ipv4Network::new(ipv4_host(n).ip(), u8::try_from(16 + n * 7 % 17).unwrap()).unwrap())
        .collect();
    decoding(Family::Ipv4Unicast, &mixed)
}

/// IPv6 host routes.
pub(crate) fn decode_ipv6(prefixes: u32, _: u32) -> Box<dyn Batch> {
    decoding(Family::Ipv6Unicast, &ipv6_hosts(prefixes))
}

fn peer(n: u32) -> PeerKey {
    PeerKey::new(format!("peer-{n}"))
}

fn routes(community: u32) -> Vec<Announcement> {
    let attributes = RouteAttributes::new().with_communities([Community(community)]);
    vec![Announcement { peers: (0..PEERS).map(peer).collect(), attributes }]
}

/// A session with an open connection to a peer that agrees to everything standard.
fn session(n: u32, now: Instant, table: &mut AdvTable) -> (Session, ConnectionId) {
    let remote = SocketAddr::from(([192, 0, 2, 1], 179));
    let config = PeerConfig::new(remote, LOCAL, RemoteAs::Asn(REMOTE));
    let id = |last| RouterId::new(Ipv4Addr::new(10, 0, 0, last)).unwrap();
    let mut session = Session::new(peer(n), config, id(1));
    session.start(now);
    let Some(Effect::Connect(connection)) = session.poll_effect(table) else { unreachable!() };
    let local = SocketAddr::from(([192, 0, 2, 2], 40000));
    session.handle_connected(now, connection, Endpoints::new(local, remote));
    let capabilities = vec![Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi())];
    let mut octets = Vec::new();
    Open::new(REMOTE, HoldTime::DEFAULT, id(2), capabilities).encode(&mut octets).unwrap();
    keepalive::encode(&mut octets);
    session.handle_data(now, connection, &octets);
    (session, connection)
}

/// A table with its sessions, all of it sent.
struct Speaker {
    now: Instant,
    table: AdvTable,
    sessions: Vec<(Session, ConnectionId)>,
    out: Vec<u8>,
}

impl Speaker {
    fn new(prefixes: u32) -> Self {
        let now = Instant::now();
        let mut table = AdvTable::new();
        let first = routes(1);
        for n in 0..prefixes {
            table.set(ipv4_host(n).into(), &first);
        }
        table.complete();
        let sessions = (0..PEERS).map(|n| session(n, now, &mut table)).collect();
        let mut speaker = Self { now, table, sessions, out: Vec::new() };
        assert!(speaker.send() > u64::from(prefixes * PEERS));
        speaker
    }

    /// Takes everything the sessions have to say; returns octets.
    fn send(&mut self) -> u64 {
        let mut total = 0;
        for (session, id) in &mut self.sessions {
            self.out.clear();
            while session.poll_transmit(self.now, *id, &mut self.table, &mut self.out) {
                session.handle_written(self.now, *id, self.out.len());
                total += self.out.len() as u64;
                self.out.clear();
            }
        }
        total
    }
}

/// One prefix gets other attributes, and every peer its UPDATE.
pub(crate) fn one_change(prefixes: u32, operations: u32) -> Box<dyn Batch> {
    let mut speaker = Speaker::new(prefixes);
    let values = [routes(2), routes(3)];
    let mut values = (0..).map(move |turn: usize| values.get(turn % 2).cloned().unwrap());
    let mut next = values.next().unwrap();
    Box::new(move || {
        for n in 0..operations {
            assert!(speaker.table.set(ipv4_host(n).into(), black_box(&next)));
            assert!(speaker.send() > 0);
        }
        next = values.next().unwrap();
    })
}

/// A table is filled and told to eight peers from its beginning.
struct Filling {
    prefixes: u32,
    speaker: Option<Speaker>,
}

impl Batch for Filling {
    fn run(&mut self) {
        self.speaker = Some(Speaker::new(self.prefixes));
    }

    fn undo(&mut self) {
        self.speaker = None;
    }
}

/// A table with eight sessions comes into being, and all of it is sent.
pub(crate) fn fill(prefixes: u32, _: u32) -> Box<dyn Batch> {
    Box::new(Filling { prefixes, speaker: None })
}

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
/// Peers of a node.
pub const PEERS: u32 = 8;

/// One of as many host routes as are wanted.
pub fn ipv4_host(n: u32) -> Ipv4Network {
    Ipv4Network::new(Ipv4Addr::from_bits(0x0a00_0000 + n), 32).unwrap()
}

/// IPv4 host routes.
pub fn ipv4_hosts(count: u32) -> Vec<Ipv4Network> {
    (0..count).map(ipv4_host).collect()
}

/// IPv6 host routes.
pub fn ipv6_hosts(count: u32) -> Vec<Ipv6Network> {
    let base = 0x2001_0db8_u128 << 96;
    (0..count).map(|n| Ipv6Network::new(Ipv6Addr::from_bits(base + u128::from(n)), 128).unwrap()).collect()
}

/// What a node sends: a path, a community of each kind; the MED tells groups apart.
pub fn block(family: Family, group: u32) -> AttributeBlock {
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
pub fn announce<P: WirePrefix>(blocks: &[AttributeBlock], prefixes: &[P], out: &mut Vec<u8>) {
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

/// Packs withdrawals of all prefixes.
pub fn withdraw<P: WirePrefix>(family: Family, prefixes: &[P], out: &mut Vec<u8>) {
    let mut messages = Withdrawals::new(family, prefixes, MessageLimit::Standard);
    while messages.write_next(out).unwrap() > 0 {}
}

/// Everything is withdrawn.
pub(crate) fn encode_withdrawals(prefixes: u32, _: u32) -> Box<dyn Batch> {
    let (prefixes, mut out) = (ipv4_hosts(prefixes), Vec::new());
    Box::new(move || {
        out.clear();
        withdraw(Family::Ipv4Unicast, black_box(&prefixes), &mut out);
        black_box(&out);
    })
}

/// A session with a peer outside the AS.
pub const fn context() -> UpdateContext {
    UpdateContext::new(PeerKind::External, LOCAL, AsnWidth::Four, Families::BOTH)
}

/// Cuts, judges and reads everything; returns how many prefixes there were, and a sum that depends on each.
pub fn decode(mut stream: &[u8], context: &UpdateContext) -> (usize, u32) {
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
    let context = context();
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

/// Prefixes whose lengths follow each other in no order, so that nothing can be guessed.
pub fn ipv4_mixed(count: u32, lengths: &[u8]) -> Vec<Ipv4Network> {
    let mut state = 1_u32;
    let mut length = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *lengths.get((state >> 16) as usize % lengths.len()).unwrap()
    };
    (0..count).map(|n| Ipv4Network::new(ipv4_host(n).ip(), length()).unwrap()).collect()
}

/// Lengths from 16 to 32, in no order.
pub(crate) fn decode_mixed(prefixes: u32, _: u32) -> Box<dyn Batch> {
    let lengths: Vec<u8> = (16..=32).collect();
    decoding(Family::Ipv4Unicast, &ipv4_mixed(prefixes, &lengths))
}

/// IPv6 host routes.
pub(crate) fn decode_ipv6(prefixes: u32, _: u32) -> Box<dyn Batch> {
    decoding(Family::Ipv6Unicast, &ipv6_hosts(prefixes))
}

fn peer(n: u32) -> PeerKey {
    PeerKey::new(format!("peer-{n}"))
}

/// A route to every peer.
pub fn routes(community: u32) -> Vec<Announcement> {
    let attributes = RouteAttributes::new().with_communities([Community(community)]);
    vec![Announcement { peers: (0..PEERS).map(peer).collect(), attributes }]
}

/// A table of host routes, complete, whose attributes are of as many kinds as groups.
pub fn table(prefixes: u32, groups: u32) -> AdvTable {
    let mut table = AdvTable::new();
    let routes: Vec<_> = (0..groups).map(routes).collect();
    for (n, routes) in (0..prefixes).zip(routes.iter().cycle()) {
        table.set(ipv4_host(n).into(), routes);
    }
    table.complete();
    table
}

/// A session with an open connection to a peer that agrees to everything standard.
pub fn session(n: u32, now: Instant, table: &mut AdvTable) -> (Session, ConnectionId) {
    let remote = SocketAddr::from(([192, 0, 2, 1], 179));
    let config = PeerConfig::new(remote, LOCAL, RemoteAs::Asn(REMOTE), 0);
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

/// Takes everything a session has to say; returns octets.
pub fn drain(
    session: &mut Session,
    id: ConnectionId,
    now: Instant,
    table: &mut AdvTable,
    out: &mut Vec<u8>,
) -> u64 {
    let mut total = 0;
    out.clear();
    while session.poll_transmit(now, id, table, out) {
        session.handle_written(now, id, out.len());
        total += out.len() as u64;
        out.clear();
    }
    total
}

/// A table with its sessions, all of it sent.
#[derive(Debug)]
pub struct Speaker {
    now: Instant,
    table: AdvTable,
    sessions: Vec<(Session, ConnectionId)>,
    out: Vec<u8>,
}

impl Speaker {
    /// As many host routes as `prefixes`, told to every peer.
    pub fn new(prefixes: u32) -> Self {
        let now = Instant::now();
        let mut table = table(prefixes, 1);
        let sessions = (0..PEERS).map(|n| session(n, now, &mut table)).collect();
        let mut speaker = Self { now, table, sessions, out: Vec::new() };
        assert!(speaker.send() > u64::from(prefixes * PEERS));
        speaker
    }

    /// Gives one prefix these routes and tells the peers.
    pub fn change(&mut self, n: u32, routes: &[Announcement]) {
        assert!(self.table.set(ipv4_host(n).into(), routes), "a change");
        assert!(self.send() > u64::from(PEERS), "an UPDATE to each");
    }

    /// Takes everything the sessions have to say; returns octets.
    fn send(&mut self) -> u64 {
        let Self { now, table, sessions, out } = self;
        sessions.iter_mut().map(|(session, id)| drain(session, *id, *now, table, out)).sum()
    }
}

/// One prefix gets other attributes, and every peer its UPDATE.
pub(crate) fn one_change(prefixes: u32, operations: u32) -> Box<dyn Batch> {
    let mut speaker = Speaker::new(prefixes);
    let mut values = [routes(2), routes(3)].into_iter().cycle();
    Box::new(move || {
        let next = values.next().unwrap();
        for n in 0..operations {
            speaker.change(n, black_box(&next));
        }
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

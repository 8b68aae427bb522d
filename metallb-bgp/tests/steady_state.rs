//! An established session takes nothing from the allocator for what happens all the time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unsafe_code,
    reason = "tests; an allocator that counts has to be one; the clock is read once as the base of virtual time"
)]

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/established.rs"]
mod established;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use ipnetwork::IpNetwork;
use metallb_bgp::session::{ConnectionId, Event, PeerKey, Session};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{AsPath, AsnWidth, Attributes, Community, Family, LargeCommunity, PeerKind};
use metallb_bgp::wire::header::MessageLimit;
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::pack::{Announcements, AttributeBlock, PathEncoding, Withdrawals};

use allocations::allocations;
use established::{REMOTE, mk_established, prefix};

const PEERS: u32 = 8;

fn key(n: u32) -> PeerKey {
    PeerKey::new(format!("peer-{n}"))
}

/// A route for all peers.
fn route(community: u32) -> Vec<Announcement> {
    let attributes = RouteAttributes::new()
        .with_communities([Community(community), Community(7)])
        .with_large_communities([LargeCommunity::new(1, 2, community)]);
    vec![Announcement { peers: (0..PEERS).map(key).collect(), attributes }]
}

/// An established session with its socket, which takes everything.
struct Peer {
    session: Session,
    id: ConnectionId,
    now: Instant,
    out: Vec<u8>,
}

impl Peer {
    fn new(n: u32, now: Instant, table: &mut AdvTable) -> Self {
        let (session, id) = mk_established(key(n), now, table);
        let mut peer = Self { session, id, now, out: Vec::with_capacity(1 << 17) };
        while peer.session.poll_event().is_some() {}
        peer.transmit(table);
        peer
    }

    /// Hands everything to the socket; returns how many octets that were.
    fn transmit(&mut self, table: &mut AdvTable) -> usize {
        let mut octets = 0;
        self.out.clear();
        while self.session.poll_transmit(self.now, self.id, table, &mut self.out) {
            self.session.handle_written(self.now, self.id, self.out.len());
            octets += self.out.len();
            self.out.clear();
        }
        assert_eq!(self.session.poll_effect(table), None);
        let event = self.session.poll_event();
        assert!(matches!(event, None | Some(Event::Advertised { .. })), "{event:?}");
        octets
    }
}

fn filled(prefixes: u32) -> AdvTable {
    let mut table = AdvTable::new();
    let routes = route(1);
    for n in 0..prefixes {
        table.set(prefix(n), &routes);
    }
    table.complete();
    table
}

#[test]
fn keepalives_in_and_out_do_not_allocate() {
    let mut table = filled(100);
    let mut peer = Peer::new(0, Instant::now(), &mut table);
    let mut keepalive = Vec::new();
    keepalive::encode(&mut keepalive);
    for round in 0..20 {
        let mut sent = 0;
        let count = allocations(|| {
            // Other timers may be due before it is time for a KEEPALIVE.
            while sent == 0 {
                peer.session.handle_data(peer.now, peer.id, &keepalive);
                peer.now = peer.session.next_timeout().unwrap();
                peer.session.handle_timeout(peer.now);
                sent = peer.transmit(&mut table);
            }
        });
        assert_eq!(sent, keepalive.len());
        assert!(count == 0 || round == 0, "{count} allocations in round {round}");
    }
}

/// An UPDATE that announces and one that withdraws.
fn updates() -> Vec<u8> {
    let mut attributes = Attributes::originate(IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)).into());
    attributes.as_path = AsPath::sequence([REMOTE]);
    let encoding = PathEncoding { peer: PeerKind::External, asn_width: AsnWidth::Four };
    let block = AttributeBlock::encode(&attributes, Family::Ipv4Unicast, encoding).unwrap();
    let prefixes: Vec<IpNetwork> = (0..500).map(prefix).collect();
    let mut octets = Vec::new();
    Announcements::new(&block, &prefixes, MessageLimit::Standard).write_next(&mut octets).unwrap();
    let mut withdrawals = Withdrawals::new(Family::Ipv4Unicast, &prefixes, MessageLimit::Standard);
    withdrawals.write_next(&mut octets).unwrap();
    octets
}

#[test]
fn an_update_that_comes_in_whole_does_not_allocate() {
    let mut table = filled(100);
    let mut peer = Peer::new(0, Instant::now(), &mut table);
    let updates = updates();
    let count = allocations(|| {
        for _ in 0..20 {
            peer.session.handle_data(peer.now, peer.id, &updates);
        }
    });
    assert_eq!(count, 0);
    assert_eq!(peer.session.snapshot(&table).counters.updates_received, 40);
}

/// Allocations of the table and of all sessions for one change, as soon as they have settled.
fn for_one_change(prefixes: u32) -> (usize, usize) {
    let mut table = filled(prefixes);
    let now = Instant::now();
    let mut peers: Vec<Peer> = (0..PEERS).map(|n| Peer::new(n, now, &mut table)).collect();
    let mut last = (0, 0);
    for round in 0..20 {
        let (routes, changed) = (route(2 + round), prefix(round * 7 % prefixes));
        last.0 = allocations(|| assert!(table.set(changed, &routes)));
        last.1 = allocations(|| {
            for peer in &mut peers {
                assert_ne!(peer.transmit(&mut table), 0);
            }
        });
    }
    last
}

#[test]
fn a_change_allocates_for_what_the_table_keeps_and_nothing_on_its_way_to_eight_peers() {
    let (small, large) = (for_one_change(100), for_one_change(10_000));
    assert_eq!((small.1, large.1), (0, 0), "in the sessions");
    assert!(large.0 <= 20 && large.0 <= small.0 + 1, "{} and {} in the table", small.0, large.0);
}

//! The advertisement table and the sessions that read it: filling, first dump, one change for eight peers.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark, not a library")]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ipnetwork::{IpNetwork, Ipv4Network};
use metallb_bgp::session::{ConnectionId, Effect, Endpoints, PeerConfig, PeerKey, Session};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Community, Family, HoldTime, RemoteAs, RouterId};
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::open::Open;

const PREFIXES: u32 = 100_000;
const PEERS: u32 = 8;

fn prefix(n: u32) -> IpNetwork {
    IpNetwork::V4(Ipv4Network::new(Ipv4Addr::from_bits(0x0a00_0000 + n), 32).unwrap())
}

fn peer(n: u32) -> PeerKey {
    PeerKey::new(format!("peer-{n}"))
}

fn routes(community: u32) -> Vec<Announcement> {
    let attributes = RouteAttributes::new().with_communities([Community(community)]);
    vec![Announcement { peers: (0..PEERS).map(peer).collect(), attributes }]
}

fn mk_table(groups: u32) -> AdvTable {
    let mut table = AdvTable::new();
    let routes: Vec<_> = (0..groups).map(routes).collect();
    for n in 0..PREFIXES {
        table.set(prefix(n), routes.get((n % groups) as usize).unwrap());
    }
    table.complete();
    table
}

/// A session with an open connection to a peer that agrees to everything standard.
fn mk_session(n: u32, now: Instant, table: &mut AdvTable) -> (Session, ConnectionId) {
    let remote = SocketAddr::from(([192, 0, 2, 1], 179));
    let config = PeerConfig::new(remote, Asn::new(64513), RemoteAs::Asn(Asn::new(64512)));
    let id = |last| RouterId::new(Ipv4Addr::new(10, 0, 0, last)).unwrap();
    let mut session = Session::new(peer(n), config, id(1));
    session.start(now);
    let Some(Effect::Connect(connection)) = session.poll_effect(table) else { unreachable!() };
    let local = SocketAddr::from(([192, 0, 2, 2], 40000));
    session.handle_connected(now, connection, Endpoints::new(local, remote));
    let capabilities = vec![Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi())];
    let mut octets = Vec::new();
    Open::new(Asn::new(64512), HoldTime::DEFAULT, id(2), capabilities).encode(&mut octets).unwrap();
    keepalive::encode(&mut octets);
    session.handle_data(now, connection, &octets);
    (session, connection)
}

/// Takes everything the session has to say; returns octets.
fn drain(
    session: &mut Session,
    id: ConnectionId,
    now: Instant,
    table: &mut AdvTable,
    out: &mut Vec<u8>,
) -> usize {
    let mut total = 0;
    out.clear();
    while session.poll_transmit(now, id, table, out) {
        session.handle_written(now, id, out.len());
        total += out.len();
        out.clear();
    }
    total
}

fn bench(c: &mut Criterion) {
    let now = Instant::now();
    let mut group = c.benchmark_group("bgp_table");
    group.throughput(Throughput::Elements(PREFIXES.into())).sample_size(20);
    group.bench_function("fill, 100k prefixes", |b| b.iter(|| black_box(mk_table(1))));
    for groups in [1, 64] {
        let mut table = mk_table(groups);
        group.bench_function(format!("first dump, 100k prefixes, {groups} attribute sets"), |b| {
            let mut out = Vec::new();
            b.iter_batched(
                || (),
                |()| {
                    let (mut session, id) = mk_session(0, now, &mut table);
                    let octets = drain(&mut session, id, now, &mut table, &mut out);
                    let updates = session.snapshot(&table).counters.updates_sent;
                    if groups == 1 {
                        assert_eq!(updates, 124 + 1, "full messages, then End-of-RIB");
                    }
                    session.handle_closed(now, id, None);
                    while session.poll_effect(&mut table).is_some() {}
                    black_box(octets)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();

    let mut table = mk_table(1);
    let mut sessions: Vec<_> = (0..PEERS).map(|n| mk_session(n, now, &mut table)).collect();
    let mut out = Vec::new();
    for (session, id) in &mut sessions {
        drain(session, *id, now, &mut table, &mut out);
    }
    let (a, b_) = (routes(1), routes(2));
    let mut flip = 0_u32;
    c.bench_function("bgp_table/one change of 100k prefixes to 8 peers", |b| {
        b.iter(|| {
            flip += 1;
            table.set(prefix(flip % PREFIXES), if flip.is_multiple_of(2) { &a } else { &b_ });
            for (session, id) in &mut sessions {
                black_box(drain(session, *id, now, &mut table, &mut out));
            }
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! A session with a peer that says no more than it must, without a driver.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use ipnetwork::{IpNetwork, Ipv4Network};
use metallb_bgp::session::{ConnectionId, Effect, Endpoints, PeerConfig, PeerKey, Session};
use metallb_bgp::table::AdvTable;
use metallb_bgp::types::{Asn, Family, HoldTime, RemoteAs, RouterId};
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::open::Open;

pub(crate) const LOCAL: Asn = Asn::new(64513);
pub(crate) const REMOTE: Asn = Asn::new(64512);

/// The `n`th host of 10.0.0.0/8.
pub(crate) fn prefix(n: u32) -> IpNetwork {
    Ipv4Network::new(Ipv4Addr::from_bits(0x0a00_0000 + n), 32).unwrap().into()
}

/// A session that has heard OPEN and KEEPALIVE; what it wants to say and to report has not been fetched.
pub(crate) fn mk_established(peer: PeerKey, now: Instant, table: &mut AdvTable) -> (Session, ConnectionId) {
    let remote = SocketAddr::from(([192, 0, 2, 1], 179));
    let router_id = |last| RouterId::new(Ipv4Addr::new(10, 0, 0, last)).unwrap();
    let config = PeerConfig::new(remote, LOCAL, RemoteAs::Asn(REMOTE), 0);
    let mut session = Session::new(peer, config, router_id(1));
    session.start(now);
    let Some(Effect::Connect(id)) = session.poll_effect(table) else { panic!("an attempt to connect") };
    let local = SocketAddr::from(([192, 0, 2, 2], 40000));
    session.handle_connected(now, id, Endpoints::new(local, remote));
    let mut octets = Vec::new();
    let capabilities =
        vec![Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi()), Capability::FourOctetAsn(REMOTE)];
    Open::new(REMOTE, HoldTime::DEFAULT, router_id(2), capabilities).encode(&mut octets).unwrap();
    keepalive::encode(&mut octets);
    session.handle_data(now, id, &octets);
    (session, id)
}

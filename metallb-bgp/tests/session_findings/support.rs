//! One session, its table, and a peer made of octets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use metallb_bgp::fsm::State;
use metallb_bgp::session::{
    ConnectionId, Effect, Endpoints, Event, GracefulRestart, PeerConfig, PeerSnapshot, Session, StopReason,
};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Family, HoldTime, RemoteAs, RouterId};
use metallb_bgp::wire::capability::{Capability, GracefulFamily, GracefulRestart as Offer};
use metallb_bgp::wire::header::MessageLimit;
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::notification::Notification;
use metallb_bgp::wire::open::Open;

pub(crate) const OUR_AS: Asn = Asn::new(64513);
pub(crate) const PEER_AS: Asn = Asn::new(64512);

pub(crate) fn mk_config() -> PeerConfig {
    PeerConfig::new(remote(), OUR_AS, RemoteAs::Asn(PEER_AS), 0)
}

pub(crate) fn remote() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 179))
}

pub(crate) fn mk_endpoints() -> Endpoints {
    Endpoints::new(SocketAddr::from(([192, 0, 2, 2], 40000)), remote())
}

pub(crate) fn mk_id(last: u8) -> RouterId {
    RouterId::new(Ipv4Addr::new(10, 0, 0, last)).unwrap()
}

pub(crate) fn mk_open(hold: u16, capabilities: Vec<Capability>) -> Vec<u8> {
    let mut out = Vec::new();
    Open::new(PEER_AS, HoldTime::from_secs(hold).unwrap(), mk_id(9), capabilities).encode(&mut out).unwrap();
    out
}

pub(crate) fn mk_keepalive() -> Vec<u8> {
    let mut out = Vec::new();
    keepalive::encode(&mut out);
    out
}

pub(crate) fn mk_notification(notification: &Notification) -> Vec<u8> {
    let mut out = Vec::new();
    notification.encode(MessageLimit::Standard, &mut out);
    out
}

/// An UPDATE with this body.
pub(crate) fn mk_update(body: &[u8]) -> Vec<u8> {
    mk_message(2, body)
}

pub(crate) fn mk_message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff; 16];
    out.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    out.push(kind);
    out.extend(body);
    out
}

/// An UPDATE of the peer that announces 10.0.0.`last`/32.
pub(crate) fn mk_route(last: u8) -> Vec<u8> {
    let attributes = [
        [0x40, 1, 1, 0].as_slice(),
        &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0],
        &[0x40, 3, 4, 192, 0, 2, 1],
        &[32, 10, 0, 0, last],
    ];
    let body = [&[0, 0, 0, 20], attributes.concat().as_slice()].concat();
    mk_update(&body)
}

/// Graceful restart of the peer, with N.
pub(crate) fn graceful() -> Vec<Capability> {
    let family = Family::Ipv4Unicast.afi_safi();
    let families = vec![GracefulFamily { family, forwarding: true }];
    vec![
        Capability::Multiprotocol(family),
        Capability::GracefulRestart(Offer {
            restarting: false,
            notification: true,
            restart_time: 120,
            families,
        }),
    ]
}

pub(crate) fn with_graceful_restart() -> PeerConfig {
    let mut config = mk_config();
    config.graceful_restart = Some(GracefulRestart::default());
    config
}

/// Type and length of each message.
pub(crate) fn messages(octets: &[u8]) -> Vec<(u8, usize)> {
    let mut rest = octets;
    let mut list = Vec::new();
    while rest.len() >= 19 {
        let length = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
        list.push((rest[18], length));
        rest = &rest[length..];
    }
    list
}

pub(crate) fn kinds(octets: &[u8]) -> Vec<u8> {
    messages(octets).into_iter().map(|(kind, _)| kind).collect()
}

pub(crate) struct Bench {
    pub(crate) session: Session,
    pub(crate) table: AdvTable,
    pub(crate) now: Instant,
    pub(crate) base: Instant,
    pub(crate) dials: Vec<ConnectionId>,
    pub(crate) closed: Vec<(ConnectionId, Vec<u8>)>,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) fn new(config: PeerConfig) -> Self {
        let base = Instant::now();
        Self {
            session: Session::new("peer".into(), config, mk_id(1)),
            table: AdvTable::new(),
            now: base,
            base,
            dials: Vec::new(),
            closed: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A session that is established over a connection it opened.
    pub(crate) fn established(
        config: PeerConfig,
        hold: u16,
        capabilities: Vec<Capability>,
    ) -> (Self, ConnectionId) {
        let mut bench = Self::new(config);
        bench.table.complete();
        bench.start();
        let id = bench.connect();
        bench.establish(id, hold, capabilities);
        (bench, id)
    }

    pub(crate) fn start(&mut self) {
        self.session.start(self.now);
        self.effects();
    }

    pub(crate) fn effects(&mut self) {
        while let Some(effect) = self.session.poll_effect(&mut self.table) {
            match effect {
                Effect::Connect(id) => self.dials.push(id),
                Effect::Close { id, last } => {
                    self.dials.retain(|dial| *dial != id);
                    self.closed.push((id, last));
                }
                other => panic!("unknown effect {other:?}"),
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    /// The attempt under way succeeds.
    pub(crate) fn connect(&mut self) -> ConnectionId {
        let id = self.dials.pop().unwrap();
        self.session.handle_connected(self.now, id, mk_endpoints());
        id
    }

    pub(crate) fn establish(&mut self, id: ConnectionId, hold: u16, capabilities: Vec<Capability>) {
        self.transmit(id);
        self.say(id, &mk_open(hold, capabilities));
        self.say(id, &mk_keepalive());
        assert_eq!(self.session.state(), State::Established);
        self.transmit(id);
    }

    pub(crate) fn say(&mut self, id: ConnectionId, octets: &[u8]) {
        self.session.handle_data(self.now, id, octets);
        self.effects();
    }

    /// Everything there is to be written.
    pub(crate) fn transmit(&mut self, id: ConnectionId) -> Vec<u8> {
        let mut out = Vec::new();
        while self.session.poll_transmit(self.now, id, &mut self.table, &mut out) {}
        self.session.handle_written(self.now, id, out.len());
        out
    }

    /// Goes on to the next timer.
    pub(crate) fn wait(&mut self) {
        self.now = self.session.next_timeout().unwrap().max(self.now);
        self.session.handle_timeout(self.now);
        self.effects();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.base
    }

    pub(crate) fn stop(&mut self, reason: &StopReason) {
        self.session.stop(self.now, reason, &mut self.table);
        self.effects();
    }

    pub(crate) fn reconfigure(&mut self, config: PeerConfig) {
        self.session.reconfigure(self.now, config, &mut self.table);
        self.effects();
    }

    pub(crate) fn snapshot(&self) -> PeerSnapshot {
        self.session.snapshot(&self.table)
    }

    pub(crate) fn announce(&mut self, prefix: &str, attributes: RouteAttributes) {
        let route = Announcement { peers: ["peer".into()].into(), attributes };
        self.table.set(prefix.parse().unwrap(), &[route]);
    }

    pub(crate) fn withdraw(&mut self, prefix: &str) {
        self.table.set(prefix.parse().unwrap(), &[]);
    }
}

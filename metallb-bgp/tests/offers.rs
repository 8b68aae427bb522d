//! What a session offers in its OPEN, and what of it can change while the session goes on.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests; the clock is read once as the base of virtual time"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use metallb_bgp::fsm::State;
use metallb_bgp::session::{
    ConnectionId, Effect, Endpoints, GracefulRestart, OfferedFamilies, PeerConfig, PeerSnapshot,
    Reconfigured, Session,
};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Community, Family, HoldTime, RemoteAs, RouterId};
use metallb_bgp::wire::capability::{
    Capability, GracefulFamily, GracefulRestart as GracefulCapability, LongLived,
};
use metallb_bgp::wire::header::{Framer, MessageType};
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::notification::Notification;
use metallb_bgp::wire::open::{Open, Role, RolePolicy};
use metallb_bgp::wire::update::{UpdateContext, UpdateView};

/// A session whose connection is up as far as TCP, and its peer, which is this test.
struct Talk {
    session: Session,
    table: AdvTable,
    now: Instant,
    id: ConnectionId,
}

fn mk_id(last: u8) -> RouterId {
    RouterId::new(Ipv4Addr::new(10, 0, 0, last)).unwrap()
}

fn mk_config(change: impl FnOnce(&mut PeerConfig)) -> PeerConfig {
    let remote = SocketAddr::from(([192, 0, 2, 1], 179));
    let mut config = PeerConfig::new(remote, Asn::new(64513), RemoteAs::Any, 0);
    config.families = OfferedFamilies::Both;
    change(&mut config);
    config
}

fn graceful(change: impl FnOnce(&mut GracefulRestart)) -> GracefulRestart {
    let mut graceful = GracefulRestart::default();
    change(&mut graceful);
    graceful
}

impl Talk {
    fn new(change: impl FnOnce(&mut PeerConfig)) -> Self {
        let now = Instant::now();
        let mut session = Session::new("router".into(), mk_config(change), mk_id(1));
        let mut table = AdvTable::new();
        let attributes = RouteAttributes::new().with_communities([Community::new(64513, 7)]);
        let route = Announcement { peers: ["router".into()].into(), attributes };
        table.set("198.51.100.1/32".parse().unwrap(), &[route]);
        table.complete();
        session.start(now);
        let Some(Effect::Connect(id)) = session.poll_effect(&mut table) else { panic!("no attempt") };
        let mut talk = Self { session, table, now, id };
        talk.connected();
        talk
    }

    fn connected(&mut self) {
        let local = SocketAddr::from(([192, 0, 2, 2], 40000));
        let remote = SocketAddr::from(([192, 0, 2, 1], 179));
        self.session.handle_connected(self.now, self.id, Endpoints::new(local, remote));
    }

    /// What the session says next: types and bodies, without the header.
    fn heard(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut out = Vec::new();
        let mut all = Vec::new();
        while self.session.poll_transmit(self.now, self.id, &mut self.table, &mut out) {
            self.session.handle_written(self.now, self.id, out.len());
            all.append(&mut out);
        }
        split(&all)
    }

    fn heard_open(&mut self) -> Open {
        let heard = self.heard();
        assert_eq!(heard[0].0, MessageType::Open.code());
        Open::parse(&heard[0].1).unwrap()
    }

    /// The last words of the connection.
    fn closed(&mut self) -> Vec<(u8, Vec<u8>)> {
        loop {
            match self.session.poll_effect(&mut self.table) {
                Some(Effect::Close { last, .. }) => return split(&last),
                Some(_) => {}
                None => panic!("still open: {:?}", self.snapshot()),
            }
        }
    }

    fn answer(&mut self, capabilities: Vec<Capability>) {
        self.answer_as(64512, capabilities);
    }

    fn answer_as(&mut self, asn: u32, capabilities: Vec<Capability>) {
        let mut out = Vec::new();
        Open::new(Asn::new(asn), HoldTime::DEFAULT, mk_id(9), capabilities).encode(&mut out).unwrap();
        keepalive::encode(&mut out);
        self.session.handle_data(self.now, self.id, &out);
    }

    fn snapshot(&self) -> PeerSnapshot {
        self.session.snapshot(&self.table)
    }

    fn reconfigure(&mut self, change: impl FnOnce(&mut PeerConfig)) -> Reconfigured {
        let mut config = self.session.config().clone();
        change(&mut config);
        self.session.reconfigure(self.now, config, &mut self.table)
    }
}

fn split(mut octets: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::new();
    while !octets.is_empty() {
        let length = usize::from(u16::from_be_bytes([octets[16], octets[17]]));
        messages.push((octets[18], octets[19..length].to_vec()));
        octets = &octets[length..];
    }
    messages
}

fn families() -> Vec<Capability> {
    [Family::Ipv4Unicast, Family::Ipv6Unicast].map(Capability::from).to_vec()
}

fn peers_graceful() -> Capability {
    let families = vec![GracefulFamily { family: Family::Ipv4Unicast.afi_safi(), forwarding: true }];
    Capability::GracefulRestart(GracefulCapability {
        restarting: false,
        notification: true,
        restart_time: 60,
        families,
    })
}

fn peers_long_lived() -> Capability {
    let entry = LongLived { family: Family::Ipv4Unicast.afi_safi(), forwarding: false, stale_time: 20 };
    Capability::LongLivedGracefulRestart(vec![entry])
}

fn offered_long_lived(open: &Open) -> Option<&Vec<LongLived>> {
    open.capabilities.iter().find_map(|capability| match capability {
        Capability::LongLivedGracefulRestart(entries) => Some(entries),
        _ => None,
    })
}

fn offered_graceful(open: &Open) -> &GracefulCapability {
    let mut found = open.capabilities.iter().filter_map(|capability| match capability {
        Capability::GracefulRestart(graceful) => Some(graceful),
        _ => None,
    });
    found.next().unwrap()
}

/// The attributes of the announcements among messages.
fn announced(messages: &[(u8, Vec<u8>)], internal: bool) -> Vec<(Vec<Community>, Option<u32>)> {
    use metallb_bgp::types::{AsnWidth, Families, PeerKind};
    let kind = if internal { PeerKind::Internal } else { PeerKind::External };
    let updates = messages.iter().filter(|(kind, _)| *kind == MessageType::Update.code());
    let mut all = Vec::new();
    for (_, body) in updates {
        let mut message = vec![0xff; 16];
        message.extend_from_slice(&u16::try_from(body.len() + 19).unwrap().to_be_bytes());
        message.push(2);
        message.extend_from_slice(body);
        let (mut framer, mut rest) = (Framer::new(), message.as_slice());
        let view = UpdateView::parse(framer.next_frame(&mut rest).unwrap().unwrap()).unwrap();
        let context = UpdateContext::new(kind, Asn::new(64513), AsnWidth::Four, Families::BOTH);
        let update = view.classify(&context);
        for reach in update.reach() {
            let attributes = update.attributes(reach.next_hop);
            all.push((attributes.communities, attributes.local_pref));
        }
    }
    all
}

// req: G1, G3
#[test]
fn graceful_restart_is_offered_for_every_family_with_twelve_bits_of_time() {
    for (time, said) in [(0, 0), (120, 120), (4095, 4095), (4096, 4095), (1_000_000, 4095)] {
        for forwarding in [false, true] {
            let mut talk = Talk::new(|config| {
                config.graceful_restart = Some(graceful(|graceful| {
                    graceful.restart_time = Duration::from_secs(time);
                    graceful.forwarding_preserved = forwarding;
                }));
            });
            let open = talk.heard_open();
            let graceful = offered_graceful(&open);
            assert_eq!(
                (graceful.restart_time, graceful.restarting, graceful.notification),
                (said, true, true)
            );
            let expected = [Family::Ipv4Unicast, Family::Ipv6Unicast]
                .map(|family| GracefulFamily { family: family.afi_safi(), forwarding });
            assert_eq!(graceful.families, expected);
            let count = open.capabilities.iter().filter(|c| matches!(c, Capability::GracefulRestart(_)));
            assert_eq!(count.count(), 1);
        }
    }
}

// req: !G1
#[test]
fn without_graceful_restart_only_help_is_offered() {
    let mut talk = Talk::new(|_| {});
    let open = talk.heard_open();
    assert_eq!(offered_graceful(&open), &GracefulCapability::default());
    talk.answer([families(), vec![peers_graceful()]].concat());
    assert!(!talk.snapshot().negotiated.unwrap().graceful_restart);
}

// req: G9, !G9
#[test]
fn the_long_lived_form_is_offered_with_graceful_restart_for_the_same_families() {
    let long = Duration::from_secs(86400);
    for (time, said) in [(long, 86400), (Duration::from_secs(0x0100_0000), 0x00ff_ffff)] {
        let mut talk = Talk::new(|config| {
            config.graceful_restart = Some(graceful(|graceful| graceful.long_lived_stale_time = Some(time)));
        });
        let open = talk.heard_open();
        let entries = offered_long_lived(&open).unwrap();
        let families = offered_graceful(&open).families.iter().map(|entry| entry.family);
        assert_eq!(
            entries.iter().map(|entry| entry.family).collect::<Vec<_>>(),
            families.collect::<Vec<_>>()
        );
        assert!(entries.iter().all(|entry| entry.forwarding && entry.stale_time == said), "{entries:?}");
    }
    for config in [None, Some(graceful(|_| {}))] {
        let open = Talk::new(|peer| peer.graceful_restart = config).heard_open();
        assert_eq!(offered_long_lived(&open), None);
    }
}

// req: G9, !G9
#[test]
fn the_long_lived_form_is_agreed_on_only_together_with_graceful_restart() {
    let long = Some(Duration::from_secs(20));
    let cases = [
        (long, vec![peers_graceful(), peers_long_lived()], true),
        // RFC 9494 §4.1: without the other capability it is to be ignored.
        (long, vec![peers_long_lived()], false),
        (long, vec![peers_graceful()], false),
        (None, vec![peers_graceful(), peers_long_lived()], false),
    ];
    for (ours, theirs, agreed) in cases {
        let mut talk = Talk::new(|config| {
            config.graceful_restart = Some(graceful(|graceful| graceful.long_lived_stale_time = ours));
        });
        talk.heard_open();
        talk.answer([families(), theirs.clone()].concat());
        let negotiated = talk.snapshot().negotiated.unwrap();
        assert_eq!(negotiated.long_lived_graceful_restart, agreed, "{theirs:?}");
        let words = "long-lived graceful restart (20 s)".to_owned();
        assert_eq!(negotiated.peer_capabilities.contains(&words), theirs.contains(&peers_long_lived()));
    }
}

// req: G1, G9
#[test]
fn changed_restart_times_wait_for_the_next_open_and_a_new_capability_resets_once() {
    let mut talk = Talk::new(|config| {
        config.graceful_restart =
            Some(graceful(|graceful| graceful.long_lived_stale_time = Some(Duration::from_secs(20))));
    });
    talk.heard_open();
    talk.answer([families(), vec![peers_graceful(), peers_long_lived()]].concat());
    talk.heard();
    assert!(talk.snapshot().pending.is_empty(), "R in the OPEN is no change: {:?}", talk.snapshot().pending);
    let change = |change: fn(&mut GracefulRestart)| {
        move |config: &mut PeerConfig| change(config.graceful_restart.as_mut().unwrap())
    };
    let time = change(|graceful| graceful.restart_time = Duration::from_secs(7));
    assert_eq!(talk.reconfigure(time), Reconfigured::Live);
    assert_eq!(talk.snapshot().pending, ["graceful restart"]);
    let time = change(|graceful| graceful.long_lived_stale_time = Some(Duration::from_secs(7)));
    assert_eq!(talk.reconfigure(time), Reconfigured::Live);
    assert_eq!(talk.snapshot().pending, ["graceful restart", "long-lived graceful restart"]);
    let off = change(|graceful| graceful.long_lived_stale_time = None);
    assert_eq!(talk.reconfigure(off), Reconfigured::Reset);
}

// req: C9
#[test]
fn a_drained_node_marks_every_route_and_takes_the_mark_back_without_a_reset() {
    for internal in [false, true] {
        let mut talk = Talk::new(|_| {});
        talk.heard_open();
        talk.answer_as(if internal { 64513 } else { 64512 }, families());
        let plain = (vec![Community::new(64513, 7)], internal.then_some(100));
        assert_eq!(announced(&talk.heard(), internal), std::slice::from_ref(&plain));
        assert_eq!(talk.reconfigure(|config| config.graceful_shutdown = true), Reconfigured::Live);
        let marked = vec![Community::new(64513, 7), Community::GRACEFUL_SHUTDOWN];
        assert_eq!(announced(&talk.heard(), internal), [(marked, internal.then_some(0))]);
        assert_eq!(talk.reconfigure(|config| config.graceful_shutdown = false), Reconfigured::Live);
        assert_eq!(announced(&talk.heard(), internal), [plain]);
        assert_eq!(talk.snapshot().counters.established, 1);
        assert_eq!(talk.session.state(), State::Established);
    }
}

// req: G5, !G5
#[test]
fn a_peer_that_moves_loses_the_routes_at_its_old_address_at_once() {
    for (change, moves) in [
        ((|config| config.remote.set_ip(Ipv4Addr::new(192, 0, 2, 99).into())) as fn(&mut PeerConfig), true),
        (|config| config.families = OfferedFamilies::Own, false),
    ] {
        let mut talk = Talk::new(|config| config.graceful_restart = Some(graceful(|_| {})));
        talk.heard_open();
        talk.answer([families(), vec![peers_graceful()]].concat());
        talk.heard();
        assert_eq!(talk.reconfigure(change), Reconfigured::Reset);
        let last = talk.closed();
        let (kind, body) = last.last().unwrap();
        assert_eq!(*kind, MessageType::Notification.code());
        let notification = Notification::parse(body);
        // RFC 8538: a plain Cease would have the router at the old address keep them.
        assert_eq!(notification.is_hard_reset(), moves, "{notification}");
        let told = notification.hard_reset_inner().unwrap_or(notification);
        assert_eq!((told.code, told.subcode), (6, 6));
        assert_eq!(last.len(), if moves { 2 } else { 1 }, "withdrawn first: {last:?}");
    }
}

// req: C9, !C9
#[test]
fn a_role_is_offered_outside_the_as_and_a_wrong_one_is_answered_with_role_mismatch() {
    let policy = |strict| Some(RolePolicy { role: Role::Customer, strict });
    let offered = |remote_asn| {
        let mut talk = Talk::new(|config| {
            config.role = policy(false);
            config.remote_asn = remote_asn;
        });
        talk.heard_open().capabilities.contains(&Capability::Role(3))
    };
    assert!([RemoteAs::Asn(Asn::new(64512)), RemoteAs::External, RemoteAs::Any].into_iter().all(offered));
    assert!(![RemoteAs::Asn(Asn::new(64513)), RemoteAs::Internal].into_iter().any(offered));
    assert!(!Talk::new(|_| {}).heard_open().announces(&Capability::Role(3)));
    for (strict, theirs, up) in
        [(false, Some(0), true), (false, Some(3), false), (false, None, true), (true, None, false)]
    {
        let mut talk = Talk::new(|config| config.role = policy(strict));
        talk.heard_open();
        talk.answer([families(), theirs.map(Capability::Role).into_iter().collect()].concat());
        if up {
            assert_eq!(talk.session.state(), State::Established);
            // Whether the peer must say its role is for its next OPEN; another role needs ours now.
            assert_eq!(talk.reconfigure(|config| config.role = policy(!strict)), Reconfigured::Live);
            assert_eq!(talk.reconfigure(|config| config.role = None), Reconfigured::Reset);
        } else {
            let last = talk.closed();
            assert_eq!(Notification::parse(&last.last().unwrap().1), Notification::new(2, 11));
        }
    }
}

//! A session under any order of calls, with peers that say anything.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests; the clock is read once as the base of virtual time"
)]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use metallb_bgp::fsm::State;
use metallb_bgp::session::{
    AoAlgorithm, AoKey, AoKeys, Authentication, AuthenticationError, ConnectionId, Effect, Endpoints,
    GracefulRestart, OfferedFamilies, PeerConfig, Session, StopReason,
};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Community, Family, HoldTime, RemoteAs, RouterId};
use metallb_bgp::wire::capability::{Capability, GracefulFamily, GracefulRestart as Offer};
use metallb_bgp::wire::header::MessageLimit;
use metallb_bgp::wire::notification::Notification;
use metallb_bgp::wire::open::{Open, Role, RolePolicy};
use metallb_bgp::wire::pack::encode_end_of_rib;
use metallb_bgp::wire::{keepalive, refresh::RouteRefresh};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Start,
    Stop(u8),
    Connected(u8),
    Accepted,
    Closed(u8, bool),
    Unauthenticated(Option<u8>),
    Say(u8, Vec<u8>),
    Garbage(u8, Vec<u8>),
    Written(u8, usize),
    Unread(u8),
    Advance(u32),
    Transmit,
    /// The peer goes through the whole exchange on the latest connection.
    Establish,
    /// Another connection follows the established one in the same wake-up; what was done is looked at before or after
    /// the routes.
    Replace(bool),
    Reconfigure(u8),
    Set(u8, Option<u32>),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Start),
        1 => (0..7_u8).prop_map(Op::Stop),
        4 => any::<u8>().prop_map(Op::Connected),
        3 => Just(Op::Accepted),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(id, clean)| Op::Closed(id, clean)),
        1 => prop::option::of(any::<u8>()).prop_map(Op::Unauthenticated),
        9 => (any::<u8>(), prop::collection::vec(0..9_u8, 1..4)).prop_map(|(id, said)| Op::Say(id, said)),
        1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(id, said)| Op::Garbage(id, said)),
        1 => (any::<u8>(), 0..200_usize).prop_map(|(id, count)| Op::Written(id, count)),
        1 => any::<u8>().prop_map(Op::Unread),
        4 => (0..20_000_u32).prop_map(Op::Advance),
        4 => Just(Op::Transmit),
        2 => Just(Op::Establish),
        2 => any::<bool>().prop_map(Op::Replace),
        1 => any::<u8>().prop_map(Op::Reconfigure),
        2 => (0..4_u8, prop::option::of(0..3_u32)).prop_map(|(n, c)| Op::Set(n, c)),
    ]
}

/// A message a peer may send.
fn message(kind: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let id = RouterId::new(Ipv4Addr::new(10, 0, 0, 9)).unwrap();
    let family = Family::Ipv4Unicast.afi_safi();
    let mut open = Open::new(Asn::new(64512), HoldTime::from_secs(9).unwrap(), id, Vec::new());
    match kind {
        0 | 1 => {
            if kind == 1 {
                let families = vec![GracefulFamily { family, forwarding: true }];
                open.capabilities.push(Capability::Multiprotocol(family));
                open.capabilities.push(Capability::EnhancedRouteRefresh);
                let offer = Offer { restarting: false, notification: true, restart_time: 9, families };
                open.capabilities.push(Capability::GracefulRestart(offer));
            }
            open.encode(&mut out).unwrap();
        }
        2 => {
            open.asn = Asn::new(1);
            open.encode(&mut out).unwrap();
        }
        3 => Notification::new(2, 1).encode(MessageLimit::Standard, &mut out),
        4 => Notification::cease(2).encode(MessageLimit::Standard, &mut out),
        5 => encode_end_of_rib(Family::Ipv4Unicast, &mut out),
        6 => RouteRefresh::request(Family::Ipv4Unicast).encode(&mut out),
        _ => keepalive::encode(&mut out),
    }
    out
}

struct Driver {
    session: Session,
    table: AdvTable,
    now: Instant,
    last_id: Vec<ConnectionId>,
    closed: BTreeSet<ConnectionId>,
}

impl Driver {
    fn new() -> Self {
        let remote = SocketAddr::from(([192, 0, 2, 1], 179));
        let config = PeerConfig::new(remote, Asn::new(64513), RemoteAs::Asn(Asn::new(64512)), 0);
        let id = RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).unwrap();
        Self {
            session: Session::new("peer".into(), config, id),
            table: AdvTable::new(),
            now: Instant::now(),
            last_id: Vec::new(),
            closed: BTreeSet::new(),
        }
    }

    /// One of the ids there have been, the latest most often.
    fn id(&self, choice: u8) -> Option<ConnectionId> {
        let back = (0..8).take_while(|bit| choice >> bit & 1 == 1).count();
        self.last_id.iter().rev().nth(back.min(self.last_id.len().saturating_sub(1))).copied()
    }

    fn endpoints() -> Endpoints {
        Endpoints::new(SocketAddr::from(([192, 0, 2, 2], 40000)), SocketAddr::from(([192, 0, 2, 1], 179)))
    }

    fn apply(&mut self, op: Op) {
        let (now, table) = (self.now, &mut self.table);
        match op {
            Op::Start => self.session.start(now),
            Op::Stop(n) => self.session.stop(now, &reason(n), table),
            Op::Connected(choice) => {
                if let Some(id) = self.id(choice) {
                    self.session.handle_connected(now, id, Self::endpoints());
                }
            }
            Op::Accepted => self.last_id.extend(self.session.handle_accepted(now, Self::endpoints())),
            Op::Closed(choice, clean) => {
                if let Some(id) = self.id(choice) {
                    let error = (!clean).then_some(std::io::ErrorKind::ConnectionReset);
                    self.session.handle_closed(now, id, error);
                }
            }
            Op::Unauthenticated(choice) => {
                let id = choice.and_then(|choice| self.id(choice));
                self.session.handle_unauthenticated(now, id, AuthenticationError::NotAuthenticated);
            }
            Op::Say(choice, kinds) => {
                self.say(choice, &kinds.into_iter().flat_map(message).collect::<Vec<_>>());
            }
            Op::Garbage(choice, octets) => self.say(choice, &octets),
            Op::Written(choice, count) => {
                if let Some(id) = self.id(choice) {
                    self.session.handle_written(now, id, count);
                }
            }
            Op::Unread(choice) => {
                if let Some(id) = self.id(choice) {
                    self.session.handle_unread(now, id);
                }
            }
            Op::Advance(by) => {
                self.now += Duration::from_millis(by.into());
                self.session.handle_timeout(self.now);
            }
            Op::Transmit => self.transmit(),
            Op::Establish => self.establish(),
            Op::Replace(effects_first) => self.replace(effects_first),
            Op::Reconfigure(n) => {
                let config = changed(self.session.config().clone(), n);
                self.session.reconfigure(now, config, table);
            }
            Op::Set(n, community) => {
                let prefix = format!("198.51.100.{n}/32").parse().unwrap();
                let attributes = |c| RouteAttributes::new().with_communities([Community(c)]);
                let route = |c| Announcement { peers: ["peer".into()].into(), attributes: attributes(c) };
                table.set(prefix, &community.map(route).into_iter().collect::<Vec<_>>());
                if n == 0 {
                    table.complete();
                }
            }
        }
        self.check();
    }

    /// What an established session owes its peer now, it gives, and what comes later, too.
    fn check_delivery(&mut self) {
        let established = self.session.connections().find(|(_, state)| *state == State::Established);
        let Some((id, _)) = established else { return };
        self.transmit();
        let attributes = RouteAttributes::new();
        let route = Announcement { peers: ["peer".into()].into(), attributes };
        for routes in [vec![route], Vec::new()] {
            self.table.set("198.51.100.100/32".parse().unwrap(), &routes);
            let families = self.session.snapshot(&self.table).negotiated.unwrap().families;
            let owed = families.contains(&Family::Ipv4Unicast);
            assert_eq!(self.session.has_transmit(id, &self.table), owed);
            let mut out = Vec::new();
            while self.session.poll_transmit(self.now, id, &mut self.table, &mut out) {}
            assert_eq!(!out.is_empty(), owed, "a change is told");
            self.effects();
        }
    }

    fn establish(&mut self) {
        let Some(id) = self.id(0) else { return };
        self.session.handle_connected(self.now, id, Self::endpoints());
        self.session.handle_data(self.now, id, &[message(0), message(7)].concat());
    }

    fn replace(&mut self, effects_first: bool) {
        let established = self.session.connections().find(|(_, state)| *state == State::Established);
        let Some((old, _)) = established else { return };
        let Some(new) = self.session.handle_accepted(self.now, Self::endpoints()) else { return };
        self.last_id.push(new);
        self.session.handle_closed(self.now, old, None);
        self.session.handle_data(self.now, new, &[message(0), message(7)].concat());
        if effects_first {
            self.effects();
        }
        self.transmit();
        self.effects();
        self.check_delivery();
    }

    fn say(&mut self, choice: u8, octets: &[u8]) {
        if let Some(id) = self.id(choice) {
            self.session.handle_data(self.now, id, octets);
        }
    }

    fn transmit(&mut self) {
        for id in self.last_id.clone() {
            let mut out = Vec::new();
            let said = self.session.poll_transmit(self.now, id, &mut self.table, &mut out);
            assert_eq!(said, !out.is_empty());
            assert!(out.is_empty() || !self.closed.contains(&id), "octets after close");
            assert_eq!(notifications(&out), 0, "a NOTIFICATION is the last word");
        }
    }

    fn effects(&mut self) {
        while let Some(effect) = self.session.poll_effect(&mut self.table) {
            match effect {
                Effect::Connect(id) => self.last_id.push(id),
                Effect::Close { id, last } => {
                    assert!(self.closed.insert(id), "closed twice");
                    assert!(notifications(&last) <= 1);
                }
                other => panic!("unknown effect {other:?}"),
            }
        }
        while self.session.poll_event().is_some() {}
    }

    fn check(&self) {
        let all: Vec<_> = self.session.connections().collect();
        assert!(all.iter().filter(|(_, state)| *state == State::Established).count() <= 1);
        assert!(all.iter().all(|(id, _)| !self.closed.contains(id)));
        let snapshot = self.session.snapshot(&self.table);
        assert_eq!(snapshot.negotiated.is_some(), snapshot.state == State::Established);
    }
}

/// How many NOTIFICATIONs there are; checks that the octets are whole messages.
fn notifications(octets: &[u8]) -> usize {
    let mut rest = octets;
    let mut count = 0;
    while !rest.is_empty() {
        let length = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
        count += usize::from(rest[18] == 3);
        rest = &rest[length..];
    }
    count
}

fn reason(n: u8) -> StopReason {
    match n {
        0 => StopReason::Shutdown("text".to_owned()),
        1 => StopReason::Deconfigured,
        2 => StopReason::Reset(String::new()),
        3 => StopReason::ConfigChanged,
        4 => StopReason::OutOfResources,
        5 => StopReason::BfdDown,
        _ => StopReason::Restart(String::new()),
    }
}

/// Keys that roll over from some others of these, and do not from the rest.
fn mk_keys(n: u8) -> AoKeys {
    let key = |id: u8| AoKey::new(id, id, AoAlgorithm::HmacSha1, [b'k', id % 2, n / 128]).unwrap();
    AoKeys::new(key(n / 64), [key(n / 64 + 1)]).unwrap()
}

fn changed(mut config: PeerConfig, n: u8) -> PeerConfig {
    match n % 12 {
        0 => config.passive = !config.passive,
        1 => config.delay_open = (n > 100).then_some(Duration::from_secs(3)),
        2 => config.graceful_restart = (n > 100).then(GracefulRestart::default),
        3 => config.families = if n > 100 { OfferedFamilies::Both } else { OfferedFamilies::Own },
        4 => config.connect_time = (n > 100).then_some(Duration::from_secs(5)),
        5 => config.hold_time = if n > 100 { HoldTime::DISABLED } else { HoldTime::DEFAULT },
        6 => config.max_prefixes = (n > 100).then_some(0),
        7 => config.graceful_shutdown = !config.graceful_shutdown,
        8 => {
            config.role = (n > 100).then_some(RolePolicy { role: Role::Customer, strict: n > 200 });
        }
        9 => {
            let time = (n > 100).then_some(Duration::from_secs(n.into()));
            config.graceful_restart =
                Some(GracefulRestart { long_lived_stale_time: time, ..GracefulRestart::default() });
        }
        10 => config.authentication = Authentication::Ao(mk_keys(n)),
        _ => config.collision_detect_established = !config.collision_detect_established,
    }
    config
}

proptest! {
    // req: !F2, !F3, !N2
    #[test]
    fn any_order_of_calls_is_safe(ops in prop::collection::vec((op(), prop::bool::weighted(0.7)), 1..150)) {
        let mut driver = Driver::new();
        for (op, look) in ops {
            driver.apply(op);
            // Nobody has to look at the effects at once.
            if look {
                driver.effects();
            }
        }
        driver.check_delivery();
        driver.apply(Op::Stop(0));
        driver.effects();
        prop_assert_eq!(driver.session.state(), State::Idle);
        prop_assert_eq!(driver.session.next_timeout(), None);
        prop_assert_eq!(driver.session.connections().count(), 0);
        prop_assert!(!driver.session.has_events());
    }
}

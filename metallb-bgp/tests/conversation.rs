//! A session and its peer, which is the test: what is said, what is not, and what the user is told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests; the clock is read once as the base of virtual time"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use metallb_bgp::fsm::State;
use metallb_bgp::session::{
    ConnectionId, Counters, Effect, Endpoints, Event, GracefulRestart, PeerConfig, Session, StopReason,
};
use metallb_bgp::table::{AdvTable, Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Community, Family, HoldTime, RemoteAs, RouterId};
use metallb_bgp::wire::capability::{Capability, GracefulFamily, GracefulRestart as GracefulCapability};
use metallb_bgp::wire::header::MessageType;
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::notification::Notification;
use metallb_bgp::wire::open::Open;

/// One session over a connection it dialled.
struct Talk {
    session: Session,
    now: Instant,
    id: ConnectionId,
}

const US: [u8; 4] = [192, 0, 2, 2];
const PEER: [u8; 4] = [192, 0, 2, 1];
const ROUTE: &str = "198.51.100.1/32";

fn mk_config() -> PeerConfig {
    PeerConfig::new(SocketAddr::from((PEER, 179)), Asn::new(64513), RemoteAs::Asn(Asn::new(64512)), 0)
}

fn mk_open(hold_time: u16, id: Ipv4Addr, capabilities: Vec<Capability>) -> Open {
    let (hold_time, id) = (HoldTime::from_secs(hold_time).unwrap(), RouterId::new(id).unwrap());
    Open::new(Asn::new(64512), hold_time, id, capabilities)
}

fn announcement(peer: &str) -> Announcement {
    Announcement { peers: [peer.into()].into(), attributes: RouteAttributes::new() }
}

fn route() -> IpNetwork {
    ROUTE.parse().unwrap()
}

impl Talk {
    /// Dials; our OPEN has been heard.
    fn connected(name: &str, config: PeerConfig, table: &mut AdvTable) -> (Self, Open) {
        let id = RouterId::new(Ipv4Addr::from(US)).unwrap();
        let mut session = Session::new(name.into(), config, id);
        let now = Instant::now();
        session.start(now);
        let Some(Effect::Connect(id)) = session.poll_effect(table) else { panic!("no attempt") };
        let ends = Endpoints::new(SocketAddr::from((US, 40000)), SocketAddr::from((PEER, 179)));
        session.handle_connected(now, id, ends);
        let mut talk = Self { session, now, id };
        let heard = talk.heard(table);
        let [(MessageType::Open, body)] = &heard[..] else { panic!("{heard:?}") };
        let open = Open::parse(body).unwrap();
        (talk, open)
    }

    /// Established with a peer that offers these capabilities; nothing has been heard since the OPENs.
    fn established(name: &str, config: PeerConfig, theirs: &Open, table: &mut AdvTable) -> Self {
        let (mut talk, _) = Self::connected(name, config, table);
        talk.say_open(theirs);
        assert_eq!(talk.session.state(), State::Established);
        talk
    }

    fn say_open(&mut self, open: &Open) {
        let mut out = Vec::new();
        open.encode(&mut out).unwrap();
        keepalive::encode(&mut out);
        self.say(&out);
    }

    fn say(&mut self, octets: &[u8]) {
        self.session.handle_data(self.now, self.id, octets);
    }

    /// What the session says until it is silent.
    fn heard(&mut self, table: &mut AdvTable) -> Vec<(MessageType, Vec<u8>)> {
        let mut out = Vec::new();
        while self.session.poll_transmit(self.now, self.id, table, &mut out) {}
        messages(&out)
    }

    /// The last words of the connection.
    fn last_words(&mut self, table: &mut AdvTable) -> Vec<(MessageType, Vec<u8>)> {
        let Some(Effect::Close { last, .. }) = self.session.poll_effect(table) else { panic!("still open") };
        messages(&last)
    }

    fn counters(&self, table: &AdvTable) -> Counters {
        self.session.snapshot(table).counters
    }

    /// Messages of malformed UPDATEs the user has been shown since the last call.
    fn shown(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(event) = self.session.poll_event() {
            if let Event::Malformed { message, .. } = event {
                all.push(message);
            }
        }
        all
    }
}

fn messages(mut octets: &[u8]) -> Vec<(MessageType, Vec<u8>)> {
    let mut all = Vec::new();
    while !octets.is_empty() {
        let length = usize::from(u16::from_be_bytes([octets[16], octets[17]]));
        all.push((MessageType::from_code(octets[18]).unwrap(), octets[19..length].to_vec()));
        octets = &octets[length..];
    }
    all
}

/// An UPDATE for one prefix with this value of ORIGIN and so many octets of a community attribute.
fn mk_update(origin: u8, padding: usize) -> Vec<u8> {
    let mut attributes = vec![0x40, 1, 1, origin, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x00, 0x40, 3, 4];
    attributes.extend(PEER);
    attributes.extend([0xd0, 8]);
    attributes.extend(u16::try_from(padding).unwrap().to_be_bytes());
    attributes.extend(std::iter::repeat_n(1, padding));
    let mut body = vec![0, 0];
    body.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    body.extend(attributes);
    body.extend([32, 203, 0, 113, 1]);
    let mut message = vec![0xff; 16];
    message.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    message.push(2);
    message.extend(body);
    message
}

fn graceful() -> Open {
    let family = Family::Ipv4Unicast.afi_safi();
    let capability = GracefulCapability {
        restarting: false,
        notification: true,
        restart_time: 60,
        families: vec![GracefulFamily { family, forwarding: true }],
    };
    let capabilities = vec![Capability::Multiprotocol(family), Capability::GracefulRestart(capability)];
    mk_open(90, PEER.into(), capabilities)
}

fn plain() -> Open {
    mk_open(90, PEER.into(), Vec::new())
}

fn notification(message: &(MessageType, Vec<u8>)) -> Notification {
    assert_eq!(message.0, MessageType::Notification);
    Notification::parse(&message.1)
}

// req: O1, O3, O4, O5, O6
#[test]
fn an_open_at_the_edges_of_what_is_allowed_is_accepted() {
    for (hold_time, id) in [(0, PEER), (3, [0, 0, 0, 1]), (65535, [255; 4]), (90, [224, 0, 0, 5])] {
        let mut table = AdvTable::new();
        let talk =
            Talk::established("router", mk_config(), &mk_open(hold_time, id.into(), Vec::new()), &mut table);
        let agreed = talk.session.snapshot(&table).negotiated.unwrap();
        assert_eq!(agreed.hold_time, Duration::from_secs(hold_time.min(90).into()));
        assert_eq!(agreed.remote_router_id.to_string(), Ipv4Addr::from(id).to_string());
    }
    // No optional parameter at all, not even for capabilities.
    let mut table = AdvTable::new();
    let (mut talk, _) = Talk::connected("router", mk_config(), &mut table);
    let mut octets = vec![0xff; 16];
    octets.extend([0, 29, 1, 4, 0xfc, 0x00, 0, 90, 192, 0, 2, 1, 0]);
    keepalive::encode(&mut octets);
    talk.say(&octets);
    assert_eq!(talk.session.state(), State::Established);
}

// req: !A1
#[test]
fn a_route_with_the_peer_itself_as_next_hop_is_not_sent() {
    let mut table = AdvTable::new();
    table.set(route(), &[announcement("router")]);
    let mut config = mk_config();
    config.next_hops.v4 = Some(PEER.into());
    let mut talk = Talk::established("router", config, &plain(), &mut table);
    let heard = talk.heard(&mut table);
    assert!(heard.iter().all(|(kind, _)| *kind == MessageType::Keepalive), "{heard:?}");
    let snapshot = talk.session.snapshot(&table);
    assert_eq!((snapshot.advertised_v4, snapshot.unsendable), (0, 1));
}

// req: C10
#[test]
fn a_peer_hears_of_the_prefixes_that_name_it_and_of_no_others() {
    let mut table = AdvTable::new();
    table.set(route(), &[announcement("router")]);
    table.set("198.51.100.2/32".parse().unwrap(), &[announcement("another")]);
    table.complete();
    let mut talk = Talk::established("router", mk_config(), &plain(), &mut table);
    let heard = talk.heard(&mut table);
    let updates: Vec<_> = heard.iter().filter(|(kind, _)| *kind == MessageType::Update).collect();
    assert_eq!(updates.len(), 2, "the route, then End-of-RIB: {updates:?}");
    assert!(updates[0].1.ends_with(&[32, 198, 51, 100, 1]));
    assert_eq!(updates[1].1, [0; 4]);
}

// req: !C10
#[test]
fn what_a_peer_announces_is_passed_on_to_nobody() {
    let mut table = AdvTable::new();
    table.complete();
    let mut config = mk_config();
    config.import = true;
    let mut from = Talk::established("from", config.clone(), &plain(), &mut table);
    let mut to = Talk::established("to", config, &plain(), &mut table);
    let end_of_rib = (MessageType::Update, vec![0; 4]);
    assert!(to.heard(&mut table).contains(&end_of_rib));
    from.say(&mk_update(0, 4));
    let received =
        |event: &Event| matches!(event, Event::Received { update, .. } if update.announced.len() == 1);
    assert!(std::iter::from_fn(|| from.session.poll_event()).any(|event| received(&event)));
    assert!(table.is_empty());
    assert_eq!(to.heard(&mut table), []);
}

// req: !E1
#[test]
fn malformed_updates_are_shown_once_a_second_and_only_their_beginning() {
    let mut table = AdvTable::new();
    let theirs = mk_open(90, PEER.into(), vec![Capability::ExtendedMessage]);
    let mut config = mk_config();
    config.import = true;
    let mut talk = Talk::established("router", config, &theirs, &mut table);
    let malformed = mk_update(7, 20_000);
    for _ in 0..100 {
        talk.say(&malformed);
        talk.now += Duration::from_millis(5);
    }
    let shown = talk.shown();
    assert_eq!(shown.len(), 1, "half a second");
    assert!(shown[0].len() <= 2 * 4096, "{}", shown[0].len());
    assert_eq!(talk.counters(&table).treated_as_withdraw, 100, "all are counted");
    talk.now += Duration::from_secs(1);
    talk.say(&malformed);
    assert_eq!(talk.shown().len(), 1);
}

// req: !E1, !E2
#[test]
fn an_update_without_fault_is_neither_shown_nor_counted() {
    let mut table = AdvTable::new();
    let mut talk = Talk::established("router", mk_config(), &plain(), &mut table);
    talk.say(&mk_update(0, 4));
    let counters = talk.counters(&table);
    assert_eq!((counters.attributes_discarded, counters.treated_as_withdraw), (0, 0));
    assert_eq!((counters.updates_received, talk.shown().len()), (1, 0));
    // A community attribute of five octets, and ORIGIN 7.
    for (update, expected) in [(mk_update(0, 5), 1), (mk_update(7, 4), 2)] {
        talk.say(&update);
        assert_eq!(talk.counters(&table).treated_as_withdraw, expected);
    }
}

// req: G4
#[test]
fn a_restart_with_graceful_restart_agreed_on_is_silent() {
    let mut table = AdvTable::new();
    let mut config = mk_config();
    config.graceful_restart = Some(GracefulRestart::default());
    let mut talk = Talk::established("router", config, &graceful(), &mut table);
    talk.session.stop(talk.now, &StopReason::Restart(String::new()), &mut table);
    assert_eq!(
        talk.last_words(&mut table).into_iter().filter(|(kind, _)| *kind != MessageType::Keepalive).count(),
        0
    );
}

// req: !G4
#[test]
fn a_restart_without_graceful_restart_is_a_shutdown() {
    for (ours, theirs) in [(None, graceful()), (Some(GracefulRestart::default()), plain()), (None, plain())] {
        let mut table = AdvTable::new();
        let mut config = mk_config();
        config.graceful_restart = ours;
        let mut talk = Talk::established("router", config, &theirs, &mut table);
        talk.session.stop(talk.now, &StopReason::Restart(String::new()), &mut table);
        let words = talk.last_words(&mut table);
        let last = notification(words.last().unwrap());
        assert_eq!((last.code, last.subcode), (6, 2), "{ours:?}");
    }
}

fn offered(open: &Open) -> &GracefulCapability {
    let mut graceful = open.capabilities.iter().filter_map(|capability| match capability {
        Capability::GracefulRestart(graceful) => Some(graceful),
        _ => None,
    });
    graceful.next().unwrap()
}

// req: !G3
#[test]
fn forwarding_that_did_not_survive_is_not_claimed() {
    for survived in [true, false] {
        let mut config = mk_config();
        let graceful = GracefulRestart { forwarding_preserved: survived, ..GracefulRestart::default() };
        config.graceful_restart = Some(graceful);
        let (_, open) = Talk::connected("router", config, &mut AdvTable::new());
        assert!(offered(&open).families.iter().all(|family| family.forwarding == survived));
        assert_eq!(offered(&open).families.len(), 1);
    }
}

// req: G8
#[test]
fn the_peer_is_told_how_long_a_restart_may_take() {
    for seconds in [1, 120, 4095] {
        let mut config = mk_config();
        let restart_time = Duration::from_secs(seconds);
        config.graceful_restart = Some(GracefulRestart { restart_time, ..GracefulRestart::default() });
        let (_, open) = Talk::connected("router", config, &mut AdvTable::new());
        assert_eq!(u64::from(offered(&open).restart_time), seconds);
    }
}

// req: F7, !G8
#[test]
fn a_path_that_bfd_says_is_down_is_no_restart() {
    let mut table = AdvTable::new();
    let mut config = mk_config();
    config.graceful_restart = Some(GracefulRestart::default());
    let mut talk = Talk::established("router", config, &graceful(), &mut table);
    talk.session.stop(talk.now, &StopReason::BfdDown, &mut table);
    let words = talk.last_words(&mut table);
    let said = notification(words.last().unwrap());
    assert_eq!(said.hard_reset_inner().unwrap_or(said), Notification::cease(10));
}

// req: !A7
#[test]
fn a_prefix_written_twice_is_one_route() {
    let mut table = AdvTable::new();
    table.set("192.0.2.77/24".parse().unwrap(), &[announcement("router")]);
    let other = RouteAttributes::new().with_communities([Community::new(1, 2)]);
    let changed = Announcement { peers: ["router".into()].into(), attributes: other.clone() };
    table.set("192.0.2.1/24".parse().unwrap(), &[changed]);
    let prefix = "192.0.2.0/24".parse().unwrap();
    assert_eq!((table.len(), table.route(&"router".into(), prefix)), (1, Some(&other)));
    for impossible in ["192.0.2.0/33", "2001:db8::/129"] {
        assert!(impossible.parse::<IpNetwork>().is_err(), "the type does not allow it");
    }
}
